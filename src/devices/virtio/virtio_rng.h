#pragma once
#include "machine/device.h"
/* virtio_rng.h - random numbers for the guest, from the host's getrandom(2). */
extern const DeviceType virtio_rng_pci_type;
