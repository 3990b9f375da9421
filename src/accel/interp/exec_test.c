/*
 * exec_test.c - small guest programs with known results: operands, stack, strings, changes of code, LOCK, faults.
 * The programs are assembled into this test's own data.
 */
#include "accel/interp/test_guest.h"

#define PROGRAM(name, mode, text)                                                                                      \
    asm(".pushsection .rodata\n.balign 16\n.local " #name "\n.local " #name "_end\n" #name ":\n" mode "\n" text        \
        "\nhlt\n" #name "_end:\n.code64\n.popsection\n");                                                              \
    extern const uint8_t name[], name##_end[]

static void load(const Guest *g, uint64_t at, const uint8_t *program, const uint8_t *end)
{
    g_assert_true(dma_write(g->m, at, program, end - program)); /* so that code decoded there before goes */
}
#define LOAD(g, at, name) load(g, at, name, name##_end)

static uint64_t gpr(const Guest *g, unsigned reg) { return guest_vcpu(g, 0)->s.gpr[reg]; }

/* Loads at GUEST_CODE, runs vCPU 0 to its HLT. */
#define RUN(g, name)                                                                                                   \
    do {                                                                                                               \
        LOAD(&(g), GUEST_CODE, name);                                                                                  \
        CpuState state_ = guest_state(&(g));                                                                           \
        guest_set(&(g), 0, &state_);                                                                                   \
        guest_run(&(g));                                                                                               \
    } while (0)

/* ---- operands */
PROGRAM(partial, ".code64",
        "movabs $0x1122334455667788, %rax\n mov %rax, %rbx\n mov %rax, %rcx\n mov %rax, %rdx\n"
        "mov $0x99, %al\n mov $0xaa, %bh\n mov $0xbbbb, %cx\n mov $0xcccccccc, %edx\n"
        "mov %rax, %rsi\n add $1, %esi\n mov $0xff, %r8d\n add $1, %r8b\n setc %r9b\n lea -1(%r8), %r10w\n"
        "movsbl %bh, %edi\n movzwl %cx, %r12d\n movslq %edx, %r13\n bswap %r14\n xchg %ah, %al");

static void test_partial_writes(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, partial);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, 0x1122334455669977);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 0x112233445566aa88);
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, 0x112233445566bbbb);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, 0xcccccccc);
    g_assert_cmphex(gpr(&g, GPR_RSI), ==, 0x5566779a);
    g_assert_cmphex(gpr(&g, GPR_R8), ==, 0);
    g_assert_cmphex(gpr(&g, GPR_R9), ==, 1);
    g_assert_cmphex(gpr(&g, GPR_R10), ==, 0xffff);
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, 0xffffffaa);
    g_assert_cmphex(gpr(&g, GPR_R12), ==, 0xbbbb);
    g_assert_cmphex(gpr(&g, GPR_R13), ==, 0xffffffffcccccccc);
    guest_destroy(&g);
}

PROGRAM(numbers, ".code64",
        "mov $1000000007, %eax\n mov $998244353, %ecx\n mul %rcx\n mov %rax, %rbx\n mov $12345, %ecx\n"
        "xor %edx, %edx\n"
        "div %rcx\n mov %rax, %r8\n mov %rdx, %r9\n mov $-7, %rax\n cqo\n mov $2, %ecx\n idiv %rcx\n"
        "mov %rax, %r10\n mov %rdx, %r11\n"
        "imul $-3, %r10, %r12\n mov $0x80, %al\n stc\n rcl $1, %al\n setc %r13b\n rcr $1, %al\n movzbl %al, %r14d\n"
        "mov $0x0f0f, %eax\n mov $0xffff, %edx\n shld $4, %edx, %eax\n mov %eax, %r15d\n mov $0x10, %eax\n"
        "bsf %eax, %esi\n tzcnt %eax, %edi");

static void test_numbers(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, numbers);
    uint64_t product = 1000000007ull * 998244353;
    g_assert_cmpuint(gpr(&g, GPR_RBX), ==, product);
    g_assert_cmpuint(gpr(&g, GPR_R8), ==, product / 12345);
    g_assert_cmpuint(gpr(&g, GPR_R9), ==, product % 12345);
    g_assert_cmpint((int64_t)gpr(&g, GPR_R10), ==, -3);
    g_assert_cmpint((int64_t)gpr(&g, GPR_R11), ==, -1);
    g_assert_cmpint((int64_t)gpr(&g, GPR_R12), ==, 9);
    g_assert_cmphex(gpr(&g, GPR_R13), ==, 1);
    g_assert_cmphex(gpr(&g, GPR_R14), ==, 0x80);
    g_assert_cmphex(gpr(&g, GPR_R15), ==, 0xf0f0);
    g_assert_cmphex(gpr(&g, GPR_RSI), ==, 4);
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, 4);
    guest_destroy(&g);
}

