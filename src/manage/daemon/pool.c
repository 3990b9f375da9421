/* pool.c - storage pools: by name and UUID, on disk, and the jobs that work on them. */
#include "manage/daemon/pool.h"

#include <string.h>

#include "base/error.h"
#include "manage/daemon/secret.h"
#include "manage/storage/plan.h"

enum { POOL_EVENT_DEFINED, POOL_EVENT_UNDEFINED, POOL_EVENT_STARTED, POOL_EVENT_STOPPED, POOL_EVENT_CREATED, POOL_EVENT_DELETED };

ManagedPool *pool_ref(ManagedPool *p)
{
    g_atomic_ref_count_inc(&p->refs);
    return p;
}

void pool_unref(ManagedPool *p)
{
    if (!g_atomic_ref_count_dec(&p->refs))
        return;
    record_free(p->def);
    g_ptr_array_unref(p->volumes);
    g_free(p);
}

ManagedPool *pool_add(Realm *r, Pool *def, bool persistent)
{
    ManagedPool *p = g_new0(ManagedPool, 1);
    g_atomic_ref_count_init(&p->refs);
    p->realm = r;
    p->def = def;
    p->persistent = persistent;
    p->driver = store_driver(def->type);
    p->volumes = g_ptr_array_new_with_free_func(record_free);
    p->lane = lane_new(r->daemon->lanes);
    p->watch = -1;
    g_hash_table_insert(r->pools, def->name, p);
    return p;
}

void pool_remove(ManagedPool *p)
{
    if (p->gone)
        return;
    p->gone = true;
    pool_unwatch(p);
    lane_free(g_steal_pointer(&p->lane));
    g_hash_table_remove(p->realm->pools, p->def->name);
}

ManagedPool *pool_by_name(const Realm *r, const char *name) { return g_hash_table_lookup(r->pools, name); }

ManagedPool *pool_by_uuid(const Realm *r, const char *uuid)
{
    GHashTableIter i;
    gpointer p;
    g_hash_table_iter_init(&i, r->pools);
    while (g_hash_table_iter_next(&i, NULL, &p))
        if (!strcmp(((ManagedPool *)p)->def->uuid, uuid))
            return p;
    return NULL;
}

GVariant *pool_handle(const ManagedPool *p) { return g_variant_new("(ss)", p->def->name, p->def->uuid); }
GVariant *volume_handle(const ManagedPool *p, const Volume *v) { return g_variant_new("(sss)", p->def->name, v->name, v->key); }

Volume *pool_volume(const ManagedPool *p, const char *name)
{
    for (guint i = 0; i < p->volumes->len; i++)
        if (!strcmp(((Volume *)p->volumes->pdata[i])->name, name))
            return p->volumes->pdata[i];
    return NULL;
}

ManagedPool *pool_of_call(Client *c, RpcCall *call, GVariant *args)
{
    const char *name, *uuid;
    g_autoptr(GVariant) handle = g_variant_get_child_value(args, 0);
    g_variant_get(handle, "(&s&s)", &name, &uuid);
    ManagedPool *p = pool_by_name(c->realm, name);
    if (!p)
        rpc_fail(call, RPC_ERR_NO_STORAGE_POOL, "no storage pool with matching name '%s' (%s)", name, uuid);
    return p;
}

Volume *volume_of_call(Client *c, RpcCall *call, GVariant *args, ManagedPool **ret_pool)
{
    const char *pool, *name;
    g_autoptr(GVariant) handle = g_variant_get_child_value(args, 0);
    g_variant_get(handle, "(&s&s&s)", &pool, &name, NULL);
    ManagedPool *p = pool_by_name(c->realm, pool);
    Volume *v = p && p->active ? pool_volume(p, name) : NULL;
    if (!p)
        rpc_fail(call, RPC_ERR_NO_STORAGE_POOL, "no storage pool with matching name '%s'", pool);
    else if (!p->active)
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is not active: `pool-start %s`", pool, pool);
    else if (!v)
        rpc_fail(call, RPC_ERR_NO_STORAGE_VOL, "no storage volume with matching name '%s' in pool '%s'", name, pool);
    *ret_pool = p;
    return v;
}

