/* vcpus.c - figures of virtual processors: of their threads, by proc(5). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/figures.h"
#include "manage/hypervisor/qmp.h"

JsonNode *machine_monitor(const HvDriver *v, HvDomain *hv, const char *name, const char *command, GError **err)
{
    g_autofree char *text = NULL;
    if (!v->monitor(hv, command, false, &text, err))
        return NULL;
    g_autoptr(JsonNode) root = json_from_string(text, err);
    JsonNode *answer = root && JSON_NODE_HOLDS_OBJECT(root) ? json_object_get_member(json_node_get_object(root), "return") : NULL;
    if (!answer && root)
        error_set(err, ERR_IO, "domain '%s' answers '%s' with nonsense", name, command);
    return answer ? json_node_copy(answer) : NULL;
}

JsonNode *task_monitor(Task *t, const char *command, GError **err)
{
    if (t->driver->monitor)
        return machine_monitor(t->driver, t->hv, t->domain->name, command, err);
    task_unsupported(t, "be asked by a monitor", err);
    return NULL;
}

static char *thread_file(int64_t thread, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%" PRId64 "/task/%" PRId64 "/%s", thread, thread, name);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* proc(5), /proc/pid/stat: utime and stime are fields 14 and 15, processor is 39. */
static void read_stat(int64_t thread, VcpuFigures *ret)
{
    unsigned long long user, system;
    g_autofree char *text = thread_file(thread, "stat");
    const char *rest = text ? strrchr(text, ')') : NULL;
    if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return;
    ret->time_ns = (user + system) * (1000000000ULL / sysconf(_SC_CLK_TCK));
    g_auto(GStrv) words = g_strsplit(rest, " ", -1);
    enum { PROCESSOR = 39 - 2 };
    if (g_strv_length(words) > PROCESSOR)
        ret->host_cpu = atoi(words[PROCESSOR]);
}

/* Documentation/scheduler/sched-stats.rst: time on the processor, time waiting for one; wait_sum (ms) only where the kernel keeps it. */
static void read_waits(int64_t thread, VcpuFigures *ret)
{
    unsigned long long ran, waited;
    g_autofree char *stat = thread_file(thread, "schedstat"), *sched = thread_file(thread, "sched");
    if (stat && sscanf(stat, "%llu %llu", &ran, &waited) == 2) {
        ret->time_ns = ran ? ran : ret->time_ns;
        ret->delay_ns = waited;
    }
    const char *sum = sched ? strstr(sched, "wait_sum") : NULL;
    const char *colon = sum ? strchr(sum, ':') : NULL;
    ret->wait_ns = colon ? (uint64_t)(g_ascii_strtod(colon + 1, NULL) * 1e6) : 0;
}

/* Machines without a monitor have no threads: their time is shared out. */
static GArray *shared_out(Task *t, unsigned n, GArray *all, GError **err)
{
    HvStats s = { .cpu_ns = 0 };
    if (!t->driver->stats(t->hv, &s, err)) {
        g_array_unref(all);
        return NULL;
    }
    for (unsigned i = 0; i < n; i++)
        g_array_append_val(all, ((VcpuFigures){ i, 0, -1, s.cpu_ns / n, 0, 0 }));
    return all;
}

GArray *vcpu_figures(Task *t, unsigned n, GError **err)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(VcpuFigures));
    if (!t->driver->monitor)
        return shared_out(t, n, all, err);
    g_autoptr(JsonNode) answer = task_monitor(t, "{\"execute\": \"query-cpus-fast\"}", err);
    if (!answer) {
        g_array_unref(all);
        return NULL;
    }
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        int64_t thread = o ? qmp_number(o, "thread-id", 0) : 0;
        VcpuFigures f = { o ? qmp_number(o, "cpu-index", i) : i, thread, -1, RECORD_NONE, RECORD_NONE, RECORD_NONE };
        read_stat(thread, &f);
        read_waits(thread, &f);
        g_array_append_val(all, f);
    }
    return all;
}
