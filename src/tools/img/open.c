/*
 * open.c - opens images as the command line says.
 *
 * An image whose format nobody named must not name other files: its guest may have written its head.  A file name that
 * ends like the format's own name ("disk.qcow2") counts as having named it; else the block layer refuses, and says so.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "tools/img/util.h"

static const char *const caches[] = { "none", "off", "writeback", "writethrough", "directsync", "unsafe", NULL };

void img_warn(const ImgArgs *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "%s: warning: %s\n", a->program, text);
}

bool img_cache_check(const char *cache, const char *what, GError **err)
{
    if (!cache || g_strv_contains(caches, cache))
        return true;
    return error_set(err, ERR_INVALID, "Invalid %s option: %s; there are none, writeback, writethrough, directsync, unsafe", what, cache);
}

char *img_options_text(const ImgArgs *a)
{
    if (!a->options)
        return NULL;
    GString *s = g_string_new(NULL);
    for (unsigned i = 0; i < a->options->len; i++)
        g_string_append_printf(s, "%s%s", i ? "," : "", (char *)a->options->pdata[i]);
    return g_string_free(s, FALSE);
}

bool img_asked_for_options(const ImgArgs *a)
{
    g_autofree char *text = img_options_text(a);
    g_auto(GStrv) words = g_strsplit(text ? text : "", ",", -1);
    return g_strv_contains((const char *const *)words, "help") || g_strv_contains((const char *const *)words, "?");
}

static const char *type_words(BlkOptionType type)
{
    switch (type) {
    case BLK_SIZE:
        return "size";
    case BLK_NUMBER:
        return "num";
    case BLK_BOOL:
        return "bool (on/off)";
    case BLK_STRING:
    case BLK_CHOICE:
        break;
    }
    return "str";
}

static void print_option(const BlkOption *o)
{
    g_autofree char *spelling = g_strdup_printf("%s=<%s>", o->name, type_words(o->type));
    printf("  %-22s - %s", spelling, o->doc);
    for (unsigned i = 0; o->choices && o->choices[i]; i++)
        printf("%s%s%s", i ? ", " : " (", o->choices[i], o->choices[i + 1] ? "" : ")");
    printf("\n");
}

static int by_name(const void *a, const void *b)
{
    const BlkOption *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

int img_print_options(const char *format, bool amend, bool named, GError **err)
{
    const BlkOption *o = blk_format_options(format);
    g_autoptr(GPtrArray) rows = g_ptr_array_new();
    for (; o && o->name; o++)
        if (amend ? o->amend : o->create)
            g_ptr_array_add(rows, (void *)o);
    if (!o)
        return !error_set(err, ERR_INVALID, "Unknown file format '%s'", format);
    if (amend && !rows->len)
        return !error_set(err, ERR_UNSUPPORTED, "Format driver '%s' does not support option amendment", format);
    g_ptr_array_sort(rows, by_name);
    if (amend)
        printf("Amend options for '%s':\n", format);
    else
        printf(named ? "Supported options:\n" : "Supported %s options:\n", format);
    for (unsigned i = 0; i < rows->len; i++)
        print_option(rows->pdata[i]);
    if (!named && !amend)
        printf("\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n");
    return 0;
}

/* The format that the end of its name says; NULL: none. */
static const char *named_format(const char *name, const char *const *known)
{
    const char *dot = strrchr(name, '.');
    for (unsigned i = 0; dot && known[i]; i++)
        if (g_ascii_strcasecmp(dot + 1, known[i]) == 0)
            return known[i];
    return NULL;
}

/* What the head says, where the name says the same. */
static const char *vouched_format(const ImgArgs *a, const ImgOpen *o)
{
    g_autofree const char **known = blk_format_names();
    const char *format = named_format(o->name, known);
    if (!format || g_str_equal(format, "raw"))
        return NULL;
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = o->name, .read_only = true, .share = true, .no_backing = true, .env = a->env }, NULL);
    if (!n)
        return NULL;
    BlkInfo info;
    blk_info(n, &info);
    bool same = g_str_equal(info.format, format);
    blk_close(n);
    return same ? format : NULL;
}

static void append_option(GString *s, const char *key, const char *value)
{
    if (value)
        g_string_append_printf(s, "%s%s%s", s->len ? "," : "", key, value);
}

static char *snapshot_word(const char *text, GError **err)
{
    if (!strstr(text, "snapshot."))
        return g_strdup(text);
    g_autoptr(KeyVals) kv = keyvals_parse(text, NULL, "-l", err);
    const char *id = kv ? keyvals_take(kv, "snapshot.id") : NULL, *name = kv ? keyvals_take(kv, "snapshot.name") : NULL;
    if (!kv || !keyvals_end(kv, err))
        return NULL;
    return g_strdup(id ? id : name);
}

static BlkNode *open_snapshot(const ImgArgs *a, const ImgOpen *o, GError **err)
{
    ImgOpen plain = *o;
    plain.snapshot = NULL;
    g_autofree char *word = snapshot_word(o->snapshot, err);
    BlkNode *n = word ? img_open(a, &plain, err) : NULL;
    if (n && !blk_snapshot_load(n, word, err)) {
        g_prefix_error(err, "Failed to load snapshot: ");
        g_clear_pointer(&n, blk_close);
    }
    return n;
}

BlkNode *img_open(const ImgArgs *a, const ImgOpen *o, GError **err)
{
    if (o->snapshot)
        return open_snapshot(a, o, err);
    g_autoptr(GString) more = g_string_new(NULL);
    append_option(more, "cache=", o->cache);
    append_option(more, "", o->more);
    BlkOpenOptions options = { .filename = o->name, .format = o->format, .read_only = !o->write, .share = a->force_share,
                               .snapshot = o->discard_writes, .no_backing = o->no_backing, .repair = o->repair, .options = more->len ? more->str : NULL, .env = a->env };
    if (!o->format && !o->image_opts && !o->no_backing)
        options.format = vouched_format(a, o);
    BlkNode *n = o->image_opts ? blk_open_tree(o->name, &options, err) : blk_open(&options, err);
    BlkInfo info = { 0 };
    if (n)
        blk_info(n, &info);
    if (info.warning)
        img_warn(a, "%s", info.warning);
    return n;
}

BlkNode *img_open_named(const ImgArgs *a, bool write, GError **err)
{
    const char *cache = write ? a->cache : a->src_cache;
    if (!img_cache_check(cache, write ? "cache" : "source cache", err))
        return NULL;
    return img_open(a, &(ImgOpen){ .name = a->words[0], .format = a->format, .cache = cache, .image_opts = a->image_opts, .write = write }, err);
}

int img_end(BlkNode **n, int status, GError **err)
{
    BlkNode *node = g_steal_pointer(n);
    if (status) {
        blk_close(node);
        return status;
    }
    return !blk_finish(node, err);
}
