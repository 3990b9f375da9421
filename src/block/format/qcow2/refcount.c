/* refcount.c - which clusters of the file are in use ("Host cluster management"), and giving out free ones. */
#include <errno.h>

#include "block/format/qcow2/qcow2.h"

enum { MAX_LEAKED = 1 << 20 };

/* Entry i of a block with 2^order bits an entry; widths below a byte count from the least significant bit. */
uint64_t refcount_get(const uint8_t *block, unsigned order, uint64_t i)
{
    if (order < 3)
        return block[i >> (3 - order)] >> ((i << order) & 7) & ((1u << (1u << order)) - 1);
    uint64_t value = 0;
    unsigned bytes = 1u << (order - 3);
    for (unsigned b = 0; b < bytes; b++)
        value = value << 8 | block[i * bytes + b];
    return value;
}

void refcount_put(uint8_t *block, unsigned order, uint64_t i, uint64_t value)
{
    if (order < 3) {
        unsigned shift = (i << order) & 7, mask = (1u << (1u << order)) - 1;
        uint8_t *byte = &block[i >> (3 - order)];
        *byte = (*byte & ~(mask << shift)) | value << shift;
        return;
    }
    unsigned bytes = 1u << (order - 3);
    for (unsigned b = 0; b < bytes; b++)
        block[i * bytes + b] = value >> 8 * (bytes - 1 - b);
}

static uint64_t in_block(const Qcow2 *q, uint64_t cluster) { return cluster & ((1ull << q->block_bits) - 1); }

/* *ret is NULL where no block covers the cluster. */
static int find_block(Qcow2 *q, uint64_t cluster, Table **ret)
{
    uint64_t i = cluster >> q->block_bits;
    *ret = NULL;
    return i < q->reftable_size && q->reftable[i] ? cache_get(q, &q->blocks, q->reftable[i], ret) : 0;
}

int qcow2_refcount(Qcow2 *q, uint64_t cluster, uint64_t *ret)
{
    Table *t;
    int status = find_block(q, cluster, &t);
    *ret = t && !status ? refcount_get(t->data, q->h.refcount_order, in_block(q, cluster)) : 0;
    return status;
}

int qcow2_set_refcount(Qcow2 *q, uint64_t cluster, uint64_t value)
{
    Table *t;
    int status = find_block(q, cluster, &t);
    if (status || !t)
        return status ? status : -EIO;
    if (q->h.refcount_order < 6 && value >> (1u << q->h.refcount_order))
        return -ERANGE;
    refcount_put(t->data, q->h.refcount_order, in_block(q, cluster), value);
    t->dirty = true;
    if (!value)
        q->hint = MIN(q->hint, cluster);
    if (!value && q->packed && (q->packed - 1) >> q->cluster_bits == cluster)
        q->packed = 0;
    return 0;
}

static bool within(uint64_t off, uint64_t table, uint64_t bytes, uint64_t cluster)
{
    return off + cluster > table && off < table + bytes;
}

/* For images that lie about what is free. */
bool qcow2_is_metadata(const Qcow2 *q, uint64_t off)
{
    if (off < q->cluster_bytes || within(off, q->h.l1_off, q->h.l1_size * 8ull, q->cluster_bytes) ||
        within(off, q->h.reftable_off, (uint64_t)q->h.reftable_clusters << q->cluster_bits, q->cluster_bytes))
        return true;
    if (q->h.snapshots && within(off, q->h.snapshots_off, q->snapshot_bytes, q->cluster_bytes))
        return true;
    for (unsigned i = 0; i < q->snapshots->len; i++) {
        const Qcow2Snapshot *s = g_ptr_array_index(q->snapshots, i);
        if (within(off, s->l1_off, s->l1_size * 8ull, q->cluster_bytes))
            return true;
    }
    return false;
}

/* As QEMU does: what writes further would do to it nobody can know. */
int qcow2_mark_corrupt(Qcow2 *q)
{
    if (q->h.version > 2 && !(q->h.incompatible & QCOW2_CORRUPT)) {
        q->h.incompatible |= QCOW2_CORRUPT;
        qcow2_write_header(q);
    }
    return -EIO;
}

