/*
 * ram.c - blocks of RAM: where they stand in our memory, and which pages of them are dirty.
 *
 * The machine's own RAM is private memory, whose pages cost the host half of those of a memory file, unless the user names a file.  We do not ask for huge pages:
 * a boot touches a part of each, and where the host is a guest itself, to clear them took longer than all the faults that they
 * saved.  Blocks of devices are memory files, which an accelerator may map a second time.
 */
#include "machine/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static RamBlock *wrap(const char *name, uint64_t size, int fd, void *host)
{
    RamBlock *ram = g_new0(RamBlock, 1);
    *ram = (RamBlock){ .name = g_strdup(name), .fd = fd, .shared = fd >= 0, .host = host, .size = size };
    ram->page_flags = (_Atomic uint8_t *)g_malloc0((size + 4095) / 4096);
    return ram;
}

static RamBlock *fail(GError **err, const char *verb, const char *name, uint64_t size, int fd)
{
    error_set_errno(err, errno, "cannot %s %" G_GUINT64_FORMAT " MiB of memory for '%s'", verb, size >> 20, name);
    if (fd >= 0)
        close(fd);
    return NULL;
}

RamBlock *ram_create(const char *name, uint64_t size, GError **err)
{
    g_autofree char *label = g_strdup_printf("atoll-%s", name);
    int fd = memfd_create(label, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, size) < 0)
        return fail(err, "get", name, size, fd);
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (host == MAP_FAILED)
        return fail(err, "map", name, size, fd);
    return wrap(name, size, fd, host);
}

/* ---- the machine's own */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* A file that this has made is removed again on failure. */
static int open_named(const char *path, bool *ret_made)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    *ret_made = fd < 0 && errno == ENOENT && (fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) >= 0;
    return fd;
}

static int open_unnamed(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EOPNOTSUPP)
        return fd;
    g_autofree char *path = g_build_filename(folder, "atoll-ram-XXXXXX", NULL); /* hugetlbfs has no O_TMPFILE */
    if ((fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600)) >= 0)
        unlink(path);
    return fd;
}

/* An empty file becomes as large as the memory; another one has to be large enough: it is somebody's. */
static bool fit(int fd, const char *path, uint64_t size, GError **err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || (st.st_size == 0 && S_ISREG(st.st_mode) && ftruncate(fd, size) < 0))
        return error_set_errno(err, errno, "cannot make file '%s' %" G_GUINT64_FORMAT " bytes large for memory", path, size);
    return !S_ISREG(st.st_mode) || !st.st_size || (uint64_t)st.st_size >= size ||
           error_set(err, ERR_INVALID, "file '%s' has %" G_GINT64_FORMAT " bytes and the memory %" G_GUINT64_FORMAT "; give both the same size, or name a file that is not there yet",
                     path, (gint64)st.st_size, size);
}

static void *map_fd(int fd, uint64_t size, const RamSource *source, GError **err)
{
    if (!fit(fd, source->path, size, err))
        return NULL;
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, (source->shared ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE, fd, 0);
    if (host == MAP_FAILED)
        error_set_errno(err, errno, "cannot map file '%s' as memory", source->path);
    return host == MAP_FAILED ? NULL : host;
}

static void *map_file(uint64_t size, const RamSource *source, GError **err)
{
    bool made = false;
    int fd = g_file_test(source->path, G_FILE_TEST_IS_DIR) ? open_unnamed(source->path) : open_named(source->path, &made);
    if (fd < 0) {
        error_set_errno(err, errno, "cannot open '%s' as memory", source->path);
        return NULL;
    }
    void *host = map_fd(fd, size, source, err);
    if (!host && made)
        unlink(source->path);
    close(fd);
    return host;
}

static void *map_private(const char *name, uint64_t size, GError **err)
{
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED)
        return fail(err, "get", name, size, -1);
    return host;
}

/* Older kernels cannot be asked to fill a mapping: then it fills as it is touched. */
static bool populate(void *host, const char *name, uint64_t size, GError **err)
{
    return madvise(host, size, MADV_POPULATE_WRITE) == 0 || errno == EINVAL ||
           error_set_errno(err, errno, "this host has no %" G_GUINT64_FORMAT " MiB for '%s' at once; give less memory, or leave prealloc out", size >> 20, name);
}

RamBlock *ram_create_from(const char *name, uint64_t size, const RamSource *source, GError **err)
{
    void *host = source->path ? map_file(size, source, err) : map_private(name, size, err);
    if (!host)
        return NULL;
    if (source->populated && !populate(host, name, size, err)) {
        munmap(host, size);
        return NULL;
    }
    madvise(host, size, MADV_DONTFORK); /* no business of a child's, and it would make us copy what we write */
    RamBlock *ram = wrap(name, size, -1, host);
    ram->shared = source->path && source->shared;
    return ram;
}

bool ram_move(RamBlock *ram, uint8_t *to)
{
    if (ram->fd >= 0)
        return false;
    void *place = to ? to : mmap(NULL, ram->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED || mremap(ram->host, ram->size, ram->size, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED)
        return false;
    ram->host = place;
    return true;
}

int ram_discard(RamBlock *ram, uint64_t off, uint64_t n)
{
    return madvise(ram->host + off, n, ram->shared ? MADV_REMOVE : MADV_DONTNEED) < 0 ? -errno : 0;
}

void ram_destroy(RamBlock *ram)
{
    if (!ram)
        return;
    munmap(ram->host, ram->size);
    if (ram->fd >= 0)
        close(ram->fd);
    g_free((void *)ram->page_flags);
    g_free(ram->name);
    g_free(ram);
}

/* ---- dirty pages */

bool ram_any_dirty(const RamBlock *ram, uint64_t first_page, uint64_t n_pages)
{
    for (uint64_t n = 0; n < n_pages; n++)
        if (atomic_load_explicit(&ram->page_flags[first_page + n], memory_order_relaxed) & PAGE_DIRTY)
            return true;
    return false;
}

void ram_take_dirty(RamBlock *ram, uint64_t first_page, uint64_t n_pages, uint64_t *bitmap)
{
    for (uint64_t n = 0; n < n_pages; n++) {
        _Atomic uint8_t *flags = &ram->page_flags[first_page + n];
        if (atomic_load_explicit(flags, memory_order_relaxed) & PAGE_DIRTY && atomic_fetch_and(flags, (uint8_t)~PAGE_DIRTY) & PAGE_DIRTY)
            bitmap[n / 64] |= 1ull << n % 64;
    }
}
