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

void cache_drop(Cache *c, uint64_t off)
{
    Table *t = g_hash_table_lookup(c->tables, &off);
    if (!t)
        return;
    g_queue_unlink(&c->lru, &t->link);
    g_hash_table_remove(c->tables, &off);
}

/* All, and what is dirty in them too. */
void cache_forget(Cache *c)
{
    while (c->lru.tail)
        cache_drop(c, ((Table *)c->lru.tail->data)->off);
}

static int make_room(Qcow2 *q, Cache *c)
{
    if (c->lru.length < c->max)
        return 0;
    int status = ((Table *)c->lru.tail->data)->dirty ? qcow2_sync(q) : 0;
    while (!status && c->lru.length >= c->max && !((Table *)c->lru.tail->data)->dirty)
        cache_drop(c, ((Table *)c->lru.tail->data)->off);
    return status;
}

static Table *insert(Qcow2 *q, Cache *c, uint64_t off)
{
    Table *t = g_new0(Table, 1);
    t->off = off;
    t->data = g_malloc0(q->cluster_bytes);
    t->link.data = t;
    g_hash_table_insert(c->tables, &t->off, t);
    g_queue_push_head_link(&c->lru, &t->link);
    return t;
}

static Table *find(Cache *c, uint64_t off)
{
    Table *t = g_hash_table_lookup(c->tables, &off);
    if (t) {
        g_queue_unlink(&c->lru, &t->link);
        g_queue_push_head_link(&c->lru, &t->link);
    }
    return t;
}

int cache_get(Qcow2 *q, Cache *c, uint64_t off, Table **ret)
{
    if ((*ret = find(c, off)))
        return 0;
    if (off & (q->cluster_bytes - 1) || !range_within(off, q->cluster_bytes, (q->file->size + q->cluster_bytes - 1) & -q->cluster_bytes))
        return -EIO; /* the image names a table outside of itself */
    int status = make_room(q, c);
    if (status)
        return status;
    Table *t = insert(q, c, off);
    status = blk_pread(q->file, off, t->data, q->cluster_bytes);
    if (status)
        cache_drop(c, off);
    else
        *ret = t;
    return status;
}

int cache_new(Qcow2 *q, Cache *c, uint64_t off, Table **ret)
{
    Table *t = find(c, off);
    int status = t ? 0 : make_room(q, c);
    if (status)
        return status;
    t = t ? t : insert(q, c, off);
    memset(t->data, 0, q->cluster_bytes);
    t->dirty = true;
    *ret = t;
    return 0;
}

bool cache_is_dirty(const Cache *c)
{
    for (GList *l = c->lru.head; l; l = l->next)
        if (((Table *)l->data)->dirty)
            return true;
    return false;
}

int cache_write(Qcow2 *q, Cache *c)
{
    for (GList *l = c->lru.head; l; l = l->next) {
        Table *t = l->data;
        int status = t->dirty ? blk_pwrite(q->file, t->off, t->data, q->cluster_bytes) : 0;
        if (status)
            return status;
        t->dirty = false;
    }
    return 0;
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

int qcow2_sync(Qcow2 *q)
{
    int status = qcow2_sync_refcounts(q);
    if (!status && cache_is_dirty(&q->l2s) && !(status = barrier(q)))
        status = cache_write(q, &q->l2s);
    if (!status && q->l1_dirty.from != q->l1_dirty.to && !(status = barrier(q)))
        status = write_entries(q, q->h.l1_off, q->l1, &q->l1_dirty);
    if (!status && q->freed->len && !(status = barrier(q)) && !(status = qcow2_apply_freed(q)))
        status = cache_write(q, &q->blocks);
    return status;
}
