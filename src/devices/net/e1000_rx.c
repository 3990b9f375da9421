/*
 * e1000_rx.c - frames into the receive ring: SDM 3.2, filters 13.5.  On the host end's thread.
 *
 * A frame waits at the host end until the ring has room for all of it.  The four bytes of check sequence that the card stores
 * behind it are zeros: frames have none here.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/iov.h"
#include "devices/net/e1000.h"
#include "machine/machine.h"

enum { LEAST_BYTES = 60, CHECK_BYTES = 4, MOST_BYTES = 1518, MOST_LONG_BYTES = 16384, TAG_BYTES = 4, HEAD_BYTES = 18 };
enum { RXD_DD = 1, RXD_EOP = 2, RXD_IXSM = 4, RXD_VP = 8, RXD_PIF = 0x80 };

typedef struct Desc {
    uint64_t address;
    uint16_t length, checksum;
    uint8_t status, errors;
    uint16_t special;
} Desc;

/* As the 82574L gives it back where RFCTL.EXTEN is set; its address goes for the sake of a hash, which is not computed. */
typedef struct ExtendedDesc {
    uint32_t mrq, hash, status;
    uint16_t length, special;
} ExtendedDesc;

static uint16_t get16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static uint32_t ring_size(E1000 *e) { return *e1000_reg(e, R_RDLEN) / E1000_DESC_BYTES; }

/* SDM 13.4.22: RCTL.BSIZE and BSEX. */
static unsigned buffer_bytes(E1000 *e)
{
    uint32_t rctl = *e1000_reg(e, R_RCTL);
    unsigned bytes = 2048 >> (rctl >> 16 & 3);
    return rctl & RCTL_BSEX && bytes < 2048 ? bytes * 16 : bytes;
}

/* ---- filters */

static bool known_address(E1000 *e, const uint8_t *mac)
{
    for (unsigned i = 0; i < 16; i++) {
        const uint32_t *ra = e1000_reg(e, R_RA + 8 * i);
        if (ra[1] >> 31 && !memcmp(ra, mac, MAC_BYTES))
            return true;
    }
    return false;
}

/* SDM 13.5.1: twelve bits of the address choose a bit of the table. */
static bool in_multicast_table(E1000 *e, const uint8_t *mac)
{
    static const uint8_t shift[] = { 4, 3, 2, 0 };
    unsigned bit = (mac[5] << 8 | mac[4]) >> shift[*e1000_reg(e, R_RCTL) >> 12 & 3] & 0xfff;
    return *e1000_reg(e, R_MTA + 4 * (bit >> 5)) >> (bit & 31) & 1;
}

static bool wants(E1000 *e, const uint8_t *head)
{
    uint32_t rctl = *e1000_reg(e, R_RCTL);
    if (rctl & RCTL_VFE && get16(head + 12) == *e1000_reg(e, R_VET)) {
        unsigned vlan = get16(head + 14) & 0xfff;
        if (!(*e1000_reg(e, R_VFTA + 4 * (vlan >> 5)) >> (vlan & 31) & 1))
            return false;
    }
    if (known_address(e, head) || (mac_broadcast(head) && rctl & RCTL_BAM))
        return true;
    if (mac_multicast(head))
        return rctl & RCTL_MPE || in_multicast_table(e, head);
    return rctl & RCTL_UPE;
}

/* ---- descriptors */

static void write_desc(E1000 *e, uint64_t at, const Desc *d)
{
    dma_write(e->pci.dev.machine, at + offsetof(Desc, length), &d->length, 4);
    atomic_thread_fence(memory_order_release); /* the driver looks at the status first */
    dma_write(e->pci.dev.machine, at + offsetof(Desc, status), &d->status, 4);
}

static void write_extended(E1000 *e, uint64_t at, const Desc *d)
{
    ExtendedDesc x = { .length = d->length, .special = d->special };
    uint32_t status = d->status;
    dma_write(e->pci.dev.machine, at, &x, sizeof(x));
    atomic_thread_fence(memory_order_release);
    dma_write(e->pci.dev.machine, at + offsetof(ExtendedDesc, status), &status, sizeof(status));
}

static bool is_extended(E1000 *e) { return e->model->extended && *e1000_reg(e, R_RFCTL) & RFCTL_EXTEN; }

/* Puts [off, off + n) of the frame into the buffer at the head. */
static void fill_desc(E1000 *e, const uint8_t *from, unsigned n, uint8_t status, uint16_t special)
{
    uint32_t *head = e1000_reg(e, R_RDH);
    uint64_t at = e1000_ring(e, R_RDBAL) + (uint64_t)*head * E1000_DESC_BYTES;
    Desc d;
    if (!dma_read(e->pci.dev.machine, at, &d, sizeof(d)) || !dma_write(e->pci.dev.machine, d.address, from, n))
        guest_error(&e->pci.dev, "%s: receive descriptor %u or its buffer is outside RAM", e->pci.dev.path, *head);
    else {
        d = (Desc){ d.address, n, 0, RXD_DD | status, 0, special };
        (is_extended(e) ? write_extended : write_desc)(e, at, &d);
    }
    *head = *head + 1 >= ring_size(e) ? 0 : *head + 1;
}

