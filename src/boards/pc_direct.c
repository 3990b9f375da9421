/*
 * pc_direct.c - a start of a PC without firmware: the settings and tables that SeaBIOS would have left.
 *
 * Everything goes through the same configuration accesses and ports as firmware's would.  What is not set up: the
 * real-mode interrupt services, for which a kernel needs firmware.
 */
#include <string.h>

#include "boards/pc_inside.h"
#include "devices/acpi/acpi_tables.h"
#include "devices/acpi/mptable.h"
#include "devices/acpi/smbios.h"
#include "devices/pci/pam.h"
#include "devices/pci/piix.h"

enum { ELCR = 0x4d0, IO_FIRST = 0xc000 };

void pc_out(Pc *pc, uint16_t port, unsigned size, uint32_t value)
{
    FlatView *v = space_view(pc->board.machine->ports);
    view_write(v, port, size, value);
    view_unref(v);
}

/* ---- PCI: every BAR gets an address, every pin its line */

typedef struct Allocator {
    Pc *pc;
    uint64_t memory, memory_end, io;
    GError *err;
} Allocator;

static uint64_t align_up(uint64_t at, uint64_t to) { return (at + to - 1) & ~(to - 1); }

static bool place_io(Allocator *a, PciDevice *p, const WindowDecl *d)
{
    a->io = align_up(a->io, d->size);
    pci_config_write(p->bus, p->devfn, PCI_BAR0 + 4 * d->bar, 4, a->io);
    a->io += d->size;
    return a->io <= 0x10000;
}

static bool place_memory(Allocator *a, PciDevice *p, const WindowDecl *d)
{
    a->memory = align_up(a->memory, MAX(d->size, 4096));
    pci_config_write(p->bus, p->devfn, PCI_BAR0 + 4 * d->bar, 4, a->memory);
    if (d->bar_64)
        pci_config_write(p->bus, p->devfn, PCI_BAR0 + 4 * d->bar + 4, 4, a->memory >> 32);
    a->memory += d->size;
    return a->memory <= a->memory_end;
}

static void place_bars(PciDevice *p, void *arg)
{
    Allocator *a = arg;
    for (const WindowDecl *d = p->dev.type->windows; d && d->name; d++)
        if (d->space == SPACE_PCI_BAR && !a->err && !(d->bar_io ? place_io(a, p, d) : place_memory(a, p, d)))
            error_set(&a->err, ERR_NO_SPACE, "%s: no room left for PCI BAR %u; start with firmware, or with fewer devices", p->dev.path, d->bar);
}

const uint8_t pc_pirq_line[4] = { 10, 10, 11, 11 };

static void enable_function(PciDevice *p, void *arg)
{
    Pc *pc = arg;
    bool bridge = p->dev.type->pci->class_code >> 16 == 6 && p->dev.type->pci->class_code >> 8 != 0x0680;
    uint8_t pin = pci_config_read(p->bus, p->devfn, PCI_INTERRUPT_PIN, 1);
    if (pin)
        pci_config_write(p->bus, p->devfn, PCI_INTERRUPT_LINE, 1, pc_pirq_line[pc->chips->acpi.pirq(p->devfn >> 3, pin - 1) % 4]);
    if (!bridge)
        pci_config_write(p->bus, p->devfn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

static bool set_up_pci(Pc *pc, GError **err)
{
    Allocator a = { .pc = pc, .memory = MAX(pc->low_ram, 0x80000000), .memory_end = PC_HOLE_END, .io = IO_FIRST };
    pci_bus_each(pc->board.pci, place_bars, &a);
    if (a.err) {
        g_propagate_error(err, a.err);
        return false;
    }
    pci_bus_each(pc->board.pci, enable_function, pc);
    return true;
}

/* ---- chip set */

static void set_up_chip_set(Pc *pc)
{
    for (unsigned i = 0; i < PAM_REGISTERS; i++)
        pci_config_write(pc->board.pci, 0, pc->chips->pam0 + i, 1, i ? 0x33 : 0x30); /* RAM at c0000-fffff, read and write */
    pc_out(pc, ELCR, 1, 0);
    pc_out(pc, ELCR + 1, 1, 1 << (10 - 8) | 1 << (11 - 8)); /* level-triggered */
    pc->chips->set_up(pc);
    pc_out(pc, PM_APM_PORT, 1, PM_ACPI_ENABLE);
}

/* ---- tables */

static void collect_pin(PciDevice *p, void *arg)
{
    uint8_t pin = pci_config_read(p->bus, p->devfn, PCI_INTERRUPT_PIN, 1);
    MpPciPin entry = { p->devfn >> 3, pin - 1, pci_config_read(p->bus, p->devfn, PCI_INTERRUPT_LINE, 1) };
    if (pin)
        g_array_append_val((GArray *)arg, entry);
}

static bool store_mp_table(Pc *pc, TableArea *a, GError **err)
{
    g_autoptr(GArray) pins = g_array_new(FALSE, FALSE, sizeof(MpPciPin));
    pci_bus_each(pc->board.pci, collect_pin, pins);
    g_autoptr(GByteArray) table = pc_mp_table(pc, (MpPciPin *)pins->data, pins->len);
    return table_area_add_mp(a, table, err);
}

static bool store_tables(Pc *pc, BoardStart *ret, GError **err)
{
    TableArea a;
    g_autoptr(AcpiTables) acpi = pc->acpi ? pc_acpi_tables(pc) : NULL;
    g_autoptr(Smbios) smbios = pc->smbios ? pc_smbios(pc) : NULL;
    return table_area_begin(&a, pc->board.machine, err) && (!smbios || table_area_add_smbios(&a, smbios, err)) && store_mp_table(pc, &a, err) &&
           (!acpi || table_area_add_acpi(&a, acpi, &ret->rsdp, err));
}

bool pc_start_direct(Board *b, BoardStart *ret, GError **err)
{
    Pc *pc = (Pc *)b;
    BoardStart start = { 0 };
    if (!set_up_pci(pc, err))
        return false;
    set_up_chip_set(pc);
    if (!store_tables(pc, &start, err))
        return false;
    table_area_describe(&start, pc->low_ram, pc->high_ram);
    *ret = start;
    return true;
}
