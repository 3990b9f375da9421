/* connection.c - a client's socket: messages in and out, descriptors, keepalive. */
#include <gio/gunixfdmessage.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/be.h"
#include "base/error.h"
#include "manage/rpc/rpc_inside.h"

enum { READ_BYTES = 64 << 10 };

static void outgoing_free(Outgoing *o)
{
    g_byte_array_unref(o->bytes);
    if (o->fd >= 0)
        close(o->fd);
    g_free(o);
}

RpcConnection *rpc_connection_ref(RpcConnection *c)
{
    g_atomic_ref_count_inc(&c->refs);
    return c;
}

void rpc_connection_unref(RpcConnection *c)
{
    if (!g_atomic_ref_count_dec(&c->refs))
        return;
    g_clear_object(&c->socket);
    g_byte_array_unref(c->in);
    g_hash_table_unref(c->streams);
    g_main_context_unref(c->context);
    g_free(c->peer.name);
    if (c->data_free)
        c->data_free(c->data);
    g_free(c);
}

static void drop_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

void rpc_close_connection(RpcConnection *c)
{
    RpcServer *s = c->server;
    if (!s)
        return;
    rpc_connection_ref(c);
    streams_close(c);
    if (s->handlers.closed && !c->shaking)
        s->handlers.closed(c, s->opaque);
    c->server = NULL;
    drop_source(&c->readable);
    drop_source(&c->writable);
    drop_source(&c->keepalive);
    g_queue_clear_full(&c->out, (GDestroyNotify)outgoing_free);
    if (c->shaking)
        s->strangers--;
    g_clear_pointer(&c->tls, tls_session_free);
    g_socket_close(c->socket, NULL);
    g_hash_table_remove(s->connections, c);
    rpc_connection_unref(c);
}

static void give_up(RpcConnection *c, GError *err)
{
    if (c->peer.pid < 0)
        g_info("client '%s' %s", c->peer.name ? c->peer.name : "of an unknown host", err->message);
    else
        g_info("client of process %" G_GINT64_FORMAT ": %s", c->peer.pid, err->message);
    g_error_free(err);
    rpc_close_connection(c);
}

/* A byte that carries a descriptor stands outside of messages. */
static gssize send_fd(RpcConnection *c, int fd, GError **err)
{
    g_autoptr(GSocketControlMessage) m = g_unix_fd_message_new();
    static char byte;
    GOutputVector v = { &byte, 1 };
    if (!g_unix_fd_message_append_fd(G_UNIX_FD_MESSAGE(m), fd, err))
        return -1;
    return g_socket_send_message(c->socket, NULL, &v, 1, &m, 1, 0, NULL, err);
}

