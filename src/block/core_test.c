/* core_test.c - what the core does for every node: bitmaps, ranges, alignment, modes, secrets, draining. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "block/filter/debug.h"
#include "block/protocol/memory.h"

static BlkNode *open_tree(const char *text)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open_tree(text, NULL, &err);
    g_assert_no_error(err);
    return n;
}

static void assert_fails(const char *text, const char *why)
{
    g_autoptr(GError) err = NULL;
    g_assert_null(blk_open_tree(text, NULL, &err));
    if (!strstr(err->message, why))
        g_error("%s: %s", text, err->message);
}

/* ---- bitmaps: random marks against an array of bytes */

static void assert_same(BlkBitmap *b, const uint8_t *want, uint64_t size, uint64_t granularity)
{
    uint64_t dirty = 0;
    for (uint64_t off = 0; off < size; off += granularity) {
        g_assert_cmpint(bitmap_is_dirty(b, off), ==, want[off / granularity]);
        dirty += want[off / granularity] ? MIN(granularity, size - off) : 0;
    }
    g_assert_cmpuint(bitmap_dirty_bytes(b), ==, dirty);
    uint64_t sum = 0, last = 0;
    for (uint64_t off = 0, len; blk_bitmap_next_dirty(b, &off, &len); off += len) {
        g_assert_cmpuint(off, >=, last);
        sum += len;
        last = off + len;
    }
    g_assert_cmpuint(sum, ==, dirty);
}

static void test_bitmap_random(void)
{
    enum { GRANULARITY = 512, SIZE = 300 * GRANULARITY + 100 };
    BlkBitmap *b = bitmap_new(SIZE, GRANULARITY), *copy = bitmap_new(SIZE, GRANULARITY);
    uint8_t want[SIZE / GRANULARITY + 1] = { 0 }, stored[64] = { 0 };
    for (unsigned i = 0; i < 300; i++) {
        uint64_t off = g_test_rand_int_range(0, SIZE), len = g_test_rand_int_range(1, SIZE - off + 1);
        bool value = g_test_rand_bit();
        len = MIN(len, 20000);
        bitmap_mark(b, off, len, value);
        memset(want + off / GRANULARITY, value, (off + len - 1) / GRANULARITY - off / GRANULARITY + 1);
        assert_same(b, want, SIZE, GRANULARITY);
    }
    g_assert_cmpuint(bitmap_bytes(b), ==, 38);
    bitmap_export(b, 0, stored, 20);
    bitmap_export(b, 20, stored + 20, 18);
    bitmap_import(copy, 0, stored, 38);
    assert_same(copy, want, SIZE, GRANULARITY);
    bitmap_free(b);
    bitmap_free(copy);
}

static uint64_t dirty_of(BlkBitmap *b)
{
    BlkBitmapInfo info;
    blk_bitmap_info(b, &info);
    return info.dirty_bytes;
}

static void test_bitmap_node(void)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = open_tree("driver=raw,file.driver=memory,file.size=1M");
    BlkBitmap *a = blk_bitmap_add(n, "a", 4096, false, &err), *b = blk_bitmap_add(n, "b", 0, false, &err);
    g_assert_no_error(err);
    g_assert_null(blk_bitmap_add(n, "a", 4096, false, NULL));
    g_assert_null(blk_bitmap_add(n, "c", 1000, false, NULL));
    g_assert_null(blk_bitmap_add(n, "c", 4096, true, &err));
    g_assert_nonnull(strstr(err->message, "raw"));
    g_assert_true(blk_write(n, 5000, "x", 1, NULL));
    g_assert_true(blk_zero(n, 1 << 19, 4097, 0, NULL));
    g_assert_cmpuint(dirty_of(a), ==, 3 * 4096);
    g_assert_cmpuint(dirty_of(b), ==, 2 * 65536);
    g_assert_true(blk_bitmap_enable(a, false, NULL));
    g_assert_true(blk_write(n, 0, "x", 1, NULL));
    g_assert_cmpuint(dirty_of(a), ==, 3 * 4096);
    g_assert_true(blk_bitmap_clear(b, NULL));
    g_assert_true(blk_bitmap_merge(b, a, NULL));
    g_assert_cmpuint(dirty_of(b), ==, 2 * 65536);
    g_assert_true(blk_resize(n, 2 << 20, 0, NULL));
    g_assert_cmpuint(dirty_of(b), ==, 2 * 65536 + (1 << 20));
    bitmap_set_busy(a, true);
    g_assert_false(blk_bitmap_clear(a, NULL));
    g_assert_false(blk_bitmap_remove(n, a, NULL));
    bitmap_set_busy(a, false);
    g_assert_true(blk_bitmap_remove(n, a, NULL));
    g_assert_null(blk_bitmap_find(n, "a"));
    g_assert_true(blk_bitmap_find(n, "b") == b);
    blk_close(n);
}

