/* virtio_serial.c - the controller: queues and control messages.  Virtio 1.2, 5.3.6. */
#include "devices/virtio/virtio_serial.h"

#include <string.h>

#include "base/iov.h"
#include "devices/virtio/virtio_mmio.h"
#include "machine/machine.h"

enum { F_SIZE = 0, F_MULTIPORT = 1, F_EMERG_WRITE = 2 };
enum { C_COLS = 0, C_ROWS = 2, C_MAX_PORTS = 4, C_EMERG_WRITE = 8, SERIAL_CONFIG_BYTES = 12 };
enum { Q_CONTROL_IN = 2, Q_CONTROL_OUT = 3 };
enum { /* 5.3.6.2 */
    DEVICE_READY = 0, DEVICE_ADD = 1, DEVICE_REMOVE = 2, PORT_READY = 3, CONSOLE_PORT = 4, PORT_OPEN = 6, PORT_NAME = 7,
};
enum { NAME_BYTES = 256 };

typedef struct Control {
    uint32_t id;
    uint16_t event, value;
} Control;

static VirtioSerial *serial_of(Virtio *v) { return (VirtioSerial *)v->dev; }
unsigned serial_queue(unsigned port) { return port ? 2 * port + 2 : 0; }

/* Without MULTIPORT there is port 0, and no way to close it. */
bool serial_guest_open(const VirtioSerial *s, unsigned port)
{
    return virtio_has(&s->base.virtio, F_MULTIPORT) ? s->guest_open >> port & 1 : port == 0;
}

/* ---- to the driver */

/* What follows from a bit of `tell`; returns its bytes. */
static size_t control_message(const VirtioSerial *s, unsigned port, uint8_t what, uint8_t *to)
{
    static const struct { uint8_t what; uint16_t event; } events[] = {
        { TELL_REMOVE, DEVICE_REMOVE }, { TELL_ADD, DEVICE_ADD }, { TELL_CONSOLE, CONSOLE_PORT }, { TELL_NAME, PORT_NAME }, { TELL_OPEN, PORT_OPEN },
    };
    const SerialPort *p = s->bus.port[port];
    Control c = { .id = GUINT32_TO_LE(port), .value = GUINT16_TO_LE(1) };
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++)
        if (events[i].what == what)
            c.event = GUINT16_TO_LE(events[i].event);
    if (what == TELL_OPEN)
        c.value = GUINT16_TO_LE(p && p->host_open);
    memcpy(to, &c, sizeof(c));
    size_t name = what == TELL_NAME && p && p->name ? MIN(strlen(p->name), NAME_BYTES) : 0;
    memcpy(to + sizeof(c), name ? p->name : "", name);
    return sizeof(c) + name;
}

/* Sends what is to be told for as long as the driver gives buffers. */
static void flush_control(VirtioSerial *s)
{
    Virtio *v = &s->base.virtio;
    uint8_t message[sizeof(Control) + NAME_BYTES];
    VirtqChain c;
    for (unsigned port = 0; port < SERIAL_PORTS && s->driver_ready; port++)
        while (s->tell[port]) {
            uint8_t what = s->tell[port] & -s->tell[port];
            if (!virtq_pop(v, Q_CONTROL_IN, &c)) {
                virtq_signal(v, Q_CONTROL_IN);
                return;
            }
            size_t n = control_message(s, port, what, message);
            virtq_push(v, Q_CONTROL_IN, &c, iov_write(c.in.iov, c.in.n, 0, message, n));
            s->tell[port] &= ~what;
        }
    virtq_signal(v, Q_CONTROL_IN);
}

void serial_tell(VirtioSerial *s, unsigned port, uint8_t what)
{
    if (!s->driver_ready)
        return; /* it is told of everything when it says that it is there */
    s->tell[port] |= what;
    flush_control(s);
}

/* ---- from the driver */

static void device_ready(VirtioSerial *s, bool ready)
{
    s->driver_ready = ready;
    memset(s->tell, 0, sizeof(s->tell));
    for (unsigned i = 0; ready && i < SERIAL_PORTS; i++)
        s->tell[i] = s->bus.port[i] ? TELL_ADD : 0;
}

