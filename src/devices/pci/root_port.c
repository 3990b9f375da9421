/*
 * root_port.c - a PCI Express root port with a hotplug slot, as libvirt plugs devices into on a q35.  PCI Express Base
 * Specification 3.0, 7.8 (capability) and 6.7 (hotplug).
 *
 * A slot with an attention button, a power controller and both indicators, whose commands complete at once.  A device that comes is a
 * change of presence and of the link, so that the guest need not wait whether its button is pushed again; one that shall go is a push
 * of the button.  The guest lets go of it by turning power and power indicator off, which it may do of its own accord, too.  The link
 * is up while there is a device, with power or without.
 */
#include "devices/pci/bridges.h"
#include "machine/machine.h"
#include "machine/pci_bridge.h"

enum { WINDOW_BYTES = 4096, VECTORS = 1, CAP_BYTES = 0x3c, CAP_EXPRESS = 0x10 };
enum { /* offsets in the capability */
    FLAGS = 0x02, DEVCAP = 0x04, DEVCTL = 0x08, DEVSTA = 0x0a, LNKCAP = 0x0c, LNKCTL = 0x10, LNKSTA = 0x12, SLTCAP = 0x14, SLTCTL = 0x18,
    SLTSTA = 0x1a, RTCTL = 0x1c, RTSTA = 0x20, DEVCTL2 = 0x28, LNKCAP2 = 0x2c, LNKCTL2 = 0x30,
};
enum {
    FLAGS_VALUE = 2 | 4 << 4 | 1 << 8, /* version 2, root port, slot implemented */
    LINK = 3 | 16 << 4, /* 8 GT/s, 16 lanes */
    LNKCAP_ACTIVE_REPORTING = 1 << 20, LNKSTA_ACTIVE = 1 << 13, SPEEDS = 0x0e,
    SLTCAP_BUTTON = 1 << 0, SLTCAP_POWER = 1 << 1, SLTCAP_ATTENTION_LED = 1 << 3, SLTCAP_POWER_LED = 1 << 4, SLTCAP_SURPRISE = 1 << 5, SLTCAP_HOTPLUG = 1 << 6,
    SLTCAP_NUMBER_SHIFT = 19,
    STA_BUTTON = 1 << 0, STA_PRESENCE_CHANGED = 1 << 3, STA_COMPLETED = 1 << 4, STA_PRESENT = 1 << 6, STA_LINK_CHANGED = 1 << 8, STA_EVENTS = 0x11f,
    CTL_INTERRUPT = 1 << 5, CTL_POWER_LED_SHIFT = 8, CTL_OFF = 1 << 10, CTL_WRITABLE = 0x1fff,
    LED_ON = 1, LED_BLINK = 2, LED_OFF = 3, CTL_ATTENTION_OFF = LED_OFF << 6,
};
static const int64_t RETRY_NS = 5000000000;

typedef struct RootPort {
    PciDevice pci;
    PciBridge bridge;
    uint8_t port, chassis;
    uint16_t slot;
    bool hotplug;
    uint8_t cap;
    bool signalled; /* an enabled event is pending */
    bool asked;
    int64_t asked_at; /* ns */
} RootPort;

/* ---- registers */

static uint16_t get(const RootPort *r, unsigned off) { return pci_get16(&r->pci, r->cap + off); }
static void put(RootPort *r, unsigned off, uint16_t value) { pci_set16(&r->pci, r->cap + off, value); }
static unsigned power_led(uint16_t control) { return control >> CTL_POWER_LED_SHIFT & 3; }
static bool off(uint16_t control) { return control & CTL_OFF && power_led(control) == LED_OFF; }
static PciDevice *occupant(const RootPort *r) { return pci_find(r->bridge.bus, 0); }

/* Enables stand in SLTCTL where the events stand in SLTSTA, but for the last: 12 and 8 (7.8.10). */
static uint16_t enabled_events(uint16_t control) { return (control & 0x1f) | (control >> 12 & 1) << 8; }

static void update_interrupt(RootPort *r)
{
    bool now = get(r, SLTCTL) & CTL_INTERRUPT && get(r, SLTSTA) & enabled_events(get(r, SLTCTL));
    bool message = pci_msix_enabled(&r->pci);
    if (now && !r->signalled && message)
        pci_msix_notify(&r->pci, 0);
    pci_bridge_set_own_intx(&r->bridge, now && !message);
    r->signalled = now;
}