/* ---- ranges: each byte of an array belongs to who has its range */

typedef struct Owners {
    BlkRanges *ranges;
    _Atomic int writers[64], readers[64];
} Owners;

static void *take_ranges(void *arg)
{
    Owners *o = arg;
    g_autoptr(GRand) rand = g_rand_new();
    for (unsigned i = 0; i < 3000; i++) {
        unsigned from = g_rand_int_range(rand, 0, 60), len = g_rand_int_range(rand, 1, 5);
        bool alone = g_rand_boolean(rand);
        BlkRange r;
        range_lock(o->ranges, &r, from, len, alone);
        for (unsigned b = from; b < from + len; b++) {
            g_assert_cmpint(o->writers[b] + (alone ? o->readers[b] : 0), ==, 0);
            alone ? o->writers[b]++ : o->readers[b]++;
        }
        for (unsigned b = from; b < from + len; b++)
            alone ? o->writers[b]-- : o->readers[b]--;
        range_unlock(o->ranges, &r);
    }
    return NULL;
}

static void test_ranges(void)
{
    Owners o = { .ranges = ranges_new() };
    GThread *threads[4];
    for (unsigned i = 0; i < 4; i++)
        threads[i] = g_thread_new("range", take_ranges, &o);
    for (unsigned i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    BlkRange a, b;
    range_lock(o.ranges, &a, 10, 10, true);
    g_assert_false(range_try_lock(o.ranges, &b, 19, 1, false));
    g_assert_true(range_try_lock(o.ranges, &b, 20, 1, true));
    range_unlock(o.ranges, &a);
    range_unlock(o.ranges, &b);
    ranges_free(o.ranges);
}

/* ---- a protocol that refuses what is not aligned */

typedef struct Strict {
    GByteArray *bytes;
    GMutex lock;
    unsigned flushes, fua, zeros, discards, writes;
} Strict;

static int strict_perform(BlkNode *n, BlkReq *r)
{
    Strict *s = *(Strict **)n->state;
    int status = 0;
    g_mutex_lock(&s->lock);
    s->flushes += r->op == BLK_FLUSH;
    s->zeros += r->op == BLK_ZERO;
    s->discards += r->op == BLK_DISCARD;
    s->writes += r->op == BLK_WRITE;
    s->fua += r->op == BLK_WRITE && r->flags & BLK_FUA;
    if (r->op != BLK_FLUSH && n->align > 1 && (r->off | r->len) % n->align)
        status = -ENOTBLK;
    uint64_t at = r->off;
    for (unsigned i = 0; !status && (r->op == BLK_READ || r->op == BLK_WRITE) && i < r->niov; at += r->iov[i++].iov_len) {
        if (n->align > 1 && ((uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len) % n->align)
            status = -ENOTBLK;
        else if (r->op == BLK_READ)
            memcpy(r->iov[i].iov_base, s->bytes->data + at, r->iov[i].iov_len);
        else
            memcpy(s->bytes->data + at, r->iov[i].iov_base, r->iov[i].iov_len);
    }
    if (r->op == BLK_ZERO || r->op == BLK_DISCARD)
        memset(s->bytes->data + r->off, 0, r->len);
    g_mutex_unlock(&s->lock);
    return status;
}

static bool strict_open(BlkNode *n, KeyVals *options, GError **err) { return true; }
static void strict_close(BlkNode *n) {}
static const BlkDriver strict_driver = { .name = "strict", .kind = BLK_PROTOCOL, .state_bytes = sizeof(Strict *), .flags = BLK_FUA,
                                         .open = strict_open, .close = strict_close, .perform = strict_perform };

enum { STRICT_BYTES = 1 << 18, STRICT_ALIGN = 4096 };

static BlkNode *strict_disk(Strict *s, uint32_t align)
{
    BlkNode *n = node_create(&strict_driver, "strict");
    *s = (Strict){ .bytes = g_byte_array_new() };
    g_byte_array_set_size(s->bytes, STRICT_BYTES);
    memset(s->bytes->data, 0, STRICT_BYTES);
    *(Strict **)n->state = s;
    n->size = STRICT_BYTES;
    n->align = align;
    n->ranges = ranges_new();
    return n;
}

static void test_align(void)
{
    Strict s;
    BlkNode *n = strict_disk(&s, STRICT_ALIGN);
    g_autofree uint8_t *want = g_malloc0(STRICT_BYTES), *buf = g_malloc(STRICT_BYTES);
    for (unsigned i = 0; i < 600; i++) {
        uint64_t off = g_test_rand_int_range(0, STRICT_BYTES), len = g_test_rand_int_range(1, MIN(20000, STRICT_BYTES - off) + 1);
        size_t half = len / 2;
        memset(buf, i, len);
        struct iovec iov[2] = { { buf, half }, { buf + half, len - half } };
        BlkOp op = i % 3 == 0 ? BLK_ZERO : BLK_WRITE;
        g_assert_cmpint(blk_perform(n, op, 0, off, len, iov, 2), ==, 0);
        memset(want + off, op == BLK_ZERO ? 0 : (uint8_t)i, len);
        g_assert_cmpmem(s.bytes->data, STRICT_BYTES, want, STRICT_BYTES);
        off = g_test_rand_int_range(0, STRICT_BYTES);
        len = g_test_rand_int_range(1, STRICT_BYTES - off + 1);
        g_assert_cmpint(blk_pread(n, off, buf, len), ==, 0);
        g_assert_cmpmem(buf, len, want + off, len);
    }
    blk_close(n);
    g_byte_array_unref(s.bytes);
}

/* Threads write neighbouring bytes of the same blocks: none may bring back what another has overwritten. */
typedef struct Neighbour {
    BlkNode *n;
    unsigned i;
} Neighbour;

static void *write_neighbour(void *arg)
{
    const Neighbour *w = arg;
    for (unsigned round = 1; round <= 200; round++) {
        uint8_t byte = round, got;
        for (unsigned at = w->i; at < 64; at += 4) {
            g_assert_cmpint(blk_pwrite(w->n, at * 100, &byte, 1), ==, 0);
            g_assert_cmpint(blk_pread(w->n, at * 100, &got, 1), ==, 0);
            g_assert_cmpuint(got, ==, byte);
        }
    }
    return NULL;
}

static void test_align_races(void)
{
    Strict s;
    BlkNode *n = strict_disk(&s, STRICT_ALIGN);
    GThread *threads[4];
    Neighbour w[4];
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (Neighbour){ n, i };
        threads[i] = g_thread_new("neighbour", write_neighbour, &w[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    for (unsigned at = 0; at < 64; at++)
        g_assert_cmpuint(s.bytes->data[at * 100], ==, 200);
    blk_close(n);
    g_byte_array_unref(s.bytes);
}

static void test_modes(void)
{
    Strict s;
    char zeros[8192] = { 0 };
    BlkNode *n = strict_disk(&s, 1);
    n->mode = (BlkMode){ .detect = BLK_DETECT_ON, .ignore_discard = true };
    g_assert_cmpint(blk_pwrite(n, 0, zeros, sizeof(zeros)), ==, 0);
    g_assert_cmpint(blk_pwrite(n, 0, "x", 1), ==, 0);
    g_assert_cmpint(blk_perform(n, BLK_DISCARD, 0, 0, 4096, NULL, 0), ==, 0);
    g_assert_cmpuint(s.zeros, ==, 1);
    g_assert_cmpuint(s.writes, ==, 1);
    g_assert_cmpuint(s.discards, ==, 0);
    n->mode = (BlkMode){ .writethrough = true };
    g_assert_cmpint(blk_pwrite(n, 0, "x", 1), ==, 0);
    g_assert_cmpuint(s.fua, ==, 1);
    n->mode = (BlkMode){ .no_flush = true };
    g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
    g_assert_cmpuint(s.flushes, ==, 0);
    blk_close(n);
    g_byte_array_unref(s.bytes);
}

static void test_options(void)
{
    static const struct { const char *text, *why; } bad[] = {
        { "driver=memory,cache=fast", "cache is one of" },
        { "driver=memory,discard=maybe", "discard is one of" },
        { "driver=memory,discard=ignore,detect-zeroes=unmap", "discard=unmap" },
        { "driver=memory,force-share=on", "read-only=on" },
        { "driver=memory,aio=fast", "aio is one of" },
        { "driver=memory,siez=1M", "did you mean 'size'" },
        { "driver=throttle,iops-total-max=5,file.driver=memory", "at least iops-total" },
        { "driver=throttle,iops-total=5,iops-read=5,file.driver=memory", "not both" },
        { "driver=blkdebug,inject-error.0.event=nonsense,file.driver=memory", "not known" },
        { "driver=nowhere", "blkdebug" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_fails(bad[i].text, bad[i].why);
    BlkNode *n = open_tree("driver=raw,node-name=top,cache=unsafe,file.driver=memory,file.node-name=bottom,file.size=4k");
    BlkNode *bottom = blk_find(n, "bottom");
    g_assert_true(bottom && bottom->mode.no_flush && bottom->driver == &memory_driver);
    g_assert_true(blk_find(n, "top")->file == bottom);
    g_assert_null(blk_find(n, "middle"));
    BlkInfo info;
    blk_info(n, &info);
    g_assert_cmpstr(info.node_name, ==, "top");
    g_assert_cmpstr(info.protocol, ==, "memory");
    blk_close(n);
}

static void test_limits(void)
{
    BlkNode *n = open_tree("driver=raw,throttling.iops-total=5,cache=writethrough,file.driver=memory,file.size=4k");
    g_assert_true(n->file->driver == &throttle_driver && n->mode.writethrough);
    g_assert_true(blk_write(n, 0, "x", 1, NULL));
    blk_close(n);
    assert_fails("driver=raw,throttling.iosp-total=5,file.driver=memory", "iops-total");
}

static void test_json(void)
{
    g_autoptr(GError) err = NULL;
    blk_close(open_tree("{\"driver\":\"raw\",\"file\":{\"driver\":\"memory\",\"size\":4096}}"));
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = "json:{\"file\":{\"driver\":\"memory\",\"size\":4096}}", .format = "raw" }, &err);
    g_assert_no_error(err);
    blk_close(n);
}

/* ---- secrets */

static void test_env(void)
{
    BlkEnv *e = blk_env_new();
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *bytes = NULL;
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "atoll-secret-XXXXXX", NULL);
    size_t len;
    const char *dir;
    int fd = g_mkstemp(path);
    g_assert_true(g_file_set_contents(path, "a\0b", 3, NULL) && g_close(fd, NULL));
    g_autofree char *from_file = g_strdup_printf("secret,id=f,file=%s", path);
    g_assert_true(blk_env_add_object(e, "secret,id=s0,data=letmein", NULL));
    g_assert_true(blk_env_add_object(e, "secret,id=s1,data=aGVsbG8=,format=base64", NULL));
    g_assert_true(blk_env_add_object(e, from_file, NULL));
    g_assert_true(blk_env_add_object(e, "tls-creds-x509,id=t,dir=/etc/pki,endpoint=client", NULL));
    g_assert_true(env_secret(e, "s1", &bytes, &len, &err));
    g_assert_cmpmem(bytes, len, "hello", 5);
    g_free(g_steal_pointer(&bytes));
    g_assert_true(env_secret(e, "f", &bytes, &len, &err));
    g_assert_cmpmem(bytes, len, "a\0b", 3);
    g_assert_true(env_property(e, "tls-creds-x509", "t", "dir", &dir, &err));
    g_assert_cmpstr(dir, ==, "/etc/pki");
    g_assert_false(env_secret(e, "s9", &bytes, &len, &err));
    g_assert_nonnull(strstr(err->message, "s9"));
    g_assert_false(env_property(e, "tls-creds-x509", "s0", "data", &dir, NULL));
    static const char *const bad[] = { "secret,id=s0,data=again", "secret,data=x", "secret,id=x", "secret,id=x,data=a,file=b", "secrte,id=x,data=a",
                                       "secret,id=x,data=!!,format=base64", "secret,id=x,file=/does/not/exist", "secret,id=x,data=a,more=b" };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(blk_env_add_object(e, bad[i], NULL));
    blk_env_free(e);
    g_unlink(path);
}

/* ---- draining */

static void count_done(BlkReq *r, int status)
{
    g_assert_cmpint(status, ==, 0);
    (*(_Atomic unsigned *)r->owner)++;
}

static void test_drain(void)
{
    BlkNode *n = open_tree("driver=raw,file.driver=memory,file.size=1M");
    _Atomic unsigned done = 0;
    BlkReq reqs[100];
    char byte = 7, got;
    struct iovec iov = { &byte, 1 };
    root_drain_begin(n);
    root_drain_begin(n);
    for (unsigned i = 0; i < 100; i++) {
        reqs[i] = (BlkReq){ .op = BLK_WRITE, .off = i * 1000, .len = 1, .iov = &iov, .niov = 1, .done = count_done, .owner = (void *)&done };
        blk_submit(n, &reqs[i]);
    }
    root_drain_end(n);
    g_usleep(1000);
    g_assert_cmpuint(done, ==, 0);
    g_assert_cmpint(blk_pread(n->file, 1000, &got, 1), ==, 0);
    g_assert_cmpint(got, ==, 0);
    root_drain_end(n);
    blk_drain(n);
    g_assert_cmpuint(done, ==, 100);
    blk_close(n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/bitmap-random", test_bitmap_random);
    g_test_add_func("/core/bitmap-node", test_bitmap_node);
    g_test_add_func("/core/ranges", test_ranges);
    g_test_add_func("/core/align", test_align);
    g_test_add_func("/core/align-races", test_align_races);
    g_test_add_func("/core/modes", test_modes);
    g_test_add_func("/core/options", test_options);
    g_test_add_func("/core/limits", test_limits);
    g_test_add_func("/core/json", test_json);
    g_test_add_func("/core/env", test_env);
    g_test_add_func("/core/drain", test_drain);
    return g_test_run();
}
