/*
 * convert.c - atoll-img convert: one or several images into a new one, or into one that exists.
 */
#include "tools/img/convert.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "tools/img/commands.h"
#include "tools/img/create.h"
#include "tools/img/temporary.h"

enum { MAX_PARALLEL = 16, MIN_SPARSE = 4096, SECTOR = 512 };

typedef struct Convert {
    ImgArgs *args;
    Copy copy;
    const char *format; /* of the target */
    char *options;      /* of -o */
    Temporary temporary;
    BlkNode *target;
} Convert;

/* ---- what the words say */

static bool check_words(const ImgArgs *a, GError **err)
{
    if (a->nwords < 2)
        return error_set(err, ERR_INVALID, "Must specify image file name");
    if (a->skip_broken && !a->bitmaps)
        return error_set(err, ERR_INVALID, "Use of --skip-broken-bitmaps requires --bitmaps");
    if (a->target_is_zero && !a->no_create)
        return error_set(err, ERR_INVALID, "--target-is-zero requires use of -n flag");
    if (a->no_create && (a->backing || a->options))
        return error_set(err, ERR_INVALID, a->options ? "-o has no effect with -n: the target exists already" : "-B has no effect when combined with -n");
    if (a->backing && a->nwords > 2)
        return error_set(err, ERR_INVALID, "Having a backing file for the target makes no sense when concatenating multiple input images");
    if (a->snapshot && a->nwords > 2)
        return error_set(err, ERR_INVALID, "No support for concatenating multiple snapshot");
    if (a->target_image_opts && !a->no_create)
        return error_set(err, ERR_INVALID, "--target-image-opts requires use of -n flag");
    if (a->target_image_opts && a->out_format)
        return error_set(err, ERR_INVALID, "-O and --target-image-opts exclude each other: say driver= there");
    if (a->out_of_order && a->compress)
        return error_set(err, ERR_INVALID, "Out of order write and compress are mutually exclusive");
    return img_cache_check(a->cache, "cache", err) && img_cache_check(a->src_cache, "source cache", err);
}

static bool read_words(Convert *v, GError **err)
{
    const ImgArgs *a = v->args;
    uint64_t parallel = 0, sparse = MIN_SPARSE;
    if (!check_words(a, err))
        return false;
    if (a->parallel && !img_parse_number(a->parallel, "number of coroutines", 1, MAX_PARALLEL, &parallel, err))
        return false;
    if (a->sparse && !img_parse_size(a->sparse, "buffer size for sparse output", 1 << 30, &sparse, err))
        return false;
    if (sparse % SECTOR)
        return error_set(err, ERR_INVALID, "Invalid buffer size for sparse output specified. Valid sizes are multiples of %d up to %d. "
                         "Select 0 to disable sparse detection (fully allocates output).", SECTOR, 1 << 30);
    v->copy.threads = parallel;
    v->copy.granule = sparse;
    v->copy.compress = a->compress;
    v->copy.offload = a->copy_offload;
    v->copy.salvage = a->salvage;
    v->format = a->out_format ? a->out_format : "raw";
    v->options = img_options_text(a);
    return rate_start(&v->copy.rate, a->rate, err);
}

/* ---- the sources */

static bool open_sources(Convert *v, GError **err)
{
    const ImgArgs *a = v->args;
    Copy *c = &v->copy;
    c->sources = g_new0(Source, a->nwords - 1);
    for (; c->count < a->nwords - 1; c->count++) {
        Source *s = &c->sources[c->count];
        ImgOpen o = { .name = a->words[c->count], .format = a->format, .cache = a->src_cache, .image_opts = a->image_opts, .snapshot = a->snapshot };
        s->node = img_open(a, &o, err);
        if (!s->node)
            return false;
        BlkInfo info;
        blk_info(s->node, &info);
        s->start = c->total;
        s->size = info.size;
        c->total += info.size;
    }
    return true;
}

/* ---- the target */

static bool has_backing(BlkNode *n)
{
    BlkInfo info;
    blk_info(n, &info);
    return info.backing_name;
}

/* Keys that opening the new image needs as well: what unlocks it. */
static char *open_options(const char *options)
{
    g_autoptr(KeyVals) kv = options ? keyvals_parse(options, NULL, "-o", NULL) : NULL;
    GString *s = g_string_new(NULL);
    static const char *const keys[] = { "encrypt.key-secret", "encrypt.format", "key-secret" };
    for (unsigned i = 0; kv && i < G_N_ELEMENTS(keys); i++)
        create_text_add(s, keys[i], keyvals_take(kv, keys[i]));
    return g_string_free(s, FALSE);
}

static bool open_target(Convert *v, const char *name, GError **err)
{
    const ImgArgs *a = v->args;
    g_autofree char *more = open_options(v->options);
    ImgOpen o = { .name = name, .format = a->target_image_opts ? NULL : v->format, .cache = a->cache ? a->cache : "unsafe", .image_opts = a->target_image_opts,
                  .write = true, .no_backing = !a->no_create && !v->copy.on_backing, .more = *more ? more : NULL };
    v->target = v->copy.target = img_open(a, &o, err);
    return v->target;
}

