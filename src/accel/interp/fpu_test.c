/*
 * fpu_test.c - what the differential test against the host cannot reach: x87, MMX, SSE and AVX under control register
 * bits, x87 environments in real mode, pending exceptions, and a stub cache that overflows.
 */
#include <stdio.h>

#include "accel/interp/test_guest.h"
#include "jit/code_buffer.h"

#define PROGRAM(name, mode, text)                                                                                      \
    asm(".pushsection .rodata\n.balign 16\n.local " #name "\n.local " #name "_end\n" #name ":\n" mode "\n" text        \
        "\nhlt\n" #name "_end:\n.code64\n.popsection\n");                                                              \
    extern const uint8_t name[], name##_end[]

static CpuState fpu_state(const Guest *g)
{
    CpuState s = guest_state(g);
    s.cr0 |= CR0_NE | CR0_MP;
    s.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    return s;
}

static void run(const Guest *g, const CpuState *s, const uint8_t *program, const uint8_t *end)
{
    g_assert_true(dma_write(g->m, GUEST_CODE, program, end - program));
    guest_set(g, 0, s);
    guest_run(g);
}

static CpuState state_after(const Guest *g)
{
    return guest_vcpu(g, 0)->s;
}

/* ---- control register bits */
PROGRAM(use_x87, ".code64", "fld1");
PROGRAM(use_wait, ".code64", "fwait");
PROGRAM(use_mmx, ".code64", "paddb %mm0, %mm1");
PROGRAM(use_emms, ".code64", "emms");
PROGRAM(use_sse, ".code64", "addps %xmm0, %xmm1");
PROGRAM(use_move, ".code64", "movaps %xmm0, %xmm1");
PROGRAM(use_avx, ".code64", "vaddps %ymm0, %ymm1, %ymm2");
PROGRAM(use_fxsave, ".code64", "fxsave 0x20000");
PROGRAM(use_xsave, ".code64", "xor %edx, %edx; mov $7, %eax; xsave 0x20000");
PROGRAM(use_misaligned, ".code64", "movaps 0x20001, %xmm1");
PROGRAM(divide_by_zero, ".code64",
        "movl $0x1d80, 0x20000; ldmxcsr 0x20000; xorps %xmm1, %xmm1; mov $1, %eax; cvtsi2ss %eax, %xmm0; divss %xmm1, "
        "%xmm0");
PROGRAM(x87_divide_by_zero, ".code64",
        "movw $0x37b, 0x20000; fldcw 0x20000; fld1; fldz; fdivrp %st(0), %st(1); mov $1, %eax; fwait; mov $2, %eax");

typedef struct Availability {
    const uint8_t *program, *end;
    uint64_t cr0_set, cr0_clear, cr4_clear, xcr0_clear;
    int vector; /* -1: none */
} Availability;
#define CASE(program) program, program##_end

static const Availability availability[] = {
    { CASE(use_x87), .vector = -1 },
    { CASE(use_x87), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_x87), .cr0_set = CR0_EM, .vector = EXC_NM },
    { CASE(use_wait), .cr0_set = CR0_EM, .vector = -1 },
    { CASE(use_wait), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_wait), .cr0_set = CR0_TS, .cr0_clear = CR0_MP, .vector = -1 },
    { CASE(use_mmx), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_mmx), .cr0_set = CR0_EM, .vector = EXC_UD },
    { CASE(use_mmx), .cr4_clear = CR4_OSFXSR, .vector = -1 },
    { CASE(use_emms), .cr0_set = CR0_EM, .vector = EXC_UD },
    { CASE(use_sse), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_sse), .cr0_set = CR0_EM, .vector = EXC_UD },
    { CASE(use_sse), .cr4_clear = CR4_OSFXSR, .vector = EXC_UD },
    { CASE(use_move), .cr4_clear = CR4_OSFXSR, .vector = EXC_UD },
    { CASE(use_move), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_avx), .vector = -1 },
    { CASE(use_avx), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_avx), .cr4_clear = CR4_OSXSAVE, .vector = EXC_UD },
    { CASE(use_avx), .xcr0_clear = XCR0_AVX, .vector = EXC_UD },
    { CASE(use_fxsave), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_fxsave), .cr0_set = CR0_EM, .vector = EXC_NM },
    { CASE(use_xsave), .vector = -1 },
    { CASE(use_xsave), .cr0_set = CR0_TS, .vector = EXC_NM },
    { CASE(use_xsave), .cr4_clear = CR4_OSXSAVE, .vector = EXC_UD },
    { CASE(use_misaligned), .vector = EXC_GP },
    { CASE(divide_by_zero), .vector = EXC_XM },
    { CASE(divide_by_zero), .cr4_clear = CR4_OSXMMEXCPT, .vector = EXC_UD },
    { CASE(x87_divide_by_zero), .vector = EXC_MF },
    { CASE(x87_divide_by_zero), .cr0_clear = CR0_NE, .vector = -1 },
};

