#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/clock.h"
/*
 * tsc.h - the time-stamp counter that guests see, before each vCPU's own offset (Vcpu.tsc_offset).
 *
 * It advances with the host's TSC, scaled where the CPU model asks for another rate, from 0 at the machine's first
 * start, and stands while the machine is stopped, as the machine's clock does.  On a machine with a manual clock it is
 * computed from that clock, so that tests are exact.
 */
typedef struct Tsc {
    uint64_t khz;      /* rate of tsc_now() */
    uint64_t host_khz; /* 0: computed from `clock` */
    uint64_t ratio;    /* khz / host_khz in units of 2^-48; 0: the same rate */
    Clock *clock;
    /* Running: what to add to the host's scaled TSC; stopped: the value itself.  Changed only while vCPUs and clock
     * stand. */
    _Atomic uint64_t base;
    _Atomic bool running;
} Tsc;

/* The local APIC's timer input.  Whoever shows CPUID leaf 15h (crystal) or 40000010h must give this rate. */
#define APIC_TIMER_HZ 1000000000ull

/* The host's TSC and CLOCK_MONOTONIC at one moment: the tightest of a few tries, because the thread may be preempted between the readings. */
typedef struct TscSample {
    uint64_t tsc, gap; /* gap: ticks between which the moment was */
    int64_t ns;
} TscSample;
TscSample tsc_sample(void);

/* khz 0: the host's, which is measured where CPUID does not tell, from an earlier sample (NULL: none) or for a millisecond.
 * manual: compute from clock. */
void tsc_init(Tsc *t, uint64_t khz, Clock *clock, bool manual, const TscSample *since);
uint64_t tsc_now(const Tsc *t); /* any thread */
void tsc_start(Tsc *t); /* before the clock and the vCPUs */
void tsc_stop(Tsc *t);  /* after them */
void tsc_set(Tsc *t, uint64_t value); /* stopped: loading saved state */

/* Time that `ticks` take, rounded up; INT64_MAX where that overflows. */
int64_t tsc_to_ns(const Tsc *t, uint64_t ticks);
