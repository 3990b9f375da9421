/* io_test.c - files of the host: the ring and workers, direct I/O, holes, copies, reopening. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "block/protocol/file.h"

typedef struct Fixture {
    char *dir, *path, *other;
} Fixture;

static void set_up(Fixture *f, const void *arg)
{
    g_autofree char *where = g_strdup("/var/tmp/atoll-io-XXXXXX"); /* not in memory: direct I/O */
    f->dir = g_strdup(g_mkdtemp(where));
    f->path = g_build_filename(f->dir, "a.img", NULL);
    f->other = g_build_filename(f->dir, "b.img", NULL);
}

static void tear_down(Fixture *f, const void *arg)
{
    g_unlink(f->path);
    g_unlink(f->other);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->path);
    g_free(f->other);
}

static BlkNode *open_with(const char *path, const char *options)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = "raw", .options = options }, &err);
    g_assert_no_error(err);
    return n;
}

static void create(const char *path, const char *options)
{
    g_autoptr(GError) err = NULL;
    blk_create("raw", path, options, NULL, &err);
    g_assert_no_error(err);
}

typedef struct Call {
    BlkReq req;
    struct iovec iov[2];
    int status;
    _Atomic unsigned *done;
} Call;

static void call_done(BlkReq *r, int status)
{
    Call *c = r->owner;
    c->status = status;
    (*c->done)++;
}

static void start(BlkNode *n, Call *c, BlkOp op, unsigned flags, uint64_t off, uint8_t *buf, size_t len, _Atomic unsigned *done)
{
    *c = (Call){ .iov = { { buf, len / 2 }, { buf + len / 2, len - len / 2 } }, .status = 1, .done = done };
    c->req = (BlkReq){ .op = op, .flags = flags, .off = off, .len = len, .iov = c->iov, .niov = 2, .done = call_done, .owner = c };
    blk_submit(n, &c->req);
}

/* Many requests at once, of odd and even places, through whatever the options choose. */
static void exercise(BlkNode *n)
{
    enum { N = 200, STRIDE = 5000, BYTES = 4100 };
    g_autofree uint8_t *data = g_malloc(N * BYTES), *back = g_malloc0(N * BYTES);
    g_autofree Call *calls = g_new0(Call, N + 1);
    _Atomic unsigned done = 0;
    for (unsigned i = 0; i < N; i++) {
        memset(data + i * BYTES, i + 1, BYTES);
        start(n, &calls[i], BLK_WRITE, i % 7 ? 0 : BLK_FUA, (uint64_t)i * STRIDE, data + i * BYTES, BYTES, &done);
    }
    start(n, &calls[N], BLK_FLUSH, 0, 0, data, 0, &done);
    blk_drain(n);
    g_assert_cmpuint(done, ==, N + 1);
    for (unsigned i = 0; i < N; i++) {
        g_assert_cmpint(calls[i].status, ==, 0);
        start(n, &calls[i], BLK_READ, 0, (uint64_t)i * STRIDE, back + i * BYTES, BYTES, &done);
    }
    blk_drain(n);
    for (unsigned i = 0; i < N; i++)
        g_assert_cmpint(calls[i].status, ==, 0);
    g_assert_cmpmem(data, N * BYTES, back, N * BYTES);
}

/* Whole blocks from aligned memory, the only ones that reach the ring under direct I/O. */
static void exercise_aligned(BlkNode *n)
{
    enum { N = 64 };
    uint8_t *data = NULL;
    Call calls[N];
    _Atomic unsigned done = 0;
    g_assert_cmpint(posix_memalign((void **)&data, 65536, 2 * N * 8192), ==, 0);
    for (unsigned i = 0; i < N; i++) {
        memset(data + i * 8192, i + 100, 8192);
        start(n, &calls[i], BLK_WRITE, 0, i * 8192, data + i * 8192, 8192, &done);
    }
    blk_drain(n);
    for (unsigned i = 0; i < N; i++) {
        g_assert_cmpint(calls[i].status, ==, 0);
        start(n, &calls[i], BLK_READ, 0, i * 8192, data + (N + i) * 8192, 8192, &done);
    }
    blk_drain(n);
    g_assert_cmpuint(done, ==, 2 * N);
    g_assert_cmpmem(data, N * 8192, data + N * 8192, N * 8192);
    free(data);
}

