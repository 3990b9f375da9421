/* handlers_network.c - what is asked of networks. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/listing.h"
#include "manage/daemon/net.h"
#include "manage/daemon/task.h"

enum { LIST_INACTIVE = 1, LIST_ACTIVE = 2, LIST_PERSISTENT = 4, LIST_TRANSIENT = 8, LIST_AUTOSTART = 16, LIST_NO_AUTOSTART = 32 };
enum { XML_INACTIVE = 1 };

/* ---- lists */
static unsigned list_flags(const void *object, unsigned wanted)
{
    const ManagedNetwork *n = object;
    return (n->active ? LIST_ACTIVE : LIST_INACTIVE) | (n->persistent ? LIST_PERSISTENT : LIST_TRANSIENT) | (n->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART);
}

static GHashTable *all(const Realm *r) { return r->networks; }
static const char *name_of(const void *network) { return ((const ManagedNetwork *)network)->def->name; }
static GVariant *handle_of(const void *network) { return network_handle(network); }

static const Listing networks = {
    .handle_type = "(ss)", .missing = RPC_ERR_NO_NETWORK, .missing_text = "Network not found: no network with matching %s '%s'",
    .groups = (const unsigned[]){ LIST_ACTIVE | LIST_INACTIVE, LIST_PERSISTENT | LIST_TRANSIENT, LIST_AUTOSTART | LIST_NO_AUTOSTART, 0 },
    .all = all, .flags = list_flags, .key = name_of, .handle = handle_of,
};

static void list_all(Client *c, RpcCall *call, GVariant *args) { listing_reply_all(&networks, c, call, args); }
static void names_active(Client *c, RpcCall *call, GVariant *args) { listing_reply_keys(&networks, c, call, args, LIST_ACTIVE); }
static void names_inactive(Client *c, RpcCall *call, GVariant *args) { listing_reply_keys(&networks, c, call, args, LIST_INACTIVE); }
static void num_active(Client *c, RpcCall *call, GVariant *args) { listing_reply_count(&networks, c, call, LIST_ACTIVE); }
static void num_inactive(Client *c, RpcCall *call, GVariant *args) { listing_reply_count(&networks, c, call, LIST_INACTIVE); }

/* ---- networks */
static ManagedNetwork *of_call(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_autoptr(GVariant) h = g_variant_get_child_value(args, 0);
    g_variant_get(h, "(&s&s)", &name, NULL);
    ManagedNetwork *n = network_by_name(c->realm, name);
    if (!n)
        listing_fail(&networks, call, "name", name);
    return n;
}

static void lookup_name(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_variant_get(args, "(&s)", &name);
    listing_reply_one(&networks, call, network_by_name(c->realm, name), "name", name);
}

static void lookup_uuid(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_variant_get(args, "(&s)", &uuid);
    listing_reply_one(&networks, call, network_by_uuid(c->realm, uuid), "uuid", uuid);
}

static void define_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_autoptr(GError) err = NULL;
    g_variant_get_child(args, 0, "&s", &xml);
    ManagedNetwork *n = network_define(c->realm, xml, true, &err);
    if (!n) {
        reply_bad_xml(call, err);
        return;
    }
    network_event(n, NETWORK_DEFINED);
    rpc_reply(call, g_variant_new("(@(ss))", network_handle(n)));
}

static void create_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_autoptr(GError) err = NULL;
    g_variant_get_child(args, 0, "&s", &xml);
    ManagedNetwork *n = network_define(c->realm, xml, false, &err);
    if (n)
        network_job(n, true, true, call);
    else
        reply_bad_xml(call, err);
}

static void start(Client *c, RpcCall *call, GVariant *args)
{
    ManagedNetwork *n = of_call(c, call, args);
    if (n)
        network_job(n, true, false, call);
}

static void stop(Client *c, RpcCall *call, GVariant *args)
{
    ManagedNetwork *n = of_call(c, call, args);
    if (n)
        network_job(n, false, false, call);
}

static void undefine(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GError) err = NULL;
    ManagedNetwork *n = of_call(c, call, args);
    if (!n)
        return;
    network_undefine(n, &err);
    reply_error(call, err);
}

static void get_xml(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedNetwork *n = of_call(c, call, args);
    if (!n)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    g_autofree char *xml = record_write_xml((flags & XML_INACTIVE) && n->next ? n->next : n->def, 0);
    rpc_reply(call, g_variant_new("(s)", xml));
}

static void get_bridge(Client *c, RpcCall *call, GVariant *args)
{
    ManagedNetwork *n = of_call(c, call, args);
    if (n && n->def->bridge)
        rpc_reply(call, g_variant_new("(s)", n->def->bridge));
    else if (n)
        rpc_fail(call, RPC_ERR_INTERNAL, "network '%s' does not have a bridge name", n->def->name);
}

