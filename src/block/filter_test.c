/* filter_test.c - throttling, copy-on-read, injected errors. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "block/core/bucket.h"
#include "block/filter/debug.h"

static const uint64_t S = 1000000000ull;

/* ---- the bucket, with a clock of our own: how much passes in `seconds`, in pieces of `piece`? */

static uint64_t passed(Bucket *b, uint64_t *now, double seconds, uint64_t piece)
{
    uint64_t end = *now + (uint64_t)(seconds * (double)S), sum = 0;
    while (*now < end) {
        uint64_t wait = bucket_wait_ns(b, *now);
        if (wait) {
            *now += wait;
            continue;
        }
        bucket_add(b, piece);
        sum += piece;
    }
    return sum;
}

static void assert_near(uint64_t got, double want, double tolerance)
{
    if ((double)got < want * (1 - tolerance) || (double)got > want * (1 + tolerance))
        g_error("%g passed, not %g", (double)got, want);
}

static void test_bucket(void)
{
    Bucket off = { 0 };
    g_assert_cmpuint(bucket_wait_ns(&off, 0), ==, 0);
    Bucket b = { .rate = 1000 };
    uint64_t now = 5 * S;
    assert_near(passed(&b, &now, 10, 1), 10000, 0.02);
    Bucket large = { .rate = 1000 }; /* pieces larger than what a second passes */
    now = 0;
    assert_near(passed(&large, &now, 100, 5000), 100000, 0.06);
    now += 1000 * S; /* what was not used is not saved up */
    assert_near(passed(&b, &now, 10, 1), 10000, 0.02);
}

static void test_bucket_burst(void)
{
    Bucket b = { .rate = 100, .burst = 1000, .burst_s = 10 };
    uint64_t now = 0;
    assert_near(passed(&b, &now, 10, 1), 10000, 0.15); /* at the burst's rate */
    passed(&b, &now, 5, 1);
    assert_near(passed(&b, &now, 10, 1), 1000, 0.05); /* then at the other */
    now += 200 * S;
    assert_near(passed(&b, &now, 5, 1), 5000, 0.1);
    Bucket undo = { .rate = 10 };
    now = S;
    bucket_wait_ns(&undo, now);
    bucket_add(&undo, 100);
    g_assert_cmpuint(bucket_wait_ns(&undo, now), >, 0);
    bucket_add(&undo, -100);
    g_assert_cmpuint(bucket_wait_ns(&undo, now), ==, 0);
}

static BlkNode *open_tree(const char *text)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open_tree(text, NULL, &err);
    g_assert_no_error(err);
    return n;
}

static void test_throttle(void)
{
    BlkNode *n = open_tree("driver=throttle,bps-write=10M,file.driver=raw,file.file.driver=memory,file.file.size=8M");
    g_autofree char *data = g_malloc0(1 << 20);
    int64_t start = g_get_monotonic_time();
    for (unsigned i = 0; i < 5; i++)
        g_assert_true(blk_write(n, i << 20, data, 1 << 20, NULL));
    int64_t took = g_get_monotonic_time() - start; /* the first MiB passes at once, each other waits a tenth of a second */
    g_assert_cmpint(took, >=, 250000);
    start = g_get_monotonic_time();
    for (unsigned i = 0; i < 5; i++)
        g_assert_true(blk_read(n, i << 20, data, 1 << 20, NULL));
    g_assert_cmpint(g_get_monotonic_time() - start, <, took);
    blk_close(n);
}

static BlkNode *open_limited(const BlkEnv *env, const char *options, const char *message)
{
    g_autofree char *tree = g_strconcat(options, ",file.driver=raw,file.file.driver=memory,file.file.size=8M", NULL);
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open_tree(tree, &(BlkOpenOptions){ .env = env }, &err);
    if (message)
        g_assert_true(!n && strstr(err->message, message));
    else
        g_assert_no_error(err);
    return n;
}

/* What one image has used up the other must wait for: 10 MB a second for both together, by an object or by a name. */
static void test_throttle_group(void)
{
    static const char *const words[][2] = { { "driver=throttle,throttle-group=g0", "driver=throttle,throttle-group=g0" },
                                            { "driver=throttle,group=pair,bps-write=10M", "driver=throttle,group=pair" } };
    g_autofree char *data = g_malloc0(1 << 20);
    BlkEnv *env = blk_env_new();
    g_assert_true(blk_env_add_object(env, "throttle-group,id=g0,limits.bps-write=10M", NULL));
    g_assert_false(blk_env_add_object(env, "throttle-group,id=g1,limits.bps-fast=10M", NULL));
    g_assert_true(blk_env_add_object(env, "throttle-group,id=g2,x-iops-total=1000", NULL));
    open_limited(env, "driver=throttle,throttle-group=g9", "no throttle-group with id 'g9'");
    open_limited(env, "driver=throttle,throttle-group=g0,group=pair", "not both");
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        BlkNode *a = open_limited(env, words[i][0], NULL), *b = open_limited(env, words[i][1], NULL);
        int64_t start = g_get_monotonic_time();
        for (unsigned n = 0; n < 3; n++) {
            g_assert_true(blk_write(a, n << 20, data, 1 << 20, NULL));
            g_assert_true(blk_write(b, n << 20, data, 1 << 20, NULL));
        }
        g_assert_cmpint(g_get_monotonic_time() - start, >=, 300000); /* alone each would be through in 200 ms, at once */
        blk_close(a);
        blk_close(b);
    }
    blk_env_free(env);
}

