/*
 * bitmap.c - dirty bitmaps that outlive the process ("Bitmaps extension").
 *
 * While an image is open for writing its bitmaps are marked in use: if it is never closed nobody knows what they should
 * say.  They are stored anew, in other clusters, before the header names them.
 */
#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/checked.h"
#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

enum { ROW_BYTES = 24, MAX_BITMAPS = 65535, MAX_DIRECTORY = 64 << 20, MAX_TABLE_ENTRIES = 1 << 20 };
enum { IN_USE = 1 << 0, AUTO = 1 << 1, EXTRA_COMPATIBLE = 1 << 2, TYPE_DIRTY = 1 };
enum { MIN_GRANULARITY_BITS = 9, MAX_GRANULARITY_BITS = 31 };
#define ALL_ONES 1ull

void qcow2_bitmap_free(void *bitmap)
{
    Qcow2Bitmap *b = bitmap;
    g_free(b->name);
    g_free(b);
}

/* ---- the directory */

static bool refuse(const BlkNode *n, unsigned i, const char *why, GError **err)
{
    return error_set(err, ERR_INVALID, "cannot open qcow2 image '%s': bitmap %u %s", n->filename, i, why);
}

static const char *judge(const Qcow2 *q, const Qcow2Bitmap *b, const uint8_t *row)
{
    if (row[16] != TYPE_DIRTY)
        return "is of a type that is not known";
    if (b->flags & ~(uint32_t)(IN_USE | AUTO | EXTRA_COMPATIBLE))
        return "has flags that are not known";
    if (b->granularity_bits < MIN_GRANULARITY_BITS || b->granularity_bits > MAX_GRANULARITY_BITS)
        return "has a granularity that is not between 512 and 2 GiB";
    if (be_get(row + 18, 2) == 0 || be_get(row + 18, 2) > BLK_BITMAP_NAME_MAX)
        return "has a name that is empty or too long";
    if (b->table_size > MAX_TABLE_ENTRIES || b->table_off & (q->cluster_bytes - 1) || !b->table_off ||
        !range_within(b->table_off, b->table_size * 8ull, q->file->size))
        return "has a table that is too large, not aligned or not within the file";
    if (be_get(row + 20, 4) && !(b->flags & EXTRA_COMPATIBLE))
        return "has extra data that is not known";
    return NULL;
}

static bool read_rows(BlkNode *n, const uint8_t *d, uint64_t bytes, GError **err)
{
    Qcow2 *q = n->state;
    uint64_t at = 0, tables = 0;
    for (unsigned i = 0; i < q->bitmaps_at.count; i++) {
        const uint8_t *row = d + at;
        if (bytes - at < ROW_BYTES || bytes - at < ROW_BYTES + be_get(row + 18, 2) + be_get(row + 20, 4))
            return refuse(n, i, "does not end within the directory", err);
        Qcow2Bitmap *b = g_new0(Qcow2Bitmap, 1);
        *b = (Qcow2Bitmap){ .table_off = be_get(row, 8), .table_size = be_get(row + 8, 4), .flags = be_get(row + 12, 4), .granularity_bits = row[17] };
        b->name = g_strndup((const char *)row + ROW_BYTES + be_get(row + 20, 4), be_get(row + 18, 2));
        g_ptr_array_add(q->bitmaps, b);
        const char *why = judge(q, b, row);
        if ((tables += b->table_size * 8ull) > q->file->size)
            why = "shares its table with others";
        if (why)
            return refuse(n, i, why, err);
        at = MIN(bytes, (at + ROW_BYTES + be_get(row + 18, 2) + be_get(row + 20, 4) + 7) & ~7ull);
    }
    return true;
}

static bool read_directory(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    const Qcow2BitmapDirectory *d = &q->bitmaps_at;
    if (!d->count)
        return true;
    if (d->count > MAX_BITMAPS || d->bytes > MAX_DIRECTORY || d->off & (q->cluster_bytes - 1) || !d->off ||
        !range_within(d->off, d->bytes, q->file->size))
        return error_set(err, ERR_INVALID, "cannot open qcow2 image '%s': its directory of %u bitmaps (%" G_GUINT64_FORMAT " bytes at 0x%"
                         G_GINT64_MODIFIER "x) is too large, not aligned or not within the file", n->filename, d->count, d->bytes, d->off);
    g_autofree uint8_t *raw = g_malloc(d->bytes + 1);
    int status = blk_pread(q->file, d->off, raw, d->bytes);
    if (status)
        return error_set_errno(err, -status, "cannot read the bitmaps of '%s'", n->filename);
    return read_rows(n, raw, d->bytes, err);
}

