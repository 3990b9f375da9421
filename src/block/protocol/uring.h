#pragma once
#include "block/block.h"
/*
 * uring.h - starting reads, writes and flushes of a file through io_uring, without sleeping.
 *
 * A ring has a thread of its own, which sleeps in the kernel until something completes and then calls blk_done().
 */
typedef struct Uring Uring;

Uring *uring_new(void); /* NULL: the kernel has none for us (old, or seccomp) */
void uring_free(Uring *u); /* with nothing under way; NULL is fine */
/* False: not taken.  r->flags: BLK_FUA is taken care of. */
bool uring_submit(Uring *u, int fd, BlkReq *r);
/* Completes r, which is done already, on the ring's thread.  False: no room. */
bool uring_finish(Uring *u, BlkReq *r);
