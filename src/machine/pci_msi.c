/* pci_msi.c - message-signalled interrupts of one vector.  PCI Local Bus Specification 3.0, section 6.8.1. */
#include "machine/pci.h"

enum { CONTROL = 2, ADDRESS = 4, DATA = 12, CAP_SIZE = 14, CONTROL_ENABLE = 1, CONTROL_64_BIT = 1 << 7 };

void pci_msi_init(PciDevice *p)
{
    p->cap_msi = pci_add_capability(p, PCI_CAP_MSI, CAP_SIZE);
    pci_set16(p, p->cap_msi + CONTROL, CONTROL_64_BIT);
    pci_set_writable(p, p->cap_msi + CONTROL, 2, CONTROL_ENABLE);
    pci_set_writable(p, p->cap_msi + ADDRESS, 4, ~3u);
    pci_set_writable(p, p->cap_msi + ADDRESS + 4, 4, UINT32_MAX);
    pci_set_writable(p, p->cap_msi + DATA, 2, UINT16_MAX);
}

bool pci_msi_enabled(const PciDevice *p) { return p->cap_msi && pci_get16(p, p->cap_msi + CONTROL) & CONTROL_ENABLE; }

bool pci_msi_notify(PciDevice *p)
{
    if (!pci_msi_enabled(p))
        return false;
    if (p->bus && pci_bus_master(p))
        pci_bus_msi(p->bus, pci_get32(p, p->cap_msi + ADDRESS) | (uint64_t)pci_get32(p, p->cap_msi + ADDRESS + 4) << 32, pci_get16(p, p->cap_msi + DATA));
    return true;
}
