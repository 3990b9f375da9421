/*
 * pit.c - the 8254 with three counters, and port 61h with counter 2's gate.
 *
 * Nothing is stepped.  Time is counted in ticks of 1,193,182 Hz since the machine's clock began; a counter knows the
 * tick at which it started, and its count, its output and the next rise of its output follow from that.  Modes as in
 * the 8254 data sheet (Intel 231164).
 */
#include "devices/timer/timer.h"
#include "machine/machine.h"

#define PIT_HZ 1193182
enum { COUNTERS = 3, SPEAKER = 2, REFRESH_NS = 15085, CLOSE_POLLS = 8, CLOSE_NS = 200000 };
enum { MODE_TERMINAL_COUNT, MODE_ONE_SHOT, MODE_RATE, MODE_SQUARE, MODE_SOFT_STROBE, MODE_HARD_STROBE };
enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };
#define NEVER UINT64_MAX

typedef struct Counter {
    uint8_t control; /* access, mode and BCD as written: bits 5-0 */
    bool gate;
    bool started;    /* a count is loaded, or (modes 1 and 5) the gate has triggered */
    bool loaded;     /* a count has been written since the control word */
    bool paused;     /* gate low in modes 0 and 4; `start` is then the ticks that have passed */
    uint32_t count;  /* 1 to 65536 */
    uint32_t next;   /* modes 2 and 3: the count of the next period, 0 if none */
    uint64_t start;
    bool write_high, read_high; /* access to both: the second byte is next */
    uint8_t write_low;
    uint8_t latched;            /* bytes of `latch` still to read */
    uint16_t latch;
    bool status_latched;
    uint8_t status;
} Counter;

typedef struct Pit {
    Device dev;
    Counter counter[COUNTERS];
    uint8_t port_b; /* port 61h: bits 0 gate, 1 speaker, 2 parity, 3 channel check */
    bool held_back;
    uint8_t polls;       /* reads of port 61h in close succession, up to CLOSE_POLLS */
    bool polled_out;     /* OUT2 at the last of them */
    int64_t polled_ns;   /* when that was */
    uint64_t due;        /* tick that `timer` is armed for */
    Timer timer;
} Pit;

static unsigned access_of(const Counter *c) { return c->control >> 4 & 3; }
static bool is_bcd(const Counter *c) { return c->control & 1; }

static unsigned mode_of(const Counter *c)
{
    unsigned mode = c->control >> 1 & 7;
    return mode > 5 ? mode - 4 : mode; /* 110 and 111 are 2 and 3 */
}

static bool is_periodic(const Counter *c) { return mode_of(c) == MODE_RATE || mode_of(c) == MODE_SQUARE; }
static bool is_triggered(const Counter *c) { return mode_of(c) == MODE_ONE_SHOT || mode_of(c) == MODE_HARD_STROBE; }

static uint64_t now_ticks(const Pit *p) { return ns_to_ticks(clock_now(p->dev.machine->clock), PIT_HZ); }

/* ---- what a counter does, as a function of the ticks since it started */

static uint64_t elapsed(const Counter *c, uint64_t now) { return c->paused ? c->start : now - c->start; }

static bool output_at(const Counter *c, uint64_t t)
{
    switch (mode_of(c)) {
    case MODE_TERMINAL_COUNT:
    case MODE_ONE_SHOT:
        return t >= c->count;
    case MODE_RATE:
        return t % c->count != c->count - 1;
    case MODE_SQUARE:
        return t % c->count < (c->count + 1) / 2;
    default:
        return t != c->count;
    }
}

static bool output(const Counter *c, uint64_t now)
{
    if (!c->started || (is_periodic(c) && !c->gate))
        return mode_of(c) != MODE_TERMINAL_COUNT;
    return output_at(c, elapsed(c, now));
}

