/* net_update.c - a network with one host, range, name or port more or less, while it runs or in its definition. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/net.h"
#include "manage/daemon/task.h"

enum { MODIFY = 1, DELETE, ADD_LAST, ADD_FIRST }; /* virNetworkUpdateCommand */

static bool same_text(const char *a, const char *b) { return a && b && !g_ascii_strcasecmp(a, b); }

static bool same_host(const void *a, const void *b)
{
    const DhcpHost *x = a, *y = b;
    return same_text(x->mac, y->mac) || same_text(x->id, y->id) || same_text(x->name, y->name) || same_text(x->ip, y->ip);
}

static bool same_range(const void *a, const void *b)
{
    const DhcpRange *x = a, *y = b;
    return same_text(x->start, y->start) && same_text(x->end, y->end);
}

static bool same_dns_host(const void *a, const void *b) { return same_text(((DnsHost *)a)->ip, ((DnsHost *)b)->ip); }

static bool same_forward(const void *a, const void *b)
{
    const PortForward *x = a, *y = b;
    return x->port == y->port && same_text(x->protocol, y->protocol) && !g_strcmp0(x->address, y->address);
}

/* virNetworkUpdateSection; those of an <ip> are of the one that `parent` counts to, or of the first. */
typedef struct Section {
    unsigned number;
    const char *what;
    const RecordType *type;
    bool of_ip;
    size_t offset; /* of the list */
    bool (*same)(const void *a, const void *b);
} Section;
static const Section sections[] = {
    { 4, "host", &dhcp_host_type, true, offsetof(NetworkIp, hosts), same_host },
    { 5, "range", &dhcp_range_type, true, offsetof(NetworkIp, ranges), same_range },
    { 6, "portForward", &port_forward_type, false, offsetof(Network, port_forwards), same_forward }, /* ours */
    { 10, "host of DNS", &dns_host_type, false, offsetof(Network, dns_hosts), same_dns_host },
};

static GPtrArray **list_of(Network *n, const Section *s, int parent, GError **err)
{
    guint at = parent < 0 ? 0 : parent;
    if (!s->of_ip)
        return (GPtrArray **)((char *)n + s->offset);
    if (n->ips && at < n->ips->len)
        return (GPtrArray **)((char *)n->ips->pdata[at] + s->offset);
    rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "network '%s' has no <ip> number %u", n->name, at);
    return NULL;
}

static guint find(const GPtrArray *list, const Section *s, const void *like)
{
    guint i = 0;
    while (i < list->len && !s->same(list->pdata[i], like))
        i++;
    return i;
}

/* Takes the element. */
static bool change_list(Network *n, GPtrArray *list, const Section *s, unsigned command, void *element, GError **err)
{
    guint at = find(list, s, element);
    bool there = at < list->len, adds = command == ADD_LAST || command == ADD_FIRST, ok = true;
    if (adds && there)
        ok = rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "network '%s' has such a <%s> already: `modify` changes it", n->name, s->what);
    else if (!adds && !there)
        ok = rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "network '%s' has no such <%s>", n->name, s->what);
    else if (command < MODIFY || command > ADD_FIRST)
        ok = rpc_error_set(err, RPC_ERR_INVALID_ARG, "there is no command %u of an update", command);
    if (ok && !adds)
        g_ptr_array_remove_index(list, at);
    if (ok && command != DELETE)
        g_ptr_array_insert(list, adds ? (command == ADD_FIRST ? 0 : -1) : (int)at, g_steal_pointer(&element));
    record_free(element);
    return ok;
}

static Network *changed(const Network *from, const Section *s, unsigned command, int parent, const char *xml, GError **err)
{
    void *element = record_read_xml(s->type, xml, 0, NULL, err);
    Network *copy = element ? record_copy(from) : NULL;
    GPtrArray **list = copy ? list_of(copy, s, parent, err) : NULL;
    if (list && !*list)
        *list = g_ptr_array_new_with_free_func(record_free);
    bool ok = list && change_list(copy, *list, s, command, g_steal_pointer(&element), err) && record_settle(copy, err);
    record_free(element);
    if (!ok)
        g_clear_pointer((void **)&copy, record_free);
    return copy;
}

