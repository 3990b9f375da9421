/*
 * dbt_mode_test.c - modes, mappings and rights that change within a block, and jumps whose targets share an entry of the jump table.
 */
#include "accel/dbt/test_program.h"

/* ---- routines that are alike in the low 16 bits, and in the low 32 (the second gigabyte's alias, and one in the upper half) */
PROGRAM(collides, ".code64",
        "mov $300, %ecx\n 1: xor %eax, %eax\n mov $0x20000, %esi\n 2: mov (%rsi), %rdi\n call *%rdi\n add $8, %rsi\n cmp $0x20080, %esi\n jne 2b\n"
        "add %rax, %rbx\n dec %ecx\n jnz 1b");
/* Adds what stands at its own end. */
PROGRAM(adds_own, ".code64", "add 5f(%rip), %rax\n ret\n .balign 16\n 5: .quad 0\n");

static void test_collisions(void)
{
    Guest g = guest_create(1, CODE64);
    uint64_t sum = 0;
    for (unsigned n = 0; n < 16; n++) {
        uint64_t at = 0x301000 + 0x10000 * (n / 4);
        load_at(&g, at, adds_own, adds_own_end);
        put64(&g, at + 16, 1ull << 4 * (n / 4));
        static const uint64_t base[] = { 0, 0x100000000, 0xffffff8000000000, 0x7f8000000000 };
        put64(&g, 0x20000 + 8 * n, base[n % 4] + at);
        sum += 1ull << 4 * (n / 4);
    }
    put64(&g, GUEST_TABLES + 0x1000 + 8 * 4, (GUEST_TABLES + 0x2000) | 7); /* 4 GiB: the first again */
    put64(&g, GUEST_TABLES + 511 * 8, (GUEST_TABLES + 0x1000) | 7);
    put64(&g, GUEST_TABLES + 255 * 8, (GUEST_TABLES + 0x1000) | 7);
    RUN(g, collides);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 300 * sum);
    guest_destroy(&g);
}

/* ---- MOV to CR3: the next instruction comes from the new mapping.  Page 0x9000's 2 MiB frame differs between two sets of tables. */
PROGRAM(moves_cr3, ".code64",
        "mov $100, %ecx\n mov $0x1000, %ebp\n mov $0x10000, %edx\n mov $0xa00000, %esi\n 1: xchg %rbp, %rdx\n call *%rsi\n dec %ecx\n jnz 1b");
PROGRAM(in_first, ".code64", "mov %rbp, %cr3\n inc %rax\n nop\n ret");
PROGRAM(in_second, ".code64", "mov %rbp, %cr3\n inc %rbx\n nop\n ret");

static void test_cr3_in_block(void)
{
    Guest g = guest_create(1, CODE64);
    for (unsigned n = 0; n < 3; n++)
        memcpy(g.ram + 0x10000 + n * 0x1000, g.ram + GUEST_TABLES + n * 0x1000, 0x1000);
    put64(&g, 0x10000, 0x11007);
    put64(&g, 0x11000, 0x12007);
    put64(&g, pde_at(0xa00000), 0x200087);
    put64(&g, 0x12000 + 8 * 5, 0x400087);
    load_at(&g, 0x200000, in_first, in_first_end);
    load_at(&g, 0x400000, in_second, in_second_end);
    RUN(g, moves_cr3);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmpuint(gpr(&g, GPR_RAX), ==, 50); /* each counts after the move */
    g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 50);
    guest_destroy(&g);
}

/* ---- rights: a store through a read-only page, allowed while CR0.WP is 0 */
PROGRAM(write_protect, ".code64",
        "mov $100, %ecx\n mov $0xa00000, %esi\n mov %cr0, %rbp\n mov %rbp, %rdx\n btr $16, %rdx\n"
        "1: mov %rdx, %cr0\n incl (%rsi)\n mov %rbp, %cr0\n mov (%rsi), %eax\n dec %ecx\n jnz 1b\n 9: incl (%rsi)");

static void test_write_protect(void)
{
    Guest g = guest_create(1, CODE64);
    put64(&g, pde_at(0xa00000), 0x200085);
    RUN(g, write_protect);
    g_assert_cmpint(guest_vector(&g), ==, EXC_PF);
    g_assert_cmphex(stack(&g, 1), ==, GUEST_CODE + (write_protect_end - write_protect) - 3);
    g_assert_cmpuint(gpr(&g, GPR_RAX), ==, 100);
    g_assert_cmpuint((uint32_t)ram64(&g, 0x200000), ==, 100);
    guest_destroy(&g);
}

