/* live.c - what is done to an image while a machine uses it: the machine's requests wait meanwhile. */
#include "base/error.h"
#include "block/driver.h"

extern const BlkDriver throttle_driver;

static bool no_job(const BlkNode *root, const char *what, GError **err)
{
    return !root->has_job || error_set(err, ERR_BUSY, "cannot %s disk image '%s': a job works on it", what, root->filename);
}

bool blk_resize_live(BlkNode *root, uint64_t size, GError **err)
{
    if (!no_job(root, "resize", err))
        return false;
    root_drain_begin(root);
    bool ok = blk_resize(root, size, size < root->size ? BLK_SHRINK : 0, err);
    root_drain_end(root);
    return ok;
}

bool blk_set_read_only_live(BlkNode *root, BlkNode *node, bool read_only, GError **err)
{
    if (!no_job(root, "reopen", err))
        return false;
    root_drain_begin(root);
    bool ok = blk_set_read_only(node ? node : root->file, read_only, err);
    root->read_only = root->file->read_only;
    root_drain_end(root);
    return ok;
}

/* What the guest has flushed or not is in it: the snapshot is a moment of the disk as the guest sees it. */
bool blk_snapshot_create_live(BlkNode *root, const BlkSnapshot *s, GError **err)
{
    if (!no_job(root, "take a snapshot of", err))
        return false;
    root_drain_begin(root);
    bool ok = blk_flush(root->file, err) && blk_snapshot_create(root->file, s, err);
    root_drain_end(root);
    return ok;
}

bool blk_snapshot_delete_live(BlkNode *root, const char *id_or_name, GError **err)
{
    if (!no_job(root, "delete a snapshot of", err))
        return false;
    root_drain_begin(root);
    bool ok = blk_snapshot_delete(root->file, id_or_name, err);
    root_drain_end(root);
    return ok;
}

/* ---- limits: a filter at the top */

static bool is_limited(const BlkNode *root) { return root->file->driver == &throttle_driver; }

static void drop_limits(BlkNode *root)
{
    BlkNode *filter = root->file;
    root->file = filter->file;
    filter->file = NULL;
    blk_close(filter);
}

/* The image's own way of working stays its own. */
static BlkNode *new_limits(BlkNode *below, const char *limits, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(limits, NULL, "limits", err);
    if (!kv)
        return NULL;
    BlkNode *n = node_create(&throttle_driver, below->filename);
    n->file = below;
    n->env = below->env;
    n->read_only = below->read_only;
    n->slow_ops = below->slow_ops;
    n->mode = (BlkMode){ .writethrough = below->mode.writethrough };
    if (throttle_driver.open(n, kv, err) && keyvals_end(kv, err))
        return n;
    n->file = NULL;
    blk_close(n);
    return NULL;
}

bool blk_set_limits(BlkNode *root, const char *limits, GError **err)
{
    if (!no_job(root, "limit", err))
        return false;
    BlkNode *below = is_limited(root) ? root->file->file : root->file, *filter = *limits ? new_limits(below, limits, err) : NULL;
    if (*limits && !filter)
        return false;
    root_drain_begin(root);
    if (is_limited(root))
        drop_limits(root);
    if (filter)
        root->file = filter;
    root_drain_end(root);
    return true;
}

/* ---- an overlay */

bool blk_put_overlay(BlkNode *root, BlkNode *overlay, GError **err)
{
    BlkNode *top = past_filters(overlay->file);
    if (!no_job(root, "put an overlay over", err) || !no_job(overlay, "use", err))
        return false;
    if (top->backing)
        return error_set(err, ERR_BUSY, "The overlay '%s' already has a backing image", top->filename);
    if (!top->driver->set_backing)
        return error_set(err, ERR_UNSUPPORTED, "The overlay '%s' does not support backing images: its format is %s", top->filename, top->driver->name);
    if (top->size != root->size)
        return error_set(err, ERR_INVALID, "the overlay '%s' has %" G_GUINT64_FORMAT " bytes, but '%s' has %" G_GUINT64_FORMAT, top->filename, top->size,
                         root->filename, root->size);
    root_drain_begin(root);
    BlkNode *above = overlay->file, *below = is_limited(root) ? root->file->file : root->file;
    if (!blk_flush(below, err) || (!below->read_only && !blk_set_read_only(below, true, err))) { /* past the root, whose gate is closed */
        root_drain_end(root);
        return false;
    }
    overlay->file = NULL;
    top->backing = below;
    below->overlay = top;
    top->mode.no_backing = false;
    if (is_limited(root))
        root->file->file = above;
    else
        root->file = above;
    root->read_only = above->read_only;
    g_free(root->filename);
    root->filename = g_strdup(above->filename);
    root_drain_end(root);
    blk_close(overlay);
    return true;
}
