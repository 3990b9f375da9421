/* apply.c - plans made real: bridges and taps by netlink, rules by nftables, dnsmasq as a process. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/network/network.h"

enum { STOP_MS = 2000 }; /* dnsmasq ends in less */

static struct nl_sock *netlink(GError **err)
{
    struct nl_sock *s = nl_socket_alloc();
    if (s && !nl_connect(s, NETLINK_ROUTE))
        return s;
    nl_socket_free(s);
    error_set(err, ERR_IO, "cannot talk to the kernel's network (netlink)");
    return NULL;
}

bool interface_exists(const char *name) { return if_nametoindex(name); }

static bool nl_failed(int code, GError **err, const char *what, const char *name)
{
    return error_set(err, code == -NLE_PERM ? ERR_DENIED : ERR_IO, "cannot %s '%s': %s%s", what, name, nl_geterror(code),
                     code == -NLE_PERM ? "; the daemon needs CAP_NET_ADMIN, a per-user one has interfaces of type='user'" : "");
}

static bool change_link(struct nl_sock *s, const char *name, struct rtnl_link *change, const char *what, GError **err)
{
    struct rtnl_link *now = NULL;
    int code = rtnl_link_get_kernel(s, 0, name, &now);
    if (!code)
        code = rtnl_link_change(s, now, change, 0);
    if (now)
        rtnl_link_put(now);
    return !code || nl_failed(code, err, what, name);
}

static bool set_up(struct nl_sock *s, const char *name, GError **err)
{
    struct rtnl_link *change = rtnl_link_alloc();
    rtnl_link_set_flags(change, IFF_UP);
    bool ok = change_link(s, name, change, "bring up", err);
    rtnl_link_put(change);
    return ok;
}

static bool make_bridge(struct nl_sock *s, const NetPlan *p, GError **err)
{
    if (interface_exists(p->bridge))
        return true;
    struct rtnl_link *l = rtnl_link_bridge_alloc();
    rtnl_link_set_name(l, p->bridge);
    if (p->mac) {
        struct nl_addr *a = NULL;
        nl_addr_parse(p->mac, AF_LLC, &a);
        rtnl_link_set_addr(l, a);
        nl_addr_put(a);
    }
    if (p->mtu)
        rtnl_link_set_mtu(l, p->mtu);
    int code = rtnl_link_add(s, l, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_link_put(l);
    return !code || nl_failed(code, err, "make the bridge", p->bridge);
}

static bool add_address(struct nl_sock *s, const NetPlan *p, const char *text, GError **err)
{
    struct nl_addr *local = NULL;
    struct rtnl_addr *a = rtnl_addr_alloc();
    int code = nl_addr_parse(text, AF_UNSPEC, &local);
    if (!code) {
        rtnl_addr_set_ifindex(a, if_nametoindex(p->bridge));
        rtnl_addr_set_local(a, local);
        if (nl_addr_get_family(local) == AF_INET) {
            uint32_t bytes;
            memcpy(&bytes, nl_addr_get_binary_addr(local), sizeof bytes);
            bytes |= htonl(nl_addr_get_prefixlen(local) < 32 ? 0xffffffffu >> nl_addr_get_prefixlen(local) : 0);
            struct nl_addr *broadcast = nl_addr_build(AF_INET, &bytes, sizeof bytes);
            rtnl_addr_set_broadcast(a, broadcast);
            nl_addr_put(broadcast);
        }
        code = rtnl_addr_add(s, a, 0);
    }
    if (local)
        nl_addr_put(local);
    rtnl_addr_put(a);
    return !code || code == -NLE_EXIST || nl_failed(code, err, "give an address to", p->bridge);
}

/* "NET/PREFIX GATEWAY METRIC" */
static bool add_route(struct nl_sock *s, const NetPlan *p, const char *text, GError **err)
{
    g_auto(GStrv) word = g_strsplit(text, " ", 3);
    struct nl_addr *net = NULL, *gateway = NULL;
    struct rtnl_route *r = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    int code = nl_addr_parse(word[0], AF_UNSPEC, &net);
    code = code ? code : nl_addr_parse(word[1], AF_UNSPEC, &gateway);
    if (!code) {
        rtnl_route_nh_set_ifindex(hop, if_nametoindex(p->bridge));
        rtnl_route_nh_set_gateway(hop, gateway);
        rtnl_route_set_family(r, nl_addr_get_family(net));
        rtnl_route_set_dst(r, net);
        if (atoi(word[2]))
            rtnl_route_set_priority(r, atoi(word[2]));
        rtnl_route_add_nexthop(r, g_steal_pointer(&hop));
        code = rtnl_route_add(s, r, 0);
    }
    if (hop)
        rtnl_route_nh_free(hop);
    nl_addr_put(net);
    nl_addr_put(gateway);
    rtnl_route_put(r);
    return !code || code == -NLE_EXIST || nl_failed(code, err, "add the route", word[0]);
}

static bool write_setting(const char *path, const char *value, GError **err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, value, strlen(value)) > 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return ok || error_set_errno(err, error, "cannot write '%s'", path);
}

