/*
 * division.c - DIV and IDIV.
 *
 * Their #DE must not happen in the host, so the operands are looked at first; what may fault is the interpreter's.  A divisor
 * in memory is read once: another vCPU may change it between the look and the division.
 */
#include "accel/dbt/translate.h"

enum { RDX = 2, CMP = 0x39, SAR = 7, CMP_IMM = 7 };

static void leave_if(Translator *t, unsigned cc, DbtExit *x[], unsigned *n)
{
    x[*n] = tr_new_exit(t, EXIT_INTERP, t->rip);
    tr_add_site(t, e_jcc(&t->e, cc), x[*n]);
    ++*n;
}

static void operand_size(Translator *t, const Operand *o)
{
    if (o->size == 2)
        e1(&t->e, 0x66);
}

/* DIV faults exactly where the high half is not below the divisor. */
static void check_unsigned(Translator *t, const Operand *o, unsigned divisor, DbtExit *x[], unsigned *n)
{
    operand_size(t, o);
    e_alu(&t->e, CMP, o->size == 8, RDX, divisor);
    leave_if(t, CC_AE, x, n);
}

/* Where the high half is the low one's sign, IDIV can fault only if the divisor is 0 or -1. */
static void check_signed(Translator *t, const Operand *o, unsigned divisor, DbtExit *x[], unsigned *n)
{
    bool w = o->size == 8;
    e_mov(&t->e, SCRATCH_T, RAX);
    operand_size(t, o);
    e_shift(&t->e, w, SAR, SCRATCH_T, 8 * o->size - 1);
    operand_size(t, o);
    e_alu(&t->e, CMP, w, SCRATCH_T, RDX);
    leave_if(t, CC_NE, x, n);
    e_lea(&t->e, w, SCRATCH_T, divisor, 0xff, 0, 1);
    if (o->size == 2)
        e_movzx16(&t->e, SCRATCH_T, SCRATCH_T);
    e_alu_imm(&t->e, w, CMP_IMM, SCRATCH_T, 1);
    leave_if(t, CC_BE, x, n);
}

/* The flags are undefined afterwards. */
bool tr_emit_div(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (o->size == 1 || (i->has_mem && !tr_addressable(t, i)))
        return false;
    bool is_signed = i->op == OP_IDIV;
    unsigned divisor = SCRATCH_U, n = 0;
    DbtExit *x[2];
    tr_flags_to_memory(t);
    if (i->has_mem) {
        tr_emit_address(t, i);
        tr_emit_translate(t, o->size, DTLB_READ, 1);
        operand_size(t, o);
        e_op_mem(&t->e, 0x8b, o->size == 8, SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
    } else if (is_slot(o->reg)) {
        e_load_gs(&t->e, SCRATCH_U, GS_GPR(o->reg));
    } else {
        divisor = o->reg;
    }
    (is_signed ? check_signed : check_unsigned)(t, o, divisor, x, &n);
    tr_flags_from_memory(t);
    operand_size(t, o);
    e_rex(&t->e, o->size == 8, 0, 0, divisor);
    e1(&t->e, 0xf7), e1(&t->e, (is_signed ? 0xf8 : 0xf0) | (divisor & 7));
    while (n-- > 0)
        x[n]->resume = tr_here(t);
    return true;
}
