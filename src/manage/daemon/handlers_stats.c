/*
 * handlers_stats.c - statistics of machines: of one kind (cpu-stats, vcpuinfo), and all of many at once (domstats).
 *
 * What a running machine itself must be asked is asked by a query of its own for each, side by side; the reply waits for the last.
 */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/change.h"
#include "manage/daemon/figures.h"
#include "manage/daemon/params.h"
#include "manage/hypervisor/image.h"

enum { KIB = 1024 };

/* A figure that is not known is left out. */
#define ADD_KNOWN(b, value, ...)                                                \
    do {                                                                        \
        if ((value) != RECORD_NONE)                                             \
            param_add((b), g_variant_new_uint64(value), __VA_ARGS__);            \
    } while (0)

/* ---- processors of one */

/* With no room (nparams 0) it says how many there would be: figures, or with ncpus 0 processors. */
static GVariant *cpu_params(const char *const *names, const uint64_t *values, int n, guint room)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    for (int i = 0; i < MIN(n, (int)room); i++)
        g_variant_builder_add(&b, "(sv)", names[i], g_variant_new_uint64(values[i]));
    return g_variant_new("(a(sv)i)", &b, n);
}

/* On which of the host's processors a machine ran is counted by cgroups of version 1 alone: so there are none of these figures. */
static void cpu_stats(Client *c, RpcCall *call, GVariant *args)
{
    static const char *const names[] = { "cpu_time", "user_time", "system_time" };
    guint room, cpus;
    int first;
    HvStats s = { .cpu_ns = 0 };
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)uiuu)", NULL, &room, &first, &cpus, NULL);
    if (!d->hv || !d->driver->stats(d->hv, &s, NULL)) {
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    } else if (first == -1) {
        rpc_reply(call, cpu_params(names, (uint64_t[]){ s.cpu_ns, s.user_ns, s.system_ns }, G_N_ELEMENTS(names), room));
    } else if (!room) {
        rpc_reply(call, cpu_params(NULL, NULL, cpus ? 0 : (int)c->daemon->host.cpus, 0));
    } else {
        rpc_fail(call, RPC_ERR_OPERATION_UNSUPPORTED, "this host does not count a machine's time by processor: --total, or vcpuinfo");
    }
}

typedef struct VcpuTask {
    int most, map_bytes;
    unsigned host_cpus, guest_cpus;
    GArray *vcpus;
} VcpuTask;

static void vcpu_task_free(void *data)
{
    VcpuTask *k = data;
    g_clear_pointer(&k->vcpus, g_array_unref);
    g_free(k);
}

static bool vcpus_begin(Task *t, GError **err)
{
    ((VcpuTask *)t->data)->guest_cpus = domain_vcpus(t->domain->live);
    return true;
}

static bool vcpus_run(Task *t, GError **err)
{
    VcpuTask *k = t->data;
    k->vcpus = vcpu_figures(t, k->guest_cpus, err);
    return k->vcpus;
}

static bool vcpus_done(Task *t, GError **err)
{
    const VcpuTask *k = t->data;
    guint n = MIN((guint)k->most, k->vcpus->len);
    gsize bytes = (gsize)n * k->map_bytes;
    g_autofree guint8 *maps = g_malloc0(bytes + 1);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(uiti)"));
    for (guint i = 0; i < n; i++) {
        const VcpuFigures *v = &g_array_index(k->vcpus, VcpuFigures, i);
        for (unsigned cpu = 0; cpu < k->host_cpus && cpu / 8 < (unsigned)k->map_bytes; cpu++)
            maps[i * k->map_bytes + cpu / 8] |= 1 << cpu % 8;
        g_variant_builder_add(&b, "(uiti)", v->id, 1, (guint64)(v->time_ns == RECORD_NONE ? 0 : v->time_ns), v->host_cpu);
    }
    t->reply = g_variant_new("(a(uiti)@ay)", &b, g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, maps, bytes, 1));
    return true;
}

