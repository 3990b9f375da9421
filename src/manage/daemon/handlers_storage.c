/* handlers_storage.c - pools and volumes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/pool.h"

enum { STATE_INACTIVE = 0, STATE_RUNNING = 2 }; /* virStoragePoolState */
enum { LIST_INACTIVE = 1, LIST_ACTIVE = 2, LIST_PERSISTENT = 4, LIST_TRANSIENT = 8, LIST_AUTOSTART = 16, LIST_NO_AUTOSTART = 32, LIST_FIRST_TYPE = 64 };
enum { RESIZE_DELTA = 2, RESIZE_SHRINK = 4, CREATE_WITH_BUILD = 1 };

static void end(RpcCall *call, const GError *err)
{
    if (err)
        rpc_fail_error(call, err);
    else
        rpc_reply(call, NULL);
}

void pool_event(ManagedPool *p, int event)
{
    const Procedure *row = procedure_named("STORAGE_POOL_EVENT_LIFECYCLE");
    GHashTableIter i;
    gpointer client;
    g_hash_table_iter_init(&i, p->realm->daemon->clients);
    while (g_hash_table_iter_next(&i, &client, NULL)) {
        Client *c = client;
        for (guint n = 0; c->realm == p->realm && c->subscriptions && n < c->subscriptions->len; n++) {
            const Subscription *s = &g_array_index(c->subscriptions, Subscription, n);
            if (s->class == SUBSCRIBE_POOL && s->event == 0)
                rpc_event(c->connection, row, g_variant_new("(i@(ss)ii)", s->callback, pool_handle(p), event, 0));
        }
    }
}

/* ---- lists */
static bool is_listed(const ManagedPool *p, unsigned flags)
{
    unsigned bits = (p->active ? LIST_ACTIVE : LIST_INACTIVE) | (p->persistent ? LIST_PERSISTENT : LIST_TRANSIENT) | (p->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART) |
                    LIST_FIRST_TYPE << (p->def->type - 1);
    static const unsigned groups[] = { LIST_ACTIVE | LIST_INACTIVE, LIST_PERSISTENT | LIST_TRANSIENT, LIST_AUTOSTART | LIST_NO_AUTOSTART, ~(LIST_FIRST_TYPE - 1u) };
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++)
        if ((flags & groups[i]) && !(flags & groups[i] & bits))
            return false;
    return true;
}

static int by_name(gconstpointer a, gconstpointer b) { return strcmp((*(ManagedPool *const *)a)->def->name, (*(ManagedPool *const *)b)->def->name); }

static GPtrArray *listed(const Realm *r, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter i;
    gpointer p;
    g_hash_table_iter_init(&i, r->pools);
    while (g_hash_table_iter_next(&i, NULL, &p))
        if (is_listed(p, flags))
            g_ptr_array_add(list, p);
    g_ptr_array_sort(list, by_name);
    return list;
}

static void list_all(Client *c, RpcCall *call, GVariant *args)
{
    int wanted;
    guint flags;
    g_variant_get(args, "(iu)", &wanted, &flags);
    g_autoptr(GPtrArray) list = listed(c->realm, flags);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(ss)"));
    for (guint i = 0; wanted && i < list->len; i++)
        g_variant_builder_add_value(&b, pool_handle(list->pdata[i]));
    rpc_reply(call, g_variant_new("(a(ss)u)", &b, list->len));
}

static void count(Client *c, RpcCall *call, unsigned flags)
{
    g_autoptr(GPtrArray) list = listed(c->realm, flags);
    rpc_reply(call, g_variant_new("(i)", (int)list->len));
}

static void num_active(Client *c, RpcCall *call, GVariant *args) { count(c, call, LIST_ACTIVE); }
static void num_inactive(Client *c, RpcCall *call, GVariant *args) { count(c, call, LIST_INACTIVE); }

