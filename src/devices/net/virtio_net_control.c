/*
 * virtio_net_control.c - the control queue: which frames the driver wants, its address, VLANs, pairs of queues, offloads.
 * Virtio 1.2, 5.1.6.5.  And the filter that comes of it.
 */
#include <string.h>

#include "base/iov.h"
#include "devices/net/virtio_net.h"
#include "machine/machine.h"

enum { OK = 0, REFUSED = 1, COMMAND_BYTES = 2, ENTRY_MAX = 16384 };
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_ANNOUNCE = 3, CLASS_MQ = 4, CLASS_OFFLOADS = 5 };
enum { ETH_VLAN = 0x8100 };

const Field virtio_net_filter_fields[] = {
    { F(NetFilter, promiscuous), .doc = "every frame" },
    { F(NetFilter, all_multicast), .doc = "every multicast frame" },
    { F(NetFilter, all_unicast), .doc = "every unicast frame" },
    { F(NetFilter, no_multicast), .doc = "no multicast frame" },
    { F(NetFilter, no_unicast), .doc = "no unicast frame" },
    { F(NetFilter, no_broadcast), .doc = "no broadcast frame" },
    { F(NetFilter, many_unicast), .doc = "more unicast addresses than the table holds" },
    { F(NetFilter, many_multicast), .doc = "more multicast addresses than the table holds" },
    { F(NetFilter, n_unicast), .doc = "unicast addresses" },
    { F(NetFilter, n_multicast), .doc = "multicast addresses" },
    { FA(NetFilter, unicast), .doc = "unicast addresses, six bytes each" },
    { FA(NetFilter, multicast), .doc = "multicast addresses, six bytes each" },
    { FA(NetFilter, vlans), .doc = "a bit for each VLAN" },
    DEVICE_FIELDS_END,
};

/* ---- offloads for what the driver gets */

static const struct {
    uint8_t feature;
    unsigned offload;
} guest_features[] = {
    { F_GUEST_CSUM, HOSTNET_CSUM }, { F_GUEST_TSO4, HOSTNET_TSO4 }, { F_GUEST_TSO6, HOSTNET_TSO6 }, { F_GUEST_ECN, HOSTNET_ECN },
    { F_GUEST_UFO, HOSTNET_UFO },
};

/* 5.1.6.5.6.1: the driver may turn off what it had accepted; guest_offloads has the bits that are off. */
uint64_t virtio_net_guest_offloads(const VirtioNet *n)
{
    uint64_t on = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(guest_features); i++)
        on |= n->base.virtio.features & 1ull << guest_features[i].feature;
    return on;
}

void virtio_net_accept(VirtioNet *n)
{
    unsigned offloads = 0;
    uint64_t on = virtio_net_guest_offloads(n) & ~n->guest_offloads;
    for (unsigned i = 0; i < G_N_ELEMENTS(guest_features); i++)
        offloads |= on >> guest_features[i].feature & 1 ? guest_features[i].offload : 0;
    if (n->card.host)
        hostnet_accept(n->card.host, offloads);
}

/* ---- commands */

typedef struct Command {
    VirtioNet *n;
    uint8_t command;
    const struct iovec *iov; /* what follows class and command */
    unsigned pieces;
    size_t off, left;
} Command;

static bool take(Command *c, void *to, size_t bytes)
{
    if (c->left < bytes)
        return false;
    iov_read(c->iov, c->pieces, c->off, to, bytes);
    c->off += bytes;
    c->left -= bytes;
    return true;
}

static bool command_rx(Command *c)
{
    NetFilter *f = &c->n->filter;
    bool *modes[] = { &f->promiscuous, &f->all_multicast, &f->all_unicast, &f->no_multicast, &f->no_unicast, &f->no_broadcast };
    uint8_t on;
    if (c->command >= G_N_ELEMENTS(modes) || !take(c, &on, 1))
        return false;
    *modes[c->command] = on;
    return true;
}

static bool take_table(Command *c, uint8_t *table, uint8_t *ret_n, bool *ret_many)
{
    uint32_t n;
    if (!take(c, &n, 4) || n > ENTRY_MAX || c->left < (size_t)n * MAC_BYTES)
        return false;
    *ret_many = n > NET_MACS;
    *ret_n = *ret_many ? 0 : n;
    take(c, table, *ret_n * MAC_BYTES);
    if (*ret_many) {
        c->off += (size_t)n * MAC_BYTES;
        c->left -= (size_t)n * MAC_BYTES;
    }
    return true;
}

static bool command_mac(Command *c)
{
    NetFilter new = c->n->filter;
    uint8_t mac[MAC_BYTES];
    switch (c->command) {
    case 0:
        if (!take_table(c, new.unicast, &new.n_unicast, &new.many_unicast) || !take_table(c, new.multicast, &new.n_multicast, &new.many_multicast))
            return false;
        c->n->filter = new;
        return true;
    case 1:
        if (c->left != MAC_BYTES || !take(c, mac, MAC_BYTES) || mac_multicast(mac))
            return false;
        memcpy(c->n->base.virtio.config + C_MAC, mac, MAC_BYTES);
        return true;
    }
    return false;
}

