#pragma once
#include "machine/machine.h"
/*
 * acpi_hw.h - ACPI's fixed hardware as a device of its own, for boards whose chip set has no power management function.
 *
 * Output 0: SCI; input 0: the power button.  Windows: 0 the PM block (12 bytes), 1 the reset register (FADT RESET_REG; a byte with bit 2).
 * It is in ACPI mode from the reset on (the FADT has no SMI_CMD).
 */
extern const DeviceType acpi_hw_type;
