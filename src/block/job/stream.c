/*
 * stream.c - what comes from backing files is copied into the image, so that it needs them no more.
 *
 * A copy-on-read filter stands over the image meanwhile: it keeps copies and the machine's writes apart.
 */
#include <limits.h>

#include "base/error.h"
#include "block/job/internal.h"

typedef struct Stream {
    BlkNode *image, *base; /* base NULL: none is left */
} Stream;

static bool must_copy(const BlkJob *job, const BlkExtent *e)
{
    const Stream *s = job->state;
    if (!e->depth && e->allocated)
        return false;
    return s->base ? e->depth < job->base_depth : e->allocated;
}

static bool mark(BlkJob *job, GError **err)
{
    const Stream *s = job->state;
    BlkExtent e;
    for (uint64_t at = 0; at < s->image->size; at += e.len) {
        if (!blk_map_chain(s->image, at, s->image->size - at, &e, err))
            return false;
        if (must_copy(job, &e))
            bitmap_mark(job->todo, at, e.len, true);
    }
    return true;
}

static int stream_copy(BlkJob *job, uint64_t off, uint64_t len) { return copy_on_read_fill(job->source, off, len); }

static bool stream_run(BlkJob *job, GError **err) { return mark(job, err) && job_copy_dirty(job, err); }

static bool stream_finish(BlkJob *job, bool ok, GError **err)
{
    Stream *s = job->state;
    job_drain(job);
    graph_remove(job->root);
    return !ok || graph_cut_out(s->image, s->base, err);
}

static bool check(BlkNode *root, BlkNode *base, GError **err)
{
    if (root->read_only)
        return error_set(err, ERR_DENIED, "cannot stream into disk image '%s': it is open read-only", root->filename);
    if (!blk_backing(root))
        return error_set(err, ERR_INVALID, "cannot stream into disk image '%s': it has no backing file", root->filename);
    return !base || (graph_depth(root, base) != UINT_MAX && graph_depth(root, base)) ||
           error_set(err, ERR_INVALID, "cannot stream down to '%s': it is no backing file of '%s'", base->filename, root->filename);
}

BlkJob *blk_job_stream(BlkNode *root, BlkNode *base, const BlkJobOptions *o, GError **err)
{
    static const BlkJobKind kind = { .type = "stream", .copy = stream_copy, .run = stream_run, .finish = stream_finish };
    BlkJob *job = job_new(&kind, root, o, sizeof(Stream), err);
    if (!job)
        return NULL;
    bool ok = check(root, base, err);
    *(Stream *)job->state = (Stream){ past_filters(root), base };
    job->base_depth = base ? graph_depth(root, base) : UINT_MAX;
    job->todo = ok ? bitmap_new(root->size, COPY_GRANULARITY) : NULL;
    if (ok && !job->todo)
        ok = error_set(err, ERR_NO_SPACE, "no memory to stream disk image '%s'", root->filename);
    if (!ok) {
        job_free(job);
        return NULL;
    }
    job_drain(job);
    job->source = blk_stack(&copy_on_read_driver, root->file, NULL, NULL); /* cannot fail */
    graph_insert(root, job->source);
    job_undrain(job);
    return job_start(job);
}
