/*
 * powercut_test.c - qcow2 over a disk that records: what is in the file if the power goes at any moment?
 *
 * Every prefix of the recorded writes, and random choices of the writes since the last flush, must open, be sound but
 * for leaks, and hold what the guest had flushed.
 */
#include <stdlib.h>
#include <string.h>

#include "block/filter/writelog.h"
#include "block/testing.h"
#include "block/format/qcow2/qcow2.h"

enum { DISK = 1 << 20, SECTOR = 512, STEPS = 60, REORDERINGS = 3 };

/* Each sector's history: its byte after each step, and up to which step it is flushed. */
typedef struct History {
    uint8_t after[STEPS + 1][DISK / SECTOR];
    unsigned flushed[STEPS + 1];   /* at the end of step i, all up to step flushed[i] is safe */
    uint64_t snapshots[STEPS + 1]; /* bit i: the one that step i made is there */
    unsigned base[STEPS + 1];      /* the step that named the backing file; 0: none */
} History;

typedef enum Kind { WRITE, ZERO, COMPRESS, FLUSH, SNAPSHOT, APPLY, DELETE, RESIZE, BITMAP, REBASE } Kind;

static void change_data(BlkNode *n, History *h, unsigned s, Kind kind)
{
    uint64_t first = g_test_rand_int_range(0, DISK / SECTOR), count = g_test_rand_int_range(1, MIN(40, DISK / SECTOR - (int)first) + 1);
    if (kind == COMPRESS) {
        uint64_t cluster = ((Qcow2 *)n->state)->cluster_bytes / SECTOR;
        first = first / cluster * cluster;
        count = g_test_rand_int_range(1, MIN(4, (DISK / SECTOR - first) / cluster) + 1) * cluster;
    }
    g_autofree uint8_t *data = g_malloc(count * SECTOR);
    memset(data, s, count * SECTOR);
    memset(h->after[s] + first, kind == ZERO ? 0 : s, count);
    g_assert_cmpint(blk_perform(n, kind == ZERO ? BLK_ZERO : BLK_WRITE, kind == COMPRESS ? BLK_COMPRESS : BLK_MAY_UNMAP, first * SECTOR, count * SECTOR,
                                &(struct iovec){ data, count * SECTOR }, 1), ==, 0);
}

static unsigned some_snapshot(uint64_t snapshots)
{
    for (unsigned i = g_test_rand_int_range(0, 64);; i = (i + 1) % 64)
        if (snapshots >> i & 1)
            return i;
}

/* These are safe once they return. */
static void change_snapshots(BlkNode *n, History *h, unsigned s, Kind kind)
{
    g_autoptr(GError) err = NULL;
    unsigned which = kind == SNAPSHOT ? s : some_snapshot(h->snapshots[s]);
    g_autofree char *id = g_strdup_printf("%u", which);
    if (kind == SNAPSHOT)
        qcow2_snapshot_create(n, &(BlkSnapshot){ .id = id, .name = (char *)"cut" }, &err);
    else if (kind == APPLY)
        qcow2_snapshot_apply(n, id, &err);
    else
        qcow2_snapshot_delete(n, id, &err);
    g_assert_no_error(err);
    if (kind == APPLY)
        memcpy(h->after[s], h->after[which], sizeof(h->after[s]));
    else
        h->snapshots[s] ^= 1ull << which;
    h->flushed[s] = s;
}

/* The disk becomes larger and smaller again, bitmaps come, change and go: what the guest has stays. */
static void change_shape(BlkNode *n, unsigned s, Kind kind)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *name = g_strdup_printf("b%u", s);
    BlkBitmap *old = blk_bitmap_next(n, NULL);
    bool version_2 = ((Qcow2 *)n->state)->h.version == 2;
    if (kind == RESIZE && !version_2)
        qcow2_resize(n, n->size == DISK ? 3 * DISK : DISK, BLK_SHRINK, &err);
    if (kind == BITMAP && !version_2) {
        if (old && s % 2)
            blk_bitmap_remove(n, old, &err);
        blk_bitmap_add(n, name, 4096, true, &err);
        g_assert_no_error(err);
        qcow2_store_bitmaps(n, &err);
    }
    g_assert_no_error(err);
}

static char *base_name(unsigned step) { return step ? g_strdup_printf("base-%u%s", step, step % 2 ? "" : "-which-has-a-long-name") : NULL; }

/* The header names another backing file; it is safe once this returns. */
static void change_base(BlkNode *n, History *h, unsigned s)
{
    g_autoptr(GError) err = NULL;
    h->base[s] = s;
    g_autofree char *name = base_name(h->base[s]);
    blk_set_backing(n, name, "raw", &err);
    g_assert_no_error(err);
    blk_flush(n, &err);
    g_assert_no_error(err);
    h->flushed[s] = s;
}

