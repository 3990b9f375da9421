/* handlers_tune.c - a machine's share of the host's processors, memory and disks: asked for and set, live or in its definition. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/params.h"
#include "manage/daemon/task.h"
#include "manage/daemon/tuning.h"

typedef enum TuneKind { TUNE_NUMBER, TUNE_SIGNED /* a text, as -1 is no bound */, TUNE_KIB, TUNE_SMALL } TuneKind;

/* virDomainMemoryParameters: no limit */
#define TUNE_UNLIMITED ((guint64)9007199254740991)

static const struct TuneRow {
    unsigned group;
    const char *name;
    TuneKind kind;
    size_t off;       /* in Domain */
    gint64 least, most, otherwise; /* what is said where nothing is set */
} rows[] = {
    { TUNING_CPU, "cpu_shares", TUNE_NUMBER, offsetof(Domain, cpu_shares), 2, 262144, 1024 },
    { TUNING_CPU, "global_period", TUNE_NUMBER, offsetof(Domain, global_period), 1000, 1000000, 100000 },
    { TUNING_CPU, "global_quota", TUNE_SIGNED, offsetof(Domain, global_quota), 1000, 17592186044415, -1 },
    { TUNING_MEMORY, "hard_limit", TUNE_KIB, offsetof(Domain, memory_hard_limit), 0, TUNE_UNLIMITED, TUNE_UNLIMITED },
    { TUNING_MEMORY, "soft_limit", TUNE_KIB, offsetof(Domain, memory_soft_limit), 0, TUNE_UNLIMITED, TUNE_UNLIMITED },
    { TUNING_MEMORY, "swap_hard_limit", TUNE_KIB, offsetof(Domain, swap_hard_limit), 0, TUNE_UNLIMITED, TUNE_UNLIMITED },
    { TUNING_IO, "weight", TUNE_SMALL, offsetof(Domain, io_weight), 10, 1000, 0 },
};
typedef struct TuneRow TuneRow;
enum { KIB = 1024 };

static void *at(const Domain *d, const TuneRow *row) { return (char *)d + row->off; }

/* ---- asking */
static GVariant *value_of(const Domain *d, const TuneRow *row)
{
    const char *text = row->kind == TUNE_SIGNED ? *(char **)at(d, row) : NULL;
    guint64 number = row->kind == TUNE_SIGNED ? RECORD_NONE : *(uint64_t *)at(d, row);
    if (row->kind == TUNE_SIGNED)
        return g_variant_new_int64(text ? g_ascii_strtoll(text, NULL, 10) : row->otherwise);
    if (row->kind == TUNE_SMALL)
        return g_variant_new_uint32(number == RECORD_NONE ? (guint64)row->otherwise : number);
    return g_variant_new_uint64(number == RECORD_NONE ? (guint64)row->otherwise : row->kind == TUNE_KIB ? number / KIB : number);
}

static GVariant *values_of(const Domain *d, unsigned group, int room, int *ret_count)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    *ret_count = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].group == group && (*ret_count)++ < room)
            param_add(&b, value_of(d, &rows[i]), "%s", rows[i].name);
    return g_variant_builder_end(&b);
}

static const Domain *domain_asked(const ManagedDomain *d, RpcCall *call, guint flags)
{
    const Domain *of = domain_affected(d, flags) & AFFECT_CONFIG ? d->config : domain_active(d) ? d->live : NULL;
    if (!of)
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, flags & AFFECT_CONFIG ? "domain '%s' is transient: it has no definition" : "domain '%s' is not running", d->name);
    return of;
}

static void get_values(Client *c, RpcCall *call, GVariant *args, unsigned group, bool counted)
{
    int room, n;
    guint flags = 0;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "i", &room);
    if (g_variant_n_children(args) > 2)
        g_variant_get_child(args, 2, "u", &flags);
    const Domain *of = domain_asked(d, call, flags);
    if (!of)
        return;
    GVariant *values = values_of(of, group, room, &n);
    rpc_reply(call, counted ? g_variant_new("(@a(sv)i)", values, n) : g_variant_new("(@a(sv))", values));
}

static void get_scheduler(Client *c, RpcCall *call, GVariant *args) { get_values(c, call, args, TUNING_CPU, false); }
static void get_memory(Client *c, RpcCall *call, GVariant *args) { get_values(c, call, args, TUNING_MEMORY, true); }
static void get_io(Client *c, RpcCall *call, GVariant *args) { get_values(c, call, args, TUNING_IO, true); }

static void get_scheduler_type(Client *c, RpcCall *call, GVariant *args)
{
    int n = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        n += rows[i].group == TUNING_CPU;
    if (domain_of_call(c, call, args))
        rpc_reply(call, g_variant_new("(si)", "posix", n));
}

/* ---- setting */
typedef struct TuneTask {
    unsigned group, where;
    GVariant *given;
    Domain *after; /* the running machine's definition as it will be */
} TuneTask;

static void tune_task_free(void *data)
{
    TuneTask *k = data;
    g_variant_unref(k->given);
    record_free(k->after);
    g_free(k);
}

static bool number_of(GVariant *v, gint64 *ret)
{
    static const char types[] = "iuxt";
    const char type = *g_variant_get_type_string(v);
    if (!strchr(types, type))
        return false;
    *ret = type == 'i' ? g_variant_get_int32(v) : type == 'u' ? (gint64)g_variant_get_uint32(v) : type == 'x' ? g_variant_get_int64(v) : (gint64)MIN(g_variant_get_uint64(v), (guint64)G_MAXINT64);
    return true;
}

