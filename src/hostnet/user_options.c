/* user_options.c - the options of -netdev user: addresses of the guest's network, forwards, boot files. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "hostnet/user.h"

enum { MTU = 65521 }; /* the most that libslirp takes: user.c cuts what the card does not */

void user_options_init(UserOptions *o)
{
    *o = (UserOptions){ .hostfwd = g_ptr_array_new_with_free_func(g_free), .guestfwd = g_ptr_array_new_with_free_func(g_free),
                        .search = g_ptr_array_new(), .texts = g_ptr_array_new_with_free_func(g_free) };
    o->slirp = (SlirpConfig){ .version = 4, .in_enabled = true, .in6_enabled = true, .vprefix_len = 64, .if_mtu = MTU, .if_mru = MTU };
}

void user_options_clear(UserOptions *o)
{
    GPtrArray *arrays[] = { o->hostfwd, o->guestfwd, o->search, o->texts };
    for (unsigned i = 0; i < G_N_ELEMENTS(arrays); i++)
        g_ptr_array_unref(arrays[i]);
}

static char *own(UserOptions *o, const char *text)
{
    char *copy = g_strdup(text);
    g_ptr_array_add(o->texts, copy);
    return copy;
}

/* ---- addresses */

static bool take_ipv4(KeyVals *kv, const char *key, struct in_addr *ret, GError **err)
{
    const char *text = keyvals_take(kv, key);
    return !text || inet_aton(text, ret) || error_set(err, ERR_INVALID, "%s=%s is no IPv4 address", key, text);
}

static bool take_ipv6(KeyVals *kv, const char *key, struct in6_addr *ret, GError **err)
{
    const char *text = keyvals_take(kv, key);
    return !text || inet_pton(AF_INET6, text, ret) == 1 || error_set(err, ERR_INVALID, "%s=%s is no IPv6 address", key, text);
}

static uint32_t class_mask(uint32_t net)
{
    return !(net & 0x80000000) ? 0xff000000 : (net & 0xfff00000) == 0xac100000 ? 0xfff00000 : (net & 0xffff0000) == 0xc0a80000 ? 0xffffff00 : 0xffffff00;
}

/* ADDRESS, ADDRESS/BITS or ADDRESS/MASK; host order. */
static bool parse_net(const char *text, uint32_t *ret_net, uint32_t *ret_mask)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    struct in_addr a, mask;
    if (!parts[0] || !inet_aton(parts[0], &a))
        return false;
    *ret_net = ntohl(a.s_addr);
    *ret_mask = class_mask(*ret_net);
    guint64 bits;
    if (parts[1] && g_ascii_string_to_unsigned(parts[1], 10, 0, 32, &bits, NULL))
        *ret_mask = bits ? ~0u << (32 - bits) : 0;
    else if (parts[1] && !inet_aton(parts[1], &mask))
        return false;
    else if (parts[1])
        *ret_mask = ntohl(mask.s_addr);
    *ret_net &= *ret_mask;
    return true;
}

static bool check_inside(const SlirpConfig *c, const char *key, struct in_addr a, GError **err)
{
    g_autofree char *text = g_strdup(inet_ntoa(a)), *net = g_strdup(inet_ntoa(c->vnetwork));
    bool inside = (a.s_addr & c->vnetmask.s_addr) == c->vnetwork.s_addr;
    return inside || error_set(err, ERR_INVALID, "%s=%s is not in the guest's network %s; choose one that is, or another net=", key, text, net);
}

static bool take_network(UserOptions *o, KeyVals *kv, GError **err)
{
    SlirpConfig *c = &o->slirp;
    uint32_t net = 0x0a000200, mask = 0xffffff00;
    const char *text = keyvals_take(kv, "net");
    if (text && !parse_net(text, &net, &mask))
        return error_set(err, ERR_INVALID, "net=%s is no network; write it as 10.0.2.0/24", text);
    if (~mask < 15)
        return error_set(err, ERR_INVALID, "net=%s has no room for the addresses of host, name server and guest; give it 28 bits or less", text);
    c->vnetwork.s_addr = htonl(net);
    c->vnetmask.s_addr = htonl(mask);
    c->vhost.s_addr = htonl(net | 2);
    c->vnameserver.s_addr = htonl(net | 3);
    c->vdhcp_start.s_addr = htonl(net | (~mask > 15 ? 15 : 4));
    if (!take_ipv4(kv, "host", &c->vhost, err) || !take_ipv4(kv, "dns", &c->vnameserver, err) || !take_ipv4(kv, "dhcpstart", &c->vdhcp_start, err))
        return false;
    if (c->vhost.s_addr == c->vnameserver.s_addr)
        return error_set(err, ERR_INVALID, "host= and dns= are the same address; they must differ");
    return check_inside(c, "host", c->vhost, err) && check_inside(c, "dns", c->vnameserver, err) && check_inside(c, "dhcpstart", c->vdhcp_start, err);
}