/* Of a bridge that has one way out it makes no difference: the kernel's answer is not waited for. */
static void set_spanning_tree(const NetPlan *p)
{
    g_autofree char *state = g_strdup_printf("/sys/class/net/%s/bridge/stp_state", p->bridge), *delay = g_strdup_printf("/sys/class/net/%s/bridge/forward_delay", p->bridge);
    write_setting(delay, "200", NULL); /* hundredths of a second, the least with a spanning tree: guests ask for leases at once */
    write_setting(state, p->stp ? "1" : "0", NULL);
}

static bool run_rules(const char *rules, GError **err)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    nft_ctx_buffer_error(nft);
    nft_ctx_buffer_output(nft);
    bool ok = !nft_run_cmd_from_buffer(nft, rules);
    if (!ok)
        error_set(err, ERR_IO, "nftables does not take the network's rules: %s", nft_ctx_get_error_buffer(nft));
    nft_ctx_free(nft);
    return ok;
}

static char *file_of(const NetPlan *p, const char *suffix) { return g_strdup_printf("%s/%s.%s", p->folder, p->bridge, suffix); }

/* 0: it does not run.  By its arguments: a process of that number may be another's, or one that has ended and waits for its parent. */
static int dnsmasq_pid(const NetPlan *p)
{
    g_autofree char *path = file_of(p, "pid"), *conf = file_of(p, "conf"), *text = NULL, *words = NULL;
    int pid = g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
    g_autofree char *arguments = g_strdup_printf("/proc/%d/cmdline", pid);
    gsize bytes;
    return pid > 1 && g_file_get_contents(arguments, &words, &bytes, NULL) && memmem(words, bytes, conf, strlen(conf)) ? pid : 0;
}

static bool has_ended(int pidfd, int milliseconds)
{
    struct pollfd watch = { .fd = pidfd, .events = POLLIN };
    return poll(&watch, 1, milliseconds) > 0;
}

/* Its sockets are closed when this returns: the next one listens on the same addresses.  (Its arguments vanish from /proc earlier.) */
static void stop_dnsmasq(const NetPlan *p)
{
    int pid = dnsmasq_pid(p), pidfd = pid ? pidfd_open(pid, 0) : -1;
    if (pidfd < 0)
        return;
    if (!kill(pid, SIGTERM) && !has_ended(pidfd, STOP_MS) && !kill(pid, SIGKILL))
        has_ended(pidfd, STOP_MS);
    close(pidfd);
}

static bool start_dnsmasq(const NetPlan *p, GError **err)
{
    g_autofree char *conf = file_of(p, "conf"), *option = g_strdup_printf("--conf-file=%s", conf), *said = NULL;
    char *argv[] = { "dnsmasq", option, NULL };
    int status = 0;
    if (!p->dnsmasq)
        return true;
    if (g_mkdir_with_parents(p->folder, 0755) < 0)
        return error_set_errno(err, errno, "cannot make the folder '%s'", p->folder);
    g_autofree char *before = NULL;
    if (dnsmasq_pid(p) && g_file_get_contents(conf, &before, NULL, NULL) && !strcmp(before, p->dnsmasq))
        return true; /* it serves this already */
    if (!g_file_set_contents(conf, p->dnsmasq, -1, err))
        return false;
    stop_dnsmasq(p);
    if (!g_spawn_sync("/", argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &said, &status, err)) {
        g_prefix_error(err, "dnsmasq, which gives addresses and names, cannot be started (package dnsmasq-base): ");
        return false;
    }
    return !status || error_set(err, ERR_IO, "%s", *g_strstrip(said) ? said : "dnsmasq failed without a word");
}

