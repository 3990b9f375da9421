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

#define JSON "json:"
enum { MAX_CHAIN = 200, HEAD_BYTES = 4096 };

/* What a node takes over from where it will stand. */
typedef struct Place {
    BlkMode mode;
    bool read_only, create;
    const BlkEnv *env;
    BlkNode *overlay; /* whose backing it will be */
} Place;

static Place place_below(const Place *p)
{
    return (Place){ .mode = mode_of_child(&p->mode), .read_only = p->read_only, .env = p->env };
}

/* A backing file: only read, and used as its overlay is. */
static Place place_backing(BlkNode *n)
{
    return (Place){ .mode = mode_of_child(&n->mode), .read_only = true, .env = n->env, .overlay = n };
}

static const BlkDriver *find_format(const char *name, const char *filename, GError **err)
{
    const BlkDriver *d = blk_driver(name, BLK_FORMAT);
    g_autofree char *known = driver_names(BLK_FORMAT);
    if (!d)
        error_set(err, ERR_UNSUPPORTED, "cannot open disk image '%s': format '%s' is not known; known are %s", filename, name, known);
    return d;
}

/* ---- single nodes */

static bool open_node(BlkNode *n, KeyVals *options, GError **err)
{
    g_autoptr(KeyVals) none = options ? NULL : keyvals_parse("", NULL, n->driver->name, NULL);
    if (!n->driver->open(n, options ? options : none, err))
        return false;
    if (n->align > 1 && !n->ranges)
        n->ranges = ranges_new();
    return !n->driver->load_bitmaps || n->driver->load_bitmaps(n, err);
}

static BlkNode *open_or_close(BlkNode *n, KeyVals *options, GError **err)
{
    if (!open_node(n, options, err))
        g_clear_pointer(&n, blk_close);
    return n;
}

/* A format makes its file longer as it writes, through filters too. */
static void set_grows(BlkNode *file, bool grows)
{
    for (; file->driver->kind == BLK_FILTER && file->file; file = file->file)
        file->grows = grows;
    file->grows = grows;
}

static BlkNode *stack_at(const BlkDriver *driver, BlkNode *file, KeyVals *options, const BlkMode *mode, GError **err)
{
    BlkNode *n = node_create(driver, file->filename);
    n->file = file;
    n->env = file->env;
    n->slow_ops = file->slow_ops;
    n->mode = mode ? *mode : file->mode;
    n->read_only = file->read_only && !driver->reads_file;
    n->probed = file->probed;
    n->warning = g_strdup(file->warning);
    if (driver->kind == BLK_FORMAT)
        set_grows(file, driver->grows_file);
    return open_or_close(n, options, err);
}

BlkNode *blk_stack(const BlkDriver *driver, BlkNode *file, KeyVals *options, GError **err)
{
    return stack_at(driver, file, options, NULL, err);
}

static bool nothing_left(BlkNode *n, KeyVals *options, GError **err) { return !options || keyvals_end(options, err) || (blk_close(n), false); }

/* options: NULL: none. */
static BlkNode *open_protocol(const BlkDriver *d, const char *filename, KeyVals *options, const Place *p, GError **err)
{
    BlkMode mode = p->mode;
    bool read_only = p->read_only;
    const char *name = NULL;
    if (options && !mode_take(options, &mode, &read_only, &name, err))
        return NULL;
    BlkNode *n = node_create(d, filename ? filename : d->name);
    n->env = p->env;
    n->mode = mode;
    n->read_only = read_only;
    n->may_be_empty = p->create;
    n->node_name = g_strdup(name);
    n = open_or_close(n, options, err);
    return n && nothing_left(n, options, err) ? n : NULL;
}

