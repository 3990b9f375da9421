/*
 * control_words.c - MXCSR and the x87 control word.  Translated x87 code runs only while that masks every exception (mode.c), so
 * a value that unmasks one is the interpreter's.
 */
#include "accel/dbt/translate.h"

static bool usable(const Translator *t, const Insn *i, uint32_t unit) { return t->mode & unit && tr_addressable(t, i); }

/* The operand to SCRATCH_U and `resume`. */
static void load_word(Translator *t, const Insn *i, unsigned bytes)
{
    tr_flags_to_memory(t);
    tr_emit_address(t, i);
    tr_emit_translate(t, bytes, DTLB_READ, 1);
    tr_load_value(t, bytes);
    e_store_gs(&t->e, SCRATCH_U, GS_OFF(resume));
}

static uint32_t unit_of(const Insn *i) { return i->prefixes & PFX_VEX ? MODE_AVX : MODE_SSE; }

bool tr_emit_load_mxcsr(Translator *t, const Insn *i)
{
    enum { RESERVED = 0xffff0000 }; /* #GP */
    if (!usable(t, i, unit_of(i)))
        return false;
    load_word(t, i, 4);
    e_test_imm(&t->e, SCRATCH_U, RESERVED);
    tr_leave_if(t, CC_NE);
    e1(&t->e, 0x65), e1(&t->e, 0x0f), e1(&t->e, 0xae); /* ldmxcsr gs:[resume] */
    e_gs_modrm(&t->e, 2, GS_OFF(resume));
    tr_flags_from_memory(t);
    return true;
}

bool tr_emit_store_mxcsr(Translator *t, const Insn *i)
{
    if (!usable(t, i, unit_of(i)))
        return false;
    tr_emit_access(t, i, 4, DTLB_WRITE, 1);
    e_rex(&t->e, false, 3, SCRATCH_U, SCRATCH_T); /* stmxcsr */
    e1(&t->e, 0x0f), e1(&t->e, 0xae);
    e_mem(&t->e, 3, SCRATCH_T, SCRATCH_U, 0, 0);
    return true;
}

bool tr_emit_fldcw(Translator *t, const Insn *i)
{
    enum { FCW_MASKS = 0x3f };
    if (!usable(t, i, MODE_X87))
        return false;
    load_word(t, i, 2);
    e_mov32(&t->e, SCRATCH_T, SCRATCH_U);
    e_not(&t->e, false, SCRATCH_T);
    e_test_imm(&t->e, SCRATCH_T, FCW_MASKS);
    tr_leave_if(t, CC_NE);
    e1(&t->e, 0x65), e1(&t->e, 0xd9); /* fldcw gs:[resume] */
    e_gs_modrm(&t->e, 5, GS_OFF(resume));
    tr_flags_from_memory(t);
    return true;
}

/* FNINIT, FNCLEX; FWAIT finds nothing pending. */
bool tr_emit_x87_plain(Translator *t, const Insn *i)
{
    if (!(t->mode & MODE_X87))
        return false;
    if (i->op != OP_FWAIT)
        e1(&t->e, 0xdb), e1(&t->e, i->op == OP_FNINIT ? 0xe3 : 0xe2);
    return true;
}
