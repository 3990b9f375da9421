/*
 * resize.c - larger and smaller images, places for the guest's clusters ahead of time.
 *
 * What stands behind the end of the disk (an older, larger disk; the machine's state) is gone from the tables before the
 * disk grows over it; a smaller disk is smaller before its end is given up.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

enum { CHUNK_CLUSTERS = 4096 };

/* The longer L1 table is whole in the file before the header names it. */
static int move_l1(Qcow2 *q, uint32_t entries)
{
    uint64_t off, bytes = div_up(entries * 8ull, q->cluster_bytes) * q->cluster_bytes;
    int status = qcow2_alloc_region(q, bytes >> q->cluster_bits, &off);
    if (status)
        return status;
    g_autofree uint64_t *raw = g_malloc0(bytes);
    for (uint32_t i = 0; i < q->h.l1_size; i++)
        raw[i] = GUINT64_TO_BE(q->l1[i]);
    Qcow2Header next = q->h;
    next.l1_off = off;
    next.l1_size = entries;
    status = blk_pwrite(q->file, off, raw, bytes);
    if (!status)
        status = qcow2_sync(q);
    uint64_t old = q->h.l1_off, old_bytes = q->h.l1_size * 8ull;
    g_mutex_lock(&q->meta);
    q->l1 = g_renew(uint64_t, q->l1, entries);
    memset(q->l1 + q->h.l1_size, 0, (entries - q->h.l1_size) * 8ull);
    g_mutex_unlock(&q->meta);
    if (!status)
        status = qcow2_change_header(q, &next);
    if (status)
        qcow2_unalloc(q, off, bytes >> q->cluster_bits);
    else
        qcow2_free(q, old, old_bytes);
    return status;
}

int qcow2_grow_l1(BlkNode *n, uint64_t entries)
{
    Qcow2 *q = n->state;
    if (entries <= q->h.l1_size)
        return 0;
    if (entries > QCOW2_MAX_L1_BYTES / 8)
        return -EFBIG;
    int status = qcow2_sync(q);
    return status ? status : move_l1(q, entries);
}

/* ---- giving up what is behind an offset */

static int drop_table(Qcow2 *q, uint32_t l1)
{
    Table *t;
    uint64_t off = q->l1[l1] & QCOW2_OFFSET;
    int status = off ? cache_get(q, &q->l2s, off, &t) : 0;
    if (status || !off)
        return status;
    for (uint64_t i = 0; i < 1ull << q->l2_bits; i++)
        qcow2_free_entry(q, qcow2_entry_at(q, t, i).word);
    g_mutex_lock(&q->meta);
    q->l1[l1] = 0;
    g_mutex_unlock(&q->meta);
    dirty_add(&q->l1_dirty, l1);
    qcow2_free(q, off, q->cluster_bytes);
    return 0;
}

static int drop_entry(Qcow2 *q, uint64_t off, uint64_t old)
{
    int status = qcow2_set_entry(q, off, (Qcow2Entry){ 0 });
    if (!status)
        qcow2_free_entry(q, old);
    return status;
}

int qcow2_forget_cluster(Qcow2 *q, uint64_t off)
{
    Qcow2Run run;
    g_mutex_lock(&q->lock);
    int status = qcow2_lookup(q, off, 1, &run);
    if (!status)
        status = drop_entry(q, off, run.entry.word);
    g_mutex_unlock(&q->lock);
    return status;
}

/* off: of a cluster. */
static int drop_from(Qcow2 *q, uint64_t off)
{
    uint64_t covered = 1ull << (q->cluster_bits + q->l2_bits), whole = div_up(off, covered);
    Qcow2Run run;
    int status = 0;
    for (uint64_t at = off; at < whole * covered && !status; at += q->cluster_bytes) {
        status = qcow2_lookup(q, at, 1, &run);
        if (!status && run.entry.word | run.entry.bits)
            status = drop_entry(q, at, run.entry.word);
    }
    for (uint64_t l1 = whole; l1 < q->h.l1_size && !status; l1++)
        status = drop_table(q, l1);
    return status;
}

