/* tsc_test.c - the guests' time-stamp counter: its rate, its stops. */
#include "machine/machine.h"

static Machine *machine(uint64_t khz, bool manual)
{
    MachineConfig config = { .manual_clock = manual, .cpu_model.tsc_khz = khz };
    return machine_create(&config, NULL);
}

static void test_manual(void)
{
    Machine *m = machine(3000000, true);
    clock_advance(m->clock, 1000);
    g_assert_cmpuint(tsc_now(&m->tsc), ==, 3000);
    g_assert_cmpint(tsc_to_ns(&m->tsc, 3001), ==, 1001); /* rounded up */
    g_assert_cmpint(tsc_to_ns(&m->tsc, UINT64_MAX), ==, 6148914691236517205); /* 195 years */
    machine_destroy(m);
}

/* The rate against CLOCK_MONOTONIC over 50 ms; a busy host may stretch either reading. */
static void check_rate(uint64_t khz)
{
    Machine *m = machine(khz, false);
    g_assert_cmpuint(tsc_now(&m->tsc), ==, 0);
    machine_start(m);
    uint64_t best = UINT64_MAX, expected = m->tsc.khz;
    for (unsigned i = 0; i < 5; i++) {
        int64_t from = clock_now(m->clock);
        uint64_t tsc = tsc_now(&m->tsc);
        g_usleep(50000);
        uint64_t ticks = tsc_now(&m->tsc) - tsc;
        uint64_t measured = ticks * 1000000 / (clock_now(m->clock) - from);
        best = MIN(best, measured > expected ? measured - expected : expected - measured);
    }
    g_assert_cmpuint(best, <, expected / 500);
    machine_stop(m);
    machine_destroy(m);
}

static void test_host_rate(void) { check_rate(0); }
static void test_scaled_rate(void) { check_rate(1000000); }

static void test_stands_while_stopped(void)
{
    Machine *m = machine(0, false);
    machine_start(m);
    g_usleep(1000);
    machine_stop(m);
    uint64_t stopped = tsc_now(&m->tsc);
    g_assert_cmpuint(stopped, >, 0);
    g_usleep(20000);
    g_assert_cmpuint(tsc_now(&m->tsc), ==, stopped);
    machine_start(m);
    uint64_t started = tsc_now(&m->tsc);
    g_assert_cmpuint(started, >=, stopped);
    machine_stop(m);
    tsc_set(&m->tsc, 123456789);
    g_assert_cmpuint(tsc_now(&m->tsc), ==, 123456789);
    machine_destroy(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tsc/manual", test_manual);
    g_test_add_func("/tsc/host-rate", test_host_rate);
    g_test_add_func("/tsc/scaled-rate", test_scaled_rate);
    g_test_add_func("/tsc/stands-while-stopped", test_stands_while_stopped);
    return g_test_run();
}
