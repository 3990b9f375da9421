/*
 * enter.c - the guest's FPU and flags on their way into translated code and out again.
 */
#include "accel/dbt/dbt.h"
#include "accel/interp/fpu.h"

/* ---- the FPU: the guest's state stays in the host's registers until C code runs that may use them */

enum { XSAVE_MASK = XCR0_X87 | XCR0_SSE | XCR0_AVX, MXCSR_HOST = 0x1f80 };

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
    v->i.fpu_in_host = true;
}

void dbt_fpu_save(InterpVcpu *v)
{
    XsaveImage *x = &v->s.fpu;
    uint64_t bv = x->xstate_bv, compact = x->xcomp_bv, fip = x->fip, fdp = x->fdp;
    uint16_t fop = x->fop;
    uint32_t low = XSAVE_MASK, high = 0, mxcsr = MXCSR_HOST;
    __asm__ volatile("xsave64 %0; fninit; ldmxcsr %1; vzeroupper" : "+m"(*x) : "m"(mxcsr), "a"(low), "d"(high) : "memory");
    x->xstate_bv = bv;
    x->xcomp_bv = compact;
    x->mxcsr_mask = MXCSR_VALID;
    if (x->fip != fip || x->fdp != fdp || x->fop != fop) /* they name host code: not the guest's business */
        x->fip = x->fdp = x->fop = 0;
    v->fpu_in_host = false;
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
