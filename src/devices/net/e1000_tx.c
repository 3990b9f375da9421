/*
 * e1000_tx.c - frames from the transmit ring: SDM 3.3, 3.4 and 3.5.  On the host end's thread.
 *
 * Descriptors up to the one that ends a frame are read and the frame is sent; only then are they given back, so that nothing is
 * lost where the host end is busy or the machine's state is saved meanwhile.  One call looks at a bounded number of frames, and for
 * each at no more descriptors than a ring has.
 */
#include <stdatomic.h>
#include <string.h>

#include "devices/net/e1000.h"
#include "machine/machine.h"

enum { FRAMES_MAX = 64, VLAN_BYTES = 4, VLAN_AT = 12, SUM_BYTES = 2, CHECKSUMS = 0, SEGMENTS = 1 };
enum { /* command byte of all three kinds of descriptor */
    CMD_EOP = 1, CMD_IC = 4, CMD_TSE = 4, CMD_RS = 8, CMD_RPS = 0x10, CMD_DEXT = 0x20, CMD_VLE = 0x40,
    TUCMD_TCP = 1, TUCMD_IP = 2, TYPE_CONTEXT = 0, TYPE_DATA = 1, POPTS_IXSM = 1, POPTS_TXSM = 2, STATUS_DD = 1,
};

typedef struct Desc {
    union {
        struct { uint64_t address; uint32_t lower, upper; };
        struct { uint8_t ipcss, ipcso; uint16_t ipcse; uint8_t tucss, tucso; uint16_t tucse; uint32_t command; uint8_t status, hdrlen; uint16_t mss; };
    };
} Desc;

/* A frame in e->tx_frame, behind room for a VLAN tag. */
typedef struct Frame {
    uint32_t n_desc;
    size_t bytes;
    bool damaged, whole;
    bool segments, legacy_sum;
    uint8_t popts, css, cso;
    uint16_t tag;
    bool tagged;
} Frame;

const Field e1000_context_fields[] = {
    { F(E1000Context, ipcss), .doc = "start of the IP checksum" }, { F(E1000Context, ipcso), .doc = "where it goes" },
    { F(E1000Context, tucss), .doc = "start of the TCP or UDP checksum" }, { F(E1000Context, tucso), .doc = "where it goes" },
    { F(E1000Context, hdrlen), .doc = "bytes of headers" }, { F(E1000Context, tucmd), .doc = "TCP, IPv4" },
    { F(E1000Context, ipcse), .doc = "end of the IP checksum" }, { F(E1000Context, tucse), .doc = "end of the TCP or UDP checksum" },
    { F(E1000Context, mss), .doc = "bytes of data in a segment" },
    DEVICE_FIELDS_END,
};

static uint16_t get16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static void put16(uint8_t *p, uint16_t v) { p[0] = v >> 8, p[1] = v; }
static uint8_t *frame_data(E1000 *e) { return e->tx_frame + VLAN_BYTES; }
static uint32_t ring_size(E1000 *e) { return *e1000_reg(e, R_TDLEN) / E1000_DESC_BYTES; }
static uint64_t desc_at(E1000 *e, uint32_t i) { return e1000_ring(e, R_TDBAL) + (uint64_t)i * E1000_DESC_BYTES; }
static unsigned desc_type(const Desc *d) { return d->lower >> 20 & 15; }
static uint8_t desc_command(const Desc *d) { return d->lower >> 24; }

/* ---- reading descriptors */

static void add_data(E1000 *e, Frame *f, const Desc *d, size_t n)
{
    if (f->damaged || n > HOSTNET_FRAME_MAX - f->bytes || !dma_read(e->pci.dev.machine, d->address, frame_data(e) + f->bytes, n)) {
        f->damaged = true;
        return;
    }
    f->bytes += n;
}

static void add_desc(E1000 *e, Frame *f, const Desc *d)
{
    uint8_t command = desc_command(d);
    bool extended = command & CMD_DEXT, first = f->n_desc == 0;
    if (first && extended) {
        f->segments = command & CMD_TSE;
        f->popts = d->upper >> 8;
    }
    add_data(e, f, d, d->lower & (extended ? 0xfffff : 0xffff));
    f->n_desc++;
    if (!(command & CMD_EOP))
        return;
    f->whole = true;
    f->legacy_sum = !extended && command & CMD_IC;
    f->cso = d->lower >> 16;
    f->css = d->upper >> 8;
    f->tagged = command & CMD_VLE && *e1000_reg(e, R_CTRL) & CTRL_VME;
    f->tag = d->upper >> 16;
}

