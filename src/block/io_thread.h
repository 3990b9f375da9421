#pragma once
#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * io_thread.h - a thread that starts and completes the requests of disks, and does what their devices ask it to.
 *
 *     IoWork w = { .run = work_off_queue, .opaque = device };
 *     io_thread_post(t, &w);       from a vCPU that rang a doorbell
 *     ... work_off_queue() runs on t, and submits requests with req.thread = t
 *
 * Such requests go into a ring of the thread's own, all of a round with one system call, and what completes is taken from
 * it in the same round: no lock, no other thread.  Before it sleeps it looks for more for a moment, at most poll_max_ns.
 *
 * To wake a thread, and to be woken by it, takes several times as long as a small request that the host's page cache answers.
 * So a vCPU may lend itself: what it posts while the thread sleeps it does itself, by io_thread_help(), once it holds no lock.
 */
typedef struct IoThread IoThread;

/* One thing to do; the owner's memory.  Posted again before it has run, it runs once. */
typedef struct IoWork IoWork;
struct IoWork {
    void (*run)(void *opaque); /* no lock is held */
    void *opaque;
    _Atomic bool queued;
    IoWork *next;
};

/* run() after each time that somebody wrote to the eventfd (EFD_NONBLOCK).  The owner's memory. */
typedef struct IoWatch {
    int fd;
    void (*run)(void *opaque); /* no lock is held */
    void *opaque;
} IoWatch;

enum { IO_THREAD_POLL_NS = 32768 };

IoThread *io_thread_new(const char *name, uint64_t poll_max_ns, GError **err);
void io_thread_free(IoThread *t); /* nothing is posted or under way; NULL is fine */
void io_thread_post(IoThread *t, IoWork *w); /* any thread; never waits */
bool io_thread_is_self(const IoThread *t); /* the caller is t, or stands in its place */
/* lends(): will the calling thread call io_thread_help() soon, so that it need not wake t?  Before anything is posted. */
void io_thread_set_lenders(IoThread *t, bool (*lends)(void *opaque), void *opaque);
void io_thread_wake(IoThread *t); /* for who waits for what was posted */
/* Does a little of what is posted if t sleeps; the rest is left to t, which is woken.  With no lock held. */
void io_thread_help(IoThread *t);
/* Returns when all that was posted until now has run.  From another thread, with no lock held that it takes. */
void io_thread_settle(IoThread *t);
bool io_thread_watch(IoThread *t, IoWatch *w, GError **err); /* any thread */
void io_thread_unwatch(IoThread *t, IoWatch *w);              /* it may still run until io_thread_settle() is back */
int io_thread_id(const IoThread *t); /* of the kernel */
