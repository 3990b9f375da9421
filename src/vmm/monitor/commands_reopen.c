/* commands_reopen.c - an open image gets other options: whether it may be written; what else is said must be as it is. */
#include <string.h>

#include "vmm/exports.h"
#include "vmm/jobs.h"
#include "vmm/monitor/command.h"
#include "vmm/nodes.h"

typedef struct Change {
    NodePlace at;
    char *name;
    bool read_only, was;
} Change;

static void change_clear(void *data) { g_free(((Change *)data)->name); }

/* What the node was defined with, as text; NULL: not there. */
static const char *defined(KeyVals *old, const char *key, const char *child)
{
    g_autofree char *nested = g_strdup_printf("%s.node-name", key);
    const char *value = old ? keyvals_take(old, key) : NULL;
    return value || !old || !child ? value : keyvals_take(old, nested);
}

static bool same_backing(const NodePlace *at, const char *value)
{
    BlkInfo info = { 0 };
    BlkNode *below = blk_backing(at->node);
    if (below)
        blk_info(below, &info);
    return *value ? g_strcmp0(info.node_name, value) == 0 : !below;
}

static bool is_default(const char *key, const char *value)
{
    static const char *const defaults[] = { "discard", "ignore", "detect-zeroes", "off", "cache.direct", "off", "cache.no-flush", "off", "force-share", "off", "auto-read-only", "off" };
    bool on = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(defaults); i += 2)
        if (g_str_equal(defaults[i], key))
            return g_str_equal(defaults[i + 1], value) || (g_str_equal(defaults[i + 1], "off") && parse_on_off(value, &on) && !on);
    return false;
}

static bool same_word(const char *a, const char *b)
{
    bool x, y;
    return g_str_equal(a, b) || (parse_on_off(a, &x) && parse_on_off(b, &y) && x == y);
}

static bool check_option(const Change *c, KeyVals *old, const char *key, const char *value, GError **err)
{
    BlkInfo info;
    blk_info(c->at.node, &info);
    const char *was = defined(old, key, value);
    bool same = was ? same_word(was, value) : is_default(key, value);
    if (g_str_equal(key, "driver"))
        same |= g_strcmp0(info.format, value) == 0;
    if (g_str_equal(key, "backing"))
        same = same_backing(&c->at, value);
    if (same)
        return true;
    if (g_str_equal(key, "backing"))
        return error_set(err, ERR_UNSUPPORTED, "Cannot change backing link of '%s': blockdev-snapshot, block-stream and block-commit change chains", c->name);
    return error_set(err, ERR_UNSUPPORTED, "Cannot change the option '%s' of '%s': only read-only can be changed", key, c->name);
}

/* A writer above it would be left without its disk. */
static bool check_writers(MonitorCall *call, const Change *c, GError **err)
{
    if (vm_drive_has_job(call->vm, c->at.drive))
        return error_set(err, ERR_BUSY, "Node '%s' is busy: a job works on '%s'", c->name, c->at.drive);
    if (c->read_only && !c->was && c->at.top && c->at.holder)
        return error_set(err, ERR_BUSY, "Conflicts with use by %s as 'root', which uses 'write' on %s", c->at.holder->path, c->name);
    if (c->read_only && !c->was && c->at.top && vm_drive_has_export(call->vm, c->at.drive))
        return error_set(err, ERR_BUSY, "Node '%s' is busy: it is exported; block-export-del ends that", c->name);
    return true;
}

static bool is_of_child(const char *key)
{
    static const char *const children[] = { "file.", "backing.", "data-file.", "image." };
    for (unsigned i = 0; i < G_N_ELEMENTS(children); i++)
        if (g_str_has_prefix(key, children[i]))
            return true;
    return false;
}

