/* call.c - calls and their replies, errors, events. */
#include <stdarg.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/rpc/rpc_inside.h"
#include "manage/rpc/xdr.h"

enum { FROM_ATOLL = 10 /* VIR_FROM_QEMU: what clients expect of qemu:/// */, LEVEL_ERROR = 2 };

G_DEFINE_QUARK(atoll-rpc, rpc_error)

RpcConnection *rpc_call_connection(const RpcCall *call) { return call->connection; }
const Procedure *rpc_call_procedure(const RpcCall *call) { return call->procedure; }
GVariant *rpc_call_args(const RpcCall *call) { return call->args; }

static void call_unref(RpcCall *call)
{
    if (!g_atomic_ref_count_dec(&call->refs))
        return;
    rpc_connection_unref(call->connection);
    if (call->args)
        g_variant_unref(call->args);
    g_free(call);
}

bool call_message(RpcConnection *c, const Header *h, const uint8_t *body, gsize bytes, GError **err)
{
    RpcCall *call = g_new0(RpcCall, 1);
    g_autoptr(GError) why = NULL;
    g_atomic_ref_count_init(&call->refs);
    call->connection = rpc_connection_ref(c);
    call->program = h->program;
    call->serial = h->serial;
    call->procedure = h->version == RPC_VERSION ? procedure_find(h->program, h->procedure) : NULL;
    c->calls++;
    static const Procedure none = { .name = "" };
    if (!call->procedure || call->procedure->right == RPC_EVENT) {
        call->procedure = call->procedure ? call->procedure : &none;
        rpc_fail(call, RPC_ERR_RPC, "program 0x%x, version %u has no procedure %d", h->program, h->version, h->procedure);
        return true;
    }
    call->args = xdr_decode(call->procedure->args, body, bytes, &why);
    if (!call->args) {
        rpc_fail(call, RPC_ERR_RPC, "%s: %s", call->procedure->name, why->message);
        return true;
    }
    g_variant_ref_sink(call->args);
    if (c->readonly && call->procedure->right == RPC_WRITE)
        rpc_fail(call, RPC_ERR_OPERATION_DENIED, "%s changes things and this connection is read-only", call->procedure->name);
    else {
        g_atomic_ref_count_inc(&call->refs); /* a handler may look at it yet when it has answered */
        c->server->handlers.call(call, c->server->opaque);
        call_unref(call);
    }
    return true;
}

/* What a thread hands to the connection's. */
typedef struct Done {
    RpcCall *call;
    GByteArray *message;
    int fd;
} Done;

static gboolean finish(gpointer data)
{
    Done *d = data;
    RpcConnection *c = rpc_connection_ref(d->call->connection);
    connection_send(c, d->message, d->fd);
    call_unref(d->call);
    c->calls--;
    if (c->calls == RPC_CALLS_MAX - 1)
        connection_resume(c);
    rpc_connection_unref(c);
    g_free(d);
    return G_SOURCE_REMOVE;
}

static void end_call(RpcCall *call, MessageType type, MessageStatus status, GByteArray *body, int fd)
{
    Header h = { call->program, RPC_VERSION, call->procedure->number, type, call->serial, status };
    Done *d = g_new0(Done, 1);
    *d = (Done){ call, message_new(&h, body->data, body->len), fd };
    g_byte_array_unref(body);
    g_main_context_invoke(call->connection->context, finish, d);
}

void rpc_reply(RpcCall *call, GVariant *result)
{
    GByteArray *body = g_byte_array_new();
    if (result)
        xdr_encode(body, call->procedure->ret, result);
    end_call(call, MESSAGE_REPLY, STATUS_OK, body, -1);
}

void rpc_reply_fd(RpcCall *call, int fd)
{
    if (rpc_is_remote(call->connection)) {
        close(fd);
        rpc_fail(call, RPC_ERR_NO_SUPPORT, "a descriptor cannot go to another host");
        return;
    }
    GByteArray *body = g_byte_array_new();
    xdr_encode(body, "u", g_variant_new("(u)", 1));
    end_call(call, MESSAGE_REPLY_FDS, STATUS_OK, body, fd);
}

/* remote_error: code, domain, message, level, a domain, three strings, two numbers, a network. */
GByteArray *error_body(RpcError code, const char *message)
{
    GByteArray *body = g_byte_array_new();
    g_autofree char *text = g_utf8_make_valid(message, -1);
    xdr_encode(body, "iioi?Doooii?N",
               g_variant_new("(iimsim(ssi)msmsmsiim(ss))", code, FROM_ATOLL, text, LEVEL_ERROR, FALSE, NULL, NULL, 0, text, NULL, NULL, 0, 0, FALSE, NULL, NULL));
    return body;
}

void rpc_fail(RpcCall *call, RpcError code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_autofree char *message = g_strdup_vprintf(format, ap);
    va_end(ap);
    end_call(call, MESSAGE_REPLY, STATUS_ERROR, error_body(code, message), -1);
}

void rpc_fail_error(RpcCall *call, const GError *error)
{
    static const RpcError codes[] = {
        [ERR_INVALID] = RPC_ERR_INVALID_ARG,      [ERR_NOT_FOUND] = RPC_ERR_OPERATION_FAILED, [ERR_DENIED] = RPC_ERR_ACCESS_DENIED,
        [ERR_BUSY] = RPC_ERR_RESOURCE_BUSY,       [ERR_NO_SPACE] = RPC_ERR_OPERATION_FAILED,  [ERR_IO] = RPC_ERR_OPERATION_FAILED,
        [ERR_UNSUPPORTED] = RPC_ERR_CONFIG_UNSUPPORTED, [ERR_INTERNAL] = RPC_ERR_INTERNAL,
    };
    RpcError code = error->domain == RPC_ERROR      ? (RpcError)error->code
                    : error->domain == ATOLL_ERROR && (unsigned)error->code < G_N_ELEMENTS(codes) ? codes[error->code]
                                                    : RPC_ERR_OPERATION_FAILED;
    rpc_fail(call, code, "%s", error->message);
}

bool rpc_error_set(GError **err, RpcError code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    GError *e = g_error_new_valist(RPC_ERROR, code, format, ap);
    va_end(ap);
    g_propagate_error(err, e);
    return false;
}

void rpc_event(RpcConnection *c, const Procedure *p, GVariant *message)
{
    uint32_t program = p >= qemu_procedures && p < qemu_procedures + 16 ? RPC_PROGRAM_QEMU : RPC_PROGRAM_REMOTE;
    g_autoptr(GByteArray) body = g_byte_array_new();
    xdr_encode(body, p->ret, message);
    connection_send(c, message_new(&(Header){ program, RPC_VERSION, p->number, MESSAGE_EVENT, 0, STATUS_OK }, body->data, body->len), -1);
}
