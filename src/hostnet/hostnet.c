/*
 * hostnet.c - opening a host end by its spelling, its thread, and the way of frames between a card and a backend.
 *
 * Frames that one side does not take wait in a queue each way: those for the card up to a bound, beyond which the newest are
 * lost, as on a wire; those for the backend are the pieces of one frame at most, for the card keeps the others.
 */
#include "hostnet/hostnet.h"

#include <string.h>

#include "base/iov.h"
#include "hostnet/backend.h"

enum { WAKE_RESUME = 1u << 30, WAKE_ACCEPT = 1u << 29, WAKE_LINK = 1u << 28, WAKE_QUEUES = WAKE_LINK - 1 };
enum { IN_BYTES_MAX = 4 << 20, IN_FRAMES_MAX = 10000 };

static const HostNetBackend *const backends[] = { &hostnet_user, &hostnet_tap, &hostnet_bridge, &hostnet_socket, &hostnet_stream, &hostnet_dgram };

typedef struct Waiting {
    NetHeader header;
    unsigned queue;
    struct iovec iov; /* the frame, behind this struct */
    uint8_t frame[];
} Waiting;

/* ---- help and finding */

char *hostnet_help(void)
{
    GString *text = g_string_new("Host ends of network cards (-netdev TYPE,id=ID,...; also -nic and -net):\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++)
        g_string_append_printf(text, "%-8s %s\n", backends[i]->name, backends[i]->doc);
    return g_string_free(text, FALSE);
}

const char *const *hostnet_kinds(void)
{
    static const char *const names[] = { "user", "tap", "bridge", "socket", "stream", "dgram", NULL };
    G_STATIC_ASSERT(G_N_ELEMENTS(names) == G_N_ELEMENTS(backends) + 1);
    return names;
}

static const HostNetBackend *backend_find(const char *name, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++)
        if (g_str_equal(name, backends[i]->name))
            return backends[i];
    g_autofree char *hint = did_you_mean(name, hostnet_kinds()), *all = g_strjoinv(", ", (char **)hostnet_kinds());
    error_set(err, ERR_INVALID, "no network backend '%s'%s; there are: %s", name, hint, all);
    return NULL;
}

/* ---- statistics and dumps */

static void count(_Atomic uint64_t *counter, uint64_t n) { atomic_fetch_add_explicit(counter, n, memory_order_relaxed); }

void hostnet_stats(const HostNet *h, HostNetStats *ret)
{
    *ret = (HostNetStats){ h->tx_frames, h->tx_bytes, h->tx_dropped, h->rx_frames, h->rx_bytes, h->rx_dropped };
}

static void dump(HostNet *h, const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < h->dumps->len; i++)
        net_dump_write(h->dumps->pdata[i], iov, n);
}

bool hostnet_dump(HostNet *h, const char *id, const char *path, uint32_t maxlen, GError **err)
{
    NetDump *d = net_dump_open(id, path, maxlen, err);
    if (!d)
        return false;
    g_rec_mutex_lock(&h->lock);
    g_ptr_array_add(h->dumps, d);
    g_rec_mutex_unlock(&h->lock);
    return true;
}

bool hostnet_undump(HostNet *h, const char *id)
{
    bool found = false;
    g_rec_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->dumps->len && !found; i++)
        if ((found = g_str_equal(net_dump_id(h->dumps->pdata[i]), id)))
            g_ptr_array_remove_index(h->dumps, i);
    g_rec_mutex_unlock(&h->lock);
    return found;
}

/* ---- to the card */

static Waiting *waiting_new(unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    size_t bytes = iov_size(iov, n);
    Waiting *w = g_malloc(sizeof(*w) + bytes);
    w->header = *header;
    w->queue = queue;
    w->iov = (struct iovec){ w->frame, iov_read(iov, n, 0, w->frame, bytes) };
    return w;
}