static void test_io(Fixture *f, const void *options)
{
    create(f->path, "size=2M");
    BlkNode *n = open_with(f->path, options);
    exercise(n);
    exercise_aligned(n);
    blk_close(n);
}

static bool no_rings(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){ G_N_ELEMENTS(code), code });
}

static void test_refused_ring(Fixture *f, const void *arg)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return;
    }
    g_assert_true(no_rings());
    g_assert_null(uring_new());
    create(f->path, "size=2M");
    BlkNode *n = open_with(f->path, "aio=io_uring");
    exercise(n);
    blk_close(n);
}

/* The last sectors of a file that ends within a block: they can be written, and the file stays as long. */
static void test_direct_end(Fixture *f, const void *arg)
{
    g_autofree char *text = NULL;
    gsize len;
    create(f->path, "size=10752");
    BlkNode *n = open_with(f->path, "cache=none");
    g_assert_true(blk_write(n, 10700, "the end", 7, NULL));
    char buf[8] = "";
    g_assert_true(blk_read(n, 10700, buf, 7, NULL));
    g_assert_cmpstr(buf, ==, "the end");
    blk_close(n);
    g_assert_true(g_file_get_contents(f->path, &text, &len, NULL));
    g_assert_cmpuint(len, ==, 10752);
    g_assert_cmpmem(text + 10700, 7, "the end", 7);
}

/* A file that ends within a sector: what follows reads as zeros. */
static void test_odd_end(Fixture *f, const void *options)
{
    uint8_t *buf = NULL;
    Call c;
    _Atomic unsigned done = 0;
    g_autofree char *text = g_strnfill(1000, 'x');
    g_assert_true(g_file_set_contents(f->path, text, 1000, NULL));
    g_assert_cmpint(posix_memalign((void **)&buf, 4096, 1024), ==, 0);
    memset(buf, 1, 1024);
    BlkNode *n = open_with(f->path, options);
    start(n, &c, BLK_READ, 0, 0, buf, 1024, &done);
    blk_drain(n);
    g_assert_cmpint(c.status, ==, 0);
    g_assert_cmpmem(buf, 1000, text, 1000);
    for (unsigned i = 1000; i < 1024; i++)
        g_assert_cmpuint(buf[i], ==, 0);
    free(buf);
    blk_close(n);
}

static void test_holes(Fixture *f, const void *arg)
{
    BlkExtent e;
    create(f->path, "size=1M");
    BlkNode *n = open_with(f->path, NULL);
    g_assert_true(blk_write(n, 262144, "data", 4, NULL));
    g_assert_true(blk_map(n, 0, 1 << 20, &e, NULL));
    if (e.zero) { /* the file system tells of holes */
        g_assert_cmpuint(e.len, ==, 262144);
        g_assert_true(blk_map(n, 262144, (1 << 20) - 262144, &e, NULL));
        g_assert_false(e.zero);
        g_assert_cmpuint(e.host, ==, 262144);
        g_assert_cmpuint(e.len, <, 262144);
    }
    g_assert_true(e.allocated && e.has_host);
    BlkInfo info;
    blk_info(n, &info);
    g_assert_cmpuint(info.file_bytes, ==, 1 << 20);
    g_assert_cmpuint(info.disk_bytes, <=, 1 << 20);
    blk_close(n);
}

static void test_copy_range(Fixture *f, const void *arg)
{
    g_autofree uint8_t *data = g_malloc(1 << 20), *back = g_malloc(1 << 20);
    create(f->path, "size=1M");
    create(f->other, "size=1M");
    BlkNode *from = open_with(f->path, NULL), *to = open_with(f->other, NULL);
    for (unsigned i = 0; i < 1 << 20; i++)
        data[i] = i / 4096 + i;
    g_assert_true(blk_write(from, 0, data, 1 << 19, NULL));
    memset(data + (1 << 19), 0, 1 << 19);
    g_assert_true(blk_write(to, 700000, "old", 3, NULL));
    int status = blk_copy_range(from, 0, to, 0, 1 << 20);
    if (status != -ENOTSUP) {
        g_assert_cmpint(status, ==, 0);
        g_assert_true(blk_read(to, 0, back, 1 << 20, NULL));
        g_assert_cmpmem(back, 1 << 20, data, 1 << 20);
    }
    g_assert_cmpint(blk_copy_range(from, 0, to, 1, 1 << 20), !=, 0);
    blk_close(from);
    blk_close(to);
}

