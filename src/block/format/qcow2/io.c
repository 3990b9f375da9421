/*
 * io.c - the guest's requests.
 *
 * Overwriting data in place needs no change of metadata, so it runs beside reads; all else is done by one at a time.
 */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/iov.h"
#include "block/format/qcow2/qcow2.h"

/* ---- reading */

static int locked_lookup(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret)
{
    g_mutex_lock(&q->meta);
    int status = qcow2_lookup(q, off, len, ret);
    g_mutex_unlock(&q->meta);
    return status;
}

/* Raw deflate data; what stands behind its end in the last sector belongs to others. */
static bool inflate_cluster(uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes)
{
    z_stream z = { .next_in = from, .avail_in = from_bytes, .next_out = to, .avail_out = to_bytes };
    if (inflateInit2(&z, -15) != Z_OK)
        return false;
    int status = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return !z.avail_out && (status == Z_STREAM_END || status == Z_BUF_ERROR);
}

static int read_compressed(Qcow2 *q, uint64_t entry, uint8_t *cluster)
{
    uint64_t off, bytes;
    qcow2_compressed_range(q, entry, &off, &bytes);
    g_autofree uint8_t *packed = g_malloc(bytes);
    int status = blk_pread(q->file, off, packed, bytes);
    return status ? status : inflate_cluster(packed, bytes, cluster, q->cluster_bytes) ? 0 : -EIO;
}

static int read_backing(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    uint64_t has = n->backing && off < n->backing->size ? MIN(len, n->backing->size - off) : 0;
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    size_t bytes;
    unsigned pieces = iov_slice(iov, niov, 0, has, part, niov, &bytes);
    iov_fill(iov, niov, has, 0, len - has);
    return has ? blk_perform(n->backing, BLK_READ, 0, off, has, part, pieces) : 0;
}

static int read_run(BlkNode *n, uint64_t off, const Qcow2Run *run, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    switch (run->kind) {
    case QCOW2_IS_HOLE:
        return read_backing(n, off, run->len, iov, niov);
    case QCOW2_IS_ZERO:
        iov_fill(iov, niov, 0, 0, run->len);
        return 0;
    case QCOW2_IS_DATA:
        return blk_perform(q->file, BLK_READ, 0, run->host, run->len, iov, niov);
    case QCOW2_IS_COMPRESSED:
        break;
    }
    g_autofree uint8_t *cluster = g_malloc(q->cluster_bytes);
    int status = read_compressed(q, run->entry, cluster);
    if (!status)
        iov_write(iov, niov, 0, cluster + (off & (q->cluster_bytes - 1)), run->len);
    return status;
}

typedef int (*LookUp)(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret);

static int read_all(BlkNode *n, LookUp look_up, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    Qcow2Run run;
    int status = 0;
    for (uint64_t done = 0; done < len && !status; done += run.len) {
        status = look_up(n->state, off + done, len - done, &run);
        if (status)
            return status;
        size_t bytes;
        unsigned pieces = iov_slice(iov, niov, done, run.len, part, niov, &bytes);
        status = bytes == run.len ? read_run(n, off + done, &run, part, pieces) : -EINVAL;
    }
    return status;
}

/* ---- writing */

/* False: some of it has no place yet. */
static bool all_in_place(Qcow2 *q, uint64_t off, uint64_t len)
{
    Qcow2Run run;
    for (uint64_t done = 0; done < len; done += run.len)
        if (locked_lookup(q, off + done, len - done, &run) || !run.in_place)
            return false;
    return true;
}

static int write_in_place(Qcow2 *q, const Qcow2Run *run, struct iovec *iov, unsigned niov)
{
    if (qcow2_is_metadata(q, run->host & -q->cluster_bytes))
        return -EIO; /* the image says that the guest's data are its own tables */
    return blk_perform(q->file, BLK_WRITE, 0, run->host, run->len, iov, niov);
}

/* A whole cluster at its new place, with what was there around the part that is written. */
static int write_new(BlkNode *n, uint64_t host, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    if (len == q->cluster_bytes)
        return blk_perform(q->file, BLK_WRITE, 0, host, len, iov, niov);
    g_autofree uint8_t *cluster = g_malloc0(q->cluster_bytes);
    uint64_t start = off & -q->cluster_bytes;
    struct iovec whole = { cluster, start < n->size ? MIN(q->cluster_bytes, n->size - start) : q->cluster_bytes };
    int status = read_all(n, qcow2_lookup, start, whole.iov_len, &whole, 1);
    if (status)
        return status;
    iov_read(iov, niov, 0, cluster + (off - start), len);
    return blk_pwrite(q->file, host, cluster, q->cluster_bytes);
}

/* Within one cluster that has no place yet. */
static int write_allocating(BlkNode *n, const Qcow2Run *run, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    uint64_t host = run->entry & QCOW2_OFFSET;
    bool reuse = run->kind == QCOW2_IS_ZERO && host && run->entry & QCOW2_COPIED && !qcow2_is_metadata(q, host);
    int status = reuse ? 0 : qcow2_alloc(q, &host);
    if (status)
        return status;
    status = write_new(n, host, off, len, iov, niov);
    if (!status)
        status = qcow2_set_entry(q, off, host | QCOW2_COPIED);
    if (status && !reuse)
        qcow2_set_refcount(q, host >> q->cluster_bits, 0); /* nothing names it */
    if (!status && !reuse)
        qcow2_free_entry(q, run->entry);
    return status;
}

