/* graph.c - exchanging nodes while nobody uses them. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/job/internal.h"

void graph_insert(BlkNode *root, BlkNode *filter) { root->file = filter; }

void graph_remove(BlkNode *root)
{
    BlkNode *filter = root->file;
    root->file = filter->file;
    filter->file = NULL;
    blk_close(filter);
}

static bool contains(BlkNode *top, const BlkNode *node)
{
    for (; top; top = top->file ? top->file : NULL)
        if (top == node || (top->backing && contains(top->backing, node)))
            return true;
    return false;
}

/* Takes a backing node out of the chain below `top`. */
static void take_out(BlkNode *top, BlkNode *node)
{
    for (BlkNode *n = past_filters(top); n; n = n->backing ? past_filters(n->backing) : NULL)
        if (n->backing == node) {
            n->backing = NULL;
            node->overlay = NULL;
            return;
        }
}

void graph_replace(BlkNode *root, BlkNode *top)
{
    BlkNode *old = root->file;
    if (contains(old, top))
        take_out(old, top);
    root->file = top;
    root->size = top->size;
    root->read_only = top->read_only;
    g_free(root->filename);
    root->filename = g_strdup(top->filename);
    blk_close(old);
}

unsigned graph_depth(BlkNode *root, const BlkNode *node)
{
    unsigned depth = 0;
    for (BlkNode *n = root; n; n = blk_backing(n), depth++)
        if (past_filters(n) == past_filters((BlkNode *)node))
            return depth;
    return UINT_MAX;
}

/* How `above` shall spell its new backing file: as the image did that had it, if that stands in the same folder. */
static char *name_for(const BlkNode *above, const BlkNode *below)
{
    const BlkNode *old = below->overlay;
    g_autofree char *a = g_path_get_dirname(above->filename), *b = old ? g_path_get_dirname(old->filename) : NULL;
    if (old && old->backing_name && g_str_equal(a, b))
        return g_strdup(old->backing_name);
    char *real = realpath(below->filename, NULL), *name = g_strdup(real ? real : below->filename);
    free(real);
    return name;
}

bool graph_cut_out(BlkNode *above, BlkNode *below, GError **err)
{
    above = past_filters(above);
    bool read_only = above->read_only;
    g_autofree char *name = below ? name_for(above, below) : NULL;
    const char *format = below ? past_filters(below)->driver->name : NULL;
    if (!blk_set_read_only(above, false, err) || !blk_flush(above, err) || !blk_set_backing(above, name, format, err))
        return false;
    BlkNode *between = above->backing;
    if (below && between != below)
        take_out(between, below);
    if (between != below)
        blk_close(between);
    above->backing = below;
    if (below)
        below->overlay = above;
    return !read_only || blk_set_read_only(above, true, err);
}

void bitmap_attach(BlkNode *n, BlkBitmap *b)
{
    g_mutex_lock(&n->lock);
    if (!n->bitmaps)
        n->bitmaps = g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);
    g_ptr_array_add(n->bitmaps, b);
    g_mutex_unlock(&n->lock);
}

void bitmap_detach(BlkNode *n, BlkBitmap *b)
{
    guint i;
    g_mutex_lock(&n->lock);
    if (n->bitmaps && g_ptr_array_find(n->bitmaps, b, &i))
        g_ptr_array_steal_index(n->bitmaps, i);
    g_mutex_unlock(&n->lock);
}
