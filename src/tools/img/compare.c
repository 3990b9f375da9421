/* compare.c - atoll-img compare: do two images hold the same? */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/parallel.h"
#include "tools/img/util.h"

enum { PIECE_BYTES = 256 << 10, SECTOR = 512, SAME = 0, DIFFERENT = 1, CANNOT_OPEN = 2, CANNOT_MAP = 3, CANNOT_READ = 4 };

typedef struct Compare {
    const ImgArgs *args;
    BlkNode *node[2];
    uint64_t size[2], at;
    BlkExtent run[2];             /* what is known from `at` on */
    Progress progress;
    uint64_t mismatch;            /* the first one found; UINT64_MAX: none */
    bool strict_mismatch;         /* it is one of what is allocated */
    int status;                   /* of an error */
    GMutex lock;
} Compare;

static uint64_t total(const Compare *c) { return MAX(c->size[0], c->size[1]); }

/* Past the end of one of them there are zeros. */
static bool look(Compare *c, unsigned i, GError **err)
{
    if (c->run[i].len)
        return true;
    if (c->at < c->size[i])
        return blk_map_chain(c->node[i], c->at, c->size[i] - c->at, &c->run[i], err);
    c->run[i] = (BlkExtent){ .off = c->at, .len = total(c) - c->at, .zero = true };
    return true;
}

static void skip(BlkExtent *e, uint64_t len)
{
    e->off += len;
    e->len -= len;
}

static bool has_data(const BlkExtent *e) { return e->allocated && !e->zero; }

static bool next(void *owner, Piece *ret, GError **err)
{
    Compare *c = owner;
    if (c->at >= total(c) || c->at > __atomic_load_n(&c->mismatch, __ATOMIC_RELAXED))
        return false;
    if (!look(c, 0, err) || !look(c, 1, err)) {
        c->status = CANNOT_MAP;
        return false;
    }
    ret->off = c->at;
    ret->len = MIN(c->run[0].len, c->run[1].len);
    ret->extent = c->run[0];
    ret->other = c->run[1];
    if (has_data(&ret->extent) || has_data(&ret->other))
        ret->len = MIN(ret->len, PIECE_BYTES - c->at % PIECE_BYTES);
    c->at += ret->len;
    skip(&c->run[0], ret->len);
    skip(&c->run[1], ret->len);
    return true;
}

static void found(Compare *c, uint64_t off, bool strict)
{
    g_mutex_lock(&c->lock);
    if (off < c->mismatch) {
        __atomic_store_n(&c->mismatch, off, __ATOMIC_RELAXED);
        c->strict_mismatch = strict;
    }
    g_mutex_unlock(&c->lock);
}

static bool read_one(Compare *c, unsigned i, const Piece *p, char *buffer, GError **err)
{
    if (blk_read(c->node[i], p->off, buffer, p->len, err))
        return true;
    g_mutex_lock(&c->lock);
    c->status = CANNOT_READ;
    g_mutex_unlock(&c->lock);
    return false;
}

static void compare_data(Compare *c, const Piece *p, const char *a, const char *b)
{
    if (!memcmp(a, b, p->len))
        return;
    uint64_t i = 0;
    while (a[i] == b[i])
        i++;
    found(c, p->off + i - (p->off + i) % SECTOR, false); /* QEMU names the sector */
}

static bool read_zeros_as(Compare *c, unsigned i, bool data, const Piece *p, char *buffer, GError **err)
{
    if (data)
        return read_one(c, i, p, buffer, err);
    memset(buffer, 0, p->len);
    return true;
}

static bool work(void *owner, const Piece *p, char *buffer, GError **err)
{
    Compare *c = owner;
    bool data[2] = { has_data(&p->extent), has_data(&p->other) };
    progress_show(&c->progress, p->off, total(c));
    if (c->args->strict && data[0] != data[1]) {
        found(c, p->off, true);
        return true;
    }
    if (!data[0] && !data[1])
        return true;
    if (!read_zeros_as(c, 0, data[0], p, buffer, err) || !read_zeros_as(c, 1, data[1], p, buffer + PIECE_BYTES, err))
        return false;
    compare_data(c, p, buffer, buffer + PIECE_BYTES);
    return true;
}

static int tell(const Compare *c)
{
    bool quiet = c->args->quiet;
    if (!quiet && c->size[0] != c->size[1] && c->mismatch >= MIN(c->size[0], c->size[1]))
        printf("Warning: Image size mismatch!\n");
    if (c->mismatch == UINT64_MAX) {
        if (!quiet)
            printf("Images are identical.\n");
        return SAME;
    }
    if (!quiet)
        printf(c->strict_mismatch ? "Strict mode: Offset %" G_GUINT64_FORMAT " block status mismatch!\n" : "Content mismatch at offset %" G_GUINT64_FORMAT "!\n",
               c->mismatch);
    return DIFFERENT;
}

static int compare(Compare *c, GError **err)
{
    Parallel p = { .owner = c, .buffer_bytes = 2 * PIECE_BYTES, .next = next, .work = work };
    progress_start(&c->progress, c->args->progress && !c->args->quiet);
    bool ok = parallel_run(&p, err);
    progress_end(&c->progress, ok);
    return ok ? tell(c) : c->status;
}

static BlkNode *open_one(const ImgArgs *a, unsigned i, GError **err)
{
    return img_open(a, &(ImgOpen){ .name = a->words[i], .format = i ? a->other_format : a->format, .cache = a->src_cache, .image_opts = a->image_opts }, err);
}

static uint64_t size_of(BlkNode *n)
{
    BlkInfo info;
    blk_info(n, &info);
    return info.size;
}

int img_compare(ImgArgs *a, GError **err)
{
    if (!img_cache_check(a->src_cache, "source cache", err))
        return CANNOT_OPEN;
    if (a->nwords != 2)
        return !img_usage(err, "Expecting two image file names");
    g_autoptr(BlkNode) first = open_one(a, 0, err);
    g_autoptr(BlkNode) second = first ? open_one(a, 1, err) : NULL;
    if (!second)
        return CANNOT_OPEN;
    Compare c = { .args = a, .node = { first, second }, .size = { size_of(first), size_of(second) }, .mismatch = UINT64_MAX };
    if (c.size[0] != c.size[1] && a->strict) {
        if (!a->quiet)
            printf("Strict mode: Image size mismatch!\n");
        return DIFFERENT;
    }
    return compare(&c, err);
}
