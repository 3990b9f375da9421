#pragma once
#include <glib.h>

#include "base/error.h"
#include "base/field.h"
#include "base/log.h"
#include "machine/clock.h"
#include "machine/irq.h"
#include "machine/memory.h"
/*
 * device.h - devices, their address windows, interrupt lines and saved state.
 *
 * A device is one const DeviceType; from its field table come properties, reset, saved state, help and manual.  It sees
 * offsets, never addresses; raises lines, never vectors.  Every callback but realize and unrealize runs with the
 * device's lock held, on whatever thread.  See docs/devices.md for a walk through a whole one.
 */
typedef struct Device Device;
typedef struct PciInfo PciInfo; /* pci.h */
struct Medium;
typedef struct Bus Bus;         /* bus.h */

typedef enum SpaceKind { SPACE_PIO, SPACE_MMIO, SPACE_PCI_BAR } SpaceKind;

typedef struct WindowOps {
    uint64_t (*read)(Device *d, uint64_t off, unsigned size);
    void (*write)(Device *d, uint64_t off, unsigned size, uint64_t value);
    uint8_t min, max; /* access sizes that the callbacks take; machine/ splits and widens the rest.  0: 1 and 8 */
    /* Optional: a write that needs no lock, as a doorbell that wakes a thread; false: write() is to do it. */
    bool (*unlocked_write)(Device *d, uint64_t off, unsigned size, uint64_t value);
} WindowOps;

/* For PCI, the n-th declaration with SPACE_PCI_BAR is not BAR n unless .bar says so. */
typedef struct WindowDecl {
    const char *name;
    SpaceKind space;
    uint64_t size;
    const WindowOps *ops;
    uint8_t bar;         /* SPACE_PCI_BAR: its number */
    bool bar_io, bar_64, bar_prefetch;
} WindowDecl;

struct Window {
    Device *device;
    const WindowDecl *decl;
    MemRegion *region; /* NULL: not mapped */
    RamBlock *ram;     /* a BAR that is memory and not registers: pci_set_bar_ram() */
    char name[48];
};

/* How firmware finds a device to boot from: Open Firmware's path, as in "/pci@i0cf8/ide@1,1/drive@0/disk@0", of QEMU's
 * names, which SeaBIOS and OVMF know; letter as in -boot order: a floppy, c disk, d CD-ROM, n network. */
typedef struct BootPlace {
    char letter;
    char *path;
} BootPlace;

typedef enum ResetKind { RESET_COLD, RESET_WARM } ResetKind;

typedef struct DeviceType {
    const char *name, *summary, *spec; /* name as -device spells it; spec: the data sheet that it follows */
    uint32_t size;                     /* of the struct whose first member is Device (or PciDevice) */
    uint32_t base_size;                /* of that first member; 0: Device, or with .pci PciDevice */
    uint16_t version;                  /* of the saved section */
    const Field *fields;               /* every byte of the struct after the base member; ends with a NULL name */
    const WindowDecl *windows;         /* ends with a NULL name */
    uint8_t n_irqs;
    bool internal;                     /* part of a board: not for -device */
    const PciInfo *pci;                /* makes it a PCI function; its struct begins with PciDevice */
    const char *bus;                   /* the kind of bus that it goes on; NULL: PCI if .pci, else ISA */
    /* All optional. */
    bool (*realize)(Device *d, GError **err);
    void (*unrealize)(Device *d); /* cannot fail; also called after a realize that failed half-way */
    void (*reset)(Device *d, ResetKind k); /* after the field table has been applied */
    void (*pre_save)(Device *d);
    bool (*post_load)(Device *d, GError **err); /* recompute derived fields; touch no other device */
    void (*medium)(Device *d, struct Medium *ret); /* a drive with removable media: storage/medium.h */
    bool (*boot_place)(Device *d, BootPlace *ret); /* realized; the caller frees ret->path; false: not to boot from now */
    void (*resumed)(Device *d); /* the machine goes on after a stop */
    void (*resized)(Device *d, uint64_t bytes); /* a disk: its image has that size now; main thread */
    void (*set_irq)(Device *d, unsigned n, bool level); /* an interrupt controller's inputs: device_irq_input() */
} DeviceType;

struct Device {
    const DeviceType *type;
    Machine *machine;
    char *id;        /* the user's, or NULL */
    char *path;      /* unique: "id" or "type[.n]"; names the section of saved state and messages */
    GMutex lock;
    Bus *bus;        /* that it is plugged into; NULL: soldered on */
    bool hotplugged; /* came while the machine was there */
    IrqLine watch;   /* told of every change of an input (device_irq_input()), too: for tests */
    IrqLine *irq;    /* n_irqs outputs; set by the board before realize or any time while stopped */
    Window *windows; /* as declared */
    bool realized;
};

/* In two steps, so that a board can set lines and structs between them.  props: "name", "value", ..., NULL, or NULL.
 * An unknown property is an error that names the nearest. */
Device *device_new(Machine *m, const DeviceType *t, const char *id, const char *const *props, GError **err);
bool device_realize(Device *d, GError **err); /* on failure the device is still the caller's to destroy */
void device_destroy(Device *d);               /* NULL is fine; unmaps, unrealizes, leaves the machine */
/* Both at once; NULL on failure, with nothing left behind. */
Device *device_create(Machine *m, const DeviceType *t, const char *id, const char *const *props, GError **err);

bool device_map(Device *d, unsigned window, uint64_t at, GError **err); /* maps or moves; PIO or MMIO by declaration */
void device_unmap(Device *d, unsigned window);
void device_reset(Device *d, ResetKind k);
IrqLine device_irq_input(Device *d, unsigned n); /* a line that ends in type->set_irq, with d's lock taken */
void device_timer_init(Device *d, Timer *t, void (*fire)(void *device)); /* machine's clock, d's lock, opaque is d */

/* A guest error or something not built, once a line: shows under -d guest_errors, -d unimp. */
#define guest_error(d, ...) log_write(device_log(d), LOG_GUEST_ERROR, __VA_ARGS__)
#define unimplemented(d, ...) log_write(device_log(d), LOG_UNIMP, __VA_ARGS__)
Log *device_log(Device *d);

/* For help and manual: text of a type with its properties.  Caller frees. */
char *device_type_help(const DeviceType *t);

/* The tables that every device type stands in: devices/table.c.  NULL-terminated.  Of a virtio device's name "-pci" may be left out. */
const DeviceType *device_type_find(const DeviceType *const *table, const char *name, GError **err);

#define DEVICE_FIELDS_END { .name = NULL }