static GByteArray *encode(const GPtrArray *bitmaps)
{
    GByteArray *to = g_byte_array_new();
    for (unsigned i = 0; i < bitmaps->len; i++) {
        const Qcow2Bitmap *b = g_ptr_array_index(bitmaps, i);
        be_put(to, b->table_off, 8);
        be_put(to, b->table_size, 4);
        be_put(to, b->flags & ~(uint32_t)EXTRA_COMPATIBLE, 4);
        be_put(to, TYPE_DIRTY, 1);
        be_put(to, b->granularity_bits, 1);
        be_put(to, strlen(b->name), 2);
        be_put(to, 0, 4);
        g_byte_array_append(to, (const uint8_t *)b->name, strlen(b->name));
        while (to->len % 8)
            be_put(to, 0, 1);
    }
    return to;
}

/* ---- loading */

static int import(Qcow2 *q, BlkBitmap *to, const Qcow2Bitmap *b)
{
    g_autofree uint64_t *table = NULL;
    g_autofree uint8_t *data = g_malloc(q->cluster_bytes);
    uint64_t bytes = bitmap_bytes(to), done = 0;
    int status = b->table_size == div_up(bytes, q->cluster_bytes) ? qcow2_read_table(q->file, b->table_off, b->table_size, &table) : -EINVAL;
    for (uint32_t i = 0; i < b->table_size && !status; i++, done += q->cluster_bytes) {
        uint64_t off = table[i] & QCOW2_OFFSET, len = MIN(q->cluster_bytes, bytes - done);
        if (!off && !(table[i] & ALL_ONES))
            continue;
        memset(data, 0xff, q->cluster_bytes);
        if (off)
            status = off & (q->cluster_bytes - 1) ? -EINVAL : blk_pread(q->file, off, data, len);
        if (!status)
            bitmap_import(to, done, data, len);
    }
    return status;
}

static bool load(BlkNode *n, const Qcow2Bitmap *b, GError **err)
{
    BlkBitmap *to = bitmap_load(n, b->name, 1ull << b->granularity_bits, b->flags & AUTO, b->flags & IN_USE, err);
    int status = to && !(b->flags & IN_USE) ? import(n->state, to, b) : 0;
    if (status)
        return error_set_errno(err, -status, "cannot read bitmap '%s' of '%s'", b->name, n->filename);
    return to;
}

