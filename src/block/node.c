/*
 * node.c - opening, the workers and the accounting of requests: all that is the same for every kind of image.
 *
 * Workers come from a GThreadPool that is not exclusive, so the threads of idle images serve busy ones.
 */
#include <errno.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/node.h"

enum { WORKERS = 4 };

BlkNode *node_create(const BlkDriver *driver, const char *filename)
{
    BlkNode *n = g_new0(BlkNode, 1);
    n->driver = driver;
    n->filename = g_strdup(filename);
    g_mutex_init(&n->lock);
    g_cond_init(&n->idle);
    return n;
}

static int check(const BlkNode *n, const BlkReq *r)
{
    if (r->op == BLK_FLUSH)
        return 0;
    if (!range_within(r->off, r->len, n->size))
        return -EINVAL;
    return r->op != BLK_READ && n->read_only ? -EROFS : 0;
}

static int perform(BlkNode *n, BlkReq *r)
{
    int status = check(n, r);
    if (!status && (r->len || r->op == BLK_FLUSH))
        status = n->driver->perform(n, r);
    if (!status && (r->flags & BLK_FUA) && (r->op == BLK_WRITE || r->op == BLK_ZERO))
        status = n->driver->perform(n, &(BlkReq){ .op = BLK_FLUSH, .node = n });
    return status;
}

int blk_perform(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    return perform(n, &(BlkReq){ .op = op, .flags = flags, .off = off, .len = len, .iov = iov, .niov = niov, .node = n });
}

static void work(void *request, void *node)
{
    BlkNode *n = node;
    BlkReq *r = request;
    r->done(r, perform(n, r)); /* r may be gone now */
    g_mutex_lock(&n->lock);
    if (!--n->in_flight)
        g_cond_broadcast(&n->idle);
    g_mutex_unlock(&n->lock);
}

BlkNode *blk_open(const BlkOpenOptions *o, GError **err)
{
    if (o->format && !g_str_equal(o->format, "raw")) {
        error_set(err, ERR_UNSUPPORTED, "cannot open disk image '%s': format '%s' is not known; known is raw",
                  o->filename, o->format);
        return NULL;
    }
    BlkNode *n = file_open(o, err);
    if (n && o->snapshot)
        n = overlay_open(n, err);
    if (n)
        n->pool = g_thread_pool_new(work, n, WORKERS, FALSE, NULL);
    return n;
}

void blk_close(BlkNode *n)
{
    if (!n)
        return;
    if (n->pool) {
        blk_drain(n);
        g_thread_pool_free(n->pool, FALSE, TRUE);
    }
    n->driver->close(n);
    blk_close(n->child);
    g_mutex_clear(&n->lock);
    g_cond_clear(&n->idle);
    g_free(n->filename);
    g_free(n->warning);
    g_free(n);
}

void blk_info(BlkNode *n, BlkInfo *ret)
{
    *ret = (BlkInfo){ n->size, n->read_only, n->snapshot, n->filename, n->warning };
}

void blk_submit(BlkNode *n, BlkReq *r)
{
    r->node = n;
    g_mutex_lock(&n->lock);
    n->in_flight++;
    g_mutex_unlock(&n->lock);
    g_thread_pool_push(n->pool, r, NULL);
}

void blk_drain(BlkNode *n)
{
    g_mutex_lock(&n->lock);
    while (n->in_flight)
        g_cond_wait(&n->idle, &n->lock);
    g_mutex_unlock(&n->lock);
}

static bool sync_op(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len, const char *verb, GError **err)
{
    struct iovec iov = { buf, len };
    int status = blk_perform(n, op, 0, off, len, &iov, 1);
    if (status)
        return error_set_errno(err, -status, "cannot %s disk image '%s' at offset %" G_GUINT64_FORMAT, verb,
                               n->filename, off);
    return true;
}

bool blk_read(BlkNode *n, uint64_t off, void *buf, size_t len, GError **err)
{
    return sync_op(n, BLK_READ, off, buf, len, "read", err);
}

bool blk_write(BlkNode *n, uint64_t off, const void *buf, size_t len, GError **err)
{
    return sync_op(n, BLK_WRITE, off, (void *)buf, len, "write", err);
}

bool blk_flush(BlkNode *n, GError **err) { return sync_op(n, BLK_FLUSH, 0, NULL, 0, "flush", err); }
