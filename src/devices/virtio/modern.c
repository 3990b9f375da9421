/*
 * modern.c - the modern interface: BAR 4 with common configuration, ISR, device configuration and notification.
 * Virtio 1.2, 4.1.4.3 to 4.1.4.6.
 */
#include "devices/virtio/virtio_pci.h"

enum {
    C_FEATURE_SELECT = 0, C_FEATURE = 4, C_DRIVER_SELECT = 8, C_DRIVER_FEATURE = 0xc, C_CONFIG_VECTOR = 0x10,
    C_NUM_QUEUES = 0x12, C_STATUS = 0x14, C_GENERATION = 0x15, C_QUEUE_SELECT = 0x16, C_QUEUE_SIZE = 0x18,
    C_QUEUE_VECTOR = 0x1a, C_QUEUE_ENABLE = 0x1c, C_NOTIFY_OFF = 0x1e, C_QUEUE_DESC = 0x20, C_QUEUE_DRIVER = 0x28,
    C_QUEUE_DEVICE = 0x30, C_NOTIFY_DATA = 0x38, C_QUEUE_RESET = 0x3a,
};

/* ---- common configuration */

static uint32_t half(uint64_t value, uint32_t select) { return select > 1 ? 0 : value >> 32 * select; }

uint32_t virtio_pci_offered(const VirtioPci *p)
{
    return half(p->virtio.offered & ~(1ull << VIRTIO_F_ANY_LAYOUT), p->feature_select); /* legacy only: 6.3 */
}

static uint32_t read_queue(const VirtioPci *p, const Virtqueue *q, unsigned reg)
{
    switch (reg) {
    case C_QUEUE_SIZE:
        return q->size;
    case C_QUEUE_VECTOR:
        return q->vector;
    case C_QUEUE_ENABLE:
        return q->enabled;
    case C_NOTIFY_OFF:
    case C_NOTIFY_DATA:
        return p->queue_select;
    case C_QUEUE_DESC:
    case C_QUEUE_DESC + 4:
        return half(q->desc, reg == C_QUEUE_DESC + 4);
    case C_QUEUE_DRIVER:
    case C_QUEUE_DRIVER + 4:
        return half(q->avail, reg == C_QUEUE_DRIVER + 4);
    case C_QUEUE_DEVICE:
    case C_QUEUE_DEVICE + 4:
        return half(q->used, reg == C_QUEUE_DEVICE + 4);
    }
    return 0;
}

static uint32_t read_common(VirtioPci *p, unsigned reg)
{
    const Virtio *v = &p->virtio;
    const Virtqueue *q = virtio_pci_queue(p);
    switch (reg) {
    case C_FEATURE_SELECT:
        return p->feature_select;
    case C_FEATURE:
        return virtio_pci_offered(p);
    case C_DRIVER_SELECT:
        return p->driver_feature_select;
    case C_DRIVER_FEATURE:
        return half(v->features, p->driver_feature_select);
    case C_CONFIG_VECTOR:
        return v->config_vector;
    case C_NUM_QUEUES:
        return v->n_queues;
    case C_STATUS:
        return v->status;
    case C_GENERATION:
        return v->generation;
    case C_QUEUE_SELECT:
        return p->queue_select;
    }
    return q ? read_queue(p, q, reg) : 0;
}

