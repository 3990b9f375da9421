/*
 * open.c - builds the stack of nodes of an image: its file, its format, its chain of backing files, its filters.
 *
 * A guest that has its disk as a raw file can write any head into it.  So an image whose format was guessed may not
 * name another file: its backing file is refused, not followed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/driver.h"

enum { MAX_CHAIN = 200, HEAD_BYTES = 4096 };

static const BlkDriver *const drivers[] = { &file_driver, &raw_driver, &snapshot_driver, &qcow2_driver };

const BlkDriver *blk_driver(const char *name, BlkKind kind)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (drivers[i]->kind == kind && g_str_equal(drivers[i]->name, name))
            return drivers[i];
    return NULL;
}

static char *names_of(BlkKind kind)
{
    GString *names = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (drivers[i]->kind == kind)
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", drivers[i]->name);
    return g_string_free(names, FALSE);
}

static const BlkDriver *find_format(const char *name, const char *filename, GError **err)
{
    const BlkDriver *d = blk_driver(name, BLK_FORMAT);
    g_autofree char *known = names_of(BLK_FORMAT);
    if (!d)
        error_set(err, ERR_UNSUPPORTED, "cannot open disk image '%s': format '%s' is not known; known are %s", filename, name, known);
    return d;
}

static BlkNode *open_or_close(BlkNode *n, KeyVals *options, GError **err)
{
    if (!n->driver->open(n, options, err))
        g_clear_pointer(&n, blk_close);
    return n;
}

BlkNode *blk_stack(const BlkDriver *driver, BlkNode *file, KeyVals *options, GError **err)
{
    BlkNode *n = node_create(driver, file->filename);
    n->file = file;
    n->read_only = file->read_only;
    n->share = file->share;
    n->probed = file->probed;
    n->warning = g_strdup(file->warning);
    file->grows = driver->grows_file;
    return open_or_close(n, options, err);
}

static BlkNode *open_file(const char *filename, bool read_only, bool share, bool create, GError **err)
{
    BlkNode *n = node_create(&file_driver, filename);
    n->read_only = read_only;
    n->share = share;
    n->may_be_empty = create;
    return open_or_close(n, NULL, err);
}

static const BlkDriver *guess(BlkNode *file, GError **err)
{
    uint8_t head[HEAD_BYTES] = { 0 };
    int status = blk_pread(file, 0, head, MIN(file->size, HEAD_BYTES));
    if (status) {
        error_set_errno(err, -status, "cannot read the head of disk image '%s'", file->filename);
        return NULL;
    }
    file->probed = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (drivers[i]->probe && drivers[i]->probe(head, sizeof(head)))
            return drivers[i];
    const char *other = format_guess(head, sizeof(head));
    if (other && !file->warning)
        file->warning = g_strdup_printf("disk image '%s' looks like format %s, but is used as raw: the guest sees its "
                                        "container; say format=raw if that is meant", file->filename, other);
    return &raw_driver;
}

static bool open_chain(BlkNode *n, GError **err);

static BlkNode *open_image(const BlkOpenOptions *o, BlkNode *overlay, GError **err)
{
    const BlkDriver *format = o->format ? find_format(o->format, o->filename, err) : NULL;
    if (o->format && !format)
        return NULL;
    BlkNode *file = open_file(o->filename, o->read_only || o->snapshot, o->share, false, err);
    if (!file || (!format && !(format = guess(file, err)))) {
        blk_close(file);
        return NULL;
    }
    BlkNode *n = blk_stack(format, file, NULL, err);
    if (n)
        n->overlay = overlay;
    if (n && !open_chain(n, err))
        g_clear_pointer(&n, blk_close);
    return n;
}

/* The path of the backing file, seen from the directory of the image that names it. */
static char *backing_path(const BlkNode *n, GError **err)
{
    const char *name = n->backing_name;
    if (g_str_has_prefix(name, "file:"))
        name += strlen("file:");
    else if (strcspn(name, ":") < strcspn(name, "/") && strchr(name, ':')) {
        error_set(err, ERR_UNSUPPORTED, "cannot open backing file '%s' of '%s': only files of the host can be backing files",
                  n->backing_name, n->filename);
        return NULL;
    }
    g_autofree char *directory = g_path_get_dirname(n->filename);
    return g_path_is_absolute(name) || g_str_equal(directory, ".") ? g_strdup(name) : g_build_filename(directory, name, NULL);
}

static bool in_chain(const BlkNode *n, const char *path)
{
    g_autofree char *real = realpath(path, NULL);
    for (unsigned depth = 0; n; n = n->overlay, depth++) {
        g_autofree char *other = realpath(n->filename, NULL);
        if (depth >= MAX_CHAIN || (real && other && g_str_equal(real, other)))
            return true;
    }
    return false;
}

