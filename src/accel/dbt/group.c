/*
 * group.c - accesses at the same base register, one after the other: one look-up for all.
 *
 *     push rbp; push rbx; sub rsp, 8        mov rax, [rdi + 8]; mov rcx, [rdi + 24]
 *
 * The first looks up where the last byte of all stands (SCRATCH_U, with the addend in SCRATCH_T) and tests that the first
 * byte is in the same page.  If it is not, the first is executed by itself, behind the block, and what follows is another
 * block.  Between the accesses nothing may touch the scratch registers or change the base by what is not known.  Flat
 * tables only, and only where flags are free.
 */
#include "accel/dbt/translate.h"

enum { MOST_BYTES = 128 /* displacements from the last one are bytes */ };

typedef struct Use {
    bool accesses, ends; /* ends: the scratch registers hold something else afterwards */
    uint8_t base, size;
    bool writes;
    int64_t disp; /* to the base before the instruction */
} Use;

static bool plain_gpr(const Operand *o) { return o->kind == OPND_REG && o->cls == RC_GPR && !is_slot(o->reg); }

static Use stack_use(unsigned bytes, bool writes, bool ends)
{
    return (Use){ .accesses = true, .ends = ends, .base = RSP, .size = (uint8_t)bytes, .writes = writes, .disp = writes ? -(int)bytes : 0 };
}

static Use memory_use(const Translator *t, const Insn *i)
{
    GprFields f = dbt_gpr_fields(i);
    const Operand *m = tr_memory_operand(i);
    bool simple = i->base < 16 && !is_slot(i->base) && i->index == INSN_NO_REG && i->seg < SEG_FS && i->addrsize == (wide(t) ? 8 : 4);
    if (!simple || f.high || !tr_passes(t, i) || m->size > 32 || i->prefixes & PFX_LOCK)
        return (Use){ 0 };
    bool ends = f.named & SLOTS;
    return (Use){ .accesses = true, .ends = ends, .base = i->base, .size = (uint8_t)m->size, .writes = m->access & OPND_WRITE, .disp = (int32_t)i->disp };
}

/* What i accesses, if it can be a member. */
static Use use_of(const Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    bool natural = natural_size(t, i);
    switch (i->op) {
    case OP_PUSH: return natural && (o->kind == OPND_IMM || plain_gpr(o)) ? stack_use(i->opsize, true, false) : (Use){ 0 };
    case OP_POP:  return natural && plain_gpr(o) && o->reg != RSP ? stack_use(i->opsize, false, false) : (Use){ 0 };
    case OP_CALL: return natural && o->kind == OPND_REL ? stack_use(i->opsize, true, true) : (Use){ 0 };
    case OP_RET:  return natural ? stack_use(i->opsize, false, true) : (Use){ 0 };
    default:      return i->has_mem && !tr_has_emitter(i) ? memory_use(t, i) : (Use){ 0 };
    }
}

/* No access, and the scratch registers stay. */
static bool is_neutral(const Translator *t, const Insn *i)
{
    if (i->op == OP_JCC || tr_is_hint(i))
        return true;
    if (i->op == OP_LEA)
        return plain_gpr(&i->opnd[0]) && i->opsize >= 4 && i->addrsize >= 4 && !(dbt_gpr_fields(i).named & SLOTS);
    return !i->has_mem && !tr_has_emitter(i) && tr_passes(t, i) && !(dbt_gpr_fields(i).named & SLOTS);
}

/* False: nobody knows what it makes of the register. */
static bool base_change(const Translator *t, const Insn *i, unsigned base, int64_t *offset)
{
    const Operand *o = &i->opnd[0];
    bool whole = o->kind == OPND_REG && o->cls == RC_GPR && o->reg == base && natural_size(t, i);
    if (i->op == OP_PUSH || i->op == OP_POP)
        *offset += base != RSP ? 0 : i->op == OP_PUSH ? -(int64_t)i->opsize : i->opsize;
    if (!tr_may_write_gpr(i, base))
        return true;
    if (whole && (i->op == OP_ADD || i->op == OP_SUB) && i->opnd[1].kind == OPND_IMM)
        *offset += i->op == OP_ADD ? (int32_t)i->imm : -(int64_t)(int32_t)i->imm;
    else if (whole && i->op == OP_LEA && i->base == base && i->index == INSN_NO_REG)
        *offset += (int32_t)i->disp;
    else
        return false;
    return ABS(*offset) < 4096;
}

/* How far the accesses from instruction n on reach that the first can look up for. */
static bool plan(const Translator *t, unsigned n, const Use *first, Group *g)
{
    *g = (Group){ .base = first->base, .writes = first->writes, .low = first->disp, .high = first->disp + first->size };
    unsigned accesses = 1;
    for (unsigned k = n;; accesses++) {
        do {
            if (!base_change(t, &t->insn[k], g->base, &g->offset) || ++k == t->n)
                return accesses > 1;
        } while (is_neutral(t, &t->insn[k]));
        Use u = use_of(t, &t->insn[k]);
        int64_t low = MIN(g->low, g->offset + u.disp), high = MAX(g->high, g->offset + u.disp + u.size);
        if (!u.accesses || u.base != g->base || (u.writes && !g->writes) || high - low > MOST_BYTES)
            return accesses > 1;
        g->low = low, g->high = high;
        if (u.ends)
            return true;
    }
}

void tr_group_before(Translator *t, unsigned n)
{
    Group *g = &t->group;
    t->group_use = GROUP_NONE;
    t->disp = 0;
    Use u = use_of(t, &t->insn[n]);
    if (!u.accesses) {
        g->on = g->on && is_neutral(t, &t->insn[n]);
        return;
    }
    int64_t at = g->offset + u.disp;
    if (g->on && u.base == g->base && u.writes <= g->writes && at >= g->low && at + u.size <= g->high) {
        t->group_use = GROUP_FOLLOWS;
    } else {
        bool may = mem_may_group(t) && !u.ends && plan(t, n, &u, g);
        g->on = may;
        g->offset = 0;
        at = u.disp;
        t->group_use = may ? GROUP_LEADS : GROUP_NONE;
    }
    t->group_disp = (int8_t)(at - (g->high - 1));
    g->ends = u.ends;
}

void tr_group_after(Translator *t, const Insn *i)
{
    Group *g = &t->group;
    g->on = g->on && !g->ends && base_change(t, i, g->base, &g->offset);
    g->ends = false;
}

/* What the first has reached holds the others too, so none of them faults but by its alignment. */
static void note_follower(Translator *t, unsigned size, unsigned access, unsigned align)
{
    FaultSite *f = tr_add_fault_site(t, size, access);
    f->resume = NO_RESUME;
    f->ea = t->group_disp;
    f->aligned = align > 1;
}

bool tr_group_access(Translator *t, unsigned size, unsigned access, unsigned align)
{
    if (t->group_use == GROUP_NONE)
        return false;
    if (t->group_use == GROUP_LEADS)
        mem_flat_lead(t, size, access, align);
    else
        note_follower(t, size, access, align);
    t->disp = t->group_disp;
    return true;
}
