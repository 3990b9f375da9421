/*
 * backup.c - the disk as it was when the job began.
 *
 * A filter stands over the image meanwhile: before a write it copies what was there.  If that copy fails the job fails,
 * and never the machine's write.
 */
#include <errno.h>
#include <limits.h>

#include "base/error.h"
#include "block/job/internal.h"

typedef struct Backup {
    BlkSync sync;
    BlkBitmap *bitmap, *saved; /* the user's; what was dirty in it */
    _Atomic int failed;        /* -errno of a copy before a write */
} Backup;

/* ---- the filter */

static bool before_write_open(BlkNode *n, KeyVals *options, GError **err)
{
    n->size = n->file->size;
    return true;
}

static void before_write_close(BlkNode *n) {}

/* Copies what is dirty within the range, which the caller has. */
static int copy_old(BlkJob *job, uint64_t off, uint64_t end)
{
    int status = 0;
    for (uint64_t at = off, len; !status && blk_bitmap_next_dirty(job->todo, &at, &len) && at < end; at += len) {
        len = MIN(at + len, end) - at;
        status = copy_extents(job->source, job->target, at, len, job->base_depth);
        if (!status) {
            bitmap_mark(job->todo, at, len, false);
            job_add_done(job, len);
        }
    }
    return status;
}

static void copy_before_write(BlkJob *job, const BlkReq *r)
{
    Backup *b = job->state;
    BlkRange range;
    uint64_t from = r->off / COPY_GRANULARITY * COPY_GRANULARITY;
    uint64_t to = MIN((r->off + r->len + COPY_GRANULARITY - 1) / COPY_GRANULARITY * COPY_GRANULARITY, job->source->size);
    range_lock(job->ranges, &range, from, to - from, true);
    int status = b->failed ? 0 : copy_old(job, from, to);
    range_unlock(job->ranges, &range);
    if (status)
        b->failed = status;
}

static int before_write_perform(BlkNode *n, BlkReq *r)
{
    if (r->op != BLK_READ && r->op != BLK_FLUSH)
        copy_before_write(*(BlkJob **)n->state, r);
    return blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
}

static bool before_write_submit(BlkNode *n, BlkReq *r)
{
    return (r->op == BLK_READ || r->op == BLK_FLUSH) && node_submit(n->file, r);
}

static const BlkDriver before_write_driver = {
    .name = "copy-before-write",
    .summary = "copies to a backup what is about to be overwritten",
    .kind = BLK_FILTER,
    .state_bytes = sizeof(BlkJob *),
    .flags = BLK_FUA | BLK_COMPRESS,
    .open = before_write_open,
    .close = before_write_close,
    .perform = before_write_perform,
    .submit = before_write_submit,
};

/* ---- the job */

static int backup_copy(BlkJob *job, uint64_t off, uint64_t len)
{
    Backup *b = job->state;
    return b->failed ? b->failed : copy_extents(job->source, job->target, off, len, job->base_depth);
}

/* Nothing but what is about to be overwritten is copied, until somebody ends that: then the target has what it needs to. */
static bool only_before_writes(BlkJob *job, GError **err)
{
    enum { POLL_US = 20000 };
    Backup *b = job->state;
    while (!b->failed && job_may_go_on(job, 0))
        g_usleep(POLL_US);
    if (b->failed)
        return error_set_errno(err, -b->failed, "cannot back up '%s' to '%s' before a write", job->root->filename, job->target->filename);
    job_flush(job, NULL);
    return false;
}

/* Nothing may be noted as copied that is not: a failure before a write ends the job, whatever is to be done on errors. */
static bool backup_run(BlkJob *job, GError **err)
{
    Backup *b = job->state;
    if (b->sync == BLK_SYNC_NONE)
        return only_before_writes(job, err);
    if (!job_copy_dirty(job, err) || !job_flush(job, err))
        return false;
    return !b->failed || error_set_errno(err, -b->failed, "cannot back up '%s' to '%s' before a write", job->root->filename, job->target->filename);
}

