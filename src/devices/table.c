/* table.c - registration is this explicit array. */
#include "devices/devices.h"

#include "devices/acpi/acpi_hw.h"
#include "devices/acpi/fw_cfg.h"
#include "devices/acpi/pci_hotplug.h"
#include "devices/char/char.h"
#include "devices/display/display.h"
#include "devices/display/ramfb.h"
#include "devices/input/input.h"
#include "devices/input/virtio_input.h"
#include "devices/intc/intc.h"
#include "devices/misc/a20.h"
#include "devices/misc/i8237.h"
#include "devices/misc/misc.h"
#include "devices/net/net.h"
#include "devices/pci/bridges.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/piix.h"
#include "devices/pci/q35.h"
#include "devices/storage/fdc.h"
#include "devices/storage/ide.h"
#include "devices/storage/scsi_bus.h"
#include "devices/storage/pflash.h"
#include "devices/timer/timer.h"
#include "devices/usb/usb.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_rng.h"
#include "devices/virtio/virtio_scsi.h"
#include "devices/virtio/virtio_serial.h"

const DeviceType *const device_types[] = {
    &fw_cfg_type,
    &acpi_hw_type,
    &acpi_pci_hotplug_type,
    &i440fx_ports_type,
    &i440fx_type,
    &piix3_type,
    &piix4_pm_type,
    &q35_mch_type,
    &q35_ecam_type,
    &ich9_lpc_type,
    &ich9_smbus_type,
    &pcie_root_port_type,
    &pci_bridge_type,
    &dmi_pci_bridge_type,
    &pcie_pci_bridge_type,
    &a20_type,
    &i8259_type,
    &ioapic_type,
    &apic_type,
    &i8254_type,
    &mc146818_type,
    &hpet_type,
    &i8042_type,
    &port92_type,
    &i8237_type,
    &isa_fdc_type,
    &floppy_type,
    &isa_serial_type,
    &isa_debugcon_type,
    &isa_debug_exit_type,
    &pvpanic_type,
    &ib700_type,
    &i6300esb_type,
    &isa_post_card_type,
    &piix3_ide_type,
    &ich9_ahci_type,
    &ahci_type,
    &ide_hd_type,
    &ide_cd_type,
    VIRTIO_PCI_ENTRIES(virtio_blk_pci_type),
    &virtio_blk_device_type,
    VIRTIO_PCI_ENTRIES(virtio_scsi_pci_type),
    &virtio_scsi_device_type,
    &scsi_hd_type,
    &scsi_cd_type,
    VIRTIO_PCI_ENTRIES(virtio_net_pci_type),
    &virtio_net_device_type,
    &e1000_type,
    &e1000e_type,
    VIRTIO_PCI_ENTRIES(virtio_rng_pci_type),
    &virtio_rng_device_type,
    VIRTIO_PCI_ENTRIES(virtio_balloon_pci_type),
    &virtio_balloon_device_type,
    VIRTIO_PCI_ENTRIES(virtio_serial_pci_type),
    &virtio_serial_device_type,
    &virtserialport_type,
    &virtconsole_type,
    &vga_pci_type,
    &virtio_gpu_pci_type,
    &virtio_vga_type,
    &ramfb_type,
    &virtio_keyboard_pci_type,
    &virtio_mouse_pci_type,
    &virtio_tablet_pci_type,
    &qemu_xhci_type,
    &nec_usb_xhci_type,
    &piix3_usb_uhci_type,
    &piix4_usb_uhci_type,
    &usb_tablet_type,
    &usb_mouse_type,
    &usb_kbd_type,
    &usb_storage_type,
    &pflash_type,
    NULL,
};
