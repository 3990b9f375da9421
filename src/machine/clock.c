/*
 * clock.c - virtual time and its timers.
 *
 * Timers stand in a binary heap by deadline.  One thread a clock sleeps until the earliest; vCPUs help it where it comes late.  Lock order: a timer's own
 * lock (its device's) before the clock's; the thread therefore picks a timer, lets go of the clock, takes the timer's
 * lock, and looks again whether it is still due.
 */
#include "machine/clock.h"

#include <stdatomic.h>
#include <sys/prctl.h>

struct Clock {
    GMutex lock;
    GCond changed;  /* the heap's first, running or quit */
    GCond fired;    /* firing went back to NULL */
    GPtrArray *heap;
    _Atomic int64_t first; /* deadline of the heap's first; INT64_MAX: none */
    GThread *thread; /* NULL: manual */
    Timer *firing;
    GThread *firing_thread;
    bool quit;
    /* Read without the lock, under a sequence count: now = running ? monotonic + base : base. */
    _Atomic unsigned sequence;
    _Atomic bool running;
    _Atomic int64_t base;
};

static int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int64_t clock_now(Clock *c)
{
    for (;;) {
        unsigned before = atomic_load(&c->sequence);
        bool running = atomic_load(&c->running);
        int64_t now = atomic_load(&c->base) + (running ? monotonic_ns() : 0);
        if (!(before & 1) && before == atomic_load(&c->sequence))
            return now;
    }
}

static void set_time(Clock *c, bool running, int64_t base)
{
    atomic_fetch_add(&c->sequence, 1);
    atomic_store(&c->running, running);
    atomic_store(&c->base, base);
    atomic_fetch_add(&c->sequence, 1);
}

/* ---- heap */

static Timer *heap_at(const Clock *c, unsigned i) { return c->heap->pdata[i]; }

static void heap_put(Clock *c, unsigned i, Timer *t)
{
    c->heap->pdata[i] = t;
    t->slot = i;
}

static void heap_up(Clock *c, unsigned i)
{
    Timer *t = heap_at(c, i);
    while (i && heap_at(c, (i - 1) / 2)->deadline > t->deadline) {
        heap_put(c, i, heap_at(c, (i - 1) / 2));
        i = (i - 1) / 2;
    }
    heap_put(c, i, t);
}

static void heap_down(Clock *c, unsigned i)
{
    Timer *t = heap_at(c, i);
    for (unsigned child; (child = 2 * i + 1) < c->heap->len; i = child) {
        if (child + 1 < c->heap->len && heap_at(c, child + 1)->deadline < heap_at(c, child)->deadline)
            child++;
        if (heap_at(c, child)->deadline >= t->deadline)
            break;
        heap_put(c, i, heap_at(c, child));
    }
    heap_put(c, i, t);
}

static void publish_first(Clock *c) { atomic_store(&c->first, c->heap->len ? heap_at(c, 0)->deadline : INT64_MAX); }

static void heap_insert(Clock *c, Timer *t)
{
    g_ptr_array_add(c->heap, t);
    heap_up(c, c->heap->len - 1);
    publish_first(c);
}

static void heap_remove(Clock *c, Timer *t)
{
    unsigned i = t->slot;
    Timer *last = heap_at(c, c->heap->len - 1);
    g_ptr_array_set_size(c->heap, c->heap->len - 1);
    if (last != t) {
        heap_put(c, i, last);
        heap_up(c, i);
        heap_down(c, last->slot);
    }
    t->deadline = INT64_MAX;
    publish_first(c);
}

/* ---- firing */

static Timer *first_due(Clock *c, int64_t now)
{
    Timer *t = c->heap->len ? heap_at(c, 0) : NULL;
    return t && t->deadline <= now ? t : NULL;
}

/* Called and returns with the clock locked, while nobody else fires. */
static void fire(Clock *c, Timer *t)
{
    c->firing = t;
    c->firing_thread = g_thread_self();
    g_mutex_unlock(&c->lock);
    if (t->lock)
        g_mutex_lock(t->lock);
    g_mutex_lock(&c->lock);
    bool due = t->deadline <= clock_now(c);
    if (due)
        heap_remove(c, t);
    g_mutex_unlock(&c->lock);
    if (due)
        t->fire(t->opaque);
    if (t->lock)
        g_mutex_unlock(t->lock);
    g_mutex_lock(&c->lock);
    c->firing = NULL;
    g_cond_broadcast(&c->fired);
}

static bool is_late(Clock *c, int64_t ns)
{
    int64_t first = atomic_load(&c->first);
    return first != INT64_MAX && atomic_load(&c->running) && clock_now(c) - first > ns;
}

void clock_help(Clock *c, int64_t late_ns)
{
    if (!is_late(c, late_ns) || !g_mutex_trylock(&c->lock))
        return;
    Timer *t = atomic_load(&c->running) && !c->firing ? first_due(c, clock_now(c)) : NULL;
    if (t)
        fire(c, t);
    g_mutex_unlock(&c->lock);
}