static bool take_network6(UserOptions *o, KeyVals *kv, GError **err)
{
    SlirpConfig *c = &o->slirp;
    inet_pton(AF_INET6, "fec0::", &c->vprefix_addr6);
    const char *net = keyvals_take(kv, "ipv6-net");
    uint64_t bits = 64;
    g_auto(GStrv) parts = g_strsplit(net ? net : "fec0::/64", "/", 2);
    guint64 n = 64;
    if (inet_pton(AF_INET6, parts[0], &c->vprefix_addr6) != 1 || (parts[1] && !g_ascii_string_to_unsigned(parts[1], 10, 0, 126, &n, NULL)))
        return error_set(err, ERR_INVALID, "ipv6-net=%s is no network; write it as fec0::/64", net);
    bits = n;
    if (!take_ipv6(kv, "ipv6-prefix", &c->vprefix_addr6, err) || !keyvals_take_number(kv, "ipv6-prefixlen", 0, 126, &bits, err))
        return false;
    c->vprefix_len = bits;
    c->vhost6 = c->vnameserver6 = c->vprefix_addr6;
    c->vhost6.s6_addr[15] |= 2;
    c->vnameserver6.s6_addr[15] |= 3;
    return take_ipv6(kv, "ipv6-host", &c->vhost6, err) && take_ipv6(kv, "ipv6-dns", &c->vnameserver6, err);
}

/* ---- the rest */

static bool take_families(UserOptions *o, KeyVals *kv, GError **err)
{
    bool restricted = false;
    if (!keyvals_take_bool(kv, "ipv4", &o->slirp.in_enabled, err) || !keyvals_take_bool(kv, "ipv6", &o->slirp.in6_enabled, err) ||
        !keyvals_take_bool(kv, "restrict", &restricted, err))
        return false;
    o->slirp.restricted = restricted;
    return o->slirp.in_enabled || o->slirp.in6_enabled || error_set(err, ERR_INVALID, "ipv4=off and ipv6=off leave nothing");
}

static bool take_texts(UserOptions *o, KeyVals *kv, GError **err)
{
    const struct {
        const char *key, **to;
    } texts[] = { { "hostname", &o->slirp.vhostname }, { "domainname", &o->slirp.vdomainname }, { "tftp", &o->slirp.tftp_path },
                  { "tftp-server-name", &o->slirp.tftp_server_name }, { "bootfile", &o->slirp.bootfile } };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        const char *text = keyvals_take(kv, texts[i].key);
        if (text && strlen(text) > 127 && !g_str_equal(texts[i].key, "tftp"))
            return error_set(err, ERR_INVALID, "%s= is too long: DHCP takes up to 127 bytes", texts[i].key);
        *texts[i].to = text ? own(o, text) : NULL;
    }
    if (o->slirp.tftp_path && !g_file_test(o->slirp.tftp_path, G_FILE_TEST_IS_DIR))
        return error_set(err, ERR_NOT_FOUND, "tftp=%s is no folder", o->slirp.tftp_path);
    return true;
}

