/*
 * dbt_group_test.c - accesses that one look-up serves (group.c): across pages that lie apart, with faults in the middle; calls.
 *
 * Linear pages 0 and 1 are RAM with a page between them that nobody may touch, page 2 is not present, page 3 read-only.
 */
#include "accel/dbt/test_program.h"

enum { LINEAR = 0x20000000, TABLE = 0x300000, FRAME = 0x400000, GAP = 0x401000, NEXT = 0x402000, READ_ONLY = 0x403000, PAGE = 0x1000 };

static Guest prepare(void)
{
    Guest g = guest_create(1, CODE64);
    put64(&g, pde_at(LINEAR), TABLE | 7);
    put64(&g, TABLE, FRAME | 7);
    put64(&g, TABLE + 8, NEXT | 7);
    put64(&g, TABLE + 24, READ_ONLY | 5);
    for (uint64_t at = FRAME; at < FRAME + 4 * PAGE; at++)
        g.ram[at] = (uint8_t)(at * 37 >> 3);
    return g;
}

/* A byte of the first two pages. */
static uint8_t *byte_at(const Guest *g, uint64_t linear) { return &g->ram[(linear < LINEAR + PAGE ? FRAME : NEXT) + linear % PAGE]; }

static uint64_t value_at(const Guest *g, uint64_t linear, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < bytes; n++)
        value |= (uint64_t)*byte_at(g, linear + n) << 8 * n;
    return value;
}

static void check_gap(const Guest *g)
{
    for (uint64_t at = GAP; at < GAP + PAGE; at++)
        g_assert_cmphex(g->ram[at], ==, (uint8_t)(at * 37 >> 3));
}

static void run_at(const Guest *g, unsigned reg, uint64_t value)
{
    CpuState s = state_with_sse(g);
    s.cr0 |= CR0_WP;
    s.gpr[GPR_RAX] = 0xa1a2a3a4a5a6a7a8;
    s.gpr[GPR_RBX] = 0xb1b2b3b4b5b6b7b8;
    s.gpr[GPR_RBP] = 0xc1c2c3c4c5c6c7c8;
    s.gpr[reg] = value;
    run_state(g, &s);
}

PROGRAM(stack_code, ".code64", "push %rax; push %rbx; sub $8, %rsp; push %rbp; push $-77; pop %rcx; pop %rdx; lea 8(%rsp), %rsp; pop %rsi; pop %rdi");

static void test_stack(void)
{
    Guest g = prepare();
    load(&g, stack_code, stack_code_end);
    for (unsigned off = 0; off <= 96; off++) {
        uint64_t top = LINEAR + PAGE - 32 + off;
        run_at(&g, GPR_RSP, top);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmphex(gpr(&g, GPR_RSP), ==, top);
        g_assert_cmphex(gpr(&g, GPR_RCX), ==, (uint64_t)-77);
        g_assert_cmphex(gpr(&g, GPR_RDX), ==, gpr(&g, GPR_RBP));
        g_assert_cmphex(gpr(&g, GPR_RSI), ==, gpr(&g, GPR_RBX));
        g_assert_cmphex(gpr(&g, GPR_RDI), ==, gpr(&g, GPR_RAX));
        g_assert_cmphex(value_at(&g, top - 8, 8), ==, gpr(&g, GPR_RAX));
        g_assert_cmphex(value_at(&g, top - 16, 8), ==, gpr(&g, GPR_RBX));
        g_assert_cmphex(value_at(&g, top - 32, 8), ==, gpr(&g, GPR_RBP));
        check_gap(&g);
    }
    guest_destroy(&g);
}

PROGRAM(call_code, ".code64", "push %rbx; sub $16, %rsp; call 1f; add $16, %rsp; pop %rdx; hlt; 1: push %rax; push %rbp; pop %rsi; pop %rcx; ret");

static void test_call(void)
{
    Guest g = prepare();
    load(&g, call_code, call_code_end);
    for (unsigned off = 0; off <= 96; off++) {
        run_at(&g, GPR_RSP, LINEAR + PAGE - 32 + off);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmphex(gpr(&g, GPR_RSP), ==, LINEAR + PAGE - 32 + off);
        g_assert_cmphex(gpr(&g, GPR_RDX), ==, gpr(&g, GPR_RBX));
        g_assert_cmphex(gpr(&g, GPR_RSI), ==, gpr(&g, GPR_RBP));
        g_assert_cmphex(gpr(&g, GPR_RCX), ==, gpr(&g, GPR_RAX));
        check_gap(&g);
    }
    guest_destroy(&g);
}

PROGRAM(load_code, ".code64",
        "mov 8(%rdi), %rax; mov (%rdi), %bl; lea 3(%rax), %rcx; mov 40(%rdi), %rdx; add $16, %rdi; mov -12(%rdi), %r11d; mov %rdi, %r9; test %edi, %edi");

