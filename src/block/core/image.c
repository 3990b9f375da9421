/* image.c - what may be asked of an image besides its data: each finds the node that knows, and says who does not. */
#include <errno.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/driver.h"

/* ---- where data stand */

static int map_node(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    while (!n->driver->map && n->driver->kind == BLK_FILTER && n->file)
        n = n->file;
    *ret = (BlkExtent){ .off = off, .len = len, .allocated = true, .host_node = n->file ? n->file : n };
    int status = n->driver->map ? n->driver->map(n, off, len, ret) : 0;
    ret->node = n;
    return status;
}

static bool mappable(const BlkNode *n, uint64_t off, uint64_t len, GError **err)
{
    return (len && range_within(off, len, n->size)) ||
           error_set(err, ERR_INVALID, "cannot map disk image '%s' at offset %" G_GUINT64_FORMAT ": outside of it", n->filename, off);
}

bool blk_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret, GError **err)
{
    if (!mappable(n, off, len, err))
        return false;
    int status = map_node(n, off, len, ret);
    return !status || error_set_errno(err, -status, "cannot map disk image '%s'", n->filename);
}

bool blk_map_chain(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret, GError **err)
{
    unsigned depth = 0;
    if (!mappable(n, off, len, err) || !blk_map(n, off, len, ret, err))
        return false;
    for (BlkNode *below = blk_backing(n); !ret->allocated && below; below = blk_backing(below)) {
        uint64_t run = ret->len;
        if (off >= below->size) {
            ret->zero = true;
            break;
        }
        if (!blk_map(below, off, MIN(run, below->size - off), ret, err))
            return false;
        depth++;
    }
    ret->zero |= !ret->allocated;
    ret->depth = depth;
    return true;
}

static int copy_to_node(BlkNode *n, const BlkExtent *e, uint64_t off)
{
    if (!range_within(off, e->len, n->grows ? INT64_MAX : n->size))
        return -EINVAL;
    if (n->read_only)
        return -EROFS;
    if (e->zero || !e->allocated)
        return blk_perform(n, BLK_ZERO, BLK_MAY_UNMAP, off, e->len, NULL, 0);
    if (!e->has_host || e->compressed || !n->driver->copy_range)
        return -ENOTSUP;
    int status = n->driver->copy_range(n, e->host_node, e->host, off, e->len);
    bitmaps_note(n, off, e->len);
    return status;
}

int blk_copy_range(BlkNode *from, uint64_t from_off, BlkNode *to, uint64_t to_off, uint64_t len)
{
    BlkExtent e;
    int status = 0;
    if (to->root)
        root_enter(to);
    for (uint64_t done = 0; done < len && !status; done += e.len) {
        bool ok = blk_map_chain(from, from_off + done, len - done, &e, NULL);
        status = ok ? copy_to_node(to, &e, to_off + done) : -EIO;
    }
    if (to->root)
        root_leave(to);
    return status;
}

/* ---- changing the image as a whole */

static bool writable(BlkNode *n, const char *verb, GError **err)
{
    return !n->read_only || error_set(err, ERR_DENIED, "cannot %s disk image '%s': it is open read-only", verb, n->filename);
}

static bool cannot(BlkNode *n, const char *verb, const char *why, GError **err)
{
    return error_set(err, ERR_UNSUPPORTED, "cannot %s disk image '%s': %s %s", verb, n->filename, n->driver->name, why);
}

static bool resize_node(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    if (!writable(n, "resize", err))
        return false;
    if (n->driver->resize) {
        if (!n->driver->resize(n, size, flags, err))
            return false;
    } else if (n->driver->kind != BLK_FILTER) {
        return cannot(n, "resize", "images cannot change their size", err);
    } else if (!resize_node(n->file, size, flags, err)) {
        return false;
    } else {
        n->size = n->file->size;
    }
    bitmaps_resize(n, n->size);
    return true;
}

bool blk_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    if (size < n->size && !(flags & BLK_SHRINK) && n->driver->kind != BLK_PROTOCOL)
        return error_set(err, ERR_INVALID, "cannot make disk image '%s' smaller: its end would be lost (--shrink says that this is meant)",
                         n->filename);
    return resize_node(n, size, flags, err);
}

const GPtrArray *blk_check_words(BlkNode *n) { return past_filters(n)->words; }

bool blk_check(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err)
{
    n = past_filters(n);
    *ret = (BlkCheck){ 0 };
    if (repair && !writable(n, "repair", err))
        return false;
    g_clear_pointer(&n->words, g_ptr_array_unref);
    n->words = g_ptr_array_new_with_free_func(g_free);
    return n->driver->check ? n->driver->check(n, repair, ret, err) : cannot(n, "check", "holds nothing that could be checked", err);
}

bool blk_amend(BlkNode *n, const char *options, GError **err)
{
    n = past_filters(n);
    g_autoptr(KeyVals) kv = keyvals_parse(options, NULL, n->driver->name, err);
    if (!kv || !writable(n, "amend", err))
        return false;
    return (n->driver->amend ? n->driver->amend(n, kv, err) : cannot(n, "amend", "images have no options that could be changed", err)) &&
           keyvals_end(kv, err);
}

