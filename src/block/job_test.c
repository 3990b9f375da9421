/* job_test.c - stream, commit, mirror and backup under a machine that writes, under errors, and under power cuts. */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/filter/debug.h"
#include "block/filter/writelog.h"
#include "block/job/job.h"
#include "block/testing.h"

enum { DISK = 4 << 20, PIECE = 65536, REORDERINGS = 2 };

/* ---- images in memory */

static BlkNode *qcow2_over(BlkNode *file) { return stack(&qcow2_driver, file); }
static BlkNode *top_image(void) { return qcow2_over(memory_disk(new_image("size=4M,backing_file=below,backing_fmt=qcow2"))); }
static BlkNode *base_image(void) { return qcow2_over(memory_disk(new_image("size=4M"))); }

static void put_over(BlkNode *top, BlkNode *below)
{
    top->backing = below;
    below->overlay = top;
}

static void fill(BlkNode *n, uint64_t off, uint64_t len, uint8_t byte)
{
    g_autofree uint8_t *data = g_malloc(len);
    memset(data, byte, len);
    g_assert_cmpint(blk_pwrite(n, off, data, len), ==, 0);
}

/* Three images: each has parts that those above it do not hide; some of it nobody has. */
typedef struct Chain {
    BlkNode *root, *top, *middle, *base;
} Chain;

static Chain chain_over(BlkNode *top_file, BlkNode *base_file)
{
    Chain c = { .top = top_file ? qcow2_over(top_file) : top_image(), .middle = top_image(), .base = base_file ? qcow2_over(base_file) : base_image() };
    fill(c.base, 0, 2 << 20, 1);
    fill(c.middle, 1 << 20, 1 << 20, 2);
    fill(c.middle, (2 << 20) + 1000, 5000, 3);
    fill(c.top, (1 << 20) + 65536 * 3 + 100, 200000, 4);
    fill(c.top, 3 << 20, 70000, 5);
    put_over(c.middle, c.base);
    put_over(c.top, c.middle);
    c.root = node_root(c.top);
    c.base->read_only = c.base->file->read_only = c.middle->read_only = c.middle->file->read_only = true;
    return c;
}

static Chain chain(void) { return chain_over(NULL, NULL); }

static uint8_t *content(BlkNode *n)
{
    uint8_t *data = g_malloc(DISK);
    g_assert_cmpint(blk_pread(n, 0, data, DISK), ==, 0);
    return data;
}

static void assert_content(BlkNode *n, const uint8_t *want)
{
    g_autofree uint8_t *got = content(n);
    for (unsigned i = 0; i < DISK; i += 512)
        if (memcmp(got + i, want + i, 512))
            g_error("byte %u is %u, not %u", i, got[i], want[i]);
}

static void assert_sound(BlkNode *n)
{
    BlkCheck found;
    g_assert_true(blk_flush(n, NULL));
    g_assert_true(blk_check(n, 0, &found, NULL));
    g_assert_cmpuint(found.corruptions + found.leaks, ==, 0);
}

/* ---- a machine that writes meanwhile */

typedef struct Machine {
    BlkNode *root;
    uint8_t *want; /* what the disk must hold */
    GThread *thread;
    _Atomic bool stop;
    unsigned writes;
} Machine;

static void *write_on(void *arg)
{
    Machine *m = arg;
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    for (uint8_t byte = 100; !m->stop || m->writes < 50; byte = byte < 250 ? byte + 1 : 100, m->writes++) {
        uint64_t off = g_rand_int_range(rand, 0, DISK / 512 - 100) * 512ull, len = g_rand_int_range(rand, 1, 100) * 512ull;
        memset(m->want + off, byte, len);
        fill(m->root, off, len, byte);
    }
    return NULL;
}

static void start_machine(Machine *m, BlkNode *root)
{
    *m = (Machine){ .root = root, .want = content(root) };
    m->thread = g_thread_new("machine", write_on, m);
}

static void stop_machine(Machine *m)
{
    m->stop = true;
    g_thread_join(m->thread);
    g_assert_cmpuint(m->writes, >, 0);
}

static void finish_ok(BlkJob *job)
{
    g_autoptr(GError) err = NULL;
    blk_job_finish(job, &err);
    g_assert_no_error(err);
}

