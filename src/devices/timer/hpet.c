/*
 * hpet.c - the high precision event timers: a 64-bit counter of 100 MHz and three comparators.
 *
 * The counter is the machine's clock in units of 10 ns plus an offset; host timers run only for enabled comparators.
 * Names as in the IA-PC HPET specification 1.0a.  Message-signalled (FSB) delivery is not offered.
 */
#include "devices/timer/timer.h"
#include "machine/machine.h"

enum { TIMERS = 3, TICK_NS = 10, SHORTEST_PERIOD_NS = 20000 };
enum { REG_CAPABILITIES = 0x000, REG_CONFIG = 0x010, REG_STATUS = 0x020, REG_COUNTER = 0x0f0, REG_TIMERS = 0x100 };
enum { TIMER_CONFIG = 0x00, TIMER_COMPARATOR = 0x08, TIMER_SPAN = 0x20 };
enum { CONFIG_ENABLE = 1, CONFIG_LEGACY = 2 };
enum { T_LEVEL = 1 << 1, T_ENABLE = 1 << 2, T_PERIODIC = 1 << 3, T_PERIODIC_CAP = 1 << 4, T_SIZE_CAP = 1 << 5,
       T_VAL_SET = 1 << 6, T_32BIT = 1 << 8, T_ROUTE_SHIFT = 9, T_WRITABLE = 0x3f4e };
/* GSIs that a comparator may be routed to: IOAPIC pins 20-23, as in ICH. */
#define ROUTES 0x00f00000ull

/* Period of 10,000,000 fs, vendor 8086h, legacy replacement, 64 bits, three timers, revision 1. */
#define CAPABILITIES (10000000ull << 32 | 0x8086ull << 16 | 1 << 15 | 1 << 13 | (TIMERS - 1) << 8 | 1)

typedef struct Hpet Hpet;
typedef struct Comparator {
    uint64_t config, comparator, period;
    Timer timer;
    Hpet *hpet;
} Comparator;

struct Hpet {
    Device dev;
    uint64_t config, status;
    uint64_t counter; /* enabled: offset to the clock's ticks; else where it stands */
    Comparator timer[TIMERS];
};

static bool enabled(const Hpet *h) { return h->config & CONFIG_ENABLE; }
static bool legacy(const Hpet *h) { return h->config & CONFIG_LEGACY; }
static uint64_t clock_ticks(const Hpet *h) { return clock_now(h->dev.machine->clock) / TICK_NS; }
static uint64_t counter(const Hpet *h) { return h->counter + (enabled(h) ? clock_ticks(h) : 0); }
static unsigned index_of(const Hpet *h, const Comparator *c) { return c - h->timer; }

/* ---- interrupts */

/* Legacy replacement: timer 0 is IRQ 0, timer 1 is IRQ 8, whatever their routes say. */
static const IrqLine *line_of(const Hpet *h, const Comparator *c)
{
    static const uint8_t legacy_gsi[2] = { 0, 8 };
    unsigned n = index_of(h, c), route = c->config >> T_ROUTE_SHIFT & 31;
    if (legacy(h) && n < 2)
        return &h->dev.irq[legacy_gsi[n]];
    return ROUTES >> route & 1 ? &h->dev.irq[route] : NULL;
}

static void drive(const Hpet *h, const Comparator *c, bool level)
{
    const IrqLine *line = line_of(h, c);
    if (line)
        irq_set(line, level);
}

static void update_level(Hpet *h, const Comparator *c)
{
    bool pending = h->status >> index_of(h, c) & 1;
    drive(h, c, pending && (c->config & T_LEVEL) && (c->config & T_ENABLE) && enabled(h));
}

static void interrupt(Hpet *h, Comparator *c)
{
    if (c->config & T_LEVEL) {
        h->status |= 1u << index_of(h, c);
        update_level(h, c);
    } else if (c->config & T_ENABLE) {
        drive(h, c, true);
        drive(h, c, false);
    }
}

/* ---- events */

static uint64_t width_mask(const Comparator *c) { return c->config & T_32BIT ? UINT32_MAX : UINT64_MAX; }

/* Ticks until the counter next becomes equal to the comparator; 0 stands for a whole round of 2^64. */
static uint64_t ticks_left(const Hpet *h, const Comparator *c)
{
    uint64_t left = (c->comparator - counter(h)) & width_mask(c);
    return left || !(c->config & T_32BIT) ? left : 1ull << 32;
}

