/*
 * string.c - MOVS, STOS, LODS, SCAS and CMPS that are not repeated, and repeated STOS and MOVS that stay in their pages.  Other
 * repeated ones are the interpreter's, which goes by the page.  They count upwards here: DF leaves.
 */
#include "accel/dbt/translate.h"

enum { RCX = 1, RSI = 6, RDI = 7, AND = 4, CMP = 7, PAGE = 0x1000 };

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

/* Flags stay in memory. */
static void translate_at(Translator *t, unsigned reg, unsigned bytes, unsigned access)
{
    tr_flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, reg, 0xff, 0, 0);
    tr_emit_translate(t, bytes, access, 1);
}

static void access_at(Translator *t, unsigned reg, unsigned bytes, unsigned access)
{
    translate_at(t, reg, bytes, access);
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

/* One or more elements; else the interpreter's. */
static void check_count(Translator *t, unsigned bytes)
{
    e_lea(&t->e, wide(t), SCRATCH_T, RCX, 0xff, 0, -1);
    e_alu_imm(&t->e, true, CMP, SCRATCH_T, PAGE / bytes - 1);
    tr_leave_if(t, CC_A);
}

/* All of them in the page where the first stands, at `reg`; else the interpreter's. */
static void check_page(Translator *t, unsigned reg, unsigned bytes)
{
    e_mov32(&t->e, SCRATCH_U, reg);
    e_alu_imm(&t->e, false, AND, SCRATCH_U, PAGE - 1);
    e_lea(&t->e, false, SCRATCH_U, SCRATCH_U, RCX, (unsigned)__builtin_ctz(bytes), 0);
    e_alu_imm(&t->e, false, CMP, SCRATCH_U, PAGE);
    tr_leave_if(t, CC_A);
}

static void put_repeated(Translator *t, unsigned opcode, unsigned bytes)
{
    if (bytes == 2)
        e1(&t->e, 0x66);
    e1(&t->e, 0xf3);
    if (bytes == 8)
        e1(&t->e, 0x48);
    e1(&t->e, bytes == 1 ? opcode & ~1u : opcode);
}

/* RDI, a host address by the addend in SCRATCH_T, is the guest's again. */
static void destination_back(Translator *t)
{
    e_not(&t->e, true, SCRATCH_T);
    e_lea(&t->e, wide(t), RDI, RDI, SCRATCH_T, 0, 1);
}

/* The host's own instruction.  If it faults, then at the first element, before anything but RDI has changed.  RDI comes back by
 * the addend, which is in SCRATCH_T (flat only). */
static bool emit_rep_stos(Translator *t, const Insn *i)
{
    if (!t->v->flat || i->addrsize != (wide(t) ? 8 : 4) || !mode_flat(t->mode, SEG_ES))
        return false;
    check_direction(t);
    check_count(t, i->opsize);
    check_page(t, RDI, i->opsize);
    if (!wide(t))
        e_mov32(&t->e, RCX, RCX);
    access_at(t, RDI, 1, DTLB_WRITE);
    e_store_gs(&t->e, RDI, GS_OFF(borrow));
    tr_note_held(t, 0, RDI);
    e_lea(&t->e, true, RDI, SCRATCH_T, SCRATCH_U, 0, 0);
    put_repeated(t, 0xab, i->opsize);
    destination_back(t);
    return true;
}

/* The same.  The first byte is read in front of it, so that what faults then is the destination; and since RSI has changed, the
 * instruction starts over as a whole.  RSI comes back by its addend in `resume`. */
static bool emit_rep_movs(Translator *t, const Insn *i)
{
    enum { ADD = 0x03, SUB = 0x2b };
    if (!t->v->flat || i->addrsize != (wide(t) ? 8 : 4) || !mode_flat(t->mode, SEG_ES) || i->seg >= SEG_FS || !mode_flat(t->mode, i->seg))
        return false;
    check_direction(t);
    check_count(t, i->opsize);
    check_page(t, RSI, i->opsize);
    check_page(t, RDI, i->opsize);
    if (!wide(t))
        e_mov32(&t->e, RCX, RCX), e_mov32(&t->e, RSI, RSI);
    translate_at(t, RSI, 1, DTLB_READ);
    e_store_gs(&t->e, SCRATCH_T, GS_OFF(resume));
    e_op_mem(&t->e, 0x8a, false, SCRATCH_T, SCRATCH_T, SCRATCH_U, 0, 0);
    translate_at(t, RDI, 1, DTLB_WRITE);
    e_store_gs(&t->e, RSI, GS_OFF(borrow[0]));
    e_store_gs(&t->e, RDI, GS_OFF(borrow[1]));
    tr_note_held(t, 0, RSI);
    tr_note_held(t, 1, RDI);
    tr_note_starts_over(t);
    e_gs_op(&t->e, ADD, true, RSI, GS_OFF(resume));
    e_lea(&t->e, true, RDI, SCRATCH_T, SCRATCH_U, 0, 0);
    put_repeated(t, 0xa5, i->opsize);
    destination_back(t);
    e_gs_op(&t->e, SUB, wide(t), RSI, GS_OFF(resume));
    tr_flags_from_memory(t);
    return true;
}

bool tr_emit_movs(Translator *t, const Insn *i)
{
    if (is_repeated(i))
        return emit_rep_movs(t, i);
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
