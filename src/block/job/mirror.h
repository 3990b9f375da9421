#pragma once
#include "block/job/internal.h"
/* mirror.h - following a disk that is in use; commit does it too. */
bool mirror_start(BlkJob *job, GError **err);                      /* from now on changes are noted in job->todo */
/* Copies until all is copied, says so and goes on until told to stop; *ret_pivot: by blk_job_complete(). */
bool mirror_follow(BlkJob *job, bool *ret_pivot, GError **err);
bool mirror_finish_copy(BlkJob *job, GError **err);                /* drains the root: nothing changes any more */
