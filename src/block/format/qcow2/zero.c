/* zero.c - the guest's zeros and discards: whole subclusters by their entries, the rest by writing. */
#include <errno.h>

#include "block/format/qcow2/qcow2.h"

/* What an entry becomes when the subclusters of `mask` read as zeros. */
static Qcow2Entry zeroed(const Qcow2 *q, const Qcow2Run *run, uint64_t mask, bool unmap)
{
    Qcow2Entry e = run->entry;
    if (q->extended) {
        e.bits = (e.bits & ~mask) | mask << 32;
        if (e.word & QCOW2_COMPRESSED || (unmap && !(e.bits & UINT32_MAX) && q->data == q->file))
            e.word = 0;
        return e;
    }
    bool keep = q->h.version > 2 && run->in_place && (!unmap || q->data != q->file);
    return (Qcow2Entry){ q->h.version == 2 ? 0 : keep ? e.word | QCOW2_ZERO : QCOW2_ZERO };
}

static bool is_zero(const BlkNode *n, const Qcow2Run *run, uint64_t len)
{
    return run->len >= len && (run->kind == QCOW2_IS_ZERO || (run->kind == QCOW2_IS_HOLE && !n->backing));
}

/* Within one cluster; -ENOTSUP: by writing. */
static int zero_entry(BlkNode *n, uint64_t off, uint64_t len, bool unmap)
{
    Qcow2 *q = n->state;
    Qcow2Run run;
    uint64_t in_cluster = off & (q->cluster_bytes - 1);
    int status = qcow2_lookup(q, off, len, &run);
    if (status || is_zero(n, &run, len))
        return status;
    bool all = len == q->cluster_bytes || (!in_cluster && off + len == n->size);
    bool subs = q->extended && !((off | len) & (q->sub_bytes - 1)) && !(run.entry.word & QCOW2_COMPRESSED);
    bool shared = run.entry.word & ~QCOW2_COMPRESSED && !run.own;
    if ((!all && (!subs || shared)) || (q->h.version == 2 && n->backing))
        return -ENOTSUP;
    unsigned first = all ? 0 : in_cluster / q->sub_bytes, count = all ? q->subs : len / q->sub_bytes;
    Qcow2Entry e = zeroed(q, &run, ((1ull << count) - 1) << first, unmap);
    if (!run.own && all)
        e.word &= ~QCOW2_OFFSET & ~QCOW2_COPIED;
    status = qcow2_set_entry(q, off, e);
    if (!status && (run.entry.word & QCOW2_COMPRESSED || !qcow2_has_host(q, e.word)))
        qcow2_free_entry(q, run.entry.word);
    return status;
}

static int zero_part(BlkNode *n, uint64_t off, uint64_t len, bool discard, bool unmap)
{
    Qcow2 *q = n->state;
    BlkRange claim;
    range_lock(q->ranges, &claim, off & -q->cluster_bytes, q->cluster_bytes, true);
    g_mutex_lock(&q->lock);
    int status = q->h.incompatible & QCOW2_CORRUPT ? -EIO : zero_entry(n, off, len, unmap);
    g_mutex_unlock(&q->lock);
    range_unlock(q->ranges, &claim);
    if (status != -ENOTSUP || discard)
        return status == -ENOTSUP ? 0 : status; /* a discard is only a hint */
    g_autofree uint8_t *zeros = g_malloc0(len);
    return qcow2_write(n, off, len, &(struct iovec){ zeros, len }, 1);
}

/* The data file is an image by itself: zeros must stand there. */
static int zero_raw(Qcow2 *q, uint64_t off, uint64_t len, bool unmap)
{
    return blk_perform(q->data, BLK_ZERO, unmap ? BLK_MAY_UNMAP : 0, off, MIN(len, q->data->size > off ? q->data->size - off : 0), NULL, 0);
}

int qcow2_zero(BlkNode *n, uint64_t off, uint64_t len, bool discard, bool unmap)
{
    Qcow2 *q = n->state;
    uint64_t part;
    int status = q->data_raw && off < q->data->size ? zero_raw(q, off, len, unmap) : 0;
    for (uint64_t at = off; at < off + len && !status; at += part) {
        Qcow2Run run;
        status = qcow2_find(q, at, off + len - at, &run);
        if (status)
            return status;
        qcow2_unpin(q, run.pin);
        part = run.len;
        if (is_zero(n, &run, run.len))
            continue;
        part = MIN(q->cluster_bytes - (at & (q->cluster_bytes - 1)), off + len - at);
        status = zero_part(n, at, part, discard, unmap);
    }
    return status;
}
