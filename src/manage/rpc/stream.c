/* stream.c - data beside calls. */
#include <stdarg.h>

#include "base/error.h"
#include "manage/rpc/rpc_inside.h"

enum { STREAM_BACKLOG = 1 << 20 }; /* bytes of a connection beyond which its streams wait */

RpcStream *rpc_stream_open(RpcCall *call, const RpcStreamOps *ops, void *opaque)
{
    RpcStream *s = g_new0(RpcStream, 1);
    s->connection = call->connection;
    s->ops = ops;
    s->opaque = opaque;
    s->header = (Header){ call->program, RPC_VERSION, call->procedure->number, MESSAGE_STREAM, call->serial, STATUS_CONTINUE };
    g_hash_table_insert(call->connection->streams, GUINT_TO_POINTER(call->serial), s);
    return s;
}

/* What it held is read again when its closer says so: a connection that closes is not. */
static void stream_close(RpcStream *s)
{
    s->connection->holds -= s->held;
    g_hash_table_remove(s->connection->streams, GUINT_TO_POINTER(s->header.serial));
    s->ops->closed(s, s->opaque);
    g_free(s);
}

void streams_close(RpcConnection *c)
{
    g_autoptr(GList) all = g_hash_table_get_values(c->streams);
    for (GList *l = all; l; l = l->next)
        stream_close(l->data);
}

void streams_drained(RpcConnection *c)
{
    g_autoptr(GList) serials = g_hash_table_get_keys(c->streams);
    for (GList *l = serials; l; l = l->next) {
        RpcStream *s = g_hash_table_lookup(c->streams, l->data);
        if (s && s->ops->drained && !s->ended && !s->failed)
            s->ops->drained(s, s->opaque);
    }
}

static void send_status(RpcStream *s, MessageStatus status, const void *data, gsize bytes)
{
    Header h = s->header;
    h.status = status;
    connection_send(s->connection, message_new(&h, data, bytes), -1);
}

bool rpc_stream_send(RpcStream *s, const void *data, size_t bytes)
{
    if (!s->connection->server || s->ended || s->failed)
        return false;
    if (bytes)
        send_status(s, STATUS_CONTINUE, data, MIN(bytes, RPC_CHUNK_MAX));
    return true;
}

bool rpc_stream_full(const RpcStream *s) { return s->connection->backlog > STREAM_BACKLOG; }

void rpc_stream_end(RpcStream *s)
{
    if (!s->ended && !s->failed)
        send_status(s, STATUS_CONTINUE, NULL, 0);
    s->ended = true;
}

void rpc_stream_fail(RpcStream *s, RpcError code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_autofree char *message = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_autoptr(GByteArray) body = error_body(code, message);
    if (!s->failed)
        send_status(s, STATUS_ERROR, body->data, body->len);
    s->failed = true;
}

void rpc_stream_hold(RpcStream *s, bool hold)
{
    if (s->held == hold)
        return;
    s->held = hold;
    s->connection->holds += hold ? 1 : -1;
    connection_resume(s->connection);
}

void rpc_stream_finish(RpcStream *s, const GError *err)
{
    if (err)
        rpc_stream_fail(s, RPC_ERR_OPERATION_FAILED, "%s", err->message);
    else if (!s->failed)
        send_status(s, STATUS_OK, NULL, 0);
    RpcConnection *c = rpc_connection_ref(s->connection);
    stream_close(s);
    connection_resume(c);
    rpc_connection_unref(c);
}

bool stream_message(RpcConnection *c, const Header *h, const uint8_t *body, gsize bytes, GError **err)
{
    RpcStream *s = g_hash_table_lookup(c->streams, GUINT_TO_POINTER(h->serial));
    if (!s || s->header.procedure != h->procedure || s->header.program != h->program)
        return true; /* late, of a stream that has ended */
    switch (h->status) {
    case STATUS_CONTINUE:
        if (!s->ops->received)
            return error_set(err, ERR_INVALID, "sent data into a stream that only we write");
        if (!s->failed && !s->finishing)
            s->ops->received(s, body, bytes, s->opaque);
        return true;
    case STATUS_OK:
        if (s->finishing)
            return error_set(err, ERR_INVALID, "finished a stream twice");
        s->finishing = true;
        if (s->ops->finished && !s->failed)
            s->ops->finished(s, s->opaque);
        else
            rpc_stream_finish(s, NULL);
        return true;
    default:
        break; /* the client aborts, and waits for an answer: virStreamAbort() of a blocking stream would never return */
    }
    if (!s->failed)
        send_status(s, STATUS_OK, NULL, 0);
    stream_close(s);
    return true;
}