static void port_ready(VirtioSerial *s, unsigned port, bool ready)
{
    const SerialPort *p = s->bus.port[port];
    s->port_ready = ready ? s->port_ready | 1u << port : s->port_ready & ~(1u << port);
    if (ready && p)
        s->tell[port] |= (serial_is_console(p) ? TELL_CONSOLE : 0) | (p->name ? TELL_NAME : 0) | (p->host_open ? TELL_OPEN : 0);
}

static void port_open(VirtioSerial *s, unsigned port, bool open)
{
    if (s->bus.port[port] && open != (s->guest_open >> port & 1))
        machine_tell(&s->bus.port[port]->dev, DEVICE_SAYS_PORT, open);
    s->guest_open = open ? s->guest_open | 1u << port : s->guest_open & ~(1u << port);
    if (s->bus.port[port])
        serial_port_to_guest(s->bus.port[port]);
}

static void take_control(VirtioSerial *s, const Control *c)
{
    uint32_t port = GUINT32_FROM_LE(c->id);
    bool value = c->value;
    if (GUINT16_FROM_LE(c->event) == DEVICE_READY) {
        device_ready(s, value);
        return;
    }
    if (port >= SERIAL_PORTS || !s->bus.port[port]) {
        guest_error(s->base.virtio.dev, "%s: control message for port %u, which is not there", s->base.virtio.dev->path, port);
        return;
    }
    if (GUINT16_FROM_LE(c->event) == PORT_READY)
        port_ready(s, port, value);
    else if (GUINT16_FROM_LE(c->event) == PORT_OPEN)
        port_open(s, port, value);
}

static void read_control(VirtioSerial *s)
{
    Virtio *v = &s->base.virtio;
    VirtqChain chain;
    Control c;
    while (virtq_pop(v, Q_CONTROL_OUT, &chain)) {
        if (iov_read(chain.out.iov, chain.out.n, 0, &c, sizeof(c)) == sizeof(c))
            take_control(s, &c);
        virtq_push(v, Q_CONTROL_OUT, &chain, 0);
    }
    virtq_signal(v, Q_CONTROL_OUT);
    flush_control(s);
}

/* Data for a port that is not there goes nowhere. */
static void discard(Virtio *v, unsigned queue)
{
    VirtqChain c;
    while (virtq_pop(v, queue, &c))
        virtq_push(v, queue, &c, 0);
    virtq_signal(v, queue);
}

static void notified(Virtio *v, unsigned queue)
{
    VirtioSerial *s = serial_of(v);
    if (queue == Q_CONTROL_IN) {
        flush_control(s);
        return;
    }
    if (queue == Q_CONTROL_OUT) {
        read_control(s);
        return;
    }
    unsigned port = queue < 2 ? 0 : queue / 2 - 1;
    SerialPort *p = port < SERIAL_PORTS ? s->bus.port[port] : NULL;
    if (p && queue % 2)
        serial_port_to_host(p);
    else if (p)
        serial_port_to_guest(p);
    else if (queue % 2)
        discard(v, queue);
}

/* 5.3.4: a console before any queue is set up. */
static void config_written(Virtio *v, unsigned off, unsigned size)
{
    VirtioSerial *s = serial_of(v);
    SerialPort *p = s->bus.port[0];
    if (off == C_EMERG_WRITE && s->emergency && p && p->chr)
        chardev_write(p->chr, v->config + C_EMERG_WRITE, 1);
    memset(v->config + C_EMERG_WRITE, 0, 4);
    memset(v->config, 0, C_MAX_PORTS);
    uint32_t ports = s->max_ports;
    memcpy(v->config + C_MAX_PORTS, &ports, 4);
}

/* A driver that starts anew, and what was for the one before. */
static void driver_reset(Virtio *v)
{
    VirtioSerial *s = serial_of(v);
    s->driver_ready = false;
    s->guest_open = s->port_ready = 0;
    memset(s->tell, 0, sizeof(s->tell));
    for (unsigned i = 0; i < SERIAL_PORTS; i++)
        if (s->bus.port[i])
            s->bus.port[i]->tx_off = s->bus.port[i]->n_in = 0;
}