/* ---- definitions */
static char *folder_of(const Realm *r, const char *name) { return g_build_filename(r->daemon->config_dir, name, NULL); }

static bool two_of_a_target(const Realm *r, const Pool *def, GError **err)
{
    GHashTableIter i;
    gpointer p;
    g_hash_table_iter_init(&i, r->pools);
    while (g_hash_table_iter_next(&i, NULL, &p)) {
        const Pool *other = ((ManagedPool *)p)->def;
        g_autofree char *ours = store_target(def), *theirs = store_target(other);
        if (strcmp(other->name, def->name) && def->type != POOL_DISK && !g_strcmp0(theirs, ours))
            return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "operation failed: pool '%s' has the folder '%s' already", other->name, ours);
        if (strcmp(other->name, def->name) && !strcmp(other->uuid, def->uuid))
            return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "operation failed: pool '%s' is already defined with uuid %s", other->name, def->uuid);
    }
    return true;
}

static Pool *pool_read(const Realm *r, const char *xml, GError **err)
{
    Pool *def = record_read_xml(&pool_type, xml, 0, NULL, err);
    bool ok = def && two_of_a_target(r, def, err);
    if (ok && !store_driver(def->type))
        ok = rpc_error_set(err, RPC_ERR_NO_SUPPORT, "pools of type '%s' are not built; dir, fs, netfs, logical and disk are", pool_types[def->type - 1]);
    if (!ok)
        g_clear_pointer((void **)&def, record_free);
    if (ok && !def->target)
        def->target = store_target(def);
    return def;
}

bool pool_define(Realm *r, const char *xml, bool persistent, ManagedPool **ret, GError **err)
{
    Pool *def = pool_read(r, xml, err);
    ManagedPool *old = def ? pool_by_name(r, def->name) : NULL;
    g_autofree char *folder = folder_of(r, "pools"), *text = def ? record_write_xml(def, 0) : NULL;
    bool ok = def;
    if (old && old->active)
        ok = rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is active: `pool-destroy %s` first, its volumes stay", def->name, def->name);
    ok = ok && (!persistent || r->in_memory || store_write(folder, def->name, text, err));
    if (!ok) {
        record_free(def);
        return false;
    }
    if (old)
        pool_remove(old);
    *ret = pool_add(r, def, persistent);
    pool_event(*ret, POOL_EVENT_DEFINED);
    return true;
}

bool pool_undefine(ManagedPool *p, GError **err)
{
    g_autofree char *pools = folder_of(p->realm, "pools"), *autostart = folder_of(p->realm, "pools/autostart");
    if (p->active)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is still active: `pool-destroy %s` first", p->def->name, p->def->name);
    if (!p->realm->in_memory && (!store_remove(autostart, p->def->name, err) || !store_remove(pools, p->def->name, err)))
        return false;
    pool_event(p, POOL_EVENT_UNDEFINED);
    pool_remove(p);
    return true;
}

bool pool_set_autostart(ManagedPool *p, bool on, GError **err)
{
    g_autofree char *folder = folder_of(p->realm, "pools/autostart");
    if (!p->persistent)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is transient: it cannot start by itself", p->def->name);
    if (!p->realm->in_memory && !(on ? store_write(folder, p->def->name, "<autostart/>\n", err) : store_remove(folder, p->def->name, err)))
        return false;
    p->autostart = on;
    return true;
}

static void load_pool(const char *name, const char *text, void *opaque)
{
    Daemon *d = opaque;
    g_autoptr(GError) err = NULL;
    Pool *def = pool_read(d->machines, text, &err);
    if (def)
        pool_add(d->machines, def, true);
    else
        g_warning("the definition of pool '%s' cannot be read, and is left as it is: %s", name, err->message);
}

static void load_autostart(const char *name, const char *text, void *opaque)
{
    ManagedPool *p = pool_by_name(((Daemon *)opaque)->machines, name);
    if (!p)
        return;
    p->autostart = true;
    pool_job(p, POOL_START, false, NULL);
}

