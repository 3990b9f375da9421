/* handlers_save.c - machines in files: save, restore, managed save, and the definitions in such files. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/saved.h"
#include "manage/daemon/task.h"

enum { XML_SECURE = 1 };

/* ---- save */
static void save_to(ManagedDomain *d, RpcCall *call, const char *path, const char *xml, guint flags)
{
    if (!g_path_is_absolute(path))
        rpc_fail(call, RPC_ERR_INVALID_ARG, "'%s' is no absolute path", path);
    else
        domain_save(d, path, xml, flags, call);
}

static void save(Client *c, RpcCall *call, GVariant *args)
{
    const char *path;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "&s", &path);
    save_to(d, call, path, NULL, 0);
}

static void save_flags(Client *c, RpcCall *call, GVariant *args)
{
    const char *path, *xml;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)&sm&su)", NULL, &path, &xml, &flags);
    save_to(d, call, path, xml, flags);
}

/* VIR_DOMAIN_SAVE_PARAM_FILE, _DXML */
static void take_params(GVariant *list, const char **path, const char **xml)
{
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        const char *name;
        g_autoptr(GVariant) value = NULL;
        g_variant_get_child(list, i, "(&sv)", &name, &value);
        if (!g_variant_is_of_type(value, G_VARIANT_TYPE_STRING))
            continue;
        if (!strcmp(name, "file"))
            *path = g_variant_get_string(value, NULL);
        else if (!strcmp(name, "dxml"))
            *xml = g_variant_get_string(value, NULL);
    }
}

static void save_params(Client *c, RpcCall *call, GVariant *args)
{
    const char *path = NULL, *xml = NULL;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_autoptr(GVariant) list = g_variant_get_child_value(args, 1);
    take_params(list, &path, &xml);
    g_variant_get_child(args, 2, "u", &flags);
    g_autofree char *managed = path ? NULL : managed_save_path(d);
    save_to(d, call, path ? path : managed, xml, flags);
}

static void managed_save(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    g_autofree char *path = managed_save_path(d), *folder = g_path_get_dirname(path);
    if (!d->config)
        rpc_fail(call, RPC_ERR_OPERATION_INVALID, "cannot do managed save for transient domain '%s': save puts it into a file", d->name);
    else if (g_mkdir_with_parents(folder, 0700) < 0)
        rpc_fail(call, RPC_ERR_OPERATION_FAILED, "cannot make the folder '%s': %s", folder, g_strerror(errno));
    else
        domain_save(d, path, NULL, flags, call);
}

/* ---- restore */
static void restore_from(Client *c, RpcCall *call, const char *path, const char *xml, unsigned flags)
{
    SavedHead head = { 0 };
    g_autoptr(GError) err = NULL;
    int fd = saved_open(path, false, &head, &err);
    Domain *def = fd >= 0 ? saved_definition(c->realm, &head, xml, &err) : NULL;
    g_free(head.xml);
    ManagedDomain *named = def ? domain_by_name(c->realm, def->name) : NULL, *other = def ? domain_by_uuid(c->realm, def->uuid) : NULL;
    bool paused = flags & SAVE_PAUSED || (!head.running && !(flags & SAVE_RUNNING));
    if (def && !err && (named ? domain_active(named) || named != other : other != NULL))
        rpc_error_set(&err, RPC_ERR_OPERATION_FAILED, "domain '%s' is already there%s: '%s' is not restored", def->name, named && domain_active(named) ? " and runs" : " with another UUID or name", path);
    if (!err) {
        domain_start_saved(named ? named : domain_add(c->realm, record_copy(def), false), def, fd, paused, call);
        return;
    }
    reply_error(call, err);
    record_free(def);
    if (fd >= 0)
        close(fd);
}

static void restore(Client *c, RpcCall *call, GVariant *args)
{
    const char *path;
    g_variant_get(args, "(&s)", &path);
    restore_from(c, call, path, NULL, 0);
}

static void restore_flags(Client *c, RpcCall *call, GVariant *args)
{
    const char *path, *xml;
    guint flags;
    g_variant_get(args, "(&sm&su)", &path, &xml, &flags);
    restore_from(c, call, path, xml, flags);
}

static void restore_params(Client *c, RpcCall *call, GVariant *args)
{
    const char *path = NULL, *xml = NULL;
    guint flags;
    g_autoptr(GVariant) list = g_variant_get_child_value(args, 0);
    take_params(list, &path, &xml);
    g_variant_get_child(args, 1, "u", &flags);
    if (path)
        restore_from(c, call, path, xml, flags);
    else
        rpc_fail(call, RPC_ERR_INVALID_ARG, "the parameter 'file' is needed");
}

