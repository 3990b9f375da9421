/* transport.c - messages between a client's threads and its socket. */
#include "manage/api/transport.h"

#include <errno.h>
#include <gio/gunixfdmessage.h>
#include <string.h>
#include <unistd.h>

#include <atoll/atoll-error.h>
#include "base/be.h"
#include "manage/rpc/message.h"
#include "manage/rpc/xdr.h"

enum { MESSAGE_MAX = 32 << 20, CHUNK_MAX = 262120, FDS_MAX = 32 };

struct Transport {
    gatomicrefcount refs;
    GSocket *socket;
    TransportEvents events;
    void *opaque;
    GDestroyNotify free;
    GMutex lock, write_lock;
    GCond changed;
    GHashTable *calls; /* serial: Call */
    GHashTable *pipes; /* serial: Pipe */
    guint32 next_serial;
    GError *ended; /* why nothing more comes */
};

/* One that waits for its reply: a thread (task NULL) or a task. */
typedef struct Call {
    const Procedure *procedure;
    GTask *task;
    GVariant *result;
    GError *error;
    int fd;
    bool done;
} Call;

struct Pipe {
    Transport *transport;
    const Procedure *procedure;
    guint32 program, serial;
    GQueue chunks; /* GBytes */
    GError *error;
    bool ended /* no more data comes */, finished;
};

Transport *transport_ref(Transport *t)
{
    g_atomic_ref_count_inc(&t->refs);
    return t;
}

void transport_unref(Transport *t)
{
    if (!g_atomic_ref_count_dec(&t->refs))
        return;
    g_object_unref(t->socket);
    g_hash_table_unref(t->calls);
    g_hash_table_unref(t->pipes);
    g_clear_error(&t->ended);
    g_mutex_clear(&t->lock);
    g_mutex_clear(&t->write_lock);
    g_cond_clear(&t->changed);
    if (t->free)
        t->free(t->opaque);
    g_free(t);
}

void transport_close(Transport *t) { g_socket_shutdown(t->socket, TRUE, TRUE, NULL); }

static guint32 program_of(const Procedure *p)
{
    return p >= remote_procedures && procedure_find(RPC_PROGRAM_REMOTE, p->number) == p ? RPC_PROGRAM_REMOTE : RPC_PROGRAM_QEMU;
}

static bool send_all(Transport *t, const Header *h, const void *body, gsize bytes, GError **err)
{
    g_autoptr(GByteArray) m = message_new(h, body, bytes);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&t->write_lock);
    for (gsize sent = 0; sent < m->len;) {
        gssize n = g_socket_send(t->socket, (char *)m->data + sent, m->len - sent, NULL, err);
        if (n < 0)
            return false;
        sent += n;
    }
    return true;
}

/* ---- reading */

static bool read_all(Transport *t, void *data, gsize bytes, GError **err)
{
    for (gsize done = 0; done < bytes;) {
        gssize n = g_socket_receive(t->socket, (char *)data + done, bytes - done, NULL, err);
        if (n < 0)
            return false;
        if (!n) {
            g_set_error_literal(err, ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_RPC, "the daemon has closed the connection");
            return false;
        }
        done += n;
    }
    return true;
}

/* A descriptor comes with a byte that is no part of a message; the first is kept. */
static bool read_fds(Transport *t, guint count, int *ret_fd, GError **err)
{
    for (guint i = 0; i < count; i++) {
        char byte;
        GInputVector v = { &byte, 1 };
        GSocketControlMessage **messages = NULL;
        int n, flags = 0;
        if (g_socket_receive_message(t->socket, NULL, &v, 1, &messages, &n, &flags, NULL, err) < 1)
            return false;
        for (int m = 0; m < n; m++) {
            int fds, *list = G_IS_UNIX_FD_MESSAGE(messages[m]) ? g_unix_fd_message_steal_fds(G_UNIX_FD_MESSAGE(messages[m]), &fds) : NULL;
            for (int f = 0; list && f < fds; f++)
                if (*ret_fd < 0)
                    *ret_fd = list[f];
                else
                    close(list[f]);
            g_free(list);
            g_object_unref(messages[m]);
        }
        g_free(messages);
    }
    return true;
}

/* What the daemon says went wrong, with libvirt's number as the code. */
static GError *error_of(const uint8_t *body, gsize bytes)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GVariant) v = xdr_decode(ERROR_LETTERS, body, bytes, &why);
    if (!v)
        return g_error_new(ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_RPC, "an error that cannot be read: %s", why->message);
    int code;
    g_autofree char *text = NULL;
    g_variant_ref_sink(v);
    g_variant_get_child(v, 0, "i", &code);
    g_variant_get_child(v, 2, "ms", &text);
    return g_error_new_literal(ATOLL_MANAGER_ERROR, code, text ? text : "the daemon gave no reason");
}

