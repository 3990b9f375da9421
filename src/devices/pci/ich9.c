/*
 * ich9.c - the ICH9's function 31:0: ISA bridge with interrupt routing, ACPI registers, APM ports.  Intel 316972.
 *
 * As with the PIIX4 there is no system management mode: SMI_EN reads as if set-up had happened, and ACPI_ENABLE at the APM port
 * hands over at once.
 */
#include "devices/acpi/pm.h"
#include "devices/pci/piix.h"
#include "devices/pci/pirq.h"
#include "devices/pci/q35.h"

enum { ROUTES = ICH9_PIRQS, PM_SMI_EN = 0x30, PM_SMI_STS = 0x34, SMI_EN_APMC = 1 << 5, GPE_HALF = ICH9_GPE_LEN / 2, ACPI_EN = 0x80 };

typedef struct Ich9 {
    PciDevice pci;
    Pirq pirq;
    AcpiPm pm;
    uint32_t smi_en;
    uint8_t apm_control, apm_status;
} Ich9;

/* ---- interrupts */

static void update_lines(Ich9 *s)
{
    uint8_t route[ROUTES];
    for (unsigned n = 0; n < ROUTES; n++)
        route[n] = s->pci.config[n < 4 ? ICH9_ROUTE_A + n : ICH9_ROUTE_E + n - 4];
    pirq_update(&s->pirq, &s->pci.dev, route, ROUTES);
}

void ich9_set_intx(void *opaque, uint8_t devfn, unsigned pin, bool level)
{
    Ich9 *s = opaque;
    unsigned pirq = ich9_pirq(devfn >> 3, pin);
    g_mutex_lock(&s->pci.dev.lock);
    pirq_set_pin(&s->pirq, pirq, devfn, level);
    irq_set(&s->pci.dev.irq[ICH9_OUT_PIRQ + pirq], pirq_level(&s->pirq, pirq)); /* 5.9.2: at the IOAPIC whatever the routes */
    update_lines(s);
    g_mutex_unlock(&s->pci.dev.lock);
}

static void set_input(Device *d, unsigned n, bool level)
{
    Ich9 *s = (Ich9 *)d;
    if (n == ICH9_BUTTON && level)
        acpi_pm_press_button(&s->pm);
    else if (n < ICH9_BUTTON)
        pirq_set_source(&s->pirq, n, level);
    update_lines(s);
}

/* The SCI is ISA line 9 as one more source; our lock is held already. */
static void sci_changed(void *sink, unsigned n, bool level)
{
    Ich9 *s = sink;
    pirq_set_source(&s->pirq, PIRQ_SOURCE_SCI * 16 + PM_SCI_IRQ, level);
    update_lines(s);
}

/* ---- the block at PMBASE: PM1 and timer, GPE0, SMI */

static uint64_t pm_read(Device *d, uint64_t off, unsigned size)
{
    Ich9 *s = (Ich9 *)d;
    if (off < ACPI_PM_BLOCK)
        return acpi_pm_read(&s->pm, off, size);
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++, off++)
        if (off >= ICH9_GPE && off < ICH9_GPE + ICH9_GPE_LEN)
            value |= (uint64_t)acpi_gpe_read(&s->pm, off - ICH9_GPE, GPE_HALF) << (i * 8);
        else if (off >= PM_SMI_EN && off < PM_SMI_STS)
            value |= (uint64_t)(s->smi_en >> ((off - PM_SMI_EN) * 8) & 0xff) << (i * 8);
    return value;
}

static void pm_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Ich9 *s = (Ich9 *)d;
    if (off < ACPI_PM_BLOCK) {
        acpi_pm_write(&s->pm, off, size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++, off++, value >>= 8)
        if (off >= ICH9_GPE && off < ICH9_GPE + ICH9_GPE_LEN)
            acpi_gpe_write(&s->pm, off - ICH9_GPE, GPE_HALF, value);
        else if (off >= PM_SMI_EN && off < PM_SMI_STS)
            s->smi_en = (s->smi_en & ~(0xffu << ((off - PM_SMI_EN) * 8))) | (uint32_t)(value & 0xff) << ((off - PM_SMI_EN) * 8);
}

/* ---- APM control and status */

static uint64_t apm_read(Device *d, uint64_t off, unsigned size) { return off ? ((Ich9 *)d)->apm_status : ((Ich9 *)d)->apm_control; }

