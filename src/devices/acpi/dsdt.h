#pragma once
#include "devices/acpi/acpi_tables.h"
/* dsdt.h - pieces of the DSDT that have a file of their own. */
Aml *acpi_hotplug_slots(const AcpiBoard *b); /* dsdt_hotplug.c: within the root bridge */
Aml *acpi_express_control(const AcpiBoard *b); /* dsdt_express.c: within the root bridge */
Aml *acpi_hotplug_event(const AcpiBoard *b); /* at the root */
Aml *acpi_soft_off(void); /* the name _S5 */
Aml *acpi_processors(const AcpiBoard *b);
Aml *acpi_serial_port(const AcpiBoard *b, unsigned n); /* nothing, where there is none; so too: */
Aml *acpi_fw_cfg_device(const AcpiBoard *b);
Aml *acpi_pvpanic_device(const AcpiBoard *b);
Aml *acpi_rtc(void);
