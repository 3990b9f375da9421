/*
 * dbt_string_test.c - repeated STOS and MOVS, which are the host's own where they stay in their pages: counts, ends of pages,
 * directions, overlaps, flags, faults.
 */
#include "accel/dbt/test_program.h"

enum { HERE = 0x800000, HANDLER = 0x7f00 };

PROGRAM(fill, ".code64",
        "mov $2, %ebp\n" /* the first round finds no translation of the addresses */
        "0: mov $0x800fe8, %edi; mov $3, %ecx; mov $0x1122334455667788, %rax; rep stosq\n" /* up to the end of the page */
        "mov %rdi, %r8; mov %rcx, %r9\n"
        "mov $0x802ffc, %edi; mov $3, %ecx; cmp %eax, %eax; rep stosl; sete %bl\n" /* beyond it */
        "mov %rdi, %r12\n"
        "mov $0x7000000000, %rdi; xor %ecx, %ecx; rep stosb; mov %rdi, %r13\n" /* nothing, where nothing is */
        "mov $0x804010, %edi; mov $5, %ecx; std; rep stosw; cld; mov %rdi, %r14\n"
        "mov $0x805001, %edi; mov $0xfff, %ecx; stc; rep stosb; setc %bh; mov %rdi, %r15\n"
        "dec %ebp; jnz 0b");

static void test_fill(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, fill);
    g_assert_cmphex(gpr(&g, GPR_R8), ==, 0x801000);
    g_assert_cmphex(gpr(&g, GPR_R9), ==, 0);
    g_assert_cmphex(ram64(&g, HERE + 0xfe0), ==, 0);
    for (unsigned n = 0; n < 3; n++)
        g_assert_cmphex(ram64(&g, HERE + 0xfe8 + 8 * n), ==, 0x1122334455667788);
    g_assert_cmphex(ram64(&g, HERE + 0x1000), ==, 0);
    g_assert_cmphex(gpr(&g, GPR_R12), ==, 0x803008);
    g_assert_cmphex(ram64(&g, HERE + 0x2ff8), ==, 0x5566778800000000);
    g_assert_cmphex(ram64(&g, HERE + 0x3000), ==, 0x5566778855667788);
    g_assert_cmphex(ram64(&g, HERE + 0x3008), ==, 0);
    g_assert_cmphex(gpr(&g, GPR_R13), ==, 0x7000000000);
    g_assert_cmphex(gpr(&g, GPR_R14), ==, 0x804006);
    g_assert_cmphex(ram64(&g, HERE + 0x4008), ==, 0x7788778877887788);
    g_assert_cmphex(ram64(&g, HERE + 0x4010), ==, 0x7788);
    g_assert_cmphex(gpr(&g, GPR_R15), ==, 0x806000);
    g_assert_cmphex(ram64(&g, HERE + 0x5000), ==, 0x8888888888888800);
    g_assert_cmphex(ram64(&g, HERE + 0x5ff8), ==, 0x8888888888888888);
    g_assert_cmphex(ram64(&g, HERE + 0x6000), ==, 0);
    g_assert_cmphex(gpr(&g, GPR_RBX) & 0xffff, ==, 0x0101);
    guest_destroy(&g);
}

PROGRAM(faults, ".code64", "mov $0x7000000ff0, %rdi; mov $5, %ecx; mov $1, %eax; rep stosb");
PROGRAM(handler, ".code64", "mov %rdi, %r14; mov %rcx, %r15");

static void test_fault(void)
{
    Guest g = guest_create(1, CODE64);
    load_at(&g, HANDLER, handler, handler_end);
    set_handler(&g, EXC_PF, HANDLER);
    RUN(g, faults);
    g_assert_cmphex(gpr(&g, GPR_R14), ==, 0x7000000ff0);
    g_assert_cmphex(gpr(&g, GPR_R15), ==, 5);
    guest_destroy(&g);
}

/* Bytes of code that a block consists of, over itself: what comes next is not what stood there. */
PROGRAM(own_code, ".code64",
        "mov $2, %ebp; xor %ebx, %ebx\n"
        "0: lea 1f(%rip), %rdi; mov $3, %ecx; mov $0x90, %al; rep stosb\n"
        "1: add $1, %ebx\n" /* three bytes */
        "dec %ebp; jnz 0b");

static void test_own_code(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, own_code);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 0);
    guest_destroy(&g);
}

PROGRAM(copy, ".code64",
        "mov $0x0123456789abcdef, %rax; mov %rax, 0x800ff0; mov %rax, 0x800ff8; mov %rax, 0x801000\n"
        "mov $2, %ebp\n"
        "0: mov $0x800ff0, %esi; mov $0x802fe9, %edi; mov $16, %ecx; cmp %eax, %eax; rep movsb; sete %bl\n"
        "mov %rsi, %r8; mov %rdi, %r9; mov %rcx, %r10\n"
        "mov $0x800ff9, %esi; mov $0x804100, %edi; mov $2, %ecx; rep movsq; mov %rsi, %r11\n" /* the source goes beyond its page */
        "mov $0x800ff0, %esi; mov $0x804ffe, %edi; mov $3, %ecx; rep movsw; mov %rdi, %r12\n" /* the destination */
        "mov $0x800ff8, %esi; mov $0x803004, %edi; mov $2, %ecx; std; rep movsl; cld; mov %rsi, %r13\n"
        "movb $0x5a, 0x805000; mov $0x805000, %esi; mov $0x805001, %edi; mov $0x20, %ecx; stc; rep movsb; setc %bh\n" /* each byte is the one before */
        "mov $0x7000000000, %rsi; mov %rsi, %rdi; xor %ecx, %ecx; rep movsb; mov %rdi, %r14\n"
        "dec %ebp; jnz 0b");

