/*
 * bitmap.c - dirty bitmaps: what changed in an image since they were cleared.
 *
 * A change is noted once it is done (or has failed: it may have been done in part), so that who clears a bit and then
 * reads either reads what was written or finds the bit set again.
 */
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/driver.h"

enum { DEFAULT_GRANULARITY = 65536, MIN_GRANULARITY = 512 };
#define MAX_GRANULARITY (1u << 31)

struct BlkBitmap {
    char *name;
    BlkNode *node;
    uint64_t size, bits, set; /* bytes of the image; bits; how many of them are set */
    unsigned shift;           /* of the granularity */
    uint64_t *words;
    bool enabled, persistent, busy, inconsistent;
    GMutex lock;
};

static uint64_t bits_of(uint64_t size, unsigned shift) { return (size >> shift) + !!(size & ((1ull << shift) - 1)); }

static bool init(BlkBitmap *b, uint64_t size, uint64_t granularity)
{
    b->shift = __builtin_ctzll(granularity);
    b->size = size;
    b->bits = bits_of(size, b->shift);
    b->words = g_try_new0(uint64_t, b->bits / 64 + 1);
    return b->words;
}

BlkBitmap *bitmap_new(uint64_t size, uint64_t granularity)
{
    BlkBitmap *b = g_new0(BlkBitmap, 1);
    g_mutex_init(&b->lock);
    b->enabled = true;
    if (!init(b, size, granularity))
        g_clear_pointer(&b, bitmap_free);
    return b;
}

void bitmap_free(BlkBitmap *b)
{
    if (!b)
        return;
    g_mutex_clear(&b->lock);
    g_free(b->name);
    g_free(b->words);
    g_free(b);
}

/* ---- bits; the caller has the lock */

static uint64_t mask_of(uint64_t word, uint64_t from, uint64_t to)
{
    uint64_t low = word * 64 < from ? from - word * 64 : 0, high = to - word * 64;
    uint64_t upto = high >= 64 ? UINT64_MAX : (1ull << high) - 1;
    return upto & (UINT64_MAX << low);
}

static void set_range(BlkBitmap *b, uint64_t from, uint64_t to, bool value)
{
    for (uint64_t w = from / 64; w * 64 < to; w++) {
        uint64_t mask = mask_of(w, from, to), old = b->words[w];
        b->words[w] = value ? old | mask : old & ~mask;
        b->set += __builtin_popcountll(b->words[w]);
        b->set -= __builtin_popcountll(old);
    }
}

/* The first bit from `from` on that has the value; b->bits: none. */
static uint64_t find_bit(const BlkBitmap *b, uint64_t from, bool value)
{
    for (uint64_t w = from / 64; w * 64 < b->bits; w++) {
        uint64_t word = (value ? b->words[w] : ~b->words[w]) & (w == from / 64 ? UINT64_MAX << from % 64 : UINT64_MAX);
        if (word)
            return MIN(w * 64 + __builtin_ctzll(word), b->bits);
    }
    return b->bits;
}

static void mark(BlkBitmap *b, uint64_t off, uint64_t len, bool dirty)
{
    uint64_t end = MIN(off + len, b->size);
    if (off < end)
        set_range(b, off >> b->shift, bits_of(end, b->shift), dirty);
}

void bitmap_mark(BlkBitmap *b, uint64_t off, uint64_t len, bool dirty)
{
    g_mutex_lock(&b->lock);
    mark(b, off, len, dirty);
    g_mutex_unlock(&b->lock);
}

bool bitmap_is_dirty(BlkBitmap *b, uint64_t off)
{
    uint64_t bit = off >> b->shift;
    g_mutex_lock(&b->lock);
    bool dirty = bit < b->bits && b->words[bit / 64] >> bit % 64 & 1;
    g_mutex_unlock(&b->lock);
    return dirty;
}

uint64_t bitmap_dirty_bytes(BlkBitmap *b)
{
    g_mutex_lock(&b->lock);
    uint64_t bytes = b->set << b->shift, cut = (b->bits << b->shift) - b->size;
    bool last = b->bits && b->words[(b->bits - 1) / 64] >> (b->bits - 1) % 64 & 1;
    g_mutex_unlock(&b->lock);
    return bytes - (last ? cut : 0);
}

bool blk_bitmap_next_dirty(BlkBitmap *b, uint64_t *off, uint64_t *ret_len)
{
    g_mutex_lock(&b->lock);
    uint64_t from = *off < b->size ? find_bit(b, *off >> b->shift, true) : b->bits;
    uint64_t to = from < b->bits ? find_bit(b, from, false) : from;
    g_mutex_unlock(&b->lock);
    if (from == to)
        return false;
    *off = MAX(*off, from << b->shift);
    *ret_len = MIN(to << b->shift, b->size) - *off;
    return true;
}

