#pragma once
#include "devices/virtio/virtio_pci.h"
/* virtio_rng.h - random numbers for the guest, from the host's getrandom(2). */
VIRTIO_PCI_DECLARE(virtio_rng_pci_type);
extern const DeviceType virtio_rng_device_type;
