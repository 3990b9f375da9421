/* bitmap.c - atoll-img bitmap: changes the persistent dirty bitmaps of an image. */
#include <string.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/util.h"

typedef struct Bitmap {
    const ImgArgs *args;
    BlkNode *node, *source; /* source: of -b, or NULL */
    const char *name;
    uint64_t granularity;
} Bitmap;

static BlkBitmap *find(BlkNode *n, const char *name, GError **err)
{
    BlkBitmap *b = blk_bitmap_find(n, name);
    if (!b)
        error_set(err, ERR_NOT_FOUND, "Dirty bitmap '%s' not found; info lists them", name);
    return b;
}

static bool merge(const Bitmap *m, BlkBitmap *to, const char *source, GError **err)
{
    BlkBitmap *from = find(m->source ? m->source : m->node, source, err);
    return from && blk_bitmap_merge(to, from, err);
}

static bool act(const Bitmap *m, const char *action, GError **err)
{
    if (g_str_equal(action, "add"))
        return blk_bitmap_add(m->node, m->name, m->granularity, true, err);
    BlkBitmap *b = find(m->node, m->name, err);
    if (!b)
        return false;
    if (g_str_equal(action, "remove"))
        return blk_bitmap_remove(m->node, b, err);
    if (g_str_equal(action, "clear"))
        return blk_bitmap_clear(b, err);
    if (g_str_equal(action, "enable") || g_str_equal(action, "disable"))
        return blk_bitmap_enable(b, g_str_equal(action, "enable"), err);
    return merge(m, b, strchr(action, '=') + 1, err);
}

static bool check_words(const ImgArgs *a, bool *ret_merges, GError **err)
{
    bool adds = false;
    *ret_merges = false;
    for (unsigned i = 0; a->actions && i < a->actions->len; i++) {
        adds |= g_str_equal(a->actions->pdata[i], "add");
        *ret_merges |= g_str_has_prefix(a->actions->pdata[i], "merge=");
    }
    if (!a->actions)
        return error_set(err, ERR_INVALID, "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
    if (a->nwords != 2)
        return img_usage(err, "Expecting filename and bitmap name");
    if (a->granularity && !adds)
        return error_set(err, ERR_INVALID, "granularity only supported with --add");
    if (a->backing && !*ret_merges)
        return error_set(err, ERR_INVALID, "Merge bitmap source file only supported with --merge");
    return !a->backing_format || a->backing || error_set(err, ERR_INVALID, "alternate source file required for source format");
}

static bool act_all(Bitmap *m, GError **err)
{
    for (unsigned i = 0; i < m->args->actions->len; i++)
        if (!act(m, m->args->actions->pdata[i], err)) {
            g_prefix_error(err, "Operation %s on bitmap %s failed: ", (char *)m->args->actions->pdata[i], m->name);
            return false;
        }
    return blk_flush(m->node, err);
}

int img_bitmap(ImgArgs *a, GError **err)
{
    Bitmap m = { .args = a };
    bool merges;
    if (!check_words(a, &merges, err) || (a->granularity && !img_parse_size(a->granularity, "granularity", 1u << 31, &m.granularity, err)))
        return 1;
    m.name = a->words[1];
    g_autoptr(BlkNode) n = img_open(a, &(ImgOpen){ .name = a->words[0], .format = a->format, .image_opts = a->image_opts, .write = true, .no_backing = true }, err);
    g_autoptr(BlkNode) source = NULL;
    if (!n || (a->backing && !(source = img_open(a, &(ImgOpen){ .name = a->backing, .format = a->backing_format, .no_backing = true }, err))))
        return 1;
    m.node = n;
    m.source = source;
    return img_end(&n, !act_all(&m, err), err);
}
