/*
 * dbt_hostile_test.c - a guest that computes wild addresses, by every addressing form, gets from the translator what it gets from the
 * interpreter: its fault, or its own memory.  Nothing of this process is ever read or written.
 *
 * For each form a program goes through a list of addresses (in RDI).  What comes of each goes into a log: the vector of the fault or
 * 0, CR2, RAX and RBX.  The logs of both must be alike.
 */
#include <sys/mman.h>

#include "accel/dbt/test_program.h"

enum {
    LIST = 0x300000, LOG = 0x400000, DATA = 0x20000, COMMON = 0x6400, ON_FAULT = 0xe000 /* the stack of handlers */, MOST = 12000,
    LOG_BYTES = 32, INT3 = 0xcc, CANARIES = 64,
};
#define CANARY 0x05ca1ab1e0ddba11ull

#define FORM(name, text)                                                                                                                      \
    PROGRAM(name, ".code64",                                                                                                                  \
            "mov $0x300000, %r14d\n mov $0x400000, %r15d\n lea 2f(%rip), %r13\n"                                                              \
            "1: mov (%r14), %rdi\n mov $0xf000, %esp\n xor %eax, %eax\n xor %ebx, %ebx\n xor %edx, %edx\n xor %ebp, %ebp\n mov $1, %ecx\n"    \
            "mov $0x20800, %esi\n cld\n" text "\n movq $0, (%r15)\n movq $0, 8(%r15)\n"                                                         \
            "2: mov %rax, 16(%r15)\n mov %rbx, 24(%r15)\n add $32, %r15\n add $8, %r14\n dec %r12d\n jnz 1b")

