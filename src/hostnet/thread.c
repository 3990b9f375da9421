/*
 * thread.c - the thread of a host end, how it is woken, and vCPUs that do what there is to do in its place.
 *
 * What the thread does between two sleeps is a round, under a lock that it gives up while it sleeps.  A vCPU that holds no other may
 * then take the round: after a kick of its own, for a few small frames (hostnet_stand_in()), and when it is halted thereupon, for what comes
 * from the host (hostnet_watch(), hostnet_look()).  To wake the thread costs more than all that such frames need.  Meanwhile what
 * comes does not wake the thread, for a millisecond at most.  Large frames are left to the thread, so that both work at once.
 */
#include "hostnet/backend.h"

enum { HELP_BYTES = 4096, LOOK_BYTES = 4096, PAUSE = 64, MUTE_US = 1000 };

/* ---- waking */

static void wake_now(HostNet *h, uint32_t bits)
{
    atomic_fetch_or(&h->kicked, bits);
    g_main_context_wakeup(h->context);
}

/* kicked is written before asleep is read, and the other way round in turn(). */
void hostnet_wake(HostNet *h, uint32_t bits)
{
    if (atomic_fetch_or(&h->kicked, bits) & bits)
        return;
    if (!(atomic_load(&h->asleep) && h->lends && h->lends(h->lender)))
        g_main_context_wakeup(h->context);
}

typedef struct WakeSource {
    GSource source;
    HostNet *h;
} WakeSource;

static gboolean wake_prepare(GSource *s, int *timeout)
{
    *timeout = -1;
    return atomic_load(&((WakeSource *)s)->h->kicked) != 0;
}

static gboolean wake_check(GSource *s) { return atomic_load(&((WakeSource *)s)->h->kicked) != 0; }