/* The first tick after t, since the start, at which the output rises. */
static uint64_t next_rise(const Counter *c, uint64_t t)
{
    switch (mode_of(c)) {
    case MODE_TERMINAL_COUNT:
    case MODE_ONE_SHOT:
        return t < c->count ? c->count : NEVER;
    case MODE_RATE:
    case MODE_SQUARE:
        return (t / c->count + 1) * c->count;
    default:
        return t <= c->count ? (uint64_t)c->count + 1 : NEVER;
    }
}

static uint16_t to_bcd(unsigned v) { return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12; }
static unsigned from_bcd(unsigned v)
{
    return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

static uint16_t current_count(const Counter *c, uint64_t now)
{
    unsigned modulus = is_bcd(c) ? 10000 : 65536;
    uint64_t t = c->started ? elapsed(c, now) : 0, left;
    if (mode_of(c) == MODE_RATE)
        left = c->count - t % c->count;
    else if (mode_of(c) == MODE_SQUARE) /* counts by twos, twice a period */
        left = (c->count & ~1u) - (2 * t % c->count & ~1ull);
    else
        left = c->count + modulus - t % modulus;
    left %= modulus;
    return is_bcd(c) ? to_bcd(left) : left;
}

/* Takes over the count that was written during a period that is now over. */
static void settle(Counter *c, uint64_t now)
{
    if (!c->next || !c->started || !c->gate || now - c->start < c->count)
        return;
    c->start += c->count;
    c->count = c->next;
    c->next = 0;
}

/* ---- interrupts: counter 0's rises */

static void arm(Pit *p)
{
    const Counter *c = &p->counter[0];
    uint64_t rise = c->started && !c->paused && c->gate ? next_rise(c, now_ticks(p) - c->start) : NEVER;
    if (c->next && rise != NEVER) /* the rise at which the next count begins */
        rise = c->count;
    p->due = c->start + rise;
    timer_arm(&p->timer, rise == NEVER ? INT64_MAX : ticks_to_ns(c->start + rise, PIT_HZ));
}

static void drive(Pit *p, bool level) { irq_set(&p->dev.irq[0], level && !p->held_back); }

/* Rises since the timer was armed, the one it was armed for among them: this thread may have come late. */
static uint64_t rises(const Pit *p)
{
    const Counter *c = &p->counter[0];
    uint64_t now = now_ticks(p);
    if (!is_periodic(c) || c->next || now <= p->due)
        return 1;
    return MIN(1 + (now - p->due) / c->count, MOST_LATE_TICKS);
}

static void timer_fired(void *opaque)
{
    Pit *p = opaque;
    uint64_t n = rises(p);
    settle(&p->counter[0], now_ticks(p));
    for (; n; n--) {
        drive(p, false); /* the low part of the wave takes no time here: it is the rise that matters */
        drive(p, true);
    }
    arm(p);
}

/* After a change of counter n. */
static void changed(Pit *p, unsigned n)
{
    if (n != 0)
        return;
    if (!output(&p->counter[0], now_ticks(p)) && mode_of(&p->counter[0]) == MODE_TERMINAL_COUNT)
        drive(p, false);
    arm(p);
}

/* ---- loading */

static void load_count(Counter *c, unsigned written, uint64_t now)
{
    unsigned count = is_bcd(c) ? from_bcd(written) : written;
    if (!count)
        count = is_bcd(c) ? 10000 : 65536;
    if (is_periodic(c) && count == 1)
        count = 2; /* 1 is illegal in modes 2 and 3 */
    c->loaded = true;
    if (is_periodic(c) && c->started) {
        c->next = count;
        return;
    }
    c->count = count;
    if (is_triggered(c))
        return;
    c->started = true;
    c->paused = !c->gate && !is_periodic(c);
    c->start = c->paused ? 0 : now;
}

static void set_gate(Counter *c, bool gate, uint64_t now)
{
    bool rose = gate && !c->gate;
    settle(c, now);
    if (c->gate == gate)
        return;
    c->gate = gate;
    if (rose && c->loaded && (is_triggered(c) || is_periodic(c))) {
        c->started = true;
        c->start = now;
    } else if (!is_triggered(c) && !is_periodic(c) && c->started) {
        c->start = now - c->start; /* between a moment and a duration, both ways */
        c->paused = !gate;
    }
}

/* ---- registers 0-2: counters, 3: control */

static void counter_write(Pit *p, unsigned n, uint8_t v)
{
    Counter *c = &p->counter[n];
    uint64_t now = now_ticks(p);
    settle(c, now);
    switch (access_of(c)) {
    case ACCESS_LOW:
        load_count(c, v, now);
        break;
    case ACCESS_HIGH:
        load_count(c, v << 8, now);
        break;
    case ACCESS_BOTH:
        c->write_high = !c->write_high;
        if (!c->write_high) {
            load_count(c, v << 8 | c->write_low, now);
        } else {
            c->write_low = v;
            if (mode_of(c) == MODE_TERMINAL_COUNT) /* the first byte stops the counting */
                c->started = false;
        }
        break;
    }
    changed(p, n);
}

static void latch_count(Pit *p, Counter *c)
{
    if (c->latched)
        return;
    c->latch = current_count(c, now_ticks(p));
    c->latched = access_of(c) == ACCESS_BOTH ? 2 : 1;
    if (access_of(c) == ACCESS_HIGH)
        c->latch >>= 8;
}

static void latch_status(Pit *p, Counter *c)
{
    if (c->status_latched)
        return;
    bool null = !c->loaded || c->next;
    c->status = (output(c, now_ticks(p)) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) | c->control;
    c->status_latched = true;
}

static uint8_t read_latch(Counter *c)
{
    uint8_t v = c->latch;
    c->latch >>= 8;
    c->latched--;
    return v;
}

static uint8_t counter_read(Pit *p, unsigned n)
{
    Counter *c = &p->counter[n];
    settle(c, now_ticks(p));
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched)
        return read_latch(c);
    uint16_t count = current_count(c, now_ticks(p));
    if (access_of(c) == ACCESS_BOTH)
        c->read_high = !c->read_high;
    bool high = access_of(c) == ACCESS_HIGH || (access_of(c) == ACCESS_BOTH && !c->read_high);
    return high ? count >> 8 : count;
}

