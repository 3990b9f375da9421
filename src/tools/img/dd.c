/* dd.c - atoll-img dd: copies a part of an image, by dd's words. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/create.h"
#include "tools/img/parallel.h"
#include "tools/img/temporary.h"
#include "tools/img/util.h"

enum { PIECE_BYTES = 256 << 10 };

typedef struct Dd {
    const ImgArgs *args;
    const char *in, *out;
    uint64_t block, count, skip; /* count: UINT64_MAX: all */
    BlkNode *source, *target;
    uint64_t from, len; /* bytes of the source */
    Scan scan;
} Dd;

static bool number(const char *word, const char *text, uint64_t min, uint64_t *ret, GError **err)
{
    if (!img_parse_size(text, "number", INT64_MAX, ret, NULL) || *ret < min)
        return error_set(err, ERR_INVALID, "invalid number: '%s' of %s", text, word);
    return true;
}

static bool take_word(Dd *d, const char *word, GError **err)
{
    const char *value = strchr(word, '=');
    if (!value)
        return error_set(err, ERR_INVALID, "unrecognized operand %s", word);
    value++;
    if (g_str_has_prefix(word, "if="))
        d->in = value;
    else if (g_str_has_prefix(word, "of="))
        d->out = value;
    else if (g_str_has_prefix(word, "bs="))
        return number("bs", value, 1, &d->block, err);
    else if (g_str_has_prefix(word, "count="))
        return number("count", value, 0, &d->count, err);
    else if (g_str_has_prefix(word, "skip="))
        return number("skip", value, 0, &d->skip, err);
    else
        return error_set(err, ERR_INVALID, "unrecognized operand %s", word);
    return true;
}

static bool take_words(Dd *d, GError **err)
{
    for (unsigned i = 0; i < d->args->nwords; i++)
        if (!take_word(d, d->args->words[i], err))
            return false;
    if (!d->in || !d->out)
        return error_set(err, ERR_INVALID, "Must specify both input and output file names");
    return true;
}

/* Which bytes of the source are meant; beyond its end there is nothing. */
static void choose_range(Dd *d)
{
    BlkInfo info;
    blk_info(d->source, &info);
    uint64_t want = info.size, skip;
    if (!checked_mul(d->skip, d->block, &skip) || skip > info.size) {
        img_warn(d->args, "%s: cannot skip to specified offset", d->in);
        skip = info.size;
    }
    if (d->count == UINT64_MAX || !checked_mul(d->count, d->block, &want))
        want = info.size;
    d->from = skip;
    d->len = MIN(want, info.size - skip);
}

static bool next(void *owner, Piece *ret, GError **err)
{
    Dd *d = owner;
    if (!scan_next(&d->scan, &ret->extent, err))
        return false;
    ret->len = ret->extent.len;
    ret->local = d->scan.at - ret->len;
    ret->off = ret->local - d->from;
    return true;
}

static bool work(void *owner, const Piece *p, char *buffer, GError **err)
{
    Dd *d = owner;
    if (!p->extent.allocated || p->extent.zero)
        return true; /* the new image reads as zeros */
    return blk_read(d->source, p->local, buffer, p->len, err) && (is_zero(buffer, p->len) || blk_write(d->target, p->off, buffer, p->len, err));
}

static bool copy(Dd *d, const char *format, const char *path, GError **err)
{
    d->target = img_open(d->args, &(ImgOpen){ .name = path, .format = format, .cache = "unsafe", .write = true }, err);
    if (!d->target)
        return false;
    d->scan = (Scan){ .n = d->source, .at = d->from, .end = d->from + d->len, .data_bytes = PIECE_BYTES };
    Parallel p = { .owner = d, .buffer_bytes = PIECE_BYTES, .next = next, .work = work };
    bool ok = !d->len || parallel_run(&p, err);
    return !img_end(&d->target, !ok, err);
}

static bool make_and_copy(Dd *d, Temporary *t, GError **err)
{
    const char *format = d->args->out_format ? d->args->out_format : "raw";
    choose_range(d);
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, d->len);
    CreateImage image = { .format = format, .filename = t->path, .size = size, .quiet = true };
    return create_image(d->args, &image, err) && (!d->len || copy(d, format, t->path, err)) && temporary_commit(t, err);
}

int img_dd(ImgArgs *a, GError **err)
{
    Dd d = { .args = a, .block = 512, .count = UINT64_MAX };
    Temporary t = { 0 };
    if (!take_words(&d, err))
        return 1;
    g_autoptr(BlkNode) source = img_open(a, &(ImgOpen){ .name = d.in, .format = a->format, .image_opts = a->image_opts }, err);
    d.source = source;
    bool ok = source && temporary_start(&t, d.out, err) && make_and_copy(&d, &t, err);
    temporary_explain(&t, err);
    temporary_clear(&t);
    return !ok;
}
