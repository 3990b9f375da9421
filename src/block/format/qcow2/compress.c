/*
 * compress.c - compressed writes.  Compressed clusters are packed one behind the other, so several share a cluster of the
 * file; its refcount says how many.
 */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "block/format/qcow2/qcow2.h"

enum { SECTOR = 512 };

static uint64_t clusters_of(const Qcow2 *q, uint64_t off, uint64_t bytes)
{
    return ((off + bytes - 1) >> q->cluster_bits) - (off >> q->cluster_bits) + 1;
}

/* One more user of the cluster that was begun.  False: it is full, or its refcount is. */
static bool share_begun(Qcow2 *q)
{
    uint64_t c = (q->packed - 1) >> q->cluster_bits, count;
    unsigned order = q->h.refcount_order;
    if (!q->packed || qcow2_refcount(q, c, &count) || !count || (order < 6 && (count + 1) >> (1u << order)))
        return false;
    return !qcow2_set_refcount(q, c, count + 1);
}

static int begin_cluster(Qcow2 *q, uint64_t bytes, uint64_t *ret)
{
    uint64_t fresh;
    int status = qcow2_alloc(q, &fresh);
    if (status)
        return status;
    bool begun = q->packed & (q->cluster_bytes - 1), follows = fresh == ((q->packed + q->cluster_bytes - 1) & -q->cluster_bytes);
    bool joins = begun && follows && share_begun(q);
    *ret = joins ? q->packed : fresh;
    q->packed = *ret + bytes;
    return 0;
}

static int alloc_packed(Qcow2 *q, uint64_t bytes, uint64_t *ret)
{
    uint64_t used = q->packed & (q->cluster_bytes - 1);
    if (!used || used + bytes > q->cluster_bytes || !share_begun(q))
        return begin_cluster(q, bytes, ret);
    *ret = q->packed;
    q->packed += bytes;
    return 0;
}

/* Nothing names them. */
static void give_back(Qcow2 *q, uint64_t off, uint64_t bytes)
{
    for (uint64_t i = 0, count; i < clusters_of(q, off, bytes); i++)
        if (!qcow2_refcount(q, (off >> q->cluster_bits) + i, &count) && count)
            qcow2_set_refcount(q, (off >> q->cluster_bits) + i, count - 1);
}

/* Readers take whole sectors: a file should not end within one. */
int qcow2_pad_packed(Qcow2 *q)
{
    static const uint8_t zeros[SECTOR];
    uint64_t rest = -q->packed & (SECTOR - 1);
    if (q->packed == q->padded || !rest)
        return 0;
    int status = blk_pwrite(q->file, q->packed, zeros, rest);
    if (!status)
        q->padded = q->packed;
    return status;
}

static int place(Qcow2 *q, uint64_t bytes, uint64_t *ret)
{
    g_mutex_lock(&q->lock);
    int status = q->h.incompatible & QCOW2_CORRUPT ? -EIO : alloc_packed(q, bytes, ret);
    g_mutex_unlock(&q->lock);
    return status;
}

static int name(Qcow2 *q, uint64_t off, uint64_t host, uint64_t bytes, int status)
{
    Qcow2Run old;
    g_mutex_lock(&q->lock);
    if (!status)
        status = qcow2_lookup(q, off, 1, &old);
    if (!status)
        status = qcow2_set_entry(q, off, (Qcow2Entry){ qcow2_compressed_word(q, host, bytes) });
    if (status)
        give_back(q, host, bytes);
    else
        qcow2_free_entry(q, old.entry.word);
    g_mutex_unlock(&q->lock);
    return status;
}

/* -ENOSPC stands for itself; -ENOTSUP: it does not become smaller. */
static int write_cluster(Qcow2 *q, uint64_t off, const uint8_t *cluster, uint8_t *packed)
{
    uint64_t host;
    size_t bytes = qcow2_deflate(q->codec, cluster, q->cluster_bytes, packed, q->cluster_bytes - 1);
    if (!bytes)
        return -ENOTSUP;
    BlkRange claim;
    range_lock(q->ranges, &claim, off, q->cluster_bytes, true);
    int status = place(q, bytes, &host);
    if (!status)
        status = name(q, off, host, bytes, blk_pwrite(q->file, host, packed, bytes));
    range_unlock(q->ranges, &claim);
    return status;
}

int qcow2_write_compressed(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    if (q->data != q->file || q->h.crypt_method)
        return -ENOTSUP;
    if (off & (q->cluster_bytes - 1) || (len & (q->cluster_bytes - 1) && off + len != n->size))
        return -EINVAL;
    g_autofree uint8_t *cluster = g_malloc(q->cluster_bytes), *packed = g_malloc(q->cluster_bytes);
    int status = 0;
    for (uint64_t done = 0; done < len && !status; done += q->cluster_bytes) {
        uint64_t bytes = MIN(q->cluster_bytes, len - done);
        iov_read(iov, niov, done, cluster, bytes);
        memset(cluster + bytes, 0, q->cluster_bytes - bytes);
        status = write_cluster(q, off + done, cluster, packed);
        if (status == -ENOTSUP)
            status = qcow2_write(n, off + done, bytes, &(struct iovec){ cluster, bytes }, 1);
    }
    return status;
}
