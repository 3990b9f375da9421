/* block_test.c - raw images: data, odd sizes, snapshots, locks between processes, refusals, many requests at once. */
#include "block/block.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

typedef struct Fixture {
    char *dir, *path;
} Fixture;

static void set_up(Fixture *f, const void *arg)
{
    f->dir = g_dir_make_tmp("atoll-block-XXXXXX", NULL);
    g_chmod(f->dir, 0755);
    f->path = g_build_filename(f->dir, "disk.img", NULL);
}

static void tear_down(Fixture *f, const void *arg)
{
    g_unlink(f->path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->path);
}

static uint8_t pattern(uint64_t off) { return off * 7 + off / 512 + off / 65536; }

static void make_image(const char *path, size_t size)
{
    g_autofree char *data = g_malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = pattern(i);
    g_assert_true(g_file_set_contents(path, data, size, NULL));
}

static BlkNode *open_ok(BlkOpenOptions o)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open(&o, &err);
    g_assert_no_error(err);
    g_assert_nonnull(n);
    return n;
}

static char *open_fails(BlkOpenOptions o, ErrorCode code)
{
    g_autoptr(GError) err = NULL;
    g_assert_null(blk_open(&o, &err));
    g_assert_error(err, ATOLL_ERROR, (int)code);
    g_assert_nonnull(strstr(err->message, o.filename));
    return g_strdup(err->message);
}

static void assert_pattern(BlkNode *n, uint64_t off, size_t len)
{
    g_autofree uint8_t *got = g_malloc(len);
    g_assert_true(blk_read(n, off, got, len, NULL));
    for (size_t i = 0; i < len; i++)
        g_assert_cmpuint(got[i], ==, pattern(off + i));
}

static void assert_byte(BlkNode *n, uint64_t off, size_t len, uint8_t byte)
{
    g_autofree uint8_t *got = g_malloc(len);
    g_assert_true(blk_read(n, off, got, len, NULL));
    for (size_t i = 0; i < len; i++)
        g_assert_cmpuint(got[i], ==, byte);
}

static void test_read_write(Fixture *f, const void *arg)
{
    make_image(f->path, 100000 / 512 * 512);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path, .format = "raw" });
    BlkInfo info;
    blk_info(n, &info);
    g_assert_cmpuint(info.size, ==, 99840);
    g_assert_false(info.read_only);
    g_assert_null(info.warning);
    assert_pattern(n, 0, 99840);
    g_assert_true(blk_write(n, 1001, "hello", 5, NULL));
    assert_pattern(n, 0, 1001);
    assert_pattern(n, 1006, 98834);
    g_assert_true(blk_flush(n, NULL));
    blk_close(n);
    g_autofree char *file = NULL;
    g_assert_true(g_file_get_contents(f->path, &file, NULL, NULL));
    g_assert_cmpmem(file + 1001, 5, "hello", 5);
}

static void test_range(Fixture *f, const void *arg)
{
    make_image(f->path, 4096);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path });
    char buf[512] = { 0 };
    static const uint64_t offs[] = { 3585, 4096, 4097, UINT64_MAX - 100, UINT64_MAX };
    for (unsigned i = 0; i < G_N_ELEMENTS(offs); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_false(blk_read(n, offs[i], buf, 512, &err));
        g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
        g_assert_false(blk_write(n, offs[i], buf, 512, NULL));
    }
    assert_pattern(n, 0, 4096);
    blk_close(n);
}

/* The last sector of a size that is no multiple of 512 is padded with zeros, and can be written. */
static void test_odd_size(Fixture *f, const void *arg)
{
    make_image(f->path, 1000);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path });
    BlkInfo info;
    blk_info(n, &info);
    g_assert_cmpuint(info.size, ==, 1024);
    assert_pattern(n, 0, 1000);
    assert_byte(n, 1000, 24, 0);
    g_assert_true(blk_write(n, 1020, "end!", 4, NULL));
    assert_pattern(n, 0, 1000);
    assert_byte(n, 1000, 20, 0);
    blk_close(n);
    GStatBuf st;
    g_assert_cmpint(g_stat(f->path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 1024);
}

static void test_read_only(Fixture *f, const void *arg)
{
    make_image(f->path, 4096);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path, .read_only = true });
    g_autoptr(GError) err = NULL;
    g_assert_false(blk_write(n, 0, "x", 1, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_DENIED);
    g_assert_true(blk_flush(n, NULL));
    assert_pattern(n, 0, 4096);
    blk_close(n);
}

