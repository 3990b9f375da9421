/*
 * xsave.c - FXSAVE, FXRSTOR and the XSAVE family over the image in CpuState, for the components x87, SSE and AVX.
 * SDM 1, 10.5 and chapter 13.
 */
#include <string.h>

#include "accel/interp/fpu.h"

#define XSAVE_COMPONENTS (XCR0_X87 | XCR0_SSE | XCR0_AVX)
#define XCOMP_COMPACTED  (1ull << 63)

enum {
    AREA_X87_END = 24, /* FCW to FDP */
    AREA_MXCSR = 24,
    AREA_ST = 32,
    AREA_XMM = 160,
    AREA_HEADER = 512,
    AREA_XSTATE_BV = 512,
    AREA_XCOMP_BV = 520,
    AREA_AVX = 576, /* in both formats: AVX is the first extended component */
    AREA_END = 832,
    LEGACY_BYTES = 416, /* what FXSAVE writes; the rest is the operating system's */
};

static unsigned xmm_count(const InterpVcpu *v)
{
    return v->code_size == CODE64 ? 16 : 8;
}
static uint64_t area_get(const uint8_t *area, unsigned at)
{
    uint64_t value;
    memcpy(&value, area + at, 8);
    return value;
}

static void check_fxsave(InterpVcpu *v)
{
    if (v->s.cr0 & (CR0_EM | CR0_TS))
        interp_raise(v, EXC_NM);
}

static void check_xsave(InterpVcpu *v)
{
    if (!(v->s.cr4 & CR4_OSXSAVE))
        interp_ud(v);
    if (v->s.cr0 & CR0_TS)
        interp_raise(v, EXC_NM);
}

/* FIP and FDP without REX.W are 32 bits and a selector, which in 64-bit mode is not kept. */
static uint64_t saved_pointer(const InterpVcpu *v, const Insn *i, uint64_t pointer)
{
    if (v->code_size == CODE64)
        return i->prefixes & PFX_REX_W ? pointer : (uint32_t)pointer;
    return pointer & 0x0000ffffffffffffull;
}

/* The same when loaded: FIP and FDP are sign-extended from the width of linear addresses. */
static uint64_t loaded_pointer(const InterpVcpu *v, const Insn *i, uint64_t pointer)
{
    unsigned unused = 64 - interp_model(v)->virt_bits;
    uint64_t value = saved_pointer(v, i, pointer);
    return v->code_size == CODE64 ? (uint64_t)((int64_t)(value << unused) >> unused) : value;
}

static void put_x87(const InterpVcpu *v, const Insn *i, uint8_t *area)
{
    const XsaveImage *x = &v->s.fpu;
    memcpy(area, x, AREA_X87_END);
    area[5] = 0;
    memcpy(area + 8, &(uint64_t){ saved_pointer(v, i, x->fip) }, 8);
    memcpy(area + 16, &(uint64_t){ saved_pointer(v, i, x->fdp) }, 8);
    memset(area + AREA_ST, 0, AREA_XMM - AREA_ST);
    for (unsigned n = 0; n < 8; n++)
        memcpy(area + AREA_ST + 16 * n, x->st[n].bytes, 10);
}

static void get_x87(InterpVcpu *v, const Insn *i, const uint8_t *area)
{
    XsaveImage *x = &v->s.fpu;
    memcpy(x, area, AREA_X87_END);
    x->reserved0 = 0;
    x->fcw = (uint16_t)((x->fcw & 0x1f3f) | 0x40);
    x->fop &= 0x7ff;
    x->fip = loaded_pointer(v, i, x->fip);
    x->fdp = loaded_pointer(v, i, x->fdp);
    memset(x->st, 0, sizeof(x->st));
    for (unsigned n = 0; n < 8; n++)
        memcpy(x->st[n].bytes, area + AREA_ST + 16 * n, 10);
    x->fsw &= ~(FSW_ES | FSW_B);
    if (x->fsw & ~x->fcw & FSW_EXCEPTIONS)
        x->fsw |= FSW_ES | FSW_B;
}

static void init_x87(XsaveImage *x)
{
    memset(x, 0, AREA_X87_END);
    x->fcw = FCW_INIT;
    memset(x->st, 0, sizeof(x->st));
}

