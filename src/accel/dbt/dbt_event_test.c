/*
 * dbt_event_test.c - what comes between instructions while whole blocks run: interrupts and their shadows, debug traps, device
 * accesses among code that uses the FPU, faults in the middle of REP.
 */
#include "accel/dbt/test_program.h"

/* ---- a local APIC whose page is our device: a read asks for an interrupt and spoils the host's vector registers */
enum { VECTOR = 31, HANDLER = 0x9000, LOG = 0x30000, APIC_PAGE = 0x40000000 /* linear; 1 GiB page to 0xc0000000 */ };
#define APIC_AT 0x7ee00000ull /* APIC_PAGE + .. is linear of gpa fee00000 */

typedef struct FakeApic {
    Vcpu *v;
    unsigned taken;
    bool interrupts;
} FakeApic;

static int apic_take(void *opaque)
{
    FakeApic *a = opaque;
    vcpu_unrequest(a->v, VREQ_INTR);
    a->taken++;
    return VECTOR;
}
static uint8_t apic_get_tpr(void *opaque) { return 0; }
static uint64_t apic_get_base(void *opaque) { return 0xfee00900; }
static void apic_reset(void *opaque, bool init) { }
static uint64_t apic_read(void *opaque, uint64_t off, unsigned size)
{
    FakeApic *a = opaque;
    __asm__ volatile("vxorps %%ymm0, %%ymm0, %%ymm0\n vcmptrueps %%ymm0, %%ymm0, %%ymm1\n vmovaps %%ymm1, %%ymm2\n"
                     "vmovaps %%ymm1, %%ymm8\n vmovaps %%ymm1, %%ymm15\n fldpi\n fldpi\n fmulp\n fstp %%st(0)\n vzeroupper"
                     : : : "xmm0", "xmm1", "xmm2", "xmm8", "xmm15");
    if (a->interrupts)
        vcpu_request(a->v, VREQ_INTR);
    return 0x10; /* the data segment's selector */
}
static const LocalApicOps apic_ops = {
    .take = apic_take, .get_tpr = apic_get_tpr, .get_base = apic_get_base, .cpu_reset = apic_reset, .mmio_read = apic_read,
};

static void connect(const Guest *g, FakeApic *a, bool interrupts)
{
    *a = (FakeApic){ .v = machine_vcpu(g->m, 0), .interrupts = interrupts };
    a->v->apic = a;
    a->v->apic_ops = &apic_ops;
    put64(g, GUEST_TABLES + 0x1000 + 8, 0xc0000087);
}

/* Logs where it interrupted. */
PROGRAM(log_handler, ".code64", "push %rax\n mov 8(%rsp), %rax\n mov %rax, (%r15)\n add $8, %r15\n pop %rax\n iretq");

/* ---- shadows.  RSI: the device.  Each program loops 50 times and leaves in RDI where each interrupt must come. */
#define SHADOW(name, body) \
    PROGRAM(name, ".code64", "lea 9f(%rip), %rdi\n mov $50, %r14d\n 1: cli\n mov (%rsi), %ecx\n" body "\n dec %r14d\n jnz 1b")
