/* handlers_memory.c - what a guest says of its memory by its balloon, and how often. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/figures.h"
#include "manage/hypervisor/qmp.h"

enum { KIB = 1024 };
#define BALLOON "\"path\": \"/machine/peripheral/balloon0\""

const char *const memory_figure_names[MEMORY_FIGURES] = {
    "swap_in", "swap_out", "major_fault", "minor_fault", "unused", "available", NULL, NULL, "usable", "last-update", "disk_caches", "hugetlb_pgalloc", "hugetlb_pgfail",
};

/* The same of virtio-balloon (virtio 1.2, 5.5.6.4); -1 (as text 2^64-1): the guest's driver does not say it. */
static const struct {
    const char *name;
    unsigned unit;
} balloon_rows[MEMORY_FIGURES] = {
    { "stat-swap-in", KIB }, { "stat-swap-out", KIB }, { "stat-major-faults", 1 }, { "stat-minor-faults", 1 }, { "stat-free-memory", KIB }, { "stat-total-memory", KIB },
    { NULL }, { NULL }, { "stat-available-memory", KIB }, { NULL }, { "stat-disk-caches", KIB }, { "stat-htlb-pgalloc", 1 }, { "stat-htlb-pgfail", 1 },
};

bool memory_figures(Task *t, MemoryFigures *ret, GError **err)
{
    memset(ret, 0xff, sizeof *ret); /* RECORD_NONE */
    g_autoptr(JsonNode) answer = task_monitor(t, "{\"execute\": \"qom-get\", \"arguments\": {" BALLOON ", \"property\": \"guest-stats\"}}", err);
    JsonObject *o = answer && JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL, *stats = qmp_member(o, "stats");
    for (unsigned i = 0; stats && i < MEMORY_FIGURES; i++) {
        int64_t value = balloon_rows[i].name ? qmp_number(stats, balloon_rows[i].name, -1) : -1;
        if (value >= 0)
            ret->values[i] = value / balloon_rows[i].unit;
    }
    enum { LAST_UPDATE = 9 };
    if (stats)
        ret->values[LAST_UPDATE] = qmp_number(o, "last-update", 0);
    return answer;
}

typedef struct MemoryTask {
    bool balloon;
    guint most;
    MemoryFigures figures;
    int period;
    guint where;
} MemoryTask;

static bool stats_begin(Task *t, GError **err)
{
    MemoryTask *k = t->data;
    k->balloon = t->domain->live->devices->balloon && t->driver->monitor;
    return true;
}

static bool stats_run(Task *t, GError **err)
{
    MemoryTask *k = t->data;
    HvStats s = { .memory_actual = RECORD_NONE, .memory_rss = RECORD_NONE };
    memset(&k->figures, 0xff, sizeof k->figures);
    if (!t->driver->stats(t->hv, &s, err))
        return false;
    if (k->balloon)
        memory_figures(t, &k->figures, NULL);
    k->figures.values[MEMORY_ACTUAL] = s.memory_actual == RECORD_NONE ? RECORD_NONE : s.memory_actual / KIB;
    k->figures.values[MEMORY_RSS] = s.memory_rss == RECORD_NONE ? RECORD_NONE : s.memory_rss / KIB;
    return true;
}

static bool stats_done(Task *t, GError **err)
{
    const MemoryTask *k = t->data;
    guint n = 0;
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(it)"));
    for (int i = 0; i < MEMORY_FIGURES; i++)
        if (k->figures.values[i] != RECORD_NONE && n++ < k->most)
            g_variant_builder_add(&b, "(it)", i, (guint64)k->figures.values[i]);
    t->reply = g_variant_new("(a(it))", &b);
    return true;
}

static void memory_stats(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "dommemstat", .running = true, .query = true, .begin = stats_begin, .run = stats_run, .done = stats_done };
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    MemoryTask *k = g_new0(MemoryTask, 1);
    g_variant_get_child(args, 1, "u", &k->most);
    task_push(d, call, &type, k);
}

/* ---- how often the guest is asked */
static bool edit_period(Domain *d, void *opaque, GError **err)
{
    if (!d->devices->balloon)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' has no <memballoon> that could tell statistics", d->name);
    d->devices->balloon->stats_period = *(int *)opaque ? (uint64_t) * (int *)opaque : RECORD_NONE;
    return true;
}

static bool period_begin(Task *t, GError **err)
{
    MemoryTask *k = t->data;
    ManagedDomain *d = t->domain;
    k->where = domain_affected(d, k->where);
    if ((k->where & AFFECT_LIVE) && !t->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running: --config changes its definition", d->name);
    if ((k->where & AFFECT_LIVE) && !d->live->devices->balloon)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' has no <memballoon> that could tell statistics", d->name);
    return true;
}

static bool period_run(Task *t, GError **err)
{
    const MemoryTask *k = t->data;
    if (!(k->where & AFFECT_LIVE))
        return true;
    g_autofree char *command = g_strdup_printf("{\"execute\": \"qom-set\", \"arguments\": {" BALLOON ", \"property\": \"guest-stats-polling-interval\", \"value\": %d}}", k->period);
    g_autoptr(JsonNode) answer = task_monitor(t, command, err);
    return answer;
}

static bool period_done(Task *t, GError **err)
{
    MemoryTask *k = t->data;
    ManagedDomain *d = t->domain;
    if ((k->where & AFFECT_LIVE) && d->live && edit_period(d->live, &k->period, err))
        domain_write_record(d, d->live, NULL);
    return !(k->where & AFFECT_CONFIG) || domain_edit_config(d, edit_period, &k->period, err);
}

static void set_period(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "dommemstat-period", .begin = period_begin, .run = period_run, .done = period_done };
    enum { PERIOD_MOST = 65535 };
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    MemoryTask *k = g_new0(MemoryTask, 1);
    g_variant_get(args, "(@(ssi)iu)", NULL, &k->period, &k->where);
    if (k->period < 0 || k->period > PERIOD_MOST) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "the time between statistics is 0 (none) to %d seconds", PERIOD_MOST);
        g_free(k);
        return;
    }
    task_push(d, call, &type, k);
}

const Handler memory_handlers[] = {
    { "DOMAIN_MEMORY_STATS", memory_stats },
    { "DOMAIN_SET_MEMORY_STATS_PERIOD", set_period },
    { NULL },
};