/* A new block at cluster `where`, which counts itself if it can. */
static int add_block(Qcow2 *q, uint64_t cluster, uint64_t where)
{
    Table *t;
    uint64_t i = cluster >> q->block_bits;
    int status = cache_new(q, &q->blocks, where << q->cluster_bits, &t);
    if (status)
        return status;
    q->reftable[i] = where << q->cluster_bits;
    dirty_add(&q->reftable_dirty, i);
    q->end = MAX(q->end, where + 1);
    return where >> q->block_bits == i ? qcow2_set_refcount(q, where, 1) : 0;
}

static int grow_reftable(Qcow2 *q, uint64_t entries);

static uint64_t uncovered(const Qcow2 *q, uint64_t from, uint64_t clusters)
{
    uint64_t n = 0;
    for (uint64_t i = from >> q->block_bits; i <= (from + clusters - 1) >> q->block_bits; i++)
        n += i >= q->reftable_size || !q->reftable[i];
    return n;
}

/* How many blocks a region of `clusters` needs that holds these blocks as well. */
static uint64_t blocks_needed(const Qcow2 *q, uint64_t from, uint64_t clusters)
{
    uint64_t blocks = 0, more;
    while ((more = uncovered(q, from, clusters + blocks)) > blocks)
        blocks = more;
    return blocks;
}

static int fill_region(Qcow2 *q, uint64_t from, uint64_t clusters, uint64_t blocks)
{
    uint64_t next = from + clusters, total = clusters + blocks;
    int status = 0;
    for (uint64_t i = from >> q->block_bits; !status && i <= (from + total - 1) >> q->block_bits; i++)
        if (!q->reftable[i])
            status = add_block(q, i << q->block_bits, next++);
    for (uint64_t c = from; !status && c < from + total; c++)
        status = qcow2_set_refcount(q, c, 1);
    q->end = MAX(q->end, from + total);
    return status;
}

int qcow2_alloc_region(Qcow2 *q, uint64_t clusters, uint64_t *ret_off)
{
    uint64_t from = q->end, blocks = blocks_needed(q, from, clusters);
    uint64_t last = (from + clusters + blocks - 1) >> q->block_bits;
    if (last >= q->reftable_size) {
        int status = grow_reftable(q, last + 1);
        return status ? status : qcow2_alloc_region(q, clusters, ret_off);
    }
    *ret_off = from << q->cluster_bits;
    return fill_region(q, from, clusters, blocks);
}

