/*
 * queue.c - split virtqueues.  Virtio 1.2, section 2.7.
 *
 * Whatever the driver writes into a ring is checked here: indices against the queue's size, chains against loops, and
 * every buffer must be RAM.
 */
#include <stdatomic.h>

#include "devices/virtio/virtio.h"
#include "machine/machine.h"

enum { DESC_BYTES = 16, DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, AVAIL_NO_INTERRUPT = 1, CHAIN_MAX = 1024 };
enum { RING_IDX = 2, AVAIL_RING = 4, USED_RING = 4 };

typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

/* The table that a walk is in: the queue's own, or an indirect one. */
typedef struct Table {
    uint64_t at;
    uint32_t size;
    bool indirect;
} Table;

static bool read16(Virtio *v, uint64_t gpa, uint16_t *ret)
{
    if (dma_read(v->dev->machine, gpa, ret, sizeof(*ret)))
        return true;
    virtio_fail(v, "ring at %" G_GINT64_MODIFIER "x is outside RAM", gpa);
    return false;
}

static bool write_ring(Virtio *v, uint64_t gpa, const void *from, size_t n)
{
    if (dma_write(v->dev->machine, gpa, from, n))
        return true;
    virtio_fail(v, "ring at %" G_GINT64_MODIFIER "x is outside RAM", gpa);
    return false;
}

/* ---- taking a chain */

/* 2.7.10: with EVENT_IDX the device says at which available entry it wants to be notified. */
static bool ask_notify(Virtio *v, const Virtqueue *q)
{
    if (!virtio_has(v, VIRTIO_F_EVENT_IDX))
        return true;
    return write_ring(v, q->used + USED_RING + 8ull * q->size, &q->last_avail, 2);
}

/* Sets *ret_waiting to the number of entries that the driver has made available. */
static bool look(Virtio *v, const Virtqueue *q, uint16_t *ret_waiting)
{
    uint16_t idx;
    if (!read16(v, q->avail + RING_IDX, &idx))
        return false;
    *ret_waiting = idx - q->last_avail;
    if (*ret_waiting <= q->size)
        return true;
    virtio_fail(v, "available index %u is %u entries ahead in a queue of %u", idx, *ret_waiting, q->size);
    return false;
}

/* After asking for a notification the index is read again: the driver may just have added something. */
static bool wait_for_entry(Virtio *v, const Virtqueue *q)
{
    uint16_t waiting;
    if (!look(v, q, &waiting))
        return false;
    if (waiting)
        return true;
    if (!ask_notify(v, q))
        return false;
    atomic_thread_fence(memory_order_seq_cst);
    return look(v, q, &waiting) && waiting;
}

static bool read_desc(Virtio *v, const Table *t, uint32_t i, Desc *ret)
{
    if (i >= t->size) {
        virtio_fail(v, "descriptor %u of a table of %u", i, t->size);
        return false;
    }
    if (dma_read(v->dev->machine, t->at + (uint64_t)i * DESC_BYTES, ret, DESC_BYTES))
        return true;
    virtio_fail(v, "descriptor table at %" G_GINT64_MODIFIER "x is outside RAM", t->at);
    return false;
}

static bool enter_indirect(Virtio *v, Table *t, const Desc *d)
{
    bool ok = virtio_has(v, VIRTIO_F_INDIRECT_DESC) && !t->indirect && !(d->flags & DESC_NEXT) && d->len &&
              !(d->len % DESC_BYTES);
    if (!ok)
        virtio_fail(v, "indirect table of %u bytes with flags %x%s", d->len, d->flags, t->indirect ? " inside another" : "");
    *t = (Table){ .at = d->addr, .size = d->len / DESC_BYTES, .indirect = true };
    return ok;
}

static bool add_buffer(Virtio *v, VirtqChain *c, const Desc *d)
{
    bool write = d->flags & DESC_WRITE;
    if (!write && c->in.n) {
        virtio_fail(v, "a buffer to read comes after one to write");
        return false;
    }
    if (d->len && dma_map_add(write ? &c->in : &c->out, d->addr, d->len))
        return true;
    virtio_fail(v, "buffer of %u bytes at %" G_GINT64_MODIFIER "x is not RAM", d->len, d->addr);
    return false;
}

