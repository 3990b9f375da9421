/*
 * root.c - the node that users hold: its workers, its requests under way, and the gate before which they wait while the
 * nodes below are exchanged.
 *
 * Workers come from a GThreadPool that is not exclusive, so the threads of idle images serve busy ones.
 */
#include <string.h>
#include <time.h>

#include "block/driver.h"

enum { WORKERS = 16, QUICK_BYTES = 1 << 20 };

struct BlkRoot {
    GThreadPool *pool;
    GMutex lock;
    GCond changed;
    unsigned in_flight, closed; /* closed: how many hold the gate */
    unsigned idlers;            /* who wait until nothing is in flight: waking nobody costs a system call too */
    GQueue waiting;             /* of BlkReq */
    BlkStats stats[BLK_OPS];
    int64_t last_ns;            /* 0: no request yet */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Caller has the lock. */
static bool may_enter(BlkRoot *r)
{
    if (r->closed)
        return false;
    r->in_flight++;
    return true;
}

void root_enter(BlkNode *n)
{
    BlkRoot *r = n->root;
    g_mutex_lock(&r->lock);
    while (!may_enter(r))
        g_cond_wait(&r->changed, &r->lock);
    g_mutex_unlock(&r->lock);
}

void root_leave(BlkNode *n)
{
    BlkRoot *r = n->root;
    g_mutex_lock(&r->lock);
    if (!--r->in_flight && r->idlers)
        g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
}

void root_done(BlkNode *n, const BlkReq *copy, int status)
{
    BlkRoot *r = n->root;
    int64_t now = now_ns();
    g_mutex_lock(&r->lock);
    BlkStats *s = &r->stats[copy->op];
    s->requests += !status;
    s->failed += status != 0;
    s->bytes += status ? 0 : copy->len;
    s->ns += status ? 0 : now - copy->start_ns;
    r->last_ns = now;
    if (!--r->in_flight && r->idlers)
        g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
}

void blk_stats(BlkNode *n, BlkStats ret[BLK_OPS], int64_t *ret_idle_ns)
{
    BlkRoot *r = n->root;
    g_mutex_lock(&r->lock);
    memcpy(ret, r->stats, sizeof(r->stats));
    *ret_idle_ns = r->last_ns ? MAX(now_ns() - r->last_ns, 0) : -1;
    g_mutex_unlock(&r->lock);
}

/* Nothing of it waits for another machine, or for a limit. */
static bool stays_here(const BlkNode *n)
{
    while (n && n->driver->kind == BLK_FORMAT && !n->backing && !n->data)
        n = n->file;
    return n && n->driver->kind == BLK_PROTOCOL && n->cached;
}

static bool is_quick(const BlkNode *root, const BlkReq *r)
{
    return r->thread && r->op == BLK_WRITE && r->len <= QUICK_BYTES && !(r->flags & (BLK_FUA | BLK_COMPRESS)) &&
           !root->file->mode.writethrough && stays_here(root->file);
}

void root_work(BlkReq *r) { g_thread_pool_push(r->node->root->pool, r, NULL); }

static void start(BlkNode *n, BlkReq *req)
{
    if (!node_submit(n, req) && !(is_quick(n, req) && io_thread_write(req->thread, req)))
        root_work(req);
}

void blk_submit(BlkNode *n, BlkReq *req)
{
    BlkRoot *r = n->root;
    req->node = n;
    req->start_ns = now_ns();
    g_mutex_lock(&r->lock);
    bool now = may_enter(r);
    if (!now)
        g_queue_push_tail(&r->waiting, req);
    g_mutex_unlock(&r->lock);
    if (now)
        start(n, req);
}

void blk_drain(BlkNode *n)
{
    BlkRoot *r = n->root;
    g_mutex_lock(&r->lock);
    r->idlers++;
    while (r->in_flight || r->waiting.length)
        g_cond_wait(&r->changed, &r->lock);
    r->idlers--;
    g_mutex_unlock(&r->lock);
}

void root_drain_begin(BlkNode *n)
{
    BlkRoot *r = n->root;
    g_mutex_lock(&r->lock);
    r->closed++;
    r->idlers++;
    while (r->in_flight)
        g_cond_wait(&r->changed, &r->lock);
    r->idlers--;
    g_mutex_unlock(&r->lock);
}

void root_drain_end(BlkNode *n)
{
    BlkRoot *r = n->root;
    GQueue now = G_QUEUE_INIT;
    g_mutex_lock(&r->lock);
    if (!--r->closed) {
        now = r->waiting;
        g_queue_init(&r->waiting);
        r->in_flight += now.length;
        g_cond_broadcast(&r->changed);
    }
    g_mutex_unlock(&r->lock);
    for (BlkReq *req; (req = g_queue_pop_head(&now));)
        start(n, req);
}

static void work(void *request, void *node)
{
    BlkReq *r = request;
    blk_done(r, node_perform(node, r));
}

static int root_perform(BlkNode *n, BlkReq *r)
{
    return blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
}

static bool root_submit(BlkNode *n, BlkReq *r) { return node_submit(n->file, r); }

static void root_close(BlkNode *n)
{
    BlkRoot *r = n->root;
    g_thread_pool_free(r->pool, FALSE, TRUE);
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->changed);
    g_free(r);
}

static const BlkDriver root_driver = {
    .name = "root",
    .summary = "what users of an image hold",
    .kind = BLK_FILTER,
    .flags = BLK_FUA | BLK_COMPRESS,
    .close = root_close,
    .perform = root_perform,
    .submit = root_submit,
};

BlkNode *node_root(BlkNode *top)
{
    BlkNode *n = node_create(&root_driver, top->filename);
    n->file = top;
    n->env = top->env;
    n->size = top->size;
    n->read_only = top->read_only;
    n->mode.writethrough = top->mode.writethrough;
    n->root = g_new0(BlkRoot, 1);
    g_mutex_init(&n->root->lock);
    g_cond_init(&n->root->changed);
    n->root->pool = g_thread_pool_new(work, n, WORKERS, FALSE, NULL);
    return n;
}

void blk_hold(BlkNode *root) { root_drain_begin(root); }
void blk_let_go(BlkNode *root) { root_drain_end(root); }
