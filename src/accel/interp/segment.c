/*
 * segment.c - descriptors, segment registers, and everything that is derived from them and the control registers.
 * SDM 3, chapters 3 and 5.
 */
#include "accel/interp/sys.h"

uint32_t desc_limit(const Descriptor *d)
{
    uint32_t limit = (d->lo & 0xffff) | (d->hi & 0xf0000);
    return d->hi & 0x800000 ? limit << 12 | 0xfff : limit;
}

uint32_t desc_base(const Descriptor *d) { return d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000); }

Segment desc_segment(const Descriptor *d, uint16_t selector)
{
    return (Segment){ .selector = selector, .attr = d->hi >> 8 & 0xf0ff, .limit = desc_limit(d), .base = desc_base(d) };
}

Segment null_segment(uint16_t selector, unsigned dpl)
{
    return (Segment){ .selector = selector, .attr = SEG_ATTR_UNUSABLE | dpl << SEG_ATTR_DPL_SHIFT };
}

bool descriptor_find(InterpVcpu *v, uint16_t selector, Descriptor *ret)
{
    bool local = selector & SEL_TI;
    if (local && segment_unusable(&v->s.ldtr))
        return false;
    uint64_t base = local ? v->s.ldtr.base : v->s.gdtr.base;
    uint32_t limit = local ? v->s.ldtr.limit : v->s.gdtr.limit;
    if ((selector | 7u) > limit)
        return false;
    ret->linear = base + (selector & ~7u);
    uint64_t raw = linear_read(v, ret->linear, 8, MEM_IMPLICIT);
    ret->lo = (uint32_t)raw;
    ret->hi = raw >> 32;
    return true;
}

Descriptor descriptor_read(InterpVcpu *v, uint16_t selector, uint8_t vector)
{
    Descriptor d;
    if (!descriptor_find(v, selector, &d))
        raise_selector(v, vector, selector);
    return d;
}

uint64_t descriptor_base64(InterpVcpu *v, const Descriptor *d)
{
    return linear_read(v, d->linear + 8, 4, MEM_IMPLICIT) << 32 | desc_base(d);
}

void descriptor_set_accessed(InterpVcpu *v, Descriptor *d)
{
    if (d->hi & 0x100)
        return;
    d->hi |= 0x100;
    linear_write(v, d->linear + 5, 1, d->hi >> 8 & 0xff, MEM_IMPLICIT);
}

void descriptor_set_busy(InterpVcpu *v, uint64_t linear, bool busy)
{
    uint8_t type = (uint8_t)linear_read(v, linear + 5, 1, MEM_IMPLICIT);
    linear_write(v, linear + 5, 1, busy ? type | 2 : type & ~2, MEM_IMPLICIT);
}

bool segment_allows(const Segment *s, uint64_t offset, unsigned size, bool typed)
{
    uint64_t last = offset + size - 1;
    bool code = s->attr & TYPE_CODE;
    if (typed && (segment_unusable(s) || code || !(s->attr & TYPE_RW)))
        return false;
    return segment_within_limit(s, offset, last);
}

/* ---- loading a data or stack segment register */
static void load_null(InterpVcpu *v, unsigned seg, uint16_t selector)
{
    if (seg == SEG_SS) {
        if (v->code_size != CODE64 || v->cpl == 3 || (selector & SEL_RPL) != v->cpl)
            interp_gp0(v);
        v->s.seg[seg] = null_segment(selector, v->cpl);
        return;
    }
    v->s.seg[seg] = null_segment(selector, 0); /* base 0 as well: Intel's do that, and AMD's since Zen 2 (CPUID 80000021h, NullSelectorClearsBase) */
}

static void load_descriptor(InterpVcpu *v, unsigned seg, uint16_t selector)
{
    Descriptor d = descriptor_read(v, selector, EXC_GP);
    unsigned rpl = selector & SEL_RPL;
    bool ok = seg == SEG_SS
                  ? rpl == v->cpl && desc_is_writable(&d) && desc_dpl(&d) == v->cpl
                  : desc_is_readable(&d) && (desc_is_conforming(&d) || (rpl <= desc_dpl(&d) && v->cpl <= desc_dpl(&d)));
    if (!ok)
        raise_selector(v, EXC_GP, selector);
    if (!desc_present(&d))
        raise_selector(v, seg == SEG_SS ? EXC_SS : EXC_NP, selector);
    descriptor_set_accessed(v, &d);
    v->s.seg[seg] = desc_segment(&d, selector);
}

