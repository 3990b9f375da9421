#pragma once
#include "block/io_thread.h"
#include "devices/dma_map.h"
#include "machine/accel.h"
#include "machine/device.h"
/*
 * virtio.h - what all virtio devices share: features, status, queues.  Virtio 1.2 (OASIS), legacy interface included.
 *
 * A device is a VirtioType with a handler for its queues and a transport (virtio_pci.h) around it:
 *
 *     static void notified(Virtio *v, unsigned n)
 *     {
 *         VirtqChain c;
 *         while (virtq_pop(v, n, &c))
 *             virtq_push(v, n, &c, fill(c.in.iov, c.in.n));
 *         virtq_signal(v, n);
 *     }
 *
 * With virtio_set_thread() notifications are worked off on that thread, and what it answers is signalled once a round.
 * All of it runs with the device's lock held.  A ring that makes no sense breaks the device until the driver resets it.
 */
enum { VIRTIO_QUEUES = 64, VIRTIO_CONFIG_BYTES = 256, VIRTIO_NO_VECTOR = 0xffff };
enum { /* 2.1 */
    VIRTIO_ACKNOWLEDGE = 1, VIRTIO_DRIVER = 2, VIRTIO_DRIVER_OK = 4, VIRTIO_FEATURES_OK = 8, VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128,
};
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };
enum { /* 6 */
    VIRTIO_F_ANY_LAYOUT = 27, VIRTIO_F_INDIRECT_DESC = 28, VIRTIO_F_EVENT_IDX = 29, VIRTIO_F_VERSION_1 = 32,
    VIRTIO_F_RING_RESET = 40,
};

typedef struct Virtio Virtio;
typedef struct VirtioType {
    uint16_t id;         /* 5 */
    uint8_t n_queues;
    uint8_t own_queues;  /* the first so many are never a thread's: their handlers may wait for its requests */
    uint16_t queue_size; /* the most that a driver may choose; a power of 2 */
    uint64_t features;   /* the device's own bits */
    uint16_t config_bytes;
    void (*notified)(Virtio *v, unsigned n); /* the driver has made buffers of queue n available */
    /* Optional. */
    /* Returns when nothing that was taken from the queues is under way; before resets and saving.  It may give up the
     * lock while it waits; what is pushed after that goes nowhere. */
    void (*quiesce)(Virtio *v);
    void (*reset)(Virtio *v);
    void (*config_written)(Virtio *v, unsigned off, unsigned size); /* NULL: the driver cannot write v->config */
} VirtioType;

typedef struct VirtioDoorbell VirtioDoorbell;

typedef struct Virtqueue {
    uint64_t desc, avail, used; /* guest-physical: descriptor, driver and device area */
    uint16_t size, vector;
    uint16_t last_avail; /* next entry of the available ring to look at */
    uint16_t used_idx;
    uint16_t signalled;  /* used_idx at the last look whether the driver wants an interrupt */
    bool signalled_valid, enabled;
    uint16_t epoch; /* grows with each reset: what was taken before is not given back after */
} Virtqueue;

struct Virtio {
    const VirtioType *type;
    Device *dev;
    void (*interrupt)(Virtio *v, uint16_t vector); /* the transport's; isr is set already */
    /* The transport's, optional: the write that notifies queue n, for an accelerator that can signal an eventfd instead. */
    bool (*doorbell)(const Virtio *v, unsigned n, IoEvent *ret);
    unsigned n_queues;   /* as the type has them; a device with properties of its own changes them, and what it */
    uint16_t queue_size; /* offers, between virtio_pci_prepare() and virtio_pci_realize() */
    uint64_t offered, features;                    /* features is what the driver has accepted */
    uint8_t status, isr, generation;
    bool broken;
    uint16_t config_vector;
    uint8_t config[VIRTIO_CONFIG_BYTES];
    Virtqueue queue[VIRTIO_QUEUES];
    /* Host. */
    IoThread *thread;       /* NULL: who notifies a queue works it off */
    IoWork work;
    _Atomic uint64_t rung;  /* queues that the thread has yet to look at */
    uint64_t to_signal;     /* queues with answers that the driver has not been told of */
    bool batch;             /* it is told at the end of what is going on */
    VirtioDoorbell *doorbells; /* n_queues of them; NULL: none was ever wanted */
};

extern const Field virtio_fields[];

/* For transports. */
void virtio_init(Virtio *v, Device *dev, const VirtioType *type, void (*interrupt)(Virtio *v, uint16_t vector));
void virtio_reset(Virtio *v);
void virtio_set_status(Virtio *v, uint8_t value);
void virtio_set_features(Virtio *v, uint64_t value);
bool virtio_set_queue_size(Virtio *v, Virtqueue *q, uint16_t size);
void virtio_enable_queue(Virtio *v, Virtqueue *q);
void virtio_reset_queue(Virtio *v, Virtqueue *q);
void virtio_queue_notify(Virtio *v, unsigned n);
bool virtio_ring(Virtio *v, unsigned n); /* without the lock: leaves it to the thread; false: virtio_queue_notify() */
void virtio_sync_doorbells(Virtio *v);   /* doorbell() says something else now; with the lock */
void virtio_settle(Virtio *v);           /* nothing of what was rung or is to be signalled is left to the thread */
void virtio_write_config(Virtio *v, unsigned off, unsigned size, uint64_t value);
uint64_t virtio_read_config(const Virtio *v, unsigned off, unsigned size);
bool virtio_check(const Virtio *v, GError **err); /* loaded state */

/* For devices. */
static inline bool virtio_has(const Virtio *v, unsigned feature) { return v->features >> feature & 1; }
void virtio_config_changed(Virtio *v);
void virtio_set_thread(Virtio *v, IoThread *t); /* in realize */
void virtio_clear_thread(Virtio *v);            /* in unrealize, first; without the lock */
void virtio_fail(Virtio *v, const char *format, ...) G_GNUC_PRINTF(2, 3); /* the driver broke its promises */

/* A chain of buffers that the driver has made available.  `out` the device reads, `in` it writes. */
typedef struct VirtqChain {
    DmaMap out, in;
    uint16_t head, epoch;
} VirtqChain;

bool virtq_ready(const Virtio *v, unsigned n);           /* set up, and the driver is running */
bool virtq_pop(Virtio *v, unsigned n, VirtqChain *ret);  /* false: none, or the ring is broken */
void virtq_push(Virtio *v, unsigned n, VirtqChain *c, uint32_t written); /* gives it back; c is over */
void virtq_drop(VirtqChain *c);                          /* lets go of a chain without giving it back: reset */
void virtq_signal(Virtio *v, unsigned n);                /* after pushes: interrupts, now or soon, if the driver wants it */
void virtq_signal_all(Virtio *v);                        /* those that wait */

/* doorbell.c: for virtio.c. */
void virtio_take_doorbells(Virtio *v); /* what may have been signalled stands in v->rung */
void virtio_free_doorbells(Virtio *v); /* without the lock */
