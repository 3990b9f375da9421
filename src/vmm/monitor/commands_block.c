/* commands_block.c - disk images: what is there. */
#include "vmm/monitor/qom.h"

#include "block/limits.h"
#include "devices/storage/medium.h"

static JsonObject *image_info(BlkNode *n, const BlkInfo *info)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "filename", info->filename ? info->filename : "");
    json_object_set_string_member(o, "format", info->format);
    json_object_set_int_member(o, "virtual-size", info->size);
    json_object_set_boolean_member(o, "dirty-flag", info->dirty);
    if (info->disk_bytes != UINT64_MAX)
        json_object_set_int_member(o, "actual-size", info->disk_bytes);
    if (info->cluster_bytes)
        json_object_set_int_member(o, "cluster-size", info->cluster_bytes);
    if (info->encrypted)
        json_object_set_boolean_member(o, "encrypted", TRUE);
    if (info->backing_name)
        json_object_set_string_member(o, "backing-filename", info->backing_name);
    if (info->backing_format)
        json_object_set_string_member(o, "backing-filename-format", info->backing_format);
    if (blk_backing(n)) {
        BlkInfo below;
        blk_info(blk_backing(n), &below);
        json_object_set_object_member(o, "backing-image", image_info(blk_backing(n), &below));
    }
    return o;
}

static unsigned depth_of(BlkNode *n) { return blk_backing(n) ? 1 + depth_of(blk_backing(n)) : 0; }

static JsonArray *bitmaps_info(BlkNode *n)
{
    JsonArray *list = json_array_new();
    for (BlkBitmap *b = NULL; (b = blk_bitmap_next(n, b));) {
        BlkBitmapInfo info;
        JsonObject *o = json_object_new();
        blk_bitmap_info(b, &info);
        json_object_set_string_member(o, "name", info.name);
        json_object_set_int_member(o, "count", info.dirty_bytes);
        json_object_set_int_member(o, "granularity", info.granularity);
        json_object_set_boolean_member(o, "recording", info.enabled);
        json_object_set_boolean_member(o, "busy", info.busy);
        json_object_set_boolean_member(o, "persistent", info.persistent);
        if (info.inconsistent)
            json_object_set_boolean_member(o, "inconsistent", TRUE);
        json_array_add_object_element(list, o);
    }
    return list;
}

/* BlockDeviceInfo; name: where the node has none of its own. */
static JsonObject *node_info(BlkNode *n, const char *name)
{
    static const char *const limits[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr" };
    BlkInfo info;
    JsonObject *o = json_object_new(), *cache = json_object_new();
    blk_info(n, &info);
    json_object_set_string_member(o, "file", info.filename ? info.filename : "");
    json_object_set_string_member(o, "node-name", info.node_name ? info.node_name : name);
    json_object_set_boolean_member(o, "ro", info.read_only);
    json_object_set_string_member(o, "drv", info.format);
    if (info.backing_name)
        json_object_set_string_member(o, "backing_file", info.backing_name);
    json_object_set_int_member(o, "backing_file_depth", depth_of(n));
    json_object_set_boolean_member(o, "encrypted", info.encrypted);
    json_object_set_string_member(o, "detect_zeroes", "off");
    const BlkLimits l = blk_limits(n);
    const uint64_t values[] = { l.bps, l.bps_rd, l.bps_wr, l.iops, l.iops_rd, l.iops_wr };
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++)
        json_object_set_int_member(o, limits[i], values[i]);
    json_object_set_object_member(o, "image", image_info(n, &info));
    json_object_set_boolean_member(cache, "writeback", TRUE);
    json_object_set_boolean_member(cache, "direct", FALSE);
    json_object_set_boolean_member(cache, "no-flush", FALSE);
    json_object_set_object_member(o, "cache", cache);
    json_object_set_int_member(o, "write_threshold", 0);
    if (blk_bitmap_next(n, NULL))
        json_object_set_array_member(o, "dirty-bitmaps", bitmaps_info(n));
    return o;
}

/* ---- requests that fail: BLOCK_IO_ERROR, and what query-block says until the machine goes on */

static bool is_blockdev(const VmConfig *c, const char *id)
{
    for (unsigned i = 0; i < c->drives->len; i++) {
        const DriveConfig *d = &g_array_index(c->drives, DriveConfig, i);
        if (g_strcmp0(d->id, id) == 0)
            return d->tree != NULL;
    }
    return false;
}

typedef struct FindDrive {
    const Device *holder;
    const char *id;
    BlkNode *root;
} FindDrive;

static void find_drive_of(const char *id, void *backend, Device *holder, void *find)
{
    FindDrive *f = find;
    if (holder == f->holder)
        *f = (FindDrive){ holder, id, backend };
}

static void note_io_error(Vm *vm, const Device *d, bool nospace)
{
    if (!vm->io_errors)
        vm->io_errors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert(vm->io_errors, g_strdup(d->path), nospace ? "nospace" : "failed");
}

static const char *io_status(const Vm *vm, const Device *holder)
{
    const char *status = vm->io_errors && holder ? g_hash_table_lookup(vm->io_errors, holder->path) : NULL;
    return status ? status : "ok";
}

