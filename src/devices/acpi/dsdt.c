/*
 * dsdt.c - the differentiated description of a PC: processors, the PCI bus with its windows and interrupt
 * routing, ISA devices.  ACPI Specification 6.4, chapter 6 for _HID, _CRS, _PRT and their kin.
 */
#include "devices/acpi/dsdt.h"
#include "devices/acpi/pci_hotplug.h"
#include "devices/pci/piix.h"
#include "devices/pci/pirq.h"

enum { ECAM_BYTES = 256 << 20 };
enum { STATUS_OK = 0x0f, STATUS_HIDDEN = 0x0b, STATUS_DISABLED = 0x09 };

static Aml *hid(const char *id) { return aml_name("_HID", aml_eisa_id(id)); }
static Aml *crs(Aml *resources) { return aml_name("_CRS", resources); }
static Aml *uid(unsigned n) { return aml_name("_UID", aml_int(n)); }

/* ---- processors */

static Aml *processor(unsigned n)
{
    g_autofree char *name = g_strdup_printf("C%03X", n);
    return aml_device(name, aml_name("_HID", aml_string("ACPI0007")), uid(n), NULL);
}

Aml *acpi_processors(const AcpiBoard *b)
{
    Aml *all = aml_nothing();
    for (unsigned i = 0; i < b->cpus; i++)
        aml_append(all, processor(i));
    return all;
}

/* ---- interrupt links: PIRQA-D or A-H, whose registers say which ISA line they drive */

static const char *const links[] = { "LNKA", "LNKB", "LNKC", "LNKD", "LNKE", "LNKF", "LNKG", "LNKH" };
static const char *const routes[] = { "PRQ0", "PRQ1", "PRQ2", "PRQ3", "PRQ4", "PRQ5", "PRQ6", "PRQ7" };

static Aml *link_current(const char *route)
{
    return aml_method("_CRS", 0, true,
        aml_and(aml_ref(route), aml_int(15), aml_ref("IRQV")),
        aml_if(aml_and(aml_ref(route), aml_int(PIRQ_ROUTE_OFF), NULL), aml_store(aml_int(0), aml_ref("IRQV")), NULL),
        aml_return(aml_ref("BUF0")), NULL);
}

static Aml *interrupt_link(unsigned n)
{
    static const uint32_t possible[] = { 5, 10, 11 }, none[] = { 0 };
    enum { GSI_AT = 5 }; /* in an extended interrupt descriptor */
    const char *route = routes[n];
    return aml_device(links[n], hid("PNP0C0F"), uid(n),
        aml_name("_PRS", aml_resources(aml_interrupts(possible, G_N_ELEMENTS(possible)), NULL)),
        aml_name("BUF0", aml_resources(aml_interrupts(none, 1), NULL)),
        aml_dword_of(aml_ref("BUF0"), GSI_AT, "IRQV"),
        aml_method("_STA", 0, false,
            aml_if(aml_and(aml_ref(route), aml_int(PIRQ_ROUTE_OFF), NULL), aml_return(aml_int(STATUS_DISABLED)), NULL),
            aml_return(aml_int(STATUS_HIDDEN)), NULL),
        aml_method("_DIS", 0, false, aml_or(aml_ref(route), aml_int(PIRQ_ROUTE_OFF), aml_ref(route)), NULL),
        link_current(route),
        aml_method("_SRS", 1, true,
            aml_dword_of(aml_arg(0), GSI_AT, "PRRI"),
            aml_store(aml_ref("PRRI"), aml_ref(route)), NULL), NULL);
}

/* ---- the same wires at the IOAPIC's own inputs, where nothing can be chosen: for systems that have called \_PIC(1) (5.8.1) */

static const char *const fixed_links[] = { "GSIA", "GSIB", "GSIC", "GSID", "GSIE", "GSIF", "GSIG", "GSIH" };

static Aml *fixed_link(const AcpiChips *c, unsigned n)
{
    uint32_t gsi = c->pirq_gsi + n;
    return aml_device(fixed_links[n], hid("PNP0C0F"), uid(16 + n), aml_name("_STA", aml_int(STATUS_HIDDEN)),
                      aml_name("_PRS", aml_resources(aml_interrupts(&gsi, 1), NULL)), crs(aml_resources(aml_interrupts(&gsi, 1), NULL)),
                      aml_method("_DIS", 0, false, aml_nothing(), NULL), aml_method("_SRS", 1, false, aml_nothing(), NULL), NULL);
}

