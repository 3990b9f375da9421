/*
 * pci_hotplug.c - tells the guest of PCI devices that come, and asks it for those that shall go.
 *
 * A bit a slot.  The guest's method reads and so clears which slots have something new, reads which ones it is asked to let go, and writes
 * to the eject register when it has.  It may also let go of its own accord.  A whole slot goes at once, with all its functions.
 */
#include "devices/acpi/pci_hotplug.h"

enum { SLOTS = 32, FEATURES = 0 };
static const int64_t RETRY_NS = 5000000000;

typedef struct PciHotplug {
    Device dev;
    uint32_t up, down, selected;
    int64_t asked; /* ns: when the last device was asked for */
    PciBus *bus;
} PciHotplug;

/* ---- slots */

/* What the guest could not do without, and bridges, whose hotplug is their own. */
static bool removable(const PciDevice *p)
{
    enum { DISPLAY = 3, BRIDGE = 6 };
    uint8_t class_code = p->config[PCI_CLASS + 2];
    return !p->dev.type->internal && class_code != DISPLAY && class_code != BRIDGE;
}

static bool slot_removable(const PciHotplug *h, unsigned slot)
{
    for (unsigned function = 0; function < 8; function++) {
        const PciDevice *p = pci_find(h->bus, pci_devfn(slot, function));
        if (p && !removable(p))
            return false;
    }
    return true;
}

static uint32_t removable_slots(const PciHotplug *h)
{
    uint32_t slots = 0;
    for (unsigned slot = 0; h->bus && slot < SLOTS; slot++)
        slots |= (uint32_t)slot_removable(h, slot) << slot;
    return slots;
}

/* The guest sees an empty slot at once; the device itself goes when the main thread gets to it. */
static void eject(PciHotplug *h, unsigned slot)
{
    h->up &= ~(1u << slot);
    h->down &= ~(1u << slot);
    for (unsigned function = 0; function < 8; function++) {
        PciDevice *p = pci_find(h->bus, pci_devfn(slot, function));
        if (!p)
            continue;
        pci_hide(p);
        device_let_go(&p->dev);
    }
}

static void eject_slots(PciHotplug *h, uint32_t slots)
{
    for (unsigned slot = 0; h->bus && !h->selected && slot < SLOTS; slot++) {
        if (!(slots >> slot & 1))
            continue;
        if (slot_removable(h, slot))
            eject(h, slot);
        else
            guest_error(&h->dev, "slot %u ejected, whose device stays", slot);
    }
}

/* ---- registers */

static uint64_t read_register(Device *d, uint64_t off, unsigned size)
{
    PciHotplug *h = (PciHotplug *)d;
    uint32_t up = h->up;
    if (off == ACPI_HOTPLUG_BUS)
        return h->selected;
    if (h->selected)
        return 0; /* there is one bus, 0 */
    switch (off) {
    case ACPI_HOTPLUG_UP:
        h->up = 0;
        return up;
    case ACPI_HOTPLUG_DOWN:
        return h->down;
    case ACPI_HOTPLUG_EJECT:
        return FEATURES;
    case ACPI_HOTPLUG_REMOVABLE:
        return removable_slots(h);
    default:
        return 0;
    }
}

static void write_register(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    PciHotplug *h = (PciHotplug *)d;
    if (off == ACPI_HOTPLUG_EJECT)
        eject_slots(h, value);
    else if (off == ACPI_HOTPLUG_BUS)
        h->selected = value;
}

/* ---- the bus's side, on the main thread */

/* A slot is shown when its function 0 is there: the guest looks at the others behind it. */
static void plugged(void *opaque, PciDevice *p)
{
    PciHotplug *h = opaque;
    unsigned slot = p->devfn >> 3;
    if (!pci_find(h->bus, pci_devfn(slot, 0)))
        return;
    g_mutex_lock(&h->dev.lock);
    h->up |= 1u << slot;
    irq_pulse(&h->dev.irq[0]);
    g_mutex_unlock(&h->dev.lock);
}

/* A guest that was not listening yet has lost the event, so one may ask again after a while. */
static bool still_asked(const PciHotplug *h, unsigned slot)
{
    return h->down >> slot & 1 && clock_now(h->dev.machine->clock) - h->asked < RETRY_NS;
}

static bool unplug_request(void *opaque, PciDevice *p, GError **err)
{
    PciHotplug *h = opaque;
    unsigned slot = p->devfn >> 3;
    if (!slot_removable(h, slot))
        return error_set(err, ERR_UNSUPPORTED, "device '%s' in slot %x of bus '%s' cannot be taken out while the machine runs", p->dev.path, slot,
                         p->dev.bus->name);
    g_mutex_lock(&h->dev.lock);
    bool busy = still_asked(h, slot);
    if (!busy) {
        h->down |= 1u << slot;
        h->asked = clock_now(h->dev.machine->clock);
        irq_pulse(&h->dev.irq[0]);
    }
    g_mutex_unlock(&h->dev.lock);
    return !busy || error_set(err, ERR_BUSY, "Device %s is already in the process of unplug: the guest has been asked and has not let go; try again in a few seconds",
                              p->dev.path);
}

static const PciHotplugOps ops = { .plugged = plugged, .unplug_request = unplug_request };

void acpi_pci_hotplug_set_bus(Device *d, PciBus *bus)
{
    ((PciHotplug *)d)->bus = bus;
    pci_bus_set_hotplug(bus, &ops, d);
}

/* ---- life */

/* Whoever was to go when the machine started anew is gone. */
static void before_reset(PciHotplug *h, uint32_t down)
{
    for (unsigned slot = 0; h->bus && slot < SLOTS; slot++)
        if (down >> slot & 1)
            eject(h, slot);
}

static void reset(Device *d, ResetKind k)
{
    PciHotplug *h = (PciHotplug *)d;
    before_reset(h, h->down);
    h->down = 0;
}

static const WindowOps window_ops = { .read = read_register, .write = write_register, .min = 4, .max = 4 };
static const WindowDecl windows[] = {
    { .name = "hotplug", .space = SPACE_PIO, .size = ACPI_HOTPLUG_PORTS, .ops = &window_ops },
    { .name = NULL },
};
static const Field fields[] = {
    { F(PciHotplug, up), .doc = "slots whose device the guest has not looked at" },
    { F(PciHotplug, down), .keep = true, .doc = "slots that the guest is asked to let go" },
    { F(PciHotplug, selected), .doc = "the bus that the other registers are of" },
    { F(PciHotplug, asked), .doc = "when the guest was last asked, ns" },
    { FO(PciHotplug, bus), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType acpi_pci_hotplug_type = {
    .name = "acpi-pci-hotplug", .summary = "PCI hotplug by ACPI", .spec = "QEMU docs/specs/acpi_pci_hotplug",
    .size = sizeof(PciHotplug), .version = 1, .fields = fields, .windows = windows, .n_irqs = 1, .internal = true, .reset = reset,
};
