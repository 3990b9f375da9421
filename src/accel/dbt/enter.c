/*
 * enter.c - into translated code and out again.
 *
 * The guest's FPU registers are the host's own while translated code runs.  No function of this file may touch them, so
 * the compiler is told to use general registers only.
 */
#include "accel/dbt/dbt.h"

#pragma GCC target("general-regs-only")

/* ---- the FPU: the guest's state stays in the host's registers while translated code uses it, and is in CpuState
 * whenever C code runs */

enum { XSAVE_MASK = XCR0_X87 | XCR0_SSE | XCR0_AVX, MXCSR_HOST = 0x1f80, FSW_ES = 0x80 };

static void fpu_load(DbtVcpu *v)
{
    XsaveImage *x = &v->i.s.fpu;
    uint64_t bv = x->xstate_bv, compact = x->xcomp_bv;
    x->xstate_bv = XSAVE_MASK; /* the image counts as it stands */
    x->xcomp_bv = 0;
    uint32_t low = XSAVE_MASK, high = 0;
    __asm__ volatile("xrstor64 %0" : : "m"(*x), "a"(low), "d"(high) : "memory");
    x->xstate_bv = bv;
    x->xcomp_bv = compact;
    atomic_store_explicit(&v->fpu_live, 1, memory_order_relaxed);
}

static void fpu_save(DbtVcpu *v)
{
    XsaveImage *x = &v->i.s.fpu;
    uint64_t bv = x->xstate_bv, compact = x->xcomp_bv, fip = x->fip, fdp = x->fdp;
    uint16_t fop = x->fop;
    uint32_t low = XSAVE_MASK, high = 0, mxcsr = MXCSR_HOST;
    __asm__ volatile("xsave64 %0; fninit; ldmxcsr %1; vzeroupper" : "+m"(*x) : "m"(mxcsr), "a"(low), "d"(high) : "memory");
    x->xstate_bv = bv;
    x->xcomp_bv = compact;
    /* The host's, not the guest's.  AMD's processors give 0 too unless an exception is pending, and then translated code has
     * executed no x87 instruction (mode.c). */
    bool pending = x->fsw & FSW_ES;
    x->fip = pending ? fip : 0;
    x->fdp = pending ? fdp : 0;
    x->fop = pending ? fop : 0;
    atomic_store_explicit(&v->fpu_live, 0, memory_order_relaxed);
}

/* ---- flags */

/* As LAHF and SETO left them in RAX. */
static uint64_t flags_from_lahf(uint64_t rax)
{
    uint64_t flags = rax >> 8 & (RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF | RFLAGS_CF);
    return flags | (rax & 1 ? RFLAGS_OF : 0);
}

static void take_flags(DbtVcpu *v, const DbtExit *x)
{
    uint64_t flags = x->flags_saved ? flags_from_lahf(v->flags_tmp) : v->resume & RFLAGS_STATUS;
    v->i.s.rflags = (v->i.s.rflags & ~(uint64_t)RFLAGS_STATUS) | flags;
}

/* ---- in and out */

DbtExit *dbt_run_code(DbtVcpu *v, const void *code, bool uses_fpu)
{
    if (uses_fpu)
        fpu_load(v);
    v->flags_tmp = (v->i.s.rflags & RFLAGS_STATUS) | RFLAGS_ONE | RFLAGS_IF;
    dbt_glue_enter(v->glue)(v, code);
    if (atomic_load_explicit(&v->fpu_live, memory_order_relaxed))
        fpu_save(v);
    DbtExit *x = v->exit;
    take_flags(v, x);
    v->i.s.rip = v->i.next_rip = x->kind == EXIT_INDIRECT ? v->ea : x->rip;
    if (x->kind == EXIT_INDIRECT && v->i.code_size != CODE64)
        v->i.s.rip = v->i.next_rip = (uint32_t)v->ea;
    v->stats.exits[x->kind]++;
    return x;
}