void pools_load(Daemon *d)
{
    g_autofree char *pools = folder_of(d->machines, "pools"), *autostart = folder_of(d->machines, "pools/autostart");
    store_each(pools, load_pool, d);
    store_each(autostart, load_autostart, d);
}

/* ---- jobs of a pool */
typedef struct PoolJob {
    ManagedPool *pool;
    PoolVerb verb;
    RpcCall *call;
    bool with_handle;
    Pool *def; /* a copy for the worker */
    GPtrArray *found;
} PoolJob;

static bool pool_begin(Job *j, GError **err)
{
    PoolJob *w = j->data;
    const char *name = w->pool->def->name;
    w->def = record_copy(w->pool->def);
    if (w->verb == POOL_REFRESH && !w->pool->active)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is not active: `pool-start %s`", name, name);
    if (w->verb == POOL_START && w->pool->active)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is already active", name);
    if (w->verb == POOL_STOP && !w->pool->active)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is not active", name);
    if (w->verb == POOL_DELETE && w->pool->active)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is still active: `pool-destroy %s` first", name, name);
    return true;
}

static bool pool_run(Job *j, GError **err)
{
    PoolJob *w = j->data;
    const StoreDriver *s = w->pool->driver;
    const char *tool = w->pool->realm->daemon->image_tool;
    if (w->pool->realm->in_memory) {
        pool_memory_found(w->def);
        return true;
    }
    switch (w->verb) {
    case POOL_BUILD:
        return s->build(w->def, err);
    case POOL_DELETE:
        return s->delete(w->def, err);
    case POOL_STOP:
        return !s->stop || s->stop(w->def, err);
    case POOL_START:
        return s->start(w->def, err) && s->refresh(w->def, tool, &w->found, err);
    default:
        return s->refresh(w->def, tool, &w->found, err);
    }
}

/* found NULL: in memory, where the volumes are as they are. */
static void take_found(ManagedPool *p, Pool *def, GPtrArray *found)
{
    if (found) {
        g_ptr_array_unref(p->volumes);
        p->volumes = g_ptr_array_ref(found);
    }
    p->def->capacity = def->capacity;
    p->def->allocation = def->allocation;
    p->def->available = def->available;
}

static void stopped(ManagedPool *p)
{
    p->active = false;
    pool_unwatch(p);
    g_ptr_array_unref(p->volumes);
    p->volumes = g_ptr_array_new_with_free_func(record_free);
    pool_event(p, POOL_EVENT_STOPPED);
    if (!p->persistent)
        pool_remove(p);
}

static void pool_done(Job *j, GError *err)
{
    PoolJob *w = j->data;
    ManagedPool *p = w->pool;
    bool looked = w->verb == POOL_START || w->verb == POOL_REFRESH;
    if (!err && looked && !p->gone) {
        take_found(p, w->def, w->found);
        if (w->verb == POOL_START) {
            p->active = true;
            pool_event(p, POOL_EVENT_STARTED);
            pool_watch(p);
        } else {
            pool_refreshed(p);
        }
    } else if (!err && w->verb == POOL_STOP && !p->gone) {
        stopped(p);
    } else if (err && w->verb == POOL_START && !p->persistent && !p->gone) {
        pool_remove(p);
    }
    if (w->call && err)
        rpc_fail_error(w->call, err);
    else if (w->call)
        rpc_reply(w->call, w->with_handle ? g_variant_new("(@(ss))", pool_handle(p)) : NULL);
    else if (err && w->verb == POOL_START)
        g_warning("pool '%s' does not start: %s", p->def->name, err->message);
    else if (err)
        g_info("pool '%s': %s", p->def->name, err->message);
    if (w->found)
        g_ptr_array_unref(w->found);
    record_free(w->def);
    pool_unref(p);
    g_free(w);
}

void pool_job(ManagedPool *p, PoolVerb verb, bool with_handle, RpcCall *call)
{
    static const JobType type = { "pool", pool_begin, pool_run, pool_done };
    PoolJob *w = g_new0(PoolJob, 1);
    *w = (PoolJob){ .pool = pool_ref(p), .verb = verb, .call = call, .with_handle = with_handle };
    lane_push(p->lane, &type, w);
}

