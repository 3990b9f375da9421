#pragma once
#include "devices/virtio/virtio_mmio_bus.h"
#include "devices/virtio/virtio_pci.h"
/*
 * virtio_mmio.h - virtio without PCI: a page of registers and a line.  Virtio 1.2, section 4.2; version 2, that is, no legacy interface.
 *
 * A device is the same code on either transport: beside its PCI types it has one more, by VIRTIO_MMIO_TYPE, whose PciDevice lies idle.
 * It goes on a board's bus of one place (virtio_mmio_bus.h):
 *
 *     -device virtio-blk-device,drive=d[,bus=virtio-mmio-bus.3]
 */
#define VIRTIO_MMIO_TYPE(var, type_name, ...)                                                                          \
    const DeviceType var = { .name = type_name, __VA_ARGS__, .windows = virtio_mmio_windows, .bus = VIRTIO_MMIO_BUS, .n_irqs = 1, \
                             .base_size = sizeof(PciDevice) }

extern const WindowDecl virtio_mmio_windows[];

/* For virtio_pci.c. */
void virtio_mmio_interrupt(Virtio *v, uint16_t vector);
bool virtio_mmio_realize(VirtioPci *p, const VirtioType *type, GError **err);
