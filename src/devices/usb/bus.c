/* bus.c - ports of a USB controller, and what is plugged into them. */
#include <string.h>

#include "devices/usb/usb.h"

/* ---- finding a place */

static bool fits(const UsbBus *b, unsigned port, const UsbModel *model) { return !b->port[port].device && b->port[port].speeds & model->speeds; }

static bool named_port(const UsbBus *b, const UsbDevice *u, unsigned *ret, GError **err)
{
    char *end = NULL;
    guint64 n = g_ascii_strtoull(u->port_name, &end, 10);
    if (end == u->port_name || *end || !n || n > b->n_ports)
        return error_set(err, ERR_INVALID, "%s: bus '%s' has no port '%s'; its ports are 1 to %u", u->dev.path, b->bus.name, u->port_name, b->n_ports);
    const UsbDevice *holder = b->port[n - 1].device;
    if (holder)
        return error_set(err, ERR_BUSY, "%s: port %u of bus '%s' is taken by '%s'", u->dev.path, (unsigned)n, b->bus.name, holder->dev.path);
    *ret = n - 1;
    return true;
}

static bool find_port(const UsbBus *b, const UsbDevice *u, GError **err)
{
    unsigned port = 0;
    if (u->port_name && !named_port(b, u, &port, err))
        return false;
    while (!u->port_name && port < b->n_ports && !fits(b, port, u->model))
        port++;
    if (port == b->n_ports)
        return error_set(err, ERR_BUSY, "%s: every port of bus '%s' is taken; add a controller", u->dev.path, b->bus.name);
    if (!fits(b, port, u->model))
        return error_set(err, ERR_INVALID, "%s: port %u of bus '%s' is not of the device's speed", u->dev.path, port + 1, b->bus.name);
    ((UsbDevice *)u)->port = port;
    return true;
}

bool usb_device_realize(UsbDevice *u, const UsbModel *model, GError **err)
{
    UsbBus *b = (UsbBus *)u->dev.bus;
    u->model = model;
    u->lock = &u->dev.lock;
    if (!b)
        return error_set(err, ERR_INVALID, "%s: device '%s' needs a USB bus; add -device qemu-xhci first", u->dev.path, u->dev.type->name);
    if (!find_port(b, u, err))
        return false;
    u->bus = b;
    u->lock = &b->bus.owner->lock;
    u->speed = g_bit_nth_msf(b->port[u->port].speeds & model->speeds, -1);
    g_mutex_lock(u->lock);
    b->port[u->port].device = u;
    b->ops->attach(b->bus.owner, u->port);
    g_mutex_unlock(u->lock);
    return true;
}

void usb_device_unrealize(UsbDevice *u)
{
    if (!u->bus)
        return;
    g_mutex_lock(u->lock);
    u->bus->ops->detach(u->bus->bus.owner, u->port);
    u->bus->port[u->port].device = NULL;
    u->bus = NULL;
    g_mutex_unlock(u->lock);
}

void usb_wakeup(UsbDevice *u, uint8_t endpoint)
{
    if (u->bus)
        u->bus->ops->wakeup(u->bus->bus.owner, u->port, endpoint);
}

/* ---- the bus */

static bool plug(Bus *b, Device *d, const char *addr, GError **err)
{
    d->bus = b;
    return true;
}

static bool full(const Bus *bus)
{
    const UsbBus *b = (const UsbBus *)bus;
    unsigned n = 0;
    while (n < b->n_ports && b->port[n].device)
        n++;
    return n == b->n_ports;
}

/* The port has told the guest already: realize attaches, unrealize detaches.  USB is made for being pulled out. */
static void plugged(Bus *b, Device *d) {}

static bool unplug_request(Bus *b, Device *d, GError **err)
{
    device_let_go(d);
    return true;
}

static const BusType usb_bus_type = { .kind = "usb-bus", .plug = plug, .full = full, .plugged = plugged, .unplug_request = unplug_request };

void usb_bus_init(UsbBus *b, Device *controller, const UsbBusOps *ops, unsigned n_ports, uint8_t speeds)
{
    b->ops = ops;
    b->n_ports = n_ports;
    for (unsigned i = 0; i < n_ports; i++)
        b->port[i] = (UsbPort){ .speeds = speeds };
    bus_init_for(&b->bus, controller, &usb_bus_type);
}

void usb_bus_quiesce(UsbBus *b)
{
    for (unsigned i = 0; i < b->n_ports; i++) {
        UsbDevice *u = b->port[i].device;
        if (u && u->model->quiesce)
            u->model->quiesce(u);
    }
}

void usb_bus_finish(UsbBus *b)
{
    if (!b->ops)
        return;
    for (unsigned i = 0; i < b->n_ports; i++) {
        UsbDevice *u = b->port[i].device;
        if (u && u->model->let_go)
            u->model->let_go(u);
        if (u) {
            u->bus = NULL;
            u->lock = &u->dev.lock;
        }
    }
    bus_clear(&b->bus);
}
