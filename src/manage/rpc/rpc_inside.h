#pragma once
#include "manage/rpc/message.h"
#include "manage/rpc/rpc.h"
#include "manage/rpc/tls.h"
/* rpc_inside.h - what the files of rpc share. */
struct RpcServer {
    RpcHandlers handlers;
    void *opaque;
    GMainContext *context;
    GPtrArray *listeners; /* Listener */
    GHashTable *connections;
    unsigned strangers; /* TLS connections before the end of their handshake */
};

typedef struct Outgoing {
    GByteArray *bytes;
    guint sent;
    int fd; /* follows with a byte of its own; -1: none */
} Outgoing;

struct RpcConnection {
    gatomicrefcount refs;
    RpcServer *server; /* NULL: closed */
    GMainContext *context;
    GSocket *socket;
    TlsSession *tls;     /* NULL: a unix socket */
    bool shaking;        /* its handshake goes on */
    GSource *readable, *writable, *keepalive;
    GByteArray *in;
    GQueue out; /* of Outgoing */
    gsize backlog;
    unsigned calls, unanswered, holds;
    bool readonly, idle_input, taking, cut;
    RpcPeer peer;
    GHashTable *streams; /* by serial */
    void *data;
    GDestroyNotify data_free;
};

struct RpcCall {
    gatomicrefcount refs; /* one until it is answered */
    RpcConnection *connection;
    const Procedure *procedure;
    GVariant *args;
    uint32_t program, serial;
};

struct RpcStream {
    RpcConnection *connection;
    const RpcStreamOps *ops;
    void *opaque;
    Header header; /* of its messages */
    gsize backlog;
    bool ended, failed, held, finishing;
};

/* Takes the array and the descriptor (-1: none). */
void connection_send(RpcConnection *c, GByteArray *message, int fd);
RpcConnection *connection_new(RpcServer *s, GSocket *socket, bool readonly, RpcTls *tls);
/* It is known who it is: calls come from now on. */
void connection_known(RpcConnection *c);
/* Takes up reading again when a call has ended. */
void connection_resume(RpcConnection *c);
/* A message has come.  False: the connection cannot go on. */
bool call_message(RpcConnection *c, const Header *h, const uint8_t *body, gsize bytes, GError **err);
bool stream_message(RpcConnection *c, const Header *h, const uint8_t *body, gsize bytes, GError **err);
void streams_close(RpcConnection *c);
void streams_drained(RpcConnection *c);
/* The body of an error, as XDR. */
GByteArray *error_body(RpcError code, const char *message);
