/* io_thread_test.c - I/O threads and who stands in for them: every request is answered once, on the thread that may, with its data. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/block.h"
#include "block/io_thread.h"

enum { THREADS = 3, ROUNDS = 1500, BLOCK = 4096, MANY = 16 };

typedef struct Fixture {
    char *path;
    BlkNode *image;
    IoThread *thread;
    _Atomic(GThread *) lender[THREADS]; /* NULL: not that one */
} Fixture;

/* A client of the thread: a queue of one to MANY requests, as a disk with a doorbell has it. */
typedef struct Client {
    Fixture *f;
    unsigned n, of, depth;
    bool lends;
    IoWork work;
    struct Slot { BlkReq req; struct iovec iov; struct Client *client; } slot[MANY];
    uint8_t *data;
    _Atomic unsigned under_way;
    _Atomic unsigned here, failed;
    GThread *self;
    GMutex lock;
    GCond done;
} Client;

static bool lends(void *fixture)
{
    Fixture *f = fixture;
    for (unsigned n = 0; n < THREADS; n++)
        if (f->lender[n] == g_thread_self())
            return true;
    return false;
}

static void set_up(Fixture *f, const void *options)
{
    g_autoptr(GError) err = NULL;
    f->path = g_strdup("/var/tmp/atoll-iothread-XXXXXX"); /* not in memory: direct I/O */
    int fd = g_mkstemp(f->path);
    g_assert_cmpint(ftruncate(fd, THREADS * MANY * BLOCK), ==, 0);
    close(fd);
    f->image = blk_open(&(BlkOpenOptions){ .filename = f->path, .format = "raw", .options = options }, &err);
    g_assert_no_error(err);
    f->thread = io_thread_new("test", 0, &err);
    g_assert_no_error(err);
    io_thread_set_lenders(f->thread, lends, f);
}

static void tear_down(Fixture *f, const void *options)
{
    io_thread_free(f->thread);
    blk_close(f->image);
    g_unlink(f->path);
    g_free(f->path);
}

/* ---- a client */

static void request_done(BlkReq *r, int status)
{
    Client *c = ((struct Slot *)r)->client;
    c->failed += status != 0;
    c->here += g_thread_self() == c->self;
    g_mutex_lock(&c->lock);
    if (!--c->under_way)
        g_cond_signal(&c->done);
    g_mutex_unlock(&c->lock);
}

static void submit_all(void *client)
{
    Client *c = client;
    g_assert_true(io_thread_is_self(c->f->thread));
    for (unsigned n = 0; n < c->depth; n++)
        blk_submit(c->f->image, &c->slot[n].req);
}

static void transfer(Client *c, BlkOp op)
{
    c->under_way = c->depth;
    for (unsigned n = 0; n < c->depth; n++) {
        c->slot[n] = (struct Slot){ .iov = { c->data + n * BLOCK, BLOCK }, .client = c };
        c->slot[n].req = (BlkReq){ .op = op, .off = (c->n * MANY + n) * BLOCK, .len = BLOCK, .iov = &c->slot[n].iov, .niov = 1,
                                   .done = request_done, .thread = c->f->thread };
    }
    io_thread_post(c->f->thread, &c->work);
    if (c->lends)
        io_thread_help(c->f->thread);
    g_mutex_lock(&c->lock);
    while (c->under_way)
        g_cond_wait(&c->done, &c->lock);
    g_mutex_unlock(&c->lock);
}

static void *run_client(void *client)
{
    Client *c = client;
    c->self = g_thread_self();
    if (c->lends)
        c->f->lender[c->n] = g_thread_self();
    for (unsigned n = 0; n < ROUNDS; n++) {
        c->depth = 1 + n % c->of;
        memset(c->data, (int)(n + c->n), c->depth * BLOCK);
        transfer(c, BLK_WRITE);
        memset(c->data, 0, c->depth * BLOCK);
        transfer(c, BLK_READ);
        g_assert_cmpint(c->data[0], ==, (uint8_t)(n + c->n));
        g_assert_cmpint(memcmp(c->data, c->data + 1, c->depth * BLOCK - 1), ==, 0);
    }
    c->f->lender[c->n] = NULL;
    return NULL;
}