/* SDM 3.3.6: for what follows; of the two kinds the last is remembered. */
static void take_context(E1000 *e, const Desc *d)
{
    uint8_t tucmd = d->command >> 24;
    e->context[tucmd & CMD_TSE ? SEGMENTS : CHECKSUMS] = (E1000Context){
        .ipcss = d->ipcss, .ipcso = d->ipcso, .ipcse = d->ipcse, .tucss = d->tucss, .tucso = d->tucso, .tucse = d->tucse,
        .hdrlen = d->hdrlen, .mss = d->mss, .tucmd = tucmd,
    };
}

/* Gives back n descriptors from the head on: SDM 3.3.3.2.  Returns the interrupts that they ask for. */
static uint32_t give_back(E1000 *e, uint32_t n)
{
    uint32_t causes = 0, *head = e1000_reg(e, R_TDH);
    for (; n; n--) {
        Desc d;
        uint64_t at = desc_at(e, *head);
        if (dma_read(e->pci.dev.machine, at, &d, sizeof(d)) && desc_command(&d) & (CMD_RS | CMD_RPS)) {
            d.upper |= STATUS_DD;
            dma_write(e->pci.dev.machine, at + offsetof(Desc, upper), &d.upper, sizeof(d.upper));
            causes = INT_TXDW;
        }
        *head = *head + 1 >= ring_size(e) ? 0 : *head + 1;
    }
    return causes;
}

static bool can_send(E1000 *e)
{
    uint32_t size = ring_size(e);
    return *e1000_reg(e, R_TCTL) & TCTL_EN && pci_bus_master(&e->pci) && net_card_may_receive(&e->pci.dev) && *e1000_reg(e, R_TDH) < size &&
           *e1000_reg(e, R_TDT) < size;
}

/* Reads from the head on until a frame is whole; false: there is none yet.  What fills a ring or a frame without an end is none
 * and is given back as such. */
static bool read_frame(E1000 *e, Frame *f)
{
    uint32_t size = ring_size(e), i = *e1000_reg(e, R_TDH);
    *f = (Frame){ 0 };
    while (i != *e1000_reg(e, R_TDT) && !f->whole) {
        Desc d;
        if (!dma_read(e->pci.dev.machine, desc_at(e, i), &d, sizeof(d))) {
            guest_error(&e->pci.dev, "%s: the transmit ring at %" G_GINT64_MODIFIER "x is outside RAM", e->pci.dev.path, e1000_ring(e, R_TDBAL));
            return false;
        }
        bool context = desc_command(&d) & CMD_DEXT && desc_type(&d) == TYPE_CONTEXT;
        if (context && f->n_desc)
            break; /* inside of a frame: SDM 3.3.6 forbids it; the frame is given up */
        if (context)
            take_context(e, &d);
        else
            add_desc(e, f, &d);
        if (context)
            e1000_interrupt(e, give_back(e, 1));
        i = i + 1 >= size ? 0 : i + 1;
    }
    f->damaged |= !f->whole && i != *e1000_reg(e, R_TDT);
    return f->whole || f->damaged || f->n_desc + 1 >= size;
}

/* ---- checksums and segments: SDM 3.4, 3.5 */

/* RFC 1071 over [start, end), into the word at `at`. */
static void put_checksum(uint8_t *p, size_t bytes, size_t start, size_t at, size_t end)
{
    uint64_t sum = 0;
    end = end ? MIN(end + 1, bytes) : bytes;
    if (start >= end || at + SUM_BYTES > bytes)
        return;
    for (size_t i = start; i < end; i++)
        sum += (i - start) % 2 ? p[i] : p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(p + at, ~sum);
}

/* The driver leaves the lengths open: they are known to virtio's kind of large segment. */
static bool prepare_segments(E1000 *e, Frame *f, const E1000Context *c, NetHeader *h)
{
    uint8_t *p = frame_data(e);
    bool ipv4 = c->tucmd & TUCMD_IP;
    if (!(c->tucmd & TUCMD_TCP) || !c->mss || c->tucss + 20u > f->bytes || c->ipcss + (ipv4 ? 20u : 40u) > c->tucss || c->tucso < c->tucss ||
        c->tucso + (size_t)SUM_BYTES > f->bytes || f->bytes > 65535u + c->ipcss)
        return false;
    uint32_t length = f->bytes - c->tucss, sum = get16(p + c->tucso) + length;
    put16(p + c->tucso, (sum & 0xffff) + (sum >> 16));
    if (ipv4) {
        put16(p + c->ipcss + 2, f->bytes - c->ipcss);
        put16(p + c->ipcss + 10, 0);
        put_checksum(p, f->bytes, c->ipcss, c->ipcss + 10, c->tucss - 1);
    } else {
        put16(p + c->ipcss + 4, f->bytes - c->ipcss - 40);
    }
    *h = (NetHeader){ NET_NEEDS_CSUM, ipv4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6, c->hdrlen, c->mss, c->tucss, c->tucso - c->tucss };
    if (f->bytes <= (size_t)c->hdrlen + c->mss)
        h->gso_type = h->gso_size = 0;
    return true;
}