/* ---- the same bytes as 64-bit and as 32-bit code: 48 ff c0 is INC RAX, or DEC EAX and INC EAX */
PROGRAM(two_sizes, ".code64",
        "mov $50, %ecx\n mov $0x9000, %esi\n xor %eax, %eax\n movl $0x9100, 0x20000\n movw $0x18, 0x20004\n lea 2f(%rip), %rdi\n mov %edi, 0x20008\n movw $8, 0x2000c\n"
        "1: call *%rsi\n ljmp *0x20000\n 2: dec %ecx\n jnz 1b");
PROGRAM(both_sizes, ".code64", ".byte 0x48, 0xff, 0xc0\n ret");
PROGRAM(in_32_bits, ".code32", "call *%esi\n call *%esi\n ljmp *0x20008");

static void test_two_sizes(void)
{
    Guest g = guest_create(1, CODE64);
    put64(&g, GUEST_GDT + 0x18, 0x00cf9b000000ffff);
    load_at(&g, 0x9000, both_sizes, both_sizes_end);
    load_at(&g, 0x9100, in_32_bits, in_32_bits_end);
    load(&g, two_sizes, two_sizes_end);
    CpuState s = state_with_sse(&g);
    s.gdtr.limit = 0x1f;
    run_state(&g, &s);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, 50);
    guest_destroy(&g);
}

/* ---- 32-bit segments: a base, then none, then a limit */
PROGRAM(segments, ".code32",
        "mov $100, %ecx\n 1: mov $0x18, %eax\n mov %eax, %ds\n incl 0x100\n mov $0x10, %eax\n mov %eax, %ds\n incl 0x100\n"
        "mov $0x18, %eax\n mov %eax, %es\n incl %es:0x104\n push $0x10\n pop %es\n dec %ecx\n jnz 1b\n mov $0x18, %eax\n mov %eax, %ds\n 9: incl 0x20000");

static void test_segments(void)
{
    Guest g = guest_create(1, CODE32);
    put64(&g, GUEST_GDT + 0x18, 0x004093300000ffff); /* base 0x300000, 64 KiB */
    memset(g.ram + 0x100, 0, 8);
    load(&g, segments, segments_end);
    CpuState s = guest_state(&g);
    s.gdtr.limit = 0x1f;
    run_state(&g, &s);
    g_assert_cmpint(guest_vector(&g), ==, EXC_GP);
    g_assert_cmpuint((uint32_t)ram64(&g, 0x300100), ==, 100);
    g_assert_cmpuint((uint32_t)ram64(&g, 0x300104), ==, 100);
    g_assert_cmpuint((uint32_t)ram64(&g, 0x100), ==, 100);
    guest_destroy(&g);
}

/* ---- what LEA computed says nothing of the next access, which crosses into a page that is mapped elsewhere */
PROGRAM(after_lea, ".code64",
        "mov $0x9ff000, %ebx\n mov (%rbx), %rax\n mov %rax, (%rbx)\n mov $0xffc, %r10d\n mov $-1, %rax\n mov $0x9ffffc, %edi\n lea 0x20000, %ecx\n mov %rax, (%rbx,%r10)\n"
        "mov $0x9ffffc, %esi\n lea (%rsp), %rdx\n lodsq\n mov %rax, %r14\n mov $0x1234567, %rax\n lea 0x20000, %ecx\n stosq\n"
        "lea 8(%rsp), %rdx\n mov (%rbx,%r10), %r13\n");

static void test_after_lea(void)
{
    Guest g = guest_create(1, CODE64);
    put64(&g, pde_at(0xa00000), 0x400087);
    put64(&g, 0x400000, 0), put64(&g, 0xa00000, 0x7777777777777777);
    RUN(g, after_lea);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(gpr(&g, GPR_R14), ==, ~0ull);
    g_assert_cmphex(gpr(&g, GPR_R13), ==, 0x1234567);
    g_assert_cmphex(ram64(&g, 0x9ffffc) & 0xffffffff, ==, 0x1234567);
    g_assert_cmphex(ram64(&g, 0xa00000), ==, 0x7777777777777777);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/mode/collisions", test_collisions }, { "/dbt/mode/cr3-in-block", test_cr3_in_block },
        { "/dbt/mode/write-protect", test_write_protect }, { "/dbt/mode/two-sizes", test_two_sizes },
        { "/dbt/mode/segments", test_segments }, { "/dbt/mode/after-lea", test_after_lea },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
