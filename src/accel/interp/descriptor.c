/*
 * descriptor.c - handlers of instructions about descriptors: LGDT and its kin, LLDT, LTR, LAR, LSL, VERR, VERW, ARPL,
 * and those that load segment registers.  SDM 2; SDM 3, 2.4 and 5.10.
 */
#include "accel/interp/system.h"

/* ---- GDTR and IDTR: a limit, then the base */
static void table_store(InterpVcpu *v, const Insn *i, const DescriptorTable *t)
{
    umip_check(v);
    bool wide = v->code_size == CODE64;
    uint8_t image[10];
    memcpy(image, &t->limit, 2);
    memcpy(image + 2, &t->base, 8);
    mem_write_bytes(v, i->seg, effective_address(v, i), image, wide ? 10 : 6);
}

static void table_load(InterpVcpu *v, const Insn *i, DescriptorTable *ret)
{
    bool wide = v->code_size == CODE64;
    uint8_t image[10] = { 0 };
    mem_read_bytes(v, i->seg, effective_address(v, i), image, wide ? 10 : 6);
    DescriptorTable t;
    memcpy(&t.limit, image, 2);
    memcpy(&t.base, image + 2, 8);
    if (wide ? !interp_canonical(v, t.base) : false)
        interp_gp0(v);
    if (!wide && i->opsize == 2)
        t.base &= 0xffffff;
    *ret = t;
}

void exec_sgdt(InterpVcpu *v, const Insn *i) { table_store(v, i, &v->s.gdtr); }
void exec_sidt(InterpVcpu *v, const Insn *i) { table_store(v, i, &v->s.idtr); }
void exec_lgdt(InterpVcpu *v, const Insn *i) { table_load(v, i, &v->s.gdtr); }
void exec_lidt(InterpVcpu *v, const Insn *i) { table_load(v, i, &v->s.idtr); }

/* ---- LDTR and TR */
static void store_selector(InterpVcpu *v, const Insn *i, uint16_t selector)
{
    umip_check(v);
    operand_write(v, i, 0, i->opnd[0].kind == OPND_MEM ? 2 : i->opsize, selector);
}

void exec_sldt(InterpVcpu *v, const Insn *i) { store_selector(v, i, v->s.ldtr.selector); }
void exec_str(InterpVcpu *v, const Insn *i) { store_selector(v, i, v->s.tr.selector); }

/* A system descriptor of the GDT, 16 bytes in long mode. */
static Descriptor system_descriptor(InterpVcpu *v, uint16_t selector, Segment *ret)
{
    Descriptor d;
    if ((selector & SEL_TI) || !descriptor_find(v, selector, &d) || !desc_is_system(&d))
        raise_selector(v, EXC_GP, selector);
    *ret = desc_segment(&d, selector);
    if (v->long_mode) {
        if ((selector | 15u) > v->s.gdtr.limit)
            raise_selector(v, EXC_GP, selector);
        ret->base = descriptor_base64(v, &d);
        if ((linear_read(v, d.linear + 12, 4, MEM_IMPLICIT) & 0x1f00) || !interp_canonical(v, ret->base))
            raise_selector(v, EXC_GP, selector);
    }
    return d;
}

void exec_lldt(InterpVcpu *v, const Insn *i)
{
    uint16_t selector = (uint16_t)operand_read(v, i, 0, 2);
    if (selector_null(selector)) {
        v->s.ldtr = null_segment(selector, 0);
        return;
    }
    Segment s;
    Descriptor d = system_descriptor(v, selector, &s);
    if (desc_type(&d) != SYS_LDT)
        raise_selector(v, EXC_GP, selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, selector);
    v->s.ldtr = s;
}

void exec_ltr(InterpVcpu *v, const Insn *i)
{
    uint16_t selector = (uint16_t)operand_read(v, i, 0, 2);
    if (selector_null(selector))
        interp_gp0(v);
    Segment s;
    Descriptor d = system_descriptor(v, selector, &s);
    if (desc_type(&d) != SYS_TSS && (v->long_mode || desc_type(&d) != SYS_TSS16))
        raise_selector(v, EXC_GP, selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, selector);
    descriptor_set_busy(v, d.linear, true);
    s.attr |= 2;
    v->s.tr = s;
}

