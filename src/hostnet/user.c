/*
 * user.c - the guest behind a NAT of its own in this process: libslirp (DHCP, DNS, TFTP, forwards; no rights needed).
 *
 * libslirp knows neither checksum offload nor segments larger than a frame; between it and a card that does, this file makes
 * both work.  What the card leaves open is finished and goes in whole, however large.  The other way, the maximum segment size
 * that the guest asks for when a connection begins is raised, so that libslirp makes large segments, which the card gets with
 * the guest's own size beside them.  What is too large for a card (other protocols, drivers without offloads) is cut here.
 */
#include "hostnet/user.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/iov.h"
#include "hostnet/user_poll.h"

enum { FRAME_BYTES = 1500 + NET_ETH_BYTES, MSS_IPV4 = 1460, MSS_IPV6 = 1440, MSS_RAISED = 16 * 1440 };
enum { SLACK_US = 10000 };
enum { TCP_SYN = 2, OPTION_END = 0, OPTION_NOP = 1, OPTION_MSS = 2 };

typedef struct UserNet {
    HostNet net;
    Slirp *slirp;
    GSource *source;
    UserPoll *poll;
    gint64 until_us; /* when the thread looks again at the latest */
    uint8_t frame[HOSTNET_FRAME_MAX];
} UserNet;

/* ---- from libslirp to the card */

static void deliver_plain(void *arg, uint8_t *frame, size_t n)
{
    HostNet *h = arg;
    NetHeader header = { .flags = atomic_load(&h->accepts) & HOSTNET_CSUM ? NET_DATA_VALID : 0 };
    hostnet_deliver(h, 0, &header, &(struct iovec){ frame, n }, 1);
}

static NetHeader segment_header(const NetTcp *t)
{
    return (NetHeader){ .flags = NET_NEEDS_CSUM, .gso_type = t->ipv6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4, .hdr_len = t->payload,
                        .gso_size = t->ipv6 ? MSS_IPV6 : MSS_IPV4, .csum_start = t->tcp, .csum_offset = 16 };
}

/* The checksum in the frame becomes that of the pseudo-header, as NEEDS_CSUM has it. */
static void deliver_large(HostNet *h, const uint8_t *frame, size_t n, const NetTcp *t)
{
    uint8_t head[256];
    NetHeader header = segment_header(t);
    uint16_t sum = ~net_checksum(NULL, 0, net_tcp_pseudo(frame, t, t->end - t->tcp));
    memcpy(head, frame, t->payload);
    head[t->tcp + 16] = sum >> 8;
    head[t->tcp + 17] = sum;
    struct iovec iov[] = { { head, t->payload }, { (uint8_t *)frame + t->payload, n - t->payload } };
    hostnet_deliver(h, 0, &header, iov, 2);
}

static void deliver(HostNet *h, const uint8_t *frame, size_t n)
{
    NetTcp t;
    unsigned accepts = atomic_load(&h->accepts);
    if (n <= FRAME_BYTES) {
        deliver_plain(h, (uint8_t *)frame, n);
        return;
    }
    bool cut;
    if (!net_parse_tcp(frame, n, &t)) {
        cut = net_fragment_ipv4(frame, n, FRAME_BYTES - NET_ETH_BYTES, deliver_plain, h);
    } else if (t.payload <= 256 && accepts & (t.ipv6 ? HOSTNET_TSO6 : HOSTNET_TSO4)) {
        deliver_large(h, frame, n, &t);
        cut = true;
    } else {
        NetHeader header = segment_header(&t);
        cut = net_segment(&header, frame, n, deliver_plain, h);
    }
    if (!cut)
        atomic_fetch_add(&h->rx_dropped, 1);
}

static ssize_t send_packet(const void *frame, size_t n, void *opaque)
{
    deliver(opaque, frame, n);
    return n;
}

/* ---- from the card to libslirp */

/* Where the value of the MSS option of a SYN stands; NULL: none. */
static uint8_t *find_mss(uint8_t *frame, const NetTcp *t)
{
    for (size_t at = t->tcp + 20; at + 4 <= t->payload;) {
        uint8_t kind = frame[at], len = frame[at + 1];
        if (kind == OPTION_END)
            return NULL;
        if (kind == OPTION_MSS && len == 4)
            return frame + at + 2;
        if (kind != OPTION_NOP && len < 2)
            return NULL;
        at += kind == OPTION_NOP ? 1 : len;
    }
    return NULL;
}

