/* handlers_disk.c - figures, size and limits of disks. */
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "manage/daemon/change.h"
#include "manage/daemon/figures.h"
#include "manage/hypervisor/image.h"
#include "manage/hypervisor/qmp.h"

enum { RESIZE_BYTES = 1, KIB = 1024 };

typedef struct DiskTask {
    char *name;      /* as the client calls the disk */
    GPtrArray *disks; /* Disk, copies */
    HvDiskStats stats;
    guint64 value;
    guint flags;
    IoTune *limits;
    GVariant *given;
    bool by_name;
} DiskTask;

static void disk_task_free(void *data)
{
    DiskTask *k = data;
    g_free(k->name);
    g_clear_pointer(&k->disks, g_ptr_array_unref);
    record_free(k->limits);
    g_clear_pointer(&k->given, g_variant_unref);
    g_free(k);
}

/* The domain's disk of that name, or with "" all of them, as copies. */
static bool take_disks(const Task *t, DiskTask *k, GError **err)
{
    const Domain *of = domain_now(t->domain);
    const GPtrArray *all = of->devices->disks;
    const Disk *one = *k->name ? disk_find(of, k->name) : NULL;
    if (*k->name && !one)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no disk '%s': domblklist shows them", t->domain->name, k->name);
    k->disks = g_ptr_array_new_with_free_func(record_free);
    for (guint i = 0; !one && all && i < all->len; i++)
        g_ptr_array_add(k->disks, record_copy(all->pdata[i]));
    if (one)
        g_ptr_array_add(k->disks, record_copy(one));
    return true;
}

static bool disks_begin(Task *t, GError **err) { return take_disks(t, t->data, err); }

/* ---- what disks have done */
static const struct {
    const char *name;
    size_t off;
} stat_rows[] = {
    { "rd_operations", offsetof(HvDiskStats, read_requests) }, { "rd_bytes", offsetof(HvDiskStats, read_bytes) }, { "rd_total_times", offsetof(HvDiskStats, read_ns) },
    { "wr_operations", offsetof(HvDiskStats, write_requests) }, { "wr_bytes", offsetof(HvDiskStats, write_bytes) }, { "wr_total_times", offsetof(HvDiskStats, write_ns) },
    { "flush_operations", offsetof(HvDiskStats, flush_requests) }, { "flush_total_times", offsetof(HvDiskStats, flush_ns) },
};

static uint64_t *figure(HvDiskStats *s, unsigned row) { return (uint64_t *)((char *)s + stat_rows[row].off); }

static bool stats_run(Task *t, GError **err)
{
    DiskTask *k = t->data;
    if (!t->driver->disk_stats)
        return task_unsupported(t, "count what disks do", err);
    for (guint i = 0; i < k->disks->len; i++) {
        HvDiskStats one;
        if (!t->driver->disk_stats(t->hv, k->disks->pdata[i], &one, err))
            return false;
        for (unsigned n = 0; n < G_N_ELEMENTS(stat_rows); n++)
            *figure(&k->stats, n) += *figure(&one, n) == RECORD_NONE ? 0 : *figure(&one, n);
    }
    return true;
}

static bool stats_done(Task *t, GError **err)
{
    DiskTask *k = t->data;
    if (!k->by_name) {
        t->reply = g_variant_new("(xxxxx)", (gint64)k->stats.read_requests, (gint64)k->stats.read_bytes, (gint64)k->stats.write_requests, (gint64)k->stats.write_bytes, (gint64)-1);
        return true;
    }
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    for (unsigned n = 0; k->value && n < G_N_ELEMENTS(stat_rows); n++)
        g_variant_builder_add(&b, "(sv)", stat_rows[n].name, g_variant_new_int64(*figure(&k->stats, n)));
    t->reply = g_variant_new("(a(sv)i)", &b, (int)G_N_ELEMENTS(stat_rows));
    return true;
}

static DiskTask *disk_task(Client *c, RpcCall *call, GVariant *args, ManagedDomain **ret)
{
    if (!(*ret = domain_of_call(c, call, args)))
        return NULL;
    DiskTask *k = g_new0(DiskTask, 1);
    g_variant_get_child(args, 1, "s", &k->name);
    return k;
}

static const TaskType stats_type = { .name = "disk-stats", .running = true, .query = true, .begin = disks_begin, .run = stats_run, .done = stats_done, .free = disk_task_free };

