/*
 * uhci.c - the USB 1.1 controller of the PIIX chips: two ports, and a list of 1024 frames that it walks, one a millisecond.
 *
 * Source: Intel, Universal Host Controller Interface Design Guide 1.1 ("UHCI"); 82371SB (PIIX3) data sheet.
 *
 * A transfer descriptor is one packet.  Where a device has nothing to say it stays active, and its turn comes again in the next frame;
 * so nothing of a transfer is ever held here, but for a control transfer, which devices do whole (UhciControl).
 */
#include "devices/usb/uhci.h"

#include <string.h>

enum { R_CMD = 0, R_STS = 2, R_INTR = 4, R_FRNUM = 6, R_BASE = 8, R_SOFMOD = 0xc, R_PORTS = 0x10, WINDOW_BYTES = 0x20 };
enum { CMD_RUN = 1, CMD_RESET = 2, CMD_GLOBAL_RESET = 4, CMD_GLOBAL_SUSPEND = 8, CMD_GLOBAL_RESUME = 0x10, CMD_WRITABLE = 0xff };
enum { STS_INT = 1, STS_ERROR = 2, STS_RESUME = 4, STS_HOST_ERROR = 8, STS_PROCESS_ERROR = 0x10, STS_HALTED = 0x20 };
enum { INTR_ERROR = 1, INTR_RESUME = 2, INTR_COMPLETE = 4, INTR_SHORT = 8 };
enum { SC_CONNECTED = 1, SC_CONNECT_CHANGED = 2, SC_ENABLED = 4, SC_ENABLE_CHANGED = 8, SC_RESUME = 0x40, SC_ONE = 0x80, SC_LOW_SPEED = 0x100,
       SC_RESET = 0x200, SC_SUSPENDED = 0x1000, SC_CHANGES = SC_CONNECT_CHANGED | SC_ENABLE_CHANGED, SC_WRITABLE = SC_ENABLED | SC_RESUME | SC_RESET | SC_SUSPENDED };
enum { FRAME_NS = 1000000, LEGACY = 0xc0, SERIAL_BUS_RELEASE = 0x60 };

/* ---- interrupts: UHCI 2.1.2 */

static void update_irq(Uhci *u)
{
    bool complete = u->status & STS_INT && ((u->why & UHCI_COMPLETE && u->enable & INTR_COMPLETE) || (u->why & UHCI_SHORT && u->enable & INTR_SHORT));
    bool error = u->status & STS_ERROR && u->enable & INTR_ERROR, resume = u->status & STS_RESUME && u->enable & INTR_RESUME;
    pci_set_intx(&u->pci, complete || error || resume || u->status & (STS_HOST_ERROR | STS_PROCESS_ERROR));
}

static void halt(Uhci *u, uint16_t why)
{
    u->command &= ~CMD_RUN;
    u->status |= STS_HALTED | why;
    timer_disarm(&u->timer);
}

/* ---- frames */

static void arm(Uhci *u) { timer_arm(&u->timer, u->deadline); }

static void frame(void *device)
{
    Uhci *u = device;
    int64_t now = clock_now(u->pci.dev.machine->clock);
    uhci_frame(u);
    u->frame = (u->frame + 1) & 0x7ff;
    if (u->outcome & UHCI_BAD)
        halt(u, u->outcome & UHCI_BAD_HOST ? STS_HOST_ERROR : STS_PROCESS_ERROR);
    u->why |= u->outcome & (UHCI_COMPLETE | UHCI_SHORT);
    u->status |= (u->outcome & (UHCI_COMPLETE | UHCI_SHORT) ? STS_INT : 0) | (u->outcome & UHCI_ERROR ? STS_ERROR : 0);
    u->outcome = 0;
    update_irq(u);
    if (!(u->command & CMD_RUN))
        return;
    /* Late frames are not made up for: a host that cannot keep up would never catch up. */
    u->deadline = MAX(u->deadline + FRAME_NS, now + FRAME_NS / 2);
    arm(u);
}

/* ---- ports: 2.1.7 */

static void connect_port(Uhci *u, unsigned port, bool there)
{
    const UsbDevice *d = u->bus.port[port].device;
    uint16_t old = u->port[port];
    u->port[port] = (old & ~(SC_CONNECTED | SC_LOW_SPEED)) | (there ? SC_CONNECTED : 0) | (there && d->speed == USB_LOW ? SC_LOW_SPEED : 0);
    if (!there && old & SC_ENABLED)
        u->port[port] = (u->port[port] & ~SC_ENABLED) | SC_ENABLE_CHANGED;
    u->control[port].stage = UHCI_IDLE;
}

