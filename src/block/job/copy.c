/*
 * copy.c - copying what is dirty, several pieces at once.
 *
 * A bit is cleared before its data are read, so a write that comes in between makes them dirty again.  Two copies of the
 * same place follow one another: the later one must win.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "block/job/internal.h"

enum { THREADS = 4 };

static bool is_zero(const char *p, size_t len) { return !len || (!*p && !memcmp(p, p + 1, len - 1)); }

static int copy_data(BlkNode *from, BlkNode *to, uint64_t off, uint64_t len, char *buf)
{
    int status = blk_pread(from, off, buf, len);
    if (status)
        return status;
    return is_zero(buf, len) ? blk_perform(to, BLK_ZERO, BLK_MAY_UNMAP, off, len, NULL, 0) : blk_pwrite(to, off, buf, len);
}

int copy_extents(BlkNode *from, BlkNode *to, uint64_t off, uint64_t len, unsigned base_depth)
{
    g_autofree char *buf = NULL;
    BlkExtent e;
    int status = 0;
    for (uint64_t at = off; at < off + len && !status; at += e.len) {
        if (!blk_map_chain(from, at, off + len - at, &e, NULL))
            return -EIO;
        e.len = MIN(e.len, COPY_BYTES);
        if (e.depth >= base_depth)
            continue;
        if (!buf && !e.zero && !(buf = g_try_malloc(COPY_BYTES)))
            return -ENOMEM;
        status = e.zero ? blk_perform(to, BLK_ZERO, BLK_MAY_UNMAP, at, e.len, NULL, 0) : copy_data(from, to, at, e.len, buf);
    }
    return status;
}

/* ---- several at once */

typedef struct Team {
    BlkJob *job;
    GMutex lock;
    GCond changed;
    unsigned busy;
    int status; /* the first failure's */
} Team;

typedef struct Piece {
    uint64_t off, len;
    BlkRange range;
} Piece;

static void copy_piece(void *data, void *arg)
{
    g_autofree Piece *p = data;
    Team *t = arg;
    BlkJob *job = t->job;
    int status = job->kind->copy ? job->kind->copy(job, p->off, p->len)
                                 : copy_extents(job->source, job->target, p->off, p->len, job->base_depth);
    if (status)
        bitmap_mark(job->todo, p->off, p->len, true);
    else
        job_add_done(job, p->len);
    range_unlock(job->ranges, &p->range);
    g_mutex_lock(&t->lock);
    t->status = t->status ? t->status : status;
    t->busy--;
    g_cond_signal(&t->changed);
    g_mutex_unlock(&t->lock);
}

/* Waits until fewer than `max` are busy; takes the status. */
static int wait_for_team(Team *t, unsigned max)
{
    g_mutex_lock(&t->lock);
    while (t->busy >= max)
        g_cond_wait(&t->changed, &t->lock);
    int status = t->status;
    g_mutex_unlock(&t->lock);
    return status;
}

/* Once it is ours, a part of it may have been copied by others (before a write): that must not be copied again. */
static void start_piece(Team *t, GThreadPool *pool, uint64_t off, uint64_t len)
{
    BlkJob *job = t->job;
    Piece *p = g_new0(Piece, 1);
    uint64_t end = off + len;
    range_lock(job->ranges, &p->range, off, len, true);
    if (!blk_bitmap_next_dirty(job->todo, &off, &len) || off >= end) {
        range_unlock(job->ranges, &p->range);
        g_free(p);
        return;
    }
    p->off = off;
    p->len = MIN(off + len, end) - off;
    bitmap_mark(job->todo, off, p->len, false);
    g_mutex_lock(&t->lock);
    t->busy++;
    g_mutex_unlock(&t->lock);
    g_thread_pool_push(pool, p, NULL);
}

/* 0: nothing is dirty; -ECANCELED: told to stop. */
static int copy_round(Team *t, GThreadPool *pool)
{
    uint64_t off = 0, len;
    int status = 0;
    while (!status && blk_bitmap_next_dirty(t->job->todo, &off, &len)) {
        len = MIN(len, COPY_BYTES - off % COPY_GRANULARITY);
        if (!job_may_go_on(t->job, len))
            status = -ECANCELED;
        else if (!(status = wait_for_team(t, THREADS)))
            start_piece(t, pool, off, len);
        off += len;
    }
    int last = wait_for_team(t, 1);
    t->status = 0;
    return status ? status : last;
}

bool job_copy_dirty(BlkJob *job, GError **err)
{
    Team t = { .job = job };
    GThreadPool *pool = g_thread_pool_new(copy_piece, &t, THREADS, FALSE, NULL);
    g_mutex_init(&t.lock);
    g_cond_init(&t.changed);
    int status = 0;
    do
        status = copy_round(&t, pool);
    while ((status && status != -ECANCELED && job_retry(job, status, "copy data", err)) || (!status && bitmap_dirty_bytes(job->todo) > job->slack));
    g_thread_pool_free(pool, FALSE, TRUE);
    g_mutex_clear(&t.lock);
    g_cond_clear(&t.changed);
    return !status;
}

bool job_flush(BlkJob *job, GError **err)
{
    for (int status; (status = blk_perform(job->target, BLK_FLUSH, 0, 0, 0, NULL, 0));)
        if (!job_retry(job, status, "flush the target", err) || !job_may_go_on(job, 0))
            return false;
    return true;
}

bool job_mark_allocated(BlkJob *job, GError **err)
{
    BlkExtent e;
    uint64_t size = job->source->size;
    if (job->base_depth == UINT_MAX)
        bitmap_mark(job->todo, 0, size, true);
    for (uint64_t at = 0; job->base_depth != UINT_MAX && at < size; at += e.len) {
        if (!blk_map_chain(job->source, at, size - at, &e, err))
            return false;
        if (e.depth < job->base_depth)
            bitmap_mark(job->todo, at, e.len, true);
    }
    return true;
}
