/*
 * dbt_smc_test.c - stores of every kind into code that has run, through aliases and from devices.
 */
#include "accel/dbt/test_program.h"

/* The routine returns its immediate, which stands at 16 bytes' alignment with the RET behind it. */
enum { ROUTINE = 0x900e, IMMEDIATE = 0x9010, ALIAS = 0xa00000 };
PROGRAM(routine, ".code64", "movabs $0, %rax\n ret");

/* Rounds 20 to 1, in RDX; RDI: the immediate; R12: what follows the immediate.  RBX adds up what the routine says. */
#define STORES(name, store)                                                                                                                  \
    PROGRAM(name, ".code64", "mov $20, %edx\n mov $0x9010, %edi\n mov (8)(%rdi), %r12\n 1: " store "\n mov $0x900e, %eax\n call *%rax\n"     \
                             "add %eax, %ebx\n dec %edx\n jnz 1b")
STORES(by_mov, "mov %dl, (%rdi)");
STORES(by_mov8, "mov %rdx, (%rdi)");
STORES(by_r10, "mov %rdx, %r10\n mov %r10, (%rdi)");
STORES(by_imm, "movl $0, (%rdi)\n 5: cmp %edx, (%rdi)\n je 6f\n addl $1, (%rdi)\n jmp 5b\n 6:");
STORES(by_push, "mov %rsp, %rbp\n lea 8(%rdi), %rsp\n push %rdx\n mov %rbp, %rsp");
STORES(by_pop, "mov %rsp, %rbp\n push %rdx\n popq (%rdi)\n mov %rbp, %rsp");
STORES(by_xchg, "mov %rdx, %rax\n xchg %rax, (%rdi)");
STORES(by_xadd, "mov (%rdi), %rax\n mov %rdx, %rcx\n sub %rax, %rcx\n lock xadd %rcx, (%rdi)");
STORES(by_cmpxchg, "mov (%rdi), %rax\n lock cmpxchg %rdx, (%rdi)");
STORES(by_cmpxchg16b, "mov %rdx, %rbp\n mov %rbx, %rsi\n mov (%rdi), %rax\n mov 8(%rdi), %rdx\n mov %rbp, %rbx\n mov %r12, %rcx\n lock cmpxchg16b (%rdi)\n mov %rbp, %rdx\n mov %rsi, %rbx");
STORES(by_bts, "movq $0, (%rdi)\n mov $4, %ecx\n 5: bt %ecx, %edx\n jnc 6f\n lock bts %rcx, (%rdi)\n 6: dec %ecx\n jns 5b");
STORES(by_movups, "movq %rdx, %xmm0\n movq %r12, %xmm1\n punpcklqdq %xmm1, %xmm0\n movups %xmm0, (%rdi)");
STORES(by_movq, "movq %rdx, %xmm0\n movq %xmm0, (%rdi)");
STORES(by_movnti, "movnti %rdx, (%rdi)");
STORES(by_maskmov, "push %rdi\n movq %rdx, %xmm0\n pcmpeqd %xmm1, %xmm1\n psrldq $8, %xmm1\n maskmovdqu %xmm1, %xmm0\n pop %rdi");
STORES(by_fistp, "mov %rdx, 0x20000\n fildll 0x20000\n fistpll (%rdi)");
STORES(by_stosb, "push %rdi\n mov %edx, %eax\n stosb\n pop %rdi");
STORES(by_rep_stosb, "push %rdi\n mov %edx, %eax\n mov $1, %ecx\n rep stosb\n pop %rdi");
STORES(by_rep_movsb, "push %rdi\n mov %rdx, 0x20000\n mov $0x20000, %esi\n mov $8, %ecx\n rep movsb\n pop %rdi");
STORES(by_rep_movsq_page, "push %rdi\n mov (%rdi), %rax\n mov %rdx, (%rdi)\n mov $0x9000, %esi\n mov $0x20000, %edi\n mov $512, %ecx\n rep movsq\n"
                          "mov %rax, 0x9010\n mov $0x20000, %esi\n mov $0x9000, %edi\n mov $512, %ecx\n rep movsq\n pop %rdi");
STORES(by_alias, "mov %rdx, 0xa09010");
STORES(by_alias_rep, "push %rdi\n mov %edx, %eax\n mov $0xa09010, %edi\n mov $1, %ecx\n rep stosb\n pop %rdi");
STORES(by_enter, "mov %rsp, %rsi\n mov %rdx, %rbp\n lea 8(%rdi), %rsp\n enter $0, $0\n mov %rsi, %rsp");
STORES(by_call, "jmp 6f\n 5: pop %rax\n jmp 7f\n 6: mov %rdx, (%rdi)\n mov %rsp, %rbp\n lea 0x9e0(%rdi), %rsp\n call 5b\n 7: mov %rbp, %rsp"); /* same page */

