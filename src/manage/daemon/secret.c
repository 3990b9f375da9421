/* secret.c - secrets by UUID, in memory and on disk. */
#include "manage/daemon/secret.h"

#include <string.h>

#include "base/error.h"

enum { SECRET_DEFINED, SECRET_UNDEFINED }; /* virSecretEventLifecycleType */
enum { EVENT_LIFE, EVENT_VALUE };          /* virSecretEventID */

static void forget_value(ManagedSecret *s)
{
    if (s->value)
        explicit_bzero(s->value, s->bytes);
    g_clear_pointer(&s->value, g_free);
    s->bytes = 0;
}

void secret_free(void *secret)
{
    ManagedSecret *s = secret;
    forget_value(s);
    record_free(s->def);
    g_free(s);
}

ManagedSecret *secret_by_uuid(const Realm *r, const char *uuid) { return g_hash_table_lookup(r->secrets, uuid); }

ManagedSecret *secret_by_usage(const Realm *r, SecretUsage usage, const char *id)
{
    GHashTableIter i;
    gpointer s;
    g_hash_table_iter_init(&i, r->secrets);
    while (usage != USAGE_NONE && g_hash_table_iter_next(&i, NULL, &s))
        if (((ManagedSecret *)s)->def->usage == usage && !strcmp(secret_usage_id(((ManagedSecret *)s)->def), id))
            return s;
    return NULL;
}

GVariant *secret_handle(const ManagedSecret *s) { return g_variant_new("(sis)", s->def->uuid, (int)s->def->usage, secret_usage_id(s->def)); }

static void tell(const ManagedSecret *s, int what) { object_event(s->realm, SUBSCRIBE_SECRET, EVENT_LIFE, s->def->uuid, secret_handle(s), "(ii)", what, 0); }

/* ---- on disk */
static char *folder_of(const Realm *r) { return g_build_filename(r->daemon->config_dir, "secrets", NULL); }
static char *value_file(const Secret *def) { return g_strconcat(def->uuid, ".value", NULL); }
static bool is_kept(const Realm *r, const Secret *def) { return !r->in_memory && def->ephemeral != 1; }

static bool write_value(const ManagedSecret *s, GError **err)
{
    g_autofree char *folder = folder_of(s->realm), *file = value_file(s->def);
    return !s->value || store_write_file(folder, file, s->value, s->bytes, err);
}

/* The value goes first: what is left after a crash between names a secret that can be set anew, and not a passphrase that nobody knows of. */
static bool remove_files(const Realm *r, const Secret *def, GError **err)
{
    g_autofree char *folder = folder_of(r), *file = value_file(def);
    return r->in_memory || (store_remove_file(folder, file, err) && store_remove(folder, def->uuid, err));
}

static bool write_files(const ManagedSecret *s, GError **err)
{
    g_autofree char *folder = folder_of(s->realm), *xml = record_write_xml(s->def, 0);
    if (!is_kept(s->realm, s->def))
        return remove_files(s->realm, s->def, err);
    return write_value(s, err) && store_write(folder, s->def->uuid, xml, err);
}

static void load(const char *name, const char *text, void *opaque)
{
    Daemon *d = opaque;
    g_autoptr(GError) err = NULL;
    Secret *def = record_read_xml(&secret_type, text, 0, NULL, &err);
    if (!def) {
        g_warning("the definition of secret '%s' cannot be read, and is left as it is: %s", name, err->message);
        return;
    }
    ManagedSecret *s = g_new0(ManagedSecret, 1);
    *s = (ManagedSecret){ .realm = d->machines, .def = def };
    g_autofree char *folder = folder_of(d->machines), *file = value_file(def), *path = g_build_filename(folder, file, NULL);
    g_file_get_contents(path, (char **)&s->value, &s->bytes, NULL);
    g_hash_table_replace(d->machines->secrets, def->uuid, s);
}

void secrets_load(Daemon *d)
{
    g_autofree char *folder = folder_of(d->machines);
    store_each(folder, load, d);
}

/* ---- changes */
/* A secret stays what it is for, and a private one stays private; one use has one secret. */
static bool may_define(const Realm *r, const Secret *def, const ManagedSecret *old, GError **err)
{
    const ManagedSecret *other = secret_by_usage(r, def->usage, secret_usage_id(def));
    if (old && (old->def->usage != def->usage || strcmp(secret_usage_id(old->def), secret_usage_id(def))))
        return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "secret %s is already defined for use with '%s': undefine it first", def->uuid, secret_usage_id(old->def));
    if (old && old->def->private == 1 && def->private != 1)
        return rpc_error_set(err, RPC_ERR_OPERATION_DENIED, "secret %s is private and stays so: undefine it, and its value is gone", def->uuid);
    if (other && other != old)
        return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "a secret for use with '%s' is already defined: its UUID is %s", secret_usage_id(def), other->def->uuid);
    return true;
}

bool secret_define(Realm *r, const char *xml, ManagedSecret **ret, GError **err)
{
    Secret *def = record_read_xml(&secret_type, xml, 0, NULL, err);
    ManagedSecret *old = def ? secret_by_uuid(r, def->uuid) : NULL;
    ManagedSecret after = { .realm = r, .def = def, .value = old ? old->value : NULL, .bytes = old ? old->bytes : 0 };
    if (!def || !may_define(r, def, old, err) || !write_files(&after, err)) {
        record_free(def);
        return false;
    }
    if (old) {
        g_hash_table_steal(r->secrets, old->def->uuid);
        record_free(old->def);
    } else {
        old = g_new0(ManagedSecret, 1);
    }
    *old = after;
    g_hash_table_insert(r->secrets, def->uuid, old);
    tell(old, SECRET_DEFINED);
    *ret = old;
    return true;
}

bool secret_set_value(ManagedSecret *s, const void *value, gsize bytes, GError **err)
{
    ManagedSecret after = *s;
    if (bytes > SECRET_VALUE_MAX)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "a secret's value has %d bytes at most", SECRET_VALUE_MAX);
    after.value = g_malloc0(bytes + 1);
    after.bytes = bytes;
    memcpy(after.value, value, bytes);
    if (is_kept(s->realm, s->def) && !write_value(&after, err)) {
        forget_value(&after);
        return false;
    }
    forget_value(s);
    *s = after;
    object_event(s->realm, SUBSCRIBE_SECRET, EVENT_VALUE, s->def->uuid, secret_handle(s), "()");
    return true;
}

bool secret_undefine(ManagedSecret *s, GError **err)
{
    if (!remove_files(s->realm, s->def, err))
        return false;
    tell(s, SECRET_UNDEFINED);
    g_hash_table_remove(s->realm->secrets, s->def->uuid);
    return true;
}
