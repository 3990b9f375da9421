/* piix3.c - the 82371SB ISA bridge: PCI interrupt routing.  Its IDE is piix_ide.c; its 8259s, 8254 and ports are devices apart. */
#include "devices/pci/piix.h"
#include "devices/pci/pirq.h"

typedef struct Piix3 {
    PciDevice pci;
    Pirq pirq;
} Piix3;

static void update(Piix3 *s) { pirq_update(&s->pirq, &s->pci.dev, &s->pci.config[PIIX3_ROUTE], 4); }

void piix3_set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level)
{
    Piix3 *s = opaque;
    g_mutex_lock(&s->pci.dev.lock);
    pirq_set_pin(&s->pirq, piix3_pirq(devfn >> 3, pin), devfn, level);
    update(s);
    g_mutex_unlock(&s->pci.dev.lock);
}

static void set_isa(Device *d, unsigned n, bool level)
{
    Piix3 *s = (Piix3 *)d;
    pirq_set_source(&s->pirq, n, level);
    update(s);
}

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value) { update((Piix3 *)p); }

/* Registers that are plain storage here, with their values after reset (82371SB, 2.2): timing, APIC base, DMA, SMI. */
static const struct { uint8_t off, value; } reset_values[] = {
    { 0x4c, 0x4d }, { 0x4e, 0x03 }, { 0x60, 0x80 }, { 0x61, 0x80 }, { 0x62, 0x80 }, { 0x63, 0x80 }, { 0x69, 0x02 },
    { 0x70, 0x80 }, { 0x76, 0x0c }, { 0x77, 0x0c }, { 0x78, 0x02 }, { 0xa0, 0x08 }, { 0xa8, 0x0f },
};

static bool piix3_realize(Device *d, GError **err)
{
    Piix3 *s = (Piix3 *)d;
    pci_set16(&s->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set_writable(&s->pci, PCI_COMMAND, 2, PCI_COMMAND_SERR);
    pci_set16(&s->pci, PCI_STATUS, 0x0200); /* medium DEVSEL# */
    for (unsigned off = 0x40; off < 0x100; off++)
        s->pci.writable[off] = 0xff;
    for (unsigned i = 0; i < G_N_ELEMENTS(reset_values); i++)
        s->pci.config[reset_values[i].off] = reset_values[i].value;
    pci_set_writable(&s->pci, PIIX3_ROUTE, 4, 0x8f8f8f8f);
    return true;
}

static void piix3_reset(Device *d, ResetKind k) { pirq_reset(d); }

static const PciInfo piix3_pci = {
    .vendor = 0x8086, .device = 0x7000, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .class_code = 0x060100, .multifunction = true, .config_written = config_written,
};
static const Field piix3_fields[] = {
    { FS(Piix3, pirq, pirq_fields), .doc = "interrupt routing" },
    DEVICE_FIELDS_END,
};

const DeviceType piix3_type = {
    .name = "PIIX3",
    .summary = "ISA bridge with PCI interrupt routing",
    .spec = "Intel 82371SB, order number 290550",
    .size = sizeof(Piix3),
    .version = 1,
    .fields = piix3_fields,
    .n_irqs = 16,
    .internal = true,
    .pci = &piix3_pci,
    .realize = piix3_realize,
    .reset = piix3_reset,
    .set_irq = set_isa,
};