static void apm_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Ich9 *s = (Ich9 *)d;
    *(off ? &s->apm_status : &s->apm_control) = value;
    if (!off && (value == PM_ACPI_ENABLE || value == PM_ACPI_DISABLE))
        acpi_pm_set_enabled(&s->pm, value == PM_ACPI_ENABLE);
}

/* ---- configuration space and life */

static void place_block(Ich9 *s)
{
    Device *d = &s->pci.dev;
    uint16_t base = pci_get16(&s->pci, ICH9_PMBASE) & 0xff80;
    g_autoptr(GError) err = NULL;
    if (!base || !(s->pci.config[ICH9_ACPI_CNTL] & ACPI_EN))
        device_unmap(d, ICH9_WINDOW_PM);
    else if (!device_map(d, ICH9_WINDOW_PM, base, &err))
        guest_error(d, "%s", err->message);
}

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    Ich9 *s = (Ich9 *)p;
    if (off <= ICH9_ACPI_CNTL && off + size > ICH9_PMBASE)
        place_block(s);
    update_lines(s);
}

static bool realize(Device *d, GError **err)
{
    Ich9 *s = (Ich9 *)d;
    acpi_pm_init(&s->pm, d, ICH9_OUT_SCI);
    d->irq[ICH9_OUT_SCI] = (IrqLine){ sci_changed, s, 0 };
    pci_set16(&s->pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set_writable(&s->pci, PCI_COMMAND, 2, PCI_COMMAND_SERR);
    pci_set16(&s->pci, PCI_STATUS, 0x0200);
    for (unsigned off = 0x40; off < 0x100; off++)
        s->pci.writable[off] = 0xff;
    pci_set32(&s->pci, ICH9_PMBASE, 1); /* bit 0 says: in I/O space */
    pci_set_writable(&s->pci, ICH9_PMBASE, 4, 0xff80);
    for (unsigned n = 0; n < ROUTES; n++)
        s->pci.config[n < 4 ? ICH9_ROUTE_A + n : ICH9_ROUTE_E + n - 4] = PIRQ_ROUTE_OFF;
    pci_set_writable(&s->pci, ICH9_ROUTE_A, 4, 0x8f8f8f8f);
    pci_set_writable(&s->pci, ICH9_ROUTE_E, 4, 0x8f8f8f8f);
    return true;
}

static void unrealize(Device *d) { acpi_pm_finish(&((Ich9 *)d)->pm); }

static void reset(Device *d, ResetKind k)
{
    Ich9 *s = (Ich9 *)d;
    pirq_reset(d);
    place_block(s);
    acpi_pm_reset(&s->pm);
}

static bool post_load(Device *d, GError **err)
{
    Ich9 *s = (Ich9 *)d;
    place_block(s);
    acpi_pm_loaded(&s->pm);
    return true;
}

static const WindowOps pm_ops = { pm_read, pm_write, 1, 4 }, apm_ops = { apm_read, apm_write, 1, 1 };
static const WindowDecl windows[] = {
    [ICH9_WINDOW_PM] = { .name = "pm", .space = SPACE_PIO, .size = ICH9_PM_LEN, .ops = &pm_ops },
    [ICH9_WINDOW_APM] = { .name = "apm", .space = SPACE_PIO, .size = 2, .ops = &apm_ops },
    { .name = NULL },
};
static const PciInfo info = {
    .vendor = 0x8086, .device = 0x2918, .subsystem_vendor = 0x1af4, .subsystem = 0x1100, .class_code = 0x060100, .revision = 2,
    .multifunction = true, .config_written = config_written,
};
static const Field fields[] = {
    { FS(Ich9, pirq, pirq_fields), .doc = "interrupt routing" },
    { FS(Ich9, pm, acpi_pm_fields), .doc = "ACPI registers" },
    { F(Ich9, smi_en), .reset = SMI_EN_APMC, .doc = "SMI_EN" },
    { F(Ich9, apm_control), .doc = "APM control port" },
    { F(Ich9, apm_status), .doc = "APM status port" },
    DEVICE_FIELDS_END,
};

const DeviceType ich9_lpc_type = {
    .name = "ICH9-LPC", .summary = "ISA bridge, interrupt routing, power management", .spec = "Intel ICH9, order number 316972",
    .size = sizeof(Ich9), .version = 1, .fields = fields, .windows = windows, .n_irqs = ICH9_OUT_PIRQ + ICH9_PIRQS, .internal = true, .pci = &info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = post_load, .set_irq = set_input,
};
