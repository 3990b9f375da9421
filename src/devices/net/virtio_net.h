#pragma once
#include "devices/net/card.h"
#include "devices/virtio/virtio_pci.h"
/* virtio_net.h - what the files of the virtio network card share.  Virtio 1.2, section 5.1. */
enum { /* features: 5.1.3 */
    F_CSUM = 0, F_GUEST_CSUM = 1, F_CTRL_GUEST_OFFLOADS = 2, F_MTU = 3, F_MAC = 5, F_GUEST_TSO4 = 7, F_GUEST_TSO6 = 8, F_GUEST_ECN = 9,
    F_GUEST_UFO = 10, F_HOST_TSO4 = 11, F_HOST_TSO6 = 12, F_HOST_ECN = 13, F_HOST_UFO = 14, F_MRG_RXBUF = 15, F_STATUS = 16, F_CTRL_VQ = 17,
    F_CTRL_RX = 18, F_CTRL_VLAN = 19, F_CTRL_RX_EXTRA = 20, F_GUEST_ANNOUNCE = 21, F_MQ = 22, F_CTRL_MAC_ADDR = 23, F_SPEED_DUPLEX = 63,
};
enum { /* configuration: 5.1.4 */
    C_MAC = 0, C_STATUS = 6, C_MAX_PAIRS = 8, C_MTU = 10, C_SPEED = 12, C_DUPLEX = 16, NET_CONFIG_BYTES = 17,
    STATUS_LINK_UP = 1, STATUS_ANNOUNCE = 2,
};
enum { NET_PAIRS = HOSTNET_QUEUES, NET_MACS = 64, NET_VLAN_WORDS = 4096 / 32, NET_BATCH = 32, NET_FLOWS = 256, NET_MERGE_MAX = 64 };

/* Which frames the driver wants: 5.1.6.5.1 to 5.1.6.5.3. */
typedef struct NetFilter {
    bool promiscuous, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast;
    bool many_unicast, many_multicast; /* more than the table holds: all of them */
    uint8_t n_unicast, n_multicast;
    uint8_t unicast[NET_MACS * MAC_BYTES], multicast[NET_MACS * MAC_BYTES];
    uint32_t vlans[NET_VLAN_WORDS];
} NetFilter;

/* Frames that were taken from a transmit queue and are not given back yet: host's thread only, but for `n`. */
typedef struct NetBatch {
    VirtqChain chain[NET_BATCH];
    unsigned n, sent;
} NetBatch;

typedef struct VirtioNet {
    VirtioPci base;
    NetCard card;
    uint32_t rx_queue_size, tx_queue_size, host_mtu, speed;
    uint32_t queues;
    bool mq_prop, csum, guest_csum, host_tso4, host_tso6, guest_tso4, guest_tso6, mrg_rxbuf, status, ctrl_vq, ctrl_rx, ctrl_vlan, ctrl_mac;
    /* State. */
    uint16_t pairs; /* that the driver uses */
    uint64_t guest_offloads;
    NetFilter filter;
    /* Host. */
    uint8_t flow[NET_FLOWS]; /* pair on which a flow was sent last */
    bool filter_told;        /* that the filter has changed; it was not looked at since */
    bool busy;               /* the host's thread sends without the lock */
    GCond idle;
    NetBatch batch[NET_PAIRS];
} VirtioNet;

static inline VirtioNet *net_of(Virtio *v) { return (VirtioNet *)v->dev; }
static inline unsigned net_control_queue(const VirtioNet *n) { return virtio_has(&n->base.virtio, F_MQ) ? 2 * n->queues : 2; }
static inline unsigned net_header_bytes(const VirtioNet *n)
{
    return virtio_has(&n->base.virtio, F_MRG_RXBUF) || virtio_has(&n->base.virtio, VIRTIO_F_VERSION_1) ? 12 : 10;
}

/* virtio_net_queues.c */
extern const HostNetCard virtio_net_card;
void virtio_net_quiesce(Virtio *v);
/* virtio_net_control.c */
extern const Field virtio_net_filter_fields[];
void virtio_net_control(VirtioNet *n, unsigned queue);
/* Main thread; false: d is no such card.  vlan: the driver chooses VLANs, else it gets all. */
bool virtio_net_query_filter(Device *d, NetFilter *ret, uint8_t ret_mac[MAC_BYTES], bool *ret_vlan);
bool virtio_net_is(const Device *d);
bool virtio_net_wants(const VirtioNet *n, const uint8_t *frame, size_t bytes);
void virtio_net_accept(VirtioNet *n); /* tells the host end which unfinished frames the driver takes */
uint64_t virtio_net_guest_offloads(const VirtioNet *n);
