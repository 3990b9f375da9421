/*
 * fault_image_test.c - what changes an image as a whole (snapshots, sizes, bitmaps, options) over a disk that fails at its
 * n-th write or flush, for every n: the image is as before or as after, sound, and the change can be made once the disk
 * is well.
 */
#include <errno.h>
#include <string.h>

#include "block/filter/debug.h"
#include "block/testing.h"

enum { DISK = 256 << 10, SECTOR = 512 };

typedef struct Change {
    const char *name, *options; /* options: of the image */
    bool (*run)(BlkNode *n, GError **err);
} Change;

static bool create_snapshot(BlkNode *n, GError **err)
{
    return blk_snapshot_create(n, &(BlkSnapshot){ .name = (char *)"new", .date_s = 1, .icount = UINT64_MAX }, err);
}
static bool apply_snapshot(BlkNode *n, GError **err) { return blk_snapshot_apply(n, "old", err); }
static bool delete_snapshot(BlkNode *n, GError **err) { return blk_snapshot_delete(n, "old", err); }
static bool grow(BlkNode *n, GError **err) { return blk_resize(n, 2 * DISK, 0, err); }
static bool preallocate(BlkNode *n, GError **err) { return blk_resize(n, 2 * DISK, BLK_ALLOCATE_METADATA, err); }
static bool shrink(BlkNode *n, GError **err) { return blk_resize(n, DISK / 2, BLK_SHRINK, err); }
static bool amend_old(BlkNode *n, GError **err) { return blk_amend(n, "compat=0.10", err); }
static bool amend_counts(BlkNode *n, GError **err) { return blk_amend(n, "refcount_bits=64", err); }
static bool amend_lazy(BlkNode *n, GError **err) { return blk_amend(n, "lazy_refcounts=on", err); }
static bool name_backing(BlkNode *n, GError **err) { return blk_set_backing(n, "below", "raw", err); }
static bool make_empty(BlkNode *n, GError **err) { return blk_make_empty(n, err); }
static bool add_bitmap(BlkNode *n, GError **err)
{
    return (blk_bitmap_find(n, "new") || blk_bitmap_add(n, "new", 512, true, err)) && node_store_bitmaps(n, err);
}
static bool remove_bitmap(BlkNode *n, GError **err)
{
    BlkBitmap *b = blk_bitmap_find(n, "old");
    return (!b || blk_bitmap_remove(n, b, err)) && node_store_bitmaps(n, err);
}

static const Change changes[] = {
    { "snapshot-create", "cluster_size=4k", create_snapshot },
    { "snapshot-create", "cluster_size=512", create_snapshot },
    { "snapshot-apply", "cluster_size=4k", apply_snapshot },
    { "snapshot-delete", "cluster_size=4k", delete_snapshot },
    { "snapshot-delete", "cluster_size=16k,extended_l2=on", delete_snapshot },
    { "grow", "cluster_size=512", grow },
    { "preallocate", "cluster_size=4k", preallocate },
    { "shrink", "cluster_size=512", shrink },
    { "amend-compat", "cluster_size=4k", amend_old },
    { "amend-refcounts", "cluster_size=4k", amend_counts },
    { "amend-lazy", "cluster_size=4k", amend_lazy },
    { "backing-name", "cluster_size=4k", name_backing },
    { "make-empty", "cluster_size=4k", make_empty },
    { "bitmap-add", "cluster_size=512", add_bitmap },
    { "bitmap-remove", "cluster_size=512", remove_bitmap },
};

static bool is(const Change *c, const char *name) { return g_str_has_prefix(c->name, name); }

static void put(BlkNode *n, uint64_t off, uint8_t byte)
{
    uint8_t data[5000];
    memset(data, byte, sizeof(data));
    g_assert_cmpint(blk_pwrite(n, off, data, sizeof(data)), ==, 0);
}

/* What changes cannot do with: snapshots keep a disk from shrinking, and bitmaps from becoming version 2. */
static GByteArray *start_of(const Change *c)
{
    g_autofree char *options = g_strdup_printf("size=%d,%s", DISK, c->options);
    BlkNode *disk = memory_disk(new_image(options)), *n = stack(&qcow2_driver, disk);
    g_autoptr(GError) err = NULL;
    put(n, 0, 1);
    put(n, 100000, 2);
    if (!is(c, "shrink") && !is(c, "make-empty") && !is(c, "amend-compat"))
        g_assert_true(blk_snapshot_create(n, &(BlkSnapshot){ .name = (char *)"old", .date_s = 1, .icount = UINT64_MAX }, &err));
    if (is(c, "bitmap"))
        g_assert_nonnull(blk_bitmap_add(n, "old", 512, true, &err));
    put(n, 3000, 3);
    put(n, 200000, 4);
    g_assert_true(node_store_bitmaps(n, &err));
    g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
    n->finished = true;
    GByteArray *bytes = memory_bytes(disk);
    blk_close(n);
    return bytes;
}

