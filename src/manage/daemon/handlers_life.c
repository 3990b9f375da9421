/* handlers_life.c - what changes domains: definitions, and the verbs of domain_life.c. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/saved.h"
#include "manage/daemon/snapshot.h"
#include "manage/daemon/task.h"
#include "manage/hypervisor/firmware.h"

enum { EVENT_DEFINED = 0, EVENT_UNDEFINED = 1, DEFINED_ADDED = 0, DEFINED_UPDATED = 1 };
enum { UNDEFINE_MANAGED_SAVE = 1, UNDEFINE_SNAPSHOTS = 2, UNDEFINE_NVRAM = 4, UNDEFINE_KEEP_NVRAM = 8 };

static void define(Client *c, RpcCall *call, const char *xml)
{
    g_autoptr(GError) err = NULL;
    ManagedDomain *d;
    bool is_new;
    if (!domain_define(c->realm, xml, &d, &is_new, &err)) {
        reply_bad_xml(call, err);
        return;
    }
    domain_lifecycle(d, EVENT_DEFINED, is_new ? DEFINED_ADDED : DEFINED_UPDATED);
    rpc_reply(call, g_variant_new("(@(ssi))", domain_handle(d)));
}

static void define_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    g_variant_get_child(args, 0, "&s", &xml);
    define(c, call, xml);
}

/* A transient domain: in no file, gone when it stops. */
static void create_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    guint flags;
    g_autoptr(GError) err = NULL;
    g_variant_get(args, "(&su)", &xml, &flags);
    Domain *def = domain_read(c->realm, xml, &err);
    ManagedDomain *named = def ? domain_by_name(c->realm, def->name) : NULL;
    if (!def) {
        rpc_fail(call, RPC_ERR_XML_ERROR, "%s", err->message);
    } else if (named && (domain_active(named) || strcmp(named->uuid, def->uuid))) {
        rpc_fail(call, RPC_ERR_OPERATION_FAILED, "domain '%s' already exists with uuid %s", named->name, named->uuid);
        record_free(def);
    } else if (!named && domain_by_uuid(c->realm, def->uuid)) {
        rpc_fail(call, RPC_ERR_OPERATION_FAILED, "another domain is already defined with uuid %s", def->uuid);
        record_free(def);
    } else {
        domain_start_transient(named ? named : domain_add(c->realm, record_copy(def), false), def, flags, call);
    }
}

/* The firmware's variables that an undefine removes: those that the daemon made, unless they are to stay; a file that the user
 * has named only where that is asked for.  Owned by the caller; NULL: none. */
static char *doomed_variables(const ManagedDomain *d, guint flags)
{
    const char *path = d->config->nvram;
    if (d->realm->in_memory || !path || flags & UNDEFINE_KEEP_NVRAM || access(path, F_OK))
        return NULL;
    g_autofree char *own = firmware_variables_path(&d->realm->daemon->host, d->name);
    return flags & UNDEFINE_NVRAM || g_str_equal(path, own) ? g_strdup(path) : NULL;
}

/* Snapshots go only where that is asked for. */
static bool may_undefine(ManagedDomain *d, guint flags, GError **err)
{
    if (!d->config)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is transient: it has no definition", d->name);
    if ((flags & UNDEFINE_NVRAM) && (flags & UNDEFINE_KEEP_NVRAM))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "the variables of the firmware of domain '%s' cannot both go and stay: say one of --nvram and --keep-nvram", d->name);
    if (managed_save_exists(d) && !(flags & UNDEFINE_MANAGED_SAVE))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "Refusing to undefine while domain managed save image exists: --managed-save removes it with domain '%s'", d->name);
    if (managed_save_exists(d) && !managed_save_remove(d, err))
        return false;
    if (!snapshots_count(d) || domain_active(d))
        return true;
    if (!(flags & UNDEFINE_SNAPSHOTS))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' has %u snapshots: --snapshots-metadata forgets them (their images stay), snapshot-delete removes them", d->name,
                             snapshots_count(d));
    return snapshots_forget(d, err);
}

/* Undefines; one that runs goes on as a transient one. */
static bool undefine(ManagedDomain *d, guint flags, GError **err)
{
    if (!may_undefine(d, flags, err))
        return false;
    g_autofree char *nvram = doomed_variables(d, flags);
    if (!d->realm->in_memory) {
        g_autofree char *domains = g_build_filename(d->realm->daemon->config_dir, "domains", NULL), *autostart = g_build_filename(d->realm->daemon->config_dir, "autostart", NULL);
        if (!store_remove(autostart, d->name, err) || !store_remove(domains, d->name, err))
            return false;
    }
    if (nvram && unlink(nvram) < 0 && errno != ENOENT)
        g_warning("domain '%s': its variables '%s' cannot be removed: %s", d->name, nvram, g_strerror(errno));
    domain_ref(d);
    domain_lifecycle(d, EVENT_UNDEFINED, 0);
    if (domain_active(d))
        g_clear_pointer((void **)&d->config, record_free);
    else
        domain_remove(d);
    domain_unref(d);
    return true;
}

static void undefine_domain(Client *c, RpcCall *call, GVariant *args)
{
    guint flags = 0;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    if (g_variant_n_children(args) > 1)
        g_variant_get_child(args, 1, "u", &flags);
    undefine(d, flags, &err);
    reply_error(call, err);
}

static void set_autostart(Client *c, RpcCall *call, GVariant *args)
{
    int on;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "i", &on);
    g_autofree char *folder = g_build_filename(d->realm->daemon->config_dir, "autostart", NULL);
    if (!d->config)
        rpc_error_set(&err, RPC_ERR_OPERATION_INVALID, "domain '%s' is transient: it cannot start by itself", d->name);
    else if (d->realm->in_memory || (on ? store_write(folder, d->name, "<autostart/>\n", &err) : store_remove(folder, d->name, &err)))
        d->autostart = on;
    reply_error(call, err);
}

static void create(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        domain_start(d, 0, call, false);
}

static void create_flags(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    domain_start(d, flags, call, true);
}

static void stop(Client *c, RpcCall *call, GVariant *args, HvStopMode mode)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        domain_stop(d, mode, call);
}

static void destroy(Client *c, RpcCall *call, GVariant *args) { stop(c, call, args, HV_NOW); }
static void reset(Client *c, RpcCall *call, GVariant *args) { stop(c, call, args, HV_RESET); }

static void suspend(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        domain_pause(d, true, call);
}

static void resume(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        domain_pause(d, false, call);
}

const Handler domain_life_handlers[] = {
    { "DOMAIN_DEFINE_XML", define_xml },
    { "DOMAIN_DEFINE_XML_FLAGS", define_xml },
    { "DOMAIN_CREATE_XML", create_xml },
    { "DOMAIN_UNDEFINE", undefine_domain },
    { "DOMAIN_UNDEFINE_FLAGS", undefine_domain },
    { "DOMAIN_SET_AUTOSTART", set_autostart },
    { "DOMAIN_CREATE", create },
    { "DOMAIN_CREATE_WITH_FLAGS", create_flags },
    { "DOMAIN_DESTROY", destroy },
    { "DOMAIN_DESTROY_FLAGS", destroy },
    { "DOMAIN_RESET", reset },
    { "DOMAIN_SUSPEND", suspend },
    { "DOMAIN_RESUME", resume },
    { NULL },
};
