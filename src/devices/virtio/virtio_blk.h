#pragma once
#include "devices/virtio/virtio_pci.h"
/* virtio_blk.h - paravirtual disk. */
VIRTIO_PCI_DECLARE(virtio_blk_pci_type);
extern const DeviceType virtio_blk_device_type;