static void set_row(Domain *d, const TuneRow *row, gint64 n)
{
    uint64_t *number = at(d, row);
    char **text = at(d, row);
    if (row->kind == TUNE_SIGNED) {
        g_free(*text);
        *text = g_strdup_printf("%" G_GINT64_FORMAT, n);
    } else if (row->kind == TUNE_KIB) {
        *number = n < 0 || (guint64)n >= TUNE_UNLIMITED ? RECORD_NONE : (guint64)n * KIB;
    } else {
        *number = row->kind == TUNE_SMALL && !n ? RECORD_NONE : (guint64)n;
    }
}

/* -1: no bound, where that can be */
static bool set_value(Domain *d, unsigned group, const char *name, GVariant *value, GError **err)
{
    gint64 n;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const TuneRow *row = &rows[i];
        if (row->group != group || strcmp(row->name, name))
            continue;
        if (!number_of(value, &n))
            return rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is a number", name);
        bool none = row->kind == TUNE_SMALL ? n == 0 : row->kind == TUNE_NUMBER ? false : n < 0;
        if (!none && (n < row->least || (n > row->most && row->kind != TUNE_KIB)))
            return rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ", not %" G_GINT64_FORMAT, name, row->least, row->most, n);
        set_row(d, row, n);
        return true;
    }
    return rpc_error_set(err, RPC_ERR_ARGUMENT_UNSUPPORTED, "'%s' is not built: %s", name, group == TUNING_CPU ? "cpu_shares, global_period and global_quota are, of the machine as a whole" :
                         group == TUNING_MEMORY ? "hard_limit, soft_limit and swap_hard_limit are" : "weight is; blkdeviotune bounds each disk");
}

static bool edit_values(Domain *d, void *opaque, GError **err)
{
    const TuneTask *k = opaque;
    GVariantIter i;
    const char *name;
    GVariant *value;
    bool ok = true;
    g_variant_iter_init(&i, k->given);
    while (ok && g_variant_iter_next(&i, "(&sv)", &name, &value)) {
        ok = set_value(d, k->group, name, value, err);
        g_variant_unref(value);
    }
    return ok;
}

static bool tune_begin(Task *t, GError **err)
{
    TuneTask *k = t->data;
    k->where = domain_affected(t->domain, k->where);
    if (!(k->where & AFFECT_LIVE))
        return true;
    if (!t->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running: --config changes its definition", t->domain->name);
    k->after = record_copy(t->domain->live);
    return edit_values(k->after, k, err);
}

static bool tune_run(Task *t, GError **err)
{
    const TuneTask *k = t->data;
    const Realm *r = t->domain->realm;
    return !k->after || r->in_memory || tuning_apply(&r->daemon->host, k->after, k->group, err);
}

static void tell(ManagedDomain *d, const TuneTask *k)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].group == TUNING_CPU)
            param_add(&b, value_of(d->live, &rows[i]), "cputune.%s", rows[i].name);
    domain_event(d, EVENT_TUNABLE, "(a(sv))", &b);
}

static bool tune_done(Task *t, GError **err)
{
    TuneTask *k = t->data;
    ManagedDomain *d = t->domain;
    if (k->after && d->live && edit_values(d->live, k, err)) {
        domain_write_record(d, d->live, NULL);
        if (k->group == TUNING_CPU)
            tell(d, k);
    }
    return !(k->where & AFFECT_CONFIG) || domain_edit_config(d, edit_values, k, err);
}

static void set_values(Client *c, RpcCall *call, GVariant *args, unsigned group)
{
    static const TaskType type = { .name = "tune", .begin = tune_begin, .run = tune_run, .done = tune_done, .free = tune_task_free };
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    TuneTask *k = g_new0(TuneTask, 1);
    k->group = group;
    k->given = g_variant_get_child_value(args, 1);
    if (g_variant_n_children(args) > 2)
        g_variant_get_child(args, 2, "u", &k->where);
    task_push(d, call, &type, k);
}

static void set_scheduler(Client *c, RpcCall *call, GVariant *args) { set_values(c, call, args, TUNING_CPU); }
static void set_memory(Client *c, RpcCall *call, GVariant *args) { set_values(c, call, args, TUNING_MEMORY); }
static void set_io(Client *c, RpcCall *call, GVariant *args) { set_values(c, call, args, TUNING_IO); }

/* Memory is taken from the host as it comes, and no definition can say otherwise. */
static void get_numa(Client *c, RpcCall *call, GVariant *args)
{
    enum { NUMA_PREFERRED = 1, NUMA_PARAMS = 2 };
    int room;
    GVariantBuilder b;
    if (!domain_of_call(c, call, args))
        return;
    g_variant_get_child(args, 1, "i", &room);
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    if (room >= NUMA_PARAMS) {
        param_add(&b, g_variant_new_int32(NUMA_PREFERRED), "numa_mode");
        param_add(&b, g_variant_new_string(""), "numa_nodeset");
    }
    rpc_reply(call, g_variant_new("(a(sv)i)", &b, NUMA_PARAMS));
}

const Handler tune_handlers[] = {
    { "DOMAIN_GET_SCHEDULER_TYPE", get_scheduler_type },
    { "DOMAIN_GET_SCHEDULER_PARAMETERS", get_scheduler },
    { "DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS", get_scheduler },
    { "DOMAIN_SET_SCHEDULER_PARAMETERS", set_scheduler },
    { "DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS", set_scheduler },
    { "DOMAIN_GET_MEMORY_PARAMETERS", get_memory },
    { "DOMAIN_SET_MEMORY_PARAMETERS", set_memory },
    { "DOMAIN_GET_BLKIO_PARAMETERS", get_io },
    { "DOMAIN_SET_BLKIO_PARAMETERS", set_io },
    { "DOMAIN_GET_NUMA_PARAMETERS", get_numa },
    { NULL },
};