/* Everything that the new table names is in the file before the header names the table. */
static int switch_reftable(Qcow2 *q, uint64_t off, uint64_t entries)
{
    q->reftable_dirty = (Dirty){ 0 };
    g_autofree uint64_t *raw = g_new(uint64_t, entries);
    for (uint64_t i = 0; i < entries; i++)
        raw[i] = GUINT64_TO_BE(q->reftable[i]);
    int status = qcow2_sync_refcounts(q);
    if (!status && !(status = blk_pwrite(q->file, off, raw, entries * 8)))
        status = blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
    if (status)
        return status;
    qcow2_free(q, q->h.reftable_off, (uint64_t)q->h.reftable_clusters << q->cluster_bits);
    q->h.reftable_off = off;
    q->h.reftable_clusters = entries * 8 >> q->cluster_bits;
    status = qcow2_write_header(q);
    return status ? status : blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

static int grow_reftable(Qcow2 *q, uint64_t entries)
{
    uint64_t per_cluster = q->cluster_bytes / 8;
    uint64_t clusters = div_up(MAX(entries + entries / 2, entries + 2), per_cluster), from = q->end;
    for (;;) { /* the table must also reach the blocks of its own region */
        uint64_t reach = (from + clusters + blocks_needed(q, from, clusters)) >> q->block_bits;
        if (reach < clusters * per_cluster)
            break;
        clusters = div_up(reach + 1, per_cluster);
    }
    if (clusters << q->cluster_bits > QCOW2_MAX_REFTABLE_BYTES)
        return -EFBIG;
    uint64_t blocks = blocks_needed(q, from, clusters), size = clusters * per_cluster;
    q->reftable = g_renew(uint64_t, q->reftable, size);
    for (uint64_t i = q->reftable_size; i < size; i++)
        q->reftable[i] = 0;
    uint64_t old = q->reftable_size;
    q->reftable_size = size;
    int status = fill_region(q, from, clusters, blocks);
    if (!status)
        status = switch_reftable(q, from << q->cluster_bits, size);
    if (status) { /* the blocks behind the old end are not in any table on the disk */
        q->reftable_size = old;
        q->reftable_dirty = (Dirty){ 0, old };
    }
    return status;
}

static bool is_known_table(Qcow2 *q, uint64_t off)
{
    return g_hash_table_contains(q->l2s.tables, &off) || g_hash_table_contains(q->blocks.tables, &off);
}

int qcow2_alloc(Qcow2 *q, uint64_t *ret_off)
{
    for (uint64_t c = q->hint;; c++) {
        uint64_t i = c >> q->block_bits, count;
        if (c > (uint64_t)INT64_MAX >> q->cluster_bits || c > q->end + MAX_LEAKED)
            return -EFBIG; /* an image that counts that much behind its end is made to keep us busy */
        int status = i >= q->reftable_size ? grow_reftable(q, i + 1) : 0;
        if (status)
            return status;
        bool usable = !qcow2_is_metadata(q, c << q->cluster_bits);
        if (!q->reftable[i]) { /* becomes the block that counts it; nothing before it was in use */
            status = usable ? add_block(q, c, c) : 0;
            if (status)
                return status;
            continue;
        }
        status = qcow2_refcount(q, c, &count);
        if (status)
            return status;
        if (!count && (!usable || is_known_table(q, c << q->cluster_bits)))
            return qcow2_mark_corrupt(q);
        if (count)
            continue;
        q->hint = c + 1;
        q->end = MAX(q->end, c + 1);
        *ret_off = c << q->cluster_bits;
        return qcow2_set_refcount(q, c, 1);
    }
}

void qcow2_unalloc(Qcow2 *q, uint64_t off, uint64_t clusters)
{
    for (uint64_t i = 0; i < clusters; i++)
        qcow2_set_refcount(q, (off >> q->cluster_bits) + i, 0);
}

int qcow2_alloc_run(Qcow2 *q, uint64_t want, uint64_t *ret_off, uint64_t *ret_got)
{
    int status = qcow2_alloc(q, ret_off);
    for (*ret_got = 1; !status && *ret_got < want; ++*ret_got) {
        uint64_t next;
        bool got = !qcow2_alloc(q, &next);
        if (got && next == *ret_off + (*ret_got << q->cluster_bits))
            continue;
        if (got)
            qcow2_unalloc(q, next, 1);
        return 0; /* the one cluster will do for now, whatever was wrong with the next */
    }
    return status;
}

void qcow2_free(Qcow2 *q, uint64_t off, uint64_t bytes)
{
    for (uint64_t c = off >> q->cluster_bits; bytes && c <= (off + bytes - 1) >> q->cluster_bits; c++)
        g_array_append_val(q->freed, c);
}

/* A run of clusters that nobody uses any more goes back to the file system.  Only a hint: errors do not matter. */
static void give_up(Qcow2 *q, uint64_t first, uint64_t clusters)
{
    uint64_t off = first << q->cluster_bits, bytes = clusters << q->cluster_bits;
    if (clusters && off < q->file->size)
        blk_perform(q->file, BLK_DISCARD, 0, off, MIN(bytes, q->file->size - off), NULL, 0);
}

int qcow2_apply_freed(Qcow2 *q)
{
    GArray *freed = q->freed;
    q->freed = g_array_new(FALSE, FALSE, sizeof(uint64_t)); /* for what a sync on the way may add */
    int status = 0;
    uint64_t first = 0, run = 0;
    for (unsigned i = 0; i < freed->len; i++) {
        uint64_t cluster = g_array_index(freed, uint64_t, i), count = 0;
        if (!status && !(status = qcow2_refcount(q, cluster, &count)) && count)
            status = qcow2_set_refcount(q, cluster, count - 1);
        if (!status && count == 1) { /* a table no more */
            cache_drop(q, &q->l2s, cluster << q->cluster_bits);
            cache_drop(q, &q->blocks, cluster << q->cluster_bits);
        }
        if (status)
            g_array_append_val(q->freed, cluster);
        if (status || count != 1)
            continue;
        if (cluster != first + run) {
            give_up(q, first, run);
            first = cluster;
            run = 0;
        }
        run++;
    }
    give_up(q, first, run);
    g_array_unref(freed);
    return status;
}
