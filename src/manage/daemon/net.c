/* net.c - networks: definitions, starting and stopping, taps of machines. */
#include "manage/daemon/net.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

enum { EVENT_DEFINED, EVENT_UNDEFINED, EVENT_STARTED, EVENT_STOPPED };
enum { LIST_INACTIVE = 1, LIST_ACTIVE = 2, LIST_PERSISTENT = 4, LIST_TRANSIENT = 8, LIST_AUTOSTART = 16, LIST_NO_AUTOSTART = 32 };

ManagedNetwork *network_ref(ManagedNetwork *n)
{
    g_atomic_ref_count_inc(&n->refs);
    return n;
}

void network_unref(ManagedNetwork *n)
{
    if (!g_atomic_ref_count_dec(&n->refs))
        return;
    record_free(n->def);
    g_free(n);
}

static ManagedNetwork *network_add(Realm *r, Network *def, bool persistent)
{
    ManagedNetwork *n = g_new0(ManagedNetwork, 1);
    g_atomic_ref_count_init(&n->refs);
    n->realm = r;
    n->def = def;
    n->persistent = persistent;
    n->lane = lane_new();
    g_hash_table_insert(r->networks, def->name, n);
    return n;
}

void network_remove(ManagedNetwork *n)
{
    if (n->gone)
        return;
    n->gone = true;
    lane_free(g_steal_pointer(&n->lane));
    g_hash_table_remove(n->realm->networks, n->def->name);
}

ManagedNetwork *network_by_name(const Realm *r, const char *name) { return g_hash_table_lookup(r->networks, name); }
char *networks_folder(const Daemon *d) { return g_build_filename(d->runtime_dir, "networks", NULL); }
static char *definitions_folder(const Realm *r) { return g_build_filename(r->daemon->config_dir, "networks", NULL); }
static char *autostart_folder(const Realm *r) { return g_build_filename(r->daemon->config_dir, "networks", "autostart", NULL); }

static ManagedNetwork *find(const Realm *r, const Network *like, bool (*same)(const Network *a, const Network *b))
{
    GHashTableIter i;
    gpointer n;
    g_hash_table_iter_init(&i, r->networks);
    while (g_hash_table_iter_next(&i, NULL, &n))
        if (same(((ManagedNetwork *)n)->def, like))
            return n;
    return NULL;
}

static bool same_uuid(const Network *a, const Network *b) { return !strcmp(a->uuid, b->uuid); }
static bool same_bridge(const Network *a, const Network *b) { return strcmp(a->name, b->name) && !g_strcmp0(a->bridge, b->bridge); }

/* ---- definitions */
static void pick_bridge(const Realm *r, Network *def)
{
    for (unsigned i = 0; !def->bridge; i++) {
        def->bridge = g_strdup_printf("virbr%u", i);
        if (find(r, def, same_bridge) || (!r->in_memory && interface_exists(def->bridge)))
            g_clear_pointer(&def->bridge, g_free);
    }
}

static void pick_mac(Network *def)
{
    if (!def->mac && def->forward < FORWARD_BRIDGE)
        def->mac = g_strdup_printf("52:54:00:%02x:%02x:%02x", g_random_int() & 0xff, g_random_int() & 0xff, g_random_int() & 0xff);
}

static Network *network_read(const Realm *r, const char *xml, GError **err)
{
    Network *def = record_read_xml(&network_type, xml, 0, NULL, err);
    ManagedNetwork *named = def ? network_by_name(r, def->name) : NULL;
    if (!def)
        return NULL;
    if (named && !strstr(xml, "<uuid>")) {
        g_free(def->uuid);
        def->uuid = g_strdup(named->def->uuid);
    }
    const ManagedNetwork *known = find(r, def, same_uuid), *bridge = def->bridge ? find(r, def, same_bridge) : NULL;
    bool ok = true;
    if (known && known != named)
        ok = rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "network '%s' is already defined with uuid %s", known->def->name, def->uuid);
    else if (named && named != known)
        ok = rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "network '%s' already exists with uuid %s", def->name, named->def->uuid);
    else if (bridge && def->forward < FORWARD_BRIDGE)
        ok = rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "bridge name '%s' is already in use by network '%s'", def->bridge, bridge->def->name);
    if (!ok) {
        record_free(def);
        return NULL;
    }
    if (def->forward < FORWARD_BRIDGE)
        pick_bridge(r, def);
    pick_mac(def);
    return def;
}

