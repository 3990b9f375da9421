#pragma once
#include "schema/domain.h"
/* snapshot.h - a point in the life of a machine's disks (https://libvirt.org/formatsnapshot.html). */

/* How a disk is kept: in its own image, or by going on in another one. */
typedef enum SnapshotMode { SNAPSHOT_NO = 1, SNAPSHOT_INTERNAL, SNAPSHOT_EXTERNAL, SNAPSHOT_MANUAL } SnapshotMode;

typedef struct SnapshotDisk {
    Record record;
    unsigned mode, type;
    char *name;         /* the disk's target */
    char *format, *file; /* external: the image that is written to from then on */
} SnapshotDisk;

typedef struct Snapshot {
    Record record;
    char *name, *description, *state, *parent, *memory, *memory_file;
    uint64_t created;   /* seconds since 1970 */
    uint64_t current;   /* 1: the machine's state comes from it */
    GPtrArray *disks;   /* SnapshotDisk */
    Domain *domain;     /* as it was */
} Snapshot;

extern const RecordType snapshot_type;
