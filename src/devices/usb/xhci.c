/* xhci.c - the xHCI host controller's PCI function: registers and life.  xHCI 1.2, chapter 5. */
#include "devices/usb/xhci.h"

#include <string.h>

enum { CAP_BYTES = 0x40, PORTS_AT = 0x440, RUNTIME_AT = 0x1000, DOORBELLS_AT = 0x2000, WINDOW_BYTES = 0x4000, SERIAL_BUS_RELEASE = 0x60 };
enum { R_USBCMD = 0x00, R_USBSTS = 0x04, R_PAGESIZE = 0x08, R_DNCTRL = 0x14, R_CRCR = 0x18, R_DCBAAP = 0x30, R_CONFIG = 0x38 };
enum { R_IMAN = 0x00, R_IMOD = 0x04, R_ERSTSZ = 0x08, R_ERSTBA = 0x10, R_ERDP = 0x18, INTERRUPTER_BYTES = 0x20 };
enum { CRCR_CYCLE = 1, CRCR_STOP = 2, CRCR_ABORT = 4, CRCR_RUNNING = 8, ERDP_BUSY = 8, IMAN_PENDING = 1, MICROFRAME_NS = 125000 };

/* ---- faults and work that is put off */

void xhci_host_error(Xhci *x, uint64_t at)
{
    if (!(x->usbsts & STS_HOST_ERROR))
        guest_error(&x->pci.dev, "access to %#" G_GINT64_MODIFIER "x, which is not RAM, or bus mastering is off", at);
    x->usbsts |= STS_HOST_ERROR | STS_HALTED;
    x->usbcmd &= ~(uint32_t)CMD_RUN;
}

static void arm(Xhci *x) { timer_arm(&x->timer, clock_now(x->pci.dev.machine->clock) + GO_ON_NS); }

void xhci_later(Xhci *x)
{
    x->go_on = true;
    arm(x);
}

static void go_on(void *opaque)
{
    Xhci *x = opaque;
    x->go_on = false;
    if (!xhci_running(x))
        return;
    xhci_commands_run(x);
    for (unsigned s = 1; s <= x->slots; s++)
        for (unsigned dci = 1; x->slot[s].enabled && dci <= XHCI_ENDPOINTS; dci++)
            if (x->slot[s].endpoint[dci].waits)
                xhci_endpoint_run(x, s, dci);
}

/* ---- capability registers: 5.3, and the supported protocols: 7.2 */

static uint32_t read_capability(const Xhci *x, unsigned off)
{
    enum { EXTENDED_AT = 0x20 };
    const uint32_t words[CAP_BYTES / 4] = {
        0x01000000 | CAP_BYTES,                                    /* version 1.0 */
        x->slots | x->intrs << 8 | xhci_n_ports(x) << 24,
        0x0000000f,                                                /* isochronous threshold; event rings of one segment */
        0,
        EXTENDED_AT / 4 << 16 | 1,                                 /* 64-bit addresses, contexts of 32 bytes, no streams */
        DOORBELLS_AT, RUNTIME_AT, 0,
        0x02000002 | 4 << 8, 0x20425355, 1 | x->p2 << 8, 0,        /* "USB " 2.0 */
        0x03000002, 0x20425355, (x->p2 + 1) | x->p3 << 8, 0,       /* 3.0 */
    };
    uint32_t word = words[off / 4];
    return !x->p3 && off == EXTENDED_AT ? 0x02000002 : word;
}

/* ---- operational registers: 5.4 */

static void reset_controller(Xhci *x)
{
    x->usbcmd = x->dnctrl = x->config = x->crcr_low = 0;
    x->usbsts = STS_HALTED;
    x->go_on = false;
    memset(x->dcbaap, 0, sizeof(x->dcbaap));
    x->commands = (XhciRing){ 0 };
    memset(x->interrupter, 0, sizeof(x->interrupter));
    for (unsigned i = 0; i < XHCI_INTERRUPTERS; i++)
        x->interrupter[i].imod = 4000;
    xhci_slots_reset(x);
    xhci_ports_reset(x);
    timer_disarm(&x->timer);
    xhci_update_intx(x);
}

static void announce_ports(Xhci *x)
{
    for (unsigned port = 0; port < xhci_n_ports(x); port++)
        if (x->port[port].portsc & 1 << 17)
            xhci_event(x, 0, (uint64_t)(port + 1) << 24, (uint32_t)CC_SUCCESS << 24, EVENT_PORT << 10);
}

