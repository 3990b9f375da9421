/*
 * commit.c - atoll-img commit: what an image changed goes into its backing file.
 *
 * The image keeps its data until the base has them on the disk, so a kill leaves an image that shows the same as before.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/create.h"
#include "tools/img/parallel.h"
#include "tools/img/users.h"
#include "tools/img/util.h"

enum { PIECE_BYTES = 256 << 10 };

typedef struct Commit {
    const ImgArgs *args;
    BlkNode *top, *base;
    unsigned depth; /* of the base: what lies above it counts */
    uint64_t size, at, done;
    Rate rate;
    Progress progress;
} Commit;

static bool next(void *owner, Piece *ret, GError **err)
{
    Commit *c = owner;
    for (; c->at < c->size; c->at += ret->extent.len) {
        BlkExtent *e = &ret->extent;
        if (!blk_map_chain(c->top, c->at, c->size - c->at, e, err))
            return false;
        if (!e->allocated || e->depth >= c->depth)
            continue;
        ret->off = c->at;
        ret->len = e->zero ? e->len : MIN(e->len, PIECE_BYTES - c->at % PIECE_BYTES);
        c->at += ret->len;
        return true;
    }
    return false;
}

static bool work(void *owner, const Piece *p, char *buffer, GError **err)
{
    Commit *c = owner;
    progress_show(&c->progress, p->off, c->size);
    rate_spend(&c->rate, p->extent.zero ? 0 : p->len);
    if (p->extent.zero)
        return blk_zero(c->base, p->off, p->len, BLK_MAY_UNMAP, err);
    return blk_read(c->top, p->off, buffer, p->len, err) && blk_write(c->base, p->off, buffer, p->len, err);
}

static bool is_called(BlkNode *n, BlkNode *top, const char *name)
{
    BlkInfo info, top_info;
    blk_info(n, &info);
    blk_info(top, &top_info);
    g_autofree char *beside = img_beside(top_info.filename, name);
    g_autofree char *p = g_canonicalize_filename(info.filename, NULL), *q = g_canonicalize_filename(name, NULL), *r = g_canonicalize_filename(beside, NULL);
    return g_str_equal(p, q) || g_str_equal(p, r);
}

static bool find_base(Commit *c, GError **err)
{
    c->depth = 1;
    c->base = blk_backing(c->top);
    if (!c->base)
        return error_set(err, ERR_INVALID, "Image does not have a backing file");
    while (c->args->backing && c->base && !is_called(c->base, c->top, c->args->backing)) {
        c->base = blk_backing(c->base);
        c->depth++;
    }
    return c->base || error_set(err, ERR_NOT_FOUND, "Did not find '%s' in the backing chain of '%s'", c->args->backing, c->args->words[0]);
}

/* The images of the chain above the base; their users are asked about by their names. */
static GPtrArray *chain_above(const Commit *c)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (BlkNode *n = c->top; n != c->base; n = blk_backing(n)) {
        BlkInfo info;
        blk_info(n, &info);
        g_ptr_array_add(names, g_strdup(info.filename));
    }
    g_ptr_array_add(names, NULL);
    return names;
}

static bool nobody_else_stands_on(const Commit *c, const BlkInfo *base, GError **err)
{
    g_autoptr(GPtrArray) besides = chain_above(c);
    return users_allow(c->args, base->filename, (const char *const *)besides->pdata, "commit", err);
}

static bool prepare_base(Commit *c, GError **err)
{
    BlkInfo base, top;
    blk_info(c->base, &base);
    blk_info(c->top, &top);
    c->size = top.size;
    if (!nobody_else_stands_on(c, &base, err))
        return false;
    if (!blk_set_read_only(c->base, false, err)) {
        g_prefix_error(err, "cannot write to the backing file: ");
        return false;
    }
    return base.size >= top.size || blk_resize(c->base, top.size, 0, err);
}

static bool commit(Commit *c, GError **err)
{
    Parallel p = { .owner = c, .buffer_bytes = PIECE_BYTES, .next = next, .work = work };
    if (!find_base(c, err) || !prepare_base(c, err))
        return false;
    progress_start(&c->progress, c->args->progress && !c->args->quiet);
    bool ok = parallel_run(&p, err) && blk_flush(c->base, err);
    progress_end(&c->progress, ok);
    bool empties = !c->args->drop && !c->args->backing;
    return ok && (!empties || (blk_make_empty(c->top, err) && blk_flush(c->top, err)));
}

int img_commit(ImgArgs *a, GError **err)
{
    Commit c = { .args = a };
    if (a->nwords != 1)
        return !img_usage(err, "Expecting one image file name");
    if (!rate_start(&c.rate, a->rate, err))
        return 1;
    g_autoptr(BlkNode) top = img_open_named(a, true, err);
    c.top = top;
    if (!top || img_end(&top, !commit(&c, err), err))
        return 1;
    if (!a->quiet)
        printf("Image committed.\n");
    return 0;
}