static bool command_vlan(Command *c)
{
    uint16_t id;
    if (c->command > 1 || !take(c, &id, 2) || id > 4095)
        return false;
    uint32_t *word = &c->n->filter.vlans[id / 32], bit = 1u << id % 32;
    *word = c->command == 0 ? *word | bit : *word & ~bit;
    return true;
}

static bool command_announce(Command *c)
{
    if (c->command != 0)
        return false;
    c->n->base.virtio.config[C_STATUS] &= ~STATUS_ANNOUNCE;
    return true;
}

static bool command_pairs(Command *c)
{
    uint16_t pairs;
    if (c->command != 0 || !take(c, &pairs, 2) || !pairs || pairs > c->n->queues)
        return false;
    c->n->pairs = pairs;
    return true;
}

static bool command_offloads(Command *c)
{
    uint64_t on, may = virtio_net_guest_offloads(c->n);
    if (c->command != 0 || !take(c, &on, 8) || on & ~may)
        return false;
    c->n->guest_offloads = may & ~on;
    virtio_net_accept(c->n);
    return true;
}

static const struct {
    uint8_t feature;
    bool (*run)(Command *c);
} classes[] = {
    [CLASS_RX] = { F_CTRL_RX, command_rx },
    [CLASS_MAC] = { F_CTRL_VQ, command_mac },
    [CLASS_VLAN] = { F_CTRL_VLAN, command_vlan },
    [CLASS_ANNOUNCE] = { F_GUEST_ANNOUNCE, command_announce },
    [CLASS_MQ] = { F_MQ, command_pairs },
    [CLASS_OFFLOADS] = { F_CTRL_GUEST_OFFLOADS, command_offloads },
};

/* Once: whoever wants to know more asks, and is then told again. */
static void tell_filter(VirtioNet *n)
{
    if (!n->filter_told)
        machine_tell(n->base.virtio.dev, DEVICE_SAYS_RX_FILTER, 0);
    n->filter_told = true;
}

static bool run(VirtioNet *n, const VirtqChain *chain)
{
    uint8_t head[COMMAND_BYTES];
    iov_read(chain->out.iov, chain->out.n, 0, head, sizeof(head));
    Command c = { n, head[1], chain->out.iov, chain->out.n, COMMAND_BYTES, chain->out.len - COMMAND_BYTES };
    bool ok = head[0] < G_N_ELEMENTS(classes) && virtio_has(&n->base.virtio, classes[head[0]].feature) && classes[head[0]].run(&c);
    if (ok && head[0] <= CLASS_VLAN)
        tell_filter(n);
    return ok;
}

void virtio_net_control(VirtioNet *n, unsigned queue)
{
    Virtio *v = &n->base.virtio;
    VirtqChain c;
    while (virtq_pop(v, queue, &c)) {
        if (c.out.len < COMMAND_BYTES || !c.in.len) {
            virtio_fail(v, "a control command of %" G_GUINT64_FORMAT " bytes with %" G_GUINT64_FORMAT " for the answer", c.out.len, c.in.len);
            virtq_drop(&c);
            return;
        }
        uint8_t answer = run(n, &c) ? OK : REFUSED;
        iov_write(c.in.iov, c.in.n, 0, &answer, 1);
        virtq_push(v, queue, &c, 1);
    }
    virtq_signal(v, queue);
}

/* ---- the filter */

static bool in_table(const uint8_t *table, unsigned n, const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++)
        if (!memcmp(table + i * MAC_BYTES, mac, MAC_BYTES))
            return true;
    return false;
}

bool virtio_net_wants(const VirtioNet *n, const uint8_t *frame, size_t bytes)
{
    const NetFilter *f = &n->filter;
    if (f->promiscuous)
        return true;
    unsigned vlan = (frame[14] << 8 | frame[15]) & 4095;
    bool tagged = bytes >= 16 && frame[12] << 8 == (ETH_VLAN & 0xff00) && frame[13] == (ETH_VLAN & 0xff);
    if (tagged && virtio_has(&n->base.virtio, F_CTRL_VLAN) && !(f->vlans[vlan / 32] >> vlan % 32 & 1))
        return false;
    if (mac_broadcast(frame))
        return !f->no_broadcast;
    if (mac_multicast(frame))
        return !f->no_multicast && (f->all_multicast || f->many_multicast || in_table(f->multicast, f->n_multicast, frame));
    return !f->no_unicast && (f->all_unicast || f->many_unicast || !memcmp(n->base.virtio.config + C_MAC, frame, MAC_BYTES) ||
                              in_table(f->unicast, f->n_unicast, frame));
}

bool virtio_net_query_filter(Device *d, NetFilter *ret, uint8_t ret_mac[MAC_BYTES], bool *ret_vlan)
{
    VirtioNet *n = (VirtioNet *)d;
    if (!virtio_net_is(d))
        return false;
    g_mutex_lock(&d->lock);
    *ret = n->filter;
    memcpy(ret_mac, n->base.virtio.config + C_MAC, MAC_BYTES);
    *ret_vlan = virtio_has(&n->base.virtio, F_CTRL_VLAN);
    n->filter_told = false;
    g_mutex_unlock(&d->lock);
    return true;
}
