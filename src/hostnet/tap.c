/*
 * tap.c - an interface of the host's own: by name (made if need be), or by descriptors that somebody has opened.
 *
 * Linux: Documentation/networking/tuntap.rst.  With vnet_hdr frames carry their NetHeader, so that the host's network stack
 * does what a card leaves open, and the other way round; without, hostnet.c does.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/iov.h"
#include "hostnet/backend.h"

#define DEFAULT_BRIDGE "br0"
#define DEFAULT_HELPER "/usr/lib/qemu/qemu-bridge-helper" /* Debian's qemu-system-common */
enum { BURST = 64, PIECES = 1024, HEADER_BYTES = 10 }; /* BURST: frames of one queue before the others get their turn */
G_STATIC_ASSERT(sizeof(NetHeader) == HEADER_BYTES);

typedef struct TapNet TapNet;
typedef struct TapQueue {
    TapNet *tap;
    int fd;
    GSource *in, *out;
} TapQueue;

struct TapNet {
    HostNet net;
    TapQueue queue[HOSTNET_QUEUES];
    char ifname[IFNAMSIZ];
    char *downscript; /* NULL: none */
    bool header, gone;
    uint8_t frame[HEADER_BYTES + HOSTNET_FRAME_MAX];
};

/* ---- to the card */

static void stop_source(GSource **s)
{
    if (*s)
        g_source_destroy(*s);
    g_clear_pointer(s, g_source_unref);
}

static void lost(TapNet *t, int errnum)
{
    if (t->gone)
        return;
    t->gone = true;
    g_printerr("atoll-vm: network backend '%s': interface '%s' is gone: %s; the guest sees its cable unplugged\n", t->net.id, t->ifname, g_strerror(errnum));
    for (unsigned i = 0; i < t->net.n_queues; i++) {
        stop_source(&t->queue[i].in);
        stop_source(&t->queue[i].out);
    }
    hostnet_carrier(&t->net, false);
}

static void deliver(TapNet *t, unsigned queue, size_t n)
{
    NetHeader header = { 0 };
    size_t skip = t->header ? HEADER_BYTES : 0;
    if (n < skip + NET_ETH_BYTES)
        return;
    memcpy(&header, t->frame, skip);
    struct iovec iov = { t->frame + skip, n - skip };
    if (!(net_needs(&header) & ~atomic_load(&t->net.accepts)))
        hostnet_deliver(&t->net, queue, &header, &iov, 1);
    else if (header.gso_type == NET_GSO_NONE && net_finish_checksum(&header, iov.iov_base, iov.iov_len))
        hostnet_deliver(&t->net, queue, &(NetHeader){ 0 }, &iov, 1);
    else
        atomic_fetch_add(&t->net.rx_dropped, 1); /* made before the card said what it takes */
}

static void watch(TapQueue *q);

static gboolean readable(int fd, GIOCondition unused, void *arg)
{
    TapQueue *q = arg;
    TapNet *t = q->tap;
    for (unsigned i = 0; i < BURST && !hostnet_full(&t->net); i++) {
        ssize_t n = read(fd, t->frame, sizeof(t->frame));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return G_SOURCE_CONTINUE;
        if (n <= 0) {
            lost(t, n ? errno : EPIPE);
            return G_SOURCE_REMOVE;
        }
        deliver(t, q - t->queue, n);
    }
    if (!hostnet_full(&t->net))
        return G_SOURCE_CONTINUE;
    g_clear_pointer(&q->in, g_source_unref); /* until the card has room: tap_resume() */
    return G_SOURCE_REMOVE;
}

static void watch(TapQueue *q)
{
    if (q->in || q->tap->gone)
        return;
    q->in = g_unix_fd_source_new(q->fd, G_IO_IN | G_IO_ERR | G_IO_HUP);
    g_source_set_callback(q->in, G_SOURCE_FUNC(readable), q, NULL);
    g_source_attach(q->in, q->tap->net.context);
}

static void tap_resume(HostNet *h)
{
    TapNet *t = (TapNet *)h;
    for (unsigned i = 0; i < h->n_queues; i++)
        watch(&t->queue[i]);
}

/* ---- from the card */

static gboolean writable(int fd, GIOCondition unused, void *arg)
{
    TapQueue *q = arg;
    g_clear_pointer(&q->out, g_source_unref);
    hostnet_writable(&q->tap->net);
    return G_SOURCE_REMOVE;
}

