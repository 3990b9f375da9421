#pragma once
#include "devices/virtio/virtio.h"
#include "machine/pci.h"
/*
 * virtio_pci.h - virtio over PCI: modern, legacy and both at once (transitional).  Virtio 1.2, section 4.1.
 *
 *     typedef struct VirtioRng { VirtioPci base; ... } VirtioRng;
 *     static const Field fields[] = { VIRTIO_PCI_FIELDS(VirtioRng, base), ..., DEVICE_FIELDS_END };
 *     VIRTIO_PCI_TYPES(virtio_rng_pci_type, "virtio-rng-pci", .fields = fields, .windows = virtio_pci_windows, .pci = &info, ...,
 *         .realize = (calls virtio_pci_realize), .reset = virtio_pci_reset, .post_load = virtio_pci_post_load);
 *
 * PciInfo comes from VIRTIO_PCI_INFO; more of its members may follow.
 *
 * A type without .pci is the same device on the other transport, virtio_mmio.h: then the PciDevice lies idle, and the functions below
 * serve that one.
 */
typedef struct VirtioPci {
    PciDevice pci;
    char *disable_legacy, *disable_modern; /* on, off, auto */
    bool ioeventfd, event_idx;
    uint32_t feature_select, driver_feature_select;
    uint16_t queue_select;
    uint8_t cap_window; /* offset of the capability that gives access to the BAR from configuration space */
    Virtio virtio;
} VirtioPci;

enum { VIRTIO_PCI_VENDOR = 0x1af4, VIRTIO_PCI_MSIX_BAR = 1 };

#define VIRTIO_PCI_FIELDS(T, m)                                                                                        \
    { FN(T, m.disable_legacy, "disable-legacy"), .role = FIELD_PROP, .def = "auto", .doc = "no legacy interface: on, off, auto (off)" }, \
    { FN(T, m.disable_modern, "disable-modern"), .role = FIELD_PROP, .def = "off", .doc = "no modern interface: on, off" }, \
    { FN(T, m.ioeventfd, "ioeventfd"), .role = FIELD_PROP, .reset = 1, .doc = "notifications of queues on an I/O thread by eventfd, where the accelerator can" }, \
    { FN(T, m.event_idx, "event_idx"), .role = FIELD_PROP, .reset = 1, .doc = "the driver may say by an index when to notify it" }, \
    { FN(T, m.feature_select, "feature_select"), .doc = "which half of the offered features shows" },                  \
    { FN(T, m.driver_feature_select, "driver_feature_select"), .doc = "which half of the accepted features shows" },   \
    { FN(T, m.queue_select, "queue_select"), .doc = "queue that the registers show" },                                 \
    { FN(T, m.cap_window, "cap_window"), .role = FIELD_HOST },                                                         \
    { .name = "virtio", .off = offsetof(T, m.virtio), .bytes = sizeof(((T *)0)->m.virtio), .n = 1, .type = FT_STRUCT,  \
      .sub = virtio_fields, .doc = "what all virtio devices share" }

/* The transitional ids; a device without legacy interface gets its own in realize.  vectors: queues and one. */
#define VIRTIO_PCI_INFO(transitional_id, class, vectors, ...)                                                          \
    { .vendor = VIRTIO_PCI_VENDOR, .device = (transitional_id), .class_code = (class), .interrupt_pin = 1,             \
      .msix_vectors = (vectors), .msix_bar = VIRTIO_PCI_MSIX_BAR,                                                      \
      .config_read = virtio_pci_config_read, .config_written = virtio_pci_config_written, __VA_ARGS__ }

/* The names under which each virtio device stands in devices/table.c: NAME, NAME-transitional, NAME-non-transitional. */
#define VIRTIO_PCI_NON_TRANSITIONAL "-non-transitional"
#define VIRTIO_PCI_TYPES(var, type_name, ...)                                                                          \
    const DeviceType var = { .name = type_name, __VA_ARGS__ },                                                         \
                     var##_transitional = { .name = type_name "-transitional", __VA_ARGS__ },                          \
                     var##_non_transitional = { .name = type_name VIRTIO_PCI_NON_TRANSITIONAL, __VA_ARGS__ }
#define VIRTIO_PCI_DECLARE(var) extern const DeviceType var, var##_transitional, var##_non_transitional
#define VIRTIO_PCI_ENTRIES(var) &var, &var##_transitional, &var##_non_transitional

extern const WindowDecl virtio_pci_windows[];

/* Optional, first of all: after it n_queues, queue_size and offered may be changed. */
void virtio_pci_prepare(VirtioPci *p, const VirtioType *type);
bool virtio_pci_realize(VirtioPci *p, const VirtioType *type, GError **err);
void virtio_pci_pre_save(Device *d); /* for devices with a quiesce of their own */
void virtio_pci_reset(Device *d, ResetKind k);
bool virtio_pci_post_load(Device *d, GError **err);
uint32_t virtio_pci_config_read(PciDevice *p, unsigned off, unsigned size, uint32_t value);
void virtio_pci_config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value);
static inline VirtioPci *virtio_pci(Virtio *v) { return (VirtioPci *)v->dev; }

/* Inside the transport. */
uint64_t virtio_legacy_read(Device *d, uint64_t off, unsigned size);
void virtio_legacy_write(Device *d, uint64_t off, unsigned size, uint64_t value);
uint64_t virtio_modern_read(Device *d, uint64_t off, unsigned size);
void virtio_modern_write(Device *d, uint64_t off, unsigned size, uint64_t value);
bool virtio_legacy_ring(Device *d, uint64_t off, unsigned size, uint64_t value); /* notifications, without the lock */
bool virtio_modern_ring(Device *d, uint64_t off, unsigned size, uint64_t value);
enum { MODERN_COMMON = 0, MODERN_ISR = 0x1000, MODERN_CONFIG = 0x2000, MODERN_NOTIFY = 0x3000, MODERN_BYTES = 0x4000 };
enum { NOTIFY_MULTIPLIER = 4, NOTIFY_BYTES = 2, COMMON_BYTES = 0x3c, LEGACY_NOTIFY = 0x10 };
Virtqueue *virtio_pci_queue(const VirtioPci *p); /* the selected one, or NULL */
uint32_t virtio_pci_offered(const VirtioPci *p); /* the selected half of the features */
void virtio_pci_accept(VirtioPci *p, uint32_t value);
void virtio_pci_write_status(VirtioPci *p, uint8_t value);
void virtio_set_half(uint64_t *to, bool high, uint32_t value);
uint16_t virtio_pci_vector(const VirtioPci *p, uint16_t vector); /* NO_VECTOR where there is none of that number */
bool virtio_pci_doorbell(const Virtio *v, unsigned n, IoEvent *ret);
uint8_t virtio_pci_take_isr(VirtioPci *p);
