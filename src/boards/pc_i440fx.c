/* pc_i440fx.c - the classic PC: i440FX host bridge, PIIX3 with its IDE, PIIX4 power management. */
#include "boards/pc.h"

#include "boards/pc_inside.h"
#include "devices/acpi/pci_hotplug.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/piix.h"
#include "devices/storage/ide.h"

enum { BRIDGE_SLOT = 1, IDE_TIMING = 0x40 }; /* functions 0 ISA, 1 IDE, 3 power management */

static bool add_host_bridge(Pc *pc, GError **err)
{
    pc->host = pc_add_ports(pc, err) ? pc_new_device(pc, &i440fx_type, err) : NULL;
    return pc_plug_function(pc, pc->host, 0, 0, err);
}

static bool add_south_bridge(Pc *pc, GError **err)
{
    if (!(pc->south = pc_new_device(pc, &piix3_type, err)))
        return false;
    for (unsigned n = 0; n < 16; n++)
        pc->south->irq[n] = intc_gsi(pc->intc, n);
    return pc_plug_function(pc, pc->south, BRIDGE_SLOT, 0, err);
}

static bool add_power_management(Pc *pc, GError **err)
{
    if (!(pc->pm = pc_new_device(pc, &piix4_pm_type, err)))
        return false;
    pc->pm->irq[0] = pc_shared_line(pc, ISA_SOURCE_SCI, PM_SCI_IRQ);
    pc->board.machine->power_button = device_irq_input(pc->pm, PM_INPUT_BUTTON);
    return pc_plug_function(pc, pc->pm, BRIDGE_SLOT, 3, err) && device_map(pc->pm, PM_WINDOW_GPE, PM_GPE_PORT, err) &&
           device_map(pc->pm, PM_WINDOW_APM, PM_APM_PORT, err);
}

static bool add_hotplug(Pc *pc, GError **err)
{
    Device *d = pc_new_device(pc, &acpi_pci_hotplug_type, err);
    if (!d)
        return false;
    d->irq[0] = device_irq_input(pc->pm, PM_INPUT_GPE + ACPI_HOTPLUG_GPE);
    acpi_pci_hotplug_set_bus(d, pc->board.pci);
    return device_realize(d, err) && device_map(d, 0, ACPI_HOTPLUG_PORT, err);
}

static bool add_drive(Pc *pc, unsigned n, const BoardConfig *c, GError **err)
{
    const char *bus = n / 2 ? "ide.1" : "ide.0", *unit = n % 2 ? "1" : "0";
    Device *d = pc_new_drive(pc, n, c, (const char *const[]){ "bus", bus, "unit", unit, NULL }, err);
    return d && ide_attach(pc->ide, d, err) && device_realize(d, err);
}

static bool add_ide(Pc *pc, const BoardConfig *c, GError **err)
{
    pc->ide = piix3_ide_create(pc->board.machine, pc->board.pci, pci_devfn(BRIDGE_SLOT, 1), intc_gsi(pc->intc, 14), intc_gsi(pc->intc, 15), err);
    for (unsigned n = 0; pc->ide && n < 4; n++)
        if ((c->ide[n] || c->ide_cdrom[n]) && !add_drive(pc, n, c, err))
            return false;
    return pc->ide;
}

static bool add(Pc *pc, const BoardConfig *c, GError **err)
{
    return add_host_bridge(pc, err) && add_south_bridge(pc, err) && add_ide(pc, c, err) && add_power_management(pc, err) && add_hotplug(pc, err);
}

static void set_up(Pc *pc)
{
    PciBus *b = pc->board.pci;
    uint8_t isa = pci_devfn(BRIDGE_SLOT, 0), ide = pci_devfn(BRIDGE_SLOT, 1), pm = pci_devfn(BRIDGE_SLOT, 3);
    for (unsigned i = 0; i < 4; i++)
        pci_config_write(b, isa, PIIX3_ROUTE + i, 1, pc_pirq_line[i]);
    pci_config_write(b, ide, IDE_TIMING, 4, 0x80008000); /* decode both channels */
    pci_config_write(b, pm, PM_BASE, 4, PM_PORT | 1);
    pci_config_write(b, pm, PM_BASE_ENABLE_REG, 1, 1);
    pci_config_write(b, pm, PM_SMBUS_BASE, 4, PM_SMBUS_PORT | 1);
    pci_config_write(b, pm, PM_SMBUS_CONFIG, 1, 9); /* on, interrupt by IRQ 9 */
    pci_config_write(b, pm, PCI_INTERRUPT_LINE, 1, PM_SCI_IRQ); /* not by its pin */
}

static void set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { piix3_set_intx(((Pc *)opaque)->south, devfn, pin, level); }

static const PcChips chips = {
    .type = &board_pc,
    .bus_name = "pci.0",
    .low_ram_max = 3ull << 30,
    .bus = { .set_intx = set_intx, .msi = pc_send_msi },
    .acpi = { .pm_port = PM_PORT, .gpe_port = PM_GPE_PORT, .gpe_bytes = 4, .smi_port = PM_APM_PORT, .hotplug_port = ACPI_HOTPLUG_PORT, .isa_slot = BRIDGE_SLOT, .links = 4, .pirq = piix3_pirq },
    .floppies = true,
    .pam0 = 0x59,
    .add = add,
    .set_up = set_up,
};

static Board *create(Machine *m, const BoardConfig *c, GError **err) { return pc_create(&chips, m, c, err); }

const BoardType board_pc = {
    .name = "pc",
    .alias = "pc-i440fx",
    .versioned = "pc-i440fx-",
    .summary = "classic PC (i440FX + PIIX3)",
    .max_cpus = 255,
    .create = create,
};
