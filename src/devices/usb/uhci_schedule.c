/* uhci_schedule.c - a frame: queue heads and transfer descriptors, and the packets that they stand for.  UHCI, chapter 3. */
#include <string.h>

#include "devices/usb/uhci.h"

enum { LINK_END = 1, LINK_QUEUE = 2, LINK_DEPTH = 4 };
enum { PID_IN = 0x69, PID_OUT = 0xe1, PID_SETUP = 0x2d };
enum { TD_ACTUAL = 0x7ff, TD_STALLED = 1 << 22, TD_BABBLE = 1 << 20, TD_NAK = 1 << 19, TD_TIMEOUT = 1 << 18, TD_ACTIVE = 1 << 23, TD_IOC = 1 << 24, TD_ERRORS = 3 << 27,
       TD_SHORT_DETECT = 1 << 29, TD_PACKET_MAX = 1280 };

typedef struct Td {
    uint32_t link, status, token, buffer;
} Td;

typedef enum TdEnd { TD_DONE, TD_STAYS, TD_FAILED } TdEnd; /* on to the next; its queue waits; its queue stops */

static unsigned max_length(const Td *t) { return ((t->token >> 21) + 1) & 0x7ff; }
static uint8_t pid(const Td *t) { return t->token; }

static bool get(Uhci *u, uint32_t at, void *to, unsigned n)
{
    if (pci_bus_master(&u->pci) && dma_read(u->pci.dev.machine, at, to, n))
        return true;
    u->outcome |= UHCI_BAD_HOST;
    return false;
}

static bool put(Uhci *u, uint32_t at, const void *from, unsigned n)
{
    if (dma_write(u->pci.dev.machine, at, from, n))
        return true;
    u->outcome |= UHCI_BAD_HOST;
    return false;
}

/* ---- control transfers */

static UsbStatus begin_control(UhciControl *c, UsbDevice *d, const uint8_t *raw, unsigned n)
{
    unsigned actual = 0;
    if (n != USB_SETUP_BYTES)
        return USB_STALL;
    UsbSetup s = usb_setup_parse(raw);
    memcpy(c->setup, raw, USB_SETUP_BYTES);
    c->at = 0;
    c->length = 0;
    c->stage = s.length ? UHCI_DATA : UHCI_STATUS;
    if (!(s.type & USB_IN)) {
        c->length = MIN(s.length, UHCI_CONTROL_MAX);
        return USB_OK;
    }
    s.length = MIN(s.length, UHCI_CONTROL_MAX);
    UsbStatus status = usb_control(d, &s, c->data, &actual);
    c->length = actual;
    if (status != USB_OK) { /* 8.5.3: a setup packet is always taken; the next one hears of it */
        c->stage = UHCI_IDLE;
        c->length = 0;
    }
    return USB_OK;
}

static UsbStatus end_control(UhciControl *c, UsbDevice *d)
{
    unsigned actual;
    UsbSetup s = usb_setup_parse(c->setup);
    bool in = s.type & USB_IN;
    c->stage = UHCI_IDLE;
    return in ? USB_OK : s.length > UHCI_CONTROL_MAX ? USB_STALL : usb_control(d, &s, c->data, &actual);
}

/* The status stage goes the other way than the data, and may come before all of them. */
static UsbStatus go_on_control(UhciControl *c, UsbDevice *d, bool in, uint8_t *data, unsigned n, unsigned *actual)
{
    bool data_in = c->setup[0] & USB_IN;
    if (c->stage == UHCI_IDLE)
        return USB_STALL;
    if (c->stage == UHCI_STATUS || in != data_in)
        return in != data_in || !c->length || c->at == c->length ? end_control(c, d) : USB_STALL;
    *actual = MIN(n, (unsigned)c->length - c->at);
    if (in)
        memcpy(data, c->data + c->at, *actual);
    else
        memcpy(c->data + c->at, data, *actual);
    c->at += *actual;
    return USB_OK;
}

/* ---- packets */

static UsbStatus packet(Uhci *u, const Td *t, uint8_t *data, unsigned n, unsigned *actual)
{
    unsigned port, endpoint = t->token >> 15 & 0xf;
    bool in = pid(t) == PID_IN;
    UsbDevice *d = uhci_device(u, t->token >> 8 & 0x7f, &port);
    if (!d)
        return USB_GONE;
    *actual = in ? 0 : n;
    if (pid(t) == PID_SETUP)
        return endpoint ? USB_STALL : begin_control(&u->control[port], d, data, n);
    if (!endpoint)
        return go_on_control(&u->control[port], d, in, data, n, actual);
    UsbTransfer transfer = { .endpoint = endpoint | (in ? USB_IN : 0), .data = data, .length = n };
    UsbStatus status = usb_transfer(d, &transfer);
    if (in)
        *actual = transfer.actual;
    return status;
}