/* True: it has gone out.  False without an error: the socket is full. */
static bool send_one(RpcConnection *c, Outgoing *o, GError **err)
{
    g_autoptr(GError) mine = NULL;
    while (o->sent < o->bytes->len) {
        const char *at = (char *)o->bytes->data + o->sent;
        gsize left = o->bytes->len - o->sent;
        gssize n = c->tls ? tls_send(c->tls, at, left, &mine) : g_socket_send(c->socket, at, left, NULL, &mine);
        if (n < 0)
            goto out;
        o->sent += n;
        c->backlog -= n;
    }
    if (o->fd < 0 || send_fd(c, o->fd, &mine) >= 0)
        return true;
out:
    if (!g_error_matches(mine, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        g_propagate_error(err, g_steal_pointer(&mine));
    return false;
}

static gboolean on_writable(GSocket *socket, GIOCondition condition, gpointer data)
{
    RpcConnection *c = data;
    GError *err = NULL;
    Outgoing *o;
    while ((o = g_queue_peek_head(&c->out)) && send_one(c, o, &err))
        outgoing_free(g_queue_pop_head(&c->out));
    if (err) {
        give_up(c, err);
        return G_SOURCE_REMOVE;
    }
    if (o)
        return G_SOURCE_CONTINUE;
    drop_source(&c->writable);
    streams_drained(c);
    return G_SOURCE_REMOVE;
}

static GSource *watch(RpcConnection *c, GIOCondition condition, GSourceFunc f)
{
    GSource *source = g_socket_create_source(c->socket, condition, NULL);
    g_source_set_callback(source, f, rpc_connection_ref(c), (GDestroyNotify)rpc_connection_unref);
    g_source_attach(source, c->server->context);
    return source;
}

static gboolean cut_off(gpointer data)
{
    RpcConnection *c = data;
    if (c->server)
        give_up(c, g_error_new(ATOLL_ERROR, ERR_BUSY, "has not read %zu bytes that it asked for: cut off", c->backlog));
    return G_SOURCE_REMOVE;
}

/* Not at once: who sends still holds the connection's streams and clients. */
static void cut_off_later(RpcConnection *c)
{
    GSource *source = g_idle_source_new();
    c->cut = true;
    g_source_set_priority(source, G_PRIORITY_HIGH);
    g_source_set_callback(source, cut_off, rpc_connection_ref(c), (GDestroyNotify)rpc_connection_unref);
    g_source_attach(source, c->context);
    g_source_unref(source);
}

void connection_send(RpcConnection *c, GByteArray *message, int fd)
{
    Outgoing *o = g_new0(Outgoing, 1);
    *o = (Outgoing){ .bytes = message, .fd = fd };
    if (!c->server || c->cut) {
        outgoing_free(o);
        return;
    }
    g_queue_push_tail(&c->out, o);
    c->backlog += message->len;
    if (c->backlog > RPC_BACKLOG_MAX)
        cut_off_later(c);
    else if (!c->writable)
        c->writable = watch(c, G_IO_OUT, G_SOURCE_FUNC(on_writable));
}

static bool keepalive_message(RpcConnection *c, const Header *h)
{
    if (h->procedure == KEEPALIVE_PING)
        connection_send(c, message_new(&(Header){ RPC_PROGRAM_KEEPALIVE, RPC_VERSION, KEEPALIVE_PONG, MESSAGE_EVENT, 0, STATUS_OK }, NULL, 0), -1);
    return true;
}

static bool dispatch(RpcConnection *c, const uint8_t *at, gsize bytes, GError **err)
{
    const Header h = message_header(at);
    at += HEADER_BYTES;
    bytes -= HEADER_BYTES;
    if (h.program == RPC_PROGRAM_KEEPALIVE)
        return keepalive_message(c, &h);
    switch (h.type) {
    case MESSAGE_CALL:
        return call_message(c, &h, at, bytes, err);
    case MESSAGE_STREAM:
        return stream_message(c, &h, at, bytes, err);
    default:
        return error_set(err, ERR_INVALID, "sent a message of type %u, which is not for a server", h.type);
    }
}

/* Takes whole messages out of the buffer. */
static bool take_messages(RpcConnection *c, GError **err)
{
    gsize done = 0;
    bool ok = true;
    c->taking = true; /* a reply within does not take messages up again */
    while (ok && c->server && c->calls < RPC_CALLS_MAX && !c->holds && c->in->len - done >= LENGTH_BYTES) {
        uint32_t length = be_get(c->in->data + done, 4);
        ok = (length >= LENGTH_BYTES + HEADER_BYTES && length <= LENGTH_BYTES + RPC_MESSAGE_MAX) ||
             error_set(err, ERR_INVALID, "sent a message of %u bytes (%d to %d are possible)", length, LENGTH_BYTES + HEADER_BYTES, RPC_MESSAGE_MAX);
        if (!ok || c->in->len - done < length)
            break;
        ok = dispatch(c, c->in->data + done + LENGTH_BYTES, length - LENGTH_BYTES, err);
        done += length;
    }
    if (done)
        g_byte_array_remove_range(c->in, 0, done);
    c->taking = false;
    return ok;
}

static gboolean on_readable(GSocket *socket, GIOCondition condition, gpointer data);

/* With as many calls at work as a client may have, or a stream that is full, its socket waits. */
static void read_or_wait(RpcConnection *c)
{
    if (!c->server)
        return;
    bool wait = c->calls >= RPC_CALLS_MAX || c->holds;
    if (wait)
        drop_source(&c->readable);
    else if (!c->readable)
        c->readable = watch(c, G_IO_IN, G_SOURCE_FUNC(on_readable));
}

void connection_resume(RpcConnection *c)
{
    GError *err = NULL;
    if (c->taking)
        return;
    if (c->server && !take_messages(c, &err))
        give_up(c, err);
    read_or_wait(c);
}

static gboolean on_readable(GSocket *socket, GIOCondition condition, gpointer data)
{
    RpcConnection *c = data;
    g_autoptr(GError) err = NULL;
    guint had = c->in->len;
    g_byte_array_set_size(c->in, had + READ_BYTES);
    char *room = (char *)c->in->data + had;
    gssize n = c->tls ? tls_receive(c->tls, room, READ_BYTES, &err) : g_socket_receive(socket, room, READ_BYTES, NULL, &err);
    g_byte_array_set_size(c->in, had + MAX(n, 0));
    if (g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return G_SOURCE_CONTINUE;
    if (n <= 0) {
        rpc_close_connection(c);
        return G_SOURCE_REMOVE;
    }
    c->unanswered = 0;
    c->idle_input = false;
    if (!take_messages(c, &err)) {
        give_up(c, g_steal_pointer(&err));
        return G_SOURCE_REMOVE;
    }
    read_or_wait(c);
    return c->readable ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static gboolean on_keepalive(gpointer data)
{
    RpcConnection *c = data;
    if (c->idle_input) {
        if (c->unanswered++ >= RPC_KEEPALIVE_COUNT) {
            give_up(c, g_error_new(ATOLL_ERROR, ERR_IO, "has not answered for %d s", RPC_KEEPALIVE_S * RPC_KEEPALIVE_COUNT));
            return G_SOURCE_REMOVE;
        }
        connection_send(c, message_new(&(Header){ RPC_PROGRAM_KEEPALIVE, RPC_VERSION, KEEPALIVE_PING, MESSAGE_EVENT, 0, STATUS_OK }, NULL, 0), -1);
    }
    c->idle_input = true;
    return G_SOURCE_CONTINUE;
}

void rpc_start_keepalive(RpcConnection *c)
{
    if (!c->server || c->keepalive)
        return;
    c->keepalive = g_timeout_source_new_seconds(RPC_KEEPALIVE_S);
    g_source_set_callback(c->keepalive, on_keepalive, rpc_connection_ref(c), (GDestroyNotify)rpc_connection_unref);
    g_source_attach(c->keepalive, c->server->context);
}

void connection_known(RpcConnection *c)
{
    if (c->server->handlers.connected)
        c->server->handlers.connected(c, c->server->opaque);
    read_or_wait(c);
}

/* ---- TLS: first it is found out who it is */
static void shaken(RpcConnection *c)
{
    static const uint8_t well = 1;
    c->shaking = false;
    c->server->strangers--;
    drop_source(&c->keepalive);
    connection_send(c, g_byte_array_append(g_byte_array_new(), &well, 1), -1);
    connection_known(c);
}

static gboolean shake(GSocket *socket, GIOCondition condition, gpointer data)
{
    RpcConnection *c = data;
    GError *err = NULL;
    TlsState state = tls_handshake(c->tls, &c->peer.name, &err);
    drop_source(&c->readable);
    if (state == TLS_FAILED)
        give_up(c, err);
    else if (state == TLS_DONE)
        shaken(c);
    else
        c->readable = watch(c, state == TLS_WANTS_WRITE ? G_IO_OUT : G_IO_IN, G_SOURCE_FUNC(shake));
    return G_SOURCE_REMOVE;
}

static gboolean too_slow(gpointer data)
{
    give_up(data, g_error_new(ATOLL_ERROR, ERR_BUSY, "has not shown a certificate within %d s", RPC_HANDSHAKE_S));
    return G_SOURCE_REMOVE;
}

static void start_shaking(RpcConnection *c, RpcTls *tls)
{
    c->tls = tls_session_new(tls, c->socket);
    c->shaking = true;
    c->server->strangers++;
    c->readable = watch(c, G_IO_IN, G_SOURCE_FUNC(shake));
    c->keepalive = g_timeout_source_new_seconds(RPC_HANDSHAKE_S);
    g_source_set_callback(c->keepalive, too_slow, rpc_connection_ref(c), (GDestroyNotify)rpc_connection_unref);
    g_source_attach(c->keepalive, c->server->context);
}

static RpcPeer peer_of(GSocket *socket)
{
    RpcPeer peer = { .pid = -1, .uid = -1, .gid = -1 };
    struct ucred cred;
    socklen_t bytes = sizeof cred;
    if (!getsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_PEERCRED, &cred, &bytes))
        peer = (RpcPeer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
    return peer;
}

RpcConnection *connection_new(RpcServer *s, GSocket *socket, bool readonly, RpcTls *tls)
{
    RpcConnection *c = g_new0(RpcConnection, 1);
    g_atomic_ref_count_init(&c->refs);
    c->server = s;
    c->context = g_main_context_ref(s->context);
    c->socket = g_object_ref(socket);
    c->in = g_byte_array_new();
    c->readonly = readonly;
    c->peer = tls ? (RpcPeer){ .pid = -1, .uid = -1, .gid = -1 } : peer_of(socket);
    c->streams = g_hash_table_new(NULL, NULL);
    g_queue_init(&c->out);
    g_socket_set_blocking(socket, FALSE);
    g_hash_table_add(s->connections, c);
    if (tls)
        start_shaking(c, tls);
    return c;
}

const RpcPeer *rpc_peer(const RpcConnection *c) { return &c->peer; }
bool rpc_readonly(const RpcConnection *c) { return c->readonly; }
bool rpc_is_remote(const RpcConnection *c) { return c->tls || (c->peer.pid < 0 && c->peer.name); }
void rpc_set_readonly(RpcConnection *c) { c->readonly = true; }
void *rpc_data(const RpcConnection *c) { return c->data; }

void rpc_set_data(RpcConnection *c, void *data, GDestroyNotify free)
{
    c->data = data;
    c->data_free = free;
}
