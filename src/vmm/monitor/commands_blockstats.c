/* commands_blockstats.c - what guests have read and written: query-blockstats. */
#include "vmm/monitor/qom.h"

#include "block/block.h"

/* As QEMU calls an operation; zeros count as writes there. */
typedef struct StatName {
    const char *word;
    bool bytes;
    BlkOp op, also;
} StatName;
static const StatName stat_names[] = { { "rd", true, BLK_READ, BLK_READ }, { "wr", true, BLK_WRITE, BLK_ZERO }, { "flush", false, BLK_FLUSH, BLK_FLUSH },
                                       { "unmap", true, BLK_DISCARD, BLK_DISCARD }, { NULL } };

static void put(JsonObject *o, const char *format, const char *word, uint64_t value)
{
    g_autofree char *name = g_strdup_printf(format, word);
    json_object_set_int_member(o, name, value);
}

static void put_operation(JsonObject *o, const StatName *n, const BlkStats *stats)
{
    const BlkStats *a = &stats[n->op], none = { 0 }, *b = n->op == n->also ? &none : &stats[n->also];
    if (n->bytes)
        put(o, "%s_bytes", n->word, a->bytes + b->bytes);
    put(o, "%s_operations", n->word, a->requests + b->requests);
    put(o, "%s_total_time_ns", n->word, a->ns + b->ns);
    put(o, "%s_merged", n->word, 0); /* each request goes its own way here */
    put(o, "failed_%s_operations", n->word, a->failed + b->failed);
    put(o, "invalid_%s_operations", n->word, 0); /* devices refuse those before they reach an image */
}

static JsonObject *device_stats(BlkNode *root)
{
    BlkStats stats[BLK_OPS];
    int64_t idle_ns;
    JsonObject *o = json_object_new();
    blk_stats(root, stats, &idle_ns);
    for (const StatName *n = stat_names; n->word; n++)
        put_operation(o, n, stats);
    if (idle_ns >= 0)
        json_object_set_int_member(o, "idle_time_ns", idle_ns);
    json_object_set_boolean_member(o, "account_invalid", FALSE);
    json_object_set_boolean_member(o, "account_failed", FALSE);
    json_object_set_array_member(o, "timed_stats", json_array_new());
    return o;
}

typedef struct List {
    JsonArray *array;
    bool nodes;
} List;

static void add_drive(const char *id, void *backend, Device *holder, void *opaque)
{
    List *list = opaque;
    BlkInfo info;
    blk_info(backend, &info);
    if (list->nodes ? !info.node_name : !holder)
        return;
    JsonObject *o = json_object_new();
    if (!list->nodes) {
        g_autofree char *path = qom_drive_path(holder);
        json_object_set_string_member(o, "device", info.node_name ? "" : id);
        json_object_set_string_member(o, "qdev", path);
    }
    if (info.node_name)
        json_object_set_string_member(o, "node-name", info.node_name);
    json_object_set_object_member(o, "stats", device_stats(backend));
    json_array_add_object_element(list->array, o);
}

/* Requests are counted where they come in: so of nodes, those at the top of a drive are listed. */
static bool query_blockstats(MonitorCall *call, GError **err)
{
    List list = { json_array_new(), arg_bool(call, "query-nodes", false) };
    machine_each_backend(call->vm->machine, BACKEND_DRIVE, add_drive, &list);
    return return_array(call, list.array);
}

static void print_drive(const char *id, void *backend, Device *holder, void *out)
{
    BlkStats stats[BLK_OPS];
    int64_t idle_ns;
    blk_stats(backend, stats, &idle_ns);
    g_string_append_printf(out, "%s:", id);
    for (const StatName *n = stat_names; n->word; n++) {
        const BlkStats *s = &stats[n->op];
        g_string_append_printf(out, " %s_operations=%" G_GUINT64_FORMAT " %s_bytes=%" G_GUINT64_FORMAT " %s_total_time_ns=%" G_GUINT64_FORMAT " failed_%s=%" G_GUINT64_FORMAT,
                               n->word, s->requests, n->word, s->bytes, n->word, s->ns, n->word, s->failed);
    }
    g_string_append_c(out, '\n');
}

static bool info_blockstats(MonitorCall *call, GError **err)
{
    machine_each_backend(call->vm->machine, BACKEND_DRIVE, print_drive, call->out);
    return true;
}

const MonitorCommand blockstats_commands[] = {
    { "query-blockstats", NULL, "?query-nodes: bool", "[BlockStats]", .doc = "what guests have read and written", .run = query_blockstats },
    { NULL, "info blockstats", .doc = "what guests have read and written", .text = info_blockstats },
    { NULL },
};
