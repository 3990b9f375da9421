#pragma once
#include "machine/pci.h"
/*
 * pci_bridge.h - what bridges between PCI buses have in common: the type 1 header and the bus behind.  PCI-to-PCI Bridge
 * Architecture Specification 1.2.
 *
 * A part of a bridge's struct.  Configuration accesses go by the bus numbers that the guest writes, pins are swizzled on their way up.
 * Functions behind decode their BARs whatever the bridge's windows say, and may do DMA whatever its command register says: a guest that
 * sets those up sees no difference.
 */
typedef struct PciBridge {
    PciBus *bus;
    PciDevice *self;
    GMutex lock; /* of the pins; taken with the lock of a function behind, or of the bridge, held */
    uint64_t asserted[4 * 4]; /* per pin of ours: a bit a devfn behind that asserts it */
    bool own; /* and ours, on pin A */
} PciBridge;

extern const Field pci_bridge_fields[];

/* In realize and unrealize.  The bus is called after the bridge's id; slots: 1 behind a PCI Express port, else 32. */
bool pci_bridge_init(PciBridge *b, PciDevice *self, unsigned slots, GError **err);
void pci_bridge_finish(PciBridge *b);
void pci_bridge_written(PciBridge *b, unsigned off, unsigned size, uint32_t old, uint32_t value); /* from config_written */
void pci_bridge_set_own_intx(PciBridge *b, bool level); /* instead of pci_set_intx(): a bridge shares its pin with those behind */
enum { PCI_BRIDGE_PRIMARY = 0x18, PCI_BRIDGE_SECONDARY, PCI_BRIDGE_SUBORDINATE, PCI_BRIDGE_CONTROL = 0x3e };