static void complete(BlkJob *job)
{
    g_autoptr(GError) err = NULL;
    g_assert_true(blk_job_wait_ready(job));
    blk_job_complete(job, &err);
    g_assert_no_error(err);
    finish_ok(job);
}

static BlkJob *checked(BlkJob *job, GError *err)
{
    g_assert_no_error(err);
    return job;
}

/* ---- mirror */

static void test_mirror(const void *sync)
{
    GError *err = NULL;
    Machine m;
    Chain c = chain();
    BlkNode *copy = GPOINTER_TO_INT(sync) == BLK_SYNC_TOP ? top_image() : base_image();
    if (GPOINTER_TO_INT(sync) == BLK_SYNC_TOP) { /* over the same backing file, for who has no file: a copy of it */
        BlkNode *again = base_image();
        g_autofree uint8_t *below = content(c.middle);
        g_assert_cmpint(blk_pwrite(again, 0, below, DISK), ==, 0);
        put_over(copy, again);
    }
    start_machine(&m, c.root);
    BlkJob *job = checked(blk_job_mirror(c.root, node_root(copy), GPOINTER_TO_INT(sync), NULL, &err), err);
    g_assert_null(blk_job_mirror(c.root, node_root(base_image()), BLK_SYNC_FULL, NULL, NULL)); /* one at a time */
    complete(job);
    stop_machine(&m);
    g_assert_true(past_filters(c.root) == copy);
    assert_content(c.root, m.want);
    assert_sound(c.root);
    g_free(m.want);
    blk_close(c.root);
}

/* Cancelled when it was ready: the target is a copy, and the machine stays where it is. */
static void test_mirror_cancel(void)
{
    GError *err = NULL;
    Chain c = chain();
    BlkNode *disk = memory_disk(NULL);
    disk->size = DISK;
    BlkNode *raw = stack(&raw_driver, disk);
    g_autofree uint8_t *want = content(c.root);
    BlkJob *job = checked(blk_job_mirror(c.root, node_root(raw), BLK_SYNC_FULL, NULL, &err), err);
    g_assert_true(blk_job_wait_ready(job));
    g_assert_true(past_filters(c.root) == c.top);
    BlkJobInfo info;
    blk_job_info(job, &info);
    g_assert_true(info.ready && info.done == DISK && info.total == DISK);
    blk_job_cancel(job);
    while (!info.ended) {
        g_usleep(1000);
        blk_job_info(job, &info);
    }
    GByteArray *bytes = memory_bytes(disk);
    finish_ok(job);
    g_autofree uint8_t *zeros = g_malloc0(DISK);
    g_byte_array_append(bytes, zeros, DISK - bytes->len); /* past the end of the file */
    g_assert_cmpmem(bytes->data, DISK, want, DISK);
    g_assert_true(past_filters(c.root) == c.top);
    assert_content(c.root, want);
    g_byte_array_unref(bytes);
    blk_close(c.root);
}

/* ---- files, and requests that the ring takes */

enum { SLOTS = 16, BLOCK = 4096 };

typedef struct Slot {
    struct Traffic *traffic;
    BlkReq req;
    struct iovec iov;
    uint8_t *buf;
    unsigned seed, count;
} Slot;

/* Each slot writes blocks of its own, one after the other, until told to stop. */
typedef struct Traffic {
    BlkNode *root;
    uint8_t *want;
    Slot slots[SLOTS];
    _Atomic unsigned running;
    _Atomic bool stop;
} Traffic;

static void write_next(Slot *s);

static void slot_done(BlkReq *r, int status)
{
    Slot *s = r->owner;
    g_assert_cmpint(status, ==, 0);
    if (s->traffic->stop)
        s->traffic->running--;
    else
        write_next(s);
}

static void write_next(Slot *s)
{
    unsigned slot = s - s->traffic->slots;
    uint64_t block = (s->seed = s->seed * 1103515245 + 12345) >> 8, off = (block % (DISK / BLOCK / SLOTS) * SLOTS + slot) * BLOCK;
    memset(s->buf, ++s->count, BLOCK);
    memset(s->traffic->want + off, s->count, BLOCK);
    s->req = (BlkReq){ .op = BLK_WRITE, .off = off, .len = BLOCK, .iov = &s->iov, .niov = 1, .done = slot_done, .owner = s };
    blk_submit(s->traffic->root, &s->req);
}

