/* peer.c - the options of -netdev socket, stream and dgram, and what connections and datagrams share. */
#include "hostnet/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

void peer_unwatch(GSource **s)
{
    if (*s)
        g_source_destroy(*s);
    g_clear_pointer(s, g_source_unref);
}

void peer_watch(PeerNet *p, GSource **s, int fd, GIOCondition condition, GUnixFDSourceFunc call)
{
    peer_unwatch(s);
    *s = g_unix_fd_source_new(fd, condition);
    g_source_set_callback(*s, G_SOURCE_FUNC(call), p, NULL);
    g_source_attach(*s, p->net.context);
}

/* ---- addresses */

bool peer_inet_address(const char *host, const char *port, int type, PeerAddress *ret, GError **err)
{
    struct addrinfo hints = { .ai_socktype = type, .ai_flags = AI_PASSIVE }, *list = NULL;
    if (!port || !*port)
        return error_set(err, ERR_INVALID, "an address needs its port, as in 127.0.0.1:1234");
    int rc = getaddrinfo(host && *host ? host : NULL, port, &hints, &list);
    if (rc != 0)
        return error_set(err, ERR_NOT_FOUND, "cannot resolve '%s' port '%s': %s", host ? host : "", port, gai_strerror(rc));
    memcpy(&ret->addr, list->ai_addr, list->ai_addrlen);
    ret->len = list->ai_addrlen;
    freeaddrinfo(list);
    g_snprintf(ret->text, sizeof(ret->text), "%s:%s", host ? host : "", port);
    return true;
}

bool peer_unix_address(const char *path, PeerAddress *ret, GError **err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->addr;
    if (!path || !*path || strlen(path) >= sizeof(un->sun_path))
        return error_set(err, ERR_INVALID, "path=%s: a unix socket's path has 1 to %zu bytes", path ? path : "", sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    ret->len = sizeof(*un);
    g_snprintf(ret->text, sizeof(ret->text), "unix:%s", path);
    return true;
}

/* "HOST:PORT" */
static bool host_port(const char *text, int type, PeerAddress *ret, GError **err)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = colon ? g_strndup(text, colon - text) : NULL;
    return colon ? peer_inet_address(host, colon + 1, type, ret, err) : error_set(err, ERR_INVALID, "'%s' is no HOST:PORT", text);
}

/* PREFIX.type=inet|unix|fd with what belongs to it.  A descriptor goes to *ret_fd, else -1; neither: there is no PREFIX. */
static bool take_address(KeyVals *kv, const char *prefix, int type, PeerAddress *ret, int *ret_fd, GError **err)
{
    static const char *const names[] = { "type", "host", "port", "path", "str" };
    const char *value[G_N_ELEMENTS(names)];
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *key = g_strdup_printf("%s.%s", prefix, names[i]);
        value[i] = keyvals_take(kv, key);
    }
    guint64 fd;
    *ret_fd = -1;
    if (!value[0])
        return true;
    if (g_str_equal(value[0], "inet"))
        return peer_inet_address(value[1], value[2], type, ret, err);
    if (g_str_equal(value[0], "unix"))
        return peer_unix_address(value[3], ret, err);
    if (!g_str_equal(value[0], "fd"))
        return error_set(err, ERR_INVALID, "%s.type=%s: there are inet, unix and fd", prefix, value[0]);
    if (!value[4] || !g_ascii_string_to_unsigned(value[4], 10, 0, G_MAXINT, &fd, NULL))
        return error_set(err, ERR_INVALID, "%s.str=%s is no descriptor", prefix, value[4] ? value[4] : "");
    *ret_fd = fd;
    return true;
}

/* ---- descriptors that were passed to us */

static bool check_fd(int fd, int *ret_type, bool *ret_listens, GError **err)
{
    int listens = 0;
    socklen_t len = sizeof(*ret_type), listens_len = sizeof(listens);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, ret_type, &len) < 0)
        return error_set_errno(err, errno, "descriptor %d is no socket that was passed to this process", fd);
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len);
    *ret_listens = listens;
    return true;
}

