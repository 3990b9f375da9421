/* handlers_volume.c - what is asked of volumes, and their bytes up and down. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/pool.h"

enum { RESIZE_DELTA = 2, RESIZE_SHRINK = 4 };

static guint64 known(uint64_t bytes) { return bytes == RECORD_NONE ? 0 : bytes; }

static void volume_create(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_autoptr(GError) err = NULL;
    ManagedPool *p = pool_of_call(c, call, args), *other = NULL;
    if (!p)
        return;
    g_variant_get_child(args, 1, "&s", &xml);
    const Volume *from = NULL;
    if (g_variant_n_children(args) == 4) { /* CREATE_XML_FROM */
        g_autoptr(GVariant) handle = g_variant_get_child_value(args, 2), alone = g_variant_ref_sink(g_variant_new_tuple(&handle, 1));
        if (!(from = volume_of_call(c, call, alone, &other)))
            return;
    }
    Volume *v = record_read_xml(&volume_type, xml, 0, NULL, &err);
    if (!v) {
        rpc_fail(call, RPC_ERR_XML_ERROR, "%s", err->message);
    } else if (v->capacity == RECORD_NONE && !from && !v->backing) {
        rpc_fail(call, RPC_ERR_XML_ERROR, "<volume> '%s' needs capacity", v->name);
        record_free(v);
    } else {
        volume_job(p, VOLUME_CREATE, v, from, 0, call);
    }
}

static void volume_simple(Client *c, RpcCall *call, GVariant *args, VolumeVerb verb)
{
    ManagedPool *p;
    Volume *v = volume_of_call(c, call, args, &p);
    if (v)
        volume_job(p, verb, record_copy(v), NULL, 0, call);
}

static void volume_delete(Client *c, RpcCall *call, GVariant *args) { volume_simple(c, call, args, VOLUME_REMOVE); }
static void volume_wipe(Client *c, RpcCall *call, GVariant *args) { volume_simple(c, call, args, VOLUME_WIPE); }

static void volume_resize(Client *c, RpcCall *call, GVariant *args)
{
    guint64 bytes;
    guint flags;
    ManagedPool *p;
    Volume *v = volume_of_call(c, call, args, &p);
    if (!v)
        return;
    g_variant_get(args, "(@(sss)tu)", NULL, &bytes, &flags);
    if (flags & RESIZE_DELTA)
        bytes = flags & RESIZE_SHRINK ? v->capacity - MIN(bytes, v->capacity) : v->capacity + bytes;
    if (bytes < v->capacity && !(flags & RESIZE_SHRINK))
        rpc_fail(call, RPC_ERR_INVALID_ARG, "volume '%s' has %" G_GUINT64_FORMAT " bytes: --shrink makes it smaller, and what is behind is lost", v->name, v->capacity);
    else
        volume_job(p, VOLUME_RESIZE, record_copy(v), NULL, bytes, call);
}

static void volume_lookup_name(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    ManagedPool *p = pool_of_call(c, call, args);
    if (!p)
        return;
    g_variant_get_child(args, 1, "&s", &name);
    const Volume *v = pool_volume(p, name);
    if (v)
        rpc_reply(call, g_variant_new("(@(sss))", volume_handle(p, v)));
    else
        rpc_fail(call, RPC_ERR_NO_STORAGE_VOL, "Storage volume not found: no storage vol with matching name '%s'", name);
}

/* Key and path are the same here. */
static void volume_lookup_path(Client *c, RpcCall *call, GVariant *args)
{
    const char *path;
    g_variant_get(args, "(&s)", &path);
    GHashTableIter i;
    gpointer pool;
    g_hash_table_iter_init(&i, c->realm->pools);
    while (g_hash_table_iter_next(&i, NULL, &pool)) {
        const ManagedPool *p = pool;
        for (guint n = 0; n < p->volumes->len; n++)
            if (!strcmp(((Volume *)p->volumes->pdata[n])->path, path)) {
                rpc_reply(call, g_variant_new("(@(sss))", volume_handle(p, p->volumes->pdata[n])));
                return;
            }
    }
    rpc_fail(call, RPC_ERR_NO_STORAGE_VOL, "Storage volume not found: no storage vol with matching path '%s'", path);
}

static void volume_info(Client *c, RpcCall *call, GVariant *args)
{
    ManagedPool *p;
    const Volume *v = volume_of_call(c, call, args, &p);
    if (v)
        rpc_reply(call, g_variant_new("(itt)", (int)v->type - 1, known(v->capacity), known(v->allocation)));
}

static void volume_xml(Client *c, RpcCall *call, GVariant *args)
{
    ManagedPool *p;
    const Volume *v = volume_of_call(c, call, args, &p);
    g_autofree char *xml = v ? record_write_xml(v, 0) : NULL;
    if (v)
        rpc_reply(call, g_variant_new("(s)", xml));
}

static void volume_path(Client *c, RpcCall *call, GVariant *args)
{
    ManagedPool *p;
    const Volume *v = volume_of_call(c, call, args, &p);
    if (v)
        rpc_reply(call, g_variant_new("(s)", v->path));
}

/* ---- bytes up and down */
static void transfer(Client *c, RpcCall *call, GVariant *args, bool up)
{
    guint64 offset, length;
    g_autoptr(GError) err = NULL;
    ManagedPool *p;
    const Volume *v = volume_of_call(c, call, args, &p);
    if (!v)
        return;
    g_variant_get(args, "(@(sss)ttu)", NULL, &offset, &length, NULL);
    if (c->realm->in_memory)
        rpc_fail(call, RPC_ERR_OPERATION_UNSUPPORTED, "volumes of test:///default hold no bytes");
    else if (!transfer_start(call, p, v->path, up, offset, length, &err))
        rpc_fail_error(call, err);
}

static void upload(Client *c, RpcCall *call, GVariant *args) { transfer(c, call, args, true); }
static void download(Client *c, RpcCall *call, GVariant *args) { transfer(c, call, args, false); }

const Handler volume_handlers[] = {
    { "STORAGE_VOL_CREATE_XML", volume_create },
    { "STORAGE_VOL_CREATE_XML_FROM", volume_create },
    { "STORAGE_VOL_DELETE", volume_delete },
    { "STORAGE_VOL_WIPE", volume_wipe },
    { "STORAGE_VOL_WIPE_PATTERN", volume_wipe },
    { "STORAGE_VOL_RESIZE", volume_resize },
    { "STORAGE_VOL_LOOKUP_BY_NAME", volume_lookup_name },
    { "STORAGE_VOL_LOOKUP_BY_PATH", volume_lookup_path },
    { "STORAGE_VOL_LOOKUP_BY_KEY", volume_lookup_path },
    { "STORAGE_VOL_GET_INFO", volume_info },
    { "STORAGE_VOL_GET_INFO_FLAGS", volume_info },
    { "STORAGE_VOL_GET_XML_DESC", volume_xml },
    { "STORAGE_VOL_GET_PATH", volume_path },
    { "STORAGE_VOL_UPLOAD", upload },
    { "STORAGE_VOL_DOWNLOAD", download },
    { NULL },
};
