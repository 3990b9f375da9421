#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * clock.h - virtual time in nanoseconds since the machine was created; it stops while the machine is stopped.
 *
 * Timers fire on the clock's own thread, or on that of who helps it.  A manual clock has no thread: tests move it with
 * clock_advance().
 */
typedef struct Clock Clock;

typedef struct Timer {
    void (*fire)(void *opaque); /* with `lock` held if there is one; one timer of a clock at a time */
    void *opaque;
    GMutex *lock;
    /* clock.c's own */
    Clock *clock;
    int64_t deadline; /* INT64_MAX: not armed */
    unsigned slot;
} Timer;

Clock *clock_create(void);
Clock *clock_create_manual(void);
void clock_destroy(Clock *c); /* every timer must be finished */

int64_t clock_now(Clock *c); /* ns, virtual; any thread, no lock */
void clock_start(Clock *c);
void clock_stop(Clock *c);
void clock_set(Clock *c, int64_t now); /* stopped clock only: loading saved state */
void clock_advance(Clock *c, int64_t ns); /* manual clock: fires what falls due, in order */

/* For a vCPU's thread that waits for time in a loop, while the clock's thread waits for a host processor: the guest's TSC runs on, and
 * Linux gives up clocks that fall behind it (timer_irq_works()). */
void clock_help(Clock *c, int64_t late_ns); /* fires a timer that has been due for longer, if none fires just now; the caller holds no device's lock */

int64_t clock_next(Clock *c); /* ns, when the next timer falls due; INT64_MAX: none is armed */

/* `lock`, usually &device->lock, is held around fire(), so a timer that was disarmed under it never fires. */
void timer_init(Timer *t, Clock *c, void (*fire)(void *), void *opaque, GMutex *lock);
void timer_finish(Timer *t); /* disarms; does not return while fire() runs, so call it without `lock` */
void timer_arm(Timer *t, int64_t deadline); /* absolute, ns; replaces an earlier deadline; a past one fires soon */
void timer_disarm(Timer *t);
static inline bool timer_armed(const Timer *t) { return t->deadline != INT64_MAX; }

/* ticks of a counter of `hz` in `ns`, and back; 128-bit inside, rounding down (ticks) and up (ns). */
uint64_t ns_to_ticks(int64_t ns, uint64_t hz);
int64_t ticks_to_ns(uint64_t ticks, uint64_t hz);
