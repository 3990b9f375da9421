/*
 * env.c - objects that images need and that must not stand in their options: secrets, TLS credentials.
 *
 *     secret,id=s0,file=/run/key          secret,id=s1,data=aGk=,format=base64
 *     throttle-group,id=g0,limits.iops-total=100
 *     tls-creds-x509,id=tls0,dir=/etc/pki,endpoint=client
 */
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "block/core/throttle_group.h"
#include "block/driver.h"

typedef struct Object {
    char *type, *id;
    GHashTable *properties; /* of strings; not of secrets */
    uint8_t *secret;
    size_t secret_bytes;
    ThrottleGroup *group;
} Object;

struct BlkEnv {
    GHashTable *objects; /* by id */
    GMutex lock;         /* of groups */
    GHashTable *groups;  /* ThrottleGroup by name */
};

static const char *const types[] = { "secret", "tls-creds-x509", "tls-creds-psk", "tls-creds-anon", "authz-simple", "authz-list", "throttle-group", NULL };

static void object_free(void *object)
{
    Object *o = object;
    g_free(o->type);
    g_free(o->id);
    g_clear_pointer(&o->properties, g_hash_table_unref);
    throttle_group_unref(o->group);
    if (o->secret)
        explicit_bzero(o->secret, o->secret_bytes);
    g_free(o->secret);
    g_free(o);
}

BlkEnv *blk_env_new(void)
{
    BlkEnv *e = g_new0(BlkEnv, 1);
    e->objects = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, object_free);
    e->groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)throttle_group_unref);
    g_mutex_init(&e->lock);
    return e;
}

void blk_env_free(BlkEnv *e)
{
    if (!e)
        return;
    g_hash_table_unref(e->objects);
    g_hash_table_unref(e->groups);
    g_mutex_clear(&e->lock);
    g_free(e);
}

