/*
 * ioapic.c - the I/O APIC: 24 pins, each with an entry that says which message its interrupt becomes.
 *
 * Version 20h, as in ICH: level interrupts end by the local APICs' EOI broadcast or by the EOI register (directed EOI).
 * A pin's line is true when the interrupt is asserted, whatever its electrical polarity: the polarity bit is kept, and
 * means nothing.
 */
#include "devices/intc/ioapic.h"

enum { PINS = 24, VERSION = 0x20, CLOCK_PIN = 2 /* ISA interrupt 0: the PIT, the HPET */ };
enum { REG_SELECT = 0x00, REG_DATA = 0x10, REG_EOI = 0x40 };
enum { INDEX_ID, INDEX_VERSION, INDEX_ARBITRATION, INDEX_TABLE = 0x10 };

/* A redirection entry; delivery status (bit 12) is always idle. */
#define ENTRY_LOGICAL    (1ull << 11)
#define ENTRY_STATUS     (1ull << 12)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL      (1ull << 15)
#define ENTRY_MASKED     (1ull << 16)
#define ENTRY_WRITABLE   0xff0000000001afffull

typedef struct Ioapic {
    Device dev;
    uint8_t id, index;
    uint32_t lines;
    uint64_t entry[PINS];
    IoapicDeliver *deliver;
    void *opaque;
} Ioapic;

void ioapic_connect(Device *d, IoapicDeliver *deliver, void *opaque)
{
    Ioapic *a = (Ioapic *)d;
    a->deliver = deliver;
    a->opaque = opaque;
}

static bool send_pin(const Ioapic *a, unsigned pin)
{
    uint64_t e = a->entry[pin];
    ApicMessage msg = {
        .dest = e >> 56,
        .vector = e,
        .mode = e >> 8 & 7,
        .logical = e & ENTRY_LOGICAL,
        .level = e & ENTRY_LEVEL,
        .counted = pin == CLOCK_PIN && !(e & ENTRY_LEVEL),
    };
    return a->deliver && a->deliver(a->opaque, &msg);
}

/* A level pin asks again until somebody takes it, and then not before its EOI. */
static void service_level(Ioapic *a, unsigned pin)
{
    uint64_t e = a->entry[pin];
    if (!(e & ENTRY_LEVEL) || (e & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) || !(a->lines >> pin & 1))
        return;
    if (send_pin(a, pin))
        a->entry[pin] |= ENTRY_REMOTE_IRR;
}

static void ioapic_set_irq(Device *d, unsigned n, bool level)
{
    Ioapic *a = (Ioapic *)d;
    if (n >= PINS)
        return;
    bool rose = level && !(a->lines >> n & 1);
    a->lines = (a->lines & ~(1u << n)) | (uint32_t)level << n;
    if (a->entry[n] & ENTRY_LEVEL)
        service_level(a, n);
    else if (rose && !(a->entry[n] & ENTRY_MASKED)) /* 82093AA 3.2.4: an edge at a masked pin is not remembered */
        send_pin(a, n);
}

static void eoi(Ioapic *a, uint8_t vector)
{
    for (unsigned pin = 0; pin < PINS; pin++)
        if ((a->entry[pin] & ENTRY_REMOTE_IRR) && (uint8_t)a->entry[pin] == vector) {
            a->entry[pin] &= ~ENTRY_REMOTE_IRR;
            service_level(a, pin);
        }
}

void ioapic_eoi(Device *d, uint8_t vector)
{
    g_mutex_lock(&d->lock);
    eoi((Ioapic *)d, vector);
    g_mutex_unlock(&d->lock);
}

/* ---- registers */

static uint32_t index_read(const Ioapic *a)
{
    unsigned n = a->index - INDEX_TABLE;
    switch (a->index) {
    case INDEX_ID:
    case INDEX_ARBITRATION:
        return (uint32_t)a->id << 24;
    case INDEX_VERSION:
        return (PINS - 1) << 16 | VERSION;
    default:
        return n / 2 < PINS ? a->entry[n / 2] >> (n & 1) * 32 : 0;
    }
}

static void entry_write(Ioapic *a, unsigned pin, unsigned shift, uint32_t v)
{
    uint64_t half = 0xffffffffull << shift, e = a->entry[pin];
    uint64_t writable = half & ENTRY_WRITABLE;
    e = (e & ~writable) | ((uint64_t)v << shift & writable);
    if (!(e & ENTRY_LEVEL)) /* older Linux clears a stuck remote IRR by a moment of edge mode */
        e &= ~ENTRY_REMOTE_IRR;
    a->entry[pin] = e;
    service_level(a, pin);
}

static void index_write(Ioapic *a, uint32_t v)
{
    unsigned n = a->index - INDEX_TABLE;
    if (a->index == INDEX_ID)
        a->id = v >> 24 & 0xf;
    else if (a->index >= INDEX_TABLE && n / 2 < PINS)
        entry_write(a, n / 2, (n & 1) * 32, v);
}

static uint64_t ioapic_read(Device *d, uint64_t off, unsigned size)
{
    const Ioapic *a = (Ioapic *)d;
    switch (off & 0xff) {
    case REG_SELECT:
        return a->index;
    case REG_DATA:
        return index_read(a);
    default:
        return 0;
    }
}

static void ioapic_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    Ioapic *a = (Ioapic *)d;
    switch (off & 0xff) {
    case REG_SELECT:
        a->index = v;
        break;
    case REG_DATA:
        index_write(a, v);
        break;
    case REG_EOI:
        eoi(a, v);
        break;
    }
}

static const Field ioapic_fields[] = {
    { F(Ioapic, id), .doc = "APIC identifier" },
    { F(Ioapic, index), .doc = "IOREGSEL" },
    { F(Ioapic, lines), .keep = true, .doc = "asserted pins" },
    { FA(Ioapic, entry), .reset = ENTRY_MASKED, .doc = "redirection table" },
    { FO(Ioapic, deliver), .role = FIELD_HOST },
    { FO(Ioapic, opaque), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const WindowOps ioapic_ops = { ioapic_read, ioapic_write, 4, 4 };
static const WindowDecl ioapic_windows[] = { { "regs", SPACE_MMIO, 0x1000, &ioapic_ops }, { .name = NULL } };

const DeviceType ioapic_type = {
    .name = "ioapic",
    .summary = "I/O APIC with 24 pins",
    .spec = "Intel 82093AA 290566; ICH data sheets for the EOI register",
    .size = sizeof(Ioapic),
    .version = 1,
    .internal = true,
    .fields = ioapic_fields,
    .windows = ioapic_windows,
    .set_irq = ioapic_set_irq,
};