static void list_volumes(Client *c, RpcCall *call, GVariant *args)
{
    ManagedPool *p = pool_of_call(c, call, args);
    if (!p)
        return;
    int wanted;
    g_variant_get_child(args, 1, "i", &wanted);
    bool names = !strcmp(rpc_call_procedure(call)->name, "STORAGE_POOL_LIST_VOLUMES");
    GVariantBuilder b;
    g_variant_builder_init(&b, names ? G_VARIANT_TYPE("as") : G_VARIANT_TYPE("a(sss)"));
    for (guint i = 0; i < p->volumes->len && (names ? (int)i < wanted : wanted); i++)
        g_variant_builder_add_value(&b, names ? g_variant_new_string(((Volume *)p->volumes->pdata[i])->name) : volume_handle(p, p->volumes->pdata[i]));
    rpc_reply(call, names ? g_variant_new("(as)", &b) : g_variant_new("(a(sss)u)", &b, p->volumes->len));
}

/* ---- pools */
static void reply_pool(RpcCall *call, const ManagedPool *p, const char *kind, const char *key)
{
    if (p)
        rpc_reply(call, g_variant_new("(@(ss))", pool_handle(p)));
    else
        rpc_fail(call, RPC_ERR_NO_STORAGE_POOL, "Storage pool not found: no storage pool with matching %s '%s'", kind, key);
}

static void lookup_name(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_variant_get(args, "(&s)", &name);
    reply_pool(call, pool_by_name(c->realm, name), "name", name);
}

static void lookup_uuid(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_variant_get(args, "(&s)", &uuid);
    reply_pool(call, pool_by_uuid(c->realm, uuid), "uuid", uuid);
}

static void lookup_target(Client *c, RpcCall *call, GVariant *args)
{
    const char *path;
    g_variant_get(args, "(&s)", &path);
    g_autoptr(GPtrArray) list = listed(c->realm, 0);
    for (guint i = 0; i < list->len; i++)
        if (!g_strcmp0(((ManagedPool *)list->pdata[i])->def->target, path)) {
            reply_pool(call, list->pdata[i], "path", path);
            return;
        }
    reply_pool(call, NULL, "path", path);
}

static void lookup_volume(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_variant_get(args, "((&s&s&s))", &name, NULL, NULL);
    reply_pool(call, pool_by_name(c->realm, name), "name", name);
}

static void define(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_autoptr(GError) err = NULL;
    ManagedPool *p;
    g_variant_get_child(args, 0, "&s", &xml);
    if (pool_define(c->realm, xml, true, &p, &err))
        rpc_reply(call, g_variant_new("(@(ss))", pool_handle(p)));
    else
        rpc_fail(call, err->domain == RPC_ERROR ? (RpcError)err->code : RPC_ERR_XML_ERROR, "%s", err->message);
}

static void create_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    guint flags;
    g_autoptr(GError) err = NULL;
    ManagedPool *p;
    g_variant_get(args, "(&su)", &xml, &flags);
    if (!pool_define(c->realm, xml, false, &p, &err)) {
        rpc_fail(call, err->domain == RPC_ERROR ? (RpcError)err->code : RPC_ERR_XML_ERROR, "%s", err->message);
        return;
    }
    if (flags & CREATE_WITH_BUILD)
        pool_job(p, POOL_BUILD, false, NULL);
    pool_job(p, POOL_START, true, call);
}

static void job(Client *c, RpcCall *call, GVariant *args, PoolVerb verb)
{
    ManagedPool *p = pool_of_call(c, call, args);
    if (p)
        pool_job(p, verb, false, call);
}

static void start(Client *c, RpcCall *call, GVariant *args) { job(c, call, args, POOL_START); }
static void build(Client *c, RpcCall *call, GVariant *args) { job(c, call, args, POOL_BUILD); }
static void refresh(Client *c, RpcCall *call, GVariant *args) { job(c, call, args, POOL_REFRESH); }
static void delete(Client *c, RpcCall *call, GVariant *args) { job(c, call, args, POOL_DELETE); }

