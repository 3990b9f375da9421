#pragma once
#include <gio/gio.h>

#include "block/block.h"
/* link.h - the bytes of a connection: plain or TLS by GnuTLS.  One thread may read while others, one at a time, write. */
typedef struct TlsCreds TlsCreds;
/* Of a tls-creds-x509 or tls-creds-psk object, for servers: reads its files. */
TlsCreds *tls_creds_load(const BlkEnv *env, const char *id, GError **err);
void tls_creds_free(TlsCreds *c);

typedef struct Link Link;
Link *link_new(GSocket *socket, GCancellable *stop); /* takes over a reference of the socket */
void link_free(Link *l);
bool link_start_tls(Link *l, const TlsCreds *creds, GError **err);
bool link_is_tls(const Link *l);
bool link_read(Link *l, void *to, size_t bytes);  /* all of it; false: the peer is gone, or the server stops */
bool link_write(Link *l, const void *from, size_t bytes);
bool link_skip(Link *l, uint64_t bytes);
