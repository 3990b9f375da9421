/*
 * rebase.c - atoll-img rebase: another backing file.
 *
 * What the guest sees stays: wherever the old and the new backing file differ and the image itself has nothing, the old
 * data are written into it first.  Only then does its header name the new one.  A kill before leaves the old name and
 * the same contents.
 */
#include <string.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/create.h"
#include "tools/img/parallel.h"
#include "tools/img/users.h"
#include "tools/img/util.h"

enum { PIECE_BYTES = 256 << 10 };

typedef struct Rebase {
    const ImgArgs *args;
    BlkNode *top, *old, *fresh; /* fresh: the new backing file, or NULL */
    uint64_t size, old_size, fresh_size;
    Scan scan;
    BlkExtent old_run, fresh_run;
    uint64_t at;
    Progress progress;
} Rebase;

static uint64_t size_of(BlkNode *n)
{
    BlkInfo info = { 0 };
    if (n)
        blk_info(n, &info);
    return info.size;
}

/* What a backing file shows from `off` on: zeros where there is none. */
static bool look(BlkNode *n, uint64_t size, uint64_t off, uint64_t len, BlkExtent *ret, GError **err)
{
    if (n && off < size)
        return blk_map_chain(n, off, MIN(len, size - off), ret, err);
    *ret = (BlkExtent){ .off = off, .len = len, .zero = true };
    return true;
}

static bool same_image(BlkNode *a, BlkNode *b)
{
    BlkInfo x, y;
    if (!a || !b)
        return false;
    blk_info(a, &x);
    blk_info(b, &y);
    g_autofree char *p = g_canonicalize_filename(x.filename, NULL), *q = g_canonicalize_filename(y.filename, NULL);
    return g_str_equal(p, q);
}

static bool is_data(const BlkExtent *e) { return e->allocated && !e->zero; }

/* Both come from one and the same place, or both are zeros. */
static bool surely_equal(const Piece *p)
{
    if (!is_data(&p->extent) && !is_data(&p->other))
        return true;
    return is_data(&p->extent) && is_data(&p->other) && same_image(p->extent.node, p->other.node);
}

static bool next(void *owner, Piece *ret, GError **err)
{
    Rebase *r = owner;
    BlkExtent top;
    for (; r->at < r->size; r->at += top.len) {
        if (!blk_map(r->top, r->at, r->size - r->at, &top, err))
            return false;
        if (top.allocated)
            continue;
        if (!look(r->old, r->old_size, r->at, top.len, &ret->extent, err) ||
            !look(r->fresh, r->fresh_size, r->at, ret->extent.len, &ret->other, err))
            return false;
        top.len = MIN(ret->extent.len, ret->other.len);
        if (surely_equal(ret))
            continue;
        ret->off = r->at;
        ret->len = MIN(top.len, PIECE_BYTES - r->at % PIECE_BYTES);
        r->at += ret->len;
        return true;
    }
    return false;
}

static bool read_or_zero(BlkNode *n, bool data, const Piece *p, char *buffer, GError **err)
{
    if (data)
        return blk_read(n, p->off, buffer, p->len, err);
    memset(buffer, 0, p->len);
    return true;
}

enum { GRANULE = 4096 };

/* The next run of granules that differ, from `at` on; false: none. */
static bool differing(const char *a, const char *b, uint64_t len, uint64_t *at, uint64_t *ret_end)
{
    uint64_t part;
    for (;; *at += part) {
        if (*at >= len)
            return false;
        part = MIN(GRANULE, len - *at);
        if (memcmp(a + *at, b + *at, part))
            break;
    }
    for (*ret_end = *at; *ret_end < len; *ret_end += part) {
        part = MIN(GRANULE, len - *ret_end);
        if (!memcmp(a + *ret_end, b + *ret_end, part))
            break;
    }
    return true;
}