static void block_stats(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d;
    DiskTask *k = disk_task(c, call, args, &d);
    if (k)
        task_push(d, call, &stats_type, k);
}

/* With room for none it only says how many there are. */
static void block_stats_flags(Client *c, RpcCall *call, GVariant *args)
{
    int room;
    ManagedDomain *d;
    DiskTask *k = disk_task(c, call, args, &d);
    if (!k)
        return;
    g_variant_get_child(args, 2, "i", &room);
    k->by_name = true;
    k->value = room > 0;
    task_push(d, call, &stats_type, k);
}

/* ---- how large a disk is */
static bool ask_image(Task *t, const Disk *disk, HvDiskStats *ret, GError **err)
{
    g_autofree char *text = NULL;
    const char *path = image_path(disk);
    if (!path)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "disk '%s' has no image now", disk->target);
    if (!image_run(t->domain->realm->daemon->image_tool, &text, err, "info", "-U", "--output=json", "-f", disk->format ? disk->format : "raw", path, NULL))
        return false;
    g_autoptr(JsonNode) root = json_from_string(text, err);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return root ? error_set(err, ERR_IO, "atoll-img tells nonsense of '%s'", path) : false;
    ret->capacity = json_object_get_int_member_with_default(json_node_get_object(root), "virtual-size", 0);
    ret->allocation = json_object_get_int_member_with_default(json_node_get_object(root), "actual-size", 0);
    return true;
}

bool disk_figures(Task *t, const Disk *disk, HvDiskStats *ret, GError **err)
{
    struct stat s;
    bool running = t->hv && t->driver->disk_stats;
    if (!(running ? t->driver->disk_stats(t->hv, disk, ret, err) : t->domain->realm->in_memory || ask_image(t, disk, ret, err)))
        return false;
    const char *path = image_path(disk);
    if (path && !t->domain->realm->in_memory && !stat(path, &s))
        ret->physical = S_ISBLK(s.st_mode) ? ret->capacity : (uint64_t)s.st_size;
    else if (!running || ret->physical == RECORD_NONE)
        ret->physical = ret->capacity;
    return true;
}

static bool info_run(Task *t, GError **err)
{
    DiskTask *k = t->data;
    return disk_figures(t, k->disks->pdata[0], &k->stats, err);
}

static bool info_done(Task *t, GError **err)
{
    const HvDiskStats *s = &((DiskTask *)t->data)->stats;
    if (s->capacity == RECORD_NONE)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "the drive is empty");
    t->reply = g_variant_new("(ttt)", (guint64)(s->allocation == RECORD_NONE ? 0 : s->allocation), (guint64)s->capacity, (guint64)s->physical);
    return true;
}

static bool one_begin(Task *t, GError **err)
{
    DiskTask *k = t->data;
    return take_disks(t, k, err) && (k->disks->len == 1 || rpc_error_set(err, RPC_ERR_INVALID_ARG, "a disk is wanted: its target or its image's path"));
}

static void block_info(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "disk-info", .query = true, .begin = one_begin, .run = info_run, .done = info_done, .free = disk_task_free };
    ManagedDomain *d;
    DiskTask *k = disk_task(c, call, args, &d);
    if (k)
        task_push(d, call, &type, k);
}

static bool resize_run(Task *t, GError **err)
{
    DiskTask *k = t->data;
    return t->driver->resize ? t->driver->resize(t->hv, k->disks->pdata[0], k->value, err) : task_unsupported(t, "resize a disk", err);
}

static void block_resize(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "resize", .running = true, .begin = one_begin, .run = resize_run, .free = disk_task_free };
    ManagedDomain *d;
    DiskTask *k = disk_task(c, call, args, &d);
    if (!k)
        return;
    g_variant_get_child(args, 2, "t", &k->value);
    g_variant_get_child(args, 3, "u", &k->flags);
    if (!(k->flags & RESIZE_BYTES))
        k->value = k->value > G_MAXUINT64 / KIB ? G_MAXUINT64 : k->value * KIB;
    task_push(d, call, &type, k);
}

/* ---- limits: a row of <iotune> is called as its parameter is */
static uint64_t *limit_of(IoTune *t, const RecordField *f) { return (uint64_t *)((char *)t + f->off); }

/* One family: the total excludes what it is the sum of. */
static bool excludes(const char *given, const char *other)
{
    const char *a = strchr(given, '_'), *b = strchr(other, '_');
    return a && b && !strcmp(a, b) && (g_str_has_prefix(given, "total_") != g_str_has_prefix(other, "total_"));
}