bool blk_set_backing(BlkNode *n, const char *name, const char *format, GError **err)
{
    n = past_filters(n);
    if (!writable(n, "change the backing file of", err))
        return false;
    if (!n->driver->set_backing)
        return cannot(n, "change the backing file of", "images have none", err);
    if (!n->driver->set_backing(n, name, format, err))
        return false;
    char *old_name = n->backing_name, *old_format = n->backing_format;
    n->backing_name = g_strdup(name);
    n->backing_format = g_strdup(format);
    g_free(old_name);
    g_free(old_format);
    return true;
}

bool blk_make_empty(BlkNode *n, GError **err)
{
    n = past_filters(n);
    return writable(n, "empty", err) &&
           (n->driver->make_empty ? n->driver->make_empty(n, err) : cannot(n, "empty", "cannot give up what it holds", err));
}

/* From the file up, so that a format finds its file writable; and down the other way. */
static bool reopen_up(BlkNode *n, bool read_only, GError **err)
{
    if (n->read_only == read_only)
        return true;
    if (n->file && !n->driver->reads_file && !reopen_up(n->file, read_only, err))
        return false;
    n->read_only = read_only;
    if (n->driver->reopen && !n->driver->reopen(n, err)) {
        n->read_only = !read_only;
        return false;
    }
    if (n->root)
        n->read_only = n->file->read_only;
    return true;
}

static bool reopen_down(BlkNode *n, GError **err)
{
    if (n->read_only)
        return true;
    if (!node_store_bitmaps(n, err))
        return false;
    n->read_only = true;
    if (n->driver->reopen && !n->driver->reopen(n, err)) {
        n->read_only = false;
        return false;
    }
    return !n->file || reopen_down(n->file, err);
}

bool blk_set_read_only(BlkNode *n, bool read_only, GError **err)
{
    if (!read_only)
        return reopen_up(n, false, err);
    return n->read_only || (blk_flush(n, err) && reopen_down(n, err));
}

bool blk_measure(const char *format, const char *options, BlkNode *source, BlkMeasure *ret, GError **err)
{
    const BlkDriver *d = blk_driver(format, BLK_FORMAT);
    g_autoptr(KeyVals) kv = keyvals_parse(options ? options : "", NULL, format, err);
    if (!kv)
        return false;
    if (!d || !d->measure)
        return error_set(err, ERR_UNSUPPORTED, "cannot measure format '%s': %s", format, d ? "it cannot tell beforehand" : "it is not known");
    *ret = (BlkMeasure){ 0 };
    return d->measure(kv, source, ret, err) && keyvals_end(kv, err);
}

/* ---- internal snapshots */

void blk_snapshot_clear(BlkSnapshot *s)
{
    g_clear_pointer(&s->id, g_free);
    g_clear_pointer(&s->name, g_free);
}

static bool has_snapshots(BlkNode *n, bool change, GError **err)
{
    if (!n->driver->snapshot_list)
        return cannot(n, "look for snapshots in", "images hold none", err);
    return !change || writable(n, "change the snapshots of", err);
}

bool blk_snapshot_create(BlkNode *n, const BlkSnapshot *s, GError **err)
{
    n = past_filters(n);
    return has_snapshots(n, true, err) && n->driver->snapshot_create(n, s, err);
}

GArray *blk_snapshot_list(BlkNode *n, GError **err)
{
    n = past_filters(n);
    if (!has_snapshots(n, false, err))
        return NULL;
    GArray *list = g_array_new(FALSE, FALSE, sizeof(BlkSnapshot));
    g_array_set_clear_func(list, (GDestroyNotify)blk_snapshot_clear);
    if (!n->driver->snapshot_list(n, list, err))
        g_clear_pointer(&list, g_array_unref);
    return list;
}

static void take_size(BlkNode *n)
{
    if (n->file && n->driver->kind == BLK_FILTER) {
        take_size(n->file);
        n->size = n->file->size;
    }
}

bool blk_snapshot_apply(BlkNode *n, const char *id_or_name, GError **err)
{
    BlkNode *image = past_filters(n);
    bool ok = has_snapshots(image, true, err) && image->driver->snapshot_apply(image, id_or_name, err);
    if (ok && image->bitmaps) {
        bitmaps_resize(image, image->size);
        bitmaps_note(image, 0, image->size);
    }
    take_size(n);
    return ok;
}

bool blk_snapshot_load(BlkNode *n, const char *id_or_name, GError **err)
{
    BlkNode *image = past_filters(n);
    if (!has_snapshots(image, false, err))
        return false;
    if (!image->read_only || !image->driver->snapshot_load)
        return cannot(image, "show a snapshot of", image->read_only ? "format cannot" : "image is open for writing", err);
    bool ok = image->driver->snapshot_load(image, id_or_name, err);
    take_size(n);
    return ok;
}

bool blk_snapshot_delete(BlkNode *n, const char *id_or_name, GError **err)
{
    n = past_filters(n);
    return has_snapshots(n, true, err) && n->driver->snapshot_delete(n, id_or_name, err);
}

int blk_vm_state(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len)
{
    n = past_filters(n);
    if (!n->driver->vm_state)
        return -ENOTSUP;
    return op == BLK_WRITE && n->read_only ? -EROFS : n->driver->vm_state(n, op, off, buf, len);
}
