/* storage.c - the rows of pools and volumes. */
#include <string.h>

#include "base/error.h"
#include "schema/storage.h"

#define END { .name = NULL }

const char *const pool_types[] = { "dir", "fs", "netfs", "logical", "disk", "iscsi", "scsi", "mpath", "rbd", "gluster", "zfs", NULL };
static const char *const volume_types[] = { "file", "block", "dir", "network", "netdir", NULL };

static bool check_mode(const char *text, GError **err)
{
    if (*text && strspn(text, "01234567") == strlen(text) && strlen(text) <= 5)
        return true;
    return error_set(err, ERR_INVALID, "'%s' is not a mode: octal digits, such as 0644", text);
}

static const RecordField permissions_fields[] = {
    { RF(Permissions, mode, RK_TEXT, "mode"), .check = check_mode, .doc = "octal" },
    { RF(Permissions, owner, RK_TEXT, "owner"), .doc = "user's number; -1: as it is" },
    { RF(Permissions, group, RK_TEXT, "group"), .doc = "group's number; -1: as it is" },
    { RF(Permissions, label, RK_TEXT, "label"), .doc = "security label" },
    END
};
static const RecordType permissions_type = { .element = "permissions", .size = sizeof(Permissions), .fields = permissions_fields };

static const RecordField pool_device_fields[] = { { RF(PoolDevice, path, RK_TEXT, "@path"), .required = true, .doc = "the host's device" }, END };
static const RecordType pool_device_type = { .element = "device", .size = sizeof(PoolDevice), .fields = pool_device_fields };

enum { NAME_BYTES = 240 }; /* a file's name has 255, and some are for what stands beside it while it is written */

/* Pools and volumes are file names: nothing that leads elsewhere, or that a listing leaves out. */
static bool check_file_name(const char *text, GError **err)
{
    if (*text && !strpbrk(text, "/\n") && *text != '.' && strlen(text) <= NAME_BYTES)
        return true;
    return error_set(err, ERR_INVALID, "'%.80s' is no name here: it may not be empty, begin with a dot, hold a slash or a new line, nor have more than %d bytes", text, NAME_BYTES);
}

static bool check_path(const char *text, GError **err)
{
    if (*text == '/' && !strchr(text, '\n'))
        return true;
    return error_set(err, ERR_INVALID, "'%s' is not an absolute path", text);
}

static const RecordField pool_fields[] = {
    { RF(Pool, type, RK_WORD, "@type"), .words = pool_types, .required = true, .doc = "what volumes are made of" },
    { RF(Pool, name, RK_TEXT, "name"), .check = check_file_name, .required = true, .doc = "name" },
    { RF(Pool, uuid, RK_UUID, "uuid"), .doc = "UUID; made up where none is given" },
    { RF(Pool, capacity, RK_SIZE, "capacity"), .unit = "bytes", .doc = "size" },
    { RF(Pool, allocation, RK_SIZE, "allocation"), .unit = "bytes", .doc = "in use" },
    { RF(Pool, available, RK_SIZE, "available"), .unit = "bytes", .doc = "free" },
    { RF(Pool, host, RK_TEXT, "source/host/@name"), .doc = "server" },
    { RF(Pool, host_port, RK_TEXT, "source/host/@port"), .doc = "its port" },
    { RF(Pool, devices, RK_LIST, "source/device"), .record = &pool_device_type, .doc = "devices of the host" },
    { RF(Pool, source_dir, RK_TEXT, "source/dir/@path"), .doc = "folder on the server" },
    { RF(Pool, source_name, RK_TEXT, "source/name"), .doc = "volume group" },
    { RF(Pool, source_format, RK_TEXT, "source/format/@type"), .doc = "file system, partition table" },
    { RF(Pool, vendor, RK_TEXT, "source/vendor/@name"), .doc = "vendor" },
    { RF(Pool, product, RK_TEXT, "source/product/@name"), .doc = "product" },
    { RF(Pool, target, RK_TEXT, "target/path"), .check = check_path, .doc = "folder of the volumes" },
    { RF(Pool, permissions, RK_RECORD, "target/permissions"), .record = &permissions_type, .doc = "of that folder" },
    END
};