static void call_free(Call *c)
{
    g_clear_object(&c->task);
    g_clear_pointer(&c->result, g_variant_unref);
    g_clear_error(&c->error);
    if (c->fd >= 0)
        close(c->fd);
    g_free(c);
}

/* Gives a task its answer; a thread sees `done`.  Called without the lock. */
static void answer_task(Call *c)
{
    if (c->error)
        g_task_return_error(c->task, g_steal_pointer(&c->error));
    else
        g_task_return_pointer(c->task, g_steal_pointer(&c->result), (GDestroyNotify)g_variant_unref);
    call_free(c);
}

static void on_reply(Transport *t, const Header *h, const uint8_t *body, gsize bytes, int fd)
{
    g_mutex_lock(&t->lock);
    Call *c = g_hash_table_lookup(t->calls, GUINT_TO_POINTER(h->serial));
    if (c) {
        g_hash_table_steal(t->calls, GUINT_TO_POINTER(h->serial));
        c->fd = fd;
        if (h->status == STATUS_ERROR)
            c->error = error_of(body, bytes);
        else if ((c->result = xdr_decode(c->procedure->ret, body, bytes, &c->error)))
            g_variant_ref_sink(c->result);
        c->done = true;
        g_cond_broadcast(&t->changed);
    }
    bool is_task = c && c->task;
    g_mutex_unlock(&t->lock);
    if (is_task)
        answer_task(c);
    else if (!c && fd >= 0)
        close(fd);
}

static void on_stream(Transport *t, const Header *h, const uint8_t *body, gsize bytes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&t->lock);
    Pipe *p = g_hash_table_lookup(t->pipes, GUINT_TO_POINTER(h->serial));
    if (!p)
        return;
    if (h->status == STATUS_CONTINUE && bytes)
        g_queue_push_tail(&p->chunks, g_bytes_new(body, bytes));
    else
        p->ended = true;
    if (h->status != STATUS_CONTINUE)
        p->finished = true;
    if (h->status == STATUS_ERROR && !p->error)
        p->error = error_of(body, bytes);
    g_cond_broadcast(&t->changed);
}

static void on_event(Transport *t, const Header *h, const uint8_t *body, gsize bytes)
{
    if (h->program == RPC_PROGRAM_KEEPALIVE) {
        const Header pong = { h->program, h->version, KEEPALIVE_PONG, MESSAGE_EVENT, 0, STATUS_OK };
        if (h->procedure == KEEPALIVE_PING)
            send_all(t, &pong, NULL, 0, NULL);
        return;
    }
    const Procedure *p = procedure_find(h->program, h->procedure);
    g_autoptr(GVariant) values = p ? xdr_decode(p->ret, body, bytes, NULL) : NULL;
    if (values) {
        g_variant_ref_sink(values);
        t->events.event(p, values, t->opaque);
    }
}

static bool read_one(Transport *t, GError **err)
{
    uint8_t start[LENGTH_BYTES + HEADER_BYTES];
    if (!read_all(t, start, sizeof start, err))
        return false;
    guint32 length = be_get(start, LENGTH_BYTES);
    if (length < sizeof start || length > MESSAGE_MAX + LENGTH_BYTES) {
        g_set_error(err, ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_RPC, "the daemon sent a message of %u bytes", length);
        return false;
    }
    gsize bytes = length - sizeof start;
    const Header h = message_header(start + LENGTH_BYTES);
    g_autofree uint8_t *body = g_malloc(bytes + 1);
    if (!read_all(t, body, bytes, err))
        return false;
    const uint8_t *at = body;
    int fd = -1;
    if (h.type == MESSAGE_REPLY_FDS) {
        guint count = bytes >= 4 ? be_get(body, 4) : 0;
        if (bytes < 4 || count > FDS_MAX || !read_fds(t, count, &fd, err))
            return false;
        at += 4;
        bytes -= 4;
    }
    if (h.type == MESSAGE_REPLY || h.type == MESSAGE_REPLY_FDS)
        on_reply(t, &h, at, bytes, fd);
    else if (h.type == MESSAGE_STREAM)
        on_stream(t, &h, at, bytes);
    else if (h.type == MESSAGE_EVENT)
        on_event(t, &h, at, bytes);
    return true;
}

/* Whoever waits learns why nothing comes any more. */
static void end(Transport *t, GError *why)
{
    GHashTableIter i;
    gpointer value;
    g_autoptr(GPtrArray) tasks = g_ptr_array_new();
    g_mutex_lock(&t->lock);
    t->ended = why;
    g_hash_table_iter_init(&i, t->calls);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        Call *c = value;
        g_hash_table_iter_steal(&i);
        c->error = g_error_copy(why);
        c->done = true;
        if (c->task)
            g_ptr_array_add(tasks, c);
    }
    g_hash_table_iter_init(&i, t->pipes);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        Pipe *p = value;
        p->ended = p->finished = true;
        if (!p->error)
            p->error = g_error_copy(why);
    }
    g_cond_broadcast(&t->changed);
    g_mutex_unlock(&t->lock);
    for (guint n = 0; n < tasks->len; n++)
        answer_task(tasks->pdata[n]);
}

