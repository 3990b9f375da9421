/*
 * enter.c - the guest's FPU and flags on their way into translated code and out again.
 */
#include "accel/dbt/dbt.h"

/* ---- the FPU: the guest's state stays in the host's registers while translated code uses it, and is in CpuState
 * whenever C code runs */

enum { XSAVE_MASK = XCR0_X87 | XCR0_SSE | XCR0_AVX, MXCSR_HOST = 0x1f80, FSW_ES = 0x80 };

void dbt_fpu_load(DbtVcpu *v)
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

void dbt_fpu_save(DbtVcpu *v)
{
    if (!atomic_load_explicit(&v->fpu_live, memory_order_relaxed))
        return;
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

enum { LAHF_BITS = RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF | RFLAGS_CF, OF_SHIFT = 11 };

void dbt_flags_out(DbtVcpu *v)
{
    uint64_t rax = v->flags_tmp;
    v->i.s.rflags = (v->i.s.rflags & ~(uint64_t)RFLAGS_STATUS) | (rax >> 8 & LAHF_BITS) | (rax & 1) << OF_SHIFT;
}

void dbt_flags_in(DbtVcpu *v)
{
    uint64_t flags = v->i.s.rflags;
    v->flags_tmp = (flags & LAHF_BITS) << 8 | (flags >> OF_SHIFT & 1);
}
