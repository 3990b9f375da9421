/*
 * bench_simd.c - what the interpreter takes for one SIMD or x87 instruction, in nanoseconds.
 *
 * Each line is one instruction, eight times in a loop of a guest in 64-bit mode; the loop's own part is measured by NOPs and left in (it is the cost of any instruction).
 */
#include <stdio.h>
#include <time.h>

#include "accel/interp/test_guest.h"

enum { UNROLL = 8, ROUNDS = 100000, CODE_AT = 0x100000, DATA_AT = 0x400000 };

/* The code of one loop: RCX rounds of eight times `text`, with RSI at data. */
#define LOOP(symbol, text)                                                                                             \
    extern const uint8_t symbol[], symbol##_end[];                                                                     \
    __asm__(".pushsection .rodata; " #symbol ": 1: .rept 8; " text "; .endr; dec %rcx; jnz 1b; hlt; " #symbol          \
            "_end: .popsection")

LOOP(loop_nop, "nop");
LOOP(loop_movaps, "movaps (%rsi), %xmm1");
LOOP(loop_movups_store, "movups %xmm1, 16(%rsi)");
LOOP(loop_movq, "movq %rax, %xmm2");
LOOP(loop_pxor, "pxor %xmm1, %xmm2");
LOOP(loop_paddd_mem, "paddd (%rsi), %xmm2");
LOOP(loop_addsd, "addsd %xmm1, %xmm2");
LOOP(loop_comisd, "comisd %xmm1, %xmm2");
LOOP(loop_vpaddd, "vpaddd %ymm1, %ymm2, %ymm3");
LOOP(loop_paddb_mmx, "paddb %mm1, %mm2");
LOOP(loop_x87, "fadd %st(1), %st(0)");
LOOP(loop_fld_fstp, "fldl (%rsi); fstpl 8(%rsi)");

typedef struct Bench {
    const char *name;
    const uint8_t *code, *end;
    unsigned instructions; /* in one repetition */
} Bench;

static const Bench benches[] = {
    { "nop", loop_nop, loop_nop_end, 1 },
    { "movaps load", loop_movaps, loop_movaps_end, 1 },
    { "movups store", loop_movups_store, loop_movups_store_end, 1 },
    { "movq gpr", loop_movq, loop_movq_end, 1 },
    { "pxor", loop_pxor, loop_pxor_end, 1 },
    { "paddd memory", loop_paddd_mem, loop_paddd_mem_end, 1 },
    { "addsd", loop_addsd, loop_addsd_end, 1 },
    { "comisd", loop_comisd, loop_comisd_end, 1 },
    { "vpaddd ymm", loop_vpaddd, loop_vpaddd_end, 1 },
    { "paddb mmx", loop_paddb_mmx, loop_paddb_mmx_end, 1 },
    { "fadd", loop_x87, loop_x87_end, 1 },
    { "fld, fstp", loop_fld_fstp, loop_fld_fstp_end, 2 },
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static CpuState start_state(const Guest *g)
{
    CpuState s = guest_state(g);
    s.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    s.fpu.fcw = 0x037f;
    s.fpu.ftw = 0xff;
    s.fpu.mxcsr = 0x1f80;
    s.gpr[GPR_RCX] = ROUNDS;
    s.gpr[GPR_RSI] = DATA_AT;
    return s;
}

/* Nanoseconds of processor time a repetition. */
static double run(const Guest *g, const Bench *b)
{
    uint64_t at = CODE_AT + (b - benches) * 0x1000ull;
    memcpy(g->ram + at, b->code, b->end - b->code);
    CpuState s = start_state(g);
    s.rip = at;
    double best = 1e9;
    for (unsigned round = 0; round < 3; round++) {
        guest_set(g, 0, &s);
        double start = now();
        guest_run(g);
        best = MIN(best, now() - start);
    }
    g_assert_cmpuint(guest_vcpu(g, 0)->s.gpr[GPR_RCX], ==, 0);
    return best * 1e9 / ((double)ROUNDS * UNROLL);
}

int main(void)
{
    Guest g = guest_create(1, CODE64);
    double loop = run(&g, &benches[0]);
    for (size_t i = 1; i < G_N_ELEMENTS(benches); i++)
        printf("%-14s %6.1f ns\n", benches[i].name, (run(&g, &benches[i]) - loop) / benches[i].instructions + loop);
    guest_destroy(&g);
    return 0;
}
