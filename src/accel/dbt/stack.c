/*
 * stack.c - PUSH, POP, LEAVE.
 */
#include "accel/dbt/translate.h"

/* Address of the new top of the stack to SCRATCH_U, translated for writing. */
void tr_emit_push_access(Translator *t)
{
    int bytes = wide(t) ? 8 : 4;
    tr_flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, -bytes);
    tr_emit_translate(t, bytes, DTLB_WRITE, 1);
    tr_flags_from_memory(t);
}

void tr_emit_move_stack(Translator *t, int32_t bytes) { e_lea(&t->e, wide(t), RSP, RSP, 0xff, 0, bytes); }

void tr_store_top(Translator *t, unsigned reg) { e_op_mem(&t->e, 0x89, wide(t), reg, SCRATCH_T, SCRATCH_U, 0, 0); }

void tr_store_top_imm(Translator *t, uint64_t imm)
{
    bool fits = !wide(t) || imm == (uint64_t)(int32_t)imm;
    e_op_mem(&t->e, 0xc7, wide(t) && fits, 0, SCRATCH_T, SCRATCH_U, 0, 0);
    e4(&t->e, (uint32_t)imm);
    if (!fits) {
        e_op_mem(&t->e, 0xc7, false, 0, SCRATCH_T, SCRATCH_U, 0, 4);
        e4(&t->e, imm >> 32);
    }
}

bool tr_emit_push(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (i->opsize != (wide(t) ? 8 : 4) || (o->kind == OPND_REG && o->cls != RC_GPR) || o->kind == OPND_MEM)
        return false;
    tr_emit_push_access(t);
    if (o->kind == OPND_IMM) {
        tr_store_top_imm(t, i->imm);
    } else if (is_slot(o->reg)) {
        GprFields none = { 0 };
        Borrowed b = tr_borrow(t, &none, o->reg, OPND_READ, 0xff);
        tr_store_top(t, b.host);
        tr_give_back(t, &b);
    } else {
        tr_store_top(t, o->reg);
    }
    tr_emit_move_stack(t, wide(t) ? -8 : -4);
    return true;
}

/* The top of the stack to SCRATCH_U. */
void tr_emit_load_top(Translator *t)
{
    tr_flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, 0);
    tr_emit_translate(t, wide(t) ? 8 : 4, DTLB_READ, 1);
    tr_flags_from_memory(t);
    e_op_mem(&t->e, 0x8b, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
}

bool tr_emit_pop(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (i->opsize != (wide(t) ? 8 : 4) || o->kind != OPND_REG || o->cls != RC_GPR || o->reg == RSP)
        return false;
    tr_emit_load_top(t);
    tr_emit_move_stack(t, wide(t) ? 8 : 4);
    tr_store_gpr(t, o->reg, SCRATCH_U);
    return true;
}

bool tr_emit_leave(Translator *t, const Insn *i)
{
    enum { RBP = 5 };
    if (i->opsize != (wide(t) ? 8 : 4))
        return false;
    tr_flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RBP, 0xff, 0, 0);
    tr_emit_translate(t, wide(t) ? 8 : 4, DTLB_READ, 1);
    tr_flags_from_memory(t);
    e_op_mem(&t->e, 0x8b, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
    e_lea(&t->e, wide(t), RSP, RBP, 0xff, 0, wide(t) ? 8 : 4);
    e_mov(&t->e, RBP, SCRATCH_U);
    return true;
}