void monitors_io_error(Vm *vm, const Device *d, uint64_t what)
{
    FindDrive find = { .holder = d };
    unsigned error = what & DISK_ERROR_ERRNO;
    machine_each_backend(vm->machine, BACKEND_DRIVE, find_drive_of, &find);
    if (!find.root)
        return;
    BlkInfo info;
    blk_info(find.root, &info);
    JsonObject *data = json_object_new();
    json_object_set_string_member(data, "device", is_blockdev(vm->config, find.id) ? "" : find.id);
    if (info.node_name)
        json_object_set_string_member(data, "node-name", info.node_name);
    json_object_set_string_member(data, "operation", what & DISK_ERROR_WRITE ? "write" : "read");
    json_object_set_string_member(data, "action", what & DISK_ERROR_STOPS ? "stop" : what & DISK_ERROR_IGNORED ? "ignore" : "report");
    json_object_set_boolean_member(data, "nospace", error == ENOSPC);
    json_object_set_string_member(data, "reason", g_strerror(error));
    monitors_event(vm, "BLOCK_IO_ERROR", data);
    if (what & DISK_ERROR_STOPS)
        note_io_error(vm, d, error == ENOSPC);
}

/* ---- query-block: what the guest sees as disks */

typedef struct Disks {
    Vm *vm;
    JsonArray *list;
} Disks;

static void add_drive(const Vm *vm, const char *id, bool node, BlkNode *root, const Device *holder, JsonArray *list)
{
    MediumInfo medium = { 0 };
    bool removable = holder && medium_info((Device *)holder, &medium);
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "device", node ? "" : id);
    if (holder) {
        g_autofree char *path = qom_drive_path(holder);
        json_object_set_string_member(o, "qdev", path);
    }
    json_object_set_string_member(o, "type", "unknown");
    json_object_set_boolean_member(o, "removable", removable);
    json_object_set_boolean_member(o, "locked", medium.locked);
    if (root)
        json_object_set_object_member(o, "inserted", node_info(root, id));
    json_object_set_string_member(o, "io-status", io_status(vm, holder));
    if (medium.has_tray)
        json_object_set_boolean_member(o, "tray_open", medium.tray_open);
    json_array_add_object_element(list, o);
}

static void add_disk(const char *id, void *backend, Device *holder, void *opaque)
{
    Disks *disks = opaque;
    bool node = is_blockdev(disks->vm->config, id);
    if (!node || holder) /* else no disk of the guest's */
        add_drive(disks->vm, id, node, backend, holder, disks->list);
}

static bool query_block(MonitorCall *call, GError **err)
{
    Disks disks = { call->vm, json_array_new() };
    const GPtrArray *devices = call->vm->machine->devices;
    MediumInfo medium;
    machine_each_backend(call->vm->machine, BACKEND_DRIVE, add_disk, &disks);
    for (unsigned i = 0; i < devices->len; i++) /* drives with nothing in them */
        if (medium_info(devices->pdata[i], &medium) && !medium.drive)
            add_drive(call->vm, "", true, NULL, devices->pdata[i], disks.list);
    return return_array(call, disks.list);
}

static void print_disk(const char *id, void *backend, Device *holder, void *out)
{
    BlkInfo info;
    blk_info(backend, &info);
    g_string_append_printf(out, "%s: %s (%s%s)\n    %" G_GUINT64_FORMAT " bytes", id, info.filename ? info.filename : "", info.format, info.read_only ? ", read-only" : "",
                           info.size);
    if (holder)
        g_string_append_printf(out, "\n    Attached to: %s", holder->path);
    if (info.backing_name)
        g_string_append_printf(out, "\n    Backing file: %s (chain depth: %u)", info.backing_name, depth_of(backend));
    g_string_append_c(out, '\n');
}

static bool info_block(MonitorCall *call, GError **err)
{
    machine_each_backend(call->vm->machine, BACKEND_DRIVE, print_disk, call->out);
    return true;
}

/* ---- query-named-block-nodes */

/* A root and filters without a name of their own tell that of the image below. */
static bool is_listed(JsonArray *list, const char *name)
{
    for (unsigned i = 0; i < json_array_get_length(list); i++)
        if (g_str_equal(json_object_get_string_member(json_array_get_object_element(list, i), "node-name"), name))
            return true;
    return false;
}

static void add_named(BlkNode *n, void *list)
{
    BlkInfo info;
    blk_info(n, &info);
    if (info.node_name && !is_listed(list, info.node_name))
        json_array_add_object_element(list, node_info(n, info.node_name));
}

static void add_nodes(const char *id, void *backend, Device *holder, void *list) { blk_walk(backend, add_named, list); }

static bool query_named_block_nodes(MonitorCall *call, GError **err)
{
    JsonArray *list = json_array_new();
    machine_each_backend(call->vm->machine, BACKEND_DRIVE, add_nodes, list);
    return return_array(call, list);
}

const MonitorCommand block_commands[] = {
    { "query-block", NULL, .ret = "[BlockInfo]", .doc = "the guest's disks", .run = query_block },
    { NULL, "info block", .doc = "the guest's disks", .text = info_block },
    { "query-named-block-nodes", NULL, "?flat: bool", "[BlockDeviceInfo]", .doc = "images by node name", .run = query_named_block_nodes },
    { NULL },
};
