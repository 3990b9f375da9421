#pragma once
#include "machine/bus.h"
/*
 * pci.h - PCI functions and their bus.  PCI Local Bus Specification 3.0; capabilities per its appendix H.
 *
 * A function's BARs are its type's windows with SPACE_PCI_BAR.  The generic part keeps the configuration space with its
 * write masks, maps and unmaps the BARs as the guest moves them, and saves all of it; a device adds capabilities,
 * registers of its own and hooks.
 */
typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;

enum { PCI_MSIX_MAX = 128 }; /* vectors a function */

struct PciInfo {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
    uint8_t revision;
    uint8_t interrupt_pin; /* 0 none, 1 INTA */
    bool multifunction;
    bool msi;              /* one vector */
    bool express;          /* 4 KiB of configuration space; capability by the device */
    /* 0: no MSI-X.  The BAR is a window of the type's with .ops = &pci_msix_window and a size of at least 32 bytes a
     * vector: the table is at its start, the pending bits at its middle. */
    uint8_t msix_vectors, msix_bar;
    const char *romfile; /* optional: the expansion ROM that it has where romfile= names no other */
    bool rom_optional;   /* it works without, so that a machine starts where the file is not installed */
    /* Optional hooks, with the device's lock held.  The generic part has masked read-only bits and remapped BARs; `value`
     * is what stands in the bytes now, `old` what stood there before. */
    void (*config_written)(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value);
    uint32_t (*config_read)(PciDevice *p, unsigned off, unsigned size, uint32_t value);
};

struct PciDevice {
    Device dev;
    PciBus *bus;
    uint8_t devfn;
    uint8_t config[4096], writable[4096], write1clear[4096]; /* config is saved by the generic part */
    uint8_t reset_config[4096]; /* as realize left it: what the writable bits return to */
    bool reset_known;
    uint16_t cap_end;  /* next free offset for pci_add_capability; a device with registers at 40h moves it first */
    uint8_t cap_msi, cap_msix; /* offsets, 0 if none */
    uint32_t msix_table[PCI_MSIX_MAX * 4]; /* per vector: address low, high, data, control */
    uint32_t msix_pending[PCI_MSIX_MAX / 32];
    bool intx_level;
    char *romfile; /* properties: pci_props */
    bool rombar, multifunction;
    PciBus *behind; /* a bridge's: pci_bridge.h */
    RamBlock *rom; /* NULL: none */
    MemRegion *rom_region;
};

typedef struct PciBusOps {
    /* Pin 0-3 of the slot.  The function's lock is held; the callee ORs what shares a wire. */
    void (*set_intx)(void *opaque, uint8_t devfn, unsigned pin, bool level);
    void (*msi)(void *opaque, uint64_t address, uint32_t data);
} PciBusOps;

/* Who brings a bus's functions to the guest's notice while the machine runs: a controller beside the bus, or the bridge that it is
 * behind.  As in BusType; main thread. */
typedef struct PciHotplugOps {
    void (*plugged)(void *opaque, PciDevice *p);
    bool (*unplug_request)(void *opaque, PciDevice *p, GError **err);
} PciHotplugOps;

struct PciBus {
    Bus bus;
    const PciBusOps *ops;
    void *opaque;
    const PciHotplugOps *hotplug;
    void *hotplug_opaque;
    unsigned slots;
    GMutex lock; /* of function[] */
    PciDevice *function[256];
};

PciBus *pci_bus_create(Machine *m, const char *name, const PciBusOps *ops, void *opaque);
void pci_bus_destroy(PciBus *b); /* after its functions; NULL is fine */
/* Before device_realize().  devfn -1: the first free slot.  Error names the holder of a taken slot. */
bool pci_plug(PciDevice *p, PciBus *b, int devfn, GError **err);
/* Without it functions come and go at the start only. */
void pci_bus_set_hotplug(PciBus *b, const PciHotplugOps *ops, void *opaque);
/* Out of the guest's sight, and its place free for another: what it has been let go of.  Any thread, without p's lock. */
void pci_hide(PciDevice *p);
char *pci_boot_path(const PciDevice *p); /* for BootPlace: "/pci@i0cf8/scsi@4", "/pci@i0cf8/pci8086,2922@1f,2" */
PciDevice *pci_find(PciBus *b, uint8_t devfn); /* NULL: empty */
PciBus *pci_bus_number(PciBus *root, unsigned number); /* as the guest has numbered those behind bridges; NULL: none */
bool pci_devfn_parse(const char *addr, uint8_t *ret, GError **err); /* "3", "0x3.1": slot and function, hexadecimal or not */
/* Configuration accesses of a host bridge; size 1, 2, 4; all ones where nothing is.  Not with a function's lock held. */
uint32_t pci_config_read(PciBus *b, uint8_t devfn, unsigned off, unsigned size);
void pci_config_write(PciBus *b, uint8_t devfn, unsigned off, unsigned size, uint32_t value);
void pci_bus_each(PciBus *b, void (*fn)(PciDevice *p, void *arg), void *arg); /* in order of devfn */

