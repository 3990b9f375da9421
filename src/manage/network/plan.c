/* plan.c - what a network needs of the host, as data. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "manage/network/network.h"

static bool is_v6(const NetworkIp *ip) { return strchr(ip->address, ':'); }

static unsigned mask_bits(const char *mask)
{
    struct in_addr a;
    return inet_pton(AF_INET, mask, &a) == 1 ? __builtin_popcount(a.s_addr) : 0;
}

char *net_of(const NetworkIp *ip, unsigned *ret_prefix, GError **err)
{
    uint8_t bytes[16];
    int family = is_v6(ip) ? AF_INET6 : AF_INET;
    unsigned most = family == AF_INET ? 32 : 128, prefix = ip->prefix != RECORD_NONE ? ip->prefix : ip->netmask ? mask_bits(ip->netmask) : family == AF_INET ? 24 : 64;
    if (inet_pton(family, ip->address, bytes) != 1 || !prefix || prefix > most) {
        error_set(err, ERR_INVALID, "address '%s' with the prefix %u is no network", ip->address, prefix);
        return NULL;
    }
    for (unsigned bit = prefix; bit < most; bit++)
        bytes[bit / 8] &= ~(0x80 >> bit % 8);
    char text[INET6_ADDRSTRLEN];
    *ret_prefix = prefix;
    return g_strdup_printf("%s/%u", inet_ntop(family, bytes, text, sizeof text), prefix);
}

/* ---- rules */
static void append_forwards(GString *s, const Network *n, const char *hook, const char *priority, const char *match)
{
    g_string_append_printf(s, "  chain %s {\n    type nat hook %s priority %s;\n", hook, hook, priority);
    for (guint i = 0; i < n->port_forwards->len; i++) {
        const PortForward *f = n->port_forwards->pdata[i];
        uint64_t to = f->to_port != RECORD_NONE ? f->to_port : f->port;
        const char *protocol = !strcmp(f->protocol, "udp") ? "udp" : "tcp";
        if (f->address)
            g_string_append_printf(s, "    ip daddr %s %s dport %" PRIu64 " dnat ip to %s:%" PRIu64 "\n", f->address, protocol, f->port, f->to, to);
        else
            g_string_append_printf(s, "    %s %s dport %" PRIu64 " dnat ip to %s:%" PRIu64 "\n", match, protocol, f->port, f->to, to);
    }
    g_string_append(s, "  }\n");
}

/* "to ADDRESSES:PORTS" of <nat>; ports need TCP or UDP. */
static char *nat_target(const Network *n, bool ports)
{
    GString *s = g_string_new(n->nat_start ? "snat ip to " : ports ? "masquerade to " : "masquerade");
    if (n->nat_start)
        g_string_append_printf(s, "%s-%s", n->nat_start, n->nat_end ? n->nat_end : n->nat_start);
    if (ports)
        g_string_append_printf(s, ":%" PRIu64 "-%" PRIu64, n->nat_port_start, n->nat_port_end);
    return g_string_free(s, FALSE);
}

static void append_masquerade(GString *s, const Network *n, const char *net)
{
    bool ports = n->nat_port_start != RECORD_NONE && n->nat_port_end != RECORD_NONE;
    g_autofree char *with = nat_target(n, true), *without = nat_target(n, false);
    g_string_append_printf(s, "  chain postrouting {\n    type nat hook postrouting priority srcnat;\n    ip saddr %s ip daddr 224.0.0.0/24 return\n", net);
    if (ports)
        g_string_append_printf(s, "    meta l4proto { tcp, udp } ip saddr %s ip daddr != %s %s\n", net, net, with);
    g_string_append_printf(s, "    ip saddr %s ip daddr != %s %s\n  }\n", net, net, without);
}

static void append_filter(GString *s, const Network *n, const char *bridge, const char *net)
{
    g_string_append_printf(s, "  chain forward {\n    type filter hook forward priority filter;\n    iifname \"%s\" oifname \"%s\" accept\n", bridge, bridge);
    if (n->forward == FORWARD_OPEN || n->forward == FORWARD_ROUTE) {
        g_string_append(s, "  }\n");
        return;
    }
    if (n->forward == FORWARD_NAT) {
        g_string_append_printf(s, "    oifname \"%s\" ct state established,related accept\n    oifname \"%s\" ct status dnat accept\n", bridge, bridge);
        if (n->forward_dev)
            g_string_append_printf(s, "    iifname \"%s\" oifname != \"%s\" reject\n", bridge, n->forward_dev);
        g_string_append_printf(s, "    iifname \"%s\" ip saddr %s accept\n", bridge, net);
    }
    g_string_append_printf(s, "    iifname \"%s\" reject\n    oifname \"%s\" reject\n  }\n", bridge, bridge);
}