static const RecordField *limit_row(const char *name)
{
    for (const RecordField *f = iotune_record.fields; f->name; f++)
        if (!strcmp(f->path, name))
            return f;
    return NULL;
}

static bool set_limit(IoTune *t, const char *name, GVariant *value, GError **err)
{
    const RecordField *row = limit_row(name);
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
        g_free(t->group);
        t->group = g_variant_dup_string(value, NULL);
        return !strcmp(name, "group_name") || rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is a number", name);
    }
    guint64 n = g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64) ? g_variant_get_uint64(value) : G_MAXUINT64;
    if (!row || row->kind != RK_UINT)
        return !n || rpc_error_set(err, RPC_ERR_ARGUMENT_UNSUPPORTED, "a limit '%s' is not built", name);
    if (n == G_MAXUINT64)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is a number that is not negative", name);
    for (const RecordField *f = iotune_record.fields; n && f->name; f++)
        if (f->kind == RK_UINT && excludes(name, f->path))
            *limit_of(t, f) = RECORD_NONE;
    *limit_of(t, row) = n ? n : RECORD_NONE;
    return true;
}

static IoTune *changed_limits(const Disk *disk, GVariant *given, GError **err)
{
    IoTune *t = disk->iotune ? record_copy(disk->iotune) : record_new(&iotune_record);
    GVariantIter i;
    const char *name;
    GVariant *value;
    bool ok = true;
    g_variant_iter_init(&i, given);
    while (ok && g_variant_iter_next(&i, "(&sv)", &name, &value)) {
        ok = set_limit(t, name, value, err);
        g_variant_unref(value);
    }
    if (!ok)
        g_clear_pointer((void **)&t, record_free);
    return t;
}

static bool is_unlimited(IoTune *t)
{
    for (const RecordField *f = iotune_record.fields; f->name; f++)
        if (f->kind == RK_UINT && *limit_of(t, f) != RECORD_NONE)
            return false;
    return true;
}

static void take_limits(Disk *disk, const IoTune *limits)
{
    record_free(disk->iotune);
    disk->iotune = is_unlimited((IoTune *)limits) ? NULL : record_copy(limits);
}

static bool edit_limits(Domain *d, void *opaque, GError **err)
{
    const DiskTask *k = opaque;
    Disk *disk = disk_find(d, k->name);
    if (!disk)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "the definition of domain '%s' has no disk '%s'", d->name, k->name);
    g_autoptr(GVariant) given = g_variant_ref(k->given);
    IoTune *limits = changed_limits(disk, given, err);
    if (limits)
        take_limits(disk, limits);
    record_free(limits);
    return limits;
}

static bool tune_begin(Task *t, GError **err)
{
    DiskTask *k = t->data;
    k->flags = domain_affected(t->domain, k->flags);
    if ((k->flags & AFFECT_LIVE) && !t->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running: --config changes its definition", t->domain->name);
    if (!one_begin(t, err))
        return false;
    k->limits = changed_limits(k->disks->pdata[0], k->given, err);
    return k->limits;
}

static bool tune_run(Task *t, GError **err)
{
    DiskTask *k = t->data;
    if (!(k->flags & AFFECT_LIVE))
        return true;
    return t->driver->limit ? t->driver->limit(t->hv, k->disks->pdata[0], k->limits, err) : task_unsupported(t, "limit disks", err);
}

static bool tune_done(Task *t, GError **err)
{
    DiskTask *k = t->data;
    ManagedDomain *d = t->domain;
    Disk *live = (k->flags & AFFECT_LIVE) && d->live ? disk_find(d->live, k->name) : NULL;
    if (live) {
        take_limits(live, k->limits);
        domain_write_record(d, d->live, NULL);
        GVariantBuilder b;
        g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
        g_variant_builder_add(&b, "(sv)", "blkdeviotune.disk", g_variant_new_string(live->target));
        for (const RecordField *f = iotune_record.fields; f->name; f++) {
            g_autofree char *name = g_strconcat("blkdeviotune.", f->path, NULL);
            if (f->kind == RK_UINT && *limit_of(k->limits, f) != RECORD_NONE)
                g_variant_builder_add(&b, "(sv)", name, g_variant_new_uint64(*limit_of(k->limits, f)));
        }
        domain_event(d, EVENT_TUNABLE, "(a(sv))", &b);
    }
    return !(k->flags & AFFECT_CONFIG) || domain_edit_config(d, edit_limits, k, err);
}

static void set_io_tune(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "blkdeviotune", .begin = tune_begin, .run = tune_run, .done = tune_done, .free = disk_task_free };
    ManagedDomain *d;
    DiskTask *k = disk_task(c, call, args, &d);
    if (!k)
        return;
    k->given = g_variant_get_child_value(args, 2);
    g_variant_get_child(args, 3, "u", &k->flags);
    task_push(d, call, &type, k);
}