static void test_availability(void)
{
    Guest g = guest_create(1, CODE64);
    for (size_t n = 0; n < G_N_ELEMENTS(availability); n++) {
        const Availability *a = &availability[n];
        CpuState s = fpu_state(&g);
        s.cr0 = (s.cr0 | a->cr0_set) & ~a->cr0_clear;
        s.cr4 &= ~a->cr4_clear;
        s.xcr0 &= ~a->xcr0_clear;
        run(&g, &s, a->program, a->end);
        g_test_message("row %zu", n);
        g_assert_cmpint(guest_vector(&g), ==, a->vector);
    }
    guest_destroy(&g);
}

static void test_unmasked(void)
{
    Guest g = guest_create(1, CODE64);
    CpuState s = fpu_state(&g);
    run(&g, &s, divide_by_zero, divide_by_zero_end);
    CpuState after = state_after(&g);
    g_assert_cmphex(after.fpu.mxcsr, ==, 0x1d84);                         /* ZE is recorded */
    g_assert_cmphex(*(uint32_t *)after.fpu.xmm[0].bytes, ==, 0x3f800000); /* and the result is not */

    run(&g, &s, x87_divide_by_zero, x87_divide_by_zero_end);
    after = state_after(&g);
    g_assert_cmpuint(after.gpr[GPR_RAX], ==, 1); /* the next waiting instruction is it that faults */
    g_assert_cmphex(after.fpu.fsw & 0x8084, ==, 0x8084);
    g_assert_cmphex(after.fpu.fop, ==, 0x6f9); /* DE F9: FDIVP, which gas has the wrong way round */
    guest_destroy(&g);
}

/* ---- environments */
PROGRAM(env16, ".code16",
        "fninit; fld1; fldz; fnstenv 0x2000; fldenv 0x2000; fnstenv 0x2040; fstpt 0x2080; fstpt 0x2090");
PROGRAM(env16_wide, ".code16",
        "fninit; fld1; fldz; data32 fnstenv 0x2000; data32 fldenv 0x2000; data32 fnstenv 0x2040");
PROGRAM(env32, ".code32", "fninit; fld1; fldz; fnstenv 0x2000; fldenv 0x2000; fnstenv 0x2040");
PROGRAM(env64, ".code64", "fninit; fld1; fldz; fnstenv 0x2000; fldenv 0x2000; fnstenv 0x2040");
PROGRAM(save32, ".code32",
        "fninit; fld1; fldpi; fnsave 0x2000; fnstsw %ax; frstor 0x2000; fstpt 0x2080; fstpt 0x2090; fnstsw 0x20a0");

static uint32_t word(const Guest *g, uint64_t at)
{
    return g->ram[at] | g->ram[at + 1] << 8;
}
static uint32_t dword(const Guest *g, uint64_t at)
{
    return word(g, at) | word(g, at + 2) << 16;
}