static ManagedNetwork *define(Realm *r, const char *xml, bool persistent, GError **err)
{
    Network *def = network_read(r, xml, err);
    ManagedNetwork *old = def ? network_by_name(r, def->name) : NULL;
    g_autofree char *folder = definitions_folder(r), *text = def ? record_write_xml(def, 0) : NULL;
    if (!def || (persistent && !r->in_memory && !store_write(folder, def->name, text, err))) {
        record_free(def);
        return NULL;
    }
    if (old && !old->active)
        network_remove(old), old = NULL;
    if (old) { /* the running one goes on as it is until its next start */
        record_free(def);
        return old;
    }
    return network_add(r, def, persistent);
}

static void load(const char *name, const char *text, void *opaque)
{
    Daemon *d = opaque;
    g_autoptr(GError) err = NULL;
    Network *def = network_read(d->machines, text, &err);
    if (!def) {
        g_warning("the definition of network '%s' cannot be read, and is left as it is: %s", name, err->message);
        return;
    }
    ManagedNetwork *n = network_add(d->machines, def, true);
    g_autofree char *folder = networks_folder(d), *record = g_build_filename(folder, name, NULL);
    n->active = g_file_test(record, G_FILE_TEST_EXISTS) && interface_exists(def->bridge);
}

/* ---- jobs */
typedef struct NetworkJob {
    ManagedNetwork *network;
    RpcCall *call;
    bool start, with_handle;
    NetPlan *plan;
} NetworkJob;

static GVariant *handle(const ManagedNetwork *n) { return g_variant_new("(ss)", n->def->name, n->def->uuid); }

static bool job_begin(Job *j, GError **err)
{
    NetworkJob *w = j->data;
    ManagedNetwork *n = w->network;
    g_autofree char *folder = networks_folder(n->realm->daemon);
    if (n->active == w->start)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, w->start ? "network '%s' is already active" : "network '%s' is not active", n->def->name);
    if (!n->realm->in_memory)
        w->plan = net_plan(n->def, folder, err);
    return n->realm->in_memory || w->plan;
}

static bool job_run(Job *j, GError **err)
{
    NetworkJob *w = j->data;
    if (!w->plan)
        return true;
    if (w->start)
        return net_apply(w->plan, err);
    net_undo(w->plan);
    return true;
}

/* The record says that the network was started: a later daemon takes it for active. */
static void keep_record(ManagedNetwork *n, bool there)
{
    g_autofree char *folder = networks_folder(n->realm->daemon), *path = g_build_filename(folder, n->def->name, NULL);
    if (n->realm->in_memory)
        return;
    g_mkdir_with_parents(folder, 0755);
    if (there)
        g_file_set_contents(path, "", 0, NULL);
    else
        remove(path);
}

static void job_done(Job *j, GError *err)
{
    NetworkJob *w = j->data;
    ManagedNetwork *n = w->network;
    if (!err && !n->gone) {
        n->active = w->start;
        keep_record(n, w->start);
        network_event(n, w->start ? EVENT_STARTED : EVENT_STOPPED);
    }
    if (w->call && err)
        rpc_fail_error(w->call, err);
    else if (w->call)
        rpc_reply(w->call, w->with_handle ? g_variant_new("(@(ss))", handle(n)) : NULL);
    else if (err)
        g_warning("network '%s' does not start: %s", n->def->name, err->message);
    if (!n->active && !n->persistent)
        network_remove(n);
    net_plan_free(w->plan);
    network_unref(n);
    g_free(w);
}

static void push(ManagedNetwork *n, bool start, bool with_handle, RpcCall *call)
{
    static const JobType type = { "network", job_begin, job_run, job_done };
    NetworkJob *w = g_new0(NetworkJob, 1);
    *w = (NetworkJob){ .network = network_ref(n), .call = call, .start = start, .with_handle = with_handle };
    lane_push(n->lane, &type, w);
}

static void load_autostart(const char *name, const char *text, void *opaque)
{
    ManagedNetwork *n = network_by_name(((Daemon *)opaque)->machines, name);
    if (!n)
        return;
    n->autostart = true;
    if (!n->active)
        push(n, true, false, NULL);
}

void networks_load(Daemon *d)
{
    g_autofree char *folder = definitions_folder(d->machines), *autostart = autostart_folder(d->machines);
    store_each(folder, load, d);
    store_each(autostart, load_autostart, d);
}

/* ---- events */
void network_event(ManagedNetwork *n, int event)
{
    const Procedure *row = procedure_named("NETWORK_EVENT_LIFECYCLE");
    GHashTableIter i;
    gpointer client;
    g_hash_table_iter_init(&i, n->realm->daemon->clients);
    while (g_hash_table_iter_next(&i, &client, NULL)) {
        Client *c = client;
        for (guint k = 0; c->realm == n->realm && c->subscriptions && k < c->subscriptions->len; k++) {
            const Subscription *s = &g_array_index(c->subscriptions, Subscription, k);
            if (s->class == SUBSCRIBE_NETWORK && s->event == 0)
                rpc_event(c->connection, row, g_variant_new("(i@(ss)ii)", s->callback, handle(n), event, 0));
        }
    }
}

