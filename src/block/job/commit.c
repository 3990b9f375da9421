/*
 * commit.c - what lies in the upper images goes into one further down.
 *
 * Until the upper ones are emptied or left out, the chain reads the same at any moment: what is written into the base
 * stands in the upper images, too.
 */
#include <limits.h>

#include "base/error.h"
#include "block/job/mirror.h"

typedef struct Commit {
    BlkNode *top, *base, *above; /* images; above: whose backing file top is, NULL: top is the root's */
    unsigned flags;
    bool base_was_read_only, pivot;
} Commit;

static bool commit_run(BlkJob *job, GError **err)
{
    Commit *c = job->state;
    if (!job_mark_allocated(job, err))
        return false;
    return (c->flags & BLK_COMMIT_PIVOT ? mirror_follow(job, &c->pivot, err) : job_copy_dirty(job, err)) && mirror_finish_copy(job, err);
}

static bool leave_top(BlkJob *job, GError **err)
{
    Commit *c = job->state;
    if (c->above)
        return graph_cut_out(c->above, c->base, err);
    if (c->pivot) {
        graph_replace(job->root, c->base);
        return true;
    }
    bool keep = c->flags & (BLK_COMMIT_KEEP | BLK_COMMIT_PIVOT);
    if (keep || blk_make_empty(c->top, err))
        return true;
    g_prefix_error(err, "all data are committed, but: ");
    return false;
}

static bool commit_finish(BlkJob *job, bool ok, GError **err)
{
    Commit *c = job->state;
    job_drain(job);
    bitmap_detach(job->root, job->todo);
    bool left = !ok || leave_top(job, err);
    if (!(ok && c->pivot) && c->base_was_read_only)
        left &= blk_set_read_only(c->base, true, left ? err : NULL);
    return left;
}

/* The image above `top`, seen from the root. */
static BlkNode *image_above(BlkNode *root, const BlkNode *top)
{
    for (BlkNode *n = past_filters(root); n; n = blk_backing(n))
        if (n->backing && past_filters(n->backing) == top)
            return n;
    return NULL;
}

static bool place(Commit *c, BlkNode *root, BlkNode *top, BlkNode *base, GError **err)
{
    c->top = past_filters(top ? top : root);
    c->base = base ? past_filters(base) : blk_backing(c->top);
    c->above = image_above(root, c->top);
    if (!c->base)
        return error_set(err, ERR_INVALID, "cannot commit disk image '%s': it has no backing file", c->top->filename);
    unsigned from = graph_depth(root, c->top), to = graph_depth(root, c->base);
    return (from < to && to != UINT_MAX) ||
           error_set(err, ERR_INVALID, "cannot commit '%s' into '%s': that is not below it", c->top->filename, c->base->filename);
}

static bool prepare(BlkJob *job, GError **err)
{
    Commit *c = job->state;
    c->base_was_read_only = c->base->read_only;
    if (!blk_set_read_only(c->base, false, err))
        return false;
    job->source = c->above ? c->top : job->root->file;
    job->target = c->base;
    job->base_depth = graph_depth(c->top, c->base);
    bool ok = (c->base->size >= c->top->size || blk_resize(c->base, c->top->size, 0, err)) && mirror_start(job, err);
    if (!ok && c->base_was_read_only)
        blk_set_read_only(c->base, true, NULL);
    return ok;
}

BlkJob *blk_job_commit(BlkNode *root, BlkNode *top, BlkNode *base, unsigned flags, const BlkJobOptions *o, GError **err)
{
    static const BlkJobKind once = { .type = "commit", .run = commit_run, .finish = commit_finish };
    static const BlkJobKind pivot = { .type = "commit", .completes = true, .run = commit_run, .finish = commit_finish };
    BlkJob *job = job_new(flags & BLK_COMMIT_PIVOT ? &pivot : &once, root, o, sizeof(Commit), err);
    if (!job)
        return NULL;
    Commit *c = job->state;
    c->flags = flags;
    bool ok = place(c, root, top, base, err);
    if (ok && c->above && flags & BLK_COMMIT_PIVOT)
        ok = error_set(err, ERR_INVALID, "cannot go over to '%s': '%s' lies above it", c->base->filename, c->above->filename);
    if (ok && prepare(job, err))
        return job_start(job);
    job_free(job);
    return NULL;
}