static void test_stores(void)
{
    static const struct { const char *name; Program p; } rows[] = {
        { "mov", P(by_mov) }, { "mov8", P(by_mov8) }, { "r10", P(by_r10) }, { "add", P(by_imm) }, { "push", P(by_push) }, { "pop", P(by_pop) },
        { "xchg", P(by_xchg) }, { "xadd", P(by_xadd) }, { "cmpxchg", P(by_cmpxchg) }, { "cmpxchg16b", P(by_cmpxchg16b) }, { "bts", P(by_bts) },
        { "movups", P(by_movups) }, { "movq", P(by_movq) }, { "movnti", P(by_movnti) }, { "maskmovdqu", P(by_maskmov) }, { "fistp", P(by_fistp) },
        { "stosb", P(by_stosb) }, { "rep stosb", P(by_rep_stosb) }, { "rep movsb", P(by_rep_movsb) }, { "rep movsq, a page", P(by_rep_movsq_page) },
        { "alias", P(by_alias) }, { "alias, rep", P(by_alias_rep) }, { "enter", P(by_enter) }, { "call", P(by_call) },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        Guest g = guest_create(1, CODE64);
        g_test_message("%s", rows[n].name);
        put64(&g, pde_at(ALIAS), 0x87);
        load(&g, rows[n].p.start, rows[n].p.end);
        load_at(&g, ROUTINE, routine, routine_end);
        CpuState s = state_with_sse(&g);
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 210);
        guest_destroy(&g);
    }
}

/* ---- one frame under two addresses: code that asks where it is gives each its own answer, and both see a store */
PROGRAM(two_addresses, ".code64",
        "mov $50, %ebp\n mov $0x9000, %esi\n mov $0xa09000, %edi\n 1: call *%rsi\n add %rax, %rbx\n call *%rdi\n add %rax, %rdx\n"
        "mov %bpl, 0x9003\n dec %ebp\n jnz 1b");
PROGRAM(where, ".code64", "lea 0x7f(%rip), %rax\n ret"); /* the displacement's low byte is written */

static void test_two_addresses(void)
{
    Guest g = guest_create(1, CODE64);
    put64(&g, pde_at(ALIAS), 0x87);
    load_at(&g, 0x9000, where, where_end);
    RUN(g, two_addresses);
    uint64_t sum = 0x7f;
    for (unsigned n = 2; n <= 50; n++)
        sum += n;
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, 50 * 0x9007 + sum);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, 50 * 0xa09007 + sum);
    guest_destroy(&g);
}

/* ---- a store that begins in a page of data and ends in one of code */
PROGRAM(store_crosses, ".code64",
        "mov $40, %edx\n mov $0xb000, %esi\n movl $0x000001b8, (%rsi)\n movw $0xc300, 4(%rsi)\n"
        "1: call *%rsi\n add %eax, %ebx\n mov %edx, %eax\n shl $24, %eax\n or $0xb80000, %eax\n mov %eax, 0xaffe\n dec %edx\n jnz 1b");

static void test_store_crosses(void)
{
    Guest g = guest_create(1, CODE64);
    RUN(g, store_crosses);
    g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 820); /* 1, then 40 to 2 */
    guest_destroy(&g);
}

/* ---- a device writes more pages of code than the list of changes holds */
enum { PAGES = 200, FIRST_PAGE = 0x100000 };
PROGRAM(sums_pages, ".code64",
        "1: mov $0x100000, %esi\n mov $200, %ecx\n xor %ebx, %ebx\n 2: call *%rsi\n add %eax, %ebx\n add $0x1000, %esi\n dec %ecx\n jnz 2b\n"
        "mov %ebx, 0x20000\n cmp $400, %ebx\n jne 1b");

static void test_dma_flood(void)
{
    Guest g = guest_create(1, CODE64);
    g_autofree uint8_t *pages = g_malloc0(PAGES * 4096);
    for (unsigned value = 1; value <= 2; value++) {
        for (unsigned n = 0; n < PAGES; n++)
            memcpy(pages + n * 4096, (uint8_t[]){ 0xb8, value, 0, 0, 0, 0xc3 }, 6);
        g_assert_true(dma_write(g.m, FIRST_PAGE, pages, PAGES * 4096));
        if (value == 2)
            break;
        load(&g, sums_pages, sums_pages_end);
        CpuState s = guest_state(&g);
        guest_set(&g, 0, &s);
        machine_start(g.m);
        while (*(volatile uint32_t *)(g.ram + 0x20000) != PAGES)
            g_usleep(100);
        machine_stop(g.m);
    }
    guest_run(&g); /* ends when every page says 2 */
    g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 2 * PAGES);
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/smc/stores", test_stores }, { "/dbt/smc/two-addresses", test_two_addresses },
        { "/dbt/smc/store-crosses", test_store_crosses }, { "/dbt/smc/dma-flood", test_dma_flood },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
