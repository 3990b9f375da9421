#pragma once
#include "block/block.h"
/*
 * uring.h - starting reads, writes and flushes of a file through io_uring, without sleeping.
 *
 * A ring has a thread of its own, which sleeps in the kernel until something completes and then calls blk_done().
 */
typedef struct Uring Uring;
struct io_uring_sqe;

/* A request and where its completion finds it. */
typedef struct UringEntry {
    BlkReq *req;
    int fd; /* -1: it is done already */
} UringEntry;

Uring *uring_new(void); /* NULL: the kernel has none for us (old, or seccomp) */
void uring_free(Uring *u); /* with nothing under way; NULL is fine */
/* False: not taken.  r->flags: BLK_FUA is taken care of. */
bool uring_submit(Uring *u, int fd, BlkReq *r);
/* For whoever has a ring of their own: a request's entry, with e as its data, and what its result means. */
bool uring_fits(const BlkReq *r);
void uring_prepare(struct io_uring_sqe *sqe, UringEntry *e);
int uring_status(const UringEntry *e, int res);
/* Completes r, which is done already, on the ring's thread.  False: no room. */
bool uring_finish(Uring *u, BlkReq *r);
/* io_thread.c: starts r on the ring of t, if this is t; false: it is not, or there is no room. */
bool io_thread_take(struct IoThread *t, int fd, BlkReq *r);