static gboolean wake_dispatch(GSource *s, GSourceFunc unused, void *arg)
{
    HostNet *h = ((WakeSource *)s)->h;
    hostnet_serve(h, atomic_exchange(&h->kicked, 0));
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs wake_funcs = { .prepare = wake_prepare, .check = wake_check, .dispatch = wake_dispatch };

/* ---- the thread */

static void note_received(HostNet *h, uint64_t bytes);

typedef struct Polls {
    GPollFD *fd;
    int room;
} Polls;

static void turn(HostNet *h, Polls *p)
{
    int priority, timeout, n;
    g_main_context_prepare(h->context, &priority);
    while ((n = g_main_context_query(h->context, priority, &timeout, p->fd, p->room)) > p->room)
        p->fd = g_renew(GPollFD, p->fd, p->room = n);
    atomic_store(&h->asleep, true);
    g_mutex_unlock(&h->round);
    g_poll(p->fd, n, timeout);
    g_mutex_lock(&h->round);
    atomic_store(&h->asleep, false);
    uint64_t before = h->rx_bytes;
    if (g_main_context_check(h->context, priority, p->fd, n))
        g_main_context_dispatch(h->context);
    note_received(h, h->rx_bytes - before);
}

static void *run(void *arg)
{
    HostNet *h = arg;
    Polls polls = { 0 };
    g_main_context_push_thread_default(h->context);
    g_mutex_lock(&h->round);
    while (!atomic_load(&h->quit))
        turn(h, &polls);
    g_mutex_unlock(&h->round);
    g_main_context_pop_thread_default(h->context);
    g_free(polls.fd);
    return NULL;
}

void hostnet_prepare_thread(HostNet *h)
{
    g_mutex_init(&h->round);
    h->context = g_main_context_new();
    h->wake = g_source_new(&wake_funcs, sizeof(WakeSource));
    ((WakeSource *)h->wake)->h = h;
    g_source_attach(h->wake, h->context);
}

void hostnet_start_thread(HostNet *h) { h->thread = g_thread_new("net", run, h); }

void hostnet_stop_thread(HostNet *h)
{
    if (!h->thread)
        return;
    atomic_store(&h->quit, true);
    g_main_context_wakeup(h->context);
    g_thread_join(h->thread);
    h->thread = NULL;
}

void hostnet_free_thread(HostNet *h)
{
    g_source_destroy(h->wake);
    g_source_unref(h->wake);
    g_main_context_unref(h->context);
    g_mutex_clear(&h->round);
}

/* ---- in its place */

bool hostnet_set_lenders(HostNet *h, bool (*lends)(void *opaque), void *opaque)
{
    if (!h->backend->look)
        return false;
    h->lends = lends;
    h->lender = opaque;
    return true;
}

static bool paused(_Atomic unsigned *left)
{
    unsigned n = atomic_load_explicit(left, memory_order_relaxed);
    if (n)
        atomic_compare_exchange_strong(left, &n, n - 1);
    return n;
}

/* False: the thread is at work, or somebody else in its place. */
static bool take_round(HostNet *h)
{
    if (!atomic_load(&h->asleep) || !g_mutex_trylock(&h->round))
        return false;
    if (atomic_load(&h->asleep))
        return true;
    g_mutex_unlock(&h->round);
    return false;
}

bool hostnet_may_send(HostNet *h, size_t bytes)
{
    if (!h->helping)
        return true;
    bool may = bytes <= h->help_left;
    h->help_left = may ? h->help_left - bytes : 0;
    h->overrun |= !may;
    return may;
}

/* Queues of which something is left. */
static uint32_t serve_little(HostNet *h)
{
    uint32_t bits = atomic_exchange(&h->kicked, 0);
    h->helping = true;
    h->overrun = false;
    h->help_left = HELP_BYTES;
    hostnet_serve(h, bits);
    h->helping = false;
    h->backend->settle(h);
    return h->overrun ? bits : 0;
}

/* Who sent something will soon be halted and look for the answer; if not, the thread is woken when the time is over. */
static void mute(HostNet *h)
{
    gint64 now = g_get_monotonic_time();
    if (atomic_load(&h->muted) && now - h->muted_us < MUTE_US / 2)
        return;
    h->muted_us = now;
    atomic_store(&h->muted, true);
    h->backend->mute(h, MUTE_US);
}

static void unmute(HostNet *h)
{
    if (atomic_load_explicit(&h->muted, memory_order_relaxed) && atomic_exchange(&h->muted, false))
        h->backend->mute(h, 0);
}

static bool may_watch(HostNet *h) { return !atomic_load_explicit(&h->no_watch, memory_order_relaxed); }

void hostnet_stand_in(void *hostnet)
{
    HostNet *h = hostnet;
    if (!atomic_load_explicit(&h->kicked, memory_order_relaxed) || !atomic_load(&h->asleep))
        return;
    if (paused(&h->no_help) || !take_round(h)) {
        wake_now(h, 0);
        return;
    }
    if (may_watch(h))
        mute(h);
    bool more = h->in.length;
    uint32_t left = more ? 0 : serve_little(h);
    g_mutex_unlock(&h->round);
    if (left)
        atomic_store(&h->no_help, PAUSE);
    if (left || more) {
        unmute(h);
        wake_now(h, left);
    }
}

void hostnet_watch(void *hostnet, bool on)
{
    HostNet *h = hostnet;
    if (!on) {
        unmute(h);
    } else if (!paused(&h->no_watch) && take_round(h)) {
        mute(h);
        g_mutex_unlock(&h->round);
    }
}

static void note_received(HostNet *h, uint64_t bytes)
{
    if (bytes <= LOOK_BYTES)
        return;
    atomic_store(&h->no_watch, PAUSE);
    unmute(h);
}

bool hostnet_look(void *hostnet)
{
    HostNet *h = hostnet;
    if (!atomic_load_explicit(&h->muted, memory_order_relaxed) || !h->backend->ready(h) || !take_round(h))
        return false;
    uint64_t before = h->rx_bytes;
    bool any = h->backend->look(h);
    if (any)
        h->backend->settle(h);
    g_mutex_unlock(&h->round);
    note_received(h, h->rx_bytes - before);
    return any;
}
