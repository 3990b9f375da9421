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
#include "block/driver.h"

enum { SECTOR = 512, MAX_PIECES = 64, ZEROS_BYTES = 65536 };

typedef struct File {
    int fd; /* 0: not open */
} File;

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

static void file_close(BlkNode *n)
{
    if (file_fd(n))
        close(file_fd(n)); /* the lock goes with it */
}

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

static bool find_size(BlkNode *n, GError **err)
{
    const char *filename = n->filename;
    off_t end = lseek(file_fd(n), 0, SEEK_END);
    if (end < 0)
        return error_set_errno(err, errno, "cannot find the size of disk image '%s'", filename);
    if (!end && !n->may_be_empty)
        return error_set(err, ERR_INVALID, "cannot use disk image '%s': it is empty; create it with a size, "
                         "for example by: truncate -s 10G '%s'", filename, filename);
    if (end > INT64_MAX - SECTOR)
        return error_set(err, ERR_INVALID, "cannot use disk image '%s': it is too large", filename);
    n->size = ((uint64_t)end + SECTOR - 1) / SECTOR * SECTOR;
    return true;
}

static bool file_open(BlkNode *n, KeyVals *options, GError **err)
{
    File *f = n->state;
    bool write = !n->read_only;
    if (!check_type(n->filename, err))
        return false;
    int fd = open(n->filename, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return open_failed(n->filename, write, errno, err);
    f->fd = fd ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return find_size(n, err) && (n->mode.share || image_lock(f->fd, n->filename, write, &n->warning, err));
}

static bool file_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    if (size > INT64_MAX - SECTOR || ftruncate(file_fd(n), size))
        return error_set_errno(err, size > INT64_MAX - SECTOR ? EFBIG : errno, "cannot resize '%s'", n->filename);
    return find_size(n, err);
}

bool file_create(const char *filename, GError **err)
{
    int fd = open(filename, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot create disk image '%s'", filename);
    close(fd);
    return true;
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
    .options = file_options,
    .open = file_open,
    .close = file_close,
    .perform = file_perform,
    .resize = file_resize,
};
