/* commands_snapshot.c - what a disk was at a moment: below a new image that is put over it, or within its own image. */
#include <string.h>

#include "machine/machine.h"
#include "vmm/monitor/command.h"
#include "vmm/new_images.h"

/* The image of a drive, by the drive's id or its own node name. */
static bool find_disk(MonitorCall *call, const char *name, NodePlace *ret, GError **err)
{
    if (!vm_find_node(call->vm, name, ret))
        return error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", name, name);
    return ret->top || error_set(err, ERR_BUSY, "Node '%s' has another image above it: take '%s'", name, ret->drive);
}

/* ---- a new image over it */

static bool snapshot_sync(MonitorCall *call, GError **err)
{
    NodePlace at, other;
    const char *device = arg_text(call, "device"), *node = arg_text(call, "node-name"), *file = arg_text(call, "snapshot-file"), *format = arg_text(call, "format");
    const char *given = arg_text(call, "snapshot-node-name");
    if (!device == !node)
        return error_set(err, ERR_INVALID, "Need exactly one of 'device' and 'node-name'");
    if (!find_disk(call, device ? device : node, &at, err))
        return false;
    if (given && vm_find_node(call->vm, given, &other))
        return error_set(err, ERR_BUSY, "New overlay node-name already in use: '%s'", given);
    format = format ? format : "qcow2";
    bool exists = g_strcmp0(arg_text(call, "mode"), "existing") == 0;
    if (!exists && !vm_create_image(call->vm, at.root, at.root, format, file, err))
        return false;
    g_autofree char *name = given ? g_strdup(given) : vm_new_node_name(call->vm);
    BlkNode *overlay = vm_open_image(call->vm, format, file, name, false, err);
    if (!overlay || blk_put_overlay(at.root, overlay, err))
        return overlay;
    blk_close(overlay);
    return false;
}

static bool snapshot_line(MonitorCall *call, GError **err)
{
    if (arg_bool(call, "reuse", false))
        json_object_set_string_member(call->args, "mode", "existing");
    return snapshot_sync(call, err);
}

/* ---- within its image */

/* The first of that id and of that name, where they are given; -1: none. */
static int find_snapshot(const GArray *list, const char *id, const char *name)
{
    for (unsigned i = 0; i < list->len; i++) {
        const BlkSnapshot *s = &g_array_index(list, BlkSnapshot, i);
        if ((!id || g_str_equal(s->id, id)) && (!name || g_str_equal(s->name, name)))
            return i;
    }
    return -1;
}

static GArray *snapshots_of(MonitorCall *call, NodePlace *at, GError **err)
{
    BlkInfo info;
    if (!find_disk(call, arg_text(call, "device"), at, err))
        return NULL;
    blk_info(at->root, &info);
    if (info.read_only) {
        error_set(err, ERR_DENIED, "Device '%s' is read only", arg_text(call, "device"));
        return NULL;
    }
    g_autoptr(GError) why = NULL;
    GArray *list = blk_snapshot_list(at->root, &why);
    if (!list)
        error_set(err, ERR_UNSUPPORTED, "Block format '%s' used by device '%s' does not support internal snapshots: %s", info.format, arg_text(call, "device"), why->message);
    return list;
}

static bool internal_sync(MonitorCall *call, GError **err)
{
    NodePlace at;
    const char *name = arg_text(call, "name");
    g_autoptr(GArray) list = snapshots_of(call, &at, err);
    if (!list)
        return false;
    if (!*name)
        return error_set(err, ERR_INVALID, "Name is empty");
    if (find_snapshot(list, NULL, name) >= 0)
        return error_set(err, ERR_BUSY, "Snapshot with name '%s' already exists on device '%s'", name, arg_text(call, "device"));
    gint64 now = g_get_real_time();
    BlkSnapshot s = { .name = (char *)name, .date_s = now / G_USEC_PER_SEC, .date_ns = now % G_USEC_PER_SEC * 1000, .vm_clock_ns = clock_now(call->vm->machine->clock), .icount = UINT64_MAX };
    return blk_snapshot_create_live(at.root, &s, err);
}

