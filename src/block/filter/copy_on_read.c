/*
 * copy_on_read.c - what is read from a backing file stays in the image, so that it is read from there only once.
 *
 * A copy must not overwrite what the guest writes meanwhile: copies lock their range alone, changes share it.
 */
#include <errno.h>

#include "base/iov.h"
#include "block/driver.h"

enum { MIN_COPY = 65536, MAX_COPY = 1 << 20 };

typedef struct CopyOnRead {
    uint64_t unit; /* copied at once, bytes: a cluster or more */
} CopyOnRead;

static bool cor_open(BlkNode *n, KeyVals *options, GError **err)
{
    CopyOnRead *c = n->state;
    BlkInfo info;
    blk_info(n->file, &info);
    n->size = n->file->size;
    n->ranges = ranges_new();
    c->unit = MAX(info.cluster_bytes, MIN_COPY);
    return true;
}

static void cor_close(BlkNode *n) {}

/* Copies [off, off + len) up, as far as it comes from below.  Caller has the range. */
static int copy_up(BlkNode *n, uint64_t off, uint64_t len, void *buf)
{
    BlkExtent e;
    int status = 0;
    for (uint64_t at = off; at < off + len && !status; at += e.len) {
        if (!blk_map_chain(n->file, at, off + len - at, &e, NULL))
            return -EIO;
        if (!e.depth && (e.allocated || !blk_backing(n->file)))
            continue;
        if (e.zero && !blk_perform(n->file, BLK_ZERO, BLK_NO_FALLBACK, at, e.len, NULL, 0))
            continue;
        status = blk_pread(n->file, at, buf, e.len);
        if (!status)
            status = blk_pwrite(n->file, at, buf, e.len);
    }
    return status;
}

/* Does any of it come from below? */
static bool needs_copy(BlkNode *n, uint64_t off, uint64_t len)
{
    BlkExtent e;
    bool here = true;
    for (uint64_t at = off; here && at < off + len; at += e.len)
        here = blk_map(n->file, at, off + len - at, &e, NULL) && e.allocated;
    return !here && blk_backing(n->file);
}

static int copy_range_up(BlkNode *n, uint64_t from, uint64_t to)
{
    g_autofree void *buf = g_try_malloc(MIN(to - from, MAX_COPY));
    int status = buf ? 0 : -ENOMEM;
    for (uint64_t at = from; at < to && !status; at += MAX_COPY) {
        BlkRange range;
        uint64_t len = MIN(MAX_COPY, to - at);
        range_lock(n->ranges, &range, at, len, true);
        status = copy_up(n, at, len, buf);
        range_unlock(n->ranges, &range);
    }
    return status;
}

/* A copy that fails (a full disk, say) is no reason to fail the read. */
static int cor_read(BlkNode *n, BlkReq *r)
{
    CopyOnRead *c = n->state;
    uint64_t from = r->off / c->unit * c->unit, to = MIN((r->off + r->len + c->unit - 1) / c->unit * c->unit, n->size);
    if (!n->file->read_only && needs_copy(n, from, to - from))
        copy_range_up(n, from, to);
    return blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
}

static int cor_perform(BlkNode *n, BlkReq *r)
{
    if (r->op == BLK_READ)
        return cor_read(n, r);
    BlkRange range;
    range_lock(n->ranges, &range, r->off, r->len, false);
    int status = blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
    range_unlock(n->ranges, &range);
    return status;
}

/* For the stream job, which wants to hear of failures. */
int copy_on_read_fill(BlkNode *n, uint64_t off, uint64_t len)
{
    return needs_copy(n, off, len) ? copy_range_up(n, off, off + len) : 0;
}

const BlkDriver copy_on_read_driver = {
    .name = "copy-on-read",
    .summary = "keeps what is read from backing files",
    .kind = BLK_FILTER,
    .state_bytes = sizeof(CopyOnRead),
    .flags = BLK_FUA | BLK_COMPRESS,
    .open = cor_open,
    .close = cor_close,
    .perform = cor_perform,
};