/* ---- copy-on-read over qcow2 with a backing file */

typedef struct Fixture {
    char *dir, *base, *top;
} Fixture;

static void set_up(Fixture *f, const void *arg)
{
    g_autofree char *data = g_malloc(1 << 20);
    f->dir = g_dir_make_tmp("atoll-filter-XXXXXX", NULL);
    f->base = g_build_filename(f->dir, "base.raw", NULL);
    f->top = g_build_filename(f->dir, "top.qcow2", NULL);
    for (unsigned i = 0; i < 1 << 20; i++)
        data[i] = i / 65536 + 1;
    g_assert_true(g_file_set_contents(f->base, data, 1 << 20, NULL));
    g_autofree char *options = g_strdup_printf("size=1M,backing_file=%s,backing_fmt=raw", f->base);
    g_assert_true(blk_create("qcow2", f->top, options, NULL, NULL));
}

static void tear_down(Fixture *f, const void *arg)
{
    g_unlink(f->base);
    g_unlink(f->top);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->base);
    g_free(f->top);
}

static uint64_t allocated(BlkNode *n)
{
    BlkExtent e;
    uint64_t sum = 0;
    for (uint64_t at = 0; at < n->size; at += e.len) {
        g_assert_true(blk_map(n, at, n->size - at, &e, NULL));
        sum += e.allocated ? e.len : 0;
    }
    return sum;
}

static void test_copy_on_read(Fixture *f, const void *arg)
{
    g_autofree char *text = g_strdup_printf("driver=copy-on-read,file.driver=qcow2,file.file.filename=%s", f->top);
    BlkNode *n = open_tree(text);
    char buf[100];
    g_assert_cmpuint(allocated(n), ==, 0);
    g_assert_true(blk_read(n, 65536 - 50, buf, 100, NULL));
    g_assert_cmpint(buf[0], ==, 1);
    g_assert_cmpint(buf[99], ==, 2);
    g_assert_cmpuint(allocated(n), ==, 131072);
    g_assert_true(blk_write(n, 131072, "new", 3, NULL));
    g_assert_true(blk_read(n, 131072, buf, 4, NULL));
    g_assert_cmpmem(buf, 4, "new\3", 4);
    g_assert_cmpuint(allocated(n), ==, 196608);
    g_assert_true(blk_flush(n, NULL));
    blk_close(n);
    g_unlink(f->base);
    g_assert_true(g_file_set_contents(f->base, "gone", 5, NULL));
    n = blk_open(&(BlkOpenOptions){ .filename = f->top, .format = "qcow2", .no_backing = true }, NULL);
    g_assert_true(blk_read(n, 65536 - 50, buf, 100, NULL));
    g_assert_cmpint(buf[0], ==, 1);
    g_assert_cmpint(buf[99], ==, 2);
    blk_close(n);
}

/* Writers and readers of the same clusters while they are copied up: no write may be lost. */
static void *read_all(void *arg)
{
    g_autofree char *buf = g_malloc(1 << 20);
    for (unsigned i = 0; i < 30; i++)
        g_assert_true(blk_read(arg, 0, buf, 1 << 20, NULL));
    return NULL;
}

static void test_copy_on_read_races(Fixture *f, const void *arg)
{
    g_autofree char *text = g_strdup_printf("driver=copy-on-read,file.driver=qcow2,file.file.filename=%s", f->top);
    BlkNode *n = open_tree(text);
    GThread *reader = g_thread_new("reader", read_all, n);
    for (unsigned at = 0; at < 1 << 20; at += 1000)
        g_assert_true(blk_write(n, at, "\xff", 1, NULL));
    g_thread_join(reader);
    g_autofree uint8_t *buf = g_malloc(1 << 20);
    g_assert_true(blk_read(n, 0, buf, 1 << 20, NULL));
    for (unsigned at = 0; at < 1 << 20; at++)
        g_assert_cmpuint(buf[at], ==, at % 1000 ? at / 65536 + 1 : 0xff);
    blk_close(n);
}

static void test_debug(void)
{
    BlkNode *n = open_tree("driver=blkdebug,inject-error.0.iotype=write,inject-error.0.after=2,inject-error.0.once=on,inject-error.0.errno=28,"
                           "inject-error.1.event=read_aio,inject-error.1.sector=3,file.driver=memory,file.size=1M");
    char buf[1024] = { 0 };
    struct iovec iov = { buf, 512 };
    static const int want[] = { 0, 0, -ENOSPC, 0 };
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpint(blk_perform(n, BLK_WRITE, 0, i * 512, 512, &iov, 1), ==, want[i]);
    g_assert_cmpint(blk_pread(n, 0, buf, 1024), ==, 0);
    g_assert_cmpint(blk_pread(n, 1024, buf, 1024), ==, -EIO);
    g_assert_cmpint(blk_pread(n, 2048, buf, 1024), ==, 0);
    blk_close(n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/filter/bucket", test_bucket);
    g_test_add_func("/filter/bucket-burst", test_bucket_burst);
    g_test_add_func("/filter/throttle", test_throttle);
    g_test_add_func("/filter/throttle-group", test_throttle_group);
    g_test_add("/filter/copy-on-read", Fixture, NULL, set_up, test_copy_on_read, tear_down);
    g_test_add("/filter/copy-on-read-races", Fixture, NULL, set_up, test_copy_on_read_races, tear_down);
    g_test_add_func("/filter/blkdebug", test_debug);
    return g_test_run();
}
