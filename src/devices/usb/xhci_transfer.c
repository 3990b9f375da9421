/* xhci_transfer.c - transfer descriptors of an endpoint's ring, and the events that tell of them.  xHCI 4.10, 4.11. */
#include <string.h>

#include "devices/usb/xhci.h"

/* A descriptor: its entries up to the last one, and the ring behind it. */
typedef struct Transfer {
    GArray *trbs; /* Trb */
    XhciRing after;
    unsigned bytes; /* of data */
    unsigned slot, dci;
    unsigned actual;
} Transfer;

static Trb *entry(const Transfer *t, unsigned i) { return &g_array_index(t->trbs, Trb, i); }
static bool has_data(const Trb *t) { return trb_type(t) == TRB_NORMAL || trb_type(t) == TRB_DATA || trb_type(t) == TRB_ISOCH; }
static unsigned length_of(const Trb *t) { return has_data(t) ? t->status & 0x1ffff : 0; }
static bool is_control(const XhciEndpoint *e) { return e->kind == EP_CONTROL; }

/* ---- reading */

/* A control transfer goes from its setup to its status stage, which are descriptors of their own: 3.2.9. */
static bool ends(const XhciEndpoint *e, const Trb *t)
{
    return !(t->control & TRB_CHAIN) && (!is_control(e) || trb_type(t) == TRB_STATUS || trb_type(t) == TRB_NOOP);
}

/* RING_EMPTY: it is not whole yet. */
static RingEntry read_transfer(Xhci *x, const XhciEndpoint *e, Transfer *t)
{
    Trb trb;
    t->after = e->ring;
    for (unsigned n = 0; n < TRBS_MAX; n++) {
        RingEntry r = xhci_ring_next(x, &t->after, &trb);
        if (r != RING_TRB)
            return r;
        g_array_append_val(t->trbs, trb);
        t->bytes += length_of(&trb);
        if (ends(e, &trb))
            return t->bytes <= TRANSFER_MAX ? RING_TRB : RING_BAD;
        if (t->bytes > TRANSFER_MAX)
            return RING_BAD;
    }
    guest_error(&x->pci.dev, "a transfer of more than %u entries", TRBS_MAX);
    return RING_BAD;
}

/* Between the guest's buffers and ours.  Up to eight bytes may stand in the entry itself: 4.11.7. */
static bool move_data(Xhci *x, const Transfer *t, uint8_t *data, unsigned left, bool in)
{
    Machine *m = x->pci.dev.machine;
    for (unsigned i = 0; i < t->trbs->len && left; i++) {
        const Trb *trb = entry(t, i);
        unsigned n = MIN(length_of(trb), left);
        uint64_t immediate = GUINT64_TO_LE(trb->parameter);
        if (trb->control & TRB_IDT && has_data(trb) && n > 8)
            return false;
        if (trb->control & TRB_IDT && has_data(trb))
            memcpy(data, &immediate, in ? 0 : n);
        else if (n && !(in ? dma_write(m, trb->parameter, data, n) : dma_read(m, trb->parameter, data, n)))
            return false;
        data += n;
        left -= n;
    }
    return true;
}

/* ---- events: 4.10.1 */

static void tell(Xhci *x, const Transfer *t, uint64_t parameter, unsigned code, unsigned length, uint32_t flags, unsigned interrupter)
{
    xhci_event(x, interrupter, parameter, (uint32_t)code << 24 | (length & 0xffffff), EVENT_TRANSFER << 10 | flags | t->dci << 16 | t->slot << 24);
}

/* A stage is told of once: where it came up short and one asked for that, or where one asked to be told; data counts until then. */
static void report(Xhci *x, const Transfer *t, unsigned code)
{
    unsigned left = t->actual, moved = 0;
    bool is_short = false, told = false;
    for (unsigned i = 0; i < t->trbs->len; i++) {
        const Trb *trb = entry(t, i);
        unsigned type = trb_type(trb), n = MIN(length_of(trb), left);
        if (type == TRB_SETUP || type == TRB_STATUS)
            is_short = told = false;
        is_short |= code == CC_SUCCESS && n < length_of(trb);
        left -= n;
        moved += n;
        bool asked = trb->control & TRB_IOC || (is_short && has_data(trb) && trb->control & TRB_ISP);
        bool failed = code != CC_SUCCESS && !left && (type != TRB_SETUP || t->trbs->len == 1);
        if (!told && (asked || failed)) {
            unsigned c = code != CC_SUCCESS ? failed ? code : CC_SUCCESS : is_short ? CC_SHORT_PACKET : CC_SUCCESS;
            if (type == TRB_EVENTDATA)
                tell(x, t, trb->parameter, c, moved, TRB_EVENT_DATA, trb->status >> 22);
            else
                tell(x, t, trb->at, c, length_of(trb) - n, 0, trb->status >> 22);
            told = true;
        }
        if (type == TRB_EVENTDATA)
            moved = 0;
        if (failed)
            return;
    }
}