static bool has_option(const char *options, const char *key)
{
    g_autoptr(KeyVals) kv = options ? keyvals_parse(options, NULL, "-o", NULL) : NULL;
    return kv && keyvals_take(kv, key);
}

static bool make_target(Convert *v, GError **err)
{
    const ImgArgs *a = v->args;
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, v->copy.total);
    if (!temporary_start(&v->temporary, a->words[a->nwords - 1], err))
        return false;
    CreateImage image = { .format = v->format, .filename = v->temporary.path, .size = has_option(v->options, "size") ? NULL : size,
                          .options = v->options, .backing = a->backing, .backing_format = a->backing_format, .quiet = true };
    return create_image(a, &image, err) && open_target(v, v->temporary.path, err);
}

static bool fits(Convert *v, GError **err)
{
    BlkInfo info;
    blk_info(v->target, &info);
    if (info.size < v->copy.total)
        return error_set(err, ERR_NO_SPACE, "output file is smaller than input file: '%s' has %" G_GUINT64_FORMAT " bytes, the input %" G_GUINT64_FORMAT
                         "; make it larger with resize", info.filename, info.size, v->copy.total);
    v->copy.cluster = info.cluster_bytes ? info.cluster_bytes : 65536;
    if (v->copy.granule && info.cluster_bytes)
        v->copy.granule = MAX(v->copy.granule, v->copy.compress ? info.cluster_bytes : MIN(info.cluster_bytes, 65536));
    return true;
}

static bool prepare_target(Convert *v, GError **err)
{
    const ImgArgs *a = v->args;
    v->copy.on_backing = a->backing || has_option(v->options, "backing_file");
    if (!(a->no_create ? open_target(v, a->words[a->nwords - 1], err) : make_target(v, err)))
        return false;
    BlkInfo info;
    blk_info(v->target, &info);
    v->copy.target_zero = v->copy.granule && (a->no_create ? a->target_is_zero : !v->copy.on_backing && !info.noisy);
    if (a->target_is_zero && has_backing(v->target))
        return error_set(err, ERR_INVALID, "Cannot use --target-is-zero when the destination image has a backing file");
    return fits(v, err);
}

/* ---- the rest */

static bool copy_bitmap(Convert *v, const BlkBitmapInfo *info, BlkBitmap *from, GError **err)
{
    if (info->inconsistent && v->args->skip_broken) {
        img_warn(v->args, "Skipping inconsistent bitmap '%s'", info->name);
        return true;
    }
    if (info->inconsistent)
        return error_set(err, ERR_INVALID, "Cannot copy inconsistent bitmap '%s'; use --skip-broken-bitmaps or remove it by: bitmap --remove", info->name);
    BlkBitmap *to = blk_bitmap_add(v->target, info->name, info->granularity, true, err);
    return to && blk_bitmap_merge(to, from, err) && blk_bitmap_enable(to, info->enabled, err);
}

static bool copy_bitmaps(Convert *v, GError **err)
{
    BlkNode *source = v->copy.sources[0].node;
    for (BlkBitmap *b = blk_bitmap_next(source, NULL); b; b = blk_bitmap_next(source, b)) {
        BlkBitmapInfo info;
        blk_bitmap_info(b, &info);
        if (info.persistent && !copy_bitmap(v, &info, b, err))
            return false;
    }
    return true;
}

static bool is_plain(BlkNode *n)
{
    BlkInfo info;
    blk_info(n, &info);
    return g_str_equal(info.format, "raw") && g_strcmp0(info.protocol, "file") == 0;
}

/* A raw file into a raw file of a file system that can share blocks: nothing is read. */
static bool reflinked(Convert *v)
{
    Copy *c = &v->copy;
    if (!v->temporary.renames || c->count != 1 || !c->granule || c->compress || c->rate.per_s || !is_plain(v->target) || !is_plain(c->sources[0].node))
        return false;
    BlkInfo from, to;
    blk_info(c->sources[0].node, &from);
    blk_info(v->target, &to);
    return from.size == to.size && from.size == from.file_bytes && copy_reflink(from.filename, v->temporary.path);
}

static bool close_target(Convert *v, GError **err)
{
    if (img_end(&v->target, 0, err))
        return false;
    return v->args->no_create || temporary_commit(&v->temporary, err);
}

static bool run(Convert *v, GError **err)
{
    if (!read_words(v, err) || !open_sources(v, err) || !prepare_target(v, err))
        return false;
    progress_start(&v->copy.progress, v->args->progress && !v->args->quiet);
    bool ok = reflinked(v) || copy_run(&v->copy, err);
    progress_end(&v->copy.progress, ok);
    return ok && (!v->args->bitmaps || copy_bitmaps(v, err)) && close_target(v, err);
}

int img_convert(ImgArgs *a, GError **err)
{
    if (img_asked_for_options(a))
        return img_print_options(a->out_format ? a->out_format : "raw", false, a->nwords > 1, err);
    Convert v = { .args = a };
    bool ok = run(&v, err);
    blk_close(v.target);
    temporary_explain(&v.temporary, err);
    temporary_clear(&v.temporary);
    for (unsigned i = 0; i < v.copy.count; i++)
        blk_close(v.copy.sources[i].node);
    g_free(v.copy.sources);
    g_free(v.options);
    return !ok;
}
