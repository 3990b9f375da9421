/* mirror.c - a copy of the disk elsewhere, that follows what the machine writes until the machine goes over to it. */
#include <limits.h>

#include "base/error.h"
#include "block/job/mirror.h"

enum { SLACK_BYTES = 4 << 20 }; /* that are copied while the machine waits */

bool mirror_start(BlkJob *job, GError **err)
{
    job->todo = bitmap_new(job->root->size, COPY_GRANULARITY);
    job->slack = SLACK_BYTES;
    if (!job->todo)
        return error_set(err, ERR_NO_SPACE, "no memory to %s disk image '%s'", job->kind->type, job->root->filename);
    job_drain(job); /* each request is either done now, or noted later */
    bitmap_attach(job->root, job->todo);
    job_undrain(job);
    return true;
}

/* Takes over a cancellation that came when all was copied: the target is to be whole. */
static bool stop_when_ready(BlkJob *job)
{
    g_mutex_lock(&job->lock);
    bool stop = job->cancel;
    job->cancel = false;
    g_mutex_unlock(&job->lock);
    return stop;
}

bool mirror_follow(BlkJob *job, bool *ret_pivot, GError **err)
{
    *ret_pivot = false;
    do
        if (!job_copy_dirty(job, err))
            return false;
    while (!(*ret_pivot = job_wait_to_complete(job)) && !stop_when_ready(job));
    return true;
}

bool mirror_finish_copy(BlkJob *job, GError **err)
{
    job_drain(job);
    job->slack = 0;
    return job_copy_dirty(job, err) && job_flush(job, err);
}

/* ---- the job of that name */

typedef struct Mirror {
    BlkNode *target; /* a root */
    BlkSync sync;
    bool pivot;
} Mirror;

static bool mirror_run(BlkJob *job, GError **err)
{
    Mirror *m = job->state;
    return (m->sync == BLK_SYNC_NONE || job_mark_allocated(job, err)) && mirror_follow(job, &m->pivot, err) && mirror_finish_copy(job, err);
}

static bool mirror_finish(BlkJob *job, bool ok, GError **err)
{
    Mirror *m = job->state;
    job_drain(job);
    bitmap_detach(job->root, job->todo);
    if (ok && m->pivot) {
        graph_replace(job->root, m->target->file);
        m->target->file = NULL;
    }
    blk_close(m->target);
    return true;
}

BlkJob *blk_job_mirror(BlkNode *root, BlkNode *target, BlkSync sync, const BlkJobOptions *o, GError **err)
{
    static const BlkJobKind kind = { .type = "mirror", .completes = true, .run = mirror_run, .finish = mirror_finish };
    BlkJob *job = job_new(&kind, root, o, sizeof(Mirror), err);
    bool fits = target->size >= root->size;
    if (job && !fits)
        error_set(err, ERR_INVALID, "cannot mirror '%s' to '%s': the target is smaller", root->filename, target->filename);
    if (job && fits && target->read_only)
        error_set(err, ERR_DENIED, "cannot mirror '%s' to '%s': the target is open read-only", root->filename, target->filename);
    if (job) {
        *(Mirror *)job->state = (Mirror){ target, sync };
        job->target = target->file;
        job->base_depth = sync == BLK_SYNC_TOP ? 1 : UINT_MAX;
    }
    if (job && fits && !target->read_only && mirror_start(job, err))
        return job_start(job);
    blk_close(target);
    if (job)
        job_free(job);
    return NULL;
}
