/* snapshot.c - the rows of a snapshot (https://libvirt.org/formatsnapshot.html). */
#include "schema/snapshot.h"

#include <string.h>

#include "base/error.h"

#define END { .name = NULL }

static const char *const modes[] = { "no", "internal", "external", "manual", NULL };

static const RecordField disk_fields[] = {
    { RF(SnapshotDisk, name, RK_TEXT, "@name"), .required = true, .doc = "the disk's target, or the path of its image" },
    { RF(SnapshotDisk, mode, RK_WORD, "@snapshot"), .words = modes, .doc = "how it is kept: not at all, in its own image, by going on in another one" },
    { RF(SnapshotDisk, type, RK_WORD, "@type"), .words = disk_types, .doc = "where the new image is" },
    { RF(SnapshotDisk, format, RK_TEXT, "driver/@type"), .doc = "the new image's format" },
    { RF(SnapshotDisk, file, RK_TEXT, "source/@file"), .doc = "the new image" },
    END
};
static const RecordType snapshot_disk_type = { .element = "disk", .size = sizeof(SnapshotDisk), .fields = disk_fields };

static bool check_name(const char *text, GError **err)
{
    if (*text && *text != '.' && !strpbrk(text, "/\n"))
        return true;
    return error_set(err, ERR_INVALID, "'%s' is no name for a snapshot: it may not be empty, begin with a dot, nor hold a slash or a new line", text);
}

static const RecordField fields[] = {
    { RF(Snapshot, name, RK_TEXT, "name"), .check = check_name, .doc = "name; the time where none is given" },
    { RF(Snapshot, description, RK_TEXT, "description"), .doc = "description" },
    { RF(Snapshot, state, RK_TEXT, "state"), .doc = "the machine then: running, paused, shutoff; disk-snapshot: its disks alone were kept" },
    { RF(Snapshot, parent, RK_TEXT, "parent/name"), .doc = "the snapshot that it came after" },
    { RF(Snapshot, created, RK_UINT, "creationTime"), .doc = "seconds since 1970" },
    { RF(Snapshot, memory, RK_TEXT, "memory/@snapshot"), .doc = "no, internal, external" },
    { RF(Snapshot, memory_file, RK_TEXT, "memory/@file"), .doc = "where the memory is" },
    { RF(Snapshot, disks, RK_LIST, "disks/disk"), .record = &snapshot_disk_type },
    { RF(Snapshot, domain, RK_RECORD, "domain"), .record = &domain_type },
    { RF(Snapshot, current, RK_UINT, "active"), .max = 1, .live = true, .doc = "1: the machine's state comes from it" },
    END
};
const RecordType snapshot_type = { .element = "domainsnapshot", .size = sizeof(Snapshot), .fields = fields, .doc = "a snapshot" };
