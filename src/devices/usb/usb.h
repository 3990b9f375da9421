#pragma once
#include "machine/bus.h"
#include "machine/machine.h"
/*
 * usb.h - the Universal Serial Bus between host controllers and devices.  USB 2.0, chapters 8 and 9.
 *
 * A controller has a UsbBus with ports, into which devices are plugged ("port=2").  It hands packets to the device that it finds
 * in a port; a device that has nothing to say answers USB_NAK, and calls usb_wakeup() when it has.
 *
 * Everything of a device stands under its controller's lock (UsbDevice.lock), which the controller holds around each call.
 */
typedef enum UsbSpeed { USB_LOW, USB_FULL, USB_HIGH, USB_SUPER } UsbSpeed;
typedef enum UsbStatus { USB_OK, USB_NAK, USB_STALL, USB_BABBLE, USB_GONE } UsbStatus;

typedef struct UsbSetup { /* 9.3 */
    uint8_t type, request;
    uint16_t value, index, length;
} UsbSetup;
enum { USB_SETUP_BYTES = 8, USB_IN = 0x80, USB_TYPE_MASK = 0x60, USB_CLASS = 0x20, USB_RECIPIENT = 0x1f, USB_INTERFACE = 1, USB_ENDPOINT = 2 };
enum { USB_GET_STATUS, USB_CLEAR_FEATURE, USB_SET_FEATURE = 3, USB_SET_ADDRESS = 5, USB_GET_DESCRIPTOR, USB_SET_DESCRIPTOR, USB_GET_CONFIGURATION,
       USB_SET_CONFIGURATION, USB_GET_INTERFACE, USB_SET_INTERFACE };
enum { USB_DT_DEVICE = 1, USB_DT_CONFIGURATION, USB_DT_STRING, USB_DT_INTERFACE, USB_DT_ENDPOINT, USB_DT_QUALIFIER, USB_DT_OTHER_SPEED };

/* One transfer on an endpoint other than 0: a whole one, of as many packets as it takes. */
typedef struct UsbTransfer {
    uint8_t endpoint; /* with USB_IN */
    uint8_t *data;
    unsigned length, actual;
} UsbTransfer;

typedef struct UsbDevice UsbDevice;
typedef struct UsbBus UsbBus;

/* What a kind of device says and does.  *actual is what was moved; data has room for setup->length bytes. */
typedef struct UsbModel {
    uint16_t vendor, product, release;
    const char *maker, *name;      /* strings 1 and 2; string 3 is the serial number */
    uint8_t speeds;                /* 1 << UsbSpeed */
    const uint8_t *configuration;  /* with interfaces and endpoints; intervals as at full speed */
    uint16_t configuration_bytes;
    /* Requests that are not the standard ones of a device; USB_STALL: not known. */
    UsbStatus (*control)(UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual);
    UsbStatus (*transfer)(UsbDevice *u, UsbTransfer *t);
    void (*reset)(UsbDevice *u);   /* by the bus */
    /* Optional.  Returns when nothing is under way; gives up the lock while it waits.  let_go: without the lock, the controller goes. */
    void (*quiesce)(UsbDevice *u);
    void (*let_go)(UsbDevice *u);
} UsbModel;

struct UsbDevice {
    Device dev;
    const UsbModel *model;
    UsbBus *bus; /* NULL: the controller has gone */
    GMutex *lock;
    char *port_name, *serial; /* properties */
    uint8_t port; /* from 0 */
    uint8_t speed;
    uint8_t address, configuration;
    bool wakes; /* remote wakeup is on */
    uint32_t halted; /* a bit an endpoint: OUT 0 to 15, IN 16 to 31 */
};

#define USB_DEVICE_FIELDS(T, m)                                                                                                             \
    USB_DEVICE_STATE_FIELDS(T, m),                                                                                                          \
    { FN(T, m.serial, "serial"), .role = FIELD_PROP, .doc = "serial number that the guest reads" }
#define USB_DEVICE_STATE_FIELDS(T, m) /* all but the serial number */                                                                        \
    { FO(T, m.model), .role = FIELD_HOST },                                                                                                 \
    { FO(T, m.bus), .role = FIELD_HOST },                                                                                                   \
    { FO(T, m.lock), .role = FIELD_HOST },                                                                                                  \
    { FN(T, m.port_name, "port"), .role = FIELD_PROP, .doc = "port of the bus, from 1; the first free one if not given" },                  \
    { F(T, m.port), .role = FIELD_HOST },                                                                                                   \
    { F(T, m.speed), .role = FIELD_HOST },                                                                                                  \
    { F(T, m.address), .doc = "as the guest has set it" },                                                                                  \
    { F(T, m.configuration), .doc = "as the guest has set it" },                                                                            \
    { F(T, m.wakes), .doc = "may wake the bus" },                                                                                           \
    { F(T, m.halted), .doc = "endpoints that are halted" }

bool usb_device_realize(UsbDevice *u, const UsbModel *model, GError **err);
void usb_device_unrealize(UsbDevice *u); /* pulls it out of its port */
void usb_wakeup(UsbDevice *u, uint8_t endpoint); /* that endpoint has something to say; lock held */

/* ---- for controllers, lock held */

void usb_reset(UsbDevice *u); /* by its port */
/* A whole control transfer: data is what goes out, or takes what comes in, s->length bytes. */
UsbStatus usb_control(UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual);
UsbStatus usb_transfer(UsbDevice *u, UsbTransfer *t);
UsbSetup usb_setup_parse(const uint8_t raw[USB_SETUP_BYTES]);

typedef struct UsbPort {
    UsbDevice *device; /* NULL: empty */
    uint8_t speeds;    /* 1 << UsbSpeed */
} UsbPort;

/* The controller's ears; lock held. */
typedef struct UsbBusOps {
    void (*attach)(Device *controller, unsigned port);
    void (*detach)(Device *controller, unsigned port); /* the device is there for the last time */
    void (*wakeup)(Device *controller, unsigned port, uint8_t endpoint);
} UsbBusOps;

enum { USB_PORTS_MAX = 15 };
struct UsbBus {
    Bus bus;
    const UsbBusOps *ops;
    unsigned n_ports;
    UsbPort port[USB_PORTS_MAX];
};

void usb_bus_init(UsbBus *b, Device *controller, const UsbBusOps *ops, unsigned n_ports, uint8_t speeds);
void usb_bus_quiesce(UsbBus *b); /* before the state is saved; lock held, which this may give up */
void usb_bus_finish(UsbBus *b); /* also of one that was never begun; devices are let go of */

extern const DeviceType usb_tablet_type, usb_mouse_type, usb_kbd_type, usb_storage_type, qemu_xhci_type, nec_usb_xhci_type, piix3_usb_uhci_type, piix4_usb_uhci_type;
