/*
 * run.c - the translator as an accelerator: the loop around translated code, and its exits.
 */
#include "accel/dbt/dbt.h"

#include <signal.h>

#include "accel/accel.h"

/* A request that is made from here on finds poll 0 and sets it. */
static bool attention(DbtVcpu *v)
{
    atomic_store(&v->poll, 0);
    return interp_wants_attention(&v->i);
}

/* To the next exit that is not handled on the spot. */
static void run_on(DbtVcpu *v)
{
    if (v->i.attention || (v->i.single_step && !v->mode_translates)) {
        dbt_interpret_one(v);
    } else if (v->mode_translates) {
        const void *code = dbt_next_code(v);
        if (code)
            dbt_glue_enter(v->glue)(v, code);
    } else {
        v->stats.whole_blocks_interp++;
        interp_run_some(&v->i);
        if (v->i.attention)
            interp_retired(&v->i);
    }
}

static RunExit run(DbtVcpu *v)
{
    RunExit ret;
    v->stepped = false;
    if (_setjmp(v->i.unwind)) {
        v->last_exit = NULL;
        v->remember = false;
        interp_land_fault(&v->i);
        if (v->i.single_step)
            return RUN_KICKED;
    }
    for (;;) {
        if (attention(v)) {
            v->last_exit = NULL;
            if (interp_serve_requests(&v->i, &ret))
                return ret;
        }
        dbt_update_mode(v);
        run_on(v);
        if (v->i.single_step && v->stepped)
            return RUN_KICKED;
    }
}

static RunExit dbt_run(Vcpu *vcpu)
{
    DbtVcpu *v = (DbtVcpu *)vcpu;
    dbt_context_enter(v);
    v->on_thread = true;
    RunExit why = run(v);
    v->on_thread = false;
    return why;
}

/* ---- what the interpreter tells */

static void on_flush(InterpVcpu *i, TlbFlush what)
{
    DbtVcpu *v = (DbtVcpu *)i;
    if (!v->cache)
        return;
    dbt_tlb_flush(v, what);
    dbt_jump_flush(v, what);
    v->last_exit = NULL;
}

static void on_flush_page(InterpVcpu *i, uint64_t linear, TlbFlush what)
{
    DbtVcpu *v = (DbtVcpu *)i;
    dbt_tlb_flush_page(v, linear, what);
    dbt_jump_flush_page(v, linear, what);
    v->last_exit = NULL;
}

static void on_switch(InterpVcpu *i)
{
    DbtVcpu *v = (DbtVcpu *)i;
    dbt_context_select(v, i->context);
    dbt_tlb_flush_shared(v);
    dbt_jump_flush_shared(v);
    v->last_exit = NULL;
}

/* No vCPU may have the page in its table of writable ones when its code is read. */
static void on_claim(InterpVcpu *self, const uint8_t *page)
{
    GPtrArray *all = ((InterpAccel *)self->vcpu.accel)->vcpus;
    if (all->len > 1)
        exclusive_begin(&self->vcpu);
    for (unsigned n = 0; n < all->len; n++)
        dbt_tlb_forbid_write(all->pdata[n], page);
    if (all->len > 1)
        exclusive_end(&self->vcpu);
}

static const InterpClient client = {
    .tlb_flushed = on_flush, .tlb_page_flushed = on_flush_page, .tlb_switched = on_switch,
    .code_dropped = dbt_code_dropped, .code_claimed = on_claim,
};

/* ---- the accelerator */

static bool dbt_probe(GError **err)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("avx"))
        return error_set(err, ERR_UNSUPPORTED, "cannot translate: this host's CPU lacks BMI2 or AVX; use -accel interp");
    return true;
}

static Accel *dbt_create(Machine *m, const CpuModel *model, GError **err) { return interp_accel_create(m, model, &accel_dbt, err); }

static bool dbt_vcpu_init(Accel *a, Vcpu *vcpu, GError **err)
{
    DbtVcpu *v = (DbtVcpu *)vcpu;
    v->i.client = &client;
    if (!interp_vcpu_init(a, vcpu, err))
        return false;
    dbt_tlb_init(&v->shared_tlb[DTLB_READ]);
    dbt_tlb_init(&v->shared_tlb[DTLB_WRITE]);
    dbt_stats_init(v);
    if (dbt_cache_create(v, err)) {
        dbt_jumps_create(v);
        dbt_context_select(v, v->i.context);
        return true;
    }
    interp_vcpu_finish(vcpu);
    return false;
}

static void dbt_vcpu_finish(Vcpu *vcpu)
{
    DbtVcpu *v = (DbtVcpu *)vcpu;
    dbt_stats_finish(v);
    dbt_jumps_destroy(v);
    dbt_cache_destroy(v->cache);
    dbt_glue_destroy(v->glue);
    interp_vcpu_finish(vcpu);
}

/* In translated code RSP is the guest's, and a signal handler would write wherever it points: so none may run on this thread.
 * What the thread itself causes (SIGSEGV and its like) has no handler and ends the process. */
static void block_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void dbt_thread_start(Vcpu *vcpu)
{
    (void)vcpu;
    block_signals();
}

static void dbt_kick(Vcpu *vcpu) { atomic_store(&((DbtVcpu *)vcpu)->poll, 1); }

static bool dbt_step(Vcpu *vcpu, GError **err)
{
    InterpVcpu *i = (InterpVcpu *)vcpu;
    i->single_step = true;
    RunExit why = dbt_run(vcpu);
    i->single_step = false;
    return why != RUN_BROKEN || error_set(err, ERR_INTERNAL, "vCPU %u: cannot step: %s", vcpu->id, vcpu->broken);
}

const AccelOps accel_dbt = {
    .name = "dbt",
    .summary = "binary translation of x86 to x86",
    .vcpu_size = sizeof(DbtVcpu),
    .vcpu_alloc = dbt_vcpu_alloc,
    .vcpu_free = dbt_vcpu_free,
    .probe = dbt_probe,
    .create = dbt_create,
    .destroy = interp_destroy,
    .vcpu_init = dbt_vcpu_init,
    .vcpu_finish = dbt_vcpu_finish,
    .thread_start = dbt_thread_start,
    .run = dbt_run,
    .kick = dbt_kick,
    .get = interp_get,
    .set = interp_set,
    .map_changed = interp_map_changed,
    .code_changed = interp_code_changed,
    .step = dbt_step,
};
