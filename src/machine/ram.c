/*
 * ram.c - blocks of RAM: where they stand in our memory, and which pages of them are dirty.
 *
 * The machine's own RAM is private memory, whose pages cost the host half of those of a memory file.  We do not ask for huge pages:
 * a boot touches a part of each, and where the host is a guest itself, to clear them took longer than all the faults that they
 * saved.  Blocks of devices are memory files, which an accelerator may map a second time.
 */
#include "machine/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

static RamBlock *wrap(const char *name, uint64_t size, int fd, void *host)
{
    RamBlock *ram = g_new0(RamBlock, 1);
    *ram = (RamBlock){ .name = g_strdup(name), .fd = fd, .host = host, .size = size };
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

/* ---- private RAM */

RamBlock *ram_create_private(const char *name, uint64_t size, GError **err)
{
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED)
        return fail(err, "get", name, size, -1);
    madvise(host, size, MADV_DONTFORK); /* no business of a child's, and it would make us copy what we write */
    return wrap(name, size, -1, host);
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

void ram_release(RamBlock *ram)
{
    madvise(ram->host, ram->size, ram->fd < 0 ? MADV_DONTNEED : MADV_REMOVE); /* a failure costs memory, no more */
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