/* What may stand there several times; in JSON a list of texts, or of objects whose member "str" is the text. */
static bool take_lists(UserOptions *o, KeyVals *kv, GError **err)
{
    static const char *const known[] = { "hostfwd", "guestfwd", "dnssearch", "net", "host", "dns", "dhcpstart", "ipv4", "ipv6", "ipv6-net", "ipv6-host",
                                         "ipv6-dns", "restrict", "hostname", "domainname", "tftp", "tftp-server-name", "bootfile", NULL };
    GPtrArray *to[] = { o->hostfwd, o->guestfwd, o->search };
    g_autofree const char **rest = keyvals_rest(kv);
    for (const char **p = rest; p && p[0]; p += 2) {
        g_auto(GStrv) parts = g_strsplit(p[0], ".", 2);
        unsigned i = 0;
        while (i < 3 && !g_str_equal(parts[0], known[i]))
            i++;
        g_autofree char *hint = i == 3 ? did_you_mean(p[0], known) : NULL;
        if (i == 3)
            return error_set(err, ERR_INVALID, "no option '%s'%s; -netdev help lists them", p[0], hint);
        g_ptr_array_add(to[i], i == 2 ? own(o, p[1]) : g_strdup(p[1]));
    }
    if (o->search->len) {
        g_ptr_array_add(o->search, NULL);
        o->slirp.vdnssearch = (const char **)o->search->pdata;
    }
    return true;
}

bool user_options_take(UserOptions *o, KeyVals *kv, GError **err)
{
    return take_network(o, kv, err) && take_network6(o, kv, err) && take_families(o, kv, err) && take_texts(o, kv, err) && take_lists(o, kv, err);
}

/* ---- forwards */

static bool parse_port(const char *text, int *ret)
{
    guint64 port;
    if (!text || !g_ascii_string_to_unsigned(text, 10, 0, 65535, &port, NULL))
        return false;
    *ret = port;
    return true;
}

/* "ADDRESS:PORT"; an empty address leaves *ret_addr alone. */
static bool parse_end(const char *text, struct in_addr *ret_addr, int *ret_port)
{
    const char *colon = text ? strrchr(text, ':') : NULL;
    g_autofree char *addr = colon ? g_strndup(text, colon - text) : NULL;
    return colon && (!*addr || inet_aton(addr, ret_addr)) && parse_port(colon + 1, ret_port);
}

static const char *take_protocol(const char *spec, bool *ret_udp)
{
    static const char *const names[] = { "tcp:", "udp:", ":" };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_str_has_prefix(spec, names[i])) {
            *ret_udp = i == 1;
            return spec + strlen(names[i]);
        }
    return NULL;
}

bool user_add_hostfwd(Slirp *s, const char *spec, GError **err)
{
    struct in_addr host = { INADDR_ANY }, guest = { 0 };
    int host_port, guest_port;
    bool udp = false;
    const char *rest = take_protocol(spec, &udp);
    g_auto(GStrv) ends = g_strsplit(rest ? rest : "", "-", 2);
    if (!rest || !ends[0] || !parse_end(ends[0], &host, &host_port) || !parse_end(ends[1], &guest, &guest_port) || !guest_port)
        return error_set(err, ERR_INVALID, "hostfwd=%s is not tcp|udp:[HOST-ADDRESS]:PORT-[GUEST-ADDRESS]:PORT", spec);
    errno = 0;
    if (slirp_add_hostfwd(s, udp, host, host_port, guest, guest_port) == 0)
        return true;
    int errnum = errno;
    return error_set_errno(err, errnum ? errnum : EADDRINUSE, "hostfwd=%s: cannot listen on %s port %d of %s; free it or choose another", spec,
                           udp ? "UDP" : "TCP", host_port, inet_ntoa(host));
}

bool user_add_guestfwd(Slirp *s, const char *spec, GError **err)
{
    struct in_addr server = { 0 };
    int port;
    bool udp = false;
    const char *rest = take_protocol(spec, &udp), *dash = rest ? strchr(rest, '-') : NULL;
    g_autofree char *end = dash ? g_strndup(rest, dash - rest) : NULL;
    bool command = dash && g_str_has_prefix(dash + 1, "cmd:"), unixs = dash && g_str_has_prefix(dash + 1, "unix:");
    if (udp || !dash || !parse_end(end, &server, &port) || !port || !(command || unixs))
        return error_set(err, ERR_INVALID, "guestfwd=%s is not tcp:[ADDRESS]:PORT-cmd:COMMAND or ...-unix:PATH", spec);
    int failed = command ? slirp_add_exec(s, dash + 5, &server, port) : slirp_add_unix(s, dash + 6, &server, port);
    return !failed || error_set(err, ERR_INVALID, "guestfwd=%s: that address is the host's or the name server's, or is not in the guest's network", spec);
}
