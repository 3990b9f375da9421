#pragma once
#include "block/block.h"
/*
 * nbd_server.h - gives images to others over the network block device protocol: a unix or TCP socket, TLS, several exports and
 * connections, structured replies, block status.
 *
 * It has threads of its own: one that accepts and one a connection.
 */
typedef struct NbdServer NbdServer;

typedef struct NbdServerOptions {
    const char *socket_path;  /* unix; an old socket that nobody listens on is replaced.  NULL: TCP */
    const char *host;         /* NULL: every address of this host */
    uint16_t port;            /* 0: any, see nbd_server_port() */
    int fd;                   /* > 0: a socket that listens already (socket activation), which the server takes over */
    unsigned max_clients;     /* at once; 0: no limit.  More wait. */
    const char *tls_creds;    /* id of a tls-creds-x509 or tls-creds-psk object of env; NULL: no TLS.  With TLS nobody is served without */
    const BlkEnv *env;
    /* On a thread of the server, after a client has come (served is true once it has got to an export) or gone. */
    void (*clients_changed)(void *owner, unsigned clients, bool served);
    void *owner;
} NbdServerOptions;

typedef struct NbdExport {
    const char *name, *description; /* "" is the default one; description may be NULL */
    BlkNode *node;                  /* must live until the export is removed or the server closed */
    bool read_only, allocation_depth;
    bool writethrough;              /* each write is on the disk when it is answered */
    uint64_t off, len;              /* a part of the image; len 0: from off to its end */
    const char *const *bitmaps;     /* names, NULL-terminated; or NULL.  They cannot be changed meanwhile */
} NbdExport;

/* Exports are copied.  NULL and an error that names the address, and who has it if it is taken. */
NbdServer *nbd_server_start(const NbdServerOptions *o, const NbdExport *exports, unsigned n_exports, GError **err);
bool nbd_server_add_export(NbdServer *s, const NbdExport *e, GError **err);
/* An export with clients is only removed if `hard`: they are disconnected, and what they have under way is waited for. */
bool nbd_server_remove_export(NbdServer *s, const char *name, bool hard, GError **err);
uint16_t nbd_server_port(const NbdServer *s);
void nbd_server_close(NbdServer *s); /* disconnects everybody, waits for what is under way.  NULL is fine */
