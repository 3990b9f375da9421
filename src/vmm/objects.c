/* objects.c - the types of objects, and those that the user has made. */
#include "vmm/objects.h"

#include <string.h>

#include "base/keyval.h"
#include "block/block.h"
#include "block/io_thread.h"
#include "schema/qapi.h"

/* ---- types */

static bool check_memory(const ObjectConfig *o, GError **err)
{
    return (o->size >= 4096 && o->size % 4096 == 0) || error_set(err, ERR_INVALID, "object '%s' needs size=, a multiple of 4096 bytes", o->id);
}

static bool check_memory_file(const ObjectConfig *o, GError **err)
{
    return check_memory(o, err) && (o->mem_path || error_set(err, ERR_INVALID, "object '%s' needs mem-path=, a file or a folder", o->id));
}

/* The device draws from getrandom(2), whose numbers these are. */
static bool check_rng(const ObjectConfig *o, GError **err)
{
    return !o->filename || g_str_equal(o->filename, "/dev/urandom") || g_str_equal(o->filename, "/dev/random") ||
           error_set(err, ERR_UNSUPPORTED, "object '%s': filename is /dev/urandom or /dev/random, not '%s'", o->id, o->filename);
}

const ObjectType object_types[] = {
    { "secret", "a password or key: file=PATH or data=TEXT, format=raw|base64", .in_env = true },
    { "tls-creds-x509", "certificates: dir=, endpoint=client|server, verify-peer=", .in_env = true },
    { "tls-creds-psk", "pre-shared keys: dir=, endpoint=, username=", .in_env = true },
    { "tls-creds-anon", "encryption without identity: endpoint=", .in_env = true },
    { "memory-backend-ram", "guest memory: size=, prealloc=on|off", .check = check_memory },
    { "memory-backend-memfd", "the same: nobody maps it from outside yet", .check = check_memory },
    { "memory-backend-file", "guest memory in a file: size=, mem-path=, share=on|off, prealloc=on|off", .check = check_memory_file },
    { "rng-random", "random numbers of this host: filename=/dev/urandom", .check = check_rng },
    { "rng-builtin", "random numbers of this host", .check = check_rng },
    { "throttle-group", "limits that images share: limits.iops-total=, limits.bps-read= and so on", .in_env = true },
    { "iothread", "a thread for disks: poll-max-ns=NS that it looks for more before it sleeps", .thread = true },
    { NULL },
};

char *object_help(void)
{
    GString *s = g_string_new("Objects (-object TYPE,id=ID,...):\n");
    for (const ObjectType *t = object_types; t->name; t++)
        g_string_append_printf(s, "%-22s %s\n", t->name, t->doc);
    return g_string_free(s, FALSE);
}

static const ObjectType *type_find(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const ObjectType *t = object_types; t->name; t++) {
        if (name && g_str_equal(t->name, name))
            return t;
        g_ptr_array_add(names, (char *)t->name);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(name ? name : "", (const char *const *)names->pdata);
    error_set(err, ERR_INVALID, "-object: there is no type '%s'%s; -object help lists them", name ? name : "", hint);
    return NULL;
}

/* ---- properties, by the schema */

/* "ObjectOptions" names the type of a variant. */
const char *object_members(const char *type)
{
    const QapiType *options = NULL;
    QapiMember m;
    for (const QapiType *t = qapi_types; t->name; t++)
        if (g_str_equal(t->name, "ObjectOptions"))
            options = t;
    for (const char *at = options->variants; qapi_member_next(&at, &m);)
        for (const QapiType *t = qapi_types; t->name && g_str_equal(m.name, type); t++)
            if (g_str_equal(t->name, m.type))
                return t->members;
    return "";
}

/* Where properties go.  Those that are in the schema and not here are as they are: memory is in no core dump, and may be merged. */
static const struct { const char *name; size_t flag, text; } places[] = {
    { "share", .flag = offsetof(ObjectConfig, share) },
    { "prealloc", .flag = offsetof(ObjectConfig, prealloc) },
    { "mem-path", .text = offsetof(ObjectConfig, mem_path) },
    { "filename", .text = offsetof(ObjectConfig, filename) },
};

static void *place_of(const char *name, bool flag, ObjectConfig *o)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++)
        if (g_str_equal(places[i].name, name))
            return (char *)o + (flag ? places[i].flag : places[i].text);
    return NULL;
}

static bool take_property(KeyVals *kv, const QapiMember *m, ObjectConfig *o, GError **err)
{
    bool ignored = false, *flag = place_of(m->name, true, o);
    if (g_str_equal(m->type, "bool"))
        return keyvals_take_bool(kv, m->name, flag ? flag : &ignored, err);
    if (g_str_equal(m->name, "poll-max-ns"))
        return keyvals_take_number(kv, m->name, 0, 1000000000, &o->poll_max_ns, err);
    const char *text = keyvals_take(kv, m->name);
    char **to = place_of(m->name, false, o);
    if (text && g_str_equal(m->name, "size") && !parse_size(text, 1, &o->size))
        return error_set(err, ERR_INVALID, "object '%s': size '%s' is no number of bytes", o->id, text);
    if (text && to)
        *to = g_strdup(text);
    return true;
}

static bool read_properties(KeyVals *kv, ObjectConfig *o, GError **err)
{
    QapiMember m;
    for (const char *at = object_members(o->type->name); qapi_member_next(&at, &m);)
        if (!take_property(kv, &m, o, err))
            return false;
    return keyvals_end(kv, err) && (!o->type->check || o->type->check(o, err));
}

/* ---- objects */

void object_clear(void *object_config)
{
    ObjectConfig *o = object_config;
    g_free(o->id);
    g_free(o->filename);
    g_free(o->mem_path);
}

const ObjectConfig *object_find(const VmConfig *c, const char *id)
{
    for (unsigned i = 0; i < c->objects->len; i++)
        if (g_str_equal(g_array_index(c->objects, ObjectConfig, i).id, id))
            return &g_array_index(c->objects, ObjectConfig, i);
    return NULL;
}

bool object_add(VmConfig *c, const char *text, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(text, "qom-type", "-object", err);
    const ObjectType *type = kv ? type_find(keyvals_take(kv, "qom-type"), err) : NULL;
    const char *id = type ? keyvals_take(kv, "id") : NULL;
    if (!type)
        return false;
    if (!id || !*id)
        return error_set(err, ERR_INVALID, "-object %s needs id=", type->name);
    if (object_find(c, id))
        return error_set(err, ERR_BUSY, "attempt to add duplicate property '%s' to object (type 'container')", id);
    ObjectConfig o = { .type = type, .id = g_strdup(id), .poll_max_ns = IO_THREAD_POLL_NS };
    if (!(type->in_env ? blk_env_add_object(c->env, text, err) : read_properties(kv, &o, err))) {
        object_clear(&o);
        return false;
    }
    g_array_append_val(c->objects, o);
    return true;
}

bool object_remove(VmConfig *c, const char *id, GError **err)
{
    const ObjectConfig *o = object_find(c, id);
    if (!o)
        return error_set(err, ERR_NOT_FOUND, "object '%s' not found", id);
    if (c->memory_backend && g_str_equal(c->memory_backend, id))
        return error_set(err, ERR_BUSY, "object '%s' is in use, can not be deleted: it is the machine's memory", id);
    if (o->type->in_env && !blk_env_remove_object(c->env, id, err))
        return false;
    g_array_remove_index(c->objects, o - &g_array_index(c->objects, ObjectConfig, 0));
    return true;
}