/* A path, "file:PATH", or a URI of a protocol. */
static BlkNode *open_named(const char *filename, KeyVals *options, const Place *p, GError **err)
{
    const BlkDriver *d = driver_of_uri(filename);
    if (d == &file_driver && g_str_has_prefix(filename, "file:"))
        filename += strlen("file:");
    return open_protocol(d, filename, options, p, err);
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
    const BlkDriver *d = driver_of_head(head, sizeof(head));
    const char *other = d ? NULL : format_guess(head, sizeof(head));
    if (other && !file->warning)
        file->warning = g_strdup_printf("disk image '%s' looks like format %s, but is used as raw: the guest sees its "
                                        "container; say format=raw if that is meant", file->filename, other);
    return d ? d : &raw_driver;
}

/* ---- images: a format over its file, with its chain */

static bool open_chain(BlkNode *n, GError **err);

/* The words of an image, taken apart: what belongs to its file and to its backing file. */
typedef struct Words {
    char *file, *backing, *limits; /* NULL: nothing */
    bool copy_on_read;
    Place place;          /* with what the words say of it */
    const char *name;
} Words;

static void words_clear(Words *w)
{
    g_free(w->file);
    g_free(w->backing);
    g_free(w->limits);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Words, words_clear)

static bool take_words(Words *w, KeyVals *kv, const Place *p, GError **err)
{
    w->place = *p;
    w->file = keyvals_take_tree(kv, "file");
    w->backing = keyvals_take_tree(kv, "backing");
    w->limits = keyvals_take_tree(kv, "throttling");
    if (!keyvals_take_bool(kv, "copy-on-read", &w->copy_on_read, err))
        return false;
    const char *backing = keyvals_take(kv, "backing");
    if (backing && *backing)
        return error_set(err, ERR_UNSUPPORTED, "backing=%s: say backing.driver=..., or backing= (nothing) for none", backing);
    w->place.mode.no_backing |= backing != NULL;
    return mode_take(kv, &w->place.mode, &w->place.read_only, &w->name, err);
}

static BlkNode *open_tree(const char *text, const Place *p, GError **err);

static bool open_backing(BlkNode *n, const Words *w, GError **err)
{
    if (n->mode.no_backing)
        return true;
    if (!w->backing)
        return open_chain(n, err);
    Place below = place_backing(n);
    n->backing = open_tree(w->backing, &below, err);
    return n->backing;
}

/* A filter over the image, which this takes over. */
static BlkNode *filter(const BlkDriver *driver, BlkNode *n, const char *words, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(words, NULL, driver == &throttle_driver ? "throttling" : driver->name, err);
    if (!kv) {
        blk_close(n);
        return NULL;
    }
    bool writethrough = n->mode.writethrough;
    if ((n = blk_stack(driver, n, kv, err)))
        n->mode = (BlkMode){ .writethrough = writethrough }; /* the rest is the image's own */
    return n && nothing_left(n, kv, err) ? n : NULL;
}

/* format NULL: guess; takes the file over. */
static BlkNode *finish_image(const BlkDriver *format, BlkNode *file, KeyVals *kv, const Words *w, GError **err)
{
    if (!format && !(format = guess(file, err))) {
        blk_close(file);
        return NULL;
    }
    BlkNode *n = stack_at(format, file, kv, &w->place.mode, err);
    if (!n)
        return NULL;
    n->overlay = w->place.overlay;
    n->node_name = g_strdup(w->name);
    if (!nothing_left(n, kv, err))
        return NULL;
    if (n->driver->kind == BLK_FORMAT && !open_backing(n, w, err))
        g_clear_pointer(&n, blk_close);
    if (n && w->copy_on_read && !n->read_only)
        n = filter(&copy_on_read_driver, n, "", err);
    return n && w->limits ? filter(&throttle_driver, n, w->limits, err) : n;
}

static KeyVals *parse(const char *text, const char *owner, GError **err) { return keyvals_parse(text ? text : "", NULL, owner, err); }