static gpointer reader(gpointer data)
{
    Transport *t = data;
    GError *err = NULL;
    while (read_one(t, &err))
        ;
    if (!err)
        err = g_error_new_literal(ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_RPC, "the daemon sent what is no message");
    end(t, err);
    t->events.closed(t->opaque);
    transport_unref(t);
    return NULL;
}

Transport *transport_new(GSocket *socket, const TransportEvents *events, void *opaque, GDestroyNotify free)
{
    Transport *t = g_new0(Transport, 1);
    g_atomic_ref_count_init(&t->refs);
    t->socket = socket;
    t->events = *events;
    t->opaque = opaque;
    t->free = free;
    g_mutex_init(&t->lock);
    g_mutex_init(&t->write_lock);
    g_cond_init(&t->changed);
    t->calls = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)call_free);
    t->pipes = g_hash_table_new(NULL, NULL);
    g_socket_set_blocking(socket, TRUE);
    g_thread_unref(g_thread_new("atoll-reader", reader, transport_ref(t)));
    return t;
}

/* ---- calling */

/* Puts the call on record and sends it.  The record is the table's until the reply. */
static bool send_call(Transport *t, Call *c, GVariant *args, Pipe *pipe, guint32 *ret_serial, GError **err)
{
    g_autoptr(GVariant) sunk = g_variant_ref_sink(args);
    g_autofree char *type = xdr_type(c->procedure->args);
    if (!g_variant_is_of_type(sunk, G_VARIANT_TYPE(type))) {
        g_set_error(err, ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_INVALID_ARG, "%s takes arguments of type %s, not %s", c->procedure->name, type, g_variant_get_type_string(sunk));
        return false;
    }
    g_autoptr(GByteArray) body = g_byte_array_new();
    xdr_encode(body, c->procedure->args, sunk);
    g_mutex_lock(&t->lock);
    guint32 serial = *ret_serial = t->next_serial++;
    bool ended = t->ended != NULL;
    if (ended) {
        g_propagate_error(err, g_error_copy(t->ended));
    } else {
        g_hash_table_insert(t->calls, GUINT_TO_POINTER(serial), c);
        if (pipe) {
            pipe->serial = serial;
            g_hash_table_insert(t->pipes, GUINT_TO_POINTER(serial), pipe);
        }
    }
    g_mutex_unlock(&t->lock);
    if (ended)
        return false;
    const Header h = { program_of(c->procedure), RPC_VERSION, c->procedure->number, MESSAGE_CALL, serial, STATUS_OK };
    send_all(t, &h, body->data, body->len, NULL); /* where the socket is broken the reader says so */
    return true;
}

static void on_cancelled(GCancellable *cancellable, gpointer data)
{
    Transport *t = data;
    g_mutex_lock(&t->lock);
    g_cond_broadcast(&t->changed);
    g_mutex_unlock(&t->lock);
}

/* Under the lock until `*done`, or the caller has lost patience. */
static bool wait_until(Transport *t, const bool *done, GQueue *or_filled, GCancellable *cancellable, GError **err)
{
    gulong id = cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(on_cancelled), t, NULL) : 0;
    g_mutex_lock(&t->lock);
    while (!*done && !(or_filled && or_filled->length) && !g_cancellable_is_cancelled(cancellable))
        g_cond_wait(&t->changed, &t->lock);
    bool there = *done || (or_filled && or_filled->length);
    g_mutex_unlock(&t->lock);
    g_cancellable_disconnect(cancellable, id);
    return there || !g_cancellable_set_error_if_cancelled(cancellable, err);
}

static GVariant *call_and_wait(Transport *t, const Procedure *p, GVariant *args, Pipe *pipe, int *ret_fd, GCancellable *cancellable, GError **err)
{
    Call *c = g_new0(Call, 1);
    guint32 serial;
    *c = (Call){ .procedure = p, .fd = -1 };
    if (!send_call(t, c, args, pipe, &serial, err)) {
        call_free(c);
        return NULL;
    }
    if (!wait_until(t, &c->done, NULL, cancellable, err)) {
        g_mutex_lock(&t->lock);
        g_hash_table_steal(t->calls, GUINT_TO_POINTER(serial));
        g_mutex_unlock(&t->lock);
        call_free(c);
        return NULL;
    }
    GVariant *result = g_steal_pointer(&c->result);
    if (c->error)
        g_propagate_error(err, g_steal_pointer(&c->error));
    if (ret_fd) {
        *ret_fd = c->fd;
        c->fd = -1;
    }
    call_free(c);
    return result;
}

