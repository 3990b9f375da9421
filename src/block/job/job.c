/* job.c - the life of a job: its thread, its pauses, its speed, its end. */
#include <errno.h>
#include <limits.h>

#include "base/error.h"
#include "block/job/internal.h"

enum { READY_POLL_MS = 20 };

void job_drain(BlkJob *job)
{
    if (!job->drained)
        root_drain_begin(job->root);
    job->drained = true;
}

void job_undrain(BlkJob *job)
{
    if (job->drained)
        root_drain_end(job->root);
    job->drained = false;
}

BlkJob *job_new(const BlkJobKind *kind, BlkNode *root, const BlkJobOptions *o, size_t state_bytes, GError **err)
{
    if (root->has_job) {
        error_set(err, ERR_BUSY, "cannot %s disk image '%s': another job works on it", kind->type, root->filename);
        return NULL;
    }
    BlkJob *job = g_new0(BlkJob, 1);
    job->kind = kind;
    job->o = o ? *o : (BlkJobOptions){ 0 };
    job->id = g_strdup(o && o->id ? o->id : kind->type);
    job->root = root;
    job->source = root->file;
    job->speed.rate = job->o.speed;
    job->state = g_malloc0(MAX(state_bytes, 1));
    job->ranges = ranges_new();
    job->base_depth = UINT_MAX;
    g_mutex_init(&job->lock);
    g_cond_init(&job->changed);
    return job;
}

void job_free(BlkJob *job)
{
    bitmap_free(job->todo);
    ranges_free(job->ranges);
    g_mutex_clear(&job->lock);
    g_cond_clear(&job->changed);
    g_clear_error(&job->failure);
    g_free(job->state);
    g_free(job->id);
    g_free(job);
}

static void tell(BlkJob *job)
{
    if (job->o.changed)
        job->o.changed(job, job->o.arg);
}

static void *run(void *arg)
{
    BlkJob *job = arg;
    job->ok = job->kind->run(job, &job->failure);
    g_mutex_lock(&job->lock);
    job->ended = true;
    g_cond_broadcast(&job->changed);
    g_mutex_unlock(&job->lock);
    tell(job);
    return NULL;
}

BlkJob *job_start(BlkJob *job)
{
    job->root->has_job = true;
    job->thread = g_thread_new("block job", run, job);
    return job;
}

/* ---- the job's thread */

/* Waits until the condition may have changed.  Caller has the lock. */
static void wait_ns(BlkJob *job, uint64_t ns)
{
    g_cond_wait_until(&job->changed, &job->lock, g_get_monotonic_time() + (int64_t)(ns / 1000) + 1);
}

bool job_may_go_on(BlkJob *job, uint64_t bytes)
{
    g_mutex_lock(&job->lock);
    while (!job->cancel) {
        uint64_t wait = job->pause ? 0 : bucket_wait_ns(&job->speed, g_get_monotonic_time() * 1000);
        if (job->pause)
            g_cond_wait(&job->changed, &job->lock);
        else if (wait)
            wait_ns(job, wait);
        else
            break;
    }
    bucket_add(&job->speed, bytes);
    bool go = !job->cancel;
    g_mutex_unlock(&job->lock);
    return go;
}

void job_add_done(BlkJob *job, uint64_t bytes)
{
    g_mutex_lock(&job->lock);
    job->done += bytes;
    g_mutex_unlock(&job->lock);
}

static bool fail(BlkJob *job, int status, const char *doing, GError **err)
{
    return error_set_errno(err, -status, "cannot %s: %s of '%s', while trying to %s", job->kind->type, job->id, job->root->filename, doing);
}

bool job_retry(BlkJob *job, int status, const char *doing, GError **err)
{
    g_mutex_lock(&job->lock);
    bool stop = job->o.pause_on_error && !job->cancel;
    if (stop) {
        g_snprintf(job->error, sizeof(job->error), "cannot %s: %s", doing, g_strerror(-status));
        job->pause = true;
    }
    g_mutex_unlock(&job->lock);
    if (!stop)
        return fail(job, status, doing, err);
    tell(job);
    return true;
}

bool job_wait_to_complete(BlkJob *job)
{
    g_mutex_lock(&job->lock);
    bool news = !job->ready;
    job->ready = true;
    g_cond_broadcast(&job->changed);
    g_mutex_unlock(&job->lock);
    if (news)
        tell(job);
    g_mutex_lock(&job->lock);
    if (!job->complete && !job->cancel)
        wait_ns(job, READY_POLL_MS * 1000000ull);
    bool complete = job->complete && !job->cancel;
    g_mutex_unlock(&job->lock);
    return complete;
}

/* ---- the owner */

void blk_job_info(BlkJob *job, BlkJobInfo *ret)
{
    g_mutex_lock(&job->lock);
    *ret = (BlkJobInfo){ .id = job->id, .type = job->kind->type, .done = job->done, .speed = job->speed.rate,
                         .paused = job->pause, .ready = job->ready, .ended = job->ended };
    ret->total = job->done + (job->todo ? bitmap_dirty_bytes(job->todo) : 0);
    g_strlcpy(ret->error, job->error, sizeof(ret->error));
    g_mutex_unlock(&job->lock);
}

static void change(BlkJob *job, bool *flag, bool value)
{
    g_mutex_lock(&job->lock);
    *flag = value;
    if (flag == &job->pause && !value)
        *job->error = 0;
    g_cond_broadcast(&job->changed);
    g_mutex_unlock(&job->lock);
}

void blk_job_pause(BlkJob *job) { change(job, &job->pause, true); }
void blk_job_resume(BlkJob *job) { change(job, &job->pause, false); }
void blk_job_cancel(BlkJob *job) { change(job, &job->cancel, true); }

void blk_job_set_speed(BlkJob *job, uint64_t bytes_per_s)
{
    g_mutex_lock(&job->lock);
    job->speed.rate = bytes_per_s;
    g_cond_broadcast(&job->changed);
    g_mutex_unlock(&job->lock);
}

bool blk_job_complete(BlkJob *job, GError **err)
{
    g_mutex_lock(&job->lock);
    bool may = job->kind->completes && job->ready;
    g_mutex_unlock(&job->lock);
    if (!may)
        return error_set(err, ERR_INVALID, "job '%s' (%s) cannot be completed: it is not ready", job->id, job->kind->type);
    change(job, &job->complete, true);
    return true;
}

bool blk_job_wait_ready(BlkJob *job)
{
    g_mutex_lock(&job->lock);
    while (!job->ready && !job->ended)
        g_cond_wait(&job->changed, &job->lock);
    bool ready = job->ready && !job->ended;
    g_mutex_unlock(&job->lock);
    return ready;
}

bool blk_job_finish(BlkJob *job, GError **err)
{
    g_thread_join(job->thread);
    g_autoptr(GError) failure = g_steal_pointer(&job->failure), second = NULL;
    bool ok = job->ok, cancelled = job->cancel, finished = job->kind->finish(job, ok, &second);
    job_undrain(job);
    job->root->has_job = false;
    if (!ok && !failure)
        error_set(&failure, ERR_INVALID, cancelled ? "job '%s' was cancelled" : "job '%s' failed", job->id);
    job_free(job);
    if (!ok)
        g_propagate_error(err, g_steal_pointer(&failure));
    else if (!finished)
        g_propagate_error(err, g_steal_pointer(&second));
    return ok && finished;
}
