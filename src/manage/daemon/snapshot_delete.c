/*
 * snapshot_delete.c - deleting snapshots.
 *
 * An internal one goes from within its images.  Of an external one the image as it was stays under one or more others:
 *
 *   none above    the image is removed, if it was begun at an earlier snapshot (the machine's first image never is)
 *   one above     what that one holds is merged into it, and it goes on in its place
 *   two or more   they share it, so it stays; only the document goes
 *
 * What is done is logged, image by image.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/snapshot_jobs.h"
#include "manage/hypervisor/image.h"
#include "manage/hypervisor/plan.h"

enum { DELETE_CHILDREN = 1, DELETE_METADATA_ONLY = 2, DELETE_CHILDREN_ONLY = 4 };

typedef enum StepKind { STEP_UNMARK, STEP_REMOVE, STEP_MERGE } StepKind;

/* What is done with one disk. */
typedef struct Step {
    StepKind kind;
    char *target, *base, *format, *above; /* paths; format is the base's */
    GPtrArray *upon;  /* char *: images right above `above`, which then stand on `base` */
    Disk *live;       /* the running machine's, where it stands on `above`; a copy */
    Layer *chain, *top_at, *base_at;
} Step;

static void step_free(gpointer data)
{
    Step *s = data;
    g_free(s->target);
    g_free(s->base);
    g_free(s->format);
    g_free(s->above);
    g_ptr_array_unref(s->upon);
    record_free(s->live);
    record_free(s->chain);
    g_free(s);
}

typedef struct Delete {
    GPtrArray *names; /* char *, the last first to go */
    guint flags;
    GPtrArray *steps; /* Step */
} Delete;

static void delete_free(void *data)
{
    Delete *k = data;
    g_ptr_array_unref(k->names);
    g_ptr_array_unref(k->steps);
    g_free(k);
}

static const char *image_in(const Domain *d, const char *target)
{
    const Disk *disk = disk_find(d, target);
    return disk ? image_path(disk) : NULL;
}

bool snapshot_needs(const ManagedDomain *d, const char *image)
{
    GHashTableIter i;
    gpointer value;
    g_hash_table_iter_init(&i, d->snapshots);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        const GPtrArray *disks = ((Snapshot *)value)->domain->devices->disks;
        for (guint n = 0; disks && n < disks->len; n++)
            if (!g_strcmp0(image_path(disks->pdata[n]), image))
                return true;
    }
    return false;
}

static void add_once(GPtrArray *list, const char *path, const char *but)
{
    if (path && g_strcmp0(path, but) && !g_ptr_array_find_with_equal_func(list, path, g_str_equal, NULL))
        g_ptr_array_add(list, g_strdup(path));
}

/* The images of one disk that were begun at this snapshot, whose own image is `base`. */
static GPtrArray *images_above(const ManagedDomain *d, const Snapshot *s, const char *target, const char *base)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) children = snapshots_listed(d, s->name, false);
    for (guint i = 0; i < children->len; i++)
        add_once(list, image_in(((Snapshot *)children->pdata[i])->domain, target), base);
    if (s->current == 1)
        add_once(list, image_in(domain_now(d), target), base);
    return list;
}

/* Images right above `path`: of snapshots whose own image it is. */
static void find_upon(const ManagedDomain *d, const char *target, const char *path, GPtrArray *to)
{
    g_autoptr(GPtrArray) all = snapshots_listed(d, NULL, true);
    for (guint i = 0; i < all->len; i++) {
        const Snapshot *s = all->pdata[i];
        if (g_strcmp0(image_in(s->domain, target), path))
            continue;
        g_autoptr(GPtrArray) above = images_above(d, s, target, path);
        for (guint n = 0; n < above->len; n++)
            add_once(to, above->pdata[n], NULL);
    }
}

/* Snapshots within an image would be lost when it is merged. */
static bool nothing_within(const ManagedDomain *d, const char *target, const char *path, GError **err)
{
    g_autoptr(GPtrArray) all = snapshots_listed(d, NULL, true);
    for (guint i = 0; i < all->len; i++) {
        const Snapshot *s = all->pdata[i];
        const SnapshotDisk *row = snapshot_disk(s, target);
        if (row && row->mode == SNAPSHOT_INTERNAL && !g_strcmp0(image_in(s->domain, target), path))
            return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "'%s' would be merged and holds snapshot '%s' within: delete that one first", path, s->name);
    }
    return true;
}

