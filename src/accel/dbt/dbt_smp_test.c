/*
 * dbt_smp_test.c - vCPUs that change each other's mappings and code, and lock memory that crosses pages.
 *
 * RBX: words that the two share: 0(%rbx) the round that vCPU 0 has begun, 8(%rbx) the one that vCPU 1 has seen, 16(%rbx) a
 * counter that vCPU 1 keeps moving.  vCPU 1 counts in R15 what it saw and should not have; round 0x7fffffff ends it.
 */
#include "accel/dbt/test_program.h"

enum { SHARED = 0x20000, SECOND = 0xa000 /* vCPU 1's code */, ROUTINE = 0x9000, HANDLER = 0xb000, ROUNDS = 2000 };
#define LAST "0x7fffffff"

static void run_two(Guest *g, Program first, Program second)
{
    load(g, first.start, first.end);
    load_at(g, SECOND, second.start, second.end);
    for (unsigned id = 0; id < 2; id++) {
        CpuState s = state_with_sse(g);
        s.gpr[GPR_RBX] = SHARED;
        s.rip = id ? SECOND : GUEST_CODE;
        s.gpr[GPR_RSP] = id ? 0x1f000 : GUEST_STACK;
        guest_set(g, id, &s);
    }
    guest_run(g);
    g_assert_cmpint(guest_vector(g), ==, -1);
    g_assert_cmphex(guest_vcpu(g, 1)->s.rip, ==, SECOND + (second.end - second.start));
    g_assert_cmpuint(guest_vcpu(g, 0)->s.gpr[GPR_R15], ==, 0);
    g_assert_cmpuint(guest_vcpu(g, 1)->s.gpr[GPR_R15], ==, 0);
}

/* Waits for the next round; leaves it in RCX; out at the last. */
#define NEXT_ROUND "1: pause\n mov (%rbx), %eax\n cmp %ecx, %eax\n je 1b\n mov %eax, %ecx\n cmp $" LAST ", %ecx\n je 9f\n"
#define ACKNOWLEDGE "mov %ecx, 8(%rbx)\n"
#define BEGIN_ROUND "mov %ecx, (%rbx)\n 3: pause\n cmp %ecx, 8(%rbx)\n jne 3b\n"

/* ---- shootdown: 0xa00000 changes between frames 0x200000 and 0x400000, each of which holds its number at 0 and a routine that
 * returns it at 0x100.  vCPU 1 has both in its tables, flushes, and must read, write and execute the new one. */
PROGRAM(shoots, ".code64",
        "mov $1, %ecx\n 2: mov %ecx, %eax\n and $1, %eax\n shl $21, %eax\n add $0x200087, %eax\n mov %rax, 0x3028\n" BEGIN_ROUND
        "mov %ecx, %eax\n and $1, %eax\n shl $21, %eax\n cmp %rcx, 0x200008(%rax)\n je 5f\n inc %r15\n 5: xor $0x200000, %eax\n"
        "cmp %rcx, 0x200008(%rax)\n jne 6f\n inc %r15\n 6: inc %ecx\n cmp $2000, %ecx\n jne 2b\n movl $" LAST ", (%rbx)");
#define SHOT(flush) \
        "xor %ecx, %ecx\n mov $0xa00000, %edi\n lea 0x100(%rdi), %rsi\n" NEXT_ROUND flush \
        "mov %ecx, %edx\n and $1, %edx\n cmp %edx, (%rdi)\n je 4f\n inc %r15\n 4: mov %rcx, 8(%rdi)\n call *%rsi\n cmp %edx, %eax\n" \
        "je 5f\n inc %r15\n 5:" ACKNOWLEDGE "jmp 1b\n 9:"
PROGRAM(shot_page, ".code64", SHOT("invlpg 0x1234(%rdi)\n"));
PROGRAM(shot_cr3, ".code64", SHOT("mov %cr3, %rax\n mov %rax, %cr3\n"));
PROGRAM(shot_global, ".code64", SHOT("mov %cr4, %rax\n xor $0x80, %rax\n mov %rax, %cr4\n"));

static void test_shootdown(void)
{
    static const Program rows[] = { P(shot_page), P(shot_cr3), P(shot_global) };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(2, CODE64);
        g_test_message("row %u", n);
        for (unsigned frame = 0; frame < 2; frame++) {
            const uint8_t routine[] = { 0xb8, (uint8_t)frame, 0, 0, 0, 0xc3 };
            memcpy(g.ram + 0x200100 + (frame << 21), routine, sizeof(routine));
            put64(&g, 0x200000 + (frame << 21), frame);
        }
        put64(&g, pde_at(0xa00000), 0x200087);
        run_two(&g, (Program)P(shoots), rows[n]);
        guest_destroy(&g);
    }
}

/* ---- code that another vCPU writes: as long as both agree on when, vCPU 1 executes what stands there */
PROGRAM(writes_code, ".code64",
        "mov $1, %ecx\n 2: mov %ecx, 0x9001\n" BEGIN_ROUND "inc %ecx\n cmp $2000, %ecx\n jne 2b\n movl $" LAST ", (%rbx)");
PROGRAM(runs_code, ".code64",
        "xor %ecx, %ecx\n mov $0x9000, %esi\n" NEXT_ROUND "call *%rsi\n cmp %eax, %ecx\n je 5f\n inc %r15\n 5:" ACKNOWLEDGE "jmp 1b\n 9:");