static bool open_chain(BlkNode *n, GError **err)
{
    if (!n->backing_name)
        return true;
    if (n->probed)
        return error_set(err, ERR_DENIED, "disk image '%s' looks like format %s and names the backing file '%s', but its format "
                         "was not given, and its guest may have written that: say format=%s to follow it, or format=raw",
                         n->filename, n->driver->name, n->backing_name, n->driver->name);
    g_autofree char *path = backing_path(n, err);
    if (!path)
        return false;
    if (in_chain(n, path))
        return error_set(err, ERR_INVALID, "cannot open disk image '%s': its backing file '%s' leads back to it, or the chain "
                         "has more than %d images", n->filename, path, MAX_CHAIN);
    n->backing = open_image(&(BlkOpenOptions){ .filename = path, .format = n->backing_format, .read_only = true, .share = n->share },
                            n, err);
    if (!n->backing)
        g_prefix_error(err, "backing file of '%s': ", n->filename);
    return n->backing;
}

static BlkNode *finish(BlkNode *n, bool snapshot, GError **err)
{
    if (n && snapshot)
        n = blk_stack(&snapshot_driver, n, NULL, err);
    if (n)
        node_start(n);
    return n;
}

BlkNode *blk_open(const BlkOpenOptions *o, GError **err) { return finish(open_image(o, NULL, err), o->snapshot, err); }

/* ---- a tree of key=value */

static BlkNode *open_tree(const char *text, bool read_only, BlkNode *overlay, GError **err);

/* What is left of kv under "prefix.", as the text of a tree of its own; NULL: nothing. */
static char *subtree(const char *const *rest, const char *prefix)
{
    GString *text = g_string_new(NULL);
    g_autofree char *dotted = g_strconcat(prefix, ".", NULL);
    for (unsigned i = 0; rest[i]; i += 2) {
        if (!g_str_has_prefix(rest[i], dotted))
            continue;
        g_auto(GStrv) parts = g_strsplit(rest[i + 1], ",", -1);
        g_autofree char *value = g_strjoinv(",,", parts);
        g_string_append_printf(text, "%s%s=%s", text->len ? "," : "", rest[i] + strlen(dotted), value);
    }
    return g_string_free(text, !text->len);
}

static bool only_children(const char *const *rest, const char *text, GError **err)
{
    for (unsigned i = 0; rest[i]; i += 2)
        if (!g_str_has_prefix(rest[i], "file.") && !g_str_has_prefix(rest[i], "backing."))
            return error_set(err, ERR_INVALID, "unknown key '%s' in '%s'; known are driver, filename, read-only, file.*, backing.*",
                             rest[i], text);
    return true;
}

static BlkNode *tree_format(const BlkDriver *d, const char *const *rest, const char *text, bool read_only, BlkNode *overlay, GError **err)
{
    g_autofree char *file_text = subtree(rest, "file"), *backing_text = subtree(rest, "backing");
    if (!file_text) {
        error_set(err, ERR_INVALID, "'%s' does not say what lies under %s: give file.driver=file,file.filename=...", text, d->name);
        return NULL;
    }
    BlkNode *file = open_tree(file_text, read_only, NULL, err);
    BlkNode *n = file ? blk_stack(d, file, NULL, err) : NULL;
    if (!n)
        return NULL;
    n->overlay = overlay;
    bool ok = backing_text ? (n->backing = open_tree(backing_text, true, n, err)) != NULL : open_chain(n, err);
    if (!ok)
        g_clear_pointer(&n, blk_close);
    return n;
}

static const BlkDriver *tree_driver(const char *name, const char *text, GError **err)
{
    for (unsigned i = 0; name && i < G_N_ELEMENTS(drivers); i++)
        if (g_str_equal(drivers[i]->name, name))
            return drivers[i];
    g_autofree char *formats = names_of(BLK_FORMAT), *filters = names_of(BLK_FILTER);
    error_set(err, name ? ERR_UNSUPPORTED : ERR_INVALID, "'%s' names no known driver: give driver=file, %s, %s", text, formats, filters);
    return NULL;
}

static BlkNode *open_tree(const char *text, bool read_only, BlkNode *overlay, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(text, "driver", "image options", err);
    if (!kv || !keyvals_take_bool(kv, "read-only", &read_only, err))
        return NULL;
    const BlkDriver *d = tree_driver(keyvals_take(kv, "driver"), text, err);
    const char *filename = keyvals_take(kv, "filename");
    g_autofree const char **rest = keyvals_rest(kv);
    if (!d || !only_children(rest, text, err))
        return NULL;
    if (d->kind != BLK_PROTOCOL)
        return tree_format(d, rest, text, read_only || d->kind == BLK_FILTER, overlay, err);
    if (!filename || rest[0]) {
        error_set(err, ERR_INVALID, "'%s': driver %s needs filename=... and nothing else", text, d->name);
        return NULL;
    }
    return open_file(filename, read_only, false, false, err);
}

BlkNode *blk_open_tree(const char *text, bool read_only, GError **err)
{
    return finish(open_tree(text, read_only, NULL, err), false, err);
}

/* ---- creating */

bool blk_create(const char *format, const char *filename, const char *options, GError **err)
{
    const BlkDriver *d = find_format(format, filename, err);
    g_autoptr(KeyVals) kv = d ? keyvals_parse(options, NULL, format, err) : NULL;
    if (!kv || !file_create(filename, err))
        return false;
    BlkNode *file = open_file(filename, false, false, true, err); /* the lock, before anything is lost */
    bool ok = file && (file->grows = true) && blk_resize(file, 0, err) && d->create(file, kv, err);
    blk_close(file);
    return ok;
}