/* ST(0) is 0 and ST(1) 1: TOP 6, tags of R7 valid and of R6 zero. */
enum { ENV_FCW = 0x037f, ENV_FSW = 0x3000, ENV_TAGS = 0x1fff, FLDZ_AT = GUEST_CODE + 4 };

static void test_env16(void)
{
    Guest g = guest_create(1, CODE16);
    CpuState s = fpu_state(&g);
    s.seg[SEG_CS].selector = 0x700; /* the same linear addresses, to see that pointers are linear */
    s.seg[SEG_CS].base = 0x7000;
    s.rip = GUEST_CODE - 0x7000;
    run(&g, &s, env16, env16_end);
    for (uint64_t at = 0x2000; at <= 0x2040; at += 0x40) {
        g_assert_cmphex(word(&g, at), ==, ENV_FCW);
        g_assert_cmphex(word(&g, at + 2), ==, ENV_FSW);
        g_assert_cmphex(word(&g, at + 4), ==, ENV_TAGS);
        g_assert_cmphex(word(&g, at + 6), ==, FLDZ_AT);
    }
    g_assert_cmphex(dword(&g, 0x2084), ==, 0);
    g_assert_cmphex(dword(&g, 0x2096), ==, 0x3fff8000); /* 1.0: FLDENV has left the registers where they were */

    run(&g, &s, env16_wide, env16_wide_end);
    for (uint64_t at = 0x2000; at <= 0x2040; at += 0x40) {
        g_assert_cmphex(dword(&g, at + 4), ==, 0xffff0000 | ENV_FSW);
        g_assert_cmphex(dword(&g, at + 8), ==, 0xffff0000 | ENV_TAGS);
        g_assert_cmphex(word(&g, at + 12), ==, FLDZ_AT);
    }
    guest_destroy(&g);
}

/* The translator shows 0 as the address of what it executed itself: docs/dbt.md, known differences. */
static uint32_t fldz_shown(void) { return test_accel() == &accel_interp ? FLDZ_AT : 0; }

static void test_env32(void)
{
    Guest g = guest_create(1, CODE32);
    CpuState s = fpu_state(&g);
    run(&g, &s, env32, env32_end);
    for (uint64_t at = 0x2000; at <= 0x2040; at += 0x40) {
        g_assert_cmphex(dword(&g, at), ==, 0xffff0000 | ENV_FCW);
        g_assert_cmphex(dword(&g, at + 4), ==, 0xffff0000 | ENV_FSW);
        g_assert_cmphex(dword(&g, at + 8), ==, 0xffff0000 | ENV_TAGS);
        g_assert_cmphex(dword(&g, at + 12), ==, fldz_shown());
        g_assert_cmphex(word(&g, at + 16), ==, fldz_shown() ? 8 : 0); /* CS */
    }
    run(&g, &s, save32, save32_end);
    g_assert_cmphex(state_after(&g).gpr[GPR_RAX] & 0xffff, ==, 0); /* FNSAVE initialises */
    g_assert_cmphex(dword(&g, 0x2086), ==, 0x4000c90f);            /* pi */
    g_assert_cmphex(dword(&g, 0x2096), ==, 0x3fff8000);
    g_assert_cmphex(word(&g, 0x20a0), ==, 0);
    guest_destroy(&g);
}

static void test_env64(void)
{
    Guest g = guest_create(1, CODE64);
    CpuState s = fpu_state(&g);
    run(&g, &s, env64, env64_end);
    g_assert_cmphex(dword(&g, 0x2044), ==, 0xffff0000 | ENV_FSW);
    g_assert_cmphex(dword(&g, 0x204c), ==, fldz_shown());
    g_assert_cmphex(word(&g, 0x2050), ==, 0); /* no selectors */
    guest_destroy(&g);
}

/* ---- more different instructions than the stub cache holds */
enum { SHUFFLES = 40000 };

