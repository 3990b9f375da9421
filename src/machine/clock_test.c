/* clock_test.c - virtual time and timers. */
#include "machine/clock.h"

#include <stdatomic.h>

typedef struct Probe {
    Timer timer;
    Clock *clock;
    int64_t fired_at[8];
    unsigned count;
    int64_t period;
} Probe;

static void on_fire(void *opaque)
{
    Probe *p = opaque;
    p->fired_at[p->count++ % 8] = clock_now(p->clock);
    if (p->period)
        timer_arm(&p->timer, clock_now(p->clock) + p->period);
}

static void test_order(void)
{
    Clock *c = clock_create_manual();
    Probe p[3] = { 0 };
    static const int64_t deadlines[] = { 300, 100, 200 };
    for (unsigned i = 0; i < 3; i++) {
        p[i].clock = c;
        timer_init(&p[i].timer, c, on_fire, &p[i], NULL);
        timer_arm(&p[i].timer, deadlines[i]);
    }
    clock_advance(c, 250);
    g_assert_cmpuint(p[0].count, ==, 0);
    g_assert_cmpint(p[1].fired_at[0], ==, 100);
    g_assert_cmpint(p[2].fired_at[0], ==, 200);
    timer_disarm(&p[0].timer);
    clock_advance(c, 1000);
    g_assert_cmpuint(p[0].count, ==, 0);
    g_assert_cmpint(clock_now(c), ==, 1250);
    for (unsigned i = 0; i < 3; i++)
        timer_finish(&p[i].timer);
    clock_destroy(c);
}

static void test_periodic(void)
{
    Clock *c = clock_create_manual();
    Probe p = { .clock = c, .period = 10 };
    timer_init(&p.timer, c, on_fire, &p, NULL);
    timer_arm(&p.timer, 10);
    clock_advance(c, 55);
    g_assert_cmpuint(p.count, ==, 5);
    g_assert_cmpint(p.fired_at[4], ==, 50);
    timer_finish(&p.timer);
    clock_destroy(c);
}

/* ---- threads that help the clock's own */

typedef struct Helped {
    Timer timer;
    Clock *clock;
    GThread *helper;
    _Atomic unsigned count, by_helper, at_once;
    _Atomic bool firing, stop;
} Helped;

static void on_helped(void *opaque)
{
    Helped *h = opaque;
    atomic_fetch_add(&h->at_once, atomic_exchange(&h->firing, true));
    atomic_fetch_add(&h->by_helper, g_thread_self() == h->helper);
    atomic_fetch_add(&h->count, 1);
    timer_arm(&h->timer, clock_now(h->clock) + 20000);
    atomic_store(&h->firing, false);
}

static void *help(void *opaque)
{
    Helped *h = opaque;
    while (!atomic_load(&h->stop))
        clock_help(h->clock, 0);
    return NULL;
}

/* Both fire, never two at a time; nobody but the one that helps would do so on a thread of its own. */
static void test_help(void)
{
    enum { TIMES = 2000, LONGEST_US = 60000000 };
    Helped h = { .clock = clock_create() };
    timer_init(&h.timer, h.clock, on_helped, &h, NULL);
    timer_arm(&h.timer, 0);
    clock_help(h.clock, 0); /* it stands */
    g_assert_cmpuint(h.count, ==, 0);
    h.helper = g_thread_new("helper", help, &h);
    clock_start(h.clock);
    for (int64_t end = g_get_monotonic_time() + LONGEST_US; h.count < TIMES || !h.by_helper;) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    clock_stop(h.clock);
    unsigned count = h.count;
    g_usleep(2000);
    g_assert_cmpuint(h.count, ==, count); /* nor does who helps fire while it stands */
    atomic_store(&h.stop, true);
    g_thread_join(h.helper);
    g_assert_cmpuint(h.at_once, ==, 0);
    timer_finish(&h.timer);
    clock_destroy(h.clock);
}

/* Time stands still while stopped, and a timer that fell due meanwhile waits. */
static void test_stop(void)
{
    Clock *c = clock_create();
    Probe p = { .clock = c };
    timer_init(&p.timer, c, on_fire, &p, NULL);
    clock_start(c);
    clock_stop(c);
    int64_t stopped_at = clock_now(c);
    timer_arm(&p.timer, stopped_at + 1000);
    g_usleep(5000);
    g_assert_cmpint(clock_now(c), ==, stopped_at);
    g_assert_cmpuint(p.count, ==, 0);
    clock_start(c);
    for (int i = 0; i < 20000 && !*(volatile unsigned *)&p.count; i++)
        g_usleep(1000);
    g_assert_cmpuint(p.count, ==, 1);
    timer_finish(&p.timer);
    clock_destroy(c);
}

static void test_ticks(void)
{
    g_assert_cmpuint(ns_to_ticks(1000000000, 1193182), ==, 1193182);
    g_assert_cmpint(ticks_to_ns(1193182, 1193182), ==, 1000000000);
    g_assert_cmpint(ticks_to_ns(1, 3579545), ==, 280); /* rounds up */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/machine/clock/help", test_help);
    g_test_add_func("/machine/clock/order", test_order);
    g_test_add_func("/machine/clock/periodic", test_periodic);
    g_test_add_func("/machine/clock/stop", test_stop);
    g_test_add_func("/machine/clock/ticks", test_ticks);
    return g_test_run();
}
