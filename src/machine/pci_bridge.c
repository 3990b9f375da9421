/* pci_bridge.c - the type 1 header, and the bus behind it. */
#include "machine/pci_bridge.h"

#include "machine/machine.h"

enum { IO_BASE = 0x1c, SECONDARY_STATUS = 0x1e, MEMORY_BASE = 0x20, PREFETCH_BASE = 0x24, PREFETCH_BASE_UPPER = 0x28, RANGE_64 = 1 };
enum { CONTROL_RESET = 1 << 6, CONTROL_WRITABLE = 0x7f };

/* ---- pins: behind a bridge slot s, pin p is the bridge's pin (s + p) mod 4 (9.1) */

static void drive(PciBridge *b, unsigned pin)
{
    const uint64_t *a = &b->asserted[pin * 4];
    bool level = a[0] | a[1] | a[2] | a[3] || (pin == 0 && b->own);
    PciBus *up = b->self->bus;
    if (up && up->ops->set_intx)
        up->ops->set_intx(up->opaque, b->self->devfn, pin, level);
}

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level)
{
    PciBridge *b = opaque;
    unsigned ours = ((devfn >> 3) + pin) & 3;
    uint64_t *word = &b->asserted[ours * 4 + devfn / 64], bit = 1ull << (devfn % 64);
    g_mutex_lock(&b->lock);
    *word = level ? *word | bit : *word & ~bit;
    drive(b, ours);
    g_mutex_unlock(&b->lock);
}

void pci_bridge_set_own_intx(PciBridge *b, bool level)
{
    PciDevice *p = b->self;
    p->config[PCI_STATUS] = (p->config[PCI_STATUS] & ~PCI_STATUS_INTX) | (level ? PCI_STATUS_INTX : 0);
    g_mutex_lock(&b->lock);
    b->own = level && !(pci_get16(p, PCI_COMMAND) & PCI_COMMAND_INTX_OFF);
    drive(b, 0);
    g_mutex_unlock(&b->lock);
}

static void send_msi(void *opaque, uint64_t address, uint32_t data)
{
    PciDevice *self = ((PciBridge *)opaque)->self;
    if (self->bus)
        pci_bus_msi(self->bus, address, data);
}

static const PciBusOps bus_ops = { .set_intx = set_intx, .msi = send_msi };

/* ---- the header (3.2.5) */

static void init_header(PciDevice *p)
{
    p->config[PCI_HEADER_TYPE] |= 1;
    for (unsigned off = PCI_BRIDGE_PRIMARY; off < PCI_CAPABILITIES; off++)
        p->config[off] = p->writable[off] = 0; /* not BARs and subsystem as in type 0 */
    pci_set_writable(p, PCI_BRIDGE_PRIMARY, 4, 0x00ffffff);
    pci_set_writable(p, IO_BASE, 2, 0xf0f0);
    p->write1clear[SECONDARY_STATUS + 1] = PCI_STATUS_ERRORS >> 8;
    pci_set_writable(p, MEMORY_BASE, 4, 0xfff0fff0);
    pci_set32(p, PREFETCH_BASE, RANGE_64 | RANGE_64 << 16);
    pci_set_writable(p, PREFETCH_BASE, 4, 0xfff0fff0);
    pci_set_writable(p, PREFETCH_BASE_UPPER, 4, UINT32_MAX);
    pci_set_writable(p, PREFETCH_BASE_UPPER + 4, 4, UINT32_MAX);
    pci_set_writable(p, PCI_BRIDGE_CONTROL, 2, CONTROL_WRITABLE);
}

static void reset_function(PciDevice *p, void *arg) { device_reset(&p->dev, RESET_WARM); }

void pci_bridge_written(PciBridge *b, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    uint32_t set = value & ~old;
    if (off <= PCI_BRIDGE_CONTROL && off + size > PCI_BRIDGE_CONTROL && set >> (PCI_BRIDGE_CONTROL - off) * 8 & CONTROL_RESET)
        pci_bus_each(b->bus, reset_function, NULL);
}

/* ---- life */

bool pci_bridge_init(PciBridge *b, PciDevice *self, unsigned slots, GError **err)
{
    if (self->rom)
        return error_set(err, ERR_INVALID, "%s: a bridge has no expansion ROM; leave romfile= out", self->dev.path);
    b->self = self;
    g_mutex_init(&b->lock);
    b->bus = pci_bus_create(self->dev.machine, self->dev.path, &bus_ops, b);
    b->bus->bus.owner = &self->dev;
    b->bus->slots = slots;
    self->behind = b->bus;
    init_header(self);
    return true;
}

void pci_bridge_finish(PciBridge *b)
{
    if (!b->bus)
        return;
    b->self->behind = NULL;
    pci_bus_destroy(b->bus);
    b->bus = NULL;
    g_mutex_clear(&b->lock);
}

const Field pci_bridge_fields[] = {
    { FO(PciBridge, bus), .role = FIELD_HOST },
    { FO(PciBridge, self), .role = FIELD_HOST },
    { FO(PciBridge, lock), .role = FIELD_HOST },
    { FA(PciBridge, asserted), .doc = "per pin, which functions behind assert it" },
    { F(PciBridge, own), .doc = "whether the bridge itself asserts pin A" },
    { .name = NULL },
};