/* RFC 1624: what is added to a word that a checksum covers is taken from the checksum.  A partial one covers no data yet. */
static void raise_mss(uint8_t *frame, const NetTcp *t, bool partial)
{
    uint8_t *mss = find_mss(frame, t), *sum = frame + t->tcp + 16;
    uint32_t old = mss ? mss[0] << 8 | mss[1] : 0, now = MSS_RAISED;
    if (old < (t->ipv6 ? MSS_IPV6 : MSS_IPV4) || old >= now)
        return;
    mss[0] = now >> 8;
    mss[1] = now & 0xff;
    if (partial)
        return;
    bool odd = (mss - (frame + t->tcp)) % 2; /* then the word lies across two of the checksum's */
    uint32_t was = odd ? GUINT16_SWAP_LE_BE((uint16_t)old) : old, is = odd ? GUINT16_SWAP_LE_BE((uint16_t)now) : now;
    uint32_t s = (uint16_t)~(sum[0] << 8 | sum[1]) + (uint16_t)~was + is;
    s = (s & 0xffff) + (s >> 16);
    s = ~((s & 0xffff) + (s >> 16));
    sum[0] = s >> 8;
    sum[1] = s;
}

static void look_at_syn(UserNet *u, size_t n, bool partial)
{
    NetTcp t;
    unsigned accepts = atomic_load(&u->net.accepts);
    if (accepts & (HOSTNET_TSO4 | HOSTNET_TSO6) && net_parse_tcp(u->frame, n, &t) && u->frame[t.tcp + 13] & TCP_SYN &&
        accepts & (t.ipv6 ? HOSTNET_TSO6 : HOSTNET_TSO4))
        raise_mss(u->frame, &t, partial);
}

static bool user_send(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    UserNet *u = (UserNet *)h;
    size_t bytes = iov_read(iov, n, 0, u->frame, sizeof(u->frame));
    if (bytes <= FRAME_BYTES)
        look_at_syn(u, bytes, header->flags & NET_NEEDS_CSUM);
    if (!net_finish_checksum(header, u->frame, bytes))
        atomic_fetch_add(&h->tx_dropped, 1);
    else
        slirp_input(u->slirp, u->frame, bytes);
    return true;
}

/* ---- sockets */

typedef struct UserSource {
    GSource source;
    UserNet *u;
} UserSource;

static int add_poll(int fd, int events, void *opaque) { return user_poll_want(((UserNet *)opaque)->poll, fd, events); }
static int get_revents(int i, void *opaque) { return user_poll_events(((UserNet *)opaque)->poll, i); }

/* What libslirp waits for from now on, and for how many milliseconds at most. */
static uint32_t ask(UserNet *u)
{
    uint32_t ms = UINT32_MAX;
    user_poll_begin(u->poll);
    slirp_pollfds_fill(u->slirp, &ms, add_poll, u);
    user_poll_end(u->poll);
    return MIN(ms, 1000000);
}

static gboolean user_prepare(GSource *s, int *timeout)
{
    UserNet *u = ((UserSource *)s)->u;
    *timeout = ask(u);
    u->until_us = g_get_monotonic_time() + *timeout * 1000ll;
    return FALSE;
}

static gboolean user_check(GSource *s) { return TRUE; } /* libslirp's own timers run in slirp_pollfds_poll() too */

static gboolean user_dispatch(GSource *s, GSourceFunc unused, void *arg)
{
    UserNet *u = ((UserSource *)s)->u;
    user_poll_wake(u->poll);
    user_poll_collect(u->poll);
    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs user_funcs = { .prepare = user_prepare, .check = user_check, .dispatch = user_dispatch };

/* ---- in the place of the thread */

static bool user_ready(HostNet *h) { return user_poll_ready(((UserNet *)h)->poll); }
static void user_mute(HostNet *h, unsigned us) { user_poll_mute(((UserNet *)h)->poll, us); }

static bool user_look(HostNet *h)
{
    UserNet *u = (UserNet *)h;
    if (!user_poll_collect(u->poll))
        return false;
    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    return true;
}

/* libslirp's timers are of 200 and 500 ms, in whole milliseconds. */
static void user_settle(HostNet *h)
{
    UserNet *u = (UserNet *)h;
    if (g_get_monotonic_time() + ask(u) * 1000ll + SLACK_US < u->until_us)
        g_main_context_wakeup(h->context);
}

/* ---- what libslirp asks of its host */

static void guest_error(const char *text, void *opaque) {} /* counted by the card as lost frames are: guests may do it at will */
static int64_t clock_get_ns(void *opaque) { return g_get_monotonic_time() * 1000; }
static void fd_changed(int fd, void *opaque) { user_poll_forget(((UserNet *)opaque)->poll, fd); }
static void notify(void *opaque) {} /* only ever called on this thread, before the next look */

typedef struct UserTimer {
    UserNet *u;
    GSource *source;
    SlirpTimerId id;
    void *cb_opaque;
} UserTimer;

static gboolean timer_fired(void *arg)
{
    UserTimer *t = arg;
    g_source_set_ready_time(t->source, -1);
    slirp_handle_timer(t->u->slirp, t->id, t->cb_opaque);
    return G_SOURCE_CONTINUE;
}

static gboolean timer_dispatch(GSource *s, GSourceFunc fn, void *arg) { return fn(arg); }
static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

static void *timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    UserTimer *t = g_new0(UserTimer, 1);
    *t = (UserTimer){ .u = opaque, .source = g_source_new(&timer_funcs, sizeof(GSource)), .id = id, .cb_opaque = cb_opaque };
    g_source_set_callback(t->source, timer_fired, t, NULL);
    g_source_attach(t->source, t->u->net.context);
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    UserTimer *t = timer;
    g_source_destroy(t->source);
    g_source_unref(t->source);
    g_free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque) { g_source_set_ready_time(((UserTimer *)timer)->source, expire_ms * 1000); }

