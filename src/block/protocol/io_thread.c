/* io_thread.c - see io_thread.h. */
#include "block/io_thread.h"

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "block/driver.h"
#include "block/protocol/uring.h"

enum { ENTRIES = 256, POLL_MIN_NS = 4000, POLL_LOOKS = 32 };

struct IoThread {
    char *name;
    GThread *thread;
    _Atomic int id;
    uint64_t poll_max_ns, poll_ns; /* poll_ns: for how long it looks now; less while that finds nothing */
    _Atomic(IoWork *) posted;      /* the last one first */
    _Atomic bool asleep, quit;
    int wake_fd;
    /* The thread's own. */
    struct io_uring ring;
    bool has_ring, listening; /* listening: a read of wake_fd is under way */
    uint64_t wake_value;
    UringEntry entries[ENTRIES], *free[ENTRIES];
    unsigned available;
};

bool io_thread_is_self(const IoThread *t) { return t->thread == g_thread_self(); }
int io_thread_id(const IoThread *t) { return t->id; }

/* ---- work */

static void wake(IoThread *t)
{
    uint64_t one = 1;
    if (atomic_exchange(&t->asleep, false))
        while (write(t->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
}

void io_thread_post(IoThread *t, IoWork *w)
{
    if (atomic_exchange(&w->queued, true))
        return;
    IoWork *last = atomic_load(&t->posted);
    do
        w->next = last;
    while (!atomic_compare_exchange_weak(&t->posted, &last, w));
    wake(t); /* asleep is read after posted is written, and the other way round in sleep_until_woken() */
}

static IoWork *in_order(IoWork *last)
{
    IoWork *first = NULL;
    for (IoWork *next; last; last = next) {
        next = last->next;
        last->next = first;
        first = last;
    }
    return first;
}

static bool run_posted(IoThread *t)
{
    if (!atomic_load_explicit(&t->posted, memory_order_relaxed))
        return false;
    for (IoWork *w = in_order(atomic_exchange(&t->posted, NULL)), *next; w; w = next) {
        next = w->next; /* it may be posted again from here on */
        atomic_store(&w->queued, false);
        w->run(w->opaque);
    }
    return true;
}

typedef struct Barrier {
    GMutex lock;
    GCond changed;
    bool reached;
} Barrier;

static void reach(void *barrier)
{
    Barrier *b = barrier;
    g_mutex_lock(&b->lock);
    b->reached = true;
    g_cond_signal(&b->changed);
    g_mutex_unlock(&b->lock);
}

void io_thread_settle(IoThread *t)
{
    Barrier b = { .reached = false };
    IoWork w = { .run = reach, .opaque = &b };
    g_mutex_init(&b.lock);
    g_cond_init(&b.changed);
    io_thread_post(t, &w);
    g_mutex_lock(&b.lock);
    while (!b.reached)
        g_cond_wait(&b.changed, &b.lock);
    g_mutex_unlock(&b.lock);
    g_mutex_clear(&b.lock);
    g_cond_clear(&b.changed);
}

/* ---- the ring */

bool io_thread_take(IoThread *t, int fd, BlkReq *r)
{
    if (!io_thread_is_self(t) || !t->has_ring || !t->available)
        return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&t->ring);
    if (!sqe)
        return false;
    UringEntry *e = t->free[--t->available];
    *e = (UringEntry){ r, fd };
    uring_prepare(sqe, e);
    return true;
}

/* What the kernel does not take at once stays in the ring for the next round. */
static void submit(IoThread *t)
{
    while (io_uring_sq_ready(&t->ring)) {
        int status = io_uring_submit(&t->ring);
        if (status < 0 && status != -EINTR)
            return;
    }
}

static bool reap(IoThread *t)
{
    struct io_uring_cqe *cqe;
    bool any = false;
    while (!io_uring_peek_cqe(&t->ring, &cqe)) {
        UringEntry *e = io_uring_cqe_get_data(cqe), done = { 0 };
        int res = cqe->res;
        io_uring_cqe_seen(&t->ring, cqe);
        any = true;
        if (!e) {
            t->listening = false;
            continue;
        }
        done = *e;
        t->free[t->available++] = e;
        blk_done(done.req, uring_status(&done, res));
    }
    return any;
}

static void listen_for_wake(IoThread *t)
{
    struct io_uring_sqe *sqe = t->listening ? NULL : io_uring_get_sqe(&t->ring);
    if (!sqe)
        return;
    io_uring_prep_read(sqe, t->wake_fd, &t->wake_value, sizeof(t->wake_value), 0);
    io_uring_sqe_set_data(sqe, NULL);
    t->listening = true;
}

/* ---- the thread */

static bool has_news(IoThread *t)
{
    return atomic_load_explicit(&t->posted, memory_order_relaxed) || atomic_load_explicit(&t->quit, memory_order_relaxed) ||
           (t->has_ring && io_uring_cq_ready(&t->ring));
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Waking a thread costs more than looking for what comes at once.  Where that is in vain it looks for less long. */
static bool poll_news(IoThread *t)
{
    uint64_t end = t->poll_ns ? now_ns() + t->poll_ns : 0;
    while (end && now_ns() < end)
        for (unsigned i = 0; i < POLL_LOOKS; i++) {
            if (has_news(t)) {
                t->poll_ns = MIN(t->poll_max_ns, t->poll_ns * 2);
                return true;
            }
            __builtin_ia32_pause();
        }
    t->poll_ns = t->poll_max_ns ? MAX(MIN(POLL_MIN_NS, t->poll_max_ns), t->poll_ns / 2) : 0;
    return false;
}

static void sleep_until_woken(IoThread *t)
{
    atomic_store(&t->asleep, true);
    if (!has_news(t)) {
        if (t->has_ring) {
            listen_for_wake(t);
            io_uring_submit_and_wait(&t->ring, 1);
        } else if (read(t->wake_fd, &t->wake_value, sizeof(t->wake_value)) < 0) {
            g_thread_yield();
        }
    }
    atomic_store(&t->asleep, false);
}

static void *io_thread(void *thread)
{
    IoThread *t = thread;
    t->id = gettid();
    while (!t->quit) {
        bool any = run_posted(t);
        if (t->has_ring) {
            submit(t);
            any |= reap(t);
        }
        if (!any && !poll_news(t))
            sleep_until_woken(t);
    }
    return NULL;
}

/* Signals are for the threads that wait for them. */
static GThread *start(IoThread *t)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    GThread *thread = g_thread_new(t->name, io_thread, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return thread;
}

IoThread *io_thread_new(const char *name, uint64_t poll_max_ns, GError **err)
{
    IoThread *t = g_new0(IoThread, 1);
    t->name = g_strdup(name);
    t->poll_max_ns = t->poll_ns = poll_max_ns;
    t->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (t->wake_fd < 0) {
        error_set_errno(err, errno, "cannot make I/O thread '%s'", name);
        g_free(t->name);
        g_free(t);
        return NULL;
    }
    t->has_ring = io_uring_queue_init(2 * ENTRIES, &t->ring, 0) == 0;
    for (unsigned i = 0; i < ENTRIES; i++)
        t->free[i] = &t->entries[i];
    t->available = ENTRIES;
    t->thread = start(t);
    io_thread_settle(t); /* its id is known */
    return t;
}

void io_thread_free(IoThread *t)
{
    if (!t)
        return;
    atomic_store(&t->quit, true);
    wake(t);
    g_thread_join(t->thread);
    if (t->has_ring)
        io_uring_queue_exit(&t->ring);
    close(t->wake_fd);
    g_free(t->name);
    g_free(t);
}
