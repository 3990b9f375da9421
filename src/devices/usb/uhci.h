#pragma once
#include "devices/usb/usb.h"
#include "machine/pci.h"
/*
 * uhci.h - inside the UHCI controller: uhci.c registers, ports and life, uhci_schedule.c the walk through a frame.
 *
 * All of it under the controller's lock.  A frame has an end whatever the guest has written: so many links, so many bytes.
 */
enum { UHCI_PORTS = 2, UHCI_CONTROL_MAX = 4096, UHCI_LINKS = 1024, UHCI_FRAME_BYTES = 1280 };

typedef enum UhciStage { UHCI_IDLE, UHCI_DATA, UHCI_STATUS } UhciStage;

/* A control transfer comes packet by packet; the device does it whole, when all that goes out is there. */
typedef struct UhciControl {
    uint8_t stage;
    uint8_t setup[USB_SETUP_BYTES];
    uint16_t length, at;
    uint8_t data[UHCI_CONTROL_MAX];
} UhciControl;

/* What has come of a frame, or of one descriptor. */
enum { UHCI_COMPLETE = 1, UHCI_SHORT = 2, UHCI_ERROR = 4, UHCI_BAD_HOST = 8, UHCI_BAD_PROCESS = 0x10, UHCI_BAD = UHCI_BAD_HOST | UHCI_BAD_PROCESS };

typedef struct Uhci {
    PciDevice pci;
    UsbBus bus;
    uint16_t command, status, enable, frame;
    uint8_t why; /* UHCI_COMPLETE, UHCI_SHORT: of STS_INT */
    uint32_t base;
    uint8_t sofmod;
    uint16_t port[UHCI_PORTS];
    UhciControl control[UHCI_PORTS];
    int64_t deadline; /* ns */
    uint8_t outcome;  /* while a frame is walked */
    Timer timer;
} Uhci;

UsbDevice *uhci_device(Uhci *u, uint8_t address, unsigned *ret_port); /* NULL: nobody listens */
void uhci_frame(Uhci *u); /* sets outcome */
