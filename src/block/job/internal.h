#pragma once
#include "block/core/bucket.h"
#include "block/driver.h"
#include "block/job/job.h"
/* internal.h - what the kinds of jobs share. */
typedef struct BlkJobKind {
    const char *type;
    int (*copy)(BlkJob *job, uint64_t off, uint64_t len); /* NULL: from source to target */
    bool completes; /* gets ready, and waits to be told */
    bool (*run)(BlkJob *job, GError **err);                    /* the job's thread */
    bool (*finish)(BlkJob *job, bool ok, GError **err);        /* the owner's; undoes what start did.  ok: run succeeded */
} BlkJobKind;

struct BlkJob {
    const BlkJobKind *kind;
    BlkJobOptions o;
    char *id;
    BlkNode *root, *source, *target; /* source: what is read; target: what is written */
    void *state;       /* the kind's; freed with the job */
    BlkBitmap *todo;   /* what is to be copied */
    BlkRanges *ranges; /* under way */
    uint64_t slack;    /* bytes that may be left dirty by job_copy_dirty() */
    unsigned base_depth; /* extents from that far down are not copied; UINT_MAX: all are */
    GThread *thread;
    GMutex lock;
    GCond changed;
    Bucket speed;
    uint64_t done;     /* bytes */
    bool cancel, pause, complete, ready, ended, drained, ok;
    char error[256];
    GError *failure;
};

/* job.c */
BlkJob *job_new(const BlkJobKind *kind, BlkNode *root, const BlkJobOptions *o, size_t state_bytes, GError **err);
BlkJob *job_start(BlkJob *job); /* returns it */
void job_free(BlkJob *job);
/* Waits while paused or too fast.  False: cancelled. */
bool job_may_go_on(BlkJob *job, uint64_t bytes);
void job_add_done(BlkJob *job, uint64_t bytes);
/* An error: true if it was put right (by whoever resumed the job) and is to be tried again. */
bool job_retry(BlkJob *job, int status, const char *doing, GError **err);
bool job_wait_to_complete(BlkJob *job); /* says that it is ready; a moment later: shall it complete? */

/* Between these the machine waits, and the tree may be changed. */
void job_drain(BlkJob *job);
void job_undrain(BlkJob *job);

/* copy.c */
enum { COPY_BYTES = 1 << 20, COPY_GRANULARITY = 65536 };
int copy_extents(BlkNode *from, BlkNode *to, uint64_t off, uint64_t len, unsigned base_depth);
/* Copies what is dirty in job->todo until nothing is. */
bool job_copy_dirty(BlkJob *job, GError **err);
bool job_flush(BlkJob *job, GError **err); /* the target */
/* Marks what is allocated above base_depth; all of it, zeros too, if that is UINT_MAX. */
bool job_mark_allocated(BlkJob *job, GError **err);

/* graph.c: all while the root is drained, or before it is used */
void graph_insert(BlkNode *root, BlkNode *filter); /* blk_stack()ed over root->file already */
void graph_remove(BlkNode *root);                  /* the filter at the top */
void graph_replace(BlkNode *root, BlkNode *top);   /* closes what was there, except for `top` if it is part of that */
bool graph_cut_out(BlkNode *above, BlkNode *below, GError **err); /* makes below the backing of above; closes what was between */
unsigned graph_depth(BlkNode *root, const BlkNode *node);         /* how many images down; UINT_MAX: not in the chain */
void bitmap_attach(BlkNode *n, BlkBitmap *b);
void bitmap_detach(BlkNode *n, BlkBitmap *b); /* does not free it */
