#pragma once
#include "machine/device.h"
/* virtio_input.h - keyboard, mouse and tablet as virtio devices. */
extern const DeviceType virtio_keyboard_pci_type, virtio_mouse_pci_type, virtio_tablet_pci_type;
