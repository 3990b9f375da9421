#pragma once
#include "block/nbd/link.h"
#include "block/nbd/nbd_wire.h"
#include "block/nbd_server.h"
/* server.h - between the files of the NBD server: server.c (listening, life), negotiate.c, transmit.c. */
enum { MOST_CONTEXTS = 16 };

typedef struct Export {
    char *name, *description;
    BlkNode *node;
    bool read_only, allocation_depth, writethrough;
    uint64_t off, len;
    char **bitmaps;
} Export;

/* A metadata context of an export: "base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:NAME". */
typedef enum ContextKind { CONTEXT_ALLOCATION, CONTEXT_DEPTH, CONTEXT_BITMAP } ContextKind;
typedef struct Context {
    uint32_t id;
    ContextKind kind;
    BlkBitmap *bitmap;
} Context;

typedef struct Client {
    NbdServer *server;
    Link *link;
    GCancellable *stop; /* ends what it waits for */
    const Export *in_hand; /* of the option that is being answered.  It, export and contexts_of change with the server's lock held: */
    const Export *export;  /* an export stays as long as one of them names it */
    bool no_zeroes, structured;
    Context context[MOST_CONTEXTS];
    unsigned n_contexts;
    const Export *contexts_of; /* the export that they were chosen for */
    /* Transmission. */
    GMutex lock; /* of what follows, and of writing */
    GCond less;
    unsigned in_flight;
    uint64_t bytes_in_flight;
    bool broken;
} Client;

struct NbdServer {
    GPtrArray *exports; /* Export; they, and clients, with the lock */
    GPtrArray *all;     /* Client */
    GSocketListener *listener;
    GCancellable *stop;
    GThread *thread;
    TlsCreds *creds;
    char *socket_path;
    uint16_t port;
    unsigned max_clients;
    void (*clients_changed)(void *owner, unsigned clients, bool served);
    void *owner;
    GMutex lock;
    GCond fewer;
    unsigned clients, threads;
};

/* Leads the client through its options.  True: c->export is chosen. */
bool nbd_negotiate(Client *c);
/* Serves its requests until it goes. */
void nbd_transmit(Client *c);
const Export *nbd_hold_export(Client *c, const char *name); /* in hand until nbd_let_export_go(); NULL: there is none */
void nbd_let_export_go(Client *c);
void nbd_keep_export(Client *c, const Export **which); /* what is in hand becomes *which of the client */
uint16_t nbd_export_flags(const Client *c, const Export *e);
