/* block.c - pools whose volumes are block devices: logical volumes of a group, partitions of a disk. */
#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/storage/store.h"
#include "manage/storage/tools.h"

const StoreDriver *store_driver(PoolType type)
{
    static const StoreDriver *const all[] = { &dir_store, &fs_store, &netfs_store, &logical_store, &disk_store };
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++)
        if (all[i]->type == type)
            return all[i];
    return NULL;
}

static Volume *block_volume(const char *name, const char *path, uint64_t bytes)
{
    Volume *v = record_new(&volume_type);
    v->name = g_strdup(name);
    v->path = g_strdup(path);
    v->key = g_strdup(path);
    v->type = 2;
    v->format = g_strdup("raw");
    v->capacity = v->allocation = v->physical = bytes;
    return v;
}

/* A member of a tool's answer, text or number. */
static uint64_t number_of(JsonObject *o, const char *name)
{
    JsonNode *n = json_object_get_member(o, name);
    if (!n || !JSON_NODE_HOLDS_VALUE(n))
        return 0;
    return json_node_get_value_type(n) == G_TYPE_STRING ? g_ascii_strtoull(json_node_get_string(n), NULL, 10) : (uint64_t)json_node_get_int(n);
}

static const char *text_of(JsonObject *o, const char *name)
{
    JsonNode *n = json_object_get_member(o, name);
    return n && JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == G_TYPE_STRING ? json_node_get_string(n) : "";
}

static JsonArray *array_of(JsonObject *o, const char *name)
{
    JsonNode *n = o ? json_object_get_member(o, name) : NULL;
    return n && JSON_NODE_HOLDS_ARRAY(n) ? json_node_get_array(n) : NULL;
}

static JsonObject *object_at(JsonArray *list, guint i)
{
    JsonNode *n = list && i < json_array_get_length(list) ? json_array_get_element(list, i) : NULL;
    return n && JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

static JsonNode *answer(const char *text, GError **err)
{
    JsonNode *root = json_from_string(text, err);
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        return root;
    g_clear_pointer(&root, json_node_unref);
    if (err && !*err)
        error_set(err, ERR_IO, "the tool's answer is no JSON object");
    return NULL;
}

/* Copies are as large as what they are made of, at least. */
static bool may_create(const Pool *p, Volume *v, const Volume *from, GError **err)
{
    if (v->encryption)
        return error_set(err, ERR_UNSUPPORTED, "pool '%s': volumes are encrypted in folders only; a guest can encrypt what it has of this one", p->name);
    if (from && from->encryption)
        return error_set(err, ERR_UNSUPPORTED, "volume '%s' is encrypted: `atoll-img convert` copies it, with --object secret", from->name);
    if (from && (v->capacity == RECORD_NONE || v->capacity < from->capacity))
        v->capacity = from->capacity;
    return true;
}

/* Devices hold bytes as they are, whatever format those come from. */
static bool fill(const Pool *p, const char *tool, const Volume *v, const Volume *from, GCancellable *cancel, GError **err)
{
    const char *const argv[] = { tool, "convert", "-q", "-n", "-f", from ? from->format : "raw", "-O", "raw", from ? from->path : "", v->path, NULL };
    if (!from || tool_run(argv, NULL, NULL, cancel, err))
        return true;
    tool_step(p, STORE_REMOVE, v, 0, NULL, NULL, NULL);
    return false;
}

static bool step_of_pool(const Pool *p, StoreStep step, GError **err) { return tool_step(p, step, NULL, 0, NULL, NULL, err); }
static bool block_build(const Pool *p, GError **err) { return step_of_pool(p, STORE_BUILD, err); }
static bool block_start(const Pool *p, GError **err) { return step_of_pool(p, STORE_START, err); }
static bool block_stop(const Pool *p, GError **err) { return step_of_pool(p, STORE_STOP, err); }
static bool block_delete(const Pool *p, GError **err) { return step_of_pool(p, STORE_DELETE, err); }
static bool block_remove(const Pool *p, const Volume *v, GError **err) { return tool_step(p, STORE_REMOVE, v, 0, NULL, NULL, err); }
static bool block_resize(const Pool *p, const char *tool, const Volume *v, uint64_t bytes, GError **err) { return tool_step(p, STORE_RESIZE, v, bytes, NULL, NULL, err); }

/* ---- logical volumes: {"report": [{"vg": [{...}]}]}, {"report": [{"lv": [{...}]}]} */
static bool logical_refresh(Pool *p, const char *tool, GPtrArray **ret, GError **err)
{
    g_autoptr(GPtrArray) outs = g_ptr_array_new_with_free_func(g_free);
    if (!tool_step(p, STORE_LIST, NULL, 0, outs, NULL, err))
        return false;
    g_autoptr(JsonNode) groups = answer(outs->pdata[0], err), volumes = groups ? answer(outs->pdata[1], err) : NULL;
    if (!volumes)
        return false;
    JsonObject *group = object_at(array_of(object_at(array_of(json_node_get_object(groups), "report"), 0), "vg"), 0);
    JsonArray *list = array_of(object_at(array_of(json_node_get_object(volumes), "report"), 0), "lv");
    p->capacity = group ? number_of(group, "vg_size") : 0;
    p->available = group ? number_of(group, "vg_free") : 0;
    p->allocation = p->capacity - p->available;
    *ret = g_ptr_array_new_with_free_func(record_free);
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *o = object_at(list, i);
        if (o && *text_of(o, "lv_name"))
            g_ptr_array_add(*ret, block_volume(text_of(o, "lv_name"), text_of(o, "lv_path"), number_of(o, "lv_size")));
    }
    return true;
}

