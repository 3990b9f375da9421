/*
 * i440fx.c - the 82441FX host bridge ("PMC"): configuration mechanism 1, shadow RAM and SMRAM.
 *
 * The ports are a device apart from function 0:0, because a configuration access takes the function's lock.  The reset
 * control register cf9h of the PIIX3 lies inside the address port, where only byte accesses reach it, so it is here.
 */
#include "devices/pci/i440fx.h"

#include "devices/pci/pam.h"

/* ---- ports cf8h and cfch */

typedef struct I440fxPorts {
    Device dev;
    PciBus *bus;
    uint32_t address;      /* CONFADD: enable 31, bus 23-16, device and function 15-8, register 7-2 */
    uint8_t reset_control; /* RC */
} I440fxPorts;

enum { CONFADD_ENABLE = 1u << 31, RC_SYSTEM = 1 << 1, RC_RESET = 1 << 2 };

static uint64_t address_read(Device *d, uint64_t off, unsigned size)
{
    I440fxPorts *h = (I440fxPorts *)d;
    if (off == 1 && size == 1)
        return h->reset_control;
    return h->address >> (off * 8);
}

static void address_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    I440fxPorts *h = (I440fxPorts *)d;
    if (off == 0 && size == 4) {
        h->address = value & ~0x7f000003u;
    } else if (off == 1 && size == 1) {
        if (value & RC_RESET && !(h->reset_control & RC_RESET))
            machine_request(d->machine, CAUSE_GUEST_RESET);
        h->reset_control = value & (RC_SYSTEM | RC_RESET);
    }
}

static PciBus *selected(const I440fxPorts *h)
{
    return h->bus && h->address & CONFADD_ENABLE ? pci_bus_number(h->bus, h->address >> 16 & 0xff) : NULL;
}

static uint64_t data_read(Device *d, uint64_t off, unsigned size)
{
    I440fxPorts *h = (I440fxPorts *)d;
    PciBus *b = selected(h);
    return b ? pci_config_read(b, h->address >> 8, (h->address & 0xfc) + off, size) : UINT64_MAX;
}

static void data_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    I440fxPorts *h = (I440fxPorts *)d;
    PciBus *b = selected(h);
    if (b)
        pci_config_write(b, h->address >> 8, (h->address & 0xfc) + off, size, value);
}

void i440fx_ports_set_bus(Device *ports, PciBus *bus) { ((I440fxPorts *)ports)->bus = bus; }

static const WindowOps address_ops = { .read = address_read, .write = address_write, .min = 1, .max = 4 };
static const WindowOps data_ops = { .read = data_read, .write = data_write, .min = 1, .max = 4 };
static const WindowDecl ports_windows[] = {
    { .name = "address", .space = SPACE_PIO, .size = 4, .ops = &address_ops },
    { .name = "data", .space = SPACE_PIO, .size = 4, .ops = &data_ops },
    { .name = NULL },
};
static const Field ports_fields[] = {
    { FO(I440fxPorts, bus), .role = FIELD_HOST },
    { F(I440fxPorts, address), .doc = "CONFADD, port cf8h" },
    { F(I440fxPorts, reset_control), .doc = "RC, port cf9h" },
    DEVICE_FIELDS_END,
};

const DeviceType i440fx_ports_type = {
    .name = "i440FX-pcihost",
    .summary = "PCI configuration ports of the host bridge",
    .spec = "Intel 82441FX, order number 290549",
    .size = sizeof(I440fxPorts),
    .version = 1,
    .fields = ports_fields,
    .windows = ports_windows,
    .internal = true,
};

/* ---- function 0:0 */

enum { PAM0 = 0x59, SMRAM = 0x72 };

typedef struct I440fx {
    PciDevice pci;
    Pam pam;
} I440fx;

static void update(I440fx *h)
{
    smram_lock(&h->pci.config[SMRAM], &h->pci.writable[SMRAM]);
    pam_update(&h->pam, &h->pci.dev, &h->pci.config[PAM0], h->pci.config[SMRAM]);
}

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    if (off <= SMRAM && off + size > PAM0)
        update((I440fx *)p);
}

static bool i440fx_realize(Device *d, GError **err)
{
    I440fx *h = (I440fx *)d;
    pci_set16(&h->pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set_writable(&h->pci, PCI_COMMAND, 2, PCI_COMMAND_PARITY | PCI_COMMAND_SERR);
    pci_set16(&h->pci, PCI_STATUS, 0x0280); /* fast back-to-back, medium DEVSEL# */
    for (unsigned off = 0x50; off < 0x100; off++)
        h->pci.writable[off] = 0xff;
    h->pci.config[SMRAM] = SMRAM_RESET;
    h->pci.writable[SMRAM] = SMRAM_WRITABLE;
    return pam_create(&h->pam, d, err);
}

static void i440fx_unrealize(Device *d) { pam_destroy(&((I440fx *)d)->pam); }
static void i440fx_reset(Device *d, ResetKind k) { update((I440fx *)d); }

static bool i440fx_post_load(Device *d, GError **err)
{
    update((I440fx *)d);
    return true;
}

/* The subsystem ids are how SeaBIOS and guest drivers recognize a virtual board. */
static const PciInfo i440fx_pci = {
    .vendor = 0x8086, .device = 0x1237, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .class_code = 0x060000, .revision = 2, .config_written = config_written,
};
static const Field i440fx_fields[] = {
    { FO(I440fx, pam), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType i440fx_type = {
    .name = "i440FX",
    .summary = "host bridge with shadow RAM control",
    .spec = "Intel 82441FX, order number 290549",
    .size = sizeof(I440fx),
    .version = 1,
    .fields = i440fx_fields,
    .internal = true,
    .pci = &i440fx_pci,
    .realize = i440fx_realize,
    .unrealize = i440fx_unrealize,
    .reset = i440fx_reset,
    .post_load = i440fx_post_load,
};