/* ---- the bitmaps of a node */

void bitmaps_note(BlkNode *n, uint64_t off, uint64_t len)
{
    if (!n->bitmaps)
        return;
    g_mutex_lock(&n->lock);
    for (unsigned i = 0; i < n->bitmaps->len; i++) {
        BlkBitmap *b = n->bitmaps->pdata[i];
        if (b->enabled)
            bitmap_mark(b, off, len, true);
    }
    g_mutex_unlock(&n->lock);
}

static void resize(BlkBitmap *b, uint64_t size)
{
    uint64_t bits = bits_of(size, b->shift), old_size = b->size;
    g_mutex_lock(&b->lock);
    if (bits < b->bits)
        set_range(b, bits, b->bits, false);
    b->words = g_renew(uint64_t, b->words, bits / 64 + 1);
    for (uint64_t w = b->bits / 64 + 1; w < bits / 64 + 1; w++)
        b->words[w] = 0;
    b->bits = bits;
    b->size = size;
    if (size > old_size && b->enabled)
        mark(b, old_size, size - old_size, true); /* what is new differs from what was not there */
    g_mutex_unlock(&b->lock);
}

void bitmaps_resize(BlkNode *n, uint64_t size)
{
    g_mutex_lock(&n->lock);
    for (unsigned i = 0; n->bitmaps && i < n->bitmaps->len; i++)
        resize(n->bitmaps->pdata[i], size);
    g_mutex_unlock(&n->lock);
}

static bool check_new(BlkNode *n, const char *name, uint64_t granularity, bool persistent, GError **err)
{
    if (!*name || strlen(name) > BLK_BITMAP_NAME_MAX)
        return error_set(err, ERR_INVALID, "the name of a bitmap has 1 to %d bytes", BLK_BITMAP_NAME_MAX);
    if (granularity < MIN_GRANULARITY || granularity > MAX_GRANULARITY || granularity & (granularity - 1))
        return error_set(err, ERR_INVALID, "the granularity of bitmap '%s' must be a power of two from %d to 2G", name, MIN_GRANULARITY);
    if (blk_bitmap_find(n, name))
        return error_set(err, ERR_INVALID, "disk image '%s' has a bitmap '%s' already", n->filename, name);
    if (!persistent)
        return true;
    if (n->read_only)
        return error_set(err, ERR_DENIED, "cannot add bitmap '%s' to disk image '%s': it is open read-only", name, n->filename);
    if (!n->driver->store_bitmaps)
        return error_set(err, ERR_UNSUPPORTED, "cannot keep bitmap '%s': format %s of disk image '%s' has no place for it", name,
                         n->driver->name, n->filename);
    return !n->driver->can_store_bitmap || n->driver->can_store_bitmap(n, name, granularity, err);
}

static BlkBitmap *add(BlkNode *n, const char *name, uint64_t granularity, bool persistent, GError **err)
{
    BlkBitmap *b = bitmap_new(n->size, granularity);
    if (!b) {
        error_set(err, ERR_NO_SPACE, "no memory for bitmap '%s' of disk image '%s'", name, n->filename);
        return NULL;
    }
    b->name = g_strdup(name);
    b->node = n;
    b->persistent = persistent;
    g_mutex_lock(&n->lock);
    if (!n->bitmaps)
        n->bitmaps = g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);
    g_ptr_array_add(n->bitmaps, b);
    g_mutex_unlock(&n->lock);
    return b;
}

BlkBitmap *blk_bitmap_add(BlkNode *n, const char *name, uint64_t granularity, bool persistent, GError **err)
{
    n = past_filters(n);
    granularity = granularity ? granularity : DEFAULT_GRANULARITY;
    BlkBitmap *b = check_new(n, name, granularity, persistent, err) ? add(n, name, granularity, persistent, err) : NULL;
    n->bitmaps_changed |= b && persistent;
    return b;
}

BlkBitmap *bitmap_load(BlkNode *n, const char *name, uint64_t granularity, bool enabled, bool inconsistent, GError **err)
{
    if (granularity < MIN_GRANULARITY || granularity > MAX_GRANULARITY || granularity & (granularity - 1) || blk_bitmap_find(n, name)) {
        error_set(err, ERR_INVALID, "disk image '%s' has a bitmap '%s' with a wrong granularity or twice", n->filename, name);
        return NULL;
    }
    BlkBitmap *b = add(n, name, granularity, true, err);
    if (b) {
        b->enabled = enabled && !inconsistent;
        b->inconsistent = inconsistent;
    }
    return b;
}

