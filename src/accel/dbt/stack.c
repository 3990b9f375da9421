/*
 * stack.c - PUSH, POP, LEAVE.
 */
#include "accel/dbt/translate.h"

int tr_stack_bytes(const Translator *t) { return wide(t) ? 8 : 4; }

/* Address of the new top of the stack to SCRATCH_U, translated for writing. */
void tr_emit_push_access(Translator *t, int bytes)
{
    if (tr_group_access(t, bytes, DTLB_WRITE, 1)) {
        tr_flags_settle(t);
        return;
    }
    tr_prepare_access(t, bytes, 1);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, -bytes);
    tr_address_base(t, RSP, -bytes);
    tr_emit_translate(t, bytes, DTLB_WRITE, 1);
    tr_flags_settle(t);
}

void tr_emit_move_stack(Translator *t, int32_t bytes) { e_lea(&t->e, wide(t), RSP, RSP, 0xff, 0, bytes); }

void tr_store_value(Translator *t, unsigned reg, unsigned bytes)
{
    if (bytes == 2)
        e1(&t->e, 0x66);
    e_op_mem(&t->e, 0x89, bytes == 8, reg, SCRATCH_T, SCRATCH_U, 0, t->disp);
}

void tr_store_top_rip(Translator *t, uint64_t rip, unsigned bytes)
{
    if (!t->relative) {
        tr_store_top_imm(t, rip, bytes);
        return;
    }
    tr_note_push(t);
    e_lea(&t->e, true, SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, t->disp);
    tr_emit_rip(t, SCRATCH_T, rip);
    e_op_mem(&t->e, 0x89, bytes == 8, SCRATCH_T, SCRATCH_U, 0xff, 0, 0);
}

void tr_store_top_imm(Translator *t, uint64_t imm, unsigned bytes)
{
    bool fits = bytes != 8 || imm == (uint64_t)(int32_t)imm;
    if (bytes == 2)
        e1(&t->e, 0x66);
    e_op_mem(&t->e, 0xc7, bytes == 8 && fits, 0, SCRATCH_T, SCRATCH_U, 0, t->disp);
    if (bytes == 2)
        e1(&t->e, imm & 0xff), e1(&t->e, imm >> 8 & 0xff);
    else
        e4(&t->e, (uint32_t)imm);
    if (!fits) {
        e_op_mem(&t->e, 0xc7, false, 0, SCRATCH_T, SCRATCH_U, 0, t->disp + 4);
        e4(&t->e, imm >> 32);
    }
}

void tr_store_kept(Translator *t, uint32_t off, unsigned bytes)
{
    static const GprFields none;
    Borrowed b = tr_borrow_for(t, &none, off);
    tr_store_value(t, b.host, bytes);
    tr_give_back(t, &b);
}

/* ---- PUSH */

static void push_register(Translator *t, const Insn *i)
{
    unsigned reg = i->opnd[0].reg;
    tr_emit_push_access(t, i->opsize);
    if (is_slot(reg))
        tr_store_kept(t, GS_GPR(reg), i->opsize);
    else
        tr_store_value(t, reg, i->opsize);
}

/* The rest of a 32-bit slot stays as it was. */
static void push_selector(Translator *t, const Insn *i)
{
    e_movzx16_gs(&t->e, SCRATCH_U, GS_OFF(i.s.seg) + i->opnd[0].reg * sizeof(Segment) + offsetof(Segment, selector));
    e_store_gs(&t->e, SCRATCH_U, GS_OFF(resume));
    tr_emit_push_access(t, i->opsize);
    tr_store_kept(t, GS_OFF(resume), i->opsize == 4 ? 2 : i->opsize);
}

static void push_memory(Translator *t, const Insn *i)
{
    tr_emit_access(t, i, i->opsize, DTLB_READ, 1);
    tr_load_value(t, i->opsize);
    e_store_gs(&t->e, SCRATCH_U, GS_OFF(resume));
    tr_emit_push_access(t, i->opsize);
    tr_store_kept(t, GS_OFF(resume), i->opsize);
}

