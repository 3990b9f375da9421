#pragma once
#include <stdatomic.h>

#include "base/error.h"
#include "base/keyval.h"
#include "hostnet/hostnet.h"
/*
 * backend.h - inside hostnet/: what a backend implements.  Everything but open and close runs on h's thread, whose sources
 * open puts into h->context, or in its place (thread.c).
 */
typedef struct HostNetBackend {
    const char *name, *doc; /* doc: its options, for -netdev help */
    size_t size;            /* of the struct whose first member is HostNet */
    /* Takes its options and ends kv before it touches the host; close is called after a failure too. */
    bool (*open)(HostNet *h, KeyVals *kv, GError **err);
    void (*close)(HostNet *h); /* the thread has ended */
    /* header asks for no more than h->takes.  false: busy, and hostnet_writable() follows. */
    bool (*send)(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n);
    void (*resume)(HostNet *h);   /* optional: the card has taken all that was waiting, so read on */
    void (*accepted)(HostNet *h); /* optional: h->accepts has changed */
    /* Where vCPUs may stand in for the thread, all four; else none. */
    bool (*ready)(HostNet *h);          /* something has come from the host.  Any thread */
    bool (*look)(HostNet *h);           /* does what has come */
    void (*settle)(HostNet *h);         /* after that, and after send, in the thread's place: what the thread waits for */
    void (*mute)(HostNet *h, unsigned us); /* what comes does not wake the thread for so long; 0: does again.  Any thread */
} HostNetBackend;

typedef struct NetDump NetDump;

struct HostNet {
    const HostNetBackend *backend;
    char *id, *description;
    unsigned n_queues;
    unsigned takes;  /* HOSTNET_*: unfinished frames that send takes */
    unsigned makes;  /* and that it may deliver */
    GMainContext *context;
    GThread *thread;
    GMutex round;        /* held by who does what has come: the thread while it does not sleep, or who stands in for it */
    _Atomic bool asleep, quit;
    _Atomic bool muted;  /* what comes does not wake the thread, */
    gint64 muted_us;     /* since then; under round */
    _Atomic unsigned no_help, no_watch; /* that many times nobody stands in, for the card and for the host */
    bool (*lends)(void *opaque);
    void *lender;
    uint64_t help_left;  /* bytes that who stands in may still move; under round */
    bool helping, overrun;
    GSource *wake;
    _Atomic uint32_t kicked; /* a bit a queue, and WAKE_* */
    _Atomic unsigned accepts;
    _Atomic bool link, carrier; /* the cable is plugged in here, and the other end is there; the card sees both as one */
    GRecMutex lock; /* held around the card's callbacks, and what they call may deliver; of card, opaque and dumps */
    const HostNetCard *card;
    void *opaque;
    GQueue in, out;  /* Waiting: frames for the card, frames for the backend */
    size_t in_bytes;
    GPtrArray *dumps;
    _Atomic uint64_t tx_frames, tx_bytes, tx_dropped, rx_frames, rx_bytes, rx_dropped;
};

/* ---- for backends, on h's thread */

/* A frame for the card; what it does not take now waits.  header's needs must be within h->accepts. */
void hostnet_deliver(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n);
/* Frames wait for the card: a backend that can stop reading should, until resume. */
static inline bool hostnet_full(const HostNet *h) { return h->in.length > 0; }
void hostnet_writable(HostNet *h);
void hostnet_carrier(HostNet *h, bool up); /* the peer has come or gone */

/* bridge_helper.c: a tap interface in that bridge from a program that may make one; its descriptor, or -1. */
int bridge_helper_tap(const char *helper, const char *bridge, GError **err);

/* ---- thread.c */
void hostnet_prepare_thread(HostNet *h);
void hostnet_start_thread(HostNet *h);
void hostnet_stop_thread(HostNet *h); /* NULL thread: there is none */
void hostnet_free_thread(HostNet *h);
void hostnet_wake(HostNet *h, uint32_t bits);
bool hostnet_may_send(HostNet *h, size_t bytes); /* false: who stands in has done enough */
void hostnet_serve(HostNet *h, uint32_t bits);   /* hostnet.c: what was asked for */

/* ---- offload.c: doing in software what a NetHeader asks for.  Frames are in one piece and may be changed. */
enum { NET_ETH_BYTES = 14 };
uint16_t net_checksum(const uint8_t *data, size_t n, uint32_t start); /* RFC 1071: complement of the sum of big-endian words */
/* Writes the checksum that the header leaves open.  false: it lies outside the frame. */
bool net_finish_checksum(const NetHeader *header, uint8_t *frame, size_t n);
unsigned net_needs(const NetHeader *header); /* HOSTNET_* */
/* Cuts a TCP frame into segments, or a UDP datagram into fragments of `mtu` bytes; each goes to `emit` whole.  false: not what
 * the header says. */
typedef void NetEmit(void *arg, uint8_t *frame, size_t n);
bool net_segment(const NetHeader *header, const uint8_t *frame, size_t n, NetEmit *emit, void *arg);
bool net_fragment_ipv4(const uint8_t *frame, size_t n, unsigned mtu, NetEmit *emit, void *arg);
/* Where things stand in a frame of TCP. */
typedef struct NetTcp {
    bool ipv6;
    size_t ip, tcp, payload; /* offsets */
    size_t end;              /* as the IP header says */
} NetTcp;
bool net_parse_tcp(const uint8_t *frame, size_t n, NetTcp *ret); /* false: no TCP, a fragment, or damaged */
/* Pseudo-header sum of a TCP segment of `len` bytes with header, for partial checksums. */
uint32_t net_tcp_pseudo(const uint8_t *frame, const NetTcp *t, size_t len);

/* ---- dump.c */
NetDump *net_dump_open(const char *id, const char *path, uint32_t maxlen, GError **err);
void net_dump_close(void *dump);
const char *net_dump_id(const NetDump *d);
void net_dump_write(NetDump *d, const struct iovec *iov, unsigned n);

extern const HostNetBackend hostnet_user, hostnet_tap, hostnet_bridge, hostnet_socket, hostnet_stream, hostnet_dgram;
