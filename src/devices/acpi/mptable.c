/* mptable.c - MultiProcessor Specification 1.4, chapter 4. */
#include "devices/acpi/mptable.h"

#include <string.h>

enum { ENTRY_CPU = 0, ENTRY_BUS = 1, ENTRY_IOAPIC = 2, ENTRY_INTERRUPT = 3, ENTRY_LOCAL = 4 };
enum { TYPE_INT = 0, TYPE_NMI = 1, TYPE_EXTINT = 3, CONFORMS = 0, HIGH_LEVEL = 0x0d };
enum { BUS_PCI = 0, BUS_ISA = 1, ISA_LINES = 16, TIMER_PIN = 2, CASCADE = 2, ALL = 0xff, APIC_VERSION = 0x14, IOAPIC_VERSION = 0x20 };
enum { LENGTH_AT = 4, CHECKSUM_AT = 7, COUNT_AT = 34 };

static void put(GByteArray *a, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t b = value >> (i * 8);
        g_byte_array_append(a, &b, 1);
    }
}

static void patch16(GByteArray *a, unsigned at, uint16_t value)
{
    a->data[at] = value;
    a->data[at + 1] = value >> 8;
}

static uint8_t checksum(const uint8_t *data, size_t n)
{
    uint8_t sum = 0;
    while (n--)
        sum += *data++;
    return -sum;
}

static void header(GByteArray *a)
{
    g_byte_array_append(a, (const uint8_t *)"PCMP", 4);
    put(a, 0, 2);
    put(a, 4, 1); /* revision 1.4 */
    put(a, 0, 1);
    g_byte_array_append(a, (const uint8_t *)"ATOLL   PC          ", 20);
    put(a, 0, 4); /* no OEM table */
    put(a, 0, 2);
    put(a, 0, 2); /* entries */
    put(a, 0xfee00000, 4);
    put(a, 0, 4); /* no extended table */
}

static unsigned add_cpus(GByteArray *a, const MpBoard *b)
{
    enum { ENABLED = 1, BOOTSTRAP = 2 };
    unsigned n = 0;
    for (unsigned i = 0; i < b->cpus; i++) {
        if (b->apic_ids[i] > 254)
            continue;
        put(a, ENTRY_CPU, 1);
        put(a, b->apic_ids[i], 1);
        put(a, APIC_VERSION, 1);
        put(a, ENABLED | (i ? 0 : BOOTSTRAP), 1);
        put(a, b->cpu_signature, 4);
        put(a, b->cpu_features, 4);
        put(a, 0, 8);
        n++;
    }
    return n;
}

static unsigned add_bus(GByteArray *a, uint8_t id, const char *type)
{
    put(a, ENTRY_BUS, 1);
    put(a, id, 1);
    g_byte_array_append(a, (const uint8_t *)type, 6);
    return 1;
}

static unsigned add_ioapic(GByteArray *a, const MpBoard *b)
{
    put(a, ENTRY_IOAPIC, 1);
    put(a, b->ioapic_id, 1);
    put(a, IOAPIC_VERSION, 1);
    put(a, 1, 1); /* enabled */
    put(a, 0xfec00000, 4);
    return 1;
}

static unsigned add_interrupt(GByteArray *a, uint8_t entry, uint8_t type, uint16_t flags, uint8_t bus, uint8_t irq, uint8_t apic, uint8_t pin)
{
    put(a, entry, 1);
    put(a, type, 1);
    put(a, flags, 2);
    put(a, bus, 1);
    put(a, irq, 1);
    put(a, apic, 1);
    put(a, pin, 1);
    return 1;
}

/* ISA lines that a PCI pin uses are described as the pin's. */
static bool used_by_pci(const MpBoard *b, unsigned gsi)
{
    for (unsigned i = 0; i < b->n_pins; i++)
        if (b->pins[i].gsi == gsi)
            return true;
    return false;
}

static unsigned add_interrupts(GByteArray *a, const MpBoard *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < b->n_pins; i++)
        n += add_interrupt(a, ENTRY_INTERRUPT, TYPE_INT, HIGH_LEVEL, BUS_PCI, b->pins[i].slot << 2 | b->pins[i].pin, b->ioapic_id, b->pins[i].gsi);
    for (unsigned irq = 0; irq < ISA_LINES; irq++)
        if (irq != CASCADE && !used_by_pci(b, irq))
            n += add_interrupt(a, ENTRY_INTERRUPT, TYPE_INT, CONFORMS, BUS_ISA, irq, b->ioapic_id, irq ? irq : TIMER_PIN);
    n += add_interrupt(a, ENTRY_LOCAL, TYPE_EXTINT, CONFORMS, BUS_ISA, 0, ALL, 0);
    n += add_interrupt(a, ENTRY_LOCAL, TYPE_NMI, CONFORMS, BUS_ISA, 0, ALL, 1);
    return n;
}

GByteArray *mp_table_build(const MpBoard *b)
{
    GByteArray *a = g_byte_array_new();
    header(a);
    unsigned n = add_cpus(a, b);
    n += add_bus(a, BUS_PCI, "PCI   ");
    n += add_bus(a, BUS_ISA, "ISA   ");
    n += add_ioapic(a, b);
    n += add_interrupts(a, b);
    patch16(a, LENGTH_AT, a->len);
    patch16(a, COUNT_AT, n);
    a->data[CHECKSUM_AT] = checksum(a->data, a->len);
    return a;
}

/* 4.1; feature byte 1 is 0: a table follows; byte 2 is 0: the 8259s are connected until the system switches (virtual wire). */
void mp_floating_build(uint8_t ret[MP_FLOATING_SIZE], uint32_t table_at)
{
    memset(ret, 0, MP_FLOATING_SIZE);
    memcpy(ret, "_MP_", 4);
    table_at = GUINT32_TO_LE(table_at);
    memcpy(ret + 4, &table_at, 4);
    ret[8] = 1; /* length in paragraphs */
    ret[9] = 4;
    ret[10] = checksum(ret, MP_FLOATING_SIZE);
}
