/* io_thread.c - see io_thread.h. */
#include "block/io_thread.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "block/driver.h"
#include "block/protocol/uring.h"

enum { ENTRIES = 256, POLL_MIN_NS = 4000, POLL_LOOKS = 32, RETRY_MS = 1, WATCHES = 32 };
/* A helper takes that many requests a time, and after one that the kernel did not answer at once, none for a while. */
enum { HELP_REQUESTS = 4, HELP_BYTES = 32768, HELP_ROUNDS = 4, HELP_PAUSE = 64 };
/* A write into the host's page cache copies memory, until the kernel makes who writes too much wait. */
enum { SLOW_WRITE_NS = 2000000, WRITE_PAUSE_NS = 500000000, TOLD_WRITES = 8, TOLD_BYTES = 65536 };

struct IoThread {
    char *name;
    GThread *thread;
    _Atomic int id;
    uint64_t poll_max_ns, poll_ns; /* poll_ns: for how long it looks now; less while that finds nothing */
    bool (*lends)(void *opaque);
    void *lender;
    _Atomic(IoWork *) posted;      /* the last one first */
    _Atomic bool asleep, quit;
    _Atomic unsigned no_help;      /* that many times it is woken and not helped */
    int wake_fd, watch_fd;         /* watch_fd: epoll, of what is watched */
    _Atomic unsigned n_watches;
    GMutex round;                  /* held by who does what has come, */
    _Atomic(GThread *) owner;      /* which is this one */
    /* The owner's. */
    struct io_uring ring;
    bool has_ring;
    UringEntry entries[ENTRIES], *free[ENTRIES];
    unsigned available, n_writes;
    uint64_t write_bytes; /* of them */
    BlkReq *write[ENTRIES];
    uint64_t next_write_ns; /* none before */
};

bool io_thread_is_self(const IoThread *t) { return atomic_load_explicit(&t->owner, memory_order_relaxed) == g_thread_self(); }
int io_thread_id(const IoThread *t) { return t->id; }

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void own(IoThread *t) { atomic_store_explicit(&t->owner, g_thread_self(), memory_order_relaxed); }

static void enter(IoThread *t)
{
    g_mutex_lock(&t->round);
    own(t);
}

static void leave(IoThread *t)
{
    atomic_store_explicit(&t->owner, NULL, memory_order_relaxed);
    g_mutex_unlock(&t->round);
}

/* ---- work */

void io_thread_wake(IoThread *t)
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
    /* asleep is read after posted is written, and the other way round in sleep_until_woken() */
    if (atomic_load(&t->asleep) && !(t->lends && t->lends(t->lender)))
        io_thread_wake(t);
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
    io_thread_wake(t); /* who waits here cannot help */
    g_mutex_lock(&b.lock);
    while (!b.reached)
        g_cond_wait(&b.changed, &b.lock);
    g_mutex_unlock(&b.lock);
    g_mutex_clear(&b.lock);
    g_cond_clear(&b.changed);
}

/* ---- eventfds that others write to, as the kernel does for a guest that rings a doorbell */

static bool take_event(int fd)
{
    uint64_t value;
    ssize_t n;
    while ((n = read(fd, &value, sizeof(value))) < 0 && errno == EINTR)
        ;
    return n > 0;
}

bool io_thread_watch(IoThread *t, IoWatch *w, GError **err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };
    if (epoll_ctl(t->watch_fd, EPOLL_CTL_ADD, w->fd, &event) < 0)
        return error_set_errno(err, errno, "I/O thread '%s' cannot watch an eventfd", t->name);
    atomic_fetch_add(&t->n_watches, 1);
    return true;
}

void io_thread_unwatch(IoThread *t, IoWatch *w)
{
    epoll_ctl(t->watch_fd, EPOLL_CTL_DEL, w->fd, NULL);
    atomic_fetch_sub(&t->n_watches, 1);
}

