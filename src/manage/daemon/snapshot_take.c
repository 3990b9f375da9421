/* snapshot_take.c - taking a snapshot of a domain's disks, and going back to one. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/daemon/snapshot_jobs.h"
#include "manage/hypervisor/image.h"

enum {
    TAKE_REDEFINE = 1, TAKE_CURRENT = 2, TAKE_NO_METADATA = 4, TAKE_HALT = 8, TAKE_DISK_ONLY = 16, TAKE_REUSE = 32, TAKE_QUIESCE = 64,
    REVERT_RUNNING = 1, REVERT_PAUSED = 2,
};
enum { DEFINED_FROM_SNAPSHOT = 3, LIFE_DEFINED = 0 };

typedef struct Take {
    Snapshot *snapshot;
    guint flags;
    bool running, paused;
    GPtrArray *disks;    /* Disk: as they are now, of those that are kept externally */
    GPtrArray *overlays; /* Layer: each one's new image */
    GPtrArray *inside;   /* Disk: of those that are kept internally */
    Domain *config;      /* with the overlays */
    guint made, marked;  /* images and marks that are to be undone */
    char *agent;         /* the guest's, which keeps its file systems still meanwhile; or NULL */
    int agent_seconds;
} Take;

static void take_free(void *data)
{
    Take *k = data;
    record_free(k->snapshot);
    record_free(k->config);
    g_free(k->agent);
    g_ptr_array_unref(k->disks);
    g_ptr_array_unref(k->overlays);
    g_ptr_array_unref(k->inside);
    g_free(k);
}

static Take *take_new(Snapshot *s, guint flags)
{
    Take *k = g_new0(Take, 1);
    *k = (Take){ .snapshot = s, .flags = flags, .disks = g_ptr_array_new_with_free_func(record_free), .overlays = g_ptr_array_new_with_free_func(record_free),
                 .inside = g_ptr_array_new_with_free_func(record_free) };
    return k;
}

/* ---- what is kept how */
static SnapshotDisk *disk_row(Snapshot *s, const Disk *disk)
{
    for (guint i = 0; s->disks && i < s->disks->len; i++) {
        SnapshotDisk *row = s->disks->pdata[i];
        if (!strcmp(row->name, disk->target) || !g_strcmp0(row->name, image_path(disk))) {
            g_free(row->name);
            row->name = g_strdup(disk->target);
            return row;
        }
    }
    SnapshotDisk *row = record_new(record_field(&snapshot_type, "disks")->record);
    row->name = g_strdup(disk->target);
    if (!s->disks)
        s->disks = g_ptr_array_new_with_free_func(record_free);
    g_ptr_array_add(s->disks, row);
    return row;
}

static bool can_keep(const Disk *disk) { return image_path(disk) && !disk->readonly && disk->device != DISK_CDROM && disk->device != DISK_FLOPPY; }

/* /images/a.qcow2 and "before" are /images/a.before, as libvirt calls it. */
static char *overlay_path(const char *image, const char *name)
{
    const char *base = strrchr(image, '/'), *dot = strrchr(base ? base : image, '.');
    return g_strdup_printf("%.*s.%s", dot ? (int)(dot - image) : (int)strlen(image), image, name);
}

static Layer *overlay_layer(const Disk *disk, const char *path)
{
    Layer *l = record_new(&layer_record);
    l->type = DISK_FILE;
    l->file = g_strdup(path);
    l->format = g_strdup("qcow2");
    l->source_index = disk_next_index(disk);
    l->backing = disk_chain(disk);
    if (l->backing && !l->backing->backing)
        l->backing->backing = record_new(&layer_record);
    return l;
}