/* ---- the definition within */
static void reply_xml(Client *c, RpcCall *call, const char *path, guint flags)
{
    SavedHead head = { 0 };
    g_autoptr(GError) err = NULL;
    if ((flags & XML_SECURE) && rpc_readonly(c->connection)) {
        rpc_fail(call, RPC_ERR_OPERATION_DENIED, "what is secret in a definition is not shown to a read-only connection");
        return;
    }
    int fd = saved_open(path, false, &head, &err);
    Domain *def = fd >= 0 ? saved_definition(c->realm, &head, NULL, &err) : NULL;
    if (fd >= 0)
        close(fd);
    g_free(head.xml);
    g_autofree char *xml = def ? record_write_xml(def, flags & XML_SECURE ? RECORD_SECRET : 0) : NULL;
    if (xml)
        rpc_reply(call, g_variant_new("(s)", xml));
    else
        reply_error(call, err);
    record_free(def);
}

/* Its state fits the machine that it came from: name and UUID stay. */
static bool is_same_machine(const Domain *before, const Domain *after, GError **err)
{
    return (!strcmp(before->name, after->name) && !strcmp(before->uuid, after->uuid)) ||
           rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "the saved machine is '%s' (%s), the definition's '%s' (%s)", before->name, before->uuid, after->name, after->uuid);
}

static bool change(const Realm *r, int fd, const char *path, SavedHead *head, const char *xml, guint flags, GError **err)
{
    Domain *before = saved_definition(r, head, NULL, err), *after = before ? domain_read(r, xml, err) : NULL;
    bool ok = after && is_same_machine(before, after, err);
    if (ok) {
        g_free(head->xml);
        head->xml = record_write_xml(after, RECORD_LIVE | RECORD_SECRET);
        head->running = flags & SAVE_RUNNING || (head->running && !(flags & SAVE_PAUSED));
        ok = saved_change(fd, path, head, err);
    }
    record_free(before);
    record_free(after);
    return ok;
}

static void define_in(Client *c, RpcCall *call, const char *path, const char *xml, guint flags)
{
    SavedHead head = { 0 };
    g_autoptr(GError) err = NULL;
    int fd = saved_open(path, true, &head, &err);
    if (fd >= 0 && xml)
        change(c->realm, fd, path, &head, xml, flags, &err);
    if (fd >= 0)
        close(fd);
    g_free(head.xml);
    reply_error(call, err);
}

static void get_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *path;
    guint flags;
    g_variant_get(args, "(&su)", &path, &flags);
    reply_xml(c, call, path, flags);
}

static void define_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *path, *xml;
    guint flags;
    g_variant_get(args, "(&s&su)", &path, &xml, &flags);
    define_in(c, call, path, xml, flags);
}

/* ---- managed save */
static ManagedDomain *saved_of_call(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d || managed_save_exists(d))
        return d;
    rpc_fail(call, RPC_ERR_OPERATION_INVALID, "domain '%s' does not have a managed save image", d->name);
    return NULL;
}

static void has_managed_save(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        rpc_reply(call, g_variant_new("(i)", managed_save_exists(d)));
}

static void remove_managed_save(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = saved_of_call(c, call, args);
    if (!d)
        return;
    managed_save_remove(d, &err);
    reply_error(call, err);
}

static void get_managed_xml(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedDomain *d = saved_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    g_autofree char *path = managed_save_path(d);
    reply_xml(c, call, path, flags);
}

static void define_managed_xml(Client *c, RpcCall *call, GVariant *args)
{
    const char *xml;
    guint flags;
    ManagedDomain *d = saved_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)m&su)", NULL, &xml, &flags);
    g_autofree char *path = managed_save_path(d);
    define_in(c, call, path, xml, flags);
}

const Handler save_handlers[] = {
    { "DOMAIN_SAVE", save },
    { "DOMAIN_SAVE_FLAGS", save_flags },
    { "DOMAIN_SAVE_PARAMS", save_params },
    { "DOMAIN_RESTORE", restore },
    { "DOMAIN_RESTORE_FLAGS", restore_flags },
    { "DOMAIN_RESTORE_PARAMS", restore_params },
    { "DOMAIN_SAVE_IMAGE_GET_XML_DESC", get_xml },
    { "DOMAIN_SAVE_IMAGE_DEFINE_XML", define_xml },
    { "DOMAIN_MANAGED_SAVE", managed_save },
    { "DOMAIN_HAS_MANAGED_SAVE_IMAGE", has_managed_save },
    { "DOMAIN_MANAGED_SAVE_REMOVE", remove_managed_save },
    { "DOMAIN_MANAGED_SAVE_GET_XML_DESC", get_managed_xml },
    { "DOMAIN_MANAGED_SAVE_DEFINE_XML", define_managed_xml },
    { NULL },
};