static void get_vcpus(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "vcpuinfo", .running = true, .query = true, .begin = vcpus_begin, .run = vcpus_run, .done = vcpus_done, .free = vcpu_task_free };
    enum { VCPUS_MOST = 4096, MAP_MOST = 1024 /* bytes */ };
    int most, map_bytes;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)ii)", NULL, &most, &map_bytes);
    if (most < 0 || most > VCPUS_MOST || map_bytes < 0 || map_bytes > MAP_MOST) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "%d processors with maps of %d bytes are too many", most, map_bytes);
        return;
    }
    VcpuTask *k = g_new0(VcpuTask, 1);
    *k = (VcpuTask){ most, map_bytes, c->daemon->host.cpus, 0, NULL };
    task_push(d, call, &type, k);
}

/* ---- all of many.  Groups are bits, virDomainStatsTypes. */
enum { STATS_STATE = 1, STATS_CPU = 2, STATS_BALLOON = 4, STATS_VCPU = 8, STATS_CARDS = 16, STATS_DISKS = 32 };
/* virConnectGetAllDomainStatsFlags, beside those of lists */
enum { STATS_LIST = 0xffff, STATS_NOWAIT = 1 << 29, STATS_BACKING = 1 << 30 };
enum { STATS_KNOWN = STATS_STATE | STATS_CPU | STATS_BALLOON | STATS_VCPU | STATS_CARDS | STATS_DISKS };
#define STATS_ENFORCE (1u << 31)

typedef struct Gather {
    RpcCall *call;
    GPtrArray *entries; /* Entry */
    guint waiting;      /* for so many machines' answers, and the one who asks them */
    guint groups, flags;
} Gather;

/* What one machine says. */
typedef struct Entry {
    Gather *gather;
    ManagedDomain *domain;
    GPtrArray *disks; /* Disk, copies */
    GArray *figures;  /* HvDiskStats, of as many as have answered */
    GArray *vcpus;    /* or NULL */
    unsigned guest_cpus;
    MemoryFigures memory;
    bool balloon;
} Entry;

static void entry_free(void *data)
{
    Entry *e = data;
    domain_unref(e->domain);
    g_ptr_array_unref(e->disks);
    g_array_unref(e->figures);
    g_clear_pointer(&e->vcpus, g_array_unref);
    g_free(e);
}

static Entry *entry_new(Gather *g, ManagedDomain *d)
{
    Entry *e = g_new0(Entry, 1);
    *e = (Entry){ g, domain_ref(d), g_ptr_array_new_with_free_func(record_free), g_array_new(FALSE, FALSE, sizeof(HvDiskStats)), NULL, domain_vcpus(domain_now(d)), { { 0 } }, false };
    memset(&e->memory, 0xff, sizeof e->memory); /* RECORD_NONE */
    e->balloon = domain_now(d)->devices->balloon != NULL;
    const GPtrArray *all = domain_now(d)->devices->disks;
    for (guint i = 0; all && i < all->len; i++)
        g_ptr_array_add(e->disks, record_copy(all->pdata[i]));
    return e;
}

static void add_processors(GVariantBuilder *b, const Entry *e)
{
    const Domain *of = domain_now(e->domain);
    param_add(b, g_variant_new_uint32(domain_vcpus(of)), "vcpu.current");
    param_add(b, g_variant_new_uint32(of->vcpus), "vcpu.maximum");
    for (guint i = 0; e->vcpus && i < e->vcpus->len; i++) {
        const VcpuFigures *v = &g_array_index(e->vcpus, VcpuFigures, i);
        param_add(b, g_variant_new_int32(1), "vcpu.%u.state", v->id);
        ADD_KNOWN(b, v->time_ns, "vcpu.%u.time", v->id);
        ADD_KNOWN(b, v->wait_ns, "vcpu.%u.wait", v->id);
        ADD_KNOWN(b, v->delay_ns, "vcpu.%u.delay", v->id);
    }
}

static void add_cards(GVariantBuilder *b, const ManagedDomain *d)
{
    const GPtrArray *cards = d->live ? d->live->devices->interfaces : NULL;
    if (!d->live)
        return;
    param_add(b, g_variant_new_uint32(cards ? cards->len : 0), "net.count");
    for (guint i = 0; cards && i < cards->len; i++) {
        const Interface *card = cards->pdata[i];
        gint64 f[CARD_FIGURES];
        if (card->target)
            param_add(b, g_variant_new_string(card->target), "net.%u.name", i);
        for (unsigned k = 0; card_figures(d, card, f) && k < CARD_FIGURES; k++)
            if (f[k] >= 0)
                param_add(b, g_variant_new_uint64(f[k]), "net.%u.%s", i, card_figure_names[k]);
    }
}

