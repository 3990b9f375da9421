/* bench.c - atoll-img bench: how long do sequential requests take? */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/util.h"

typedef struct Bench {
    uint64_t count, depth, flush_interval, offset, pattern, bytes, step; /* as the words say */
    bool write, no_drain;
    BlkNode *node;
    uint64_t size, at, left, in_flight;
    char *buffer;
    int status;
    bool flushing;
    GMutex lock;
    GCond changed;
} Bench;

typedef struct Slot {
    BlkReq req;
    struct iovec iov;
    Bench *bench;
} Slot;

static bool read_words(Bench *b, const ImgArgs *a, GError **err)
{
    const struct {
        const char *text, *what;
        uint64_t min, max, *to;
    } words[] = {
        { a->count, "request count", 1, INT32_MAX, &b->count },
        { a->depth, "queue depth", 1, INT32_MAX, &b->depth },
        { a->flush_interval, "flush interval", 1, INT32_MAX, &b->flush_interval },
        { a->pattern, "pattern byte", 0, 255, &b->pattern },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        if (words[i].text && !img_parse_number(words[i].text, words[i].what, words[i].min, words[i].max, words[i].to, err))
            return false;
    if ((a->offset && !img_parse_size(a->offset, "offset", INT64_MAX, &b->offset, err)) ||
        (a->buffer_size && !img_parse_size(a->buffer_size, "buffer size", INT32_MAX, &b->bytes, err)) ||
        (a->step && !img_parse_size(a->step, "step size", INT32_MAX, &b->step, err)))
        return false;
    b->write = a->write;
    b->no_drain = a->no_drain;
    b->step = b->step ? b->step : b->bytes;
    if (!a->write && a->flush_interval)
        return error_set(err, ERR_INVALID, "--flush-interval is only available in write tests");
    if (a->flush_interval && b->flush_interval < b->depth)
        return error_set(err, ERR_INVALID, "Flush interval can't be smaller than depth");
    return b->bytes || error_set(err, ERR_INVALID, "Invalid buffer size specified");
}

static void finished(BlkReq *r, int status)
{
    Slot *s = r->owner;
    Bench *b = s->bench;
    g_mutex_lock(&b->lock);
    b->in_flight--;
    b->status = b->status ? b->status : status;
    b->flushing &= r->op != BLK_FLUSH;
    g_cond_signal(&b->changed);
    g_mutex_unlock(&b->lock);
    g_free(s);
}

/* With the lock held. */
static void submit(Bench *b, BlkOp op)
{
    Slot *s = g_new0(Slot, 1);
    s->bench = b;
    s->iov = (struct iovec){ b->buffer, b->bytes };
    s->req = (BlkReq){ .op = op, .off = b->at, .len = b->bytes, .iov = &s->iov, .niov = 1, .done = finished, .owner = s };
    if (op == BLK_FLUSH)
        s->req.len = s->req.niov = 0;
    b->in_flight++;
    g_mutex_unlock(&b->lock);
    blk_submit(b->node, &s->req);
    g_mutex_lock(&b->lock);
}

static void flush(Bench *b)
{
    while (!b->no_drain && b->in_flight && !b->status)
        g_cond_wait(&b->changed, &b->lock);
    b->flushing = true;
    submit(b, BLK_FLUSH);
    while (!b->no_drain && b->flushing && !b->status)
        g_cond_wait(&b->changed, &b->lock);
}

static void step(Bench *b)
{
    while (b->in_flight >= b->depth && !b->status)
        g_cond_wait(&b->changed, &b->lock);
    if (b->at + b->bytes > b->size)
        b->at = b->offset + b->bytes > b->size ? 0 : b->offset;
    submit(b, b->write ? BLK_WRITE : BLK_READ);
    b->at += b->step;
    b->left--;
    if (b->flush_interval && b->left && b->left % b->flush_interval == 0)
        flush(b);
}

static int run(Bench *b)
{
    g_mutex_lock(&b->lock);
    for (b->left = b->count, b->at = b->offset; b->left && !b->status;)
        step(b);
    while (b->in_flight)
        g_cond_wait(&b->changed, &b->lock);
    g_mutex_unlock(&b->lock);
    return b->status;
}

/* Also with -q, which qemu-img takes and forgets. */
static void announce(const Bench *b)
{
    printf("Sending %" G_GUINT64_FORMAT " %s requests, %" G_GUINT64_FORMAT " bytes each, %" G_GUINT64_FORMAT " in parallel (starting at offset %"
           G_GUINT64_FORMAT ", step size %" G_GUINT64_FORMAT ")\n", b->count, b->write ? "write" : "read", b->bytes, b->depth, b->offset, b->step);
    if (b->flush_interval)
        printf("Sending flush every %" G_GUINT64_FORMAT " requests\n", b->flush_interval);
    fflush(stdout);
}

static int bench(Bench *b, const ImgArgs *a, GError **err)
{
    BlkInfo info;
    blk_info(b->node, &info);
    b->size = info.size;
    if (b->bytes > b->size)
        return !error_set(err, ERR_INVALID, "the requests are larger than the image '%s'; say a smaller -s", a->words[0]);
    announce(b);
    g_autofree char *buffer = b->buffer = g_malloc(b->bytes);
    memset(buffer, b->pattern, b->bytes);
    int64_t start_us = g_get_monotonic_time();
    int status = run(b);
    if (status)
        return !error_set_errno(err, -status, "Failed request on '%s'", a->words[0]);
    printf("Run completed in %3.3f seconds.\n", (g_get_monotonic_time() - start_us) / 1e6);
    return 0;
}

int img_bench(ImgArgs *a, GError **err)
{
    Bench b = { .count = 75000, .depth = 64, .bytes = 4096 };
    static const char *const modes[] = { "threads", "native", "io_uring", NULL };
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    if (!read_words(&b, a, err))
        return 1;
    if (a->aio && !g_strv_contains(modes, a->aio))
        return !error_set(err, ERR_INVALID, "Invalid aio option: %s", a->aio);
    if (!img_cache_check(a->cache, "cache", err))
        return 1;
    const char *cache = a->cache ? a->cache : "writeback";
    g_autoptr(BlkNode) n = img_open(a, &(ImgOpen){ .name = a->words[0], .format = a->format, .cache = cache, .image_opts = a->image_opts, .write = a->write }, err);
    b.node = n;
    return n ? img_end(&n, bench(&b, a, err), err) : 1;
}
