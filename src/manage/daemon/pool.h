#pragma once
#include "manage/daemon/daemon_inside.h"
#include "manage/storage/store.h"
/* pool.h - storage pools as the daemon has them.  `volumes` is what the last look found; a look is a job in the pool's lane. */
typedef struct ManagedPool {
    gatomicrefcount refs;
    Realm *realm;
    Pool *def;
    bool active, persistent, autostart, gone;
    GPtrArray *volumes; /* Volume; never NULL */
    Lane *lane;
    const StoreDriver *driver;
    int watch; /* inotify; -1: none */
    guint watch_source, look_timer;
} ManagedPool;

ManagedPool *pool_ref(ManagedPool *p);
void pool_unref(ManagedPool *p);
ManagedPool *pool_add(Realm *r, Pool *def, bool persistent); /* takes the definition */
void pool_remove(ManagedPool *p);
ManagedPool *pool_by_name(const Realm *r, const char *name);
ManagedPool *pool_by_uuid(const Realm *r, const char *uuid);
GVariant *pool_handle(const ManagedPool *p);
GVariant *volume_handle(const ManagedPool *p, const Volume *v);
Volume *pool_volume(const ManagedPool *p, const char *name); /* NULL: there is none */
/* The pool, or the volume, that a call's first argument names; NULL: answered with an error. */
ManagedPool *pool_of_call(Client *c, RpcCall *call, GVariant *args);
Volume *volume_of_call(Client *c, RpcCall *call, GVariant *args, ManagedPool **ret_pool);
bool pool_define(Realm *r, const char *xml, bool persistent, ManagedPool **ret, GError **err);
bool pool_undefine(ManagedPool *p, GError **err);
bool pool_set_autostart(ManagedPool *p, bool on, GError **err);
void pool_event(ManagedPool *p, int event);
void pool_refreshed(ManagedPool *p);
void pools_load(Daemon *d);

/* ---- jobs; each answers the call, which may be NULL */
typedef enum PoolVerb { POOL_START, POOL_STOP, POOL_BUILD, POOL_REFRESH, POOL_DELETE } PoolVerb;
void pool_job(ManagedPool *p, PoolVerb verb, bool with_handle, RpcCall *call);
typedef enum VolumeVerb { VOLUME_CREATE, VOLUME_REMOVE, VOLUME_RESIZE, VOLUME_WIPE } VolumeVerb;
/* CREATE takes `v`, and copies `from`; the others have names only, and look again when their turn comes. */
void volume_job(ManagedPool *p, VolumeVerb verb, Volume *v, const Volume *from, uint64_t bytes, RpcCall *call);
/* Bytes of a file up or down as the call's stream, by a thread of its own (transfer.c); answers the call where it returns true.  length 0: all. */
bool transfer_start(RpcCall *call, ManagedPool *p, const char *path, bool up, guint64 offset, guint64 length, GError **err);
/* ---- pool_watch.c: looks again by itself when something has changed in the folder of an active pool */
void pool_watch(ManagedPool *p);
void pool_unwatch(ManagedPool *p);
/* ---- pool_memory.c: of a realm in memory */
void pool_memory_found(Pool *def);
void pool_memory_volume(ManagedPool *p, VolumeVerb verb, Volume *v, const Volume *from, uint64_t bytes);
