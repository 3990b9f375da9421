/* test.c - machines that exist in memory only (test:///default): for scripts, clients and our own tests. */
#include "base/error.h"
#include "manage/hypervisor/plan.h"

struct HvDomain {
    HvNotify *notify;
    void *opaque;
    gint64 started;
    uint64_t memory;
    char *job;       /* at work: a copy or an active commit, which waits to be ended */
    HvJobType job_type;
};

static bool test_plan(const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err) { return true; }

static HvDomain *test_start(const HvHost *h, Domain *d, const LaunchPlan *p, HvNotify *notify, void *opaque, GError **err)
{
    HvDomain *hv = g_new0(HvDomain, 1);
    *hv = (HvDomain){ notify, opaque, g_get_monotonic_time(), d->current_memory };
    return hv;
}

static void test_release(HvDomain *d)
{
    g_free(d->job);
    g_free(d);
}

static bool test_stop(HvDomain *d, HvStopMode mode, GError **err)
{
    bool again = mode == HV_RESET || mode == HV_REBOOT_ASK;
    static const HvStop how[] = { [HV_ASK] = HV_STOP_SHUTDOWN, [HV_NOW] = HV_STOP_DESTROYED, [HV_SAVED] = HV_STOP_SAVED };
    if (mode != HV_RESTART && mode != HV_ASK_NOT)
        d->notify(again ? &(HvEvent){ .kind = HV_REBOOT } : &(HvEvent){ .kind = HV_STOPPED, .detail = how[mode] }, d->opaque);
    return true;
}

static bool test_pause(HvDomain *d, bool paused, GError **err)
{
    d->notify(&(HvEvent){ .kind = paused ? HV_PAUSED : HV_RESUMED }, d->opaque);
    return true;
}

static bool test_stats(HvDomain *d, HvStats *ret, GError **err)
{
    uint64_t ns = (g_get_monotonic_time() - d->started) * 1000;
    *ret = (HvStats){ .cpu_ns = ns, .user_ns = ns, .memory_actual = d->memory, .memory_rss = d->memory };
    return true;
}

static bool test_prepare(const HvHost *h, Domain *d, GError **err)
{
    plan_aliases(d);
    return true;
}

static bool test_attach(HvDomain *d, const Domain *live, void *device, GError **err) { return true; }

static bool test_detach(HvDomain *d, const void *device, GError **err)
{
    const RecordField *alias = record_field(((const Record *)device)->type, "alias");
    const char *name = alias ? *(char *const *)((const char *)device + alias->off) : NULL;
    d->notify(&(HvEvent){ .kind = HV_DEVICE_REMOVED, .name = name }, d->opaque);
    return true;
}

static bool test_change_medium(HvDomain *d, const Disk *before, Disk *after, bool force, GError **err)
{
    d->notify(&(HvEvent){ .kind = HV_TRAY, .detail = 1, .name = before->alias }, d->opaque);
    d->notify(&(HvEvent){ .kind = HV_TRAY, .name = before->alias }, d->opaque);
    return true;
}

static bool test_set_link(HvDomain *d, const Interface *card, bool up, GError **err) { return true; }
static bool test_set_password(HvDomain *d, const Graphics *g, GError **err) { return true; }
static bool test_limit(HvDomain *d, const Disk *disk, const IoTune *limits, GError **err) { return true; }
static bool test_resize(HvDomain *d, const Disk *disk, uint64_t bytes, GError **err) { return true; }
/* There is no state. */
static bool test_save(HvDomain *d, int fd, GCancellable *cancel, GError **err) { return true; }
static bool test_nmi(HvDomain *d, GError **err) { return true; }
static bool test_send_keys(HvDomain *d, unsigned codeset, unsigned hold_ms, const guint *keys, unsigned n, GError **err) { return true; }

static bool test_overlay(HvDomain *d, const GPtrArray *disks, const GPtrArray *overlays, GError **err) { return true; }

/* There is nothing to copy: each is done at once, or ready at once. */
static bool test_job_start(HvDomain *d, const Disk *disk, const HvBlockJob *job, GError **err)
{
    bool waits = job->type == HV_JOB_COPY || job->type == HV_JOB_ACTIVE_COMMIT;
    if (d->job)
        return error_set(err, ERR_BUSY, "a job is at work already");
    if (waits) {
        d->job = g_strdup(job->id);
        d->job_type = job->type;
    }
    d->notify(&(HvEvent){ .kind = HV_BLOCK_JOB, .detail = waits ? HV_JOB_READY : HV_JOB_COMPLETED, .name = job->id }, d->opaque);
    return true;
}

static bool test_job_act(HvDomain *d, const char *id, HvJobAct act, uint64_t value, GError **err)
{
    if (act == HV_JOB_ACT_SPEED)
        return true;
    d->notify(&(HvEvent){ .kind = HV_BLOCK_JOB, .detail = act == HV_JOB_ACT_COMPLETE ? HV_JOB_COMPLETED : HV_JOB_CANCELLED, .name = id }, d->opaque);
    g_clear_pointer(&d->job, g_free);
    return true;
}

static bool test_job_find(HvDomain *d, const char *target, HvJobInfo *ret, GError **err)
{
    *ret = d->job ? (HvJobInfo){ .type = d->job_type, .done = 1, .total = 1, .ready = true, .id = g_strdup(d->job) } : (HvJobInfo){ HV_JOB_NONE };
    return true;
}

/* Nothing has been read or written: there is no guest. */
static bool test_disk_stats(HvDomain *d, const Disk *disk, HvDiskStats *ret, GError **err)
{
    *ret = (HvDiskStats){ .capacity = 0 };
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
    .pause = test_pause, .stats = test_stats, .prepare = test_prepare, .name_device = plan_name_device, .attach = test_attach,
    .detach = test_detach, .change_medium = test_change_medium, .set_link = test_set_link, .set_password = test_set_password, .limit = test_limit, .resize = test_resize,
    .disk_stats = test_disk_stats, .overlay = test_overlay, .job_start = test_job_start, .job_act = test_job_act, .job_find = test_job_find, .save = test_save, .nmi = test_nmi, .send_keys = test_send_keys, .set_memory = test_set_memory,
};
