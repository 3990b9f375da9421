/*
 * vcpu.c - the thread of a vCPU.
 *
 * The thread is either inside the accelerator's run() ("in_run") or parked here.  Who needs it parked (stop, work,
 * exclusive) sets a request bit, kicks, and waits until in_run is false; the thread does not go back in before the
 * reason is gone.  in_run and the owner of the exclusive section are protected by one lock a machine, which is taken
 * only on the way in and out of run(), never while guest instructions execute.
 */
#include "machine/vcpu.h"

#include <string.h>

#include "machine/help.h"
#include "machine/vcpu_thread.h"

typedef struct VcpuWork VcpuWork;
struct VcpuWork {
    void (*fn)(Vcpu *v, void *arg);
    void *arg;
    bool done;
    VcpuWork *next;
};

/* ---- requests */

void vcpu_request(Vcpu *v, uint32_t bits)
{
    uint32_t old = atomic_fetch_or(&v->request, bits); /* before parked is read */
    if (!(bits & ~old))
        return;
    v->accel->ops->kick(v);
    if (!atomic_load(&v->parked))
        return;
    g_mutex_lock(&v->lock);
    g_cond_broadcast(&v->wake);
    g_mutex_unlock(&v->lock);
}

/* ---- in and out of run() */

static Exclusive *exclusive(Vcpu *v) { return v->machine->exclusive; }

static void wait_for_change(Exclusive *ex)
{
    ex->waiters++;
    g_cond_wait(&ex->changed, &ex->lock);
    ex->waiters--;
}

/* GLib asks the kernel to wake whoever waits even where nobody does. */
static void tell_change(Exclusive *ex)
{
    if (ex->waiters)
        g_cond_broadcast(&ex->changed);
}

static void enter_run(Vcpu *v)
{
    Exclusive *ex = exclusive(v);
    g_mutex_lock(&ex->lock);
    while (ex->owner && ex->owner != v)
        wait_for_change(ex);
    v->in_run = true;
    g_mutex_unlock(&ex->lock);
}

static void leave_run(Vcpu *v)
{
    Exclusive *ex = exclusive(v);
    g_mutex_lock(&ex->lock);
    v->in_run = false;
    tell_change(ex);
    g_mutex_unlock(&ex->lock);
}

void vcpu_wait_outside(Vcpu *v)
{
    Exclusive *ex = exclusive(v);
    g_mutex_lock(&ex->lock);
    while (v->in_run)
        wait_for_change(ex);
    g_mutex_unlock(&ex->lock);
}

/* ---- the exclusive section */

static void ask_others(Vcpu *self, bool ask)
{
    GPtrArray *vcpus = self->machine->vcpus;
    for (unsigned i = 0; i < vcpus->len; i++) {
        Vcpu *other = vcpus->pdata[i];
        if (other != self)
            (ask ? vcpu_request : vcpu_unrequest)(other, VREQ_EXCLUSIVE);
    }
}

static bool another_in_run(Vcpu *self)
{
    GPtrArray *vcpus = self->machine->vcpus;
    for (unsigned i = 0; i < vcpus->len; i++)
        if (vcpus->pdata[i] != self && ((Vcpu *)vcpus->pdata[i])->in_run)
            return true;
    return false;
}

void exclusive_begin(Vcpu *self)
{
    Exclusive *ex = exclusive(self);
    g_mutex_lock(&ex->lock);
    /* While waiting for another owner this vCPU counts as outside: it has changed nothing yet. */
    bool was_in_run = self->in_run;
    self->in_run = false;
    tell_change(ex);
    while (ex->owner)
        wait_for_change(ex);
    ex->owner = self;
    self->in_run = was_in_run;
    ask_others(self, true);
    while (another_in_run(self))
        wait_for_change(ex);
    g_mutex_unlock(&ex->lock);
}

void exclusive_end(Vcpu *self)
{
    Exclusive *ex = exclusive(self);
    g_mutex_lock(&ex->lock);
    ask_others(self, false);
    ex->owner = NULL;
    tell_change(ex);
    g_mutex_unlock(&ex->lock);
}

/* ---- work */

static VcpuWork *take_work(Vcpu *v)
{
    g_mutex_lock(&v->lock);
    VcpuWork *all = v->work;
    v->work = NULL;
    vcpu_unrequest(v, VREQ_WORK);
    g_mutex_unlock(&v->lock);
    return all;
}

static void run_work(Vcpu *v)
{
    for (VcpuWork *w = take_work(v), *next; w; w = next) {
        next = w->next; /* w is the waiter's, gone once done is seen */
        w->fn(v, w->arg);
        g_mutex_lock(&v->lock);
        w->done = true;
        g_cond_broadcast(&v->wake);
        g_mutex_unlock(&v->lock);
    }
}

void vcpu_run_on(Vcpu *v, void (*fn)(Vcpu *v, void *arg), void *arg)
{
    if (g_thread_self() == v->thread) {
        fn(v, arg);
        return;
    }
    VcpuWork work = { .fn = fn, .arg = arg };
    g_mutex_lock(&v->lock);
    work.next = v->work;
    v->work = &work;
    g_mutex_unlock(&v->lock);
    vcpu_request(v, VREQ_WORK);
    g_mutex_lock(&v->lock);
    while (!work.done)
        g_cond_wait(&v->wake, &v->lock);
    g_mutex_unlock(&v->lock);
}

/* ---- the thread */

/* A vCPU that cannot go on stays put until machine_reset() or machine_start() lets it. */
static void give_up(Vcpu *v, StopCause cause)
{
    atomic_fetch_or(&v->request, VREQ_STOP);
    machine_request(v->machine, cause);
}