static bool can_open(const char *path, bool read_only)
{
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = "raw", .read_only = read_only }, NULL);
    blk_close(n);
    return n;
}

static void test_reopen(Fixture *f, const void *arg)
{
    g_autoptr(GError) err = NULL;
    create(f->path, "size=64k");
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = f->path, .format = "raw", .read_only = true }, NULL);
    g_assert_false(blk_write(n, 0, "x", 1, NULL));
    g_assert_true(can_open(f->path, true));
    g_assert_true(blk_set_read_only(n, false, &err));
    g_assert_true(blk_write(n, 0, "x", 1, NULL));
    g_assert_false(can_open(f->path, true)); /* a writer's lock now */
    g_assert_true(blk_set_read_only(n, true, &err));
    g_assert_false(blk_write(n, 0, "x", 1, NULL));
    g_assert_true(can_open(f->path, true));
    g_assert_false(can_open(f->path, false));
    BlkNode *reader = blk_open(&(BlkOpenOptions){ .filename = f->path, .format = "raw", .read_only = true }, NULL);
    g_assert_false(blk_set_read_only(n, false, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_BUSY);
    g_assert_true(n->read_only);
    g_assert_true(can_open(f->path, true)); /* the failure left no lock */
    blk_close(reader);
    g_assert_true(blk_set_read_only(n, false, NULL));
    blk_close(n);
    g_assert_true(can_open(f->path, false));
}

static void test_resize(Fixture *f, const void *arg)
{
    BlkInfo info;
    create(f->path, "size=64k");
    BlkNode *n = open_with(f->path, "cache=none"); /* zeros that are written must suit direct I/O */
    g_assert_true(blk_resize(n, 65536 + 1000 * 512, BLK_ALLOCATE_FULL, NULL));
    blk_info(n, &info);
    g_assert_cmpuint(info.disk_bytes, >=, 1000 * 512);
    g_assert_true(blk_resize(n, 65536, BLK_SHRINK, NULL));
    blk_close(n);
    n = open_with(f->path, NULL);
    g_assert_true(blk_resize(n, 1 << 20, BLK_ALLOCATE, NULL));
    blk_info(n, &info);
    g_assert_cmpuint(info.size, ==, 1 << 20);
    g_assert_cmpuint(info.disk_bytes, >=, (1 << 20) - 65536);
    g_assert_false(blk_resize(n, 4096, 0, NULL));
    g_assert_true(blk_resize(n, 4096, BLK_SHRINK, NULL));
    blk_info(n, &info);
    g_assert_cmpuint(info.size, ==, 4096);
    blk_close(n);
}

#define ADD(name, arg, fn) g_test_add("/io/" name, Fixture, arg, set_up, fn, tear_down)
int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("ring", "aio=io_uring", test_io);
    ADD("threads", "aio=threads", test_io);
    ADD("auto", "", test_io);
    ADD("direct-ring", "cache=none,aio=io_uring", test_io);
    ADD("direct-threads", "cache=none,aio=threads", test_io);
    ADD("directsync", "cache=directsync", test_io);
    ADD("writethrough", "cache=writethrough", test_io);
    ADD("unsafe", "cache=unsafe", test_io);
    ADD("refused-ring", NULL, test_refused_ring);
    ADD("direct-end", NULL, test_direct_end);
    ADD("odd-end", "aio=io_uring", test_odd_end);
    ADD("odd-end-direct", "cache=none", test_odd_end);
    ADD("holes", NULL, test_holes);
    ADD("copy-range", NULL, test_copy_range);
    ADD("reopen", NULL, test_reopen);
    ADD("resize", NULL, test_resize);
    return g_test_run();
}
