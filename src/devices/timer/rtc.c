/*
 * rtc.c - the MC146818 clock and its battery-backed RAM.
 *
 * Guest time is the machine's clock plus an offset; the time registers are bytes made of it when they are read, and
 * writing one moves the offset.  Flags of register C are brought up to date when somebody looks, so timers run only
 * while an interrupt is enabled.  Names as in the MC146818 data sheet; the century byte is where PC BIOSes keep it.
 */
#include <string.h>
#include <time.h>

#include "devices/timer/timer.h"
#include "machine/machine.h"

enum {
    REG_SECONDS, REG_SECONDS_ALARM, REG_MINUTES, REG_MINUTES_ALARM, REG_HOURS, REG_HOURS_ALARM, REG_WEEKDAY, REG_DAY,
    REG_MONTH, REG_YEAR, REG_A, REG_B, REG_C, REG_D, REG_CENTURY = 0x32, CMOS_SIZE = 128,
};
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_DIVIDER_RUN = 0x20, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10 };
enum { D_VALID = 0x80, HOUR_PM = 0x80, ALARM_ANY = 0xc0 };
enum { OUT_IRQ, OUT_NMI_MASK, OUTPUTS };
enum { RTC_HZ = 32768, UIP_NS = 244000, DAY = 86400 };
#define NS_PER_S 1000000000ll
#define LAST_SECOND (INT64_MAX / NS_PER_S / 2) /* in 2116; garbage in the century byte must not overflow nanoseconds */

typedef struct Rtc {
    Device dev;
    char *base;
    uint8_t index, flags; /* flags: register C */
    bool nmi_masked, held_back;
    uint8_t cmos[CMOS_SIZE];
    int64_t offset_ns;    /* guest time since 1970 = clock + offset, or offset alone while the clock is frozen */
    int64_t seen_second;  /* guest second up to which UF and AF are accounted for */
    uint64_t seen_period; /* likewise PF */
    bool settled;         /* both hold something */
    int64_t start_ns;     /* offset_ns as property base gave it */
    uint8_t board[CMOS_SIZE];
    bool board_set[CMOS_SIZE];
    Timer second_timer, periodic_timer;
} Rtc;

/* ---- time */

static int64_t machine_now(const Rtc *r) { return clock_now(r->dev.machine->clock); }
static bool divider_runs(const Rtc *r) { return (r->cmos[REG_A] & A_DIVIDER) == A_DIVIDER_RUN; }
static bool frozen(const Rtc *r) { return (r->cmos[REG_B] & B_SET) || !divider_runs(r); }
static int64_t guest_ns(const Rtc *r) { return r->offset_ns + (frozen(r) ? 0 : machine_now(r)); }

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static int64_t guest_second(const Rtc *r) { return floor_div(guest_ns(r), NS_PER_S); }
static int64_t fraction_ns(const Rtc *r) { return guest_ns(r) - guest_second(r) * NS_PER_S; }

static uint8_t encode(const Rtc *r, unsigned v) { return r->cmos[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10; }
static unsigned decode(const Rtc *r, uint8_t v) { return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15); }

