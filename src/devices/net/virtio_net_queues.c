/*
 * virtio_net_queues.c - frames between rings and the host end.  Virtio 1.2, 5.1.6.2 to 5.1.6.4.
 *
 * All of it runs on the host end's thread.  To send, it takes some chains from a ring with the device's lock, sends them without,
 * and gives them back with it: a vCPU that kicks meanwhile does not wait.  What the host end does not take stays in the batch.
 */
#include <string.h>

#include "base/iov.h"
#include "devices/net/virtio_net.h"

enum { HEAD_BYTES = 14 + 4 + 40 + 4 }; /* of a frame: as far as filter and steering look */

/* As it stands in the ring: little-endian. */
typedef struct __attribute__((packed)) RingHeader {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
} RingHeader;

static unsigned rx_queue(unsigned pair) { return 2 * pair; }
static unsigned tx_queue(unsigned pair) { return 2 * pair + 1; }

/* ---- steering: answers come on the pair that a flow was sent on (5.1.6.5.5) */

/* The same for both directions; frames that are not of IP share one. */
static uint8_t flow_hash(const uint8_t *head, size_t n)
{
    uint16_t type = n >= 14 ? head[12] << 8 | head[13] : 0;
    unsigned from = type == 0x0800 ? 26 : 22, bytes = type == 0x0800 ? 8 : 32, ports = type == 0x0800 ? 14 + (head[14] & 15) * 4 : 54;
    uint32_t hash = 0;
    if ((type != 0x0800 && type != 0x86dd) || n < from + bytes)
        return 0;
    for (unsigned i = 0; i < bytes; i++)
        hash ^= (uint32_t)head[from + i] << 8 * (i % 4);
    if (n >= ports + 4)
        hash ^= (head[ports] << 8 | head[ports + 1]) ^ (head[ports + 2] << 8 | head[ports + 3]);
    return (hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24) % NET_FLOWS;
}

/* ---- to the host */

static bool read_header(VirtioNet *n, const VirtqChain *c, NetHeader *ret)
{
    RingHeader h;
    if (iov_read(c->out.iov, c->out.n, 0, &h, 10) < 10)
        return false;
    *ret = (NetHeader){ h.flags & NET_NEEDS_CSUM, h.gso_type, GUINT16_FROM_LE(h.hdr_len), GUINT16_FROM_LE(h.gso_size), GUINT16_FROM_LE(h.csum_start),
                        GUINT16_FROM_LE(h.csum_offset) };
    return true;
}

static bool send_chain(VirtioNet *n, unsigned pair, const VirtqChain *c)
{
    NetHeader header;
    unsigned skip = net_header_bytes(n);
    if (c->out.len <= skip || !read_header(n, c, &header))
        return true; /* nothing in it */
    g_autofree struct iovec *many = c->out.n > 32 ? g_new(struct iovec, c->out.n) : NULL;
    struct iovec few[32], *iov = many ? many : few;
    size_t bytes;
    unsigned pieces = iov_slice(c->out.iov, c->out.n, skip, c->out.len - skip, iov, c->out.n, &bytes);
    if (n->pairs > 1) {
        uint8_t head[HEAD_BYTES] = { 0 };
        size_t got = iov_read(iov, pieces, 0, head, sizeof(head));
        n->flow[flow_hash(head, got)] = pair;
    }
    return hostnet_send(n->card.host, pair, &header, iov, pieces);
}

/* Fills the batch; false: there is nothing to send. */
static bool take_batch(VirtioNet *n, unsigned pair)
{
    NetBatch *b = &n->batch[pair];
    g_mutex_lock(&n->base.pci.dev.lock);
    while (net_card_may_receive(&n->base.pci.dev) && b->n < NET_BATCH && virtq_pop(&n->base.virtio, tx_queue(pair), &b->chain[b->n]))
        b->n++;
    n->busy = b->n;
    g_mutex_unlock(&n->base.pci.dev.lock);
    return b->n;
}

static void give_back(VirtioNet *n, unsigned pair)
{
    Virtio *v = &n->base.virtio;
    NetBatch *b = &n->batch[pair];
    g_mutex_lock(&v->dev->lock);
    for (unsigned i = 0; i < b->sent; i++)
        virtq_push(v, tx_queue(pair), &b->chain[i], 0);
    b->n -= b->sent;
    memmove(b->chain, b->chain + b->sent, b->n * sizeof(b->chain[0]));
    b->sent = 0;
    virtq_signal(v, tx_queue(pair));
    n->busy = false;
    g_cond_broadcast(&n->idle);
    g_mutex_unlock(&v->dev->lock);
}

static void transmit(void *opaque, unsigned pair)
{
    VirtioNet *n = opaque;
    bool busy = false;
    while (!busy && pair < n->queues && take_batch(n, pair)) {
        NetBatch *b = &n->batch[pair];
        while (!busy && b->sent < b->n)
            if (send_chain(n, pair, &b->chain[b->sent]))
                b->sent++;
            else
                busy = true;
        give_back(n, pair);
    }
}

