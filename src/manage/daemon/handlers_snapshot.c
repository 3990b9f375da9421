/* handlers_snapshot.c - what is asked of snapshots and answered at once. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/snapshot_jobs.h"

/* virDomainSnapshotListFlags; of each group that is asked for, one must be true. */
enum {
    LIST_ROOTS = 1, LIST_METADATA = 2, LIST_LEAVES = 4, LIST_NO_LEAVES = 8, LIST_NO_METADATA = 16, LIST_INACTIVE = 32, LIST_ACTIVE = 64, LIST_DISK_ONLY = 128,
    LIST_INTERNAL = 256, LIST_EXTERNAL = 512, LIST_DESCENDANTS = 1,
};

ManagedDomain *snapshot_of_call(Client *c, RpcCall *call, GVariant *args, Snapshot **ret)
{
    const char *name, *uuid;
    g_autoptr(GVariant) handle = g_variant_get_child_value(args, 0);
    g_variant_get(handle, "(&s(&s&si))", &name, NULL, &uuid, NULL);
    ManagedDomain *d = domain_by_uuid(c->realm, uuid);
    *ret = d ? snapshot_by_name(d, name) : NULL;
    if (!d)
        rpc_fail(call, RPC_ERR_NO_DOMAIN, "no domain with UUID %s: it has been undefined", uuid);
    else if (!*ret)
        rpc_fail(call, RPC_ERR_NO_DOMAIN_SNAPSHOT, "domain '%s' has no snapshot '%s'", d->name, name);
    return *ret ? d : NULL;
}

static bool has_disk(const Snapshot *s, SnapshotMode mode)
{
    for (guint i = 0; s->disks && i < s->disks->len; i++)
        if (((SnapshotDisk *)s->disks->pdata[i])->mode == mode)
            return true;
    return false;
}

static bool is_wanted(const ManagedDomain *d, const Snapshot *s, guint flags)
{
    static const guint groups[] = { LIST_LEAVES | LIST_NO_LEAVES, LIST_METADATA | LIST_NO_METADATA, LIST_INACTIVE | LIST_ACTIVE | LIST_DISK_ONLY, LIST_INTERNAL | LIST_EXTERNAL };
    g_autoptr(GPtrArray) children = snapshots_listed(d, s->name, false);
    guint bits = LIST_METADATA | (children->len ? LIST_NO_LEAVES : LIST_LEAVES) | (has_disk(s, SNAPSHOT_EXTERNAL) ? LIST_EXTERNAL : LIST_INTERNAL);
    bits |= !g_strcmp0(s->state, "shutoff") ? LIST_INACTIVE : !g_strcmp0(s->state, "disk-snapshot") ? LIST_DISK_ONLY : LIST_ACTIVE;
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++)
        if ((flags & groups[i]) && !(flags & groups[i] & bits))
            return false;
    return true;
}

/* Parents before children. */
static GPtrArray *wanted(const ManagedDomain *d, const char *under, guint flags)
{
    bool deep = under ? flags & LIST_DESCENDANTS : !(flags & LIST_ROOTS);
    GPtrArray *list = snapshots_listed(d, under, deep);
    for (guint i = 0; i < list->len;)
        if (is_wanted(d, list->pdata[i], flags))
            i++;
        else
            g_ptr_array_remove_index(list, i);
    return list;
}

static GVariant *handle_of(const ManagedDomain *d, const Snapshot *s) { return g_variant_new("(s@(ssi))", s->name, domain_handle(d)); }

static void reply_handles(RpcCall *call, const ManagedDomain *d, const GPtrArray *list, bool all)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(s(ssi))"));
    for (guint i = 0; all && i < list->len; i++)
        g_variant_builder_add_value(&b, handle_of(d, list->pdata[i]));
    rpc_reply(call, g_variant_new("(a(s(ssi))i)", &b, (int)list->len));
}

static void reply_names(RpcCall *call, const GPtrArray *list, int most)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; i < list->len && (int)i < most; i++)
        g_variant_builder_add(&b, "s", ((Snapshot *)list->pdata[i])->name);
    rpc_reply(call, g_variant_new("(as)", &b));
}

/* ---- of a domain */
static void list_all(Client *c, RpcCall *call, GVariant *args)
{
    int room;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)iu)", NULL, &room, &flags);
    g_autoptr(GPtrArray) list = wanted(d, NULL, flags);
    reply_handles(call, d, list, room);
}

static void list_names(Client *c, RpcCall *call, GVariant *args)
{
    int most;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)iu)", NULL, &most, &flags);
    g_autoptr(GPtrArray) list = wanted(d, NULL, flags);
    reply_names(call, list, most);
}

static void count(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    g_autoptr(GPtrArray) list = wanted(d, NULL, flags);
    rpc_reply(call, g_variant_new("(i)", (int)list->len));
}