static void test_loads(void)
{
    Guest g = prepare();
    load(&g, load_code, load_code_end);
    for (unsigned off = 0; off <= 64; off++) {
        uint64_t at = LINEAR + PAGE - 56 + off;
        run_at(&g, GPR_RDI, at);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmphex(gpr(&g, GPR_RAX), ==, value_at(&g, at + 8, 8));
        g_assert_cmphex(gpr(&g, GPR_RBX) & 0xff, ==, value_at(&g, at, 1));
        g_assert_cmphex(gpr(&g, GPR_RCX), ==, gpr(&g, GPR_RAX) + 3);
        g_assert_cmphex(gpr(&g, GPR_RDX), ==, value_at(&g, at + 40, 8));
        g_assert_cmphex(gpr(&g, GPR_R11), ==, value_at(&g, at + 4, 4));
        g_assert_cmphex(gpr(&g, GPR_R9), ==, at + 16);
    }
    guest_destroy(&g);
}

/* CALL reads its target before it pushes, also where that is RSP. */
PROGRAM(call_rsp_code, ".code64", "lea 1f(%rip), %rsp; mov %rsp, %rbx; call *%rsp; .fill 32, 1, 0xcc; 1: pop %rcx; mov $5, %edx");

static void test_call_rsp(void)
{
    Guest g = prepare();
    RUN(g, call_rsp_code);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, 5);
    g_assert_cmphex(gpr(&g, GPR_RSP), ==, gpr(&g, GPR_RBX));
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, gpr(&g, GPR_RBX) - 32);
    guest_destroy(&g);
}

/* Twice: the second time the look-up of what is there is known. */
static void check_fault(const Guest *g, uint64_t rdi, unsigned vector, unsigned insn_at, uint64_t cr2)
{
    for (unsigned n = 0; n < 8; n++) {
        run_at(g, GPR_RDI, rdi);
        g_assert_cmpint(guest_vector(g), ==, (int)vector);
        g_assert_cmphex(stack(g, 1), ==, GUEST_CODE + insn_at);
        if (vector == EXC_PF)
            g_assert_cmphex(guest_vcpu(g, 0)->s.cr2, ==, cr2);
    }
}

static void test_missing_page(void)
{
    Guest g = prepare();
    load(&g, load_code, load_code_end);
    enum { THIRD = 4 + 2 + 4 };
    uint64_t missing = LINEAR + 2 * PAGE;
    check_fault(&g, missing + 0x100, EXC_PF, 0, missing + 0x108); /* the first access, not where the group ends */
    check_fault(&g, missing - 4, EXC_PF, 0, missing + 4);
    check_fault(&g, missing - 40, EXC_PF, THIRD, missing);
    g_assert_cmphex(gpr(&g, GPR_RAX), ==, value_at(&g, missing - 32, 8));
    g_assert_cmphex(gpr(&g, GPR_RCX), ==, gpr(&g, GPR_RAX) + 3);
    guest_destroy(&g);
}

PROGRAM(store_code, ".code64", "mov (%rdi), %rax; mov 8(%rdi), %rbx; mov %rax, 8(%rdi); mov %rbx, 24(%rdi); mov 8(%rdi), %rdx; test %edi, %edi");

static void test_read_only(void)
{
    Guest g = prepare();
    load(&g, store_code, store_code_end);
    uint64_t at = LINEAR + 3 * PAGE + 0x200;
    check_fault(&g, at, EXC_PF, 3 + 4, at + 8);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, ram64(&g, READ_ONLY + 0x208));
    at = LINEAR + 0x200;
    uint64_t second = value_at(&g, at + 8, 8);
    run_at(&g, GPR_RDI, at);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(value_at(&g, at + 24, 8), ==, second);
    g_assert_cmphex(gpr(&g, GPR_RDX), ==, value_at(&g, at, 8));
    guest_destroy(&g);
}

/* The group's last byte is aligned where MOVAPS is not.  What stands in front of it is executed once. */
PROGRAM(aligned_code, ".code64", "add %rbx, (%rdi); movaps 8(%rdi), %xmm0; mov 24(%rdi), %rbx; test %edi, %edi");

static void test_misaligned(void)
{
    Guest g = prepare();
    load(&g, aligned_code, aligned_code_end);
    for (unsigned off = 0; off < 8; off++) {
        uint64_t at = LINEAR + 0x200 + off, before = value_at(&g, at, 8);
        run_at(&g, GPR_RDI, at);
        g_assert_cmpint(guest_vector(&g), ==, EXC_GP);
        g_assert_cmphex(stack(&g, 1), ==, GUEST_CODE + 3);
        g_assert_cmphex(gpr(&g, GPR_RBX), ==, 0xb1b2b3b4b5b6b7b8);
        g_assert_cmphex(value_at(&g, at, 8), ==, before + gpr(&g, GPR_RBX));
    }
    run_at(&g, GPR_RDI, LINEAR + 0x208);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(gpr(&g, GPR_RBX), ==, value_at(&g, LINEAR + 0x220, 8));
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {
        { "/dbt/group/stack", test_stack }, { "/dbt/group/call", test_call }, { "/dbt/group/call-rsp", test_call_rsp },
        { "/dbt/group/loads", test_loads }, { "/dbt/group/missing-page", test_missing_page },
        { "/dbt/group/read-only", test_read_only }, { "/dbt/group/misaligned", test_misaligned },
    };
    return run_cases(argc, argv, cases, G_N_ELEMENTS(cases));
}
