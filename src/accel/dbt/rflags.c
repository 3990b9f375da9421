/*
 * rflags.c - PUSHF and POPF; IF, DF and AC, which stand in CpuState.
 *
 * Where IF is set an interrupt may be due that was held back: if anything is asked for, the instruction is the
 * interpreter's, which knows the shadow of STI.  Otherwise whoever asks from now on sets `poll`.
 */
#include "accel/dbt/translate.h"

enum { LAHF_BITS = RFLAGS_STATUS & 0xff, OF_SHIFT = 11, BYTE1 = 1 /* of RFLAGS: TF, IF, DF */, SHORT_E = 4, SHORT_NE = 5 };

static uint32_t cr4_off(void) { return GS_OFF(i.s.cr4); }
static uint32_t rflags_off(void) { return GS_OFF(i.s.rflags); }

void tr_leave_if(Translator *t, unsigned cc) { tr_add_site(t, e_jcc(&t->e, cc), tr_new_exit(t, EXIT_INTERP, t->rip)); }

void tr_leave_if_requested(Translator *t)
{
    e_gs_imm32(&t->e, 0x81, false, 7, GS_OFF(i.vcpu.request), 0);
    tr_leave_if(t, CC_NE);
}

/* The guest's flags as PUSHF shows them, from flags_tmp and CpuState, to SCRATCH_T and `resume`. */
void tr_emit_flags_image(Translator *t)
{
    Emit *e = &t->e;
    e_load32_gs(e, SCRATCH_T, GS_OFF(flags_tmp));
    e_mov32(e, SCRATCH_U, SCRATCH_T);
    e_shift(e, false, 5, SCRATCH_T, 8);
    e_alu_imm(e, false, 4, SCRATCH_T, LAHF_BITS);
    e_alu_imm(e, false, 4, SCRATCH_U, 1);
    e_shift(e, false, 4, SCRATCH_U, OF_SHIFT);
    e_alu(e, 0x09, false, SCRATCH_T, SCRATCH_U);
    e_load32_gs(e, SCRATCH_U, rflags_off());
    e_alu_imm(e, false, 4, SCRATCH_U, ~(RFLAGS_STATUS | RFLAGS_VM | RFLAGS_RF));
    e_alu(e, 0x09, false, SCRATCH_T, SCRATCH_U);
    e_store_gs(e, SCRATCH_T, GS_OFF(resume));
}

/* Outside virtual-8086 mode PUSHF has no condition. */
bool tr_emit_pushf(Translator *t, const Insn *i)
{
    if (!natural_size(t, i))
        return false;
    tr_flags_to_memory(t);
    if (!t->flags_in_memory)
        return false; /* cannot be: it reads all flags */
    tr_emit_flags_image(t);
    tr_emit_push_access(t, tr_stack_bytes(t));
    tr_store_kept(t, GS_OFF(resume), tr_stack_bytes(t));
    tr_emit_move_stack(t, -tr_stack_bytes(t));
    return true;
}

/* The status flags in SCRATCH_U become the guest's.  Spoils both scratch registers. */
void tr_take_status(Translator *t)
{
    e_flags_to_lahf(&t->e, SCRATCH_T, SCRATCH_U);
    e_store_gs(&t->e, SCRATCH_T, GS_OFF(flags_tmp));
    t->flags_in_memory = true;
}

/* DF changes here, and IF at CPL 0; what changes any other bit is the interpreter's.  (RF is read as 0, and is 0 in
 * translated code.) */