/* ---- stack, in all three sizes */
PROGRAM(stack16, ".code16",
        "mov $0x1234, %ax\n push %ax\n pushl $0x55667788\n pop %bx\n pop %cx\n pop %dx\n mov $7, %di\n pusha\n"
        "xor %di, %di\n popa\n"
        "mov $0x4000, %bp\n enter $16, $0\n mov %sp, %si\n leave\n call 1f\n hlt\n 1: pop %ax\n push %ax\n"
        "sub $1f - 2f, %ax\n 2: ret");
PROGRAM(stack32, ".code32",
        "mov $0x11223344, %eax\n push %eax\n pushw $0x5566\n pop %bx\n pop %ecx\n push %esp\n pop %edx\n"
        "mov $9, %edi\n pusha\n xor %edi, %edi\n popa\n"
        "push $0x77\n pop 4(%esp)\n mov $0x20000, %ebp\n enter $32, $2\n mov %ebp, %esi\n leave\n call 1f\n"
        "hlt\n 1: mov $5, %eax\n ret");
PROGRAM(stack64, ".code64",
        "movabs $0x1122334455667788, %rax\n push %rax\n push $-2\n pop %rbx\n pop %rcx\n push %rsp\n pop %rdx\n"
        "pushw $3\n pop %si\n"
        "call 1f\n hlt\n .space 64, 0x90\n 1: mov $5, %eax\n mov %rsp, %rdi\n ret $8");

static void test_stack(void)
{
    Guest g = guest_create(1, CODE16);
    RUN(g, stack16);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 0x7788);
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, 0x5566);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, 0x1234);
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, 7);
    g_assert_cmphex(gpr(&g, GPR_RSI), ==, GUEST_STACK - 18);
    g_assert_cmphex(gpr(&g, GPR_RBP), ==, 0x4000);
    g_assert_cmphex(gpr(&g, GPR_RSP), ==, GUEST_STACK);
    guest_destroy(&g);

    g = guest_create(1, CODE32);
    RUN(g, stack32);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 0x5566);
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, 0x11223344);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, GUEST_STACK);
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, 9);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, 5);
    g_assert_cmphex(gpr(&g, GPR_RBP), ==, 0x20000);
    g_assert_cmphex(gpr(&g, GPR_RSP), ==, GUEST_STACK);
    g_assert_cmphex(g.ram[GUEST_STACK + 4], ==, 0x77); /* [esp + 4] with ESP after the pop */
    guest_destroy(&g);

    g = guest_create(1, CODE64);
    RUN(g, stack64);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, -2ull);
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, 0x1122334455667788);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, GUEST_STACK);
    g_assert_cmphex(gpr(&g, GPR_RSI), ==, 3);
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, GUEST_STACK - 8);
    g_assert_cmphex(gpr(&g, GPR_RSP), ==, GUEST_STACK + 8);
    guest_destroy(&g);
}

/* ---- strings */
PROGRAM(strings, ".code64",
        "mov $0x20000, %edi\n mov $0x5a, %al\n mov $5000, %ecx\n rep stosb\n"             /* over a page */
        "movb $1, 0x30000\n mov $0x30000, %esi\n mov $0x30001, %edi\n mov $300, %ecx\n"
        "rep movsb\n" /* repeats the first byte */
        "movl $0x11223344, 0x31000\n mov $0x31000, %esi\n mov $0x31004, %edi\n mov $1023, %ecx\n rep movsl\n"
        "std\n mov $0x20fff, %esi\n mov $0x41fff, %edi\n mov $8192, %ecx\n rep movsb\n cld\n mov %rdi, %r8\n"
        "mov $0x20000, %edi\n mov $0x5b, %al\n movb $0x5b, 0x20400\n mov $-1, %rcx\n repne scasb\n"
        "mov %rdi, %r9\n mov %rcx, %r10\n"
        "mov $0x20000, %esi\n mov $0x20800, %edi\n mov $0x1000, %ecx\n repe cmpsb\n mov %rsi, %r11\n setc %r12b\n");

