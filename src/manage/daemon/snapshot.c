/* snapshot.c - the tree of a domain's snapshots, and its files. */
#include "manage/daemon/snapshot.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"

static char *folder_of(const ManagedDomain *d) { return g_build_filename(d->realm->daemon->config_dir, "snapshots", d->uuid, NULL); }

static void keep(ManagedDomain *d, Snapshot *s)
{
    if (!d->snapshots)
        d->snapshots = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, record_free);
    g_hash_table_replace(d->snapshots, s->name, s);
}

static void load_one(const char *name, const char *text, void *opaque)
{
    ManagedDomain *d = opaque;
    g_autoptr(GError) err = NULL;
    Snapshot *s = record_read_xml(&snapshot_type, text, RECORD_LIVE | RECORD_SECRET, NULL, &err);
    if (s && s->name && s->domain)
        keep(d, s);
    else
        g_warning("the snapshot '%s' of domain '%s' cannot be read, and is left as it is: %s", name, d->name, err ? err->message : "its name or <domain> is missing");
}

void snapshots_load(ManagedDomain *d)
{
    g_autofree char *folder = folder_of(d);
    if (!d->realm->in_memory && g_file_test(folder, G_FILE_TEST_IS_DIR))
        store_each(folder, load_one, d);
}

void snapshots_free(ManagedDomain *d) { g_clear_pointer(&d->snapshots, g_hash_table_unref); }

Snapshot *snapshot_by_name(const ManagedDomain *d, const char *name) { return d->snapshots && name ? g_hash_table_lookup(d->snapshots, name) : NULL; }
guint snapshots_count(const ManagedDomain *d) { return d->snapshots ? g_hash_table_size(d->snapshots) : 0; }

Snapshot *snapshot_current(const ManagedDomain *d)
{
    GHashTableIter i;
    gpointer s;
    if (!d->snapshots)
        return NULL;
    g_hash_table_iter_init(&i, d->snapshots);
    while (g_hash_table_iter_next(&i, NULL, &s))
        if (((Snapshot *)s)->current == 1)
            return s;
    return NULL;
}

static int by_name(gconstpointer a, gconstpointer b) { return strcmp((*(Snapshot *const *)a)->name, (*(Snapshot *const *)b)->name); }

/* A parent that is not there is none. */
static bool is_child(const ManagedDomain *d, const Snapshot *s, const char *of)
{
    const char *parent = snapshot_by_name(d, s->parent) ? s->parent : NULL;
    return !g_strcmp0(parent, of);
}

static void add_children(const ManagedDomain *d, const char *of, bool deep, GPtrArray *to)
{
    g_autoptr(GPtrArray) children = g_ptr_array_new();
    GHashTableIter i;
    gpointer s;
    g_hash_table_iter_init(&i, d->snapshots);
    while (g_hash_table_iter_next(&i, NULL, &s))
        if (is_child(d, s, of))
            g_ptr_array_add(children, s);
    g_ptr_array_sort(children, by_name);
    for (guint n = 0; n < children->len && to->len < snapshots_count(d); n++) { /* a circle of parents would have no end */
        g_ptr_array_add(to, children->pdata[n]);
        if (deep)
            add_children(d, ((Snapshot *)children->pdata[n])->name, true, to);
    }
}

GPtrArray *snapshots_listed(const ManagedDomain *d, const char *under, bool deep)
{
    GPtrArray *list = g_ptr_array_new();
    if (d->snapshots)
        add_children(d, under, deep, list);
    return list;
}

bool snapshot_write(const ManagedDomain *d, const Snapshot *s, GError **err)
{
    g_autofree char *folder = folder_of(d), *xml = record_write_xml(s, RECORD_LIVE | RECORD_SECRET);
    return d->realm->in_memory || store_write(folder, s->name, xml, err);
}

bool snapshot_set_current(ManagedDomain *d, Snapshot *s, GError **err)
{
    Snapshot *before = snapshot_current(d);
    if (before == s)
        return true;
    if (s)
        s->current = 1;
    if (s && !snapshot_write(d, s, err)) {
        s->current = RECORD_NONE;
        return false;
    }
    if (before)
        before->current = RECORD_NONE;
    return !before || snapshot_write(d, before, err);
}

bool snapshot_add(ManagedDomain *d, Snapshot *s, bool current, GError **err)
{
    s->current = RECORD_NONE;
    if (!snapshot_write(d, s, err)) {
        record_free(s);
        return false;
    }
    keep(d, s);
    return !current || snapshot_set_current(d, s, err);
}

bool snapshot_drop(ManagedDomain *d, Snapshot *s, GError **err)
{
    g_autofree char *folder = folder_of(d);
    g_autoptr(GPtrArray) children = snapshots_listed(d, s->name, false);
    Snapshot *parent = snapshot_by_name(d, s->parent);
    for (guint i = 0; i < children->len; i++) {
        Snapshot *child = children->pdata[i];
        g_free(child->parent);
        child->parent = parent ? g_strdup(parent->name) : NULL;
        if (!snapshot_write(d, child, err))
            return false;
    }
    if (s->current == 1 && parent && !snapshot_set_current(d, parent, err))
        return false;
    if (!d->realm->in_memory && !store_remove(folder, s->name, err))
        return false;
    g_hash_table_remove(d->snapshots, s->name);
    if (!snapshots_count(d))
        g_rmdir(folder);
    return true;
}

const SnapshotDisk *snapshot_disk(const Snapshot *s, const char *target)
{
    for (guint i = 0; s->disks && i < s->disks->len; i++)
        if (!strcmp(((SnapshotDisk *)s->disks->pdata[i])->name, target))
            return s->disks->pdata[i];
    return NULL;
}

bool snapshots_forget(ManagedDomain *d, GError **err)
{
    for (Snapshot *s; d->snapshots;) {
        GHashTableIter i;
        gpointer value;
        g_hash_table_iter_init(&i, d->snapshots);
        if (!g_hash_table_iter_next(&i, NULL, &value))
            break;
        s = value;
        if (!snapshot_drop(d, s, err))
            return false;
    }
    return true;
}