bool tr_emit_popf(Translator *t, const Insn *i)
{
    if (!natural_size(t, i))
        return false;
    bool cpl0 = t->mode & MODE_CPL0;
    uint32_t here = RFLAGS_DF | (cpl0 ? RFLAGS_IF : 0);
    uint32_t others = (RFLAGS_TF | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID) & ~here;
    tr_emit_load_top(t, tr_stack_bytes(t));
    e_load32_gs(&t->e, SCRATCH_T, rflags_off());
    e_alu(&t->e, 0x31, false, SCRATCH_T, SCRATCH_U);
    e_test_imm(&t->e, SCRATCH_T, others);
    tr_leave_if(t, CC_NE);
    if (cpl0) {
        e_test_imm(&t->e, SCRATCH_U, RFLAGS_IF);
        uint8_t *off = e_skip(&t->e, SHORT_E);
        tr_leave_if_requested(t);
        e_land(&t->e, off);
    }
    e_alu_imm(&t->e, false, 4, SCRATCH_T, here);
    e_gs_op(&t->e, 0x31, false, SCRATCH_T, rflags_off());
    tr_take_status(t);
    tr_flags_from_memory(t);
    tr_emit_move_stack(t, tr_stack_bytes(t));
    return true;
}

/* ---- one bit */

static void change_byte1(Translator *t, bool set, uint32_t bit)
{
    tr_flags_to_memory(t);
    e_gs_imm8(&t->e, 0x80, set ? 1 : 4, rflags_off() + BYTE1, (uint8_t)((set ? bit : ~bit) >> 8));
    tr_flags_from_memory(t);
}

/* At CPL 0 nothing is checked. */
bool tr_emit_cli(Translator *t, const Insn *i)
{
    (void)i;
    if (!(t->mode & MODE_CPL0))
        return false;
    change_byte1(t, false, RFLAGS_IF);
    return true;
}

/* The next instruction stands in the same block, so no interrupt comes in front of it. */
bool tr_emit_sti(Translator *t, const Insn *i)
{
    (void)i;
    if (!(t->mode & MODE_CPL0) || t->now + 1 == t->insn + t->n)
        return false;
    tr_flags_to_memory(t);
    e_gs_imm8(&t->e, 0xf6, 0, rflags_off() + BYTE1, RFLAGS_IF >> 8);
    uint8_t *set_already = e_skip(&t->e, SHORT_NE);
    tr_leave_if_requested(t);
    e_gs_imm8(&t->e, 0x80, 1, rflags_off() + BYTE1, RFLAGS_IF >> 8);
    e_land(&t->e, set_already);
    tr_flags_from_memory(t);
    return true;
}

bool tr_emit_direction(Translator *t, const Insn *i)
{
    change_byte1(t, i->op == OP_STD, RFLAGS_DF);
    return true;
}

/* ---- AC decides whose rights the next access has: the rest of the block is translated for that. */

void tr_enter_mode(Translator *t, uint32_t mode)
{
    if (t->mode & MODE_SINGLE)
        return; /* C code follows */
    e_gs_imm32(&t->e, 0x81, false, 7, dbt_jumps_offset(mode_who(mode)) + offsetof(DbtJumps, mode), mode);
    tr_leave_if(t, CC_NE);
}

void tr_store_mode(Translator *t, uint32_t mode)
{
    e_gs_imm32(&t->e, 0xc7, false, 0, GS_OFF(mode), mode);
    e_gs_imm32(&t->e, 0xc7, false, 0, GS_OFF(i.who), mode_who(mode));
    t->mode = mode;
}

bool tr_emit_stac(Translator *t, const Insn *i)
{
    bool set = i->op == OP_STAC;
    MemWho who = set ? MEM_SMAP_AC : MEM_IMPLICIT;
    uint32_t mode = dbt_mode_for(t->mode, who);
    bool changes = mode_who(t->mode) != who; /* else AC is set already, or matters to nobody: no SMAP */
    tr_flags_to_memory(t);
    if (set && changes) {
        e_gs_imm32(&t->e, 0xf7, false, 0, cr4_off(), CR4_SMAP);
        tr_leave_if(t, CC_E);
    }
    if (changes)
        tr_enter_mode(t, mode);
    e_gs_imm32(&t->e, 0x81, false, set ? 1 : 4, rflags_off(), set ? RFLAGS_AC : ~(uint32_t)RFLAGS_AC);
    if (changes)
        tr_store_mode(t, mode);
    tr_flags_from_memory(t);
    return true;
}
