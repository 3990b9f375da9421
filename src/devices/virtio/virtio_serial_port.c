/*
 * virtio_serial_port.c - virtserialport and virtconsole: a port of a virtio-serial-pci and the chardev behind it.
 *
 * A driver's buffer that the chardev cannot take stays in its queue, so a guest that floods a reader who never reads waits.
 */
#include <string.h>

#include "base/iov.h"
#include "devices/virtio/virtio_serial.h"
#include "machine/machine.h"

static GMutex *lock_of(SerialPort *p) { return p->on ? &p->on->base.pci.dev.lock : &p->dev.lock; }
static bool stopped(const SerialPort *p) { return p->dev.machine->state == MACHINE_PAUSED; }

/* ---- to the guest; controller's lock held */

void serial_port_to_guest(SerialPort *p)
{
    Virtio *v = &p->on->base.virtio;
    unsigned queue = serial_queue(p->number);
    bool had = p->n_in;
    VirtqChain c;
    while (p->n_in && serial_guest_open(p->on, p->number) && virtq_pop(v, queue, &c)) {
        size_t n = iov_write(c.in.iov, c.in.n, 0, p->in, p->n_in);
        virtq_push(v, queue, &c, n);
        p->n_in -= n;
        memmove(p->in, p->in + n, p->n_in);
        if (!n)
            break;
    }
    if (had)
        virtq_signal(v, queue);
    if (p->chr && p->n_in < PORT_IN_BYTES)
        chardev_resume(p->chr);
}

static size_t can_receive(void *opaque)
{
    SerialPort *p = opaque;
    g_mutex_lock(lock_of(p));
    size_t room = p->on && !stopped(p) && serial_guest_open(p->on, p->number) ? PORT_IN_BYTES - p->n_in : 0;
    g_mutex_unlock(lock_of(p));
    return room;
}

static void receive(void *opaque, const uint8_t *data, size_t n)
{
    SerialPort *p = opaque;
    g_mutex_lock(lock_of(p));
    n = MIN(n, PORT_IN_BYTES - p->n_in);
    memcpy(p->in + p->n_in, data, n);
    p->n_in += n;
    if (p->on)
        serial_port_to_guest(p);
    g_mutex_unlock(lock_of(p));
}

/* ---- to the host; controller's lock held */

/* Sends what the chardev takes of a buffer; true: all of it. */
static bool send_chain(SerialPort *p, const VirtqChain *c)
{
    uint8_t piece[4096];
    while (p->chr && p->tx_off < c->out.len) {
        size_t n = MIN(chardev_write_room(p->chr), sizeof(piece));
        n = iov_read(c->out.iov, c->out.n, p->tx_off, piece, n);
        if (!n)
            return false;
        chardev_write(p->chr, piece, n);
        p->tx_off += n;
    }
    return true;
}

void serial_port_to_host(SerialPort *p)
{
    Virtio *v = &p->on->base.virtio;
    unsigned queue = serial_queue(p->number) + 1;
    VirtqChain c;
    while ((!p->chr || chardev_write_room(p->chr)) && virtq_pop(v, queue, &c)) {
        if (!send_chain(p, &c)) { /* it keeps its place */
            v->queue[queue].last_avail--;
            virtq_drop(&c);
            break;
        }
        p->tx_off = 0;
        virtq_push(v, queue, &c, 0);
    }
    virtq_signal(v, queue);
}

static void writable(void *opaque)
{
    SerialPort *p = opaque;
    g_mutex_lock(lock_of(p));
    if (p->on && !stopped(p))
        serial_port_to_host(p);
    g_mutex_unlock(lock_of(p));
}

/* ---- the peer */

static void event(void *opaque, ChardevEvent what)
{
    SerialPort *p = opaque;
    if (what == CHARDEV_BREAK || serial_is_console(p))
        return; /* a console is always there */
    g_mutex_lock(lock_of(p));
    p->host_open = what == CHARDEV_OPENED;
    if (p->on && p->on->port_ready >> p->number & 1)
        serial_tell(p->on, p->number, TELL_OPEN);
    g_mutex_unlock(lock_of(p));
    writable(p); /* what waited for a peer that is gone goes nowhere now */
}

static const ChardevFrontend frontend = { .can_receive = can_receive, .receive = receive, .event = event, .writable = writable };

/* ---- life */

