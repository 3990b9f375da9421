#pragma once
#include "base/keyval.h"
#include "console/chardev.h"
/*
 * backend.h - inside console/: what a backend implements, and the descriptor port that most are made of.
 */
enum { CHARDEV_DESCRIPTORS = 16 }; /* of one message; further ones are lost, as QEMU loses them */

typedef struct ChardevBackend {
    const char *name, *alias, *doc; /* doc: its properties, for -chardev help */
    size_t size;                    /* of the struct whose first member is Chardev */
    bool (*open)(Chardev *c, KeyVals *kv, GError **err); /* takes its properties and ends kv before it touches the host;
                                                             close() is called after a failure too */
    void (*close)(Chardev *c);                     /* optional */
    void (*write)(Chardev *c, const uint8_t *data, size_t n); /* any thread */
    size_t (*write_room)(Chardev *c);              /* optional, any thread; without it there is no bound */
    void (*resume)(Chardev *c);                    /* optional; any thread: deliver again when the front end has room */
} ChardevBackend;

struct Chardev {
    const ChardevBackend *backend;
    char *id, *description;
    GMutex lock; /* of frontend and opaque, and of the backend's own queues */
    const ChardevFrontend *frontend;
    void *opaque;
    bool connected;
    int passed[CHARDEV_DESCRIPTORS]; /* came over the socket and are not taken yet; main thread */
    unsigned n_passed;
};

void chardev_drop_descriptors(Chardev *c);

/* The front end's callbacks; nothing happens where none is attached (room is 0). */
size_t chardev_room(Chardev *c);
void chardev_deliver(Chardev *c, const uint8_t *data, size_t n);
void chardev_event(Chardev *c, ChardevEvent event); /* also notes OPENED and CLOSED in c->connected */
void chardev_writable(Chardev *c);
/* A Chardev of that backend, not opened. */
Chardev *chardev_new(const ChardevBackend *backend, const char *id);

/* A pair of descriptors (often the same) with a queue of output.  Used with c->lock. */
typedef struct FdPort {
    Chardev *chardev;
    int in, out; /* -1: none.  Non-blocking where the kernel has that. */
    bool in_ended, out_ended; /* still open, but of no more use */
    GSource *in_source, *out_source;
    GByteArray *queue;
    void (*hangup)(Chardev *c); /* main thread: the peer is gone; optional */
} FdPort;
enum { FD_PORT_QUEUE_BYTES = 1 << 20 };

void fd_port_open(FdPort *p, Chardev *c, int in, int out, void (*hangup)(Chardev *c));
void fd_port_close(FdPort *p, unsigned flush_ms); /* closes both descriptors; may be called twice */
void fd_port_write(FdPort *p, const uint8_t *data, size_t n);
void fd_port_resume(FdPort *p);
size_t fd_port_room(FdPort *p); /* what fd_port_write() takes without a loss; no bound where nobody is connected */

extern const ChardevBackend chardev_null, chardev_memory, chardev_stdio, chardev_file, chardev_pty, chardev_socket, chardev_mux;
/* A mux over inner, which it then owns. */
Chardev *chardev_mux_over(Chardev *inner);
