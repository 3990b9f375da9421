/*
 * string.c - MOVS, STOS, LODS, SCAS and CMPS that are not repeated, and repeated STOS that stays in its page.  Other repeated
 * ones are the interpreter's, which goes by the page.  They count upwards here: DF leaves.
 */
#include "accel/dbt/translate.h"

enum { RCX = 1, RSI = 6, RDI = 7 };

static bool is_repeated(const Insn *i) { return i->prefixes & (PFX_REP | PFX_REPNE); }

static bool usable(const Translator *t, const Insn *i)
{
    return !is_repeated(i) && i->addrsize == (wide(t) ? 8 : 4) && mode_flat(t->mode, SEG_ES) &&
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

/* One or more elements, all in one page; else the interpreter's. */
static void check_count(Translator *t, unsigned bytes)
{
    enum { AND = 4, CMP = 7, PAGE = 0x1000 };
    e_lea(&t->e, true, SCRATCH_T, RCX, 0xff, 0, -1);
    e_alu_imm(&t->e, true, CMP, SCRATCH_T, PAGE / bytes - 1);
    tr_leave_if(t, CC_A);
    e_mov32(&t->e, SCRATCH_U, RDI);
    e_alu_imm(&t->e, false, AND, SCRATCH_U, PAGE - 1);
    e_lea(&t->e, false, SCRATCH_U, SCRATCH_U, RCX, (unsigned)__builtin_ctz(bytes), 0);
    e_alu_imm(&t->e, false, CMP, SCRATCH_U, PAGE);
    tr_leave_if(t, CC_A);
}

/* The host's own instruction.  If it faults, then at the first element, before anything but RDI has changed.  RDI comes back by
 * the addend, which is in SCRATCH_T (flat only). */
static bool emit_rep_stos(Translator *t, const Insn *i)
{
    if (!t->v->flat || !wide(t) || i->addrsize != 8)
        return false;
    check_direction(t);
    check_count(t, i->opsize);
    access_at(t, RDI, 1, DTLB_WRITE);
    e_store_gs(&t->e, RDI, GS_OFF(borrow));
    tr_note_held(t, 0, RDI);
    e_lea(&t->e, true, RDI, SCRATCH_T, SCRATCH_U, 0, 0);
    if (i->opsize == 2)
        e1(&t->e, 0x66);
    e1(&t->e, 0xf3);
    if (i->opsize == 8)
        e1(&t->e, 0x48);
    e1(&t->e, i->opsize == 1 ? 0xaa : 0xab);
    e_not(&t->e, true, SCRATCH_T);
    e_lea(&t->e, true, RDI, RDI, SCRATCH_T, 0, 1);
    return true;
}

bool tr_emit_stos(Translator *t, const Insn *i)
{
    if (is_repeated(i))
        return emit_rep_stos(t, i);
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
