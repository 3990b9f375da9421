/*
 * node.c - the workers and the accounting of requests: all that is the same for every kind of image.
 *
 * Workers come from a GThreadPool that is not exclusive, so the threads of idle images serve busy ones.
 */
#include <errno.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/driver.h"

enum { WORKERS = 4, ZEROS_BYTES = 1 << 20 };

BlkNode *node_create(const BlkDriver *driver, const char *filename)
{
    BlkNode *n = g_new0(BlkNode, 1);
    n->driver = driver;
    n->state = driver->state_bytes ? g_malloc0(driver->state_bytes) : NULL;
    n->filename = g_strdup(filename);
    g_mutex_init(&n->lock);
    g_cond_init(&n->idle);
    return n;
}

static int check(const BlkNode *n, const BlkReq *r)
{
    if (r->op == BLK_FLUSH)
        return 0;
    if (!range_within(r->off, r->len, n->grows ? INT64_MAX : n->size))
        return -EINVAL;
    return r->op != BLK_READ && n->read_only ? -EROFS : 0;
}

/* For drivers that cannot zero by themselves. */
static int write_zeros(BlkNode *n, const BlkReq *r)
{
    g_autofree char *zeros = g_malloc0(MIN(r->len, ZEROS_BYTES));
    int status = 0;
    for (uint64_t done = 0; done < r->len && !status; done += ZEROS_BYTES) {
        struct iovec iov = { zeros, MIN(r->len - done, ZEROS_BYTES) };
        status = blk_perform(n, BLK_WRITE, 0, r->off + done, iov.iov_len, &iov, 1);
    }
    return status;
}

static void note_growth(BlkNode *n, uint64_t end)
{
    g_mutex_lock(&n->lock);
    n->size = MAX(n->size, end);
    g_mutex_unlock(&n->lock);
}

static int perform_checked(BlkNode *n, BlkReq *r)
{
    int status = n->driver->perform(n, r);
    if (!status && n->grows && r->op == BLK_WRITE)
        note_growth(n, r->off + r->len);
    if (status == -ENOTSUP && r->op == BLK_ZERO)
        return write_zeros(n, r);
    return status == -ENOTSUP && r->op == BLK_DISCARD ? 0 : status; /* only a hint */
}

static int perform(BlkNode *n, BlkReq *r)
{
    int status = check(n, r);
    if (!status && (r->len || r->op == BLK_FLUSH))
        status = perform_checked(n, r);
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

void node_start(BlkNode *n) { n->pool = g_thread_pool_new(work, n, WORKERS, FALSE, NULL); }

int blk_pread(BlkNode *n, uint64_t off, void *buf, size_t len)
{
    return blk_perform(n, BLK_READ, 0, off, len, &(struct iovec){ buf, len }, 1);
}

int blk_pwrite(BlkNode *n, uint64_t off, const void *buf, size_t len)
{
    return blk_perform(n, BLK_WRITE, 0, off, len, &(struct iovec){ (void *)buf, len }, 1);
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
    blk_close(n->file);
    blk_close(n->backing);
    g_mutex_clear(&n->lock);
    g_cond_clear(&n->idle);
    g_free(n->filename);
    g_free(n->warning);
    g_free(n->backing_name);
    g_free(n->backing_format);
    g_free(n->state);
    g_free(n);
}

void blk_info(BlkNode *n, BlkInfo *ret)
{
    BlkNode *format = n;
    while (format->driver->kind == BLK_FILTER)
        format = format->file;
    *ret = (BlkInfo){ n->size, n->read_only, n->snapshot, n->filename, format->driver->name, n->warning };
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

static BlkNode *past_filters(BlkNode *n, bool has)
{
    while (!has && n->driver->kind == BLK_FILTER)
        n = n->file;
    return n;
}

bool blk_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret, GError **err)
{
    BlkNode *at = past_filters(n, n->driver->map);
    if (!len || !range_within(off, len, n->size))
        return error_set(err, ERR_INVALID, "cannot map disk image '%s' at offset %" G_GUINT64_FORMAT ": outside of it",
                         n->filename, off);
    *ret = (BlkExtent){ .off = off, .len = len, .allocated = true };
    int status = at->driver->map ? at->driver->map(at, off, len, ret) : 0;
    return !status || error_set_errno(err, -status, "cannot map disk image '%s'", n->filename);
}

bool blk_resize(BlkNode *n, uint64_t size, GError **err)
{
    if (n->read_only)
        return error_set(err, ERR_DENIED, "cannot resize disk image '%s': it is open read-only", n->filename);
    if (!n->driver->resize)
        return error_set(err, ERR_UNSUPPORTED, "cannot resize disk image '%s': %s images cannot change their size",
                         n->filename, n->driver->name);
    return n->driver->resize(n, size, err);
}

bool blk_check(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err)
{
    *ret = (BlkCheck){ 0 };
    if (repair && n->read_only)
        return error_set(err, ERR_DENIED, "cannot repair disk image '%s': it is open read-only", n->filename);
    if (!n->driver->check)
        return error_set(err, ERR_UNSUPPORTED, "cannot check disk image '%s': format %s holds nothing that could be checked",
                         n->filename, n->driver->name);
    return n->driver->check(n, repair, ret, err);
}