/* "json:{...}" may say nothing of the format. */
static BlkNode *open_json(const char *json, const char *format, const Place *p, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(json, NULL, "json:", err);
    if (!kv)
        return NULL;
    const char *driver = keyvals_take(kv, "driver");
    g_autofree char *rest = keyvals_rest_text(kv);
    driver = driver ? driver : format;
    g_autofree char *all = driver ? g_strdup_printf("driver=%s%s%s", driver, rest ? "," : "", rest ? rest : "") : g_strdup(rest);
    return open_tree(all ? all : "", p, err);
}

static BlkNode *open_image(const char *filename, const char *format, const char *options, const Place *p, GError **err)
{
    if (g_str_has_prefix(filename, JSON))
        return open_json(filename + strlen(JSON), format, p, err);
    const BlkDriver *d = format ? find_format(format, filename, err) : NULL;
    g_autoptr(KeyVals) kv = d || !format ? parse(options, "image options", err) : NULL;
    g_auto(Words) w = { 0 };
    if (!kv || !take_words(&w, kv, p, err))
        return NULL;
    g_autoptr(KeyVals) file_options = parse(w.file, "file options", err);
    Place below = place_below(&w.place);
    BlkNode *file = file_options ? open_named(filename, file_options, &below, err) : NULL;
    return file ? finish_image(d, file, kv, &w, err) : NULL;
}

