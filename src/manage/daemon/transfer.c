/*
 * transfer.c - bytes of a volume up and down: the main thread has the stream, a thread of its own has the file, for a disk may be slow.
 *
 * Upwards a queue is between them, and a full one holds the client; downwards the thread reads one piece ahead.  The thread ends
 * with the file; what it has to say it says on the main thread, where the transfer lives until both are done with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/pool.h"

enum { QUEUE_FULL = 8 << 20, QUEUE_LOW = 1 << 20, PIECE_BYTES = 256000 };

typedef struct Transfer {
    ManagedPool *pool;
    char *path;
    int fd;
    bool up;
    /* the main thread's */
    RpcStream *stream; /* NULL: closed */
    guint64 left;      /* up: what may still come */
    bool thread_ended;
    /* under the lock */
    GMutex lock;
    GCond cond;
    GQueue queue; /* GBytes: up to be written; down to be sent */
    gsize queued;
    bool last, stop; /* last: no more will be queued */
    GError *error;
} Transfer;

static void transfer_free(Transfer *t)
{
    if (!t->pool->gone && t->pool->active)
        pool_job(t->pool, POOL_REFRESH, false, NULL);
    t->pool->realm->daemon->transfers--;
    pool_unref(t->pool);
    g_queue_clear_full(&t->queue, (GDestroyNotify)g_bytes_unref);
    g_clear_error(&t->error);
    g_mutex_clear(&t->lock);
    g_cond_clear(&t->cond);
    g_free(t->path);
    g_free(t);
}

static void free_when_done(Transfer *t)
{
    if (!t->stream && t->thread_ended)
        transfer_free(t);
}

static void push(Transfer *t, GBytes *bytes)
{
    t->queued += g_bytes_get_size(bytes);
    g_queue_push_tail(&t->queue, bytes);
    g_cond_broadcast(&t->cond);
}

static GBytes *pop(Transfer *t)
{
    GBytes *bytes = g_queue_pop_head(&t->queue);
    if (bytes)
        t->queued -= g_bytes_get_size(bytes);
    g_cond_broadcast(&t->cond);
    return bytes;
}

static void on_main(Transfer *t, GSourceFunc f)
{
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, f, t, NULL);
    g_source_attach(source, NULL);
    g_source_unref(source);
}

static gboolean thread_ended(gpointer data)
{
    Transfer *t = data;
    t->thread_ended = true;
    if (t->stream && t->up)
        rpc_stream_finish(t->stream, t->error); /* closed() follows, which frees */
    else
        free_when_done(t);
    return G_SOURCE_REMOVE;
}

/* ---- up */
static gboolean has_room(gpointer data)
{
    Transfer *t = data;
    if (t->stream)
        rpc_stream_hold(t->stream, false);
    return G_SOURCE_REMOVE;
}

static bool write_all(Transfer *t, GBytes *bytes, GError **err)
{
    gsize size, done = 0;
    const char *data = g_bytes_get_data(bytes, &size);
    while (done < size) {
        ssize_t n = write(t->fd, data + done, size - done);
        if (n < 0 && errno != EINTR)
            return error_set_errno(err, errno, "cannot write '%s'", t->path);
        done += MAX(n, 0);
    }
    return true;
}

/* After an error it goes on taking, so that the client is not held for ever; the error is told at the end. */
static gpointer writer(gpointer data)
{
    Transfer *t = data;
    GError *error = NULL;
    g_mutex_lock(&t->lock);
    for (;;) {
        while (!t->queue.length && !t->last && !t->stop)
            g_cond_wait(&t->cond, &t->lock);
        if (t->stop || !t->queue.length)
            break;
        bool was_full = t->queued > QUEUE_LOW;
        g_autoptr(GBytes) bytes = pop(t);
        if (was_full && t->queued <= QUEUE_LOW)
            on_main(t, has_room);
        g_mutex_unlock(&t->lock);
        if (!error)
            write_all(t, bytes, &error);
        g_mutex_lock(&t->lock);
    }
    bool flush = !error && !t->stop;
    g_mutex_unlock(&t->lock);
    if (flush && fsync(t->fd) < 0)
        error_set_errno(&error, errno, "cannot flush '%s'", t->path);
    close(t->fd);
    t->error = error;
    on_main(t, thread_ended);
    return NULL;
}