/* PSHUFD xmm, xmm, imm with every register and immediate in turn. */
static size_t emit_shuffles(uint8_t *code, uint8_t last)
{
    uint8_t *p = code;
    for (unsigned n = 0; n < SHUFFLES; n++) {
        unsigned to = n & 15, from = n >> 4 & 15, imm = (n >> 8) * 37 + n;
        const uint8_t insn[] = { 0x66, (uint8_t)(0x40 | (to & 8) >> 1 | from >> 3),  0x0f,
                                 0x70, (uint8_t)(0xc0 | (to & 7) << 3 | (from & 7)), (uint8_t)imm };
        memcpy(p, insn, sizeof(insn));
        p += sizeof(insn);
    }
    *p++ = last;
    return (size_t)(p - code);
}

/* The same code natively: between loads and stores of all registers from RDI. */
static void run_natively(uint8_t registers[16][16])
{
    g_autoptr(GError) err = NULL;
    g_autoptr(CodeBuffer) cb = code_buffer_create(SHUFFLES * 6 + 4096, &err);
    g_assert_no_error(err);
    uint8_t *w = code_buffer_reserve(cb, SHUFFLES * 6 + 16);
    void (*code)(void) = (void (*)(void))code_buffer_commit(cb, emit_shuffles(w, 0xc3));
    __asm__ volatile(
        "movups (%1), %%xmm0; movups 16(%1), %%xmm1; movups 32(%1), %%xmm2; movups 48(%1), %%xmm3;"
        "movups 64(%1), %%xmm4; movups 80(%1), %%xmm5; movups 96(%1), %%xmm6; movups 112(%1), %%xmm7;"
        "movups 128(%1), %%xmm8; movups 144(%1), %%xmm9; movups 160(%1), %%xmm10; movups 176(%1), %%xmm11;"
        "movups 192(%1), %%xmm12; movups 208(%1), %%xmm13; movups 224(%1), %%xmm14; movups 240(%1), %%xmm15;"
        "lea -128(%%rsp), %%rsp; call *%0; lea 128(%%rsp), %%rsp;"
        "movups %%xmm0, (%1); movups %%xmm1, 16(%1); movups %%xmm2, 32(%1); movups %%xmm3, 48(%1);"
        "movups %%xmm4, 64(%1); movups %%xmm5, 80(%1); movups %%xmm6, 96(%1); movups %%xmm7, 112(%1);"
        "movups %%xmm8, 128(%1); movups %%xmm9, 144(%1); movups %%xmm10, 160(%1); movups %%xmm11, 176(%1);"
        "movups %%xmm12, 192(%1); movups %%xmm13, 208(%1); movups %%xmm14, 224(%1); movups %%xmm15, 240(%1)"
        :
        : "b"(code), "D"(registers)
        : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
          "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static void test_many_stubs(void)
{
    Guest g = guest_create(1, CODE64);
    CpuState s = fpu_state(&g);
    uint8_t registers[16][16];
    for (unsigned n = 0; n < 256; n++)
        registers[n / 16][n % 16] = (uint8_t)(n * 73 + 5);
    memcpy(s.fpu.xmm, registers, sizeof(registers));
    emit_shuffles(g.ram + 0x100000, 0xf4);
    s.rip = 0x100000;
    guest_set(&g, 0, &s);
    guest_run(&g);
    run_natively(registers);
    g_assert_cmpint(guest_vector(&g), ==, -1);
    g_assert_cmpmem(state_after(&g).fpu.xmm, sizeof(registers), registers, sizeof(registers));
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/accel/interp/fpu/availability", test_availability);
    g_test_add_func("/accel/interp/fpu/unmasked", test_unmasked);
    g_test_add_func("/accel/interp/fpu/env16", test_env16);
    g_test_add_func("/accel/interp/fpu/env32", test_env32);
    g_test_add_func("/accel/interp/fpu/env64", test_env64);
    g_test_add_func("/accel/interp/fpu/many_stubs", test_many_stubs);
    return g_test_run();
}
