/*
 * dbt_memory_test.c - addresses that a hostile guest may try, in each memory back end: whatever it computes, it reads its own memory or
 * gets its fault, and never what else the process holds.
 *
 * The guest knows here what it could only guess: where a page of the emulator's (the canary) lies, and where its own RAM does.
 */
#include <sys/mman.h>

#include "accel/dbt/mem.h"
#include "accel/interp/test_guest.h"

enum {
    PATTERN_AT = 0x800000, PATTERN_BYTES = 0x200000, CODE_FROM = 0x100000, CODE_END = 0x600000, RESULTS_AT = 0x600000,
    FAULT_STACK = 0x7f00, TSS_IST1 = 0x7800 + 36, RESUME_AT = 0x7f00,
};
#define MARK     0x5a5a1234a5a55678ull
#define CANARY   0xc0ffee00deadbeefull
#define MAPPED   (1ull << 30)

/* ---- the guest's program: one access after the other; what faults goes on at R15, with RAX as it was */
typedef struct Form {
    const char *name;
    uint8_t bytes[16], n;
    uint8_t size; /* of what is read; 0: writes RAX */
} Form;

static const Form forms[] = {
    { "base", { 0x48, 0x8b, 0x03 }, 3, 8 },                               /* mov rax, [rbx] */
    { "base, flags live", { 0x39, 0xc9, 0x48, 0x8b, 0x03, 0x48, 0x0f, 0x42, 0xc0 }, 9, 8 }, /* cmp; mov rax, [rbx]; cmovb rax, rax */
    { "index", { 0x48, 0x8b, 0x04, 0x0b }, 4, 8 },                        /* mov rax, [rbx + rcx] */
    { "displacement", { 0x48, 0x8b, 0x43, 0x7f }, 4, 8 },                 /* mov rax, [rbx + 127], which is subtracted before */
    { "R11 as base", { 0x49, 0x89, 0xdb, 0x49, 0x8b, 0x03 }, 6, 8 },      /* mov r11, rbx; mov rax, [r11] */
    { "R10 as index", { 0x49, 0x89, 0xda, 0x4a, 0x8b, 0x04, 0x11 }, 7, 8 }, /* mov r10, rbx; mov rax, [rcx + r10] */
    { "lods", { 0x48, 0x89, 0xde, 0x48, 0xad }, 5, 8 },                   /* mov rsi, rbx; lodsq */
    { "stack", { 0x48, 0x89, 0xdc, 0x58 }, 4, 8 },                        /* mov rsp, rbx; pop rax */
    { "32 bits", { 0x31, 0xc0, 0x03, 0x03 }, 4, 4 },                      /* xor eax, eax; add eax, [rbx] */
    { "store", { 0x48, 0x89, 0x03 }, 3, 0 },                              /* mov [rbx], rax */
    { "add to memory", { 0x48, 0x01, 0x03 }, 3, 0 },                      /* add [rbx], rax */
    { "push", { 0x48, 0x8d, 0x63, 0x08, 0x50 }, 5, 0 },                   /* lea rsp, [rbx + 8]; push rax */
};

typedef struct Program {
    Guest *g;
    uint64_t at, n; /* n: results */
} Program;

static void put(Program *p, const void *bytes, size_t n)
{
    memcpy(p->g->ram + p->at, bytes, n);
    p->at += n;
}

static void put_access(Program *p, const Form *f, uint64_t address)
{
    uint64_t mark = MARK, ebx = address - (f->bytes[3] == 0x7f ? 0x7f : 0);
    uint32_t skip = f->n;
    put(p, "\x48\xb8", 2), put(p, &mark, 8);        /* mov rax, MARK */
    put(p, "\x48\xbb", 2), put(p, &ebx, 8);         /* mov rbx, address */
    put(p, "\x4c\x8d\x3d", 3), put(p, &skip, 4);    /* lea r15, [rip + skip] */
    put(p, f->bytes, f->n);
    put(p, "\x4c\x89\xf4\x48\x89\x07\x48\x83\xc7\x08", 10); /* mov rsp, r14; mov [rdi], rax; add rdi, 8 */
    p->n++;
}

/* Faults come on a stack of their own, and go on at R15. */
static void prepare_faults(Guest *g)
{
    static const uint8_t handler[] = { 0x4c, 0x89, 0x7c, 0x24, 0x08, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf }; /* mov [rsp+8], r15; add rsp, 8; iretq */
    memcpy(g->ram + RESUME_AT, handler, sizeof(handler));
    memcpy(g->ram + TSS_IST1, &(uint64_t){ FAULT_STACK }, 8);
    static const unsigned vectors[] = { EXC_SS, EXC_GP, EXC_PF };
    for (unsigned n = 0; n < G_N_ELEMENTS(vectors); n++) {
        uint64_t gate = RESUME_AT | 8 << 16 | 0x8e01ull << 32;
        memcpy(g->ram + GUEST_IDT + vectors[n] * 16, &gate, 8);
    }
}

/* ---- addresses */
static bool is_canonical(uint64_t a) { return (uint64_t)((int64_t)(a << 16) >> 16) == a; }
static bool in_pattern(uint64_t a) { return a >= PATTERN_AT && a < PATTERN_AT + PATTERN_BYTES - 8; }
static uint64_t pattern(uint64_t a) { return a * 0x9e3779b97f4a7c15ull; }