/* SDM 13.4.22, RDMTS: tells when half, a quarter or an eighth of the ring is left. */
static bool is_low(E1000 *e)
{
    uint32_t size = ring_size(e), left = (*e1000_reg(e, R_RDT) + size - *e1000_reg(e, R_RDH)) % size;
    return left <= size >> (1 + (*e1000_reg(e, R_RCTL) >> 8 & 3));
}

static void store(E1000 *e, size_t total, uint8_t status, uint16_t special)
{
    unsigned room = buffer_bytes(e);
    for (size_t off = 0; off < total; off += room) {
        bool last = total - off <= room;
        fill_desc(e, e->rx_frame + off, MIN(total - off, room), last ? status | RXD_EOP | RXD_IXSM : 0, last ? special : 0);
    }
    e1000_interrupt(e, INT_RXT0 | (is_low(e) ? INT_RXDMT0 : 0));
}

static void count_frame(E1000 *e, size_t bytes)
{
    const uint8_t *p = e->rx_frame;
    e1000_count(e, R_GPRC, 1);
    e1000_count(e, R_TPR, 1);
    e1000_count64(e, R_GORCL, bytes + CHECK_BYTES);
    e1000_count64(e, R_TORL, bytes + CHECK_BYTES);
    e1000_count_size(e, R_PRC64, bytes + CHECK_BYTES);
    if (mac_multicast(p))
        e1000_count(e, mac_broadcast(p) ? R_BPRC : R_MPRC, 1);
}

/* ---- a frame */

/* Takes the tag out of it: SDM 9.3. */
static size_t strip_tag(E1000 *e, size_t bytes, uint16_t *ret_tag)
{
    uint8_t *p = e->rx_frame;
    *ret_tag = get16(p + 14);
    memmove(p + 12, p + 12 + TAG_BYTES, bytes - 12 - TAG_BYTES);
    return bytes - TAG_BYTES;
}

/* In one piece in e->rx_frame, as long as a frame is at least. */
static size_t flatten(E1000 *e, const struct iovec *iov, unsigned pieces)
{
    size_t bytes = iov_read(iov, pieces, 0, e->rx_frame, MOST_LONG_BYTES);
    if (bytes < LEAST_BYTES)
        memset(e->rx_frame + bytes, 0, LEAST_BYTES - bytes);
    return MAX(bytes, LEAST_BYTES);
}

static bool receive_locked(E1000 *e, const struct iovec *iov, unsigned pieces)
{
    uint8_t head[HEAD_BYTES] = { 0 };
    uint32_t rctl = *e1000_reg(e, R_RCTL), size = ring_size(e), rdh = *e1000_reg(e, R_RDH), rdt = *e1000_reg(e, R_RDT);
    size_t bytes = iov_size(iov, pieces);
    if (!net_card_may_receive(&e->pci.dev))
        return false;
    if (!(rctl & RCTL_EN) || !pci_bus_master(&e->pci) || rdh >= size || rdt >= size || bytes < 14)
        return true; /* nobody listens */
    iov_read(iov, pieces, 0, head, sizeof(head));
    bool tagged = get16(head + 12) == *e1000_reg(e, R_VET), strip = tagged && *e1000_reg(e, R_CTRL) & CTRL_VME;
    size_t most = rctl & RCTL_LPE ? MOST_LONG_BYTES - CHECK_BYTES : MOST_BYTES - CHECK_BYTES + (tagged ? TAG_BYTES : 0);
    if (bytes > most) {
        e1000_count(e, R_ROC, 1);
        return true;
    }
    if (!wants(e, head))
        return true;
    size_t check = rctl & RCTL_SECRC ? 0 : CHECK_BYTES;
    uint32_t needed = (MAX(bytes, LEAST_BYTES) + check + buffer_bytes(e) - 1) / buffer_bytes(e), free = (rdt + size - rdh) % size;
    if (needed > free)
        return needed >= size; /* one that never fits is lost */
    uint16_t tag = 0;
    size_t n = flatten(e, iov, pieces);
    count_frame(e, n);
    if (strip)
        n = strip_tag(e, n, &tag);
    memset(e->rx_frame + n, 0, check);
    store(e, n + check, strip ? RXD_VP : 0, tag);
    return true;
}

bool e1000_receive(void *opaque, unsigned queue, const NetHeader *h, const struct iovec *iov, unsigned pieces)
{
    E1000 *e = opaque;
    g_mutex_lock(&e->pci.dev.lock);
    bool taken = receive_locked(e, iov, pieces);
    g_mutex_unlock(&e->pci.dev.lock);
    return taken;
}