/* Returns what was written below the image. */
static GArray *work(const GByteArray *start, History *h, bool snapshots)
{
    static const Kind kinds[] = { WRITE, ZERO, WRITE, FLUSH, WRITE, WRITE, ZERO, SNAPSHOT, WRITE, WRITE, SNAPSHOT, COMPRESS, COMPRESS,
                                  WRITE, APPLY, WRITE, COMPRESS, FLUSH, DELETE, WRITE, RESIZE, WRITE, BITMAP, RESIZE, REBASE };
    BlkNode *log = stack(&writelog_driver, memory_disk(copy_of(start))), *n = stack(&qcow2_driver, log);
    for (unsigned s = 1; s <= STEPS; s++) {
        writelog_tag(log, s);
        memcpy(h->after[s], h->after[s - 1], sizeof(h->after[s]));
        h->flushed[s] = h->flushed[s - 1];
        h->snapshots[s] = h->snapshots[s - 1];
        h->base[s] = h->base[s - 1];
        Kind kind = kinds[s % G_N_ELEMENTS(kinds)];
        if (kind == REBASE)
            change_base(n, h, s);
        else if (kind >= RESIZE)
            change_shape(n, s, kind);
        if (kind >= SNAPSHOT && kind < RESIZE && snapshots)
            change_snapshots(n, h, s, kind);
        else if (kind < FLUSH)
            change_data(n, h, s, kind);
        else {
            g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
            h->flushed[s] = s;
        }
    }
    writelog_tag(log, STEPS + 1);
    g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
    GArray *events = writelog_take(log);
    blk_close(n);
    return events;
}

/* During step s all that was safe after step s - 1 must be there, or what came later. */
static void check_content(BlkNode *n, const History *h, unsigned step)
{
    g_autofree uint8_t *data = g_malloc(DISK);
    unsigned last = MIN(step, STEPS), safe = step ? h->flushed[step - 1] : 0;
    g_assert_cmpint(blk_pread(n, 0, data, DISK), ==, 0);
    for (unsigned i = 0; i < DISK / SECTOR; i++) {
        bool found = false;
        for (unsigned s = safe; s <= last && !found; s++)
            found = data[i * SECTOR] == h->after[s][i];
        if (!found)
            g_error("sector %u has %u in step %u (flushed: step %u, %u)", i, data[i * SECTOR], step, safe, h->after[safe][i]);
    }
}

static uint64_t snapshots_of(BlkNode *n)
{
    const Qcow2 *q = n->state;
    uint64_t there = 0;
    for (unsigned i = 0; i < q->snapshots->len; i++)
        there |= 1ull << atoi(((Qcow2Snapshot *)g_ptr_array_index(q->snapshots, i))->id);
    return there;
}

/* Those that were there before this step or are after it; and one of them still holds what it held. */
static void check_snapshots(BlkNode *n, const History *h, unsigned step)
{
    uint64_t there = snapshots_of(n), before = step ? h->snapshots[step - 1] : 0, after = h->snapshots[MIN(step, STEPS)];
    g_autofree uint8_t *data = g_malloc(DISK);
    g_assert_true(there == before || there == after);
    if (!there)
        return;
    unsigned which = some_snapshot(there);
    g_autofree char *id = g_strdup_printf("%u", which);
    g_assert_true(qcow2_snapshot_apply(n, id, NULL));
    g_assert_cmpint(blk_pread(n, 0, data, DISK), ==, 0);
    for (unsigned i = 0; i < DISK / SECTOR; i++)
        g_assert_cmpuint(data[i * SECTOR], ==, h->after[which][i]);
}

static void check_base(const BlkNode *n, const History *h, unsigned step)
{
    g_autofree char *before = base_name(step ? h->base[step - 1] : 0), *after = base_name(h->base[MIN(step, STEPS)]);
    if (g_strcmp0(n->backing_name, before))
        g_assert_cmpstr(n->backing_name, ==, after);
}

static void check_state(GByteArray *bytes, unsigned step, void *history)
{
    BlkCheck found;
    BlkNode *n = stack(&qcow2_driver, memory_disk(copy_of(bytes)));
    g_assert_true(qcow2_driver.check(n, 0, &found, NULL));
    g_assert_cmpuint(found.corruptions, ==, 0);
    check_content(n, history, step);
    check_snapshots(n, history, step);
    check_base(n, history, step);
    blk_close(n);
}

static void test_cut(const void *options)
{
    g_autofree History *h = g_new0(History, 1);
    g_autoptr(GByteArray) start = new_image(options);
    g_autoptr(GArray) events = work(start, h, !strstr(options, "refcount_bits=1,"));
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    unsigned states = writelog_replay(events, start, REORDERINGS, rand, check_state, h);
    g_rand_free(rand);
    g_assert_cmpuint(states, >, STEPS);
    g_test_message("%u states of %u writes and flushes", states, events->len);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/powercut/4k", "size=1M,cluster_size=4k", test_cut);
    g_test_add_data_func("/powercut/512", "size=1M,cluster_size=512,refcount_bits=64", test_cut);
    g_test_add_data_func("/powercut/64k-v2", "size=1M,compat=0.10", test_cut);
    g_test_add_data_func("/powercut/subclusters", "size=1M,cluster_size=16k,extended_l2=on,compression_type=zstd", test_cut);
    return g_test_run();
}
