/*
 * cache.c - metadata in memory, and the order in which it reaches the file.
 *
 * A full cache drops the table that was used longest ago; a dirty one is never written alone, but by a qcow2_sync().
 */
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "block/format/qcow2/qcow2.h"

static void table_free(void *table)
{
    g_free(((Table *)table)->data);
    g_free(table);
}

void cache_init(Cache *c, unsigned max)
{
    c->tables = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, table_free);
    c->max = max;
}

void cache_clear(Cache *c) { g_clear_pointer(&c->tables, g_hash_table_unref); }

/* Q.lock to add or drop tables, and to see them; Q.meta as well for all that others may see who only have that. */
static void drop(Cache *c, Table *t)
{
    g_queue_unlink(&c->lru, &t->link);
    g_hash_table_remove(c->tables, &t->off);
}

void cache_drop(Qcow2 *q, Cache *c, uint64_t off)
{
    g_mutex_lock(&q->meta);
    Table *t = g_hash_table_lookup(c->tables, &off);
    if (t)
        drop(c, t);
    g_mutex_unlock(&q->meta);
}

/* All, and what is dirty in them too. */
void cache_forget(Qcow2 *q, Cache *c)
{
    g_mutex_lock(&q->meta);
    while (c->lru.tail)
        drop(c, c->lru.tail->data);
    g_mutex_unlock(&q->meta);
}

static bool drop_clean_tail(Qcow2 *q, Cache *c)
{
    g_mutex_lock(&q->meta);
    Table *t = c->lru.tail->data;
    bool clean = !t->dirty;
    if (clean)
        drop(c, t);
    g_mutex_unlock(&q->meta);
    return clean;
}

static int make_room(Qcow2 *q, Cache *c)
{
    while (c->lru.length >= c->max) {
        if (drop_clean_tail(q, c))
            continue;
        int status = qcow2_sync(q);
        if (status)
            return status;
    }
    return 0;
}

static void insert(Qcow2 *q, Cache *c, Table *t)
{
    t->link.data = t;
    g_mutex_lock(&q->meta);
    g_hash_table_insert(c->tables, &t->off, t);
    g_queue_push_head_link(&c->lru, &t->link);
    g_mutex_unlock(&q->meta);
}

static Table *table_new(const Qcow2 *q, uint64_t off)
{
    Table *t = g_new0(Table, 1);
    t->off = off;
    t->data = g_malloc0(q->cluster_bytes);
    return t;
}

Table *cache_find(Cache *c, uint64_t off)
{
    Table *t = g_hash_table_lookup(c->tables, &off);
    if (t && &t->link != c->lru.head) {
        g_queue_unlink(&c->lru, &t->link);
        g_queue_push_head_link(&c->lru, &t->link);
    }
    return t;
}

static Table *find(Qcow2 *q, Cache *c, uint64_t off)
{
    g_mutex_lock(&q->meta);
    Table *t = cache_find(c, off);
    g_mutex_unlock(&q->meta);
    return t;
}

static bool may_be_table(const Qcow2 *q, uint64_t off)
{
    return !(off & (q->cluster_bytes - 1)) && range_within(off, q->cluster_bytes, (q->file->size + q->cluster_bytes - 1) & -q->cluster_bytes);
}

int cache_peek(Qcow2 *q, Cache *c, uint64_t off, uint8_t *buffer, uint8_t **ret)
{
    Table *t = find(q, c, off);
    *ret = t ? t->data : buffer;
    return t ? 0 : may_be_table(q, off) ? blk_pread(q->file, off, buffer, q->cluster_bytes) : -EIO;
}

int cache_get(Qcow2 *q, Cache *c, uint64_t off, Table **ret)
{
    if ((*ret = find(q, c, off)))
        return 0;
    if (!may_be_table(q, off))
        return -EIO; /* the image names a table outside of itself */
    int status = make_room(q, c);
    if (status)
        return status;
    Table *t = table_new(q, off);
    status = blk_pread(q->file, off, t->data, q->cluster_bytes);
    if (status)
        table_free(t);
    else
        insert(q, c, *ret = t);
    return status;
}