static JsonObject *snapshot_info(const BlkSnapshot *s)
{
    enum { SECOND = 1000000000 };
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "id", s->id);
    json_object_set_string_member(o, "name", s->name);
    json_object_set_int_member(o, "vm-state-size", s->vm_state_bytes);
    json_object_set_int_member(o, "date-sec", s->date_s);
    json_object_set_int_member(o, "date-nsec", s->date_ns);
    json_object_set_int_member(o, "vm-clock-sec", s->vm_clock_ns / SECOND);
    json_object_set_int_member(o, "vm-clock-nsec", s->vm_clock_ns % SECOND);
    if (s->icount != UINT64_MAX)
        json_object_set_int_member(o, "icount", s->icount);
    return o;
}

static bool internal_delete(MonitorCall *call, GError **err)
{
    NodePlace at;
    const char *id = arg_text(call, "id"), *name = arg_text(call, "name");
    g_autoptr(GArray) list = snapshots_of(call, &at, err);
    if (!list)
        return false;
    if (!id && !name)
        return error_set(err, ERR_INVALID, "Name or id must be provided");
    int found = find_snapshot(list, id, name);
    if (found < 0)
        return error_set(err, ERR_NOT_FOUND, "Snapshot with id '%s' and name '%s' does not exist on device '%s'", id ? id : "", name ? name : "", arg_text(call, "device"));
    const BlkSnapshot *s = &g_array_index(list, BlkSnapshot, found);
    return blk_snapshot_delete_live(at.root, s->id, err) && return_object(call, snapshot_info(s));
}

static bool print_snapshots(const char *drive, BlkNode *root, GString *out)
{
    g_autoptr(GArray) list = blk_snapshot_list(root, NULL);
    for (unsigned i = 0; list && i < list->len; i++) {
        const BlkSnapshot *s = &g_array_index(list, BlkSnapshot, i);
        g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(s->date_s);
        g_autofree char *text = date ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S") : g_strdup("");
        g_string_append_printf(out, "%s: %s %s, %s, state of the machine: %" G_GUINT64_FORMAT " bytes\n", drive, s->id, s->name, text, s->vm_state_bytes);
    }
    return list && list->len;
}

typedef struct Shown {
    GString *out;
    bool any;
} Shown;

static void add_snapshots(const char *id, void *backend, Device *holder, void *opaque)
{
    Shown *shown = opaque;
    shown->any |= print_snapshots(id, backend, shown->out);
}

static bool info_snapshots(MonitorCall *call, GError **err)
{
    Shown shown = { call->out, false };
    machine_each_backend(call->vm->machine, BACKEND_DRIVE, add_snapshots, &shown);
    if (!shown.any)
        g_string_append(call->out, "There is no snapshot available.\n");
    return true;
}

const MonitorCommand snapshot_commands[] = {
    { "blockdev-snapshot-sync", NULL, "BlockdevSnapshotSync", .doc = "put a new image over a disk: writes go there", .run = snapshot_sync },
    { NULL, "snapshot_blkdev", .line_args = "device: str, snapshot-file: str, ?format: str, ?reuse: bool", .doc = "put a new image over a disk: writes go there; reuse: a file that is there", .text = snapshot_line },
    { "blockdev-snapshot-internal-sync", NULL, "BlockdevSnapshotInternal", .doc = "keep in its image what a disk is now", .run = internal_sync },
    { NULL, "snapshot_blkdev_internal", .line_args = "device: str, name: str", .doc = "keep in its image what a disk is now", .text = internal_sync },
    { "blockdev-snapshot-delete-internal-sync", "snapshot_delete_blkdev_internal", "device: str, ?id: str, ?name: str", "SnapshotInfo", .line_args = "device: str, name: str, ?id: str",
      .doc = "forget what an image has kept", .run = internal_delete },
    { NULL, "info snapshots", .doc = "what images have kept of earlier", .text = info_snapshots },
    { NULL },
};