static int look_at_watched(IoThread *t, struct epoll_event *ret)
{
    return atomic_load_explicit(&t->n_watches, memory_order_relaxed) ? epoll_wait(t->watch_fd, ret, WATCHES, 0) : 0;
}

static bool run_watched(IoThread *t)
{
    struct epoll_event event[WATCHES];
    int n = look_at_watched(t, event);
    for (int i = 0; i < n; i++) {
        IoWatch *w = event[i].data.ptr;
        if (take_event(w->fd))
            w->run(w->opaque);
    }
    return n > 0;
}

static bool any_watched(IoThread *t)
{
    struct epoll_event event[WATCHES];
    return look_at_watched(t, event) > 0;
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

bool io_thread_write(IoThread *t, BlkReq *r)
{
    if (!io_thread_is_self(t) || t->n_writes == ENTRIES || (t->next_write_ns && now_ns() < t->next_write_ns))
        return false;
    t->write[t->n_writes++] = r;
    t->write_bytes += r->len;
    return true;
}

/* Of this thread, that others did not force on it. */
static long sleeps(void)
{
    struct rusage u = { 0 };
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nvcsw;
}

/* Now and then devices tell their guest, which makes the next ones meanwhile; blk_done() may add some, too. */
static bool write_out(IoThread *t)
{
    unsigned n = 0, untold = 0;
    uint64_t bytes = 0;
    long slept = t->n_writes ? sleeps() : 0;
    for (uint64_t before = now_ns(); n < t->n_writes; before = now_ns()) {
        bytes += t->write[n]->len;
        untold++;
        blk_done(t->write[n], node_perform(t->write[n]->node, t->write[n]));
        uint64_t after = now_ns();
        if (after - before > SLOW_WRITE_NS && sleeps() != slept) {
            t->next_write_ns = after + WRITE_PAUSE_NS;
            for (n++; n < t->n_writes; n++)
                root_work(t->write[n]);
        } else {
            n++;
            if (untold < TOLD_WRITES && bytes < TOLD_BYTES)
                continue;
            run_posted(t);
            untold = bytes = 0;
            slept = sleeps();
        }
    }
    t->n_writes = t->write_bytes = 0;
    return n;
}

/* What the kernel does not take at once stays in the ring for the next round. */
static void submit(IoThread *t)
{
    while (t->has_ring && io_uring_sq_ready(&t->ring)) {
        int status = io_uring_submit(&t->ring);
        if (status < 0 && status != -EINTR)
            return;
    }
}

static bool reap(IoThread *t)
{
    struct io_uring_cqe *cqe;
    bool any = false;
    while (t->has_ring && !io_uring_peek_cqe(&t->ring, &cqe)) {
        UringEntry *e = io_uring_cqe_get_data(cqe), done = *e;
        int res = cqe->res;
        io_uring_cqe_seen(&t->ring, cqe);
        any = true;
        t->free[t->available++] = e;
        blk_done(done.req, uring_status(&done, res));
    }
    return any;
}

static bool answer(IoThread *t)
{
    bool any = write_out(t);
    submit(t);
    return reap(t) || any;
}

/* ---- the thread */

static bool has_news(IoThread *t)
{
    return atomic_load_explicit(&t->posted, memory_order_relaxed) || atomic_load_explicit(&t->quit, memory_order_relaxed) ||
           (t->has_ring && io_uring_cq_ready(&t->ring));
}

static bool look(IoThread *t)
{
    for (unsigned i = 0; i < POLL_LOOKS; i++) {
        if (has_news(t))
            return true;
        __builtin_ia32_pause();
    }
    return any_watched(t);
}

/* Waking a thread costs more than looking for what comes at once.  Where that is in vain it looks for less long. */
static bool poll_news(IoThread *t)
{
    uint64_t end = t->poll_ns ? now_ns() + t->poll_ns : 0;
    while (end && now_ns() < end)
        if (look(t)) {
            t->poll_ns = MIN(t->poll_max_ns, t->poll_ns * 2);
            return true;
        }
    t->poll_ns = t->poll_max_ns ? MAX(MIN(POLL_MIN_NS, t->poll_max_ns), t->poll_ns / 2) : 0;
    return false;
}

/* The ring is looked at only where something is under way, so that who helps can have what is answered at once for itself. */
static void sleep_until_woken(IoThread *t)
{
    bool waits = t->available < ENTRIES;
    struct pollfd fds[] = { { .fd = t->wake_fd, .events = POLLIN }, { .fd = waits ? t->ring.ring_fd : -1, .events = POLLIN },
                            { .fd = t->watch_fd, .events = POLLIN } };
    atomic_store(&t->asleep, true);
    if (!has_news(t)) {
        int timeout = waits && io_uring_sq_ready(&t->ring) ? RETRY_MS : -1;
        leave(t);
        if (poll(fds, G_N_ELEMENTS(fds), timeout) > 0 && fds[0].revents)
            take_event(t->wake_fd);
        enter(t);
    }
    atomic_store(&t->asleep, false);
}

static void *io_thread(void *thread)
{
    IoThread *t = thread;
    t->id = gettid();
    enter(t);
    while (!t->quit) {
        bool any = run_watched(t);
        any |= run_posted(t);
        any |= answer(t);
        if (!any && !poll_news(t))
            sleep_until_woken(t);
    }
    leave(t);
    return NULL;
}

/* ---- others in its place */

void io_thread_set_lenders(IoThread *t, bool (*lends)(void *opaque), void *opaque)
{
    t->lends = lends;
    t->lender = opaque;
}

static unsigned waiting(const IoThread *t) { return t->n_writes + (t->has_ring ? io_uring_sq_ready(&t->ring) : 0); }

/* False: there is something left that is the thread's. */
static bool do_little(IoThread *t)
{
    for (unsigned n = 0; n < HELP_ROUNDS && atomic_load(&t->posted); n++) {
        run_posted(t);
        if (waiting(t) > HELP_REQUESTS || (t->n_writes > 1 && t->write_bytes > HELP_BYTES)) {
            atomic_store(&t->no_help, HELP_PAUSE);
            return false;
        }
        answer(t);
    }
    if (t->available < ENTRIES)
        atomic_store(&t->no_help, HELP_PAUSE);
    return t->available == ENTRIES && !waiting(t) && !atomic_load(&t->posted);
}

void io_thread_help(IoThread *t)
{
    if (!atomic_load_explicit(&t->posted, memory_order_relaxed) || !atomic_load_explicit(&t->asleep, memory_order_relaxed))
        return;
    unsigned no_help = atomic_load(&t->no_help);
    bool mine = !no_help && g_mutex_trylock(&t->round);
    if (no_help)
        atomic_compare_exchange_strong(&t->no_help, &no_help, no_help - 1);
    bool all = false;
    if (mine) {
        own(t);
        all = t->available == ENTRIES && do_little(t);
        leave(t);
    }
    if (!all)
        io_thread_wake(t);
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

static void discard(IoThread *t)
{
    if (t->wake_fd >= 0)
        close(t->wake_fd);
    if (t->watch_fd >= 0)
        close(t->watch_fd);
    g_mutex_clear(&t->round);
    g_free(t->name);
    g_free(t);
}

IoThread *io_thread_new(const char *name, uint64_t poll_max_ns, GError **err)
{
    IoThread *t = g_new0(IoThread, 1);
    t->name = g_strdup(name);
    t->poll_max_ns = t->poll_ns = poll_max_ns;
    t->wake_fd = eventfd(0, EFD_CLOEXEC);
    t->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    g_mutex_init(&t->round);
    if (t->wake_fd < 0 || t->watch_fd < 0) {
        error_set_errno(err, errno, "cannot make I/O thread '%s'", name);
        discard(t);
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
    io_thread_wake(t);
    g_thread_join(t->thread);
    if (t->has_ring)
        io_uring_queue_exit(&t->ring);
    discard(t);
}
