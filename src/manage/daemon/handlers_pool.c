/* handlers_pool.c - what is asked of storage pools. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/listing.h"
#include "manage/daemon/pool.h"
#include "manage/daemon/task.h"

enum { STATE_INACTIVE = 0, STATE_RUNNING = 2 }; /* virStoragePoolState */
enum { LIST_INACTIVE = 1, LIST_ACTIVE = 2, LIST_PERSISTENT = 4, LIST_TRANSIENT = 8, LIST_AUTOSTART = 16, LIST_NO_AUTOSTART = 32, LIST_FIRST_TYPE = 64 };
enum { CREATE_WITH_BUILD = 1 };

/* virStoragePoolEventID */
void pool_event(ManagedPool *p, int event) { object_event(p->realm, SUBSCRIBE_POOL, 0, p->def->uuid, pool_handle(p), "(ii)", event, 0); }
void pool_refreshed(ManagedPool *p) { object_event(p->realm, SUBSCRIBE_POOL, 1, p->def->uuid, pool_handle(p), "()"); }

/* ---- lists */
static unsigned list_flags(const void *object, unsigned wanted)
{
    const ManagedPool *p = object;
    return (p->active ? LIST_ACTIVE : LIST_INACTIVE) | (p->persistent ? LIST_PERSISTENT : LIST_TRANSIENT) | (p->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART) |
           LIST_FIRST_TYPE << (p->def->type - 1);
}

static GHashTable *all(const Realm *r) { return r->pools; }
static const char *name_of(const void *pool) { return ((const ManagedPool *)pool)->def->name; }
static GVariant *handle_of(const void *pool) { return pool_handle(pool); }

static const Listing pools = {
    .handle_type = "(ss)", .missing = RPC_ERR_NO_STORAGE_POOL, .missing_text = "Storage pool not found: no storage pool with matching %s '%s'",
    .groups = (const unsigned[]){ LIST_ACTIVE | LIST_INACTIVE, LIST_PERSISTENT | LIST_TRANSIENT, LIST_AUTOSTART | LIST_NO_AUTOSTART, ~(LIST_FIRST_TYPE - 1u), 0 },
    .all = all, .flags = list_flags, .key = name_of, .handle = handle_of,
};

static void list_all(Client *c, RpcCall *call, GVariant *args) { listing_reply_all(&pools, c, call, args); }
static void num_active(Client *c, RpcCall *call, GVariant *args) { listing_reply_count(&pools, c, call, LIST_ACTIVE); }
static void num_inactive(Client *c, RpcCall *call, GVariant *args) { listing_reply_count(&pools, c, call, LIST_INACTIVE); }
static void names_active(Client *c, RpcCall *call, GVariant *args) { listing_reply_keys(&pools, c, call, args, LIST_ACTIVE); }
static void names_inactive(Client *c, RpcCall *call, GVariant *args) { listing_reply_keys(&pools, c, call, args, LIST_INACTIVE); }

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
static void lookup_name(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_variant_get(args, "(&s)", &name);
    listing_reply_one(&pools, call, pool_by_name(c->realm, name), "name", name);
}

static void lookup_uuid(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_variant_get(args, "(&s)", &uuid);
    listing_reply_one(&pools, call, pool_by_uuid(c->realm, uuid), "uuid", uuid);
}

static void lookup_target(Client *c, RpcCall *call, GVariant *args)
{
    const char *path;
    g_variant_get(args, "(&s)", &path);
    g_autoptr(GPtrArray) list = listing_find(&pools, c->realm, 0);
    for (guint i = 0; i < list->len; i++)
        if (!g_strcmp0(((ManagedPool *)list->pdata[i])->def->target, path)) {
            listing_reply_one(&pools, call, list->pdata[i], "path", path);
            return;
        }
    listing_fail(&pools, call, "path", path);
}

static void lookup_volume(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    g_variant_get(args, "((&s&s&s))", &name, NULL, NULL);
    listing_reply_one(&pools, call, pool_by_name(c->realm, name), "name", name);
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
        reply_bad_xml(call, err);
}

static void create_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    guint flags;
    g_autoptr(GError) err = NULL;
    ManagedPool *p;
    g_variant_get(args, "(&su)", &xml, &flags);
    if (!pool_define(c->realm, xml, false, &p, &err)) {
        reply_bad_xml(call, err);
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

static void destroy(Client *c, RpcCall *call, GVariant *args) { job(c, call, args, POOL_STOP); }

static void undefine(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GError) err = NULL;
    ManagedPool *p = pool_of_call(c, call, args);
    if (!p)
        return;
    pool_undefine(p, &err);
    reply_error(call, err);
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
    reply_error(call, err);
}

static void append_volume_formats(GString *s)
{
    static const char *const formats[] = { "none", "raw", "qcow2", "qed", "vmdk", "vdi", "vpc", "vhdx", NULL };
    g_string_append(s, "    <volOptions>\n      <defaultFormat type='raw'/>\n      <enum name='targetFormatType'>\n");
    for (unsigned i = 0; formats[i]; i++)
        g_string_append_printf(s, "        <value>%s</value>\n", formats[i]);
    g_string_append(s, "      </enum>\n    </volOptions>\n");
}

static void pool_capabilities(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GString) s = g_string_new("<storagepoolCapabilities>\n");
    for (unsigned i = 0; pool_types[i]; i++) {
        PoolType type = i + 1;
        bool known = store_driver(type);
        g_string_append_printf(s, "  <pool type='%s' supported='%s'%s>\n", pool_types[i], known ? "yes" : "no", known && type <= POOL_NETFS ? "" : "/");
        if (known && type <= POOL_NETFS) {
            append_volume_formats(s);
            g_string_append(s, "  </pool>\n");
        }
    }
    g_string_append(s, "</storagepoolCapabilities>\n");
    rpc_reply(call, g_variant_new("(s)", s->str));
}

const Handler pool_handlers[] = {
    { "CONNECT_GET_STORAGE_POOL_CAPABILITIES", pool_capabilities },
    { "CONNECT_LIST_ALL_STORAGE_POOLS", list_all },
    { "CONNECT_LIST_STORAGE_POOLS", names_active },
    { "CONNECT_LIST_DEFINED_STORAGE_POOLS", names_inactive },
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
    { NULL },
};
