/*
 * refs.c - counts who uses which cluster, from the tables themselves.
 *
 * An L2 table that several snapshots share is read once: first the L1 entries are counted, then each table adds its
 * clusters as often as it is named.
 */
#include <errno.h>
#include <string.h>

#include "block/format/qcow2/qcow2.h"

enum { MAX_WORDS = 100, CHUNK = 1 << REFS_CHUNK_BITS, MANY = UINT8_MAX };
#define NOWHERE UINT64_MAX

void refs_init(Refs *r, Qcow2 *q, GPtrArray *words)
{
    *r = (Refs){ .q = q, .words = words, .at = NOWHERE, .block_at = NOWHERE };
    r->limit = MAX(q->end, div_up(q->file->size, q->cluster_bytes)) + 1;
    r->chunks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    r->many = g_hash_table_new(NULL, NULL);
    r->tables = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    r->buffer = g_malloc(q->cluster_bytes);
    r->block_buffer = g_malloc(q->cluster_bytes);
}

void refs_clear(Refs *r)
{
    g_clear_pointer(&r->chunks, g_hash_table_unref);
    g_clear_pointer(&r->many, g_hash_table_unref);
    g_clear_pointer(&r->tables, g_hash_table_unref);
    g_free(r->buffer);
    g_free(r->block_buffer);
}

/* ---- counts */

static uint8_t *chunk_of(Refs *r, uint64_t cluster)
{
    uint64_t at = cluster >> REFS_CHUNK_BITS;
    if (at != r->at)
        r->chunk = g_hash_table_lookup(r->chunks, (void *)at);
    r->at = at;
    return r->chunk;
}

uint32_t refs_count(Refs *r, uint64_t cluster)
{
    const uint8_t *chunk = chunk_of(r, cluster);
    uint32_t count = chunk ? chunk[cluster % CHUNK] : 0;
    return count < MANY ? count : (uintptr_t)g_hash_table_lookup(r->many, (void *)cluster);
}

bool refs_set(Refs *r, uint64_t cluster, uint32_t count)
{
    uint8_t *chunk = chunk_of(r, cluster);
    if (!chunk && !(chunk = r->chunk = g_try_malloc0(CHUNK)))
        return false;
    if (!g_hash_table_contains(r->chunks, (void *)r->at))
        g_hash_table_insert(r->chunks, (void *)r->at, chunk);
    chunk[cluster % CHUNK] = MIN(count, (uint32_t)MANY);
    if (count >= MANY)
        g_hash_table_insert(r->many, (void *)cluster, (void *)(uintptr_t)count);
    return true;
}

static bool count_one(Refs *r, uint64_t cluster, uint32_t times)
{
    uint8_t *chunk = chunk_of(r, cluster);
    if (chunk && times < MANY && chunk[cluster % CHUNK] + times < MANY) {
        chunk[cluster % CHUNK] += times;
        return true;
    }
    uint32_t count = refs_count(r, cluster);
    return refs_set(r, cluster, count > UINT32_MAX - times ? UINT32_MAX : count + times);
}

/* A block that something else uses too is none. */
uint64_t refs_stored(Refs *r, uint64_t cluster)
{
    Qcow2 *q = r->q;
    uint64_t i = cluster >> q->block_bits, off = i < q->reftable_size ? q->reftable[i] : 0;
    uint8_t *block;
    if (i != r->block_at)
        r->block = off && refs_count(r, off >> q->cluster_bits) == 1 && !cache_peek(q, &q->blocks, off, r->block_buffer, &block) ? block : NULL;
    r->block_at = i;
    return r->block ? refcount_get(r->block, q->h.refcount_order, cluster & ((1ull << q->block_bits) - 1)) : 0;
}

int refs_peek(Refs *r, uint64_t off, Table *ret)
{
    *ret = (Table){ .off = off };
    return cache_peek(r->q, &r->q->l2s, off, r->buffer, &ret->data);
}

/* ---- words */

void refs_say(Refs *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (r->words && r->words->len < MAX_WORDS)
        g_ptr_array_add(r->words, g_strdup_vprintf(format, args));
    va_end(args);
}

void refs_wrong(Refs *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    r->corruptions++;
    if (r->words && r->words->len < MAX_WORDS)
        g_ptr_array_add(r->words, g_strdup_vprintf(format, args));
    va_end(args);
}

/* ---- references */

bool refs_add(Refs *r, uint64_t off, uint64_t bytes, uint32_t times)
{
    if (!bytes)
        return true;
    uint64_t first = off >> r->q->cluster_bits, last = (off + bytes - 1) >> r->q->cluster_bits;
    bool ok = last >= first && last < r->limit;
    for (uint64_t i = first; i <= last && ok; i++)
        ok = count_one(r, i, times);
    if (ok)
        r->end = MAX(r->end, (last + 1) << r->q->cluster_bits);
    return ok;
}

static void add_named(Refs *r, const char *what, uint64_t off, uint64_t bytes, uint32_t times)
{
    if (off & (r->q->cluster_bytes - 1))
        refs_wrong(r, "%s at 0x%" G_GINT64_MODIFIER "x does not begin at a cluster", what, off);
    else if (!refs_add(r, off, bytes, times))
        refs_wrong(r, "%s at 0x%" G_GINT64_MODIFIER "x is not within the file", what, off);
}

