/* dgram.c - frames as datagrams: UDP, multicast, unix sockets, a socket pair.  What a peer has no room for is lost where it cannot say so. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/iov.h"
#include "hostnet/peer.h"

enum { BURST = 64, PIECES = 1024 };

static gboolean readable(int fd, GIOCondition condition, void *arg)
{
    PeerNet *p = arg;
    for (unsigned i = 0; i < BURST && !hostnet_full(&p->net); i++) {
        ssize_t n = recv(fd, p->frame, HOSTNET_FRAME_MAX, MSG_DONTWAIT);
        if (n >= NET_ETH_BYTES)
            hostnet_deliver(&p->net, 0, &(NetHeader){ 0 }, &(struct iovec){ p->frame, n }, 1);
        else if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        else if (n <= 0 && condition & G_IO_HUP) {
            hostnet_carrier(&p->net, false);
            g_clear_pointer(&p->in, g_source_unref);
            return G_SOURCE_REMOVE;
        }
    }
    if (!hostnet_full(&p->net))
        return G_SOURCE_CONTINUE;
    g_clear_pointer(&p->in, g_source_unref);
    return G_SOURCE_REMOVE;
}

void dgram_read(PeerNet *p)
{
    if (p->fd >= 0 && !p->in)
        peer_watch(p, &p->in, p->fd, G_IO_IN | G_IO_HUP, readable);
}

static gboolean writable(int fd, GIOCondition condition, void *arg)
{
    PeerNet *p = arg;
    g_clear_pointer(&p->out, g_source_unref);
    hostnet_writable(&p->net);
    return G_SOURCE_REMOVE;
}

/* poll(2) says of a unix socket that is not connected only that its own queue has room. */
static bool can_wait(const PeerNet *p) { return !p->peer.len || p->peer.addr.ss_family != AF_UNIX; }

bool dgram_send(PeerNet *p, const struct iovec *iov, unsigned n)
{
    struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n, .msg_name = p->peer.len ? &p->peer.addr : NULL, .msg_namelen = p->peer.len };
    if (n <= PIECES && sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return true;
    if (n <= PIECES && errno == EAGAIN && can_wait(p)) {
        if (!p->out)
            peer_watch(p, &p->out, p->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP, writable);
        return false;
    }
    atomic_fetch_add(&p->net.tx_dropped, 1);
    return true;
}

void dgram_start(PeerNet *p, int fd)
{
    p->datagrams = true;
    p->fd = fd;
    g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    dgram_read(p);
}
