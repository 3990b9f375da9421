/*
 * rebuild.c - from one sound state of an image to another by one write of its header.
 *
 * All that changes is written to clusters that neither state uses: tables, and a new set of refcounts that is counted
 * and not computed from the old one.  One sector of the header then switches between the two, so a power cut finds the
 * one or the other, without so much as a leak.  The caller holds Q.lock and has called qcow2_sync().
 */
#include <errno.h>
#include <string.h>

#include "block/format/qcow2/qcow2.h"

int rebuild_begin(Rebuild *b, Qcow2 *q)
{
    *b = (Rebuild){ .next = { .h = q->h, .l1 = g_memdup2(q->l1, MAX(q->h.l1_size, 1) * 8ull) } };
    b->next.snapshots = g_ptr_array_new_with_free_func(qcow2_snapshot_free);
    for (unsigned i = 0; i < q->snapshots->len; i++)
        g_ptr_array_add(b->next.snapshots, qcow2_snapshot_copy(g_ptr_array_index(q->snapshots, i)));
    b->next.h.l1_off = 0;
    refs_init(&b->refs, q, NULL);
    return qcow2_sync(q);
}

void rebuild_clear(Rebuild *b)
{
    refs_clear(&b->refs);
    g_free(b->next.l1);
    g_clear_pointer(&b->next.snapshots, g_ptr_array_unref);
}

/* Used in neither state. */
static int is_free(Rebuild *b, uint64_t cluster, bool *ret)
{
    uint64_t old = 0;
    bool used = refs_count(&b->refs, cluster);
    int status = used || b->mistrust ? 0 : qcow2_refcount(b->refs.q, cluster, &old);
    *ret = !used && !old && !qcow2_is_metadata(b->refs.q, cluster << b->refs.q->cluster_bits);
    return status;
}

int rebuild_take(Rebuild *b, uint64_t bytes, uint64_t *ret_off)
{
    Qcow2 *q = b->refs.q;
    uint64_t want = div_up(bytes, q->cluster_bytes), run = 0;
    if (b->mistrust)
        b->at = MAX(b->at, q->end);
    for (uint64_t c = b->at; run < want; c++) {
        bool free;
        int status = c >= b->refs.limit ? -EFBIG : is_free(b, c, &free);
        if (status)
            return status;
        run = free ? run + 1 : 0;
        *ret_off = (c + 1 - run) << q->cluster_bits;
    }
    b->at = want == 1 ? (*ret_off >> q->cluster_bits) + 1 : b->at;
    return refs_add(&b->refs, *ret_off, bytes, 1) ? 0 : -ENOMEM;
}

/* ---- flags: COPIED stands where nobody else uses a cluster */

static uint64_t wanted(Refs *r, uint64_t entry, bool is_data)
{
    uint64_t c = (entry & QCOW2_OFFSET) >> r->q->cluster_bits;
    if (entry & QCOW2_COMPRESSED)
        return entry & ~QCOW2_COPIED;
    if (is_data && r->q->data != r->q->file) /* a data file has no refcounts: each of its clusters is used once */
        return entry;
    return (entry & ~QCOW2_COPIED) | (c && refs_count(r, c) == 1 ? QCOW2_COPIED : 0);
}

/* False: all are as they should be. */
static bool fix_table(Rebuild *b, uint8_t *data)
{
    Qcow2 *q = b->refs.q;
    Table t = { .data = data };
    bool changed = false;
    for (uint64_t i = 0; i < 1ull << q->l2_bits; i++) {
        Qcow2Entry e = qcow2_entry_at(q, &t, i);
        uint64_t want = wanted(&b->refs, e.word, true);
        if (e.word == want)
            continue;
        e.word = want;
        qcow2_put_entry(q, &t, i, e);
        changed = true;
    }
    return changed;
}

/* How many of the new L1 tables name it as entry i: those in memory are written anew. */
static uint32_t rename_table(Rebuild *b, uint32_t i, uint64_t old, uint64_t new)
{
    uint32_t times = 1;
    b->next.l1[i] = new;
    for (unsigned s = 0; s < b->next.snapshots->len; s++) {
        Qcow2Snapshot *snapshot = g_ptr_array_index(b->next.snapshots, s);
        if (snapshot->l1_off || i >= snapshot->l1_size || (snapshot->l1[i] & QCOW2_OFFSET) != old)
            continue;
        snapshot->l1[i] = new;
        times++;
    }
    return times;
}