static void write_usbcmd(Xhci *x, uint32_t v)
{
    uint32_t old = x->usbcmd;
    if (v & CMD_RESET) {
        reset_controller(x);
        return;
    }
    x->usbcmd = v & (CMD_RUN | CMD_INTE | CMD_HSEE | CMD_WRAP);
    if (v & CMD_SAVE) /* 4.23.2: nothing is kept, so restoring fails and the driver starts anew */
        x->usbsts &= ~(uint32_t)STS_RESTORE_ERROR;
    if (v & CMD_RESTORE)
        x->usbsts |= STS_RESTORE_ERROR;
    if (x->usbsts & STS_HOST_ERROR)
        x->usbcmd &= ~(uint32_t)CMD_RUN;
    if (x->usbcmd & CMD_RUN && !(old & CMD_RUN)) {
        x->usbsts &= ~(uint32_t)STS_HALTED;
        announce_ports(x);
    } else if (!(x->usbcmd & CMD_RUN)) {
        x->usbsts |= STS_HALTED;
        x->crcr_low &= ~(uint32_t)CRCR_RUNNING;
    }
    xhci_update_intx(x);
}

/* Its pointer shows as zero; while the ring runs, only stopping it is heard: 5.4.5. */
static void write_crcr(Xhci *x, bool high, uint32_t v)
{
    if (x->crcr_low & CRCR_RUNNING) {
        if (!high && v & (CRCR_STOP | CRCR_ABORT)) {
            x->crcr_low &= ~(uint32_t)CRCR_RUNNING;
            xhci_event(x, 0, x->commands.dequeue, (uint32_t)CC_COMMAND_RING_STOPPED << 24, EVENT_COMMAND << 10);
        }
    } else if (high) {
        x->commands.dequeue = (x->commands.dequeue & UINT32_MAX) | (uint64_t)v << 32;
    } else {
        x->commands.dequeue = (x->commands.dequeue & ~(uint64_t)UINT32_MAX) | (v & ~0x3fu);
        x->commands.cycle = v & CRCR_CYCLE;
    }
}

static uint32_t read_operational(const Xhci *x, unsigned off)
{
    switch (off) {
    case R_USBCMD:
        return x->usbcmd;
    case R_USBSTS:
        return x->usbsts;
    case R_PAGESIZE:
        return 1; /* 4 KiB */
    case R_DNCTRL:
        return x->dnctrl;
    case R_CRCR:
        return x->crcr_low;
    case R_DCBAAP:
    case R_DCBAAP + 4:
        return x->dcbaap[(off - R_DCBAAP) / 4];
    case R_CONFIG:
        return x->config;
    }
    return 0;
}

static void write_operational(Xhci *x, unsigned off, uint32_t v)
{
    switch (off) {
    case R_USBCMD:
        write_usbcmd(x, v);
        break;
    case R_USBSTS:
        x->usbsts &= ~(v & (STS_HOST_ERROR | STS_EVENT | STS_PORT | STS_RESTORE_ERROR));
        break;
    case R_DNCTRL:
        x->dnctrl = v & 0xffff;
        break;
    case R_CRCR:
    case R_CRCR + 4:
        write_crcr(x, off != R_CRCR, v);
        break;
    case R_DCBAAP:
    case R_DCBAAP + 4:
        x->dcbaap[(off - R_DCBAAP) / 4] = off == R_DCBAAP ? v & ~0x3fu : v;
        break;
    case R_CONFIG:
        x->config = v & 0xff;
    }
}

/* ---- runtime registers: 5.5 */

static uint32_t read_runtime(Xhci *x, unsigned off)
{
    if (off < INTERRUPTER_BYTES)
        return off ? 0 : (uint64_t)clock_now(x->pci.dev.machine->clock) / MICROFRAME_NS & 0x3fff;
    unsigned n = off / INTERRUPTER_BYTES - 1;
    if (n >= x->intrs)
        return 0;
    const XhciInterrupter *i = &x->interrupter[n];
    const uint32_t words[] = { i->iman, i->imod, i->erstsz, 0, i->erstba[0], i->erstba[1], i->erdp[0], i->erdp[1] };
    return words[off % INTERRUPTER_BYTES / 4];
}

static bool events_left(const XhciInterrupter *i)
{
    uint64_t read = ((uint64_t)i->erdp[1] << 32 | i->erdp[0]) & ~(uint64_t)0xf;
    return i->size && read != i->start + (uint64_t)i->at * TRB_BYTES;
}

