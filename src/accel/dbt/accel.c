/*
 * accel.c - the translator as an accelerator: its vCPUs' lives, their threads.
 */
#include "accel/accel.h"

#include <signal.h>

#include "accel/dbt/dbt.h"

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
    v->i.client = &dbt_client;
    v->has_wrgsbase = dbt_has_wrgsbase();
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