static bool keep_disk(const ManagedDomain *d, Take *k, const Disk *disk, GError **err)
{
    SnapshotDisk *row = disk_row(k->snapshot, disk);
    if (!row->mode)
        row->mode = !can_keep(disk) ? SNAPSHOT_NO : (k->flags & TAKE_DISK_ONLY) || row->file ? SNAPSHOT_EXTERNAL : SNAPSHOT_INTERNAL;
    if (row->mode == SNAPSHOT_NO || row->mode == SNAPSHOT_MANUAL)
        return true;
    if (!can_keep(disk))
        return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "disk '%s' has no image that could be kept: say snapshot='no' of it", disk->target);
    if (disk->encryption) /* and what is written above it would not be */
        return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "disk '%s' is encrypted, and snapshots of such images are not built: say snapshot='no' of it", disk->target);
    if (row->mode == SNAPSHOT_INTERNAL && k->flags & TAKE_DISK_ONLY && k->running)
        return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "disk '%s': of a running machine a snapshot of disks alone goes on in another image: external", disk->target);
    if (row->mode == SNAPSHOT_INTERNAL && !d->realm->in_memory && g_strcmp0(disk->format, "qcow2"))
        return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "disk '%s' is '%s', and only qcow2 keeps snapshots within: --disk-only goes on in an image above it", disk->target,
                             disk->format ? disk->format : "raw");
    if (row->mode == SNAPSHOT_INTERNAL) {
        g_ptr_array_add(k->inside, record_copy(disk));
        return true;
    }
    row->type = DISK_FILE;
    if (!row->file)
        row->file = overlay_path(image_path(disk), k->snapshot->name);
    if (row->format && strcmp(row->format, "qcow2"))
        return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "disk '%s': an image above another one is qcow2, not '%s'", disk->target, row->format);
    if (!row->format)
        row->format = g_strdup("qcow2");
    g_ptr_array_add(k->disks, record_copy(disk));
    g_ptr_array_add(k->overlays, overlay_layer(disk, row->file));
    return true;
}

/* The definition, with the images that the running machine has now. */
static Domain *domain_then(const ManagedDomain *d)
{
    Domain *then = record_copy(d->config ? d->config : d->live);
    const GPtrArray *now = d->live ? d->live->devices->disks : NULL;
    for (guint i = 0; now && i < now->len; i++) {
        const Disk *live = now->pdata[i];
        Disk *disk = disk_find(then, live->target);
        Layer *image = disk && image_path(live) ? image_layer(live) : NULL;
        if (image)
            disk_set_image(disk, image);
        if (disk)
            disk->source_index = RECORD_NONE;
        record_free(image);
    }
    return then;
}

/* NULL: one of its disks is not in the definition. */
static Domain *domain_after(const ManagedDomain *d, const Take *k)
{
    Domain *after = d->config ? record_copy(d->config) : NULL;
    for (guint i = 0; after && i < k->disks->len; i++) {
        Disk *disk = disk_find(after, ((Disk *)k->disks->pdata[i])->target);
        if (!disk)
            continue;
        disk_set_image(disk, k->overlays->pdata[i]);
        disk->source_index = RECORD_NONE;
        g_clear_pointer((void **)&disk->backing, record_free);
    }
    return after;
}

static bool may_take(Task *t, const Take *k, GError **err)
{
    const ManagedDomain *d = t->domain;
    if (k->snapshot->memory_file || !g_strcmp0(k->snapshot->memory, "external"))
        return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "snapshots with memory are not built: --disk-only takes the disks alone");
    if (k->running && k->inside->len && !d->realm->in_memory)
        return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "domain '%s' runs, and a snapshot with its memory is not built: --disk-only takes its disks alone, or shut it down first", d->name);
    if (k->flags & TAKE_QUIESCE && (!k->running || !(k->flags & TAKE_DISK_ONLY)))
        return rpc_error_set(err, RPC_ERR_ARGUMENT_UNSUPPORTED, "--quiesce goes with --disk-only, of a machine that runs: its guest keeps its file systems still meanwhile");
    if (snapshot_by_name(d, k->snapshot->name))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain snapshot '%s' already exists", k->snapshot->name);
    return k->disks->len || k->inside->len || d->realm->in_memory || rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' has no disk that could be kept", d->name);
}

static bool take_begin(Task *t, GError **err)
{
    Take *k = t->data;
    ManagedDomain *d = t->domain;
    Snapshot *s = k->snapshot;
    const GPtrArray *disks = domain_now(d)->devices->disks;
    k->running = t->hv && domain_active(d);
    k->paused = d->state == DOMAIN_PAUSED;
    for (guint i = 0; s->disks && i < s->disks->len; i++)
        if (!disk_find(domain_now(d), ((SnapshotDisk *)s->disks->pdata[i])->name))
            return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "domain '%s' has no disk '%s'", d->name, ((SnapshotDisk *)s->disks->pdata[i])->name);
    for (guint i = 0; disks && i < disks->len; i++)
        if (!keep_disk(d, k, disks->pdata[i], err))
            return false;
    if (!may_take(t, k, err))
        return false;
    if (k->flags & TAKE_QUIESCE && !(k->agent = g_strdup(agent_path(d, err))))
        return false;
    k->agent_seconds = d->agent_seconds;
    const Snapshot *current = snapshot_current(d);
    g_free(s->state);
    s->state = g_strdup(!k->running ? "shutoff" : k->flags & TAKE_DISK_ONLY || !d->realm->in_memory ? "disk-snapshot" : k->paused ? "paused" : "running");
    s->created = g_get_real_time() / G_USEC_PER_SEC;
    s->parent = current ? g_strdup(current->name) : NULL;
    s->memory = s->memory ? s->memory : g_strdup("no");
    record_free(s->domain);
    s->domain = domain_then(d);
    k->config = domain_after(d, k);
    return true;
}

