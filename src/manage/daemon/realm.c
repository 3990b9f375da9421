/* realm.c - domains by name, UUID and id. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/daemon/net.h"
#include "manage/daemon/pool.h"
#include "manage/daemon/saved.h"
#include "manage/daemon/secret.h"
#include "manage/daemon/snapshot.h"
#include "manage/hypervisor/firmware.h"

Realm *realm_new(Daemon *d, const char *scheme, bool in_memory)
{
    Realm *r = g_new0(Realm, 1);
    *r = (Realm){ .daemon = d, .scheme = scheme, .in_memory = in_memory, .next_id = 1 };
    r->domains = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)domain_unref);
    r->pools = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)pool_unref);
    r->networks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)network_unref);
    r->secrets = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, secret_free);
    return r;
}

void realm_free(Realm *r)
{
    if (!r)
        return;
    g_autoptr(GList) all = g_hash_table_get_values(r->domains);
    for (GList *l = all; l; l = l->next) {
        ManagedDomain *d = l->data;
        if (d->hv)
            d->driver->leave(g_steal_pointer(&d->hv));
        domain_remove(d);
    }
    g_autoptr(GList) pools = g_hash_table_get_values(r->pools);
    for (GList *l = pools; l; l = l->next)
        pool_remove(l->data);
    g_autoptr(GList) networks = g_hash_table_get_values(r->networks);
    for (GList *l = networks; l; l = l->next)
        network_remove(l->data);
    g_hash_table_unref(r->networks);
    g_hash_table_unref(r->domains);
    g_hash_table_unref(r->pools);
    g_hash_table_unref(r->secrets);
    g_free(r);
}

ManagedDomain *domain_ref(ManagedDomain *d)
{
    g_atomic_ref_count_inc(&d->refs);
    return d;
}

void domain_unref(ManagedDomain *d)
{
    if (!g_atomic_ref_count_dec(&d->refs))
        return;
    snapshots_free(d);
    record_free(d->config);
    record_free(d->live);
    g_free(d->name);
    g_free(d->uuid);
    g_free(d);
}

ManagedDomain *domain_add(Realm *r, Domain *def, bool persistent)
{
    ManagedDomain *d = g_new0(ManagedDomain, 1);
    g_atomic_ref_count_init(&d->refs);
    d->realm = r;
    d->name = g_strdup(def->name);
    d->uuid = g_strdup(def->uuid);
    d->id = -1;
    *(persistent ? &d->config : &d->live) = def;
    d->state = DOMAIN_SHUTOFF;
    d->lane = lane_new(r->daemon->lanes);
    d->queries = lane_new(r->daemon->lanes);
    d->agent = lane_new(r->daemon->lanes);
    d->agent_seconds = AGENT_DEFAULT;
    g_hash_table_insert(r->domains, d->name, d);
    snapshots_load(d);
    return d;
}

void domain_remove(ManagedDomain *d)
{
    if (d->gone)
        return;
    d->gone = true;
    domain_release(d);
    lane_free(g_steal_pointer(&d->lane));
    lane_free(g_steal_pointer(&d->queries));
    lane_free(g_steal_pointer(&d->agent));
    g_hash_table_remove(d->realm->domains, d->name);
}

ManagedDomain *domain_by_name(const Realm *r, const char *name) { return g_hash_table_lookup(r->domains, name); }

static ManagedDomain *find(const Realm *r, bool (*is)(const ManagedDomain *d, const void *key), const void *key)
{
    GHashTableIter i;
    gpointer d;
    g_hash_table_iter_init(&i, r->domains);
    while (g_hash_table_iter_next(&i, NULL, &d))
        if (is(d, key))
            return d;
    return NULL;
}

static bool has_uuid(const ManagedDomain *d, const void *key) { return !strcmp(d->uuid, key); }
static bool has_id(const ManagedDomain *d, const void *key) { return d->id == *(const int *)key; }
ManagedDomain *domain_by_uuid(const Realm *r, const char *uuid) { return find(r, has_uuid, uuid); }
ManagedDomain *domain_by_id(const Realm *r, int id) { return id < 0 ? NULL : find(r, has_id, &id); }

GVariant *domain_handle(const ManagedDomain *d) { return g_variant_new("(ssi)", d->name, d->uuid, d->id); }

ManagedDomain *domain_of_call(Client *c, RpcCall *call, GVariant *args)
{
    const char *name, *uuid;
    g_autoptr(GVariant) handle = g_variant_get_child_value(args, 0);
    g_variant_get(handle, "(&s&si)", &name, &uuid, NULL);
    ManagedDomain *d = domain_by_name(c->realm, name);
    if (!d || strcmp(d->uuid, uuid))
        d = domain_by_uuid(c->realm, uuid);
    if (!d)
        rpc_fail(call, RPC_ERR_NO_DOMAIN, "no domain with matching name '%s' (UUID %s): it has been undefined", name, uuid);
    return d;
}

/* One name, one UUID: a definition with both of an existing domain replaces it, with one of them it is a mistake. */
static bool name_and_uuid_agree(const Realm *r, const Domain *d, GError **err)
{
    const ManagedDomain *named = domain_by_name(r, d->name), *known = domain_by_uuid(r, d->uuid);
    if (named && strcmp(named->uuid, d->uuid))
        return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "domain '%s' already exists with uuid %s: undefine it, or give this one another name", d->name, named->uuid);
    if (known && strcmp(known->name, d->name))
        return rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "domain '%s' is already defined with uuid %s: leave <uuid> out, or rename that domain", known->name, d->uuid);
    return true;
}

