/* node.c - a node's life, what it says of itself, and the tree it is part of. */
#include "base/error.h"
#include "block/driver.h"

BlkNode *node_create(const BlkDriver *driver, const char *filename)
{
    BlkNode *n = g_new0(BlkNode, 1);
    n->driver = driver;
    n->state = driver->state_bytes ? g_malloc0(driver->state_bytes) : NULL;
    n->filename = g_strdup(filename);
    g_mutex_init(&n->lock);
    return n;
}

static bool has_bitmaps_to_store(BlkNode *n)
{
    BlkBitmapInfo info;
    bool any = n->bitmaps_changed;
    for (BlkBitmap *b = NULL; !any && (b = blk_bitmap_next(n, b));) {
        blk_bitmap_info(b, &info);
        any = info.persistent;
    }
    return any && n->driver->store_bitmaps && !n->read_only && !n->finished;
}

bool node_store_bitmaps(BlkNode *n, GError **err)
{
    if (!has_bitmaps_to_store(n))
        return true;
    if (!n->driver->store_bitmaps(n, err))
        return false;
    n->bitmaps_changed = false;
    return true;
}

static void node_free(BlkNode *n)
{
    g_mutex_clear(&n->lock);
    g_clear_pointer(&n->bitmaps, g_ptr_array_unref);
    g_clear_pointer(&n->words, g_ptr_array_unref);
    ranges_free(n->ranges);
    g_free(n->node_name);
    g_free(n->filename);
    g_free(n->warning);
    g_free(n->backing_name);
    g_free(n->backing_format);
    g_free(n->state);
    g_free(n);
}

void blk_close(BlkNode *n)
{
    g_autoptr(GError) err = NULL;
    if (!n)
        return;
    if (n->root)
        blk_drain(n);
    if (!node_store_bitmaps(n, &err))
        g_message("%s", err->message); /* nobody is left to fail */
    n->driver->close(n);
    blk_close(n->file);
    blk_close(n->data);
    blk_close(n->backing);
    node_free(n);
}

bool blk_finish(BlkNode *n, GError **err)
{
    if (!n)
        return true;
    if (n->root)
        blk_drain(n);
    BlkNode *image = past_filters(n);
    bool ok = n->read_only || (node_store_bitmaps(image, err) && blk_flush(n, err));
    image->finished = true; /* what failed once is not tried again */
    blk_close(n);
    return ok;
}

BlkNode *past_filters(BlkNode *n)
{
    while (n->driver->kind == BLK_FILTER && n->file)
        n = n->file;
    return n;
}

static const char *warning_of(BlkNode *n)
{
    while (!n->warning && n->driver->kind == BLK_FILTER && n->file)
        n = n->file;
    return n->warning;
}

static bool is_snapshot(BlkNode *n)
{
    while (!n->snapshot && n->driver->kind == BLK_FILTER && n->file)
        n = n->file;
    return n->snapshot;
}

static const char *name_of(BlkNode *n)
{
    while (!n->node_name && n->driver->kind == BLK_FILTER && n->file)
        n = n->file;
    return n->node_name;
}

void blk_info(BlkNode *n, BlkInfo *ret)
{
    BlkNode *image = past_filters(n), *bottom = image;
    while (bottom->file)
        bottom = bottom->file;
    *ret = (BlkInfo){ .size = n->size, .read_only = n->read_only, .snapshot = is_snapshot(n), .filename = image->filename,
                      .format = image->driver->name, .node_name = name_of(n), .warning = warning_of(n),
                      .backing_name = image->backing_name, .backing_format = image->backing_format,
                      .protocol = bottom->driver->name, .disk_bytes = UINT64_MAX, .file_bytes = bottom->size };
    if (bottom->driver->info)
        bottom->driver->info(bottom, ret);
    if (image != bottom && image->driver->info)
        image->driver->info(image, ret);
}

/* ---- the tree */

BlkNode *blk_backing(BlkNode *n)
{
    BlkNode *image = past_filters(n);
    return image->backing;
}

void blk_walk(BlkNode *n, void (*visit)(BlkNode *n, void *arg), void *arg)
{
    visit(n, arg);
    BlkNode *const children[] = { n->file, n->data, n->backing };
    for (unsigned i = 0; i < G_N_ELEMENTS(children); i++)
        if (children[i])
            blk_walk(children[i], visit, arg);
}

typedef struct Search {
    const char *name;
    BlkNode *found;
} Search;

static void compare(BlkNode *n, void *arg)
{
    Search *s = arg;
    if (!s->found && n->node_name && g_str_equal(n->node_name, s->name))
        s->found = n;
}

BlkNode *blk_find(BlkNode *n, const char *node_name)
{
    Search s = { .name = node_name };
    blk_walk(n, compare, &s);
    return s.found;
}

/* ---- what a format says of itself */

static void fact_clear(void *fact)
{
    g_free(((BlkFact *)fact)->key);
    g_free(((BlkFact *)fact)->text);
}

static void fact_add(GArray *facts, const char *key, BlkOptionType type, const char *text, uint64_t number)
{
    BlkFact f = { g_strdup(key), type, g_strdup(text), number };
    g_array_append_val(facts, f);
}

void fact_string(GArray *facts, const char *key, const char *value) { fact_add(facts, key, BLK_STRING, value, 0); }
void fact_number(GArray *facts, const char *key, uint64_t value) { fact_add(facts, key, BLK_NUMBER, NULL, value); }
void fact_bool(GArray *facts, const char *key, bool value) { fact_add(facts, key, BLK_BOOL, NULL, value); }

GArray *blk_info_specific(BlkNode *n)
{
    BlkNode *image = past_filters(n);
    GArray *facts = g_array_new(FALSE, FALSE, sizeof(BlkFact));
    g_array_set_clear_func(facts, fact_clear);
    if (image->driver->info_specific)
        image->driver->info_specific(image, facts);
    return facts;
}
