/*
 * dbt_fpe_test.c - exceptions of SSE, AVX and x87 that the guest has not masked: #XM and #MF, with everything else as it was.
 *
 * Each program runs its operation 20 times with operands that raise nothing, then with those that do: by then it is translated.
 * The operands stand in a table of (good, bad) pairs of 16 bytes at OPERANDS.
 */
#include "accel/dbt/test_program.h"

enum { OPERANDS = 0x20000, CONTROL = 0x20100, SCRATCH = 0x20200 };
enum { IE = 1, DE = 2, ZE = 4, OE = 8, UE = 16, PE = 32, MASKS_SHIFT = 7, X87_ES = 0x80, X87_SF = 0x40 };

/* RDI and RSI point to the operands.  R8 to R15 have values that have to stay, and CF is set. */
#define SIMD(name, text)                                                                                                \
    PROGRAM(name, ".code64",                                                                                            \
            "ldmxcsr 0x20100\n mov $0x20000, %edi\n mov $0x20010, %esi\n mov $21, %ecx\n mov $0x1010, %r10d\n mov $0x1111, %r11d\n" \
            "1: cmp $1, %ecx\n jne 2f\n add $0x20, %edi\n add $0x20, %esi\n 2: movups (%rdi), %xmm1\n movups (%rsi), %xmm2\n"       \
            "mov $0x20200, %r11d\n movups %xmm2, (%r11)\n mov $0x1111, %r11d\n cmp $100, %ecx\n" text "\n sbb %ebx, %ebx\n dec %ecx\n jnz 1b")
SIMD(div_reg, "divsd %xmm2, %xmm1");
SIMD(div_memory, "divsd (%rsi), %xmm1");
SIMD(div_packed, "divpd (%rsi), %xmm1");
SIMD(div_vex, "vdivpd %xmm2, %xmm1, %xmm1");
SIMD(mul_reg, "mulsd %xmm2, %xmm1");
SIMD(mul_memory, "mulsd (%rsi), %xmm1");
SIMD(add_reg, "addsd %xmm2, %xmm1");
SIMD(compare, "comisd %xmm2, %xmm1\n stc");
SIMD(to_slot, "cvtsd2si %xmm2, %r11");
SIMD(fused, "vfmadd231sd (%rsi), %xmm1, %xmm1");

typedef struct Row {
    Program p;
    uint32_t raises;
    uint64_t good[2], bad[2];
    uint32_t too; /* what else the bad ones raise */
} Row;

#define ONE        0x3ff0000000000000ull
#define TWO        0x4000000000000000ull
#define THREE      0x4008000000000000ull
#define HUGE_VALUE 0x7fe0000000000000ull
#define TINY       0x0010000000000000ull
#define DENORMAL   0x0000000000000001ull
#define SIGNALLING 0x7ff4000000000000ull

static const Row simd_rows[] = {
    { P(div_reg), IE, { ONE, TWO }, { 0, 0 } },          { P(div_reg), ZE, { ONE, TWO }, { ONE, 0 } },
    { P(div_reg), DE, { ONE, TWO }, { ONE, DENORMAL }, OE | PE }, { P(div_reg), PE, { ONE, TWO }, { ONE, THREE } },
    { P(div_memory), ZE, { ONE, TWO }, { ONE, 0 } },     { P(div_memory), PE, { ONE, TWO }, { ONE, THREE } },
    { P(div_packed), ZE, { ONE, TWO }, { ONE, 0 } },     { P(div_vex), IE, { ONE, TWO }, { 0, 0 } },
    { P(mul_reg), OE, { ONE, TWO }, { HUGE_VALUE, TWO }, PE }, { P(mul_memory), UE, { ONE, TWO }, { TINY, TINY }, PE },
    { P(add_reg), IE, { ONE, TWO }, { ONE, SIGNALLING } }, { P(compare), IE, { ONE, TWO }, { ONE, SIGNALLING } },
    { P(to_slot), PE, { ONE, TWO }, { ONE, ONE + 1 } },  { P(fused), OE, { ONE, TWO }, { HUGE_VALUE, HUGE_VALUE }, PE },
};

