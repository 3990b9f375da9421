/*
 * halt.c - a vCPU that is halted: looks for what comes for a moment, and sleeps.
 *
 * To wake a thread on another processor takes tens of microseconds of who does it and of who is woken, more than many devices need to
 * answer.  A halted vCPU therefore looks for a while whether somebody asks for it, and longer or less long as that was worth it the last times
 * (as Linux does for KVM: Documentation/virt/kvm/halt-polling.rst).  Meanwhile it does what helpers (machine.h) have to do.
 *
 * It gives its processor away between looks.  Where somebody else wants it, it sleeps at once.
 */
#include <sched.h>
#include <time.h>

#include "machine/help.h"
#include "machine/vcpu.h"
#include "machine/vcpu_thread.h"

enum { POLL_START_NS = 10000, POLL_MAX_NS = 100000, TAKEN_NS = 50000, LOOKS = 16 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static bool wanted(Vcpu *v, uint32_t wake_mask) { return vcpu_requests(v) & wake_mask || v->quit; }

static bool look(Vcpu *v, uint32_t wake_mask)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        if (wanted(v, wake_mask))
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

/* False: nobody asked for it, or its processor was taken. */
static bool poll(Vcpu *v, uint32_t wake_mask, uint64_t begin)
{
    uint64_t now = begin, end = begin + v->poll_ns;
    bool came = false, lost = false;
    help_watch(v->machine, true);
    while (!(came = look(v, wake_mask)) && now < end && !lost) {
        if (help_look(v->machine))
            continue;
        uint64_t before = now;
        sched_yield();
        now = now_ns();
        lost = now - before > TAKEN_NS;
    }
    if (lost)
        v->poll_ns = 0;
    return came || wanted(v, wake_mask);
}

/* A start of the machine ends it as well: a reset or loaded state may have come while the thread slept here, too short a stop to
 * be noticed.  parked is written before requests are read, and the other way round in vcpu_request(). */
static void sleep_until(Vcpu *v, uint32_t wake_mask)
{
    g_mutex_lock(&v->lock);
    atomic_store(&v->parked, true);
    while (!v->quit && !v->restarted && !(atomic_load(&v->request) & wake_mask))
        g_cond_wait(&v->wake, &v->lock);
    v->restarted = false;
    atomic_store(&v->parked, false);
    g_mutex_unlock(&v->lock);
}

static void learn(Vcpu *v, uint64_t waited)
{
    if (waited > POLL_MAX_NS)
        v->poll_ns /= 2;
    else if (waited > v->poll_ns)
        v->poll_ns = MIN(POLL_MAX_NS, MAX(POLL_START_NS, 2 * v->poll_ns));
    if (v->poll_ns < POLL_START_NS)
        v->poll_ns = 0;
}

void vcpu_halt(Vcpu *v, uint32_t wake_mask)
{
    uint64_t begin = now_ns();
    if (v->poll_ns && poll(v, wake_mask, begin))
        return;
    help_watch(v->machine, false);
    sleep_until(v, wake_mask);
    learn(v, now_ns() - begin);
}
