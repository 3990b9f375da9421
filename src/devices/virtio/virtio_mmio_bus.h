#pragma once
#include "machine/machine.h"
/*
 * virtio_mmio_bus.h - where a memory-mapped virtio device stands: for boards without PCI, a bus a device, at a fixed address, with a line
 * of its own.
 */
#define VIRTIO_MMIO_BUS "virtio-bus"
enum { VIRTIO_MMIO_BYTES = 512 };

typedef struct VirtioMmioBus {
    Bus bus;
    uint64_t base;
    IrqLine irq;
} VirtioMmioBus;

void virtio_mmio_bus_init(VirtioMmioBus *b, Machine *m, unsigned n, uint64_t base, IrqLine irq); /* "virtio-mmio-bus.N" */
Device *virtio_mmio_bus_device(const VirtioMmioBus *b); /* what is plugged in; NULL: nothing */
