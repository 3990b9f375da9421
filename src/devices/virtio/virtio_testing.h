#pragma once
#include "devices/testing.h"
#include "devices/virtio/virtio_pci.h"
/*
 * virtio_testing.h - a modern driver for unit tests of virtio devices: start, requests of several buffers, what came back.
 *
 * Queue n stands at VT_QUEUE + n * VT_QUEUE_BYTES; requests of a queue are made one after the other.
 */
enum { VT_RAM = 8 << 20, VT_DEVFN = 3 << 3, VT_SIZE = 16, VT_QUEUE = 0x10000, VT_QUEUE_BYTES = 0x1000, VT_AVAIL = 0x400, VT_USED = 0x800 };
enum { VT_DATA = 0x100000 };
#define VT_MODERN 0xfd000000u

typedef struct VirtioTest {
    Machine *machine;
    PciBus *bus;
    Device *device;
    uint16_t avail[VIRTIO_QUEUES], used[VIRTIO_QUEUES];
    uint16_t next[VIRTIO_QUEUES]; /* free descriptors: a ring */
    bool intx;
} VirtioTest;

typedef struct VtBuffer {
    uint64_t at;
    uint32_t len;
    bool in; /* the device writes it */
} VtBuffer;

static inline void vt_intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { ((VirtioTest *)opaque)->intx = level; }
static const PciBusOps vt_bus_ops = { .set_intx = vt_intx };

static inline void vt_create_machine(VirtioTest *t)
{
    MachineConfig config = { .ram_size = VT_RAM, .manual_clock = true, .max_cpus = 1 };
    t->machine = machine_create(&config, NULL);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = VT_RAM, .ram = t->machine->ram };
    g_assert_nonnull(region_add(t->machine->memory, &ram, NULL));
    t->bus = pci_bus_create(t->machine, "pci.0", &vt_bus_ops, t);
}

static inline bool vt_plug(VirtioTest *t, const DeviceType *type, const char *const *props, GError **err)
{
    t->device = device_new(t->machine, type, NULL, props, err);
    if (!t->device || !pci_plug((PciDevice *)t->device, t->bus, VT_DEVFN, err) || !device_realize(t->device, err))
        return false;
    device_reset(t->device, RESET_COLD);
    pci_config_write(t->bus, VT_DEVFN, PCI_BAR0 + 16, 4, VT_MODERN);
    pci_config_write(t->bus, VT_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return true;
}

static inline void vt_destroy(VirtioTest *t)
{
    machine_destroy(t->machine);
    pci_bus_destroy(t->bus);
}

static inline uint64_t vt_get(VirtioTest *t, unsigned reg, unsigned size) { return test_read(t->machine->memory, VT_MODERN + reg, size); }
static inline void vt_set(VirtioTest *t, unsigned reg, unsigned size, uint64_t v) { test_write(t->machine->memory, VT_MODERN + reg, size, v); }
static inline uint64_t vt_config(VirtioTest *t, unsigned off, unsigned size) { return vt_get(t, MODERN_CONFIG + off, size); }
static inline void vt_put(VirtioTest *t, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(t->machine, at, from, n)); }
static inline void vt_take(VirtioTest *t, uint64_t at, void *to, size_t n) { g_assert_true(dma_read(t->machine, at, to, n)); }

static inline uint16_t vt_get16(VirtioTest *t, uint64_t at)
{
    uint16_t v;
    vt_take(t, at, &v, 2);
    return v;
}

static inline uint64_t vt_offered(VirtioTest *t)
{
    vt_set(t, 0, 4, 0);
    uint64_t low = vt_get(t, 4, 4);
    vt_set(t, 0, 4, 1);
    return low | vt_get(t, 4, 4) << 32;
}

static inline uint64_t vt_queue(unsigned n) { return VT_QUEUE + (uint64_t)n * VT_QUEUE_BYTES; }

static inline void vt_start(VirtioTest *t, uint64_t features, unsigned n_queues)
{
    const uint8_t zeros[VT_QUEUE_BYTES] = { 0 };
    vt_set(t, 0x14, 1, 0);
    vt_set(t, 0x14, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    vt_set(t, 8, 4, 0);
    vt_set(t, 12, 4, features & UINT32_MAX);
    vt_set(t, 8, 4, 1);
    vt_set(t, 12, 4, features >> 32 | 1);
    vt_set(t, 0x14, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
    for (unsigned n = 0; n < n_queues; n++) {
        t->avail[n] = t->used[n] = t->next[n] = 0;
        vt_put(t, vt_queue(n), zeros, sizeof(zeros));
        vt_set(t, 0x16, 2, n);
        vt_set(t, 0x18, 2, VT_SIZE);
        vt_set(t, 0x20, 8, vt_queue(n));
        vt_set(t, 0x28, 8, vt_queue(n) + VT_AVAIL);
        vt_set(t, 0x30, 8, vt_queue(n) + VT_USED);
        vt_set(t, 0x1c, 2, 1);
    }
    vt_set(t, 0x14, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

static inline uint8_t vt_status(VirtioTest *t) { return vt_get(t, 0x14, 1); }

static inline void vt_kick(VirtioTest *t, unsigned n)
{
    vt_set(t, MODERN_NOTIFY + n * NOTIFY_MULTIPLIER, 2, n);
    if (t->machine->io_thread) /* it has looked at the queue */
        io_thread_settle(t->machine->io_thread);
}

/* Makes a chain available, without a kick; returns its head. */
static inline uint16_t vt_add(VirtioTest *t, unsigned n, const VtBuffer *b, unsigned count)
{
    uint16_t head = t->next[n] % VT_SIZE;
    for (unsigned i = 0; i < count; i++, t->next[n]++) {
        struct { uint64_t at; uint32_t len; uint16_t flags, next; } d = { b[i].at, b[i].len, (i + 1 < count) | b[i].in << 1, (t->next[n] + 1) % VT_SIZE };
        vt_put(t, vt_queue(n) + 16 * (t->next[n] % VT_SIZE), &d, 16);
    }
    vt_put(t, vt_queue(n) + VT_AVAIL + 4 + 2 * (t->avail[n] % VT_SIZE), &head, 2);
    t->avail[n]++;
    vt_put(t, vt_queue(n) + VT_AVAIL + 2, &t->avail[n], 2);
    return head;
}

static inline bool vt_poll(VirtioTest *t, unsigned n) { return vt_get16(t, vt_queue(n) + VT_USED + 2) != t->used[n]; }

/* Waits for the next used entry; returns how much the device says to have written. */
static inline uint32_t vt_wait(VirtioTest *t, unsigned n, uint16_t *ret_head)
{
    uint32_t entry[2];
    for (unsigned i = 0; !vt_poll(t, n); i++) {
        g_assert_cmpuint(i, <, 100000);
        g_usleep(100);
    }
    vt_take(t, vt_queue(n) + VT_USED + 4 + 8 * (t->used[n]++ % VT_SIZE), entry, 8);
    if (ret_head)
        *ret_head = entry[0];
    return entry[1];
}