static bool of_this_realm(const Realm *r, const Domain *d, GError **err)
{
    if ((d->type == DOMAIN_TEST) == r->in_memory)
        return true;
    return error_set(err, ERR_UNSUPPORTED, r->in_memory ? "test:/// runs <domain type='test'> only, not '%s'" : "<domain type='%s'> belongs to test:///default",
                     record_word(d, "type"));
}

Domain *domain_read(const Realm *r, const char *xml, GError **err)
{
    Domain *d = record_read_xml(&domain_type, xml, RECORD_SECRET, NULL, err);
    if (d && !of_this_realm(r, d, err))
        g_clear_pointer((void **)&d, record_free);
    return d;
}

/* Without a UUID it is the one of that name. */
static Domain *read_definition(const Realm *r, const char *xml, GError **err)
{
    Domain *d = domain_read(r, xml, err);
    const ManagedDomain *named = d ? domain_by_name(r, d->name) : NULL;
    if (named && !strstr(xml, "<uuid>")) {
        g_free(d->uuid);
        d->uuid = g_strdup(named->uuid);
    }
    if (d && !name_and_uuid_agree(r, d, err))
        g_clear_pointer((void **)&d, record_free);
    return d;
}

bool domain_settle(const Realm *r, Domain *def, GError **err)
{
    const HvDriver *v = hv_driver_for(def);
    return record_settle(def, err) && (r->in_memory || !v->settle || v->settle(&r->daemon->host, def, err));
}

bool domain_write(const Realm *r, const Domain *d, GError **err)
{
    if (r->in_memory)
        return true;
    g_autofree char *folder = g_build_filename(r->daemon->config_dir, "domains", NULL), *xml = record_write_xml(d, RECORD_SECRET);
    return store_write(folder, d->name, xml, err);
}

bool domain_define(Realm *r, const char *xml, ManagedDomain **ret, bool *ret_new, GError **err)
{
    Domain *config = read_definition(r, xml, err);
    if (!config)
        return false;
    if (!domain_settle(r, config, err) || !domain_write(r, config, err)) {
        record_free(config);
        return false;
    }
    ManagedDomain *d = domain_by_name(r, config->name);
    *ret_new = !d;
    if (d) {
        record_free(d->config);
        d->config = config;
        d->updated = true;
    } else {
        d = domain_add(r, config, true);
    }
    *ret = d;
    return true;
}

/* Variables of firmware that have the machine's name go with it: the next machine of that name makes its own. */
static bool rename_variables(const Realm *r, Domain *d, const char *from, GError **err)
{
    g_autofree char *old = firmware_variables_path(&r->daemon->host, from), *new = firmware_variables_path(&r->daemon->host, d->name);
    if (r->in_memory || g_strcmp0(d->nvram, old))
        return true;
    if (g_rename(old, new) < 0 && errno != ENOENT)
        return error_set_errno(err, errno, "cannot rename '%s', the variables of the firmware of domain '%s'", old, from);
    g_free(d->nvram);
    d->nvram = g_steal_pointer(&new);
    return true;
}

/* The new file is there before the old one goes: a crash between leaves both, of which the reader takes one. */
bool domain_rename(ManagedDomain *d, const char *name, GError **err)
{
    Realm *r = d->realm;
    g_autofree char *folder = g_build_filename(r->daemon->config_dir, "domains", NULL), *old = g_strdup(d->name);
    if (domain_active(d) || !d->config)
        return error_set(err, ERR_INVALID, "domain '%s' cannot be renamed while it runs", d->name);
    if (managed_save_exists(d))
        return error_set(err, ERR_INVALID, "domain '%s' has a managed save, which is of that name: start it, or `managedsave-remove` it, first", d->name);
    if (domain_by_name(r, name))
        return error_set(err, ERR_INVALID, "domain '%s' already exists", name);
    Domain *renamed = record_copy(d->config);
    g_free(renamed->name);
    renamed->name = g_strdup(name);
    if (!record_field(&domain_type, "name")->check(name, err) || !rename_variables(r, renamed, old, err) || !domain_write(r, renamed, err)) {
        record_free(renamed);
        return false;
    }
    record_free(d->config);
    d->config = renamed;
    g_hash_table_steal(r->domains, d->name);
    g_free(d->name);
    d->name = g_strdup(name);
    g_hash_table_insert(r->domains, d->name, d);
    return r->in_memory || store_remove(folder, old, err);
}
