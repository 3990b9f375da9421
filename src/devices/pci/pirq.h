#pragma once
#include "machine/device.h"
/*
 * pirq.h - the interrupt router of a south bridge: PCI pins and ISA sources in, ISA lines out.  A part of the ISA bridge, whose
 * outputs 0-15 are the lines and whose inputs source * 16 + n are ISA line n as one of several sources drives it.
 */
enum { PIRQ_SOURCE_SCI = 0, PIRQ_SOURCES = 8, PIRQ_MOST = 8, PIRQ_ROUTE_OFF = 0x80 };

typedef struct Pirq {
    uint64_t asserted[PIRQ_MOST * 4]; /* per PIRQ: a bit a devfn, so that a shared wire is the OR of its drivers */
    uint16_t isa[PIRQ_SOURCES];       /* per source: ISA lines that it asserts */
    uint16_t driven;                  /* lines now high because of us */
} Pirq;

extern const Field pirq_fields[];

void pirq_set_pin(Pirq *p, unsigned pirq, uint8_t devfn, bool level);
void pirq_set_source(Pirq *p, unsigned input, bool level);
/* After either, and when a route has changed: route[n] is PIRQ n's register. */
void pirq_update(Pirq *p, Device *d, const uint8_t *route, unsigned n_pirqs);
void pirq_reset(Device *d);
bool pirq_level(const Pirq *p, unsigned pirq);
