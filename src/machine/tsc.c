/* tsc.c - the host's TSC as a clock source: its rate and its scaling. */
#include "machine/tsc.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

/* Intel SDM volume 2, CPUID leaf 15h: TSC / crystal = EBX / EAX, crystal in Hz = ECX.  0: the CPU does not say. */
static uint64_t khz_by_cpuid(void)
{
    unsigned denominator, numerator, crystal_hz, d;
    if (!__get_cpuid_count(0x15, 0, &denominator, &numerator, &crystal_hz, &d) || !denominator)
        return 0;
    return (uint64_t)crystal_hz * numerator / denominator / 1000;
}

TscSample tsc_sample(void)
{
    TscSample best = { .gap = UINT64_MAX };
    for (unsigned i = 0; i < 8; i++) {
        struct timespec t;
        uint64_t before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC, &t);
        uint64_t gap = __rdtsc() - before;
        if (gap < best.gap)
            best = (TscSample){ before + gap / 2, gap, t.tv_sec * 1000000000ll + t.tv_nsec };
    }
    return best;
}

/* As long as it takes to know it to 50 in a million, which is the drift of a good quartz: a millisecond from the first sample where
 * nothing disturbs, for a machine should start at once.  At most MAX_STEPS. */
static uint64_t khz_by_measuring(const TscSample *since)
{
    enum { STEP_NS = 200000, MAX_STEPS = 100, PER_MILLION = 50 };
    TscSample a = since && since->ns ? *since : tsc_sample(), b = tsc_sample();
    for (unsigned i = 0; i < MAX_STEPS && (b.tsc - a.tsc) * PER_MILLION <= (a.gap + b.gap) / 2 * 1000000; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
        b = tsc_sample();
    }
    return (unsigned __int128)(b.tsc - a.tsc) * 1000000 / (b.ns - a.ns);
}

static uint64_t host_khz(const TscSample *since)
{
    uint64_t khz = khz_by_cpuid();
    return khz ? khz : khz_by_measuring(since);
}

void tsc_init(Tsc *t, uint64_t khz, Clock *clock, bool manual, const TscSample *since)
{
    *t = (Tsc){ .khz = khz, .clock = clock };
    if (manual) {
        t->khz = khz ? khz : 1000000;
        return;
    }
    t->host_khz = host_khz(since);
    if (!khz)
        t->khz = t->host_khz;
    else if (khz != t->host_khz)
        t->ratio = ((unsigned __int128)khz << 48) / t->host_khz;
}

static uint64_t scaled_host(const Tsc *t)
{
    uint64_t host = __rdtsc();
    return t->ratio ? (uint64_t)((unsigned __int128)host * t->ratio >> 48) : host;
}

uint64_t tsc_now(const Tsc *t)
{
    if (!t->host_khz)
        return ns_to_ticks(clock_now(t->clock), t->khz * 1000);
    return atomic_load(&t->base) + (atomic_load(&t->running) ? scaled_host(t) : 0);
}

void tsc_start(Tsc *t)
{
    if (t->host_khz && !atomic_exchange(&t->running, true))
        atomic_fetch_sub(&t->base, scaled_host(t));
}

void tsc_stop(Tsc *t)
{
    if (t->host_khz && atomic_exchange(&t->running, false))
        atomic_fetch_add(&t->base, scaled_host(t));
}

void tsc_set(Tsc *t, uint64_t value)
{
    if (!atomic_load(&t->running))
        atomic_store(&t->base, value);
}

int64_t tsc_to_ns(const Tsc *t, uint64_t ticks) { return ticks_to_ns(ticks, t->khz * 1000); }
