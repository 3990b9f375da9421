/* nodes.c - see nodes.h. */
#include "vmm/nodes.h"

#include "vmm/exports.h"
#include "vmm/jobs.h"

#include <string.h>

#include "vmm/monitor/qom.h"

static VmConfig *config_of(Vm *vm) { return (VmConfig *)vm->config; } /* what was added since stands there, too */

/* ---- drives */

bool vm_open_drive(Vm *vm, const DriveConfig *d, GError **err)
{
    BlkOpenOptions o = { .filename = d->file, .format = d->format, .read_only = d->read_only || d->cdrom, .options = d->options,
                         .snapshot = !d->cdrom && (d->snapshot || vm->config->snapshot), .env = vm->config->env };
    if (d->used || (!d->file && !d->tree))
        return true;
    BlkNode *node = d->tree ? blk_open_tree(d->tree, &o, err) : blk_open(&o, err);
    if (!node)
        return false;
    BlkInfo info;
    blk_info(node, &info);
    if (info.warning)
        g_printerr("atoll-vm: warning: %s\n", info.warning);
    vm_give_drive(vm, d->id, node);
    return true;
}

typedef struct Search {
    const char *name;
    const Device *holder;
    NodePlace *place;
    bool found;
} Search;

static void compare_drive(const char *id, void *backend, Device *holder, void *opaque)
{
    Search *s = opaque;
    if (g_str_equal(id, s->name)) {
        *s->place = (NodePlace){ backend, backend, id, holder, true };
        s->found = true;
    }
}

/* The root has no name of its own: the image below it, past filters without one, has. */
static bool is_top(BlkNode *root, const char *name)
{
    BlkInfo info;
    blk_info(root, &info);
    return info.node_name && g_str_equal(info.node_name, name);
}

static void compare_node(const char *id, void *backend, Device *holder, void *opaque)
{
    Search *s = opaque;
    BlkNode *node = s->found ? NULL : blk_find(backend, s->name);
    if (!node)
        return;
    *s->place = (NodePlace){ node, backend, id, holder, is_top(backend, s->name) };
    s->found = true;
}

bool vm_find_node(Vm *vm, const char *name, NodePlace *ret)
{
    Search s = { .name = name, .place = ret };
    machine_each_backend(vm->machine, BACKEND_DRIVE, compare_node, &s);
    if (!s.found)
        machine_each_backend(vm->machine, BACKEND_DRIVE, compare_drive, &s);
    return s.found;
}

static void compare_holder(const char *id, void *backend, Device *holder, void *opaque)
{
    Search *s = opaque;
    if (holder != s->holder)
        return;
    *s->place = (NodePlace){ backend, backend, id, holder, true };
    s->found = true;
}

bool vm_find_disk(Vm *vm, const char *device, const char *drive, NodePlace *ret)
{
    QomNode at;
    if (!device)
        return vm_find_node(vm, drive, ret);
    if (!qom_find(vm, device, &at, NULL) || !at.device)
        return false;
    Search s = { .holder = at.device, .place = ret };
    machine_each_backend(vm->machine, BACKEND_DRIVE, compare_holder, &s);
    return s.found;
}

BlkNode *vm_take_drive(Vm *vm, const char *drive, GError **err)
{
    NodePlace at;
    Search s = { .name = drive, .place = &at };
    machine_each_backend(vm->machine, BACKEND_DRIVE, compare_drive, &s);
    BlkNode *root = at.root;
    if (vm_drive_has_job(vm, drive))
        error_set(err, ERR_BUSY, "drive '%s' is in use: a job works on it", drive);
    else if (vm_drive_has_export(vm, drive))
        error_set(err, ERR_BUSY, "drive '%s' is in use: it is exported; block-export-del ends that", drive);
    else if (!s.found)
        error_set(err, ERR_NOT_FOUND, "there is no drive '%s'", drive);
    else if (machine_remove_backend(vm->machine, BACKEND_DRIVE, drive, err)) {
        g_ptr_array_remove(vm->drives, root);
        return root;
    }
    return NULL;
}

void vm_give_drive(Vm *vm, const char *drive, BlkNode *root)
{
    g_ptr_array_add(vm->drives, root);
    machine_add_backend(vm->machine, BACKEND_DRIVE, drive, root);
}

void vm_close_drive(Vm *vm, const char *drive)
{
    g_autoptr(GError) err = NULL;
    if (!blk_finish(vm_take_drive(vm, drive, NULL), &err))
        g_printerr("atoll-vm: %s\n", err->message);
}

static DriveConfig *definition(Vm *vm, const char *name)
{
    DriveConfig *d = config_drive_by_id(config_of(vm), name);
    return d && d->tree ? d : NULL;
}

void vm_forget_drive(Vm *vm, const char *drive)
{
    if (!definition(vm, drive))
        vm_close_drive(vm, drive);
}

char *vm_open_medium(Vm *vm, const char *filename, const char *format, bool read_only, GError **err)
{
    NodePlace at;
    g_autofree char *id = NULL;
    for (unsigned n = 0; !id || vm_find_node(vm, id, &at); n++) {
        g_free(id);
        id = g_strdup_printf("medium%u", n);
    }
    DriveConfig d = { .id = id, .file = (char *)filename, .format = (char *)(format ? format : "raw"), .read_only = read_only };
    return vm_open_drive(vm, &d, err) ? g_steal_pointer(&id) : NULL;
}

/* ---- nodes */

static void forget(Vm *vm, const char *name)
{
    GArray *drives = config_of(vm)->drives;
    for (unsigned i = 0; i < drives->len; i++)
        if (g_strcmp0(g_array_index(drives, DriveConfig, i).id, name) == 0) {
            g_array_remove_index(drives, i);
            return;
        }
}

