/*
 * cluster.c - from the guest's offsets to the file's ("Cluster mapping"), and changing where they lead.
 *
 * With extended L2 entries each cluster has 32 subclusters with two bits each, else it is its own only subcluster.
 */
#include <errno.h>
#include <string.h>

#include "block/format/qcow2/qcow2.h"

static uint64_t l1_index(const Qcow2 *q, uint64_t off) { return off >> (q->cluster_bits + q->l2_bits); }
static uint64_t l2_index(const Qcow2 *q, uint64_t off) { return off >> q->cluster_bits & ((1ull << q->l2_bits) - 1); }

/* ---- entries */

static uint64_t get64(const uint8_t *from)
{
    uint64_t raw;
    memcpy(&raw, from, 8);
    return GUINT64_FROM_BE(raw);
}

Qcow2Entry qcow2_entry_at(const Qcow2 *q, const Table *t, uint64_t i)
{
    const uint8_t *at = t->data + (i << q->entry_shift);
    return (Qcow2Entry){ get64(at), q->extended ? get64(at + 8) : 0 };
}

void qcow2_put_entry(const Qcow2 *q, Table *t, uint64_t i, Qcow2Entry entry)
{
    uint64_t raw[2] = { GUINT64_TO_BE(entry.word), GUINT64_TO_BE(entry.bits) };
    memcpy(t->data + (i << q->entry_shift), raw, 1u << q->entry_shift);
}

/* "Compressed Clusters Descriptor": the low bits are the offset, above them stand sectors besides the first. */
void qcow2_compressed_range(const Qcow2 *q, uint64_t word, uint64_t *ret_off, uint64_t *ret_bytes)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t sectors = (word & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x;
    *ret_off = word & ((1ull << x) - 1);
    *ret_bytes = (sectors + 1) * 512 - (*ret_off & 511);
}

uint64_t qcow2_compressed_word(const Qcow2 *q, uint64_t off, uint64_t bytes)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t sectors = ((off + bytes - 1) >> 9) - (off >> 9);
    return QCOW2_COMPRESSED | sectors << x | off;
}

bool qcow2_has_host(const Qcow2 *q, uint64_t word)
{
    if (word & QCOW2_COMPRESSED)
        return false;
    return word & QCOW2_OFFSET || (q->data != q->file && word & QCOW2_COPIED); /* offset 0 is data there */
}

static Qcow2Kind kind_of(const Qcow2 *q, Qcow2Entry e, unsigned sub)
{
    if (e.word & QCOW2_COMPRESSED)
        return QCOW2_IS_COMPRESSED;
    if (q->extended)
        return e.bits >> sub & 1 ? QCOW2_IS_DATA : e.bits >> (32 + sub) & 1 ? QCOW2_IS_ZERO : QCOW2_IS_HOLE;
    if (q->h.version > 2 && e.word & QCOW2_ZERO)
        return QCOW2_IS_ZERO;
    return qcow2_has_host(q, e.word) ? QCOW2_IS_DATA : QCOW2_IS_HOLE;
}

static bool is_valid(const Qcow2 *q, Qcow2Entry e)
{
    if (e.word & QCOW2_COMPRESSED)
        return q->data == q->file;
    if (e.word & QCOW2_OFFSET & (q->cluster_bytes - 1))
        return false;
    return !q->extended || (!(e.bits >> 32 & e.bits & UINT32_MAX) && (qcow2_has_host(q, e.word) || !(e.bits & UINT32_MAX)));
}

/* ---- looking up */

/* How many subclusters from `sub` of entry i on are alike and, if data, follow one another. */
static uint64_t count_alike(const Qcow2 *q, const Table *t, uint64_t i, unsigned sub, uint64_t max, const Qcow2Run *first)
{
    uint64_t n = 0, host = first->entry.word & QCOW2_OFFSET, left = (1ull << q->l2_bits) - i;
    for (uint64_t c = 0; c < left && n < max; c++, sub = 0) {
        Qcow2Entry e = c ? qcow2_entry_at(q, t, i + c) : first->entry;
        bool follows = !c || first->kind != QCOW2_IS_DATA || ((e.word & QCOW2_OFFSET) == host + (c << q->cluster_bits) &&
                                                              !!(e.word & QCOW2_COPIED) == !!(first->entry.word & QCOW2_COPIED));
        if (!follows || (c && first->kind == QCOW2_IS_COMPRESSED))
            return n;
        for (; sub < q->subs && n < max; sub++, n++)
            if (kind_of(q, e, sub) != first->kind || (c && !is_valid(q, e)))
                return n;
    }
    return n;
}