static char *rules_of(const Network *n, const char *table, const char *bridge, const char *net)
{
    GString *s = g_string_new(NULL);
    g_string_append_printf(s, "add table inet %s\ndelete table inet %s\ntable inet %s {\n", table, table, table);
    append_filter(s, n, bridge, net);
    if (n->forward == FORWARD_NAT)
        append_masquerade(s, n, net);
    if (n->forward == FORWARD_NAT && n->port_forwards) {
        append_forwards(s, n, "prerouting", "dstnat", "fib daddr type local");
        append_forwards(s, n, "output", "-100", "fib daddr type local ip daddr != 127.0.0.0/8");
    }
    g_string_append(s, "}\n");
    return g_string_free(s, FALSE);
}

/* ---- dnsmasq */
static void append_dhcp(GString *s, const NetworkIp *ip, unsigned prefix)
{
    for (guint i = 0; ip->ranges && i < ip->ranges->len; i++) {
        const DhcpRange *r = ip->ranges->pdata[i];
        const char *unit = r->lease_unit && *r->lease_unit == 'h' ? "h" : r->lease_unit && *r->lease_unit == 's' ? "" : "m";
        g_autofree char *lease = r->lease_expiry == RECORD_NONE ? g_strdup("1h") : r->lease_expiry ? g_strdup_printf("%" PRIu64 "%s", r->lease_expiry, unit) : g_strdup("infinite");
        if (is_v6(ip))
            g_string_append_printf(s, "dhcp-range=%s,%s,%u,%s\n", r->start, r->end, prefix, lease);
        else
            g_string_append_printf(s, "dhcp-range=%s,%s,%s\n", r->start, r->end, lease);
    }
    if (ip->tftp)
        g_string_append_printf(s, "enable-tftp\ntftp-root=%s\n", ip->tftp);
    if (ip->boot_file)
        g_string_append_printf(s, "dhcp-boot=%s%s%s\n", ip->boot_file, ip->boot_server ? ",," : "", ip->boot_server ? ip->boot_server : "");
}

static void append_dns(GString *s, const Network *n)
{
    if (n->dns_enable == 2)
        g_string_append(s, "port=0\n");
    for (guint i = 0; n->forwarders && i < n->forwarders->len; i++) {
        const DnsForwarder *f = n->forwarders->pdata[i];
        if (f->address)
            g_string_append_printf(s, f->domain ? "server=/%s/%s\n" : "no-resolv\nserver=%s%s\n", f->domain ? f->domain : f->address, f->domain ? f->address : "");
    }
    for (guint i = 0; n->dns_hosts && i < n->dns_hosts->len; i++) {
        const DnsHost *h = n->dns_hosts->pdata[i];
        for (guint k = 0; h->names && k < h->names->len; k++)
            g_string_append_printf(s, "host-record=%s,%s\n", (char *)h->names->pdata[k], h->ip);
    }
    if (n->domain)
        g_string_append_printf(s, "domain=%s\nexpand-hosts\nlocal=/%s/\n", n->domain, n->domain);
}

/* In the configuration itself, which dnsmasq reads before it gives its rights away: its folder may be nobody else's to read. */
static void append_hosts(GString *s, const NetworkIp *ip)
{
    for (guint k = 0; ip->hosts && k < ip->hosts->len; k++) {
        const DhcpHost *h = ip->hosts->pdata[k];
        const char *parts[] = { h->mac, h->ip, h->name };
        const char *comma = "";
        g_string_append(s, "dhcp-host=");
        for (unsigned p = 0; p < G_N_ELEMENTS(parts); p++)
            if (parts[p]) {
                g_string_append_printf(s, "%s%s", comma, parts[p]);
                comma = ",";
            }
        g_string_append_c(s, '\n');
    }
}