/* Every option that the node was made with is to be said again, or is at its default. */
static bool check_left_out(const Change *c, KeyVals *old, GError **err)
{
    if (!old)
        return true;
    g_autofree const char **rest = keyvals_rest(old);
    for (unsigned i = 0; rest[i]; i += 2)
        if (!is_of_child(rest[i]) && !is_default(rest[i], rest[i + 1]))
            return error_set(err, ERR_INVALID, "'%s' of '%s' is missing: an option that is left out goes back to its default, and this one cannot be changed", rest[i], c->name);
    return true;
}

static bool check_all(const Change *c, KeyVals *new, KeyVals *old, GError **err)
{
    static const char *const names[] = { "node-name", "backing" }; /* which were looked at already */
    g_autofree const char **pairs = keyvals_rest(new);
    bool ignored;
    for (unsigned i = 0; old && i < G_N_ELEMENTS(names); i++)
        keyvals_take(old, names[i]);
    if (old && (!keyvals_take_bool(old, "read-only", &ignored, err) || !keyvals_take_bool(old, "auto-read-only", &ignored, err)))
        return false;
    for (unsigned i = 0; pairs[i]; i += 2)
        if (!g_str_equal(pairs[i], "auto-read-only") && !check_option(c, old, pairs[i], pairs[i + 1], err))
            return false;
    return check_left_out(c, old, err);
}

static bool read_change(MonitorCall *call, JsonObject *options, Change *ret, GError **err)
{
    BlkInfo info;
    const DriveConfig *d;
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), options);
    g_autofree char *text = json_to_string(node, FALSE);
    g_autoptr(KeyVals) new = keyvals_parse(text, "driver", "blockdev-reopen", err), old = NULL;
    const char *name = new ? keyvals_take(new, "node-name") : NULL;
    if (!new)
        return false;
    if (!name)
        return error_set(err, ERR_INVALID, "node-name not specified");
    ret->name = g_strdup(name);
    if (!vm_find_node(call->vm, name, &ret->at) || ret->at.node == ret->at.root)
        return error_set(err, ERR_NOT_FOUND, "Failed to find node with node-name='%s'", name);
    blk_info(ret->at.node, &info);
    ret->was = info.read_only;
    d = config_drive_by_id((VmConfig *)call->vm->config, name);
    if (d && d->tree && !(old = keyvals_parse(d->tree, "driver", "blockdev-reopen", err)))
        return false;
    if (!keyvals_take_bool(new, "read-only", &ret->read_only, err))
        return false;
    const char *backing = keyvals_take(new, "backing");
    if (!backing && blk_backing(ret->at.node))
        return error_set(err, ERR_INVALID, "backing is missing for '%s'", name);
    if (backing && !check_option(ret, old, "backing", backing, err))
        return false;
    return check_all(ret, new, old, err) && check_writers(call, ret, err);
}

static bool apply(const Change *c, bool read_only, GError **err)
{
    return read_only == c->was || blk_set_read_only_live(c->at.root, c->at.top ? NULL : c->at.node, read_only, err);
}

/* All of them, or none. */
static bool reopen(MonitorCall *call, GError **err)
{
    JsonArray *list = json_object_get_array_member(call->args, "options");
    g_autoptr(GArray) changes = g_array_new(FALSE, TRUE, sizeof(Change));
    g_array_set_clear_func(changes, change_clear);
    for (unsigned i = 0; i < json_array_get_length(list); i++) {
        g_array_set_size(changes, i + 1);
        if (!read_change(call, json_array_get_object_element(list, i), &g_array_index(changes, Change, i), err))
            return false;
    }
    for (unsigned i = 0; i < changes->len; i++) {
        if (apply(&g_array_index(changes, Change, i), g_array_index(changes, Change, i).read_only, err))
            continue;
        while (i-- > 0) {
            Change *done = &g_array_index(changes, Change, i);
            if (done->read_only != done->was)
                blk_set_read_only_live(done->at.root, done->at.top ? NULL : done->at.node, done->was, NULL);
        }
        return false;
    }
    return true;
}

const MonitorCommand reopen_commands[] = {
    { "blockdev-reopen", NULL, "options: [BlockdevOptions]", .doc = "open images anew with other options: read-only", .run = reopen },
    { NULL },
};
