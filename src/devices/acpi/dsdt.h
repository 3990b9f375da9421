#pragma once
#include "devices/acpi/acpi_tables.h"
/* dsdt.h - pieces of the DSDT that have a file of their own. */
Aml *acpi_hotplug_slots(const AcpiBoard *b); /* dsdt_hotplug.c: within the root bridge */
Aml *acpi_express_control(const AcpiBoard *b); /* dsdt_express.c: within the root bridge */
Aml *acpi_hotplug_event(const AcpiBoard *b); /* at the root */