static void raise_events(RootPort *r, uint16_t events)
{
    uint16_t fresh = events & ~get(r, SLTSTA);
    put(r, SLTSTA, get(r, SLTSTA) | events);
    if (fresh & enabled_events(get(r, SLTCTL)))
        r->signalled = false; /* one more message, though an older event is still there */
    update_interrupt(r);
}

/* ---- presence and link */

static void put_presence(RootPort *r, bool present)
{
    put(r, SLTSTA, (get(r, SLTSTA) & ~STA_PRESENT) | (present ? STA_PRESENT : 0));
    put(r, LNKSTA, LINK | (present ? LNKSTA_ACTIVE : 0));
}

/* Which events that makes. */
static uint16_t set_present(RootPort *r, bool present)
{
    if (present == !!(get(r, SLTSTA) & STA_PRESENT))
        return 0;
    put_presence(r, present);
    return STA_PRESENCE_CHANGED | STA_LINK_CHANGED;
}

static void let_go(PciDevice *p, void *arg)
{
    pci_hide(p);
    device_let_go(&p->dev);
}

static uint16_t eject(RootPort *r)
{
    r->asked = false;
    pci_bus_each(r->bridge.bus, let_go, NULL);
    return set_present(r, false);
}

/* ---- the guest writes */

static void control_written(RootPort *r, uint16_t before)
{
    uint16_t now = get(r, SLTCTL);
    if (power_led(before) == LED_BLINK && power_led(now) == LED_ON)
        r->asked = false; /* it has thought better of it */
    uint16_t events = STA_COMPLETED;
    if (r->hotplug && off(now) && !off(before) && occupant(r))
        events |= eject(r);
    raise_events(r, events);
}

static bool touches(unsigned at, unsigned size, unsigned reg, unsigned bytes) { return at < reg + bytes && reg < at + size; }

/* The register's value before the write, of which `old` has some bytes. */
static uint16_t control_before(const RootPort *r, unsigned at, unsigned size, uint32_t old)
{
    uint16_t value = get(r, SLTCTL);
    for (unsigned i = 0; i < size; i++) {
        unsigned byte = at + i - (r->cap + SLTCTL);
        if (byte < 2)
            value = (value & ~(0xff << (byte * 8))) | (old >> (i * 8) & 0xff) << (byte * 8);
    }
    return value;
}

static void config_written(PciDevice *p, unsigned at, unsigned size, uint32_t old, uint32_t value)
{
    RootPort *r = (RootPort *)p;
    pci_bridge_written(&r->bridge, at, size, old, value);
    if (touches(at, size, r->cap + SLTCTL, 2))
        control_written(r, control_before(r, at, size, old));
    else if (touches(at, size, r->cap + SLTSTA, 2) || touches(at, size, PCI_COMMAND, 2) || touches(at, size, p->cap_msix, 4))
        update_interrupt(r);
}

/* ---- the slot, on the main thread */

static void plugged(void *opaque, PciDevice *p)
{
    RootPort *r = opaque;
    if (p->devfn)
        return; /* the guest looks when function 0 comes */
    g_mutex_lock(&r->pci.dev.lock);
    raise_events(r, set_present(r, true));
    g_mutex_unlock(&r->pci.dev.lock);
}

/* The guest blinks while it makes up its mind, and a second push then would take the first one back. */
static bool being_asked(const RootPort *r)
{
    bool recent = r->asked && clock_now(r->pci.dev.machine->clock) - r->asked_at < RETRY_NS;
    return recent || power_led(get(r, SLTCTL)) == LED_BLINK;
}

static bool ask(RootPort *r)
{
    if (being_asked(r))
        return false;
    if (off(get(r, SLTCTL))) {
        raise_events(r, eject(r)); /* no power: nobody uses it */
        return true;
    }
    r->asked = true;
    r->asked_at = clock_now(r->pci.dev.machine->clock);
    raise_events(r, STA_BUTTON);
    return true;
}

static bool unplug_request(void *opaque, PciDevice *p, GError **err)
{
    RootPort *r = opaque;
    g_mutex_lock(&r->pci.dev.lock);
    bool ok = ask(r);
    g_mutex_unlock(&r->pci.dev.lock);
    return ok || error_set(err, ERR_BUSY, "Device %s is already in the process of unplug: the guest has been asked and has not let go; try again later", p->dev.path);
}

static const PciHotplugOps hotplug_ops = { .plugged = plugged, .unplug_request = unplug_request };

/* ---- life */

