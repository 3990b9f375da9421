/* handlers_secret.c - what is asked of secrets. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/secret.h"
#include "manage/daemon/task.h"

/* virConnectListAllSecretsFlags */
enum { LIST_EPHEMERAL = 1, LIST_NO_EPHEMERAL = 2, LIST_PRIVATE = 4, LIST_NO_PRIVATE = 8 };

static bool is_listed(const Secret *s, unsigned flags)
{
    unsigned ephemeral = s->ephemeral == 1 ? LIST_EPHEMERAL : LIST_NO_EPHEMERAL, private = s->private == 1 ? LIST_PRIVATE : LIST_NO_PRIVATE;
    return (!(flags & (LIST_EPHEMERAL | LIST_NO_EPHEMERAL)) || (flags & ephemeral)) && (!(flags & (LIST_PRIVATE | LIST_NO_PRIVATE)) || (flags & private));
}

static int by_uuid(gconstpointer a, gconstpointer b) { return strcmp((*(ManagedSecret *const *)a)->def->uuid, (*(ManagedSecret *const *)b)->def->uuid); }

/* Sorted; the array is the caller's. */
static GPtrArray *listed(const Realm *r, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter i;
    gpointer s;
    g_hash_table_iter_init(&i, r->secrets);
    while (g_hash_table_iter_next(&i, NULL, &s))
        if (is_listed(((ManagedSecret *)s)->def, flags))
            g_ptr_array_add(list, s);
    g_ptr_array_sort(list, by_uuid);
    return list;
}

static void list_all(Client *c, RpcCall *call, GVariant *args)
{
    int wanted;
    guint flags;
    g_variant_get(args, "(iu)", &wanted, &flags);
    g_autoptr(GPtrArray) list = listed(c->realm, flags);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sis)"));
    for (guint i = 0; wanted && i < list->len; i++)
        g_variant_builder_add_value(&b, secret_handle(list->pdata[i]));
    rpc_reply(call, g_variant_new("(a(sis)u)", &b, list->len));
}

static void count(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(i)", (int)g_hash_table_size(c->realm->secrets))); }

static void list_uuids(Client *c, RpcCall *call, GVariant *args)
{
    int most;
    g_variant_get(args, "(i)", &most);
    g_autoptr(GPtrArray) list = listed(c->realm, 0);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; i < list->len && (int)i < most; i++)
        g_variant_builder_add(&b, "s", ((ManagedSecret *)list->pdata[i])->def->uuid);
    rpc_reply(call, g_variant_new("(as)", &b));
}

static void answer(RpcCall *call, const ManagedSecret *s, const char *by, const char *key)
{
    if (s)
        rpc_reply(call, g_variant_new("(@(sis))", secret_handle(s)));
    else
        rpc_fail(call, RPC_ERR_NO_SECRET, "no secret with matching %s '%s'", by, key);
}

static void lookup_uuid(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_variant_get(args, "(&s)", &uuid);
    answer(call, secret_by_uuid(c->realm, uuid), "uuid", uuid);
}

static void lookup_usage(Client *c, RpcCall *call, GVariant *args)
{
    int usage;
    const char *id;
    g_variant_get(args, "(i&s)", &usage, &id);
    answer(call, secret_by_usage(c->realm, usage, id), "usage", id);
}

/* The secret that the call's first argument names; NULL: the call has been answered with an error. */
static ManagedSecret *secret_of_call(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_autoptr(GVariant) handle = g_variant_get_child_value(args, 0);
    g_variant_get(handle, "(&sis)", &uuid, NULL, NULL);
    ManagedSecret *s = secret_by_uuid(c->realm, uuid);
    if (!s)
        rpc_fail(call, RPC_ERR_NO_SECRET, "no secret with matching uuid '%s'", uuid);
    return s;
}

static void define(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    ManagedSecret *s;
    g_autoptr(GError) err = NULL;
    g_variant_get(args, "(&su)", &xml, NULL);
    if (secret_define(c->realm, xml, &s, &err))
        rpc_reply(call, g_variant_new("(@(sis))", secret_handle(s)));
    else
        rpc_fail(call, err->domain == RPC_ERROR ? (RpcError)err->code : RPC_ERR_XML_ERROR, "%s", err->message);
}

static void get_xml(Client *c, RpcCall *call, GVariant *args)
{
    const ManagedSecret *s = secret_of_call(c, call, args);
    g_autofree char *xml = s ? record_write_xml(s->def, 0) : NULL;
    if (s)
        rpc_reply(call, g_variant_new("(s)", xml));
}

static void set_value(Client *c, RpcCall *call, GVariant *args)
{
    ManagedSecret *s = secret_of_call(c, call, args);
    g_autoptr(GError) err = NULL;
    gsize bytes;
    if (!s)
        return;
    g_autoptr(GVariant) value = g_variant_get_child_value(args, 1);
    const void *data = g_variant_get_fixed_array(value, &bytes, 1);
    secret_set_value(s, data ? data : "", bytes, &err);
    reply_error(call, err);
}

static void get_value(Client *c, RpcCall *call, GVariant *args)
{
    const ManagedSecret *s = secret_of_call(c, call, args);
    if (!s)
        return;
    if (s->def->private == 1)
        rpc_fail(call, RPC_ERR_INVALID_SECRET, "secret %s is private: its value is told to no client", s->def->uuid);
    else if (!s->value)
        rpc_fail(call, RPC_ERR_NO_SECRET, "secret %s does not have a value: `secret-set-value %s` gives it one", s->def->uuid, s->def->uuid);
    else
        rpc_reply(call, g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, s->value, s->bytes, 1)));
}

static void undefine(Client *c, RpcCall *call, GVariant *args)
{
    ManagedSecret *s = secret_of_call(c, call, args);
    g_autoptr(GError) err = NULL;
    if (!s)
        return;
    secret_undefine(s, &err);
    reply_error(call, err);
}

const Handler secret_handlers[] = {
    { "CONNECT_LIST_ALL_SECRETS", list_all },
    { "CONNECT_NUM_OF_SECRETS", count },
    { "CONNECT_LIST_SECRETS", list_uuids },
    { "SECRET_LOOKUP_BY_UUID", lookup_uuid },
    { "SECRET_LOOKUP_BY_USAGE", lookup_usage },
    { "SECRET_DEFINE_XML", define },
    { "SECRET_GET_XML_DESC", get_xml },
    { "SECRET_SET_VALUE", set_value },
    { "SECRET_GET_VALUE", get_value },
    { "SECRET_UNDEFINE", undefine },
    { NULL },
};
