#pragma once
#include <gio/gio.h>
#include <stdbool.h>

#include "schema/storage.h"
/*
 * store.h - what pools are made of, behind one interface.  Functions may block and run on workers; images are opened by a
 * process of their own (atoll-img), so that what is in a stranger's image cannot hurt the daemon.
 */
typedef struct StoreDriver {
    PoolType type;
    const char *summary;
    bool (*build)(const Pool *p, GError **err);           /* makes what is not there */
    bool (*start)(const Pool *p, GError **err);           /* looks whether it is there */
    bool (*stop)(const Pool *p, GError **err);            /* may be NULL: nothing to do */
    bool (*delete)(const Pool *p, GError **err);          /* only when it is empty */
    /* Volume records; sizes of the pool itself are set in `p`. */
    bool (*refresh)(Pool *p, const char *tool, GPtrArray **ret_volumes, GError **err);
    /* `v` gets path and key.  `from`: the volume that is copied, or NULL; `secret`: the passphrase of its encryption in base64, or
     * NULL.  Nothing is left of what fails. */
    bool (*create)(const Pool *p, const char *tool, Volume *v, const Volume *from, const char *secret, GCancellable *cancel, GError **err);
    bool (*remove)(const Pool *p, const Volume *v, GError **err);
    bool (*resize)(const Pool *p, const char *tool, const Volume *v, uint64_t bytes, GError **err);
    bool (*wipe)(const Pool *p, const Volume *v, GCancellable *cancel, GError **err);
} StoreDriver;

extern const StoreDriver dir_store, fs_store, netfs_store, logical_store, disk_store;
const StoreDriver *store_driver(PoolType type); /* NULL: there is none */
/* Format, sizes and backing image of a file as a volume; `tool` is atoll-img. */
Volume *volume_probe(const char *tool, const char *path, GError **err);
bool store_wipe(const Pool *p, const Volume *v, GCancellable *cancel, GError **err); /* zeros, by its path */
