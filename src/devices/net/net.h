#pragma once
#include "devices/virtio/virtio_pci.h"
/* net.h - network cards, for the table of devices. */
VIRTIO_PCI_DECLARE(virtio_net_pci_type);
extern const DeviceType virtio_net_device_type;
extern const DeviceType e1000_type, e1000e_type;
