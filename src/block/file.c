/* file.c - a raw image in a regular file or a host block device. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/iov.h"
#include "block/node.h"

enum { SECTOR = 512, MAX_PIECES = 64, ZEROS_BYTES = 65536, HEAD_BYTES = 4096 };

static int file_fd(BlkNode *n) { return GPOINTER_TO_INT(n->state); }

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
        if (got == 0)
            return iov_fill(iov, niov, done, 0, len - done) == len - done ? 0 : -EINVAL;
        done += got > 0 ? got : 0;
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

/* Never makes a file longer: what lies behind its end reads as zeros anyway. */
int fd_zero(int fd, uint64_t off, uint64_t len, bool may_unmap)
{
    int how = may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    if (!fallocate(fd, how | FALLOC_FL_KEEP_SIZE, off, len))
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != ENODEV && errno != EINVAL)
        return -errno;
    return write_zeros(fd, off, len);
}

static int discard(int fd, uint64_t off, uint64_t len)
{
    if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len))
        return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV || errno == EINVAL ? 0 : -errno; /* only a hint */
}

static int file_perform(BlkNode *n, BlkReq *r)
{
    int fd = file_fd(n);
    switch (r->op) {
    case BLK_READ:
        return fd_read(fd, r->off, r->len, r->iov, r->niov);
    case BLK_WRITE:
        return fd_write(fd, r->off, r->len, r->iov, r->niov);
    case BLK_FLUSH:
        return n->read_only || !fdatasync(fd) ? 0 : -errno;
    case BLK_ZERO:
        return fd_zero(fd, r->off, r->len, r->flags & BLK_MAY_UNMAP);
    case BLK_DISCARD:
        return discard(fd, r->off, r->len);
    }
    return -ENOTSUP;
}

static void file_close(BlkNode *n) { close(file_fd(n)); } /* the lock goes with it */

static const BlkDriver file_driver = { .name = "file", .perform = file_perform, .close = file_close };

static const char *wrong_type(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
        return NULL;
    case S_IFDIR:
        return "a directory";
    case S_IFCHR:
        return "a character device";
    case S_IFIFO:
        return "a pipe";
    default:
        return "neither a file nor a block device";
    }
}

/* A directory is told apart first: opening one for writing fails with a word about something else. */
static bool check_type(const char *filename, GError **err)
{
    struct stat st;
    const char *wrong = stat(filename, &st) ? NULL : wrong_type(st.st_mode);
    if (wrong)
        return error_set(err, ERR_INVALID, "cannot open disk image '%s': it is %s; give a file or a block device",
                         filename, wrong);
    return true;
}

static bool open_failed(const char *filename, bool write, int errnum, GError **err)
{
    if (errnum == EACCES || errnum == EPERM) {
        g_autofree char *reason = file_denied_reason(filename, write);
        return error_set(err, ERR_DENIED, "cannot open disk image '%s' for %s: %s", filename,
                         write ? "writing" : "reading", reason);
    }
    if (errnum == EROFS)
        return error_set(err, ERR_DENIED,
                         "cannot open disk image '%s' for writing: its file system is mounted read-only; "
                         "open it with readonly=on or -snapshot",
                         filename);
    return error_set_errno(err, errnum, "cannot open disk image '%s'", filename);
}

static bool find_size(int fd, const char *filename, uint64_t *ret, GError **err)
{
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0)
        return error_set_errno(err, errno, "cannot find the size of disk image '%s'", filename);
    if (!end)
        return error_set(err, ERR_INVALID, "cannot use disk image '%s': it is empty; create it with a size, "
                         "for example by: truncate -s 10G '%s'", filename, filename);
    if (end > INT64_MAX - SECTOR)
        return error_set(err, ERR_INVALID, "cannot use disk image '%s': it is too large", filename);
    *ret = ((uint64_t)end + SECTOR - 1) / SECTOR * SECTOR;
    return true;
}

static void warn_if_other_format(BlkNode *n)
{
    uint8_t head[HEAD_BYTES];
    ssize_t got = pread(file_fd(n), head, sizeof(head), 0);
    const char *format = got > 0 ? format_guess(head, got) : NULL;
    if (format && !n->warning)
        n->warning = g_strdup_printf("disk image '%s' looks like format %s, but is used as raw: the guest sees its "
                                     "container; say format=raw if that is meant", n->filename, format);
}

/* Takes fd over. */
static BlkNode *file_node(int fd, const BlkOpenOptions *o, bool write, GError **err)
{
    BlkNode *n = node_create(&file_driver, o->filename);
    n->state = GINT_TO_POINTER(fd);
    n->read_only = !write;
    if (!find_size(fd, o->filename, &n->size, err) ||
        (!o->share && !image_lock(fd, o->filename, write, &n->warning, err))) {
        blk_close(n);
        return NULL;
    }
    if (!o->format)
        warn_if_other_format(n);
    return n;
}

BlkNode *file_open(const BlkOpenOptions *o, GError **err)
{
    bool write = !o->read_only && !o->snapshot;
    if (!check_type(o->filename, err))
        return NULL;
    int fd = open(o->filename, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        open_failed(o->filename, write, errno, err);
        return NULL;
    }
    return file_node(fd, o, write, err);
}