static void read_back(Pit *p, uint8_t v)
{
    for (unsigned n = 0; n < COUNTERS; n++) {
        Counter *c = &p->counter[n];
        if (!(v >> (n + 1) & 1))
            continue;
        settle(c, now_ticks(p));
        if (!(v & 0x20))
            latch_count(p, c);
        if (!(v & 0x10))
            latch_status(p, c);
    }
}

static void control_write(Pit *p, uint8_t v)
{
    unsigned n = v >> 6;
    if (n == 3) {
        read_back(p, v);
        return;
    }
    Counter *c = &p->counter[n];
    settle(c, now_ticks(p));
    if ((v >> 4 & 3) == ACCESS_LATCH) {
        latch_count(p, c);
        return;
    }
    *c = (Counter){ .control = v & 0x3f, .gate = c->gate, .count = v & 1 ? 10000 : 65536 };
    changed(p, n);
}

static uint64_t pit_read(Device *d, uint64_t off, unsigned size)
{
    return off < COUNTERS ? counter_read((Pit *)d, off) : 0xff;
}

static void pit_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    if (off < COUNTERS)
        counter_write((Pit *)d, off, v);
    else
        control_write((Pit *)d, v);
}

/* ---- port 61h */

/*
 * Who polls tightly for OUT2's rise sees it one poll late.  Linux measures the TSC so, and takes the time that it read
 * just before the poll which ends the loop; had the host taken the processor away between the two, the frequency would
 * be far too low and nothing would show it.  With one poll more the gap lies within what it measures, and it sees and
 * rejects it (pit_calibrate_tsc(): tscmax > 10 * tscmin).
 */
static bool polled_output(Pit *p, bool out)
{
    int64_t now = clock_now(p->dev.machine->clock);
    bool close = p->polls == CLOSE_POLLS, hide = out && !p->polled_out && close;
    if (now - p->polled_ns >= CLOSE_NS)
        p->polls = 0;
    else if (!close)
        p->polls++;
    p->polled_ns = now;
    p->polled_out = out;
    return out && !hide;
}