static void put_mxcsr(const XsaveImage *x, uint8_t *area)
{
    const uint32_t words[2] = { x->mxcsr, MXCSR_VALID };
    memcpy(area + AREA_MXCSR, words, 8);
}

static uint32_t area_mxcsr(const uint8_t *area)
{
    return (uint32_t)area_get(area, AREA_MXCSR);
}

void exec_fxsave(InterpVcpu *v, const Insn *i)
{
    check_fxsave(v);
    uint64_t offset = simd_aligned_address(v, i, 16);
    mem_probe_write(v, i->seg, offset, AREA_HEADER); /* all of it must be writable, though not all is written */
    uint8_t area[LEGACY_BYTES];
    put_x87(v, i, area);
    put_mxcsr(&v->s.fpu, area);
    memcpy(area + AREA_XMM, v->s.fpu.xmm, sizeof(v->s.fpu.xmm));
    mem_write_bytes(v, i->seg, offset, area, AREA_XMM + 16 * xmm_count(v));
}

void exec_fxrstor(InterpVcpu *v, const Insn *i)
{
    check_fxsave(v);
    uint64_t offset = simd_aligned_address(v, i, 16);
    uint8_t area[512];
    mem_read_bytes(v, i->seg, offset, area, sizeof(area));
    if (area_mxcsr(area) & ~MXCSR_VALID)
        interp_gp0(v);
    get_x87(v, i, area);
    v->s.fpu.mxcsr = area_mxcsr(area);
    memcpy(v->s.fpu.xmm, area + AREA_XMM, 16 * xmm_count(v));
}

/* ---- XSAVE family */

static bool is_zero(const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t k = 0; k < n; k++)
        if (b[k])
            return false;
    return true;
}

/* XINUSE: components that are not in their initial state. */
static uint64_t in_use(const InterpVcpu *v)
{
    const XsaveImage *x = &v->s.fpu;
    uint64_t used = 0;
    if (x->fcw != FCW_INIT || !is_zero((const uint8_t *)x + 2, AREA_X87_END - 2) || !is_zero(x->st, sizeof(x->st)))
        used |= XCR0_X87;
    if (!is_zero(x->xmm, 16 * xmm_count(v)))
        used |= XCR0_SSE;
    if (!is_zero(x->ymm_high, 16 * xmm_count(v)))
        used |= XCR0_AVX;
    return used;
}

void fpu_export(CpuState *s)
{
    if (!is_zero(s->fpu.ymm_high, sizeof(s->fpu.ymm_high)))
        s->fpu.xstate_bv |= XCR0_AVX;
}

static uint64_t requested(const InterpVcpu *v, uint64_t enabled)
{
    uint64_t mask = (uint32_t)v->s.gpr[GPR_RAX] | v->s.gpr[GPR_RDX] << 32;
    return mask & enabled & XSAVE_COMPONENTS;
}

typedef enum SaveForm { SAVE_PLAIN, SAVE_OPT, SAVE_COMPACTED } SaveForm;

static void put_components(InterpVcpu *v, const Insn *i, uint8_t *area, uint64_t which)
{
    const XsaveImage *x = &v->s.fpu;
    if (which & XCR0_X87)
        put_x87(v, i, area);
    if (which & XCR0_SSE)
        memcpy(area + AREA_XMM, x->xmm, 16 * xmm_count(v));
    if (which & XCR0_AVX)
        memcpy(area + AREA_AVX, x->ymm_high, 16 * xmm_count(v));
}

/* Writes only what is asked for, by reading the area, changing it and writing it back: it is all the guest's memory,
 * and the whole of it must be accessible anyway. */
static void save(InterpVcpu *v, const Insn *i, SaveForm form, uint64_t enabled)
{
    check_xsave(v);
    uint64_t offset = simd_aligned_address(v, i, 64);
    uint64_t rfbm = requested(v, enabled), used = in_use(v) & rfbm;
    unsigned n = rfbm & XCR0_AVX ? AREA_END : AREA_AVX;
    mem_probe_write(v, i->seg, offset, n);
    uint8_t area[AREA_END];
    mem_read_bytes(v, i->seg, offset, area, n);

    bool compacted = form == SAVE_COMPACTED;
    if (compacted && rfbm & XCR0_SSE && v->s.fpu.mxcsr != MXCSR_INIT)
        used |= XCR0_SSE;
    put_components(v, i, area, form == SAVE_PLAIN ? rfbm : used);
    if (compacted ? used & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX))
        put_mxcsr(&v->s.fpu, area);
    uint64_t bv = compacted ? used : (area_get(area, AREA_XSTATE_BV) & ~rfbm) | used;
    memcpy(area + AREA_XSTATE_BV, &bv, 8);
    if (compacted)
        memcpy(area + AREA_XCOMP_BV, &(uint64_t){ rfbm | XCOMP_COMPACTED }, 8);
    mem_write_bytes(v, i->seg, offset, area, n);
}