static void init_capability(RootPort *r)
{
    PciDevice *p = &r->pci;
    unsigned at = r->cap = pci_add_capability(p, CAP_EXPRESS, CAP_BYTES);
    pci_set16(p, at + FLAGS, FLAGS_VALUE);
    pci_set32(p, at + DEVCAP, 1 << 15); /* role-based error reporting */
    pci_set_writable(p, at + DEVCTL, 2, 0x7fff);
    p->write1clear[at + DEVSTA] = 0x0f;
    pci_set32(p, at + LNKCAP, LINK | LNKCAP_ACTIVE_REPORTING | (uint32_t)r->port << 24);
    pci_set_writable(p, at + LNKCTL, 2, 0x01ff & ~0x20); /* a retraining ends at once */
    pci_set16(p, at + LNKSTA, LINK);
    uint32_t slot = SLTCAP_BUTTON | SLTCAP_POWER | SLTCAP_ATTENTION_LED | SLTCAP_POWER_LED | SLTCAP_SURPRISE | SLTCAP_HOTPLUG;
    pci_set32(p, at + SLTCAP, (r->hotplug ? slot : 0) | (uint32_t)r->slot << SLTCAP_NUMBER_SHIFT);
    pci_set_writable(p, at + SLTCTL, 2, CTL_WRITABLE);
    p->write1clear[at + SLTSTA] = STA_EVENTS & 0xff;
    p->write1clear[at + SLTSTA + 1] = STA_EVENTS >> 8;
    pci_set_writable(p, at + RTCTL, 2, 0x1f);
    p->write1clear[at + RTSTA + 2] = 1; /* PME status */
    pci_set_writable(p, at + DEVCTL2, 2, 0x1f);
    pci_set32(p, at + LNKCAP2, SPEEDS);
    pci_set16(p, at + LNKCTL2, LINK & 15);
    pci_set_writable(p, at + LNKCTL2, 2, 0x0f);
}

static bool realize(Device *d, GError **err)
{
    RootPort *r = (RootPort *)d;
    if (!pci_bridge_init(&r->bridge, &r->pci, 1, err))
        return false;
    init_capability(r);
    if (r->hotplug)
        pci_bus_set_hotplug(r->bridge.bus, &hotplug_ops, r);
    return true;
}

static void unrealize(Device *d) { pci_bridge_finish(&((RootPort *)d)->bridge); }

/* Who was to go when the machine started anew is gone. */
static void reset(Device *d, ResetKind k)
{
    RootPort *r = (RootPort *)d;
    if (r->asked)
        eject(r);
    bool present = occupant(r);
    put_presence(r, present);
    put(r, SLTCTL, CTL_ATTENTION_OFF | (present ? LED_ON << CTL_POWER_LED_SHIFT : LED_OFF << CTL_POWER_LED_SHIFT | CTL_OFF));
    update_interrupt(r);
}

static const WindowDecl windows[] = {
    { .name = "msix", .space = SPACE_PCI_BAR, .size = WINDOW_BYTES, .ops = &pci_msix_window, .bar = 0 },
    { .name = NULL },
};
static const PciInfo info = {
    .vendor = 0x1b36, .device = 0x000c, .class_code = 0x060400, .interrupt_pin = 1, .express = true, .msix_vectors = VECTORS, .msix_bar = 0,
    .config_written = config_written,
};
static const Field fields[] = {
    { FS(RootPort, bridge, pci_bridge_fields), .doc = "the bus behind" },
    { F(RootPort, port), .role = FIELD_PROP, .doc = "the port's number" },
    { F(RootPort, chassis), .role = FIELD_PROP, .doc = "the chassis that the slot is in; told apart by people only" },
    { F(RootPort, slot), .role = FIELD_PROP, .max = 0x1fff, .doc = "the slot's number in the chassis" },
    { F(RootPort, hotplug), .role = FIELD_PROP, .reset = 1, .doc = "devices come and go while the machine runs" },
    { F(RootPort, cap), .role = FIELD_DERIVED },
    { F(RootPort, signalled), .doc = "an enabled event is pending" },
    { F(RootPort, asked), .keep = true, .doc = "the guest is asked to let go" },
    { F(RootPort, asked_at), .keep = true, .doc = "since when, ns" },
    DEVICE_FIELDS_END,
};

const DeviceType pcie_root_port_type = {
    .name = "pcie-root-port", .summary = "PCI Express root port with a hotplug slot", .spec = "PCI Express 3.0, 7.8 and 6.7", .size = sizeof(RootPort),
    .version = 1, .fields = fields, .windows = windows, .pci = &info, .realize = realize, .unrealize = unrealize, .reset = reset,
};
