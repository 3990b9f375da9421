#pragma once
#include <gio/gio.h>
#include <stdbool.h>

#include "manage/rpc/procedures.h"
/*
 * rpc.h - the server's side of libvirt's protocol: connections, calls, replies, events, streams, keepalive.
 *
 * Framing: u32 length (with itself), program, version, procedure, type, serial, status, then XDR (libvirt's
 * docs/internals/rpc).  Everything here runs on the thread of the main context that the server was made on, but
 * rpc_reply*() and rpc_fail*(), which any thread may call.
 */
typedef struct RpcServer RpcServer;
typedef struct RpcConnection RpcConnection;
typedef struct RpcCall RpcCall;
typedef struct RpcStream RpcStream;

enum {
    RPC_MESSAGE_MAX = 32 << 20,   /* bytes behind the length */
    RPC_CHUNK_MAX = 262120,       /* bytes of a stream's message */
    RPC_CALLS_MAX = 16,           /* of a connection, at work at once: more wait in its socket */
    RPC_BACKLOG_MAX = 64 << 20,   /* bytes that a client has not read: it is cut off */
    RPC_CONNECTIONS_MAX = 5000,
    RPC_STRANGERS_MAX = 64,       /* TLS connections that have not shown who they are */
    RPC_HANDSHAKE_S = 20,         /* within which they do */
    RPC_KEEPALIVE_S = 5, RPC_KEEPALIVE_COUNT = 5, /* of silence, where the client has asked for pings */
};

/* VIR_ERR_*: what clients act upon (libvirt/virterror.h). */
typedef enum RpcError {
    RPC_ERR_INTERNAL = 1, RPC_ERR_NO_SUPPORT = 3, RPC_ERR_INVALID_ARG = 8, RPC_ERR_OPERATION_FAILED = 9, RPC_ERR_XML_ERROR = 27, RPC_ERR_DOM_EXIST = 28,
    RPC_ERR_OPERATION_DENIED = 29, RPC_ERR_NETWORK_EXIST = 37, RPC_ERR_SYSTEM = 38, RPC_ERR_RPC = 39, RPC_ERR_NO_DOMAIN = 42, RPC_ERR_NO_NETWORK = 43,
    RPC_ERR_AUTH_FAILED = 45, RPC_ERR_NO_STORAGE_POOL = 49, RPC_ERR_NO_STORAGE_VOL = 50, RPC_ERR_NO_NODE_DEVICE = 53, RPC_ERR_OPERATION_INVALID = 55,
    RPC_ERR_NO_INTERFACE = 57, RPC_ERR_NO_NWFILTER = 62, RPC_ERR_INVALID_SECRET = 65, RPC_ERR_NO_SECRET = 66, RPC_ERR_CONFIG_UNSUPPORTED = 67, RPC_ERR_OPERATION_TIMEOUT = 68,
    RPC_ERR_NO_DOMAIN_SNAPSHOT = 72, RPC_ERR_ARGUMENT_UNSUPPORTED = 74, RPC_ERR_OPERATION_ABORTED = 78, RPC_ERR_NO_DOMAIN_METADATA = 80,
    RPC_ERR_OPERATION_UNSUPPORTED = 84, RPC_ERR_AGENT_UNRESPONSIVE = 86, RPC_ERR_RESOURCE_BUSY = 87, RPC_ERR_ACCESS_DENIED = 88,
    RPC_ERR_STORAGE_VOL_EXIST = 90, RPC_ERR_DEVICE_MISSING = 99,
} RpcError;

typedef struct RpcPeer {
    gint64 pid; /* -1: not known */
    guint uid, gid;
    char *name; /* of a TLS certificate, or NULL */
} RpcPeer;

typedef struct RpcHandlers {
    /* A call has come whose arguments are right for its procedure.  The handler replies, now or later, exactly once. */
    void (*call)(RpcCall *call, void *opaque);
    void (*connected)(RpcConnection *c, void *opaque);
    void (*closed)(RpcConnection *c, void *opaque); /* the connection is still valid, and no more calls come */
} RpcHandlers;

