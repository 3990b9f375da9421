/*
 * control.c - jumps, calls, returns, loops.  Each but Jcc ends the block.
 */
#include "accel/dbt/translate.h"

static uint64_t next_rip(const Translator *t, const Insn *i) { return cut_rip(t, t->rip + i->length); }
static uint64_t target(const Translator *t, const Insn *i) { return cut_rip(t, next_rip(t, i) + i->imm); }

void tr_emit_jump(Translator *t, uint64_t rip) { tr_jump_to(t, e_jmp(&t->e), rip); }

bool tr_emit_jmp(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (!natural_size(t, i))
        return false;
    if (o->kind == OPND_REL) {
        tr_emit_jump(t, target(t, i));
        return true;
    }
    if (o->kind == OPND_MEM) {
        if (!tr_addressable(t, i))
            return false;
        tr_emit_access(t, i, o->size, DTLB_READ, 1);
        tr_load_value(t, o->size);
    } else {
        tr_load_gpr(t, SCRATCH_U, o->reg);
    }
    tr_emit_indirect(t);
    return true;
}

/* A target in memory, or in RSP, is read before the push changes either. */
static void keep_target(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (o->kind == OPND_MEM) {
        tr_emit_access(t, i, o->size, DTLB_READ, 1);
        tr_load_value(t, o->size);
    } else {
        tr_load_gpr(t, SCRATCH_U, o->reg);
    }
    e_store_gs(&t->e, SCRATCH_U, GS_OFF(resume));
}

bool tr_emit_call(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    bool kept = o->kind == OPND_MEM || (o->kind == OPND_REG && o->reg == RSP);
    if (!natural_size(t, i) || (o->kind == OPND_MEM && !tr_addressable(t, i)))
        return false;
    if (kept)
        keep_target(t, i);
    tr_emit_push_access(t, tr_stack_bytes(t));
    tr_store_top_rip(t, next_rip(t, i), tr_stack_bytes(t));
    tr_emit_move_stack(t, -tr_stack_bytes(t));
    if (o->kind == OPND_REL) {
        tr_emit_jump(t, target(t, i));
        return true;
    }
    if (kept)
        e_load_gs(&t->e, SCRATCH_U, GS_OFF(resume));
    else
        tr_load_gpr(t, SCRATCH_U, o->reg);
    tr_emit_indirect(t);
    return true;
}

bool tr_emit_ret(Translator *t, const Insn *i)
{
    if (!natural_size(t, i))
        return false;
    tr_emit_load_top(t, tr_stack_bytes(t));
    tr_emit_move_stack(t, tr_stack_bytes(t) + (int32_t)(i->n_operands ? i->imm : 0));
    tr_emit_indirect(t);
    return true;
}

/* The block goes on with what follows. */
bool tr_emit_jcc(Translator *t, const Insn *i)
{
    if (!natural_size(t, i))
        return false;
    tr_jump_to(t, e_jcc(&t->e, i->cc), target(t, i));
    t->slots_kept = t->slots_loaded;
    return true;
}

/* LOOP and JCXZ have only short jumps: over a long one to the other. */
bool tr_emit_loop(Translator *t, const Insn *i)
{
    if (!natural_size(t, i) || i->addrsize == 2)
        return false;
    if (i->addrsize == 4)
        e1(&t->e, 0x67);
    e1(&t->e, i->opcode), e1(&t->e, 5);
    tr_emit_jump(t, next_rip(t, i));
    tr_emit_jump(t, target(t, i));
    return true;
}