SHADOW(sti_inc, "sti\n inc %eax\n 9: inc %ebx\n inc %eax");
SHADOW(sti_load, "sti\n mov 0x20000, %r11\n 9: inc %ebx");
SHADOW(sti_push, "sti\n push %rcx\n 9: pop %rcx");
SHADOW(sti_jump, "sti\n jmp 9f\n .skip 200, 0x90\n 9: inc %ebx");
SHADOW(sti_call, "sti\n call 9f\n 9: pop %rcx");
SHADOW(sti_fpu, "sti\n addps %xmm0, %xmm1\n 9: inc %ebx");
SHADOW(sti_interpreted, "xor %eax, %eax\n push %rsi\n sti\n cpuid\n 9: nop\n pop %rsi");
SHADOW(sti_sti, "sti\n sti\n 9: inc %ebx");
SHADOW(sti_ends_page, "sti\n jmp 9f\n .balign 4096\n 9: inc %ebx");
SHADOW(popf_none, "pushf\n orl $0x200, (%rsp)\n popf\n 9: inc %ebx");
SHADOW(iret_none, "mov %rsp, %rax\n push $0x10\n push %rax\n pushf\n orl $0x200, (%rsp)\n push $8\n lea 9f(%rip), %rax\n push %rax\n iretq\n 9: inc %ebx");
SHADOW(mov_ss, "mov (%rsi), %ss\n"); /* IF clear: never */
PROGRAM(mov_ss_enabled, ".code64", "lea 9f(%rip), %rdi\n mov $50, %r14d\n sti\n nop\n 1: mov (%rsi), %ss\n inc %eax\n 9: inc %ebx\n dec %r14d\n jnz 1b\n cli");
PROGRAM(device_read, ".code64", "lea 9f(%rip), %rdi\n mov $50, %r14d\n sti\n nop\n 1: mov (%rsi), %ecx\n 9: inc %ebx\n dec %r14d\n jnz 1b\n cli");
SHADOW(sti_cli, "sti\n cli\n inc %ebx");

static void test_shadows(void)
{
    static const struct { Program p; const char *name; unsigned count; } rows[] = {
        { P(sti_inc), "sti inc", 50 }, { P(sti_load), "sti mov", 50 }, { P(sti_push), "sti push", 50 }, { P(sti_jump), "sti jmp", 50 },
        { P(sti_call), "sti call", 50 }, { P(sti_fpu), "sti addps", 50 }, { P(sti_interpreted), "sti cpuid", 50 }, { P(sti_sti), "sti sti", 50 },
        { P(sti_ends_page), "sti at the end of a page", 50 }, { P(popf_none), "popf", 50 }, { P(iret_none), "iret", 50 },
        { P(mov_ss), "mov ss, disabled", 0 }, { P(mov_ss_enabled), "mov ss", 50 }, { P(device_read), "device", 50 },
        { P(sti_cli), "sti cli", 0 },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(1, CODE64);
        FakeApic apic;
        connect(&g, &apic, true);
        g_test_message("%s", rows[n].name);
        load(&g, rows[n].p.start, rows[n].p.end);
        load_at(&g, HANDLER + 0x2000, log_handler, log_handler_end);
        set_handler(&g, VECTOR, HANDLER + 0x2000);
        CpuState s = state_with_sse(&g);
        s.gpr[GPR_RSI] = APIC_AT;
        s.gpr[GPR_R15] = LOG;
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmpuint((gpr(&g, GPR_R15) - LOG) / 8, ==, rows[n].count);
        for (unsigned k = 0; k < rows[n].count && (rows[n].p.start != device_read || test_accel() == &accel_dbt); k++)
            g_assert_cmphex(ram64(&g, LOG + 8 * k), ==, gpr(&g, GPR_RDI)); /* the interpreter looks between its blocks */
        guest_destroy(&g);
    }
}

/* ---- the FPU among device accesses, CPUID and jumps that find nothing */
PROGRAM(fpu_mixed, ".code64",
        "movl $1, 0x20000\n vxorps %ymm0, %ymm0, %ymm0\n vcvtsi2sdl 0x20000, %xmm1, %xmm1\n vmovddup %xmm1, %xmm1\n"
        "vinsertf128 $1, %xmm1, %ymm1, %ymm1\n vmovaps %ymm0, %ymm8\n vmovaps %ymm0, %ymm15\n fldz\n fld1\n mov $200, %r14d\n"
        "1: vaddpd %ymm1, %ymm0, %ymm0\n mov (%rsi), %ecx\n vaddpd %ymm1, %ymm8, %ymm8\n xor %eax, %eax\n cpuid\n"
        "vaddpd %ymm1, %ymm15, %ymm15\n mov (%rsi), %ecx\n fadd %st, %st(1)\n lea 2f(%rip), %rax\n jmp *%rax\n 2: dec %r14d\n jnz 1b\n"
        "vmovups %ymm0, 0x20020\n vmovups %ymm8, 0x20040\n vmovups %ymm15, 0x20060\n fstp %st(0)\n fstpl 0x20080");

