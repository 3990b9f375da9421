/* rtc_test.c - the MC146818: calendar, formats, alarm, periodic and update interrupts. */
#include "devices/testing.h"
#include "devices/timer/timer.h"

enum {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    A,
    B,
    C,
    D,
    CENTURY = 0x32
};
#define SECOND 1000000000ll

typedef struct Rig {
    Machine *m;
    Device *rtc;
    TestLine irq, nmi_mask;
} Rig;

static void rig_init(Rig *r, const char *base)
{
    r->m = test_machine();
    r->rtc = test_device(r->m, &mc146818_type, (const char *[]){ "base", base, NULL });
    test_map(r->rtc, 0, 0x70);
    test_watch(r->rtc, 0, &r->irq);
    test_watch(r->rtc, 1, &r->nmi_mask);
}

static uint8_t get(Rig *r, uint8_t i) { return test_out(r->m, 0x70, i), test_in(r->m, 0x71); }
static void set(Rig *r, uint8_t i, uint8_t v)
{
    test_out(r->m, 0x70, i);
    test_out(r->m, 0x71, v);
}
static void advance(Rig *r, int64_t ns) { clock_advance(r->m->clock, ns); }

static void assert_time(Rig *r, const char *expected)
{
    g_autofree char *now =
        g_strdup_printf("%02x%02x-%02x-%02x %02x:%02x:%02x (%x)", get(r, CENTURY), get(r, YEAR), get(r, MONTH),
                        get(r, DAY), get(r, HOURS), get(r, MINUTES), get(r, SECONDS), get(r, WEEKDAY));
    g_assert_cmpstr(now, ==, expected);
}

static void test_rollover(void)
{
    Rig r;
    rig_init(&r, "1999-12-31T23:59:59");
    assert_time(&r, "1999-12-31 23:59:59 (6)");
    advance(&r, SECOND - 1);
    assert_time(&r, "1999-12-31 23:59:59 (6)");
    advance(&r, 1);
    assert_time(&r, "2000-01-01 00:00:00 (7)");
    set(&r, MONTH, 0x02);
    set(&r, DAY, 0x28);
    advance(&r, 86400 * SECOND);
    assert_time(&r, "2000-02-29 00:00:00 (3)"); /* a leap year */
    machine_destroy(r.m);
}

