#pragma once
#include "manage/daemon/daemon_inside.h"
/*
 * saved.h - files of saved machines: a head, the definition as XML with room to grow, and from `offset` on what the machine's
 * driver has sent (for atoll-vm: migration/stream.h of vmm).  Numbers are little-endian.
 *
 * A file counts once its head says that it is complete, which is written last.
 */
typedef struct SavedHead {
    bool running;  /* how it is to go on */
    uint64_t offset;
    char *xml;     /* a record, with what only a running machine has; the owner frees */
} SavedHead;

/* Leaves fd at the place of the machine's state; not complete yet. */
bool saved_begin(int fd, const char *xml, bool running, GError **err);
bool saved_complete(int fd, GError **err); /* and on the disk */
/* Opens the file and leaves it at the state; -1 and an error that names it.  ret->xml is the caller's. */
int saved_open(const char *path, bool write, SavedHead *ret, GError **err);
/* Another definition, or another way to go on, of a file that saved_open() has opened to write. */
bool saved_change(int fd, const char *path, const SavedHead *head, GError **err);

/* The definition that a file has, or the text `instead` of it; NULL and an error. */
Domain *saved_definition(const Realm *r, const SavedHead *head, const char *instead, GError **err);

/* ---- of a domain: state_dir/save/NAME.save */
char *managed_save_path(const ManagedDomain *d);
bool managed_save_exists(const ManagedDomain *d);
bool managed_save_remove(const ManagedDomain *d, GError **err);
