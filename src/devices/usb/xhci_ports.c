/* xhci_ports.c - root hub ports: USB 2 ports first, then as many of USB 3; a connector is one of each.  xHCI 4.19, 5.4.8. */
#include "devices/usb/xhci.h"

enum { SC_CCS = 1, SC_PED = 2, SC_RESET = 1 << 4, SC_PLS = 5, SC_POWER = 1 << 9, SC_SPEED = 10, SC_LWS = 1 << 16, SC_CSC = 1 << 17, SC_PEC = 1 << 18,
       SC_WRC = 1 << 19, SC_PRC = 1 << 21, SC_PLC = 1 << 22, SC_WAKE = 7 << 25, SC_CHANGES = 0x7f << 17 };
#define SC_WARM_RESET (1u << 31)
typedef enum LinkState { LINK_U0, LINK_U3 = 3, LINK_DETECT = 5, LINK_POLLING = 7, LINK_RESUME = 15 } LinkState;

const Field xhci_port_fields[] = { { F(XhciPort, portsc), .doc = "status and control" }, DEVICE_FIELDS_END };

static bool is_usb3(const Xhci *x, unsigned port) { return port >= x->p2; }
static LinkState link_state(const XhciPort *p) { return p->portsc >> SC_PLS & 0xf; }
static void set_link_state(XhciPort *p, LinkState s) { p->portsc = (p->portsc & ~(0xfu << SC_PLS)) | (uint32_t)s << SC_PLS; }

static UsbDevice *device_at(const Xhci *x, unsigned port)
{
    unsigned connector = is_usb3(x, port) ? port - x->p2 : port;
    UsbDevice *u = connector < x->bus.n_ports ? x->bus.port[connector].device : NULL;
    return u && (u->speed == USB_SUPER) == is_usb3(x, port) ? u : NULL;
}

static unsigned port_of(const Xhci *x, unsigned connector) { return x->bus.port[connector].device->speed == USB_SUPER ? x->p2 + connector : connector; }

UsbDevice *xhci_port_device(Xhci *x, unsigned number)
{
    if (!number || number > xhci_n_ports(x) || !(x->port[number - 1].portsc & SC_PED))
        return NULL;
    return device_at(x, number - 1);
}

static void changed(Xhci *x, unsigned port, uint32_t bits)
{
    XhciPort *p = &x->port[port];
    bool told = (p->portsc & bits) == bits;
    p->portsc |= bits;
    if (told)
        return;
    x->usbsts |= STS_PORT;
    if (xhci_running(x))
        xhci_event(x, 0, (uint64_t)(port + 1) << 24, (uint32_t)CC_SUCCESS << 24, EVENT_PORT << 10);
}

/* The speeds' default ids: 7.2.2.1.1. */
static void connect(Xhci *x, unsigned port)
{
    static const uint8_t ids[] = { [USB_LOW] = 2, [USB_FULL] = 1, [USB_HIGH] = 3, [USB_SUPER] = 4 };
    XhciPort *p = &x->port[port];
    const UsbDevice *u = device_at(x, port);
    p->portsc = SC_POWER | (p->portsc & (SC_WAKE | SC_CHANGES));
    set_link_state(p, LINK_DETECT);
    if (!u)
        return;
    p->portsc |= SC_CCS | ids[u->speed] << SC_SPEED | (is_usb3(x, port) ? SC_PED : 0);
    set_link_state(p, is_usb3(x, port) ? LINK_U0 : LINK_POLLING);
}

void xhci_ports_reset(Xhci *x)
{
    for (unsigned port = 0; port < xhci_n_ports(x); port++) {
        x->port[port].portsc = 0;
        connect(x, port);
        if (x->port[port].portsc & SC_CCS)
            changed(x, port, SC_CSC);
    }
}

static void attach(Device *d, unsigned connector)
{
    Xhci *x = (Xhci *)d;
    unsigned port = port_of(x, connector);
    connect(x, port);
    changed(x, port, SC_CSC);
}

static void detach(Device *d, unsigned connector)
{
    Xhci *x = (Xhci *)d;
    unsigned port = port_of(x, connector);
    UsbDevice *u = x->bus.port[connector].device;
    xhci_slots_unplug(x, port + 1);
    x->bus.port[connector].device = NULL;
    connect(x, port);
    changed(x, port, SC_CSC);
    x->bus.port[connector].device = u;
}

/* 4.15.2.3: the device wakes a bus that sleeps, if it may. */
static void wakeup(Device *d, unsigned connector, uint8_t endpoint)
{
    Xhci *x = (Xhci *)d;
    unsigned port = port_of(x, connector), dci = (endpoint & 0xf) * 2 + (endpoint & USB_IN ? 1 : 0);
    if (link_state(&x->port[port]) == LINK_U3 && x->bus.port[connector].device->wakes) {
        set_link_state(&x->port[port], LINK_RESUME);
        changed(x, port, SC_PLC);
    }
    for (unsigned s = 1; s <= x->slots; s++)
        if (x->slot[s].enabled && x->slot[s].port == port + 1 && x->slot[s].endpoint[dci].waits)
            xhci_endpoint_run(x, s, dci);
}

const UsbBusOps xhci_bus_ops = { .attach = attach, .detach = detach, .wakeup = wakeup };

/* ---- registers */

static void reset_port(Xhci *x, unsigned port, bool warm)
{
    UsbDevice *u = device_at(x, port);
    if (!u)
        return;
    usb_reset(u);
    set_link_state(&x->port[port], LINK_U0);
    x->port[port].portsc |= SC_PED;
    changed(x, port, SC_PRC | (warm ? SC_WRC : 0));
}

static void write_link_state(Xhci *x, unsigned port, LinkState to)
{
    XhciPort *p = &x->port[port];
    LinkState from = link_state(p);
    if (!(p->portsc & SC_PED))
        return;
    if (to == LINK_U3 && from < LINK_U3)
        set_link_state(p, LINK_U3);
    else if (to == LINK_RESUME && from == LINK_U3 && !is_usb3(x, port))
        set_link_state(p, LINK_RESUME);
    else if (to == LINK_U0 && from != LINK_U0) {
        set_link_state(p, LINK_U0);
        changed(x, port, SC_PLC);
    }
}

static void write_portsc(Xhci *x, unsigned port, uint32_t v)
{
    XhciPort *p = &x->port[port];
    p->portsc &= ~(v & SC_CHANGES);
    p->portsc = (p->portsc & ~SC_WAKE) | (v & SC_WAKE);
    if (v & SC_RESET || (v & SC_WARM_RESET && is_usb3(x, port))) {
        reset_port(x, port, v & SC_WARM_RESET);
        return;
    }
    if (v & SC_PED && p->portsc & SC_PED) { /* written as one it disables */
        p->portsc &= ~(uint32_t)SC_PED;
        set_link_state(p, is_usb3(x, port) ? LINK_DETECT : LINK_POLLING);
    }
    if (v & SC_LWS)
        write_link_state(x, port, v >> SC_PLS & 0xf);
}

uint32_t xhci_port_read(Xhci *x, unsigned port, unsigned reg) { return port < xhci_n_ports(x) && !reg ? x->port[port].portsc : 0; }

void xhci_port_write(Xhci *x, unsigned port, unsigned reg, uint32_t value)
{
    if (port < xhci_n_ports(x) && !reg)
        write_portsc(x, port, value);
}
