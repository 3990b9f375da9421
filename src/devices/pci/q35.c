/* q35.c - the 82Q35's function 0:0 and the memory window to configuration space.  Intel 3 Series chipset, order number 316966. */
#include "devices/pci/q35.h"

#include "devices/pci/pam.h"

/* ---- the window */

typedef struct Ecam {
    Device dev;
    PciBus *bus;
} Ecam;

/* Bus 27-20, device and function 19-12, register 11-0. */
static uint64_t ecam_read(Device *d, uint64_t off, unsigned size)
{
    Ecam *e = (Ecam *)d;
    PciBus *b = e->bus ? pci_bus_number(e->bus, off >> 20) : NULL;
    return b ? pci_config_read(b, off >> 12, off & 0xfff, size) : UINT64_MAX;
}

static void ecam_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Ecam *e = (Ecam *)d;
    PciBus *b = e->bus ? pci_bus_number(e->bus, off >> 20) : NULL;
    if (b)
        pci_config_write(b, off >> 12, off & 0xfff, size, value);
}

static const WindowOps ecam_ops = { ecam_read, ecam_write, 1, 4 };
static const WindowDecl ecam_windows[] = { { "ecam", SPACE_MMIO, ECAM_SIZE, &ecam_ops }, { .name = NULL } };
static const Field ecam_fields[] = { { FO(Ecam, bus), .role = FIELD_HOST }, DEVICE_FIELDS_END };

const DeviceType q35_ecam_type = {
    .name = "q35-pcihost", .summary = "configuration space as memory", .spec = "PCI Express 3.0, 7.2.2", .size = sizeof(Ecam),
    .version = 1, .fields = ecam_fields, .windows = ecam_windows, .internal = true,
};

/* ---- function 0:0 */

enum { EPBAR = 0x40, MCHBAR = 0x48, DMIBAR = 0x68, BAR_ENABLE = 1 };

typedef struct Mch {
    PciDevice pci;
    Pam pam;
    Device *ecam;
    uint64_t ecam_at;
    void (*moved)(void *opaque);
    void *opaque;
} Mch;

void q35_mch_set_ecam(Device *mch, Device *ecam, PciBus *bus)
{
    ((Mch *)mch)->ecam = ecam;
    ((Ecam *)ecam)->bus = bus;
}

void q35_mch_on_move(Device *mch, void (*moved)(void *opaque), void *opaque)
{
    ((Mch *)mch)->moved = moved;
    ((Mch *)mch)->opaque = opaque;
}

uint64_t q35_ecam_base(const Device *mch) { return ((const Mch *)mch)->ecam_at; }

/* PCIEXBAR (5.1.15): bits 35-28 say where, 2-1 how long.  We know one length, 256 buses. */
static uint64_t wanted_base(const Mch *h)
{
    uint64_t bar = pci_get32(&h->pci, Q35_PCIEXBAR) | (uint64_t)pci_get32(&h->pci, Q35_PCIEXBAR + 4) << 32;
    if (bar & 6)
        unimplemented((Device *)&h->pci.dev, "PCIEXBAR with length %u", (unsigned)(bar >> 1 & 3));
    return bar & BAR_ENABLE ? bar & 0xff0000000ull : 0;
}

static void place_ecam(Mch *h)
{
    uint64_t base = wanted_base(h);
    g_autoptr(GError) err = NULL;
    if (base == h->ecam_at || !h->ecam)
        return;
    h->ecam_at = base;
    if (!base)
        device_unmap(h->ecam, 0);
    else if (!device_map(h->ecam, 0, base, &err))
        guest_error(&h->pci.dev, "%s", err->message);
    if (h->moved)
        h->moved(h->opaque);
}

static void update(Mch *h)
{
    smram_lock(&h->pci.config[Q35_SMRAM], &h->pci.writable[Q35_SMRAM]);
    pam_update(&h->pam, &h->pci.dev, &h->pci.config[Q35_PAM0], h->pci.config[Q35_SMRAM]);
    place_ecam(h);
}

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    if (off <= Q35_SMRAM && off + size > Q35_PCIEXBAR)
        update((Mch *)p);
}

static bool mch_realize(Device *d, GError **err)
{
    Mch *h = (Mch *)d;
    pci_set16(&h->pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set_writable(&h->pci, PCI_COMMAND, 2, PCI_COMMAND_SERR);
    pci_set16(&h->pci, PCI_STATUS, 0x0080);
    pci_set_writable(&h->pci, EPBAR, 4, 0xfffff001);
    pci_set_writable(&h->pci, MCHBAR, 4, 0xffffc001);
    pci_set_writable(&h->pci, Q35_PCIEXBAR, 4, 0xf0000007);
    pci_set_writable(&h->pci, Q35_PCIEXBAR + 4, 4, 0xf);
    pci_set_writable(&h->pci, DMIBAR, 4, 0xfffff001);
    for (unsigned i = 0; i < PAM_REGISTERS; i++)
        h->pci.writable[Q35_PAM0 + i] = 0x33;
    h->pci.config[Q35_SMRAM] = SMRAM_RESET;
    h->pci.writable[Q35_SMRAM] = SMRAM_WRITABLE;
    for (unsigned off = 0xdc; off < 0xe0; off++)
        h->pci.writable[off] = 0xff; /* scratchpad */
    return pam_create(&h->pam, d, err);
}

static void mch_unrealize(Device *d) { pam_destroy(&((Mch *)d)->pam); }
static void mch_reset(Device *d, ResetKind k) { update((Mch *)d); }

static bool mch_post_load(Device *d, GError **err)
{
    update((Mch *)d);
    return true;
}

static const PciInfo mch_pci = {
    .vendor = 0x8086, .device = 0x29c0, .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .class_code = 0x060000, .config_written = config_written,
};
static const Field mch_fields[] = {
    { FO(Mch, pam), .role = FIELD_HOST },
    { FO(Mch, ecam), .role = FIELD_HOST },
    { F(Mch, ecam_at), .role = FIELD_HOST },
    { FO(Mch, moved), .role = FIELD_HOST },
    { FO(Mch, opaque), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType q35_mch_type = {
    .name = "mch", .summary = "memory controller hub with shadow RAM control", .spec = "Intel 3 Series chipset, order number 316966",
    .size = sizeof(Mch), .version = 1, .fields = mch_fields, .internal = true, .pci = &mch_pci,
    .realize = mch_realize, .unrealize = mch_unrealize, .reset = mch_reset, .post_load = mch_post_load,
};