static void test_copy(void)
{
    static const uint64_t word = 0x0123456789abcdef;
    Guest g = guest_create(1, CODE64);
    RUN(g, copy);
    uint64_t copied[2];
    memcpy(copied, g.ram + HERE + 0x2fe9, 16);
    g_assert_cmphex(copied[0], ==, word);
    g_assert_cmphex(copied[1], ==, word);
    g_assert_cmphex(g.ram[HERE + 0x2fe8] | g.ram[HERE + 0x2ff9], ==, 0);
    g_assert_cmphex(gpr(&g, GPR_R8), ==, 0x801000);
    g_assert_cmphex(gpr(&g, GPR_R9), ==, 0x802ff9);
    g_assert_cmphex(gpr(&g, GPR_R10), ==, 0);
    g_assert_cmphex(gpr(&g, GPR_R11), ==, 0x801009);
    g_assert_cmphex(ram64(&g, HERE + 0x4100), ==, word >> 8 | word << 56);
    g_assert_cmphex(ram64(&g, HERE + 0x4108), ==, word >> 8);
    g_assert_cmphex(gpr(&g, GPR_R12), ==, 0x805004);
    g_assert_cmphex(gpr(&g, GPR_R13), ==, 0x800ff0);
    g_assert_cmphex(ram64(&g, HERE + 0x3000), ==, word << 32 | word >> 32);
    g_assert_cmphex(ram64(&g, HERE + 0x5000), ==, 0x5a5a5a5a5a5a5a5a);
    g_assert_cmphex(ram64(&g, HERE + 0x5019), ==, 0x5a5a5a5a5a5a5a5a);
    g_assert_cmphex(g.ram[HERE + 0x5021], ==, 0);
    g_assert_cmphex(gpr(&g, GPR_R14), ==, 0x7000000000);
    g_assert_cmphex(gpr(&g, GPR_RBX) & 0xffff, ==, 0x0101);
    guest_destroy(&g);
}

PROGRAM(copy_32, ".code32",
        "movl $0x89abcdef, 0x800ff0; movl $0x01234567, 0x800ff4\n"
        "mov $2, %ebp\n"
        "0: mov $0x800ff0, %esi; mov $0x802000, %edi; mov $2, %ecx; stc; rep movsl; setc %bl\n"
        "mov $0x11223344, %eax; mov $0x803ff8, %edi; mov $2, %ecx; stc; rep stosl; setc %bh\n"
        "dec %ebp; jnz 0b");

static void test_32_bit(void)
{
    Guest g = guest_create(1, CODE32);
    RUN(g, copy_32);
    g_assert_cmphex(ram64(&g, HERE + 0x2000), ==, 0x0123456789abcdef);
    g_assert_cmphex(ram64(&g, HERE + 0x3ff8), ==, 0x1122334411223344);
    g_assert_cmphex(ram64(&g, HERE + 0x4000), ==, 0);
    g_assert_cmphex(gpr(&g, GPR_RSI), ==, 0x800ff8);
    g_assert_cmphex(gpr(&g, GPR_RDI), ==, 0x804000);
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, 0);
    g_assert_cmphex(gpr(&g, GPR_RBX) & 0xffff, ==, 0x0101);
    guest_destroy(&g);
}

/* Where neither is mapped it is the source that faults. */
PROGRAM(no_source, ".code64", "mov $0x7000000ff0, %rdi; mov $0x6000000008, %rsi; mov $5, %ecx; rep movsb");
PROGRAM(no_destination, ".code64",
        "mov $0x800000, %esi; mov $0x801000, %edi; mov $3, %ebp; mov $0x7000000ff0, %rbx\n" /* translated first where both are */
        "0: mov $0x800008, %esi; mov $5, %ecx; rep movsb; xchg %rbx, %rdi; dec %ebp; jnz 0b");
PROGRAM(copy_handler, ".code64", "mov %rdi, %r14; mov %rcx, %r15; mov %rsi, %r13; mov %cr2, %r12");

static void faulting_copy(const uint8_t *program, const uint8_t *end, uint64_t source, uint64_t cr2)
{
    Guest g = guest_create(1, CODE64);
    load_at(&g, HANDLER, copy_handler, copy_handler_end);
    set_handler(&g, EXC_PF, HANDLER);
    load(&g, program, end);
    CpuState s = state_with_sse(&g);
    run_state(&g, &s);
    g_assert_cmphex(gpr(&g, GPR_R14), ==, 0x7000000ff0);
    g_assert_cmphex(gpr(&g, GPR_R15), ==, 5);
    g_assert_cmphex(gpr(&g, GPR_R13), ==, source);
    g_assert_cmphex(gpr(&g, GPR_R12), ==, cr2);
    guest_destroy(&g);
}

static void test_copy_faults(void)
{
    faulting_copy(no_source, no_source_end, 0x6000000008, 0x6000000008);
    faulting_copy(no_destination, no_destination_end, 0x800008, 0x7000000ff0);
}

PROGRAM(copied_code, ".code64",
        "mov $2, %ebp; xor %ebx, %ebx; movl $0x90909090, 0x800000\n"
        "0: lea 1f(%rip), %rdi; mov $0x800000, %esi; mov $3, %ecx; rep movsb\n"
        "1: add $1, %ebx\n"
        "dec %ebp; jnz 0b");

static void test_copied_code(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, copied_code);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 0);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/string/fill", test_fill }, { "/dbt/string/fault", test_fault }, { "/dbt/string/own-code", test_own_code },
        { "/dbt/string/copy", test_copy }, { "/dbt/string/32-bit", test_32_bit }, { "/dbt/string/copy-faults", test_copy_faults },
        { "/dbt/string/copied-code", test_copied_code },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