/* What nobody stands on any more may be opened again. */
static void release_unused(Vm *vm)
{
    NodePlace at;
    for (unsigned i = 0; i < vm->config->drives->len; i++) {
        DriveConfig *d = &g_array_index(vm->config->drives, DriveConfig, i);
        if (d->tree && d->used && !vm_find_node(vm, d->id, &at))
            d->used = false;
    }
}

/* The nodes that the newest stands on were drives of their own until now.  False: a device has one. */
static bool close_children(Vm *vm, const GPtrArray *free_before, GError **err)
{
    NodePlace at;
    for (unsigned i = 0; i < free_before->len; i++) {
        const DriveConfig *d = definition(vm, free_before->pdata[i]);
        if (!d || !d->used || !vm_find_node(vm, d->id, &at))
            continue;
        if (at.holder)
            return error_set(err, ERR_BUSY, "Node '%s' is busy: device '%s' uses it", d->id, at.holder->path);
        if (vm_drive_has_export(vm, at.drive))
            return error_set(err, ERR_BUSY, "Node '%s' is busy: it is exported; block-export-del ends that", d->id);
    }
    for (unsigned i = 0; i < free_before->len; i++) {
        const DriveConfig *d = definition(vm, free_before->pdata[i]);
        if (d && d->used && vm_find_node(vm, d->id, &at) && at.top) {
            g_autofree char *drive = g_strdup(at.drive);
            vm_close_drive(vm, drive);
        }
    }
    return true;
}

static GPtrArray *free_nodes(Vm *vm)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < vm->config->drives->len; i++) {
        const DriveConfig *d = &g_array_index(vm->config->drives, DriveConfig, i);
        if (d->tree && !d->used)
            g_ptr_array_add(names, g_strdup(d->id));
    }
    return names;
}

/* Its children are closed and opened again as parts of it; if that fails they are what they were. */
static bool open_newest(Vm *vm, const GPtrArray *free_before, GError **err)
{
    GArray *drives = config_of(vm)->drives;
    const DriveConfig *d = &g_array_index(drives, DriveConfig, drives->len - 1);
    if (close_children(vm, free_before, err) && vm_open_drive(vm, d, err))
        return true;
    g_array_set_size(drives, drives->len - 1);
    release_unused(vm);
    return false;
}

static char *name_in(const char *text, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(text, "driver", "blockdev-add", err);
    const char *name = kv ? keyvals_take(kv, "node-name") : NULL;
    if (kv && !name)
        error_set(err, ERR_INVALID, "'node-name' must be specified for the root node");
    return g_strdup(name);
}

bool vm_add_node(Vm *vm, const char *text, GError **err)
{
    NodePlace at;
    VmConfig *c = config_of(vm);
    unsigned before = c->drives->len;
    g_autofree char *name = name_in(text, err);
    if (!name)
        return false;
    if (definition(vm, name) || vm_find_node(vm, name, &at))
        return error_set(err, ERR_BUSY, "Duplicate nodes with node-name='%s'", name);
    g_autoptr(GPtrArray) free_before = free_nodes(vm);
    if (config_blockdev(c, text, err))
        return open_newest(vm, free_before, err);
    g_array_set_size(c->drives, before);
    release_unused(vm);
    return false;
}

bool vm_remove_node(Vm *vm, const char *name, GError **err)
{
    NodePlace at;
    bool open = vm_find_node(vm, name, &at);
    if (!open && !definition(vm, name))
        return error_set(err, ERR_NOT_FOUND, "Failed to find node with node-name='%s'", name);
    if (open && at.holder)
        return error_set(err, ERR_BUSY, "Node %s is in use: device '%s' has it", name, at.holder->path);
    if (open && !at.top)
        return error_set(err, ERR_BUSY, "Node %s is in use: it is part of '%s'", name, at.drive);
    if (open && vm_drive_has_job(vm, at.drive))
        return error_set(err, ERR_BUSY, "Node %s is in use: a job works on it", name);
    if (open && vm_drive_has_export(vm, at.drive))
        return error_set(err, ERR_BUSY, "Node %s is in use: it is exported; block-export-del ends that", name);
    if (open) {
        g_autofree char *drive = g_strdup(at.drive);
        vm_close_drive(vm, drive);
    }
    forget(vm, name);
    release_unused(vm);
    return true;
}

char *vm_node_drive(Vm *vm, const char *name, GError **err)
{
    NodePlace at;
    DriveConfig *d = definition(vm, name);
    if (!vm_find_node(vm, name, &at) && d && (!vm_open_drive(vm, d, err) || !vm_find_node(vm, name, &at)))
        return NULL;
    return g_strdup(vm_find_node(vm, name, &at) && at.top ? at.drive : name); /* who claims it hears what is wrong with it */
}

bool vm_create_in_node(Vm *vm, const char *node, const char *format, const char *options, GError **err)
{
    NodePlace at;
    BlkInfo info;
    DriveConfig *d = definition(vm, node);
    g_autofree char *drive = d ? vm_node_drive(vm, node, err) : NULL;
    if (!d)
        return error_set(err, ERR_NOT_FOUND, "Cannot find device='' nor node-name='%s'", node);
    if (!drive || !vm_find_node(vm, drive, &at) || at.holder || !at.top)
        return drive && error_set(err, ERR_BUSY, "Node '%s' is in use", node);
    blk_info(at.root, &info);
    g_autofree char *filename = g_strdup(info.filename);
    vm_close_drive(vm, drive);
    bool ok = blk_create(format, filename, options, vm->config->env, err);
    return vm_open_drive(vm, d, ok ? err : NULL) && ok;
}
