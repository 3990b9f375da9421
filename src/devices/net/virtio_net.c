/*
 * virtio_net.c - network card: features, configuration, life.  Virtio 1.2, section 5.1.
 *
 * Checksums and segmentation are always offered to the driver for what it sends: what the host end cannot do, hostnet does.
 * For what it receives only that is offered which the host end can make.
 */
#include "devices/net/virtio_net.h"

#include <string.h>

#include "devices/net/net.h"
#include "devices/virtio/virtio_mmio.h"

enum { TRANSITIONAL_ID = 0x1000, CLASS_ETHERNET = 0x020000, SPEED_UNKNOWN = -1, DUPLEX_FULL = 1 };

static const Field fields[] = {
    VIRTIO_PCI_FIELDS(VirtioNet, base),
    NET_CARD_FIELDS(VirtioNet, card),
    { F(VirtioNet, rx_queue_size), .role = FIELD_PROP, .reset = 256, .min = 4, .max = 1024, .doc = "entries of a receive queue, a power of two" },
    { F(VirtioNet, tx_queue_size), .role = FIELD_PROP, .reset = 256, .min = 4, .max = 1024, .doc = "entries of a transmit queue, a power of two" },
    { F(VirtioNet, host_mtu), .role = FIELD_PROP, .max = 65535, .doc = "MTU that the driver is told; 0: none" },
    { F(VirtioNet, speed), .role = FIELD_PROP, .max = INT32_MAX, .doc = "speed that the driver is told, in Mbit/s; 0: unknown" },
    { F(VirtioNet, queues), .role = FIELD_PROP, .max = NET_PAIRS, .doc = "pairs of queues; 0: as many as the host end has" },
    { FN(VirtioNet, mq_prop, "mq"), .role = FIELD_PROP, .doc = "several queues; on with host ends that have them" },
    { F(VirtioNet, csum), .role = FIELD_PROP, .reset = 1, .doc = "checksums of what the driver sends are left to the host" },
    { F(VirtioNet, guest_csum), .role = FIELD_PROP, .reset = 1, .doc = "the driver may get frames without checksum" },
    { F(VirtioNet, host_tso4), .role = FIELD_PROP, .reset = 1, .doc = "the driver may send large segments of TCP over IPv4" },
    { F(VirtioNet, host_tso6), .role = FIELD_PROP, .reset = 1, .doc = "and over IPv6" },
    { F(VirtioNet, guest_tso4), .role = FIELD_PROP, .reset = 1, .doc = "the driver may get large segments of TCP over IPv4" },
    { F(VirtioNet, guest_tso6), .role = FIELD_PROP, .reset = 1, .doc = "and over IPv6" },
    { F(VirtioNet, mrg_rxbuf), .role = FIELD_PROP, .reset = 1, .doc = "a frame may fill several receive buffers" },
    { F(VirtioNet, status), .role = FIELD_PROP, .reset = 1, .doc = "the driver sees whether the cable is plugged in" },
    { F(VirtioNet, ctrl_vq), .role = FIELD_PROP, .reset = 1, .doc = "control queue" },
    { F(VirtioNet, ctrl_rx), .role = FIELD_PROP, .reset = 1, .doc = "the driver says which frames it wants" },
    { F(VirtioNet, ctrl_vlan), .role = FIELD_PROP, .reset = 1, .doc = "the driver says which VLANs it wants" },
    { FN(VirtioNet, ctrl_mac, "ctrl_mac_addr"), .role = FIELD_PROP, .reset = 1, .doc = "the driver may change the address" },
    { F(VirtioNet, pairs), .reset = 1, .doc = "pairs of queues that the driver uses" },
    { F(VirtioNet, guest_offloads), .doc = "offloads that the driver has left on" },
    { FS(VirtioNet, filter, virtio_net_filter_fields), .doc = "which frames the driver wants" },
    { FA(VirtioNet, flow), .role = FIELD_HOST },
    { F(VirtioNet, filter_told), .role = FIELD_HOST },
    { F(VirtioNet, busy), .role = FIELD_HOST },
    { FO(VirtioNet, idle), .role = FIELD_HOST },
    { FO(VirtioNet, batch), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

/* ---- configuration */

static void put(VirtioNet *n, unsigned off, unsigned bytes, uint64_t value) { memcpy(n->base.virtio.config + off, &value, bytes); }

static void put_status(VirtioNet *n)
{
    uint16_t status;
    memcpy(&status, n->base.virtio.config + C_STATUS, 2);
    put(n, C_STATUS, 2, (status & STATUS_ANNOUNCE) | (net_card_link(&n->card) ? STATUS_LINK_UP : 0));
}

/* The address stays as the driver has set it; the rest is the host's. */
static void fill_config(VirtioNet *n)
{
    put(n, C_MAX_PAIRS, 2, n->queues);
    put(n, C_MTU, 2, n->host_mtu);
    put(n, C_SPEED, 4, n->speed ? n->speed : (uint32_t)SPEED_UNKNOWN);
    put(n, C_DUPLEX, 1, n->speed ? DUPLEX_FULL : 0xff);
    put_status(n);
}

/* A legacy driver writes its address into the configuration: 5.1.4.1. */
static void config_written(Virtio *v, unsigned off, unsigned size)
{
    VirtioNet *n = net_of(v);
    if (virtio_has(v, VIRTIO_F_VERSION_1) || virtio_has(v, F_CTRL_MAC_ADDR))
        guest_error(v->dev, "%s: the driver writes to configuration that it may only read", v->dev->path);
    fill_config(n);
}

static uint64_t bit(unsigned feature, bool on) { return (uint64_t)on << feature; }

static uint64_t features(const VirtioNet *n)
{
    unsigned makes = n->card.host ? hostnet_offloads(n->card.host) : 0;
    bool control = n->ctrl_vq, partial = n->guest_csum && makes & HOSTNET_CSUM;
    return bit(F_MAC, true) | bit(F_CSUM, n->csum) | bit(F_HOST_TSO4, n->csum && n->host_tso4) | bit(F_HOST_TSO6, n->csum && n->host_tso6) |
           bit(F_HOST_ECN, n->csum && (n->host_tso4 || n->host_tso6)) | bit(F_GUEST_CSUM, partial) |
           bit(F_GUEST_TSO4, partial && n->guest_tso4 && makes & HOSTNET_TSO4) | bit(F_GUEST_TSO6, partial && n->guest_tso6 && makes & HOSTNET_TSO6) |
           bit(F_GUEST_ECN, partial && makes & HOSTNET_ECN) | bit(F_MRG_RXBUF, n->mrg_rxbuf) | bit(F_STATUS, n->status) | bit(F_CTRL_VQ, control) |
           bit(F_CTRL_RX, control && n->ctrl_rx) | bit(F_CTRL_RX_EXTRA, control && n->ctrl_rx) | bit(F_CTRL_VLAN, control && n->ctrl_vlan) |
           bit(F_CTRL_MAC_ADDR, control && n->ctrl_mac) | bit(F_MQ, control && n->queues > 1) | bit(F_CTRL_GUEST_OFFLOADS, control) |
           bit(F_GUEST_ANNOUNCE, control && n->status) | bit(F_MTU, n->host_mtu) | bit(F_SPEED_DUPLEX, n->speed);
}

/* ---- queues */

static void notified(Virtio *v, unsigned queue)
{
    VirtioNet *n = net_of(v);
    if (queue == net_control_queue(n) && virtio_has(v, F_CTRL_VQ))
        virtio_net_control(n, queue);
    else if (n->card.host && queue % 2)
        hostnet_kick(n->card.host, queue / 2);
    else if (n->card.host)
        hostnet_resume(n->card.host);
}

static const VirtioType net_type = {
    .id = 1, .n_queues = 3, .queue_size = 256, .config_bytes = NET_CONFIG_BYTES,
    .notified = notified, .quiesce = virtio_net_quiesce, .config_written = config_written,
};

/* ---- life */

static bool check_sizes(VirtioNet *n, Device *d, GError **err)
{
    if (n->rx_queue_size & (n->rx_queue_size - 1) || n->tx_queue_size & (n->tx_queue_size - 1))
        return error_set(err, ERR_INVALID, "%s: rx_queue_size and tx_queue_size are powers of two", d->path);
    return true;
}

static bool realize(Device *d, GError **err)
{
    VirtioNet *n = (VirtioNet *)d;
    Virtio *v = &n->base.virtio;
    g_cond_init(&n->idle);
    if (!check_sizes(n, d, err) || !net_card_realize(&n->card, d, err))
        return false;
    if (!n->queues)
        n->queues = n->card.host ? MIN(hostnet_queues(n->card.host), NET_PAIRS) : 1;
    virtio_pci_prepare(&n->base, &net_type);
    v->n_queues = 2 * n->queues + 1;
    v->queue_size = MAX(n->rx_queue_size, n->tx_queue_size);
    v->offered |= features(n);
    if (!virtio_pci_realize(&n->base, &net_type, err))
        return false;
    net_card_attach(&n->card, &virtio_net_card, d);
    return true;
}

static void unrealize(Device *d)
{
    VirtioNet *n = (VirtioNet *)d;
    net_card_unrealize(&n->card, d);
    g_mutex_lock(&d->lock);
    virtio_net_quiesce(&n->base.virtio);
    g_mutex_unlock(&d->lock);
    g_cond_clear(&n->idle);
}

/* A driver that starts gets every frame that is for it: 5.1.6.5. */
static void reset(Device *d, ResetKind k)
{
    VirtioNet *n = (VirtioNet *)d;
    virtio_pci_reset(d, k);
    n->filter = (NetFilter){ .promiscuous = true };
    n->pairs = 1;
    n->guest_offloads = 0;
    memcpy(n->base.virtio.config + C_MAC, n->card.mac, MAC_BYTES);
    put(n, C_STATUS, 2, 0);
    fill_config(n);
    virtio_net_accept(n);
}

static bool post_load(Device *d, GError **err)
{
    VirtioNet *n = (VirtioNet *)d;
    if (!virtio_pci_post_load(d, err))
        return false;
    if (!n->pairs || n->pairs > n->queues || n->filter.n_unicast > NET_MACS || n->filter.n_multicast > NET_MACS)
        return error_set(err, ERR_INVALID, "%s: saved state has %u pairs of queues and %u + %u addresses, which is more than there are", d->path, n->pairs,
                         n->filter.n_unicast, n->filter.n_multicast);
    fill_config(n);
    virtio_net_accept(n);
    return true;
}

static void resumed(Device *d)
{
    VirtioNet *n = (VirtioNet *)d;
    if (!n->card.host)
        return;
    hostnet_resume(n->card.host);
    for (unsigned i = 0; i < n->queues; i++)
        hostnet_kick(n->card.host, i);
}

static const PciInfo pci_info = VIRTIO_PCI_INFO(TRANSITIONAL_ID, CLASS_ETHERNET, 2 * NET_PAIRS + 2, .romfile = "pxe-virtio.rom", .rom_optional = true);

#define NET_TYPE                                                                                                       \
    .summary = "virtio network card", .spec = "Virtio 1.2, 5.1", .size = sizeof(VirtioNet), .version = 1, .fields = fields, \
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = virtio_pci_pre_save, .post_load = post_load, .resumed = resumed

VIRTIO_PCI_TYPES(virtio_net_pci_type, "virtio-net-pci", NET_TYPE, .windows = virtio_pci_windows, .pci = &pci_info, .boot_place = net_card_boot_place);
VIRTIO_MMIO_TYPE(virtio_net_device_type, "virtio-net-device", NET_TYPE);

bool virtio_net_is(const Device *d) { return d->type->fields == fields; }