void virtio_set_half(uint64_t *to, bool high, uint32_t value)
{
    unsigned shift = high ? 32 : 0;
    *to = (*to & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

void virtio_pci_accept(VirtioPci *p, uint32_t value)
{
    uint64_t features = p->virtio.features;
    if (p->driver_feature_select > 1)
        return;
    virtio_set_half(&features, p->driver_feature_select, value);
    virtio_set_features(&p->virtio, features);
}

/* A driver that comes this way must accept VERSION_1, or FEATURES_OK does not stick: 3.1.1, 6.1. */
void virtio_pci_write_status(VirtioPci *p, uint8_t value)
{
    if (!virtio_has(&p->virtio, VIRTIO_F_VERSION_1))
        value &= ~VIRTIO_FEATURES_OK;
    if (!(value & VIRTIO_FEATURES_OK))
        value &= ~VIRTIO_DRIVER_OK;
    if (!value)
        virtio_pci_reset(&p->pci.dev, RESET_WARM);
    else
        virtio_set_status(&p->virtio, value & ~VIRTIO_NEEDS_RESET);
}

static void write_queue_control(VirtioPci *p, Virtqueue *q, unsigned reg, uint32_t value)
{
    switch (reg) {
    case C_QUEUE_SIZE:
        virtio_set_queue_size(&p->virtio, q, value);
        break;
    case C_QUEUE_VECTOR:
        q->vector = virtio_pci_vector(p, value);
        break;
    case C_QUEUE_ENABLE:
        if (value == 1 && !q->enabled)
            virtio_enable_queue(&p->virtio, q);
        break;
    case C_QUEUE_RESET:
        if (value == 1 && virtio_has(&p->virtio, VIRTIO_F_RING_RESET))
            virtio_reset_queue(&p->virtio, q);
    }
}

static void write_queue_area(Virtqueue *q, unsigned reg, uint32_t value)
{
    bool high = reg & 4;
    if (q->enabled) /* 4.1.4.3.2: fixed from then on */
        return;
    switch (reg & ~4u) {
    case C_QUEUE_DESC:
        virtio_set_half(&q->desc, high, value);
        break;
    case C_QUEUE_DRIVER & ~4u:
        virtio_set_half(&q->avail, high, value);
        break;
    case C_QUEUE_DEVICE & ~4u:
        virtio_set_half(&q->used, high, value);
    }
}

static void write_queue(VirtioPci *p, unsigned reg, uint32_t value)
{
    Virtqueue *q = virtio_pci_queue(p);
    if (!q)
        return;
    if (reg >= C_QUEUE_DESC && reg < C_NOTIFY_DATA)
        write_queue_area(q, reg, value);
    else
        write_queue_control(p, q, reg, value);
}

static void write_common(VirtioPci *p, unsigned reg, uint32_t value)
{
    switch (reg) {
    case C_FEATURE_SELECT:
        p->feature_select = value;
        break;
    case C_DRIVER_SELECT:
        p->driver_feature_select = value;
        break;
    case C_DRIVER_FEATURE:
        virtio_pci_accept(p, value);
        break;
    case C_CONFIG_VECTOR:
        p->virtio.config_vector = virtio_pci_vector(p, value);
        break;
    case C_STATUS:
        virtio_pci_write_status(p, value);
        break;
    case C_QUEUE_SELECT:
        p->queue_select = value;
        break;
    default:
        write_queue(p, reg, value);
    }
}

/* ---- the BAR */

uint64_t virtio_modern_read(Device *d, uint64_t off, unsigned size)
{
    VirtioPci *p = (VirtioPci *)d;
    switch (off & ~0xfffull) {
    case MODERN_COMMON:
        return read_common(p, off);
    case MODERN_ISR:
        return off == MODERN_ISR ? virtio_pci_take_isr(p) : 0;
    case MODERN_CONFIG:
        return virtio_read_config(&p->virtio, off - MODERN_CONFIG, size);
    }
    return 0;
}

void virtio_modern_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    VirtioPci *p = (VirtioPci *)d;
    switch (off & ~0xfffull) {
    case MODERN_COMMON:
        write_common(p, off, value);
        break;
    case MODERN_CONFIG:
        virtio_write_config(&p->virtio, off - MODERN_CONFIG, size, value);
        break;
    case MODERN_NOTIFY:
        virtio_queue_notify(&p->virtio, (off - MODERN_NOTIFY) / NOTIFY_MULTIPLIER);
    }
}

bool virtio_modern_ring(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    return off >= MODERN_NOTIFY && virtio_ring(&((VirtioPci *)d)->virtio, (off - MODERN_NOTIFY) / NOTIFY_MULTIPLIER);
}
