/* iov.c - scattered buffers. */
#include "base/iov.h"

#include <glib.h>
#include <string.h>

size_t iov_size(const struct iovec *iov, unsigned n)
{
    size_t sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* Calls piece() for each part of [off, off + len). */
static size_t iov_each(const struct iovec *iov, unsigned n, size_t off, size_t len,
                       void (*piece)(void *part, size_t done, size_t bytes, void *arg), void *arg)
{
    size_t done = 0;
    for (unsigned i = 0; i < n && done < len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        size_t bytes = MIN(iov[i].iov_len - off, len - done);
        piece((char *)iov[i].iov_base + off, done, bytes, arg);
        done += bytes;
        off = 0;
    }
    return done;
}

static void piece_read(void *part, size_t done, size_t bytes, void *to) { memcpy((char *)to + done, part, bytes); }
static void piece_write(void *part, size_t done, size_t bytes, void *from) { memcpy(part, (char *)from + done, bytes); }
static void piece_fill(void *part, size_t done, size_t bytes, void *byte) { memset(part, *(int *)byte, bytes); }

size_t iov_read(const struct iovec *iov, unsigned n, size_t off, void *to, size_t len)
{
    return iov_each(iov, n, off, len, piece_read, to);
}

size_t iov_write(const struct iovec *iov, unsigned n, size_t off, const void *from, size_t len)
{
    return iov_each(iov, n, off, len, piece_write, (void *)from);
}

size_t iov_fill(const struct iovec *iov, unsigned n, size_t off, int byte, size_t len)
{
    return iov_each(iov, n, off, len, piece_fill, &byte);
}

unsigned iov_slice(const struct iovec *iov, unsigned n, size_t off, size_t len, struct iovec *to, unsigned max,
                   size_t *ret_len)
{
    unsigned count = 0;
    size_t done = 0;
    for (unsigned i = 0; i < n && done < len && count < max; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        size_t bytes = MIN(iov[i].iov_len - off, len - done);
        to[count++] = (struct iovec){ (char *)iov[i].iov_base + off, bytes };
        done += bytes;
        off = 0;
    }
    *ret_len = done;
    return count;
}