static void arm(Hpet *h, Comparator *c)
{
    uint64_t left = ticks_left(h, c);
    bool wanted = enabled(h) && (c->config & (T_ENABLE | T_LEVEL)) && left && left < INT64_MAX / TICK_NS / 2;
    if (!wanted) {
        timer_disarm(&c->timer);
        return;
    }
    int64_t now = clock_now(h->dev.machine->clock), due = (now / TICK_NS + (int64_t)left) * TICK_NS;
    bool too_fast = (c->config & T_PERIODIC) && c->period < SHORTEST_PERIOD_NS / TICK_NS;
    timer_arm(&c->timer, too_fast ? MAX(due, now + SHORTEST_PERIOD_NS) : due);
}

/* Sets the comparator to the next multiple of the period that lies ahead.  Returns how many were reached. */
static uint64_t next_period(Hpet *h, Comparator *c)
{
    if (!c->period)
        return 1;
    uint64_t reached = 1 + ((counter(h) - c->comparator) & width_mask(c)) / c->period;
    c->comparator = (c->comparator + reached * c->period) & width_mask(c);
    return c->period < SHORTEST_PERIOD_NS / TICK_NS ? 1 : MIN(reached, MOST_LATE_TICKS);
}

static void timer_fired(void *opaque)
{
    Comparator *c = opaque;
    Hpet *h = c->hpet;
    for (uint64_t n = c->config & T_PERIODIC ? next_period(h, c) : 1; n; n--)
        interrupt(h, c);
    arm(h, c);
}

static void arm_all(Hpet *h)
{
    for (unsigned n = 0; n < TIMERS; n++) {
        update_level(h, &h->timer[n]);
        arm(h, &h->timer[n]);
    }
}

static void drive_legacy(const Hpet *h)
{
    irq_set(&h->dev.irq[HPET_LEGACY_PIT], legacy(h));
    irq_set(&h->dev.irq[HPET_LEGACY_RTC], legacy(h));
}

/* ---- registers: all of 64 bits, read and written whole or by halves */

static uint64_t timer_register(const Hpet *h, uint64_t off)
{
    const Comparator *c = &h->timer[(off - REG_TIMERS) / TIMER_SPAN];
    switch (off % TIMER_SPAN) {
    case TIMER_CONFIG:
        return c->config | ROUTES << 32 | T_PERIODIC_CAP | T_SIZE_CAP;
    case TIMER_COMPARATOR:
        return c->comparator;
    default:
        return 0;
    }
}

static uint64_t read_register(const Hpet *h, uint64_t off)
{
    switch (off) {
    case REG_CAPABILITIES:
        return CAPABILITIES;
    case REG_CONFIG:
        return h->config;
    case REG_STATUS:
        return h->status;
    case REG_COUNTER:
        return counter(h);
    default:
        return off >= REG_TIMERS && off < REG_TIMERS + TIMERS * TIMER_SPAN ? timer_register(h, off) : 0;
    }
}

static void write_config(Hpet *h, uint64_t v)
{
    uint64_t now = counter(h);
    if (legacy(h) != !!(v & CONFIG_LEGACY))
        for (unsigned n = 0; n < 2; n++)
            drive(h, &h->timer[n], false);
    h->config = v & (CONFIG_ENABLE | CONFIG_LEGACY);
    h->counter = now - (enabled(h) ? clock_ticks(h) : 0);
    drive_legacy(h);
    arm_all(h);
}

static void write_counter(Hpet *h, uint64_t v)
{
    if (enabled(h))
        guest_error(&h->dev,
                    "the main counter was written while it runs: the specification leaves open what comes of it");
    h->counter = v - (enabled(h) ? clock_ticks(h) : 0);
    arm_all(h);
}

static void write_status(Hpet *h, uint64_t v)
{
    h->status &= ~v;
    for (unsigned n = 0; n < TIMERS; n++)
        if (h->timer[n].config & T_LEVEL)
            update_level(h, &h->timer[n]);
}

static void write_timer_config(Hpet *h, Comparator *c, uint64_t v)
{
    if (c->config & T_LEVEL)
        drive(h, c, false);
    c->config = v & T_WRITABLE;
    if (c->config & T_32BIT) {
        c->comparator = (uint32_t)c->comparator;
        c->period = (uint32_t)c->period;
    }
    if (!(c->config & T_LEVEL))
        h->status &= ~(1ull << index_of(h, c));
    else
        update_level(h, c);
    arm(h, c);
}

/* Periodic: with VAL_SET the value is the first event's, without it the period.  One write of both is common, too. */
static void write_comparator(Hpet *h, Comparator *c, uint64_t v)
{
    v &= width_mask(c);
    if (!(c->config & T_PERIODIC) || (c->config & T_VAL_SET))
        c->comparator = v;
    if (c->config & T_PERIODIC)
        c->period = v;
    c->config &= ~(uint64_t)T_VAL_SET;
    arm(h, c);
}

