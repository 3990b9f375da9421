#pragma once
#include "machine/machine.h"
/*
 * apic_bus.h - messages between IOAPIC, MSI, ICRs and the local APICs.  Intel SDM volume 3, chapter "APIC".
 *
 * Sending takes no lock: it sets bits in the receivers' IRRs by atomics, so that it may be done under any device's
 * lock.
 */
typedef enum ApicDelivery {
    DELIVER_FIXED = 0,
    DELIVER_LOWEST = 1,
    DELIVER_SMI = 2,
    DELIVER_NMI = 4,
    DELIVER_INIT = 5,
    DELIVER_SIPI = 6,
    DELIVER_EXTINT = 7,
} ApicDelivery;

typedef struct ApicMessage {
    uint32_t dest;
    uint8_t vector;
    ApicDelivery mode;
    bool logical;
    bool level; /* trigger mode: the IOAPIC wants to see the EOI */
    bool counted; /* a clock's tick: what comes while the one before waits is owed, not lost */
    bool wide;  /* dest has 32 bits (x2APIC's ICR), else 8 */
} ApicMessage;

typedef struct Lapic Lapic;

/* Which local APICs there are, and what else is on the bus.  Filled before the first vCPU runs, then constant. */
typedef struct ApicBus {
    GPtrArray *apics; /* Lapic */
    Device *ioapic;   /* hears EOIs; may be NULL */
    Device *pic;      /* answers ExtINT; may be NULL */
} ApicBus;

enum { APIC_BROADCAST = 0xff };

/* Returns whether some APIC took it. */
bool apic_bus_send(ApicBus *b, const ApicMessage *msg);