/* ---- jobs of a volume */
typedef struct VolumeJob {
    ManagedPool *pool;
    VolumeVerb verb;
    RpcCall *call;
    Volume *volume, *from;
    char *secret; /* CREATE: the passphrase, in base64 */
    uint64_t bytes;
    Pool *def;
    GPtrArray *found;
} VolumeJob;

static bool find_secret(VolumeJob *w, GError **err)
{
    const Volume *v = w->volume;
    if (w->verb != VOLUME_CREATE || !v->encryption || w->pool->realm->in_memory)
        return true;
    g_autofree char *what = g_strdup_printf("volume '%s'", v->name);
    const ManagedSecret *s = secret_of_image(w->pool->realm, v->encryption, v->format, what, err);
    w->secret = s ? g_base64_encode(s->value, s->bytes) : NULL;
    return s;
}

static bool volume_begin(Job *j, GError **err)
{
    VolumeJob *w = j->data;
    const Volume *there = pool_volume(w->pool, w->volume->name);
    w->def = record_copy(w->pool->def);
    if (!w->pool->active)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is not active: `pool-start %s`", w->def->name, w->def->name);
    if (w->verb == VOLUME_CREATE && there)
        return rpc_error_set(err, RPC_ERR_STORAGE_VOL_EXIST, "storage volume '%s' exists already in pool '%s'", w->volume->name, w->def->name);
    if (w->verb != VOLUME_CREATE && !there)
        return rpc_error_set(err, RPC_ERR_NO_STORAGE_VOL, "storage volume '%s' is gone", w->volume->name);
    if (w->verb == VOLUME_RESIZE && there->encryption)
        return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "storage volume '%s' is encrypted: `atoll-img resize` changes its size, with --object secret", w->volume->name);
    return find_secret(w, err);
}

static bool volume_run(Job *j, GError **err)
{
    VolumeJob *w = j->data;
    const StoreDriver *s = w->pool->driver;
    const char *tool = w->pool->realm->daemon->image_tool;
    bool ok = false;
    if (w->pool->realm->in_memory)
        return true;
    switch (w->verb) {
    case VOLUME_CREATE:
        ok = s->create(w->def, tool, w->volume, w->from, w->secret, j->cancel, err);
        break;
    case VOLUME_REMOVE:
        ok = s->remove(w->def, w->volume, err);
        break;
    case VOLUME_RESIZE:
        ok = s->resize(w->def, tool, w->volume, w->bytes, err);
        break;
    case VOLUME_WIPE:
        ok = s->wipe(w->def, w->volume, j->cancel, err);
        break;
    }
    return ok && s->refresh(w->def, tool, &w->found, err);
}

static void volume_done(Job *j, GError *err)
{
    VolumeJob *w = j->data;
    if (w->found && !w->pool->gone)
        take_found(w->pool, w->def, w->found);
    if (!err && w->pool->realm->in_memory)
        pool_memory_volume(w->pool, w->verb, w->volume, w->from, w->bytes);
    if (err)
        rpc_fail_error(w->call, err);
    else
        rpc_reply(w->call, w->verb == VOLUME_CREATE ? g_variant_new("(@(sss))", volume_handle(w->pool, w->volume)) : NULL);
    if (w->found)
        g_ptr_array_unref(w->found);
    if (w->secret)
        explicit_bzero(w->secret, strlen(w->secret));
    g_free(w->secret);
    record_free(w->volume);
    record_free(w->from);
    record_free(w->def);
    pool_unref(w->pool);
    g_free(w);
}

void volume_job(ManagedPool *p, VolumeVerb verb, Volume *v, const Volume *from, uint64_t bytes, RpcCall *call)
{
    static const JobType type = { "volume", volume_begin, volume_run, volume_done };
    VolumeJob *w = g_new0(VolumeJob, 1);
    *w = (VolumeJob){ .pool = pool_ref(p), .verb = verb, .call = call, .volume = v, .from = from ? record_copy(from) : NULL, .bytes = bytes };
    lane_push(p->lane, &type, w);
}
