/* listing.c - see listing.h. */
#include "manage/daemon/listing.h"

#include <string.h>

static bool is_wanted(const Listing *l, const void *object, unsigned wanted)
{
    unsigned flags = l->flags(object, wanted);
    for (const unsigned *group = l->groups; *group; group++)
        if ((wanted & *group) && !(wanted & *group & flags))
            return false;
    return true;
}

static int by_key(gconstpointer a, gconstpointer b, gpointer l)
{
    const Listing *of = l;
    return strcmp(of->key(*(void *const *)a), of->key(*(void *const *)b));
}

GPtrArray *listing_find(const Listing *l, const Realm *r, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter i;
    gpointer object;
    g_hash_table_iter_init(&i, l->all(r));
    while (g_hash_table_iter_next(&i, NULL, &object))
        if (is_wanted(l, object, flags))
            g_ptr_array_add(list, object);
    g_ptr_array_sort_with_data(list, by_key, (gpointer)l);
    return list;
}

void listing_reply_all(const Listing *l, const Client *c, RpcCall *call, GVariant *args)
{
    int wanted;
    guint flags;
    g_variant_get(args, "(iu)", &wanted, &flags);
    g_autoptr(GPtrArray) list = listing_find(l, c->realm, flags);
    g_autofree char *type = g_strconcat("a", l->handle_type, NULL);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE(type));
    for (guint i = 0; wanted && i < list->len; i++)
        g_variant_builder_add_value(&b, l->handle(list->pdata[i]));
    GVariant *parts[] = { g_variant_builder_end(&b), g_variant_new_uint32(list->len) };
    rpc_reply(call, g_variant_new_tuple(parts, 2));
}

void listing_reply_keys(const Listing *l, const Client *c, RpcCall *call, GVariant *args, unsigned flags)
{
    int most;
    g_variant_get(args, "(i)", &most);
    g_autoptr(GPtrArray) list = listing_find(l, c->realm, flags);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE_STRING_ARRAY);
    for (guint i = 0; i < list->len && (int)i < most; i++)
        g_variant_builder_add(&b, "s", l->key(list->pdata[i]));
    rpc_reply(call, g_variant_new("(as)", &b));
}

void listing_reply_count(const Listing *l, const Client *c, RpcCall *call, unsigned flags)
{
    g_autoptr(GPtrArray) list = listing_find(l, c->realm, flags);
    rpc_reply(call, g_variant_new("(i)", (int)list->len));
}

void listing_fail(const Listing *l, RpcCall *call, const char *by, const char *key) { rpc_fail(call, l->missing, l->missing_text, by, key); }

void listing_reply_one(const Listing *l, RpcCall *call, const void *object, const char *by, const char *key)
{
    GVariant *handle = object ? l->handle(object) : NULL;
    if (object)
        rpc_reply(call, g_variant_new_tuple(&handle, 1));
    else
        listing_fail(l, call, by, key);
}