static bool make_owned(struct nl_sock *s, const NetPlan *p, GError **err)
{
    if (!make_bridge(s, p, err))
        return false;
    for (guint i = 0; i < p->addresses->len; i++)
        if (!add_address(s, p, p->addresses->pdata[i], err))
            return false;
    if (!set_up(s, p->bridge, err))
        return false;
    for (guint i = 0; i < p->routes->len; i++)
        if (!add_route(s, p, p->routes->pdata[i], err))
            return false;
    set_spanning_tree(p);
    if (p->forward && !write_setting("/proc/sys/net/ipv4/ip_forward", "1", err))
        return false;
    return (!p->rules || run_rules(p->rules, err)) && start_dnsmasq(p, err);
}

bool net_apply(const NetPlan *p, GError **err)
{
    if (!p->owned)
        return interface_exists(p->bridge) || error_set(err, ERR_NOT_FOUND, "the host has no bridge '%s': make it first (ip link add %s type bridge)", p->bridge, p->bridge);
    struct nl_sock *s = netlink(err);
    bool ok = s && make_owned(s, p, err);
    nl_socket_free(s);
    if (!ok)
        net_undo(p);
    return ok;
}

bool net_change(const NetPlan *p, GError **err)
{
    struct nl_sock *s = p->owned ? netlink(err) : NULL;
    bool ok = !p->owned || (s && make_owned(s, p, err));
    nl_socket_free(s);
    return ok;
}

static void delete_link(const char *name)
{
    struct nl_sock *s = netlink(NULL);
    struct rtnl_link *l = s ? rtnl_link_alloc() : NULL;
    if (l) {
        rtnl_link_set_name(l, name);
        rtnl_link_delete(s, l);
        rtnl_link_put(l);
    }
    nl_socket_free(s);
}

void net_undo(const NetPlan *p)
{
    static const char *const suffixes[] = { "conf", "pid", "leases" };
    if (!p->owned)
        return;
    stop_dnsmasq(p);
    if (p->table) {
        g_autofree char *rules = g_strdup_printf("add table inet %s\ndelete table inet %s\n", p->table, p->table);
        run_rules(rules, NULL);
    }
    delete_link(p->bridge);
    for (unsigned i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = file_of(p, suffixes[i]);
        g_unlink(path);
    }
}

/* ---- taps */
static bool make_tap(const char *name, GError **err)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    g_strlcpy(request.ifr_name, name, sizeof request.ifr_name);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open '/dev/net/tun'");
    bool ok = !ioctl(fd, TUNSETIFF, &request) && !ioctl(fd, TUNSETPERSIST, 1);
    int error = errno;
    close(fd);
    return ok || error_set_errno(err, error, "cannot make the tap interface '%s'", name);
}

static bool join(const char *name, const char *bridge, unsigned mtu, GError **err)
{
    struct nl_sock *s = netlink(err);
    struct rtnl_link *change = rtnl_link_alloc();
    rtnl_link_set_master(change, if_nametoindex(bridge));
    rtnl_link_set_flags(change, IFF_UP);
    if (mtu)
        rtnl_link_set_mtu(change, mtu);
    bool ok = s && change_link(s, name, change, "join", err);
    rtnl_link_put(change);
    nl_socket_free(s);
    return ok;
}

bool tap_create(const char *name, const char *bridge, unsigned mtu, GError **err)
{
    if (!interface_exists(bridge))
        return error_set(err, ERR_NOT_FOUND, "the host has no bridge '%s': is its network started?", bridge);
    if (!make_tap(name, err))
        return false;
    if (join(name, bridge, mtu, err))
        return true;
    tap_remove(name);
    return false;
}

void tap_remove(const char *name) { delete_link(name); }

/* ---- leases: dnsmasq's file, "EXPIRY MAC IP NAME CLIENT-ID" a line */
static void lease_free(gpointer data)
{
    Lease *l = data;
    g_free(l->mac);
    g_free(l->ip);
    g_free(l->hostname);
    g_free(l->client_id);
    g_free(l);
}

GPtrArray *net_leases(const char *folder, const char *bridge)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(lease_free);
    g_autofree char *path = g_strdup_printf("%s/%s.leases", folder, bridge), *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return list;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) word = g_strsplit(*line, " ", 5);
        if (g_strv_length(word) < 5 || !strchr(word[1], ':'))
            continue;
        Lease *l = g_new0(Lease, 1);
        *l = (Lease){ g_ascii_strtoll(word[0], NULL, 10), g_strdup(word[1]), g_strdup(word[2]), strcmp(word[3], "*") ? g_strdup(word[3]) : NULL,
                      strcmp(word[4], "*") ? g_strdup(word[4]) : NULL };
        g_ptr_array_add(list, l);
    }
    return list;
}
