#pragma once
#include "machine/device.h"
/*
 * timer.h - the PC's timers as a board sees them.
 *
 * i8254: window 0 counters (40h-43h), 1 system control port B (61h); output 0 is IRQ 0; input 0 true: IRQ 0 is held
 * back (the HPET replaces it). mc146818: window 0 at 70h; outputs: 0 IRQ 8, 1 NMI is masked.  Input 0 true: IRQ 8 is
 * held back. hpet: window 0 at fed00000h; outputs 0-23: GSIs (0, 8 and 20-23 are ever driven); 24 and 25 go to input 0
 * of i8254 and mc146818.
 */
extern const DeviceType i8254_type, mc146818_type, hpet_type;

/* The clock's thread may come late: then each period that ended since gives its edge, which the local APIC counts
 * (lapic_irq.c), but no more than these. */
enum { MOST_LATE_TICKS = 250 };

enum { HPET_LEGACY_PIT = 24, HPET_LEGACY_RTC = 25, HPET_OUTPUTS = 26 };

/* A byte of the battery-backed RAM (index 0eh-7fh): survives every reset.  Machine stopped. */
void rtc_set_cmos(Device *rtc, unsigned index, uint8_t value);
uint8_t rtc_get_cmos(Device *rtc, unsigned index);
