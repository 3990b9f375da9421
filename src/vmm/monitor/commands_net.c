/* commands_net.c - network cards and the host's ends of them. */
#include <string.h>

#include "vmm/monitor/command.h"
#include "vmm/net.h"

/* Descriptors are said by the names that getfd gave them; what is said is the host end's from now on. */
static bool number_descriptors(MonitorCall *call, GError **err)
{
    static const char *const keys[] = { "fd", "fds", "vhostfd", "vhostfds" };
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        JsonNode *node = json_object_get_member(call->args, keys[i]);
        if (!node || json_node_get_value_type(node) != G_TYPE_STRING)
            continue;
        g_autofree char *numbers = monitor_descriptor_numbers(call->monitor, json_node_get_string(node), err);
        if (!numbers)
            return false;
        json_object_set_string_member(call->args, keys[i], numbers);
    }
    return true;
}

static bool netdev_add(MonitorCall *call, GError **err)
{
    if (!number_descriptors(call, err))
        return false;
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), call->args);
    g_autofree char *text = json_to_string(node, FALSE);
    return vm_add_net(call->vm, text, err);
}

static bool netdev_add_line(MonitorCall *call, GError **err) { return vm_add_net(call->vm, arg_text(call, "netdev"), err); }

static bool netdev_del(MonitorCall *call, GError **err) { return vm_remove_net(call->vm, arg_text(call, "id"), err); }

/* ---- a cable, by the name of either end */

typedef struct Search {
    const char *name;
    HostNet *found;
} Search;

static void compare(const char *id, void *backend, Device *holder, void *opaque)
{
    Search *s = opaque;
    if (g_str_equal(id, s->name) || (holder && (g_strcmp0(holder->id, s->name) == 0 || g_str_equal(holder->path, s->name))))
        s->found = backend;
}

static bool set_link(MonitorCall *call, GError **err)
{
    Search s = { .name = arg_text(call, "name") };
    machine_each_backend(call->vm->machine, BACKEND_NETDEV, compare, &s);
    if (!s.found)
        return error_set(err, ERR_NOT_FOUND, "Device '%s' not found", s.name);
    hostnet_set_link(s.found, arg_bool(call, "up", true));
    return true;
}

static void print_net(const char *id, void *backend, Device *holder, void *out)
{
    HostNetStats s;
    hostnet_stats(backend, &s);
    if (holder)
        g_string_append_printf(out, "%s: type=nic,model=%s\n \\ ", holder->id ? holder->id : holder->path, holder->type->name);
    g_string_append_printf(out, "%s: type=%s,%s%s\n", id, hostnet_kind(backend), hostnet_description(backend), hostnet_link(backend) ? "" : ",link down");
    g_string_append_printf(out, "     guest to host: %" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT " lost; host to guest: %" G_GUINT64_FORMAT
                           " frames, %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT " lost\n",
                           s.tx_frames, s.tx_bytes, s.tx_dropped, s.rx_frames, s.rx_bytes, s.rx_dropped);
}

static bool info_network(MonitorCall *call, GError **err)
{
    machine_each_backend(call->vm->machine, BACKEND_NETDEV, print_net, call->out);
    return true;
}

const MonitorCommand net_commands[] = {
    { "netdev_add", "netdev_add", "Netdev", .line_args = "netdev: rest", .doc = "a host end for a network card", .run = netdev_add, .text = netdev_add_line },
    { "netdev_del", "netdev_del", "id: str", .doc = "take a host end away", .run = netdev_del },
    { "set_link", "set_link", "name: str, up: bool", .doc = "plug a network card's cable in or out", .run = set_link },
    { NULL, "info network", .doc = "network cards and their host ends", .text = info_network },
    { NULL },
};
