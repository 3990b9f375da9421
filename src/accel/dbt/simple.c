/*
 * simple.c - LEA, INC and DEC of one byte, selectors.
 */
#include "accel/dbt/translate.h"

/* ---- LEA, INC and DEC with one byte, moffs */

bool tr_emit_lea(Translator *t, const Insn *i)
{
    Insn plain = *i;
    plain.seg = SEG_DS; /* no segment base */
    if (i->addrsize == 2 || i->opsize < 4 || !tr_addressable(t, &plain))
        return false;
    unsigned reg = i->opnd[0].reg;
    if (is_slot(reg)) {
        tr_emit_address_to(t, &plain, SCRATCH_U, i->opsize);
        e_store_gs(&t->e, SCRATCH_U, GS_GPR(reg));
    } else {
        tr_emit_address_to(t, &plain, reg, i->opsize);
    }
    return true;
}

/* 40-4f: a REX prefix in 64-bit mode.  FF /0 and /1 are the same. */
bool tr_emit_inc_dec(Translator *t, const Insn *i)
{
    if (i->opsize == 2)
        e1(&t->e, 0x66);
    e1(&t->e, 0xff);
    e1(&t->e, 0xc0 | (i->op == OP_DEC) << 3 | i->opnd[0].reg);
    return true;
}

/* A0-A3 mean other addresses in 32-bit code than in the host's. */
bool tr_emit_moffs(Translator *t, const Insn *i)
{
    bool writes = i->opnd[0].kind == OPND_MEM;
    unsigned size = i->opnd[0].size;
    if (!tr_addressable(t, i))
        return false;
    tr_emit_access(t, i, size, writes ? DTLB_WRITE : DTLB_READ, 1);
    if (size == 2)
        e1(&t->e, 0x66);
    e_op_mem(&t->e, (writes ? 0x88 : 0x8a) | (size > 1), size == 8, RAX, SCRATCH_T, SCRATCH_U, 0, 0);
    return true;
}

/* ---- selectors */

/* Selectors stand in CpuState.  Into a register only: zero-extended, but 16-bit forms leave the rest. */
bool tr_emit_mov_from_segment(Translator *t, const Insn *i)
{
    const Operand *to = &i->opnd[0], *from = &i->opnd[1];
    if (from->kind != OPND_REG || from->cls != RC_SEG || to->kind != OPND_REG)
        return false;
    e1(&t->e, 0x65);
    e_rex(&t->e, false, SCRATCH_U, 0, 0);
    e1(&t->e, 0x0f), e1(&t->e, 0xb7); /* movzx u32, word gs:[selector] */
    e_gs_modrm(&t->e, SCRATCH_U, GS_OFF(i.s.seg) + from->reg * sizeof(Segment) + offsetof(Segment, selector));
    if (i->opsize == 2)
        tr_store_gpr16(t, to->reg);
    else
        tr_store_gpr(t, to->reg, SCRATCH_U);
    return true;
}
