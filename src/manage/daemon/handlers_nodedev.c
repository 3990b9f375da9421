/* handlers_nodedev.c - the host's devices and interfaces, as they are. */
#include <string.h>

#include "manage/daemon/daemon_inside.h"
#include "manage/daemon/host_devices.h"

/* virConnectListAllNodeDeviceFlags of our kinds; virConnectListAllInterfacesFlags. */
static const unsigned kind_bits[] = { [NODE_SYSTEM] = 1 << 0, [NODE_PCI] = 1 << 1, [NODE_USB] = 1 << 2, [NODE_NET] = 1 << 4, [NODE_STORAGE] = 1 << 8 };
enum { DEVICES_INACTIVE = 1 << 30, INTERFACES_INACTIVE = 1, INTERFACES_ACTIVE = 2 };
#define DEVICES_ACTIVE (1u << 31)

static GPtrArray *devices_of(const Realm *r)
{
    GPtrArray *all = host_devices();
    if (r->in_memory) /* it has a computer, and nothing in it */
        g_ptr_array_set_size(all, 1);
    return all;
}

/* ---- devices */
static bool is_listed(const NodeDevice *d, unsigned flags)
{
    unsigned kinds = flags & ~(DEVICES_ACTIVE | DEVICES_INACTIVE);
    return (!kinds || (kinds & kind_bits[d->kind])) && (!(flags & DEVICES_INACTIVE) || (flags & DEVICES_ACTIVE));
}

static void list_all(Client *c, RpcCall *call, GVariant *args)
{
    int wanted;
    guint flags, found = 0;
    g_variant_get(args, "(iu)", &wanted, &flags);
    g_autoptr(GPtrArray) all = devices_of(c->realm);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; i < all->len; i++) {
        const NodeDevice *d = all->pdata[i];
        if (!is_listed(d, flags))
            continue;
        if (wanted)
            g_variant_builder_add(&b, "s", d->name);
        found++;
    }
    rpc_reply(call, g_variant_new("(asu)", &b, found));
}

/* NODE_NUM_OF_DEVICES (capability or nothing, flags), NODE_LIST_DEVICES (capability, most, flags). */
static bool has_capability(const NodeDevice *d, const char *kind) { return !kind || !strcmp(node_device_kinds[d->kind - 1], kind); }

static void count(Client *c, RpcCall *call, GVariant *args)
{
    const char *kind;
    int found = 0;
    g_variant_get(args, "(m&su)", &kind, NULL);
    g_autoptr(GPtrArray) all = devices_of(c->realm);
    for (guint i = 0; i < all->len; i++)
        found += has_capability(all->pdata[i], kind);
    rpc_reply(call, g_variant_new("(i)", found));
}

static void list_names(Client *c, RpcCall *call, GVariant *args)
{
    const char *kind;
    int most;
    g_variant_get(args, "(m&siu)", &kind, &most, NULL);
    g_autoptr(GPtrArray) all = devices_of(c->realm);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; i < all->len && most > 0; i++)
        if (has_capability(all->pdata[i], kind)) {
            g_variant_builder_add(&b, "s", ((NodeDevice *)all->pdata[i])->name);
            most--;
        }
    rpc_reply(call, g_variant_new("(as)", &b));
}

/* The device that the call's first argument names, in its list; NULL: answered with an error. */
static const NodeDevice *device_of_call(Client *c, RpcCall *call, GVariant *args, GPtrArray **ret_all)
{
    const char *name;
    g_variant_get_child(args, 0, "&s", &name);
    *ret_all = devices_of(c->realm);
    for (guint i = 0; i < (*ret_all)->len; i++)
        if (!strcmp(((NodeDevice *)(*ret_all)->pdata[i])->name, name))
            return (*ret_all)->pdata[i];
    rpc_fail(call, RPC_ERR_NO_NODE_DEVICE, "no node device with matching name '%s'", name);
    return NULL;
}

static void device_question(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GPtrArray) all = NULL;
    const NodeDevice *d = device_of_call(c, call, args, &all);
    const char *name = rpc_call_procedure(call)->name;
    if (!d)
        return;
    g_autofree char *xml = record_write_xml(d, 0);
    if (!strcmp(name, "NODE_DEVICE_LOOKUP_BY_NAME"))
        rpc_reply(call, g_variant_new("(s)", d->name));
    else if (!strcmp(name, "NODE_DEVICE_GET_XML_DESC"))
        rpc_reply(call, g_variant_new("(s)", xml));
    else if (!strcmp(name, "NODE_DEVICE_GET_PARENT"))
        rpc_reply(call, g_variant_new("(ms)", d->parent));
    else if (!strcmp(name, "NODE_DEVICE_LIST_CAPS"))
        rpc_reply(call, g_variant_new("(@as)", g_variant_new_strv(&node_device_kinds[d->kind - 1], 1)));
    else if (!strcmp(name, "NODE_DEVICE_GET_AUTOSTART"))
        rpc_reply(call, g_variant_new("(i)", 0));
    else
        rpc_reply(call, g_variant_new("(i)", 1)); /* it is there: active; one capability */
}