static void add_image(GVariantBuilder *b, guint n, const Disk *disk, const char *path, uint64_t index)
{
    param_add(b, g_variant_new_string(disk->target), "block.%u.name", n);
    if (path)
        param_add(b, g_variant_new_string(path), "block.%u.path", n);
    if (index != RECORD_NONE)
        param_add(b, g_variant_new_uint32(index), "block.%u.backingIndex", n);
}

static void add_disk(GVariantBuilder *b, guint n, const HvDiskStats *s)
{
    static const struct {
        const char *name;
        size_t off;
    } rows[] = {
        { "rd.reqs", offsetof(HvDiskStats, read_requests) }, { "rd.bytes", offsetof(HvDiskStats, read_bytes) }, { "rd.times", offsetof(HvDiskStats, read_ns) },
        { "wr.reqs", offsetof(HvDiskStats, write_requests) }, { "wr.bytes", offsetof(HvDiskStats, write_bytes) }, { "wr.times", offsetof(HvDiskStats, write_ns) },
        { "fl.reqs", offsetof(HvDiskStats, flush_requests) }, { "fl.times", offsetof(HvDiskStats, flush_ns) }, { "allocation", offsetof(HvDiskStats, allocation) },
        { "capacity", offsetof(HvDiskStats, capacity) }, { "physical", offsetof(HvDiskStats, physical) },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t value = *(const uint64_t *)((const char *)s + rows[i].off);
        ADD_KNOWN(b, value, "block.%u.%s", n, rows[i].name);
    }
}

/* Images below a disk's own have numbers of their own, where they are asked for. */
static void add_disks(GVariantBuilder *b, const Entry *e)
{
    bool backing = e->gather->flags & STATS_BACKING;
    guint n = 0;
    GVariantBuilder rows;
    g_variant_builder_init(&rows, G_VARIANT_TYPE("a(sv)"));
    for (guint i = 0; i < e->disks->len; i++, n++) {
        const Disk *disk = e->disks->pdata[i];
        add_image(&rows, n, disk, image_path(disk), backing ? disk->source_index : RECORD_NONE);
        if (i < e->figures->len)
            add_disk(&rows, n, &g_array_index(e->figures, HvDiskStats, i));
        for (const Layer *l = backing ? disk->backing : NULL; l && l->type; l = l->backing)
            add_image(&rows, ++n, disk, l->type == DISK_BLOCK ? l->dev : l->file, l->source_index);
    }
    g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_builder_end(&rows));
    param_add(b, g_variant_new_uint32(n), "block.count");
    for (gsize i = 0; i < g_variant_n_children(all); i++) {
        g_autoptr(GVariant) row = g_variant_get_child_value(all, i);
        g_variant_builder_add_value(b, row);
    }
}

static void add_memory(GVariantBuilder *b, const Entry *e, const HvStats *s)
{
    const Domain *of = domain_now(e->domain);
    param_add(b, g_variant_new_uint64(of->current_memory / KIB), "balloon.current");
    param_add(b, g_variant_new_uint64(of->memory / KIB), "balloon.maximum");
    for (unsigned i = 0; i < MEMORY_FIGURES; i++)
        if (memory_figure_names[i])
            ADD_KNOWN(b, e->memory.values[i], "balloon.%s", memory_figure_names[i]);
    if (s->memory_rss != RECORD_NONE)
        param_add(b, g_variant_new_uint64(s->memory_rss / KIB), "balloon.rss");
}