static Aml *interrupt_mode(const AcpiChips *c)
{
    if (!c->pirq_gsi)
        return aml_nothing();
    Aml *all = aml_name("\\PICF", aml_int(0));
    aml_append(all, aml_method("\\_PIC", 1, false, aml_store(aml_arg(0), aml_ref("\\PICF")), NULL));
    return all;
}

/* A slot's pin n goes to the PIRQ that the board wires it to. */
static Aml *wires(const AcpiChips *c, const char *name, const char *const *link)
{
    Aml *entry[32 * 4];
    for (unsigned slot = 0; slot < 32; slot++)
        for (unsigned pin = 0; pin < 4; pin++)
            entry[slot * 4 + pin] = aml_package(aml_int(slot << 16 | 0xffff), aml_int(pin), aml_ref(link[c->pirq(slot, pin)]), aml_int(0), NULL);
    return aml_name(name, aml_package_of(entry, G_N_ELEMENTS(entry)));
}

static Aml *routing(const AcpiChips *c)
{
    if (!c->pirq_gsi)
        return wires(c, "_PRT", links);
    Aml *all = wires(c, "PRTP", links);
    aml_append(all, wires(c, "PRTA", fixed_links));
    aml_append(all, aml_method("_PRT", 0, false, aml_if(aml_ref("\\PICF"), aml_return(aml_ref("PRTA")), NULL), aml_return(aml_ref("PRTP")), NULL));
    return all;
}

/* ---- ISA devices */

Aml *acpi_serial_port(const AcpiBoard *b, unsigned n)
{
    static const struct { const char *name; uint16_t port; uint8_t irq; } ports[] = {
        { "COM1", 0x3f8, 4 }, { "COM2", 0x2f8, 3 }, { "COM3", 0x3e8, 4 }, { "COM4", 0x2e8, 3 },
    };
    if (!b->serial[n])
        return aml_nothing();
    return aml_device(ports[n].name, hid("PNP0501"), uid(n + 1), aml_name("_STA", aml_int(STATUS_OK)),
                      crs(aml_resources(aml_io(ports[n].port, 8), aml_irq(ports[n].irq), NULL)), NULL);
}

Aml *acpi_fw_cfg_device(const AcpiBoard *b)
{
    if (!b->fw_cfg)
        return aml_nothing();
    return aml_device("FWCF", aml_name("_HID", aml_string("QEMU0002")), aml_name("_STA", aml_int(STATUS_HIDDEN)),
                      crs(aml_resources(aml_io(0x510, 12), NULL)), NULL);
}

Aml *acpi_pvpanic_device(const AcpiBoard *b)
{
    static const AmlField field[] = { { "PEPT", 8 } };
    if (!b->pvpanic_port)
        return aml_nothing();
    return aml_device("PEVT", aml_name("_HID", aml_string("QEMU0001")), aml_name("_STA", aml_int(STATUS_OK)),
        crs(aml_resources(aml_io(b->pvpanic_port, 1), NULL)),
        aml_region("PEOR", AML_IO, b->pvpanic_port, 1),
        aml_byte_field("PEOR", field, 1),
        aml_method("RDPT", 0, false, aml_return(aml_ref("PEPT")), NULL),
        aml_method("WRPT", 1, false, aml_store(aml_arg(0), aml_ref("PEPT")), NULL), NULL);
}

/* Ports 3F6h and, for writes, 3F7h are the IDE controller's, too. */
static Aml *floppy_controller(const AcpiBoard *b)
{
    if (!b->fdc_port)
        return aml_nothing();
    return aml_device("FDC0", hid("PNP0700"), aml_name("_STA", aml_int(STATUS_OK)),
                      crs(aml_resources(aml_io(b->fdc_port + 2, 4), aml_io(b->fdc_port + 7, 1), aml_irq(6), aml_dma(2), NULL)), NULL);
}

Aml *acpi_rtc(void) { return aml_device("RTC", hid("PNP0B00"), crs(aml_resources(aml_io(0x70, 8), aml_irq(8), NULL)), NULL); }

/* What the chip set itself decodes, so that nobody puts a BAR there. */
static Aml *chip_set_ports(const AcpiBoard *b)
{
    const AcpiChips *c = b->chips;
    return aml_device("MBRD", hid("PNP0C02"),
        crs(aml_resources(aml_io(c->pm_port, 0x40), aml_io(c->gpe_port, c->gpe_bytes), aml_io(PM_APM_PORT, 2), aml_io(0x92, 1),
                          c->hotplug_port ? aml_io(c->hotplug_port, ACPI_HOTPLUG_PORTS) : aml_nothing(),
                          b->ecam ? aml_memory(b->ecam, ECAM_BYTES, true) : aml_nothing(), NULL)), NULL);
}

