/*
 * legacy.c - the legacy interface: BAR 0.  Virtio 1.2, 4.1.4.8 and 2.7.2 (layout of a queue).
 *
 * The device's configuration follows the header, whose two vector registers are there only while MSI-X is on.
 */
#include "devices/virtio/virtio_pci.h"

enum {
    L_HOST_FEATURES = 0, L_FEATURES = 4, L_QUEUE_PFN = 8, L_QUEUE_SIZE = 12, L_QUEUE_SELECT = 14, L_NOTIFY = LEGACY_NOTIFY,
    L_STATUS = 18, L_ISR = 19, L_CONFIG_VECTOR = 20, L_QUEUE_VECTOR = 22, L_HEADER = 20, L_HEADER_MSIX = 24,
};
enum { PAGE = 4096 };

static unsigned header_bytes(const VirtioPci *p) { return pci_msix_enabled(&p->pci) ? L_HEADER_MSIX : L_HEADER; }

static uint32_t read_header(VirtioPci *p, unsigned reg)
{
    const Virtqueue *q = virtio_pci_queue(p);
    switch (reg) {
    case L_HOST_FEATURES:
        return p->virtio.offered;
    case L_FEATURES:
        return p->virtio.features;
    case L_QUEUE_PFN:
        return q ? q->desc / PAGE : 0;
    case L_QUEUE_SIZE:
        return q ? p->virtio.queue_size : 0;
    case L_QUEUE_SELECT:
        return p->queue_select;
    case L_STATUS:
        return p->virtio.status;
    case L_ISR:
        return virtio_pci_take_isr(p);
    case L_CONFIG_VECTOR:
        return p->virtio.config_vector;
    case L_QUEUE_VECTOR:
        return q ? q->vector : VIRTIO_NO_VECTOR;
    }
    return 0;
}

/* 2.7.2: descriptors, available ring, then the used ring on a page of its own.  Page 0 takes the queue back. */
static void set_page(VirtioPci *p, Virtqueue *q, uint32_t page)
{
    uint16_t vector = q->vector;
    virtio_reset_queue(&p->virtio, q);
    q->vector = vector;
    if (!page)
        return;
    q->desc = (uint64_t)page * PAGE;
    q->avail = q->desc + 16ull * q->size;
    q->used = (q->avail + 6 + 2ull * q->size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    virtio_enable_queue(&p->virtio, q);
}

/* A legacy driver knows 32 bits of features and no FEATURES_OK. */
static void write_header(VirtioPci *p, unsigned reg, uint32_t value)
{
    Virtqueue *q = virtio_pci_queue(p);
    switch (reg) {
    case L_FEATURES:
        virtio_set_features(&p->virtio, value);
        break;
    case L_QUEUE_PFN:
        if (q)
            set_page(p, q, value);
        break;
    case L_QUEUE_SELECT:
        p->queue_select = value;
        break;
    case L_NOTIFY:
        virtio_queue_notify(&p->virtio, value & 0xffff);
        break;
    case L_STATUS:
        virtio_set_status(&p->virtio, value & ~(VIRTIO_FEATURES_OK | VIRTIO_NEEDS_RESET));
        break;
    case L_CONFIG_VECTOR:
        p->virtio.config_vector = virtio_pci_vector(p, value);
        break;
    case L_QUEUE_VECTOR:
        if (q)
            q->vector = virtio_pci_vector(p, value);
    }
}

uint64_t virtio_legacy_read(Device *d, uint64_t off, unsigned size)
{
    VirtioPci *p = (VirtioPci *)d;
    unsigned header = header_bytes(p);
    return off < header ? read_header(p, off) : virtio_read_config(&p->virtio, off - header, size);
}

void virtio_legacy_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    VirtioPci *p = (VirtioPci *)d;
    unsigned header = header_bytes(p);
    if (off < header)
        write_header(p, off, value);
    else
        virtio_write_config(&p->virtio, off - header, size, value);
}

bool virtio_legacy_ring(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    return off == L_NOTIFY && virtio_ring(&((VirtioPci *)d)->virtio, value & 0xffff);
}
