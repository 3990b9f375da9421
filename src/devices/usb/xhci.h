#pragma once
#include "devices/usb/usb.h"
#include "machine/pci.h"
/*
 * xhci.h - inside the xHCI host controller.  xHCI 1.2 specification; "6.4" and so on are its sections.
 *
 * xhci.c registers and life, xhci_ports.c ports, xhci_ring.c rings of requests and events, xhci_command.c commands and contexts,
 * xhci_transfer.c transfers.  All of it under the controller's lock.  A guest that writes rings without an end gets so many
 * entries done at a time; the timer goes on with the rest.
 */
enum { XHCI_SLOTS = 64, XHCI_INTERRUPTERS = 16, XHCI_ENDPOINTS = 31, XHCI_PORTS = 2 * USB_PORTS_MAX };
enum { LINKS_MAX = 32, COMMANDS_AT_ONCE = 256, TRANSFERS_AT_ONCE = 64, TRBS_MAX = 1024, TRANSFER_MAX = 1 << 20, GO_ON_NS = 1000000 };

/* 6.4: a request or an event. */
typedef struct Trb {
    uint64_t parameter;
    uint32_t status, control;
    uint64_t at; /* its address */
} Trb;
enum { TRB_BYTES = 16, TRB_CYCLE = 1, TRB_TOGGLE = 2, TRB_ISP = 1 << 2, TRB_CHAIN = 1 << 4, TRB_IOC = 1 << 5, TRB_IDT = 1 << 6, TRB_EVENT_DATA = 1 << 2 };
enum { /* 6.4.6 */
    TRB_NORMAL = 1, TRB_SETUP, TRB_DATA, TRB_STATUS, TRB_ISOCH, TRB_LINK, TRB_EVENTDATA, TRB_NOOP,
    CMD_ENABLE_SLOT, CMD_DISABLE_SLOT, CMD_ADDRESS_DEVICE, CMD_CONFIGURE_ENDPOINT, CMD_EVALUATE_CONTEXT, CMD_RESET_ENDPOINT, CMD_STOP_ENDPOINT,
    CMD_SET_DEQUEUE, CMD_RESET_DEVICE, CMD_NOOP = 23, EVENT_TRANSFER = 32, EVENT_COMMAND, EVENT_PORT, EVENT_CONTROLLER = 37,
    EVENT_NEC = 48, CMD_NEC_FIRMWARE = 49,
};
enum { /* 6.4.5 */
    CC_SUCCESS = 1, CC_BABBLE = 3, CC_TRANSACTION_ERROR, CC_TRB_ERROR, CC_STALL, CC_NO_SLOTS = 9, CC_SLOT_NOT_ENABLED = 11,
    CC_SHORT_PACKET = 13, CC_PARAMETER = 17, CC_CONTEXT_STATE = 19, CC_EVENT_RING_FULL = 21, CC_COMMAND_RING_STOPPED = 24, CC_STOPPED = 26,
};
static inline unsigned trb_type(const Trb *t) { return t->control >> 10 & 0x3f; }

typedef struct XhciRing {
    uint64_t dequeue;
    bool cycle;
} XhciRing;

typedef enum EndpointState { EP_DISABLED, EP_RUNNING, EP_HALTED, EP_STOPPED, EP_ERROR } EndpointState;
typedef enum EndpointKind { EP_ISOCH_OUT = 1, EP_BULK_OUT, EP_INTERRUPT_OUT, EP_CONTROL, EP_ISOCH_IN, EP_BULK_IN, EP_INTERRUPT_IN } EndpointKind;

typedef struct XhciEndpoint {
    uint8_t state, kind;
    bool waits; /* a transfer is there, and the device had nothing to say */
    XhciRing ring;
} XhciEndpoint;

typedef enum SlotState { SLOT_ENABLED, SLOT_DEFAULT, SLOT_ADDRESSED, SLOT_CONFIGURED } SlotState;
typedef struct XhciSlot {
    bool enabled;
    uint8_t state;
    uint8_t port; /* root port from 1; 0: no device addressed yet */
    uint16_t interrupter;
    uint64_t context; /* output device context */
    XhciEndpoint endpoint[XHCI_ENDPOINTS + 1]; /* by device context index: 1 is the default control endpoint */
} XhciSlot;

