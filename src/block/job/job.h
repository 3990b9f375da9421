#pragma once
#include "block/block.h"
/*
 * job.h - work on an image in the background while a machine uses it: stream, commit, mirror, backup.
 *
 *     BlkJob *job = blk_job_mirror(root, target, BLK_SYNC_FULL, &(BlkJobOptions){ .speed = 100 << 20 }, err);
 *     ... blk_job_info(job, &info) now and then; info.ready: blk_job_complete(job) ...
 *     bool ok = blk_job_finish(job, err);
 *
 * A thread copies.  The tree of nodes changes only within the calls that start and finish a job; so these, and who looks
 * at the tree, are one thread.  From `ended` on the machine's requests may wait for blk_job_finish(), so
 * that thread does not wait for one between blk_job_complete() and that.  Finish a job before you close its root.
 * A power cut finds source and target as they were or as they are to be: data are flushed before anything refers to them.
 */
typedef struct BlkJob BlkJob;

typedef struct BlkJobOptions {
    const char *id;
    uint64_t speed;         /* bytes a second; 0: no limit */
    bool pause_on_error;    /* rather than fail; blk_job_resume() tries again */
    void (*changed)(BlkJob *job, void *arg); /* ready, ended or paused by an error; on the job's thread; may be NULL */
    void *arg;
} BlkJobOptions;

typedef struct BlkJobInfo {
    const char *id, *type;
    uint64_t done, total; /* bytes; total may grow while the machine writes */
    uint64_t speed;
    bool paused, ready, ended;
    char error[256]; /* that it paused for; "": none */
} BlkJobInfo;

typedef enum BlkSync {
    BLK_SYNC_FULL, /* the whole disk */
    BLK_SYNC_TOP,  /* what is allocated in the image itself; the target has the same backing file */
    BLK_SYNC_NONE, /* what is written from now on */
    BLK_SYNC_BITMAP,
} BlkSync;

/* Each of these starts at once.  NULL: *err is set. */
/* Copies what comes from backing files above `base` (NULL: all) into the image, which then has base as its backing file. */
BlkJob *blk_job_stream(BlkNode *root, BlkNode *base, const BlkJobOptions *o, GError **err);
/* Copies what lies in the images from `top` (NULL: the image itself) down to above `base` (NULL: its backing file) into
 * base.  Then, of the image itself: it is emptied; or nothing happens to it (KEEP); or the root goes on with base
 * (PIVOT: gets ready, and waits for blk_job_complete()).  Of one further down: the image above it gets base below it. */
enum { BLK_COMMIT_KEEP = 1 << 0, BLK_COMMIT_PIVOT = 1 << 1 };
BlkJob *blk_job_commit(BlkNode *root, BlkNode *top, BlkNode *base, unsigned flags, const BlkJobOptions *o, GError **err);
/* Copies to `target`, a root that it takes over; gets ready, and goes on copying what changes.  After blk_job_complete()
 * the root goes on with the target; after blk_job_cancel() of a ready job the target is a copy of that moment. */
BlkJob *blk_job_mirror(BlkNode *root, BlkNode *target, BlkSync sync, const BlkJobOptions *o, GError **err);
/* The disk as it is now, whatever is written meanwhile, to `target`, which stays the caller's.  BLK_SYNC_BITMAP: what is
 * dirty in the bitmap, which is clean afterwards but for what was written since now; on failure it is as it was.
 * BLK_SYNC_NONE: what is about to be overwritten, until it is cancelled. */
BlkJob *blk_job_backup(BlkNode *root, BlkNode *target, BlkSync sync, BlkBitmap *bitmap, const BlkJobOptions *o, GError **err);

void blk_job_info(BlkJob *job, BlkJobInfo *ret);
void blk_job_pause(BlkJob *job);
void blk_job_resume(BlkJob *job);
void blk_job_set_speed(BlkJob *job, uint64_t bytes_per_s);
bool blk_job_complete(BlkJob *job, GError **err); /* false: not ready, or not a job for it */
void blk_job_cancel(BlkJob *job);
bool blk_job_wait_ready(BlkJob *job); /* false: it ended instead */
/* Waits for the end, changes the tree, frees the job.  False: it failed or was cancelled, and says so. */
bool blk_job_finish(BlkJob *job, GError **err);