static bool work(void *owner, const Piece *p, char *buffer, GError **err)
{
    Rebase *r = owner;
    char *old = buffer, *fresh = buffer + PIECE_BYTES;
    progress_show(&r->progress, p->off, r->size);
    if (!read_or_zero(r->old, is_data(&p->extent), p, old, err) || !read_or_zero(r->fresh, is_data(&p->other), p, fresh, err))
        return false;
    uint64_t at = 0, end = 0;
    for (; differing(old, fresh, p->len, &at, &end); at = end) {
        bool zero = is_zero(old + at, end - at);
        if (zero ? !blk_zero(r->top, p->off + at, end - at, 0, err) : !blk_write(r->top, p->off + at, old + at, end - at, err))
            return false;
    }
    return true;
}

static bool copy_differences(Rebase *r, GError **err)
{
    Parallel p = { .owner = r, .buffer_bytes = 2 * PIECE_BYTES, .next = next, .work = work };
    progress_start(&r->progress, r->args->progress && !r->args->quiet);
    bool ok = parallel_run(&p, err) && blk_flush(r->top, err);
    progress_end(&r->progress, ok);
    return ok;
}

static bool open_fresh(Rebase *r, GError **err)
{
    const ImgArgs *a = r->args;
    if (!*a->backing)
        return true;
    BlkInfo info;
    blk_info(r->top, &info);
    g_autofree char *path = img_beside(info.filename, a->backing);
    if (same_image(r->top, r->top) && g_str_equal(path, info.filename))
        return error_set(err, ERR_INVALID, "cannot make '%s' its own backing file", info.filename);
    r->fresh = img_open(a, &(ImgOpen){ .name = path, .format = a->backing_format, .cache = a->src_cache }, err);
    if (!r->fresh)
        g_prefix_error(err, "Could not open new backing file '%s': ", a->backing);
    r->fresh_size = size_of(r->fresh);
    return r->fresh;
}

static bool has_users_or_is_unsafe(const Rebase *r, GError **err)
{
    const ImgArgs *a = r->args;
    return !a->unsafe || a->image_opts || users_allow(a, a->words[0], NULL, "an unsafe rebase", err);
}

/* A format that nobody named is what the head of the new file says, as QEMU has it: it is written into the header. */
static const char *format_of(const Rebase *r)
{
    static char empty;
    if (r->args->backing_format || !*r->args->backing || !r->fresh)
        return r->args->backing_format;
    BlkInfo info = { .format = &empty };
    blk_info(r->fresh, &info);
    return info.format;
}

static bool rebase(Rebase *r, GError **err)
{
    const ImgArgs *a = r->args;
    if (!has_users_or_is_unsafe(r, err))
        return false;
    if (!a->unsafe) {
        r->old = blk_backing(r->top);
        r->size = size_of(r->top);
        r->old_size = size_of(r->old);
        if (!open_fresh(r, err) || !copy_differences(r, err))
            return false;
    }
    return blk_set_backing(r->top, *a->backing ? a->backing : NULL, *a->backing ? format_of(r) : NULL, err) && blk_flush(r->top, err);
}

int img_rebase(ImgArgs *a, GError **err)
{
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    if (!a->backing)
        return !img_usage(err, "Must specify backing file (-b) or use unsafe mode (-u)");
    if (!img_cache_check(a->cache, "cache", err) || !img_cache_check(a->src_cache, "source cache", err))
        return 1;
    if (*a->backing && !a->backing_format && a->unsafe)
        return !error_set(err, ERR_INVALID, "backing format must be specified with -F: a guess could be the guest's");
    ImgOpen o = { .name = a->words[0], .format = a->format, .cache = a->cache, .image_opts = a->image_opts, .write = true, .no_backing = a->unsafe };
    g_autoptr(BlkNode) top = img_open(a, &o, err);
    Rebase r = { .args = a, .top = top };
    bool ok = top && rebase(&r, err);
    blk_close(r.fresh);
    return img_end(&top, !ok, err);
}