static const VirtioType serial_type = {
    .id = 3, .n_queues = 4, .queue_size = 128, .config_bytes = SERIAL_CONFIG_BYTES, .notified = notified, .reset = driver_reset,
    .config_written = config_written,
};

/* ---- the bus */

static bool plug(Bus *b, Device *d, const char *addr, GError **err)
{
    ((SerialPort *)d)->on = (VirtioSerial *)b->owner;
    return true;
}

static void plugged(Bus *b, Device *d)
{
    VirtioSerial *s = (VirtioSerial *)b->owner;
    g_mutex_lock(&b->owner->lock);
    serial_tell(s, ((SerialPort *)d)->number, TELL_ADD);
    g_mutex_unlock(&b->owner->lock);
}

/* The driver is told that the port is gone, and need not agree. */
static bool unplug_request(Bus *b, Device *d, GError **err)
{
    device_let_go(d);
    return true;
}

static const BusType bus_type = { .kind = "virtio-serial-bus", .plug = plug, .plugged = plugged, .unplug_request = unplug_request };

/* ---- life */

static bool realize(Device *d, GError **err)
{
    VirtioSerial *s = (VirtioSerial *)d;
    Virtio *v = &s->base.virtio;
    virtio_pci_prepare(&s->base, &serial_type);
    v->n_queues = 2 * (s->max_ports + 1);
    v->offered |= 1ull << F_MULTIPORT | (uint64_t)s->emergency << F_EMERG_WRITE;
    if (!virtio_pci_realize(&s->base, &serial_type, err))
        return false;
    bus_init_for(&s->bus.bus, d, &bus_type);
    return true;
}

/* It may go before its ports. */
static void unrealize(Device *d)
{
    VirtioSerial *s = (VirtioSerial *)d;
    if (!s->bus.bus.type)
        return;
    for (unsigned i = 0; i < SERIAL_PORTS; i++) {
        SerialPort *p = s->bus.port[i];
        if (p && p->chr)
            chardev_attach(p->chr, NULL, NULL);
        if (p)
            p->on = NULL;
    }
    bus_clear(&s->bus.bus);
}

static void reset(Device *d, ResetKind k)
{
    VirtioSerial *s = (VirtioSerial *)d;
    virtio_pci_reset(d, k);
    config_written(&s->base.virtio, 0, 4);
}

static const Field fields[] = {
    VIRTIO_PCI_FIELDS(VirtioSerial, base),
    { F(VirtioSerial, max_ports), .role = FIELD_PROP, .reset = SERIAL_PORTS, .min = 1, .max = SERIAL_PORTS, .doc = "ports that may be plugged in" },
    { FN(VirtioSerial, emergency, "emergency-write"), .role = FIELD_PROP, .reset = 1, .doc = "a console that needs no queues" },
    { F(VirtioSerial, driver_ready), .doc = "the driver takes control messages" },
    { F(VirtioSerial, guest_open), .doc = "ports that a program has opened" },
    { F(VirtioSerial, port_ready), .doc = "ports that the driver knows" },
    { FA(VirtioSerial, tell), .doc = "what the driver is to be told of each port" },
    { FO(VirtioSerial, bus), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static const PciInfo pci_info = VIRTIO_PCI_INFO(0x1003, 0x078000, 2 * (SERIAL_PORTS + 1) + 1);

#define SERIAL_TYPE                                                                                                    \
    .summary = "virtio console and serial ports", .spec = "Virtio 1.2, 5.3", .size = sizeof(VirtioSerial), .version = 1, .fields = fields, \
    .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = virtio_pci_post_load

VIRTIO_PCI_TYPES(virtio_serial_pci_type, "virtio-serial-pci", SERIAL_TYPE, .windows = virtio_pci_windows, .pci = &pci_info);
VIRTIO_MMIO_TYPE(virtio_serial_device_type, "virtio-serial-device", SERIAL_TYPE);
