/* objects.c - domains, networks, pools and volumes by what people call them. */
#include <stdlib.h>
#include <string.h>

#include "tools/cli/cli.h"

const char *name_of(gpointer object) { return atoll_object_get_name(object); }
const char *key_of(gpointer object) { return atoll_object_get_key(object); }
GVariant *cli_handle(AtollObject *o) { return atoll_object_get_handle(o); }

GVariant *cli_call(Cli *c, const char *procedure, GVariant *args, GError **err) { return atoll_connection_call_sync(c->connection, procedure, args, NULL, err); }

/* The handle, then the members of `more`, a tuple, floating or NULL. */
static GVariant *with_handle(gpointer object, GVariant *more)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE_TUPLE);
    g_variant_builder_add_value(&b, atoll_object_get_handle(object));
    for (gsize i = 0; more && i < g_variant_n_children(more); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(more, i);
        g_variant_builder_add_value(&b, child);
    }
    if (more)
        g_variant_unref(g_variant_ref_sink(more));
    return g_variant_builder_end(&b);
}

GVariant *object_call(gpointer object, const char *procedure, GVariant *more, GError **err)
{
    return atoll_connection_call_sync(atoll_object_get_connection(object), procedure, with_handle(object, more), NULL, err);
}

bool object_int(gpointer object, const char *procedure, int *ret, GError **err)
{
    g_autoptr(GVariant) v = object_call(object, procedure, NULL, err);
    if (v)
        g_variant_get_child(v, 0, "i", ret);
    return v;
}

char *object_text(gpointer object, const char *procedure, guint flags, GError **err)
{
    g_autoptr(GVariant) v = object_call(object, procedure, g_variant_new("(u)", flags), err);
    char *text = NULL;
    if (v)
        g_variant_get_child(v, 0, "s", &text);
    return text;
}

typedef struct Kind {
    ArgumentKind kind;
    const char *word;
    GType (*type)(void);
    const char *by_name, *by_uuid;
    int missing; /* the error where there is none */
} Kind;

static const Kind kinds[] = {
    { ARG_DOMAIN, "domain", atoll_domain_get_type, "DOMAIN_LOOKUP_BY_NAME", "DOMAIN_LOOKUP_BY_UUID", ATOLL_MANAGER_ERROR_NO_DOMAIN },
    { ARG_NETWORK, "network", atoll_network_get_type, "NETWORK_LOOKUP_BY_NAME", "NETWORK_LOOKUP_BY_UUID", ATOLL_MANAGER_ERROR_NO_NETWORK },
    { ARG_POOL, "pool", atoll_pool_get_type, "STORAGE_POOL_LOOKUP_BY_NAME", "STORAGE_POOL_LOOKUP_BY_UUID", ATOLL_MANAGER_ERROR_NO_POOL },
    { ARG_NODE_DEVICE, "node device", atoll_node_device_get_type, "NODE_DEVICE_LOOKUP_BY_NAME", NULL, 0 },
};

static AtollObject *find(Cli *c, const Kind *k, const char *procedure, GVariant *args, GError **err)
{
    g_autoptr(GVariant) v = cli_call(c, procedure, args, err), handle = v ? g_variant_get_child_value(v, 0) : NULL;
    return handle ? atoll_object_new(k->type(), c->connection, handle) : NULL;
}

static AtollObject *lookup(Cli *c, const Kind *k, const char *name, GError **err)
{
    AtollObject *o = NULL;
    char *end;
    long id = strtol(name, &end, 10);
    if (k->kind == ARG_DOMAIN && *name && !*end && id >= 0)
        o = find(c, k, "DOMAIN_LOOKUP_BY_ID", g_variant_new("(i)", (int)id), NULL);
    if (!o && k->by_uuid && g_uuid_string_is_valid(name))
        o = find(c, k, k->by_uuid, g_variant_new("(s)", name), NULL);
    if (!o)
        o = find(c, k, k->by_name, g_variant_new("(s)", name), err);
    if (!o && k->kind == ARG_DOMAIN && g_error_matches(*err, ATOLL_MANAGER_ERROR, k->missing)) { /* virsh says no more of domains */
        g_clear_error(err);
        g_set_error(err, ATOLL_MANAGER_ERROR, k->missing, "failed to get domain '%s'", name);
    } else if (!o && k->kind == ARG_NODE_DEVICE) {
        cli_headline(c, "Could not find matching device '%s'", name);
    } else if (!o) {
        cli_headline(c, "failed to get %s '%s'", k->word, name);
    }
    return o;
}

static AtollObject *object_of_kind(Cli *c, ArgumentKind kind, const char *argument, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i].kind == kind)
            return lookup(c, &kinds[i], arg_text(c, argument), err);
    cli_error(err, "<%s> names nothing that can be looked up", argument);
    return NULL;
}

AtollObject *cli_object(Cli *c, const char *argument, GError **err)
{
    for (const Argument *a = c->command->args; a && a->name; a++)
        if (!strcmp(a->name, argument))
            return a->kind == ARG_VOLUME ? (AtollObject *)cli_volume(c, argument, "pool", err) : object_of_kind(c, a->kind, argument, err);
    return NULL;
}

AtollDomain *cli_domain(Cli *c, GError **err) { return (AtollDomain *)object_of_kind(c, ARG_DOMAIN, "domain", err); }
AtollNetwork *cli_network(Cli *c, GError **err) { return (AtollNetwork *)object_of_kind(c, ARG_NETWORK, "network", err); }
AtollPool *cli_pool(Cli *c, const char *argument, GError **err) { return (AtollPool *)object_of_kind(c, ARG_POOL, argument, err); }

/* By name in a pool, or by key or path anywhere. */
AtollVolume *cli_volume(Cli *c, const char *argument, const char *pool_argument, GError **err)
{
    const char *name = arg_text(c, argument);
    g_autoptr(AtollPool) pool = NULL;
    AtollVolume *v = NULL;
    if (arg_given(c, pool_argument)) {
        if (!(pool = cli_pool(c, pool_argument, err)))
            return NULL;
        v = atoll_pool_find_volume_sync(pool, name, NULL, err);
        if (v)
            return v;
        g_clear_error(err);
    }
    v = atoll_connection_find_volume_by_key_sync(c->connection, name, NULL, NULL);
    if (!v)
        v = atoll_connection_find_volume_by_path_sync(c->connection, name, NULL, err);
    if (!v && !pool)
        cli_headline(c, "failed to get vol '%s', specifying --pool might help", name);
    else if (!v)
        cli_headline(c, "failed to get vol '%s'", name);
    return v;
}
