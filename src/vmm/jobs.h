#pragma once
#include "block/job/job.h"
#include "vmm/nodes.h"
/*
 * jobs.h - work on disk images that the monitor starts and follows: block/job with a name, a state in QMP's words, and
 * events.  Main thread.
 *
 * A job that has ended changes the tree at once (auto-finalize) or when it is told; it is forgotten at once (auto-dismiss)
 * or when it is told, so that whoever was away meanwhile can ask how it went.
 */
typedef struct VmJob {
    Vm *vm;
    char *id, *drive; /* the drive that it works on; NULL: none */
    const char *type, *status; /* JobType, JobStatus */
    BlkJob *job;      /* NULL: concluded */
    BlkNode *target;  /* of a backup; becomes a drive of the name target_drive again, or is closed where that is NULL.  NULL: none */
    char *target_drive;
    bool keep_pending, keep_concluded, cancelled;
    BlkJobInfo last;
    char *error;      /* how it failed; NULL: well, or not ended yet */
} VmJob;

typedef struct VmJobOptions {
    const char *id; /* NULL: the drive's */
    bool keep_pending, keep_concluded;
    BlkJobOptions block;
} VmJobOptions;

/* A new one, to be given its BlkJob by vm_job_started(), or to be ended by vm_job_conclude().  drive: what it works on, or NULL. */
VmJob *vm_job_new(Vm *vm, const char *type, const char *drive, VmJobOptions *o, GError **err);
bool vm_job_started(VmJob *j, BlkJob *job); /* job NULL: it could not start, and j is gone; false then */
void vm_job_conclude(VmJob *j, const char *error);
VmJob *vm_job_find(Vm *vm, const char *id, GError **err);
void vm_job_finalize(VmJob *j);
void vm_job_set_status(VmJob *j, const char *status);
bool vm_job_dismiss(VmJob *j, GError **err);
bool vm_drive_has_job(Vm *vm, const char *drive);
void vm_end_jobs(Vm *vm); /* cancels them */
