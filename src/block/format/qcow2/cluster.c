/* cluster.c - from the guest's offsets to the file's ("Cluster mapping"). */
#include <errno.h>
#include <string.h>

#include "block/format/qcow2/qcow2.h"

static uint64_t l1_index(const Qcow2 *q, uint64_t off) { return off >> (q->cluster_bits + q->l2_bits); }
static uint64_t l2_index(const Qcow2 *q, uint64_t off) { return off >> q->cluster_bits & ((1ull << q->l2_bits) - 1); }

uint64_t qcow2_entry_at(const Qcow2 *q, const Table *t, uint64_t i)
{
    uint64_t raw;
    memcpy(&raw, t->data + i * 8, 8);
    return GUINT64_FROM_BE(raw);
}

void qcow2_put_entry(const Qcow2 *q, Table *t, uint64_t i, uint64_t entry)
{
    memcpy(t->data + i * 8, &(uint64_t){ GUINT64_TO_BE(entry) }, 8);
}

/* "Compressed Clusters Descriptor": the low bits are the offset, above them stand sectors besides the first. */
void qcow2_compressed_range(const Qcow2 *q, uint64_t entry, uint64_t *ret_off, uint64_t *ret_bytes)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    uint64_t sectors = (entry & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x;
    *ret_off = entry & ((1ull << x) - 1);
    *ret_bytes = (sectors + 1) * 512 - (*ret_off & 511);
}

static Qcow2Kind kind_of(const Qcow2 *q, uint64_t entry)
{
    if (entry & QCOW2_COMPRESSED)
        return QCOW2_IS_COMPRESSED;
    if (q->h.version > 2 && entry & QCOW2_ZERO)
        return QCOW2_IS_ZERO;
    return entry & QCOW2_OFFSET ? QCOW2_IS_DATA : QCOW2_IS_HOLE;
}

/* How many clusters from entry i on are alike and, if data, follow one another. */
static uint64_t count_alike(const Qcow2 *q, const Table *t, uint64_t i, uint64_t max, const Qcow2Run *first)
{
    uint64_t n = 1, host = first->entry & QCOW2_OFFSET;
    for (; first->kind != QCOW2_IS_COMPRESSED && n < max; n++) {
        uint64_t entry = qcow2_entry_at(q, t, i + n);
        bool follows = first->kind != QCOW2_IS_DATA ||
                       ((entry & QCOW2_OFFSET) == host + (n << q->cluster_bits) && !!(entry & QCOW2_COPIED) == first->in_place);
        if (kind_of(q, entry) != first->kind || !follows)
            break;
    }
    return n;
}

int qcow2_lookup(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret)
{
    uint64_t in_cluster = off & (q->cluster_bytes - 1), i = l2_index(q, off), l1 = l1_index(q, off);
    uint64_t max = MIN((1ull << q->l2_bits) - i, div_up(in_cluster + len, q->cluster_bytes)), n = max;
    *ret = (Qcow2Run){ QCOW2_IS_HOLE };
    uint64_t table = l1 < q->h.l1_size ? q->l1[l1] & QCOW2_OFFSET : 0;
    if (table) {
        Table *t;
        int status = cache_get(q, &q->l2s, table, &t);
        if (status)
            return status;
        ret->entry = qcow2_entry_at(q, t, i);
        ret->kind = kind_of(q, ret->entry);
        ret->host = (ret->entry & QCOW2_OFFSET) + in_cluster;
        ret->in_place = ret->kind == QCOW2_IS_DATA && ret->entry & QCOW2_COPIED && q->l1[l1] & QCOW2_COPIED;
        if (ret->kind == QCOW2_IS_DATA && ret->entry & QCOW2_OFFSET & (q->cluster_bytes - 1))
            return -EIO;
        n = count_alike(q, t, i, max, ret);
    }
    ret->len = MIN((n << q->cluster_bits) - in_cluster, len);
    return 0;
}

void qcow2_free_entry(Qcow2 *q, uint64_t entry)
{
    uint64_t off = entry & QCOW2_OFFSET, bytes = q->cluster_bytes;
    if (entry & QCOW2_COMPRESSED)
        qcow2_compressed_range(q, entry, &off, &bytes);
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
    if (!status)
        status = cache_new(q, &q->l2s, off, ret);
    if (status)
        return status;
    if (copy)
        memcpy((*ret)->data, copy, q->cluster_bytes);
    if (old)
        qcow2_free(q, old, q->cluster_bytes);
    q->l1[l1] = off | QCOW2_COPIED;
    dirty_add(&q->l1_dirty, l1);
    return 0;
}

int qcow2_set_entry(Qcow2 *q, uint64_t off, uint64_t entry)
{
    Table *t;
    int status = own_table(q, l1_index(q, off), &t);
    if (status)
        return status;
    qcow2_put_entry(q, t, l2_index(q, off), entry);
    t->dirty = true;
    return 0;
}