/* In real mode only selector and base change: limit and rights stay as protected mode left them ("unreal mode"). */
void segment_load_real(InterpVcpu *v, unsigned seg, uint16_t selector)
{
    Segment *s = &v->s.seg[seg];
    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    if (v->vm86) {
        s->limit = 0xffff;
        s->attr = SEG_ATTR_P | SEG_ATTR_DPL | SEG_ATTR_S | TYPE_RW | TYPE_ACCESSED;
    } else {
        s->attr &= ~SEG_ATTR_UNUSABLE;
        if (seg == SEG_CS)
            s->attr = (s->attr & ~0xffu) | SEG_ATTR_P | SEG_ATTR_S | TYPE_RW | TYPE_ACCESSED;
    }
}

void segment_load(InterpVcpu *v, unsigned seg, uint16_t selector)
{
    if (!v->protected_mode)
        segment_load_real(v, seg, selector);
    else if (selector_null(selector))
        load_null(v, seg, selector);
    else
        load_descriptor(v, seg, selector);
    interp_mode_changed(v);
}

/* ---- CS */
void code_segment_set(InterpVcpu *v, uint16_t selector, Descriptor *d, unsigned cpl)
{
    descriptor_set_accessed(v, d);
    v->s.seg[SEG_CS] = desc_segment(d, (uint16_t)((selector & ~SEL_RPL) | cpl));
}

void code_offset_check(InterpVcpu *v, const Descriptor *d, uint64_t offset)
{
    bool ok = v->long_mode && desc_long(d) ? interp_canonical(v, offset) : offset <= desc_limit(d);
    if (!ok)
        interp_gp0(v);
}

/* ---- what is derived */
static uint8_t flat_rights(const InterpVcpu *v, const Segment *s)
{
    enum { READ = 1 << ACCESS_READ, WRITE = 1 << ACCESS_WRITE, EXEC = 1 << ACCESS_EXEC };
    if (v->cpl == 3 && (v->s.cr0 & CR0_AM) && (v->s.rflags & RFLAGS_AC))
        return EXEC; /* alignment checks: interp_linear() makes them */
    if (v->code_size == CODE64)
        return READ | WRITE | EXEC;
    bool code = s->attr & TYPE_CODE;
    if (s->limit != 0xffffffff || segment_unusable(s) || (!code && (s->attr & TYPE_DC)))
        return 0;
    if (!v->protected_mode)
        return READ | WRITE | EXEC;
    return EXEC | (!code || (s->attr & TYPE_RW) ? READ : 0) | (!code && (s->attr & TYPE_RW) ? WRITE : 0);
}

void interp_mode_changed(InterpVcpu *v)
{
    const Segment *cs = &v->s.seg[SEG_CS], *ss = &v->s.seg[SEG_SS];
    bool pe = v->s.cr0 & CR0_PE;
    v->vm86 = pe && (v->s.rflags & RFLAGS_VM);
    v->protected_mode = pe && !v->vm86;
    v->long_mode = v->s.efer & EFER_LMA;
    v->cpl = !pe ? 0 : v->vm86 ? 3 : (uint8_t)segment_dpl(ss);
    if (v->long_mode && (cs->attr & SEG_ATTR_L))
        v->code_size = CODE64;
    else
        v->code_size = cs->attr & SEG_ATTR_DB && !v->vm86 ? CODE32 : CODE16;
    v->stack_size = v->code_size == CODE64 ? 8 : ss->attr & SEG_ATTR_DB && !v->vm86 ? 4 : 2;
    v->stack_mask = v->stack_size == 8 ? ~0ull : v->stack_size == 4 ? 0xffffffff : 0xffff;
    v->linear_mask = v->code_size == CODE64 ? ~0ull : 0xffffffff;
    v->who = mem_who(v, v->cpl);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        v->base[i] = v->code_size == CODE64 && i != SEG_FS && i != SEG_GS ? 0 : v->s.seg[i].base;
        v->flat[i] = flat_rights(v, &v->s.seg[i]);
    }
}

void interp_set_rflags(InterpVcpu *v, uint64_t value, uint64_t mask)
{
    uint64_t old = v->s.rflags;
    v->s.rflags = (old & ~mask) | (value & mask) | RFLAGS_ONE;
    if ((old ^ v->s.rflags) & (RFLAGS_VM | RFLAGS_AC))
        interp_mode_changed(v);
    interp_update_attention(v);
}
