#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
/*
 * iov.h - scattered buffers.  Offsets count bytes over all pieces; every function stops at the end of the pieces and
 * says how far it came.
 */
size_t iov_size(const struct iovec *iov, unsigned n);
size_t iov_read(const struct iovec *iov, unsigned n, size_t off, void *to, size_t len);
size_t iov_write(const struct iovec *iov, unsigned n, size_t off, const void *from, size_t len);
size_t iov_fill(const struct iovec *iov, unsigned n, size_t off, int byte, size_t len);
/* The pieces of [off, off + len): at most max of them go to `to`.  Returns how many; *ret_len is what they hold. */
unsigned iov_slice(const struct iovec *iov, unsigned n, size_t off, size_t len, struct iovec *to, unsigned max,
                   size_t *ret_len);