static bool logical_create(const Pool *p, const char *tool, Volume *v, const Volume *from, const char *secret, GCancellable *cancel, GError **err)
{
    g_autofree char *target = store_target(p);
    g_free(v->path);
    g_free(v->key);
    v->path = g_build_filename(target, v->name, NULL);
    v->key = g_strdup(v->path);
    return may_create(p, v, from, err) && tool_step(p, STORE_CREATE, v, v->capacity, NULL, cancel, err) && fill(p, tool, v, from, cancel, err);
}

/* ---- partitions: {"partitiontable": {"sectorsize": 512, "partitions": [{"node": .., "start": .., "size": ..}]}} */
static uint64_t device_bytes(const Pool *p)
{
    int fd = open(((PoolDevice *)p->devices->pdata[0])->path, O_RDONLY | O_CLOEXEC);
    off_t bytes = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    if (fd >= 0)
        close(fd);
    return MAX(bytes, 0);
}

static bool disk_refresh(Pool *p, const char *tool, GPtrArray **ret, GError **err)
{
    g_autoptr(GPtrArray) outs = g_ptr_array_new_with_free_func(g_free);
    if (!tool_step(p, STORE_LIST, NULL, 0, outs, NULL, err))
        return false;
    g_autoptr(JsonNode) root = answer(outs->pdata[0], err);
    if (!root)
        return false;
    JsonNode *table = json_object_get_member(json_node_get_object(root), "partitiontable");
    JsonObject *o = table && JSON_NODE_HOLDS_OBJECT(table) ? json_node_get_object(table) : NULL;
    JsonArray *list = array_of(o, "partitions");
    uint64_t sector = o && number_of(o, "sectorsize") ? number_of(o, "sectorsize") : 512;
    *ret = g_ptr_array_new_with_free_func(record_free);
    p->capacity = device_bytes(p);
    p->allocation = 0;
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *part = object_at(list, i);
        if (!part || !*text_of(part, "node"))
            continue;
        g_autofree char *name = g_path_get_basename(text_of(part, "node"));
        Volume *v = block_volume(name, text_of(part, "node"), number_of(part, "size") * sector);
        p->allocation += v->capacity;
        g_ptr_array_add(*ret, v);
    }
    p->available = p->capacity - MIN(p->allocation, p->capacity);
    return true;
}

static bool is_in(const GPtrArray *list, const char *path)
{
    for (guint i = 0; i < list->len; i++)
        if (!strcmp(((Volume *)list->pdata[i])->path, path))
            return true;
    return false;
}

/* A partition's name is not to be chosen: it is that of the one that was not there before. */
static bool disk_create(const Pool *p, const char *tool, Volume *v, const Volume *from, const char *secret, GCancellable *cancel, GError **err)
{
    g_autoptr(GPtrArray) before = NULL, after = NULL;
    Pool *copy = record_copy(p);
    bool ok = may_create(p, v, from, err) && disk_refresh(copy, tool, &before, err) && tool_step(p, STORE_CREATE, v, v->capacity, NULL, cancel, err) &&
              disk_refresh(copy, tool, &after, err);
    record_free(copy);
    for (guint i = 0; ok && i < after->len; i++) {
        const Volume *found = after->pdata[i];
        if (is_in(before, found->path))
            continue;
        if (found->capacity < v->capacity) { /* sfdisk makes what fits */
            tool_step(p, STORE_REMOVE, found, 0, NULL, NULL, NULL);
            return error_set(err, ERR_NO_SPACE, "disk '%s' has no run of %" G_GUINT64_FORMAT " bytes that is free", ((PoolDevice *)p->devices->pdata[0])->path, v->capacity);
        }
        g_free(v->name);
        g_free(v->path);
        g_free(v->key);
        v->name = g_strdup(found->name);
        v->path = g_strdup(found->path);
        v->key = g_strdup(found->path);
        return fill(p, tool, v, from, cancel, err);
    }
    return ok && error_set(err, ERR_IO, "sfdisk said yes and made no partition");
}

/* The table is the user's: deleting the pool leaves it. */
static bool disk_nothing(const Pool *p, GError **err) { return true; }

const StoreDriver logical_store = {
    .type = POOL_LOGICAL, .summary = "a volume group", .build = block_build, .start = block_start, .stop = block_stop, .delete = block_delete, .refresh = logical_refresh,
    .create = logical_create, .remove = block_remove, .resize = block_resize, .wipe = store_wipe,
};
const StoreDriver disk_store = {
    .type = POOL_DISK, .summary = "partitions of a disk", .build = block_build, .start = disk_nothing, .delete = disk_nothing, .refresh = disk_refresh, .create = disk_create,
    .remove = block_remove, .resize = block_resize, .wipe = store_wipe,
};
