/*
 * address.c - the linear address of a memory operand, and the guest flags around what spoils them.
 */
#include "accel/dbt/translate.h"

void tr_flags_to_memory(Translator *t)
{
    if (t->flags_in_memory || !t->live)
        return;
    e_mov(&t->e, SCRATCH_T, RAX);
    e_flags_to_rax(&t->e);
    e_store_gs(&t->e, RAX, GS_OFF(flags_tmp));
    e_mov(&t->e, RAX, SCRATCH_T);
    t->flags_in_memory = true;
}

/* Leaves the scratch registers alone. */
void tr_flags_from_memory(Translator *t)
{
    if (!t->flags_in_memory)
        return;
    e_store_gs(&t->e, RAX, GS_OFF(borrow));
    e_load_gs(&t->e, RAX, GS_OFF(flags_tmp));
    e_flags_from_rax(&t->e);
    e_load_gs(&t->e, RAX, GS_OFF(borrow));
    t->flags_in_memory = false;
}

void tr_flags_settle(Translator *t)
{
    if (!t->flags_may_stay)
        tr_flags_from_memory(t);
}

/* Can this operand be addressed by translated code? */
bool tr_addressable(const Translator *t, const Insn *i)
{
    if (i->vsib || i->addrsize == 2 || !mode_flat(t->mode, i->seg))
        return false;
    return i->disp == (int32_t)i->disp || (i->base == INSN_NO_REG && i->index == INSN_NO_REG);
}

static unsigned load_slot(Translator *t, unsigned reg, unsigned scratch)
{
    if (!is_slot(reg))
        return reg;
    e_load_gs(&t->e, scratch, GS_GPR(reg));
    return scratch;
}

void tr_emit_rip(Translator *t, unsigned reg, uint64_t rip)
{
    if (!t->relative) {
        e_mov_imm(&t->e, reg, rip);
        return;
    }
    int64_t left = (int64_t)rip;
    e_load_gs(&t->e, reg, GS_OFF(code_base));
    if (left != (int32_t)left) { /* a little beyond: at most a page and an instruction */
        int32_t most = left < 0 ? INT32_MIN : INT32_MAX;
        e_lea(&t->e, wide(t), reg, reg, 0xff, 0, most);
        left -= most;
    }
    e_lea(&t->e, wide(t), reg, reg, 0xff, 0, (int32_t)left);
}

void tr_emit_address_to(Translator *t, const Insn *i, unsigned to, unsigned bytes)
{
    bool w = i->addrsize == 8 && bytes == 8;
    if (i->base == INSN_RIP) {
        tr_emit_rip(t, to, t->rip + i->length + i->disp);
        if (!w)
            e_mov32(&t->e, to, to);
    } else if (i->base == INSN_NO_REG && i->index == INSN_NO_REG) {
        e_mov_imm(&t->e, to, w ? (uint64_t)i->disp : (uint32_t)i->disp);
    } else {
        unsigned base = i->base == INSN_NO_REG ? 0xff : load_slot(t, i->base, SCRATCH_U);
        unsigned index = i->index == INSN_NO_REG ? 0xff : load_slot(t, i->index, SCRATCH_T);
        e_lea(&t->e, w, to, base, index, i->scale, (int32_t)i->disp);
    }
}

static void note_address(Translator *t, const Insn *i)
{
    t->address.kind = ADDRESS_UNKNOWN;
    if (i->seg >= SEG_FS)
        return;
    if (i->base == INSN_RIP || (i->base == INSN_NO_REG && i->index == INSN_NO_REG))
        tr_address_fixed(t, (i->base == INSN_RIP ? t->rip + i->length : 0) + i->disp); /* blocks are relative to pages */
    else if (i->base != INSN_NO_REG && i->index == INSN_NO_REG)
        tr_address_base(t, i->base, i->disp);
}

/* The linear address of the memory operand to SCRATCH_U.  Spoils SCRATCH_T; keeps flags. */
void tr_emit_address(Translator *t, const Insn *i)
{
    note_address(t, i);
    tr_emit_address_to(t, i, SCRATCH_U, 8);
    if (i->seg >= SEG_FS) {
        e_load_gs(&t->e, SCRATCH_T, GS_OFF(i.base) + 8 * i->seg);
        e_lea(&t->e, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
    }
}

/* Both, with the guest's flags put aside if somebody needs them. */
void tr_emit_access(Translator *t, const Insn *i, unsigned size, unsigned access, unsigned align)
{
    if (tr_group_access(t, size, access, align))
        return;
    tr_prepare_access(t, size, align);
    tr_emit_address(t, i);
    tr_emit_translate(t, size, access, align);
    tr_flags_settle(t);
}

void tr_load_gpr(Translator *t, unsigned to, unsigned reg)
{
    if (is_slot(reg))
        e_load_gs(&t->e, to, GS_GPR(reg));
    else
        e_mov(&t->e, to, reg);
}

void tr_store_gpr(Translator *t, unsigned reg, unsigned from)
{
    if (is_slot(reg))
        e_store_gs(&t->e, from, GS_GPR(reg));
    else
        e_mov(&t->e, reg, from);
}

void tr_store_gpr16(Translator *t, unsigned reg)
{
    if (is_slot(reg)) {
        e_store16_gs(&t->e, SCRATCH_U, GS_GPR(reg));
    } else {
        e1(&t->e, 0x66);
        e_alu(&t->e, 0x89, false, reg, SCRATCH_U);
    }
}