static Step *step_new(StepKind kind, const char *target, const Disk *base)
{
    Step *step = g_new0(Step, 1);
    *step = (Step){ .kind = kind, .target = g_strdup(target), .base = g_strdup(image_path(base)), .format = g_strdup(base->format ? base->format : "raw"),
                    .upon = g_ptr_array_new_with_free_func(g_free) };
    return step;
}

static void find_live(const ManagedDomain *d, Step *step)
{
    const Disk *live = d->live && domain_active(d) ? disk_find(d->live, step->target) : NULL;
    step->chain = live ? disk_chain(live) : NULL;
    step->top_at = layer_named(step->chain, step->above);
    step->base_at = layer_named(step->chain, step->base);
    if (step->top_at && step->base_at)
        step->live = record_copy(live);
}

static bool add_external(const ManagedDomain *d, Delete *k, const Snapshot *s, const char *target, const Disk *base, GError **err)
{
    const Snapshot *parent = snapshot_by_name(d, s->parent);
    const char *path = image_path(base), *first = parent ? image_in(parent->domain, target) : NULL;
    g_autoptr(GPtrArray) above = images_above(d, s, target, path);
    if (above->len > 1)
        return true;
    if (above->len == 1) {
        Step *step = step_new(STEP_MERGE, target, base);
        step->above = g_strdup(above->pdata[0]);
        g_ptr_array_add(k->steps, step);
        find_upon(d, target, step->above, step->upon);
        find_live(d, step);
        return nothing_within(d, target, step->above, err);
    }
    if (first && strcmp(first, path) && g_strcmp0(image_in(domain_now(d), target), path))
        g_ptr_array_add(k->steps, step_new(STEP_REMOVE, target, base));
    return true;
}

static bool add_steps(Task *t, Delete *k, const Snapshot *s, GError **err)
{
    const ManagedDomain *d = t->domain;
    bool ok = true;
    for (guint i = 0; ok && s->disks && i < s->disks->len; i++) {
        const SnapshotDisk *row = s->disks->pdata[i];
        const Disk *base = disk_find(s->domain, row->name);
        if (!base || !image_path(base))
            continue;
        if (row->mode == SNAPSHOT_INTERNAL)
            g_ptr_array_add(k->steps, step_new(STEP_UNMARK, row->name, base));
        else if (row->mode == SNAPSHOT_EXTERNAL)
            ok = add_external(d, k, s, row->name, base, err);
        if (row->mode == SNAPSHOT_INTERNAL && domain_active(d))
            ok = rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "snapshot '%s' lies within an image that the running domain '%s' has open: shut it down first", s->name, d->name);
    }
    return ok;
}

static const char *next_name(const Delete *k) { return k->names->pdata[k->names->len - 1]; }

static bool delete_begin(Task *t, GError **err)
{
    Delete *k = t->data;
    const Snapshot *s = snapshot_by_name(t->domain, next_name(k));
    if (!s)
        return rpc_error_set(err, RPC_ERR_NO_DOMAIN_SNAPSHOT, "domain '%s' has no snapshot '%s'", t->domain->name, next_name(k));
    return (k->flags & DELETE_METADATA_ONLY) || t->domain->realm->in_memory || add_steps(t, k, s, err);
}

/* ---- on a worker */
static bool merge_running(Task *t, const Step *step, GError **err)
{
    bool active = step->top_at == step->chain;
    g_autofree char *id = disk_job_id(active ? HV_JOB_ACTIVE_COMMIT : HV_JOB_COMMIT, step->target, step->top_at, step->base_at);
    g_autofree char *device = plan_node_name(step->live->alias, step->chain->source_index, false), *top = plan_node_name(step->live->alias, step->top_at->source_index, false),
                    *base = plan_node_name(step->live->alias, step->base_at->source_index, false);
    const HvBlockJob j = { .type = active ? HV_JOB_ACTIVE_COMMIT : HV_JOB_COMMIT, .id = id, .device = device, .top = top, .base = base };
    return t->driver->job_start(t->hv, step->live, &j, err) && (!active || (disk_job_wait(t, step->target, true, err) && t->driver->job_act(t->hv, id, HV_JOB_ACT_COMPLETE, 0, err))) &&
           disk_job_wait(t, step->target, false, err);
}

static bool merge(Task *t, const Step *step, GError **err)
{
    const char *tool = t->domain->realm->daemon->image_tool;
    g_message("snapshot-delete: what '%s' holds is merged into '%s'", step->above, step->base);
    if (step->live)
        return merge_running(t, step, err);
    if (!image_run(tool, NULL, err, "commit", "-q", "-d", "-f", "qcow2", step->above, NULL))
        return false;
    for (guint i = 0; i < step->upon->len; i++)
        if (!image_run(tool, NULL, err, "rebase", "-q", "-u", "-f", "qcow2", "-b", step->base, "-F", step->format, step->upon->pdata[i], NULL))
            return false;
    return true;
}

