/*
 * stack.c - PUSH, POP, PUSHF, LEAVE.
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

static void store_top(Translator *t, unsigned reg) { e_op_mem(&t->e, 0x89, wide(t), reg, SCRATCH_T, SCRATCH_U, 0, 0); }

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
        store_top(t, b.host);
        tr_give_back(t, &b);
    } else {
        store_top(t, o->reg);
    }
    tr_emit_move_stack(t, wide(t) ? -8 : -4);
    return true;
}

static void op_imm32(Translator *t, unsigned digit, unsigned reg, uint32_t imm) /* 32 bits: upper half becomes 0 */
{
    e_rex(&t->e, false, 0, 0, reg);
    e1(&t->e, 0x81), e1(&t->e, 0xc0 | digit << 3 | (reg & 7)), e4(&t->e, imm);
}

static void shift_imm(Translator *t, unsigned digit, unsigned reg, uint8_t count)
{
    e_rex(&t->e, false, 0, 0, reg);
    e1(&t->e, 0xc1), e1(&t->e, 0xc0 | digit << 3 | (reg & 7)), e1(&t->e, count);
}

static void or_reg(Translator *t, unsigned to, unsigned from)
{
    e_rex(&t->e, false, from, 0, to);
    e1(&t->e, 0x09), e1(&t->e, 0xc0 | (from & 7) << 3 | (to & 7));
}

/* The guest's flags as PUSHF shows them, from flags_tmp (LAHF's byte, OF) and CpuState, to `resume`. */
static void emit_flags_image(Translator *t)
{
    enum { AND = 4, SHL = 4, SHR = 5, LAHF_BITS = RFLAGS_STATUS & 0xff, OF_SHIFT = 11 };
    e_load32_gs(&t->e, SCRATCH_T, GS_OFF(flags_tmp));
    e_mov32(&t->e, SCRATCH_U, SCRATCH_T);
    shift_imm(t, SHR, SCRATCH_T, 8);
    op_imm32(t, AND, SCRATCH_T, LAHF_BITS);
    op_imm32(t, AND, SCRATCH_U, 1);
    shift_imm(t, SHL, SCRATCH_U, OF_SHIFT);
    or_reg(t, SCRATCH_T, SCRATCH_U);
    e_load32_gs(&t->e, SCRATCH_U, GS_OFF(i.s.rflags));
    op_imm32(t, AND, SCRATCH_U, ~(RFLAGS_STATUS | RFLAGS_VM | RFLAGS_RF));
    or_reg(t, SCRATCH_T, SCRATCH_U);
    e_store_gs(&t->e, SCRATCH_T, GS_OFF(resume));
}

/* Outside virtual-8086 mode PUSHF has no condition. */
bool tr_emit_pushf(Translator *t, const Insn *i)
{
    if (i->opsize != (wide(t) ? 8 : 4))
        return false;
    tr_flags_to_memory(t);
    if (!t->flags_in_memory)
        return false; /* cannot be: it reads all flags */
    emit_flags_image(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, wide(t) ? -8 : -4);
    tr_emit_translate(t, wide(t) ? 8 : 4, DTLB_WRITE, 1);
    enum { RBX = 3 };
    e_store_gs(&t->e, RBX, GS_OFF(borrow));
    e_load_gs(&t->e, RBX, GS_OFF(resume));
    store_top(t, RBX);
    e_load_gs(&t->e, RBX, GS_OFF(borrow));
    tr_flags_from_memory(t);
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