static char *dnsmasq_of(const Network *n, const char *bridge, const char *folder)
{
    GString *s = g_string_new("# Written by atolld: changed by its network's definition only.\n");
    g_string_append_printf(s, "strict-order\nexcept-interface=lo\nbind-dynamic\ninterface=%s\ndhcp-no-override\ndhcp-authoritative\nno-hosts\n", bridge);
    g_string_append_printf(s, "pid-file=%s/%s.pid\ndhcp-leasefile=%s/%s.leases\n", folder, bridge, folder, bridge);
    /* A guest of an isolated network has no way out by this host. */
    if (!n->forwards)
        g_string_append(s, "dhcp-option=3\nno-resolv\n");
    append_dns(s, n);
    for (guint i = 0; i < n->ips->len; i++) {
        unsigned prefix;
        g_autofree char *net = net_of(n->ips->pdata[i], &prefix, NULL);
        append_dhcp(s, n->ips->pdata[i], prefix);
        append_hosts(s, n->ips->pdata[i]);
    }
    return g_string_free(s, FALSE);
}

static bool plan_addresses(NetPlan *p, const Network *n, char **ret_net, GError **err)
{
    for (guint i = 0; n->ips && i < n->ips->len; i++) {
        const NetworkIp *ip = n->ips->pdata[i];
        unsigned prefix;
        g_autofree char *net = net_of(ip, &prefix, err);
        if (!net)
            return false;
        g_ptr_array_add(p->addresses, g_strdup_printf("%s/%u", ip->address, prefix));
        if (!*ret_net && !is_v6(ip))
            *ret_net = g_steal_pointer(&net);
    }
    return true;
}

static bool plan_routes(NetPlan *p, const Network *n, GError **err)
{
    for (guint i = 0; n->routes && i < n->routes->len; i++) {
        const Route *r = n->routes->pdata[i];
        unsigned prefix;
        g_autofree char *net = net_of(&(NetworkIp){ .address = r->address, .netmask = r->netmask, .prefix = r->prefix }, &prefix, err);
        if (!net)
            return false;
        g_ptr_array_add(p->routes, g_strdup_printf("%s %s %" PRIu64, net, r->gateway, r->metric == RECORD_NONE ? 0 : r->metric));
    }
    return true;
}

NetPlan *net_plan(const Network *n, const char *folder, GError **err)
{
    NetPlan *p = g_new0(NetPlan, 1);
    g_autofree char *net = NULL;
    p->addresses = g_ptr_array_new_with_free_func(g_free);
    p->routes = g_ptr_array_new_with_free_func(g_free);
    p->mtu = n->mtu == RECORD_NONE ? 0 : n->mtu;
    p->bridge = g_strdup(n->bridge);
    p->folder = g_strdup(folder);
    p->owned = !(n->forward >= FORWARD_BRIDGE);
    p->forward = n->forward == FORWARD_NAT || n->forward == FORWARD_ROUTE || n->forward == FORWARD_OPEN;
    p->mac = g_strdup(n->mac);
    p->stp = n->stp == 1; /* asked for only: ports of a spanning tree stay silent for seconds */
    bool ok = n->forward <= FORWARD_BRIDGE || error_set(err, ERR_UNSUPPORTED, "networks with <forward mode='%s'> are not built; nat, route, open, bridge and isolated ones are",
                                                        forward_modes[n->forward - 1]);
    ok = ok && (p->bridge || error_set(err, ERR_INVALID, "network '%s' has no <bridge name=>", n->name)) && plan_addresses(p, n, &net, err) && plan_routes(p, n, err);
    if (!ok) {
        net_plan_free(p);
        return NULL;
    }
    if (p->owned && net) {
        p->table = g_strdup_printf("atoll_%s", p->bridge);
        for (char *c = p->table; *c; c++)
            *c = g_ascii_isalnum(*c) ? *c : '_';
        p->rules = rules_of(n, p->table, p->bridge, net);
    }
    if (p->owned && n->ips && n->ips->len)
        p->dnsmasq = dnsmasq_of(n, p->bridge, folder);
    return p;
}

void net_plan_free(NetPlan *p)
{
    if (!p)
        return;
    g_ptr_array_unref(p->addresses);
    g_ptr_array_unref(p->routes);
    g_free(p->bridge);
    g_free(p->mac);
    g_free(p->table);
    g_free(p->rules);
    g_free(p->dnsmasq);
    g_free(p->folder);
    g_free(p);
}
