#pragma once
#include "devices/intc/apic_bus.h"
#include "devices/intc/intc.h"
/* ioapic.h - the I/O APIC's connection to the local APICs. */

/* Called with the IOAPIC's lock held.  Returns whether an APIC took the message. */
typedef bool IoapicDeliver(void *opaque, const ApicMessage *msg);
void ioapic_connect(Device *ioapic, IoapicDeliver *deliver, void *opaque);

/* A level interrupt of that vector has been handled; takes the IOAPIC's lock. */
void ioapic_eoi(Device *ioapic, uint8_t vector);
