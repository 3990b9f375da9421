#pragma once
#include <sys/socket.h>

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
    void (*attached)(Chardev *c, const ChardevFrontend *frontend); /* optional: it has another front end now, or none */
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

/* Sets the front end alone: neither tells it anything nor has it read. */
void chardev_set_frontend(Chardev *c, const ChardevFrontend *frontend, void *opaque);

/* What chardev_open() returns but for a mux, which stands on one: front.c.  NULL: the log cannot be written; inner is closed. */
Chardev *chardev_front_over(Chardev *inner, const char *log, bool append, GError **err);
Chardev *chardev_behind(Chardev *c); /* the backend of a front; any other: itself */

/* Bytes on their way in that the front end has not taken yet.  Main thread, but for resume. */
typedef struct Inbox {
    Chardev *chardev;
    GByteArray *bytes;
    GSource *wake;
} Inbox;
void inbox_open(Inbox *in, Chardev *c);
void inbox_close(Inbox *in); /* also of one that was never opened */
void inbox_put(Inbox *in, const uint8_t *data, size_t n);
void inbox_resume(Inbox *in);

/* A pair of descriptors (often the same) with a queue of output.  Used with c->lock. */
typedef struct FdPort {
    Chardev *chardev;
    int in, out; /* -1: none.  Non-blocking where the kernel has that. */
    bool in_ended, out_ended; /* still open, but of no more use */
    GSource *in_source, *out_source;
    GByteArray *queue;
    void (*hangup)(Chardev *c); /* main thread: the peer is gone; optional */
    size_t (*filter)(Chardev *c, uint8_t *data, size_t n); /* optional: takes out what is not for the front end; what is left */
} FdPort;
enum { FD_PORT_QUEUE_BYTES = 1 << 20 };

void fd_port_open(FdPort *p, Chardev *c, int in, int out, void (*hangup)(Chardev *c));
void fd_port_close(FdPort *p, unsigned flush_ms); /* closes both descriptors; may be called twice */
void fd_port_write(FdPort *p, const uint8_t *data, size_t n);
void fd_port_resume(FdPort *p);
size_t fd_port_room(FdPort *p); /* what fd_port_write() takes without a loss; no bound where nobody is connected */

typedef struct InetAddress {
    struct sockaddr_storage addr;
    socklen_t len;
} InetAddress;
/* host "": any.  type: SOCK_STREAM or SOCK_DGRAM; family AF_UNSPEC: whichever it has. */
bool inet_address(const char *host, const char *port, int type, int family, InetAddress *ret, GError **err);

typedef struct Telnet {
    enum { TELNET_DATA, TELNET_COMMAND, TELNET_OPTION, TELNET_SUB, TELNET_SUB_COMMAND } state;
} Telnet;
void telnet_hello(Telnet *t, FdPort *port);
size_t telnet_take(Telnet *t, Chardev *c, uint8_t *data, size_t n); /* as FdPort.filter */
void telnet_write(FdPort *port, const uint8_t *data, size_t n);

extern const ChardevBackend chardev_null, chardev_memory, chardev_udp, chardev_stdio, chardev_file, chardev_pty, chardev_socket, chardev_mux;
/* A mux over inner, which it then owns. */
Chardev *chardev_mux_over(Chardev *inner);