static uint8_t encode_hour(const Rtc *r, unsigned hour)
{
    if (r->cmos[REG_B] & B_24H)
        return encode(r, hour);
    return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const Rtc *r, uint8_t v)
{
    if (r->cmos[REG_B] & B_24H)
        return decode(r, v);
    return decode(r, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* The time registers of now, into cmos. */
static void time_to_registers(Rtc *r)
{
    time_t second = guest_second(r);
    struct tm tm;
    if (!gmtime_r(&second, &tm))
        return;
    r->cmos[REG_SECONDS] = encode(r, tm.tm_sec);
    r->cmos[REG_MINUTES] = encode(r, tm.tm_min);
    r->cmos[REG_HOURS] = encode_hour(r, tm.tm_hour);
    r->cmos[REG_WEEKDAY] = encode(r, tm.tm_wday + 1);
    r->cmos[REG_DAY] = encode(r, tm.tm_mday);
    r->cmos[REG_MONTH] = encode(r, tm.tm_mon + 1);
    r->cmos[REG_YEAR] = encode(r, tm.tm_year % 100);
    r->cmos[REG_CENTURY] = encode(r, tm.tm_year / 100 + 19);
}

static int64_t registers_second(const Rtc *r)
{
    struct tm tm = {
        .tm_sec = decode(r, r->cmos[REG_SECONDS]),
        .tm_min = decode(r, r->cmos[REG_MINUTES]),
        .tm_hour = decode_hour(r, r->cmos[REG_HOURS]),
        .tm_mday = decode(r, r->cmos[REG_DAY]),
        .tm_mon = (int)decode(r, r->cmos[REG_MONTH]) - 1,
        .tm_year = (int)(decode(r, r->cmos[REG_CENTURY]) * 100 + decode(r, r->cmos[REG_YEAR])) - 1900,
    };
    int64_t second = timegm(&tm);
    return CLAMP(second, -LAST_SECOND, LAST_SECOND);
}

static void set_guest_ns(Rtc *r, int64_t ns)
{
    r->offset_ns = ns - (frozen(r) ? 0 : machine_now(r));
    r->seen_second = guest_second(r);
}

static bool is_time_register(unsigned i)
{
    return i == REG_CENTURY ||
           (i <= REG_YEAR && i != REG_SECONDS_ALARM && i != REG_MINUTES_ALARM && i != REG_HOURS_ALARM);
}

/* ---- flags and interrupts */

static bool alarm_field_matches(const Rtc *r, unsigned reg, unsigned value)
{
    uint8_t alarm = r->cmos[reg];
    if ((alarm & ALARM_ANY) == ALARM_ANY)
        return true;
    return value == (reg == REG_HOURS_ALARM ? decode_hour(r, alarm) : decode(r, alarm));
}

static bool alarm_matches(const Rtc *r, int64_t second)
{
    unsigned t = second - floor_div(second, DAY) * DAY;
    return alarm_field_matches(r, REG_SECONDS_ALARM, t % 60) &&
           alarm_field_matches(r, REG_MINUTES_ALARM, t / 60 % 60) && alarm_field_matches(r, REG_HOURS_ALARM, t / 3600);
}

/* Ticks of 32,768 Hz between periodic interrupts; 0: none. */
static unsigned period_ticks(const Rtc *r)
{
    unsigned rate = r->cmos[REG_A] & A_RATE;
    if (!rate || !divider_runs(r))
        return 0;
    return 1u << ((rate <= 2 ? rate + 7 : rate) - 1);
}

static uint64_t period_now(const Rtc *r)
{
    return period_ticks(r) ? ns_to_ticks(machine_now(r), RTC_HZ) / period_ticks(r) : 0;
}

static void settle(Rtc *r)
{
    int64_t second = guest_second(r);
    if (!r->settled) {
        r->settled = true;
        r->seen_second = second;
        r->seen_period = period_now(r);
    }
    if (second > r->seen_second)
        r->flags |= C_UF;
    for (int64_t s = MAX(r->seen_second, second - DAY) + 1; s <= second && !(r->flags & C_AF); s++)
        if (alarm_matches(r, s))
            r->flags |= C_AF;
    r->seen_second = second;
    if (period_now(r) != r->seen_period)
        r->flags |= C_PF;
    r->seen_period = period_now(r);
}

static void update_irq(Rtc *r)
{
    bool raised = r->flags & r->cmos[REG_B] & (C_PF | C_AF | C_UF); /* the enables stand in the same places */
    r->flags = raised ? r->flags | C_IRQF : r->flags & ~C_IRQF;
    irq_set(&r->dev.irq[OUT_IRQ], raised && !r->held_back);
}

static void arm(Rtc *r)
{
    uint8_t enabled = r->cmos[REG_B];
    int64_t second = INT64_MAX, periodic = INT64_MAX;
    if ((enabled & (B_UIE | B_AIE)) && !frozen(r))
        second = (guest_second(r) + 1) * NS_PER_S - r->offset_ns;
    if ((enabled & B_PIE) && period_ticks(r))
        periodic = ticks_to_ns((period_now(r) + 1) * period_ticks(r), RTC_HZ);
    timer_arm(&r->second_timer, second);
    timer_arm(&r->periodic_timer, periodic);
}

static void timer_fired(void *opaque)
{
    Rtc *r = opaque;
    settle(r);
    update_irq(r);
    arm(r);
}

/* ---- registers */

static uint8_t read_a(const Rtc *r)
{
    bool updating = !frozen(r) && fraction_ns(r) >= NS_PER_S - UIP_NS;
    return (r->cmos[REG_A] & ~A_UIP) | (updating ? A_UIP : 0);
}

static uint8_t read_c(Rtc *r)
{
    settle(r);
    update_irq(r);
    uint8_t v = r->flags;
    r->flags = 0;
    update_irq(r);
    return v;
}

static uint8_t read_register(Rtc *r, unsigned i)
{
    if (is_time_register(i) && !frozen(r))
        time_to_registers(r);
    switch (i) {
    case REG_A:
        return read_a(r);
    case REG_C:
        return read_c(r);
    case REG_D:
        return D_VALID;
    default:
        return r->cmos[i];
    }
}

/* A or B changes: the time stops, goes on, or changes its format.  A divider let go takes half a second to the first
 * update. */
static void write_control(Rtc *r, unsigned i, uint8_t v)
{
    bool was_frozen = frozen(r), ran = divider_runs(r);
    int64_t now = guest_ns(r);
    if (!was_frozen)
        time_to_registers(r);
    settle(r);
    r->cmos[i] = v;
    if (was_frozen && !(r->cmos[REG_B] & B_SET) && registers_second(r) >= 0)
        now = registers_second(r) * NS_PER_S + fraction_ns(r);
    if (!ran && divider_runs(r))
        now = floor_div(now, NS_PER_S) * NS_PER_S + NS_PER_S / 2;
    set_guest_ns(r, now);
    r->seen_period = period_now(r);
}

static void write_time(Rtc *r, unsigned i, uint8_t v)
{
    if (!frozen(r))
        time_to_registers(r);
    int64_t fraction = fraction_ns(r);
    r->cmos[i] = v;
    set_guest_ns(r, registers_second(r) * NS_PER_S + fraction);
}

static void write_register(Rtc *r, unsigned i, uint8_t v)
{
    if (i == REG_C || i == REG_D)
        return;
    if (i == REG_A)
        write_control(r, i, v & ~A_UIP);
    else if (i == REG_B)
        write_control(r, i, v & B_SET ? v & ~B_UIE : v);
    else if (is_time_register(i))
        write_time(r, i, v);
    else
        r->cmos[i] = v;
    update_irq(r);
    arm(r);
}

static uint64_t rtc_read(Device *d, uint64_t off, unsigned size)
{
    Rtc *r = (Rtc *)d;
    return off ? read_register(r, r->index) : 0xff; /* the index is write-only */
}

static void rtc_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    Rtc *r = (Rtc *)d;
    if (off) {
        write_register(r, r->index, v);
        return;
    }
    r->index = v & 0x7f;
    r->nmi_masked = v & 0x80;
    irq_set(&d->irq[OUT_NMI_MASK], r->nmi_masked);
}

/* ---- for the board */

void rtc_set_cmos(Device *d, unsigned index, uint8_t value)
{
    Rtc *r = (Rtc *)d;
    g_return_if_fail(index < CMOS_SIZE);
    g_mutex_lock(&d->lock);
    r->cmos[index] = r->board[index] = value;
    r->board_set[index] = true;
    g_mutex_unlock(&d->lock);
}

uint8_t rtc_get_cmos(Device *d, unsigned index)
{
    g_return_val_if_fail(index < CMOS_SIZE, 0);
    g_mutex_lock(&d->lock);
    uint8_t v = read_register((Rtc *)d, index);
    g_mutex_unlock(&d->lock);
    return v;
}

/* ---- the device */

static int64_t host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int64_t host_local_ns(void)
{
    int64_t ns = host_ns();
    time_t second = ns / NS_PER_S;
    struct tm tm = { 0 };
    localtime_r(&second, &tm);
    return ns + tm.tm_gmtoff * NS_PER_S;
}

/* base=utc, localtime, @SECONDS, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss. */
static bool start_time(const char *base, int64_t *ret_ns)
{
    struct tm tm = { 0 };
    char *end;
    if (g_str_equal(base, "utc")) {
        *ret_ns = host_ns();
        return true;
    }
    if (g_str_equal(base, "localtime")) {
        *ret_ns = host_local_ns();
        return true;
    }
    if (base[0] == '@') {
        *ret_ns = g_ascii_strtoll(base + 1, &end, 10) * NS_PER_S;
        return end != base + 1 && !*end;
    }
    const char *rest = strptime(base, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest) {
        tm = (struct tm){ 0 };
        rest = strptime(base, "%Y-%m-%d", &tm);
    }
    *ret_ns = (int64_t)timegm(&tm) * NS_PER_S;
    return rest && !*rest;
}

static bool rtc_realize(Device *d, GError **err)
{
    Rtc *r = (Rtc *)d;
    if (!start_time(r->base, &r->start_ns))
        return error_set(err, ERR_INVALID, "%s: base is utc, localtime, @SECONDS or YYYY-MM-DDThh:mm:ss, not '%s'",
                         d->path, r->base);
    r->start_ns -= machine_now(r);
    device_timer_init(d, &r->second_timer, timer_fired);
    device_timer_init(d, &r->periodic_timer, timer_fired);
    return true;
}

static void rtc_unrealize(Device *d)
{
    timer_finish(&((Rtc *)d)->second_timer);
    timer_finish(&((Rtc *)d)->periodic_timer);
}

static void rtc_reset(Device *d, ResetKind kind)
{
    Rtc *r = (Rtc *)d;
    if (kind == RESET_COLD) {
        for (unsigned i = 0; i < CMOS_SIZE; i++)
            r->cmos[i] = r->board_set[i] ? r->board[i] : 0;
        r->cmos[REG_A] = A_DIVIDER_RUN | 6;
        r->cmos[REG_B] = B_24H;
        r->offset_ns = r->start_ns;
    }
    r->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE); /* all that RESET# does */
    update_irq(r);
    arm(r);
    irq_set(&d->irq[OUT_NMI_MASK], false);
}