static void sleep_until_due(Clock *c)
{
    if (!atomic_load(&c->running) || !c->heap->len) {
        g_cond_wait(&c->changed, &c->lock);
        return;
    }
    int64_t wait_ns = heap_at(c, 0)->deadline - clock_now(c);
    g_cond_wait_until(&c->changed, &c->lock, g_get_monotonic_time() + MAX(0, (wait_ns + 999) / 1000));
}

static void *clock_thread(void *opaque)
{
    Clock *c = opaque;
    prctl(PR_SET_TIMERSLACK, 1ul); /* ns; by default the kernel lets each sleep end 50 us late */
    g_mutex_lock(&c->lock);
    while (!c->quit) {
        Timer *t = atomic_load(&c->running) ? first_due(c, clock_now(c)) : NULL;
        if (c->firing)
            g_cond_wait(&c->fired, &c->lock);
        else if (t)
            fire(c, t);
        else
            sleep_until_due(c);
    }
    g_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- the clock */

Clock *clock_create_manual(void)
{
    Clock *c = g_new0(Clock, 1);
    g_mutex_init(&c->lock);
    g_cond_init(&c->changed);
    g_cond_init(&c->fired);
    c->heap = g_ptr_array_new();
    atomic_store(&c->first, INT64_MAX);
    return c;
}

Clock *clock_create(void)
{
    Clock *c = clock_create_manual();
    c->thread = g_thread_new("atoll-clock", clock_thread, c);
    return c;
}

void clock_destroy(Clock *c)
{
    if (!c)
        return;
    if (c->thread) {
        g_mutex_lock(&c->lock);
        c->quit = true;
        g_cond_broadcast(&c->changed);
        g_mutex_unlock(&c->lock);
        g_thread_join(c->thread);
    }
    g_ptr_array_unref(c->heap);
    g_cond_clear(&c->changed);
    g_cond_clear(&c->fired);
    g_mutex_clear(&c->lock);
    g_free(c);
}

void clock_start(Clock *c)
{
    g_mutex_lock(&c->lock);
    if (c->thread && !atomic_load(&c->running)) {
        set_time(c, true, clock_now(c) - monotonic_ns());
        g_cond_broadcast(&c->changed);
    }
    g_mutex_unlock(&c->lock);
}

static void wait_until_idle(Clock *c)
{
    while (c->firing && c->firing_thread != g_thread_self())
        g_cond_wait(&c->fired, &c->lock);
}

void clock_stop(Clock *c)
{
    g_mutex_lock(&c->lock);
    if (atomic_load(&c->running))
        set_time(c, false, clock_now(c));
    wait_until_idle(c);
    g_mutex_unlock(&c->lock);
}

void clock_set(Clock *c, int64_t now)
{
    g_mutex_lock(&c->lock);
    set_time(c, false, now);
    g_mutex_unlock(&c->lock);
}

void clock_advance(Clock *c, int64_t ns)
{
    g_mutex_lock(&c->lock);
    int64_t end = clock_now(c) + ns;
    for (Timer *t; (t = first_due(c, end));) {
        set_time(c, false, MAX(clock_now(c), t->deadline));
        fire(c, t);
    }
    set_time(c, false, end);
    g_mutex_unlock(&c->lock);
}

int64_t clock_next(Clock *c)
{
    g_mutex_lock(&c->lock);
    int64_t next = c->heap->len ? heap_at(c, 0)->deadline : INT64_MAX;
    g_mutex_unlock(&c->lock);
    return next;
}

/* ---- timers */

void timer_init(Timer *t, Clock *c, void (*fire)(void *), void *opaque, GMutex *lock)
{
    *t = (Timer){ .fire = fire, .opaque = opaque, .lock = lock, .clock = c, .deadline = INT64_MAX };
}

void timer_finish(Timer *t)
{
    if (!t->clock)
        return;
    timer_disarm(t);
    g_mutex_lock(&t->clock->lock);
    while (t->clock->firing == t && t->clock->firing_thread != g_thread_self())
        g_cond_wait(&t->clock->fired, &t->clock->lock);
    g_mutex_unlock(&t->clock->lock);
    timer_disarm(t); /* fire() may have armed it again */
    t->clock = NULL;
}

void timer_arm(Timer *t, int64_t deadline)
{
    Clock *c = t->clock;
    g_mutex_lock(&c->lock);
    if (timer_armed(t))
        heap_remove(c, t);
    if (deadline != INT64_MAX) {
        t->deadline = deadline;
        heap_insert(c, t);
        if (t->slot == 0)
            g_cond_signal(&c->changed);
    }
    g_mutex_unlock(&c->lock);
}

void timer_disarm(Timer *t)
{
    if (!t->clock)
        return;
    g_mutex_lock(&t->clock->lock);
    if (timer_armed(t))
        heap_remove(t->clock, t);
    g_mutex_unlock(&t->clock->lock);
}

uint64_t ns_to_ticks(int64_t ns, uint64_t hz) { return (unsigned __int128)ns * hz / 1000000000; }

int64_t ticks_to_ns(uint64_t ticks, uint64_t hz)
{
    unsigned __int128 ns = ((unsigned __int128)ticks * 1000000000 + hz - 1) / hz;
    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}