static void start_traffic(Traffic *t, BlkNode *root)
{
    *t = (Traffic){ .root = root, .want = content(root), .running = SLOTS };
    for (unsigned i = 0; i < SLOTS; i++) {
        Slot *s = &t->slots[i];
        g_assert_cmpint(posix_memalign((void **)&s->buf, BLOCK, BLOCK), ==, 0);
        s->traffic = t;
        s->seed = i;
        s->iov = (struct iovec){ s->buf, BLOCK };
        write_next(s);
    }
}

static void stop_traffic(Traffic *t)
{
    t->stop = true;
    while (t->running)
        g_usleep(500);
    for (unsigned i = 0; i < SLOTS; i++)
        free(t->slots[i].buf);
}

static char *file_image(const char *dir, const char *name, const char *format)
{
    g_autoptr(GError) err = NULL;
    char *path = g_build_filename(dir, name, NULL);
    blk_create(format, path, "size=4M", NULL, &err);
    g_assert_no_error(err);
    return path;
}

static BlkNode *open_file(const char *path, const char *format, const char *options)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = format, .options = options }, &err);
    g_assert_no_error(err);
    return n;
}

/* A backup, then a mirror to another file that the machine goes over to, all while it writes. */
static void test_files(const void *options)
{
    GError *err = NULL;
    Traffic t;
    g_autofree char *dir = g_strdup("/var/tmp/atoll-job-XXXXXX"); /* not in memory: direct I/O */
    g_assert_nonnull(g_mkdtemp(dir));
    g_autofree char *from = file_image(dir, "from", "raw"), *to = file_image(dir, "to", "qcow2"), *copy = file_image(dir, "copy", "qcow2");
    BlkNode *root = open_file(from, "raw", options), *backup = open_file(copy, "qcow2", options);
    fill(root, 0, DISK, 9);
    g_autofree uint8_t *then = content(root);
    BlkJob *job = checked(blk_job_backup(root, backup, BLK_SYNC_FULL, NULL, NULL, &err), err);
    start_traffic(&t, root);
    finish_ok(job);
    assert_content(backup, then);
    blk_close(backup);
    complete(checked(blk_job_mirror(root, open_file(to, "qcow2", options), BLK_SYNC_FULL, NULL, &err), err));
    g_usleep(20000);
    stop_traffic(&t);
    assert_content(root, t.want);
    assert_sound(root);
    blk_close(root);
    root = open_file(to, "qcow2", NULL);
    assert_content(root, t.want);
    blk_close(root);
    char *const paths[] = { from, to, copy, dir };
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++)
        g_assert_cmpint(g_remove(paths[i]), ==, 0);
    g_free(t.want);
}

/* ---- backup */

static void test_backup(void)
{
    GError *err = NULL;
    Machine m;
    Chain c = chain();
    BlkNode *target = node_root(base_image());
    g_autofree uint8_t *then = content(c.root);
    BlkJob *job = checked(blk_job_backup(c.root, target, BLK_SYNC_FULL, NULL, &(BlkJobOptions){ .speed = 20 << 20 }, &err), err);
    start_machine(&m, c.root);
    finish_ok(job);
    stop_machine(&m);
    assert_content(target, then);
    assert_content(c.root, m.want);
    assert_sound(target);
    g_free(m.want);
    blk_close(target);
    blk_close(c.root);
}

static uint64_t dirty_of(BlkBitmap *b)
{
    BlkBitmapInfo info;
    blk_bitmap_info(b, &info);
    return info.dirty_bytes;
}

