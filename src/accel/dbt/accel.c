/*
 * accel.c - the translator as an accelerator: its vCPUs' lives, their threads.
 */
#include "accel/accel.h"

#include <sys/platform/x86.h>

#include "accel/dbt/mem.h"
#include "base/keyval.h"

static bool dbt_probe(GError **err)
{
    if (!CPU_FEATURE_ACTIVE(BMI2) || !CPU_FEATURE_ACTIVE(AVX)) /* of the C library's, which has asked CPUID */
        return error_set(err, ERR_UNSUPPORTED, "cannot translate: this host's CPU lacks BMI2 or AVX; use -accel interp");
    return true;
}

enum { TLB_AUTO, TLB_TAG, TLB_FLAT };
static const char *const tlb_names[] = { "auto", "tag", "flat", NULL };

/* thread and tb-size are QEMU's: each vCPU has a thread of its own, and room for translated code that is only used as needed. */
static bool read_options(const char *text, unsigned *ret_tlb, GError **err)
{
    static const char *const threads[] = { "multi", "single", NULL };
    unsigned thread = 0;
    uint64_t size = 0;
    g_autoptr(KeyVals) kv = keyvals_parse(text ? text : "", NULL, "-accel dbt", err);
    if (!kv || !keyvals_take_choice(kv, "tlb", tlb_names, ret_tlb, err) || !keyvals_take_choice(kv, "thread", threads, &thread, err) ||
        !keyvals_take_number(kv, "tb-size", 0, UINT32_MAX, &size, err) || !keyvals_end(kv, err))
        return false;
    return !thread || error_set(err, ERR_UNSUPPORTED, "-accel dbt: thread=single: each processor has a thread of its own here; leave it out, or give -smp 1");
}

/* Auto: what this host cannot do is done the slower way. */
static bool make_region(DbtShared *s, RamBlock *ram, unsigned tlb, GError **err)
{
    g_autoptr(GError) why = NULL;
    if (tlb == TLB_TAG)
        return true;
    if (dbt_signal_probe(&why))
        s->region = dbt_region_create(&why);
    if (s->region && ram)
        dbt_region_adopt(s->region, ram); /* too large for a window: left to the interpreter */
    if (s->region || tlb == TLB_AUTO)
        return true;
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

static void dbt_destroy(Accel *accel)
{
    if (!accel)
        return;
    DbtShared *s = ((InterpAccel *)accel)->translator;
    dbt_region_destroy(s->region);
    g_free(s);
    interp_destroy(accel);
}

static Accel *dbt_create(Machine *m, const CpuModel *model, GError **err)
{
    unsigned tlb = TLB_AUTO;
    if (!read_options(m->config.accel_options, &tlb, err))
        return NULL;
    Accel *a = interp_accel_create(m, model, &accel_dbt, err);
    if (!a)
        return NULL;
    DbtShared *s = ((InterpAccel *)a)->translator = g_new0(DbtShared, 1);
    if (make_region(s, m->ram, tlb, err))
        return a;
    dbt_destroy(a);
    return NULL;
}

static bool dbt_vcpu_init(Accel *a, Vcpu *vcpu, GError **err)
{
    DbtVcpu *v = (DbtVcpu *)vcpu;
    v->i.client = &dbt_client;
    v->has_wrgsbase = dbt_has_wrgsbase();
    if (!interp_vcpu_init(a, vcpu, err))
        return false;
    dbt_tlb_init(&v->shared_tlb[DTLB_READ]);
    dbt_tlb_init(&v->shared_tlb[DTLB_WRITE]);
    DbtRegion *region = ((DbtShared *)((InterpAccel *)a)->translator)->region;
    v->flat = region ? dbt_flat_create(v, region) : NULL;
    v->translator = dbt_translator_create();
    dbt_faults_create(v);
    dbt_stats_init(v);
    if (dbt_cache_create(v, err)) {
        dbt_jumps_create(v);
        dbt_context_select(v, v->i.context);
        return true;
    }
    dbt_translator_destroy(v->translator);
    dbt_faults_destroy(v);
    dbt_flat_destroy(v->flat);
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
    dbt_translator_destroy(v->translator);
    dbt_faults_destroy(v);
    dbt_flat_destroy(v->flat);
    v->flat = NULL;
    interp_vcpu_finish(vcpu);
}

static void dbt_thread_start(Vcpu *vcpu) { dbt_signal_thread_start((DbtVcpu *)vcpu); }
static void dbt_thread_end(Vcpu *vcpu) { dbt_signal_thread_end((DbtVcpu *)vcpu); }

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
    .destroy = dbt_destroy,
    .vcpu_init = dbt_vcpu_init,
    .vcpu_finish = dbt_vcpu_finish,
    .thread_start = dbt_thread_start,
    .thread_end = dbt_thread_end,
    .run = dbt_run_and_trim,
    .kick = dbt_kick,
    .get = interp_get,
    .set = interp_set,
    .map_changed = interp_map_changed,
    .code_changed = interp_code_changed,
    .dirty_take = interp_dirty_take,
    .step = dbt_step,
};
