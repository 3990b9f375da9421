/*
 * file_open.c - opening a file or block device of the host: what it is, how large, how its requests must be aligned.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "block/protocol/file.h"

enum { SECTOR = 512, MAX_ALIGN = 65536 };

static int file_fd(const BlkNode *n) { return ((File *)n->state)->fd; }

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

static bool open_failed(const BlkNode *n, int errnum, GError **err)
{
    const char *filename = n->filename;
    bool write = !n->read_only;
    if (errnum == EINVAL && n->mode.direct)
        return error_set(err, ERR_UNSUPPORTED, "cannot open disk image '%s' with cache=none or directsync: its file system has no direct I/O; "
                         "use cache=writeback or writethrough", filename);
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

bool file_find_size(BlkNode *n, GError **err)
{
    const char *filename = n->filename;
    off_t end = lseek(file_fd(n), 0, SEEK_END); /* of block devices too */
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

/* ---- alignment, which only direct I/O minds */

static bool can_read(int fd, uint32_t align)
{
    void *buf;
    if (posix_memalign(&buf, align, align))
        return false;
    ssize_t got = pread(fd, buf, align, 0);
    free(buf);
    return got >= 0 || errno != EINVAL;
}

/* Where the kernel does not say (before 6.1), tries. */
static uint32_t find_align(int fd)
{
    int sector;
    struct statx st = { 0 };
    struct stat old;
    if (!fstat(fd, &old) && S_ISBLK(old.st_mode))
        return ioctl(fd, BLKSSZGET, &sector) ? 4096 : sector;
#ifdef STATX_DIOALIGN
    if (!syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) && st.stx_mask & STATX_DIOALIGN && st.stx_dio_offset_align)
        return MAX(MAX(st.stx_dio_offset_align, st.stx_dio_mem_align), SECTOR);
#endif
    uint32_t align = SECTOR;
    while (align < MAX_ALIGN && !can_read(fd, align))
        align *= 2;
    return align;
}

/* ---- what the ring is for */

/* Where the kernel cannot start a read without sleeping (tmpfs), or a buffered write (most file systems), its own workers
 * take it, one after the other for each file; ours are faster.  flush() keeps in mind what it lost, but for direct I/O. */
static unsigned slow_ops(const BlkNode *n, int fd)
{
    char byte;
    bool can_read = preadv2(fd, &(struct iovec){ &byte, 1 }, 1, 0, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
    if (n->mode.aio == BLK_AIO_THREADS)
        return ~0u;
    if (n->mode.direct)
        return 0;
    bool all = n->mode.aio == BLK_AIO_URING;
    return 1u << BLK_FLUSH | (all ? 0 : 1u << BLK_WRITE) | (all || can_read ? 0 : 1u << BLK_READ);
}

/* ---- opening */

/* A descriptor that this process was handed, where it may not open the file behind it a second time (a sandbox): itself. */
static int take_handed(const char *path, int flags)
{
    char *end;
    const char *number = g_str_has_prefix(path, "/proc/self/fd/") ? path + strlen("/proc/self/fd/") : g_str_has_prefix(path, "/dev/fd/") ? path + strlen("/dev/fd/") : "";
    int handed = g_ascii_strtoull(number, &end, 10), has = *number && !*end ? fcntl(handed, F_GETFL) : -1;
    bool enough = has >= 0 && ((has & O_ACCMODE) == O_RDWR || (has & O_ACCMODE) == (flags & O_ACCMODE)) && !(flags & ~has & O_DIRECT);
    return enough ? fcntl(handed, F_DUPFD_CLOEXEC, 3) : -1;
}

static int open_at(const char *path, const BlkNode *n)
{
    int flags = (n->read_only ? O_RDONLY : O_RDWR) | (n->mode.direct ? O_DIRECT : 0);
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
    int why = errno;
    if (fd < 0 && (why == EACCES || why == ENOENT)) { /* without a /proc, too */
        fd = take_handed(path, flags);
        errno = fd < 0 ? why : 0;
    }
    return fd ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int open_fd(BlkNode *n)
{
    int fd = open_at(n->filename, n);
    if (fd < 0 && !n->read_only && n->mode.auto_read_only && (errno == EACCES || errno == EROFS || errno == EPERM)) {
        n->read_only = true;
        fd = open_at(n->filename, n);
    }
    return fd;
}

bool file_open(BlkNode *n, KeyVals *options, GError **err)
{
    File *f = n->state;
    if (!check_type(n->filename, err))
        return false;
    int fd = open_fd(n);
    if (fd < 0)
        return open_failed(n, errno, err);
    f->fd = fd;
    g_mutex_init(&f->lock);
    n->align = n->mode.direct ? find_align(fd) : 1;
    n->slow_ops = slow_ops(n, fd);
    n->cached = !n->mode.direct && n->mode.aio != BLK_AIO_THREADS;
    return file_find_size(n, err) && (n->mode.share || image_lock(fd, n->filename, !n->read_only, &n->warning, err));
}

/* The same file under a new descriptor, whose locks stand before the old one's go. */
bool file_reopen(BlkNode *n, GError **err)
{
    File *f = n->state;
    g_autofree char *again = g_strdup_printf("/proc/self/fd/%d", f->fd), *warning = NULL;
    bool write = !n->read_only;
    bool ok = !write || n->mode.share || image_lock(f->fd, n->filename, true, &warning, err);
    int fd = ok ? open_at(again, n) : -1;
    if (ok && fd < 0)
        open_failed(n, errno, err);
    if (fd < 0 && write && !n->mode.share)
        image_unlock_write(f->fd);
    if (fd < 0)
        return false;
    if (!n->mode.share)
        image_lock_take(fd, write);
    close(f->fd);
    f->fd = fd;
    return true;
}

bool file_create(const char *filename, GError **err)
{
    int fd = open(filename, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot create disk image '%s'", filename);
    close(fd);
    return true;
}