/* A full backup, then increments by a bitmap: after each, the target is the disk of that moment.  One fails. */
static void test_backup_bitmap(void)
{
    g_autoptr(GError) err = NULL;
    Machine m;
    Chain c = chain();
    BlkNode *below = stack(&debug_driver, memory_disk(new_image("size=4M"))), *target = node_root(qcow2_over(below));
    BlkBitmap *b = blk_bitmap_add(c.root, "b0", PIECE, false, NULL);
    finish_ok(blk_job_backup(c.root, target, BLK_SYNC_FULL, NULL, NULL, NULL));
    for (unsigned round = 0; round < 4; round++) {
        fill(c.root, round * 300000, 100000, 40 + round);
        uint64_t dirty = dirty_of(b);
        g_autofree uint8_t *then = content(c.root);
        g_assert_cmpuint(dirty, >, 0);
        g_assert_cmpuint(dirty, <, DISK);
        debug_set_rule(below, round == 2 ? &(DebugRule){ .ops = 1u << BLK_WRITE, .sector = UINT64_MAX, .count = UINT64_MAX, .error = EIO } : NULL);
        BlkJob *job = blk_job_backup(c.root, target, BLK_SYNC_BITMAP, b, NULL, NULL);
        g_assert_false(blk_bitmap_clear(b, NULL)); /* busy */
        bool ok = blk_job_finish(job, &err);
        g_assert_cmpint(ok, ==, round != 2);
        g_clear_error(&err);
        if (round == 2) {
            g_assert_cmpuint(dirty_of(b), ==, dirty);
            continue;
        }
        g_assert_cmpuint(dirty_of(b), ==, 0);
        assert_content(target, then);
    }
    fill(c.root, 0, 1000, 99);
    g_autofree uint8_t *then = content(c.root);
    BlkJob *job = blk_job_backup(c.root, target, BLK_SYNC_BITMAP, b, &(BlkJobOptions){ .speed = 1 << 20 }, NULL);
    start_machine(&m, c.root);
    finish_ok(job);
    stop_machine(&m);
    assert_content(target, then);
    g_assert_cmpuint(dirty_of(b), >, 0);
    finish_ok(blk_job_backup(c.root, target, BLK_SYNC_BITMAP, b, NULL, NULL));
    assert_content(target, m.want);
    g_free(m.want);
    blk_close(target);
    blk_close(c.root);
}

/* ---- pauses, limits, errors */

static void wait_for_pause(BlkJob *job, BlkJobInfo *info)
{
    do {
        g_usleep(500);
        blk_job_info(job, info);
    } while (!info->paused && !info->ended);
}

/* The target is full; later it is not. */
static void test_no_space(void)
{
    GError *err = NULL;
    Chain c = chain();
    BlkJobInfo info;
    BlkNode *below = stack(&debug_driver, memory_disk(new_image("size=4M"))), *target = node_root(qcow2_over(below));
    debug_set_rule(below, &(DebugRule){ .ops = 1u << BLK_WRITE, .sector = UINT64_MAX, .after = 2, .count = UINT64_MAX, .error = ENOSPC });
    g_autofree uint8_t *want = content(c.root);
    BlkJob *job = checked(blk_job_backup(c.root, target, BLK_SYNC_FULL, NULL, &(BlkJobOptions){ .pause_on_error = true }, &err), err);
    wait_for_pause(job, &info);
    g_assert_false(info.ended);
    g_assert_nonnull(strstr(info.error, "No space"));
    debug_set_rule(below, NULL);
    blk_job_resume(job);
    finish_ok(job);
    assert_content(target, want);
    assert_sound(target);
    blk_close(target);
    blk_close(c.root);
}

static void test_pause(void)
{
    g_autoptr(GError) err = NULL;
    Chain c = chain();
    BlkJobInfo info, later;
    BlkNode *target = node_root(base_image());
    g_autofree uint8_t *want = content(c.root);
    BlkJob *job = checked(blk_job_backup(c.root, target, BLK_SYNC_FULL, NULL, &(BlkJobOptions){ .id = "b", .speed = 2 << 20 }, &err), err);
    blk_job_pause(job);
    g_usleep(100000); /* what is under way ends */
    blk_job_info(job, &info);
    g_usleep(400000);
    blk_job_info(job, &later);
    g_assert_true(info.paused && !strcmp(info.id, "b") && !strcmp(info.type, "backup"));
    g_assert_cmpuint(info.done, <, DISK);
    g_assert_cmpuint(info.done, ==, later.done);
    g_assert_false(blk_job_complete(job, &err));
    g_clear_error(&err);
    blk_job_set_speed(job, 0);
    blk_job_resume(job);
    finish_ok(job);
    assert_content(target, want);
    job = blk_job_backup(c.root, target, BLK_SYNC_FULL, NULL, &(BlkJobOptions){ .speed = 1 << 20 }, NULL);
    blk_job_cancel(job);
    g_assert_false(blk_job_finish(job, &err));
    g_assert_nonnull(strstr(err->message, "cancelled"));
    assert_content(c.root, want);
    blk_close(target);
    blk_close(c.root);
}

/* ---- commit and stream */