/* The driver has read so far; where more has come since its interrupt, there is another. */
static void write_erdp(Xhci *x, unsigned n, bool high, uint32_t v)
{
    XhciInterrupter *i = &x->interrupter[n];
    if (high) {
        i->erdp[1] = v;
        return;
    }
    i->erdp[0] = (v & ~(uint32_t)ERDP_BUSY) | (i->erdp[0] & ~v & ERDP_BUSY);
    if (v & ERDP_BUSY && events_left(i))
        xhci_interrupt(x, n);
}

static void write_runtime(Xhci *x, unsigned off, uint32_t v)
{
    unsigned n = off / INTERRUPTER_BYTES - 1;
    if (off < INTERRUPTER_BYTES || n >= x->intrs)
        return;
    XhciInterrupter *i = &x->interrupter[n];
    switch (off % INTERRUPTER_BYTES) {
    case R_IMAN:
        i->iman = (v & 2) | (i->iman & ~v & IMAN_PENDING);
        xhci_update_intx(x);
        break;
    case R_IMOD:
        i->imod = v;
        break;
    case R_ERSTSZ:
        i->erstsz = v & 0xffff;
        break;
    case R_ERSTBA:
        i->erstba[0] = v & ~0x3fu;
        break;
    case R_ERSTBA + 4:
        i->erstba[1] = v;
        xhci_event_ring_start(x, n);
        break;
    case R_ERDP:
    case R_ERDP + 4:
        write_erdp(x, n, off % INTERRUPTER_BYTES != R_ERDP, v);
    }
}

/* ---- doorbells: 4.7 */

static void ring_doorbell(Xhci *x, unsigned slot, uint32_t v)
{
    unsigned dci = v & 0xff;
    if (!xhci_running(x))
        return;
    if (!slot && !dci) {
        x->crcr_low |= CRCR_RUNNING;
        xhci_commands_run(x);
    } else if (slot && slot <= x->slots && x->slot[slot].enabled && dci && dci <= XHCI_ENDPOINTS) {
        if (x->slot[slot].endpoint[dci].state == EP_STOPPED)
            xhci_endpoint_set_state(x, slot, dci, EP_RUNNING);
        xhci_endpoint_run(x, slot, dci);
    } else {
        guest_error(&x->pci.dev, "doorbell %u rung for %u", slot, dci);
    }
}

/* ---- the window */

static uint64_t read_register(Device *d, uint64_t off, unsigned size)
{
    Xhci *x = (Xhci *)d;
    if (off < CAP_BYTES)
        return read_capability(x, off);
    if (off < PORTS_AT)
        return read_operational(x, off - CAP_BYTES);
    if (off < RUNTIME_AT)
        return xhci_port_read(x, (off - PORTS_AT) / 16, off % 16);
    return off < DOORBELLS_AT ? read_runtime(x, off - RUNTIME_AT) : 0;
}

static void write_register(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Xhci *x = (Xhci *)d;
    if (off >= DOORBELLS_AT)
        ring_doorbell(x, (off - DOORBELLS_AT) / 4, value);
    else if (off >= RUNTIME_AT)
        write_runtime(x, off - RUNTIME_AT, value);
    else if (off >= PORTS_AT)
        xhci_port_write(x, (off - PORTS_AT) / 16, off % 16, value);
    else if (off >= CAP_BYTES)
        write_operational(x, off - CAP_BYTES, value);
}

static const WindowOps ops = { read_register, write_register, .min = 4, .max = 4 };
static const WindowDecl windows[] = {
    { "registers", SPACE_PCI_BAR, WINDOW_BYTES, &ops, .bar = 0, .bar_64 = true },
    { "msix", SPACE_PCI_BAR, 4096, &pci_msix_window, .bar = 2 },
    { .name = NULL },
};

/* ---- life */

static bool realize(Device *d, GError **err)
{
    Xhci *x = (Xhci *)d;
    x->pci.config[SERIAL_BUS_RELEASE] = 0x30;
    device_timer_init(d, &x->timer, go_on);
    unsigned connectors = MAX(x->p2, x->p3);
    usb_bus_init(&x->bus, d, &xhci_bus_ops, connectors, 0);
    for (unsigned i = 0; i < connectors; i++)
        x->bus.port[i].speeds = (i < x->p2 ? 1 << USB_LOW | 1 << USB_FULL | 1 << USB_HIGH : 0) | (i < x->p3 ? 1 << USB_SUPER : 0);
    return true;
}