bool tr_emit_push(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (o->kind == OPND_MEM && !tr_addressable(t, i))
        return false;
    if (o->kind == OPND_IMM) {
        tr_emit_push_access(t, i->opsize);
        tr_store_top_imm(t, i->imm, i->opsize);
    } else if (o->kind == OPND_MEM) {
        push_memory(t, i);
    } else if (o->cls == RC_SEG) {
        push_selector(t, i);
    } else {
        push_register(t, i);
    }
    tr_emit_move_stack(t, -(int)i->opsize);
    return true;
}

/* ---- POP */

/* What the address translation in front found, to SCRATCH_U. */
void tr_load_value(Translator *t, unsigned bytes)
{
    if (bytes == 2) {
        e_rex(&t->e, false, SCRATCH_U, SCRATCH_U, SCRATCH_T);
        e1(&t->e, 0x0f), e1(&t->e, 0xb7); /* movzx */
        e_mem(&t->e, SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, t->disp);
    } else {
        e_op_mem(&t->e, 0x8b, bytes == 8, SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, t->disp);
    }
}

static void top_access(Translator *t, unsigned bytes)
{
    if (tr_group_access(t, bytes, DTLB_READ, 1)) {
        tr_flags_settle(t);
        return;
    }
    tr_prepare_access(t, bytes, 1);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, 0);
    tr_address_base(t, RSP, 0);
    tr_emit_translate(t, bytes, DTLB_READ, 1);
    tr_flags_settle(t);
}

/* The top of the stack to SCRATCH_U. */
void tr_emit_load_top(Translator *t, unsigned bytes)
{
    top_access(t, bytes);
    tr_load_value(t, bytes);
}

/* An address that uses RSP has it after the pop. */
static bool pop_memory(Translator *t, const Insn *i)
{
    Insn to = *i;
    if (to.base == RSP)
        to.disp += i->opsize;
    if (!tr_addressable(t, &to))
        return false;
    tr_emit_load_top(t, i->opsize);
    e_store_gs(&t->e, SCRATCH_U, GS_OFF(resume));
    tr_emit_access(t, &to, i->opsize, DTLB_WRITE, 1);
    tr_store_kept(t, GS_OFF(resume), i->opsize);
    tr_emit_move_stack(t, i->opsize);
    return true;
}

bool tr_emit_pop(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (o->kind == OPND_MEM)
        return pop_memory(t, i);
    if (o->cls != RC_GPR)
        return false;
    if (natural_size(t, i) && !is_slot(o->reg) && o->reg != RSP) {
        top_access(t, i->opsize);
        e_op_mem(&t->e, 0x8b, wide(t), o->reg, SCRATCH_T, SCRATCH_U, 0, t->disp);
        tr_emit_move_stack(t, i->opsize);
        return true;
    }
    tr_emit_load_top(t, i->opsize);
    tr_emit_move_stack(t, i->opsize);
    if (i->opsize == 2)
        tr_store_gpr16(t, o->reg);
    else
        tr_store_gpr(t, o->reg, SCRATCH_U);
    return true;
}

bool tr_emit_leave(Translator *t, const Insn *i)
{
    enum { RBP = 5 };
    if (!natural_size(t, i))
        return false;
    tr_prepare_access(t, i->opsize, 1);
    e_lea(&t->e, wide(t), SCRATCH_U, RBP, 0xff, 0, 0);
    tr_address_base(t, RBP, 0);
    tr_emit_translate(t, i->opsize, DTLB_READ, 1);
    tr_flags_settle(t);
    tr_load_value(t, i->opsize);
    e_lea(&t->e, wide(t), RSP, RBP, 0xff, 0, i->opsize);
    e_mov(&t->e, RBP, SCRATCH_U);
    return true;
}