/* ---- cards */
static void name_tap(Interface *i)
{
    if (i->target && !g_str_has_prefix(i->target, "vnet"))
        return;
    g_free(i->target);
    i->target = NULL;
    for (unsigned n = 0; !i->target; n++) {
        i->target = g_strdup_printf("vnet%u", n);
        if (interface_exists(i->target))
            g_clear_pointer(&i->target, g_free);
    }
}

bool network_prepare_cards(Realm *r, Domain *live, GError **err)
{
    const GPtrArray *list = live->devices->interfaces;
    for (guint k = 0; !r->in_memory && list && k < list->len; k++) {
        Interface *i = list->pdata[k];
        if (!i->mac)
            i->mac = g_strdup_printf("52:54:00:%02x:%02x:%02x", g_random_int() & 0xff, g_random_int() & 0xff, g_random_int() & 0xff);
        if (i->type == IF_NETWORK) {
            const ManagedNetwork *n = network_by_name(r, i->network);
            if (!n)
                return rpc_error_set(err, RPC_ERR_NO_NETWORK, "there is no network '%s', which a card of domain '%s' is in", i->network, live->name);
            if (!n->active)
                return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "network '%s' is not active: `net-start %s`", i->network, i->network);
            g_free(i->bridge);
            i->bridge = g_strdup(n->def->bridge);
        }
        if (i->bridge)
            name_tap(i);
    }
    return true;
}

static bool has_tap(const Interface *i) { return i->bridge && i->target; }

bool network_plug_cards(const Domain *live, GError **err)
{
    const GPtrArray *list = live->devices->interfaces;
    for (guint k = 0; list && k < list->len; k++) {
        const Interface *i = list->pdata[k];
        if (has_tap(i) && !tap_create(i->target, i->bridge, i->mtu == RECORD_NONE ? 0 : i->mtu, err)) {
            network_unplug_cards(live);
            return false;
        }
    }
    return true;
}

void network_unplug_cards(const Domain *live)
{
    const GPtrArray *list = live->devices->interfaces;
    for (guint k = 0; list && k < list->len; k++)
        if (has_tap(list->pdata[k]))
            tap_remove(((Interface *)list->pdata[k])->target);
}

/* ---- handlers */
static ManagedNetwork *of_call(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_autoptr(GVariant) h = g_variant_get_child_value(args, 0);
    g_variant_get(h, "(&s&s)", &name, NULL);
    ManagedNetwork *n = network_by_name(c->realm, name);
    if (!n)
        rpc_fail(call, RPC_ERR_NO_NETWORK, "no network with matching name '%s'", name);
    return n;
}

static bool is_listed(const ManagedNetwork *n, unsigned flags)
{
    unsigned bits = (n->active ? LIST_ACTIVE : LIST_INACTIVE) | (n->persistent ? LIST_PERSISTENT : LIST_TRANSIENT) | (n->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART);
    static const unsigned groups[] = { LIST_ACTIVE | LIST_INACTIVE, LIST_PERSISTENT | LIST_TRANSIENT, LIST_AUTOSTART | LIST_NO_AUTOSTART };
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++)
        if ((flags & groups[i]) && !(flags & groups[i] & bits))
            return false;
    return true;
}

static int by_name(gconstpointer a, gconstpointer b) { return strcmp((*(ManagedNetwork *const *)a)->def->name, (*(ManagedNetwork *const *)b)->def->name); }

static GPtrArray *listed(const Realm *r, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter i;
    gpointer n;
    g_hash_table_iter_init(&i, r->networks);
    while (g_hash_table_iter_next(&i, NULL, &n))
        if (is_listed(n, flags))
            g_ptr_array_add(list, n);
    g_ptr_array_sort(list, by_name);
    return list;
}

static void list_all(Client *c, RpcCall *call, GVariant *args)
{
    int wanted;
    guint flags;
    g_variant_get(args, "(iu)", &wanted, &flags);
    g_autoptr(GPtrArray) list = listed(c->realm, flags);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(ss)"));
    for (guint i = 0; wanted && i < list->len; i++)
        g_variant_builder_add_value(&b, handle(list->pdata[i]));
    rpc_reply(call, g_variant_new("(a(ss)u)", &b, list->len));
}

