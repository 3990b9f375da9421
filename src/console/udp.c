/* udp.c - a line of datagrams: each write is one, and what comes from the other end is taken in order. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <unistd.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct UdpChardev {
    Chardev chardev;
    int fd;
    GSource *source;
    Inbox in;
} UdpChardev;
enum { DATAGRAM_BYTES = 65536 };

/* While the front end lags behind, datagrams are lost, as they are on the way. */
static gboolean on_datagram(int fd, GIOCondition condition, void *opaque)
{
    UdpChardev *u = opaque;
    g_autofree uint8_t *data = g_malloc(DATAGRAM_BYTES);
    ssize_t n = recv(fd, data, DATAGRAM_BYTES, MSG_DONTWAIT); /* also takes the error that nobody listens there */
    if (n > 0 && u->in.bytes->len < DATAGRAM_BYTES)
        inbox_put(&u->in, data, n);
    return G_SOURCE_CONTINUE;
}

static bool connect_both(UdpChardev *u, const char *host, const char *port, const char *local_host, const char *local_port, GError **err)
{
    InetAddress remote = { 0 }, local = { 0 };
    if (!inet_address(host, port, SOCK_DGRAM, AF_UNSPEC, &remote, err) ||
        ((local_host || local_port) && !inet_address(local_host ? local_host : "", local_port ? local_port : "0", SOCK_DGRAM, remote.addr.ss_family, &local, err)))
        return false;
    u->fd = socket(remote.addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    setsockopt(u->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (u->fd < 0 || (local.len && bind(u->fd, (const struct sockaddr *)&local.addr, local.len) < 0))
        return error_set_errno(err, errno, "chardev '%s': cannot use the local address %s port %s", u->chardev.id, local_host ? local_host : "", local_port ? local_port : "0");
    return connect(u->fd, (const struct sockaddr *)&remote.addr, remote.len) == 0 ||
           error_set_errno(err, errno, "cannot send to %s", u->chardev.description);
}

static bool udp_open(Chardev *c, KeyVals *kv, GError **err)
{
    UdpChardev *u = (UdpChardev *)c;
    u->fd = -1;
    const char *host = keyvals_take(kv, "host"), *port = keyvals_take(kv, "port"), *local_host = keyvals_take(kv, "localaddr"), *local_port = keyvals_take(kv, "localport");
    if (!keyvals_end(kv, err))
        return false;
    if (!port || !*port)
        return error_set(err, ERR_INVALID, "chardev '%s': udp: remote port not specified: port=N", c->id);
    host = host && *host ? host : "localhost";
    c->description = g_strdup_printf("udp:%s:%s", host, port);
    if (!connect_both(u, host, port, local_host, local_port, err))
        return false;
    inbox_open(&u->in, c);
    u->source = g_unix_fd_source_new(u->fd, G_IO_IN | G_IO_ERR);
    g_source_set_callback(u->source, G_SOURCE_FUNC(on_datagram), u, NULL);
    g_source_attach(u->source, NULL);
    c->connected = true;
    return true;
}

static void udp_close(Chardev *c)
{
    UdpChardev *u = (UdpChardev *)c;
    if (u->source) {
        g_source_destroy(u->source);
        g_source_unref(u->source);
    }
    inbox_close(&u->in);
    if (u->fd >= 0)
        close(u->fd);
}

static void udp_write(Chardev *c, const uint8_t *data, size_t n)
{
    (void)!send(((UdpChardev *)c)->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL); /* what cannot go is lost */
}

static void udp_resume(Chardev *c) { inbox_resume(&((UdpChardev *)c)->in); }

const ChardevBackend chardev_udp = {
    .name = "udp",
    .doc = "host=HOST (default localhost), port=PORT: where datagrams go; localaddr=HOST, localport=PORT: where they come from",
    .size = sizeof(UdpChardev),
    .open = udp_open,
    .close = udp_close,
    .write = udp_write,
    .resume = udp_resume,
};