static void unrealize(Device *d)
{
    Xhci *x = (Xhci *)d;
    usb_bus_finish(&x->bus);
    timer_finish(&x->timer);
}

static void reset(Device *d, ResetKind k) { reset_controller((Xhci *)d); }
static void pre_save(Device *d) { usb_bus_quiesce(&((Xhci *)d)->bus); }

static bool slots_ok(const Xhci *x)
{
    for (unsigned s = 0; s <= XHCI_SLOTS; s++) {
        if (x->slot[s].state > SLOT_CONFIGURED || x->slot[s].port > xhci_n_ports(x))
            return false;
        for (unsigned dci = 0; dci <= XHCI_ENDPOINTS; dci++)
            if (x->slot[s].endpoint[dci].state > EP_ERROR || x->slot[s].endpoint[dci].kind > EP_INTERRUPT_IN)
                return false;
    }
    return true;
}

static bool post_load(Device *d, GError **err)
{
    Xhci *x = (Xhci *)d;
    for (unsigned i = 0; i < XHCI_INTERRUPTERS; i++)
        if (x->interrupter[i].size > 4096 || (x->interrupter[i].size && x->interrupter[i].at >= x->interrupter[i].size))
            return error_set(err, ERR_INVALID, "%s: saved state of event ring %u is out of its bounds", d->path, i);
    if (!slots_ok(x))
        return error_set(err, ERR_INVALID, "%s: saved state has a slot that cannot be", d->path);
    if (x->go_on)
        arm(x);
    else
        timer_disarm(&x->timer);
    return true;
}

static const Field fields[] = {
    { FO(Xhci, bus), .role = FIELD_HOST },
    { F(Xhci, p2), .role = FIELD_PROP, .reset = 4, .min = 1, .max = USB_PORTS_MAX, .doc = "ports of USB 2" },
    { F(Xhci, p3), .role = FIELD_PROP, .reset = 4, .max = USB_PORTS_MAX, .doc = "ports of USB 3" },
    { F(Xhci, slots), .role = FIELD_PROP, .reset = XHCI_SLOTS, .min = 1, .max = XHCI_SLOTS, .doc = "device slots" },
    { F(Xhci, intrs), .role = FIELD_PROP, .reset = XHCI_INTERRUPTERS, .min = 1, .max = XHCI_INTERRUPTERS, .doc = "interrupters" },
    { F(Xhci, usbcmd), .doc = "command" },
    { F(Xhci, usbsts), .reset = STS_HALTED, .doc = "status" },
    { F(Xhci, dnctrl), .doc = "device notifications" },
    { F(Xhci, config), .doc = "slots that the driver uses" },
    { FA(Xhci, dcbaap), .doc = "array of device contexts" },
    { F(Xhci, crcr_low), .doc = "command ring runs" },
    { FS(Xhci, commands, xhci_ring_fields), .doc = "command ring" },
    { FSA(Xhci, port, xhci_port_fields), .doc = "root ports" },
    { FSA(Xhci, interrupter, xhci_interrupter_fields), .doc = "interrupters and their event rings" },
    { FSA(Xhci, slot, xhci_slot_fields), .doc = "device slots" },
    { F(Xhci, go_on), .doc = "work is left" },
    { FO(Xhci, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static const PciInfo qemu_info = { .vendor = 0x1b36, .device = 0x000d, .class_code = 0x0c0330, .revision = 1, .interrupt_pin = 1,
                                   .msix_vectors = XHCI_INTERRUPTERS, .msix_bar = 2 };
static const PciInfo nec_info = { .vendor = 0x1033, .device = 0x0194, .class_code = 0x0c0330, .revision = 3, .interrupt_pin = 1,
                                  .msix_vectors = XHCI_INTERRUPTERS, .msix_bar = 2 };

#define XHCI_TYPE(type_name, text, info)                                                                                                    \
    { .name = type_name, .summary = text, .spec = "xHCI 1.2", .size = sizeof(Xhci), .version = 1, .fields = fields, .windows = windows,     \
      .pci = info, .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = pre_save, .post_load = post_load }
const DeviceType qemu_xhci_type = XHCI_TYPE("qemu-xhci", "USB 3 controller (xHCI)", &qemu_info);
const DeviceType nec_usb_xhci_type = XHCI_TYPE("nec-usb-xhci", "USB 3 controller (xHCI) with the identity of NEC's uPD720200", &nec_info);