static bool make_overlay(const Task *t, const Take *k, guint i, GError **err)
{
    const Disk *disk = k->disks->pdata[i];
    const char *path = ((Layer *)k->overlays->pdata[i])->file, *tool = t->domain->realm->daemon->image_tool;
    if (k->flags & TAKE_REUSE)
        return access(path, R_OK | W_OK) == 0 || error_set_errno(err, errno, "disk '%s': cannot go on in '%s'", disk->target, path);
    if (access(path, F_OK) == 0)
        return rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "disk '%s': '%s' exists already: name another file, or --reuse-external", disk->target, path);
    return image_run(tool, NULL, err, "create", "-q", "-f", "qcow2", "-b", image_path(disk), "-F", disk->format ? disk->format : "raw", path, NULL);
}

static void undo(const Task *t, Take *k)
{
    for (; k->made && !(k->flags & TAKE_REUSE); k->made--)
        unlink(((Layer *)k->overlays->pdata[k->made - 1])->file);
    for (; k->marked; k->marked--)
        image_run(t->domain->realm->daemon->image_tool, NULL, NULL, "snapshot", "-q", "-d", k->snapshot->name, image_path(k->inside->pdata[k->marked - 1]), NULL);
}

static bool freeze(const Task *t, const Take *k, bool freeze, GError **err)
{
    Agent *a = agent_open(k->agent, k->agent_seconds, task_cancel(t), err);
    g_autofree char *command = agent_command(freeze ? "guest-fsfreeze-freeze" : "guest-fsfreeze-thaw", NULL);
    g_autoptr(JsonNode) answer = a ? agent_ask(a, command, err) : NULL;
    if (a)
        agent_close(a);
    return answer;
}

/* Frozen file systems hold up a whole guest: they are so only while images are put above, and thawed also where freezing failed halfway. */
static bool put_above(const Task *t, const Take *k, GError **err)
{
    g_autoptr(GError) thaw = NULL;
    if (!t->driver->overlay)
        return task_unsupported(t, "put an image above a disk", err);
    bool ok = (!k->agent || freeze(t, k, true, err)) && t->driver->overlay(t->hv, k->disks, k->overlays, err);
    if (k->agent && !freeze(t, k, false, &thaw) && ok)
        g_warning("domain '%s': the guest's file systems stay frozen until domfsthaw: %s", t->domain->name, thaw->message);
    return ok;
}

static bool take_run(Task *t, GError **err)
{
    Take *k = t->data;
    bool ok = true;
    if (t->domain->realm->in_memory)
        return true;
    for (; ok && k->made < k->disks->len; k->made += ok)
        ok = make_overlay(t, k, k->made, err);
    for (; ok && k->marked < k->inside->len; k->marked += ok)
        ok = image_run(t->domain->realm->daemon->image_tool, NULL, err, "snapshot", "-q", "-c", k->snapshot->name, image_path(k->inside->pdata[k->marked]), NULL);
    if (ok && k->running && k->disks->len)
        ok = put_above(t, k, err);
    if (!ok)
        undo(t, k);
    return ok;
}

static void go_on_above(ManagedDomain *d, const Take *k)
{
    for (guint i = 0; i < k->disks->len; i++) {
        Disk *disk = disk_find(d->live, ((Disk *)k->disks->pdata[i])->target);
        if (disk)
            disk_set_image(disk, k->overlays->pdata[i]);
    }
    domain_write_record(d, d->live, NULL);
}

static GVariant *handle(const ManagedDomain *d, const Snapshot *s) { return g_variant_new("(s@(ssi))", s->name, domain_handle(d)); }

/* First what the machine stands on is written down, then that there is a snapshot. */
static bool take_done(Task *t, GError **err)
{
    Take *k = t->data;
    ManagedDomain *d = t->domain;
    if (k->running && d->live && domain_active(d))
        go_on_above(d, k);
    if (k->config && k->disks->len) {
        if (!domain_write(d->realm, k->config, err))
            return false;
        record_free(d->config);
        d->config = g_steal_pointer(&k->config);
    }
    t->reply = g_variant_new("(@(s(ssi)))", handle(d, k->snapshot));
    bool halt = k->flags & TAKE_HALT && domain_active(d);
    if (!(k->flags & TAKE_NO_METADATA) && !snapshot_add(d, g_steal_pointer(&k->snapshot), true, err)) {
        g_variant_unref(g_variant_ref_sink(g_steal_pointer(&t->reply)));
        return false;
    }
    if (halt)
        domain_stop(d, HV_NOW, NULL);
    return true;
}

