/*
 * qtest.c - an accelerator without a processor: its vCPUs keep a state and never execute anything, and time stands until
 * somebody moves it.  Devices are then driven from outside (vmm/qtest).
 */
#include "accel/accel.h"
#include "machine/machine.h"

typedef struct QtestVcpu {
    Vcpu vcpu;
    CpuState s;
} QtestVcpu;

static bool qtest_probe(GError **err) { return true; }
static bool qtest_unasked(void) { return false; }

static Accel *qtest_create(Machine *m, const CpuModel *model, GError **err)
{
    Accel *a = g_new0(Accel, 1);
    *a = (Accel){ .ops = &accel_qtest, .machine = m, .model = *model };
    return a;
}

static void qtest_destroy(Accel *a) { g_free(a); }

static bool qtest_vcpu_init(Accel *a, Vcpu *v, GError **err)
{
    cpu_state_reset(&((QtestVcpu *)v)->s, v->id == 0, false);
    return true;
}

static void qtest_vcpu_finish(Vcpu *v) { }

/* Halted, with interrupts off. */
static RunExit qtest_run(Vcpu *v)
{
    v->halt_wake = VREQ_STOP;
    return vcpu_requests(v) & (VREQ_STOP | VREQ_WORK) ? RUN_KICKED : RUN_HALTED;
}

static void qtest_kick(Vcpu *v) { }

static bool qtest_get(Vcpu *v, CpuState *ret, GError **err)
{
    *ret = ((QtestVcpu *)v)->s;
    return true;
}

static bool qtest_set(Vcpu *v, const CpuState *s, GError **err)
{
    ((QtestVcpu *)v)->s = *s;
    return true;
}

const AccelOps accel_qtest = {
    .name = "qtest",
    .summary = "no processor: devices are driven over -qtest, and time by it",
    .vcpu_size = sizeof(QtestVcpu),
    .manual_clock = true,
    .probe = qtest_probe,
    .unasked = qtest_unasked,
    .create = qtest_create,
    .destroy = qtest_destroy,
    .vcpu_init = qtest_vcpu_init,
    .vcpu_finish = qtest_vcpu_finish,
    .run = qtest_run,
    .kick = qtest_kick,
    .get = qtest_get,
    .set = qtest_set,
};
