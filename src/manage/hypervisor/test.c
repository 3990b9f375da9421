/* test.c - machines that exist in memory only (test:///default): for scripts, clients and our own tests. */
#include "base/error.h"
#include "manage/hypervisor/hypervisor.h"

struct HvDomain {
    HvNotify *notify;
    void *opaque;
    gint64 started;
    uint64_t memory;
};

static bool test_plan(const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err) { return true; }

static HvDomain *test_start(const HvHost *h, Domain *d, const LaunchPlan *p, HvNotify *notify, void *opaque, GError **err)
{
    HvDomain *hv = g_new0(HvDomain, 1);
    *hv = (HvDomain){ notify, opaque, g_get_monotonic_time(), d->current_memory };
    return hv;
}

static void test_release(HvDomain *d) { g_free(d); }

static bool test_stop(HvDomain *d, HvStopMode mode, GError **err)
{
    static const HvStop how[] = { [HV_ASK] = HV_STOP_SHUTDOWN, [HV_NOW] = HV_STOP_DESTROYED };
    d->notify(mode == HV_RESET ? &(HvEvent){ .kind = HV_REBOOT } : &(HvEvent){ .kind = HV_STOPPED, .detail = how[mode] }, d->opaque);
    return true;
}

static bool test_pause(HvDomain *d, bool paused, GError **err)
{
    d->notify(&(HvEvent){ .kind = paused ? HV_PAUSED : HV_RESUMED }, d->opaque);
    return true;
}

static bool test_stats(HvDomain *d, HvStats *ret, GError **err)
{
    *ret = (HvStats){ .cpu_ns = (g_get_monotonic_time() - d->started) * 1000, .memory_actual = d->memory, .memory_rss = d->memory };
    return true;
}

static bool test_device(HvDomain *d, void *device, GError **err) { return true; }

static bool test_detach(HvDomain *d, void *device, GError **err)
{
    g_autofree char *alias = record_field(((Record *)device)->type, "alias") ? g_strdup("test") : NULL;
    d->notify(&(HvEvent){ .kind = HV_DEVICE_REMOVED, .name = alias }, d->opaque);
    return true;
}

static bool test_set_memory(HvDomain *d, uint64_t bytes, GError **err)
{
    d->memory = bytes;
    d->notify(&(HvEvent){ .kind = HV_BALLOON, .value = bytes }, d->opaque);
    return true;
}

const HvDriver test_driver = {
    .name = "test", .summary = "machines in memory only", .plan = test_plan, .start = test_start, .release = test_release, .leave = test_release, .stop = test_stop,
    .pause = test_pause, .stats = test_stats, .attach = test_device, .detach = test_detach, .set_memory = test_set_memory,
};