static bool check_pool(void *record, GError **err)
{
    Pool *p = record;
    if (!p->uuid)
        p->uuid = g_uuid_string_random();
    if (!p->target && p->type <= POOL_NETFS)
        return error_set(err, ERR_INVALID, "<pool> '%s' of type %s needs target/path, the folder of its volumes", p->name, pool_types[p->type - 1]);
    return true;
}
const RecordType pool_type = { .element = "pool", .size = sizeof(Pool), .fields = pool_fields, .check = check_pool, .doc = "a place for volumes" };

static const RecordField backing_fields[] = {
    { RF(Backing, path, RK_TEXT, "path"), .required = true, .doc = "image below" },
    { RF(Backing, format, RK_TEXT, "format/@type"), .doc = "its format" },
    { RF(Backing, permissions, RK_RECORD, "permissions"), .record = &permissions_type, .doc = "its permissions" },
    END
};
static const RecordType backing_type = { .element = "backingStore", .size = sizeof(Backing), .fields = backing_fields };

static const RecordField volume_fields[] = {
    { RF(Volume, type, RK_WORD, "@type"), .words = volume_types, .doc = "what it is on the host" },
    { RF(Volume, name, RK_TEXT, "name"), .check = check_file_name, .required = true, .doc = "name in the pool" },
    { RF(Volume, key, RK_TEXT, "key"), .doc = "name among all pools" },
    { RF(Volume, source, RK_XML, "source"), .doc = "where it lies in its pool" },
    { RF(Volume, capacity, RK_SIZE, "capacity"), .unit = "bytes", .doc = "size that a guest sees" },
    { RF(Volume, allocation, RK_SIZE, "allocation"), .unit = "bytes", .doc = "room that it takes" },
    { RF(Volume, physical, RK_SIZE, "physical"), .unit = "bytes", .doc = "size of the file" },
    { RF(Volume, path, RK_TEXT, "target/path"), .doc = "path" },
    { RF(Volume, format, RK_TEXT, "target/format/@type"), .doc = "format of the image" },
    { RF(Volume, permissions, RK_RECORD, "target/permissions"), .record = &permissions_type, .doc = "permissions" },
    { RF(Volume, atime, RK_TEXT, "target/timestamps/atime"), .doc = "last read" },
    { RF(Volume, mtime, RK_TEXT, "target/timestamps/mtime"), .doc = "last written" },
    { RF(Volume, ctime, RK_TEXT, "target/timestamps/ctime"), .doc = "last changed" },
    { RF(Volume, btime, RK_TEXT, "target/timestamps/btime"), .doc = "made" },
    { RF(Volume, encryption, RK_RECORD, "target/encryption"), .record = &encryption_record, .doc = "encryption" },
    { RF(Volume, compat, RK_TEXT, "target/compat"), .doc = "qcow2: 0.10 or 1.1" },
    { RF(Volume, nocow, RK_FLAG, "target/nocow"), .doc = "btrfs: no copy on write" },
    { RF(Volume, cluster_size, RK_SIZE, "target/clusterSize"), .unit = "b", .doc = "qcow2: cluster" },
    { RF(Volume, lazy_refcounts, RK_FLAG, "target/features/lazy_refcounts"), .doc = "qcow2: lazy refcounts" },
    { RF(Volume, extended_l2, RK_FLAG, "target/features/extended_l2"), .doc = "qcow2: subclusters" },
    { RF(Volume, backing, RK_RECORD, "backingStore"), .record = &backing_type, .doc = "image below" },
    END
};
const RecordType volume_type = { .element = "volume", .size = sizeof(Volume), .fields = volume_fields, .doc = "an image" };
