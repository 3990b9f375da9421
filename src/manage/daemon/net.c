/* net.c - networks: definitions, starting and stopping, taps of machines. */
#include "manage/daemon/net.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

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
    record_free(n->next);
    g_free(n);
}

static ManagedNetwork *network_add(Realm *r, Network *def, bool persistent)
{
    ManagedNetwork *n = g_new0(ManagedNetwork, 1);
    g_atomic_ref_count_init(&n->refs);
    n->realm = r;
    n->def = def;
    n->persistent = persistent;
    n->lane = lane_new(r->daemon->lanes);
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
ManagedNetwork *network_by_uuid(const Realm *r, const char *uuid) { return find(r, &(Network){ .uuid = (char *)uuid }, same_uuid); }
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

ManagedNetwork *network_define(Realm *r, const char *xml, bool persistent, GError **err)
{
    Network *def = network_read(r, xml, err);
    ManagedNetwork *old = def ? network_by_name(r, def->name) : NULL;
    g_autofree char *folder = definitions_folder(r), *text = def ? record_write_xml(def, 0) : NULL;
    if (!def || (persistent && !r->in_memory && !store_write(folder, def->name, text, err))) {
        record_free(def);
        return NULL;
    }
    if (old && old->active) { /* goes on as it is until its next start, or `net-update` */
        record_free(old->next);
        old->next = def;
        old->persistent |= persistent;
        return old;
    }
    bool autostart = old && old->autostart;
    if (old)
        network_remove(old);
    old = network_add(r, def, persistent);
    old->autostart = autostart;
    return old;
}

/* The table's key is the definition's name.  keep: what was there is that of the next start. */
static void take_next(ManagedNetwork *n, bool keep)
{
    Network *was = n->def;
    g_hash_table_steal(n->realm->networks, was->name);
    n->def = n->next;
    n->next = keep ? was : NULL;
    if (!keep)
        record_free(was);
    g_hash_table_insert(n->realm->networks, n->def->name, n);
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
    network_add(d->machines, def, true);
}

/* One that an earlier daemon started: what is missing of it is made again. */
static void load_live(const char *name, const char *text, void *opaque)
{
    Daemon *d = opaque;
    g_autoptr(GError) err = NULL;
    Network *live = record_read_xml(&network_type, text, RECORD_LIVE, NULL, &err);
    ManagedNetwork *n = live ? network_by_name(d->machines, live->name) : NULL;
    if (!live || !live->bridge || !interface_exists(live->bridge)) {
        g_info("network '%s' was started and is gone: %s", name, err ? err->message : "it has no bridge");
        record_free(live);
        return;
    }
    if (!n) {
        n = network_add(d->machines, live, false);
    } else if (!record_equal(n->def, live)) {
        n->next = live;
        take_next(n, true);
    } else {
        record_free(live);
    }
    n->active = true;
    network_mend(n);
}

bool network_set_config(ManagedNetwork *n, Network *def, GError **err)
{
    g_autofree char *folder = definitions_folder(n->realm), *text = record_write_xml(def, 0);
    if (!n->persistent || (!n->realm->in_memory && !store_write(folder, def->name, text, err))) {
        if (!n->persistent)
            rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "network '%s' is transient: it has no definition to change", def->name);
        record_free(def);
        return false;
    }
    record_free(n->next);
    n->next = def;
    if (!n->active)
        take_next(n, false);
    return true;
}

/* ---- jobs */
typedef struct NetworkJob {
    ManagedNetwork *network;
    RpcCall *call;
    bool start, with_handle;
    NetPlan *plan;
} NetworkJob;

GVariant *network_handle(const ManagedNetwork *n) { return g_variant_new("(ss)", n->def->name, n->def->uuid); }

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

/* The record says that the network was started, and as what: a later daemon takes it up. */
static void keep_record(ManagedNetwork *n, bool there)
{
    g_autofree char *folder = networks_folder(n->realm->daemon), *text = record_write_xml(n->def, RECORD_LIVE);
    g_autoptr(GError) err = NULL;
    if (!n->realm->in_memory && !(there ? store_write(folder, n->def->name, text, &err) : store_remove(folder, n->def->name, &err)))
        g_warning("%s", err->message);
}

