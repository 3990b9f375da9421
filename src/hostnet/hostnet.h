#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
/*
 * hostnet.h - the host's end of a network card: user (libslirp), tap, socket, stream, dgram, hubs of none of them.
 *
 *     HostNet *h = hostnet_open("user,id=n0,hostfwd=tcp::2222-:22", &err);
 *     machine_add_backend(m, BACKEND_NETDEV, hostnet_id(h), h);     a card claims it and calls hostnet_attach()
 *     ... device_destroy(card); hostnet_close(h);                   in this order
 *
 * Each host end runs on a thread of its own.  A card's callbacks come on it and nowhere else, so a guest that is busy does not
 * hold up the network, and what the network does does not hold up a vCPU.  A frame is Ethernet, from the destination address on,
 * without check sequence; beside it goes a NetHeader, which says what is left to do for it.
 */
typedef struct HostNet HostNet;

/* As struct virtio_net_hdr (Virtio 1.2, 5.1.6), in host order: all zeros is a plain frame. */
typedef struct NetHeader {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
} NetHeader;
enum { NET_NEEDS_CSUM = 1, NET_DATA_VALID = 2 };
enum { NET_GSO_NONE = 0, NET_GSO_TCPV4 = 1, NET_GSO_UDP = 3, NET_GSO_TCPV6 = 4, NET_GSO_ECN = 0x80 };

/* What a side takes that is not finished: partial checksums, segments larger than a frame. */
enum { HOSTNET_CSUM = 1, HOSTNET_TSO4 = 2, HOSTNET_TSO6 = 4, HOSTNET_ECN = 8, HOSTNET_UFO = 16 };
enum { HOSTNET_QUEUES = 16, HOSTNET_FRAME_MAX = 65535 + 18 };

/* A card's end.  Called on the host end's thread, with none of the caller's locks that a card could know held. */
typedef struct HostNetCard {
    /* After hostnet_kick(), or when the host end takes frames again: hostnet_send() what there is in that queue. */
    void (*transmit)(void *opaque, unsigned queue);
    /* false: no room; the frame comes again after hostnet_resume(). */
    bool (*receive)(void *opaque, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n);
    void (*link_changed)(void *opaque, bool up); /* optional */
} HostNetCard;

/* As -netdev spells it, or as a JSON object with "type". */
HostNet *hostnet_open(const char *spec, GError **err);
void hostnet_close(HostNet *h); /* no card may be attached; NULL is fine */
const char *hostnet_id(const HostNet *h);
const char *hostnet_kind(const HostNet *h);        /* "user" */
const char *hostnet_description(const HostNet *h); /* "user: 10.0.2.0/24, hostfwd tcp 127.0.0.1:2222" */
char *hostnet_help(void); /* every backend and what it takes; caller frees */
const char *const *hostnet_kinds(void); /* NULL-terminated */

/* NULL detaches and returns when no callback is running.  Not with a lock held that a callback takes. */
void hostnet_attach(HostNet *h, const HostNetCard *card, void *opaque);

/* ---- any thread; never wait */
void hostnet_kick(HostNet *h, unsigned queue);
void hostnet_resume(HostNet *h);
void hostnet_accept(HostNet *h, unsigned offloads); /* which unfinished frames receive() takes; 0 after attach */
void hostnet_set_link(HostNet *h, bool up);         /* unplugs the cable: frames are lost both ways, and the card is told */
bool hostnet_link(const HostNet *h);
unsigned hostnet_queues(const HostNet *h);          /* pairs that the host end has; a card may have more or fewer */
unsigned hostnet_offloads(const HostNet *h);        /* frames that receive() may get if it accepts them */

typedef struct HostNetStats {
    uint64_t tx_frames, tx_bytes, tx_dropped; /* guest to host */
    uint64_t rx_frames, rx_bytes, rx_dropped;
} HostNetStats;
void hostnet_stats(const HostNet *h, HostNetStats *ret);

/* ---- vCPUs in the place of its thread (machine/help.h) */
/* lends(): will the calling thread call hostnet_stand_in() soon?  Before a card is attached.  false: the backend is one whose thread
 * nobody may stand in for, and the three below are not for it. */
bool hostnet_set_lenders(HostNet *h, bool (*lends)(void *opaque), void *opaque);
void hostnet_stand_in(void *hostnet);
void hostnet_watch(void *hostnet, bool on);
bool hostnet_look(void *hostnet);

/* ---- in transmit() */
/* Any header: what the backend cannot take is finished here.  false: busy; keep it, transmit() is called again. */
bool hostnet_send(HostNet *h, unsigned queue, const NetHeader *header, const struct iovec *iov, unsigned n);

/* ---- what passes a host end, as a pcap file (-object filter-dump).  maxlen: bytes of a frame that are kept. */
bool hostnet_dump(HostNet *h, const char *id, const char *path, uint32_t maxlen, GError **err);
bool hostnet_undump(HostNet *h, const char *id); /* false: no dump of that name */
