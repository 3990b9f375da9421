/*
 * check.c - counts all references to clusters and compares them with the refcounts.
 *
 * A count that is too high is a leak: space is lost, nothing else.  One that is too low is a corruption: the cluster
 * may be given out again while it is in use.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

typedef struct Count {
    Qcow2 *q;
    BlkCheck *found;
    uint32_t *refs; /* a cluster */
    uint64_t clusters;
} Count;

static void add(Count *c, uint64_t off, uint64_t bytes)
{
    if (!bytes)
        return;
    uint64_t first = off >> c->q->cluster_bits, last = (off + bytes - 1) >> c->q->cluster_bits;
    if (last >= c->clusters) {
        c->found->corruptions++;
        return;
    }
    for (uint64_t i = first; i <= last; i++) {
        c->refs[i] += c->refs[i] < UINT32_MAX;
        c->found->end = MAX(c->found->end, (i + 1) << c->q->cluster_bits);
    }
}

static void add_table(Count *c, uint64_t off)
{
    if (off & (c->q->cluster_bytes - 1))
        c->found->corruptions++;
    else
        add(c, off, c->q->cluster_bytes);
}

static int add_entry(Count *c, uint64_t entry)
{
    Qcow2 *q = c->q;
    uint64_t off = entry & QCOW2_OFFSET, bytes, refs;
    if (entry & QCOW2_COMPRESSED) {
        qcow2_compressed_range(q, entry, &off, &bytes);
        add(c, off, bytes);
        c->found->allocated++;
        c->found->corruptions += !!(entry & QCOW2_COPIED);
        return 0;
    }
    if (!off)
        return 0;
    add_table(c, off);
    c->found->allocated++;
    int status = qcow2_refcount(q, off >> q->cluster_bits, &refs);
    c->found->corruptions += !status && (refs == 1) != !!(entry & QCOW2_COPIED);
    return status;
}

static int add_l2(Count *c, uint64_t l1_entry)
{
    Qcow2 *q = c->q;
    uint64_t off = l1_entry & QCOW2_OFFSET;
    if (!off)
        return 0;
    add_table(c, off);
    Table *t;
    int status = cache_get(q, &q->l2s, off, &t);
    if (status == -EIO) { /* not within the file, and said so */
        c->found->corruptions++;
        return 0;
    }
    for (uint64_t i = 0; i < 1ull << q->l2_bits && !status; i++) {
        uint64_t raw;
        memcpy(&raw, t->data + i * 8, 8);
        status = add_entry(c, GUINT64_FROM_BE(raw));
    }
    return status;
}

static int count_all(Count *c)
{
    Qcow2 *q = c->q;
    int status = 0;
    add(c, 0, q->cluster_bytes);
    add(c, q->h.reftable_off, (uint64_t)q->h.reftable_clusters << q->cluster_bits);
    add(c, q->h.l1_off, q->h.l1_size * 8ull);
    for (uint64_t i = 0; i < q->reftable_size; i++)
        if (q->reftable[i])
            add_table(c, q->reftable[i]);
    for (uint32_t i = 0; i < q->h.l1_size && !status; i++)
        status = add_l2(c, q->l1[i]);
    return status;
}

static int compare(Count *c, unsigned repair)
{
    Qcow2 *q = c->q;
    BlkCheck *f = c->found;
    int status = 0;
    for (uint64_t i = 0; i < c->clusters && !status; i++) {
        uint64_t has;
        status = qcow2_refcount(q, i, &has);
        if (status || has == c->refs[i])
            continue;
        bool leak = has > c->refs[i], fix = repair & (BLK_REPAIR_ALL | (leak ? BLK_REPAIR_LEAKS : 0));
        *(leak ? &f->leaks : &f->corruptions) += 1;
        if (fix && !(status = qcow2_cover_at_end(q, i)) && !(status = qcow2_set_refcount(q, i, c->refs[i])))
            *(leak ? &f->leaks_fixed : &f->corruptions_fixed) += 1;
    }
    return status;
}

static bool check_possible(BlkNode *n, const Count *c, GError **err)
{
    if (c->q->h.snapshots)
        return error_set(err, ERR_UNSUPPORTED, "cannot check '%s': it holds internal snapshots, which are not supported", n->filename);
    return c->refs || error_set(err, ERR_NO_SPACE, "no memory to check '%s'", n->filename);
}

bool qcow2_check(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err)
{
    Qcow2 *q = n->state;
    *ret = (BlkCheck){ .total = div_up(n->size, q->cluster_bytes) };
    Count c = { .q = q, .found = ret, .clusters = MAX(q->end, div_up(q->file->size, q->cluster_bytes)) + 1 };
    g_autofree uint32_t *refs = c.refs = g_try_new0(uint32_t, c.clusters);
    if (!check_possible(n, &c, err))
        return false;
    int status = n->read_only ? 0 : qcow2_sync(q);
    if (!status)
        status = count_all(&c);
    if (!status)
        status = compare(&c, repair);
    if (!status && repair)
        status = qcow2_sync(q);
    return !status || error_set_errno(err, -status, "cannot check qcow2 image '%s'", n->filename);
}