static Client *client_new(Fixture *f, unsigned n, unsigned of, bool lends)
{
    Client *c = g_new0(Client, 1);
    *c = (Client){ .f = f, .n = n, .of = of, .lends = lends, .work = { .run = submit_all, .opaque = c } };
    c->data = g_aligned_alloc0(MANY, BLOCK, BLOCK);
    g_mutex_init(&c->lock);
    g_cond_init(&c->done);
    return c;
}

static void client_free(Client *c)
{
    g_assert_cmpuint(c->failed, ==, 0);
    g_mutex_clear(&c->lock);
    g_cond_clear(&c->done);
    g_aligned_free(c->data);
    g_free(c);
}

/* ---- tests */

/* Two that lend themselves and one that does not, in each other's way. */
static void test_many(Fixture *f, const void *options)
{
    Client *c[THREADS];
    GThread *thread[THREADS];
    for (unsigned n = 0; n < THREADS; n++) {
        c[n] = client_new(f, n, n == 1 ? MANY : 2, n < THREADS - 1);
        thread[n] = g_thread_new("client", run_client, c[n]);
    }
    for (unsigned n = 0; n < THREADS; n++) {
        g_thread_join(thread[n]);
        client_free(c[n]);
    }
}

/* Who lends itself and asks for little has its answer before io_thread_help() returns; more than that is the thread's. */
static void test_here(Fixture *f, const void *options)
{
    Client *c = client_new(f, 0, 1, true);
    io_thread_settle(f->thread);
    run_client(c);
    g_test_message("%u of %u answered by the client itself", c->here, 2 * ROUNDS);
    g_assert_cmpuint(c->here, >, 0);
    c->here = 0;
    c->f->lender[0] = c->self;
    c->depth = MANY;
    transfer(c, BLK_READ);
    g_assert_cmpuint(c->here, ==, 0);
    client_free(c);
}

/* Who waits for the thread itself is no help to it, whatever it says. */
static void test_settle(Fixture *f, const void *options)
{
    f->lender[0] = g_thread_self();
    for (unsigned n = 0; n < 100; n++)
        io_thread_settle(f->thread);
    f->lender[0] = NULL;
}

/* ---- eventfds */

typedef struct Watched {
    IoWatch watch;
    IoThread *thread;
    _Atomic unsigned runs, elsewhere;
} Watched;

static void count_run(void *watched)
{
    Watched *w = watched;
    w->elsewhere += !io_thread_is_self(w->thread);
    w->runs++;
}

static void signal_and_wait(Watched *w, unsigned wanted)
{
    eventfd_write(w->watch.fd, 3);
    for (unsigned n = 0; n < 100000 && w->runs < wanted; n++)
        g_usleep(100);
    g_assert_cmpuint(w->runs, ==, wanted);
}

static void test_watch(Fixture *f, const void *options)
{
    Watched w[2];
    for (unsigned i = 0; i < 2; i++) {
        w[i] = (Watched){ .watch = { eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), count_run, &w[i] }, .thread = f->thread };
        g_assert_true(io_thread_watch(f->thread, &w[i].watch, NULL));
    }
    for (unsigned n = 1; n <= 3; n++) {
        signal_and_wait(&w[0], n);
        signal_and_wait(&w[1], n);
    }
    io_thread_unwatch(f->thread, &w[0].watch);
    io_thread_settle(f->thread);
    eventfd_write(w[0].watch.fd, 1);
    signal_and_wait(&w[1], 4);
    io_thread_settle(f->thread);
    g_assert_cmpuint(w[0].runs, ==, 3);
    g_assert_cmpuint(w[0].elsewhere + w[1].elsewhere, ==, 0);
    io_thread_unwatch(f->thread, &w[1].watch);
    io_thread_settle(f->thread);
    for (unsigned i = 0; i < 2; i++)
        close(w[i].watch.fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/io-thread/many", Fixture, NULL, set_up, test_many, tear_down);
    g_test_add("/io-thread/many/direct", Fixture, "cache=none", set_up, test_many, tear_down);
    g_test_add("/io-thread/here", Fixture, NULL, set_up, test_here, tear_down);
    g_test_add("/io-thread/watch", Fixture, NULL, set_up, test_watch, tear_down);
    g_test_add("/io-thread/settle", Fixture, NULL, set_up, test_settle, tear_down);
    return g_test_run();
}
