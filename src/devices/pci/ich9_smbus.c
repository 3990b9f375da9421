/* ich9_smbus.c - the ICH9's function 31:3: the SMBus host controller (smbus.h) with an interrupt.  Intel 316972, chapter 18. */
#include "devices/pci/q35.h"
#include "devices/pci/smbus.h"

enum { HOSTC = 0x40, HOSTC_ENABLE = 1, WINDOW_BYTES = 32 };

typedef struct Ich9Smbus {
    PciDevice pci;
    Smbus smbus;
} Ich9Smbus;

static void update_irq(Ich9Smbus *s) { pci_set_intx(&s->pci, smbus_interrupt(&s->smbus)); }

static uint64_t read_register(Device *d, uint64_t off, unsigned size) { return smbus_read(&((Ich9Smbus *)d)->smbus, off); }

static void write_register(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Ich9Smbus *s = (Ich9Smbus *)d;
    if (s->pci.config[HOSTC] & HOSTC_ENABLE)
        smbus_write(&s->smbus, off, value);
    update_irq(s);
}

static bool realize(Device *d, GError **err)
{
    Ich9Smbus *s = (Ich9Smbus *)d;
    pci_set16(&s->pci, PCI_STATUS, 0x0280);
    s->pci.config[HOSTC] = HOSTC_ENABLE; /* as firmware leaves it */
    pci_set_writable(&s->pci, HOSTC, 1, 0x1f);
    return true;
}

static const WindowOps ops = { read_register, write_register, .min = 1, .max = 1 };
static const WindowDecl windows[] = { { "registers", SPACE_PCI_BAR, WINDOW_BYTES, &ops, .bar = 4, .bar_io = true }, { .name = NULL } };
static const PciInfo info = { .vendor = 0x8086, .device = 0x2930, .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .class_code = 0x0c0500, .revision = 2,
                              .interrupt_pin = 2 };
static const Field fields[] = { { FS(Ich9Smbus, smbus, smbus_fields), .doc = "host controller" }, DEVICE_FIELDS_END };

const DeviceType ich9_smbus_type = {
    .name = "ICH9-SMB", .summary = "SMBus host controller", .spec = "Intel ICH9, order number 316972", .size = sizeof(Ich9Smbus), .version = 1, .fields = fields,
    .windows = windows, .internal = true, .pci = &info, .realize = realize,
};
