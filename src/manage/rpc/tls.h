#pragma once
#include <gio/gio.h>
#include <stdbool.h>

#include "manage/rpc/rpc.h"
/* tls.h - TLS with certificates of both ends over a connection's socket, which does not block. */
typedef struct TlsSession TlsSession;
typedef enum TlsState { TLS_FAILED, TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE } TlsState;

TlsSession *tls_session_new(RpcTls *tls, GSocket *socket);
void tls_session_free(TlsSession *s); /* says good-bye */
/* A step of the handshake.  TLS_DONE: the client's certificate is of our authority and of a name that may come in. */
TlsState tls_handshake(TlsSession *s, char **ret_name, GError **err);
/* As g_socket_receive() and g_socket_send(); G_IO_ERROR_WOULD_BLOCK: later, with the same bytes. */
gssize tls_receive(TlsSession *s, void *data, gsize bytes, GError **err);
gssize tls_send(TlsSession *s, const void *data, gsize bytes, GError **err);
