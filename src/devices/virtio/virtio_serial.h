#pragma once
#include "console/chardev.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/bus.h"
/*
 * virtio_serial.h - console device with ports.  Virtio 1.2, section 5.3.
 *
 * virtio_serial.c is the controller: queues, control messages.  virtio_serial_port.c is what is plugged into it: virtconsole and
 * virtserialport, each with a chardev.  Ports stand under their controller's lock.
 *
 * What the controller has to say of a port is a set of bits and no queue of messages, so it cannot grow however slowly a driver reads.
 */
enum { SERIAL_PORTS = 31, PORT_IN_BYTES = 4096, PORT_ANY = UINT32_MAX };
enum { TELL_REMOVE = 1, TELL_ADD = 2, TELL_CONSOLE = 4, TELL_NAME = 8, TELL_OPEN = 16 }; /* in this order */

typedef struct SerialBus {
    Bus bus;
    struct SerialPort *port[SERIAL_PORTS];
} SerialBus;

typedef struct VirtioSerial {
    VirtioPci base;
    uint32_t max_ports;
    bool emergency;
    /* State. */
    bool driver_ready;
    uint32_t guest_open, port_ready; /* a bit a port */
    uint8_t tell[SERIAL_PORTS];      /* TELL_* */
    /* Host. */
    SerialBus bus;
} VirtioSerial;

typedef struct SerialPort {
    Device dev;
    char *chardev, *name;
    uint32_t nr;
    /* State. */
    uint32_t n_in, tx_off; /* tx_off: how much of the buffer at the head of the transmit queue has gone */
    uint8_t in[PORT_IN_BYTES]; /* from the chardev, for the driver */
    /* Host. */
    Chardev *chr;
    VirtioSerial *on;
    bool host_open;
    uint32_t number; /* nr, or the one that was found */
} SerialPort;

VIRTIO_PCI_DECLARE(virtio_serial_pci_type);
extern const DeviceType virtio_serial_device_type;
extern const DeviceType virtserialport_type, virtconsole_type;

static inline bool serial_is_console(const SerialPort *p) { return p->dev.type == &virtconsole_type; }
/* Controller's lock held. */
void serial_tell(VirtioSerial *s, unsigned port, uint8_t what);
bool serial_guest_open(const VirtioSerial *s, unsigned port);
unsigned serial_queue(unsigned port); /* its receive queue; the transmit queue is the next */
void serial_port_to_guest(SerialPort *p);
void serial_port_to_host(SerialPort *p);