static bool rtc_post_load(Device *d, GError **err)
{
    arm((Rtc *)d);
    return true;
}

static void rtc_set_irq(Device *d, unsigned n, bool level)
{
    Rtc *r = (Rtc *)d;
    r->held_back = level;
    update_irq(r);
}

static const Field rtc_fields[] = {
    { F(Rtc, base), .role = FIELD_PROP, .def = "utc",
      .doc = "time at start: utc, localtime, @SECONDS or YYYY-MM-DDThh:mm:ss" },
    { F(Rtc, index), .doc = "port 70h" },
    { F(Rtc, flags), .doc = "register C" },
    { F(Rtc, nmi_masked), .doc = "port 70h bit 7" },
    { F(Rtc, held_back), .keep = true, .doc = "the HPET gives IRQ 8" },
    { FA(Rtc, cmos), .keep = true, .doc = "registers and RAM" },
    { F(Rtc, offset_ns), .keep = true, .doc = "guest time less clock, ns" },
    { F(Rtc, seen_second), .doc = "UF and AF are settled up to here" },
    { F(Rtc, seen_period), .doc = "PF is settled up to here" },
    { F(Rtc, settled) },
    { F(Rtc, start_ns), .role = FIELD_DERIVED },
    { FA(Rtc, board), .role = FIELD_DERIVED },
    { FA(Rtc, board_set), .role = FIELD_DERIVED },
    { FO(Rtc, second_timer), .role = FIELD_HOST },
    { FO(Rtc, periodic_timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const WindowOps rtc_ops = { rtc_read, rtc_write, 1, 1 };
static const WindowDecl rtc_windows[] = { { "ports", SPACE_PIO, 2, &rtc_ops }, { .name = NULL } };

const DeviceType mc146818_type = {
    .name = "mc146818rtc",
    .summary = "real-time clock with 128 bytes of CMOS RAM",
    .spec = "Motorola MC146818 data sheet",
    .size = sizeof(Rtc),
    .version = 1,
    .internal = true,
    .fields = rtc_fields,
    .windows = rtc_windows,
    .n_irqs = OUTPUTS,
    .realize = rtc_realize,
    .unrealize = rtc_unrealize,
    .reset = rtc_reset,
    .post_load = rtc_post_load,
    .set_irq = rtc_set_irq,
};