typedef struct XhciInterrupter {
    uint32_t iman, imod, erstsz;
    uint32_t erstba[2], erdp[2];
    /* The event ring as its table said: 6.5. */
    uint64_t start;
    uint32_t size, at;
    bool cycle, full;
} XhciInterrupter;

typedef struct XhciPort {
    uint32_t portsc;
} XhciPort;

typedef struct Xhci {
    PciDevice pci;
    UsbBus bus;
    uint32_t p2, p3, slots, intrs; /* properties */
    uint32_t usbcmd, usbsts, dnctrl, config;
    uint32_t dcbaap[2], crcr_low;
    XhciRing commands;
    XhciPort port[XHCI_PORTS];
    XhciInterrupter interrupter[XHCI_INTERRUPTERS];
    XhciSlot slot[XHCI_SLOTS + 1]; /* from 1 */
    bool go_on; /* work is left for the timer */
    Timer timer;
} Xhci;

enum { CMD_RUN = 1, CMD_RESET = 2, CMD_INTE = 4, CMD_HSEE = 8, CMD_SAVE = 0x100, CMD_RESTORE = 0x200, CMD_WRAP = 0x400 };                 /* 5.4.1 */
enum { STS_HALTED = 1, STS_HOST_ERROR = 4, STS_EVENT = 8, STS_PORT = 0x10, STS_RESTORE_ERROR = 0x400, STS_CONTROLLER_ERROR = 0x1000 }; /* 5.4.2 */

static inline bool xhci_running(const Xhci *x) { return x->usbcmd & CMD_RUN && !(x->usbsts & (STS_HALTED | STS_HOST_ERROR)); }

/* ---- xhci.c */
void xhci_host_error(Xhci *x, uint64_t at); /* an access to what is no RAM: the controller stops */
void xhci_later(Xhci *x);                   /* go on soon */

/* ---- xhci_ring.c */
bool xhci_read(Xhci *x, uint64_t at, void *to, unsigned bytes); /* little-endian 32-bit words; false: host error */
bool xhci_write(Xhci *x, uint64_t at, const uint32_t *words, unsigned n);
typedef enum RingEntry { RING_EMPTY, RING_TRB, RING_BAD } RingEntry;
/* The next entry that is no link.  Moves the ring on. */
RingEntry xhci_ring_next(Xhci *x, XhciRing *r, Trb *ret);
void xhci_event_ring_start(Xhci *x, unsigned interrupter);
void xhci_event(Xhci *x, unsigned interrupter, uint64_t parameter, uint32_t status, uint32_t control);
void xhci_interrupt(Xhci *x, unsigned interrupter);
void xhci_update_intx(Xhci *x);
extern const Field xhci_ring_fields[], xhci_interrupter_fields[];

/* ---- xhci_ports.c */
extern const UsbBusOps xhci_bus_ops;
void xhci_ports_reset(Xhci *x);
uint32_t xhci_port_read(Xhci *x, unsigned port, unsigned reg);
void xhci_port_write(Xhci *x, unsigned port, unsigned reg, uint32_t value);
UsbDevice *xhci_port_device(Xhci *x, unsigned number); /* number: root port from 1; NULL: none that is enabled */
static inline unsigned xhci_n_ports(const Xhci *x) { return x->p2 + x->p3; }
extern const Field xhci_port_fields[];

/* ---- xhci_command.c */
void xhci_commands_run(Xhci *x);
void xhci_slots_reset(Xhci *x);
void xhci_endpoint_set_state(Xhci *x, unsigned slot, unsigned dci, EndpointState state); /* in its context, too */
void xhci_slots_unplug(Xhci *x, unsigned number); /* the device of that port has gone */
extern const Field xhci_slot_fields[];

/* ---- xhci_transfer.c */
void xhci_endpoint_run(Xhci *x, unsigned slot, unsigned dci); /* does the transfers that wait */
void xhci_endpoint_stopped(Xhci *x, unsigned slot, unsigned dci); /* tells of the transfer that waits, if one does */
