/* image_ops.c - every call of block.h on an image that may lie: none may do worse than fail. */
#include "image_ops.h"

enum { REQUEST_BYTES = 9000, MOST_STEPS = 64, MOST_GROWTH = 4 << 20, MOST_TABLES = 64 << 20, MOST_RUNS = 256 };

static uint64_t size_of(BlkNode *n)
{
    BlkInfo info;
    blk_info(n, &info);
    return info.size;
}

/* ---- data */

static void request(BlkNode *n, BlkOp op, unsigned flags, FuzzInput *in)
{
    uint8_t data[REQUEST_BYTES] = { 1, 2, 3 };
    uint64_t size = size_of(n), off = fuzz_take(in, 3), len = fuzz_take(in, 2) % REQUEST_BYTES;
    off = off & 1 && size > REQUEST_BYTES ? size - (off >> 1) % REQUEST_BYTES - 1 : (off >> 1) % MAX(size, 1);
    struct iovec iov[] = { { data, len / 3 }, { data + len / 3, len - len / 3 } };
    if (flags & BLK_COMPRESS)
        off &= -65536ull;
    blk_perform(n, op, flags, off, len, iov, 2);
}

/* One cluster, whatever its size is, and well compressible. */
static void write_compressed(BlkNode *n, FuzzInput *in)
{
    BlkInfo info;
    blk_info(n, &info);
    uint64_t cluster = CLAMP(info.cluster_bytes, 512, 2 << 20), off = fuzz_take(in, 2) * cluster;
    g_autofree uint8_t *data = g_malloc0(cluster);
    blk_perform(n, BLK_WRITE, BLK_COMPRESS, off, cluster, &(struct iovec){ data, cluster }, 1);
}

static void walk_map(BlkNode *n)
{
    BlkExtent e;
    uint64_t size = size_of(n);
    for (uint64_t off = 0, runs = 0; off < size && runs < MOST_RUNS && blk_map_chain(n, off, size - off, &e, NULL) && e.len; off += e.len)
        runs++;
}

static void vm_state(BlkNode *n, FuzzInput *in)
{
    uint8_t data[700] = { 7 };
    unsigned how = fuzz_take(in, 1);
    blk_vm_state(n, how & 1 ? BLK_WRITE : BLK_READ, (uint64_t)(how >> 1) * 512, data, sizeof(data));
}

/* ---- the image as a whole */

/* A disk of an exabyte may be resized, but not get its tables. */
static void resize(BlkNode *n, FuzzInput *in)
{
    static const unsigned ways[] = { 0, BLK_ALLOCATE_METADATA, BLK_ALLOCATE, BLK_ALLOCATE_FULL };
    uint64_t size = size_of(n), by = fuzz_take(in, 3) % MOST_GROWTH;
    unsigned how = fuzz_take(in, 1);
    if (how & 1)
        blk_resize(n, size + by, size < MOST_TABLES ? ways[how >> 1 & 3] : 0, NULL);
    else
        blk_resize(n, size > by ? size - by : by, BLK_SHRINK, NULL);
}

static void amend(BlkNode *n, FuzzInput *in)
{
    static const char *const options[] = {
        "compat=0.10", "compat=1.1", "lazy_refcounts=on", "lazy_refcounts=off", "refcount_bits=1", "refcount_bits=16", "refcount_bits=64",
        "backing_file=", "size=2M", "data_file=x,data_file_raw=on", "encrypt.state=active,encrypt.new-secret=s0,encrypt.iter-time=1",
        "encrypt.state=inactive,encrypt.keyslot=0", "state=active,new-secret=s0,iter-time=1", "state=inactive,old-secret=s0",
    };
    blk_amend(n, options[fuzz_take(in, 1) % G_N_ELEMENTS(options)], NULL);
}

static void check(BlkNode *n, FuzzInput *in)
{
    BlkCheck found;
    blk_check(n, fuzz_take(in, 1) % 3, &found, NULL);
    blk_check_words(n);
}