FORM(base, "mov (%rdi), %rax");
FORM(base_byte, "movzbl (%rdi), %eax");
FORM(base_disp8, "sub $0x7f, %rdi\n mov 0x7f(%rdi), %rax");
FORM(base_negative, "add $0x80, %rdi\n mov -0x80(%rdi), %rax");
FORM(base_disp32, "sub $0x7fffffff, %rdi\n mov 0x7fffffff(%rdi), %rax");
FORM(base_index, "mov %rdi, %rdx\n mov %rdi, %rbx\n shl $1, %rbx\n sub %rdi, %rbx\n neg %rdx\n add %rdi, %rdx\n mov (%rbx,%rdx), %rax\n xor %ebx, %ebx");
FORM(index2, "mov %rdi, %rdx\n shr $1, %rdx\n mov (,%rdx,2), %rax");
FORM(index4, "mov %rdi, %rdx\n shr $2, %rdx\n mov (,%rdx,4), %rax");
FORM(index8, "mov %rdi, %rdx\n shr $3, %rdx\n mov (%rbp,%rdx,8), %rax");
FORM(index8_disp, "mov %rdi, %rdx\n shr $3, %rdx\n mov -0x80000000(,%rdx,8), %rax");
FORM(slots, "mov %rdi, %r11\n xor %r10d, %r10d\n mov (%r11,%r10,4), %rax");
FORM(slot_index, "mov %rdi, %r10\n mov (%rbp,%r10), %rax");
FORM(by_rbp, "mov %rdi, %rbp\n mov 0(%rbp), %rax");
FORM(by_rsp, "mov %rdi, %rsp\n mov (%rsp), %rax");
FORM(by_r13_kin, "mov %rdi, %r9\n mov 8(%r9), %rax");
FORM(address32, "mov (%edi), %rax");
FORM(fs_base, "wrfsbase %rdi\n mov %fs:0, %rax");
FORM(gs_base, "wrgsbase %rdi\n mov %gs:0, %rax");
FORM(gs_half, "mov %rdi, %rdx\n shr $1, %rdx\n wrgsbase %rdx\n mov %gs:(%rdx), %rax");
FORM(fs_both, "mov $0x20000, %edx\n wrfsbase %rdx\n sub %rdx, %rdi\n mov %fs:(%rdi), %rax");
FORM(store, "mov %rdx, (%rdi)");
FORM(store_byte, "mov %dl, (%rdi)");
FORM(store_imm, "movq $0x11, (%rdi)");
FORM(store_slot, "mov %rdi, %r10\n mov $0x77, %r11d\n mov %r11, (%r10)");
FORM(modify, "addq $1, (%rdi)");
FORM(locked, "lock xadd %rbx, (%rdi)");
FORM(exchange, "xchg %rbx, (%rdi)");
FORM(compare16, "cmpxchg16b (%rdi)");
FORM(compare8, "lock cmpxchg8b (%rdi)");
FORM(bit_far, "mov %rdi, %rdx\n shl $3, %rdx\n bt %rdx, 0x0(%rbp)\n setc %al");
FORM(bit_set, "bts %rcx, (%rdi)");
FORM(push, "mov %rdi, %rsp\n push %rax");
FORM(push_mem, "push (%rdi)\n pop %rax");
FORM(pop, "mov %rdi, %rsp\n pop %rax");
FORM(pop_mem, "push $5\n pop (%rdi)");
FORM(pushf_there, "mov %rdi, %rsp\n pushf");
FORM(call_stack, "mov %rdi, %rsp\n call 5f\n 5:");
FORM(enter_there, "mov %rdi, %rsp\n enter $16, $0");
FORM(enter_nested, "mov %rdi, %rbp\n enter $16, $3");
FORM(leave_there, "mov %rdi, %rbp\n leave\n xor %ebp, %ebp");
FORM(ret_stack, "mov %rdi, %rsp\n ret");
FORM(iret_stack, "mov %rdi, %rsp\n iretq");
FORM(jump, "jmp *%rdi");
FORM(jump_mem, "jmp *(%rdi)");
FORM(call_reg, "call *%rdi");
FORM(call_mem, "call *(%rdi)");
FORM(return_there, "push %rdi\n ret");
FORM(lods, "mov %rdi, %rsi\n lodsq");
FORM(stos, "stosq");
FORM(movs_from, "mov %rdi, %rsi\n mov $0x20800, %edi\n movsq");
FORM(rep_movs_to, "mov $600, %ecx\n rep movsb");
FORM(rep_movs_from, "mov %rdi, %rsi\n mov $0x20800, %edi\n mov $80, %ecx\n rep movsq");
FORM(rep_stos, "mov $600, %ecx\n rep stosb\n");
FORM(rep_stos_down, "std\n mov $100, %ecx\n rep stosq");
FORM(rep_scas, "mov $300, %ecx\n mov $1, %al\n repne scasb");
FORM(rep_cmps, "mov $300, %ecx\n repe cmpsb");
FORM(translate_byte, "mov %rdi, %rbx\n xlat\n xor %ebx, %ebx");
FORM(vector16, "movups (%rdi), %xmm0\n movq %xmm0, %rax");
FORM(vector16_aligned, "movaps (%rdi), %xmm0\n movq %xmm0, %rax");
FORM(vector32, "vmovups (%rdi), %ymm0\n vmovq %xmm0, %rax");
FORM(vector_store, "pxor %xmm0, %xmm0\n movups %xmm0, (%rdi)");
FORM(vector_store32, "vxorps %ymm0, %ymm0, %ymm0\n vmovups %ymm0, (%rdi)");
FORM(vector_scalar, "movsd (%rdi), %xmm0\n movq %xmm0, %rax");
FORM(mask_store, "pxor %xmm0, %xmm0\n pcmpeqd %xmm1, %xmm1\n maskmovdqu %xmm1, %xmm0");
FORM(gathers, "vpcmpeqd %xmm2, %xmm2, %xmm2\n vpxor %xmm1, %xmm1, %xmm1\n vmovq %rdi, %xmm3\n vpgatherqq %xmm2, (%rbp,%xmm3,1), %xmm1\n vmovq %xmm1, %rax");
FORM(x87_load, "fninit\n fldl (%rdi)\n fstpl 0x20800\n mov 0x20800, %rax");
FORM(x87_store, "fninit\n fldz\n fstpt (%rdi)");
FORM(x87_environment, "fnstenv (%rdi)");
FORM(save_all, "fxsave64 (%rdi)");
FORM(restore_all, "fxsave64 0x20400\n fxrstor64 (%rdi)");
FORM(prefetches, "prefetcht0 (%rdi)\n clflush (%rdi)");
FORM(tables, "sgdt (%rdi)");

static const struct { const char *name; Program p; } forms[] = {
#define ROW(name) { #name, P(name) }
    ROW(base), ROW(base_byte), ROW(base_disp8), ROW(base_negative), ROW(base_disp32), ROW(base_index), ROW(index2), ROW(index4), ROW(index8),
    ROW(index8_disp), ROW(slots), ROW(slot_index), ROW(by_rbp), ROW(by_rsp), ROW(by_r13_kin), ROW(address32), ROW(fs_base), ROW(gs_base),
    ROW(gs_half), ROW(fs_both), ROW(store), ROW(store_byte), ROW(store_imm), ROW(store_slot), ROW(modify), ROW(locked), ROW(exchange),
    ROW(compare16), ROW(compare8), ROW(bit_far), ROW(bit_set), ROW(push), ROW(push_mem), ROW(pop), ROW(pop_mem), ROW(pushf_there),
    ROW(call_stack), ROW(enter_there), ROW(enter_nested), ROW(leave_there), ROW(ret_stack), ROW(iret_stack), ROW(jump), ROW(jump_mem),
    ROW(call_reg), ROW(call_mem), ROW(return_there), ROW(lods), ROW(stos), ROW(movs_from), ROW(rep_movs_to), ROW(rep_movs_from), ROW(rep_stos),
    ROW(rep_stos_down), ROW(rep_scas), ROW(rep_cmps), ROW(translate_byte), ROW(vector16), ROW(vector16_aligned), ROW(vector32),
    ROW(vector_store), ROW(vector_store32), ROW(vector_scalar), ROW(mask_store), ROW(gathers), ROW(x87_load), ROW(x87_store),
    ROW(x87_environment), ROW(save_all), ROW(restore_all), ROW(prefetches), ROW(tables),
};

