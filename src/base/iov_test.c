/* iov_test.c - scattered buffers against a flat one. */
#include "base/iov.h"

#include <glib.h>
#include <string.h>

static void test_every_range(void)
{
    char a[3] = "abc", b[1] = "d", c[5] = "efghi", flat[10] = "abcdefghi";
    struct iovec iov[] = { { a, 3 }, { NULL, 0 }, { b, 1 }, { c, 5 } };
    g_assert_cmpuint(iov_size(iov, 4), ==, 9);
    for (size_t off = 0; off <= 10; off++)
        for (size_t len = 0; len <= 11; len++) {
            char got[16];
            size_t want = off >= 9 ? 0 : MIN(len, 9 - off);
            g_assert_cmpuint(iov_read(iov, 4, off, got, len), ==, want);
            if (want)
                g_assert_cmpmem(got, want, flat + off, want);
            struct iovec part[4];
            size_t bytes;
            unsigned n = iov_slice(iov, 4, off, len, part, 4, &bytes);
            g_assert_cmpuint(bytes, ==, want);
            g_assert_cmpuint(iov_size(part, n), ==, want);
        }
}

static void test_write_and_fill(void)
{
    char a[3] = "...", b[3] = "...";
    struct iovec iov[] = { { a, 3 }, { b, 3 } }, part[1];
    size_t bytes;
    g_assert_cmpuint(iov_write(iov, 2, 2, "XYZZZZZ", 7), ==, 4);
    g_assert_cmpmem(a, 3, "..X", 3);
    g_assert_cmpmem(b, 3, "YZZ", 3);
    g_assert_cmpuint(iov_fill(iov, 2, 1, '0', 3), ==, 3);
    g_assert_cmpmem(a, 3, ".00", 3);
    g_assert_cmpmem(b, 3, "0ZZ", 3);
    g_assert_cmpuint(iov_slice(iov, 2, 1, 5, part, 1, &bytes), ==, 1);
    g_assert_cmpuint(bytes, ==, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/iov/every-range", test_every_range);
    g_test_add_func("/iov/write-and-fill", test_write_and_fill);
    return g_test_run();
}
