#pragma once
#include "manage/daemon/change.h"
#include "schema/snapshot.h"
/*
 * snapshot.h - the snapshots of a domain: a tree of documents, each a file of its own in CONFIG/snapshots/UUID.
 *
 * An external snapshot's <domain> names the images as they stay; what is written later is in an image above.  The images above one are those
 * that its children's <domain>s name, and the machine's own if it goes on from there: so the tree says what stands on what.
 */
void snapshots_load(ManagedDomain *d);
void snapshots_free(ManagedDomain *d);
Snapshot *snapshot_by_name(const ManagedDomain *d, const char *name); /* NULL: none; name may be NULL */
Snapshot *snapshot_current(const ManagedDomain *d);
guint snapshots_count(const ManagedDomain *d);
/* Parents before children; elements are the domain's, the array is the caller's.  `under` NULL: all; else its children, with all below if `deep`. */
GPtrArray *snapshots_listed(const ManagedDomain *d, const char *under, bool deep);
bool snapshot_write(const ManagedDomain *d, const Snapshot *s, GError **err);
/* Takes it, writes it; it becomes the current one if `current`. */
bool snapshot_add(ManagedDomain *d, Snapshot *s, bool current, GError **err);
/* Forgets it; its children become its parent's. */
bool snapshot_drop(ManagedDomain *d, Snapshot *s, GError **err);
bool snapshot_set_current(ManagedDomain *d, Snapshot *s, GError **err); /* NULL: none */
const SnapshotDisk *snapshot_disk(const Snapshot *s, const char *target);
/* handlers_snapshot.c */
bool snapshots_forget(ManagedDomain *d, GError **err); /* all documents; images stay */