static void destroy(Client *c, RpcCall *call, GVariant *args)
{
    ManagedPool *p = pool_of_call(c, call, args);
    if (!p)
        return;
    if (!p->active) {
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "storage pool '%s' is not active", p->def->name);
        return;
    }
    p->active = false;
    g_ptr_array_unref(p->volumes);
    p->volumes = g_ptr_array_new_with_free_func(record_free);
    pool_event(p, 3);
    if (!p->persistent)
        pool_remove(p);
    rpc_reply(call, NULL);
}

static void undefine(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GError) err = NULL;
    ManagedPool *p = pool_of_call(c, call, args);
    if (!p)
        return;
    pool_undefine(p, &err);
    end(call, err);
}

static guint64 known(uint64_t bytes) { return bytes == RECORD_NONE ? 0 : bytes; }

static void get_info(Client *c, RpcCall *call, GVariant *args)
{
    ManagedPool *p = pool_of_call(c, call, args);
    if (p)
        rpc_reply(call, g_variant_new("(uttt)", p->active ? STATE_RUNNING : STATE_INACTIVE, known(p->def->capacity), known(p->def->allocation), known(p->def->available)));
}

static void get_xml(Client *c, RpcCall *call, GVariant *args)
{
    ManagedPool *p = pool_of_call(c, call, args);
    g_autofree char *xml = p ? record_write_xml(p->def, 0) : NULL;
    if (p)
        rpc_reply(call, g_variant_new("(s)", xml));
}

static void reply_int(Client *c, RpcCall *call, GVariant *args, int (*f)(const ManagedPool *p))
{
    ManagedPool *p = pool_of_call(c, call, args);
    if (p)
        rpc_reply(call, g_variant_new("(i)", f(p)));
}

static int active_of(const ManagedPool *p) { return p->active; }
static int persistent_of(const ManagedPool *p) { return p->persistent; }
static int autostart_of(const ManagedPool *p) { return p->autostart; }
static int volumes_of(const ManagedPool *p) { return p->volumes->len; }
static void is_active(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, active_of); }
static void is_persistent(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, persistent_of); }
static void get_autostart(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, autostart_of); }
static void num_volumes(Client *c, RpcCall *call, GVariant *args) { reply_int(c, call, args, volumes_of); }

static void set_autostart(Client *c, RpcCall *call, GVariant *args)
{
    int on;
    g_autoptr(GError) err = NULL;
    ManagedPool *p = pool_of_call(c, call, args);
    if (!p)
        return;
    g_variant_get_child(args, 1, "i", &on);
    pool_set_autostart(p, on, &err);
    end(call, err);
}

/* ---- volumes */
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
    g_autoptr(GPtrArray) list = listed(c->realm, LIST_ACTIVE);
    for (guint i = 0; i < list->len; i++) {
        ManagedPool *p = list->pdata[i];
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
typedef struct Transfer {
    RpcStream *stream;
    ManagedPool *pool;
    int fd;
    guint64 left; /* down; up: what may still come */
} Transfer;

static void transfer_closed(RpcStream *s, void *opaque)
{
    Transfer *t = opaque;
    close(t->fd);
    if (!t->pool->gone && t->pool->active)
        pool_job(t->pool, POOL_REFRESH, false, NULL);
    pool_unref(t->pool);
    g_free(t);
}

static void send_more(RpcStream *s, void *opaque)
{
    Transfer *t = opaque;
    char data[64 << 10];
    while (!rpc_stream_full(s)) {
        ssize_t n = t->left ? read(t->fd, data, MIN(t->left, sizeof data)) : 0;
        if (n <= 0) {
            rpc_stream_end(s);
            return;
        }
        t->left -= n;
        rpc_stream_send(s, data, n);
    }
}

static void receive(RpcStream *s, const void *data, size_t bytes, void *opaque)
{
    Transfer *t = opaque;
    if (bytes > t->left) {
        rpc_stream_fail(s, RPC_ERR_INVALID_ARG, "more bytes come than were announced");
        return;
    }
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(t->fd, (const char *)data + done, bytes - done);
        if (n < 0 && errno != EINTR) {
            rpc_stream_fail(s, RPC_ERR_SYSTEM, "cannot write the volume: %s", g_strerror(errno));
            return;
        }
        done += MAX(n, 0);
    }
    t->left -= bytes;
}