static void write_timer(Hpet *h, uint64_t off, uint64_t v)
{
    Comparator *c = &h->timer[(off - REG_TIMERS) / TIMER_SPAN];
    if (off % TIMER_SPAN == TIMER_CONFIG)
        write_timer_config(h, c, v);
    else if (off % TIMER_SPAN == TIMER_COMPARATOR)
        write_comparator(h, c, v);
}

static void write_register(Hpet *h, uint64_t off, uint64_t v)
{
    switch (off) {
    case REG_CONFIG:
        write_config(h, v);
        break;
    case REG_STATUS:
        write_status(h, v);
        break;
    case REG_COUNTER:
        write_counter(h, v);
        break;
    default:
        if (off >= REG_TIMERS && off < REG_TIMERS + TIMERS * TIMER_SPAN)
            write_timer(h, off, v);
    }
}

static uint64_t hpet_read(Device *d, uint64_t off, unsigned size)
{
    uint64_t v = read_register((Hpet *)d, off & ~7ull);
    return off & 4 ? v >> 32 : v;
}

/* What the other half keeps when half a register is written. */
static uint64_t merged(const Hpet *h, uint64_t off, uint32_t half)
{
    uint64_t base = off & ~7ull;
    uint64_t old = base == REG_STATUS ? 0 : read_register(h, base);
    bool is_comparator = base >= REG_TIMERS && base % TIMER_SPAN == TIMER_COMPARATOR;
    if (is_comparator && (h->timer[MIN((base - REG_TIMERS) / TIMER_SPAN, TIMERS - 1)].config & T_PERIODIC))
        old = h->timer[MIN((base - REG_TIMERS) / TIMER_SPAN, TIMERS - 1)].period;
    return off & 4 ? (uint32_t)old | (uint64_t)half << 32 : (old & ~(uint64_t)UINT32_MAX) | half;
}

static void hpet_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    Hpet *h = (Hpet *)d;
    write_register(h, off & ~7ull, size == 8 ? v : merged(h, off, v));
}

/* ---- the device */

static bool hpet_realize(Device *d, GError **err)
{
    Hpet *h = (Hpet *)d;
    for (unsigned n = 0; n < TIMERS; n++) {
        h->timer[n].hpet = h;
        timer_init(&h->timer[n].timer, d->machine->clock, timer_fired, &h->timer[n], &d->lock);
    }
    return true;
}

static void hpet_unrealize(Device *d)
{
    for (unsigned n = 0; n < TIMERS; n++)
        timer_finish(&((Hpet *)d)->timer[n].timer);
}

static void hpet_reset(Device *d, ResetKind kind)
{
    drive_legacy((Hpet *)d);
    arm_all((Hpet *)d);
}

static bool hpet_post_load(Device *d, GError **err)
{
    Hpet *h = (Hpet *)d;
    for (unsigned n = 0; n < TIMERS; n++)
        arm(h, &h->timer[n]);
    return true;
}

static const Field comparator_fields[] = {
    { F(Comparator, config), .doc = "configuration" },
    { F(Comparator, comparator), .reset = UINT64_MAX },
    { F(Comparator, period), .doc = "ticks between events of a periodic timer" },
    { FO(Comparator, timer), .role = FIELD_HOST },
    { FO(Comparator, hpet), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const Field hpet_fields[] = {
    { F(Hpet, config), .doc = "general configuration" },
    { F(Hpet, status), .doc = "interrupts of level timers" },
    { F(Hpet, counter), .doc = "main counter, less the clock while enabled" },
    { FSA(Hpet, timer, comparator_fields), .doc = "timers" },
    DEVICE_FIELDS_END,
};
static const WindowOps hpet_ops = { hpet_read, hpet_write, 4, 8 };
static const WindowDecl hpet_windows[] = { { "regs", SPACE_MMIO, 0x400, &hpet_ops }, { .name = NULL } };

const DeviceType hpet_type = {
    .name = "hpet",
    .summary = "high precision event timers",
    .spec = "IA-PC HPET specification 1.0a",
    .size = sizeof(Hpet),
    .version = 1,
    .internal = true,
    .fields = hpet_fields,
    .windows = hpet_windows,
    .n_irqs = HPET_OUTPUTS,
    .realize = hpet_realize,
    .unrealize = hpet_unrealize,
    .reset = hpet_reset,
    .post_load = hpet_post_load,
};