static void reply_int(Client *c, RpcCall *call, GVariant *args, int (*f)(const ManagedNetwork *n))
{
    ManagedNetwork *n = of_call(c, call, args);
    if (n)
        rpc_reply(call, g_variant_new("(i)", f(n)));
}

static int active_of(const ManagedNetwork *n) { return n->active; }
static int persistent_of(const ManagedNetwork *n) { return n->persistent; }
static int autostart_of(const ManagedNetwork *n) { return n->autostart; }
static void is_active(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, active_of); }
static void is_persistent(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, persistent_of); }
static void get_autostart(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, autostart_of); }

static void set_autostart(Client *c, RpcCall *call, GVariant *args)
{
    int on;
    g_autoptr(GError) err = NULL;
    ManagedNetwork *n = of_call(c, call, args);
    if (!n)
        return;
    g_variant_get_child(args, 1, "i", &on);
    network_set_autostart(n, on, &err);
    reply_error(call, err);
}

/* iface, expiry, type (0: IPv4), MAC, iaid, address, prefix, hostname, client id */
static void get_leases(Client *c, RpcCall *call, GVariant *args)
{
    const char *mac;
    ManagedNetwork *n = of_call(c, call, args);
    if (!n)
        return;
    g_variant_get_child(args, 1, "m&s", &mac);
    unsigned prefix = 24;
    g_autofree char *folder = networks_folder(n->realm->daemon), *net = n->def->ips ? net_of(n->def->ips->pdata[0], &prefix, NULL) : NULL;
    g_autoptr(GPtrArray) leases = net_leases(folder, n->def->bridge ? n->def->bridge : "");
    GVariantBuilder b;
    guint found = 0;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sximsmssumsms)"));
    for (guint i = 0; i < leases->len; i++) {
        const Lease *l = leases->pdata[i];
        if (mac && g_ascii_strcasecmp(mac, l->mac))
            continue;
        g_variant_builder_add(&b, "(sximsmssumsms)", n->def->bridge, l->expiry, strchr(l->ip, ':') ? 1 : 0, l->mac, NULL, l->ip, prefix, l->hostname, l->client_id);
        found++;
    }
    rpc_reply(call, g_variant_new("(a(sximsmssumsms)u)", &b, found));
}

static void update(Client *c, RpcCall *call, GVariant *args)
{
    guint command, section, flags;
    int parent;
    const char *xml;
    ManagedNetwork *n = of_call(c, call, args);
    if (!n)
        return;
    g_variant_get(args, "(@(ss)uui&su)", NULL, &command, &section, &parent, &xml, &flags);
    network_update(n, command, section, parent, xml, flags, call);
}

static void list_ports(Client *c, RpcCall *call, GVariant *args)
{
    if (of_call(c, call, args))
        rpc_reply(call, g_variant_new("(@a((ss)s)u)", g_variant_new_array(G_VARIANT_TYPE("((ss)s)"), NULL, 0), 0));
}

const Handler network_handlers[] = {
    { "NETWORK_UPDATE", update },
    { "NETWORK_LIST_ALL_PORTS", list_ports },
    { "CONNECT_LIST_ALL_NETWORKS", list_all },
    { "CONNECT_LIST_NETWORKS", names_active },
    { "CONNECT_LIST_DEFINED_NETWORKS", names_inactive },
    { "CONNECT_NUM_OF_NETWORKS", num_active },
    { "CONNECT_NUM_OF_DEFINED_NETWORKS", num_inactive },
    { "NETWORK_LOOKUP_BY_NAME", lookup_name },
    { "NETWORK_LOOKUP_BY_UUID", lookup_uuid },
    { "NETWORK_DEFINE_XML", define_xml },
    { "NETWORK_DEFINE_XML_FLAGS", define_xml },
    { "NETWORK_CREATE_XML", create_xml },
    { "NETWORK_CREATE_XML_FLAGS", create_xml },
    { "NETWORK_CREATE", start },
    { "NETWORK_DESTROY", stop },
    { "NETWORK_UNDEFINE", undefine },
    { "NETWORK_GET_XML_DESC", get_xml },
    { "NETWORK_GET_BRIDGE_NAME", get_bridge },
    { "NETWORK_IS_ACTIVE", is_active },
    { "NETWORK_IS_PERSISTENT", is_persistent },
    { "NETWORK_GET_AUTOSTART", get_autostart },
    { "NETWORK_SET_AUTOSTART", set_autostart },
    { "NETWORK_GET_DHCP_LEASES", get_leases },
    { NULL },
};