static void watch_out(TapQueue *q)
{
    if (q->out)
        return;
    q->out = g_unix_fd_source_new(q->fd, G_IO_OUT | G_IO_ERR);
    g_source_set_callback(q->out, G_SOURCE_FUNC(writable), q, NULL);
    g_source_attach(q->out, q->tap->net.context);
}

static bool tap_send(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    TapNet *t = (TapNet *)h;
    TapQueue *q = &t->queue[queue % h->n_queues];
    NetHeader head = *header;
    struct iovec out[PIECES] = { { &head, HEADER_BYTES } };
    unsigned first = t->header ? 0 : 1;
    size_t bytes;
    if (t->gone || n >= PIECES) {
        atomic_fetch_add(&h->tx_dropped, 1);
        return true;
    }
    unsigned pieces = iov_slice(iov, n, 0, HOSTNET_FRAME_MAX, out + 1, PIECES - 1, &bytes);
    if (writev(q->fd, out + first, pieces + 1 - first) >= 0)
        return true;
    if (errno == EAGAIN) {
        watch_out(q);
        return false;
    }
    atomic_fetch_add(&h->tx_dropped, 1); /* the interface is down, or the frame is none */
    if (errno == EBADFD || errno == ENODEV)
        lost(t, errno);
    return true;
}

/* What the host's stack may leave to the card.  TUN_F_CSUM must be there for the others. */
static void tap_accepted(HostNet *h)
{
    TapNet *t = (TapNet *)h;
    unsigned a = atomic_load(&h->accepts);
    unsigned flags = !(a & HOSTNET_CSUM) ? 0 : TUN_F_CSUM | (a & HOSTNET_TSO4 ? TUN_F_TSO4 : 0) | (a & HOSTNET_TSO6 ? TUN_F_TSO6 : 0) |
                                               (a & HOSTNET_ECN && a & (HOSTNET_TSO4 | HOSTNET_TSO6) ? TUN_F_TSO_ECN : 0);
    for (unsigned i = 0; t->header && i < h->n_queues; i++)
        if (ioctl(t->queue[i].fd, TUNSETOFFLOAD, flags) < 0 && flags)
            ioctl(t->queue[i].fd, TUNSETOFFLOAD, 0);
}

/* ---- opening */

typedef struct TapOptions {
    const char *ifname, *script, *downscript, *bridge, *fds, *helper;
    bool header;
    uint64_t queues;
} TapOptions;

static bool prepare(TapNet *t, int fd, GError **err)
{
    struct ifreq r = { 0 };
    int size = HEADER_BYTES;
    if (ioctl(fd, TUNGETIFF, &r) < 0)
        return error_set_errno(err, errno, "descriptor %d is no tap interface", fd);
    if (!(r.ifr_flags & IFF_TAP) || !(r.ifr_flags & IFF_NO_PI))
        return error_set(err, ERR_INVALID, "descriptor %d ('%s') must be a tap interface (IFF_TAP) opened with IFF_NO_PI", fd, r.ifr_name);
    g_strlcpy(t->ifname, r.ifr_name, sizeof(t->ifname));
    t->header = r.ifr_flags & IFF_VNET_HDR;
    if (t->header && ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        return error_set_errno(err, errno, "interface '%s': cannot set the size of its frame header", t->ifname);
    return g_unix_set_fd_nonblocking(fd, TRUE, err);
}

static bool add_queue(TapNet *t, int fd, GError **err)
{
    TapQueue *q = &t->queue[t->net.n_queues];
    *q = (TapQueue){ .tap = t, .fd = fd };
    t->net.n_queues++;
    return prepare(t, fd, err);
}

static bool open_queue(TapNet *t, const TapOptions *o, GError **err)
{
    struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | (o->header ? IFF_VNET_HDR : 0) | (o->queues > 1 ? IFF_MULTI_QUEUE : 0) };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open /dev/net/tun; load the module tun, or use -netdev user");
    g_strlcpy(r.ifr_name, *t->ifname ? t->ifname : o->ifname ? o->ifname : "tap%d", sizeof(r.ifr_name));
    if (ioctl(fd, TUNSETIFF, &r) < 0) {
        int errnum = errno;
        close(fd);
        const char *way = errnum == EPERM ? "; it takes CAP_NET_ADMIN, or an interface of yours (ip tuntap add mode tap user NAME)"
                          : errnum == EBUSY ? "; another program has it" : errnum == EINVAL ? "; was it made with other queues or as tun?" : "";
        return error_set_errno(err, errnum, "cannot open the tap interface '%s'%s", r.ifr_name, way);
    }
    return add_queue(t, fd, err);
}