static void wrong_entry(Refs *r, uint64_t table, uint64_t i, const char *why)
{
    refs_wrong(r, "entry %" G_GUINT64_FORMAT " of the L2 table at 0x%" G_GINT64_MODIFIER "x %s", i, table, why);
}

static void add_compressed(Refs *r, uint64_t table, uint64_t i, uint64_t word, uint32_t times)
{
    uint64_t off, bytes;
    qcow2_compressed_range(r->q, word, &off, &bytes);
    if (r->q->data != r->q->file)
        wrong_entry(r, table, i, "is compressed, which it cannot be with an external data file");
    else if (!refs_add(r, off, bytes, times))
        wrong_entry(r, table, i, "leads to compressed data outside of the file");
    if (word & QCOW2_COPIED)
        wrong_entry(r, table, i, "is compressed and says that it may be overwritten");
}

static void add_entry(Refs *r, uint64_t table, uint64_t i, Qcow2Entry e, uint32_t times)
{
    uint64_t off = e.word & QCOW2_OFFSET;
    if (e.word & QCOW2_COMPRESSED) {
        add_compressed(r, table, i, e.word, times);
        return;
    }
    if (off & (r->q->cluster_bytes - 1))
        wrong_entry(r, table, i, "leads to where no cluster begins");
    else if (off && r->q->data == r->q->file && !refs_add(r, off, r->q->cluster_bytes, times))
        wrong_entry(r, table, i, "leads to outside of the file");
    if (e.bits >> 32 & e.bits & UINT32_MAX)
        wrong_entry(r, table, i, "says that a subcluster is data and zeros at once");
    else if (e.bits & UINT32_MAX && !qcow2_has_host(r->q, e.word))
        wrong_entry(r, table, i, "says that subclusters are data, but not where");
}

static int add_l2(Refs *r, uint64_t off, uint32_t times)
{
    Qcow2 *q = r->q;
    Table t;
    int status = refs_peek(r, off, &t);
    for (uint64_t i = 0; i < 1ull << q->l2_bits && !status; i++) {
        Qcow2Entry e = qcow2_entry_at(q, &t, i);
        if (e.word || e.bits)
            add_entry(r, off, i, e, times);
    }
    return status;
}

static void count_l1(Refs *r, const uint64_t *l1, uint32_t entries)
{
    for (uint32_t i = 0; i < entries; i++) {
        uint64_t off = l1[i] & QCOW2_OFFSET, before = r->corruptions;
        if (off)
            add_named(r, "an L2 table", off, r->q->cluster_bytes, 1);
        if (!off || r->corruptions != before)
            continue;
        uintptr_t times = (uintptr_t)g_hash_table_lookup(r->tables, &off);
        g_hash_table_insert(r->tables, g_memdup2(&off, sizeof(off)), (void *)(times + 1));
    }
}

static int add_l2_tables(Refs *r)
{
    GHashTableIter iter;
    void *key, *value;
    int status = 0;
    g_hash_table_iter_init(&iter, r->tables);
    while (!status && g_hash_table_iter_next(&iter, &key, &value))
        status = add_l2(r, *(uint64_t *)key, (uintptr_t)value);
    return status;
}

static int add_snapshots(Refs *r, const Qcow2Next *next)
{
    g_autoptr(GByteArray) table = qcow2_encode_snapshots(next->snapshots);
    int status = 0;
    if (next->h.snapshots_off)
        add_named(r, "the snapshot table", next->h.snapshots_off, table->len, 1);
    for (unsigned i = 0; i < next->snapshots->len && !status; i++) {
        Qcow2Snapshot *s = g_ptr_array_index(next->snapshots, i);
        uint64_t bytes = s->l1_size * 8ull, c = s->l1_off >> r->q->cluster_bits;
        if (bytes && s->l1_off && refs_count(r, c)) { /* nor is it read twice, however many name it */
            refs_wrong(r, "the L1 table of snapshot '%s' at 0x%" G_GINT64_MODIFIER "x is another table too", s->id, s->l1_off);
            continue;
        }
        if (s->l1_off)
            add_named(r, "the L1 table of a snapshot", s->l1_off, bytes, 1);
        bool had = s->l1 != NULL;
        status = qcow2_snapshot_l1(r->q, s);
        if (!status)
            count_l1(r, s->l1, s->l1_size);
        if (!had)
            g_clear_pointer(&s->l1, g_free);
    }
    return status;
}

int refs_tables(Refs *r, const Qcow2Next *next)
{
    refs_add(r, 0, r->q->cluster_bytes, 1);
    if (next->h.l1_off)
        add_named(r, "the L1 table", next->h.l1_off, next->h.l1_size * 8ull, 1);
    count_l1(r, next->l1, next->h.l1_size);
    if (r->q->luks_bytes)
        add_named(r, "the encryption header", r->q->luks_off, r->q->luks_bytes, 1);
    int status = refs_bitmaps(r);
    if (!status)
        status = add_snapshots(r, next);
    return status ? status : add_l2_tables(r);
}

int refs_refcounts(Refs *r)
{
    Qcow2 *q = r->q;
    add_named(r, "the refcount table", q->h.reftable_off, (uint64_t)q->h.reftable_clusters << q->cluster_bits, 1);
    for (uint64_t i = 0; i < q->reftable_size; i++)
        if (q->reftable[i])
            add_named(r, "a refcount block", q->reftable[i], q->cluster_bytes, 1);
    return 0;
}
