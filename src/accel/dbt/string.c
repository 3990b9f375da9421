/*
 * string.c - MOVS, STOS, LODS, SCAS and CMPS that are not repeated.  Repeated ones are the interpreter's, which goes by the
 * page.  They count upwards here: DF leaves.
 */
#include "accel/dbt/translate.h"

enum { RSI = 6, RDI = 7 };

static bool usable(const Translator *t, const Insn *i)
{
    return !(i->prefixes & (PFX_REP | PFX_REPNE)) && i->addrsize == (wide(t) ? 8 : 4) && mode_flat(t->mode, SEG_ES) &&
           i->seg < SEG_FS && mode_flat(t->mode, i->seg);
}

static void check_direction(Translator *t)
{
    tr_flags_to_memory(t);
    e_gs_imm8(&t->e, 0xf6, 0, GS_OFF(i.s.rflags) + 1, RFLAGS_DF >> 8);
    tr_leave_if(t, CC_NE);
}

static void access_at(Translator *t, unsigned reg, unsigned bytes, unsigned access)
{
    tr_flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, reg, 0xff, 0, 0);
    tr_emit_translate(t, bytes, access, 1);
    tr_flags_from_memory(t);
}

static void advance(Translator *t, unsigned reg, unsigned bytes) { e_lea(&t->e, wide(t), reg, reg, 0xff, 0, (int32_t)bytes); }

/* Byte or operand-size form of an instruction on a register and the memory that was accessed. */
static void op(Translator *t, unsigned opcode, unsigned reg, unsigned bytes)
{
    if (bytes == 2)
        e1(&t->e, 0x66);
    e_op_mem(&t->e, bytes == 1 ? opcode & ~1u : opcode, bytes == 8, reg, SCRATCH_T, SCRATCH_U, 0, 0);
}

static void keep(Translator *t, unsigned bytes)
{
    op(t, 0x8b, SCRATCH_U, bytes);
    e_store_gs(&t->e, SCRATCH_U, GS_OFF(resume));
}

static void op_kept(Translator *t, unsigned opcode, unsigned bytes)
{
    static const GprFields none;
    Borrowed b = tr_borrow_for(t, &none, GS_OFF(resume));
    op(t, opcode, b.host, bytes);
    tr_give_back(t, &b);
}

bool tr_emit_movs(Translator *t, const Insn *i)
{
    if (!usable(t, i))
        return false;
    check_direction(t);
    access_at(t, RSI, i->opsize, DTLB_READ);
    keep(t, i->opsize);
    access_at(t, RDI, i->opsize, DTLB_WRITE);
    op_kept(t, 0x89, i->opsize);
    advance(t, RSI, i->opsize);
    advance(t, RDI, i->opsize);
    return true;
}

bool tr_emit_stos(Translator *t, const Insn *i)
{
    if (!usable(t, i))
        return false;
    check_direction(t);
    access_at(t, RDI, i->opsize, DTLB_WRITE);
    op(t, 0x89, RAX, i->opsize);
    advance(t, RDI, i->opsize);
    return true;
}

bool tr_emit_lods(Translator *t, const Insn *i)
{
    if (!usable(t, i))
        return false;
    check_direction(t);
    access_at(t, RSI, i->opsize, DTLB_READ);
    op(t, 0x8b, RAX, i->opsize);
    advance(t, RSI, i->opsize);
    return true;
}

bool tr_emit_scas(Translator *t, const Insn *i)
{
    if (!usable(t, i))
        return false;
    check_direction(t);
    access_at(t, RDI, i->opsize, DTLB_READ);
    op(t, 0x3b, RAX, i->opsize);
    advance(t, RDI, i->opsize);
    return true;
}

bool tr_emit_cmps(Translator *t, const Insn *i)
{
    if (!usable(t, i))
        return false;
    check_direction(t);
    access_at(t, RDI, i->opsize, DTLB_READ); /* first: its fault is the one reported */
    keep(t, i->opsize);
    access_at(t, RSI, i->opsize, DTLB_READ);
    op_kept(t, 0x39, i->opsize);
    advance(t, RSI, i->opsize);
    advance(t, RDI, i->opsize);
    return true;
}