static bool give(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    g_rec_mutex_lock(&h->lock);
    bool taken = !h->card || !hostnet_link(h) || h->card->receive(h->opaque, queue, header, iov, n);
    if (taken && h->card && hostnet_link(h)) {
        dump(h, iov, n);
        count(&h->rx_frames, 1);
        count(&h->rx_bytes, iov_size(iov, n));
    }
    g_rec_mutex_unlock(&h->lock);
    return taken;
}

static void keep(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    if (h->in.length >= IN_FRAMES_MAX || h->in_bytes >= IN_BYTES_MAX) {
        count(&h->rx_dropped, 1);
        return;
    }
    Waiting *w = waiting_new(queue, header, iov, n);
    h->in_bytes += w->iov.iov_len;
    g_queue_push_tail(&h->in, w);
}

void hostnet_deliver(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    if (h->in.length || !give(h, queue, header, iov, n))
        keep(h, queue, header, iov, n);
}

static void drain(HostNet *h)
{
    bool waited = h->in.length;
    for (Waiting *w; (w = g_queue_peek_head(&h->in));) {
        if (!give(h, w->queue, &w->header, &w->iov, 1))
            return;
        h->in_bytes -= w->iov.iov_len;
        g_free(g_queue_pop_head(&h->in));
    }
    if (waited && h->backend->resume)
        h->backend->resume(h);
}

/* ---- to the backend */

static void flush_out(HostNet *h)
{
    for (Waiting *w; (w = g_queue_peek_head(&h->out));) {
        if (!h->backend->send(h, w->queue, &w->header, &w->iov, 1))
            return;
        g_free(g_queue_pop_head(&h->out));
    }
}

typedef struct Emit {
    HostNet *h;
    unsigned queue;
} Emit;

static void pass(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    if (h->out.length || !h->backend->send(h, queue, header, iov, n))
        g_queue_push_tail(&h->out, waiting_new(queue, header, iov, n));
}

static void emit_frame(void *arg, uint8_t *frame, size_t n)
{
    Emit *e = arg;
    pass(e->h, e->queue, &(NetHeader){ 0 }, &(struct iovec){ frame, n }, 1);
}

/* The backend takes plain frames only, or not this kind of others. */
static bool finish(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    size_t bytes = iov_size(iov, n);
    g_autofree uint8_t *frame = g_malloc(bytes);
    iov_read(iov, n, 0, frame, bytes);
    Emit e = { h, queue };
    if (header->gso_type != NET_GSO_NONE)
        return net_segment(header, frame, bytes, emit_frame, &e);
    if (!net_finish_checksum(header, frame, bytes))
        return false;
    emit_frame(&e, frame, bytes);
    return true;
}

bool hostnet_send(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n)
{
    size_t bytes = iov_size(iov, n);
    if (h->out.length || !hostnet_may_send(h, bytes))
        return false;
    dump(h, iov, n);
    count(&h->tx_frames, 1);
    count(&h->tx_bytes, bytes);
    bool sane = bytes >= NET_ETH_BYTES && bytes <= HOSTNET_FRAME_MAX;
    if (!sane || !hostnet_link(h)) {
        count(&h->tx_dropped, 1);
        return true;
    }
    if (!(net_needs(header) & ~h->takes))
        pass(h, queue, header, iov, n);
    else if (!finish(h, queue, header, iov, n))
        count(&h->tx_dropped, 1);
    return true;
}

static void transmit(HostNet *h, uint32_t queues)
{
    for (unsigned q = 0; q < 2 * HOSTNET_QUEUES; q++) {
        if (!(queues >> q & 1) || h->out.length)
            continue;
        g_rec_mutex_lock(&h->lock);
        if (h->card)
            h->card->transmit(h->opaque, q);
        g_rec_mutex_unlock(&h->lock);
    }
}

void hostnet_writable(HostNet *h)
{
    flush_out(h);
    if (!h->out.length)
        transmit(h, WAKE_QUEUES);
}

/* ---- news for the thread */

