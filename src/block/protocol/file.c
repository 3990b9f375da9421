/* file.c - the bytes of a regular file or a host block device. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/iov.h"
#include "block/protocol/file.h"

enum { SECTOR = 512, MAX_PIECES = 64, ZEROS_BYTES = 65536 };

static int file_fd(BlkNode *n) { return ((File *)n->state)->fd; }

/* Moves all of it: kernels transfer less than asked for at 2 GiB, at the end of a file and on signals. */
static int transfer(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov, bool write)
{
    for (uint64_t done = 0; done < len;) {
        struct iovec part[MAX_PIECES];
        size_t bytes;
        unsigned n = iov_slice(iov, niov, done, len - done, part, MAX_PIECES, &bytes);
        if (!n)
            return -EINVAL;
        ssize_t got = write ? pwritev(fd, part, n, off + done) : preadv(fd, part, n, off + done);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0 && write)
            return -EIO;
        done += MAX(got, 0);
        if (!write && (got == 0 || (got > 0 && done % SECTOR && done < len))) /* the end; nor is more to be had there directly */
            return iov_fill(iov, niov, done, 0, len - done) == len - done ? 0 : -EINVAL;
    }
    return 0;
}

int fd_read(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov)
{
    return transfer(fd, off, len, iov, niov, false);
}

int fd_write(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov)
{
    return transfer(fd, off, len, iov, niov, true);
}

static int write_zeros(int fd, uint64_t off, uint64_t len)
{
    g_autofree char *zeros = g_malloc0(ZEROS_BYTES);
    int status = 0;
    for (uint64_t done = 0; done < len && !status; done += ZEROS_BYTES) {
        struct iovec iov = { zeros, MIN(ZEROS_BYTES, len - done) };
        status = fd_write(fd, off + done, iov.iov_len, &iov, 1);
    }
    return status;
}

/* -ENOTSUP: only by writing.  Never makes a file longer: what lies behind its end reads as zeros anyway. */
static int fd_zero_fast(int fd, uint64_t off, uint64_t len, bool may_unmap)
{
    int how = may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    if (!fallocate(fd, how | FALLOC_FL_KEEP_SIZE, off, len))
        return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV || errno == EINVAL ? -ENOTSUP : -errno;
}

int fd_zero(int fd, uint64_t off, uint64_t len, bool may_unmap)
{
    int status = fd_zero_fast(fd, off, len, may_unmap);
    return status == -ENOTSUP ? write_zeros(fd, off, len) : status;
}

static int discard(int fd, uint64_t off, uint64_t len)
{
    if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len))
        return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV || errno == EINVAL ? 0 : -errno; /* only a hint */
}

/* Makes sure that what was written is on the disk.  Linux tells of a lost page once only (fsync(2), "Errors"), so who
 * failed once cannot say later that all is well. */
static int flush(BlkNode *n)
{
    File *f = n->state;
    if (n->read_only || f->lost)
        return -f->lost;
    if (!fdatasync(f->fd))
        return 0;
    int status = -errno;
    if (status == -EIO && !n->mode.direct)
        f->lost = EIO;
    return status;
}

/* Direct writes come in whole blocks, which the last part of a raw image may not fill. */
static int cut_back(BlkNode *n, const BlkReq *r)
{
    bool longer = !n->grows && r->off + r->len > n->size;
    return longer && ftruncate(file_fd(n), n->size) && errno != EINVAL ? -errno : 0;
}

static int file_write(BlkNode *n, const BlkReq *r)
{
    int status = fd_write(file_fd(n), r->off, r->len, r->iov, r->niov);
    if (!status)
        status = cut_back(n, r);
    return !status && r->flags & BLK_FUA ? flush(n) : status;
}

static int file_perform(BlkNode *n, BlkReq *r)
{
    int status;
    switch (r->op) {
    case BLK_READ:
        return fd_read(file_fd(n), r->off, r->len, r->iov, r->niov);
    case BLK_WRITE:
        return file_write(n, r);
    case BLK_FLUSH:
        return flush(n);
    case BLK_ZERO:
        if (r->flags & BLK_NO_FALLBACK)
            return fd_zero_fast(file_fd(n), r->off, r->len, r->flags & BLK_MAY_UNMAP);
        status = n->align > 1 ? fd_zero_fast(file_fd(n), r->off, r->len, r->flags & BLK_MAY_UNMAP)
                              : fd_zero(file_fd(n), r->off, r->len, r->flags & BLK_MAY_UNMAP);
        return !status && r->flags & BLK_FUA ? flush(n) : status;
    case BLK_DISCARD:
        return discard(file_fd(n), r->off, r->len);
    }
    return -ENOTSUP;
}

/* ---- the ring, made when it is first of use */

