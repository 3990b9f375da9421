/*
 * request.c - what is the same for the requests of every node: their bounds, alignment, flags, zeros and bitmaps.
 */
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/iov.h"
#include "block/driver.h"

enum { ZEROS_BYTES = 1 << 20, BOUNCE_BYTES = 1 << 20, BOUNCE_ALIGN = 4096 };

static bool is_change(BlkOp op) { return op == BLK_WRITE || op == BLK_ZERO || op == BLK_DISCARD; }

static int check(const BlkNode *n, const BlkReq *r)
{
    if (r->op == BLK_FLUSH)
        return 0;
    if (!range_within(r->off, r->len, n->grows ? INT64_MAX : n->size))
        return -EINVAL;
    return r->op != BLK_READ && n->read_only ? -EROFS : 0;
}

static bool piece_is_zero(const char *p, size_t len) { return !len || (!*p && !memcmp(p, p + 1, len - 1)); }

static bool data_are_zero(const BlkReq *r)
{
    for (unsigned i = 0; i < r->niov; i++)
        if (!piece_is_zero(r->iov[i].iov_base, r->iov[i].iov_len))
            return false;
    return true;
}

/* ---- alignment: requests that a device cannot take go through a buffer */

static bool memory_is_aligned(const BlkReq *r, uint32_t align)
{
    for (unsigned i = 0; i < r->niov; i++)
        if (((uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len) % align)
            return false;
    return true;
}

static bool is_aligned(const BlkNode *n, const BlkReq *r)
{
    if (n->align <= 1 || r->op == BLK_FLUSH)
        return true;
    return (r->off | r->len) % n->align == 0 && memory_is_aligned(r, n->align);
}

static int driver_op(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, uint64_t len, void *buf)
{
    struct iovec iov = { buf, len };
    return n->driver->perform(n, &(BlkReq){ .op = op, .flags = flags, .off = off, .len = len, .iov = &iov, .niov = 1 });
}

/* The blocks at both ends of [off, off + len) that the request covers in part. */
static int read_edges(BlkNode *n, const BlkReq *r, uint64_t off, uint64_t len, char *buf)
{
    uint64_t end = off + len, last = end - n->align;
    bool head = off < r->off, tail = end > r->off + r->len;
    int status = head || (tail && last == off) ? driver_op(n, BLK_READ, 0, off, n->align, buf) : 0;
    return !status && tail && last != off ? driver_op(n, BLK_READ, 0, last, n->align, buf + (last - off)) : status;
}

/* One piece, aligned, through the buffer. */
static int bounce_piece(BlkNode *n, const BlkReq *r, uint64_t off, uint64_t len, char *buf)
{
    uint64_t from = MAX(off, r->off), to = MIN(off + len, r->off + r->len);
    int status = r->op == BLK_READ ? driver_op(n, BLK_READ, 0, off, len, buf) : read_edges(n, r, off, len, buf);
    if (status)
        return status;
    if (r->op == BLK_READ)
        iov_write(r->iov, r->niov, from - r->off, buf + (from - off), to - from);
    else if (r->op == BLK_WRITE)
        iov_read(r->iov, r->niov, from - r->off, buf + (from - off), to - from);
    else
        memset(buf + (from - off), 0, to - from);
    return r->op == BLK_READ ? 0 : driver_op(n, BLK_WRITE, r->flags & BLK_FUA, off, len, buf);
}

static int bounce(BlkNode *n, const BlkReq *r)
{
    uint64_t start = r->off / n->align * n->align, end = (r->off + r->len + n->align - 1) / n->align * n->align;
    size_t bytes = MIN(end - start, BOUNCE_BYTES);
    void *buf;
    if (posix_memalign(&buf, MAX(BOUNCE_ALIGN, n->align), bytes))
        return -ENOMEM;
    int status = 0;
    for (uint64_t at = start; at < end && !status; at += bytes)
        status = bounce_piece(n, r, at, MIN(bytes, end - at), buf);
    free(buf);
    return status;
}

/* Zeros and discards lose their unaligned ends: zeros are written there, a discard is only a hint. */
static int without_ends(BlkNode *n, BlkReq *r)
{
    uint64_t end = r->off + r->len, from = (r->off + n->align - 1) / n->align * n->align, to = end / n->align * n->align;
    bool middle = from < to;
    if (r->op == BLK_DISCARD)
        return middle ? n->driver->perform(n, &(BlkReq){ .op = r->op, .flags = r->flags, .off = from, .len = to - from }) : 0;
    if (!middle)
        return bounce(n, r);
    int status = n->driver->perform(n, &(BlkReq){ .op = r->op, .flags = r->flags, .off = from, .len = to - from });
    if (!status && from > r->off)
        status = bounce(n, &(BlkReq){ .op = r->op, .off = r->off, .len = from - r->off });
    if (!status && to < end)
        status = bounce(n, &(BlkReq){ .op = r->op, .off = to, .len = end - to });
    return status;
}

static int perform_unaligned(BlkNode *n, BlkReq *r)
{
    return r->op == BLK_READ || r->op == BLK_WRITE ? bounce(n, r) : without_ends(n, r);
}

/* ---- performing */

/* For drivers that cannot zero by themselves. */
static int write_zeros(BlkNode *n, const BlkReq *r)
{
    g_autofree char *zeros = g_malloc0(MIN(r->len, ZEROS_BYTES));
    int status = 0;
    for (uint64_t done = 0; done < r->len && !status; done += ZEROS_BYTES) {
        struct iovec iov = { zeros, MIN(r->len - done, ZEROS_BYTES) };
        BlkReq part = { .op = BLK_WRITE, .flags = r->flags & BLK_FUA, .off = r->off + done, .len = iov.iov_len, .iov = &iov, .niov = 1 };
        status = is_aligned(n, &part) ? n->driver->perform(n, &part) : bounce(n, &part);
    }
    return status;
}

static void note_growth(BlkNode *n, uint64_t end)
{
    g_mutex_lock(&n->lock);
    __atomic_store_n(&n->size, MAX(n->size, end), __ATOMIC_RELAXED); /* read without the lock */
    g_mutex_unlock(&n->lock);
}

static int perform_emulated(BlkNode *n, BlkReq *r)
{
    int status = is_aligned(n, r) ? n->driver->perform(n, r) : perform_unaligned(n, r);
    if (status == -ENOTSUP && r->op == BLK_ZERO && !(r->flags & BLK_NO_FALLBACK))
        status = write_zeros(n, r);
    return status == -ENOTSUP && r->op == BLK_DISCARD ? 0 : status; /* only a hint */
}

/* Where blocks are read, changed and written back, nobody else may change them meanwhile. */
static int perform_in_turn(BlkNode *n, BlkReq *r)
{
    if (n->align <= 1 || !is_change(r->op))
        return perform_emulated(n, r);
    BlkRange range;
    uint64_t start = r->off / n->align * n->align;
    range_lock(n->ranges, &range, start, r->off + r->len - start + n->align, !is_aligned(n, r));
    int status = perform_emulated(n, r);
    range_unlock(n->ranges, &range);
    return status;
}

/* What the node's mode makes of a request.  False: nothing is left of it. */
static bool apply_mode(BlkNode *n, BlkReq *r)
{
    if (n->mode.detect && r->op == BLK_WRITE && !(r->flags & BLK_COMPRESS) && data_are_zero(r)) {
        r->op = BLK_ZERO;
        r->flags |= n->mode.detect == BLK_DETECT_UNMAP ? BLK_MAY_UNMAP : 0;
    }
    if (n->mode.writethrough && r->op != BLK_READ)
        r->flags |= BLK_FUA;
    if (n->mode.ignore_discard)
        r->flags &= ~(unsigned)BLK_MAY_UNMAP;
    bool ignored = n->mode.ignore_discard && r->op == BLK_DISCARD;
    return !ignored && !(n->mode.no_flush && n->driver->kind == BLK_PROTOCOL && r->op == BLK_FLUSH);
}

int node_perform(BlkNode *n, BlkReq *of)
{
    BlkReq r = { .op = of->op, .flags = of->flags, .off = of->off, .len = of->len, .iov = of->iov, .niov = of->niov };
    int status = check(n, &r);
    if (status || (!r.len && r.op != BLK_FLUSH) || !apply_mode(n, &r))
        return status;
    bool fua = r.flags & BLK_FUA && (r.op == BLK_WRITE || r.op == BLK_ZERO);
    if (r.op == BLK_WRITE && r.flags & BLK_COMPRESS & ~n->driver->flags)
        return -ENOTSUP;
    r.flags &= ~(BLK_FUA & ~n->driver->flags);
    status = perform_in_turn(n, &r);
    if (is_change(r.op)) {
        if (!status && n->grows && r.op == BLK_WRITE)
            note_growth(n, r.off + r.len);
        bitmaps_note(n, r.off, r.len);
    }
    if (!status && fua && !(n->driver->flags & BLK_FUA))
        status = n->driver->perform(n, &(BlkReq){ .op = BLK_FLUSH });
    return status;
}

int blk_perform(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    BlkReq r = { .op = op, .flags = flags, .off = off, .len = len, .iov = iov, .niov = niov };
    if (!n->root)
        return node_perform(n, &r);
    root_enter(n);
    int status = node_perform(n, &r);
    root_leave(n);
    return status;
}

int blk_pread(BlkNode *n, uint64_t off, void *buf, size_t len)
{
    return blk_perform(n, BLK_READ, 0, off, len, &(struct iovec){ buf, len }, 1);
}

int blk_pwrite(BlkNode *n, uint64_t off, const void *buf, size_t len)
{
    return blk_perform(n, BLK_WRITE, 0, off, len, &(struct iovec){ (void *)buf, len }, 1);
}

/* ---- starting without sleeping */

void blk_done(BlkReq *r, int status)
{
    BlkReq copy = *r;
    r->done(r, status); /* r may be gone now */
    if (copy.node)
        root_done(copy.node, &copy, status);
}

/* A request that passes a node which wants to know when it is through. */
typedef struct Pass {
    BlkReq req, *of;
    BlkNode *node;
    BlkRange range;
    bool locked, changes;
    int (*after)(BlkNode *n, BlkReq *r, int status);
} Pass;

static void pass_done(BlkReq *r, int status)
{
    Pass *p = r->owner;
    BlkReq *of = p->of;
    if (p->locked)
        range_unlock(p->node->ranges, &p->range);
    if (p->changes)
        bitmaps_note(p->node, of->off, of->len);
    if (p->after)
        status = p->after(p->node, of, status);
    g_free(p);
    blk_done(of, status);
}

static Pass *pass_new(BlkNode *n, BlkReq *r)
{
    Pass *p = g_new0(Pass, 1);
    p->req = *r;
    p->req.done = pass_done;
    p->req.owner = p;
    p->req.node = NULL;
    p->of = r;
    p->node = n;
    return p;
}

bool blk_forward(BlkNode *n, BlkNode *child, BlkReq *r, uint64_t off, int (*after)(BlkNode *n, BlkReq *r, int status))
{
    Pass *p = pass_new(n, r);
    p->req.off = off;
    p->after = after;
    bool taken = node_submit(child, &p->req);
    if (!taken)
        g_free(p);
    return taken;
}

/* A change that is noted in bitmaps, or that unaligned ones must wait for. */
static bool submit_change(BlkNode *n, BlkReq *r)
{
    Pass *p = pass_new(n, r);
    p->changes = true;
    p->locked = n->ranges && n->align > 1;
    bool ok = !p->locked || range_try_lock(n->ranges, &p->range, r->off, r->len, false);
    if (ok && n->driver->submit(n, &p->req))
        return true;
    if (ok && p->locked)
        range_unlock(n->ranges, &p->range);
    g_free(p);
    return false;
}

/* Whatever needs more than to be handed on is a worker's. */
static bool is_plain(const BlkNode *n, const BlkReq *r)
{
    bool data = r->op == BLK_READ || r->op == BLK_WRITE;
    if (n->slow_ops >> r->op & 1 || check(n, r) || (data && !r->len) || (!data && r->op != BLK_FLUSH) || !is_aligned(n, r))
        return false;
    if (r->op == BLK_WRITE && (n->mode.detect || n->mode.writethrough || r->flags & ~n->driver->flags & (BLK_FUA | BLK_COMPRESS)))
        return false;
    return !(n->grows && r->op == BLK_WRITE && !range_within(r->off, r->len, n->size)) && !(r->op == BLK_FLUSH && n->mode.no_flush);
}

bool node_submit(BlkNode *n, BlkReq *r)
{
    if (!n->driver->submit || !is_plain(n, r))
        return false;
    return r->op == BLK_WRITE && (n->bitmaps || n->align > 1) ? submit_change(n, r) : n->driver->submit(n, r);
}

/* ---- for those who wait */

static bool sync_op(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, void *buf, size_t len, const char *verb, GError **err)
{
    struct iovec iov = { buf, len };
    int status = blk_perform(n, op, flags, off, len, &iov, buf ? 1 : 0);
    return !status || error_set_errno(err, -status, "cannot %s disk image '%s' at offset %" G_GUINT64_FORMAT, verb, n->filename, off);
}

bool blk_read(BlkNode *n, uint64_t off, void *buf, size_t len, GError **err)
{
    return sync_op(n, BLK_READ, 0, off, buf, len, "read", err);
}

bool blk_write(BlkNode *n, uint64_t off, const void *buf, size_t len, GError **err)
{
    return sync_op(n, BLK_WRITE, 0, off, (void *)buf, len, "write", err);
}

bool blk_zero(BlkNode *n, uint64_t off, uint64_t len, unsigned flags, GError **err)
{
    return sync_op(n, BLK_ZERO, flags, off, NULL, len, "zero", err);
}

bool blk_flush(BlkNode *n, GError **err) { return sync_op(n, BLK_FLUSH, 0, 0, NULL, 0, "flush", err); }
