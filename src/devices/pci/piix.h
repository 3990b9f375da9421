#pragma once
#include "machine/machine.h"
/* piix.h - the south bridge: ISA bridge with its interrupt router (PIIX3) and power management (PIIX4's function 3). */
extern const DeviceType piix3_type, piix4_pm_type;

/* PIIX3.  Outputs 0-15: the ISA lines.  Input source * 16 + n: ISA line n as one of several sources drives it, so that
 * lines may be shared; it joins them with the PIRQs that are routed there. */
void piix3_set_intx(void *piix3, uint8_t devfn, unsigned pin, bool level); /* fits PciBusOps */
enum { PIIX3_ROUTE = 0x60 }; /* PIRQRC[A:D] */
/* Which PIRQ (0-3) a slot's pin (0-3) is wired to on this board: each slot is rotated by one, and slot 1 begins at A. */
static inline unsigned piix3_pirq(unsigned slot, unsigned pin) { return (slot + 3 + pin) & 3; }

/* PIIX4 power management.  Output 0: SCI.  Inputs: the power button, and general-purpose events by their number.  Windows: 0 the PM block (placed by PMBASE), 1
 * GPE0 at afe0h, 2 APM ports at b2h, 3 SMBus (placed by SMBBA). */
enum { PM_INPUT_BUTTON, PM_INPUT_GPE };
enum { PM_WINDOW, PM_WINDOW_GPE, PM_WINDOW_APM, PM_WINDOW_SMBUS };
/* Configuration registers PMBASE, PMREGMISC, SMBBA, SMBHSTCFG; the last and the second have an enable bit 0. */
enum { PM_BASE = 0x40, PM_BASE_ENABLE_REG = 0x80, PM_SMBUS_BASE = 0x90, PM_SMBUS_CONFIG = 0xd2 };
enum { PM_PORT = 0x600, PM_SMBUS_PORT = 0x700, PM_GPE_PORT = 0xafe0, PM_APM_PORT = 0xb2, PM_SCI_IRQ = 9, PM_ACPI_ENABLE = 0xf1, PM_ACPI_DISABLE = 0xf0 };
