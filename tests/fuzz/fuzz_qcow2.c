/*
 * fuzz_qcow2.c - images that lie: a small good image with bytes changed at will, then requests, a check and a repair.
 *
 * Its format is guessed, so no change can make it open another file.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz_image.h"

enum { FILE_BYTES = 256 << 10 };
static const char *const kinds[] = { "size=1M,cluster_size=4k", "size=1M,cluster_size=512,refcount_bits=1", "size=1M,compat=0.10" };

static void change(int fd, FuzzInput *in)
{
    for (unsigned n = fuzz_take(in, 1) % 16; n; n--) {
        uint64_t where = fuzz_take(in, 3), value = fuzz_take(in, 8);
        where = where & 1 ? where >> 1 & 0x7f : (where >> 1) * 8 % FILE_BYTES; /* the header, or a table entry */
        g_assert_cmpint(pwrite(fd, &value, 1 + fuzz_take(in, 1) % 8, where), >, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_assert_true(blk_create("qcow2", path, kinds[fuzz_take(&in, 1) % G_N_ELEMENTS(kinds)], NULL, NULL));
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = "qcow2", .share = true }, NULL);
    for (unsigned i = 0; i < 4; i++)
        blk_write(n, i * 200000, "data", 4, NULL);
    blk_close(n);
    change(fd, &in);
    n = blk_open(&(BlkOpenOptions){ .filename = path, .share = true }, NULL);
    BlkInfo info;
    BlkCheck found;
    if (n)
        blk_info(n, &info);
    for (unsigned i = 0; n && in.left && i < 64; i++)
        fuzz_image_request(n, info.size, &in);
    if (n && g_str_equal(info.format, "qcow2"))
        blk_check(n, BLK_REPAIR_ALL, &found, NULL);
    blk_close(n);
    close(fd);
    return 0;
}