static bool use_fd(PeerNet *p, int fd, int wanted, GError **err)
{
    int type = 0;
    bool listens = false;
    if (!check_fd(fd, &type, &listens, err))
        return false;
    if (wanted && type != wanted)
        return error_set(err, ERR_INVALID, "descriptor %d is no %s socket", fd, wanted == SOCK_STREAM ? "stream" : "datagram");
    p->net.description = g_strdup_printf("%s: fd=%d", p->net.backend->name, fd);
    if (type == SOCK_DGRAM)
        dgram_start(p, fd);
    else
        return listens ? stream_listen_fd(p, fd) : stream_adopt(p, fd);
    return true;
}

/* ---- datagrams */

static bool join_group(int fd, const struct sockaddr_in *group, GError **err)
{
    struct ip_mreq m = { .imr_multiaddr = group->sin_addr };
    int one = 1;
    return (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)) == 0 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof(one)) == 0) ||
           error_set_errno(err, errno, "cannot join the multicast group");
}

static bool is_group(const PeerAddress *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->addr;
    return a->addr.ss_family == AF_INET && IN_MULTICAST(g_ntohl(in->sin_addr.s_addr));
}

/* local len 0: a multicast peer is where we listen too. */
static bool open_dgram(PeerNet *p, const PeerAddress *local, GError **err)
{
    bool group = is_group(&p->peer);
    const PeerAddress *at = group ? &p->peer : local;
    if (!p->peer.len || !at->len)
        return error_set(err, ERR_INVALID, "datagrams need a local and a remote address, a multicast remote one, or a descriptor (local.type=fd)");
    int fd = socket(at->addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return error_set_errno(err, errno, "cannot make a socket for %s", at->text);
    p->fd = fd;
    if (at->addr.ss_family == AF_UNIX)
        unlink(at->text + strlen("unix:")); /* of a machine that is gone: nobody else binds there */
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&at->addr, at->len) < 0)
        return error_set_errno(err, errno, "cannot bind to %s", at->text);
    p->unlink_path = at->addr.ss_family == AF_UNIX ? g_strdup(at->text + strlen("unix:")) : NULL;
    if (group && !join_group(fd, (const struct sockaddr_in *)&p->peer.addr, err))
        return false;
    p->net.description = g_strdup_printf("%s: %s to %s", p->net.backend->name, at->text, p->peer.text);
    dgram_start(p, fd);
    return true;
}

/* ---- backends */

static PeerNet *prepare(HostNet *h)
{
    PeerNet *p = (PeerNet *)h;
    p->fd = p->listener = -1;
    p->pending = g_byte_array_new();
    return p;
}

static bool dgram_open(HostNet *h, KeyVals *kv, GError **err)
{
    PeerNet *p = prepare(h);
    PeerAddress local = { .len = 0 };
    int fd, remote_fd;
    if (!take_address(kv, "local", SOCK_DGRAM, &local, &fd, err) || !take_address(kv, "remote", SOCK_DGRAM, &p->peer, &remote_fd, err) || !keyvals_end(kv, err))
        return false;
    return fd >= 0 ? use_fd(p, fd, SOCK_DGRAM, err) : open_dgram(p, &local, err);
}

static bool open_stream(PeerNet *p, const PeerAddress *at, bool server, GError **err)
{
    p->net.description = g_strdup_printf("%s: %s%s", p->net.backend->name, at->text, server ? ", server=on" : "");
    return server ? stream_listen(p, at, err) : stream_connect(p, err);
}

static bool stream_open(HostNet *h, KeyVals *kv, GError **err)
{
    PeerNet *p = prepare(h);
    bool server = false;
    uint64_t seconds = 0;
    int fd;
    if (!take_address(kv, "addr", SOCK_STREAM, &p->peer, &fd, err) || !keyvals_take_bool(kv, "server", &server, err) ||
        !keyvals_take_number(kv, "reconnect", 0, 3600, &seconds, err) || !keyvals_take_number(kv, "reconnect-ms", 0, 3600000, &p->reconnect_ms, err) ||
        !keyvals_end(kv, err))
        return false;
    p->reconnect_ms = server ? 0 : p->reconnect_ms ? p->reconnect_ms : seconds * 1000;
    if (fd < 0 && !p->peer.len)
        return error_set(err, ERR_INVALID, "a stream needs addr.type=inet,addr.host=HOST,addr.port=PORT, addr.type=unix,addr.path=PATH or addr.type=fd,addr.str=N");
    return fd >= 0 ? use_fd(p, fd, SOCK_STREAM, err) : open_stream(p, &p->peer, server, err);
}

