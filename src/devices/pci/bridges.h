#pragma once
#include "machine/pci.h"
/* bridges.h - bridges between PCI buses. */
extern const DeviceType pcie_root_port_type, pci_bridge_type, dmi_pci_bridge_type, pcie_pci_bridge_type;