static void wake(Uhci *u, unsigned port)
{
    if (!(u->command & CMD_GLOBAL_SUSPEND) && !(u->port[port] & SC_SUSPENDED))
        return;
    u->port[port] |= SC_RESUME;
    u->status |= STS_RESUME;
    update_irq(u);
}

static void attach(Device *d, unsigned port)
{
    Uhci *u = (Uhci *)d;
    connect_port(u, port, true);
    u->port[port] |= SC_CONNECT_CHANGED;
    wake(u, port);
}

static void detach(Device *d, unsigned port)
{
    Uhci *u = (Uhci *)d;
    connect_port(u, port, false);
    u->port[port] |= SC_CONNECT_CHANGED;
    wake(u, port);
}

static void wakeup(Device *d, unsigned port, uint8_t endpoint)
{
    Uhci *u = (Uhci *)d;
    if (u->bus.port[port].device->wakes)
        wake(u, port);
}

static const UsbBusOps bus_ops = { attach, detach, wakeup };

static void write_port(Uhci *u, unsigned port, uint16_t v)
{
    UsbDevice *d = u->bus.port[port].device;
    uint16_t old = u->port[port];
    u->port[port] = (old & ~(SC_WRITABLE | (v & SC_CHANGES))) | (v & SC_WRITABLE);
    if (!d || !(old & SC_CONNECTED))
        u->port[port] &= ~(SC_ENABLED | SC_SUSPENDED);
    if (v & SC_RESET) {
        u->port[port] &= ~SC_ENABLED;
        u->control[port].stage = UHCI_IDLE;
    }
    if (d && old & ~v & SC_RESET)
        usb_reset(d);
    if (old & ~v & SC_RESUME)
        u->port[port] &= ~SC_SUSPENDED;
}

UsbDevice *uhci_device(Uhci *u, uint8_t address, unsigned *ret_port)
{
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        UsbDevice *d = u->bus.port[i].device;
        if (d && d->address == address && (u->port[i] & (SC_ENABLED | SC_CONNECTED | SC_SUSPENDED)) == (SC_ENABLED | SC_CONNECTED)) {
            *ret_port = i;
            return d;
        }
    }
    return NULL;
}

/* ---- registers */

static void reset_registers(Uhci *u)
{
    timer_disarm(&u->timer);
    u->command = u->enable = u->frame = u->why = 0;
    u->status = STS_HALTED;
    u->base = 0;
    u->sofmod = 0x40;
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        u->port[i] = SC_ONE;
        u->control[i].stage = UHCI_IDLE;
        if (u->bus.port[i].device) {
            connect_port(u, i, true);
            u->port[i] |= SC_CONNECT_CHANGED;
        }
    }
    update_irq(u);
}

static void reset_devices(Uhci *u)
{
    for (unsigned i = 0; i < UHCI_PORTS; i++)
        if (u->bus.port[i].device)
            usb_reset(u->bus.port[i].device);
}

static void write_command(Uhci *u, uint16_t v)
{
    uint16_t old = u->command;
    if (v & (CMD_RESET | CMD_GLOBAL_RESET)) {
        reset_devices(u);
        reset_registers(u);
        u->command = v & CMD_GLOBAL_RESET; /* which the driver takes away itself */
        return;
    }
    u->command = v & CMD_WRITABLE;
    if (v & ~old & CMD_RUN) {
        u->status &= ~STS_HALTED;
        u->deadline = clock_now(u->pci.dev.machine->clock) + FRAME_NS;
        arm(u);
    } else if (old & ~v & CMD_RUN) {
        halt(u, 0);
    }
}

static void write_status(Uhci *u, uint16_t v)
{
    u->status &= ~(v & ~STS_HALTED);
    if (v & STS_INT)
        u->why = 0;
    update_irq(u);
}

static uint64_t read_register(Device *d, uint64_t off, unsigned size)
{
    const Uhci *u = (Uhci *)d;
    switch (off) {
    case R_CMD:
        return u->command;
    case R_STS:
        return u->status;
    case R_INTR:
        return u->enable;
    case R_FRNUM:
        return u->frame;
    case R_BASE:
        return u->base & 0xffff;
    case R_BASE + 2:
        return u->base >> 16;
    case R_SOFMOD:
        return u->sofmod;
    case R_PORTS:
    case R_PORTS + 2:
        return u->port[(off - R_PORTS) / 2];
    }
    return off > R_PORTS ? 0 : 0xff; /* drivers count ports by bit 7 */
}