static void add_facts(BlkNode *n, GString *s)
{
    g_autoptr(GArray) facts = blk_info_specific(n), snapshots = blk_snapshot_list(n, NULL);
    for (unsigned i = 0; i < facts->len; i++) {
        const BlkFact *f = &g_array_index(facts, BlkFact, i);
        if (!g_str_equal(f->key, "corrupt"))
            g_string_append_printf(s, " %s=%s%" G_GUINT64_FORMAT, f->key, f->text ? f->text : "", f->number);
    }
    for (unsigned i = 0; i < snapshots->len; i++)
        g_string_append_printf(s, " %s", g_array_index(snapshots, BlkSnapshot, i).name);
}

/* What an image is: its data and what it says of itself. */
static char *print_of(const GByteArray *bytes)
{
    BlkNode *n = stack(&qcow2_driver, memory_disk(copy_of(bytes)));
    g_autofree uint8_t *data = g_malloc(n->size);
    BlkCheck found;
    GString *s = g_string_new(NULL);
    g_assert_cmpint(blk_pread(n, 0, data, n->size), ==, 0);
    g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA1, data, n->size);
    g_string_append_printf(s, "%" G_GUINT64_FORMAT " %s %s", n->size, n->backing_name, sum);
    add_facts(n, s);
    g_assert_true(blk_check(n, 0, &found, NULL));
    g_assert_cmpuint(found.corruptions, ==, 0);
    n->finished = true;
    blk_close(n);
    return g_string_free(s, FALSE);
}

/* *ret_ok: what the change said. */
static GByteArray *change(const Change *c, const GByteArray *start, const DebugRule *rule, bool again, bool *ret_ok, bool *ret_hit)
{
    BlkNode *disk = memory_disk(copy_of(start)), *bad = stack(&debug_driver, disk), *n = stack(&qcow2_driver, bad);
    g_autoptr(GError) err = NULL, err2 = NULL;
    debug_set_rule(bad, rule);
    bool ok = c->run(n, &err);
    g_assert_true(ok == !err);
    if (!rule)
        g_assert_no_error(err);
    if (ok && !rule)
        g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
    *ret_hit = rule && debug_seen(bad, rule->ops >> BLK_FLUSH & 1 ? BLK_FLUSH : BLK_WRITE) > rule->after;
    debug_set_rule(bad, NULL);
    if (!ok && again)
        g_assert_true(c->run(n, &err2));
    g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
    *ret_ok = ok || again;
    g_assert_true(node_store_bitmaps(n, NULL)); /* as closing it would */
    n->finished = true;
    GByteArray *bytes = memory_bytes(disk);
    blk_close(n);
    return bytes;
}

/* Whether the failure was reached. */
static bool fail_at(const Change *c, const GByteArray *start, const char *before, const char *after, BlkOp op, uint64_t at, bool again, unsigned *failed)
{
    bool ok, hit;
    DebugRule rule = { .ops = 1u << op, .sector = UINT64_MAX, .after = at, .count = 1, .error = op == BLK_WRITE ? ENOSPC : EIO };
    g_autoptr(GByteArray) bytes = change(c, start, &rule, again, &ok, &hit);
    g_autofree char *print = print_of(bytes);
    *failed += !ok;
    if (!g_str_equal(print, after) && (ok || !g_str_equal(print, before)))
        g_error("%s, %s fails at %u: %s\nbefore: %s\nafter: %s\nis: %s", c->name, op == BLK_WRITE ? "write" : "flush", (unsigned)at, ok ? "said to be done" : "error", before, after, print);
    return hit;
}

static void test_change(const void *arg)
{
    const Change *c = arg;
    g_autoptr(GByteArray) start = start_of(c);
    bool ok, hit;
    g_autoptr(GByteArray) end = change(c, start, NULL, false, &ok, &hit);
    g_autofree char *before = print_of(start), *after = print_of(end);
    unsigned failed = 0, places = 0;
    g_assert_true(ok);
    g_assert_cmpstr(before, !=, after);
    for (unsigned op = 0; op < 2; op++)
        for (uint64_t at = 0; fail_at(c, start, before, after, op ? BLK_FLUSH : BLK_WRITE, at, false, &failed); at++, places++)
            fail_at(c, start, before, after, op ? BLK_FLUSH : BLK_WRITE, at, true, &failed);
    g_test_message("%u places to fail, %u changes that did", places, failed);
    g_assert_cmpuint(failed, >, 0);
}

/* What could not be written is not said to be. */
static void test_finish(void)
{
    g_autoptr(GByteArray) start = new_image("size=1M,cluster_size=4k");
    for (unsigned op = 0; op < 2; op++) {
        BlkNode *bad = stack(&debug_driver, memory_disk(copy_of(start))), *root = node_root(stack(&qcow2_driver, bad));
        g_autoptr(GError) err = NULL;
        g_assert_true(blk_write(root, 0, "data", 4, NULL));
        debug_set_rule(bad, &(DebugRule){ .ops = 1u << (op ? BLK_FLUSH : BLK_WRITE), .sector = UINT64_MAX, .after = debug_seen(bad, op ? BLK_FLUSH : BLK_WRITE), .count = 100, .error = EIO });
        g_assert_false(blk_finish(root, &err));
        g_assert_nonnull(err);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_autofree char *path = g_strdup_printf("/fault-image/%s/%s", changes[i].name, changes[i].options);
        g_test_add_data_func(path, &changes[i], test_change);
    }
    g_test_add_func("/fault-image/finish", test_finish);
    return g_test_run();
}