/* For devices, in realize: little-endian access to one's own configuration, and which bits the guest may write. */
void pci_set16(PciDevice *p, unsigned off, uint16_t value);
void pci_set32(PciDevice *p, unsigned off, uint32_t value);
uint16_t pci_get16(const PciDevice *p, unsigned off);
uint32_t pci_get32(const PciDevice *p, unsigned off);
void pci_set_writable(PciDevice *p, unsigned off, unsigned size, uint32_t mask);
uint8_t pci_add_capability(PciDevice *p, uint8_t id, uint8_t size); /* zeroed body; returns its offset */
/* The BAR of that window shows ram, which is the device's, and has its size, a power of 2; in realize. */
void pci_set_bar_ram(PciDevice *p, unsigned window, RamBlock *ram);
bool pci_bar_address(const PciDevice *p, unsigned window, uint64_t *ret); /* where the guest has put it; false: nowhere */
bool pci_bus_master(const PciDevice *p); /* DMA allowed by the command register */
void pci_set_intx(PciDevice *p, bool level);
/* MSI-X: sends the vector if enabled and unmasked, else remembers it as pending.  false: MSI-X is off, use INTx. */
bool pci_msix_notify(PciDevice *p, unsigned vector);
bool pci_msix_enabled(const PciDevice *p);
/* MSI: sends the message, which is lost where the function may not master the bus.  false: MSI is off, use INTx. */
bool pci_msi_notify(PciDevice *p);
bool pci_msi_enabled(const PciDevice *p);
extern const WindowOps pci_msix_window, pci_memory_window; /* the latter for BARs of pci_set_bar_ram() */

/* Called by device.c: checks and MSI-X, before type->realize; leaves the bus; at reset and after load, lock held. */
bool pci_realize(PciDevice *p, GError **err);
void pci_unrealize(PciDevice *p);
void pci_config_reset(PciDevice *p);
bool pci_post_load(PciDevice *p, GError **err);

extern const Field pci_fields[]; /* state that every PCI function saves */
extern const Field pci_props[];  /* properties that every PCI function has */

/* For pci.c, pci_msi.c, pci_msix.c and pci_rom.c only. */
bool pci_rom_realize(PciDevice *p, GError **err);
/* Firmware runs only a ROM whose data structure (6.3.1.2) names the function that it stands on; a type's usual ROM is made for several
 * ids and names one.  Byte 6 is free for the checksum.  Once, when the ids are known. */
void pci_rom_patch(PciDevice *p);
void pci_rom_unrealize(PciDevice *p);
void pci_rom_map(PciDevice *p);
void pci_msi_init(PciDevice *p);
void pci_msix_init(PciDevice *p);
void pci_msix_reset(PciDevice *p);
void pci_msix_flush(PciDevice *p); /* sends what is pending and has become unmasked */
void pci_bus_msi(PciBus *b, uint64_t address, uint32_t data);

/* Offsets of the standard header, and bits in them. */
enum {
    PCI_VENDOR_ID = 0x00, PCI_DEVICE_ID = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06, PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, PCI_CACHE_LINE = 0x0c, PCI_LATENCY = 0x0d, PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c, PCI_SUBSYSTEM = 0x2e, PCI_ROM = 0x30, PCI_CAPABILITIES = 0x34, PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_COMMAND_IO = 0x001, PCI_COMMAND_MEMORY = 0x002, PCI_COMMAND_MASTER = 0x004, PCI_COMMAND_PARITY = 0x040,
    PCI_COMMAND_SERR = 0x100, PCI_COMMAND_INTX_OFF = 0x400,
    PCI_STATUS_INTX = 0x0008, PCI_STATUS_CAPABILITIES = 0x0010, PCI_STATUS_ERRORS = 0xf900,
    PCI_CAP_MSI = 0x05, PCI_CAP_MSIX = 0x11, PCI_CAP_VENDOR = 0x09,
};
static inline uint8_t pci_devfn(unsigned slot, unsigned function) { return slot << 3 | function; }
