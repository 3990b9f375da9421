/* pit_test.c - the 8254 against a clock that moves by hand. */
#include "devices/testing.h"
#include "devices/timer/timer.h"

#define HZ 1193182ull
enum { CONTROL = 0x43, PORT_B = 0x61 };
enum { OUT = 0x80, NULL_COUNT = 0x40 };

typedef struct Rig {
    Machine *m;
    Device *pit;
    TestLine irq;
} Rig;

static void rig_init(Rig *r)
{
    r->m = test_machine();
    r->pit = test_device(r->m, &i8254_type, NULL);
    test_map(r->pit, 0, 0x40);
    test_map(r->pit, 1, PORT_B);
    test_watch(r->pit, 0, &r->irq);
}

static int64_t tick_ns(uint64_t ticks) { return ticks_to_ns(ticks, HZ); }
static void to_tick(Rig *r, uint64_t tick) { clock_advance(r->m->clock, tick_ns(tick) - clock_now(r->m->clock)); }

static void load(Rig *r, unsigned n, unsigned mode, unsigned count)
{
    test_out(r->m, CONTROL, n << 6 | 0x30 | mode << 1);
    test_out(r->m, 0x40 + n, count);
    test_out(r->m, 0x40 + n, count >> 8);
}

static unsigned read_word(Rig *r, unsigned n)
{
    unsigned low = test_in(r->m, 0x40 + n);
    return low | test_in(r->m, 0x40 + n) << 8;
}

static unsigned count(Rig *r, unsigned n)
{
    test_out(r->m, CONTROL, n << 6);
    return read_word(r, n);
}

static uint8_t status(Rig *r, unsigned n)
{
    test_out(r->m, CONTROL, 0xe0 | 2 << n);
    return test_in(r->m, 0x40 + n);
}

/* 1000 interrupts come exactly where tick n * count ends, to the nanosecond. */
static void test_rate(void)
{
    Rig r;
    rig_init(&r);
    load(&r, 0, 2, 11932);
    for (unsigned i = 1; i <= 1000; i++) {
        clock_advance(r.m->clock, tick_ns(11932ull * i) - 1 - clock_now(r.m->clock));
        g_assert_cmpuint(r.irq.rises, ==, i - 1);
        clock_advance(r.m->clock, 1);
        g_assert_cmpuint(r.irq.rises, ==, i);
    }
    machine_destroy(r.m);
}

/* The clock's thread comes late: every period has its edge, and the next is in phase. */
static void test_late(void)
{
    Rig r;
    rig_init(&r);
    load(&r, 0, 2, 11932);
    clock_set(r.m->clock, tick_ns(11932 * 5) + 10);
    clock_advance(r.m->clock, 0);
    g_assert_cmpuint(r.irq.rises, ==, 5);
    to_tick(&r, 11932 * 6);
    g_assert_cmpuint(r.irq.rises, ==, 6);
    machine_destroy(r.m);
}

static void test_square_18hz(void)
{
    Rig r;
    rig_init(&r);
    load(&r, 0, 3, 0); /* 65536: the BIOS's 18.2 Hz */
    clock_advance(r.m->clock, 10000000000);
    g_assert_cmpuint(r.irq.rises, ==, 10 * HZ / 65536);
    machine_destroy(r.m);
}

static void test_terminal_count(void)
{
    Rig r;
    rig_init(&r);
    load(&r, 0, 0, 1000);
    g_assert_false(r.irq.level);
    to_tick(&r, 999);
    g_assert_false(r.irq.level);
    g_assert_cmphex(status(&r, 0), ==, 0x30);
    g_assert_cmpuint(count(&r, 0), ==, 1);
    to_tick(&r, 1000);
    g_assert_true(r.irq.level);
    g_assert_cmphex(status(&r, 0), ==, 0x30 | OUT);
    to_tick(&r, 1010);
    g_assert_cmpuint(count(&r, 0), ==, 65526); /* it counts on */
    g_assert_cmpuint(r.irq.rises, ==, 1);
    load(&r, 0, 0, 50);
    g_assert_false(r.irq.level);
    machine_destroy(r.m);
}

static void test_strobe(void)
{
    Rig r;
    rig_init(&r);
    load(&r, 0, 4, 100);
    to_tick(&r, 100);
    g_assert_cmphex(status(&r, 0) & OUT, ==, 0);
    to_tick(&r, 101);
    g_assert_cmphex(status(&r, 0) & OUT, ==, OUT);
    g_assert_cmpuint(r.irq.rises, ==, 1);
    to_tick(&r, 100000);
    g_assert_cmpuint(r.irq.rises, ==, 1);
    machine_destroy(r.m);
}

static void test_latch_and_read_back(void)
{
    Rig r;
    rig_init(&r);
    load(&r, 1, 2, 5000);
    to_tick(&r, 1234);
    test_out(r.m, CONTROL, 1 << 6); /* latch */
    to_tick(&r, 2000);
    test_out(r.m, CONTROL, 1 << 6); /* a second latch before reading counts for nothing */
    g_assert_cmpuint(read_word(&r, 1), ==, 5000 - 1234);
    g_assert_cmpuint(read_word(&r, 1), ==, 3000); /* live */
    test_out(r.m, CONTROL, 0xc0 | 4); /* read back: status first, then count */
    g_assert_cmphex(test_in(r.m, 0x41), ==, 0x34 | OUT);
    g_assert_cmpuint(read_word(&r, 1), ==, 3000);
    test_out(r.m, CONTROL, 0x74);
    g_assert_cmphex(status(&r, 1), ==, 0x34 | OUT | NULL_COUNT);
    machine_destroy(r.m);
}

