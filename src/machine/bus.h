#pragma once
#include "machine/device.h"
/*
 * bus.h - where devices are plugged in.  A bus has a kind ("PCI", "ISA", "SCSI"), a name by which -device bus= finds it
 * ("pci.0", "scsi0.0") and belongs to a board or to a device.  Whoever makes one begins its struct with Bus:
 *
 *     typedef struct ScsiBus { Bus bus; ... } ScsiBus;
 *     bus_init(&s->bus, machine, &scsi_bus_type, "scsi0.0", controller);
 *
 * A device says by DeviceType.bus on which kind it goes; PCI functions (DeviceType.pci) go on "PCI", others without a
 * word on "ISA".  Buses are made, found and destroyed on the main thread.
 */
typedef struct BusType {
    const char *kind;
    /* Finds d its place, before d is realized; addr is what stands behind addr=, NULL: nothing was said.  The place is
     * given back by d's unrealize. */
    bool (*plug)(Bus *b, Device *d, const char *addr, GError **err);
    bool (*full)(const Bus *b); /* optional: a device that names no bus then goes on the next one */
    /* Optional, all for a machine that runs already.  Without them devices come and go at the start only. */
    void (*plugged)(Bus *b, Device *d);                          /* d is realized: tell the guest */
    bool (*unplug_request)(Bus *b, Device *d, GError **err);     /* ask the guest; device_let_go() is its answer */
} BusType;

struct Bus {
    const BusType *type;
    Machine *machine; /* NULL once that is gone */
    char *name;
    Device *owner;    /* the controller; NULL: the board */
};

void bus_init(Bus *b, Machine *m, const BusType *type, const char *name, Device *owner);
/* "ID.0", or for a controller without an id "KIND.N" in lower case with the first free N, which is how users know them. */
void bus_init_for(Bus *b, Device *owner, const BusType *type);
void bus_clear(Bus *b); /* what is plugged in must be gone */
/* name NULL: the first of that kind that is not full.  An error names the buses that there are. */
Bus *bus_find(Machine *m, const char *kind, const char *name, GError **err);
const char *device_bus_kind(const DeviceType *t);

/* Finds a device made by device_new() its bus and place, and realizes it.  On failure it is still the caller's to destroy. */
bool device_plug(Device *d, const char *bus, const char *addr, GError **err);

/* ---- in a machine that runs; main thread */

bool device_hotplug(Device *d, const char *bus, const char *addr, GError **err); /* the same, and tells the guest */
/* Asks the guest to let go.  What then comes is MachineListener.unplugged, or nothing. */
bool device_unplug_request(Device *d, GError **err);
/* The guest has let go.  Any thread, d's lock may be held. */
void device_let_go(Device *d);
/* Takes d and all that is plugged into it out, with the machine halted for a moment so that no vCPU is inside. */
void device_unplug(Device *d);
