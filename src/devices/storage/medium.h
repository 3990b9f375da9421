#pragma once
#include "devices/storage/scsi.h"
/*
 * medium.h - what a user does at a drive with removable media: open the tray, take the medium out, put another in.
 *
 *     medium_open_tray(d, false, err) && medium_remove(d, &id, err) && medium_insert(d, "new-cd", err) && medium_close_tray(d, err)
 *
 * Main thread.  A guest that has locked the tray is asked to let go, and medium_open_tray() fails with ERR_BUSY; try again
 * later, or force it.
 */
typedef struct Medium {
    Disk *disk;
    ScsiUnit *unit; /* NULL: a drive without a tray */
    void (*changed)(Device *d); /* optional: the guest is to be told; with the lock of the disk held */
} Medium;

typedef struct MediumInfo {
    const char *drive; /* id of what is in it; NULL: nothing */
    bool has_tray, tray_open, locked;
} MediumInfo;

bool medium_info(Device *d, MediumInfo *ret); /* false: a device without removable media */
bool medium_open_tray(Device *d, bool force, GError **err);
bool medium_close_tray(Device *d, GError **err);
/* The tray must be open.  *ret_drive: id of the drive that is free now (caller frees), or NULL. */
bool medium_remove(Device *d, char **ret_drive, GError **err);
bool medium_insert(Device *d, const char *drive, GError **err);
