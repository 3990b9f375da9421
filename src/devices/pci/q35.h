#pragma once
#include "machine/machine.h"
/*
 * q35.h - the 82Q35 memory controller hub and the ICH9 ISA bridge ("LPC").
 */
extern const DeviceType q35_mch_type, q35_ecam_type, ich9_lpc_type, ich9_smbus_type;

/* The window through which configuration space is memory: PCI Express base specification 3.0, 7.2.2.  It is a device apart from
 * the MCH's function, which places it, because a configuration access takes the function's lock. */
enum { ECAM_SIZE = 256 << 20, ECAM_USUAL = 0xb0000000u, Q35_PCIEXBAR = 0x60, Q35_PAM0 = 0x90, Q35_SMRAM = 0x9d };
void q35_mch_set_ecam(Device *mch, Device *ecam, PciBus *bus);
uint64_t q35_ecam_base(const Device *mch); /* 0: off */
/* Called, with the MCH's lock held, when the guest has placed the window elsewhere. */
void q35_mch_on_move(Device *mch, void (*moved)(void *opaque), void *opaque);

/* LPC.  Outputs 0-15: the ISA lines (the SCI, its own output 16, is one source of line 9).  Input source * 16 + n: ISA line n of
 * one source (pirq.h); input ICH9_BUTTON: the power button. */
enum { ICH9_WINDOW_PM, ICH9_WINDOW_APM };
enum { ICH9_SLOT = 31, ICH9_OUT_SCI = 16, ICH9_OUT_PIRQ = 17, ICH9_PIRQS = 8, ICH9_BUTTON = 8 * 16 };
enum { ICH9_PMBASE = 0x40, ICH9_ACPI_CNTL = 0x44, ICH9_ROUTE_A = 0x60, ICH9_ROUTE_E = 0x68 };
enum { ICH9_PM_PORT = 0x600, ICH9_GPE = 0x20, ICH9_GPE_LEN = 16, ICH9_PM_LEN = 0x80 };
void ich9_set_intx(void *ich9, uint8_t devfn, unsigned pin, bool level); /* fits PciBusOps */
/* Which PIRQ (0-7) a slot's pin (0-3) is wired to: E-H rotated by slots, A-D for the chip set's own. */
static inline unsigned ich9_pirq(unsigned slot, unsigned pin) { return slot < 25 ? 4 + (slot + pin) % 4 : pin % 4; }