static const SlirpCb callbacks = {
    .send_packet = send_packet, .guest_error = guest_error, .clock_get_ns = clock_get_ns, .timer_free = timer_free, .timer_mod = timer_mod,
    .register_poll_fd = fd_changed, .unregister_poll_fd = fd_changed, .notify = notify, .timer_new_opaque = timer_new,
};

/* ---- life */

static bool add_forwards(UserNet *u, const UserOptions *o, GError **err)
{
    for (unsigned i = 0; i < o->hostfwd->len; i++)
        if (!user_add_hostfwd(u->slirp, o->hostfwd->pdata[i], err))
            return false;
    for (unsigned i = 0; i < o->guestfwd->len; i++)
        if (!user_add_guestfwd(u->slirp, o->guestfwd->pdata[i], err))
            return false;
    return true;
}

static char *describe(const UserOptions *o)
{
    g_autofree char *net = g_strdup(inet_ntoa(o->slirp.vnetwork));
    GString *s = g_string_new(NULL);
    g_string_printf(s, "user: net=%s, restrict=%s", net, o->slirp.restricted ? "on" : "off");
    for (unsigned i = 0; i < o->hostfwd->len; i++)
        g_string_append_printf(s, ", hostfwd=%s", (char *)o->hostfwd->pdata[i]);
    return g_string_free(s, FALSE);
}

static bool start(UserNet *u, const UserOptions *o, GError **err)
{
    HostNet *h = &u->net;
    h->takes = HOSTNET_CSUM | HOSTNET_TSO4 | HOSTNET_TSO6 | HOSTNET_ECN | HOSTNET_UFO;
    h->makes = HOSTNET_CSUM | HOSTNET_TSO4 | HOSTNET_TSO6;
    h->description = describe(o);
    if (!(u->poll = user_poll_new(err)))
        return false;
    if (!(u->slirp = slirp_new(&o->slirp, &callbacks, u)))
        return error_set(err, ERR_INVALID, "libslirp %s refuses this network: two of its addresses are the same, or no family is left", slirp_version_string());
    u->source = g_source_new(&user_funcs, sizeof(UserSource));
    ((UserSource *)u->source)->u = u;
    g_source_add_unix_fd(u->source, user_poll_fd(u->poll), G_IO_IN);
    /* Else GLib takes the descriptor out around every dispatch and puts it back, and each of that wakes the very loop: it never slept. */
    g_source_set_can_recurse(u->source, TRUE);
    g_source_attach(u->source, h->context);
    return add_forwards(u, o, err);
}

static bool user_open(HostNet *h, KeyVals *kv, GError **err)
{
    UserOptions o;
    user_options_init(&o);
    bool ok = user_options_take(&o, kv, err) && keyvals_end(kv, err) && start((UserNet *)h, &o, err);
    user_options_clear(&o);
    return ok;
}

static void user_close(HostNet *h)
{
    UserNet *u = (UserNet *)h;
    if (u->source)
        g_source_destroy(u->source);
    g_clear_pointer(&u->source, g_source_unref);
    g_clear_pointer(&u->slirp, slirp_cleanup);
    g_clear_pointer(&u->poll, user_poll_free);
}

const HostNetBackend hostnet_user = {
    .name = "user",
    .doc = "the guest behind this process, without rights: net=ADDRESS/BITS, host=ADDRESS, dhcpstart=ADDRESS, dns=ADDRESS, hostname=NAME,\n"
           "         domainname=NAME, dnssearch=NAME, restrict=on|off, ipv4=on|off, ipv6=on|off, ipv6-net=PREFIX/BITS, ipv6-host=ADDRESS,\n"
           "         ipv6-dns=ADDRESS, tftp=DIR, bootfile=FILE, tftp-server-name=NAME,\n"
           "         hostfwd=tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT, guestfwd=tcp:ADDRESS:PORT-cmd:COMMAND|unix:PATH",
    .size = sizeof(UserNet),
    .open = user_open,
    .close = user_close,
    .send = user_send,
    .ready = user_ready,
    .look = user_look,
    .settle = user_settle,
    .mute = user_mute,
};
