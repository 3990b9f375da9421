#pragma once
#include "machine/device.h"
/*
 * pci.h - PCI functions and their bus.  PCI Local Bus Specification 3.0; capabilities per its appendix H.
 */
typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;

struct PciInfo {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
    uint8_t revision;
    uint8_t interrupt_pin; /* 0 none, 1 INTA */
    bool multifunction;
    bool express;          /* 4 KiB of configuration space; capability by the device */
    uint8_t msix_vectors, msix_bar; /* 0: no MSI-X */
    /* Optional hooks, with the device's lock held.  The generic part has masked read-only bits and remapped BARs. */
    void (*config_written)(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value);
    uint32_t (*config_read)(PciDevice *p, unsigned off, unsigned size, uint32_t value);
};

struct PciDevice {
    Device dev;
    PciBus *bus;
    uint8_t devfn;
    uint8_t config[4096], writable[4096], write1clear[4096]; /* config is saved by the generic part */
    uint16_t cap_end; /* next free offset for pci_add_capability */
    uint8_t cap_msix;  /* offset, 0 if none */
    struct MsixState *msix;
    bool intx_level;
};

typedef struct PciBusOps {
    void (*set_intx)(void *opaque, uint8_t devfn, unsigned pin, bool level); /* pin 0-3 */
    void (*msi)(void *opaque, uint64_t address, uint32_t data);
} PciBusOps;

PciBus *pci_bus_create(Machine *m, const char *name, const PciBusOps *ops, void *opaque);
void pci_bus_destroy(PciBus *b);
/* Before device_realize().  devfn -1: the first free slot.  Error names the holder of a taken slot. */
bool pci_plug(PciDevice *p, PciBus *b, int devfn, GError **err);
PciDevice *pci_find(PciBus *b, uint8_t devfn); /* NULL: empty */
uint8_t pci_devfn_parse(const char *addr, GError **err); /* "3", "0x3.1" */
/* Configuration accesses of a host bridge; size 1, 2, 4; all ones where nothing is. */
uint32_t pci_config_read(PciBus *b, uint8_t devfn, unsigned off, unsigned size);
void pci_config_write(PciBus *b, uint8_t devfn, unsigned off, unsigned size, uint32_t value);
void pci_bus_each(PciBus *b, void (*fn)(PciDevice *p, void *arg), void *arg);

/* For devices, in realize: little-endian access to one's own configuration, and which bits the guest may write. */
void pci_set16(PciDevice *p, unsigned off, uint16_t value);
void pci_set32(PciDevice *p, unsigned off, uint32_t value);
uint16_t pci_get16(const PciDevice *p, unsigned off);
uint32_t pci_get32(const PciDevice *p, unsigned off);
void pci_set_writable(PciDevice *p, unsigned off, unsigned size, uint32_t mask);
uint8_t pci_add_capability(PciDevice *p, uint8_t id, uint8_t size); /* zeroed body; returns its offset */
bool pci_bus_master(const PciDevice *p); /* DMA allowed by the command register */
void pci_set_intx(PciDevice *p, bool level);
/* MSI-X: sends the vector if enabled and unmasked, else remembers it as pending.  false: MSI-X is off, use INTx. */
bool pci_msix_notify(PciDevice *p, unsigned vector);
bool pci_msix_enabled(const PciDevice *p);
void pci_config_reset(PciDevice *p); /* called by device_reset */

extern const Field pci_fields[]; /* state that every PCI function saves */