/* Port 0 is for a console: 5.3.2. */
static bool take_number(SerialPort *p, GError **err)
{
    SerialPort **port = p->on->bus.port;
    unsigned n = serial_is_console(p) ? 0 : 1;
    if (p->nr == PORT_ANY) {
        while (n < p->on->max_ports && port[n])
            n++;
    } else {
        n = p->nr;
    }
    if (n >= p->on->max_ports)
        return error_set(err, ERR_INVALID, "%s: bus %s has ports 0 to %u; give another nr=, or its controller a larger max_ports=", p->dev.path,
                         p->on->bus.bus.name, p->on->max_ports - 1);
    if (port[n])
        return error_set(err, ERR_BUSY, "%s: port %u of bus %s is taken by '%s'; give another nr=", p->dev.path, n, p->on->bus.bus.name, port[n]->dev.path);
    if (!n && !serial_is_console(p))
        return error_set(err, ERR_INVALID, "%s: port 0 is for a virtconsole; give another nr=", p->dev.path);
    p->number = n;
    g_mutex_lock(lock_of(p));
    port[n] = p;
    g_mutex_unlock(lock_of(p));
    return true;
}

static bool realize(Device *d, GError **err)
{
    SerialPort *p = (SerialPort *)d;
    if (!p->on)
        return error_set(err, ERR_INVALID, "%s: device '%s' needs a bus for it; add -device virtio-serial-pci first", d->path, d->type->name);
    if (p->chardev && !(p->chr = machine_claim_backend(d->machine, BACKEND_CHARDEV, p->chardev, d, err)))
        return false;
    if (!take_number(p, err))
        return false;
    p->host_open = serial_is_console(p);
    if (p->chr)
        chardev_attach(p->chr, &frontend, p);
    return true;
}

static void unrealize(Device *d)
{
    SerialPort *p = (SerialPort *)d;
    if (p->chr) {
        chardev_attach(p->chr, NULL, NULL);
        machine_release_backend(d->machine, BACKEND_CHARDEV, p->chardev);
        p->chr = NULL;
    }
    VirtioSerial *s = p->on;
    if (!s || s->bus.port[p->number] != p)
        return;
    g_mutex_lock(&s->base.pci.dev.lock);
    s->bus.port[p->number] = NULL;
    s->tell[p->number] = 0;
    s->guest_open &= ~(1u << p->number);
    s->port_ready &= ~(1u << p->number);
    serial_tell(s, p->number, TELL_REMOVE);
    g_mutex_unlock(&s->base.pci.dev.lock);
}

static bool post_load(Device *d, GError **err)
{
    SerialPort *p = (SerialPort *)d;
    return p->n_in <= PORT_IN_BYTES || error_set(err, ERR_INVALID, "%s: saved state has %u bytes in a buffer of %d", d->path, p->n_in, PORT_IN_BYTES);
}

static void resumed(Device *d)
{
    SerialPort *p = (SerialPort *)d;
    if (!p->on)
        return;
    writable(p);
    if (p->chr)
        chardev_resume(p->chr);
}

static const Field fields[] = {
    { F(SerialPort, chardev), .role = FIELD_PROP, .doc = "id of the chardev that is its other end" },
    { F(SerialPort, name), .role = FIELD_PROP, .doc = "by which the guest finds it: /dev/virtio-ports/NAME" },
    { F(SerialPort, nr), .role = FIELD_PROP, .reset = PORT_ANY, .doc = "number of the port; 4294967295: the first free one" },
    { F(SerialPort, n_in), .doc = "bytes that wait for the driver" },
    { F(SerialPort, tx_off), .doc = "bytes that have gone of the driver's next buffer" },
    { FA(SerialPort, in), .doc = "what waits for the driver" },
    { FO(SerialPort, chr), .role = FIELD_HOST },
    { FO(SerialPort, on), .role = FIELD_HOST },
    { F(SerialPort, host_open), .role = FIELD_HOST },
    { F(SerialPort, number), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

#define PORT_TYPE                                                                                                              \
    .spec = "Virtio 1.2, 5.3", .size = sizeof(SerialPort), .version = 1, .fields = fields, .bus = "virtio-serial-bus",       \
    .realize = realize, .unrealize = unrealize, .post_load = post_load, .resumed = resumed

const DeviceType virtserialport_type = { .name = "virtserialport", .summary = "port of virtio-serial-pci: a channel with a name", PORT_TYPE };
const DeviceType virtconsole_type = { .name = "virtconsole", .summary = "port of virtio-serial-pci: a console", PORT_TYPE };
