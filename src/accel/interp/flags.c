/*
 * flags.c - CLI, STI, PUSHF, POPF, CLAC, STAC with IOPL, VME and PVI; INT n and its kin.  SDM 3, 20.3 and table 20-2;
 * SDM 2.
 */
#include "accel/interp/system.h"

/* May this code not touch IF?  Then it may touch VIF where VME or PVI virtualizes it, else #GP(0). */
static bool if_is_virtual(InterpVcpu *v)
{
    if (!(v->s.cr0 & CR0_PE) || v->cpl <= iopl(v))
        return false;
    bool offered = v->vm86 ? v->s.cr4 & CR4_VME : v->cpl == 3 && (v->s.cr4 & CR4_PVI);
    if (!offered)
        interp_gp0(v);
    return true;
}

void exec_cli(InterpVcpu *v, const Insn *i)
{
    v->s.rflags &= ~(uint64_t)(if_is_virtual(v) ? RFLAGS_VIF : RFLAGS_IF);
}

void exec_sti(InterpVcpu *v, const Insn *i)
{
    if (if_is_virtual(v)) {
        if (v->s.rflags & RFLAGS_VIP)
            interp_gp0(v);
        v->s.rflags |= RFLAGS_VIF;
        return;
    }
    if (!(v->s.rflags & RFLAGS_IF))
        interp_set_shadow(v, 1);
    v->s.rflags |= RFLAGS_IF;
}

/* In VM86 mode with IOPL below 3, the 16-bit forms work on VIF under VME. */
static bool flags_are_virtual(InterpVcpu *v, const Insn *i)
{
    if (!v->vm86 || iopl(v) == 3)
        return false;
    if (!(v->s.cr4 & CR4_VME) || i->opsize != 2)
        interp_gp0(v);
    return true;
}

void exec_pushf(InterpVcpu *v, const Insn *i)
{
    uint64_t flags = v->s.rflags & ~(uint64_t)(RFLAGS_VM | RFLAGS_RF);
    if (flags_are_virtual(v, i))
        flags = (flags & ~(uint64_t)RFLAGS_IF) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
    stack_push(v, i->opsize, flags);
}

static uint64_t popf_mask(const InterpVcpu *v, unsigned opsize)
{
    uint64_t mask = RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
    if (opsize > 2)
        mask |= RFLAGS_AC | RFLAGS_ID | RFLAGS_RF; /* RF is read as 0 */
    if (v->cpl == 0)
        mask |= RFLAGS_IOPL;
    if (v->cpl <= iopl(v))
        mask |= RFLAGS_IF;
    return mask;
}

void exec_popf(InterpVcpu *v, const Insn *i)
{
    bool virtual_if = flags_are_virtual(v, i);
    uint64_t at = v->s.gpr[GPR_RSP] & v->stack_mask;
    uint64_t flags = mem_read(v, SEG_SS, at, i->opsize) & ~(uint64_t)RFLAGS_RF;
    uint64_t mask = popf_mask(v, i->opsize);
    if (virtual_if) {
        if ((flags & RFLAGS_TF) || ((flags & RFLAGS_IF) && (v->s.rflags & RFLAGS_VIP)))
            interp_gp0(v);
        mask = (mask & ~(uint64_t)RFLAGS_IF) | RFLAGS_VIF;
        flags = (flags & ~(uint64_t)RFLAGS_VIF) | (flags & RFLAGS_IF ? RFLAGS_VIF : 0);
    }
    stack_set_pointer(v, at + i->opsize);
    interp_set_rflags(v, flags, mask);
}

void exec_clac(InterpVcpu *v, const Insn *i) { interp_set_rflags(v, 0, RFLAGS_AC); }
void exec_stac(InterpVcpu *v, const Insn *i) { interp_set_rflags(v, RFLAGS_AC, RFLAGS_AC); }

/* ---- software interrupts */
void exec_int(InterpVcpu *v, const Insn *i)
{
    uint8_t vector = (uint8_t)i->imm;
    if (v->vm86) {
        if (vme_redirects_to_program(v, vector)) {
            vm86_deliver_ivt(v, vector, v->next_rip);
            return;
        }
        if (iopl(v) < 3)
            interp_gp0(v);
    }
    interp_deliver_kind(v, vector, EVENT_SOFT, false, 0, v->next_rip);
}

void exec_int3(InterpVcpu *v, const Insn *i) { interp_deliver_kind(v, EXC_BP, EVENT_SOFT, false, 0, v->next_rip); }

void exec_into(InterpVcpu *v, const Insn *i)
{
    if (v->s.rflags & RFLAGS_OF)
        interp_deliver_kind(v, EXC_OF, EVENT_SOFT, false, 0, v->next_rip);
}

/* Like an exception: no check of the gate's privilege. */
void exec_int1(InterpVcpu *v, const Insn *i) { interp_deliver_kind(v, EXC_DB, EVENT_ICEBP, false, 0, v->next_rip); }
