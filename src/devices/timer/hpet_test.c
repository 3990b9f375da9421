/* hpet_test.c - the HPET against a clock that moves by hand. */
#include "devices/testing.h"
#include "devices/timer/timer.h"

enum { BASE = 0xfed00000, CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0 };
enum { ENABLE = 1, LEGACY = 2 };
enum { T_LEVEL = 2, T_ENABLE = 4, T_PERIODIC = 8, T_VAL_SET = 0x40, T_32BIT = 0x100 };

typedef struct Rig {
    Machine *m;
    Device *hpet;
    TestLine irq0, irq8, gsi20, hold;
} Rig;

static void rig_init(Rig *r)
{
    r->m = test_machine();
    r->hpet = test_device(r->m, &hpet_type, NULL);
    test_map(r->hpet, 0, BASE);
    test_watch(r->hpet, 0, &r->irq0);
    test_watch(r->hpet, 8, &r->irq8);
    test_watch(r->hpet, 20, &r->gsi20);
    test_watch(r->hpet, HPET_LEGACY_PIT, &r->hold);
}

static uint32_t rd(Rig *r, unsigned off) { return test_read(r->m->memory, BASE + off, 4); }
static void wr(Rig *r, unsigned off, uint32_t v) { test_write(r->m->memory, BASE + off, 4, v); }
static unsigned timer_reg(unsigned n, unsigned off) { return 0x100 + n * 0x20 + off; }
static void advance(Rig *r, int64_t ns) { clock_advance(r->m->clock, ns); }

static void test_identity(void)
{
    Rig r;
    rig_init(&r);
    g_assert_cmphex(rd(&r, 0), ==, 0x8086a201);
    g_assert_cmpuint(rd(&r, 4), ==, 10000000); /* femtoseconds: 10 ns */
    g_assert_cmphex(rd(&r, timer_reg(1, 0)) & 0x30, ==, 0x30);
    g_assert_cmphex(rd(&r, timer_reg(1, 4)), ==, 0x00f00000);
    machine_destroy(r.m);
}

static void test_counter(void)
{
    Rig r;
    rig_init(&r);
    advance(&r, 1000);
    g_assert_cmpuint(rd(&r, COUNTER), ==, 0); /* halted */
    test_write(r.m->memory, BASE + COUNTER, 8, 0xfffffff0);
    wr(&r, CONFIG, ENABLE);
    advance(&r, 320);
    g_assert_cmphex(test_read(r.m->memory, BASE + COUNTER, 8), ==, 0x100000010);
    g_assert_cmphex(rd(&r, COUNTER + 4), ==, 1);
    wr(&r, CONFIG, 0);
    advance(&r, 320);
    g_assert_cmphex(rd(&r, COUNTER), ==, 0x10);
    machine_destroy(r.m);
}

/* As Linux programs its clock event: one-shot on timer 0 with legacy replacement. */
static void test_one_shot_legacy(void)
{
    Rig r;
    rig_init(&r);
    wr(&r, CONFIG, ENABLE | LEGACY);
    g_assert_true(r.hold.level);
    wr(&r, timer_reg(0, 0), T_ENABLE | T_32BIT);
    wr(&r, timer_reg(0, 8), rd(&r, COUNTER) + 1000);
    advance(&r, 9999);
    g_assert_cmpuint(r.irq0.rises, ==, 0);
    advance(&r, 1);
    g_assert_cmpuint(r.irq0.rises, ==, 1);
    advance(&r, 1000000000);
    g_assert_cmpuint(r.irq0.rises, ==, 1);
    advance(&r, 42949672960 - 1000000000 - 1); /* 32 bits come round */
    g_assert_cmpuint(r.irq0.rises, ==, 1);
    advance(&r, 1);
    g_assert_cmpuint(r.irq0.rises, ==, 2);
    machine_destroy(r.m);
}

/* As Linux: VAL_SET and the first event, then the period. */
static void test_periodic(void)
{
    Rig r;
    rig_init(&r);
    wr(&r, CONFIG, ENABLE | LEGACY);
    wr(&r, timer_reg(1, 0), T_ENABLE | T_PERIODIC | T_VAL_SET | T_32BIT);
    wr(&r, timer_reg(1, 8), 5000);
    wr(&r, timer_reg(1, 8), 100000); /* 1 ms */
    advance(&r, 49999);
    g_assert_cmpuint(r.irq8.rises, ==, 0);
    advance(&r, 1);
    g_assert_cmpuint(r.irq8.rises, ==, 1);
    for (unsigned i = 0; i < 100; i++) {
        advance(&r, 999999);
        g_assert_cmpuint(r.irq8.rises, ==, 1 + i);
        advance(&r, 1);
        g_assert_cmpuint(r.irq8.rises, ==, 2 + i);
    }
    g_assert_cmphex(rd(&r, timer_reg(1, 8)), ==, 5000 + 101 * 100000);
    machine_destroy(r.m);
}

static void test_late(void)
{
    Rig r;
    rig_init(&r);
    wr(&r, CONFIG, ENABLE | LEGACY);
    wr(&r, timer_reg(0, 0), T_ENABLE | T_PERIODIC | T_VAL_SET | T_32BIT);
    wr(&r, timer_reg(0, 8), 100000);
    clock_set(r.m->clock, 4500000);
    clock_advance(r.m->clock, 0);
    g_assert_cmpuint(r.irq0.rises, ==, 4);
    advance(&r, 500000);
    g_assert_cmpuint(r.irq0.rises, ==, 5);
    machine_destroy(r.m);
}

static void test_level(void)
{
    Rig r;
    rig_init(&r);
    wr(&r, timer_reg(2, 0), T_ENABLE | T_LEVEL | 20 << 9);
    test_write(r.m->memory, BASE + timer_reg(2, 8), 8, 10);
    wr(&r, CONFIG, ENABLE);
    advance(&r, 100);
    g_assert_true(r.gsi20.level);
    g_assert_cmphex(rd(&r, STATUS), ==, 4);
    wr(&r, STATUS, 4);
    g_assert_false(r.gsi20.level);
    g_assert_cmphex(rd(&r, STATUS), ==, 0);
    machine_destroy(r.m);
}

/* A guest cannot make the host's thread spin. */
static void test_shortest_period(void)
{
    Rig r;
    rig_init(&r);
    wr(&r, CONFIG, ENABLE | LEGACY);
    wr(&r, timer_reg(0, 0), T_ENABLE | T_PERIODIC | T_VAL_SET);
    wr(&r, timer_reg(0, 8), 1);
    advance(&r, 1000000);
    g_assert_cmpuint(r.irq0.rises, >, 0);
    g_assert_cmpuint(r.irq0.rises, <=, 51);
    machine_destroy(r.m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hpet/identity", test_identity);
    g_test_add_func("/hpet/counter", test_counter);
    g_test_add_func("/hpet/one-shot", test_one_shot_legacy);
    g_test_add_func("/hpet/periodic", test_periodic);
    g_test_add_func("/hpet/late", test_late);
    g_test_add_func("/hpet/level", test_level);
    g_test_add_func("/hpet/shortest-period", test_shortest_period);
    return g_test_run();
}