static void after_run(Vcpu *v, RunExit exit)
{
    switch (exit) {
    case RUN_KICKED:
        break;
    case RUN_HALTED:
        vcpu_halt(v, v->halt_wake ? v->halt_wake | VREQ_STOP | VREQ_WORK : UINT32_MAX);
        break;
    case RUN_SHUTDOWN:
        give_up(v, CAUSE_TRIPLE_FAULT);
        break;
    case RUN_DEBUG:
        give_up(v, CAUSE_DEBUG_STOP);
        break;
    case RUN_BROKEN:
        give_up(v, CAUSE_BROKEN);
        break;
    }
}

/* Stopped: only work, an end of the stop, or quitting wakes the thread. */
static void park_stopped(Vcpu *v)
{
    g_mutex_lock(&v->lock);
    atomic_store(&v->parked, true);
    while (!v->quit && (atomic_load(&v->request) & (VREQ_STOP | VREQ_WORK)) == VREQ_STOP)
        g_cond_wait(&v->wake, &v->lock);
    atomic_store(&v->parked, false);
    g_mutex_unlock(&v->lock);
}

static void *vcpu_thread(void *opaque)
{
    Vcpu *v = opaque;
    if (v->accel->ops->thread_start)
        v->accel->ops->thread_start(v);
    while (!v->quit) {
        uint32_t request = vcpu_requests(v);
        if (request & VREQ_WORK) {
            run_work(v);
            help_run(v->machine);
        } else if (request & VREQ_STOP) {
            park_stopped(v);
        } else {
            enter_run(v);
            RunExit exit = v->accel->ops->run(v);
            leave_run(v);
            help_run(v->machine);
            after_run(v, exit);
        }
    }
    if (v->accel->ops->thread_end)
        v->accel->ops->thread_end(v);
    return NULL;
}

Vcpu *vcpu_alloc(Accel *a, GError **err)
{
    Vcpu *v = a->ops->vcpu_alloc ? a->ops->vcpu_alloc(a, err) : g_aligned_alloc0(1, (a->ops->vcpu_size + 63) & ~(size_t)63, 64);
    if (v) {
        v->machine = a->machine;
        v->accel = a;
    }
    return v;
}

void vcpu_free(Vcpu *v)
{
    if (v && v->accel->ops->vcpu_free)
        v->accel->ops->vcpu_free(v);
    else
        g_aligned_free(v);
}

bool vcpu_create(Machine *m, unsigned id, GError **err)
{
    Vcpu *v = vcpu_alloc(m->accel, err);
    if (!v)
        return false;
    v->id = v->apic_id = id;
    atomic_init(&v->request, VREQ_STOP);
    g_mutex_init(&v->lock);
    g_cond_init(&v->wake);
    if (!m->accel->ops->vcpu_init(m->accel, v, err)) {
        g_mutex_clear(&v->lock);
        g_cond_clear(&v->wake);
        vcpu_free(v);
        return false;
    }
    g_ptr_array_add(m->vcpus, v);
    g_autofree char *name = g_strdup_printf("CPU %u/%s", id, m->accel->ops->name);
    v->thread = g_thread_new(name, vcpu_thread, v);
    return true;
}

void vcpu_destroy(Vcpu *v)
{
    g_mutex_lock(&v->lock);
    v->quit = true;
    g_cond_broadcast(&v->wake);
    g_mutex_unlock(&v->lock);
    g_thread_join(v->thread);
    v->accel->ops->vcpu_finish(v);
    view_unref(v->memory_seen);
    view_unref(v->ports_seen);
    g_mutex_clear(&v->lock);
    g_cond_clear(&v->wake);
    g_free(v->broken);
    vcpu_free(v);
}

/* ---- accesses to devices */

/* The current view, held by this vCPU: one relaxed load as long as nothing has changed. */
static const FlatView *current_view(AddressSpace *s, FlatView **seen)
{
    if (!*seen || (*seen)->generation != space_generation(s)) {
        view_unref(*seen);
        *seen = space_view(s);
    }
    return *seen;
}

static const FlatView *ports(Vcpu *v) { return current_view(v->machine->ports, &v->ports_seen); }
static const FlatView *memory(Vcpu *v) { return current_view(v->machine->memory, &v->memory_seen); }

uint64_t vcpu_pio_read(Vcpu *v, uint16_t port, unsigned size)
{
    uint64_t value = view_read(ports(v), port, size);
    help_run(v->machine);
    return value;
}

void vcpu_pio_write(Vcpu *v, uint16_t port, unsigned size, uint64_t value)
{
    view_write(ports(v), port, size, value);
    help_run(v->machine);
}

/* IA32_APIC_BASE: bit 11 enables, bit 10 is x2APIC mode, which has no page. */
static bool is_own_apic(Vcpu *v, uint64_t gpa)
{
    if (!v->apic_ops)
        return false;
    uint64_t base = v->apic_ops->get_base(v->apic);
    return (base & 0xc00) == 0x800 && ((gpa ^ base) & ~0xfffull) == 0;
}

uint64_t vcpu_mmio_read(Vcpu *v, uint64_t gpa, unsigned size)
{
    if (is_own_apic(v, gpa))
        return v->apic_ops->mmio_read(v->apic, gpa & 0xfff, size);
    uint64_t value = view_read(memory(v), gpa, size);
    help_run(v->machine);
    return value;
}

void vcpu_mmio_write(Vcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
    if (is_own_apic(v, gpa)) {
        v->apic_ops->mmio_write(v->apic, gpa & 0xfff, size, value);
    } else if (!dma_write(v->machine, gpa, &value, size)) { /* RAM: with the marks that DMA sets */
        view_write(memory(v), gpa, size, value);
        help_run(v->machine);
    }
}
