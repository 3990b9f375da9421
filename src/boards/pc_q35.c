/* pc_q35.c - the PC with PCI Express: 82Q35 host bridge, ICH9 with its SATA controller. */
#include "boards/pc.h"

#include "boards/pc_inside.h"
#include "devices/pci/piix.h"
#include "devices/pci/q35.h"
#include "devices/storage/ide.h"

static uint64_t ecam(const Pc *pc) { return pc->host && pc->host->realized ? q35_ecam_base(pc->host) : 0; }

/* The tables name the window's place, which firmware chooses before it reads them. */
static void ecam_moved(void *opaque)
{
    g_autoptr(GError) err = NULL;
    Pc *pc = opaque;
    if (pc->fw_cfg && !pc_publish_tables(pc, &err))
        guest_error(pc->host, "%s", err->message);
}

static bool add_host_bridge(Pc *pc, GError **err)
{
    Device *window = pc_add_ports(pc, err) ? pc_new_device(pc, &q35_ecam_type, err) : NULL;
    if (!window || !device_realize(window, err) || !(pc->host = pc_new_device(pc, &q35_mch_type, err)))
        return false;
    q35_mch_set_ecam(pc->host, window, pc->board.pci);
    q35_mch_on_move(pc->host, ecam_moved, pc);
    return pc_plug_function(pc, pc->host, 0, 0, err);
}

enum { PIRQ_GSI = 16 }; /* Intel 316972, 5.9.2: PIRQA-H are the IOAPIC's inputs 16-23 */

static bool add_south_bridge(Pc *pc, GError **err)
{
    if (!(pc->south = pc_new_device(pc, &ich9_lpc_type, err)))
        return false;
    for (unsigned n = 0; n < 16; n++)
        pc->south->irq[n] = intc_gsi(pc->intc, n);
    for (unsigned n = 0; n < ICH9_PIRQS; n++)
        pc->south->irq[ICH9_OUT_PIRQ + n] = intc_gsi(pc->intc, PIRQ_GSI + n);
    pc->board.machine->power_button = device_irq_input(pc->south, ICH9_BUTTON);
    return pc_plug_function(pc, pc->south, ICH9_SLOT, 0, err) && device_map(pc->south, ICH9_WINDOW_APM, PM_APM_PORT, err);
}

/* A drive a port: -hda is port 0, -cdrom port 2. */
static bool add_drive(Pc *pc, unsigned n, const BoardConfig *c, GError **err)
{
    g_autofree char *bus = g_strdup_printf("ide.%u", n);
    Device *d = pc_new_drive(pc, n, c, (const char *const[]){ "bus", bus, NULL }, err);
    return d && device_realize(d, err);
}

static bool add_sata(Pc *pc, const BoardConfig *c, GError **err)
{
    if (!pc_plug_function(pc, pc_new_device(pc, &ich9_ahci_type, err), ICH9_SLOT, 2, err))
        return false;
    for (unsigned n = 0; n < 4; n++)
        if ((c->ide[n] || c->ide_cdrom[n]) && !add_drive(pc, n, c, err))
            return false;
    return true;
}

static bool add(Pc *pc, const BoardConfig *c, GError **err)
{
    return add_host_bridge(pc, err) && add_south_bridge(pc, err) && add_sata(pc, c, err) &&
           pc_plug_function(pc, pc_new_device(pc, &ich9_smbus_type, err), ICH9_SLOT, 3, err);
}

static void set_up(Pc *pc)
{
    PciBus *b = pc->board.pci;
    uint8_t lpc = pci_devfn(ICH9_SLOT, 0);
    for (unsigned i = 0; i < 8; i++)
        pci_config_write(b, lpc, i < 4 ? ICH9_ROUTE_A + i : ICH9_ROUTE_E + i - 4, 1, pc_pirq_line[i % 4]);
    pci_config_write(b, lpc, ICH9_PMBASE, 4, ICH9_PM_PORT | 1);
    pci_config_write(b, lpc, ICH9_ACPI_CNTL, 1, 0x80);
    pci_config_write(b, 0, Q35_PCIEXBAR + 4, 4, 0);
    pci_config_write(b, 0, Q35_PCIEXBAR, 4, ECAM_USUAL | 1);
}

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { ich9_set_intx(((Pc *)opaque)->south, devfn, pin, level); }

static const PcChips chips = {
    .type = &board_q35,
    .bus_name = "pcie.0",
    .low_ram_max = 2ull << 30,
    .bus = { .set_intx = set_intx, .msi = pc_send_msi },
    .acpi = { .pm_port = ICH9_PM_PORT, .gpe_port = ICH9_PM_PORT + ICH9_GPE, .gpe_bytes = ICH9_GPE_LEN, .smi_port = PM_APM_PORT, .isa_slot = ICH9_SLOT, .links = 8,
              .pirq_gsi = PIRQ_GSI, .pirq = ich9_pirq },
    .pam0 = Q35_PAM0,
    .ecam = ecam,
    .add = add,
    .set_up = set_up,
};

static Board *create(Machine *m, const BoardConfig *c, GError **err) { return pc_create(&chips, m, c, err); }

const BoardType board_q35 = {
    .name = "q35",
    .alias = "pc-q35",
    .versioned = "pc-q35-",
    .summary = "PC with PCI Express (Q35 + ICH9)",
    .max_cpus = 255,
    .create = create,
};