/* Where its L2 table is not in memory: -EAGAIN.  Caller has Q.meta or Q.lock. */
static int look_up(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret)
{
    uint64_t in_cluster = off & (q->cluster_bytes - 1), in_sub = off & (q->sub_bytes - 1), l1 = l1_index(q, off);
    unsigned sub = in_cluster / q->sub_bytes;
    uint64_t left = (((1ull << q->l2_bits) - l2_index(q, off)) << q->cluster_bits) - in_cluster;
    uint64_t table = l1 < q->h.l1_size ? q->l1[l1] & QCOW2_OFFSET : 0;
    *ret = (Qcow2Run){ QCOW2_IS_HOLE, MIN(left, len) };
    if (!table)
        return 0;
    Table *t = cache_find(&q->l2s, table);
    if (!t)
        return -EAGAIN;
    ret->entry = qcow2_entry_at(q, t, l2_index(q, off));
    if (!is_valid(q, ret->entry))
        return -EIO;
    ret->kind = kind_of(q, ret->entry, sub);
    ret->own = qcow2_has_host(q, ret->entry.word) && ret->entry.word & q->l1[l1] & QCOW2_COPIED;
    ret->in_place = ret->kind == QCOW2_IS_DATA && ret->own;
    ret->host = (ret->entry.word & QCOW2_OFFSET) + in_cluster;
    uint64_t max = div_up(in_sub + MIN(left, len), q->sub_bytes);
    ret->len = MIN(count_alike(q, t, l2_index(q, off), sub, max, ret) * q->sub_bytes - in_sub, ret->len);
    return 0;
}

static int load(Qcow2 *q, uint64_t off)
{
    Table *t;
    uint64_t l1 = l1_index(q, off);
    uint64_t table = l1 < q->h.l1_size ? q->l1[l1] & QCOW2_OFFSET : 0;
    return table ? cache_get(q, &q->l2s, table, &t) : 0;
}

int qcow2_lookup(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret)
{
    int status = load(q, off);
    return status ? status : look_up(q, off, len, ret);
}

bool qcow2_try_find(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret)
{
    g_mutex_lock(&q->meta);
    bool found = !look_up(q, off, len, ret);
    ret->pin = q->epoch;
    q->pins[q->epoch] += found;
    g_mutex_unlock(&q->meta);
    return found;
}

int qcow2_find(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret)
{
    int status = 0;
    while (!status && !qcow2_try_find(q, off, len, ret)) {
        g_mutex_lock(&q->lock);
        status = qcow2_lookup(q, off, len, ret); /* brings the table into memory, or says what is wrong */
        g_mutex_unlock(&q->lock);
    }
    return status;
}

/* ---- pins: who has looked up a place may use it, though it is given up meanwhile; it is not given out again before */

void qcow2_unpin(Qcow2 *q, unsigned pin)
{
    g_mutex_lock(&q->meta);
    if (!--q->pins[pin] && q->pins_awaited) /* waking nobody costs a system call too */
        g_cond_broadcast(&q->unpinned);
    g_mutex_unlock(&q->meta);
}

void qcow2_wait_pins(Qcow2 *q)
{
    g_mutex_lock(&q->meta);
    unsigned old = q->epoch;
    q->epoch = !old; /* nobody is left in that one: the last wait saw to it */
    q->pins_awaited = true; /* by one at a time: who has Q.lock */
    while (q->pins[old])
        g_cond_wait(&q->unpinned, &q->meta);
    q->pins_awaited = false;
    g_mutex_unlock(&q->meta);
}

/* ---- changing */

void qcow2_free_entry(Qcow2 *q, uint64_t word)
{
    uint64_t off = word & QCOW2_OFFSET, bytes = q->cluster_bytes;
    if (word & QCOW2_COMPRESSED)
        qcow2_compressed_range(q, word, &off, &bytes);
    else if (q->data != q->file)
        return;
    if (off)
        qcow2_free(q, off, bytes);
}

/* The L2 table of an L1 entry, made or copied where it is missing or somebody else's too. */
static int own_table(Qcow2 *q, uint64_t l1, Table **ret)
{
    uint64_t old = q->l1[l1] & QCOW2_OFFSET, off;
    if (old && q->l1[l1] & QCOW2_COPIED)
        return cache_get(q, &q->l2s, old, ret);
    g_autofree uint8_t *copy = NULL;
    int status = old ? cache_get(q, &q->l2s, old, ret) : 0;
    if (!status && old)
        copy = g_memdup2((*ret)->data, q->cluster_bytes);
    if (!status)
        status = qcow2_alloc(q, &off);
    if (status)
        return status;
    status = cache_new(q, &q->l2s, off, ret);
    if (status) {
        qcow2_set_refcount(q, off >> q->cluster_bits, 0);
        return status;
    }
    g_mutex_lock(&q->meta);
    if (copy)
        memcpy((*ret)->data, copy, q->cluster_bytes);
    q->l1[l1] = off | QCOW2_COPIED;
    g_mutex_unlock(&q->meta);
    if (old)
        qcow2_free(q, old, q->cluster_bytes);
    dirty_add(&q->l1_dirty, l1);
    return 0;
}

int qcow2_set_entry(Qcow2 *q, uint64_t off, Qcow2Entry entry)
{
    Table *t;
    if (l1_index(q, off) >= q->h.l1_size)
        return -EIO;
    int status = own_table(q, l1_index(q, off), &t);
    if (status)
        return status;
    g_mutex_lock(&q->meta);
    qcow2_put_entry(q, t, l2_index(q, off), entry);
    t->dirty = true;
    g_mutex_unlock(&q->meta);
    return 0;
}
