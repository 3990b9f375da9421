/* commands_device.c - devices that come and go while the machine is there. */
#include "machine/bus.h"
#include "vmm/migration/migration.h"
#include "vmm/monitor/qom.h"
#include "vmm/nodes.h"

static char *json_text(JsonObject *o)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), o);
    return json_to_string(node, FALSE);
}

/* Before the first start as from the command line; afterwards the guest is told. */
static bool plug(Vm *vm, Device *d, const DeviceConfig *c, GError **err)
{
    bool cold = vm->status == VM_PRELAUNCH || vm->status == VM_INMIGRATE;
    return cold ? board_plug(vm->board, d, c->bus, c->addr, err) : device_hotplug(d, c->bus, c->addr, err);
}

/* A node may be another drive's by now, or closed. */
static bool name_drive(Vm *vm, DeviceConfig *c, GError **err)
{
    for (char **p = c->props; p && p[0]; p += 2) {
        char *drive = g_str_equal(p[0], "drive") ? vm_node_drive(vm, p[1], err) : NULL;
        if (!drive && g_str_equal(p[0], "drive"))
            return false;
        if (drive) {
            g_free(p[1]);
            p[1] = drive;
        }
    }
    return true;
}

static bool add(Vm *vm, const char *text, GError **err)
{
    DeviceConfig c = { 0 };
    Device *d = NULL;
    bool ok = migration_allows(vm, "device_add", err) && config_device_read(vm->config, text, &c, err) && name_drive(vm, &c, err) && (d = device_new(vm->machine, c.type, c.id, (const char *const *)c.props, err)) &&
              plug(vm, d, &c, err);
    if (!ok)
        device_destroy(d);
    config_device_clear(&c);
    return ok;
}

static bool device_add(MonitorCall *call, GError **err)
{
    g_autofree char *text = json_text(call->args);
    return add(call->vm, text, err);
}

static bool device_add_line(MonitorCall *call, GError **err) { return add(call->vm, arg_text(call, "device"), err); }

static bool device_del(MonitorCall *call, GError **err)
{
    QomNode node;
    const char *id = arg_text(call, "id");
    if (!migration_allows(call->vm, "device_del", err))
        return false;
    if (!qom_find(call->vm, id, &node, err))
        return false;
    if (!node.device)
        return error_set(err, ERR_INVALID, "'%s' is not a device that can be taken out", id);
    return device_unplug_request(node.device, err);
}

void vm_device_gone(Vm *vm, Device *d)
{
    JsonObject *data = json_object_new();
    g_autofree char *path = qom_device_path(d);
    if (d->id)
        json_object_set_string_member(data, "device", d->id);
    json_object_set_string_member(data, "path", path);
    device_unplug(d);
    monitors_event(vm, "DEVICE_DELETED", data);
}

const MonitorCommand device_commands[] = {
    { "device_add", "device_add", "DeviceAdd", .line_args = "device: rest", .features = "json-cli json-cli-hotplug", .doc = "plug a device in", .run = device_add,
      .text = device_add_line },
    { "device_del", "device_del", "id: str", .doc = "ask the guest to let go of a device", .run = device_del },
    { NULL },
};
