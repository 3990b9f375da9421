#pragma once
#include "machine/machine.h"
/*
 * pm.h - the ACPI hardware that power management functions of south bridges have in common: PM1 registers, the PM timer, the
 * power button, general-purpose events, soft-off.  ACPI Specification 6.4, chapter 4.8.
 *
 * It is a part of a device; which of its outputs is the SCI, acpi_pm_init() is told.
 */
typedef struct AcpiPm {
    uint16_t pm1_sts, pm1_en, pm1_cnt;
    uint64_t gpe_sts, gpe_en;
    int64_t overflow; /* ns: when bit 23 of the timer next changes and sets TMR_STS */
    Device *dev;
    unsigned sci; /* output */
    Timer timer;
} AcpiPm;

extern const Field acpi_pm_fields[];

void acpi_pm_init(AcpiPm *pm, Device *dev, unsigned sci); /* in realize */
void acpi_pm_finish(AcpiPm *pm);
void acpi_pm_reset(AcpiPm *pm);
void acpi_pm_loaded(AcpiPm *pm);

/* The block: PM1_STS, PM1_EN, PM1_CNT, two bytes of nothing, PM_TMR; 1, 2 or 4 bytes. */
enum { ACPI_PM_BLOCK = 12 };
uint64_t acpi_pm_read(AcpiPm *pm, uint64_t off, unsigned size);
void acpi_pm_write(AcpiPm *pm, uint64_t off, unsigned size, uint64_t value);
/* GPE0: `half` bytes of status, then as many of enables; by bytes. */
uint8_t acpi_gpe_read(const AcpiPm *pm, uint64_t off, unsigned half);
void acpi_gpe_write(AcpiPm *pm, uint64_t off, unsigned half, uint8_t value);

void acpi_pm_press_button(AcpiPm *pm);
void acpi_pm_raise_gpe(AcpiPm *pm, unsigned n);
void acpi_pm_set_enabled(AcpiPm *pm, bool enabled); /* SCI_EN: firmware's handover */
