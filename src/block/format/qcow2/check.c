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

/* Whether an entry says rightly that nobody else uses its cluster.  Saying so wrongly loses data; the other way a write
 * is only slower, yet QEMU counts both. */
static void check_flag(Refs *r, const char *what, uint64_t i, uint64_t entry)
{
    uint64_t c = (entry & QCOW2_OFFSET) >> r->q->cluster_bits;
    if (entry & QCOW2_COMPRESSED || !c || c >= r->limit)
        return;
    uint64_t refs = refs_stored(r, c);
    if ((refs == 1) == !!(entry & QCOW2_COPIED))
        return;
    refs_wrong(r, "%s %" G_GUINT64_FORMAT " says that its cluster at 0x%" G_GINT64_MODIFIER "x is used %s, but its refcount is %"
               G_GUINT64_FORMAT, what, i, c << r->q->cluster_bits, entry & QCOW2_COPIED ? "once" : "more than once", refs);
}

static int check_table(Refs *r, uint64_t off, uint64_t *next, BlkCheck *found)
{
    Qcow2 *q = r->q;
    Table t;
    int status = refs_peek(r, off, &t);
    for (uint64_t i = 0; i < 1ull << q->l2_bits && !status; i++) {
        uint64_t word = qcow2_entry_at(q, &t, i).word, host = word & QCOW2_OFFSET;
        bool packed = word & QCOW2_COMPRESSED, there = packed || qcow2_has_host(q, word);
        found->allocated += there;
        found->compressed += packed;
        found->fragmented += packed || (there && *next && host != *next);
        *next = packed ? 0 : there ? host + q->cluster_bytes : *next;
        if (q->data == q->file)
            check_flag(r, "L2 entry", i, word);
    }
    return status;
}

static int check_flags(Refs *r, BlkCheck *found)
{
    Qcow2 *q = r->q;
    uint64_t next = 0;
    int status = 0;
    for (uint32_t i = 0; i < q->h.l1_size && !status; i++) {
        uint64_t off = q->l1[i] & QCOW2_OFFSET;
        check_flag(r, "L1 entry", i, q->l1[i]);
        if (off && g_hash_table_contains(r->tables, &off))
            status = check_table(r, off, &next, found);
    }
    return status;
}

static void compare_one(Refs *r, uint64_t c, BlkCheck *found)
{
    uint64_t has = refs_stored(r, c), should = refs_count(r, c);
    if (has > should) {
        refs_say(r, "cluster 0x%" G_GINT64_MODIFIER "x is used %" G_GUINT64_FORMAT " times, but its refcount is %" G_GUINT64_FORMAT
                 ": space is lost, no data", c << r->q->cluster_bits, should, has);
        found->leaks++;
    } else if (has < should) {
        refs_wrong(r, "cluster 0x%" G_GINT64_MODIFIER "x is used %" G_GUINT64_FORMAT " times, but its refcount is %" G_GUINT64_FORMAT
                   ": it could be given out again", c << r->q->cluster_bits, should, has);
    }
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Chunks in which something is counted, by us or by the image: a file may be long and have little in it. */
static GArray *chunks_to_compare(Refs *r)
{
    Qcow2 *q = r->q;
    GHashTableIter iter;
    void *key;
    GArray *chunks = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_hash_table_iter_init(&iter, r->chunks);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_array_append_val(chunks, *(uint64_t *)&key);
    for (uint64_t i = 0; i < q->reftable_size && i << q->block_bits < r->limit; i++)
        for (uint64_t c = i << q->block_bits; q->reftable[i] && c < MIN((i + 1) << q->block_bits, r->limit); c += 1 << REFS_CHUNK_BITS) {
            uint64_t chunk = c >> REFS_CHUNK_BITS;
            if (refs_stored(r, c), r->block)
                g_array_append_val(chunks, chunk);
        }
    g_array_sort(chunks, by_number);
    return chunks;
}

static void compare(Refs *r, BlkCheck *found)
{
    g_autoptr(GArray) chunks = chunks_to_compare(r);
    for (unsigned i = 0; i < chunks->len; i++) {
        uint64_t chunk = g_array_index(chunks, uint64_t, i), first = chunk << REFS_CHUNK_BITS, end = MIN(first + (1 << REFS_CHUNK_BITS), r->limit);
        if (i && chunk == g_array_index(chunks, uint64_t, i - 1))
            continue;
        for (uint64_t c = first; c < end; c++)
            compare_one(r, c, found);
    }
}

static int find_wrongs(Qcow2 *q, BlkCheck *found, GPtrArray *words)
{
    Refs r;
    Qcow2Next now = { q->h, q->l1, q->snapshots };
    refs_init(&r, q, words);
    int status = refs_tables(&r, &now);
    if (!status)
        status = refs_refcounts(&r);
    if (!status)
        compare(&r, found);
    if (!status)
        status = check_flags(&r, found);
    found->corruptions = r.corruptions;
    found->end = r.end;
    refs_clear(&r);
    return status;
}

/* Counts anew, into a place of its own: what names clusters outside of the file stays as it is. */
static int repair_all(Qcow2 *q)
{
    Rebuild b;
    int status = rebuild_begin(&b, q);
    b.mistrust = true;
    b.next.h.incompatible &= ~(uint64_t)QCOW2_DIRTY;
    if (!status)
        status = rebuild_end(&b);
    rebuild_clear(&b);
    return status;
}

static int repair(Qcow2 *q, BlkCheck *found)
{
    BlkCheck left = { 0 };
    int status = repair_all(q);
    if (!status)
        status = find_wrongs(q, &left, NULL);
    if (!status && !left.corruptions && q->h.incompatible & QCOW2_CORRUPT) {
        q->h.incompatible &= ~(uint64_t)QCOW2_CORRUPT;
        status = qcow2_write_header(q);
    }
    found->leaks_fixed = found->leaks - left.leaks;
    found->corruptions_fixed = found->corruptions - MIN(left.corruptions, found->corruptions);
    return status;
}

bool qcow2_check(BlkNode *n, unsigned fix, BlkCheck *ret, GError **err)
{
    Qcow2 *q = n->state;
    *ret = (BlkCheck){ .total = div_up(n->size, q->cluster_bytes) };
    g_mutex_lock(&q->lock);
    int status = n->read_only ? 0 : qcow2_sync(q);
    if (!status)
        status = find_wrongs(q, ret, n->words);
    bool marked = q->h.incompatible & (QCOW2_DIRTY | QCOW2_CORRUPT);
    if (!status && ((fix & BLK_REPAIR_ALL && (ret->corruptions || marked)) || (fix && ret->leaks && !ret->corruptions)))
        status = repair(q, ret);
    g_mutex_unlock(&q->lock);
    return !status || error_set_errno(err, -status, "cannot check qcow2 image '%s'", n->filename);
}
