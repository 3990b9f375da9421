/* acpi_hw.c - PM1 registers, PM timer and reset register, without a south bridge around them.  ACPI Specification 6.4, chapter 4.8. */
#include "devices/acpi/acpi_hw.h"

#include "devices/acpi/pm.h"

enum { RESET_NOW = 1 << 2 };

typedef struct AcpiHw {
    Device dev;
    AcpiPm pm;
} AcpiHw;

static AcpiPm *pm(Device *d) { return &((AcpiHw *)d)->pm; }
static uint64_t pm_read(Device *d, uint64_t off, unsigned size) { return acpi_pm_read(pm(d), off, size); }
static void pm_write(Device *d, uint64_t off, unsigned size, uint64_t value) { acpi_pm_write(pm(d), off, size, value); }

static void reset_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    if (value & RESET_NOW)
        machine_request(d->machine, CAUSE_GUEST_RESET);
}

static uint64_t reset_read(Device *d, uint64_t off, unsigned size) { return 0; }

static void set_input(Device *d, unsigned n, bool level)
{
    if (level)
        acpi_pm_press_button(pm(d));
}

static bool realize(Device *d, GError **err)
{
    acpi_pm_init(pm(d), d, 0);
    return true;
}

static void unrealize(Device *d) { acpi_pm_finish(pm(d)); }

static void reset(Device *d, ResetKind k)
{
    acpi_pm_reset(pm(d));
    acpi_pm_set_enabled(pm(d), true);
}

static bool post_load(Device *d, GError **err)
{
    acpi_pm_loaded(pm(d));
    return true;
}

static const Field fields[] = { { FS(AcpiHw, pm, acpi_pm_fields), .doc = "ACPI registers" }, DEVICE_FIELDS_END };
static const WindowOps pm_ops = { pm_read, pm_write, .min = 1, .max = 4 }, reset_ops = { reset_read, reset_write, .min = 1, .max = 1 };
static const WindowDecl windows[] = { { "pm", SPACE_PIO, ACPI_PM_BLOCK, &pm_ops }, { "reset", SPACE_PIO, 1, &reset_ops }, { .name = NULL } };

const DeviceType acpi_hw_type = {
    .name = "acpi-hw", .summary = "ACPI fixed hardware", .spec = "ACPI 6.4, 4.8", .size = sizeof(AcpiHw), .version = 1, .fields = fields,
    .windows = windows, .n_irqs = 1, .internal = true, .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = post_load,
    .set_irq = set_input,
};
