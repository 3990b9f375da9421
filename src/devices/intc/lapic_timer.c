/*
 * lapic_timer.c - the local APIC's timer: one-shot, periodic and TSC deadline.
 *
 * The count is never stepped: it is computed from timer_start when somebody asks.
 */
#include "devices/intc/lapic.h"

/* A guest that asks for more interrupts a second than this gets this many: the host must live too. */
enum { SHORTEST_PERIOD_NS = 20000 };

static unsigned mode(const Lapic *a) { return a->lvt[LVT_TIMER] >> TIMER_MODE_SHIFT & 3; }

/* Divide configuration register: bits 3, 1, 0; 111 is 1, the others 2 to 128. */
static uint64_t divisor(const Lapic *a)
{
    unsigned code = (a->divide & 3) | (a->divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}

static int64_t period_ns(const Lapic *a)
{
    return ticks_to_ns(a->initial_count * divisor(a), APIC_TIMER_HZ);
}

/* Ticks of the counter since timer_start. */
static uint64_t elapsed(const Lapic *a)
{
    return ns_to_ticks(clock_now(a->dev.machine->clock) - a->timer_start, APIC_TIMER_HZ) / divisor(a);
}

static uint64_t guest_tsc(const Lapic *a)
{
    return tsc_now(&a->dev.machine->tsc) + (a->vcpu ? atomic_load(&a->vcpu->tsc_offset) : 0);
}

static int64_t deadline_ns(const Lapic *a)
{
    uint64_t now = guest_tsc(a), left = a->tsc_deadline > now ? a->tsc_deadline - now : 0;
    int64_t ns = tsc_to_ns(&a->dev.machine->tsc, left), now_ns = clock_now(a->dev.machine->clock);
    return ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + ns;
}

void lapic_timer_rearm(Lapic *a)
{
    timer_disarm(&a->timer);
    if (mode(a) == TIMER_TSC_DEADLINE) {
        if (a->tsc_deadline)
            timer_arm(&a->timer, deadline_ns(a));
    } else if (a->timer_running) {
        timer_arm(&a->timer, a->timer_start + period_ns(a));
    }
}

/* The start of the next period after one that was due at `due`: in phase, leaving out what was missed. */
static void next_period(Lapic *a)
{
    int64_t period = MAX(period_ns(a), SHORTEST_PERIOD_NS);
    int64_t late = clock_now(a->dev.machine->clock) - (a->timer_start + period);
    a->timer_start += period * (1 + (late > 0 ? late / period : 0));
    timer_arm(&a->timer, a->timer_start + period);
}

static void timer_fired(void *opaque)
{
    Lapic *a = opaque;
    if (mode(a) == TIMER_TSC_DEADLINE) {
        if (guest_tsc(a) < a->tsc_deadline) { /* the TSC's rate is known to parts per million only */
            timer_arm(&a->timer, deadline_ns(a));
            return;
        }
        a->tsc_deadline = 0;
    } else if (mode(a) == TIMER_PERIODIC) {
        next_period(a);
    } else {
        a->timer_running = false;
    }
    lapic_local_interrupt(a, LVT_TIMER);
}

void lapic_timer_init(Lapic *a) { device_timer_init(&a->dev, &a->timer, timer_fired); }

void lapic_timer_set_lvt(Lapic *a, uint32_t lvt)
{
    g_mutex_lock(&a->dev.lock);
    bool was_deadline = mode(a) == TIMER_TSC_DEADLINE;
    LAPIC_STORE(a->lvt[LVT_TIMER], lvt);
    if (was_deadline != (mode(a) == TIMER_TSC_DEADLINE)) { /* SDM: a change to or from TSC deadline disarms */
        a->initial_count = 0;
        a->timer_running = false;
        a->tsc_deadline = 0;
    }
    lapic_timer_rearm(a);
    g_mutex_unlock(&a->dev.lock);
}

void lapic_timer_set_initial(Lapic *a, uint32_t count)
{
    g_mutex_lock(&a->dev.lock);
    if (mode(a) != TIMER_TSC_DEADLINE) {
        a->initial_count = count;
        a->timer_running = count != 0;
        a->timer_start = clock_now(a->dev.machine->clock);
        lapic_timer_rearm(a);
    }
    g_mutex_unlock(&a->dev.lock);
}

static uint32_t current_count(const Lapic *a)
{
    uint64_t ticks = elapsed(a);
    if (!a->timer_running)
        return 0;
    if (mode(a) == TIMER_PERIODIC)
        return a->initial_count - ticks % a->initial_count;
    return ticks < a->initial_count ? a->initial_count - ticks : 0;
}

uint32_t lapic_timer_current(Lapic *a)
{
    g_mutex_lock(&a->dev.lock);
    uint32_t count = current_count(a);
    g_mutex_unlock(&a->dev.lock);
    return count;
}

/* The count goes on from where it stands, at the new rate. */
void lapic_timer_set_divide(Lapic *a, uint32_t divide)
{
    g_mutex_lock(&a->dev.lock);
    uint64_t done = a->initial_count - current_count(a);
    a->divide = divide;
    a->timer_start = clock_now(a->dev.machine->clock) - ticks_to_ns(done * divisor(a), APIC_TIMER_HZ);
    lapic_timer_rearm(a);
    g_mutex_unlock(&a->dev.lock);
}

void lapic_timer_set_deadline(Lapic *a, uint64_t tsc)
{
    g_mutex_lock(&a->dev.lock);
    if (mode(a) == TIMER_TSC_DEADLINE) {
        a->tsc_deadline = tsc;
        lapic_timer_rearm(a);
    }
    g_mutex_unlock(&a->dev.lock);
}

uint64_t lapic_timer_deadline(Lapic *a)
{
    g_mutex_lock(&a->dev.lock);
    uint64_t tsc = a->tsc_deadline;
    g_mutex_unlock(&a->dev.lock);
    return tsc;
}