RpcServer *rpc_server_new(const RpcHandlers *handlers, void *opaque);
void rpc_server_free(RpcServer *s); /* closes every connection */
/* Listens on a unix socket; a file there that nobody listens on is replaced.  Connections are read-only or not. */
bool rpc_server_listen(RpcServer *s, const char *path, unsigned mode, bool readonly, GError **err);
/* The same on a socket that somebody else has opened (systemd); takes it over. */
bool rpc_server_listen_fd(RpcServer *s, int fd, bool readonly, GError **err);
/* TCP, where a client has a certificate: see tls.c.  `allowed`: patterns of its distinguished name; NULL: any of our authority. */
typedef struct RpcTls RpcTls;
RpcTls *rpc_tls_new(const char *pki, const char *const *allowed, GError **err);
RpcTls *rpc_tls_ref(RpcTls *t);
void rpc_tls_unref(RpcTls *t);
enum { RPC_TLS_PORT = 16514 };
/* "PORT", "ADDRESS" or "ADDRESS:PORT" ([ADDRESS]:PORT of IPv6); "" is all addresses at RPC_TLS_PORT. */
bool rpc_server_listen_tls(RpcServer *s, const char *where, RpcTls *tls, GError **err);
unsigned rpc_server_connections(const RpcServer *s);

const RpcPeer *rpc_peer(const RpcConnection *c);
bool rpc_readonly(const RpcConnection *c);
bool rpc_is_remote(const RpcConnection *c); /* it comes over TLS: no descriptors can be sent */
void rpc_set_readonly(RpcConnection *c); /* it stays so */
void rpc_close_connection(RpcConnection *c);
void rpc_start_keepalive(RpcConnection *c); /* the client understands pings */
void *rpc_data(const RpcConnection *c); /* the daemon's own, with the connection's life */
void rpc_set_data(RpcConnection *c, void *data, GDestroyNotify free);
RpcConnection *rpc_connection_ref(RpcConnection *c);
void rpc_connection_unref(RpcConnection *c);
/* Sends an event; `message` is a tuple for the procedure's ret.  Drops it where the client has gone. */
void rpc_event(RpcConnection *c, const Procedure *p, GVariant *message);

RpcConnection *rpc_call_connection(const RpcCall *call);
const Procedure *rpc_call_procedure(const RpcCall *call);
GVariant *rpc_call_args(const RpcCall *call); /* a tuple; the call's */
/* Each ends the call.  `result` NULL: no results. */
void rpc_reply(RpcCall *call, GVariant *result);
void rpc_reply_fd(RpcCall *call, int fd); /* takes the descriptor */
void rpc_fail(RpcCall *call, RpcError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
void rpc_fail_error(RpcCall *call, const GError *error); /* the code from RPC_ERROR's domain, or base/error.h's */

/*
 * Streams: data that follows a call's reply under the call's serial, either way.  A stream is opened before the reply and lives
 * until its `closed`, which comes exactly once: the client finished or aborted it, or went away.
 */
typedef struct RpcStreamOps {
    void (*received)(RpcStream *s, const void *data, size_t bytes, void *opaque); /* NULL: the client may not send */
    /* The client has no more: rpc_stream_finish() answers, now or later.  NULL: that is well. */
    void (*finished)(RpcStream *s, void *opaque);
    void (*drained)(RpcStream *s, void *opaque); /* what was sent has gone out: there is room for more */
    void (*closed)(RpcStream *s, void *opaque);
} RpcStreamOps;
RpcStream *rpc_stream_open(RpcCall *call, const RpcStreamOps *ops, void *opaque);
/* At most RPC_CHUNK_MAX bytes.  False: the stream is closed. */
bool rpc_stream_send(RpcStream *s, const void *data, size_t bytes);
bool rpc_stream_full(const RpcStream *s); /* wait for `drained` */
void rpc_stream_end(RpcStream *s);        /* no more data; the client finishes the stream */
void rpc_stream_hold(RpcStream *s, bool hold); /* while held its client's socket is not read: what came first is not done with */
void rpc_stream_finish(RpcStream *s, const GError *err); /* after `finished`; `closed` follows */
void rpc_stream_fail(RpcStream *s, RpcError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* GErrors whose code is an RpcError. */
#define RPC_ERROR (rpc_error_quark())
GQuark rpc_error_quark(void);
bool rpc_error_set(GError **err, RpcError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