void exec_xsave(InterpVcpu *v, const Insn *i)
{
    save(v, i, SAVE_PLAIN, v->s.xcr0);
}
void exec_xsaveopt(InterpVcpu *v, const Insn *i)
{
    save(v, i, SAVE_OPT, v->s.xcr0);
}
void exec_xsavec(InterpVcpu *v, const Insn *i)
{
    save(v, i, SAVE_COMPACTED, v->s.xcr0);
}

void exec_xsaves(InterpVcpu *v, const Insn *i)
{
    if (v->cpl)
        interp_gp0(v);
    save(v, i, SAVE_COMPACTED, v->s.xcr0 | v->s.xss);
}

/* The rules of 13.8.1 and 13.8.2: which headers are refused with #GP(0). */
static void check_header(InterpVcpu *v, const uint8_t *header, uint64_t enabled, bool must_be_compacted)
{
    uint64_t bv = area_get(header, 0), comp = area_get(header, 8);
    bool compacted = comp & XCOMP_COMPACTED;
    bool bad = compacted ? comp & ~XCOMP_COMPACTED & ~enabled || bv & ~comp || !is_zero(header + 16, 48)
                         : must_be_compacted || comp || bv & ~enabled || !is_zero(header + 16, 8);
    if (bad || (compacted && !cpu_has(interp_model(v), FEAT_XSAVEC)))
        interp_gp0(v);
}

static void restore_components(InterpVcpu *v, const Insn *i, const uint8_t *area, uint64_t rfbm, uint64_t bv)
{
    XsaveImage *x = &v->s.fpu;
    if (rfbm & XCR0_X87) {
        if (bv & XCR0_X87)
            get_x87(v, i, area);
        else
            init_x87(x);
    }
    size_t n = 16 * xmm_count(v);
    if (rfbm & XCR0_SSE) {
        if (bv & XCR0_SSE)
            memcpy(x->xmm, area + AREA_XMM, n);
        else
            memset(x->xmm, 0, n);
    }
    if (rfbm & XCR0_AVX) {
        if (bv & XCR0_AVX)
            memcpy(x->ymm_high, area + AREA_AVX, n);
        else
            memset(x->ymm_high, 0, n);
    }
}

static void restore(InterpVcpu *v, const Insn *i, uint64_t enabled, bool must_be_compacted)
{
    check_xsave(v);
    uint64_t offset = simd_aligned_address(v, i, 64);
    uint64_t rfbm = requested(v, enabled);
    uint8_t area[AREA_END];
    mem_read_bytes(v, i->seg, offset, area, AREA_AVX);
    check_header(v, area + AREA_HEADER, enabled, must_be_compacted);
    uint64_t bv = area_get(area, AREA_XSTATE_BV);
    if (rfbm & bv & XCR0_AVX)
        mem_read_bytes(v, i->seg, offset + AREA_AVX, area + AREA_AVX, AREA_END - AREA_AVX);

    bool compacted = area_get(area, AREA_XCOMP_BV) & XCOMP_COMPACTED;
    bool loads_mxcsr = compacted ? rfbm & bv & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX);
    if (loads_mxcsr && area_mxcsr(area) & ~MXCSR_VALID)
        interp_gp0(v);
    restore_components(v, i, area, rfbm, bv);
    if (loads_mxcsr)
        v->s.fpu.mxcsr = area_mxcsr(area);
    else if (compacted && rfbm & XCR0_SSE)
        v->s.fpu.mxcsr = MXCSR_INIT;
}

void exec_xrstor(InterpVcpu *v, const Insn *i)
{
    restore(v, i, v->s.xcr0, false);
}

void exec_xrstors(InterpVcpu *v, const Insn *i)
{
    if (v->cpl)
        interp_gp0(v);
    restore(v, i, v->s.xcr0 | v->s.xss, true);
}
