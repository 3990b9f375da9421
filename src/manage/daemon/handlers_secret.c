/* handlers_secret.c - what is asked of secrets. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/listing.h"
#include "manage/daemon/secret.h"
#include "manage/daemon/task.h"

/* virConnectListAllSecretsFlags */
enum { LIST_EPHEMERAL = 1, LIST_NO_EPHEMERAL = 2, LIST_PRIVATE = 4, LIST_NO_PRIVATE = 8 };

static unsigned list_flags(const void *secret, unsigned wanted)
{
    const Secret *s = ((const ManagedSecret *)secret)->def;
    return (s->ephemeral == 1 ? LIST_EPHEMERAL : LIST_NO_EPHEMERAL) | (s->private == 1 ? LIST_PRIVATE : LIST_NO_PRIVATE);
}

static GHashTable *all(const Realm *r) { return r->secrets; }
static const char *uuid_of(const void *secret) { return ((const ManagedSecret *)secret)->def->uuid; }
static GVariant *handle_of(const void *secret) { return secret_handle(secret); }

static const Listing secrets = {
    .handle_type = "(sis)", .missing = RPC_ERR_NO_SECRET, .missing_text = "Secret not found: no secret with matching %s '%s'",
    .groups = (const unsigned[]){ LIST_EPHEMERAL | LIST_NO_EPHEMERAL, LIST_PRIVATE | LIST_NO_PRIVATE, 0 },
    .all = all, .flags = list_flags, .key = uuid_of, .handle = handle_of,
};

static void list_all(Client *c, RpcCall *call, GVariant *args) { listing_reply_all(&secrets, c, call, args); }
static void count(Client *c, RpcCall *call, GVariant *args) { listing_reply_count(&secrets, c, call, 0); }
static void list_uuids(Client *c, RpcCall *call, GVariant *args) { listing_reply_keys(&secrets, c, call, args, 0); }

static void lookup_uuid(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_variant_get(args, "(&s)", &uuid);
    listing_reply_one(&secrets, call, secret_by_uuid(c->realm, uuid), "uuid", uuid);
}

static void lookup_usage(Client *c, RpcCall *call, GVariant *args)
{
    int usage;
    const char *id;
    g_variant_get(args, "(i&s)", &usage, &id);
    listing_reply_one(&secrets, call, secret_by_usage(c->realm, usage, id), "usage", id);
}

/* The secret that the call's first argument names; NULL: the call has been answered with an error. */
static ManagedSecret *secret_of_call(Client *c, RpcCall *call, GVariant *args)
{
    const char *uuid;
    g_autoptr(GVariant) handle = g_variant_get_child_value(args, 0);
    g_variant_get(handle, "(&sis)", &uuid, NULL, NULL);
    ManagedSecret *s = secret_by_uuid(c->realm, uuid);
    if (!s)
        listing_fail(&secrets, call, "uuid", uuid);
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
        reply_bad_xml(call, err);
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