/* ---- doing */

static unsigned code_of(UsbStatus s)
{
    static const uint8_t codes[] = { [USB_OK] = CC_SUCCESS, [USB_STALL] = CC_STALL, [USB_BABBLE] = CC_BABBLE, [USB_GONE] = CC_TRANSACTION_ERROR };
    return codes[s];
}

/* Returns a completion code; 0: the device has nothing to say yet. */
static unsigned run_control(Xhci *x, UsbDevice *u, Transfer *t)
{
    const Trb *first = entry(t, 0);
    if (trb_type(first) == TRB_NOOP)
        return CC_SUCCESS;
    uint64_t raw = GUINT64_TO_LE(first->parameter);
    UsbSetup s = usb_setup_parse((const uint8_t *)&raw);
    if (trb_type(first) != TRB_SETUP || !(first->control & TRB_IDT) || (first->status & 0x1ffff) != USB_SETUP_BYTES)
        return CC_TRB_ERROR;
    bool in = s.type & USB_IN;
    g_autofree uint8_t *data = g_malloc0(MAX(s.length, 1));
    if (!in && (t->bytes < s.length || !move_data(x, t, data, s.length, false)))
        return CC_TRB_ERROR;
    UsbStatus status = usb_control(u, &s, data, &t->actual);
    t->actual = status != USB_OK ? 0 : in ? MIN(t->actual, t->bytes) : s.length;
    if (in && !move_data(x, t, data, t->actual, true))
        return CC_TRB_ERROR;
    return code_of(status);
}

static unsigned run_other(Xhci *x, UsbDevice *u, Transfer *t)
{
    bool in = t->dci & 1;
    if (trb_type(entry(t, 0)) == TRB_NOOP)
        return CC_SUCCESS;
    g_autofree uint8_t *data = g_malloc0(MAX(t->bytes, 1));
    if (!in && !move_data(x, t, data, t->bytes, false))
        return CC_TRB_ERROR;
    UsbTransfer usb = { .endpoint = t->dci / 2 | (in ? USB_IN : 0), .data = data, .length = t->bytes };
    UsbStatus status = usb_transfer(u, &usb);
    if (status == USB_NAK)
        return 0;
    t->actual = usb.actual;
    return in && !move_data(x, t, data, t->actual, true) ? CC_TRB_ERROR : code_of(status);
}

static EndpointState state_after(unsigned code)
{
    return code == CC_SUCCESS ? EP_RUNNING : code == CC_TRB_ERROR ? EP_ERROR : EP_HALTED;
}

/* False: there is nothing to do now. */
static bool run_one(Xhci *x, Transfer *t)
{
    XhciEndpoint *e = &x->slot[t->slot].endpoint[t->dci];
    UsbDevice *u = xhci_port_device(x, x->slot[t->slot].port);
    RingEntry r = read_transfer(x, e, t);
    if (r == RING_EMPTY || x->usbsts & STS_HOST_ERROR)
        return false;
    e->waits = false; /* a wakeup from within is not for it */
    unsigned code = r == RING_BAD ? CC_TRB_ERROR : !u ? CC_TRANSACTION_ERROR : is_control(e) ? run_control(x, u, t) : run_other(x, u, t);
    e->waits = !code;
    if (!code)
        return false;
    e->ring = r == RING_BAD ? e->ring : t->after;
    if (state_after(code) != EP_RUNNING)
        xhci_endpoint_set_state(x, t->slot, t->dci, state_after(code));
    if (r == RING_BAD)
        tell(x, t, e->ring.dequeue, code, 0, 0, x->slot[t->slot].interrupter);
    else
        report(x, t, code);
    return true;
}

static bool run_next(Xhci *x, unsigned slot, unsigned dci)
{
    g_autoptr(GArray) trbs = g_array_new(FALSE, FALSE, sizeof(Trb));
    Transfer t = { .trbs = trbs, .slot = slot, .dci = dci };
    return run_one(x, &t);
}

void xhci_endpoint_run(Xhci *x, unsigned slot, unsigned dci)
{
    const XhciEndpoint *e = &x->slot[slot].endpoint[dci];
    for (unsigned n = 0; xhci_running(x) && e->state == EP_RUNNING; n++) {
        if (n == TRANSFERS_AT_ONCE) {
            x->slot[slot].endpoint[dci].waits = true;
            xhci_later(x);
            return;
        }
        if (!run_next(x, slot, dci))
            return;
    }
}

/* 4.6.9: where it has stopped, with what has not been moved. */
void xhci_endpoint_stopped(Xhci *x, unsigned slot, unsigned dci)
{
    const XhciEndpoint *e = &x->slot[slot].endpoint[dci];
    XhciRing r = e->ring;
    Trb trb;
    Transfer t = { .slot = slot, .dci = dci };
    if (e->waits && xhci_ring_next(x, &r, &trb) == RING_TRB)
        tell(x, &t, trb.at, CC_STOPPED, length_of(&trb), 0, trb.status >> 22);
}