static int fix_l1_entry(Rebuild *b, uint32_t i)
{
    Qcow2 *q = b->refs.q;
    uint64_t old = b->next.l1[i] & QCOW2_OFFSET, new;
    Table t;
    if (!old || old & (q->cluster_bytes - 1) || old >> q->cluster_bits >= b->refs.limit)
        return 0;
    int status = refs_peek(&b->refs, old, &t);
    if (status)
        return status == -EIO ? 0 : status;
    g_autofree uint8_t *copy = g_memdup2(t.data, q->cluster_bytes);
    if (!fix_table(b, copy))
        return 0;
    status = rebuild_take(b, q->cluster_bytes, &new);
    if (!status)
        status = blk_pwrite(q->file, new, copy, q->cluster_bytes);
    if (status)
        return status;
    uint32_t times = rename_table(b, i, old, new);
    bool ok = refs_set(&b->refs, old >> q->cluster_bits, refs_count(&b->refs, old >> q->cluster_bits) - times);
    return ok && refs_set(&b->refs, new >> q->cluster_bits, times) ? 0 : -ENOMEM;
}

static int fix_flags(Rebuild *b)
{
    int status = 0;
    for (uint32_t i = 0; i < b->next.h.l1_size && !status; i++)
        status = fix_l1_entry(b, i);
    for (uint32_t i = 0; i < b->next.h.l1_size && !status; i++)
        b->next.l1[i] = wanted(&b->refs, b->next.l1[i], false);
    return status;
}

/* ---- the tables that are named by the header */

static int write_l1(Rebuild *b, const uint64_t *l1, uint32_t entries, uint64_t flags, uint64_t *ret_off)
{
    g_autofree uint64_t *raw = g_new(uint64_t, entries + 1);
    for (uint32_t i = 0; i < entries; i++)
        raw[i] = GUINT64_TO_BE(l1[i] & (QCOW2_OFFSET | flags));
    int status = entries ? rebuild_take(b, entries * 8ull, ret_off) : 0;
    return status || !entries ? status : blk_pwrite(b->refs.q->file, *ret_off, raw, entries * 8ull);
}

static int write_snapshots(Rebuild *b)
{
    int status = 0;
    b->snapshot_bytes = b->refs.q->snapshot_bytes;
    for (unsigned i = 0; i < b->next.snapshots->len && !status; i++) {
        Qcow2Snapshot *s = g_ptr_array_index(b->next.snapshots, i);
        if (!s->l1_off)
            status = write_l1(b, s->l1, s->l1_size, 0, &s->l1_off);
    }
    if (status || b->next.h.snapshots_off || !b->next.snapshots->len)
        return status;
    g_autoptr(GByteArray) table = qcow2_encode_snapshots(b->next.snapshots);
    b->snapshot_bytes = table->len;
    status = rebuild_take(b, table->len, &b->next.h.snapshots_off);
    return status ? status : blk_pwrite(b->refs.q->file, b->next.h.snapshots_off, table->data, table->len);
}

/* ---- refcounts */

static bool counted(Refs *r, uint64_t first, uint64_t n)
{
    for (uint64_t c = first; c < first + n; c++)
        if (refs_count(r, c))
            return true;
    return false;
}

/* Places for all blocks and their table.  Each place may need a further block. */
static int place_refcounts(Rebuild *b, uint64_t **ret, uint64_t *ret_clusters)
{
    Qcow2 *q = b->refs.q;
    uint64_t per_block = 1ull << (q->cluster_bits + 3 - b->next.h.refcount_order), size = 0, have = 0;
    uint64_t *table = NULL;
    int status = 0;
    for (bool more = true; more && !status;) {
        more = false;
        uint64_t entries = div_up(b->refs.end, per_block << q->cluster_bits);
        if (entries * 8 > have << q->cluster_bits) { /* an outgrown place is given back */
            if (have)
                for (uint64_t c = 0; c < have; c++)
                    refs_set(&b->refs, (b->next.h.reftable_off >> q->cluster_bits) + c, 0);
            have = div_up(entries * 8, q->cluster_bytes);
            status = have << q->cluster_bits > QCOW2_MAX_REFTABLE_BYTES ? -EFBIG : rebuild_take(b, have << q->cluster_bits, &b->next.h.reftable_off);
            if (status)
                break;
            table = g_renew(uint64_t, table, have << q->cluster_bits >> 3);
            memset(table + size, 0, ((have << q->cluster_bits >> 3) - size) * 8);
            size = have << q->cluster_bits >> 3;
            more = true;
        }
        for (uint64_t i = 0; i < MIN(size, div_up(b->refs.end, per_block << q->cluster_bits)) && !status; i++) {
            if (table[i] || !counted(&b->refs, i * per_block, per_block))
                continue;
            status = rebuild_take(b, q->cluster_bytes, &table[i]);
            more = true;
        }
    }
    *ret = table;
    *ret_clusters = have;
    return status;
}

