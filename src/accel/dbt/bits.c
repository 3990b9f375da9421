/*
 * bits.c - BT, BTS, BTR and BTC of a bit string in memory: the register tells how far from the operand the bit lies.
 */
#include "accel/dbt/translate.h"

/* Bytes from the operand to the unit that holds the bit, added to SCRATCH_U. */
static void add_units(Translator *t, const Insn *i, unsigned reg)
{
    unsigned size = i->opnd[0].size, log2 = (unsigned)__builtin_ctz(size);
    Emit *e = &t->e;
    tr_load_gpr(t, SCRATCH_T, reg);
    if (size < 8) {
        e_shift(e, true, 4, SCRATCH_T, (uint8_t)(64 - 8 * size));
        e_shift(e, true, 7, SCRATCH_T, (uint8_t)(64 - 8 * size));
    }
    e_shift(e, true, 7, SCRATCH_T, (uint8_t)(log2 + 3));
    e_lea(e, wide(t), SCRATCH_U, SCRATCH_U, SCRATCH_T, log2, 0);
}

/* With the bit's number within its unit, which the host takes for no more. */
static void put_operation(Translator *t, const Insn *i, unsigned reg)
{
    if (i->prefixes & PFX_LOCK)
        e1(&t->e, 0xf0);
    if (i->opnd[0].size == 2)
        e1(&t->e, 0x66);
    e_rex(&t->e, i->opnd[0].size == 8, reg, SCRATCH_U, SCRATCH_T);
    e1(&t->e, 0x0f), e1(&t->e, i->opcode);
    e_mem(&t->e, reg, SCRATCH_T, SCRATCH_U, 0, 0);
}

bool tr_emit_bit_string(Translator *t, const Insn *i)
{
    unsigned size = i->opnd[0].size, reg = i->opnd[1].reg;
    if (!tr_addressable(t, i) || i->addrsize != (wide(t) ? 8 : 4))
        return false;
    tr_flags_to_memory(t);
    tr_load_gpr(t, SCRATCH_T, reg);
    e_alu_imm(&t->e, false, 4, SCRATCH_T, 8 * size - 1);
    e_store_gs(&t->e, SCRATCH_T, GS_OFF(resume));
    tr_emit_address(t, i);
    t->address.kind = ADDRESS_UNKNOWN;
    add_units(t, i, reg);
    tr_emit_translate(t, size, i->op == OP_BT ? DTLB_READ : DTLB_WRITE, 1);
    tr_flags_from_memory(t);
    static const GprFields none;
    Borrowed b = tr_borrow_for(t, &none, GS_OFF(resume));
    put_operation(t, i, b.host);
    tr_give_back(t, &b);
    return true;
}