static bool decode_base64(Object *o, GError **err)
{
    gsize len;
    g_autofree char *text = g_strndup((char *)o->secret, o->secret_bytes);
    g_strstrip(text);
    if (!*text || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n") != strlen(text))
        return error_set(err, ERR_INVALID, "secret '%s' is not base64: leave out format=base64 if it is plain text", o->id);
    g_free(o->secret);
    o->secret = g_base64_decode(text, &len);
    o->secret_bytes = len;
    explicit_bzero(text, strlen(text));
    return true;
}

static bool read_secret(Object *o, KeyVals *kv, GError **err)
{
    static const char *const formats[] = { "raw", "base64", NULL };
    unsigned format = 0;
    const char *data = keyvals_take(kv, "data"), *file = keyvals_take(kv, "file");
    if (!keyvals_take_choice(kv, "format", formats, &format, err))
        return false;
    if (keyvals_take(kv, "keyid") || keyvals_take(kv, "iv"))
        return error_set(err, ERR_UNSUPPORTED, "secret '%s': secrets encrypted with another (keyid, iv) are not supported; give file=", o->id);
    if (!data == !file)
        return error_set(err, ERR_INVALID, "secret '%s' needs either file= (a path) or data=", o->id);
    gsize len = data ? strlen(data) : 0;
    if (data)
        o->secret = g_memdup2(data, len + 1);
    else if (!g_file_get_contents(file, (char **)&o->secret, &len, err))
        return false;
    o->secret_bytes = len;
    return !format || decode_base64(o, err);
}

static void read_properties(Object *o, KeyVals *kv)
{
    g_autofree const char **rest = keyvals_rest(kv);
    o->properties = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (unsigned i = 0; rest[i]; i += 2)
        g_hash_table_insert(o->properties, g_strdup(rest[i]), g_strdup(rest[i + 1]));
}

/* "limits.iops-total=100" as QEMU has it, or "x-iops-total=100" as it had it first. */
static bool read_limits(Object *o, KeyVals *kv, GError **err)
{
    g_autofree char *tree = keyvals_take_tree(kv, "limits");
    g_autoptr(GString) text = g_string_new(tree);
    g_autofree const char **rest = keyvals_rest(kv);
    o->group = throttle_group_new();
    for (unsigned i = 0; rest[i]; i += 2)
        if (g_str_has_prefix(rest[i], "x-")) {
            g_string_append_printf(text, "%s%s=%s", text->len ? "," : "", rest[i] + 2, rest[i + 1]);
            keyvals_take(kv, rest[i]);
        }
    g_autoptr(KeyVals) limits = keyvals_parse(text->str, NULL, "throttle-group", err);
    return limits && throttle_group_take_limits(o->group, limits, err) && keyvals_end(limits, err);
}

bool blk_env_add_object(BlkEnv *e, const char *text, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(text, "qom-type", "object", err);
    const char *type = kv ? keyvals_take(kv, "qom-type") : NULL, *id = kv ? keyvals_take(kv, "id") : NULL;
    if (!kv)
        return false;
    if (!type || !g_strv_contains(types, type)) {
        g_autofree char *known = g_strjoinv(", ", (char **)types);
        return error_set(err, ERR_UNSUPPORTED, "object type '%s' is not known; known are %s", type ? type : "", known);
    }
    if (!id || !*id)
        return error_set(err, ERR_INVALID, "object %s needs id=", type);
    if (g_hash_table_contains(e->objects, id))
        return error_set(err, ERR_INVALID, "object id '%s' is given twice", id);
    Object *o = g_new0(Object, 1);
    o->type = g_strdup(type);
    o->id = g_strdup(id);
    bool ok = true;
    if (g_str_equal(type, "secret"))
        ok = read_secret(o, kv, err);
    else if (g_str_equal(type, "throttle-group"))
        ok = read_limits(o, kv, err);
    else
        read_properties(o, kv);
    if (!ok || !keyvals_end(kv, err)) {
        object_free(o);
        return false;
    }
    g_hash_table_insert(e->objects, o->id, o);
    return true;
}

bool blk_env_remove_object(BlkEnv *e, const char *id, GError **err)
{
    return g_hash_table_remove(e->objects, id) || error_set(err, ERR_NOT_FOUND, "there is no object '%s'", id);
}

static const Object *find(const BlkEnv *e, const char *type, const char *id, GError **err)
{
    const Object *o = e ? g_hash_table_lookup(e->objects, id) : NULL;
    if (!o || !g_str_equal(o->type, type)) {
        error_set(err, ERR_NOT_FOUND, "there is no %s with id '%s': give --object %s,id=%s,...", type, id, type, id);
        return NULL;
    }
    return o;
}

bool env_secret(const BlkEnv *e, const char *id, uint8_t **ret, size_t *ret_len, GError **err)
{
    const Object *o = find(e, "secret", id, err);
    if (!o)
        return false;
    *ret = g_malloc(o->secret_bytes + 1); /* with a NUL behind it, for those who want a string */
    memcpy(*ret, o->secret, o->secret_bytes);
    (*ret)[o->secret_bytes] = 0;
    *ret_len = o->secret_bytes;
    return true;
}

bool env_property(const BlkEnv *e, const char *type, const char *id, const char *key, const char **ret, GError **err)
{
    const Object *o = find(e, type, id, err);
    if (o)
        *ret = o->properties ? g_hash_table_lookup(o->properties, key) : NULL;
    return o;
}

ThrottleGroup *env_throttle_object(const BlkEnv *e, const char *id, GError **err)
{
    const Object *o = find(e, "throttle-group", id, err);
    return o ? throttle_group_ref(o->group) : NULL;
}

ThrottleGroup *env_throttle_shared(const BlkEnv *env, const char *name)
{
    BlkEnv *e = (BlkEnv *)env;
    g_mutex_lock(&e->lock);
    ThrottleGroup *g = g_hash_table_lookup(e->groups, name);
    if (!g)
        g_hash_table_insert(e->groups, g_strdup(name), g = throttle_group_new());
    throttle_group_ref(g);
    g_mutex_unlock(&e->lock);
    return g;
}
