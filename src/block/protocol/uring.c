/* uring.c - see uring.h; io_uring(7) and liburing's manual pages describe the kernel's side. */
#include "block/protocol/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <signal.h>

#include "base/iov.h"
#include "block/driver.h"

enum { ENTRIES = 256, SECTOR = 512, SPINS = 200 };

struct Uring {
    struct io_uring ring;
    GMutex lock; /* of the submission side and of free */
    UringEntry entries[ENTRIES], *free[ENTRIES];
    unsigned available;
    GThread *reaper;
};

/* What the kernel left over, as it may at any moment; rare enough to be done here and now.  A read that ends within a
 * sector met the end of the file, and direct I/O cannot go on from there. */
static int finish_rest(const UringEntry *e, uint64_t done)
{
    const BlkReq *r = e->req;
    if (r->op == BLK_READ && done % SECTOR)
        return iov_fill(r->iov, r->niov, done, 0, r->len - done) == r->len - done ? 0 : -EINVAL;
    g_autofree struct iovec *part = g_new(struct iovec, r->niov);
    size_t bytes;
    unsigned n = iov_slice(r->iov, r->niov, done, r->len - done, part, r->niov, &bytes);
    if (r->op == BLK_READ)
        return fd_read(e->fd, r->off + done, r->len - done, part, n);
    int status = fd_write(e->fd, r->off + done, r->len - done, part, n);
    return !status && r->flags & BLK_FUA && fdatasync(e->fd) ? -errno : status;
}

int uring_status(const UringEntry *e, int res)
{
    const BlkReq *r = e->req;
    if (e->fd < 0)
        return 0;
    if (r->op == BLK_FLUSH)
        return MIN(res, 0);
    if (res >= 0 && (uint64_t)res == r->len)
        return 0;
    return res >= 0 || res == -EAGAIN || res == -EINTR ? finish_rest(e, MAX(res, 0)) : res;
}

static void complete(Uring *u, UringEntry *e, int res)
{
    BlkReq *r = e->req;
    int status = uring_status(e, res);
    g_mutex_lock(&u->lock);
    u->free[u->available++] = e;
    g_mutex_unlock(&u->lock);
    blk_done(r, status);
}

/* Waking a thread costs more than looking for what comes at once, as it does when requests come in numbers or find their
 * data in memory. */
static int next_completion(Uring *u, struct io_uring_cqe **ret)
{
    for (unsigned i = 0; i < SPINS; i++) {
        if (!io_uring_peek_cqe(&u->ring, ret))
            return 0;
        __builtin_ia32_pause();
    }
    return io_uring_wait_cqe(&u->ring, ret);
}

/* A completion without an entry is uring_free()'s. */
static void *reap(void *ring)
{
    Uring *u = ring;
    struct io_uring_cqe *cqe;
    for (;;) {
        int status = next_completion(u, &cqe);
        if (status == -EINTR || status == -EAGAIN)
            continue;
        UringEntry *e = status ? NULL : io_uring_cqe_get_data(cqe);
        int res = status ? 0 : cqe->res;
        if (!e)
            return NULL;
        io_uring_cqe_seen(&u->ring, cqe);
        complete(u, e, res);
    }
}

/* Signals are for the threads that wait for them. */
static GThread *start_reaper(Uring *u)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    GThread *thread = g_thread_new("uring", reap, u);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return thread;
}

Uring *uring_new(void)
{
    Uring *u = g_new0(Uring, 1);
    if (io_uring_queue_init(ENTRIES, &u->ring, 0)) {
        g_free(u);
        return NULL;
    }
    g_mutex_init(&u->lock);
    for (unsigned i = 0; i < ENTRIES; i++)
        u->free[i] = &u->entries[i];
    u->available = ENTRIES;
    u->reaper = start_reaper(u);
    return u;
}

void uring_free(Uring *u)
{
    if (!u)
        return;
    g_mutex_lock(&u->lock);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, NULL);
    while (io_uring_submit(&u->ring) == -EINTR)
        ;
    g_mutex_unlock(&u->lock);
    g_thread_join(u->reaper);
    io_uring_queue_exit(&u->ring);
    g_mutex_clear(&u->lock);
    g_free(u);
}

void uring_prepare(struct io_uring_sqe *sqe, UringEntry *e)
{
    const BlkReq *r = e->req;
    int fd = e->fd;
    if (fd < 0)
        io_uring_prep_nop(sqe);
    else if (r->op == BLK_FLUSH)
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    else if (r->op == BLK_READ)
        io_uring_prep_readv(sqe, fd, r->iov, r->niov, r->off);
    else
        io_uring_prep_writev2(sqe, fd, r->iov, r->niov, r->off, r->flags & BLK_FUA ? RWF_DSYNC : 0);
    io_uring_sqe_set_data(sqe, e);
}

/* What the kernel does not take now stays in the ring: the next submission takes it along.  So it is taken from us. */
static bool put(Uring *u, int fd, BlkReq *r)
{
    g_mutex_lock(&u->lock);
    struct io_uring_sqe *sqe = u->available ? io_uring_get_sqe(&u->ring) : NULL;
    if (sqe) {
        UringEntry *e = u->free[--u->available];
        *e = (UringEntry){ r, fd };
        uring_prepare(sqe, e);
        int status;
        do
            status = io_uring_submit(&u->ring);
        while (status == -EINTR || status == -EAGAIN || status == -EBUSY);
    }
    g_mutex_unlock(&u->lock);
    return sqe;
}

bool uring_fits(const BlkReq *r)
{
    return r->niov <= IOV_MAX && r->len <= INT_MAX && (r->op == BLK_FLUSH || iov_size(r->iov, r->niov) == r->len);
}

bool uring_submit(Uring *u, int fd, BlkReq *r) { return uring_fits(r) && put(u, fd, r); }

bool uring_finish(Uring *u, BlkReq *r) { return put(u, -1, r); }