static void test_strings(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, strings);
    for (unsigned n = 0; n < 5000; n++)
        g_assert_cmphex(g.ram[0x20000 + n], ==, n == 0x400 ? 0x5b : 0x5a);
    g_assert_cmphex(g.ram[0x20000 + 5000], ==, 0);
    for (unsigned n = 0; n <= 300; n++)
        g_assert_cmphex(g.ram[0x30000 + n], ==, 1);
    g_assert_cmphex(g.ram[0x30000 + 301], ==, 0);
    for (unsigned n = 0; n < 4096; n++)
        g_assert_cmphex(g.ram[0x31000 + n], ==, 0x44 - 0x11 * (n % 4));
    for (unsigned n = 0; n < 4096; n++)
        g_assert_cmphex(g.ram[0x41000 + n], ==, 0x5a);
    g_assert_cmphex(gpr(&g, GPR_R8), ==, 0x3ffff);
    g_assert_cmphex(gpr(&g, GPR_R9), ==, 0x20401);
    g_assert_cmphex(gpr(&g, GPR_R10), ==, -1ull - 0x401);
    g_assert_cmphex(gpr(&g, GPR_R11), ==, 0x20401);
    g_assert_cmphex(gpr(&g, GPR_R12), ==, 0);
    guest_destroy(&g);
}

PROGRAM(strings_fault, ".code64",
        "mov $0x100000, %esi\n mov $0x1ff800, %edi\n mov $0x1000, %ecx\n rep movsb");

static void test_string_fault_restarts(void)
{
    Guest g = guest_create(1, CODE64);
    uint64_t *pd = (uint64_t *)(g.ram + GUEST_TABLES + 0x2000);
    pd[1] = 0; /* nothing at 2 MiB */
    memset(g.ram + 0x100000, 0x77, 0x1000);
    RUN(g, strings_fault);
    g_assert_cmpint(guest_vector(&g), ==, EXC_PF);
    g_assert_cmphex(guest_vcpu(&g, 0)->s.cr2, ==, 0x200000);
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, 0x200000);
    g_assert_cmphex(gpr(&g, GPR_RSI), ==, 0x100800);
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, 0x800);
    uint64_t rip, error;
    memcpy(&error, g.ram + gpr(&g, GPR_RSP), 8);
    memcpy(&rip, g.ram + gpr(&g, GPR_RSP) + 8, 8);
    g_assert_cmphex(error, ==, 2);
    g_assert_cmphex(rip, ==, GUEST_CODE + (strings_fault_end - strings_fault) - 3); /* at REP MOVSB */
    g_assert_cmphex(g.ram[0x1fffff], ==, 0x77);
    guest_destroy(&g);
}

/* ---- changes of code */
PROGRAM(modify_next, ".code64",
        "movb $0x2a, 1f + 1(%rip)\n nop\n 1: mov $0x11, %al\n" /* within the running block */
        "mov $3, %ecx\n 2: mov $0, %ebx\n incl 2b + 1(%rip)\n dec %ecx\n jnz 2b\n"
        "lea 3f(%rip), %rdi\n mov $0x90, %al\n mov $3, %ecx\n rep stosb\n 3: hlt\n hlt\n hlt\n mov $1, %edx");
PROGRAM(modify_far, ".code64",
        "call 1f\n mov %eax, %ebx\n lea 1f(%rip), %rsi\n movl $7, 1(%rsi)\n call 1f\n hlt\n .space 100, 0x90\n"
        "1: mov $5, %eax\n ret");

static void test_code_changes(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, modify_next);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 2);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, 1);
    RUN(g, modify_far);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 5);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, 7);
    guest_destroy(&g);
}

PROGRAM(crossing, ".code64",
        "mov $1000, %ecx\n xor %eax, %eax\n 1: movabs $0x0123456789abcdef, %rbx\n add %rbx, %rax\n dec %ecx\n"
        "jnz 1b");

static void test_page_crossing_code(void)
{
    Guest g = guest_create(1, CODE64);
    for (unsigned back = 1; back < 30; back++) {
        uint64_t at = GUEST_CODE + 0x1000 - back;
        LOAD(&g, at, crossing);
        CpuState s = guest_state(&g);
        s.rip = at;
        guest_set(&g, 0, &s);
        guest_run(&g);
        g_assert_cmphex(gpr(&g, GPR_RAX), ==, 1000 * 0x0123456789abcdefull);
    }
    guest_destroy(&g);
}

/* More code than the cache holds, twice over: it is emptied on the way and decoded anew. */
PROGRAM(long_way, ".code64", "1: add $1, %rax\n jmp *%rdi\n 2: dec %ecx\n jnz 1b");