static void test_fpu_among_devices(void)
{
    Guest g = guest_create(1, CODE64);
    FakeApic apic;
    connect(&g, &apic, false);
    load(&g, fpu_mixed, fpu_mixed_end);
    CpuState s = state_with_sse(&g);
    s.cr4 |= CR4_OSXSAVE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    s.gpr[GPR_RSI] = APIC_AT;
    run_state(&g, &s);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    for (unsigned n = 0; n < 13; n++) {
        double value;
        memcpy(&value, g.ram + 0x20020 + 8 * n, 8);
        g_assert_cmpfloat(value, ==, 200);
    }
    guest_destroy(&g);
}

/* ---- debug traps: code that ran often without them */
PROGRAM(trap_flag, ".code64", /* 30 rounds without TF, then one with it: a trap after each instruction but the POPF */
        "mov $31, %r14d\n 1: pushf\n cmp $1, %r14d\n jne 2f\n orl $0x100, (%rsp)\n 2: popf\n"
        "inc %eax\n mov 0x20000, %rcx\n push %rcx\n pop %rcx\n pushf\n andl $~0x100, (%rsp)\n popf\n nop\n dec %r14d\n jnz 1b");
PROGRAM(watched, ".code64", /* DR0 watches 8 bytes for writes in round 20 to 29 */
        "lea 9f(%rip), %rdi\n mov $0x20100, %eax\n mov %rax, %dr0\n mov $60, %r14d\n xor %ecx, %ecx\n 1: cmp $30, %r14d\n jne 2f\n mov $0x90002, %eax\n"
        "mov %rax, %dr7\n 2: cmp $20, %r14d\n jne 3f\n xor %eax, %eax\n mov %rax, %dr7\n 3: mov %rcx, 0x20100\n 9: inc %ecx\n"
        "mov 0x20100, %rdx\n dec %r14d\n jnz 1b");
PROGRAM(code_point, ".code64",
        "lea 9f(%rip), %rdi\n mov %rdi, %dr0\n mov $60, %r14d\n 1: cmp $30, %r14d\n jne 2f\n mov $2, %eax\n"
        "mov %rax, %dr7\n 2: cmp $20, %r14d\n jne 3f\n xor %eax, %eax\n mov %rax, %dr7\n 3: inc %ecx\n 9: inc %ecx\n dec %r14d\n jnz 1b");
/* Logs, and sets RF so that a code breakpoint lets its instruction run. */
PROGRAM(debug_handler, ".code64", "push %rax\n mov 8(%rsp), %rax\n mov %rax, (%r15)\n add $8, %r15\n orl $0x10000, 0x18(%rsp)\n pop %rax\n iretq");

static void test_debug_traps(void)
{
    static const struct { Program p; unsigned count; } rows[] = { { P(trap_flag), 8 - 1 }, { P(watched), 10 }, { P(code_point), 10 } };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(1, CODE64);
        g_test_message("row %u", n);
        load(&g, rows[n].p.start, rows[n].p.end);
        load_at(&g, HANDLER, debug_handler, debug_handler_end);
        set_handler(&g, EXC_DB, HANDLER);
        CpuState s = state_with_sse(&g);
        s.gpr[GPR_R15] = LOG;
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmpuint((gpr(&g, GPR_R15) - LOG) / 8, ==, rows[n].count);
        for (unsigned k = 0; k < rows[n].count; k++)
            if (n)
                g_assert_cmphex(ram64(&g, LOG + 8 * k), ==, gpr(&g, GPR_RDI));
            else if (k)
                g_assert_cmpuint(ram64(&g, LOG + 8 * k), >, ram64(&g, LOG + 8 * k - 8));
        guest_destroy(&g);
    }
}