/* ---- a document that is put back: no image is touched */
static void redefine(RpcCall *call, ManagedDomain *d, Snapshot *s, guint flags)
{
    g_autoptr(GError) err = NULL;
    const Snapshot *old = snapshot_by_name(d, s->name);
    g_autoptr(GVariant) reply = g_variant_ref_sink(g_variant_new("(@(s(ssi)))", handle(d, s)));
    if (s->parent && (!snapshot_by_name(d, s->parent) || !strcmp(s->parent, s->name)))
        rpc_error_set(&err, RPC_ERR_INVALID_ARG, "snapshot '%s' is to come after '%s', which is not there: redefine that one first", s->name, s->parent);
    if (!s->domain && old)
        s->domain = record_copy(old->domain);
    if (!s->domain)
        s->domain = domain_then(d);
    if (err)
        record_free(s);
    else
        snapshot_add(d, s, flags & TAKE_CURRENT, &err);
    if (err)
        rpc_fail_error(call, err);
    else
        rpc_reply(call, g_steal_pointer(&reply));
}

void snapshot_take(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "snapshot-create", .begin = take_begin, .run = take_run, .done = take_done, .free = take_free };
    const char *xml;
    guint flags;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)&su)", NULL, &xml, &flags);
    Snapshot *s = record_read_xml(&snapshot_type, xml, flags & TAKE_REDEFINE ? RECORD_SECRET : 0, NULL, &err);
    if (!s) {
        rpc_fail(call, RPC_ERR_XML_ERROR, "%s", err->message);
        return;
    }
    if (!s->name)
        s->name = g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time() / G_USEC_PER_SEC);
    if (flags & TAKE_REDEFINE) {
        redefine(call, d, s, flags);
        return;
    }
    g_clear_pointer(&s->parent, g_free); /* the current one, whatever is said */
    if (!s->memory && !(flags & TAKE_DISK_ONLY) && domain_active(d))
        s->memory = g_strdup("internal");
    task_push(d, call, &type, take_new(s, flags));
}

/* ---- going back */
typedef struct Revert {
    char *name;
    guint flags;
    bool running;
    Domain *config;
    GPtrArray *inside;  /* char *: images that have it within */
    GPtrArray *bases, *formats, *overlays; /* char *: what is gone on from, in what */
    GPtrArray *left;    /* char *: images that nobody needs any more */
    guint made;
} Revert;

static void revert_free(void *data)
{
    Revert *r = data;
    GPtrArray *const lists[] = { r->inside, r->bases, r->formats, r->overlays, r->left };
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++)
        g_ptr_array_unref(lists[i]);
    record_free(r->config);
    g_free(r->name);
    g_free(r);
}

static char *free_path(const char *base, const char *name)
{
    for (unsigned n = 1;; n++) {
        g_autofree char *word = g_strdup_printf("%s-%u", name, n), *path = overlay_path(base, word);
        if (access(path, F_OK) < 0)
            return g_steal_pointer(&path);
    }
}

static bool revert_disk(Revert *r, const Snapshot *s, Disk *disk, GError **err)
{
    const SnapshotDisk *row = snapshot_disk(s, disk->target);
    const char *path = image_path(disk);
    if (!row || row->mode == SNAPSHOT_NO || row->mode == SNAPSHOT_MANUAL || !path)
        return true;
    if (row->mode == SNAPSHOT_INTERNAL) {
        g_ptr_array_add(r->inside, g_strdup(path));
        return true;
    }
    char *overlay = free_path(path, s->name);
    g_ptr_array_add(r->bases, g_strdup(path));
    g_ptr_array_add(r->formats, g_strdup(disk->format ? disk->format : "raw"));
    g_ptr_array_add(r->overlays, overlay);
    disk->type = DISK_FILE;
    g_free(disk->file);
    disk->file = g_strdup(overlay);
    g_free(disk->format);
    disk->format = g_strdup("qcow2");
    g_clear_pointer((void **)&disk->backing, record_free);
    return true;
}