int cache_new(Qcow2 *q, Cache *c, uint64_t off, Table **ret)
{
    Table *t = find(q, c, off);
    int status = t ? 0 : make_room(q, c);
    if (status)
        return status;
    if (!t)
        insert(q, c, t = table_new(q, off));
    g_mutex_lock(&q->meta);
    memset(t->data, 0, q->cluster_bytes);
    t->dirty = true;
    g_mutex_unlock(&q->meta);
    *ret = t;
    return 0;
}

static GPtrArray *dirty_tables(Qcow2 *q, Cache *c)
{
    GPtrArray *dirty = g_ptr_array_new();
    g_mutex_lock(&q->meta);
    for (GList *l = c->lru.head; l; l = l->next)
        if (((Table *)l->data)->dirty)
            g_ptr_array_add(dirty, l->data);
    g_mutex_unlock(&q->meta);
    return dirty;
}

bool cache_is_dirty(Qcow2 *q, Cache *c)
{
    g_autoptr(GPtrArray) dirty = dirty_tables(q, c);
    return dirty->len;
}

static int by_offset(const void *a, const void *b)
{
    uint64_t left = (*(Table *const *)a)->off, right = (*(Table *const *)b)->off;
    return left < right ? -1 : left > right;
}

int cache_write(Qcow2 *q, Cache *c)
{
    g_autoptr(GPtrArray) dirty = dirty_tables(q, c);
    int status = 0;
    g_ptr_array_sort(dirty, by_offset);
    for (unsigned i = 0; i < dirty->len && !status; i++) {
        Table *t = g_ptr_array_index(dirty, i);
        status = blk_pwrite(q->file, t->off, t->data, q->cluster_bytes);
        t->dirty = status;
    }
    return status;
}

void dirty_add(Dirty *d, uint64_t entry)
{
    bool empty = d->from == d->to;
    d->from = empty ? entry : MIN(d->from, entry);
    d->to = empty ? entry + 1 : MAX(d->to, entry + 1);
}

static int write_entries(Qcow2 *q, uint64_t off, const uint64_t *entries, Dirty *d)
{
    uint64_t n = d->to - d->from;
    g_autofree uint64_t *raw = g_new(uint64_t, n);
    for (uint64_t i = 0; i < n; i++)
        raw[i] = GUINT64_TO_BE(entries[d->from + i]);
    int status = blk_pwrite(q->file, off + d->from * 8, raw, n * 8);
    if (!status)
        *d = (Dirty){ 0 };
    return status;
}

static int barrier(Qcow2 *q) { return blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0); }

int qcow2_sync_refcounts(Qcow2 *q)
{
    int status = cache_write(q, &q->blocks);
    if (status || q->reftable_dirty.from == q->reftable_dirty.to)
        return status;
    /* While a larger table is being made, the file still has the old one. */
    uint64_t size = (uint64_t)q->h.reftable_clusters << q->cluster_bits >> 3;
    q->reftable_dirty.to = MIN(q->reftable_dirty.to, size);
    q->reftable_dirty.from = MIN(q->reftable_dirty.from, size);
    status = barrier(q);
    return status ? status : write_entries(q, q->h.reftable_off, q->reftable, &q->reftable_dirty);
}

/* The guest's data too are in the file before a table leads to them: what was copied to a new place is safe already. */
static int sync_l2(Qcow2 *q)
{
    int status = cache_is_dirty(q, &q->l2s) ? barrier(q) : 0;
    if (!status && q->data != q->file)
        status = blk_perform(q->data, BLK_FLUSH, 0, 0, 0, NULL, 0);
    return status ? status : cache_write(q, &q->l2s);
}

/* What became free may be given out again once nothing on the disk leads there, and nobody is there any more. */
static int sync_freed(Qcow2 *q)
{
    int status = barrier(q);
    if (status)
        return status;
    qcow2_wait_pins(q);
    status = qcow2_apply_freed(q);
    return status ? status : cache_write(q, &q->blocks);
}

int qcow2_sync(Qcow2 *q)
{
    int status = qcow2_pad_packed(q);
    if (!status)
        status = qcow2_sync_refcounts(q);
    if (!status)
        status = sync_l2(q);
    if (!status && q->l1_dirty.from != q->l1_dirty.to && !(status = barrier(q)))
        status = write_entries(q, q->h.l1_off, q->l1, &q->l1_dirty);
    return status || !q->freed->len ? status : sync_freed(q);
}
