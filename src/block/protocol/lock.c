/*
 * lock.c - many readers or one writer of an image.
 *
 * Open file description locks on single bytes, in the places where QEMU puts them (its block/file-posix.c documents
 * the convention), so that both respect each other: byte 100 + p is share-locked by who uses permission p, byte
 * 200 + p by who lets nobody else have p.  Everyone first locks, then looks whether the opposite byte is locked by
 * others; so of two that come at once both may fail, but never both succeed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "block/driver.h"

enum { PERM_READ = 1 << 0, PERM_WRITE = 1 << 1, PERM_RESIZE = 1 << 3, PERMS = 4 };
enum { USED = 100, UNSHARED = 200 };

static int lock_bytes(int fd, unsigned base, unsigned perms)
{
    for (unsigned p = 0; p < PERMS; p++) {
        struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = base + p, .l_len = 1 };
        if (perms >> p & 1 && fcntl(fd, F_OFD_SETLK, &l))
            return -errno;
    }
    return 0;
}

/* Has somebody else locked one of the bytes? */
static bool others_hold(int fd, unsigned base, unsigned perms)
{
    for (unsigned p = 0; p < PERMS; p++) {
        struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = base + p, .l_len = 1 };
        if (perms >> p & 1 && !fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK)
            return true;
    }
    return false;
}

static bool holds_locks(const char *pid, const char *fd)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/fdinfo/%s", pid, fd), *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) && strstr(text, "lock:");
}

/* Does this process have the file open, with locks on it, otherwise than by our own descriptor? */
static bool process_holds(const char *pid, const struct stat *image, int own_fd)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/fd", pid);
    GDir *dir = g_dir_open(path, 0, NULL);
    bool found = false;
    for (const char *fd; dir && !found && (fd = g_dir_read_name(dir));) {
        g_autofree char *link = g_strdup_printf("%s/%s", path, fd);
        struct stat st;
        bool ours = atoi(pid) == getpid() && atoi(fd) == own_fd;
        found = !ours && !stat(link, &st) && st.st_dev == image->st_dev && st.st_ino == image->st_ino &&
                holds_locks(pid, fd);
    }
    if (dir)
        g_dir_close(dir);
    return found;
}

/* An OFD lock does not tell its process (F_GETLK gives -1), so look through /proc.  Caller frees. */
static char *find_holder(int fd)
{
    struct stat image;
    GDir *proc = fstat(fd, &image) ? NULL : g_dir_open("/proc", 0, NULL);
    char *holder = NULL;
    for (const char *pid; proc && !holder && (pid = g_dir_read_name(proc));) {
        if (!g_ascii_isdigit(*pid) || !process_holds(pid, &image, fd))
            continue;
        g_autofree char *path = g_strdup_printf("/proc/%s/comm", pid), *comm = NULL;
        g_file_get_contents(path, &comm, NULL, NULL);
        holder = g_strdup_printf("process %s (%s)", pid, comm ? g_strchomp(comm) : "?");
    }
    if (proc)
        g_dir_close(proc);
    return holder ? holder : g_strdup("a process of another user (see lslocks as root)");
}

static bool lock_failed(int fd, const char *filename, bool write, GError **err)
{
    g_autofree char *holder = find_holder(fd);
    return error_set(err, ERR_BUSY, "cannot open disk image '%s' for %s: %s has it open%s", filename,
                     write ? "writing" : "reading", holder,
                     write ? "; end that, or open the image with readonly=on in both" : " for writing; end that first");
}

int image_lock_take(int fd, bool write)
{
    int status = lock_bytes(fd, USED, PERM_READ | (write ? PERM_WRITE | PERM_RESIZE : 0));
    return status ? status : lock_bytes(fd, UNSHARED, PERM_WRITE | PERM_RESIZE);
}

void image_unlock_write(int fd)
{
    for (unsigned p = 0; p < PERMS; p++) {
        struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = USED + p, .l_len = 1 };
        if ((PERM_WRITE | PERM_RESIZE) >> p & 1)
            fcntl(fd, F_OFD_SETLK, &l);
    }
}

bool image_lock(int fd, const char *filename, bool write, char **ret_warning, GError **err)
{
    unsigned used = PERM_READ | (write ? PERM_WRITE | PERM_RESIZE : 0), unshared = PERM_WRITE | PERM_RESIZE;
    int status = image_lock_take(fd, write);
    if (status == -EAGAIN || status == -EACCES)
        return lock_failed(fd, filename, write, err);
    if (status) { /* such a file system cannot tell; refusing would make its images useless */
        *ret_warning = g_strdup_printf("disk image '%s' cannot be locked (%s): nothing keeps other machines off it",
                                       filename, g_strerror(-status));
        return true;
    }
    if (others_hold(fd, UNSHARED, used) || others_hold(fd, USED, unshared))
        return lock_failed(fd, filename, write, err);
    return true;
}
