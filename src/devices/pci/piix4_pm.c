/*
 * piix4_pm.c - power management of the 82371AB: ACPI fixed registers, PM timer, power button, soft-off.
 *
 * There is no system management mode: what firmware would do in an SMI handler when the operating system writes
 * ACPI_ENABLE to the APM control port happens at once, and DEVACTB's APMC_EN reads as set at reset, which tells SeaBIOS
 * that SMM set-up is done already.
 */
#include "devices/acpi/pm.h"
#include "devices/pci/piix.h"
#include "devices/pci/smbus.h"

enum { PM_SIZE = 64, GPE_HALF = 2 };
enum { DEVACTB_BYTE3 = 0x5b, APMC_EN = 1 << 1 };

typedef struct PiixPm {
    PciDevice pci;
    AcpiPm pm;
    uint8_t apm_control, apm_status;
    Smbus smbus;
} PiixPm;

static void set_input(Device *d, unsigned n, bool level)
{
    AcpiPm *pm = &((PiixPm *)d)->pm;
    if (level && n == PM_INPUT_BUTTON)
        acpi_pm_press_button(pm);
    else if (level && n >= PM_INPUT_GPE)
        acpi_pm_raise_gpe(pm, n - PM_INPUT_GPE);
}

static uint64_t pm_read(Device *d, uint64_t off, unsigned size) { return off < ACPI_PM_BLOCK ? acpi_pm_read(&((PiixPm *)d)->pm, off, size) : 0; }

static void pm_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    if (off < ACPI_PM_BLOCK)
        acpi_pm_write(&((PiixPm *)d)->pm, off, size, value);
}

static uint64_t gpe_read(Device *d, uint64_t off, unsigned size) { return acpi_gpe_read(&((PiixPm *)d)->pm, off, GPE_HALF); }
static void gpe_write(Device *d, uint64_t off, unsigned size, uint64_t value) { acpi_gpe_write(&((PiixPm *)d)->pm, off, GPE_HALF, value); }

/* ---- APM control and status */

static uint64_t apm_read(Device *d, uint64_t off, unsigned size) { return off ? ((PiixPm *)d)->apm_status : ((PiixPm *)d)->apm_control; }

static void apm_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    PiixPm *s = (PiixPm *)d;
    if (off) {
        s->apm_status = value;
        return;
    }
    s->apm_control = value;
    if (value == PM_ACPI_ENABLE || value == PM_ACPI_DISABLE)
        acpi_pm_set_enabled(&s->pm, value == PM_ACPI_ENABLE);
}

/* ---- SMBus */

static uint64_t smb_read(Device *d, uint64_t off, unsigned size) { return smbus_read(&((PiixPm *)d)->smbus, off); }
static void smb_write(Device *d, uint64_t off, unsigned size, uint64_t value) { smbus_write(&((PiixPm *)d)->smbus, off, value); }

/* ---- configuration space and life */

/* A block is where its base register says, while its enable bit is set. */
static void place_block(PiixPm *s, unsigned window, uint16_t base, bool enabled)
{
    Device *d = &s->pci.dev;
    g_autoptr(GError) err = NULL;
    if (!enabled || !base)
        device_unmap(d, window);
    else if (!device_map(d, window, base, &err))
        guest_error(d, "%s", err->message);
}

static void place_blocks(PiixPm *s)
{
    place_block(s, PM_WINDOW, pci_get16(&s->pci, PM_BASE) & 0xffc0, s->pci.config[PM_BASE_ENABLE_REG] & 1);
    place_block(s, PM_WINDOW_SMBUS, pci_get16(&s->pci, PM_SMBUS_BASE) & 0xfff0, s->pci.config[PM_SMBUS_CONFIG] & 1);
}

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    if (off >= PM_BASE)
        place_blocks((PiixPm *)p);
}

static bool pm_realize(Device *d, GError **err)
{
    PiixPm *s = (PiixPm *)d;
    acpi_pm_init(&s->pm, d, 0);
    pci_set16(&s->pci, PCI_STATUS, 0x0280);
    for (unsigned off = 0x40; off < 0x100; off++)
        s->pci.writable[off] = 0xff;
    pci_set32(&s->pci, PM_BASE, 1); /* bit 0 says: in I/O space */
    pci_set_writable(&s->pci, PM_BASE, 4, 0xffc0);
    s->pci.config[DEVACTB_BYTE3] = APMC_EN;
    s->pci.config[0x67] = 0x98; /* DEVRESJ: COM1 and COM2 decoded */
    pci_set32(&s->pci, PM_SMBUS_BASE, 1);
    pci_set_writable(&s->pci, PM_SMBUS_BASE, 4, 0xfff0);
    return true;
}

static void pm_unrealize(Device *d) { acpi_pm_finish(&((PiixPm *)d)->pm); }

static void pm_reset(Device *d, ResetKind k)
{
    PiixPm *s = (PiixPm *)d;
    place_blocks(s);
    acpi_pm_reset(&s->pm);
}

static bool pm_post_load(Device *d, GError **err)
{
    PiixPm *s = (PiixPm *)d;
    place_blocks(s);
    acpi_pm_loaded(&s->pm);
    return true;
}

static const WindowOps pm_ops = { .read = pm_read, .write = pm_write, .min = 1, .max = 4 };
static const WindowOps gpe_ops = { .read = gpe_read, .write = gpe_write, .min = 1, .max = 1 };
static const WindowOps apm_ops = { .read = apm_read, .write = apm_write, .min = 1, .max = 1 };
static const WindowOps smb_ops = { .read = smb_read, .write = smb_write, .min = 1, .max = 1 };
static const WindowDecl pm_windows[] = {
    [PM_WINDOW] = { .name = "pm", .space = SPACE_PIO, .size = PM_SIZE, .ops = &pm_ops },
    [PM_WINDOW_GPE] = { .name = "gpe0", .space = SPACE_PIO, .size = 4, .ops = &gpe_ops },
    [PM_WINDOW_APM] = { .name = "apm", .space = SPACE_PIO, .size = 2, .ops = &apm_ops },
    [PM_WINDOW_SMBUS] = { .name = "smbus", .space = SPACE_PIO, .size = 16, .ops = &smb_ops },
    { .name = NULL },
};
static const PciInfo pm_pci = {
    .vendor = 0x8086, .device = 0x7113, .subsystem_vendor = 0x1af4, .subsystem = 0x1100,
    .class_code = 0x068000, .revision = 3, .interrupt_pin = 1, .config_written = config_written,
};
static const Field pm_fields[] = {
    { FS(PiixPm, pm, acpi_pm_fields), .doc = "ACPI registers" },
    { F(PiixPm, apm_control), .doc = "APM control port" },
    { F(PiixPm, apm_status), .doc = "APM status port" },
    { FS(PiixPm, smbus, smbus_fields), .doc = "SMBus host controller" },
    DEVICE_FIELDS_END,
};

const DeviceType piix4_pm_type = {
    .name = "PIIX4_PM",
    .summary = "ACPI power management",
    .spec = "Intel 82371AB, order number 290562; ACPI 6.4, chapter 4",
    .size = sizeof(PiixPm),
    .version = 1,
    .fields = pm_fields,
    .windows = pm_windows,
    .n_irqs = 1,
    .internal = true,
    .pci = &pm_pci,
    .realize = pm_realize,
    .unrealize = pm_unrealize,
    .reset = pm_reset,
    .post_load = pm_post_load,
    .set_irq = set_input,
};