static void get_io_tune(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    int room, n = 0;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)m&siu)", NULL, &name, &room, &flags);
    const Domain *of = domain_affected(d, flags) & AFFECT_CONFIG ? d->config : d->live;
    Disk *disk = of && name ? disk_find(of, name) : NULL;
    if (!of || (name && !disk)) {
        rpc_fail(call, of ? (RpcError)RPC_ERR_INVALID_ARG : RPC_ERR_OPERATION_INVALID, of ? "domain '%s' has no disk '%s'" : "domain '%s' is not in that state", d->name, name);
        return;
    }
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    for (const RecordField *f = iotune_record.fields; f->name; f++) {
        if (f->kind != RK_UINT)
            continue;
        guint64 value = disk && disk->iotune ? *limit_of(disk->iotune, f) : RECORD_NONE;
        if (room > n)
            g_variant_builder_add(&b, "(sv)", f->path, g_variant_new_uint64(value == RECORD_NONE ? 0 : value));
        n++;
    }
    rpc_reply(call, g_variant_new("(a(sv)i)", &b, n));
}

/* ---- errors: of the disks for which the machine stands (virDomainDiskErrorCode) */
static const char *status_of(JsonNode *known, const char *alias)
{
    for (guint i = 0; i < qmp_count(known); i++) {
        JsonObject *o = qmp_element(known, i);
        g_auto(GStrv) parts = g_strsplit(o ? qmp_text(o, "qdev", "") : "", "/", -1);
        if (alias && g_strv_contains((const char *const *)parts, alias))
            return qmp_text(o, "io-status", "ok");
    }
    return "ok";
}

static bool errors_run(Task *t, GError **err)
{
    enum { ERROR_UNSPECIFIED = 1, ERROR_NO_SPACE = 2 };
    DiskTask *k = t->data;
    int found = 0;
    GVariantBuilder b;
    g_autoptr(JsonNode) known = t->driver->monitor ? task_monitor(t, "{\"execute\": \"query-block\"}", err) : NULL;
    if (t->driver->monitor && !known)
        return false;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(si)"));
    for (guint i = 0; k->value && i < k->disks->len; i++) {
        const Disk *disk = k->disks->pdata[i];
        const char *status = status_of(known, disk->alias);
        if (strcmp(status, "ok") && (guint64)found++ < k->value)
            g_variant_builder_add(&b, "(si)", disk->target, strcmp(status, "nospace") ? ERROR_UNSPECIFIED : ERROR_NO_SPACE);
    }
    k->given = g_variant_ref_sink(g_variant_new("(a(si)i)", &b, k->value ? found : (int)k->disks->len));
    return true;
}

static bool errors_done(Task *t, GError **err)
{
    t->reply = ((DiskTask *)t->data)->given; /* the call takes a reference */
    return true;
}

/* With room for none it says how many there can be. */
static void disk_errors(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "disk-errors", .running = true, .query = true, .begin = disks_begin, .run = errors_run, .done = errors_done, .free = disk_task_free };
    guint room;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    DiskTask *k = g_new0(DiskTask, 1);
    k->name = g_strdup("");
    g_variant_get_child(args, 1, "u", &room);
    k->value = room;
    task_push(d, call, &type, k);
}

const Handler disk_handlers[] = {
    { "DOMAIN_BLOCK_STATS", block_stats },
    { "DOMAIN_BLOCK_STATS_FLAGS", block_stats_flags },
    { "DOMAIN_GET_BLOCK_INFO", block_info },
    { "DOMAIN_GET_DISK_ERRORS", disk_errors },
    { "DOMAIN_BLOCK_RESIZE", block_resize },
    { "DOMAIN_SET_BLOCK_IO_TUNE", set_io_tune },
    { "DOMAIN_GET_BLOCK_IO_TUNE", get_io_tune },
    { NULL },
};