static void say(BlkNode *n)
{
    BlkMeasure m;
    g_array_unref(blk_info_specific(n));
    blk_measure("qcow2", "", n, &m, NULL);
    blk_measure("raw", "", n, &m, NULL);
}

/* ---- snapshots */

static void snapshot(BlkNode *n, FuzzInput *in)
{
    static const char *const names[] = { "1", "2", "s", "3" };
    unsigned how = fuzz_take(in, 1);
    const char *name = names[how >> 3 & 3];
    BlkSnapshot s = { .name = (char *)name, .date_s = 1, .icount = UINT64_MAX, .vm_state_bytes = how & 0x80 ? 700 : 0 };
    GArray *list = NULL;
    switch (how & 7) {
    case 0: case 1:
        blk_snapshot_create(n, &s, NULL);
        break;
    case 2:
        blk_snapshot_apply(n, name, NULL);
        break;
    case 3: case 4:
        blk_snapshot_delete(n, name, NULL);
        break;
    case 5:
        blk_snapshot_load(n, name, NULL);
        break;
    default:
        if ((list = blk_snapshot_list(n, NULL)))
            g_array_unref(list);
    }
}

/* ---- bitmaps */

static void walk_bitmap(BlkBitmap *b)
{
    BlkBitmapInfo info;
    uint64_t off = 0, len = 0;
    blk_bitmap_info(b, &info);
    for (unsigned runs = 0; runs < MOST_RUNS && blk_bitmap_next_dirty(b, &off, &len); off += len)
        runs++;
}

static void bitmap(BlkNode *n, FuzzInput *in)
{
    unsigned how = fuzz_take(in, 1);
    BlkBitmap *b = blk_bitmap_next(n, NULL), *other = b ? blk_bitmap_next(n, b) : NULL;
    if ((how & 7) < 2)
        blk_bitmap_add(n, how & 8 ? "x" : "y", size_of(n) > MOST_TABLES ? 0 : 512u << (how >> 4), how & 8, NULL);
    if (!b)
        return;
    switch (how & 7) {
    case 2: case 3:
        blk_bitmap_remove(n, b, NULL);
        break;
    case 4:
        blk_bitmap_enable(b, how & 8, NULL);
        break;
    case 5:
        blk_bitmap_clear(b, NULL);
        break;
    case 6:
        if (other)
            blk_bitmap_merge(b, other, NULL);
        break;
    default:
        walk_bitmap(b);
    }
}

/* ---- one after the other */

static void step(BlkNode *n, FuzzInput *in)
{
    static const BlkOp ops[] = { BLK_WRITE, BLK_READ, BLK_ZERO, BLK_DISCARD, BLK_WRITE, BLK_READ, BLK_FLUSH, BLK_ZERO };
    unsigned op = fuzz_take(in, 1);
    switch (op & 31) {
    case 0 ... 9:
        request(n, ops[op & 7], op & 32 ? BLK_MAY_UNMAP | BLK_FUA : 0, in);
        break;
    case 10:
        write_compressed(n, in);
        break;
    case 11:
        walk_map(n);
        break;
    case 12:
        vm_state(n, in);
        break;
    case 13:
        resize(n, in);
        break;
    case 14:
        amend(n, in);
        break;
    case 15 ... 16:
        check(n, in);
        break;
    case 17:
        say(n);
        break;
    case 18 ... 22:
        snapshot(n, in);
        break;
    case 23 ... 26:
        bitmap(n, in);
        break;
    case 27:
        blk_set_read_only(n, op & 32, NULL);
        break;
    case 28:
        blk_make_empty(n, NULL);
        break;
    case 29:
        blk_set_backing(n, op & 32 ? "below" : NULL, op & 64 ? "raw" : NULL, NULL);
        break;
    default:
        blk_flush(n, NULL);
    }
}

void image_use(BlkNode *n, FuzzInput *in)
{
    uint8_t data[REQUEST_BYTES];
    say(n);
    walk_map(n);
    blk_read(n, 0, data, MIN(size_of(n), sizeof(data)), NULL);
    for (unsigned i = 0; i < MOST_STEPS && in->left; i++)
        step(n, in);
}