static void test_cache_is_bounded(void)
{
    Guest g = guest_create(1, CODE64);
    enum { AT = 0x100000, NOPS = 400000 };
    static const uint8_t back[] = { 0xff, 0xe6 }; /* jmp *%rsi */
    memset(g.ram + AT, 0x90, NOPS);
    memcpy(g.ram + AT + NOPS, back, sizeof(back));
    LOAD(&g, GUEST_CODE, long_way);
    CpuState s = guest_state(&g);
    s.gpr[GPR_RCX] = 2;
    s.gpr[GPR_RDI] = AT;
    s.gpr[GPR_RSI] = GUEST_CODE + 6;
    guest_set(&g, 0, &s);
    uint64_t before = guest_vcpu(&g, 0)->instructions;
    guest_run(&g);
    g_assert_cmpuint(gpr(&g, GPR_RAX), ==, 2);
    if (test_accel() == &accel_interp) /* the translator does not count them */
        g_assert_cmpuint(guest_vcpu(&g, 0)->instructions - before, ==, 2 * (NOPS + 5) + 1);
    guest_destroy(&g);
}

/* One vCPU runs in a loop what another one, or a device, changes. */
PROGRAM(spin_on_code, ".code64",
        "1: call 2f\n test %eax, %eax\n jz 1b\n hlt\n .space 80, 0x90\n 2: mov $0, %eax\n ret");
PROGRAM(patcher, ".code64", "mov $3000000, %ecx\n 1: dec %ecx\n jnz 1b\n movb $1, (%rdi)");

static uint64_t spin_immediate(void) { return GUEST_CODE + (spin_on_code_end - spin_on_code) - 6; }

static void test_code_changed_by_others(void)
{
    Guest g = guest_create(2, CODE64);
    LOAD(&g, GUEST_CODE, spin_on_code);
    LOAD(&g, 0xa000, patcher);
    g_assert_cmphex(g.ram[spin_immediate() - 1], ==, 0xb8);
    CpuState s = guest_state(&g);
    guest_set(&g, 0, &s);
    s.rip = 0xa000;
    s.gpr[GPR_RSP] -= 0x200;
    s.gpr[GPR_RDI] = spin_immediate();
    guest_set(&g, 1, &s);
    guest_run(&g);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, 1);
    guest_destroy(&g);

    g = guest_create(1, CODE64);
    LOAD(&g, GUEST_CODE, spin_on_code);
    s = guest_state(&g);
    guest_set(&g, 0, &s);
    machine_start(g.m);
    g_usleep(20000);
    g_assert_cmpint(guest_vcpu(&g, 0)->s.activity, ==, CPU_RUNNING);
    g_assert_true(dma_write(g.m, spin_immediate(), "\2", 1));
    guest_run(&g);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, 2);
    guest_destroy(&g);
}

/* ---- LOCK */
PROGRAM(lockers, ".code64",
        "mov $200000, %ecx\n mov $1, %edx\n 1: lock incl (%rdi)\n mov $1, %eax\n lock xadd %rax, 8(%rdi)\n"
        "lock add %edx, 16(%rdi)\n"
        "2: mov 24(%rdi), %rax\n lea 1(%rax), %rbx\n lock cmpxchg %rbx, 24(%rdi)\n jnz 2b\n dec %ecx\n jnz 1b");
PROGRAM(split_lockers, ".code64", "mov $300, %ecx\n 1: lock incq (%rdi)\n dec %ecx\n jnz 1b");

static void run_two(const Guest *g, uint64_t rdi)
{
    CpuState s = guest_state(g);
    s.gpr[GPR_RDI] = rdi;
    guest_set(g, 0, &s);
    s.gpr[GPR_RSP] -= 0x200;
    guest_set(g, 1, &s);
    guest_run(g);
}

static void test_lock(void)
{
    Guest g = guest_create(2, CODE64);
    LOAD(&g, GUEST_CODE, lockers);
    run_two(&g, GUEST_DATA);
    for (unsigned n = 0; n < 4; n++) {
        uint64_t x;
        memcpy(&x, g.ram + GUEST_DATA + 8 * n, 8);
        g_assert_cmpuint(x, ==, 400000);
    }
    static const uint64_t places[] = { GUEST_DATA + 0x3c, GUEST_DATA + 0xffd }; /* over a line, over a page */
    for (unsigned n = 0; n < G_N_ELEMENTS(places); n++) {
        memset(g.ram + GUEST_DATA, 0, 0x2000);
        LOAD(&g, GUEST_CODE, split_lockers);
        run_two(&g, places[n]);
        uint64_t x;
        memcpy(&x, g.ram + places[n], 8);
        g_assert_cmpuint(x, ==, 600);
    }
    guest_destroy(&g);
}