static bool legacy_dgram(PeerNet *p, const char *to, const char *localaddr, bool group, GError **err)
{
    PeerAddress local = { .len = 0 };
    if (!host_port(to, SOCK_DGRAM, &p->peer, err))
        return false;
    if (group && !is_group(&p->peer))
        return error_set(err, ERR_INVALID, "mcast=%s is no multicast address (224.0.0.0 to 239.255.255.255)", to);
    return (group || !localaddr || host_port(localaddr, SOCK_DGRAM, &local, err)) && open_dgram(p, &local, err);
}

static bool socket_open(HostNet *h, KeyVals *kv, GError **err)
{
    PeerNet *p = prepare(h);
    const char *fd_text = keyvals_take(kv, "fd"), *listen_at = keyvals_take(kv, "listen"), *connect_to = keyvals_take(kv, "connect");
    const char *mcast = keyvals_take(kv, "mcast"), *udp = keyvals_take(kv, "udp"), *localaddr = keyvals_take(kv, "localaddr");
    guint64 fd;
    if (!keyvals_end(kv, err))
        return false;
    if (!!fd_text + !!listen_at + !!connect_to + !!mcast + !!udp != 1)
        return error_set(err, ERR_INVALID, "a socket needs one of fd=, listen=, connect=, mcast= and udp=");
    if (mcast || udp)
        return legacy_dgram(p, mcast ? mcast : udp, localaddr, mcast, err);
    if (!fd_text)
        return host_port(listen_at ? listen_at : connect_to, SOCK_STREAM, &p->peer, err) && open_stream(p, &p->peer, listen_at, err);
    if (!g_ascii_string_to_unsigned(fd_text, 10, 0, G_MAXINT, &fd, NULL))
        return error_set(err, ERR_INVALID, "fd=%s is no descriptor", fd_text);
    return use_fd(p, fd, 0, err);
}

static void peer_close(HostNet *h)
{
    PeerNet *p = (PeerNet *)h;
    GSource **sources[] = { &p->in, &p->out, &p->accepting, &p->again };
    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++)
        peer_unwatch(sources[i]);
    if (p->fd >= 0)
        close(p->fd);
    if (p->listener >= 0)
        close(p->listener);
    if (p->unlink_path)
        unlink(p->unlink_path);
    g_free(p->unlink_path);
    g_byte_array_unref(p->pending);
}

static bool peer_send(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    PeerNet *p = (PeerNet *)h;
    return p->datagrams ? dgram_send(p, iov, n) : stream_send(p, iov, n);
}

static void peer_resume(HostNet *h)
{
    PeerNet *p = (PeerNet *)h;
    if (p->datagrams)
        dgram_read(p);
    else
        stream_read(p);
}

#define PEER_BACKEND .size = sizeof(PeerNet), .close = peer_close, .send = peer_send, .resume = peer_resume

const HostNetBackend hostnet_socket = {
    .name = "socket", PEER_BACKEND, .open = socket_open,
    .doc = "another machine: listen=HOST:PORT, connect=HOST:PORT, mcast=GROUP:PORT, udp=HOST:PORT with localaddr=HOST:PORT, or fd=N",
};
const HostNetBackend hostnet_stream = {
    .name = "stream", PEER_BACKEND, .open = stream_open,
    .doc = "another machine, by a connection: server=on|off, reconnect=SECONDS, addr.type=inet with addr.host= and addr.port=,\n"
           "         addr.type=unix with addr.path=, addr.type=fd with addr.str=N",
};
const HostNetBackend hostnet_dgram = {
    .name = "dgram", PEER_BACKEND, .open = dgram_open,
    .doc = "another machine, by datagrams: local.type=inet|unix and remote.type= with host=, port= or path=; a remote multicast\n"
           "         address alone; local.type=fd with local.str=N",
};
