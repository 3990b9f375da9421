/*
 * doorbell.c - notifications by eventfd: where the accelerator can, a driver's write wakes the I/O thread and the vCPU goes on.
 *
 * Eventfds are made when a driver first has use for them, and live as long as the device.  What changes is whether the accelerator
 * knows them: virtio_sync_doorbells() puts that right after whatever it depends on, be it the driver's status or a BAR that moved.
 * What it refuses is no error: the write then leaves the guest, and comes to the device's window.
 */
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/virtio.h"
#include "machine/machine.h"

struct VirtioDoorbell {
    Virtio *virtio;
    unsigned n;
    IoWatch watch; /* fd -1: not made yet */
    bool assigned;
    IoEvent at;    /* if it is */
};

static void rung(void *doorbell)
{
    VirtioDoorbell *b = doorbell;
    virtio_ring(b->virtio, b->n);
}

static bool make(VirtioDoorbell *b)
{
    if (b->watch.fd >= 0)
        return true;
    b->watch = (IoWatch){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .run = rung, .opaque = b };
    if (b->watch.fd < 0)
        return false;
    if (io_thread_watch(b->virtio->thread, &b->watch, NULL))
        return true;
    close(b->watch.fd);
    b->watch.fd = -1;
    return false;
}

static VirtioDoorbell *doorbell_of(Virtio *v, unsigned n)
{
    if (!v->doorbells) {
        v->doorbells = g_new(VirtioDoorbell, v->n_queues);
        for (unsigned i = 0; i < v->n_queues; i++)
            v->doorbells[i] = (VirtioDoorbell){ .virtio = v, .n = i, .watch.fd = -1 };
    }
    return &v->doorbells[n];
}

static bool same(const IoEvent *a, const IoEvent *b)
{
    return a->addr == b->addr && a->size == b->size && a->pio == b->pio && a->any_value == b->any_value && a->match == b->match;
}

static void drop(VirtioDoorbell *b)
{
    if (b->assigned)
        machine_ioeventfd(b->virtio->dev->machine, b->watch.fd, &b->at, false);
    b->assigned = false;
}

static void want(VirtioDoorbell *b, const IoEvent *at)
{
    if (b->assigned && same(&b->at, at))
        return;
    drop(b);
    b->at = *at;
    b->assigned = make(b) && machine_ioeventfd(b->virtio->dev->machine, b->watch.fd, at, true);
}

void virtio_sync_doorbells(Virtio *v)
{
    bool can = v->type && v->doorbell && v->thread && machine_has_ioeventfd(v->dev->machine);
    IoEvent at;
    for (unsigned n = can ? v->type->own_queues : 0; can && n < v->n_queues; n++)
        if (virtq_ready(v, n) && v->doorbell(v, n, &at))
            want(doorbell_of(v, n), &at);
        else if (v->doorbells)
            drop(&v->doorbells[n]);
}

/* All that could have been: the thread may have read an eventfd and not come further. */
void virtio_take_doorbells(Virtio *v)
{
    for (unsigned n = 0; v->doorbells && n < v->n_queues; n++)
        if (v->doorbells[n].watch.fd >= 0)
            atomic_fetch_or(&v->rung, 1ull << n);
}

void virtio_free_doorbells(Virtio *v)
{
    for (unsigned n = 0; v->doorbells && n < v->n_queues; n++)
        if (v->doorbells[n].watch.fd >= 0) {
            drop(&v->doorbells[n]);
            io_thread_unwatch(v->thread, &v->doorbells[n].watch);
        }
    if (v->doorbells)
        io_thread_settle(v->thread);
    for (unsigned n = 0; v->doorbells && n < v->n_queues; n++)
        if (v->doorbells[n].watch.fd >= 0)
            close(v->doorbells[n].watch.fd);
    g_clear_pointer(&v->doorbells, g_free);
}