static void put_operands(const Guest *g, const Row *r)
{
    for (unsigned n = 0; n < 2; n++) {
        put64(g, OPERANDS + 16 * n, r->good[n]);
        put64(g, OPERANDS + 16 * n + 8, r->good[n]);
        put64(g, OPERANDS + 0x20 + 16 * n, r->bad[n]);
        put64(g, OPERANDS + 0x20 + 16 * n + 8, r->bad[n]);
    }
}

static CpuState state_with_avx(const Guest *g)
{
    CpuState s = state_with_sse(g);
    s.cr4 |= CR4_OSXSAVE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    return s;
}

static CpuState state_after(const Guest *g)
{
    CpuState s;
    g_assert_true(test_accel()->get(machine_vcpu(g->m, 0), &s, NULL));
    return s;
}

static void run_row(const Guest *g, const Row *r, uint32_t unmasked, uint64_t cr4_clear)
{
    put_operands(g, r);
    put64(g, CONTROL, 0x1f80 & ~(unmasked << MASKS_SHIFT));
    load(g, r->p.start, r->p.end);
    CpuState s = state_with_avx(g);
    s.cr4 &= ~cr4_clear;
    run_state(g, &s);
}

/* Registers, the operand and the flags are those from before the operation, and it is its address that was pushed. */
static void check_untouched(const Guest *g, const Row *r)
{
    CpuState s = state_after(g);
    uint64_t at = stack(g, 0) - GUEST_CODE;
    g_assert_cmphex(gpr(g, GPR_RCX), ==, 1);
    g_assert_cmphex(gpr(g, GPR_R10), ==, 0x1010);
    g_assert_cmphex(gpr(g, GPR_R11), ==, 0x1111);
    g_assert_cmphex(stack(g, 2) & RFLAGS_CF, ==, RFLAGS_CF);
    g_assert_cmphex(at, <, (uint64_t)(r->p.end - r->p.start) - 6);
    g_assert_cmpmem(s.fpu.xmm[1].bytes, 8, &r->bad[0], 8);
    g_assert_cmpmem(s.fpu.xmm[2].bytes, 8, &r->bad[1], 8);
    Insn insn;
    g_assert_cmpint(insn_decode(r->p.start + at, 15, CODE64, &insn), ==, DECODE_OK);
    g_assert_true(insn_row(&insn)->attrs & ROW_SIMD_FP);
}

static void test_simd(void)
{
    Guest g = guest_create(1, CODE64);
    for (unsigned n = 0; n < G_N_ELEMENTS(simd_rows); n++) {
        const Row *r = &simd_rows[n];
        g_test_message("row %u", n);
        run_row(&g, r, r->raises, 0);
        g_assert_cmpint(guest_vector(&g), ==, EXC_XM);
        g_assert_cmphex(state_after(&g).fpu.mxcsr & r->raises, ==, r->raises);
        check_untouched(&g, r);
        run_row(&g, r, r->raises, CR4_OSXMMEXCPT);
        g_assert_cmpint(guest_vector(&g), ==, EXC_UD);
        run_row(&g, r, 0x3f & ~(r->raises | r->too), 0);
        g_assert_cmpint(guest_vector(&g), ==, -1); /* the others do not matter */
        g_assert_cmphex(state_after(&g).fpu.mxcsr & r->raises, ==, r->raises);
    }
    guest_destroy(&g);
}

/* ---- a handler that masks the exception and returns: the operation is done again, a thousand times over */
PROGRAM(resumes, ".code64",
        "mov $1000, %r14d\n 1: ldmxcsr 0x20100\n movups 0x20000, %xmm1\n mov $0x20010, %r11d\n divsd (%r11), %xmm1\n dec %r14d\n jnz 1b\n stmxcsr 0x20300");
