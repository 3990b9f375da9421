/*
 * fault_test.c - qcow2 over a disk that fails at its n-th write or flush, for every n: an error is reported, nothing
 * that was there is lost, the image stays sound, and goes on once the disk is well again.
 */
#include <errno.h>
#include <string.h>

#include "block/filter/debug.h"
#include "block/testing.h"

enum { DISK = 1 << 20, SECTOR = 512, SECTORS = DISK / SECTOR, STEPS = 40 };

typedef struct Case {
    const char *options; /* of the image */
    BlkOp op;            /* what fails */
    int error;
    uint64_t count;      /* so many in a row */
} Case;

/* What a sector may hold: what was written last with success, or by a request since that failed. */
typedef struct Model {
    uint8_t allowed[SECTORS][256];
} Model;

static void note(Model *m, unsigned first, unsigned count, uint8_t byte, bool ok)
{
    for (unsigned s = first; s < first + count; s++) {
        if (ok)
            memset(m->allowed[s], 0, sizeof(m->allowed[s]));
        m->allowed[s][byte] = 1;
    }
}

/* One change or flush; the same ones whatever fails.  Returns whether it succeeded. */
static bool step(BlkNode *n, Model *m, GRand *rand, unsigned i)
{
    unsigned first = g_rand_int_range(rand, 0, SECTORS - 1), count = g_rand_int_range(rand, 1, MIN(60, SECTORS - first) + 1);
    g_autofree uint8_t *data = g_malloc(count * SECTOR);
    uint8_t byte = i % 4 == 3 ? 0 : i + 1;
    memset(data, byte, count * SECTOR);
    struct iovec iov = { data, count * SECTOR };
    if (i % 7 == 6)
        return !blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0);
    bool ok = !blk_perform(n, i % 4 == 3 ? BLK_ZERO : BLK_WRITE, BLK_MAY_UNMAP, first * SECTOR, count * SECTOR, &iov, 1);
    note(m, first, count, byte, ok);
    return ok;
}

static void check(BlkNode *n, const Model *m, uint64_t after)
{
    g_autofree uint8_t *data = g_malloc(DISK);
    BlkCheck found;
    g_autoptr(GError) err = NULL;
    blk_check(n, 0, &found, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(found.corruptions, ==, 0);
    g_assert_cmpint(blk_pread(n, 0, data, DISK), ==, 0);
    for (unsigned s = 0; s < SECTORS; s++)
        for (unsigned b = 0; b < SECTOR; b++)
            if (!m->allowed[s][data[s * SECTOR + b]])
                g_error("failure after %" G_GUINT64_FORMAT ": sector %u holds %u", after, s, data[s * SECTOR + b]);
}

/* How many steps failed; *ret_hit: whether the failure was reached at all. */
static unsigned run(const Case *c, const GByteArray *start, uint64_t after, bool *ret_hit)
{
    g_autofree Model *m = g_new0(Model, 1);
    g_autoptr(GRand) rand = g_rand_new_with_seed(42);
    BlkNode *disk = memory_disk(g_byte_array_append(g_byte_array_new(), start->data, start->len));
    BlkNode *bad = stack(&debug_driver, disk), *n = stack(&qcow2_driver, bad);
    unsigned failed = 0;
    note(m, 0, SECTORS, 0, true);
    debug_set_rule(bad, &(DebugRule){ .ops = 1u << c->op, .sector = UINT64_MAX, .after = after, .count = c->count, .error = c->error });
    for (unsigned i = 0; i < STEPS; i++)
        failed += !step(n, m, rand, i);
    *ret_hit = debug_seen(bad, c->op) > after;
    debug_set_rule(bad, NULL);
    g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0); /* the disk is well again: so is the image */
    check(n, m, after);
    for (unsigned i = STEPS; i < STEPS + 10; i++)
        g_assert_true(step(n, m, rand, i));
    g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
    GByteArray *bytes = memory_bytes(disk);
    blk_close(n);
    n = stack(&qcow2_driver, memory_disk(bytes)); /* and so is the file */
    check(n, m, after);
    blk_close(n);
    return failed;
}

static void test_fault(const void *arg)
{
    const Case *c = arg;
    g_autoptr(GByteArray) start = new_image(c->options);
    unsigned failed = 0, runs = 0;
    bool hit = true;
    for (uint64_t after = 0; hit; after++, runs++)
        failed += run(c, start, after, &hit);
    g_assert_cmpuint(failed, >=, runs - 1); /* each failure was reported by something */
    g_test_message("%u places to fail, %u requests that did", runs - 1, failed);
}

int main(int argc, char **argv)
{
    static const Case cases[] = {
        { "size=1M,cluster_size=4k", BLK_WRITE, EIO, 1 },
        { "size=1M,cluster_size=4k", BLK_WRITE, ENOSPC, 5 },
        { "size=1M,cluster_size=4k", BLK_FLUSH, EIO, 1 },
        { "size=1M,cluster_size=512", BLK_WRITE, ENOSPC, 3 },
        { "size=1M,cluster_size=64k,compat=0.10", BLK_WRITE, EIO, 1 },
        { "size=1M,cluster_size=16k,extended_l2=on", BLK_WRITE, ENOSPC, 2 },
    };
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/fault/%s/%s/%u", cases[i].options, g_strerror(cases[i].error), i);
        g_test_add_data_func(path, &cases[i], test_fault);
    }
    return g_test_run();
}