/* What was passed is ours, also where nothing comes of it. */
static void close_fds(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text ? text : "", ":", -1);
    for (unsigned i = 0; words[i]; i++) {
        guint64 fd;
        if (g_ascii_string_to_unsigned(words[i], 10, 3, G_MAXINT, &fd, NULL))
            close(fd);
    }
}

static bool take_fds(TapNet *t, const char *text, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text, ":", -1);
    for (unsigned i = 0; words[i]; i++) {
        guint64 fd;
        if (i == HOSTNET_QUEUES || !g_ascii_string_to_unsigned(words[i], 10, 0, G_MAXINT, &fd, NULL))
            return error_set(err, ERR_INVALID, "fds=%s is no list of up to %d descriptors as in fds=5:6", text, HOSTNET_QUEUES);
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return error_set_errno(err, errno, "descriptor %u was not passed to this process", (unsigned)fd);
        if (!add_queue(t, fd, err))
            return false;
    }
    return true;
}

/* ---- the host's side of the cable */

static bool run_script(TapNet *t, const char *script, GError **err)
{
    const char *argv[] = { script, t->ifname, NULL };
    int status = 0;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, err))
        return false;
    return WIFEXITED(status) && !WEXITSTATUS(status) ? true : error_set(err, ERR_IO, "'%s %s' failed", script, t->ifname);
}

static bool join_bridge(TapNet *t, const char *bridge, GError **err)
{
    struct ifreq r = { .ifr_ifindex = if_nametoindex(t->ifname) };
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_strlcpy(r.ifr_name, bridge, sizeof(r.ifr_name));
    bool ok = s >= 0 && (ioctl(s, SIOCBRADDIF, &r) == 0 || errno == EBUSY); /* EBUSY: it is in one already */
    int errnum = errno;
    r = (struct ifreq){ 0 };
    g_strlcpy(r.ifr_name, t->ifname, sizeof(r.ifr_name));
    if (ok && (ok = ioctl(s, SIOCGIFFLAGS, &r) == 0)) {
        r.ifr_flags |= IFF_UP;
        ok = ioctl(s, SIOCSIFFLAGS, &r) == 0;
        errnum = errno;
    }
    if (s >= 0)
        close(s);
    return ok || error_set_errno(err, errnum, "cannot put '%s' into bridge '%s' and bring it up", t->ifname, bridge);
}

static bool is_script(const char *name) { return name && *name && !g_str_equal(name, "no"); }

static bool start(TapNet *t, const TapOptions *o, GError **err)
{
    HostNet *h = &t->net;
    h->n_queues = 0;
    if (o->fds && !take_fds(t, o->fds, err))
        return false;
    int from_helper = o->helper ? bridge_helper_tap(o->helper, o->bridge, err) : -1;
    if (o->helper && (from_helper < 0 || !add_queue(t, from_helper, err)))
        return false;
    for (unsigned i = 0; !o->fds && !o->helper && i < o->queues; i++)
        if (!open_queue(t, o, err))
            return false;
    h->takes = t->header ? HOSTNET_CSUM | HOSTNET_TSO4 | HOSTNET_TSO6 | HOSTNET_ECN : 0;
    h->makes = h->takes;
    h->description = g_strdup_printf("tap: ifname=%s, queues=%u%s", t->ifname, h->n_queues, t->header ? ", vnet_hdr=on" : "");
    if (is_script(o->script) && !run_script(t, o->script, err))
        return false;
    if (o->bridge && !o->helper && !join_bridge(t, o->bridge, err))
        return false;
    t->downscript = is_script(o->downscript) ? g_strdup(o->downscript) : NULL;
    tap_resume(h);
    return true;
}

