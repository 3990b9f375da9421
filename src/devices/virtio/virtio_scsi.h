#pragma once
#include "devices/virtio/virtio_pci.h"
/* virtio_scsi.h - paravirtual SCSI host adapter, with a bus for scsi-hd and scsi-cd. */
VIRTIO_PCI_DECLARE(virtio_scsi_pci_type);
extern const DeviceType virtio_scsi_device_type;