static bool delete_run(Task *t, GError **err)
{
    Delete *k = t->data;
    for (guint i = 0; i < k->steps->len; i++) {
        const Step *step = k->steps->pdata[i];
        if (step->kind == STEP_UNMARK && !image_run(t->domain->realm->daemon->image_tool, NULL, err, "snapshot", "-q", "-d", next_name(k), step->base, NULL))
            return false;
        if (step->kind == STEP_MERGE && !merge(t, step, err))
            return false;
    }
    return true;
}

/* ---- what was `above` is in `base` now */
static bool rename_image(Domain *d, const Step *step)
{
    Disk *disk = disk_find(d, step->target);
    if (!disk || g_strcmp0(image_path(disk), step->above))
        return false;
    Layer *base = record_new(&layer_record);
    bool block = g_str_has_prefix(step->base, "/dev/");
    base->type = block ? DISK_BLOCK : DISK_FILE;
    *(block ? &base->dev : &base->file) = g_strdup(step->base);
    base->format = g_strdup(step->format);
    disk_set_image(disk, base);
    g_clear_pointer((void **)&disk->backing, record_free);
    record_free(base);
    return true;
}

static bool edit_image(Domain *d, void *opaque, GError **err)
{
    rename_image(d, opaque);
    return true;
}

static bool merged(ManagedDomain *d, Step *step, GError **err)
{
    g_autoptr(GPtrArray) all = snapshots_listed(d, NULL, true);
    if (d->config && !domain_edit_config(d, edit_image, step, err))
        return false;
    for (guint i = 0; i < all->len; i++)
        if (rename_image(((Snapshot *)all->pdata[i])->domain, step) && !snapshot_write(d, all->pdata[i], err))
            return false;
    return unlink(step->above) == 0 || error_set_errno(err, errno, "cannot remove '%s'", step->above);
}

static bool removed(const Step *step, GError **err)
{
    g_message("snapshot-delete: '%s' is removed: nothing stands on it", step->base);
    return unlink(step->base) == 0 || errno == ENOENT || error_set_errno(err, errno, "cannot remove '%s'", step->base);
}

static const TaskType delete_type;

/* The next one is a job of its own, since the tree has changed. */
static bool delete_done(Task *t, GError **err)
{
    Delete *k = t->data;
    ManagedDomain *d = t->domain;
    Snapshot *s = snapshot_by_name(d, next_name(k));
    for (guint i = 0; i < k->steps->len; i++) {
        Step *step = k->steps->pdata[i];
        if ((step->kind == STEP_MERGE && !merged(d, step, err)) || (step->kind == STEP_REMOVE && !removed(step, err)))
            return false;
    }
    if (!s || !snapshot_drop(d, s, err))
        return false;
    g_ptr_array_set_size(k->names, k->names->len - 1);
    if (!k->names->len || d->gone)
        return true;
    Delete *next = g_new0(Delete, 1);
    *next = (Delete){ g_steal_pointer(&k->names), k->flags, g_ptr_array_new_with_free_func(step_free) };
    k->names = g_ptr_array_new();
    task_push(d, g_steal_pointer(&t->call), &delete_type, next);
    return true;
}

static const TaskType delete_type = { .name = "snapshot-delete", .begin = delete_begin, .run = delete_run, .done = delete_done, .free = delete_free };

void snapshot_delete(Client *c, RpcCall *call, GVariant *args)
{
    Snapshot *s;
    guint flags;
    ManagedDomain *d = snapshot_of_call(c, call, args, &s);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &flags);
    Delete *k = g_new0(Delete, 1);
    *k = (Delete){ g_ptr_array_new_with_free_func(g_free), flags, g_ptr_array_new_with_free_func(step_free) };
    g_autoptr(GPtrArray) below = snapshots_listed(d, s->name, true);
    if (!(flags & DELETE_CHILDREN_ONLY))
        g_ptr_array_add(k->names, g_strdup(s->name));
    for (guint i = 0; flags & (DELETE_CHILDREN | DELETE_CHILDREN_ONLY) && i < below->len; i++)
        g_ptr_array_add(k->names, g_strdup(((Snapshot *)below->pdata[i])->name));
    if (k->names->len) {
        task_push(d, call, &delete_type, k);
    } else {
        delete_free(k);
        rpc_reply(call, NULL);
    }
}
