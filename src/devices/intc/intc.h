#pragma once
#include "machine/machine.h"
/*
 * intc.h - a PC's interrupt controllers as a board sees them: lines in by number (GSI), message-signalled interrupts in
 * by address and data.  Where they go - 8259A pair, IOAPIC, local APICs, or an accelerator's own - is decided here.
 *
 *     Intc *intc = intc_create(m, &error);        after machine_add_accel()
 *     uart->irq[0] = intc_gsi(intc, 4);
 *     device_map(intc_pic(intc), ...) is done by intc_create: ports 20h, a0h, 4d0h and the IOAPIC at fec00000h.
 */
typedef struct Intc Intc;

enum { INTC_GSIS = 24 };

/* Devices belong to the machine; the Intc itself must outlive them.  NULL on failure. */
Intc *intc_create(Machine *m, GError **err);
bool intc_hide_pic(Intc *i); /* the 8259As answer no port and, never set up, raise nothing; false: they are the accelerator's */
void intc_destroy(Intc *i); /* after the machine's devices; NULL is fine */

/* GSI 0-15 are the ISA lines (PIC and IOAPIC, with 0 on IOAPIC pin 2); 16-23 exist on the IOAPIC only. */
IrqLine intc_gsi(Intc *i, unsigned gsi);
/* A memory write to fee00000h-feefffffh.  opaque is the Intc: fits PciBusOps.msi. */
void intc_msi(void *opaque, uint64_t address, uint32_t data);
/* A pulse of every processor's NMI pin (LINT1): parity and channel checks, watchdogs, the monitor. */
void intc_nmi(Intc *i);
/* While this line is true (port 70h bit 7) intc_nmi() does nothing. */
IrqLine intc_nmi_mask(Intc *i);

extern const DeviceType i8259_type, ioapic_type, apic_type;

/* The 8259A pair's INTA cycle: the vector, or the spurious one if the request is gone.  Takes the device's lock. */
int pic_acknowledge(Device *pic);