static uint64_t port_b_read(Device *d, uint64_t off, unsigned size)
{
    Pit *p = (Pit *)d;
    Counter *c = &p->counter[SPEAKER];
    settle(c, now_ticks(p));
    bool refresh = clock_now(d->machine->clock) / REFRESH_NS & 1;
    return p->port_b | refresh << 4 | polled_output(p, output(c, now_ticks(p))) << 5;
}

static void port_b_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    Pit *p = (Pit *)d;
    p->port_b = v & 0xf;
    set_gate(&p->counter[SPEAKER], v & 1, now_ticks(p));
}

/* ---- the device */

static void pit_set_irq(Device *d, unsigned n, bool level)
{
    Pit *p = (Pit *)d;
    p->held_back = level;
    drive(p, false);
}

static bool pit_realize(Device *d, GError **err)
{
    device_timer_init(d, &((Pit *)d)->timer, timer_fired);
    return true;
}

static void pit_unrealize(Device *d) { timer_finish(&((Pit *)d)->timer); }

static void pit_reset(Device *d, ResetKind kind)
{
    Pit *p = (Pit *)d;
    p->counter[0].gate = p->counter[1].gate = true;
    drive(p, false);
    arm(p);
}

static bool pit_post_load(Device *d, GError **err)
{
    for (unsigned n = 0; n < COUNTERS; n++)
        if (((Pit *)d)->counter[n].count - 1 > 65535)
            return error_set(err, ERR_INVALID, "%s: saved state has an impossible count for counter %u", d->path, n);
    arm((Pit *)d);
    return true;
}

static const Field counter_fields[] = {
    { F(Counter, control), .reset = 0x30, .doc = "access, mode, BCD" },
    { F(Counter, gate), .doc = "gate input" },
    { F(Counter, started), .doc = "counting" },
    { F(Counter, loaded), .doc = "a count has been written" },
    { F(Counter, paused), .doc = "gate is low: start is a duration" },
    { F(Counter, count), .reset = 65536, .doc = "initial count" },
    { F(Counter, next), .doc = "count of the next period" },
    { F(Counter, start), .doc = "tick at which it started" },
    { F(Counter, write_high) },
    { F(Counter, read_high) },
    { F(Counter, write_low) },
    { F(Counter, latched), .doc = "bytes left in latch" },
    { F(Counter, latch), .doc = "latched count" },
    { F(Counter, status_latched) },
    { F(Counter, status), .doc = "latched status" },
    DEVICE_FIELDS_END,
};
static const Field pit_fields[] = {
    { FSA(Pit, counter, counter_fields), .doc = "counters" },
    { F(Pit, port_b), .doc = "port 61h as written" },
    { F(Pit, held_back), .keep = true, .doc = "the HPET gives IRQ 0" },
    { F(Pit, polls), .doc = "reads of port 61h in close succession" },
    { F(Pit, polled_out) },
    { F(Pit, polled_ns) },
    { F(Pit, due), .role = FIELD_DERIVED },
    { FO(Pit, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static const WindowOps pit_ops = { pit_read, pit_write, 1, 1 };
static const WindowOps port_b_ops = { port_b_read, port_b_write, 1, 1 };
static const WindowDecl pit_windows[] = {
    { "counters", SPACE_PIO, 4, &pit_ops },
    { "port-b", SPACE_PIO, 1, &port_b_ops },
    { .name = NULL },
};

const DeviceType i8254_type = {
    .name = "i8254",
    .summary = "programmable interval timer and port 61h",
    .spec = "Intel 8254 data sheet 231164",
    .size = sizeof(Pit),
    .version = 1,
    .internal = true,
    .fields = pit_fields,
    .windows = pit_windows,
    .n_irqs = 1,
    .realize = pit_realize,
    .unrealize = pit_unrealize,
    .reset = pit_reset,
    .post_load = pit_post_load,
    .set_irq = pit_set_irq,
};
