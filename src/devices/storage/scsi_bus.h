#pragma once
#include "devices/storage/medium.h"
#include "machine/bus.h"
/*
 * scsi_bus.h - scsi-hd and scsi-cd, and the bus that a host adapter has for them.
 *
 * Units stand under their adapter's lock.  An adapter finds them by target and logical unit number.
 */
enum { SCSI_TARGETS = 256, SCSI_LUNS = 256, SCSI_ANY = 0xffff };

typedef struct ScsiPlug {
    Device dev;
    Disk disk;
    char *product, *ver;
    uint32_t scsi_id, lun, channel;
    ScsiUnit unit;
    struct ScsiBus *on;
    char *own_serial;
} ScsiPlug;

typedef struct ScsiBus {
    Bus bus;
    GPtrArray *plugs; /* ScsiPlug */
    void (*changed)(Device *adapter, ScsiPlug *p, bool there); /* lock held: tell the guest */
    const char *iothread; /* of the adapter; NULL: the machine's */
} ScsiBus;

extern const DeviceType scsi_hd_type, scsi_cd_type;

void scsi_bus_init(ScsiBus *b, Device *adapter, void (*changed)(Device *adapter, ScsiPlug *p, bool there));
void scsi_bus_finish(ScsiBus *b);
ScsiPlug *scsi_bus_find(const ScsiBus *b, unsigned target, unsigned lun); /* NULL: none */
/* What REPORT LUNS says of a target; returns the bytes, 0: there is none. */
unsigned scsi_bus_report(const ScsiBus *b, unsigned target, uint8_t *to, unsigned room);
void scsi_bus_quiesce(ScsiBus *b); /* lock held, which it may give up */
