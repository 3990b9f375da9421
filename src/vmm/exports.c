/* exports.c - see exports.h. */
#include "vmm/exports.h"

#include "vmm/monitor/monitor.h"

static const char no_server[] = "NBD server not running: nbd-server-start starts it";

bool vm_start_nbd(Vm *vm, const NbdServerOptions *o, GError **err)
{
    if (vm->nbd)
        return error_set(err, ERR_BUSY, "NBD server already running");
    vm->nbd = nbd_server_start(o, NULL, 0, err);
    return vm->nbd;
}

static void forget(VmExport *x)
{
    g_free(x->id);
    g_free(x->node_name);
    g_free(x->name);
    g_free(x->drive);
    g_free(x->writer);
    g_free(x);
}

static void tell_gone(Vm *vm, const VmExport *x)
{
    JsonObject *data = json_object_new();
    json_object_set_string_member(data, "id", x->id);
    monitors_event(vm, "BLOCK_EXPORT_DELETED", data);
}

static const char *writer_of(Vm *vm, const char *drive)
{
    for (unsigned i = 0; i < vm->exports->len; i++) {
        const VmExport *x = vm->exports->pdata[i];
        if (x->writer && g_str_equal(x->drive, drive))
            return x->writer;
    }
    return NULL;
}

static void drop(Vm *vm, VmExport *x)
{
    g_ptr_array_remove(vm->exports, x);
    if (x->writer)
        machine_reserve_backend(vm->machine, BACKEND_DRIVE, x->drive, writer_of(vm, x->drive));
    tell_gone(vm, x);
    forget(x);
}

bool vm_stop_nbd(Vm *vm, GError **err)
{
    if (!vm->nbd)
        return error_set(err, ERR_NOT_FOUND, "%s", no_server);
    nbd_server_close(g_steal_pointer(&vm->nbd));
    while (vm->exports->len)
        drop(vm, vm->exports->pdata[0]);
    return true;
}

void vm_end_exports(Vm *vm)
{
    nbd_server_close(g_steal_pointer(&vm->nbd));
    g_ptr_array_foreach(vm->exports, (GFunc)(void (*)(void))forget, NULL);
    g_ptr_array_set_size(vm->exports, 0);
}

/* ---- by name */

static VmExport *find(Vm *vm, size_t field, const char *text)
{
    for (unsigned i = 0; i < vm->exports->len; i++)
        if (g_str_equal(G_STRUCT_MEMBER(char *, vm->exports->pdata[i], field), text))
            return vm->exports->pdata[i];
    return NULL;
}

VmExport *vm_export_by_id(Vm *vm, const char *id, GError **err)
{
    VmExport *x = find(vm, offsetof(VmExport, id), id);
    if (!x)
        error_set(err, ERR_NOT_FOUND, "Export '%s' is not found", id);
    return x;
}

VmExport *vm_export_by_name(Vm *vm, const char *name, GError **err)
{
    VmExport *x = vm->nbd ? find(vm, offsetof(VmExport, name), name) : NULL;
    if (!vm->nbd)
        error_set(err, ERR_NOT_FOUND, "%s", no_server);
    else if (!x)
        error_set(err, ERR_NOT_FOUND, "Export '%s' is not found", name);
    return x;
}

bool vm_drive_has_export(Vm *vm, const char *drive) { return find(vm, offsetof(VmExport, drive), drive); }

/* ---- coming and going */

/* An image that others write to under a guest would be broken. */
static bool may_export(const NodePlace *at, const char *node, const NbdExport *e, GError **err)
{
    BlkInfo info;
    blk_info(at->root, &info);
    if (!at->top)
        return error_set(err, ERR_BUSY, "Node '%s' has another image above it: export '%s'", node, at->drive);
    if (!e->read_only && info.read_only)
        return error_set(err, ERR_DENIED, "Cannot export read-only node as writable");
    if (!e->read_only && at->holder)
        return error_set(err, ERR_BUSY, "Conflicts with use by %s as 'root', which does not allow 'write' on %s", at->holder->path, node);
    for (const char *const *b = e->bitmaps; b && *b; b++) {
        BlkBitmapInfo bitmap = { 0 };
        BlkBitmap *found = blk_bitmap_find(at->root, *b);
        if (found)
            blk_bitmap_info(found, &bitmap);
        if (bitmap.enabled && e->read_only && !info.read_only)
            return error_set(err, ERR_INVALID, "Enabled bitmap '%s' incompatible with readonly export: block-dirty-bitmap-disable lets it stand", *b);
    }
    return true;
}

static bool find_exported(Vm *vm, const char *name, NodePlace *ret, GError **err)
{
    g_autofree char *drive = vm_node_drive(vm, name, err); /* opened if nobody has used it yet */
    return drive && (vm_find_node(vm, name, ret) || error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", name, name));
}

bool vm_add_export(Vm *vm, const char *id, const char *node_name, NbdExport *e, GError **err)
{
    NodePlace at;
    if (!vm->nbd)
        return error_set(err, ERR_NOT_FOUND, "%s", no_server);
    if (find(vm, offsetof(VmExport, id), id))
        return error_set(err, ERR_BUSY, "Block export id '%s' is already in use", id);
    if (!find_exported(vm, node_name, &at, err) || !may_export(&at, node_name, e, err))
        return false;
    e->node = at.root;
    if (!nbd_server_add_export(vm->nbd, e, err))
        return false;
    VmExport *x = g_new(VmExport, 1);
    *x = (VmExport){ g_strdup(id), g_strdup(node_name), g_strdup(e->name), g_strdup(at.drive) };
    x->writer = e->read_only ? NULL : g_strdup_printf("block export '%s', which may write to it; block-export-del ends that", id);
    if (x->writer)
        machine_reserve_backend(vm->machine, BACKEND_DRIVE, x->drive, x->writer);
    g_ptr_array_add(vm->exports, x);
    return true;
}

bool vm_remove_export(Vm *vm, VmExport *x, bool hard, GError **err)
{
    if (!nbd_server_remove_export(vm->nbd, x->name, hard, err))
        return false;
    drop(vm, x);
    return true;
}
