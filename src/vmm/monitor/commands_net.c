/* commands_net.c - network cards and the host's ends of them. */
#include <string.h>

#include "devices/net/virtio_net.h"
#include "vmm/monitor/qom.h"
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

/* ---- which frames the guest wants */

void monitors_filter_changed(Vm *vm, const Device *d)
{
    JsonObject *data = json_object_new();
    g_autofree char *path = qom_device_path(d);
    if (d->id)
        json_object_set_string_member(data, "name", d->id);
    json_object_set_string_member(data, "path", path);
    monitors_event(vm, "NIC_RX_FILTER_CHANGED", data);
}

static char *mac_text(const uint8_t *mac) { return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]); }

static JsonArray *mac_list(const uint8_t *table, unsigned n)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *text = mac_text(table + i * MAC_BYTES);
        json_array_add_string_element(a, text);
    }
    return a;
}

static JsonArray *vlan_list(const NetFilter *f)
{
    JsonArray *a = json_array_new();
    for (unsigned id = 0; id < 4096; id++)
        if (f->vlans[id / 32] >> id % 32 & 1)
            json_array_add_int_element(a, id);
    return a;
}

static const char *state(bool none, bool all) { return none ? "none" : all ? "all" : "normal"; }

/* RxFilterInfo; NULL: the card has no such filter. */
static JsonObject *filter_info(Device *d)
{
    NetFilter f;
    uint8_t mac[MAC_BYTES];
    bool vlan;
    if (!virtio_net_query_filter(d, &f, mac, &vlan))
        return NULL;
    JsonObject *o = json_object_new();
    JsonArray *vlans = vlan_list(&f);
    g_autofree char *main_mac = mac_text(mac);
    json_object_set_string_member(o, "name", d->id ? d->id : d->path);
    json_object_set_boolean_member(o, "promiscuous", f.promiscuous);
    json_object_set_string_member(o, "multicast", state(f.no_multicast, f.all_multicast));
    json_object_set_string_member(o, "unicast", state(f.no_unicast, f.all_unicast));
    json_object_set_string_member(o, "vlan", state(vlan && !json_array_get_length(vlans), !vlan));
    json_object_set_boolean_member(o, "broadcast-allowed", !f.no_broadcast);
    json_object_set_boolean_member(o, "multicast-overflow", f.many_multicast);
    json_object_set_boolean_member(o, "unicast-overflow", f.many_unicast);
    json_object_set_string_member(o, "main-mac", main_mac);
    json_object_set_array_member(o, "vlan-table", vlans);
    json_object_set_array_member(o, "unicast-table", mac_list(f.unicast, f.n_unicast));
    json_object_set_array_member(o, "multicast-table", mac_list(f.multicast, f.n_multicast));
    return o;
}

static bool is_named(const Device *d, const char *name) { return g_strcmp0(d->id, name) == 0 || g_str_equal(d->path, name); }

static bool query_rx_filter(MonitorCall *call, GError **err)
{
    const char *name = arg_text(call, "name");
    const GPtrArray *devices = call->vm->machine->devices;
    g_autoptr(JsonArray) a = json_array_new();
    bool found = !name;
    for (unsigned i = 0; i < devices->len; i++) {
        Device *d = devices->pdata[i];
        if (name && !is_named(d, name))
            continue;
        JsonObject *o = filter_info(d);
        if (name && !o)
            return error_set(err, ERR_UNSUPPORTED, "net client(%s) doesn't support rx-filter querying", name);
        if (o)
            json_array_add_object_element(a, o);
        found = true;
    }
    return found ? return_array(call, g_steal_pointer(&a)) : error_set(err, ERR_NOT_FOUND, "invalid net client name: %s", name);
}

const MonitorCommand net_commands[] = {
    { "query-rx-filter", "info rx-filter", "?name: str", "[RxFilterInfo]", .doc = "which frames the guest's network cards let through", .run = query_rx_filter },
    { "netdev_add", "netdev_add", "Netdev", .line_args = "netdev: rest", .doc = "a host end for a network card", .run = netdev_add, .text = netdev_add_line },
    { "netdev_del", "netdev_del", "id: str", .doc = "take a host end away", .run = netdev_del },
    { "set_link", "set_link", "name: str, up: bool", .doc = "plug a network card's cable in or out", .run = set_link },
    { NULL, "info network", .doc = "network cards and their host ends", .text = info_network },
    { NULL },
};