static bool uploaded(RpcStream *s, void *opaque)
{
    Transfer *t = opaque;
    if (!fsync(t->fd))
        return true;
    rpc_stream_fail(s, RPC_ERR_SYSTEM, "cannot flush the volume: %s", g_strerror(errno));
    return false;
}

static void transfer(Client *c, RpcCall *call, GVariant *args, bool up)
{
    static const RpcStreamOps down_ops = { .drained = send_more, .closed = transfer_closed },
                              up_ops = { .received = receive, .finished = uploaded, .closed = transfer_closed };
    guint64 offset, length;
    ManagedPool *p;
    const Volume *v = volume_of_call(c, call, args, &p);
    if (!v)
        return;
    g_variant_get(args, "(@(sss)ttu)", NULL, &offset, &length, NULL);
    int fd = open(v->path, (up ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (fd < 0 || offset > G_MAXINT64 || lseek(fd, offset, SEEK_SET) < 0) {
        rpc_fail(call, RPC_ERR_SYSTEM, "cannot open '%s': %s", v->path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    Transfer *t = g_new0(Transfer, 1);
    *t = (Transfer){ .pool = pool_ref(p), .fd = fd, .left = length ? length : G_MAXUINT64 };
    t->stream = rpc_stream_open(call, up ? &up_ops : &down_ops, t);
    rpc_reply(call, NULL);
    if (!up)
        send_more(t->stream, t);
}

static void upload(Client *c, RpcCall *call, GVariant *args) { transfer(c, call, args, true); }
static void download(Client *c, RpcCall *call, GVariant *args) { transfer(c, call, args, false); }

const Handler storage_handlers[] = {
    { "CONNECT_LIST_ALL_STORAGE_POOLS", list_all },
    { "CONNECT_NUM_OF_STORAGE_POOLS", num_active },
    { "CONNECT_NUM_OF_DEFINED_STORAGE_POOLS", num_inactive },
    { "STORAGE_POOL_LIST_ALL_VOLUMES", list_volumes },
    { "STORAGE_POOL_LIST_VOLUMES", list_volumes },
    { "STORAGE_POOL_NUM_OF_VOLUMES", num_volumes },
    { "STORAGE_POOL_LOOKUP_BY_NAME", lookup_name },
    { "STORAGE_POOL_LOOKUP_BY_UUID", lookup_uuid },
    { "STORAGE_POOL_LOOKUP_BY_TARGET_PATH", lookup_target },
    { "STORAGE_POOL_LOOKUP_BY_VOLUME", lookup_volume },
    { "STORAGE_POOL_DEFINE_XML", define },
    { "STORAGE_POOL_CREATE_XML", create_xml },
    { "STORAGE_POOL_CREATE", start },
    { "STORAGE_POOL_BUILD", build },
    { "STORAGE_POOL_REFRESH", refresh },
    { "STORAGE_POOL_DELETE", delete },
    { "STORAGE_POOL_DESTROY", destroy },
    { "STORAGE_POOL_UNDEFINE", undefine },
    { "STORAGE_POOL_GET_INFO", get_info },
    { "STORAGE_POOL_GET_XML_DESC", get_xml },
    { "STORAGE_POOL_IS_ACTIVE", is_active },
    { "STORAGE_POOL_IS_PERSISTENT", is_persistent },
    { "STORAGE_POOL_GET_AUTOSTART", get_autostart },
    { "STORAGE_POOL_SET_AUTOSTART", set_autostart },
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