static void copy_bits(BlkBitmap *to, BlkBitmap *from)
{
    for (uint64_t off = 0, len; blk_bitmap_next_dirty(from, &off, &len); off += len)
        bitmap_mark(to, off, len, true);
}

static bool backup_finish(BlkJob *job, bool ok, GError **err)
{
    Backup *b = job->state;
    job_drain(job);
    graph_remove(job->root);
    if (b->bitmap && !ok)
        copy_bits(b->bitmap, b->saved);
    if (b->bitmap)
        bitmap_set_busy(b->bitmap, false);
    bitmap_free(b->saved);
    return true;
}

static bool take_bitmap(BlkJob *job, BlkBitmap *bitmap, GError **err)
{
    Backup *b = job->state;
    BlkBitmapInfo info;
    blk_bitmap_info(bitmap, &info);
    if (info.busy || info.inconsistent)
        return error_set(err, ERR_BUSY, "cannot back up by bitmap '%s': %s", info.name, info.busy ? "a job uses it" : "its image was not closed");
    if (!(b->saved = bitmap_new(job->root->size, info.granularity)))
        return error_set(err, ERR_NO_SPACE, "no memory for a copy of bitmap '%s'", info.name);
    b->bitmap = bitmap;
    return true;
}

static bool check(BlkJob *job, BlkNode *target, BlkBitmap *bitmap, GError **err)
{
    Backup *b = job->state;
    if (target->size < job->root->size || target->read_only)
        return error_set(err, ERR_INVALID, "cannot back up '%s' to '%s': the target is %s", job->root->filename, target->filename,
                         target->read_only ? "open read-only" : "smaller");
    if (!bitmap != (b->sync != BLK_SYNC_BITMAP))
        return error_set(err, ERR_INVALID, "cannot back up '%s': a bitmap is needed for sync=bitmap, and only there", job->root->filename);
    if (!(job->todo = bitmap_new(job->root->size, COPY_GRANULARITY)))
        return error_set(err, ERR_NO_SPACE, "no memory to back up disk image '%s'", job->root->filename);
    return !bitmap || take_bitmap(job, bitmap, err);
}

/* While nothing is under way: from here on no write passes without a copy of what was there. */
static bool begin(BlkJob *job, GError **err)
{
    Backup *b = job->state;
    bool ok = true;
    if (b->bitmap) {
        copy_bits(b->saved, b->bitmap);
        copy_bits(job->todo, b->bitmap);
        ok = blk_bitmap_clear(b->bitmap, err);
        bitmap_set_busy(b->bitmap, ok);
    } else if (b->sync == BLK_SYNC_FULL || b->sync == BLK_SYNC_NONE) {
        bitmap_mark(job->todo, 0, job->root->size, true);
    } else if (b->sync == BLK_SYNC_TOP) {
        ok = job_mark_allocated(job, err);
    }
    if (!ok)
        return false;
    BlkNode *filter = blk_stack(&before_write_driver, job->root->file, NULL, NULL); /* cannot fail */
    *(BlkJob **)filter->state = job;
    graph_insert(job->root, filter);
    return true;
}

BlkJob *blk_job_backup(BlkNode *root, BlkNode *target, BlkSync sync, BlkBitmap *bitmap, const BlkJobOptions *o, GError **err)
{
    static const BlkJobKind kind = { .type = "backup", .copy = backup_copy, .run = backup_run, .finish = backup_finish };
    BlkJob *job = job_new(&kind, root, o, sizeof(Backup), err);
    if (!job)
        return NULL;
    Backup *b = job->state;
    b->sync = sync;
    job->target = target;
    job->base_depth = sync == BLK_SYNC_TOP ? 1 : UINT_MAX;
    bool ok = check(job, target, bitmap, err);
    if (ok) {
        job_drain(job);
        ok = begin(job, err);
        job_undrain(job);
    }
    if (ok)
        return job_start(job);
    bitmap_free(b->saved);
    job_free(job);
    return NULL;
}