/* ---- SYSRET brings TF and AC: RBX has the flags of the last of 40 rounds */
PROGRAM(sysret_flags, ".code64",
        "lea 3f(%rip), %eax\n xor %edx, %edx\n mov $0xc0000082, %ecx\n wrmsr\n mov $40, %r14d\n 1: mov $2, %r11d\n cmp $1, %r14d\n jne 2f\n mov %rbx, %r11\n"
        "2: lea 9f(%rip), %rcx\n sysretq\n 3: dec %r14d\n jnz 1b\n hlt\n 9: mov 0x20001, %eax\n nop\n syscall");
enum { USER_LOAD_BYTES = 7, USER_BYTES = USER_LOAD_BYTES + 1 + 2 + 1, TSS_RSP0 = 0x7804 };

static void test_sysret_flags(void)
{
    static const struct { uint64_t flags; int vector; unsigned slot, done; /* bytes of user code */ } rows[] = {
        { RFLAGS_ONE, -1, 0, 0 },
        { RFLAGS_ONE | RFLAGS_TF, EXC_DB, 0, USER_LOAD_BYTES }, /* behind one instruction */
        { RFLAGS_ONE | RFLAGS_AC, EXC_AC, 1, 0 },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(1, CODE64);
        g_test_message("row %u", n);
        load(&g, sysret_flags, sysret_flags_end);
        put64(&g, TSS_RSP0, GUEST_STACK);
        CpuState s = state_with_sse(&g);
        s.efer |= EFER_SCE;
        s.star = 0x18ull << 48 | 8ull << 32;
        s.cr0 |= CR0_AM;
        s.gpr[GPR_RBX] = rows[n].flags;
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, rows[n].vector);
        g_assert_cmpuint(gpr(&g, GPR_R14), ==, rows[n].vector >= 0);
        if (rows[n].vector >= 0)
            g_assert_cmphex(stack(&g, rows[n].slot), ==, GUEST_CODE + (sysret_flags_end - sysret_flags) - USER_BYTES + rows[n].done);
        guest_destroy(&g);
    }
}

/* ---- REP that faults in the middle: 0xa00000 to 0xc00000 is mapped and nothing around it */
#define REP(name, text) PROGRAM(name, ".code64", "inc %rax\n" text)
REP(rep_stosb, "rep stosb");
REP(rep_stosq, "rep stosq");
REP(rep_movsb_to, "rep movsb");
REP(rep_movsl_to, "rep movsl");
REP(rep_movsb_from, "xchg %rsi, %rdi\n rep movsb");
REP(rep_lodsb, "xchg %rsi, %rdi\n rep lodsb");
REP(rep_scasb, "mov $0xff, %al\n repne scasb");
REP(rep_cmpsb, "repe cmpsb");
REP(rep_down, "std\n lea (%rdi), %rdi\n rep stosb");

typedef struct RepRow {
    Program p;
    unsigned at;       /* offset of the instruction that repeats */
    int64_t from;      /* where RDI begins */
    unsigned done;     /* elements before the fault */
    uint64_t fault, stops; /* CR2, pointer */
    unsigned pointer;  /* register that walks off */
} RepRow;
enum { LOW = 0xa00000, HIGH = 0xc00000, COUNT = 5000 };