static int write_part(BlkNode *n, Qcow2Run *run, uint64_t off, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    if (run->in_place)
        return write_in_place(q, run, iov, niov);
    run->len = MIN(run->len, q->cluster_bytes - (off & (q->cluster_bytes - 1)));
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    size_t bytes;
    unsigned pieces = iov_slice(iov, niov, 0, run->len, part, niov, &bytes);
    return write_allocating(n, run, off, run->len, part, pieces);
}

static int write_all(BlkNode *n, LookUp look_up, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    Qcow2Run run;
    int status = 0;
    for (uint64_t done = 0; done < len && !status; done += run.len) {
        status = look_up(n->state, off + done, len - done, &run);
        if (status)
            return status;
        size_t bytes;
        unsigned pieces = iov_slice(iov, niov, done, run.len, part, niov, &bytes);
        status = bytes == run.len ? write_part(n, &run, off + done, part, pieces) : -EINVAL;
    }
    return status;
}

static int write_request(BlkNode *n, BlkReq *r)
{
    Qcow2 *q = n->state;
    g_rw_lock_reader_lock(&q->lock);
    bool in_place = all_in_place(q, r->off, r->len);
    int status = in_place ? write_all(n, locked_lookup, r->off, r->len, r->iov, r->niov) : 0;
    g_rw_lock_reader_unlock(&q->lock);
    if (in_place)
        return status;
    g_rw_lock_writer_lock(&q->lock);
    status = write_all(n, qcow2_lookup, r->off, r->len, r->iov, r->niov);
    g_rw_lock_writer_unlock(&q->lock);
    return status;
}

/* ---- zeros and holes */

static int zero_cluster(BlkNode *n, const Qcow2Run *run, uint64_t off, bool unmap)
{
    Qcow2 *q = n->state;
    bool keep = q->h.version > 2 && !unmap && run->kind == QCOW2_IS_DATA && run->in_place;
    uint64_t entry = q->h.version == 2 ? 0 : keep ? (run->entry | QCOW2_ZERO) : QCOW2_ZERO;
    if (run->kind == QCOW2_IS_ZERO || (run->kind == QCOW2_IS_HOLE && !n->backing))
        return 0;
    int status = qcow2_set_entry(q, off, entry);
    if (!status && !keep)
        qcow2_free_entry(q, run->entry);
    return status;
}

static int zero_part(BlkNode *n, uint64_t off, uint64_t len, bool discard, bool unmap)
{
    Qcow2 *q = n->state;
    Qcow2Run run;
    bool whole = !(off & (q->cluster_bytes - 1)) && (len == q->cluster_bytes || off + len == n->size);
    if (discard && !whole)
        return 0;
    int status = qcow2_lookup(q, off, len, &run);
    if (status)
        return status;
    if (whole && (q->h.version > 2 || !n->backing))
        return zero_cluster(n, &run, off, unmap);
    if (discard || run.kind == QCOW2_IS_ZERO || (run.kind == QCOW2_IS_HOLE && !n->backing))
        return 0;
    g_autofree uint8_t *zeros = g_malloc0(len);
    return write_all(n, qcow2_lookup, off, len, &(struct iovec){ zeros, len }, 1);
}

static int zero_request(BlkNode *n, BlkReq *r)
{
    Qcow2 *q = n->state;
    bool discard = r->op == BLK_DISCARD;
    uint64_t part;
    int status = 0;
    g_rw_lock_writer_lock(&q->lock);
    for (uint64_t at = r->off; at < r->off + r->len && !status; at += part) {
        part = MIN(q->cluster_bytes - (at & (q->cluster_bytes - 1)), r->off + r->len - at);
        status = zero_part(n, at, part, discard, discard || r->flags & BLK_MAY_UNMAP);
    }
    g_rw_lock_writer_unlock(&q->lock);
    return status;
}

static int flush_request(BlkNode *n)
{
    Qcow2 *q = n->state;
    if (n->read_only)
        return 0;
    g_rw_lock_writer_lock(&q->lock);
    int status = qcow2_sync(q);
    g_rw_lock_writer_unlock(&q->lock);
    return status ? status : blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

int qcow2_perform(BlkNode *n, BlkReq *r)
{
    Qcow2 *q = n->state;
    int status = 0;
    switch (r->op) {
    case BLK_READ:
        g_rw_lock_reader_lock(&q->lock);
        status = read_all(n, locked_lookup, r->off, r->len, r->iov, r->niov);
        g_rw_lock_reader_unlock(&q->lock);
        return status;
    case BLK_WRITE:
        return write_request(n, r);
    case BLK_ZERO:
    case BLK_DISCARD:
        return zero_request(n, r);
    case BLK_FLUSH:
        return flush_request(n);
    }
    return -ENOTSUP;
}

/* It stands behind the disk, from the next L1 entry on; what was never written reads as zeros. */
int qcow2_vm_state(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len)
{
    Qcow2 *q = n->state;
    uint64_t covered = 1ull << (q->cluster_bits + q->l2_bits), base = div_up(n->size, covered) * covered;
    uint64_t entries = div_up(base + off + len, covered);
    struct iovec iov = { buf, len };
    int status = 0;
    if (off > INT64_MAX - base - len || entries > QCOW2_MAX_L1_BYTES / 8)
        return -EFBIG;
    g_rw_lock_writer_lock(&q->lock);
    if (op == BLK_WRITE && entries > q->h.l1_size)
        status = qcow2_grow_l1(n, entries);
    if (!status && op == BLK_WRITE)
        status = write_all(n, qcow2_lookup, base + off, len, &iov, 1);
    else if (!status)
        status = read_all(n, qcow2_lookup, base + off, len, &iov, 1);
    g_rw_lock_writer_unlock(&q->lock);
    return status;
}