/* What is in a batch goes back into the ring, as if it had not been taken. */
void virtio_net_quiesce(Virtio *v)
{
    VirtioNet *n = net_of(v);
    while (n->busy)
        g_cond_wait(&n->idle, &v->dev->lock);
    for (unsigned pair = 0; pair < n->queues && pair < NET_PAIRS; pair++) {
        NetBatch *b = &n->batch[pair];
        v->queue[tx_queue(pair)].last_avail -= b->n;
        while (b->n)
            virtq_drop(&b->chain[--b->n]);
    }
}

/* ---- to the guest */

static void put_header(VirtioNet *n, const VirtqChain *c, const NetHeader *h, unsigned buffers)
{
    RingHeader r = { h->flags, h->gso_type, GUINT16_TO_LE(h->hdr_len), GUINT16_TO_LE(h->gso_size), GUINT16_TO_LE(h->csum_start),
                     GUINT16_TO_LE(h->csum_offset), GUINT16_TO_LE(buffers) };
    iov_write(c->in.iov, c->in.n, 0, &r, net_header_bytes(n));
}

static size_t copy(const VirtqChain *c, size_t at, const struct iovec *iov, unsigned n, size_t off, size_t len)
{
    size_t done = 0;
    for (unsigned i = 0; i < n && done < len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        size_t piece = MIN(iov[i].iov_len - off, len - done);
        done += iov_write(c->in.iov, c->in.n, at + done, (uint8_t *)iov[i].iov_base + off, piece);
        off = 0;
    }
    return done;
}

static void put_back(VirtioNet *n, unsigned queue, VirtqChain *chain, unsigned taken)
{
    n->base.virtio.queue[queue].last_avail -= taken;
    while (taken)
        virtq_drop(&chain[--taken]);
}

/* The chains for a frame; 0: not enough of them.  Without MRG_RXBUF there is one, into which it fits or not. */
static unsigned take_chains(VirtioNet *n, unsigned queue, size_t bytes, VirtqChain *ret, bool *ret_fits)
{
    Virtio *v = &n->base.virtio;
    unsigned taken = 0, most = virtio_has(v, F_MRG_RXBUF) ? NET_MERGE_MAX : 1;
    size_t room = 0;
    while (room < bytes && taken < most && virtq_pop(v, queue, &ret[taken]))
        room += ret[taken++].in.len;
    *ret_fits = room >= bytes && ret[0].in.len >= net_header_bytes(n);
    if (room >= bytes || taken == most)
        return taken;
    put_back(n, queue, ret, taken);
    return 0;
}

static bool store(VirtioNet *n, unsigned queue, const NetHeader *h, const struct iovec *iov, unsigned pieces)
{
    Virtio *v = &n->base.virtio;
    VirtqChain chain[NET_MERGE_MAX];
    size_t head = net_header_bytes(n), left = iov_size(iov, pieces), off = 0;
    bool fits = false;
    unsigned taken = take_chains(n, queue, head + left, chain, &fits);
    if (!taken)
        return v->broken;
    if (!fits) { /* lost: the driver gives buffers that are too small */
        put_back(n, queue, chain, taken);
        return true;
    }
    put_header(n, &chain[0], h, taken);
    for (unsigned i = 0; i < taken; i++) {
        size_t at = i ? 0 : head, piece = MIN(left, chain[i].in.len - at);
        copy(&chain[i], at, iov, pieces, off, piece);
        virtq_push(v, queue, &chain[i], at + piece);
        off += piece;
        left -= piece;
    }
    virtq_signal(v, queue);
    return true;
}

static unsigned choose_pair(VirtioNet *n, unsigned queue, const uint8_t *head, size_t bytes)
{
    if (n->pairs <= 1)
        return 0;
    return (hostnet_queues(n->card.host) > 1 ? queue : n->flow[flow_hash(head, bytes)]) % n->pairs;
}

static bool receive_locked(VirtioNet *n, unsigned queue, const NetHeader *h, const struct iovec *iov, unsigned pieces)
{
    uint8_t head[HEAD_BYTES] = { 0 };
    size_t bytes = iov_read(iov, pieces, 0, head, sizeof(head));
    if (!net_card_may_receive(&n->base.pci.dev))
        return false;
    unsigned pair = choose_pair(n, queue, head, bytes);
    if (!virtq_ready(&n->base.virtio, rx_queue(pair)) || bytes < 14 || !virtio_net_wants(n, head, bytes))
        return true; /* nobody listens */
    return store(n, rx_queue(pair), h, iov, pieces);
}

static bool receive(void *opaque, unsigned queue, const NetHeader *h, const struct iovec *iov, unsigned pieces)
{
    VirtioNet *n = opaque;
    g_mutex_lock(&n->base.pci.dev.lock);
    bool taken = receive_locked(n, queue, h, iov, pieces);
    g_mutex_unlock(&n->base.pci.dev.lock);
    return taken;
}

static void link_changed(void *opaque, bool up)
{
    VirtioNet *n = opaque;
    g_mutex_lock(&n->base.pci.dev.lock);
    uint8_t *status = n->base.virtio.config + C_STATUS;
    *status = up ? *status | STATUS_LINK_UP : *status & ~STATUS_LINK_UP;
    virtio_config_changed(&n->base.virtio);
    g_mutex_unlock(&n->base.pci.dev.lock);
}

const HostNetCard virtio_net_card = { .transmit = transmit, .receive = receive, .link_changed = link_changed };
