/*
 * fuzz_formats.c - images of other makers that lie: a small good one with bytes changed at will, then requests.
 *
 * The first byte chooses the format.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz_image.h"

enum { TABLES = 4 };

/* Where each format keeps what can be made to lie. */
typedef struct Kind {
    const char *format, *options;
    uint32_t table[TABLES]; /* file offsets: a change falls within a sector from there */
} Kind;
static const Kind kinds[] = {
    { "qcow", "size=3M", { 0, 48, 4096, 8192 } },
    { "vdi", "size=3M", { 64, 320, 384, 512 } },
    { "vhdx", "size=3M,block_size=1M", { 65536, 2 << 20, (2 << 20) + 65536, 3 << 20 } },
    { "vmdk", "size=3M", { 0, 512, 21 * 512, 22 * 512 } },
    { "vmdk", "size=3M,subformat=streamOptimized", { 0, 512, 65536, 65536 + 512 } },
    { "vpc", "size=3M", { 0, 512, 1536, 2048 } },
};

static void change(int fd, const Kind *k, FuzzInput *in)
{
    for (unsigned n = 1 + fuzz_take(in, 1) % 16; n; n--) {
        uint64_t where = fuzz_take(in, 2), value = fuzz_take(in, 8);
        g_assert_cmpint(pwrite(fd, &value, 1 + fuzz_take(in, 1) % 8, k->table[where % TABLES] + where / TABLES % 512), >, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    const Kind *k = &kinds[fuzz_take(&in, 1) % G_N_ELEMENTS(kinds)];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_assert_true(blk_create(k->format, path, k->options, NULL, NULL));
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = k->format, .share = true }, NULL);
    blk_write(n, 65536, "data", 4, NULL);
    blk_write(n, 2200000, "data", 4, NULL);
    blk_close(n);
    change(fd, k, &in);
    n = blk_open(&(BlkOpenOptions){ .filename = path, .format = k->format, .share = true }, NULL);
    BlkInfo info = { 0 };
    if (n)
        blk_info(n, &info);
    for (unsigned i = 0; n && in.left && i < 64; i++)
        fuzz_image_request(n, info.size, &in);
    blk_close(n);
    close(fd);
    return 0;
}