static int flush(Qcow2 *q)
{
    int status = qcow2_sync(q);
    return status ? status : blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

static int drop_behind(Qcow2 *q, uint64_t size)
{
    g_mutex_lock(&q->lock);
    int status = drop_from(q, (size + q->cluster_bytes - 1) & -q->cluster_bytes);
    if (!status)
        status = flush(q);
    g_mutex_unlock(&q->lock);
    return status;
}

static int set_size(BlkNode *n, uint64_t size)
{
    Qcow2 *q = n->state;
    g_mutex_lock(&q->lock);
    Qcow2Header next = q->h;
    next.size = size;
    int status = flush(q);
    if (!status)
        status = qcow2_change_header(q, &next);
    g_mutex_unlock(&q->lock);
    return status;
}

/* ---- larger */

static int make_room(BlkNode *n, uint64_t size)
{
    Qcow2 *q = n->state;
    g_mutex_lock(&q->lock);
    int status = qcow2_grow_l1(n, div_up(size, 1ull << (q->cluster_bits + q->l2_bits)));
    g_mutex_unlock(&q->lock);
    return status;
}

/* The new part reads as zeros, also where a backing file has data. */
static int zero_new(BlkNode *n, uint64_t old, uint64_t size)
{
    Qcow2 *q = n->state;
    uint64_t end = MIN(size, (old + q->cluster_bytes - 1) & -q->cluster_bytes);
    if (n->backing)
        end = MAX(end, MIN(size, n->backing->size));
    return end > old ? qcow2_zero(n, old, end - old, false, false) : 0;
}

static int grow(BlkNode *n, uint64_t size)
{
    Qcow2 *q = n->state;
    uint64_t old = n->size;
    int status = make_room(n, size);
    if (!status)
        status = drop_behind(q, old);
    n->size = size;
    if (!status)
        status = zero_new(n, old, size);
    if (!status && q->data_raw && !blk_resize(q->data, size, 0, NULL))
        status = -EIO;
    if (!status)
        status = set_size(n, size);
    if (status)
        n->size = old;
    return status;
}

static int preallocate_chunk(Qcow2 *q, uint64_t at, uint64_t clusters, uint64_t *ret_host)
{
    int status = q->data == q->file ? qcow2_alloc_region(q, clusters, ret_host) : 0;
    if (q->data != q->file)
        *ret_host = at;
    uint64_t flags = QCOW2_COPIED | (q->h.crypt_method && !q->extended && q->h.version > 2 ? QCOW2_ZERO : 0); /* zeros would be deciphered */
    for (uint64_t i = 0; i < clusters && !status; i++)
        status = qcow2_set_entry(q, at + (i << q->cluster_bits), (Qcow2Entry){ (*ret_host + (i << q->cluster_bits)) | flags });
    return status;
}

/* New places at the end of the file read as zeros; what was there of a device does not. */
static int fill(Qcow2 *q, uint64_t host, uint64_t bytes, unsigned how)
{
    if (how & BLK_ALLOCATE_FULL) {
        g_autofree uint8_t *zeros = g_malloc0(MIN(bytes, 1 << 20));
        int status = 0;
        for (uint64_t done = 0; done < bytes && !status; done += 1 << 20)
            status = blk_pwrite(q->data, host + done, zeros, MIN(bytes - done, 1 << 20));
        return status;
    }
    if (host + bytes > q->data->size && !blk_resize(q->data, host + bytes, 0, NULL))
        return -ENOSPC;
    return how & BLK_ALLOCATE || q->extended ? blk_perform(q->data, BLK_ZERO, 0, host, bytes, NULL, 0) : 0;
}

int qcow2_preallocate(BlkNode *n, uint64_t from, unsigned how)
{
    Qcow2 *q = n->state;
    uint64_t chunk = 0, host;
    int status = 0;
    for (uint64_t at = (from + q->cluster_bytes - 1) & -q->cluster_bytes; at < n->size && !status; at += chunk) {
        chunk = MIN((uint64_t)CHUNK_CLUSTERS << q->cluster_bits, div_up(n->size - at, q->cluster_bytes) << q->cluster_bits);
        g_mutex_lock(&q->lock);
        status = preallocate_chunk(q, at, chunk >> q->cluster_bits, &host);
        g_mutex_unlock(&q->lock);
        if (!status)
            status = fill(q, host, chunk, how);
    }
    return status ? status : blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

/* ---- smaller */

/* Clusters at the end of the file that nobody uses.  Where no block counts them they are passed over at once: a file may
 * be petabytes long and empty. */
void qcow2_cut_file(Qcow2 *q)
{
    g_mutex_lock(&q->lock);
    uint64_t end = MIN(q->file->size >> q->cluster_bits, q->reftable_size << q->block_bits), count = 0;
    while (end && !qcow2_refcount(q, end - 1, &count) && !count)
        end = q->reftable[(end - 1) >> q->block_bits] ? end - 1 : (end - 1) >> q->block_bits << q->block_bits;
    if (!count || end << q->cluster_bits >= q->file->size || !blk_resize(q->file, end << q->cluster_bits, BLK_SHRINK, NULL))
        end = q->end; /* no more than a longer file */
    q->end = end;
    g_mutex_unlock(&q->lock);
}

static int shrink(BlkNode *n, uint64_t size)
{
    Qcow2 *q = n->state;
    int status = set_size(n, size);
    if (status)
        return status;
    n->size = size;
    status = drop_behind(q, size);
    if (!status && q->data_raw && !blk_resize(q->data, size, BLK_SHRINK, NULL))
        status = -EIO;
    if (!status)
        qcow2_cut_file(q);
    return status;
}

bool qcow2_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    Qcow2 *q = n->state;
    if (size < n->size && !(flags & BLK_SHRINK))
        return error_set(err, ERR_INVALID, "cannot make qcow2 image '%s' smaller: its end would be lost; say --shrink if that is meant", n->filename);
    if (q->h.version == 2 && q->h.snapshots)
        return error_set(err, ERR_UNSUPPORTED, "cannot resize qcow2 image '%s': the snapshots of version 2 do not say how large they are; amend it to "
                         "compat=1.1 first", n->filename);
    uint64_t old = n->size;
    size = (size + 511) & -512ull;
    int status = size > old ? grow(n, size) : size < old ? shrink(n, size) : 0;
    if (!status && size > old && flags & (BLK_ALLOCATE_METADATA | BLK_ALLOCATE | BLK_ALLOCATE_FULL))
        status = qcow2_preallocate(n, old, flags);
    return !status || error_set_errno(err, -status, "cannot resize qcow2 image '%s'", n->filename);
}