/* ---- interfaces */
static bool interface_up(const HostInterface *n) { return !n->link || strcmp(n->link, "down"); }

static void list_interfaces(Client *c, RpcCall *call, GVariant *args)
{
    int wanted;
    guint flags, found = 0;
    g_variant_get(args, "(iu)", &wanted, &flags);
    g_autoptr(GPtrArray) all = host_interfaces();
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(ss)"));
    for (guint i = 0; i < all->len && !c->realm->in_memory; i++) {
        const HostInterface *n = all->pdata[i];
        if (flags && !(flags & (interface_up(n) ? INTERFACES_ACTIVE : INTERFACES_INACTIVE)))
            continue;
        if (wanted)
            g_variant_builder_add(&b, "(ss)", n->name, n->mac ? n->mac : "");
        found++;
    }
    rpc_reply(call, g_variant_new("(a(ss)u)", &b, found));
}

/* Those that are up: others are in no configuration that is known here. */
static void count_interfaces(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GPtrArray) all = host_interfaces();
    int n = 0;
    for (guint i = 0; i < all->len && !c->realm->in_memory; i++)
        n += interface_up(all->pdata[i]);
    rpc_reply(call, g_variant_new("(i)", n));
}

static void name_interfaces(Client *c, RpcCall *call, GVariant *args)
{
    int most;
    g_variant_get(args, "(i)", &most);
    g_autoptr(GPtrArray) all = host_interfaces();
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; i < all->len && !c->realm->in_memory && most > 0; i++)
        if (interface_up(all->pdata[i])) {
            g_variant_builder_add(&b, "s", ((HostInterface *)all->pdata[i])->name);
            most--;
        }
    rpc_reply(call, g_variant_new("(as)", &b));
}

static const HostInterface *find_interface(const GPtrArray *all, const char *key, bool by_mac)
{
    for (guint i = 0; i < all->len; i++) {
        const HostInterface *n = all->pdata[i];
        if (!g_strcmp0(by_mac ? n->mac : n->name, key))
            return n;
    }
    return NULL;
}

static void interface_question(Client *c, RpcCall *call, GVariant *args)
{
    const char *key, *name = rpc_call_procedure(call)->name;
    g_autoptr(GPtrArray) all = host_interfaces();
    g_autoptr(GVariant) first = g_variant_get_child_value(args, 0);
    if (g_variant_is_container(first))
        g_variant_get(first, "(&s&s)", &key, NULL);
    else
        key = g_variant_get_string(first, NULL);
    const HostInterface *n = c->realm->in_memory ? NULL : find_interface(all, key, !strcmp(name, "INTERFACE_LOOKUP_BY_MAC_STRING"));
    g_autofree char *xml = n ? record_write_xml(n, 0) : NULL;
    if (!n)
        rpc_fail(call, RPC_ERR_NO_INTERFACE, "the host has no interface '%s'", key);
    else if (!strcmp(name, "INTERFACE_GET_XML_DESC"))
        rpc_reply(call, g_variant_new("(s)", xml));
    else if (!strcmp(name, "INTERFACE_IS_ACTIVE"))
        rpc_reply(call, g_variant_new("(i)", interface_up(n)));
    else
        rpc_reply(call, g_variant_new("((ss))", n->name, n->mac ? n->mac : ""));
}

const Handler nodedev_handlers[] = {
    { "CONNECT_LIST_ALL_NODE_DEVICES", list_all },
    { "NODE_NUM_OF_DEVICES", count },
    { "NODE_LIST_DEVICES", list_names },
    { "NODE_DEVICE_LOOKUP_BY_NAME", device_question },
    { "NODE_DEVICE_GET_XML_DESC", device_question },
    { "NODE_DEVICE_GET_PARENT", device_question },
    { "NODE_DEVICE_NUM_OF_CAPS", device_question },
    { "NODE_DEVICE_LIST_CAPS", device_question },
    { "NODE_DEVICE_IS_ACTIVE", device_question },
    { "NODE_DEVICE_IS_PERSISTENT", device_question },
    { "NODE_DEVICE_GET_AUTOSTART", device_question },
    { "CONNECT_LIST_ALL_INTERFACES", list_interfaces },
    { "CONNECT_NUM_OF_INTERFACES", count_interfaces },
    { "CONNECT_LIST_INTERFACES", name_interfaces },
    { "INTERFACE_LOOKUP_BY_NAME", interface_question },
    { "INTERFACE_LOOKUP_BY_MAC_STRING", interface_question },
    { "INTERFACE_GET_XML_DESC", interface_question },
    { "INTERFACE_IS_ACTIVE", interface_question },
    { NULL },
};