PROGRAM(masks, ".code64", "incl 0x20304\n ldmxcsr 0x20108\n iretq");

static void test_resumed(void)
{
    enum { HANDLER = 0xa000 };
    Guest g = guest_create(1, CODE64);
    put64(&g, OPERANDS, ONE), put64(&g, OPERANDS + 16, 0);
    put64(&g, CONTROL, 0x1f80 & ~(ZE << MASKS_SHIFT)), put64(&g, CONTROL + 8, 0x1f80);
    put64(&g, 0x20300, 0);
    load_at(&g, HANDLER, masks, masks_end);
    set_handler(&g, EXC_XM, HANDLER);
    RUN(g, resumes);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmphex(ram64(&g, 0x20300), ==, 1000ull << 32 | 0x1f80 | ZE);
    g_assert_cmpmem(state_after(&g).fpu.xmm[1].bytes, 8, &(uint64_t){ 0x7ff0000000000000 }, 8);
    guest_destroy(&g);
}

/* ---- x87: the next instruction that waits is it that faults */
#define X87(name, text) \
    PROGRAM(name, ".code64", "mov $21, %ecx\n mov $0x20000, %edi\n 1: fninit\n cmp $1, %ecx\n jne 2f\n add $0x20, %edi\n fldcw 0x20100\n 2: fldl 0x10(%rdi)\n fldl (%rdi)\n" \
            text "\n inc %eax\n fnstsw 0x20300\n 9: fwait\n inc %ebx\n dec %ecx\n jnz 1b")
X87(x87_div, "fdivp %st, %st(1)"); /* ST(0) / ST(1): gas has the name the wrong way round */
X87(x87_load, "nop");
X87(x87_sqrt, "fsqrt");
X87(x87_store, "fstps 0x20400");
X87(x87_stack, "fstp %st(0)\n fstp %st(0)\n fstp %st(0)");

static void test_x87(void)
{
    static const Row rows[] = {
        { P(x87_sqrt), IE, { ONE, ONE }, { 0xbff0000000000000, ONE } }, { P(x87_div), ZE, { ONE, TWO }, { ONE, 0 } },
        { P(x87_div), PE, { ONE, TWO }, { ONE, THREE } },               { P(x87_load), DE, { ONE, TWO }, { DENORMAL, ONE } },
        { P(x87_store), OE, { ONE, TWO }, { HUGE_VALUE, ONE } },        { P(x87_store), UE, { ONE, TWO }, { TINY, ONE } },
        { P(x87_stack), IE | X87_SF, { ONE, TWO }, { ONE, TWO } },
    };
    enum { BEHIND_FWAIT = 1 + 2 + 2 + 2 + 1, FSW_AT = 0x20300 }; /* fwait, inc, dec, jnz, hlt */
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        const Row *r = &rows[n];
        Guest g = guest_create(1, CODE64);
        g_test_message("row %u", n);
        put_operands(&g, r);
        put64(&g, CONTROL, 0x37f & ~(r->raises & 0x3f));
        load(&g, r->p.start, r->p.end);
        CpuState s = state_with_avx(&g);
        run_state(&g, &s);
        g_assert_cmpint(guest_vector(&g), ==, EXC_MF);
        g_assert_cmphex(stack(&g, 0), ==, GUEST_CODE + (uint64_t)(r->p.end - r->p.start) - BEHIND_FWAIT);
        g_assert_cmphex(ram64(&g, FSW_AT) & (r->raises | X87_ES), ==, r->raises | X87_ES);
        g_assert_cmpuint(gpr(&g, GPR_RAX), ==, 21);
        g_assert_cmpuint(gpr(&g, GPR_RBX), ==, 20);
        guest_destroy(&g);
    }
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/fpe/simd", test_simd }, { "/dbt/fpe/resumed", test_resumed }, { "/dbt/fpe/x87", test_x87 },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