static uint32_t status_bits(UsbStatus s)
{
    static const uint32_t bits[] = { [USB_OK] = 0, [USB_NAK] = TD_NAK, [USB_STALL] = TD_STALLED, [USB_BABBLE] = TD_STALLED | TD_BABBLE, [USB_GONE] = TD_STALLED | TD_TIMEOUT };
    return bits[s];
}

/* 3.2.2: what stands in the descriptor afterwards. */
static TdEnd settle(Uhci *u, Td *t, UsbStatus s, unsigned actual)
{
    t->status = (t->status & ~(uint32_t)(TD_ACTUAL | TD_NAK)) | status_bits(s);
    if (s == USB_NAK)
        return TD_STAYS;
    t->status = (t->status & ~(uint32_t)TD_ACTIVE) | ((actual - 1) & TD_ACTUAL);
    if (t->status & TD_IOC)
        u->outcome |= UHCI_COMPLETE;
    if (s != USB_OK) {
        t->status &= ~(uint32_t)(s == USB_GONE ? TD_ERRORS : 0);
        u->outcome |= UHCI_ERROR;
        return TD_FAILED;
    }
    bool is_short = pid(t) == PID_IN && actual < max_length(t) && t->status & TD_SHORT_DETECT;
    u->outcome |= is_short ? UHCI_SHORT : 0;
    return is_short ? TD_FAILED : TD_DONE;
}

static TdEnd run_td(Uhci *u, uint32_t at, Td *t, unsigned *bytes)
{
    uint8_t data[TD_PACKET_MAX];
    unsigned n = max_length(t), actual = 0;
    bool in = pid(t) == PID_IN;
    if (!(t->status & TD_ACTIVE))
        return TD_FAILED;
    if (n > TD_PACKET_MAX || (pid(t) != PID_IN && pid(t) != PID_OUT && pid(t) != PID_SETUP)) {
        guest_error(&u->pci.dev, "a descriptor of %u bytes with packet id %02x", n, pid(t));
        u->outcome |= UHCI_BAD_PROCESS;
        return TD_FAILED;
    }
    if (!in && n && !get(u, t->buffer, data, n))
        return TD_FAILED;
    UsbStatus s = packet(u, t, data, n, &actual);
    if (in && s == USB_OK && actual && !put(u, t->buffer, data, actual))
        return TD_FAILED;
    TdEnd end = settle(u, t, s, actual);
    *bytes += s == USB_NAK ? 0 : n;
    put(u, at + 4, &t->status, 4);
    return end;
}

/* ---- the walk: 3.4 */

/* A queue's elements, depth first where they say so; else one of them.  False: the frame is over. */
static bool run_queue(Uhci *u, uint32_t head, uint32_t element, unsigned *links, unsigned *bytes)
{
    Td t;
    while (!(element & (LINK_END | LINK_QUEUE))) {
        uint32_t at = element & ~0xfu;
        if (++*links > UHCI_LINKS || *bytes >= UHCI_FRAME_BYTES || !get(u, at, &t, sizeof(t)))
            return false;
        TdEnd end = run_td(u, at, &t, bytes);
        if (u->outcome & UHCI_BAD)
            return false;
        if (end != TD_DONE)
            return true;
        element = t.link;
        if (!put(u, head + 4, &element, 4))
            return false;
        if (!(t.link & LINK_DEPTH))
            return true;
    }
    return true;
}

/* Drivers reclaim bandwidth by rings of queues: around those more than once a frame only while something moves.  A ring that begins
 * anywhere is found by Brent's method: the place to come back to moves on after 1, 2, 4, ... queues. */
typedef struct Round {
    uint32_t at;
    unsigned steps, most, bytes;
} Round;

static bool comes_around(Round *r, uint32_t at, unsigned bytes)
{
    if (at == r->at && bytes == r->bytes && r->most)
        return true;
    if (at == r->at || ++r->steps > r->most) {
        r->most = at == r->at ? r->most : 2 * r->most + 1;
        r->steps = 0;
        r->at = at;
        r->bytes = bytes;
    }
    return false;
}

void uhci_frame(Uhci *u)
{
    uint32_t link, q[2];
    unsigned links = 0, bytes = 0;
    Round round = { 0 };
    u->outcome = 0;
    if (!get(u, u->base + (u->frame & 0x3ff) * 4, &link, 4))
        return;
    while (!(link & LINK_END) && ++links <= UHCI_LINKS && bytes < UHCI_FRAME_BYTES) {
        uint32_t at = link & ~0xfu;
        Td t;
        if (!(link & LINK_QUEUE)) {
            if (!get(u, at, &t, sizeof(t)))
                return;
            if (t.status & TD_ACTIVE)
                run_td(u, at, &t, &bytes);
            link = t.link;
        } else {
            if (!get(u, at, q, sizeof(q)))
                return;
            if (comes_around(&round, at, bytes) || !run_queue(u, at, q[1], &links, &bytes))
                return;
            link = q[0];
        }
        if (u->outcome & UHCI_BAD)
            return;
    }
}
