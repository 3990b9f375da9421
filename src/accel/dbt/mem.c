/*
 * mem.c - chooses the memory back end; what all of them need when a block is translated.
 */
#include "accel/dbt/translate.h"

void tr_prepare_access(Translator *t, unsigned size, unsigned align)
{
    if (!t->v->flat || !mem_flat_keeps_flags(t, size, align))
        tr_flags_to_memory(t);
}

void tr_emit_translate(Translator *t, unsigned size, unsigned access, unsigned align)
{
    if (t->v->flat)
        mem_flat_translate(t, size, access, align);
    else
        mem_tag_translate(t, size, access, align);
    t->address.kind = ADDRESS_UNKNOWN;
}

FaultSite *tr_add_fault_site(Translator *t, unsigned size, unsigned access)
{
    FaultSite *f = &t->fault[t->n_faults++];
    uint16_t pc = (uint16_t)(t->e.p - t->start);
    *f = (FaultSite){ .pc = pc, .resume = pc, .rip = (uint16_t)(t->rip - t->b->rip), .size = (uint8_t)size,
                      .access = access, .flags_saved = t->flags_in_memory, .held = { NOT_HELD, NOT_HELD } };
    return f;
}

/* The same access from here on, with something else to do if it faults.  NULL: none has begun in this instruction. */
static FaultSite *continue_site(Translator *t)
{
    FaultSite *f = t->n_faults ? &t->fault[t->n_faults - 1] : NULL;
    if (!f || f->rip != (uint16_t)(t->rip - t->b->rip))
        return NULL;
    FaultSite *more = &t->fault[t->n_faults++];
    *more = *f;
    more->pc = (uint16_t)(t->e.p - t->start);
    return more;
}

void tr_note_simd_fp(Translator *t, const Insn *i)
{
    bool has_site = t->v->flat && i->has_mem; /* that of the operand's access tells the same */
    if (insn_row(i)->attrs & ROW_SIMD_FP && !has_site)
        tr_add_fault_site(t, 0, 0);
}

void tr_note_held(Translator *t, unsigned n, unsigned host)
{
    FaultSite *f = continue_site(t);
    if (f)
        f->held[n] = (uint8_t)host;
}

void tr_note_starts_over(Translator *t)
{
    FaultSite *f = continue_site(t);
    if (f)
        f->resume = NO_RESUME;
}

void tr_note_push(Translator *t)
{
    FaultSite *f = continue_site(t);
    if (f)
        f->push = true;
}
