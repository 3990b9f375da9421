/*
 * handle.c - what follows an exit of translated code.
 */
#include <sched.h>

#include "accel/accel.h"
#include "accel/dbt/mem.h"

/* ---- the next block */

static const void *enter_at(DbtVcpu *v, const void *code)
{
    dbt_flags_in(v);
    if (!v->i.fpu_in_host)
        dbt_fpu_load(v);
    return code;
}

const void *dbt_next_code(DbtVcpu *v)
{
    dbt_jump_check_mode(v);
    DbtBlock *b = dbt_block_get(v);
    if (!b) {
        v->last_exit = NULL;
        v->remember = false;
        dbt_interpret_one(v);
        return NULL;
    }
    if (v->last_exit)
        dbt_link(v, v->last_exit, b);
    v->last_exit = NULL;
    if (v->remember)
        dbt_jump_remember(v, b);
    v->remember = false;
    v->code_base = v->i.s.rip & ~0xfffull;
    return enter_at(v, b->entry);
}

/* After something other than a jump: modes, mappings and requests may be others. */
static const void *go_on(DbtVcpu *v)
{
    if (v->i.single_step || interp_wants_attention(&v->i))
        return NULL;
    dbt_update_mode(v);
    return v->mode_translates ? dbt_next_code(v) : NULL;
}

/* ---- instructions that C code executes */

static void retire(DbtVcpu *v, unsigned row)
{
    v->stats.interp_insns++;
    v->stats.by_row[row]++;
    v->stepped = true;
    if (v->i.attention)
        interp_retired(&v->i);
}

void dbt_interpret_one(DbtVcpu *v)
{
    interp_run_one(&v->i);
    retire(v, v->i.last_row);
}

/* In the shadow of STI and MOV SS one more instruction runs before anything is looked at. */
static void finish_shadow(DbtVcpu *v)
{
    enum { BY_STI = 1 };
    if (v->i.attention == ATTN_SHADOW && v->i.s.interrupt_shadow == BY_STI && !v->i.single_step)
        dbt_interpret_one(v);
}

static void run_insn(DbtVcpu *v, const DbtExit *x)
{
    InterpVcpu *i = &v->i;
    i->leave_block = false;
    i->next_rip = i->s.rip + x->insn->length;
    x->fn(i, x->insn);
    i->instructions++;
    i->s.rip = i->code_size == CODE64 ? i->next_rip : (uint32_t)i->next_rip;
    retire(v, x->insn->row);
}

static const void *handle_insn(DbtVcpu *v, DbtExit *x)
{
    const DbtBlock *b = x->block;
    uint64_t expected = v->i.s.rip + x->insn->length;
    run_insn(v, x);
    finish_shadow(v);
    if (v->i.single_step || interp_wants_attention(&v->i))
        return NULL;
    dbt_update_mode(v);
    if (x->resume && b->host && v->i.s.rip == expected && v->mode == x->mode)
        return enter_at(v, x->resume);
    return v->mode_translates ? dbt_next_code(v) : NULL;
}

/* What faults often is translated anew, with a check in front of the access. */
static void note_fault(DbtVcpu *v, const DbtBlock *b, uint64_t rip)
{
    v->stats.faults++;
    if (b->host && dbt_flat_site_faulted(v, b->host + (rip - b->rip)))
        dbt_code_dropped(&v->i, b->host - ((uintptr_t)b->host & 0xfff), dbt_granules(b->host, b->bytes));
}

static const void *handle_memory(DbtVcpu *v, DbtExit *x)
{
    const DbtBlock *b = x->block;
    if (x->faulted)
        note_fault(v, b, x->rip);
    bool misaligned = x->aligned && v->ea & (x->size - 1u);
    if (misaligned || !dbt_tlb_fill(v, v->ea, x->size, x->access)) {
        dbt_interpret_one(v);
        return go_on(v);
    }
    return x->resume && b->host ? enter_at(v, x->resume) : dbt_next_code(v);
}

/* A look, not a promise: `in_run` changes under a lock that is not taken here. */
static bool another_runs(const Vcpu *self)
{
    const GPtrArray *all = self->machine->vcpus;
    for (unsigned n = 0; n < all->len; n++) {
        const Vcpu *v = all->pdata[n];
        if (v != self && __atomic_load_n(&v->in_run, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

/* Who waits for another vCPU in a loop may keep it from running, if there are more of them than free host processors.  Who
 * waits for time, while the others sleep, keeps his, and sees to it that time's interrupts come. */
void dbt_pause(InterpVcpu *i, const Insn *insn)
{
    enum { PAUSES = 100 /* some 4 us */, LATE_NS = 1000000 };
    (void)insn;
    ((DbtVcpu *)i)->pauses_left = PAUSES;
    if (another_runs(&i->vcpu))
        sched_yield();
    interp_save_fpu(i);
    clock_help(i->vcpu.machine->clock, LATE_NS);
}

/* ---- jumps */

static const void *handle_jump(DbtVcpu *v, DbtExit *x)
{
    v->stepped = true;
    v->last_exit = x;
    return v->i.single_step || interp_wants_attention(&v->i) ? NULL : dbt_next_code(v);
}

static const void *handle_indirect(DbtVcpu *v)
{
    v->i.s.rip = v->i.next_rip = v->i.code_size == CODE64 ? v->ea : (uint32_t)v->ea;
    v->stepped = v->remember = true;
    return v->i.single_step || interp_wants_attention(&v->i) ? NULL : dbt_next_code(v);
}

/* A request that is made from here on finds poll 0 and sets it. */
static const void *handle_attention(DbtVcpu *v, const DbtExit *x)
{
    atomic_store(&v->poll, 0);
    return interp_wants_attention(&v->i) ? NULL : enter_at(v, x->block->entry);
}

/* The host has noted in MXCSR what the operation raised, and done nothing else of it. */
static G_NORETURN void handle_simd_fp(DbtVcpu *v) { interp_raise(&v->i, v->i.s.cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD); }

static uint64_t exit_rip(const DbtVcpu *v, const DbtExit *x)
{
    uint64_t rip = x->relative ? v->code_base + x->rip : x->rip;
    return v->i.code_size == CODE64 ? rip : (uint32_t)rip;
}

const void *dbt_exit(DbtVcpu *v, DbtExit *x)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    interp_save_fpu(&v->i); /* what the sanitizers call is not light */
#endif
    dbt_flags_out(v);
    v->i.s.rip = v->i.next_rip = exit_rip(v, x);
    v->last_exit = NULL;
    v->stats.exits[x->kind]++;
    switch ((ExitKind)x->kind) {
    case EXIT_JUMP: return handle_jump(v, x);
    case EXIT_INDIRECT: return handle_indirect(v);
    case EXIT_INTERP: return handle_insn(v, x);
    case EXIT_MEMORY: return handle_memory(v, x);
    case EXIT_ATTENTION: return handle_attention(v, x);
    case EXIT_SIMD_FP: handle_simd_fp(v);
    case EXIT_KINDS: break;
    }
    g_assert_not_reached();
}
