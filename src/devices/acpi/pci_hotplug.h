#pragma once
#include "machine/machine.h"
/*
 * pci_hotplug.h - PCI slots of one bus that the guest's ACPI looks after.  The registers are those of QEMU's
 * docs/specs/acpi_pci_hotplug, the methods that use them are in dsdt.c.
 *
 * Window 0 has ACPI_HOTPLUG_PORTS ports.  Output 0 pulses when there is something to look at: general-purpose event 1.
 */
extern const DeviceType acpi_pci_hotplug_type;
enum { ACPI_HOTPLUG_PORT = 0xae00, ACPI_HOTPLUG_PORTS = 24, ACPI_HOTPLUG_GPE = 1 };
enum { ACPI_HOTPLUG_UP = 0, ACPI_HOTPLUG_DOWN = 4, ACPI_HOTPLUG_EJECT = 8, ACPI_HOTPLUG_REMOVABLE = 12, ACPI_HOTPLUG_BUS = 16 };

/* From then on devices come to and go from that bus by it. */
void acpi_pci_hotplug_set_bus(Device *hotplug, PciBus *bus);
