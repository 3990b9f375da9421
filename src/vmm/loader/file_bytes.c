/*
 * file_bytes.c - files that a kernel is made of.  They stay open; their bytes are in memory only while they are loaded, for they are
 * tens of megabytes that an idle machine would keep for a reboot.
 *
 * A file that another takes the place of (rename) is still the same one here.  One that was written to is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/loader/kernel.h"

static bool check_regular(const char *what, const char *path, const struct stat *st, GError **err)
{
    if (S_ISDIR(st->st_mode))
        return error_set(err, ERR_INVALID, "%s '%s' is a directory; give a file", what, path);
    if (!S_ISREG(st->st_mode))
        return error_set(err, ERR_INVALID, "%s '%s' is not a plain file", what, path);
    if (st->st_size == 0)
        return error_set(err, ERR_INVALID, "%s '%s' is empty", what, path);
    if (st->st_size > UINT32_MAX)
        return error_set(err, ERR_INVALID, "%s '%s' has %" G_GINT64_FORMAT " bytes; it is to stand below 4 GiB in the guest's memory",
                         what, path, (gint64)st->st_size);
    return true;
}

static bool read_all(const FileBytes *f)
{
    for (size_t done = 0; done < f->n;) {
        ssize_t got = pread(f->fd, f->data + done, f->n - done, done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return false;
        }
        done += got;
    }
    return true;
}

void file_bytes_drop(FileBytes *f)
{
    if (f->data)
        munmap(f->data, f->n);
    f->data = NULL;
}

/* Not from malloc(), which would keep room for the next of that size. */
static bool read_bytes(FileBytes *f, const struct stat *st, GError **err)
{
    f->n = st->st_size;
    f->written = st->st_mtim;
    f->data = mmap(NULL, f->n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->data == MAP_FAILED)
        f->data = NULL;
    if (f->data && read_all(f))
        return true;
    error_set_errno(err, errno, "cannot read %s '%s'", f->what, f->path);
    file_bytes_drop(f);
    return false;
}

void file_bytes_clear(FileBytes *f)
{
    if (!f->path)
        return;
    file_bytes_drop(f);
    close(f->fd);
    g_clear_pointer(&f->path, g_free);
}

bool file_bytes_open(const char *what, const char *path, FileBytes *ret, GError **err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open %s '%s'", what, path);
    FileBytes f = { .what = what, .path = g_strdup(path), .fd = fd };
    if (fstat(fd, &st) == 0 && check_regular(what, path, &st, err) && read_bytes(&f, &st, err)) {
        *ret = f;
        return true;
    }
    file_bytes_clear(&f);
    return false;
}

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

bool file_bytes_again(FileBytes *f, bool *changed, GError **err)
{
    struct stat st;
    if (!f->path || f->data)
        return true;
    if (fstat(f->fd, &st) < 0)
        return error_set_errno(err, errno, "cannot read %s '%s' again", f->what, f->path);
    if ((size_t)st.st_size != f->n || !same_time(st.st_mtim, f->written)) {
        g_printerr("atoll-vm: %s '%s' was written to since the machine began; it is taken as it is now\n", f->what, f->path);
        *changed = true;
    }
    return check_regular(f->what, f->path, &st, err) && read_bytes(f, &st, err);
}
