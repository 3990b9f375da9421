/* handlers_card.c - network cards: what they have done, and which addresses their guests have. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/daemon/figures.h"
#include "manage/daemon/net.h"

/* ---- figures: the host's end counts, from the other side */
const char *const card_figure_names[CARD_FIGURES] = { "rx.bytes", "rx.pkts", "rx.errs", "rx.drop", "tx.bytes", "tx.pkts", "tx.errs", "tx.drop" };

static gint64 counted(const char *device, const char *what)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/statistics/%s", device, what), *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoll(text, NULL, 10) : -1;
}

bool card_figures(const ManagedDomain *d, const Interface *card, gint64 *ret)
{
    static const char *const files[CARD_FIGURES] = { "tx_bytes", "tx_packets", "tx_errors", "tx_dropped", "rx_bytes", "rx_packets", "rx_errors", "rx_dropped" };
    if (!d->realm->in_memory && !card->target)
        return false;
    for (unsigned i = 0; i < CARD_FIGURES; i++)
        ret[i] = d->realm->in_memory ? 0 : counted(card->target, files[i]);
    return true;
}

static const Interface *card_of(const Domain *d, const char *name)
{
    const GPtrArray *list = d->devices->interfaces;
    for (guint i = 0; list && i < list->len; i++) {
        const Interface *card = list->pdata[i];
        if (!g_strcmp0(card->target, name) || (card->mac && !g_ascii_strcasecmp(card->mac, name)))
            return card;
    }
    return NULL;
}

static bool fail_stopped(const ManagedDomain *d, RpcCall *call)
{
    if (!d->live || !domain_active(d))
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    return !d->live || !domain_active(d);
}

static void interface_stats(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    gint64 f[CARD_FIGURES];
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d || fail_stopped(d, call))
        return;
    g_variant_get_child(args, 1, "&s", &name);
    const Interface *card = card_of(d->live, name);
    if (!card)
        rpc_fail(call, RPC_ERR_INVALID_ARG, "domain '%s' has no card '%s': domiflist shows them", d->name, name);
    else if (!card_figures(d, card, f))
        rpc_fail(call, RPC_ERR_OPERATION_UNSUPPORTED, "card '%s' of type '%s' has no end on the host that counts", card->mac, record_word(card, "type"));
    else
        rpc_reply(call, g_variant_new("(xxxxxxxx)", f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]));
}

/* ---- addresses (virDomainInterfaceAddressesSource) */
enum { SOURCE_LEASE, SOURCE_AGENT, SOURCE_ARP };

static void add_address(GVariantBuilder *b, const char *ip, unsigned prefix) { g_variant_builder_add(b, "(isu)", strchr(ip, ':') ? 1 : 0, ip, prefix); }

static void add_leases(const ManagedDomain *d, const Interface *card, GVariantBuilder *b)
{
    const ManagedNetwork *n = card->network ? network_by_name(d->realm, card->network) : NULL;
    if (!n || !n->active)
        return;
    unsigned prefix = 24;
    g_autofree char *folder = networks_folder(d->realm->daemon), *net = n->def->ips ? net_of(n->def->ips->pdata[0], &prefix, NULL) : NULL;
    g_autoptr(GPtrArray) leases = net_leases(folder, n->def->bridge ? n->def->bridge : "");
    for (guint i = 0; i < leases->len; i++) {
        const Lease *l = leases->pdata[i];
        if (!g_ascii_strcasecmp(l->mac, card->mac))
            add_address(b, l->ip, prefix);
    }
}

/* proc_net(5): address, kind, flags, MAC address, mask, device.  Whoever has not answered has flags 0. */
static void add_neighbours(const char *table, const Interface *card, GVariantBuilder *b)
{
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    for (char **line = lines; *line; line++) {
        char ip[64], mac[32];
        unsigned flags;
        if (sscanf(*line, "%63s %*s %x %31s", ip, &flags, mac) == 3 && flags && !g_ascii_strcasecmp(mac, card->mac))
            add_address(b, ip, 0);
    }
}

/* A card without an address is left out. */
static void add_card(const ManagedDomain *d, const Interface *card, const char *table, GVariantBuilder *all)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(isu)"));
    if (table)
        add_neighbours(table, card, &b);
    else
        add_leases(d, card, &b);
    g_autoptr(GVariant) found = g_variant_ref_sink(g_variant_builder_end(&b));
    if (g_variant_n_children(found))
        g_variant_builder_add(all, "(sms@a(isu))", card->target ? card->target : card->alias, card->mac, found);
}

static void interface_addresses(Client *c, RpcCall *call, GVariant *args)
{
    guint source;
    g_autofree char *table = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d || fail_stopped(d, call))
        return;
    g_variant_get_child(args, 1, "u", &source);
    if (source == SOURCE_AGENT) {
        agent_verb(c, call, args);
        return;
    }
    if (source > SOURCE_ARP) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "addresses are known by leases (0), by the guest's agent (1) and by the host's table of neighbours (2), not by source %u", source);
        return;
    }
    if (source == SOURCE_ARP && !g_file_get_contents("/proc/net/arp", &table, NULL, NULL))
        table = g_strdup("");
    const GPtrArray *cards = d->live->devices->interfaces;
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(smsa(isu))"));
    for (guint i = 0; cards && i < cards->len; i++)
        add_card(d, cards->pdata[i], table, &b);
    rpc_reply(call, g_variant_new("(a(smsa(isu)))", &b));
}

/* ---- the guest's name: as its agent says it, or as it said when it asked for an address */
static char *leased_name(const ManagedDomain *d, const Interface *card)
{
    const ManagedNetwork *n = card->network ? network_by_name(d->realm, card->network) : NULL;
    if (!n || !n->active || !n->def->bridge)
        return NULL;
    g_autofree char *folder = networks_folder(d->realm->daemon);
    g_autoptr(GPtrArray) leases = net_leases(folder, n->def->bridge);
    for (guint i = 0; i < leases->len; i++) {
        const Lease *l = leases->pdata[i];
        if (l->hostname && !g_ascii_strcasecmp(l->mac, card->mac))
            return g_strdup(l->hostname);
    }
    return NULL;
}

static void get_hostname(Client *c, RpcCall *call, GVariant *args)
{
    enum { HOSTNAME_LEASE = 1 }; /* virDomainGetHostnameFlags */
    guint flags;
    g_autofree char *name = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d || fail_stopped(d, call))
        return;
    g_variant_get_child(args, 1, "u", &flags);
    if (!(flags & HOSTNAME_LEASE)) {
        agent_verb(c, call, args);
        return;
    }
    const GPtrArray *cards = d->live->devices->interfaces;
    for (guint i = 0; !name && cards && i < cards->len; i++)
        name = leased_name(d, cards->pdata[i]);
    if (name)
        rpc_reply(call, g_variant_new("(s)", name));
    else
        rpc_fail(call, RPC_ERR_OPERATION_FAILED, "no hostname found: no lease of domain '%s' has one; --source agent asks the guest", d->name);
}

const Handler card_handlers[] = {
    { "DOMAIN_INTERFACE_STATS", interface_stats },
    { "DOMAIN_INTERFACE_ADDRESSES", interface_addresses },
    { "DOMAIN_GET_HOSTNAME", get_hostname },
    { NULL },
};
