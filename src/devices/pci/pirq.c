/* pirq.c - PCI interrupt routing to ISA lines.  Intel 82371SB (290550), 2.2.8; ICH9 (316972), 13.1.16. */
#include "devices/pci/pirq.h"

static const uint16_t ROUTABLE = 0xdef8; /* where a PIRQ may go: IRQ 3-7, 9-12, 14, 15 */

bool pirq_level(const Pirq *p, unsigned pirq)
{
    const uint64_t *a = &p->asserted[pirq * 4];
    return a[0] | a[1] | a[2] | a[3];
}

static uint16_t wanted_lines(const Pirq *p, const uint8_t *route, unsigned n_pirqs)
{
    uint16_t lines = 0;
    for (unsigned pirq = 0; pirq < n_pirqs; pirq++)
        if (!(route[pirq] & PIRQ_ROUTE_OFF) && pirq_level(p, pirq))
            lines |= 1u << (route[pirq] & 15) & ROUTABLE;
    for (unsigned source = 0; source < PIRQ_SOURCES; source++)
        lines |= p->isa[source];
    return lines;
}

void pirq_update(Pirq *p, Device *d, const uint8_t *route, unsigned n_pirqs)
{
    uint16_t lines = wanted_lines(p, route, n_pirqs), changed = lines ^ p->driven;
    p->driven = lines;
    for (unsigned n = 0; n < 16; n++)
        if (changed >> n & 1)
            irq_set(&d->irq[n], lines >> n & 1);
}

void pirq_set_pin(Pirq *p, unsigned pirq, uint8_t devfn, bool level)
{
    uint64_t *word = &p->asserted[pirq * 4 + devfn / 64], bit = 1ull << (devfn % 64);
    *word = level ? *word | bit : *word & ~bit;
}

void pirq_set_source(Pirq *p, unsigned input, bool level)
{
    uint16_t *lines = &p->isa[input / 16 % PIRQ_SOURCES], bit = 1u << (input % 16);
    *lines = level ? *lines | bit : *lines & ~bit;
}

void pirq_reset(Device *d)
{
    for (unsigned n = 0; n < 16; n++)
        if (ROUTABLE >> n & 1)
            irq_set(&d->irq[n], false);
}

const Field pirq_fields[] = {
    { FA(Pirq, asserted), .doc = "per PIRQ, which functions assert it" },
    { FA(Pirq, isa), .doc = "per source, ISA lines that it asserts" },
    { F(Pirq, driven), .doc = "ISA lines driven high" },
    { .name = NULL },
};