static void test_commit_keep(void)
{
    g_autoptr(GError) err = NULL;
    Chain c = chain();
    g_autofree uint8_t *want = content(c.root);
    finish_ok(checked(blk_job_commit(c.root, NULL, NULL, BLK_COMMIT_KEEP, NULL, &err), err));
    g_assert_true(c.middle->read_only && blk_backing(c.root) == c.middle);
    assert_content(c.root, want);
    assert_content(c.middle, want);
    finish_ok(checked(blk_job_commit(c.root, NULL, c.base, BLK_COMMIT_KEEP, NULL, &err), err));
    assert_content(c.base, want);
    g_assert_null(blk_job_commit(c.root, c.base, c.top, 0, NULL, NULL));
    g_assert_null(blk_job_commit(c.root, c.base, NULL, 0, NULL, &err));
    g_assert_nonnull(strstr(err->message, "no backing file"));
    blk_close(c.root);
}

static void test_commit_pivot(void)
{
    GError *err = NULL;
    Machine m;
    Chain c = chain();
    start_machine(&m, c.root);
    complete(checked(blk_job_commit(c.root, NULL, c.base, BLK_COMMIT_PIVOT, NULL, &err), err));
    stop_machine(&m);
    g_assert_true(past_filters(c.root) == c.base && !c.base->overlay && !c.base->read_only);
    assert_content(c.root, m.want);
    assert_sound(c.root);
    g_free(m.want);
    blk_close(c.root);
}

static void test_commit_empty(void)
{
    g_autoptr(GError) err = NULL;
    BlkExtent e;
    Chain c = chain();
    g_autofree uint8_t *want = content(c.root);
    finish_ok(checked(blk_job_commit(c.root, NULL, NULL, 0, NULL, &err), err));
    assert_content(c.root, want);
    g_assert_true(blk_map(c.root, 0, DISK, &e, NULL));
    g_assert_true(!e.allocated && e.len == DISK);
    g_assert_cmpuint(c.top->file->size, <, 16 * 65536);
    assert_sound(c.root);
    blk_close(c.root);
}

static void test_commit_middle(void)
{
    g_autoptr(GError) err = NULL;
    Machine m;
    Chain c = chain();
    start_machine(&m, c.root);
    finish_ok(checked(blk_job_commit(c.root, c.middle, c.base, 0, NULL, &err), err));
    stop_machine(&m);
    g_assert_true(blk_backing(c.root) == c.base && c.base->overlay == c.top && c.base->read_only);
    assert_content(c.root, m.want);
    assert_sound(c.root);
    g_free(m.want);
    blk_close(c.root);
}

static void test_stream(const void *to_base)
{
    GError *err = NULL;
    Machine m;
    Chain c = chain();
    start_machine(&m, c.root);
    finish_ok(checked(blk_job_stream(c.root, to_base ? c.base : NULL, NULL, &err), err));
    stop_machine(&m);
    g_assert_true(blk_backing(c.root) == (to_base ? c.base : NULL));
    assert_content(c.root, m.want);
    assert_sound(c.root);
    g_free(m.want);
    blk_close(c.root);
}

/* ---- power cuts: in each state that a cut can leave, the disk reads as it did before */

typedef struct Cut {
    GByteArray *other; /* the image that is not written, or not cut */
    const uint8_t *want;
    bool base;         /* it is the base that is written */
} Cut;

static void check_cut(GByteArray *bytes, unsigned tag, void *arg)
{
    const Cut *cut = arg;
    BlkCheck found;
    BlkNode *written = qcow2_over(memory_disk(copy_of(bytes))), *other = qcow2_over(memory_disk(copy_of(cut->other)));
    BlkNode *top = cut->base ? other : written, *base = cut->base ? written : other;
    g_assert_true(blk_check(written, 0, &found, NULL));
    g_assert_cmpuint(found.corruptions, ==, 0);
    if (top->backing_name)
        put_over(top, base);
    else
        blk_close(base);
    assert_content(top, cut->want);
    blk_close(top);
}