GVariant *transport_call(Transport *t, const Procedure *p, GVariant *args, int *ret_fd, GCancellable *cancellable, GError **err)
{
    return call_and_wait(t, p, args, NULL, ret_fd, cancellable, err);
}

/* The reply of a task that was cancelled meanwhile is thrown away by GTask. */
void transport_call_task(Transport *t, const Procedure *p, GVariant *args, GTask *task)
{
    Call *c = g_new0(Call, 1);
    guint32 serial;
    GError *err = NULL;
    *c = (Call){ .procedure = p, .fd = -1, .task = g_object_ref(task) };
    if (!send_call(t, c, args, NULL, &serial, &err)) {
        g_task_return_error(task, err);
        call_free(c);
    }
}

/* ---- streams */

GVariant *transport_open_pipe(Transport *t, const Procedure *p, GVariant *args, Pipe **ret, GCancellable *cancellable, GError **err)
{
    Pipe *pipe = g_new0(Pipe, 1);
    *pipe = (Pipe){ .transport = transport_ref(t), .procedure = p, .program = program_of(p) };
    g_queue_init(&pipe->chunks);
    GVariant *result = call_and_wait(t, p, args, pipe, NULL, cancellable, err);
    if (result) {
        *ret = pipe;
    } else {
        pipe->finished = true;
        pipe_free(pipe);
    }
    return result;
}

static bool send_status(Pipe *p, MessageStatus status, const void *data, gsize bytes, GError **err)
{
    const Header h = { p->program, RPC_VERSION, p->procedure->number, MESSAGE_STREAM, p->serial, status };
    return send_all(p->transport, &h, data, bytes, err);
}

static bool take_error(Pipe *p, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&p->transport->lock);
    if (p->error)
        g_propagate_error(err, g_error_copy(p->error));
    return p->error;
}

bool pipe_send(Pipe *p, const void *data, gsize bytes, GError **err)
{
    for (gsize done = 0; done < bytes; done += MIN(bytes - done, CHUNK_MAX))
        if (take_error(p, err) || !send_status(p, STATUS_CONTINUE, (const char *)data + done, MIN(bytes - done, CHUNK_MAX), err))
            return false;
    return true;
}

GBytes *pipe_receive(Pipe *p, GCancellable *cancellable, GError **err)
{
    if (!wait_until(p->transport, &p->ended, &p->chunks, cancellable, err))
        return NULL;
    g_mutex_lock(&p->transport->lock);
    GBytes *data = g_queue_pop_head(&p->chunks);
    g_mutex_unlock(&p->transport->lock);
    if (data)
        return data;
    return take_error(p, err) ? NULL : g_bytes_new(NULL, 0);
}

bool pipe_finish(Pipe *p, GCancellable *cancellable, GError **err)
{
    if (take_error(p, err) || !send_status(p, STATUS_OK, NULL, 0, err))
        return false;
    g_mutex_lock(&p->transport->lock);
    g_queue_clear_full(&p->chunks, (GDestroyNotify)g_bytes_unref);
    g_mutex_unlock(&p->transport->lock);
    if (!wait_until(p->transport, &p->finished, NULL, cancellable, err))
        return false;
    return !take_error(p, err);
}

void pipe_abort(Pipe *p)
{
    Transport *t = p->transport;
    g_mutex_lock(&t->lock);
    bool already = p->finished;
    p->ended = p->finished = true;
    g_cond_broadcast(&t->changed);
    g_mutex_unlock(&t->lock);
    if (already)
        return;
    g_autoptr(GByteArray) body = g_byte_array_new(); /* an error's body is due, whatever it says */
    xdr_encode(body, ERROR_LETTERS, g_variant_new_parsed("(%i, 0, @ms 'stream aborted', 2, @m(ssi) nothing, @ms nothing, @ms nothing, @ms nothing, 0, 0, @m(ss) nothing)",
                                                         ATOLL_MANAGER_ERROR_OPERATION_ABORTED));
    send_status(p, STATUS_ERROR, body->data, body->len, NULL);
}

void pipe_free(Pipe *p)
{
    if (!p)
        return;
    Transport *t = p->transport;
    pipe_abort(p);
    g_mutex_lock(&t->lock);
    g_hash_table_remove(t->pipes, GUINT_TO_POINTER(p->serial));
    g_mutex_unlock(&t->lock);
    g_queue_clear_full(&p->chunks, (GDestroyNotify)g_bytes_unref);
    g_clear_error(&p->error);
    transport_unref(t);
    g_free(p);
}