static void add(GArray *list, uint64_t a)
{
    bool ours = a < GUEST_RAM || a + 16 < 16;
    if (!ours || in_pattern(a & ~7ull))
        g_array_append_val(list, a);
}

static GArray *addresses(uint64_t canary, uint64_t ram)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    static const uint64_t near[] = { 0, 1, 4, 0xff8, 0xffc };
    const uint64_t v = PATTERN_AT + 0x3000;
    add(list, v);
    for (unsigned n = 0; n < G_N_ELEMENTS(near); n++) {
        const uint64_t off = near[n];
        for (unsigned bit = 0; bit < 64; bit++) {
            const uint64_t one = 1ull << bit;
            const uint64_t tried[] = { one, ~one + 1, v ^ one, v + one, v - one, canary ^ one, canary - ram + (v ^ one) };
            for (unsigned k = 0; k < G_N_ELEMENTS(tried); k++)
                add(list, tried[k] + off);
        }
        for (int64_t kinds = -6; kinds <= 6; kinds++)
            for (uint64_t copy = 0; copy < 72; copy += 1 + copy / 8) {
                const uint64_t moved = v + (uint64_t)kinds * FLAT_KIND_SLOTS * 4096 + copy * RESERVE_STEP;
                add(list, moved + off);
                add(list, canary - ram + moved + off);
            }
    }
    return list;
}

/* ---- what must come of it */
static uint64_t expected(const Form *f, uint64_t a, const uint8_t *ram)
{
    if (!f->size || !is_canonical(a) || !is_canonical(a + f->size - 1) || a >= MAPPED)
        return f->size == 4 ? 0 : MARK;
    uint64_t value = ~0ull;
    if (a < GUEST_RAM)
        memcpy(&value, ram + a, 8);
    return f->size == 4 ? (uint32_t)value : value;
}

static void check(const Guest *g, const Form *f, const GArray *list)
{
    for (unsigned n = 0; n < list->len; n++) {
        uint64_t a = g_array_index(list, uint64_t, n), got;
        memcpy(&got, g->ram + RESULTS_AT + n * 8, 8);
        if (got != expected(f, a, g->ram))
            g_error("%s at %#" G_GINT64_MODIFIER "x: %#" G_GINT64_MODIFIER "x instead of %#" G_GINT64_MODIFIER "x", f->name, a, got,
                    expected(f, a, g->ram));
    }
}

static void run_form(Guest *g, const Form *f, const GArray *list)
{
    Program p = { .g = g, .at = CODE_FROM };
    const uint64_t warm = g_array_index(list, uint64_t, 0) + 0x900;
    memset(g->ram + CODE_FROM, 0, CODE_END - CODE_FROM);
    put(&p, "\x48\xbb", 2), put(&p, &warm, 8), put(&p, "\x48\x89\x03", 3); /* a page that is known for writing too */
    for (unsigned n = 0; n < list->len; n++)
        put_access(&p, f, g_array_index(list, uint64_t, n));
    put(&p, "\xf4", 1);
    g_assert_cmpuint(p.at, <, CODE_END);
    for (uint64_t a = PATTERN_AT; a < PATTERN_AT + PATTERN_BYTES; a += 8)
        memcpy(g->ram + a, &(uint64_t){ pattern(a) }, 8);
    g->m->accel->ops->code_changed(g->m->accel, CODE_FROM, CODE_END - CODE_FROM);
    CpuState s = guest_state(g);
    s.rip = CODE_FROM;
    s.gpr[GPR_RSP] = s.gpr[GPR_R14] = GUEST_STACK;
    s.gpr[GPR_RDI] = RESULTS_AT;
    guest_set(g, 0, &s);
    guest_run(g);
    g_assert_cmpint(guest_vector(g), ==, -1);
    g_assert_cmphex(guest_vcpu(g, 0)->s.rip, ==, p.at);
    check(g, f, list);
}

static void test_addresses(const void *options)
{
    g_setenv("ATOLL_TEST_ACCEL_OPTIONS", options, TRUE);
    Guest g = guest_create(1, CODE64);
    DbtVcpu *v = (DbtVcpu *)guest_vcpu(&g, 0);
    DbtRegion *region = ((DbtShared *)((InterpAccel *)g.m->accel)->translator)->region;
    g_assert_true(!region == !v->flat);
    uint64_t ram = (uintptr_t)(region ? dbt_region_window(v, region, g.m->ram) : g.ram);
    uint64_t *canary = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned n = 0; n < 1024; n++)
        canary[n] = CANARY;
    prepare_faults(&g);
    g_autoptr(GArray) list = addresses((uintptr_t)canary, ram);
    for (unsigned n = 0; n < G_N_ELEMENTS(forms); n++)
        run_form(&g, &forms[n], list);
    for (unsigned n = 0; n < 1024; n++)
        g_assert_cmphex(canary[n], ==, CANARY);
    g_test_message("%u addresses, %" G_GUINT64_FORMAT " host faults", list->len, v->stats.faults);
    munmap(canary, 8192);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    g_setenv("ATOLL_TEST_ACCEL", "dbt", TRUE);
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/dbt/memory/tag", "tlb=tag", test_addresses);
    g_test_add_data_func("/dbt/memory/auto", "tlb=auto", test_addresses);
    return g_test_run();
}