/* A chain has no more buffers than its tables have entries, so a longer one goes in circles. */
static bool walk(Virtio *v, const Virtqueue *q, VirtqChain *c)
{
    Table t = { .at = q->desc, .size = q->size };
    uint32_t i = c->head;
    for (unsigned left = MIN(t.size, CHAIN_MAX); left; left--) {
        Desc d;
        if (!read_desc(v, &t, i, &d))
            return false;
        if (d.flags & DESC_INDIRECT) {
            if (!enter_indirect(v, &t, &d))
                return false;
            left = MIN(t.size, CHAIN_MAX) + 1;
            i = 0;
            continue;
        }
        if (!add_buffer(v, c, &d))
            return false;
        if (!(d.flags & DESC_NEXT))
            return true;
        i = d.next;
    }
    virtio_fail(v, "chain %u does not end", c->head);
    return false;
}

bool virtq_pop(Virtio *v, unsigned n, VirtqChain *ret)
{
    Virtqueue *q = &v->queue[n];
    if (!virtq_ready(v, n) || !wait_for_entry(v, q))
        return false;
    atomic_thread_fence(memory_order_acquire); /* the entry was written before the index */
    uint16_t head;
    if (!read16(v, q->avail + AVAIL_RING + 2ull * (q->last_avail % q->size), &head))
        return false;
    *ret = (VirtqChain){ .head = head, .epoch = q->epoch };
    dma_map_begin(&ret->out, v->dev->machine, false);
    dma_map_begin(&ret->in, v->dev->machine, true);
    if (!walk(v, q, ret)) {
        virtq_drop(ret);
        return false;
    }
    q->last_avail++;
    return true;
}

/* ---- giving it back */

void virtq_drop(VirtqChain *c)
{
    dma_map_end(&c->out, 0);
    dma_map_end(&c->in, 0);
}

void virtq_push(Virtio *v, unsigned n, VirtqChain *c, uint32_t written)
{
    Virtqueue *q = &v->queue[n];
    dma_map_end(&c->out, 0);
    dma_map_end(&c->in, written);
    if (!virtq_ready(v, n) || c->epoch != q->epoch)
        return;
    uint32_t entry[2] = { c->head, written };
    if (!write_ring(v, q->used + USED_RING + 8ull * (q->used_idx % q->size), entry, sizeof(entry)))
        return;
    atomic_thread_fence(memory_order_release); /* the entry before the index */
    q->used_idx++;
    write_ring(v, q->used + RING_IDX, &q->used_idx, 2);
}

/* Did the index pass the driver's event on its way from `old` to `now`?  2.7.7.2. */
static bool passed(uint16_t event, uint16_t now, uint16_t old)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static bool wants_interrupt(Virtio *v, Virtqueue *q)
{
    uint16_t old = q->signalled, word;
    bool known = q->signalled_valid, event = virtio_has(v, VIRTIO_F_EVENT_IDX);
    if (!read16(v, event ? q->avail + AVAIL_RING + 2ull * q->size : q->avail, &word))
        return false;
    q->signalled = q->used_idx;
    q->signalled_valid = true;
    if (!event)
        return !(word & AVAIL_NO_INTERRUPT);
    return !known || passed(word, q->used_idx, old);
}

static void signal_now(Virtio *v, unsigned n)
{
    Virtqueue *q = &v->queue[n];
    if (!virtq_ready(v, n) || (q->signalled_valid ? q->signalled : 0) == q->used_idx)
        return;
    atomic_thread_fence(memory_order_seq_cst); /* used index before the driver's wish */
    if (!wants_interrupt(v, q))
        return;
    v->isr |= VIRTIO_ISR_QUEUE;
    v->interrupt(v, q->vector);
}

/* On its thread the answers of a round are signalled at its end. */
void virtq_signal(Virtio *v, unsigned n)
{
    bool later = v->thread && io_thread_is_self(v->thread);
    if (!v->batch && !later) {
        signal_now(v, n);
        return;
    }
    v->to_signal |= 1ull << n;
    if (!v->batch)
        io_thread_post(v->thread, &v->work);
}

void virtq_signal_all(Virtio *v)
{
    uint64_t queues = v->to_signal;
    v->to_signal = 0;
    for (; queues; queues &= queues - 1)
        signal_now(v, __builtin_ctzll(queues));
}
