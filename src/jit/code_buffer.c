/* code_buffer.c - see code_buffer.h. */
#include "jit/code_buffer.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u /* Linux 6.3; required where vm.memfd_noexec is 1, unknown to older kernels */
#endif

enum { CODE_ALIGN = 16, INT3 = 0xcc };

struct CodeBuffer {
    uint8_t *rw;
    const uint8_t *rx;
    size_t size, used, reserved; /* bytes; the reservation starts at used */
};

static int code_memfd(void)
{
    int fd = memfd_create("atoll-code", MFD_CLOEXEC | MFD_EXEC);
    return fd < 0 && errno == EINVAL ? memfd_create("atoll-code", MFD_CLOEXEC) : fd;
}

static bool code_buffer_map(CodeBuffer *cb, int fd, GError **err)
{
    void *rw = mmap(NULL, cb->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (rw == MAP_FAILED)
        return error_set_errno(err, errno, "cannot map %zu bytes for generated code", cb->size);
    cb->rw = rw;
    void *rx = mmap(NULL, cb->size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (rx == MAP_FAILED)
        return error_set_errno(err, errno,
                               "cannot map generated code as executable (does the host's policy forbid it?)");
    cb->rx = rx;
    return true;
}

CodeBuffer *code_buffer_create(size_t size, GError **err)
{
    g_autoptr(CodeBuffer) cb = g_new0(CodeBuffer, 1);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    cb->size = (size + page - 1) & ~(page - 1);

    int fd = code_memfd();
    if (fd < 0) {
        error_set_errno(err, errno, "cannot create a memory file for generated code");
        return NULL;
    }
    bool sized = ftruncate(fd, (off_t)cb->size) == 0;
    if (!sized)
        error_set_errno(err, errno, "cannot reserve %zu bytes for generated code", cb->size);
    bool ok = sized && code_buffer_map(cb, fd, err);
    close(fd); /* the mappings keep it */
    if (!ok)
        return NULL;
    return g_steal_pointer(&cb);
}

void code_buffer_destroy(CodeBuffer *cb)
{
    if (!cb)
        return;
    if (cb->rw)
        munmap(cb->rw, cb->size);
    if (cb->rx)
        munmap((void *)cb->rx, cb->size);
    g_free(cb);
}

uint8_t *code_buffer_reserve(CodeBuffer *cb, size_t n)
{
    if (n > cb->size - cb->used)
        return NULL;
    cb->reserved = n;
    return cb->rw + cb->used;
}

const void *code_buffer_commit(CodeBuffer *cb, size_t n)
{
    g_assert(n <= cb->reserved);
    const uint8_t *code = cb->rx + cb->used;
    size_t end = MIN((cb->used + n + CODE_ALIGN - 1) & ~(size_t)(CODE_ALIGN - 1), cb->size);
    memset(cb->rw + cb->used + n, INT3, end - cb->used - n);
    cb->used = end;
    cb->reserved = 0;
    return code;
}

void code_buffer_reset(CodeBuffer *cb)
{
    memset(cb->rw, INT3, cb->used); /* a stale address traps instead of running something else */
    cb->used = cb->reserved = 0;
}

/* Both mappings and the file lose the pages (madvise(2), MADV_REMOVE). */
void code_buffer_release(CodeBuffer *cb)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), first = (cb->used + page - 1) & ~(page - 1);
    if (first < cb->size)
        madvise(cb->rw + first, cb->size - first, MADV_REMOVE); /* best effort: a host that cannot keeps them */
}

size_t code_buffer_used(const CodeBuffer *cb)
{
    return cb->used;
}

uint8_t *code_buffer_writable(const CodeBuffer *cb, const void *code)
{
    return cb->rw + ((const uint8_t *)code - cb->rx);
}
