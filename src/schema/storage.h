#pragma once
#include "schema/secret.h"
/* storage.h - pools and volumes (https://libvirt.org/formatstorage.html).  Sizes are written in bytes. */
extern const char *const pool_types[];
typedef enum PoolType { POOL_DIR = 1, POOL_FS, POOL_NETFS, POOL_LOGICAL, POOL_DISK, POOL_ISCSI, POOL_SCSI, POOL_MPATH, POOL_RBD, POOL_GLUSTER, POOL_ZFS } PoolType;

typedef struct Permissions {
    Record record;
    char *mode, *owner, *group, *label; /* mode: octal digits; owner -1: as it is */
} Permissions;

typedef struct PoolDevice {
    Record record;
    char *path;
} PoolDevice;

typedef struct Pool {
    Record record;
    unsigned type;
    char *name, *uuid, *host, *host_port, *source_dir, *source_name, *source_format, *vendor, *product, *target;
    uint64_t capacity, allocation, available;
    GPtrArray *devices; /* PoolDevice */
    Permissions *permissions;
} Pool;

typedef struct Backing {
    Record record;
    char *path, *format;
    Permissions *permissions;
} Backing;

typedef struct Volume {
    Record record;
    unsigned type;
    char *name, *key, *path, *format, *compat, *source;
    uint64_t capacity, allocation, physical, cluster_size;
    bool nocow, lazy_refcounts, extended_l2;
    Permissions *permissions;
    Encryption *encryption;
    char *atime, *mtime, *ctime, *btime;
    Backing *backing;
} Volume;

extern const RecordType pool_type, volume_type;
