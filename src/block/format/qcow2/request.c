/*
 * request.c - the guest's requests: which part of the driver serves them, and those that need nobody to wait.
 */
#include <errno.h>

#include "base/iov.h"
#include "block/format/qcow2/qcow2.h"

static int flush_request(BlkNode *n)
{
    Qcow2 *q = n->state;
    if (n->read_only)
        return 0;
    g_mutex_lock(&q->lock);
    int status = qcow2_sync(q);
    g_mutex_unlock(&q->lock);
    if (!status && q->data != q->file)
        status = blk_perform(q->data, BLK_FLUSH, 0, 0, 0, NULL, 0);
    return status ? status : blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

int qcow2_perform(BlkNode *n, BlkReq *r)
{
    switch (r->op) {
    case BLK_READ:
        return qcow2_read(n, r->off, r->len, r->iov, r->niov);
    case BLK_WRITE:
        return r->flags & BLK_COMPRESS ? qcow2_write_compressed(n, r->off, r->len, r->iov, r->niov) :
                                         qcow2_write(n, r->off, r->len, r->iov, r->niov);
    case BLK_ZERO:
    case BLK_DISCARD:
        return qcow2_zero(n, r->off, r->len, r->op == BLK_DISCARD, r->op == BLK_DISCARD || r->flags & BLK_MAY_UNMAP);
    case BLK_FLUSH:
        return flush_request(n);
    }
    return -ENOTSUP;
}

/* ---- without sleeping */

static int unpin_0(BlkNode *n, BlkReq *r, int status)
{
    qcow2_unpin(n->state, 0);
    return status;
}

static int unpin_1(BlkNode *n, BlkReq *r, int status)
{
    qcow2_unpin(n->state, 1);
    return status;
}

/* What reads as zeros. */
static bool submit_zeros(BlkNode *n, BlkReq *r, const Qcow2Run *run)
{
    const BlkNode *file = n->file;
    bool zeros = run->kind == QCOW2_IS_ZERO || (run->kind == QCOW2_IS_HOLE && !n->backing);
    if (!zeros || run->len != r->len || r->op != BLK_READ || !file->driver->finish)
        return false;
    iov_fill(r->iov, r->niov, 0, 0, r->len);
    return file->driver->finish(n->file, r);
}

/* Data in one piece, in their place, or none. */
bool qcow2_submit(BlkNode *n, BlkReq *r)
{
    Qcow2 *q = n->state;
    Qcow2Run run;
    bool write = r->op == BLK_WRITE;
    if (q->h.crypt_method || (!write && r->op != BLK_READ) || r->flags & (BLK_COMPRESS | BLK_FUA) || !qcow2_try_find(q, r->off, r->len, &run))
        return false;
    bool plain = run.kind == QCOW2_IS_DATA && run.len == r->len;
    if (write)
        plain = plain && run.in_place && (q->data != q->file || !qcow2_is_metadata(q, run.host & -q->cluster_bytes));
    if (plain && blk_forward(n, q->data, r, run.host, run.pin ? unpin_1 : unpin_0))
        return true;
    qcow2_unpin(q, run.pin);
    return submit_zeros(n, r, &run);
}

/* ---- the machine's state: behind the disk, from the next L1 entry on; what was never written reads as zeros */

int qcow2_vm_state(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len)
{
    Qcow2 *q = n->state;
    uint64_t covered = 1ull << (q->cluster_bits + q->l2_bits), base = div_up(n->size, covered) * covered;
    struct iovec iov = { buf, len };
    if (off > INT64_MAX - base - len || div_up(base + off + len, covered) > QCOW2_MAX_L1_BYTES / 8)
        return -EFBIG;
    if (op == BLK_READ)
        return qcow2_read(n, base + off, len, &iov, 1);
    g_mutex_lock(&q->lock);
    int status = qcow2_grow_l1(n, div_up(base + off + len, covered));
    g_mutex_unlock(&q->lock);
    return status ? status : qcow2_write(n, base + off, len, &iov, 1);
}