bool blk_bitmap_remove(BlkNode *n, BlkBitmap *b, GError **err)
{
    n = past_filters(n);
    if (b->busy)
        return error_set(err, ERR_BUSY, "cannot remove bitmap '%s' of '%s': a job or an export uses it", b->name, n->filename);
    if (b->persistent && n->read_only)
        return error_set(err, ERR_DENIED, "cannot remove bitmap '%s': disk image '%s' is open read-only", b->name, n->filename);
    n->bitmaps_changed |= b->persistent;
    g_mutex_lock(&n->lock);
    g_ptr_array_remove(n->bitmaps, b);
    g_mutex_unlock(&n->lock);
    return true;
}

BlkBitmap *blk_bitmap_next(BlkNode *n, const BlkBitmap *b)
{
    n = past_filters(n);
    unsigned i = 0;
    if (!n->bitmaps || (b && !g_ptr_array_find(n->bitmaps, b, &i)))
        return NULL;
    i += b != NULL;
    return i < n->bitmaps->len ? n->bitmaps->pdata[i] : NULL;
}

BlkBitmap *blk_bitmap_find(BlkNode *n, const char *name)
{
    for (BlkBitmap *b = NULL; (b = blk_bitmap_next(n, b));)
        if (g_str_equal(b->name, name))
            return b;
    return NULL;
}

void blk_bitmap_info(BlkBitmap *b, BlkBitmapInfo *ret)
{
    *ret = (BlkBitmapInfo){ b->name, 1ull << b->shift, bitmap_dirty_bytes(b), b->enabled, b->persistent, b->busy, b->inconsistent };
}

static bool may_change(const BlkBitmap *b, GError **err)
{
    if (b->busy)
        return error_set(err, ERR_BUSY, "cannot change bitmap '%s': a job or an export uses it", b->name);
    if (b->inconsistent)
        return error_set(err, ERR_INVALID, "cannot change bitmap '%s': its image was not closed, so it may lack changes; remove it", b->name);
    if (b->persistent && b->node->read_only)
        return error_set(err, ERR_DENIED, "cannot change bitmap '%s': disk image '%s' is open read-only", b->name, b->node->filename);
    if (b->node && b->persistent)
        b->node->bitmaps_changed = true;
    return true;
}

bool blk_bitmap_enable(BlkBitmap *b, bool enable, GError **err)
{
    if (!may_change(b, err))
        return false;
    b->enabled = enable;
    return true;
}

bool blk_bitmap_clear(BlkBitmap *b, GError **err)
{
    if (!may_change(b, err))
        return false;
    bitmap_mark(b, 0, b->size, false);
    return true;
}

bool blk_bitmap_merge(BlkBitmap *to, BlkBitmap *from, GError **err)
{
    if (!may_change(to, err))
        return false;
    if (from->inconsistent)
        return error_set(err, ERR_INVALID, "cannot merge bitmap '%s': its image was not closed, so it may lack changes", from->name);
    if (to->size != from->size)
        return error_set(err, ERR_INVALID, "cannot merge bitmap '%s' into '%s': their images differ in size", from->name, to->name);
    for (uint64_t off = 0, len; blk_bitmap_next_dirty(from, &off, &len); off += len)
        bitmap_mark(to, off, len, true);
    return true;
}

void bitmap_set_busy(BlkBitmap *b, bool busy) { b->busy = busy; }

/* ---- as a format stores them */

uint64_t bitmap_bytes(const BlkBitmap *b) { return (b->bits + 7) / 8; }

void bitmap_import(BlkBitmap *b, uint64_t first_byte, const uint8_t *from, size_t bytes)
{
    g_mutex_lock(&b->lock);
    for (size_t i = 0; i < bytes; i++)
        for (unsigned bit = 0; from[i] >> bit; bit++) {
            uint64_t at = (first_byte + i) * 8 + bit;
            if (from[i] >> bit & 1 && at < b->bits)
                set_range(b, at, at + 1, true);
        }
    g_mutex_unlock(&b->lock);
}

void bitmap_export(BlkBitmap *b, uint64_t first_byte, uint8_t *to, size_t bytes)
{
    g_mutex_lock(&b->lock);
    for (size_t i = 0; i < bytes; i++) {
        uint64_t at = first_byte + i;
        to[i] = at * 8 < b->bits ? b->words[at / 8] >> at % 8 * 8 : 0;
    }
    g_mutex_unlock(&b->lock);
}