char *blk_path_from(const BlkNode *n, const char *name)
{
    if (driver_of_uri(name) != &file_driver || g_str_has_prefix(name, JSON))
        return g_strdup(name);
    if (g_str_has_prefix(name, "file:"))
        name += strlen("file:");
    g_autofree char *directory = g_path_get_dirname(n->filename);
    g_autofree char *path = g_path_is_absolute(name) || g_str_equal(directory, ".") ? g_strdup(name) : g_build_filename(directory, name, NULL);
    return g_strconcat(strchr(path, ':') ? "file:" : "", path, NULL);
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

static bool may_name_files(const BlkNode *n, const char *what, const char *name, GError **err)
{
    return !n->probed ||
           error_set(err, ERR_DENIED, "disk image '%s' looks like format %s and names the %s '%s', but its format was not given, and its "
                     "guest may have written that: say format=%s to follow it, or format=raw",
                     n->filename, n->driver->name, what, name, n->driver->name);
}

static bool open_chain(BlkNode *n, GError **err)
{
    if (!n->backing_name)
        return true;
    if (!may_name_files(n, "backing file", n->backing_name, err))
        return false;
    g_autofree char *path = blk_path_from(n, n->backing_name);
    if (in_chain(n, g_str_has_prefix(path, "file:") ? path + strlen("file:") : path))
        return error_set(err, ERR_INVALID, "cannot open disk image '%s': its backing file '%s' leads back to it, or the chain "
                         "has more than %d images", n->filename, path, MAX_CHAIN);
    Place p = place_backing(n);
    n->backing = open_image(path, n->backing_format, NULL, &p, err);
    if (!n->backing)
        g_prefix_error(err, "backing file of '%s': ", n->filename);
    return n->backing;
}

BlkNode *blk_open_child(BlkNode *n, KeyVals *options, const char *name, const char *filename, GError **err)
{
    g_autofree char *tree = options ? keyvals_take_tree(options, name) : NULL;
    Place p = { .mode = mode_of_child(&n->mode), .read_only = n->read_only, .env = n->env };
    if (tree)
        return open_tree(tree, &p, err);
    if (!filename || !may_name_files(n, name, filename, err)) {
        if (!filename)
            error_set(err, ERR_INVALID, "disk image '%s' does not name its %s: give %s.filename=", n->filename, name, name);
        return NULL;
    }
    g_autofree char *path = blk_path_from(n, filename);
    return open_named(path, NULL, &p, err);
}

/* ---- a tree of key=value */

static bool unknown_driver(const char *text, GError **err)
{
    g_autofree char *protocols = driver_names(BLK_PROTOCOL), *formats = driver_names(BLK_FORMAT), *filters = driver_names(BLK_FILTER);
    return error_set(err, ERR_UNSUPPORTED, "'%s' names no known driver: give driver=%s, %s, %s", text, protocols, formats, filters);
}

/* d NULL: a format that is to be guessed. */
static BlkNode *tree_image(const BlkDriver *d, KeyVals *kv, const char *text, const Place *p, GError **err)
{
    g_auto(Words) w = { 0 };
    if (!take_words(&w, kv, p, err))
        return NULL;
    if (!w.file && d == &debug_driver) /* as QEMU calls what lies under that one */
        w.file = keyvals_take_tree(kv, "image");
    if (!w.file) {
        error_set(err, ERR_INVALID, "'%s' does not say what lies under %s: give file.driver=file,file.filename=...", text,
                  d ? d->name : "it");
        return NULL;
    }
    Place below = place_below(&w.place);
    below.read_only |= d && d->reads_file;
    BlkNode *file = open_tree(w.file, &below, err);
    return file ? finish_image(d, file, kv, &w, err) : NULL;
}

static BlkNode *open_tree(const char *text, const Place *p, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(text, "driver", "image options", err);
    const char *name = kv ? keyvals_take(kv, "driver") : NULL;
    const BlkDriver *d = name ? driver_named(name) : NULL;
    if (!kv || (name && !d)) {
        if (kv)
            unknown_driver(text, err);
        return NULL;
    }
    const char *filename = d && d->kind != BLK_PROTOCOL ? NULL : keyvals_take(kv, "filename");
    if (d == &file_driver && !filename) {
        error_set(err, ERR_INVALID, "'%s': driver %s needs filename=...", text, d->name);
        return NULL;
    }
    if (d && d->kind == BLK_PROTOCOL)
        return open_protocol(d, filename, kv, p, err);
    return filename ? open_named(filename, kv, p, err) : tree_image(d, kv, text, p, err);
}

static BlkNode *finish(BlkNode *n, bool snapshot, GError **err)
{
    if (n && snapshot)
        n = blk_stack(&snapshot_driver, n, NULL, err);
    return n ? node_root(n) : NULL;
}

static Place place_of(const BlkOpenOptions *o)
{
    return (Place){ .mode = { .share = o->share, .no_backing = o->no_backing, .repair = o->repair }, .read_only = o->read_only || o->snapshot, .env = o->env };
}

BlkNode *blk_open(const BlkOpenOptions *o, GError **err)
{
    Place p = place_of(o);
    return finish(open_image(o->filename, o->format, o->options, &p, err), o->snapshot, err);
}

BlkNode *blk_open_tree(const char *text, const BlkOpenOptions *o, GError **err)
{
    Place p = o ? place_of(o) : (Place){ 0 };
    p.create = true; /* a file alone may be empty: blk_create() fills it later */
    return finish(open_tree(text, &p, err), o && o->snapshot, err);
}

/* ---- creating */

bool blk_create(const char *format, const char *filename, const char *options, const BlkEnv *env, GError **err)
{
    const BlkDriver *d = find_format(format, filename, err);
    g_autoptr(KeyVals) kv = d ? keyvals_parse(options, NULL, format, err) : NULL;
    Place p = { .create = true, .env = env };
    bool on_host = driver_of_uri(filename) == &file_driver;
    if (!kv)
        return false;
    if (!d->create)
        return error_set(err, ERR_UNSUPPORTED, "cannot create disk image '%s': format %s can only be read", filename, format);
    if (on_host && !file_create(g_str_has_prefix(filename, "file:") ? filename + strlen("file:") : filename, err))
        return false;
    BlkNode *file = open_named(filename, NULL, &p, err); /* the lock, before anything is lost */
    bool ok = file && (file->grows = on_host, true) && (!on_host || blk_resize(file, 0, BLK_SHRINK, err)) && d->create(file, kv, err);
    blk_close(file);
    return ok;
}
