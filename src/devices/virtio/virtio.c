/* virtio.c - features, device status and configuration space.  Virtio 1.2, chapters 2 and 3. */
#include "devices/virtio/virtio.h"

#include <string.h>

#include "base/checked.h"

static const Field queue_fields[] = {
    { F(Virtqueue, desc), .doc = "address of the descriptor area" },
    { F(Virtqueue, avail), .doc = "address of the driver area" },
    { F(Virtqueue, used), .doc = "address of the device area" },
    { F(Virtqueue, size), .doc = "entries" },
    { F(Virtqueue, vector), .reset = VIRTIO_NO_VECTOR, .doc = "MSI-X vector" },
    { F(Virtqueue, last_avail), .doc = "next available entry" },
    { F(Virtqueue, used_idx), .doc = "next used entry" },
    { F(Virtqueue, signalled), .doc = "used entry of the last interrupt" },
    { F(Virtqueue, signalled_valid), .doc = "there has been one" },
    { F(Virtqueue, enabled), .doc = "set up" },
    { F(Virtqueue, epoch), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const Field virtio_fields[] = {
    { FO(Virtio, type), .role = FIELD_HOST },
    { FO(Virtio, dev), .role = FIELD_HOST },
    { FO(Virtio, interrupt), .role = FIELD_HOST },
    { FO(Virtio, doorbell), .role = FIELD_HOST },
    { F(Virtio, n_queues), .role = FIELD_HOST },
    { F(Virtio, queue_size), .role = FIELD_HOST },
    { F(Virtio, offered), .role = FIELD_HOST },
    { F(Virtio, features), .doc = "features that the driver accepted" },
    { F(Virtio, status), .doc = "device status" },
    { F(Virtio, isr), .doc = "interrupt status" },
    { F(Virtio, generation), .doc = "configuration generation" },
    { F(Virtio, broken), .doc = "waits for a reset" },
    { F(Virtio, config_vector), .reset = VIRTIO_NO_VECTOR, .doc = "MSI-X vector of configuration changes" },
    { FA(Virtio, config), .keep = true, .doc = "configuration space" },
    { FSA(Virtio, queue, queue_fields), .doc = "queues" },
    { FO(Virtio, thread), .role = FIELD_HOST },
    { FO(Virtio, work), .role = FIELD_HOST },
    { FO(Virtio, rung), .role = FIELD_HOST },
    { F(Virtio, to_signal), .role = FIELD_HOST },
    { F(Virtio, batch), .role = FIELD_HOST },
    { FO(Virtio, doorbells), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

void virtio_init(Virtio *v, Device *dev, const VirtioType *type, void (*interrupt)(Virtio *v, uint16_t vector))
{
    v->type = type;
    v->dev = dev;
    v->interrupt = interrupt;
    v->n_queues = type->n_queues;
    v->queue_size = type->queue_size;
    v->offered = type->features | 1ull << VIRTIO_F_INDIRECT_DESC | 1ull << VIRTIO_F_EVENT_IDX;
}

static void quiesce(Virtio *v)
{
    if (v->type->quiesce)
        v->type->quiesce(v);
}

static void clear_queue(Virtio *v, Virtqueue *q)
{
    bool exists = q < v->queue + v->n_queues;
    *q = (Virtqueue){ .vector = exists ? VIRTIO_NO_VECTOR : 0, .size = exists ? v->queue_size : 0, .epoch = q->epoch + 1 };
}

void virtio_reset_queue(Virtio *v, Virtqueue *q)
{
    bool used = q->enabled;
    q->enabled = false;
    if (used)
        quiesce(v);
    clear_queue(v, q);
    virtio_sync_doorbells(v);
}

void virtio_reset(Virtio *v)
{
    v->status = 0;
    quiesce(v);
    v->features = 0;
    v->status = v->isr = 0;
    v->broken = false;
    v->config_vector = VIRTIO_NO_VECTOR;
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
        clear_queue(v, &v->queue[i]);
    if (v->type->reset)
        v->type->reset(v);
    v->interrupt(v, VIRTIO_NO_VECTOR); /* takes the line down */
    virtio_sync_doorbells(v);
}

/* Fixed once FEATURES_OK (or, for a legacy driver, DRIVER_OK) is set: 3.1.1. */
void virtio_set_features(Virtio *v, uint64_t value)
{
    if (v->status & (VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK))
        guest_error(v->dev, "%s: features written after they were agreed on", v->dev->path);
    else
        v->features = value & v->offered;
}

/* Work that the driver queued before it said DRIVER_OK, as some legacy drivers do. */
static void start(Virtio *v)
{
    for (unsigned i = 0; i < v->n_queues; i++)
        virtio_queue_notify(v, i);
}

void virtio_set_status(Virtio *v, uint8_t value)
{
    uint8_t old = v->status;
    if (!value) {
        virtio_reset(v);
        return;
    }
    v->status = value | (old & VIRTIO_NEEDS_RESET);
    virtio_sync_doorbells(v);
    if (~old & value & VIRTIO_DRIVER_OK)
        start(v);
}

bool virtio_set_queue_size(Virtio *v, Virtqueue *q, uint16_t size)
{
    if (q->enabled || !size || size > v->queue_size || size & (size - 1)) {
        guest_error(v->dev, "%s: queue size %u is not possible", v->dev->path, size);
        return false;
    }
    q->size = size;
    return true;
}

static bool area_fits(uint64_t at, uint64_t bytes, unsigned align)
{
    uint64_t end;
    return !(at % align) && checked_add(at, bytes, &end);
}

/* 2.7: alignment and size of the three areas.  Whether they are RAM shows when they are used. */
void virtio_enable_queue(Virtio *v, Virtqueue *q)
{
    if (area_fits(q->desc, 16ull * q->size, 16) && area_fits(q->avail, 6 + 2ull * q->size, 2) &&
        area_fits(q->used, 6 + 8ull * q->size, 4))
        q->enabled = true;
    else
        virtio_fail(v, "queue areas at %" G_GINT64_MODIFIER "x, %" G_GINT64_MODIFIER "x, %" G_GINT64_MODIFIER
                    "x are misaligned", q->desc, q->avail, q->used);
    virtio_sync_doorbells(v);
}

bool virtq_ready(const Virtio *v, unsigned n)
{
    return n < v->n_queues && v->queue[n].enabled && v->status & VIRTIO_DRIVER_OK && !v->broken;
}

void virtio_queue_notify(Virtio *v, unsigned n)
{
    bool outer = v->batch;
    if (!virtq_ready(v, n))
        return;
    v->batch = true;
    v->type->notified(v, n);
    v->batch = outer;
    if (!outer)
        virtq_signal_all(v);
}

/* ---- queues on a thread */

static void work_off(Virtio *v)
{
    v->batch = true;
    for (uint64_t queues; (queues = atomic_exchange(&v->rung, 0));)
        for (; queues; queues &= queues - 1)
            virtio_queue_notify(v, __builtin_ctzll(queues));
    v->batch = false;
    virtq_signal_all(v);
}

static void run_work(void *virtio)
{
    Virtio *v = virtio;
    g_mutex_lock(&v->dev->lock);
    work_off(v);
    g_mutex_unlock(&v->dev->lock);
}

bool virtio_ring(Virtio *v, unsigned n)
{
    if (!v->thread || n < v->type->own_queues)
        return false;
    if (n < v->n_queues) {
        atomic_fetch_or(&v->rung, 1ull << n);
        io_thread_post(v->thread, &v->work);
    }
    return true;
}

void virtio_settle(Virtio *v)
{
    virtio_take_doorbells(v);
    if (v->thread)
        work_off(v);
}

void virtio_set_thread(Virtio *v, IoThread *t)
{
    v->thread = t;
    v->work = (IoWork){ .run = run_work, .opaque = v };
}

void virtio_clear_thread(Virtio *v)
{
    virtio_free_doorbells(v);
    if (v->thread)
        io_thread_settle(v->thread);
    v->thread = NULL;
}

uint64_t virtio_read_config(const Virtio *v, unsigned off, unsigned size)
{
    uint64_t value = 0;
    if (range_within(off, size, v->type->config_bytes))
        memcpy(&value, v->config + off, size);
    return value;
}

void virtio_write_config(Virtio *v, unsigned off, unsigned size, uint64_t value)
{
    if (!v->type->config_written || !range_within(off, size, v->type->config_bytes))
        return;
    memcpy(v->config + off, &value, size);
    v->type->config_written(v, off, size);
}

void virtio_config_changed(Virtio *v)
{
    v->generation++;
    if (!(v->status & VIRTIO_DRIVER_OK))
        return;
    v->isr |= VIRTIO_ISR_CONFIG;
    v->interrupt(v, v->config_vector);
}

void virtio_fail(Virtio *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    guest_error(v->dev, "%s: %s; the device waits for a reset", v->dev->path, why);
    v->broken = true;
    if (!virtio_has(v, VIRTIO_F_VERSION_1))
        return;
    v->status |= VIRTIO_NEEDS_RESET;
    virtio_config_changed(v);
}

bool virtio_check(const Virtio *v, GError **err)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        uint16_t size = v->queue[i].size;
        if (!size || size > v->queue_size || size & (size - 1))
            return error_set(err, ERR_INVALID, "%s: saved state has a queue of %u entries", v->dev->path, size);
    }
    if (v->features & ~v->offered)
        return error_set(err, ERR_INVALID, "%s: saved state uses features that this device does not offer (%" G_GINT64_MODIFIER "x)",
                         v->dev->path, v->features & ~v->offered);
    return true;
}