/* ---- addresses */
typedef struct Addresses {
    unsigned n;
    uint64_t at[MOST];
} Addresses;

static void add(Addresses *a, uint64_t at)
{
    bool guests_own = at < 1 << 30 && (at < DATA || at >= DATA + 0x800);
    if (a->n < MOST && !guests_own) /* a store there would change the program itself */
        a->at[a->n++] = at;
}

/* A place of this process: its address, and what leads there by a table's addend or GS if a check is missing. */
static void add_place(Addresses *a, const void *place, const Guest *g)
{
    uint64_t at = (uintptr_t)place, ram = (uintptr_t)g->ram, vcpu = (uintptr_t)guest_vcpu(g, 0);
    const uint64_t from[] = { 0, ram, ram + DATA, vcpu, vcpu + DBT_CONTEXT_OFF };
    for (unsigned n = 0; n < G_N_ELEMENTS(from); n++) {
        add(a, at - from[n]);
        add(a, at - from[n] + 0x123);
        add(a, DATA + at - from[n]);
        add(a, ((at - from[n]) & ~0xfffull) + 0xffc); /* crosses */
    }
}

/* Everything that only the upper bits tell from a page that is mapped: one bit, all above one, and random ones. */
static void add_patterns(Addresses *a, GRand *rand)
{
    static const uint64_t low[] = { DATA, DATA + 0x7f0, 0x3ffffffc, 0xfff, 0 };
    for (unsigned n = 0; n < G_N_ELEMENTS(low); n++)
        for (unsigned bit = 30; bit < 64; bit++) {
            add(a, low[n] | 1ull << bit);
            add(a, low[n] | ~0ull << bit);
            add(a, low[n] | (~0ull << bit & 0x7fffffffffff));
            add(a, (low[n] | 1ull << bit) - 1);
        }
    for (unsigned n = 0; n < 2000; n++) {
        uint64_t upper = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
        add(a, DATA + (n & 0x7f8) + (upper & ~0ull << (30 + n % 18)));
        add(a, upper);
    }
    static const uint64_t edges[] = { 0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xffff7fffffffffff, ~0ull, ~0ull - 15, 0x100000000, 0xffffffff };
    for (unsigned n = 0; n < G_N_ELEMENTS(edges); n++)
        for (int by = -33; by <= 8; by++)
            add(a, edges[n] + by);
}

/* ---- this process's own memory, marked all over */
typedef struct Canaries {
    uint64_t *page[CANARIES], *heap[CANARIES];
} Canaries;

static void mark(uint64_t *p)
{
    for (unsigned n = 0; n < 512; n++)
        p[n] = CANARY;
}
static void check(const uint64_t *p)
{
    for (unsigned n = 0; n < 512; n++)
        g_assert_cmphex(p[n], ==, CANARY);
}