/* ---- of the running network: a job */
typedef struct UpdateJob {
    ManagedNetwork *network;
    RpcCall *call;
    Network *live;
    NetPlan *plan;
} UpdateJob;

static bool update_run(Job *j, GError **err)
{
    UpdateJob *w = j->data;
    return !w->plan || net_change(w->plan, err);
}

static void update_done(Job *j, GError *err)
{
    UpdateJob *w = j->data;
    ManagedNetwork *n = w->network;
    if (!err && !n->gone) {
        g_hash_table_steal(n->realm->networks, n->def->name); /* its key is the definition's */
        if (!n->next && n->persistent && !record_equal(n->def, w->live))
            n->next = n->def;
        else
            record_free(n->def);
        n->def = g_steal_pointer(&w->live);
        g_hash_table_insert(n->realm->networks, n->def->name, n);
        network_keep_live(n);
    }
    if (w->call && err)
        rpc_fail_error(w->call, err);
    else if (w->call)
        rpc_reply(w->call, NULL);
    else if (err)
        g_warning("network '%s' cannot be mended: %s", n->def->name, err->message);
    record_free(w->live);
    net_plan_free(w->plan);
    network_unref(n);
    g_free(w);
}

static bool start_live(ManagedNetwork *n, Network *live, RpcCall *call, GError **err)
{
    static const JobType type = { "network update", NULL, update_run, update_done };
    g_autofree char *folder = networks_folder(n->realm->daemon);
    NetPlan *plan = n->realm->in_memory ? NULL : net_plan(live, folder, err);
    if (!plan && !n->realm->in_memory) {
        record_free(live);
        return false;
    }
    UpdateJob *w = g_new0(UpdateJob, 1);
    *w = (UpdateJob){ .network = network_ref(n), .call = call, .live = live, .plan = plan };
    lane_push(n->lane, &type, w);
    return true;
}

void network_mend(ManagedNetwork *n)
{
    g_autoptr(GError) err = NULL;
    if (!start_live(n, record_copy(n->def), NULL, &err))
        g_warning("network '%s' cannot be mended: %s", n->def->name, err->message);
}

static bool update(ManagedNetwork *n, const Section *s, unsigned command, int parent, const char *xml, unsigned flags, RpcCall *call, bool *ret_later, GError **err)
{
    unsigned where = flags & (AFFECT_LIVE | AFFECT_CONFIG);
    if (!where)
        where = n->active ? AFFECT_LIVE : AFFECT_CONFIG;
    if ((where & AFFECT_LIVE) && !n->active)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "network '%s' is not active: --config changes its definition", n->def->name);
    Network *live = where & AFFECT_LIVE ? changed(n->def, s, command, parent, xml, err) : NULL;
    if ((where & AFFECT_LIVE) && !live)
        return false;
    Network *config = where & AFFECT_CONFIG ? changed(n->next ? n->next : n->def, s, command, parent, xml, err) : NULL;
    if ((where & AFFECT_CONFIG) && (!config || !network_set_config(n, config, err))) {
        record_free(live);
        return false;
    }
    *ret_later = live;
    return !live || start_live(n, live, call, err);
}

void network_update(ManagedNetwork *n, unsigned command, unsigned section, int parent, const char *xml, unsigned flags, RpcCall *call)
{
    g_autoptr(GError) err = NULL;
    bool later = false;
    const Section *s = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(sections); i++)
        if (sections[i].number == section)
            s = &sections[i];
    if (!s)
        rpc_fail(call, RPC_ERR_OPERATION_UNSUPPORTED, "section %u of a network cannot be updated; ip-dhcp-host, ip-dhcp-range, forward (of <portForward>) and dns-host can", section);
    else if (!update(n, s, command, parent, xml, flags, call, &later, &err))
        reply_bad_xml(call, err);
    else if (!later)
        rpc_reply(call, NULL);
}