/* Leaves the TCP checksum to the host end where it is one as virtio has it. */
static void prepare_checksums(E1000 *e, Frame *f, const E1000Context *c, NetHeader *h)
{
    uint8_t *p = frame_data(e);
    if (f->popts & POPTS_IXSM)
        put_checksum(p, f->bytes, c->ipcss, c->ipcso, c->ipcse);
    if (!(f->popts & POPTS_TXSM))
        return;
    if (!c->tucse && c->tucso >= c->tucss && c->tucso + (size_t)SUM_BYTES <= f->bytes)
        *h = (NetHeader){ .flags = NET_NEEDS_CSUM, .csum_start = c->tucss, .csum_offset = c->tucso - c->tucss };
    else
        put_checksum(p, f->bytes, c->tucss, c->tucso, c->tucse);
}

static bool prepare(E1000 *e, Frame *f, NetHeader *h)
{
    *h = (NetHeader){ 0 };
    if (f->damaged || !f->whole || f->bytes < 14)
        return false;
    if (f->segments)
        return prepare_segments(e, f, &e->context[SEGMENTS], h);
    if (f->legacy_sum)
        put_checksum(frame_data(e), f->bytes, f->css, f->cso, 0);
    else
        prepare_checksums(e, f, &e->context[CHECKSUMS], h);
    return true;
}

/* ---- sending */

static uint8_t *insert_tag(E1000 *e, Frame *f, NetHeader *h)
{
    uint8_t *p = e->tx_frame;
    memmove(p, frame_data(e), VLAN_AT);
    put16(p + VLAN_AT, *e1000_reg(e, R_VET));
    put16(p + VLAN_AT + 2, f->tag);
    h->csum_start += h->flags & NET_NEEDS_CSUM ? VLAN_BYTES : 0;
    h->hdr_len += h->hdr_len ? VLAN_BYTES : 0;
    f->bytes += VLAN_BYTES;
    return p;
}

static void count_frame(E1000 *e, const uint8_t *p, size_t bytes)
{
    e1000_count(e, R_GPTC, 1);
    e1000_count(e, R_TPT, 1);
    e1000_count64(e, R_GOTCL, bytes + 4);
    e1000_count64(e, R_TOTL, bytes + 4);
    e1000_count_size(e, R_PTC64, bytes + 4);
    if (mac_multicast(p))
        e1000_count(e, mac_broadcast(p) ? R_BPTC : R_MPTC, 1);
}

/* With the lock held.  false: nothing to do until the driver or the host end says so. */
static bool send_one(E1000 *e)
{
    Frame f;
    NetHeader h;
    if (!can_send(e) || !read_frame(e, &f))
        return false;
    uint32_t epoch = e->tx_epoch;
    if (prepare(e, &f, &h)) {
        uint8_t *p = f.tagged ? insert_tag(e, &f, &h) : frame_data(e);
        g_mutex_unlock(&e->pci.dev.lock);
        bool sent = hostnet_send(e->card.host, 0, &h, &(struct iovec){ p, f.bytes }, 1);
        g_mutex_lock(&e->pci.dev.lock);
        if (!sent)
            return false;
        count_frame(e, p, f.bytes);
    }
    if (epoch == e->tx_epoch)
        e1000_interrupt(e, give_back(e, f.n_desc) | (*e1000_reg(e, R_TDH) == *e1000_reg(e, R_TDT) ? INT_TXQE : 0));
    return true;
}

void e1000_transmit(void *opaque, unsigned queue)
{
    E1000 *e = opaque;
    unsigned n = 0;
    g_mutex_lock(&e->pci.dev.lock);
    while (n < FRAMES_MAX && send_one(e))
        n++;
    g_mutex_unlock(&e->pci.dev.lock);
    if (n == FRAMES_MAX)
        hostnet_kick(e->card.host, queue); /* after what else the host end has to do */
}
