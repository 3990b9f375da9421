/*
 * exits.c - ways out of a block: jumps to known and unknown addresses, exits to C, and the cold code behind the block.
 */
#include "accel/dbt/translate.h"

/* The current instruction, kept as long as the block; one copy for all of its exits. */
static const Insn *keep_insn(Translator *t)
{
    if (!t->kept) {
        Insn *i = dbt_arena_alloc(t->v, sizeof(*i));
        *i = *t->now;
        t->kept = i;
    }
    return t->kept;
}

DbtExit *tr_new_exit(Translator *t, ExitKind kind, uint64_t rip)
{
    DbtExit all = { .kind = kind, .rip = rip, .relative = t->relative, .block = t->b, .mode = t->mode, .flags_saved = t->flags_in_memory };
    DbtExit *x = dbt_arena_alloc(t->v, dbt_exit_bytes(kind));
    memcpy(x, &all, dbt_exit_bytes(kind));
    if (kind == EXIT_INTERP) {
        x->insn = keep_insn(t);
        x->fn = dispatch((const InterpAccel *)t->v->i.vcpu.accel, x->insn);
    }
    return x;
}

/* Where the next byte will be executed. */
const void *tr_here(const Translator *t)
{
    const uint8_t *known = dbt_glue_exit(t->v->glue, false);
    return known + (t->e.p - code_buffer_writable(dbt_code(t->v), known));
}

ColdSite *tr_add_site(Translator *t, uint8_t *jump, DbtExit *exit)
{
    ColdSite *s = &t->site[t->n_sites++];
    *s = (ColdSite){ .jump = jump, .exit = exit };
    return s;
}

void tr_emit_exit(Translator *t, const DbtExit *x)
{
    e_mov_imm(&t->e, SCRATCH_T, (uintptr_t)x);
    patch_rel32(e_jmp(&t->e), code_buffer_writable(dbt_code(t->v), dbt_glue_exit(t->v->glue, x->flags_saved)));
}

void tr_emit_helper(Translator *t, ExecFn *fn)
{
    DbtExit *x = tr_new_exit(t, EXIT_INTERP, t->rip);
    if (fn)
        x->fn = fn;
    tr_emit_exit(t, x);
    x->resume = tr_here(t);
    t->flags_in_memory = false; /* going on loads them */
    t->group.on = false;
}

/* To the guest RIP in SCRATCH_U. */
void tr_emit_indirect(Translator *t)
{
    if (t->mode & MODE_SINGLE) {
        patch_rel32(e_jmp(&t->e), code_buffer_writable(dbt_code(t->v), dbt_glue_miss(t->v->glue)));
        return;
    }
    e_movzx16(&t->e, SCRATCH_T, SCRATCH_U);
    e_jmp_gs_indexed(&t->e, SCRATCH_T, dbt_jumps_offset(mode_who(t->mode)) + offsetof(DbtJumps, entry));
}

/* The same to a RIP known now: so is its place in the table, unless the block is relative. */
static void emit_indirect_to(Translator *t, uint64_t rip)
{
    tr_emit_rip(t, SCRATCH_U, rip);
    if (t->relative)
        tr_emit_indirect(t);
    else if (t->mode & MODE_SINGLE)
        patch_rel32(e_jmp(&t->e), code_buffer_writable(dbt_code(t->v), dbt_glue_miss(t->v->glue)));
    else
        e_jmp_gs(&t->e, dbt_jumps_offset(mode_who(t->mode)) + offsetof(DbtJumps, entry) + (uint32_t)(rip & 0xffff) * 8);
}

static bool in_page_of_block(const Translator *t, uint64_t rip) { return ((rip ^ t->b->rip) & ~0xfffull) == 0; }

/* A jump whose displacement stands at `jump`, to a guest RIP known now. */
void tr_jump_to(Translator *t, uint8_t *jump, uint64_t rip)
{
    DbtExit *x = tr_new_exit(t, EXIT_JUMP, cut_rip(t, rip));
    x->linkable = in_page_of_block(t, x->rip) && !dbt_near_page_end(x->rip) && !(t->mode & MODE_SINGLE);
    x->jump = jump;
    if (x->linkable) {
        x->next_own = t->b->jumps;
        t->b->jumps = x;
    }
    tr_add_site(t, jump, x)->indirect = !x->linkable;
}

void tr_emit_cold(Translator *t, const ColdSite *s)
{
    patch_rel32(s->jump, t->e.p);
    if (s->alone) {
        mem_flat_cold(t, s);
        tr_emit_alone(t, s);
        return;
    }
    memcpy(&s->exit->unlinked, s->jump, 4);
    if (s->back)
        mem_flat_cold(t, s);
    if (s->to_ea)
        e_lea(&t->e, wide(t), SCRATCH_U, SCRATCH_U, 0xff, 0, s->to_ea);
    if (s->restore_ea)
        e_gs_indexed(&t->e, 0x03, SCRATCH_U, SCRATCH_T, s->tags);
    if (s->indirect) {
        emit_indirect_to(t, s->exit->rip);
    } else {
        tr_emit_exit(t, s->exit);
    }
}