/* A request whose completion a test waits for. */
typedef struct Waiter {
    BlkReq req;
    struct iovec iov[2];
    _Atomic unsigned *left;
    int status;
} Waiter;

static void waiter_done(BlkReq *r, int status)
{
    Waiter *w = r->owner;
    w->status = status;
    (*w->left)--;
}

static int run(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, uint64_t len)
{
    _Atomic unsigned left = 1;
    Waiter w = { .req = { .op = op, .flags = flags, .off = off, .len = len, .done = waiter_done, .owner = &w }, .left = &left };
    blk_submit(n, &w.req);
    blk_drain(n);
    g_assert_cmpuint(left, ==, 0);
    return w.status;
}

static void test_zero_discard(Fixture *f, const void *snapshot)
{
    make_image(f->path, 1 << 20);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path, .snapshot = !!snapshot });
    g_assert_cmpint(run(n, BLK_ZERO, 0, 5000, 20000), ==, 0);
    assert_pattern(n, 0, 5000);
    assert_byte(n, 5000, 20000, 0);
    assert_pattern(n, 25000, 40536);
    g_assert_cmpint(run(n, BLK_ZERO, BLK_MAY_UNMAP | BLK_FUA, 65536, 65536), ==, 0);
    assert_byte(n, 65536, 65536, 0);
    g_assert_cmpint(run(n, BLK_DISCARD, 0, 1 << 19, 65536), ==, 0);
    assert_pattern(n, 131072, (1 << 19) - 131072);
    assert_pattern(n, (1 << 19) + 65536, (1 << 19) - 65536);
    g_assert_cmpint(run(n, BLK_ZERO, 0, 1 << 20, 1), ==, -EINVAL);
    g_assert_cmpint(run(n, BLK_FLUSH, 0, 0, 0), ==, 0);
    blk_close(n);
}

/* Random writes and zeroes against a copy in memory; the image below stays as it was. */
static void test_snapshot(Fixture *f, const void *arg)
{
    enum { SIZE = 300 * 1024 + 512 };
    make_image(f->path, SIZE);
    g_autofree uint8_t *want = g_malloc(SIZE), *buf = g_malloc(SIZE);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path, .snapshot = true });
    BlkInfo info;
    blk_info(n, &info);
    g_assert_true(info.snapshot);
    g_assert_false(info.read_only);
    g_assert_true(blk_read(n, 0, want, SIZE, NULL));
    for (unsigned i = 0; i < 500; i++) {
        uint64_t off = g_test_rand_int_range(0, SIZE), len = g_test_rand_int_range(1, MIN(20000, SIZE - off) + 1);
        if (i % 5 == 4) {
            g_assert_cmpint(run(n, BLK_ZERO, 0, off, len), ==, 0);
            memset(want + off, 0, len);
        } else {
            memset(buf, i + 1, len);
            g_assert_true(blk_write(n, off, buf, len, NULL));
            memset(want + off, i + 1, len);
        }
        off = g_test_rand_int_range(0, SIZE);
        len = g_test_rand_int_range(1, SIZE - off + 1);
        g_assert_true(blk_read(n, off, buf, len, NULL));
        g_assert_cmpmem(buf, len, want + off, len);
    }
    blk_close(n);
    n = open_ok((BlkOpenOptions){ .filename = f->path, .read_only = true });
    assert_pattern(n, 0, SIZE);
    blk_close(n);
}

static void test_many(Fixture *f, const void *snapshot)
{
    enum { N = 256, BYTES = 3000 };
    make_image(f->path, N * BYTES);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path, .snapshot = !!snapshot });
    g_autofree uint8_t *data = g_malloc(N * BYTES);
    g_autofree Waiter *w = g_new0(Waiter, N);
    _Atomic unsigned left = N;
    for (unsigned i = 0; i < N; i++) {
        memset(data + i * BYTES, i, BYTES);
        w[i] = (Waiter){ .iov = { { data + i * BYTES, 1000 }, { data + i * BYTES + 1000, 2000 } }, .left = &left, .status = 1 };
        w[i].req = (BlkReq){ .op = BLK_WRITE, .off = i * BYTES, .len = BYTES, .iov = w[i].iov, .niov = 2, .done = waiter_done, .owner = &w[i] };
        blk_submit(n, &w[i].req);
    }
    blk_drain(n);
    g_assert_cmpuint(left, ==, 0);
    for (unsigned i = 0; i < N; i++) {
        g_assert_cmpint(w[i].status, ==, 0);
        assert_byte(n, i * BYTES, BYTES, i);
    }
    blk_close(n);
}