static void write_register(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Uhci *u = (Uhci *)d;
    switch (off) {
    case R_CMD:
        write_command(u, value);
        break;
    case R_STS:
        write_status(u, value);
        break;
    case R_INTR:
        u->enable = value & 0xf;
        update_irq(u);
        break;
    case R_FRNUM:
        if (u->status & STS_HALTED)
            u->frame = value & 0x7ff;
        break;
    case R_BASE:
        u->base = (u->base & 0xffff0000) | (value & 0xf000);
        break;
    case R_BASE + 2:
        u->base = (u->base & 0xffff) | (uint32_t)value << 16;
        break;
    case R_SOFMOD:
        u->sofmod = value & 0x7f;
        break;
    case R_PORTS:
    case R_PORTS + 2:
        write_port(u, (off - R_PORTS) / 2, value);
    }
}

static const WindowOps ops = { read_register, write_register, .min = 2, .max = 2 };
static const WindowDecl windows[] = {
    { "registers", SPACE_PCI_BAR, WINDOW_BYTES, &ops, .bar = 4, .bar_io = true },
    { .name = NULL },
};

/* ---- life */

static bool realize(Device *d, GError **err)
{
    Uhci *u = (Uhci *)d;
    u->pci.config[SERIAL_BUS_RELEASE] = 0x10;
    pci_set16(&u->pci, LEGACY, 0x2000);
    pci_set_writable(&u->pci, LEGACY, 2, 0x20bf);
    device_timer_init(d, &u->timer, frame);
    usb_bus_init(&u->bus, d, &bus_ops, UHCI_PORTS, 1 << USB_LOW | 1 << USB_FULL);
    return true;
}

static void unrealize(Device *d)
{
    Uhci *u = (Uhci *)d;
    usb_bus_finish(&u->bus);
    timer_finish(&u->timer);
}

static void reset(Device *d, ResetKind k) { reset_registers((Uhci *)d); }
static void pre_save(Device *d) { usb_bus_quiesce(&((Uhci *)d)->bus); }

static bool post_load(Device *d, GError **err)
{
    Uhci *u = (Uhci *)d;
    for (unsigned i = 0; i < UHCI_PORTS; i++)
        if (u->control[i].stage > UHCI_STATUS || u->control[i].length > UHCI_CONTROL_MAX || u->control[i].at > u->control[i].length)
            return error_set(err, ERR_INVALID, "%s: saved state of port %u is in a control transfer that cannot be", d->path, i + 1);
    if (u->command & CMD_RUN)
        arm(u);
    else
        timer_disarm(&u->timer);
    return true;
}

static const Field control_fields[] = {
    { F(UhciControl, stage), .doc = "what comes next" },
    { FA(UhciControl, setup), .doc = "the request" },
    { F(UhciControl, length), .doc = "bytes of data" },
    { F(UhciControl, at), .doc = "bytes that have been moved" },
    { FA(UhciControl, data) },
    DEVICE_FIELDS_END,
};
static const Field fields[] = {
    { FO(Uhci, bus), .role = FIELD_HOST },
    { F(Uhci, command), .doc = "USBCMD" },
    { F(Uhci, status), .reset = STS_HALTED, .doc = "USBSTS" },
    { F(Uhci, enable), .doc = "USBINTR" },
    { F(Uhci, frame), .doc = "FRNUM" },
    { F(Uhci, why), .doc = "what the interrupt is for" },
    { F(Uhci, base), .doc = "FLBASEADD" },
    { F(Uhci, sofmod), .doc = "SOFMOD" },
    { FA(Uhci, port), .doc = "PORTSC" },
    { FSA(Uhci, control, control_fields), .doc = "control transfers under way" },
    { F(Uhci, deadline), .doc = "of the next frame, ns" },
    { F(Uhci, outcome), .role = FIELD_HOST },
    { FO(Uhci, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static const PciInfo piix3_info = { .vendor = 0x8086, .device = 0x7020, .class_code = 0x0c0300, .revision = 1, .interrupt_pin = 4 };
static const PciInfo piix4_info = { .vendor = 0x8086, .device = 0x7112, .class_code = 0x0c0300, .revision = 1, .interrupt_pin = 4 };

#define UHCI_TYPE(type_name, chip, info)                                                                                                    \
    { .name = type_name, .summary = "USB 1.1 controller (UHCI) of the " chip, .spec = "UHCI 1.1", .size = sizeof(Uhci), .version = 1,       \
      .fields = fields, .windows = windows, .pci = info, .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = pre_save,  \
      .post_load = post_load }
const DeviceType piix3_usb_uhci_type = UHCI_TYPE("piix3-usb-uhci", "PIIX3", &piix3_info);
const DeviceType piix4_usb_uhci_type = UHCI_TYPE("piix4-usb-uhci", "PIIX4", &piix4_info);