/* Top over base, one of them on a recorder. */
static BlkNode *two_images(BlkNode **top_file, BlkNode **base_file, bool log_base)
{
    *top_file = memory_disk(new_image("size=4M,backing_file=below,backing_fmt=qcow2"));
    *base_file = memory_disk(new_image("size=4M"));
    BlkNode *base = qcow2_over(log_base ? stack(&writelog_driver, *base_file) : *base_file);
    BlkNode *top = qcow2_over(log_base ? *top_file : stack(&writelog_driver, *top_file));
    fill(base, 0, 1 << 20, 1);
    fill(base, 2 << 20, 300000, 2);
    fill(top, 500000, 700000, 3);
    fill(top, 3 << 20, 100000, 4);
    g_assert_true(blk_flush(base, NULL) && blk_flush(top, NULL));
    put_over(top, base);
    return node_root(top);
}

static void replay(GArray *events, const GByteArray *start, Cut *cut)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    unsigned states = writelog_replay(events, start, REORDERINGS, rand, check_cut, cut);
    g_rand_free(rand);
    g_assert_cmpuint(states, >, 10);
    g_test_message("%u states of %u writes and flushes", states, events->len);
    g_array_unref(events);
}

static void test_commit_cut(void)
{
    g_autoptr(GError) err = NULL;
    BlkNode *top_file, *base_file, *root = two_images(&top_file, &base_file, true), *log = blk_backing(root)->file;
    g_autoptr(GByteArray) start = memory_bytes(base_file);
    g_autofree uint8_t *want = content(root);
    g_array_unref(writelog_take(log));
    finish_ok(checked(blk_job_commit(root, NULL, NULL, BLK_COMMIT_KEEP, NULL, &err), err));
    Cut cut = { .other = memory_bytes(top_file), .want = want, .base = true };
    replay(writelog_take(log), start, &cut);
    g_byte_array_unref(cut.other);
    blk_close(root);
}

static void test_stream_cut(void)
{
    g_autoptr(GError) err = NULL;
    BlkNode *top_file, *base_file, *root = two_images(&top_file, &base_file, false), *log = past_filters(root)->file;
    g_autoptr(GByteArray) start = memory_bytes(top_file);
    g_autofree uint8_t *want = content(root);
    Cut cut = { .other = memory_bytes(base_file), .want = want };
    g_array_unref(writelog_take(log));
    finish_ok(checked(blk_job_stream(root, NULL, NULL, &err), err));
    replay(writelog_take(log), start, &cut);
    g_byte_array_unref(cut.other);
    blk_close(root);
}

/* ---- both images on recorders: a commit that empties the upper one */

typedef struct Half {
    GArray *events;
    GByteArray *now, *safe; /* all that was written; what was flushed */
    unsigned done, flushed; /* events that happened; the first since the last flush */
} Half;

static void half_init(Half *h, BlkNode *log, BlkNode *disk)
{
    *h = (Half){ .now = memory_bytes(disk), .safe = memory_bytes(disk) };
    g_array_unref(writelog_take(log));
}

static void half_clear(Half *h)
{
    g_array_unref(h->events);
    g_byte_array_unref(h->now);
    g_byte_array_unref(h->safe);
}

static const WritelogEvent *half_next(const Half *h) { return h->done < h->events->len ? &g_array_index(h->events, WritelogEvent, h->done) : NULL; }

static void half_step(Half *h)
{
    const WritelogEvent *e = half_next(h);
    h->done++;
    if (e->data) {
        writelog_put(h->now, e);
        return;
    }
    g_byte_array_unref(h->safe);
    h->safe = copy_of(h->now);
    h->flushed = h->done;
}

/* What a cut may leave: what was flushed and some of the rest. */
static GByteArray *half_cut(const Half *h, bool whole)
{
    GByteArray *b = copy_of(whole ? h->now : h->safe);
    for (unsigned i = h->flushed; !whole && i < h->done; i++)
        if (g_test_rand_bit())
            writelog_put(b, &g_array_index(h->events, WritelogEvent, i));
    return b;
}

static void check_both(const Half *top, const Half *base, const uint8_t *want, bool whole)
{
    BlkCheck found;
    BlkNode *t = qcow2_over(memory_disk(half_cut(top, whole))), *b = qcow2_over(memory_disk(half_cut(base, whole)));
    g_assert_true(blk_check(t, 0, &found, NULL) && !found.corruptions);
    g_assert_true(blk_check(b, 0, &found, NULL) && !found.corruptions);
    put_over(t, b);
    assert_content(t, want);
    blk_close(t);
}

