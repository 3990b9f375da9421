/* tuning.c - limits of machines as control groups. */
#include "manage/daemon/tuning.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/cgroup.h"
#include "manage/hypervisor/plan.h"

static const CgroupFile cpu_weight = { CGROUP_CPU, "cpu.shares", "cpu.weight" }, cpu_period = { CGROUP_CPU, "cpu.cfs_period_us", NULL }, cpu_quota = { CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max" },
                        memory_hard = { CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max" }, memory_soft = { CGROUP_MEMORY, "memory.soft_limit_in_bytes", "memory.high" },
                        memory_swap = { CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max" }, io_weight = { CGROUP_IO, "blkio.bfq.weight", "io.bfq.weight" };
enum { PERIOD_US = 100000 };

unsigned tuning_wanted(const Domain *d)
{
    unsigned cpu = d->cpu_shares != RECORD_NONE || d->global_quota || d->global_period != RECORD_NONE;
    unsigned memory = d->memory_hard_limit != RECORD_NONE || d->memory_soft_limit != RECORD_NONE || d->swap_hard_limit != RECORD_NONE;
    return cpu * TUNING_CPU | memory * TUNING_MEMORY | (d->io_weight != RECORD_NONE) * TUNING_IO;
}

/* What a group is called, UUID.PID: a machine's next run is another process, whose group the last one's end does not take away. */
static char *group_name(const HvHost *h, const Domain *d, int *ret_pid)
{
    g_autofree char *path = plan_pid_path(h, d), *text = NULL;
    *ret_pid = g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
    return *ret_pid > 0 ? g_strdup_printf("%s.%d", d->uuid, *ret_pid) : NULL;
}

static bool put(const char *name, const CgroupFile *file, uint64_t value, GError **err)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, value);
    return cgroup_write(CGROUP_ROOT, name, file, text, err);
}

/* A limit that is not set is none. */
static bool put_limit(const char *name, const CgroupFile *file, uint64_t bytes, GError **err)
{
    if (bytes != RECORD_NONE)
        return put(name, file, bytes, err);
    return cgroup_write(CGROUP_ROOT, name, file, cgroup_is_v2(CGROUP_ROOT, file->controller) ? "max" : "-1", err);
}

static bool apply_cpu(const char *name, const Domain *d, GError **err)
{
    uint64_t period = d->global_period == RECORD_NONE ? PERIOD_US : d->global_period;
    int64_t quota = d->global_quota ? g_ascii_strtoll(d->global_quota, NULL, 10) : -1;
    if (d->cpu_shares != RECORD_NONE && !put(name, &cpu_weight, d->cpu_shares, err))
        return false;
    g_autofree char *bound = quota > 0 ? g_strdup_printf("%" PRId64, quota) : NULL;
    if (cgroup_is_v2(CGROUP_ROOT, CGROUP_CPU)) {
        g_autofree char *both = g_strdup_printf("%s %" PRIu64, bound ? bound : "max", period);
        return cgroup_write(CGROUP_ROOT, name, &cpu_quota, both, err);
    }
    return put(name, &cpu_period, period, err) && cgroup_write(CGROUP_ROOT, name, &cpu_quota, bound ? bound : "-1", err);
}

/* Memory and swap together is what version 1 and definitions bound; version 2 bounds swap alone. */
static bool apply_memory(const char *name, const Domain *d, GError **err)
{
    uint64_t swap = d->swap_hard_limit, hard = d->memory_hard_limit;
    if (swap != RECORD_NONE && (hard == RECORD_NONE || swap < hard))
        return error_set(err, ERR_INVALID, "swap_hard_limit bounds memory and swap together: it is at least hard_limit, which must be set");
    if (cgroup_is_v2(CGROUP_ROOT, CGROUP_MEMORY) && swap != RECORD_NONE)
        swap -= hard;
    if (!put_limit(name, &memory_soft, d->memory_soft_limit, err) || !put_limit(name, &memory_hard, hard, err))
        return false;
    return swap == RECORD_NONE || put(name, &memory_swap, swap, err);
}

static bool apply_io(const char *name, const Domain *d, GError **err) { return d->io_weight == RECORD_NONE || put(name, &io_weight, d->io_weight, err); }

bool tuning_apply(const HvHost *h, const Domain *d, unsigned groups, GError **err)
{
    static const struct {
        unsigned group;
        CgroupController controller;
        bool (*apply)(const char *name, const Domain *d, GError **err);
    } rows[] = { { TUNING_CPU, CGROUP_CPU, apply_cpu }, { TUNING_MEMORY, CGROUP_MEMORY, apply_memory }, { TUNING_IO, CGROUP_IO, apply_io } };
    int pid = 0;
    g_autofree char *name = groups ? group_name(h, d, &pid) : NULL;
    if (groups && !name)
        return error_set(err, ERR_NOT_FOUND, "the process of domain '%s' is not known", d->name);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if ((groups & rows[i].group) && (!cgroup_enter(CGROUP_ROOT, name, rows[i].controller, pid, err) || !rows[i].apply(name, d, err)))
            return false;
    return true;
}

/* ---- afterwards: a process leaves its group only when it is reaped */
typedef struct Leftover {
    char *name;
    unsigned tries;
} Leftover;

static void leftover_free(gpointer data)
{
    Leftover *l = data;
    g_free(l->name);
    g_free(l);
}

static gboolean try_again(gpointer data)
{
    enum { TRIES_MOST = 100 };
    Leftover *l = data;
    return !cgroup_remove(CGROUP_ROOT, l->name) && ++l->tries < TRIES_MOST ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

void tuning_forget(const Domain *d)
{
    enum { AGAIN_MS = 200 };
    g_autofree char *name = g_strconcat(d->uuid, ".", NULL);
    if (cgroup_remove(CGROUP_ROOT, name))
        return;
    Leftover *l = g_new0(Leftover, 1);
    l->name = g_steal_pointer(&name);
    g_timeout_add_full(G_PRIORITY_DEFAULT, AGAIN_MS, try_again, l, leftover_free);
}