static void canaries_make(Canaries *c, GRand *rand)
{
    for (unsigned n = 0; n < CANARIES; n++) {
        void *hint = (void *)(((uint64_t)g_rand_int(rand) << 15 & 0x7fffffffffff) & ~0xfffull);
        c->page[n] = mmap(hint, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(c->page[n] != MAP_FAILED);
        c->heap[n] = g_new(uint64_t, 512);
        mark(c->page[n]);
        mark(c->heap[n]);
    }
}

static void canaries_check(const Canaries *c)
{
    for (unsigned n = 0; n < CANARIES; n++) {
        check(c->page[n]);
        check(c->heap[n]);
    }
}

static void canaries_free(Canaries *c)
{
    for (unsigned n = 0; n < CANARIES; n++) {
        munmap(c->page[n], 4096);
        g_free(c->heap[n]);
    }
}

/* ---- one side */
PROGRAM(common, ".code64", "mov %cr2, %r8\n mov %r8, 8(%r15)\n mov $0xf000, %esp\n jmp *%r13");

static Guest open_side(const char *accel)
{
    g_autofree char *options = g_strdup(g_getenv("ATOLL_TEST_ACCEL_OPTIONS"));
    bool theirs = options && g_str_equal(accel, "interp"); /* which has none */
    g_setenv("ATOLL_TEST_ACCEL", accel, true);
    if (theirs)
        g_unsetenv("ATOLL_TEST_ACCEL_OPTIONS");
    Guest g = guest_create(1, CODE64);
    if (theirs)
        g_setenv("ATOLL_TEST_ACCEL_OPTIONS", options, true);
    put64(&g, 0x7800 + 0x24, ON_FAULT);
    for (unsigned vector = 0; vector < 32; vector++) {
        uint32_t at = GUEST_HANDLERS + 16 * vector, jump = COMMON - (at + 12);
        uint8_t stub[] = { 0x49, 0xc7, 0x07, (uint8_t)vector, 0, 0, 0, 0xe9 }; /* movq $vector, (%r15); jmp */
        memcpy(g.ram + at, stub, sizeof(stub));
        memcpy(g.ram + at + sizeof(stub), &jump, 4);
        g.ram[GUEST_IDT + 16 * vector + 4] = 1;
    }
    load_at(&g, COMMON, common, common_end);
    return g;
}

static void run_form(const Guest *g, const char *accel, Program p, const Addresses *a)
{
    g_setenv("ATOLL_TEST_ACCEL", accel, true); /* guest_set() asks */
    g_autofree uint8_t *data = g_malloc(0x1000);
    memset(data, INT3, 0x1000);
    g_assert_true(dma_write(g->m, DATA, data, 0x1000));
    g_assert_true(dma_write(g->m, LIST, a->at, a->n * 8));
    load(g, p.start, p.end);
    CpuState s = state_with_sse(g);
    s.cr4 |= CR4_OSXSAVE | CR4_FSGSBASE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    s.gpr[GPR_R12] = a->n;
    run_state(g, &s);
    g_assert_cmphex(guest_vcpu(g, 0)->s.rip, ==, GUEST_CODE + (p.end - p.start));
}

/* How often each vector came; 0: no fault. */
typedef unsigned Tally[32];

static void compare_logs(const char *form, const Guest *dbt, const Guest *interp, const Addresses *a, Tally tally)
{
    static const char *const field[] = { "vector", "CR2", "RAX", "RBX" };
    for (unsigned n = 0; n < a->n; n++) {
        tally[ram64(dbt, LOG + LOG_BYTES * n) % 32]++;
        for (unsigned k = 0; k < G_N_ELEMENTS(field); k++) {
            uint64_t got = ram64(dbt, LOG + LOG_BYTES * n + 8 * k), want = ram64(interp, LOG + LOG_BYTES * n + 8 * k);
            if (got == CANARY || got != want)
                g_error("%s at %#" G_GINT64_MODIFIER "x: %s is %#" G_GINT64_MODIFIER "x and not %#" G_GINT64_MODIFIER "x", form, a->at[n],
                        field[k], got, want);
        }
    }
}

static void test_wild_addresses(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());
    g_autofree Addresses *a = g_new0(Addresses, 1);
    g_autofree Canaries *c = g_new0(Canaries, 1);
    Guest interp = open_side("interp"), dbt = open_side("dbt");
    canaries_make(c, rand); /* wherever there is room beside what they reserve */
    volatile uint64_t on_stack = CANARY;
    Tally tally = { 0 };
    for (unsigned n = 0; n < CANARIES; n++) {
        add_place(a, c->page[n], &dbt);
        add_place(a, c->heap[n], &dbt);
    }
    const void *const places[] = { (void *)&on_stack, dbt.ram, guest_vcpu(&dbt, 0), dbt.m, (void *)(uintptr_t)test_wild_addresses, (void *)(uintptr_t)&memcpy };
    for (unsigned n = 0; n < G_N_ELEMENTS(places); n++)
        add_place(a, places[n], &dbt);
    add_patterns(a, rand);
    for (unsigned n = 0; n < G_N_ELEMENTS(forms); n++) {
        g_test_message("%s", forms[n].name);
        run_form(&interp, "interp", forms[n].p, a);
        run_form(&dbt, "dbt", forms[n].p, a);
        compare_logs(forms[n].name, &dbt, &interp, a, tally);
    }
    canaries_check(c);
    g_assert_cmphex(on_stack, ==, CANARY);
    g_test_message("%u addresses by %u forms: %u accesses went well, %u #PF, %u #GP, %u #SS, %u others", a->n, (unsigned)G_N_ELEMENTS(forms),
                   tally[0], tally[EXC_PF], tally[EXC_GP], tally[EXC_SS], tally[EXC_BP] + tally[EXC_UD] + tally[EXC_AC]);
    g_assert_cmpuint(tally[EXC_PF], >, 100000);
    g_assert_cmpuint(tally[EXC_GP], >, 50000);
    g_assert_cmpuint(tally[0], >, 1000);
    guest_destroy(&interp);
    guest_destroy(&dbt);
    canaries_free(c);
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = { { "/dbt/hostile/wild-addresses", test_wild_addresses } };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