static int write_block(Rebuild *b, uint64_t i, uint64_t off)
{
    Qcow2 *q = b->refs.q;
    unsigned order = b->next.h.refcount_order;
    uint64_t per_block = 1ull << (q->cluster_bits + 3 - order), first = i * per_block;
    g_autofree uint8_t *block = g_malloc0(q->cluster_bytes);
    for (uint64_t c = 0; c < per_block; c++) {
        uint64_t count = refs_count(&b->refs, first + c);
        if (order < 6 && count >> (1u << order))
            return -ERANGE;
        if (count)
            refcount_put(block, order, c, count);
    }
    return blk_pwrite(q->file, off, block, q->cluster_bytes);
}

static int write_refcounts(Rebuild *b, const uint64_t *table, uint64_t entries)
{
    int status = 0;
    g_autofree uint64_t *raw = g_new0(uint64_t, entries);
    for (uint64_t i = 0; i < entries && !status; i++) {
        raw[i] = GUINT64_TO_BE(table[i]);
        status = table[i] ? write_block(b, i, table[i]) : 0;
    }
    return status ? status : blk_pwrite(b->refs.q->file, b->next.h.reftable_off, raw, entries * 8);
}

/* ---- the switch */

static void take_over(Rebuild *b, uint64_t *reftable)
{
    Qcow2 *q = b->refs.q;
    g_mutex_lock(&q->meta);
    g_free(q->l1);
    g_free(q->reftable);
    q->l1 = g_steal_pointer(&b->next.l1);
    q->reftable = reftable;
    q->h = b->next.h;
    q->snapshot_bytes = b->snapshot_bytes;
    q->reftable_size = (uint64_t)q->h.reftable_clusters << q->cluster_bits >> 3;
    q->block_bits = q->cluster_bits + 3 - q->h.refcount_order;
    q->l1_dirty = q->reftable_dirty = (Dirty){ 0 };
    g_ptr_array_unref(q->snapshots);
    q->snapshots = g_steal_pointer(&b->next.snapshots);
    for (unsigned i = 0; i < q->snapshots->len; i++)
        g_clear_pointer(&((Qcow2Snapshot *)g_ptr_array_index(q->snapshots, i))->l1, g_free);
    g_mutex_unlock(&q->meta);
    cache_forget(q, &q->l2s);
    cache_forget(q, &q->blocks);
    q->packed = 0;
    g_array_set_size(q->freed, 0); /* the new refcounts were counted */
    q->hint = 0;
    q->end = MAX(q->end, b->refs.end >> q->cluster_bits);
}

int rebuild_end(Rebuild *b)
{
    Qcow2 *q = b->refs.q;
    g_autofree uint64_t *reftable = NULL;
    uint64_t clusters = 0;
    b->next.h.snapshots = b->next.snapshots->len;
    int status = refs_tables(&b->refs, &b->next);
    if (!status && b->refs.corruptions && !b->mistrust)
        return -EUCLEAN;
    b->refs.limit = (uint64_t)INT64_MAX >> q->cluster_bits;
    if (!status)
        status = fix_flags(b);
    if (!status)
        status = write_snapshots(b);
    if (!status)
        status = write_l1(b, b->next.l1, b->next.h.l1_size, QCOW2_COPIED, &b->next.h.l1_off);
    if (!status)
        status = place_refcounts(b, &reftable, &clusters);
    b->next.h.reftable_clusters = clusters;
    if (!status)
        status = write_refcounts(b, reftable, clusters << q->cluster_bits >> 3);
    if (!status)
        status = qcow2_change_header(q, &b->next.h);
    if (!status)
        take_over(b, g_steal_pointer(&reftable));
    return status;
}
