/* commands_media.c - trays and what lies in them. */
#include "devices/storage/medium.h"

#include "vmm/monitor/qom.h"
#include "vmm/nodes.h"

/* ---- the drive that is meant: by its own id, or by that of the image in it */

typedef struct Search {
    const char *drive;
    Device *found;
} Search;

static void compare(const char *id, void *backend, Device *holder, void *opaque)
{
    Search *s = opaque;
    if (g_str_equal(id, s->drive))
        s->found = holder;
}

static Device *holder_of(Vm *vm, const char *drive)
{
    Search s = { .drive = drive };
    QomNode node;
    machine_each_backend(vm->machine, BACKEND_DRIVE, compare, &s);
    return s.found ? s.found : qom_find(vm, drive, &node, NULL) ? node.device : NULL;
}

static Device *find_drive(MonitorCall *call, MediumInfo *info, GError **err)
{
    const char *id = arg_text(call, "id"), *drive = arg_text(call, "device"), *name = id ? id : drive;
    QomNode node = { 0 };
    if (!id == !drive) {
        error_set(err, ERR_INVALID, "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    Device *d = drive ? holder_of(call->vm, drive) : qom_find(call->vm, id, &node, NULL) ? node.device : NULL;
    if (!d)
        error_set(err, ERR_NOT_FOUND, "Device '%s' not found", name);
    else if (!medium_info(d, info))
        error_set(err, ERR_UNSUPPORTED, "Device '%s' (%s) is not removable", name, d->type->name);
    else
        return d;
    return NULL;
}

/* ---- trays: a device tells of each movement itself (MachineListener.tray_moved) */

/* A locked tray: the guest was asked, and DEVICE_TRAY_MOVED follows if it lets go. */
static bool open_tray(MonitorCall *call, GError **err)
{
    MediumInfo info;
    g_autoptr(GError) why = NULL;
    bool force = arg_bool(call, "force", false);
    Device *d = find_drive(call, &info, err);
    if (!d || medium_open_tray(d, force, &why) || (info.locked && !force))
        return d;
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

static bool close_tray(MonitorCall *call, GError **err)
{
    MediumInfo info;
    Device *d = find_drive(call, &info, err);
    return d && medium_close_tray(d, err);
}

/* ---- media */

static bool remove_medium(MonitorCall *call, GError **err)
{
    MediumInfo info;
    Device *d = find_drive(call, &info, err);
    return d && medium_remove(d, NULL, err);
}

static bool insert_medium(MonitorCall *call, GError **err)
{
    MediumInfo info;
    Device *d = find_drive(call, &info, err);
    g_autofree char *drive = d ? vm_node_drive(call->vm, arg_text(call, "node-name"), err) : NULL;
    return drive && medium_insert(d, drive, err);
}

/* An image that only its drive has known goes with its medium. */
static bool take_out(Vm *vm, Device *d, GError **err)
{
    g_autofree char *drive = NULL;
    if (!medium_remove(d, &drive, err))
        return false;
    if (drive)
        vm_forget_drive(vm, drive);
    return true;
}

static bool eject(MonitorCall *call, GError **err)
{
    MediumInfo info;
    Device *d = find_drive(call, &info, err);
    return d && medium_open_tray(d, arg_bool(call, "force", false), err) && take_out(call->vm, d, err);
}

static bool change_medium(MonitorCall *call, GError **err)
{
    MediumInfo info;
    Device *d = find_drive(call, &info, err);
    bool force = arg_bool(call, "force", false), read_only = g_strcmp0(arg_text(call, "read-only-mode"), "read-write") != 0;
    g_autofree char *drive = d ? vm_open_medium(call->vm, arg_text(call, "filename"), arg_text(call, "format"), read_only, err) : NULL;
    if (!drive)
        return false;
    if (medium_open_tray(d, force, err) && take_out(call->vm, d, err) && medium_insert(d, drive, err))
        return medium_close_tray(d, err);
    vm_forget_drive(call->vm, drive);
    return false;
}

void vm_tray_moved(Vm *vm, Device *d)
{
    MediumInfo info;
    JsonObject *data = json_object_new();
    g_autofree char *path = d->id ? g_strdup(d->id) : qom_device_path(d);
    if (!medium_info(d, &info)) {
        json_object_unref(data);
        return;
    }
    json_object_set_string_member(data, "device", "");
    json_object_set_string_member(data, "id", path);
    json_object_set_boolean_member(data, "tray-open", info.tray_open);
    monitors_event(vm, "DEVICE_TRAY_MOVED", data);
}

const MonitorCommand media_commands[] = {
    { "blockdev-open-tray", NULL, "?device: str, ?id: str, ?force: bool", .doc = "open a drive's tray, or ask the guest to", .run = open_tray },
    { "blockdev-close-tray", NULL, "?device: str, ?id: str", .doc = "close a drive's tray", .run = close_tray },
    { "blockdev-remove-medium", NULL, "id: str", .doc = "take what lies in an open tray", .run = remove_medium },
    { "blockdev-insert-medium", NULL, "id: str, node-name: str", .doc = "lay an image into an open tray", .run = insert_medium },
    { "blockdev-change-medium", NULL, "?device: str, ?id: str, filename: str, ?format: str, ?force: bool, ?read-only-mode: BlockdevChangeReadOnlyMode",
      .doc = "open the tray, lay a file in, close it", .run = change_medium },
    { "eject", "eject", "?device: str, ?id: str, ?force: bool", .line_args = "device: str, ?force: bool", .doc = "open the tray and take out what lies in it", .run = eject },
    { NULL, "change", "device: str, filename: str, ?format: str", .doc = "lay another file into a drive", .text = change_medium },
    { NULL },
};