/* A new count in mode 2 begins with the next period. */
static void test_new_count(void)
{
    Rig r;
    rig_init(&r);
    load(&r, 0, 2, 1000);
    to_tick(&r, 600);
    test_out(r.m, 0x40, 2000 & 0xff);
    test_out(r.m, 0x40, 2000 >> 8);
    g_assert_cmphex(status(&r, 0) & NULL_COUNT, ==, NULL_COUNT);
    to_tick(&r, 1000);
    g_assert_cmpuint(r.irq.rises, ==, 1);
    g_assert_cmphex(status(&r, 0) & NULL_COUNT, ==, 0);
    to_tick(&r, 2999);
    g_assert_cmpuint(r.irq.rises, ==, 1);
    to_tick(&r, 3000);
    g_assert_cmpuint(r.irq.rises, ==, 2);
    machine_destroy(r.m);
}

static void test_bcd(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, CONTROL, 0x35); /* counter 0, mode 2, BCD */
    test_out(r.m, 0x40, 0x00);
    test_out(r.m, 0x40, 0x10); /* 1000 */
    to_tick(&r, 1);
    g_assert_cmphex(count(&r, 0), ==, 0x0999);
    to_tick(&r, 766);
    g_assert_cmphex(count(&r, 0), ==, 0x0234);
    machine_destroy(r.m);
}

static bool out2(Rig *r) { return test_in(r->m, PORT_B) >> 5 & 1; }

/* How Linux measures the TSC: gate low, mode 0, gate high, wait for OUT2. */
static void test_gate(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, PORT_B, 0);
    load(&r, 2, 0, 500);
    to_tick(&r, 1000);
    g_assert_false(out2(&r)); /* the gate holds it */
    test_out(r.m, PORT_B, 1);
    to_tick(&r, 1499);
    g_assert_false(out2(&r));
    to_tick(&r, 1500);
    g_assert_true(out2(&r));
    load(&r, 2, 0, 500);
    to_tick(&r, 1700);
    test_out(r.m, PORT_B, 0); /* pause at 300 left */
    to_tick(&r, 5000);
    g_assert_cmpuint(count(&r, 2), ==, 300);
    test_out(r.m, PORT_B, 1);
    to_tick(&r, 5299);
    g_assert_false(out2(&r));
    to_tick(&r, 5300);
    g_assert_true(out2(&r));
    machine_destroy(r.m);
}

/* Linux's pit_calibrate_tsc() on a host that takes the processor away over the end. */
static void test_polling_over_a_gap(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, PORT_B, 1);
    load(&r, 2, 0, 11932);
    int64_t last = 0, longest = 0;
    unsigned polls = 0;
    for (; !out2(&r); polls++) {
        int64_t now = clock_now(r.m->clock);
        longest = MAX(longest, now - last);
        last = now;
        clock_advance(r.m->clock, polls == 2000 ? 7000000 : 2000);
    }
    g_assert_cmpint(longest, ==, 7000000); /* the gap shows */
    g_assert_cmpint(last, >=, tick_ns(11932));
    clock_advance(r.m->clock, 1000000);
    load(&r, 2, 0, 100);
    to_tick(&r, 60000);
    g_assert_true(out2(&r)); /* a single read tells what is */
    machine_destroy(r.m);
}

static void test_one_shot(void)
{
    Rig r;
    rig_init(&r);
    test_out(r.m, PORT_B, 0);
    load(&r, 2, 1, 100);
    g_assert_true(out2(&r));
    test_out(r.m, PORT_B, 1); /* trigger */
    g_assert_false(out2(&r));
    to_tick(&r, 60);
    test_out(r.m, PORT_B, 0);
    test_out(r.m, PORT_B, 1); /* again */
    to_tick(&r, 159);
    g_assert_false(out2(&r));
    to_tick(&r, 160);
    g_assert_true(out2(&r));
    machine_destroy(r.m);
}

static void test_refresh_toggles(void)
{
    Rig r;
    rig_init(&r);
    unsigned changes = 0;
    uint8_t last = test_in(r.m, PORT_B) & 0x10;
    for (unsigned us = 0; us < 1000; us++) {
        clock_advance(r.m->clock, 1000);
        uint8_t now = test_in(r.m, PORT_B) & 0x10;
        changes += now != last;
        last = now;
    }
    g_assert_cmpuint(changes, ==, 66); /* every 15.085 us */
    machine_destroy(r.m);
}

static void test_held_back(void)
{
    Rig r;
    rig_init(&r);
    IrqLine hold = device_irq_input(r.pit, 0);
    load(&r, 0, 2, 1000);
    irq_set(&hold, true);
    to_tick(&r, 10500);
    g_assert_cmpuint(r.irq.rises, ==, 0);
    irq_set(&hold, false);
    to_tick(&r, 11000);
    g_assert_cmpuint(r.irq.rises, ==, 1);
    machine_destroy(r.m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pit/rate", test_rate);
    g_test_add_func("/pit/late", test_late);
    g_test_add_func("/pit/square", test_square_18hz);
    g_test_add_func("/pit/terminal-count", test_terminal_count);
    g_test_add_func("/pit/strobe", test_strobe);
    g_test_add_func("/pit/latch-and-read-back", test_latch_and_read_back);
    g_test_add_func("/pit/new-count", test_new_count);
    g_test_add_func("/pit/bcd", test_bcd);
    g_test_add_func("/pit/gate", test_gate);
    g_test_add_func("/pit/polling-over-a-gap", test_polling_over_a_gap);
    g_test_add_func("/pit/one-shot", test_one_shot);
    g_test_add_func("/pit/refresh", test_refresh_toggles);
    g_test_add_func("/pit/held-back", test_held_back);
    return g_test_run();
}
