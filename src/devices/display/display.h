#pragma once
#include "machine/device.h"
/* display.h - display adapters. */
extern const DeviceType vga_pci_type, virtio_gpu_pci_type, virtio_vga_type;