/* An image that was begun at a snapshot, and that no snapshot needs, is of no use once it is gone back from. */
static void find_left(const ManagedDomain *d, Revert *r)
{
    const Snapshot *current = snapshot_current(d);
    const GPtrArray *disks = d->config->devices->disks;
    for (guint i = 0; current && disks && i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];
        const SnapshotDisk *row = snapshot_disk(current, disk->target);
        if (row && row->mode == SNAPSHOT_EXTERNAL && disk->file && !snapshot_needs(d, disk->file))
            g_ptr_array_add(r->left, g_strdup(disk->file));
    }
}

static bool revert_begin(Task *t, GError **err)
{
    Revert *r = t->data;
    ManagedDomain *d = t->domain;
    Snapshot *s = snapshot_by_name(d, r->name);
    if (!s)
        return rpc_error_set(err, RPC_ERR_NO_DOMAIN_SNAPSHOT, "domain '%s' has no snapshot '%s'", d->name, r->name);
    if (!d->config)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is transient: it ends when it stops, and so cannot go back", d->name);
    if (!g_strcmp0(s->memory, "external"))
        return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "snapshot '%s' has memory, which is not built", s->name);
    r->running = t->hv && domain_active(d);
    r->config = record_copy(s->domain);
    g_free(r->config->name);
    r->config->name = g_strdup(d->name);
    for (guint i = 0; !d->realm->in_memory && r->config->devices->disks && i < r->config->devices->disks->len; i++)
        if (!revert_disk(r, s, r->config->devices->disks->pdata[i], err))
            return false;
    if (!d->realm->in_memory)
        find_left(d, r);
    return record_settle(r->config, err);
}

static bool revert_run(Task *t, GError **err)
{
    Revert *r = t->data;
    const char *tool = t->domain->realm->daemon->image_tool;
    bool ok = true;
    for (; ok && r->made < r->overlays->len; r->made += ok)
        ok = image_run(tool, NULL, err, "create", "-q", "-f", "qcow2", "-b", r->bases->pdata[r->made], "-F", r->formats->pdata[r->made], r->overlays->pdata[r->made], NULL);
    ok = ok && (!r->running || t->driver->stop(t->hv, HV_NOW, err));
    for (guint i = 0; ok && i < r->inside->len; i++)
        ok = image_run(tool, NULL, err, "snapshot", "-q", "-a", r->name, r->inside->pdata[i], NULL);
    for (; !ok && r->made; r->made--)
        unlink(r->overlays->pdata[r->made - 1]);
    return ok;
}

static void remove_left(const Revert *r)
{
    for (guint i = 0; i < r->left->len; i++)
        if (unlink(r->left->pdata[i]) == 0)
            g_message("snapshot-revert: '%s' is removed: what was written since is given up", (char *)r->left->pdata[i]);
}

static void go_on(Task *t, const Revert *r, const Snapshot *s)
{
    bool ran = !g_strcmp0(s->state, "running"), stood = !g_strcmp0(s->state, "paused");
    if (!(r->flags & (REVERT_RUNNING | REVERT_PAUSED)) && !ran && !stood)
        return;
    domain_start(t->domain, r->flags & REVERT_PAUSED || (stood && !(r->flags & REVERT_RUNNING)) ? START_PAUSED : 0, g_steal_pointer(&t->call), false);
}

static bool revert_done(Task *t, GError **err)
{
    Revert *r = t->data;
    ManagedDomain *d = t->domain;
    Snapshot *s = snapshot_by_name(d, r->name);
    domain_has_stopped(d, HV_STOP_DESTROYED); /* its monitor may not have said so yet */
    if (!s || d->gone || !domain_write(d->realm, r->config, err) || !snapshot_set_current(d, s, err))
        return false;
    record_free(d->config);
    d->config = g_steal_pointer(&r->config);
    remove_left(r);
    domain_lifecycle(d, LIFE_DEFINED, DEFINED_FROM_SNAPSHOT);
    go_on(t, r, s);
    return true;
}

void snapshot_revert(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "snapshot-revert", .begin = revert_begin, .run = revert_run, .done = revert_done, .free = revert_free };
    Snapshot *s;
    ManagedDomain *d = snapshot_of_call(c, call, args, &s);
    if (!d)
        return;
    Revert *r = g_new0(Revert, 1);
    *r = (Revert){ .name = g_strdup(s->name), .inside = g_ptr_array_new_with_free_func(g_free), .bases = g_ptr_array_new_with_free_func(g_free),
                   .formats = g_ptr_array_new_with_free_func(g_free), .overlays = g_ptr_array_new_with_free_func(g_free), .left = g_ptr_array_new_with_free_func(g_free) };
    g_variant_get_child(args, 1, "u", &r->flags);
    task_push(d, call, &type, r);
}