static void lookup(Client *c, RpcCall *call, GVariant *args)
{
    const char *name;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "&s", &name);
    const Snapshot *s = snapshot_by_name(d, name);
    if (s)
        rpc_reply(call, g_variant_new("(@(s(ssi)))", handle_of(d, s)));
    else
        rpc_fail(call, RPC_ERR_NO_DOMAIN_SNAPSHOT, "Domain snapshot not found: no domain snapshot with matching name '%s'", name);
}

static void has_current(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    if (d)
        rpc_reply(call, g_variant_new("(i)", snapshot_current(d) != NULL));
}

static void current(Client *c, RpcCall *call, GVariant *args)
{
    ManagedDomain *d = domain_of_call(c, call, args);
    const Snapshot *s = d ? snapshot_current(d) : NULL;
    if (s)
        rpc_reply(call, g_variant_new("(@(s(ssi)))", handle_of(d, s)));
    else if (d)
        rpc_fail(call, RPC_ERR_NO_DOMAIN_SNAPSHOT, "the domain does not have a current snapshot");
}

/* ---- of a snapshot */
static void get_xml(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    Snapshot *s;
    if (!snapshot_of_call(c, call, args, &s))
        return;
    g_variant_get_child(args, 1, "u", &flags);
    if ((flags & 1) && rpc_readonly(c->connection)) {
        rpc_fail(call, RPC_ERR_OPERATION_DENIED, "what is secret in a definition is not shown to a read-only connection");
        return;
    }
    g_autofree char *xml = record_write_xml(s, flags & 1 ? RECORD_SECRET : 0);
    rpc_reply(call, g_variant_new("(s)", xml));
}

static void get_parent(Client *c, RpcCall *call, GVariant *args)
{
    Snapshot *s;
    ManagedDomain *d = snapshot_of_call(c, call, args, &s);
    const Snapshot *parent = d ? snapshot_by_name(d, s->parent) : NULL;
    if (parent)
        rpc_reply(call, g_variant_new("(@(s(ssi)))", handle_of(d, parent)));
    else if (d)
        rpc_fail(call, RPC_ERR_NO_DOMAIN_SNAPSHOT, "snapshot '%s' does not have a parent", s->name);
}

static void is_current(Client *c, RpcCall *call, GVariant *args)
{
    Snapshot *s;
    if (snapshot_of_call(c, call, args, &s))
        rpc_reply(call, g_variant_new("(i)", s->current == 1));
}

static void has_metadata(Client *c, RpcCall *call, GVariant *args)
{
    Snapshot *s;
    if (snapshot_of_call(c, call, args, &s))
        rpc_reply(call, g_variant_new("(i)", 1));
}

static void count_children(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    Snapshot *s;
    ManagedDomain *d = snapshot_of_call(c, call, args, &s);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    g_autoptr(GPtrArray) list = wanted(d, s->name, flags);
    rpc_reply(call, g_variant_new("(i)", (int)list->len));
}

static void list_children(Client *c, RpcCall *call, GVariant *args)
{
    int room;
    guint flags;
    Snapshot *s;
    ManagedDomain *d = snapshot_of_call(c, call, args, &s);
    if (!d)
        return;
    g_variant_get(args, "(@(s(ssi))iu)", NULL, &room, &flags);
    g_autoptr(GPtrArray) list = wanted(d, s->name, flags);
    if (strcmp(rpc_call_procedure(call)->name, "DOMAIN_SNAPSHOT_LIST_CHILDREN_NAMES"))
        reply_handles(call, d, list, room);
    else
        reply_names(call, list, room);
}

const Handler snapshot_handlers[] = {
    { "DOMAIN_SNAPSHOT_CREATE_XML", snapshot_take },
    { "DOMAIN_REVERT_TO_SNAPSHOT", snapshot_revert },
    { "DOMAIN_SNAPSHOT_DELETE", snapshot_delete },
    { "DOMAIN_LIST_ALL_SNAPSHOTS", list_all },
    { "DOMAIN_SNAPSHOT_LIST_NAMES", list_names },
    { "DOMAIN_SNAPSHOT_NUM", count },
    { "DOMAIN_SNAPSHOT_LOOKUP_BY_NAME", lookup },
    { "DOMAIN_HAS_CURRENT_SNAPSHOT", has_current },
    { "DOMAIN_SNAPSHOT_CURRENT", current },
    { "DOMAIN_SNAPSHOT_GET_XML_DESC", get_xml },
    { "DOMAIN_SNAPSHOT_GET_PARENT", get_parent },
    { "DOMAIN_SNAPSHOT_IS_CURRENT", is_current },
    { "DOMAIN_SNAPSHOT_HAS_METADATA", has_metadata },
    { "DOMAIN_SNAPSHOT_NUM_CHILDREN", count_children },
    { "DOMAIN_SNAPSHOT_LIST_CHILDREN_NAMES", list_children },
    { "DOMAIN_SNAPSHOT_LIST_ALL_CHILDREN", list_children },
    { NULL },
};