static Uring *ring_of(BlkNode *n)
{
    File *f = n->state;
    g_mutex_lock(&f->lock);
    if (!f->ring && !f->no_ring)
        f->no_ring = !(f->ring = uring_new());
    Uring *ring = f->ring;
    g_mutex_unlock(&f->lock);
    return ring;
}

static bool file_submit(BlkNode *n, BlkReq *r)
{
    File *f = n->state;
    if (r->thread && uring_fits(r) && io_thread_take(r->thread, f->fd, r))
        return true;
    Uring *ring = ring_of(n);
    return ring && uring_submit(ring, f->fd, r);
}

static bool file_finish(BlkNode *n, BlkReq *r)
{
    if (r->thread && io_thread_take(r->thread, -1, r))
        return true;
    Uring *ring = ring_of(n);
    return ring && uring_finish(ring, r);
}

/* ---- more */

static int file_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    int fd = file_fd(n);
    off_t data = lseek(fd, off, SEEK_DATA), hole;
    ret->has_host = true;
    ret->host = off;
    ret->host_node = n;
    if (data < 0 && errno != ENXIO)
        return 0; /* a file system that does not tell: data */
    if (data < 0 || (uint64_t)data > off) {
        ret->zero = true;
        ret->allocated = false;
        ret->len = data < 0 ? len : MIN(len, data - off);
        return 0;
    }
    hole = lseek(fd, off, SEEK_HOLE);
    if (hole > 0 && (uint64_t)hole > off) /* the end of an odd file is a hole for the kernel; a sector is not cut */
        ret->len = MIN(len, ((uint64_t)hole - off + SECTOR - 1) / SECTOR * SECTOR);
    return 0;
}

static bool no_such_copy(int errnum)
{
    return errnum == EXDEV || errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EINVAL || errnum == EBADF;
}

static int file_copy_range(BlkNode *n, BlkNode *from, uint64_t from_off, uint64_t off, uint64_t len)
{
    if (from->driver != &file_driver)
        return -ENOTSUP;
    for (uint64_t done = 0; done < len;) {
        off_t in = from_off + done, out = off + done;
        ssize_t got = copy_file_range(file_fd(from), &in, file_fd(n), &out, len - done, 0);
        if (got < 0 && errno != EINTR)
            return no_such_copy(errno) ? -ENOTSUP : -errno;
        if (got == 0)
            return fd_zero(file_fd(n), out, len - done, true); /* behind the source's end */
        done += MAX(got, 0);
    }
    return 0;
}

static void file_info(BlkNode *n, BlkInfo *ret)
{
    struct stat st;
    if (fstat(file_fd(n), &st))
        return;
    ret->disk_bytes = st.st_blocks * 512ull;
    ret->file_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : n->size;
}

/* Written through the node, which knows how direct I/O wants it. */
static int fill_new(BlkNode *n, uint64_t from, uint64_t to, unsigned flags)
{
    g_autofree char *zeros = flags & BLK_ALLOCATE_FULL ? g_malloc0(ZEROS_BYTES) : NULL;
    int status = 0;
    for (uint64_t at = from; zeros && at < to && !status; at += ZEROS_BYTES)
        status = blk_pwrite(n, at, zeros, MIN(ZEROS_BYTES, to - at));
    if (zeros)
        return status;
    return flags & BLK_ALLOCATE && fallocate(file_fd(n), 0, from, to - from) ? -errno : 0;
}

static bool file_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    uint64_t old = n->size;
    int status = size > INT64_MAX - SECTOR ? -EFBIG : ftruncate(file_fd(n), size) ? -errno : 0;
    if (status)
        return error_set_errno(err, -status, "cannot resize '%s'", n->filename);
    if (!file_find_size(n, err))
        return false;
    status = size > old ? fill_new(n, old, size, flags) : 0;
    if (!status)
        return true;
    n->size = ftruncate(file_fd(n), old) ? n->size : old; /* no half of it is kept */
    return error_set_errno(err, -status, "cannot resize '%s'", n->filename);
}

static void file_close(BlkNode *n)
{
    File *f = n->state;
    uring_free(f->ring);
    if (!f->fd)
        return;
    g_mutex_clear(&f->lock);
    close(f->fd); /* the lock goes with it */
}

static const BlkOption file_options[] = {
    { "filename", BLK_STRING, .doc = "path of the file or block device", .open = true },
    { 0 },
};

const BlkDriver file_driver = {
    .name = "file",
    .summary = "a file or block device of the host",
    .kind = BLK_PROTOCOL,
    .state_bytes = sizeof(File),
    .flags = BLK_FUA,
    .options = file_options,
    .open = file_open,
    .close = file_close,
    .perform = file_perform,
    .submit = file_submit,
    .finish = file_finish,
    .map = file_map,
    .copy_range = file_copy_range,
    .info = file_info,
    .resize = file_resize,
    .reopen = file_reopen,
};
