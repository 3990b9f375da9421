#pragma once
#include <glib-unix.h>
#include <sys/socket.h>

#include "hostnet/backend.h"
/*
 * peer.h - host ends whose cable goes to another program: addresses, a connection (stream.c), datagrams (dgram.c).  The backends
 * socket, stream and dgram differ in spelling only: peer.c.
 *
 * A peer that is not there is a cable that is not plugged in.  What it sends is checked like what comes from any network.
 */
typedef struct PeerAddress {
    struct sockaddr_storage addr;
    socklen_t len; /* 0: none */
    char text[160];
} PeerAddress;

typedef struct PeerNet {
    HostNet net;
    bool datagrams;
    int fd, listener; /* -1: none */
    GSource *in, *out, *accepting, *again;
    PeerAddress peer;    /* whom to connect to, or where datagrams go; len 0: fd is connected */
    char *unlink_path;   /* ours, of a unix socket */
    /* Streams. */
    uint64_t reconnect_ms; /* 0: never */
    size_t got;            /* bytes of frame[] that came and are not delivered */
    GByteArray *pending;   /* the rest of a frame that the peer has not taken yet */
    uint8_t frame[4 + HOSTNET_FRAME_MAX];
} PeerNet;

/* fd is open and non-blocking from here on. */
bool stream_adopt(PeerNet *p, int fd);
bool stream_listen(PeerNet *p, const PeerAddress *at, GError **err);
bool stream_listen_fd(PeerNet *p, int fd);
bool stream_connect(PeerNet *p, GError **err); /* to p->peer */
void stream_read(PeerNet *p);
bool stream_send(PeerNet *p, const struct iovec *iov, unsigned n);
void dgram_start(PeerNet *p, int fd);
void dgram_read(PeerNet *p);
bool dgram_send(PeerNet *p, const struct iovec *iov, unsigned n);

/* peer.c: a source of p->fd, replacing the one in *s. */
void peer_watch(PeerNet *p, GSource **s, int fd, GIOCondition condition, GUnixFDSourceFunc call);
void peer_unwatch(GSource **s);

bool peer_inet_address(const char *host, const char *port, int type, PeerAddress *ret, GError **err);
bool peer_unix_address(const char *path, PeerAddress *ret, GError **err);
