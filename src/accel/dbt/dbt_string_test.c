/*
 * dbt_string_test.c - repeated STOS, which is the host's own where it stays in a page: counts, ends of pages, directions, flags, faults.
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

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/string/fill", test_fill }, { "/dbt/string/fault", test_fault }, { "/dbt/string/own-code", test_own_code },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