static void list_names(Client *c, RpcCall *call, GVariant *args)
{
    int most;
    g_variant_get(args, "(i)", &most);
    g_autoptr(GPtrArray) list = listed(c->realm, strcmp(rpc_call_procedure(call)->name, "CONNECT_LIST_NETWORKS") ? LIST_INACTIVE : LIST_ACTIVE);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; i < list->len && (int)i < most; i++)
        g_variant_builder_add(&b, "s", ((ManagedNetwork *)list->pdata[i])->def->name);
    rpc_reply(call, g_variant_new("(as)", &b));
}

static void count(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GPtrArray) list = listed(c->realm, strcmp(rpc_call_procedure(call)->name, "CONNECT_NUM_OF_NETWORKS") ? LIST_INACTIVE : LIST_ACTIVE);
    rpc_reply(call, g_variant_new("(i)", (int)list->len));
}

static void lookup(Client *c, RpcCall *call, GVariant *args)
{
    const char *key;
    g_variant_get(args, "(&s)", &key);
    bool by_uuid = !strcmp(rpc_call_procedure(call)->name, "NETWORK_LOOKUP_BY_UUID");
    Network like = { .uuid = (char *)key };
    const ManagedNetwork *n = by_uuid ? find(c->realm, &like, same_uuid) : network_by_name(c->realm, key);
    if (n)
        rpc_reply(call, g_variant_new("(@(ss))", handle(n)));
    else
        rpc_fail(call, RPC_ERR_NO_NETWORK, "Network not found: no network with matching %s '%s'", by_uuid ? "uuid" : "name", key);
}

static void define_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_autoptr(GError) err = NULL;
    g_variant_get_child(args, 0, "&s", &xml);
    ManagedNetwork *n = define(c->realm, xml, true, &err);
    if (!n) {
        rpc_fail(call, err->domain == RPC_ERROR ? (RpcError)err->code : RPC_ERR_XML_ERROR, "%s", err->message);
        return;
    }
    network_event(n, EVENT_DEFINED);
    rpc_reply(call, g_variant_new("(@(ss))", handle(n)));
}

static void create_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_autoptr(GError) err = NULL;
    g_variant_get_child(args, 0, "&s", &xml);
    ManagedNetwork *n = define(c->realm, xml, false, &err);
    if (n)
        push(n, true, true, call);
    else
        rpc_fail(call, err->domain == RPC_ERROR ? (RpcError)err->code : RPC_ERR_XML_ERROR, "%s", err->message);
}

static void start(Client *c, RpcCall *call, GVariant *args)
{
    ManagedNetwork *n = of_call(c, call, args);
    if (n)
        push(n, true, false, call);
}

static void stop(Client *c, RpcCall *call, GVariant *args)
{
    ManagedNetwork *n = of_call(c, call, args);
    if (n)
        push(n, false, false, call);
}

static void undefine(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GError) err = NULL;
    ManagedNetwork *n = of_call(c, call, args);
    if (!n)
        return;
    g_autofree char *folder = definitions_folder(n->realm), *autostart = autostart_folder(n->realm);
    if (!n->realm->in_memory && (!store_remove(autostart, n->def->name, &err) || !store_remove(folder, n->def->name, &err))) {
        rpc_fail_error(call, err);
        return;
    }
    network_event(n, EVENT_UNDEFINED);
    n->persistent = false;
    if (!n->active)
        network_remove(n);
    rpc_reply(call, NULL);
}

static void get_xml(Client *c, RpcCall *call, GVariant *args)
{
    ManagedNetwork *n = of_call(c, call, args);
    g_autofree char *xml = n ? record_write_xml(n->def, 0) : NULL;
    if (n)
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
    g_autofree char *folder = autostart_folder(n->realm);
    if (!n->persistent)
        rpc_error_set(&err, RPC_ERR_OPERATION_INVALID, "network '%s' is transient: it cannot start by itself", n->def->name);
    else if (n->realm->in_memory || (on ? store_write(folder, n->def->name, "<autostart/>\n", &err) : store_remove(folder, n->def->name, &err)))
        n->autostart = on;
    if (err)
        rpc_fail_error(call, err);
    else
        rpc_reply(call, NULL);
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

const Handler network_handlers[] = {
    { "CONNECT_LIST_ALL_NETWORKS", list_all },
    { "CONNECT_LIST_NETWORKS", list_names },
    { "CONNECT_LIST_DEFINED_NETWORKS", list_names },
    { "CONNECT_NUM_OF_NETWORKS", count },
    { "CONNECT_NUM_OF_DEFINED_NETWORKS", count },
    { "NETWORK_LOOKUP_BY_NAME", lookup },
    { "NETWORK_LOOKUP_BY_UUID", lookup },
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