PROGRAM(returns_zero, ".code64", "mov $0, %eax\n ret");

static void test_other_writes_code(void)
{
    Guest g = guest_create(2, CODE64);
    load_at(&g, ROUTINE, returns_zero, returns_zero_end);
    run_two(&g, (Program)P(writes_code), (Program)P(runs_code));
    guest_destroy(&g);
}

/* ---- code that is patched while it runs, as Linux does it: INT3 over the first byte, then the rest, then the first byte, each time
 * after the other has passed an instruction that serializes.  vCPU 1 sees the old, the new or the INT3, and never a mixture. */
#define OTHER_PASSES "mov 16(%rbx), %eax\n add $2, %eax\n 7: pause\n cmp %eax, 16(%rbx)\n jl 7b\n"
PROGRAM(patches, ".code64",
        "mov $0x11111111, %esi\n mov $0x22222222, %edi\n mov $600, %ecx\n"
        "2: movb $0xcc, 0x9000\n" OTHER_PASSES "mov %edi, 0x9001\n" OTHER_PASSES "movb $0xb8, 0x9000\n" OTHER_PASSES
        "cmp %edi, 24(%rbx)\n je 5f\n inc %r15\n 5: xchg %esi, %edi\n dec %ecx\n jnz 2b\n movl $" LAST ", (%rbx)");
PROGRAM(is_patched, ".code64",
        "mov $0x9000, %esi\n xor %r14d, %r14d\n xor %edi, %edi\n 1: cmpl $" LAST ", (%rbx)\n je 9f\n push %rbx\n xor %eax, %eax\n cpuid\n pop %rbx\n call *%rsi\n"
        "mov %eax, 24(%rbx)\n incl 16(%rbx)\n cmp $0x11111111, %eax\n je 1b\n cmp $0x22222222, %eax\n je 1b\n cmp $0x33, %eax\n je 1b\n"
        "inc %r15\n jmp 1b\n 9:");
PROGRAM(int3_handler, ".code64", "incl 32(%rbx)\n addl $4, (%rsp)\n mov $0x33, %eax\n iretq");
PROGRAM(returns_one, ".code64", "mov $0x11111111, %eax\n ret");

static void test_int3_patching(void)
{
    Guest g = guest_create(2, CODE64);
    load_at(&g, ROUTINE, returns_one, returns_one_end);
    load_at(&g, HANDLER, int3_handler, int3_handler_end);
    set_handler(&g, EXC_BP, HANDLER);
    run_two(&g, (Program)P(patches), (Program)P(is_patched));
    g_assert_cmpuint(ram64(&g, SHARED + 32), >, 100);
    guest_destroy(&g);
}

/* ---- LOCK: by both on one word, within a line, across lines and across pages */
#define COUNTS "mov $4000, %ecx\n mov $3, %eax\n 1: lock incq 0x20ffb\n lock addl $5, 0x2003e\n lock incl 0x20100\n mov $1, %edx\n" \
               "lock xadd %rdx, 0x21ffc\n mov 0x22ffe, %eax\n 2: lea 1(%rax), %edx\n lock cmpxchg %edx, 0x22ffe\n jne 2b\n dec %ecx\n jnz 1b"
PROGRAM(counts, ".code64", COUNTS);
PROGRAM(counts_too, ".code64", COUNTS);

static void test_lock(void)
{
    Guest g = guest_create(2, CODE64);
    run_two(&g, (Program)P(counts), (Program)P(counts_too));
    g_assert_cmpuint(ram64(&g, 0x20ffb), ==, 8000);
    g_assert_cmpuint(ram64(&g, 0x2003e), ==, 40000);
    g_assert_cmpuint((uint32_t)ram64(&g, 0x20100), ==, 8000);
    g_assert_cmpuint(ram64(&g, 0x21ffc), ==, 8000);
    g_assert_cmpuint((uint32_t)ram64(&g, 0x22ffe), ==, 8000);
    guest_destroy(&g);
}

/* One adds to the half beyond the page, across it; the other, which needs nobody to stop, to the half before. */
PROGRAM(counts_across, ".code64", "mov $6000, %ecx\n movabs $0x100000000, %rax\n 1: lock add %rax, 0x20ffc\n dec %ecx\n jnz 1b\n movl $1, (%rbx)");
PROGRAM(counts_beside, ".code64", "1: lock incl 0x20ffc\n inc %ebp\n cmpl $0, (%rbx)\n je 1b");

static void test_lock_against_one_page(void)
{
    Guest g = guest_create(2, CODE64);
    run_two(&g, (Program)P(counts_across), (Program)P(counts_beside));
    uint64_t value = ram64(&g, 0x20ffc);
    g_assert_cmpuint(value >> 32, ==, 6000);
    g_assert_cmpuint((uint32_t)value, ==, guest_vcpu(&g, 1)->s.gpr[GPR_RBP]);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/smp/shootdown", test_shootdown }, { "/dbt/smp/other-writes-code", test_other_writes_code },
        { "/dbt/smp/int3-patching", test_int3_patching }, { "/dbt/smp/lock", test_lock },
        { "/dbt/smp/lock-against-one-page", test_lock_against_one_page },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