static void add_entry(GVariantBuilder *b, const Entry *e, unsigned groups)
{
    const ManagedDomain *d = e->domain;
    HvStats s = { .memory_rss = RECORD_NONE };
    bool known = d->hv && d->driver->stats(d->hv, &s, NULL);
    g_variant_builder_open(b, G_VARIANT_TYPE("((ssi)a(sv))"));
    g_variant_builder_add_value(b, domain_handle(d));
    g_variant_builder_open(b, G_VARIANT_TYPE("a(sv)"));
    if (groups & STATS_STATE) {
        param_add(b, g_variant_new_int32(d->state), "state.state");
        param_add(b, g_variant_new_int32(d->reason), "state.reason");
    }
    if ((groups & STATS_CPU) && known) {
        param_add(b, g_variant_new_uint64(s.cpu_ns), "cpu.time");
        param_add(b, g_variant_new_uint64(s.user_ns), "cpu.user");
        param_add(b, g_variant_new_uint64(s.system_ns), "cpu.system");
    }
    if (groups & STATS_BALLOON)
        add_memory(b, e, &s);
    if (groups & STATS_VCPU)
        add_processors(b, e);
    if (groups & STATS_CARDS)
        add_cards(b, d);
    if (groups & STATS_DISKS)
        add_disks(b, e);
    g_variant_builder_close(b);
    g_variant_builder_close(b);
}

/* One less to wait for. */
static void gather_heard(Gather *g)
{
    if (--g->waiting)
        return;
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a((ssi)a(sv))"));
    for (guint i = 0; i < g->entries->len; i++) {
        const Entry *e = g->entries->pdata[i];
        if (!e->domain->gone && domain_now(e->domain))
            add_entry(&b, e, g->groups);
    }
    rpc_reply(g->call, g_variant_new("(a((ssi)a(sv)))", &b));
    g_ptr_array_unref(g->entries);
    g_free(g);
}

static void entry_heard(void *data) { gather_heard(((Entry *)data)->gather); }

/* What one machine does not say is left out: the others' figures are worth having. */
static bool entry_run(Task *t, GError **err)
{
    Entry *e = t->data;
    HvDiskStats s;
    guint groups = e->gather->groups;
    if (groups & STATS_VCPU)
        e->vcpus = vcpu_figures(t, e->guest_cpus, NULL);
    if ((groups & STATS_VCPU) && !e->vcpus)
        return true; /* it does not answer */
    if ((groups & STATS_BALLOON) && e->balloon)
        memory_figures(t, &e->memory, NULL);
    if (!(groups & STATS_DISKS))
        return true;
    for (guint i = 0; i < e->disks->len && disk_figures(t, e->disks->pdata[i], &s, NULL); i++)
        g_array_append_val(e->figures, s);
    return true;
}

static void gather_ask(Gather *g, ManagedDomain *d)
{
    static const TaskType type = { .name = "domstats", .running = true, .query = true, .run = entry_run, .free = entry_heard };
    Entry *e = entry_new(g, d);
    g_ptr_array_add(g->entries, e);
    if (!d->hv || !(g->groups & (STATS_VCPU | STATS_DISKS | STATS_BALLOON)) || ((g->flags & STATS_NOWAIT) && lane_current(d->queries)))
        return;
    g->waiting++;
    task_push(d, NULL, &type, e);
}

static void all_stats(Client *c, RpcCall *call, GVariant *args)
{
    guint groups, flags;
    g_autoptr(GVariant) of = NULL;
    g_variant_get(args, "(@a(ssi)uu)", &of, &groups, &flags);
    if ((flags & STATS_ENFORCE) && (groups & ~STATS_KNOWN)) {
        rpc_fail(call, RPC_ERR_ARGUMENT_UNSUPPORTED, "figures of the groups 0x%x are not built", groups & ~STATS_KNOWN);
        return;
    }
    Gather *g = g_new0(Gather, 1);
    *g = (Gather){ call, g_ptr_array_new_with_free_func(entry_free), 1, groups ? groups : STATS_KNOWN, flags };
    g_autoptr(GPtrArray) list = domains_listed(c->realm, g_variant_n_children(of) ? 0 : flags & STATS_LIST);
    for (gsize i = 0; i < g_variant_n_children(of); i++) {
        const char *uuid;
        g_variant_get_child(of, i, "(&s&si)", NULL, &uuid, NULL);
        ManagedDomain *d = domain_by_uuid(c->realm, uuid);
        if (d)
            gather_ask(g, d);
    }
    for (guint i = 0; !g_variant_n_children(of) && i < list->len; i++)
        gather_ask(g, list->pdata[i]);
    gather_heard(g);
}

const Handler stats_handlers[] = {
    { "CONNECT_GET_ALL_DOMAIN_STATS", all_stats },
    { "DOMAIN_GET_CPU_STATS", cpu_stats },
    { "DOMAIN_GET_VCPUS", get_vcpus },
    { NULL },
};