void hostnet_kick(HostNet *h, unsigned queue) { hostnet_wake(h, 1u << MIN(queue, 2 * HOSTNET_QUEUES - 5)); }
void hostnet_resume(HostNet *h) { hostnet_wake(h, WAKE_RESUME); }

void hostnet_accept(HostNet *h, unsigned offloads)
{
    if (atomic_exchange(&h->accepts, offloads) != offloads)
        hostnet_wake(h, WAKE_ACCEPT);
}

void hostnet_set_link(HostNet *h, bool up)
{
    if (atomic_exchange(&h->link, up) != up)
        hostnet_wake(h, WAKE_LINK);
}

void hostnet_carrier(HostNet *h, bool up)
{
    if (atomic_exchange(&h->carrier, up) != up)
        hostnet_wake(h, WAKE_LINK);
}

static void tell_link(HostNet *h)
{
    g_rec_mutex_lock(&h->lock);
    if (h->card && h->card->link_changed)
        h->card->link_changed(h->opaque, hostnet_link(h));
    g_rec_mutex_unlock(&h->lock);
}

void hostnet_serve(HostNet *h, uint32_t bits)
{
    if (bits & WAKE_ACCEPT && h->backend->accepted)
        h->backend->accepted(h);
    if (bits & WAKE_LINK)
        tell_link(h);
    if (bits & WAKE_RESUME)
        drain(h);
    transmit(h, bits & WAKE_QUEUES);
}

/* ---- life */

static HostNet *hostnet_new(const HostNetBackend *backend, const char *id)
{
    HostNet *h = g_malloc0(backend->size);
    h->backend = backend;
    h->id = g_strdup(id);
    h->n_queues = 1;
    h->link = h->carrier = true;
    h->dumps = g_ptr_array_new_with_free_func(net_dump_close);
    g_rec_mutex_init(&h->lock);
    g_queue_init(&h->in);
    g_queue_init(&h->out);
    hostnet_prepare_thread(h);
    return h;
}

HostNet *hostnet_open(const char *spec, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(spec, "type", "-netdev", err);
    const char *type = kv ? keyvals_take(kv, "type") : NULL, *id = kv ? keyvals_take(kv, "id") : NULL;
    if (!kv)
        return NULL;
    if (!id || !*id) {
        error_set(err, ERR_INVALID, "-netdev '%s' needs id=, by which a -device names it", spec);
        return NULL;
    }
    const HostNetBackend *backend = backend_find(type ? type : "", err);
    if (!backend)
        return NULL;
    HostNet *h = hostnet_new(backend, id);
    GError *why = NULL;
    if (!backend->open(h, kv, &why)) {
        g_propagate_prefixed_error(err, why, "network backend '%s' (%s): ", id, backend->name);
        hostnet_close(h);
        return NULL;
    }
    hostnet_start_thread(h);
    return h;
}

void hostnet_close(HostNet *h)
{
    if (!h)
        return;
    hostnet_stop_thread(h);
    if (h->backend->close)
        h->backend->close(h);
    g_queue_clear_full(&h->in, g_free);
    g_queue_clear_full(&h->out, g_free);
    g_ptr_array_unref(h->dumps);
    hostnet_free_thread(h);
    g_rec_mutex_clear(&h->lock);
    g_free(h->id);
    g_free(h->description);
    g_free(h);
}

void hostnet_attach(HostNet *h, const HostNetCard *card, void *opaque)
{
    g_rec_mutex_lock(&h->lock);
    h->card = card;
    h->opaque = opaque;
    g_rec_mutex_unlock(&h->lock);
    hostnet_accept(h, 0);
    hostnet_resume(h);
}

const char *hostnet_id(const HostNet *h) { return h->id; }
const char *hostnet_kind(const HostNet *h) { return h->backend->name; }
const char *hostnet_description(const HostNet *h) { return h->description; }
bool hostnet_link(const HostNet *h) { return h->link && h->carrier; }
unsigned hostnet_queues(const HostNet *h) { return h->n_queues; }
unsigned hostnet_offloads(const HostNet *h) { return h->makes; }