static void received(RpcStream *s, const void *data, size_t bytes, void *opaque)
{
    Transfer *t = opaque;
    if (bytes > t->left) {
        rpc_stream_fail(s, RPC_ERR_INVALID_ARG, "more bytes come than were announced");
        return;
    }
    t->left -= bytes;
    g_mutex_lock(&t->lock);
    push(t, g_bytes_new(data, bytes));
    bool full = t->queued > QUEUE_FULL;
    g_mutex_unlock(&t->lock);
    if (full)
        rpc_stream_hold(s, true);
}

static void uploaded(RpcStream *s, void *opaque)
{
    Transfer *t = opaque;
    g_mutex_lock(&t->lock);
    t->last = true;
    g_cond_broadcast(&t->cond);
    g_mutex_unlock(&t->lock);
}

/* ---- down */
static void send_more(RpcStream *s, void *opaque)
{
    Transfer *t = opaque;
    while (!rpc_stream_full(s)) {
        g_mutex_lock(&t->lock);
        bool end = !t->queue.length && t->last;
        g_autoptr(GBytes) bytes = pop(t);
        g_mutex_unlock(&t->lock);
        if (end && t->error)
            rpc_stream_fail(s, RPC_ERR_SYSTEM, "%s", t->error->message);
        else if (end)
            rpc_stream_end(s);
        if (!bytes)
            return;
        rpc_stream_send(s, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    }
}

static gboolean has_data(gpointer data)
{
    Transfer *t = data;
    if (t->stream)
        send_more(t->stream, t);
    return G_SOURCE_REMOVE;
}

/* One piece; NULL: the end, or an error. */
static GBytes *read_piece(Transfer *t, guint64 left)
{
    g_autofree char *room = g_malloc(PIECE_BYTES);
    ssize_t n;
    do
        n = left ? read(t->fd, room, MIN(left, PIECE_BYTES)) : 0;
    while (n < 0 && errno == EINTR);
    if (n < 0)
        error_set_errno(&t->error, errno, "cannot read '%s'", t->path);
    return n > 0 ? g_bytes_new_take(g_steal_pointer(&room), n) : NULL;
}

static gpointer reader(gpointer data)
{
    Transfer *t = data;
    guint64 left = t->left;
    g_mutex_lock(&t->lock);
    while (!t->last && !t->stop) {
        g_mutex_unlock(&t->lock);
        GBytes *bytes = read_piece(t, left);
        left -= bytes ? g_bytes_get_size(bytes) : 0;
        g_mutex_lock(&t->lock);
        if (bytes)
            push(t, bytes);
        t->last = !bytes;
        on_main(t, has_data);
        while (t->queued > QUEUE_LOW && !t->stop)
            g_cond_wait(&t->cond, &t->lock);
    }
    g_mutex_unlock(&t->lock);
    close(t->fd);
    on_main(t, thread_ended);
    return NULL;
}

/* ---- both */
static void closed(RpcStream *s, void *opaque)
{
    Transfer *t = opaque;
    t->stream = NULL;
    g_mutex_lock(&t->lock);
    t->stop = true;
    g_cond_broadcast(&t->cond);
    g_mutex_unlock(&t->lock);
    free_when_done(t);
}

static int open_at(const char *path, bool up, guint64 offset, GError **err)
{
    int fd = open(path, (up ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NONBLOCK); /* a pipe in the folder holds nobody */
    if (fd < 0)
        error_set_errno(err, errno, "cannot open '%s'", path);
    else if (offset > G_MAXINT64 || lseek(fd, offset, SEEK_SET) < 0)
        error_set(err, ERR_INVALID, "'%s' has no offset %" G_GUINT64_FORMAT, path, offset);
    else
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool transfer_start(RpcCall *call, ManagedPool *p, const char *path, bool up, guint64 offset, guint64 length, GError **err)
{
    static const RpcStreamOps down_ops = { .drained = send_more, .closed = closed }, up_ops = { .received = received, .finished = uploaded, .closed = closed };
    int fd = open_at(path, up, offset, err);
    if (fd < 0)
        return false;
    Transfer *t = g_new0(Transfer, 1);
    *t = (Transfer){ .pool = pool_ref(p), .path = g_strdup(path), .fd = fd, .up = up, .left = length ? length : G_MAXUINT64 };
    g_mutex_init(&t->lock);
    g_cond_init(&t->cond);
    g_queue_init(&t->queue);
    t->stream = rpc_stream_open(call, up ? &up_ops : &down_ops, t);
    rpc_reply(call, NULL);
    p->realm->daemon->transfers++;
    g_thread_unref(g_thread_new("transfer", up ? writer : reader, t));
    return true;
}