static void test_refusals(Fixture *f, const void *arg)
{
    g_autofree char *missing = open_fails((BlkOpenOptions){ .filename = f->path }, ERR_NOT_FOUND);
    g_autofree char *dir = open_fails((BlkOpenOptions){ .filename = f->dir }, ERR_INVALID);
    g_assert_nonnull(strstr(dir, "directory"));
    g_autofree char *chr = open_fails((BlkOpenOptions){ .filename = "/dev/null" }, ERR_INVALID);
    g_assert_nonnull(strstr(chr, "character device"));
    make_image(f->path, 0);
    g_autofree char *empty = open_fails((BlkOpenOptions){ .filename = f->path }, ERR_INVALID);
    g_assert_nonnull(strstr(empty, "empty"));
    g_autofree char *format = open_fails((BlkOpenOptions){ .filename = f->path, .format = "qcow3" }, ERR_UNSUPPORTED);
    g_unlink(f->path);
    g_assert_cmpint(mkfifo(f->path, 0600), ==, 0);
    g_autofree char *pipe = open_fails((BlkOpenOptions){ .filename = f->path }, ERR_INVALID);
    g_assert_nonnull(strstr(pipe, "pipe"));
}

static void test_other_format(Fixture *f, const void *arg)
{
    char head[1024] = "WithoutFreeSpace";
    g_assert_true(g_file_set_contents(f->path, head, sizeof(head), NULL));
    BlkInfo info;
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path });
    blk_info(n, &info);
    g_assert_nonnull(info.warning);
    g_assert_nonnull(strstr(info.warning, "parallels"));
    blk_close(n);
    n = open_ok((BlkOpenOptions){ .filename = f->path, .format = "raw", .snapshot = true });
    blk_info(n, &info);
    g_assert_null(info.warning);
    blk_close(n);
}

static void test_tree(Fixture *f, const void *arg)
{
    make_image(f->path, 8192);
    g_autofree char *text = g_strdup_printf("driver=raw,file.driver=file,file.filename=%s", f->path);
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open_tree(text, NULL, &err);
    g_assert_no_error(err);
    assert_pattern(n, 0, 8192);
    g_assert_true(blk_resize(n, 10240, 0, NULL));
    g_assert_false(blk_resize(n, 512, 0, NULL));
    assert_byte(n, 8192, 2048, 0);
    blk_close(n);
    g_autofree char *layered = g_strdup_printf("snapshot,file.driver=raw,file.file.driver=file,file.file.filename=%s", f->path);
    n = blk_open_tree(layered, NULL, &err);
    g_assert_no_error(err);
    g_assert_true(blk_write(n, 100, "x", 1, NULL));
    blk_close(n);
    static const struct { const char *text, *expect; } bad[] = {
        { "driver=raw", "file.driver=file" },
        { "driver=qcow7,file.filename=a", "known driver" },
        { "driver=raw,speed=1,read-only=on,file.driver=file,file.filename=/proc/self/exe", "no property 'speed'" },
        { "driver=raw,file.driver=file", "needs filename" },
        { "driver=raw,file.driver=raw", "does not say what lies under" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) why = NULL;
        g_assert_null(blk_open_tree(bad[i].text, NULL, &why));
        if (!strstr(why->message, bad[i].expect))
            g_error("%s: %s", bad[i].text, why->message);
    }
    assert_pattern((n = open_ok((BlkOpenOptions){ .filename = f->path, .format = "raw" })), 0, 8192);
    blk_close(n);
}

static void test_create_raw(Fixture *f, const void *arg)
{
    make_image(f->path, 5000);
    g_assert_true(blk_create("raw", f->path, "size=1M", NULL, NULL));
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path, .format = "raw" });
    g_autoptr(GError) err = NULL;
    g_assert_false(blk_create("raw", f->path, "size=2M", NULL, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_BUSY);
    assert_byte(n, 0, 1 << 20, 0);
    blk_close(n);
}

