/* create.c - atoll-img create: an empty image. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/keyval.h"
#include "tools/img/commands.h"
#include "tools/img/create.h"
#include "tools/img/util.h"

enum { SECTOR = 512 };

void create_text_add(GString *s, const char *key, const char *value)
{
    if (!value)
        return;
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);
    g_string_append_printf(s, "%s%s=%s", s->len ? "," : "", key, doubled);
}

char *img_beside(const char *image, const char *name)
{
    g_autofree char *directory = g_path_get_dirname(image);
    if (g_path_is_absolute(name) || g_str_equal(directory, ".") || (strchr(name, ':') && strcspn(name, ":") < strcspn(name, "/")))
        return g_strdup(name);
    return g_build_filename(directory, name, NULL);
}

/* Of an option: what was given or its default, as a number where it is one; NULL: none. */
static char *shown_value(const BlkOption *o, KeyVals *kv)
{
    const char *text = keyvals_take(kv, o->name);
    text = text ? text : o->def;
    uint64_t bytes;
    if (text && o->type == BLK_SIZE && parse_size(text, 1, &bytes))
        return g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
    bool on;
    if (text && o->type == BLK_BOOL && parse_on_off(text, &on))
        return g_strdup(on ? "on" : "off");
    return g_strdup(text);
}

/* In the driver's order, but for what QEMU prints only if it was given. */
static void print_formatting(const char *format, const char *filename, const char *options)
{
    g_autoptr(KeyVals) kv = keyvals_parse(options, NULL, format, NULL);
    printf("Formatting '%s', fmt=%s", filename, format);
    for (const BlkOption *o = blk_format_options(format); kv && o && o->name; o++) {
        bool given = keyvals_take(kv, o->name) != NULL;
        g_autofree char *value = o->create && (given || (!g_str_equal(o->name, "compat") && !g_str_equal(o->name, "preallocation") && !strchr(o->name, '.'))) ? shown_value(o, kv) : NULL;
        if (value)
            printf(" %s=%s", o->name, value);
    }
    printf("\n");
    fflush(stdout);
}

static bool check_backing(const ImgArgs *a, const char *filename, const char *backing, const char *backing_format, uint64_t *size, GError **err)
{
    g_autofree char *path = img_beside(filename, backing);
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = backing_format, .read_only = true, .share = true, .env = a->env }, err);
    if (!n) {
        g_prefix_error(err, "Could not open backing image: ");
        return false;
    }
    BlkInfo info;
    blk_info(n, &info);
    *size = info.size;
    blk_close(n);
    return true;
}

static bool no_backing_format(const ImgArgs *a, const char *filename, const char *backing, GError **err)
{
    g_autofree char *path = img_beside(filename, backing);
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .read_only = true, .share = true, .no_backing = true, .env = a->env }, NULL);
    BlkInfo info = { 0 };
    if (n)
        blk_info(n, &info);
    error_set(err, ERR_INVALID, "%s: Backing file specified without backing format%s%s%s", filename, n ? "\nDetected format of " : "", n ? info.format : "",
              n ? "; say -F if that is right: a guess could be the guest's" : "; say -F");
    blk_close(n);
    return false;
}

static void tell_failure(const char *filename, GError **err)
{
    if (err && *err && !strstr((*err)->message, filename))
        g_prefix_error(err, "%s: ", filename);
}

static bool make(const ImgArgs *a, const char *format, const char *filename, const char *options, GError **err)
{
    struct stat st;
    bool existed = stat(filename, &st) == 0;
    if (blk_create(format, filename, options, a->env, err))
        return true;
    tell_failure(filename, err);
    if (!existed && stat(filename, &st) == 0 && S_ISREG(st.st_mode))
        unlink(filename);
    return false;
}

/* The size goes where it was named last: the word beats size= in -o. */
static bool take_size(const char *size_word, KeyVals *kv, uint64_t *ret, bool *ret_given, GError **err)
{
    const char *text = size_word ? size_word : keyvals_take(kv, "size");
    *ret_given = text != NULL;
    return !text || img_parse_size(text, "image size", INT64_MAX, ret, err);
}

static char *join_options(const char *given, const char *backing, const char *backing_format, bool has_size, uint64_t size)
{
    GString *s = g_string_new(given);
    create_text_add(s, "backing_file", backing);
    create_text_add(s, "backing_fmt", backing_format);
    if (has_size)
        g_string_append_printf(s, "%ssize=%" G_GUINT64_FORMAT, s->len ? "," : "", size);
    return g_string_free(s, FALSE);
}

bool create_image(const ImgArgs *a, const CreateImage *c, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(c->options ? c->options : "", NULL, c->format, err);
    if (!kv)
        return false;
    const BlkOption *known = blk_format_options(c->format);
    if (!known)
        return error_set(err, ERR_INVALID, "%s: Unknown file format '%s'", c->filename, c->format);
    const char *backing = c->backing ? c->backing : keyvals_take(kv, "backing_file");
    const char *backing_format = c->backing_format ? c->backing_format : keyvals_take(kv, "backing_fmt");
    uint64_t size = 0, base_size = 0;
    bool has_size;
    if (!take_size(c->size, kv, &size, &has_size, err))
        return false;
    if (backing && !*backing)
        backing = NULL;
    if (backing && !backing_format)
        return no_backing_format(a, c->filename, backing, err);
    if (backing && !c->unsafe && !check_backing(a, c->filename, backing, backing_format, &base_size, err)) {
        g_prefix_error(err, "%s: ", c->filename);
        return false;
    }
    if (!has_size && (!backing || c->unsafe))
        return error_set(err, ERR_INVALID, "%s: Image creation needs a size parameter", c->filename);
    g_autofree char *options = join_options(c->options, c->backing, c->backing_format, true, has_size ? size : base_size);
    if (!c->quiet)
        print_formatting(c->format, c->filename, options);
    g_autofree char *rounded = size % SECTOR ? g_strdup_printf("%s,size=%" G_GUINT64_FORMAT, options, size - size % SECTOR + SECTOR) : NULL;
    return make(a, c->format, c->filename, rounded ? rounded : options, err);
}

int img_create(ImgArgs *a, GError **err)
{
    const char *format = a->format ? a->format : "raw";
    if (img_asked_for_options(a))
        return img_print_options(format, false, a->nwords > 0, err);
    if (a->nwords < 1)
        return !img_usage(err, "Expecting image file name");
    if (a->nwords > 2)
        return !error_set(err, ERR_INVALID, "Unexpected argument: %s", a->words[2]);
    g_autofree char *options = img_options_text(a);
    CreateImage c = { .format = format, .filename = a->words[0], .size = a->nwords > 1 ? a->words[1] : NULL, .options = options,
                      .backing = a->backing, .backing_format = a->backing_format, .unsafe = a->unsafe, .quiet = a->quiet };
    return !create_image(a, &c, err);
}