/* In their place: a torn write leaves flags of the one or the other kind. */
static int mark_in_use(BlkNode *n)
{
    Qcow2 *q = n->state;
    bool changed = false;
    for (unsigned i = 0; i < q->bitmaps->len; i++) {
        Qcow2Bitmap *b = g_ptr_array_index(q->bitmaps, i);
        changed |= !(b->flags & IN_USE);
        b->flags |= IN_USE;
    }
    g_autoptr(GByteArray) raw = encode(q->bitmaps);
    if (!changed)
        return 0;
    if (raw->len > q->bitmaps_at.bytes)
        return -EINVAL;
    int status = blk_pwrite(q->file, q->bitmaps_at.off, raw->data, raw->len);
    return status ? status : blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

/* Somebody who does not know of bitmaps has written to the image: they are worth nothing, and their clusters leak. */
static bool forget_stale(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    if (!q->bitmaps_at.count || q->h.autoclear & QCOW2_BITMAPS_VALID)
        return true;
    if (!n->warning)
        n->warning = g_strdup_printf("a program without support for bitmaps has changed '%s': its bitmaps are dropped, and their space is "
                                     "given back by a check with repair", n->filename);
    if (n->read_only) {
        q->bitmaps_at = (Qcow2BitmapDirectory){ 0 };
        return true;
    }
    Qcow2Names names = qcow2_names(n);
    int status = qcow2_change_head(n, &q->h, &names, &(Qcow2BitmapDirectory){ 0 });
    return !status || error_set_errno(err, -status, "cannot write the header of '%s'", n->filename);
}

bool qcow2_use_bitmaps(BlkNode *n, GError **err)
{
    int status = mark_in_use(n);
    return !status || error_set_errno(err, -status, "cannot mark the bitmaps of '%s' as in use", n->filename);
}

bool qcow2_load_bitmaps(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    for (unsigned i = 0; i < q->bitmaps->len; i++)
        if (!load(n, g_ptr_array_index(q->bitmaps, i), err))
            return false;
    return n->read_only || qcow2_use_bitmaps(n, err);
}

bool qcow2_read_bitmaps(BlkNode *n, GError **err) { return forget_stale(n, err) && read_directory(n, err); }

/* ---- storing */

bool qcow2_can_store_bitmap(BlkNode *n, const char *name, uint64_t granularity, GError **err)
{
    const Qcow2 *q = n->state;
    const char *why = q->h.version == 2 ? "images of version 2 hold none; amend it to compat=1.1" :
                      granularity > 1ull << MAX_GRANULARITY_BITS ? "its granularity is too large" :
                      div_up(div_up(n->size, granularity * 8), q->cluster_bytes) > MAX_TABLE_ENTRIES ? "it would be too large; give a larger granularity" : NULL;
    return !why || error_set(err, ERR_INVALID, "cannot keep bitmap '%s' in '%s': %s", name, n->filename, why);
}

static bool is_uniform(const uint8_t *data, uint64_t len) { return !memcmp(data, data + 1, len - 1) && (*data == 0 || *data == 0xff); }

static int export_cluster(Qcow2 *q, BlkBitmap *from, uint64_t done, uint64_t len, uint8_t *data, uint64_t *ret_entry)
{
    uint64_t off;
    memset(data, 0, q->cluster_bytes);
    bitmap_export(from, done, data, len);
    *ret_entry = *data == 0xff ? ALL_ONES : 0;
    if (is_uniform(data, len))
        return 0;
    int status = qcow2_alloc(q, &off);
    *ret_entry = off;
    return status ? status : blk_pwrite(q->file, off, data, q->cluster_bytes);
}

static int export(Qcow2 *q, BlkBitmap *from, Qcow2Bitmap *b)
{
    uint64_t bytes = bitmap_bytes(from), clusters;
    b->table_size = div_up(bytes, q->cluster_bytes);
    clusters = MAX(div_up(b->table_size * 8ull, q->cluster_bytes), 1);
    g_autofree uint64_t *table = g_new0(uint64_t, b->table_size + 1);
    g_autofree uint8_t *data = g_malloc(q->cluster_bytes);
    int status = 0;
    for (uint32_t i = 0; i < b->table_size && !status; i++) {
        uint64_t done = (uint64_t)i << q->cluster_bits;
        status = export_cluster(q, from, done, MIN(q->cluster_bytes, bytes - done), data, &table[i]);
        table[i] = GUINT64_TO_BE(table[i]);
    }
    if (!status)
        status = qcow2_alloc_region(q, clusters, &b->table_off);
    return status ? status : blk_pwrite(q->file, b->table_off, table, b->table_size * 8ull);
}

static Qcow2Bitmap *find(const GPtrArray *bitmaps, const char *name)
{
    for (unsigned i = 0; i < bitmaps->len; i++)
        if (g_str_equal(((Qcow2Bitmap *)g_ptr_array_index(bitmaps, i))->name, name))
            return g_ptr_array_index(bitmaps, i);
    return NULL;
}

/* Inconsistent ones stay where they are. */
static int export_all(BlkNode *n, GPtrArray *new)
{
    Qcow2 *q = n->state;
    int status = 0;
    for (BlkBitmap *from = blk_bitmap_next(n, NULL); from && !status; from = blk_bitmap_next(n, from)) {
        BlkBitmapInfo info;
        blk_bitmap_info(from, &info);
        if (!info.persistent)
            continue;
        Qcow2Bitmap *b = g_new0(Qcow2Bitmap, 1), *old = find(q->bitmaps, info.name);
        if (info.inconsistent && old) {
            *b = *old;
            old->keep = true;
        }
        b->name = g_strdup(info.name);
        g_ptr_array_add(new, b);
        if (info.inconsistent)
            continue;
        b->flags = info.enabled ? AUTO : 0;
        b->granularity_bits = __builtin_ctzll(info.granularity);
        status = export(q, from, b);
    }
    return status;
}

static int free_old(Qcow2 *q, const Qcow2Bitmap *b)
{
    g_autofree uint64_t *table = NULL;
    int status = qcow2_read_table(q->file, b->table_off, b->table_size, &table);
    for (uint32_t i = 0; i < b->table_size && !status; i++)
        if (table[i] & QCOW2_OFFSET)
            qcow2_free(q, table[i] & QCOW2_OFFSET, q->cluster_bytes);
    qcow2_free(q, b->table_off, MAX(b->table_size * 8ull, 1));
    return status;
}

static int write_directory(Qcow2 *q, const GPtrArray *new, Qcow2BitmapDirectory *ret)
{
    g_autoptr(GByteArray) raw = encode(new);
    *ret = (Qcow2BitmapDirectory){ new->len, raw->len, 0 };
    if (!new->len)
        return 0;
    int status = qcow2_alloc_region(q, div_up(raw->len, q->cluster_bytes), &ret->off);
    return status ? status : blk_pwrite(q->file, ret->off, raw->data, raw->len);
}

static int switch_to(BlkNode *n, GPtrArray *new)
{
    Qcow2 *q = n->state;
    Qcow2BitmapDirectory old = q->bitmaps_at, next;
    Qcow2Names names = qcow2_names(n);
    Qcow2Header h = q->h;
    h.autoclear = new->len ? h.autoclear | QCOW2_BITMAPS_VALID : h.autoclear & ~(uint64_t)QCOW2_BITMAPS_VALID;
    int status = write_directory(q, new, &next);
    if (!status)
        status = qcow2_sync(q); /* refcounts first */
    if (!status)
        status = qcow2_change_head(n, &h, &names, &next);
    if (status)
        return status;
    for (unsigned i = 0; i < q->bitmaps->len && !status; i++) {
        const Qcow2Bitmap *b = g_ptr_array_index(q->bitmaps, i);
        status = b->keep ? 0 : free_old(q, b);
    }
    if (old.count)
        qcow2_free(q, old.off, old.bytes);
    g_ptr_array_unref(q->bitmaps);
    q->bitmaps = g_ptr_array_ref(new);
    return qcow2_sync(q);
}

bool qcow2_store_bitmaps(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    g_autoptr(GPtrArray) new = g_ptr_array_new_with_free_func(qcow2_bitmap_free);
    g_mutex_lock(&q->lock);
    int status = qcow2_sync(q);
    if (!status)
        status = export_all(n, new);
    if (!status)
        status = switch_to(n, new);
    g_mutex_unlock(&q->lock);
    return !status || error_set_errno(err, -status, "cannot store the bitmaps of '%s'", n->filename);
}

/* ---- their clusters */

int refs_bitmaps(Refs *r)
{
    Qcow2 *q = r->q;
    int status = 0;
    if (q->bitmaps_at.count && !refs_add(r, q->bitmaps_at.off, q->bitmaps_at.bytes, 1))
        refs_wrong(r, "the directory of bitmaps is not within the file");
    for (unsigned i = 0; i < q->bitmaps->len && !status; i++) {
        const Qcow2Bitmap *b = g_ptr_array_index(q->bitmaps, i);
        g_autofree uint64_t *table = NULL;
        refs_add(r, b->table_off, MAX(b->table_size * 8ull, 1), 1);
        status = qcow2_read_table(q->file, b->table_off, b->table_size, &table);
        for (uint32_t k = 0; k < b->table_size && !status; k++)
            if (table[k] & QCOW2_OFFSET && (table[k] & (q->cluster_bytes - 1) & QCOW2_OFFSET || !refs_add(r, table[k] & QCOW2_OFFSET, q->cluster_bytes, 1)))
                refs_wrong(r, "entry %u of the table of bitmap '%s' leads to outside of the file", k, b->name);
    }
    return status;
}