/* libvirt hands over a descriptor of vhost-net wherever the host has one: frames pass here all the same. */
static bool take_vhost(KeyVals *kv, GError **err)
{
    const char *one = keyvals_take(kv, "vhostfd"), *several = keyvals_take(kv, "vhostfds");
    bool vhost = false, forced = false;
    close_fds(one ? one : several);
    if (!keyvals_take_bool(kv, "vhost", &vhost, err) || !keyvals_take_bool(kv, "vhostforce", &forced, err))
        return false;
    return !forced && (!vhost || one || several) ? true : error_set(err, ERR_UNSUPPORTED, "vhost=on is not built; leave it out");
}

static bool read_options(KeyVals *kv, TapOptions *o, GError **err)
{
    o->ifname = keyvals_take(kv, "ifname");
    o->script = keyvals_take(kv, "script");
    o->downscript = keyvals_take(kv, "downscript");
    o->bridge = keyvals_take(kv, "br");
    o->helper = keyvals_take(kv, "helper");
    if (!take_vhost(kv, err) || !keyvals_take_bool(kv, "vnet_hdr", &o->header, err) || !keyvals_take_number(kv, "queues", 1, HOSTNET_QUEUES, &o->queues, err) ||
        !keyvals_end(kv, err))
        return false;
    if (o->fds && (o->ifname || is_script(o->script)))
        return error_set(err, ERR_INVALID, "fd= and fds= name an interface that is set up already; leave out ifname= and script=");
    if (o->helper && (o->fds || o->ifname || o->queues > 1))
        return error_set(err, ERR_INVALID, "helper= makes one interface by itself; leave out fd=, ifname= and queues=");
    if (o->helper && !o->bridge)
        o->bridge = DEFAULT_BRIDGE;
    if (o->ifname && strlen(o->ifname) >= IFNAMSIZ)
        return error_set(err, ERR_INVALID, "ifname=%s is too long: names of interfaces have up to %d bytes", o->ifname, IFNAMSIZ - 1);
    return true;
}

static bool tap_open(HostNet *h, KeyVals *kv, GError **err)
{
    const char *fd = keyvals_take(kv, "fd"), *fds = keyvals_take(kv, "fds");
    TapOptions o = { .fds = fd ? fd : fds, .header = true, .queues = 1 };
    h->n_queues = 0;
    if (read_options(kv, &o, err))
        return start((TapNet *)h, &o, err);
    close_fds(o.fds);
    return false;
}

static bool bridge_open(HostNet *h, KeyVals *kv, GError **err)
{
    const char *bridge = keyvals_take(kv, "br"), *helper = keyvals_take(kv, "helper");
    TapOptions o = { .bridge = bridge ? bridge : DEFAULT_BRIDGE, .helper = helper ? helper : DEFAULT_HELPER, .header = true };
    h->n_queues = 0;
    return keyvals_end(kv, err) && start((TapNet *)h, &o, err);
}

static void tap_close(HostNet *h)
{
    TapNet *t = (TapNet *)h;
    g_autoptr(GError) err = NULL;
    if (t->downscript && !run_script(t, t->downscript, &err))
        g_printerr("atoll-vm: warning: network backend '%s': %s\n", h->id, err->message);
    for (unsigned i = 0; i < h->n_queues; i++) {
        stop_source(&t->queue[i].in);
        stop_source(&t->queue[i].out);
        close(t->queue[i].fd);
    }
    g_free(t->downscript);
}

const HostNetBackend hostnet_tap = {
    .name = "tap",
    .doc = "an interface of the host: ifname=NAME, or fd=N, fds=N:M; queues=N, vnet_hdr=on|off, br=BRIDGE,\n"
           "         script=FILE|no, downscript=FILE|no (run with the interface's name), helper=PROGRAM as of bridge",
    .size = sizeof(TapNet),
    .open = tap_open,
    .close = tap_close,
    .send = tap_send,
    .resume = tap_resume,
    .accepted = tap_accepted,
};

const HostNetBackend hostnet_bridge = {
    .name = "bridge",
    .doc = "a tap interface in a bridge, from a helper that may make one: br=BRIDGE (" DEFAULT_BRIDGE "), helper=PROGRAM\n"
           "         (" DEFAULT_HELPER ")",
    .size = sizeof(TapNet),
    .open = bridge_open,
    .close = tap_close,
    .send = tap_send,
    .resume = tap_resume,
    .accepted = tap_accepted,
};