static void test_rep_faults(void)
{
    static const RepRow rows[] = {
        { P(rep_stosb), 3, HIGH - 100, 100, HIGH, HIGH, GPR_RDI },
        { P(rep_stosb), 3, HIGH - 4196, 4196, HIGH, HIGH, GPR_RDI },
        { P(rep_stosq), 3, HIGH - 804, 100, HIGH, HIGH - 4, GPR_RDI },
        { P(rep_stosq), 3, HIGH - 800, 100, HIGH, HIGH, GPR_RDI },
        { P(rep_movsb_to), 3, HIGH - 77, 77, HIGH, HIGH, GPR_RDI },
        { P(rep_movsl_to), 3, HIGH - 402, 100, HIGH, HIGH - 2, GPR_RDI },
        { P(rep_movsb_from), 6, HIGH - 77, 77, HIGH, HIGH, GPR_RSI },
        { P(rep_lodsb), 6, HIGH - 77, 77, HIGH, HIGH, GPR_RSI },
        { P(rep_scasb), 5, HIGH - 77, 77, HIGH, HIGH, GPR_RDI },
        { P(rep_cmpsb), 3, HIGH - 77, 77, HIGH, HIGH, GPR_RDI },
        { P(rep_down), 7, LOW + 99, 100, LOW - 1, LOW - 1, GPR_RDI },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        const RepRow *r = &rows[n];
        Guest g = guest_create(1, CODE64);
        g_test_message("row %u", n);
        put64(&g, pde_at(LOW - 1), 0);
        put64(&g, pde_at(LOW), 0x200087);
        put64(&g, pde_at(HIGH), 0);
        load(&g, r->p.start, r->p.end);
        CpuState s = state_with_sse(&g);
        s.gpr[GPR_RDI] = r->from;
        s.gpr[GPR_RSI] = 0x100000;
        s.gpr[GPR_RCX] = COUNT;
        s.gpr[GPR_RAX] = 0x7676767676767675;
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, EXC_PF);
        g_assert_cmphex(guest_vcpu(&g, 0)->s.cr2, ==, r->fault);
        g_assert_cmpuint(gpr(&g, GPR_RCX), ==, COUNT - r->done);
        g_assert_cmphex(gpr(&g, r->pointer), ==, r->stops);
        g_assert_cmphex(stack(&g, 1), ==, GUEST_CODE + r->at);
        if (r->p.start == rep_stosq)
            g_assert_cmphex(g.ram[0x200000 + (HIGH - LOW) - 1], ==, (r->stops == HIGH ? 0x76 : 0));
        guest_destroy(&g);
    }
}

/* REP over all of a region while interrupts come: it goes on where it was. */
PROGRAM(rep_interrupted, ".code64",
        "sti\n mov $40, %r14d\n 1: mov $0x400000, %edi\n mov $0x400000, %ecx\n mov %r14d, %eax\n rep stosb\n mov $0x400000, %esi\n"
        "mov $0x800000, %edi\n mov $0x80000, %ecx\n rep movsq\n dec %r14d\n jnz 1b\n cli");
PROGRAM(count_handler, ".code64", "inc %r13\n iretq");

static void test_rep_interrupted(void)
{
    Guest g = guest_create(1, CODE64);
    FakeApic apic;
    connect(&g, &apic, true);
    load(&g, rep_interrupted, rep_interrupted_end);
    load_at(&g, HANDLER, count_handler, count_handler_end);
    set_handler(&g, VECTOR, HANDLER);
    CpuState s = state_with_sse(&g);
    guest_set(&g, 0, &s);
    machine_start(g.m);
    while (*(volatile uint8_t *)&guest_vcpu(&g, 0)->s.activity == CPU_RUNNING) {
        vcpu_request(apic.v, VREQ_INTR);
        g_usleep(50);
    }
    machine_stop(g.m);
    g_assert_cmpuint(gpr(&g, GPR_R13), ==, apic.taken);
    g_assert_cmpuint(apic.taken, >, 3);
    for (unsigned at = 0x400000; at < 0xc00000; at++)
        if (g.ram[at] != 1)
            g_error("byte %#x is %u", at, g.ram[at]);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/event/shadows", test_shadows }, { "/dbt/event/fpu-among-devices", test_fpu_among_devices },
        { "/dbt/event/debug-traps", test_debug_traps }, { "/dbt/event/sysret-flags", test_sysret_flags },
        { "/dbt/event/rep-faults", test_rep_faults },
        { "/dbt/event/rep-interrupted", test_rep_interrupted },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
