/* commands_bitmap.c - dirty bitmaps: what changed in a disk since a moment; and several commands at one moment. */
#include "vmm/monitor/command.h"
#include "vmm/nodes.h"

/* ---- by name */

static bool find_node(Vm *vm, const char *name, NodePlace *ret, GError **err)
{
    return vm_find_node(vm, name, ret) || error_set(err, ERR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'", name, name);
}

static BlkBitmap *find_bitmap(Vm *vm, const char *node, const char *name, GError **err)
{
    NodePlace at;
    if (!find_node(vm, node, &at, err))
        return NULL;
    BlkBitmap *b = blk_bitmap_find(at.node, name);
    if (!b)
        error_set(err, ERR_NOT_FOUND, "Dirty bitmap '%s' not found: query-block lists those of '%s'", name, node);
    return b;
}

static BlkBitmap *bitmap_of(MonitorCall *call, GError **err) { return find_bitmap(call->vm, arg_text(call, "node"), arg_text(call, "name"), err); }

/* ---- the commands */

static bool bitmap_add(MonitorCall *call, GError **err)
{
    NodePlace at;
    int64_t granularity = arg_int(call, "granularity", 0);
    if (!find_node(call->vm, arg_text(call, "node"), &at, err))
        return false;
    if (granularity < 0 || (json_object_has_member(call->args, "granularity") && !granularity))
        return error_set(err, ERR_INVALID, "Granularity must be a power of two from 512 to 2G, not %" G_GINT64_FORMAT, granularity);
    BlkBitmap *b = blk_bitmap_add(at.node, arg_text(call, "name"), granularity, arg_bool(call, "persistent", false), err);
    return b && (!arg_bool(call, "disabled", false) || blk_bitmap_enable(b, false, err));
}

static bool bitmap_remove(MonitorCall *call, GError **err)
{
    NodePlace at;
    BlkBitmap *b = bitmap_of(call, err);
    return b && find_node(call->vm, arg_text(call, "node"), &at, err) && blk_bitmap_remove(at.node, b, err);
}

static bool bitmap_clear(MonitorCall *call, GError **err)
{
    BlkBitmap *b = bitmap_of(call, err);
    return b && blk_bitmap_clear(b, err);
}

static bool bitmap_enable(MonitorCall *call, GError **err)
{
    BlkBitmap *b = bitmap_of(call, err);
    return b && blk_bitmap_enable(b, true, err);
}

static bool bitmap_disable(MonitorCall *call, GError **err)
{
    BlkBitmap *b = bitmap_of(call, err);
    return b && blk_bitmap_enable(b, false, err);
}

/* A source is the name of one of the same node, or names a node as well. */
static BlkBitmap *source_at(MonitorCall *call, JsonArray *sources, unsigned i, GError **err)
{
    JsonNode *source = json_array_get_element(sources, i);
    if (!JSON_NODE_HOLDS_OBJECT(source))
        return find_bitmap(call->vm, arg_text(call, "node"), json_node_get_string(source), err);
    JsonObject *o = json_node_get_object(source);
    return find_bitmap(call->vm, json_object_get_string_member(o, "node"), json_object_get_string_member(o, "name"), err);
}

static bool bitmap_merge(MonitorCall *call, GError **err)
{
    JsonArray *sources = json_object_get_array_member(call->args, "bitmaps");
    BlkBitmap *to = find_bitmap(call->vm, arg_text(call, "node"), arg_text(call, "target"), err), *from;
    for (unsigned i = 0; to && i < json_array_get_length(sources); i++) /* all are there, or nothing is changed */
        if (!source_at(call, sources, i, err))
            return false;
    for (unsigned i = 0; to && i < json_array_get_length(sources); i++)
        if (!(from = source_at(call, sources, i, err)) || !blk_bitmap_merge(to, from, err))
            return false;
    return to;
}

/* ---- at one moment */

static void hold(const char *id, void *root, Device *holder, void *held)
{
    if (!holder) /* nobody writes to it, and an action may take it */
        return;
    blk_hold(root);
    g_ptr_array_add(held, root);
}

/* Types of actions are commands (TransactionActionKind). */
static bool act(MonitorCall *call, JsonObject *action, GError **err)
{
    MonitorCall part = { .vm = call->vm, .monitor = call->monitor, .args = json_object_get_object_member(action, "data") };
    return monitor_command_find(json_object_get_string_member(action, "type"))->run(&part, err);
}

static bool act_all(MonitorCall *call, GError **err)
{
    JsonArray *actions = json_object_get_array_member(call->args, "actions");
    for (unsigned i = 0; i < json_array_get_length(actions); i++) {
        if (act(call, json_array_get_object_element(actions, i), err))
            continue;
        if (i)
            g_prefix_error(err, "the %u actions before it are done and stay so: ", i);
        return false;
    }
    return true;
}

/* Meanwhile no device's request passes.  Each action stands by itself once it is done: what was done before one that fails is told. */
static bool transaction(MonitorCall *call, GError **err)
{
    g_autoptr(GPtrArray) held = g_ptr_array_new();
    machine_each_backend(call->vm->machine, BACKEND_DRIVE, hold, held);
    bool ok = act_all(call, err);
    for (unsigned i = 0; i < held->len; i++)
        blk_let_go(held->pdata[i]);
    return ok;
}

const MonitorCommand bitmap_commands[] = {
    { "block-dirty-bitmap-add", NULL, "BlockDirtyBitmapAdd", .doc = "note what changes in a disk from now on", .run = bitmap_add },
    { "block-dirty-bitmap-remove", NULL, "BlockDirtyBitmap", .doc = "forget what changed", .run = bitmap_remove },
    { "block-dirty-bitmap-clear", NULL, "BlockDirtyBitmap", .doc = "note from now on alone", .run = bitmap_clear },
    { "block-dirty-bitmap-enable", NULL, "BlockDirtyBitmap", .doc = "go on noting changes", .run = bitmap_enable },
    { "block-dirty-bitmap-disable", NULL, "BlockDirtyBitmap", .doc = "note no changes for now", .run = bitmap_disable },
    { "block-dirty-bitmap-merge", NULL, "BlockDirtyBitmapMerge", .doc = "add what other bitmaps have noted", .run = bitmap_merge },
    { "transaction", NULL, "actions: [TransactionAction]", .doc = "several of these at one moment of the disks", .run = transaction },
    { NULL },
};