static void test_base(void)
{
    Rig r;
    rig_init(&r, "@1000000000");
    assert_time(&r, "2001-09-09 01:46:40 (1)");
    machine_destroy(r.m);
    Machine *m = test_machine();
    g_autoptr(GError) err = NULL;
    g_assert_null(device_create(m, &mc146818_type, NULL, (const char *[]){ "base", "tomorrow", NULL }, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
    machine_destroy(m);
}

static void test_formats(void)
{
    Rig r;
    rig_init(&r, "2026-11-22T13:45:10");
    set(&r, B, 0x00); /* BCD, 12 hours */
    g_assert_cmphex(get(&r, HOURS), ==, 0x81);
    set(&r, B, 0x04); /* binary, 12 hours */
    g_assert_cmphex(get(&r, HOURS), ==, 0x81);
    g_assert_cmpuint(get(&r, MINUTES), ==, 45);
    set(&r, HOURS, 12); /* 12 am is midnight */
    set(&r, B, 0x06);
    g_assert_cmpuint(get(&r, HOURS), ==, 0);
    g_assert_cmpuint(get(&r, CENTURY), ==, 20);
    machine_destroy(r.m);
}

/* As hwclock and Linux do it: SET, write, clear SET. */
static void test_set(void)
{
    Rig r;
    rig_init(&r, "2026-11-22T13:45:10");
    set(&r, B, 0x82);
    advance(&r, 5 * SECOND);
    assert_time(&r, "2026-11-22 13:45:10 (1)"); /* stands */
    static const uint8_t values[][2] = { { YEAR, 0x31 },  { MONTH, 0x12 },   { DAY, 0x31 },
                                         { HOURS, 0x23 }, { MINUTES, 0x59 }, { SECONDS, 0x58 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++)
        set(&r, values[i][0], values[i][1]);
    set(&r, B, 0x02);
    advance(&r, 2 * SECOND);
    assert_time(&r, "2032-01-01 00:00:00 (5)");
    set(&r, A, 0x76); /* divider in reset: stands */
    advance(&r, 10 * SECOND);
    set(&r, A, 0x26); /* the first update comes half a second later */
    assert_time(&r, "2032-01-01 00:00:00 (5)");
    advance(&r, SECOND / 2 - 1);
    assert_time(&r, "2032-01-01 00:00:00 (5)");
    advance(&r, 1);
    assert_time(&r, "2032-01-01 00:00:01 (5)");
    machine_destroy(r.m);
}

static void test_update_in_progress(void)
{
    Rig r;
    rig_init(&r, "2026-11-22T13:45:10");
    g_assert_cmphex(get(&r, A), ==, 0x26);
    get(&r, C); /* what was before nobody knows */
    advance(&r, SECOND - 244001);
    g_assert_cmphex(get(&r, A), ==, 0x26);
    advance(&r, 1);
    g_assert_cmphex(get(&r, A), ==, 0xa6);
    advance(&r, 244000);
    g_assert_cmphex(get(&r, A), ==, 0x26);
    g_assert_cmphex(get(&r, C) & 0x10, ==, 0x10); /* UF without its interrupt */
    g_assert_cmphex(get(&r, C) & 0x10, ==, 0);
    machine_destroy(r.m);
}

static void test_update_interrupt(void)
{
    Rig r;
    rig_init(&r, "2026-11-22T13:45:10");
    set(&r, B, 0x12);
    for (unsigned i = 1; i <= 3; i++) {
        advance(&r, SECOND - 1);
        g_assert_false(r.irq.level);
        advance(&r, 1);
        g_assert_true(r.irq.level);
        g_assert_cmphex(get(&r, C) & 0x90, ==, 0x90);
        g_assert_false(r.irq.level);
    }
    machine_destroy(r.m);
}

static void test_periodic(void)
{
    Rig r;
    rig_init(&r, "2026-11-22T13:45:10");
    set(&r, A, 0x26); /* 1024 Hz */
    set(&r, B, 0x42);
    unsigned seen = 0;
    for (unsigned i = 0; i < 2048; i++) {
        advance(&r, ticks_to_ns((i + 1) * 32ull, 32768) - 1 - clock_now(r.m->clock));
        g_assert_false(r.irq.level);
        advance(&r, 1);
        seen += r.irq.level;
        g_assert_cmphex(get(&r, C) & 0xc0, ==, 0xc0);
    }
    g_assert_cmpuint(seen, ==, 2048);
    g_assert_cmpint(clock_now(r.m->clock), ==, 2 * SECOND);
    set(&r, A, 0x20); /* no rate: none */
    advance(&r, SECOND);
    g_assert_false(r.irq.level);
    machine_destroy(r.m);
}

static void test_alarm(void)
{
    Rig r;
    rig_init(&r, "2026-11-22T13:45:10");
    set(&r, HOURS_ALARM, 0x13);
    set(&r, MINUTES_ALARM, 0x46);
    set(&r, SECONDS_ALARM, 0x05);
    set(&r, B, 0x22);
    advance(&r, 55 * SECOND - 1);
    g_assert_false(r.irq.level);
    advance(&r, 1);
    g_assert_true(r.irq.level);
    g_assert_cmphex(get(&r, C) & 0xa0, ==, 0xa0);
    set(&r, HOURS_ALARM, 0xff); /* any hour, any minute: every minute at :05 */
    set(&r, MINUTES_ALARM, 0xc0);
    unsigned before = r.irq.rises;
    for (unsigned i = 0; i < 300; i++) {
        advance(&r, SECOND);
        if (r.irq.level)
            get(&r, C);
    }
    g_assert_cmpuint(r.irq.rises - before, ==, 5);
    machine_destroy(r.m);
}

static void test_ram(void)
{
    Rig r;
    rig_init(&r, "utc");
    rtc_set_cmos(r.rtc, 0x15, 0x80);
    set(&r, 0x7f, 0x5a);
    set(&r, 0xff, 0x5b); /* bit 7 of the index masks NMI */
    g_assert_true(r.nmi_mask.level);
    g_assert_cmphex(get(&r, 0x7f), ==, 0x5b);
    g_assert_false(r.nmi_mask.level);
    g_assert_cmphex(get(&r, D), ==, 0x80);
    device_reset(r.rtc, RESET_WARM);
    g_assert_cmphex(get(&r, 0x7f), ==, 0x5b);
    device_reset(r.rtc, RESET_COLD);
    g_assert_cmphex(get(&r, 0x15), ==, 0x80); /* what the board wrote is always there */
    machine_destroy(r.m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rtc/rollover", test_rollover);
    g_test_add_func("/rtc/base", test_base);
    g_test_add_func("/rtc/formats", test_formats);
    g_test_add_func("/rtc/set", test_set);
    g_test_add_func("/rtc/update-in-progress", test_update_in_progress);
    g_test_add_func("/rtc/update-interrupt", test_update_interrupt);
    g_test_add_func("/rtc/periodic", test_periodic);
    g_test_add_func("/rtc/alarm", test_alarm);
    g_test_add_func("/rtc/ram", test_ram);
    return g_test_run();
}
