/* xhci_ring.c - rings in guest memory: what the driver asks for, and the events that answer.  xHCI 4.9. */
#include <string.h>

#include "devices/usb/xhci.h"

enum { ERDP_BUSY = 8, IMAN_PENDING = 1, IMAN_ENABLE = 2, SEGMENT_MIN = 16, SEGMENT_MAX = 4096 };

const Field xhci_ring_fields[] = { { F(XhciRing, dequeue) }, { F(XhciRing, cycle) }, DEVICE_FIELDS_END };
const Field xhci_interrupter_fields[] = {
    { F(XhciInterrupter, iman), .doc = "pending, enable" },
    { F(XhciInterrupter, imod), .doc = "moderation; events are told at once" },
    { F(XhciInterrupter, erstsz) },
    { FA(XhciInterrupter, erstba), .doc = "segment table" },
    { FA(XhciInterrupter, erdp), .doc = "up to where the driver has read" },
    { F(XhciInterrupter, start) }, { F(XhciInterrupter, size) }, { F(XhciInterrupter, at) }, { F(XhciInterrupter, cycle) }, { F(XhciInterrupter, full) },
    DEVICE_FIELDS_END,
};

/* ---- guest memory */

bool xhci_read(Xhci *x, uint64_t at, void *to, unsigned bytes)
{
    bool ok = pci_bus_master(&x->pci) && dma_read(x->pci.dev.machine, at, to, bytes);
    if (!ok) {
        memset(to, 0, bytes);
        xhci_host_error(x, at);
    }
    for (unsigned i = 0; i < bytes / 4; i++)
        ((uint32_t *)to)[i] = GUINT32_FROM_LE(((uint32_t *)to)[i]);
    return ok;
}

bool xhci_write(Xhci *x, uint64_t at, const uint32_t *words, unsigned n)
{
    uint32_t le[8];
    g_assert(n <= G_N_ELEMENTS(le));
    for (unsigned i = 0; i < n; i++)
        le[i] = GUINT32_TO_LE(words[i]);
    if (pci_bus_master(&x->pci) && dma_write(x->pci.dev.machine, at, le, n * 4))
        return true;
    xhci_host_error(x, at);
    return false;
}

/* ---- requests */

static bool read_trb(Xhci *x, uint64_t at, Trb *ret)
{
    uint32_t w[4];
    if (!xhci_read(x, at, w, sizeof(w)))
        return false;
    *ret = (Trb){ w[0] | (uint64_t)w[1] << 32, w[2], w[3], at };
    return true;
}

RingEntry xhci_ring_next(Xhci *x, XhciRing *r, Trb *ret)
{
    for (unsigned links = 0; links <= LINKS_MAX; links++) {
        if (!read_trb(x, r->dequeue, ret))
            return RING_BAD;
        if ((ret->control & TRB_CYCLE) != r->cycle)
            return RING_EMPTY;
        if (trb_type(ret) != TRB_LINK) {
            r->dequeue += TRB_BYTES;
            return RING_TRB;
        }
        r->dequeue = ret->parameter & ~(uint64_t)0xf;
        r->cycle ^= (ret->control & TRB_TOGGLE) != 0;
    }
    guest_error(&x->pci.dev, "a ring at %#" G_GINT64_MODIFIER "x is nothing but links", ret->at);
    return RING_BAD;
}

/* ---- interrupts: 4.17 */

void xhci_update_intx(Xhci *x)
{
    const XhciInterrupter *i = &x->interrupter[0];
    bool on = x->usbcmd & CMD_INTE && i->iman & IMAN_ENABLE && i->iman & IMAN_PENDING;
    pci_set_intx(&x->pci, on && !pci_msix_enabled(&x->pci));
}

/* With messages IP is cleared as one is sent: 4.17.5. */
void xhci_interrupt(Xhci *x, unsigned n)
{
    XhciInterrupter *i = &x->interrupter[n];
    i->erdp[0] |= ERDP_BUSY;
    i->iman |= IMAN_PENDING;
    x->usbsts |= STS_EVENT;
    if (x->usbcmd & CMD_INTE && i->iman & IMAN_ENABLE && pci_msix_notify(&x->pci, n))
        i->iman &= ~(uint32_t)IMAN_PENDING;
    xhci_update_intx(x);
}

/* ---- events */

void xhci_event_ring_start(Xhci *x, unsigned n)
{
    XhciInterrupter *i = &x->interrupter[n];
    uint64_t table = ((uint64_t)i->erstba[1] << 32 | i->erstba[0]) & ~(uint64_t)0x3f;
    uint32_t w[4];
    i->size = 0;
    if (!i->erstsz || !table || !xhci_read(x, table, w, sizeof(w)))
        return;
    if ((w[2] & 0xffff) < SEGMENT_MIN || (w[2] & 0xffff) > SEGMENT_MAX) {
        guest_error(&x->pci.dev, "event ring of %u entries; 16 to 4096 are allowed", w[2] & 0xffff);
        return;
    }
    i->start = (w[0] | (uint64_t)w[1] << 32) & ~(uint64_t)0x3f;
    i->size = w[2] & 0xffff;
    i->at = 0;
    i->cycle = true;
    i->full = false;
}

static void put_event(Xhci *x, XhciInterrupter *i, uint64_t parameter, uint32_t status, uint32_t control)
{
    const uint32_t head[3] = { parameter, parameter >> 32, status }, tail = control | i->cycle;
    uint64_t at = i->start + (uint64_t)i->at * TRB_BYTES;
    if (!xhci_write(x, at, head, 3) || !xhci_write(x, at + 12, &tail, 1)) /* the cycle bit last */
        return;
    if (++i->at == i->size) {
        i->at = 0;
        i->cycle ^= 1;
    }
}

/* How many entries the driver has read, or never got: one always stays free. */
static unsigned room(const XhciInterrupter *i)
{
    uint64_t read = ((uint64_t)i->erdp[1] << 32 | i->erdp[0]) & ~(uint64_t)0xf;
    uint64_t at = (read - i->start) / TRB_BYTES;
    if (read < i->start || at >= i->size)
        return 0;
    return (at + i->size - i->at - 1) % i->size;
}

void xhci_event(Xhci *x, unsigned n, uint64_t parameter, uint32_t status, uint32_t control)
{
    XhciInterrupter *i = &x->interrupter[n < x->intrs ? n : 0];
    if (!i->size || x->usbsts & STS_HOST_ERROR)
        return;
    unsigned left = room(i);
    i->full &= left <= 1;
    if (i->full)
        return;
    if (left > 1) {
        put_event(x, i, parameter, status, control);
    } else { /* 4.9.4: the last entry says that the others are lost */
        guest_error(&x->pci.dev, "event ring is full");
        i->full = true;
        if (left)
            put_event(x, i, 0, (uint32_t)CC_EVENT_RING_FULL << 24, EVENT_CONTROLLER << 10);
    }
    xhci_interrupt(x, i - x->interrupter);
}