static Aml *isa_bridge(const AcpiBoard *b)
{
    return aml_device("ISA", aml_name("_ADR", aml_int(b->chips->isa_slot << 16)),
        aml_region("P40C", AML_PCI_CONFIG, PIIX3_ROUTE, b->chips->links == 8 ? 12 : 4),
        aml_device("KBD", hid("PNP0303"), aml_name("_STA", aml_int(STATUS_OK)),
                   crs(aml_resources(aml_io(0x60, 1), aml_io(0x64, 1), aml_irq(1), NULL)), NULL),
        aml_device("MOU", hid("PNP0F13"), aml_name("_STA", aml_int(STATUS_OK)), crs(aml_resources(aml_irq(12), NULL)), NULL),
        acpi_rtc(), floppy_controller(b),
        acpi_serial_port(b, 0), acpi_serial_port(b, 1), acpi_serial_port(b, 2), acpi_serial_port(b, 3),
        chip_set_ports(b), acpi_fw_cfg_device(b), acpi_pvpanic_device(b), NULL);
}

/* ---- the root bridge */

static Aml *low_windows(const AcpiBoard *b)
{
    if (!b->ecam)
        return aml_memory_range(b->pci32_first, b->pci32_last, false);
    Aml *below = b->ecam > b->pci32_first ? aml_memory_range(b->pci32_first, b->ecam - 1, false) : aml_nothing();
    aml_append(below, aml_memory_range(b->ecam + ECAM_BYTES, b->pci32_last, false));
    return below;
}

static Aml *windows(const AcpiBoard *b)
{
    return aml_resources(aml_bus_range(0, 0xff), aml_io(0xcf8, 8), aml_io_range(0, 0xcf7), aml_io_range(0xd00, 0xffff),
        aml_memory_range(0xa0000, 0xbffff, true), low_windows(b),
        b->pci64_last ? aml_memory_range(b->pci64_first, b->pci64_last, true) : aml_nothing(), NULL);
}

static Aml *root_ids(const AcpiBoard *b)
{
    if (!b->ecam)
        return hid("PNP0A03");
    Aml *ids = hid("PNP0A08");
    aml_append(ids, aml_name("_CID", aml_eisa_id("PNP0A03")));
    return ids;
}

static Aml *interrupt_links(const AcpiBoard *b)
{
    Aml *all = aml_nothing();
    for (unsigned n = 0; n < b->chips->links; n++)
        aml_append(all, interrupt_link(n));
    for (unsigned n = 0; b->chips->pirq_gsi && n < b->chips->links; n++)
        aml_append(all, fixed_link(b->chips, n));
    return all;
}

static Aml *hpet_device(const AcpiBoard *b)
{
    if (!b->hpet)
        return aml_nothing();
    return aml_device("HPET", hid("PNP0103"), uid(0), crs(aml_resources(aml_memory(0xfed00000, 0x400, false), NULL)), NULL);
}

Aml *acpi_soft_off(void) { return aml_name("\\_S5", aml_package(aml_int(0), aml_int(0), aml_int(0), aml_int(0), NULL)); }

Aml *acpi_pc_dsdt(const AcpiBoard *b)
{
    static const AmlField route_fields[] = {
        { "PRQ0", 8 }, { "PRQ1", 8 }, { "PRQ2", 8 }, { "PRQ3", 8 }, { "PRQX", 32 }, { "PRQ4", 8 }, { "PRQ5", 8 }, { "PRQ6", 8 }, { "PRQ7", 8 },
    };
    Aml *dsdt = acpi_soft_off();
    aml_append(dsdt, interrupt_mode(b->chips));
    aml_append(dsdt, aml_scope("\\_SB",
        aml_device("PCI0", root_ids(b), uid(0), crs(windows(b)), routing(b->chips), isa_bridge(b), acpi_hotplug_slots(b),
                   acpi_express_control(b), NULL),
        aml_byte_field("PCI0.ISA.P40C", route_fields, b->chips->links == 8 ? 9 : 4),
        interrupt_links(b), hpet_device(b), acpi_processors(b), NULL));
    aml_append(dsdt, acpi_hotplug_event(b));
    return dsdt;
}