static void test_lock_here(Fixture *f, const void *arg)
{
    make_image(f->path, 4096);
    BlkNode *a = open_ok((BlkOpenOptions){ .filename = f->path });
    g_autofree char *writer = open_fails((BlkOpenOptions){ .filename = f->path }, ERR_BUSY);
    g_autofree char *me = g_strdup_printf("process %d (", getpid());
    g_assert_nonnull(strstr(writer, me));
    g_autofree char *reader = open_fails((BlkOpenOptions){ .filename = f->path, .read_only = true }, ERR_BUSY);
    g_autofree char *snapshot = open_fails((BlkOpenOptions){ .filename = f->path, .snapshot = true }, ERR_BUSY);
    BlkNode *b = open_ok((BlkOpenOptions){ .filename = f->path, .share = true });
    blk_close(b);
    blk_close(a);
    a = open_ok((BlkOpenOptions){ .filename = f->path, .read_only = true });
    b = open_ok((BlkOpenOptions){ .filename = f->path, .snapshot = true });
    g_autofree char *late = open_fails((BlkOpenOptions){ .filename = f->path }, ERR_BUSY);
    blk_close(a);
    blk_close(b);
    blk_close(open_ok((BlkOpenOptions){ .filename = f->path }));
}

/* The other process is sleep(1) with our descriptor as its standard input: it inherits the locks. */
static void test_lock_elsewhere(Fixture *f, const void *arg)
{
    make_image(f->path, 4096);
    BlkNode *n = open_ok((BlkOpenOptions){ .filename = f->path });
    g_autofree char *fds = g_strdup_printf("/proc/%d/fd", getpid());
    pid_t child = fork();
    if (!child) {
        for (int fd = 3; fd < 100; fd++)
            fcntl(fd, F_SETFD, 0);
        execlp("sleep", "sleep", "30", NULL);
        _exit(1);
    }
    g_autofree char *comm_path = g_strdup_printf("/proc/%d/comm", child);
    for (unsigned i = 0; i < 3000; i++) {
        g_autofree char *comm = NULL;
        g_file_get_contents(comm_path, &comm, NULL, NULL);
        if (comm && g_str_has_prefix(comm, "sleep"))
            break;
        g_usleep(10000);
    }
    blk_close(n);
    g_autofree char *message = open_fails((BlkOpenOptions){ .filename = f->path }, ERR_BUSY);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    g_autofree char *who = g_strdup_printf("process %d (sleep)", child);
    g_assert_nonnull(strstr(message, who));
    blk_close(open_ok((BlkOpenOptions){ .filename = f->path }));
}

static void unprivileged(const char *path, const char *expect)
{
    g_autoptr(GError) err = NULL;
    if (setresuid(65534, 65534, 65534))
        _exit(2);
    if (blk_open(&(BlkOpenOptions){ .filename = path }, &err) || err->code != ERR_DENIED || !strstr(err->message, expect)) {
        g_printerr("%s\n", err ? err->message : "opened");
        _exit(1);
    }
    _exit(0);
}

static void test_denied(Fixture *f, const void *arg)
{
    if (geteuid())
        return g_test_skip("needs root to give up rights");
    make_image(f->path, 4096);
    static const struct { mode_t file, dir; const char *expect; } cases[] = {
        { 0600, 0755, "uid 65534 on file" },
        { 0640, 0755, "mode 0640, owner root, uid 0" },
        { 0644, 0755, "it may be read" },
        { 0644, 0700, "mode 0700" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        int status;
        g_chmod(f->path, cases[i].file);
        g_chmod(f->dir, cases[i].dir);
        pid_t child = fork();
        if (!child)
            unprivileged(f->path, cases[i].expect);
        waitpid(child, &status, 0);
        g_assert_cmpint(status, ==, 0);
    }
}

#define ADD(name, arg, fn) g_test_add("/block/" name, Fixture, arg, set_up, fn, tear_down)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("read-write", NULL, test_read_write);
    ADD("range", NULL, test_range);
    ADD("odd-size", NULL, test_odd_size);
    ADD("read-only", NULL, test_read_only);
    ADD("zero-discard", NULL, test_zero_discard);
    ADD("zero-discard-snapshot", "", test_zero_discard);
    ADD("snapshot", NULL, test_snapshot);
    ADD("many", NULL, test_many);
    ADD("many-snapshot", "", test_many);
    ADD("refusals", NULL, test_refusals);
    ADD("other-format", NULL, test_other_format);
    ADD("tree", NULL, test_tree);
    ADD("create-raw", NULL, test_create_raw);
    ADD("lock-here", NULL, test_lock_here);
    ADD("lock-elsewhere", NULL, test_lock_elsewhere);
    ADD("denied", NULL, test_denied);
    return g_test_run();
}