static void test_commit_empty_cut(void)
{
    g_autoptr(GError) err = NULL;
    BlkNode *top_disk = memory_disk(new_image("size=4M,backing_file=below,backing_fmt=qcow2")), *base_disk = memory_disk(new_image("size=4M"));
    BlkNode *top_log = stack(&writelog_driver, top_disk), *base_log = stack(&writelog_driver, base_disk);
    BlkNode *top = qcow2_over(top_log), *base = qcow2_over(base_log);
    Half t, b;
    fill(base, 0, 1 << 20, 1);
    fill(top, 500000, 1000000, 3);
    g_assert_true(blk_flush(base, NULL) && blk_flush(top, NULL));
    put_over(top, base);
    BlkNode *root = node_root(top);
    g_autofree uint8_t *want = content(root);
    half_init(&t, top_log, top_disk);
    half_init(&b, base_log, base_disk);
    finish_ok(checked(blk_job_commit(root, NULL, NULL, 0, NULL, &err), err));
    t.events = writelog_take(top_log);
    b.events = writelog_take(base_log);
    unsigned states = 0;
    for (const WritelogEvent *x, *y; (x = half_next(&t), y = half_next(&b), x || y); states += 1 + REORDERINGS) {
        half_step(!y || (x && x->ns < y->ns) ? &t : &b);
        for (unsigned i = 0; i <= REORDERINGS; i++)
            check_both(&t, &b, want, !i);
    }
    g_assert_true(t.events->len > 2 && b.events->len > 2);
    g_test_message("%u states of %u writes and flushes", states, t.events->len + b.events->len);
    half_clear(&t);
    half_clear(&b);
    blk_close(root);
}

/* The target of a mirror: sound at each moment, and whole once the job says so. */
static void check_target(GByteArray *bytes, unsigned whole, void *want)
{
    BlkCheck found;
    BlkNode *n = qcow2_over(memory_disk(copy_of(bytes)));
    g_assert_true(blk_check(n, 0, &found, NULL));
    g_assert_cmpuint(found.corruptions, ==, 0);
    if (whole)
        assert_content(n, want);
    blk_close(n);
}

static void test_mirror_cut(void)
{
    g_autoptr(GError) err = NULL;
    Chain c = chain();
    g_autofree uint8_t *want = content(c.root);
    g_autoptr(GByteArray) start = new_image("size=4M");
    BlkNode *log = stack(&writelog_driver, memory_disk(copy_of(start)));
    complete(checked(blk_job_mirror(c.root, node_root(qcow2_over(log)), BLK_SYNC_FULL, NULL, &err), err));
    writelog_tag(log, 1);
    fill(c.root, 0, 512, want[0]); /* writes again what is there: a state after the job */
    g_autoptr(GArray) events = writelog_take(log);
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());
    unsigned states = writelog_replay(events, start, REORDERINGS, rand, check_target, want);
    g_test_message("%u states of %u writes and flushes", states, events->len);
    g_assert_cmpuint(states, >, 10);
    blk_close(c.root);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/job/mirror-full", GINT_TO_POINTER(BLK_SYNC_FULL), test_mirror);
    g_test_add_data_func("/job/mirror-top", GINT_TO_POINTER(BLK_SYNC_TOP), test_mirror);
    g_test_add_func("/job/mirror-cancel", test_mirror_cancel);
    g_test_add_func("/job/mirror-cut", test_mirror_cut);
    g_test_add_data_func("/job/files", "cache=writeback", test_files);
    g_test_add_data_func("/job/files-direct", "cache=none,aio=io_uring", test_files);
    g_test_add_func("/job/backup", test_backup);
    g_test_add_func("/job/backup-bitmap", test_backup_bitmap);
    g_test_add_func("/job/no-space", test_no_space);
    g_test_add_func("/job/pause", test_pause);
    g_test_add_func("/job/commit-keep", test_commit_keep);
    g_test_add_func("/job/commit-pivot", test_commit_pivot);
    g_test_add_func("/job/commit-empty", test_commit_empty);
    g_test_add_func("/job/commit-middle", test_commit_middle);
    g_test_add_func("/job/commit-cut", test_commit_cut);
    g_test_add_func("/job/commit-empty-cut", test_commit_empty_cut);
    g_test_add_data_func("/job/stream", NULL, test_stream);
    g_test_add_data_func("/job/stream-to-base", "", test_stream);
    g_test_add_func("/job/stream-cut", test_stream_cut);
    return g_test_run();
}