void network_keep_live(ManagedNetwork *n) { keep_record(n, true); }

static void job_done(Job *j, GError *err)
{
    NetworkJob *w = j->data;
    ManagedNetwork *n = w->network;
    if (!err && !n->gone) {
        n->active = w->start;
        if (!n->active && n->next)
            take_next(n, false);
        keep_record(n, w->start);
        network_event(n, w->start ? NETWORK_STARTED : NETWORK_STOPPED);
    }
    if (w->call && err)
        rpc_fail_error(w->call, err);
    else if (w->call)
        rpc_reply(w->call, w->with_handle ? g_variant_new("(@(ss))", network_handle(n)) : NULL);
    else if (err)
        g_warning("network '%s' does not start: %s", n->def->name, err->message);
    if (!n->active && !n->persistent)
        network_remove(n);
    net_plan_free(w->plan);
    network_unref(n);
    g_free(w);
}

void network_job(ManagedNetwork *n, bool start, bool with_handle, RpcCall *call)
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
        network_job(n, true, false, NULL);
}

void networks_load(Daemon *d)
{
    g_autofree char *folder = definitions_folder(d->machines), *autostart = autostart_folder(d->machines);
    g_autofree char *records = networks_folder(d);
    store_each(folder, load, d);
    store_each(records, load_live, d);
    store_each(autostart, load_autostart, d);
}

/* ---- events */
void network_event(ManagedNetwork *n, NetworkEvent event)
{
    object_event(n->realm, SUBSCRIBE_NETWORK, 0, n->def->uuid, network_handle(n), "(ii)", (int)event, 0);
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

/* The card of a network or bridge that has an address, but for one; NULL: there is none. */
static const Interface *card_with(const Domain *live, const char *mac, const char *bridge, const Interface *but)
{
    const GPtrArray *list = live && live->devices ? live->devices->interfaces : NULL;
    for (guint k = 0; list && k < list->len; k++) {
        const Interface *i = list->pdata[k];
        if (i != but && i->mac && !g_ascii_strcasecmp(i->mac, mac) && !g_strcmp0(i->bridge, bridge))
            return i;
    }
    return NULL;
}

/* Two cards with one address in one bridge take each other's packets. */
static bool alone_in_bridge(const Realm *r, const Domain *live, const Interface *i, GError **err)
{
    GHashTableIter iter;
    gpointer value;
    if (card_with(live, i->mac, i->bridge, i))
        return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "two cards of domain '%s' have the address %s: leave out <mac> of one", live->name, i->mac);
    g_hash_table_iter_init(&iter, r->domains);
    while (i->bridge && g_hash_table_iter_next(&iter, NULL, &value)) {
        const ManagedDomain *d = value;
        if (domain_active(d) && strcmp(d->uuid, live->uuid) && card_with(d->live, i->mac, i->bridge, NULL))
            return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "domain '%s', which runs, has a card with the address %s in '%s' already: give this one another <mac>", d->name,
                                 i->mac, i->bridge);
    }
    return true;
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
        if (!alone_in_bridge(r, live, i, err))
            return false;
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

/* ---- what its definition's files say */
bool network_undefine(ManagedNetwork *n, GError **err)
{
    g_autofree char *folder = definitions_folder(n->realm), *autostart = autostart_folder(n->realm);
    if (!n->realm->in_memory && (!store_remove(autostart, n->def->name, err) || !store_remove(folder, n->def->name, err)))
        return false;
    network_event(n, NETWORK_UNDEFINED);
    n->persistent = false;
    if (!n->active)
        network_remove(n);
    return true;
}

bool network_set_autostart(ManagedNetwork *n, bool on, GError **err)
{
    g_autofree char *folder = autostart_folder(n->realm);
    if (!n->persistent)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "network '%s' is transient: it cannot start by itself", n->def->name);
    if (!n->realm->in_memory && !(on ? store_write(folder, n->def->name, "<autostart/>\n", err) : store_remove(folder, n->def->name, err)))
        return false;
    n->autostart = on;
    return true;
}