/* ---- looking at descriptors: ZF says whether the program may, and nothing faults */
enum {
    LAR_TYPES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12,
    LAR_TYPES_LONG = 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12,
    LSL_TYPES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11,
    LSL_TYPES_LONG = 1 << 2 | 1 << 9 | 1 << 11
};

static bool visible(InterpVcpu *v, uint16_t selector, unsigned system_types, Descriptor *ret)
{
    if (selector_null(selector) || !descriptor_find(v, selector, ret))
        return false;
    if (desc_is_system(ret) && !(system_types >> desc_type(ret) & 1))
        return false;
    return desc_is_conforming(ret) || (desc_dpl(ret) >= v->cpl && desc_dpl(ret) >= (selector & SEL_RPL));
}

static void set_zf(InterpVcpu *v, bool on) { flags_set(v, RFLAGS_ZF, on ? RFLAGS_ZF : 0); }

void exec_lar(InterpVcpu *v, const Insn *i)
{
    Descriptor d;
    bool ok = visible(v, (uint16_t)operand_read(v, i, 1, 2), v->long_mode ? LAR_TYPES_LONG : LAR_TYPES, &d);
    if (ok)
        reg_write(v, &i->opnd[0], i->opsize, d.hi & 0xffff00); /* bits 16-19 are undefined: as hardware does */
    set_zf(v, ok);
}

void exec_lsl(InterpVcpu *v, const Insn *i)
{
    Descriptor d;
    bool ok = visible(v, (uint16_t)operand_read(v, i, 1, 2), v->long_mode ? LSL_TYPES_LONG : LSL_TYPES, &d);
    if (ok)
        reg_write(v, &i->opnd[0], i->opsize, desc_limit(&d));
    set_zf(v, ok);
}

void exec_verr(InterpVcpu *v, const Insn *i)
{
    Descriptor d;
    set_zf(v, visible(v, (uint16_t)operand_read(v, i, 0, 2), 0, &d) && desc_is_readable(&d));
}

void exec_verw(InterpVcpu *v, const Insn *i)
{
    Descriptor d;
    set_zf(v, visible(v, (uint16_t)operand_read(v, i, 0, 2), 0, &d) && desc_is_writable(&d));
}

void exec_arpl(InterpVcpu *v, const Insn *i)
{
    uint16_t to = (uint16_t)operand_read(v, i, 0, 2), from = (uint16_t)operand_read(v, i, 1, 2);
    bool raises = (to & SEL_RPL) < (from & SEL_RPL);
    if (raises)
        operand_write(v, i, 0, 2, (to & ~SEL_RPL) | (from & SEL_RPL)); /* else not even checked for writing */
    set_zf(v, raises);
}

/* ---- segment registers */
void exec_mov_seg(InterpVcpu *v, const Insn *i)
{
    if (i->opnd[0].cls != RC_SEG || i->opnd[0].kind != OPND_REG) {
        operand_write(v, i, 0, i->opnd[0].kind == OPND_MEM ? 2 : i->opsize, v->s.seg[i->opnd[1].reg].selector);
        return;
    }
    unsigned seg = i->opnd[0].reg;
    if (seg == SEG_CS || seg >= SEG_COUNT)
        interp_ud(v);
    segment_load(v, seg, (uint16_t)operand_read(v, i, 1, 2));
    if (seg == SEG_SS)
        interp_set_shadow(v, 2);
}

/* LDS, LES, LFS, LGS, LSS */
void exec_load_far(InterpVcpu *v, const Insn *i)
{
    unsigned seg = i->op == OP_LDS   ? SEG_DS
                   : i->op == OP_LES ? SEG_ES
                   : i->op == OP_LFS ? SEG_FS
                   : i->op == OP_LGS ? SEG_GS
                                     : SEG_SS;
    uint64_t at = effective_address(v, i);
    uint64_t offset = mem_read(v, i->seg, at, i->opsize);
    uint16_t selector = (uint16_t)mem_read(v, i->seg, (at + i->opsize) & size_mask(i->addrsize), 2);
    segment_load(v, seg, selector);
    reg_write(v, &i->opnd[0], i->opsize, offset);
}