/* ---- faults */
PROGRAM(divide_zero, ".code64", "mov $5, %eax\n xor %edx, %edx\n xor %ecx, %ecx\n inc %ebx\n div %ecx\n inc %ebx");
PROGRAM(divide_overflow, ".code64", "movabs $0x8000000000000000, %rax\n cqo\n mov $-1, %rcx\n idiv %rcx");
PROGRAM(not_canonical, ".code64", "movabs $0x800000000000, %rax\n jmp *%rax");
PROGRAM(undefined, ".code64", "ud2");
PROGRAM(locked_read, ".code64", ".byte 0xf0\n add (%rax), %eax");
PROGRAM(bound, ".code32",
        "movl $5, 0x20000\n movl $9, 0x20004\n mov $7, %eax\n bound %eax, 0x20000\n mov $10, %eax\n"
        "bound %eax, 0x20000");
PROGRAM(limit, ".code16", "mov $0xffff, %bx\n mov (%bx), %ax");

static void check_fault(CodeSize size, const uint8_t *program, const uint8_t *end, int vector)
{
    Guest g = guest_create(1, size);
    load(&g, GUEST_CODE, program, end);
    CpuState s = guest_state(&g);
    guest_set(&g, 0, &s);
    guest_run(&g);
    g_assert_cmpint(guest_vector(&g), ==, vector);
    g_assert_cmpuint(gpr(&g, GPR_RBX) == 0xffff ? 0 : gpr(&g, GPR_RBX), <=, 1);
    guest_destroy(&g);
}
#define CHECK_FAULT(size, name, vector) check_fault(size, name, name##_end, vector)

static void test_faults(void)
{
    CHECK_FAULT(CODE64, divide_zero, EXC_DE);
    CHECK_FAULT(CODE64, divide_overflow, EXC_DE);
    CHECK_FAULT(CODE64, not_canonical, EXC_GP);
    CHECK_FAULT(CODE64, undefined, EXC_UD);
    CHECK_FAULT(CODE64, locked_read, EXC_UD);
    CHECK_FAULT(CODE32, bound, EXC_BR);
    CHECK_FAULT(CODE16, limit, EXC_GP);
}

/* ---- single steps */
PROGRAM(steps, ".code64", "mov $1, %eax\n mov $2, %ebx\n mov $3, %ecx\n mov $0x20000, %edi\n rep stosb\n nop");

/* The machine is stopped: its own thread keeps out of the way. */
static void test_step(void)
{
    Guest g = guest_create(1, CODE64);
    LOAD(&g, GUEST_CODE, steps);
    CpuState s = guest_state(&g);
    guest_set(&g, 0, &s);
    Vcpu *v = machine_vcpu(g.m, 0);
    static const unsigned offsets[] = { 5, 10, 15, 20, 20, 20, 22, 23 };
    for (unsigned n = 0; n < G_N_ELEMENTS(offsets); n++) {
        g_assert_true(interp_step(v, NULL));
        g_assert_cmphex(guest_vcpu(&g, 0)->s.rip, ==, GUEST_CODE + offsets[n]);
    }
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, 0x20003);
    guest_destroy(&g);
}

PROGRAM(trap_flag, ".code64", "pushfq\n orl $0x100, (%rsp)\n popfq\n mov $1, %eax\n mov $2, %eax");

static void test_trap_flag(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, trap_flag);
    g_assert_cmpint(guest_vector(&g), ==, EXC_DB);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, 1);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/interp/exec/partial-writes", test_partial_writes);
    g_test_add_func("/interp/exec/numbers", test_numbers);
    g_test_add_func("/interp/exec/stack", test_stack);
    g_test_add_func("/interp/exec/strings", test_strings);
    g_test_add_func("/interp/exec/string-fault-restarts", test_string_fault_restarts);
    g_test_add_func("/interp/exec/code-changes", test_code_changes);
    g_test_add_func("/interp/exec/page-crossing-code", test_page_crossing_code);
    g_test_add_func("/interp/exec/cache-is-bounded", test_cache_is_bounded);
    g_test_add_func("/interp/exec/code-changed-by-others", test_code_changed_by_others);
    g_test_add_func("/interp/exec/lock", test_lock);
    g_test_add_func("/interp/exec/faults", test_faults);
    g_test_add_func("/interp/exec/step", test_step);
    g_test_add_func("/interp/exec/trap-flag", test_trap_flag);
    return g_test_run();
}
