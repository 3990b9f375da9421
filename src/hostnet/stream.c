/*
 * stream.c - frames over a connection: four bytes of length, big-endian, and the frame, as QEMU's -netdev stream and socket.
 *
 * A peer that sends what cannot be a frame is hung up on.  One that goes away unplugs the cable; a server then takes the next, a
 * client with reconnect= calls again.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/iov.h"
#include "hostnet/peer.h"

enum { LENGTH_BYTES = 4, PIECES = 1024 };

static gboolean on_accept(int fd, GIOCondition condition, void *arg);

/* ---- the peer goes */

static gboolean call_again(void *arg)
{
    PeerNet *p = arg;
    g_clear_pointer(&p->again, g_source_unref);
    stream_connect(p, NULL);
    return G_SOURCE_REMOVE;
}

static void wait_for_another(PeerNet *p)
{
    if (p->listener >= 0)
        peer_watch(p, &p->accepting, p->listener, G_IO_IN, on_accept);
    if (!p->reconnect_ms || p->again)
        return;
    p->again = g_timeout_source_new(p->reconnect_ms);
    g_source_set_callback(p->again, call_again, p, NULL);
    g_source_attach(p->again, p->net.context);
}

static void hang_up(PeerNet *p, const char *why)
{
    g_printerr("atoll-vm: network backend '%s': %s; the guest sees its cable unplugged\n", p->net.id, why);
    peer_unwatch(&p->in);
    peer_unwatch(&p->out);
    close(p->fd);
    p->fd = -1;
    p->got = 0;
    g_byte_array_set_size(p->pending, 0);
    hostnet_carrier(&p->net, false);
    wait_for_another(p);
}

/* ---- from the peer */

static gboolean readable(int fd, GIOCondition condition, void *arg);

/* Delivers the whole frames that have come; false: not one of ours. */
static bool deliver_frames(PeerNet *p)
{
    size_t off = 0;
    while (p->got - off >= LENGTH_BYTES) {
        const uint8_t *head = p->frame + off;
        size_t n = (uint32_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
        if (n > HOSTNET_FRAME_MAX)
            return false;
        if (p->got - off - LENGTH_BYTES < n)
            break;
        if (n >= NET_ETH_BYTES)
            hostnet_deliver(&p->net, 0, &(NetHeader){ 0 }, &(struct iovec){ (void *)(head + LENGTH_BYTES), n }, 1);
        off += LENGTH_BYTES + n;
    }
    p->got -= off;
    memmove(p->frame, p->frame + off, p->got);
    return true;
}

static gboolean readable(int fd, GIOCondition condition, void *arg)
{
    PeerNet *p = arg;
    ssize_t n = read(fd, p->frame + p->got, sizeof(p->frame) - p->got);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    p->got += MAX(n, 0);
    bool sane = n > 0 && deliver_frames(p);
    if (!sane) {
        hang_up(p, n > 0 ? "the peer sends something that is no frame" : "the peer is gone");
        hostnet_writable(&p->net); /* what waited for it is lost */
        return G_SOURCE_REMOVE;
    }
    if (!hostnet_full(&p->net))
        return G_SOURCE_CONTINUE;
    g_clear_pointer(&p->in, g_source_unref); /* until the card has room */
    return G_SOURCE_REMOVE;
}

void stream_read(PeerNet *p)
{
    if (p->fd >= 0 && !p->in)
        peer_watch(p, &p->in, p->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable);
}

/* ---- to the peer */

static gboolean writable(int fd, GIOCondition condition, void *arg)
{
    PeerNet *p = arg;
    ssize_t n = send(fd, p->pending->data, p->pending->len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    g_byte_array_remove_range(p->pending, 0, n < 0 ? p->pending->len : n); /* a peer that is gone shows when reading */
    if (p->pending->len)
        return G_SOURCE_CONTINUE;
    g_clear_pointer(&p->out, g_source_unref);
    hostnet_writable(&p->net);
    return G_SOURCE_REMOVE;
}

/* What the peer does not take now waits, and the next frame with it. */
static void keep_rest(PeerNet *p, const struct iovec *iov, unsigned n, size_t sent)
{
    size_t left = iov_size(iov, n) - sent;
    g_byte_array_set_size(p->pending, left);
    iov_read(iov, n, sent, p->pending->data, left);
    peer_watch(p, &p->out, p->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, writable);
}

bool stream_send(PeerNet *p, const struct iovec *iov, unsigned n)
{
    size_t bytes;
    uint32_t length = g_htonl(iov_size(iov, n));
    struct iovec out[PIECES] = { { &length, LENGTH_BYTES } };
    if (p->fd < 0 || n >= PIECES) {
        atomic_fetch_add(&p->net.tx_dropped, 1);
        return true;
    }
    if (p->pending->len)
        return false;
    unsigned pieces = 1 + iov_slice(iov, n, 0, HOSTNET_FRAME_MAX, out + 1, PIECES - 1, &bytes);
    ssize_t sent = sendmsg(p->fd, &(struct msghdr){ .msg_iov = out, .msg_iovlen = pieces }, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        atomic_fetch_add(&p->net.tx_dropped, 1);
    else if ((size_t)MAX(sent, 0) < LENGTH_BYTES + bytes)
        keep_rest(p, out, pieces, MAX(sent, 0));
    return true;
}

/* ---- the peer comes */

bool stream_adopt(PeerNet *p, int fd)
{
    int one = 1;
    g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails for unix sockets, which have none */
    p->fd = fd;
    p->got = 0;
    stream_read(p);
    hostnet_carrier(&p->net, true);
    return true;
}

/* One peer at a time. */
static gboolean on_accept(int listener, GIOCondition condition, void *arg)
{
    PeerNet *p = arg;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return G_SOURCE_CONTINUE;
    g_clear_pointer(&p->accepting, g_source_unref);
    stream_adopt(p, fd);
    return G_SOURCE_REMOVE;
}

bool stream_listen_fd(PeerNet *p, int fd)
{
    p->listener = fd;
    hostnet_carrier(&p->net, false);
    wait_for_another(p);
    return true;
}

/* A socket file that nobody listens at is a dead machine's. */
static void remove_stale(const PeerAddress *at)
{
    int fd = at->addr.ss_family == AF_UNIX ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at->addr, at->len) < 0 && errno == ECONNREFUSED)
        unlink(at->text + strlen("unix:"));
    if (fd >= 0)
        close(fd);
}

bool stream_listen(PeerNet *p, const PeerAddress *at, GError **err)
{
    int one = 1, fd;
    remove_stale(at);
    fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at->addr, at->len) < 0 || listen(fd, 1) < 0) {
        int errnum = errno;
        if (fd >= 0)
            close(fd);
        return error_set_errno(err, errnum, "cannot listen at %s", at->text);
    }
    p->unlink_path = at->addr.ss_family == AF_UNIX ? g_strdup(at->text + strlen("unix:")) : NULL;
    return stream_listen_fd(p, fd);
}

bool stream_connect(PeerNet *p, GError **err)
{
    int fd = socket(p->peer.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&p->peer.addr, p->peer.len) == 0)
        return stream_adopt(p, fd);
    int errnum = errno;
    if (fd >= 0)
        close(fd);
    hostnet_carrier(&p->net, false);
    wait_for_another(p);
    return p->reconnect_ms > 0 || error_set_errno(err, errnum, "cannot connect to %s (is a peer listening there? reconnect=SECONDS waits for one)", p->peer.text);
}
