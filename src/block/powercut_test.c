/*
 * powercut_test.c - qcow2 over a disk that records: what is in the file if the power goes at any moment?
 *
 * Every prefix of the recorded writes, and random choices of the writes since the last flush, must open, be sound but
 * for leaks, and hold what the guest had flushed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/driver.h"
#include "block/format/qcow2/qcow2.h"

enum { DISK = 1 << 20, SECTOR = 512, STEPS = 60, REORDERINGS = 3 };

typedef struct Event {
    uint64_t off; /* UINT64_MAX: a flush */
    GBytes *data;
    unsigned step; /* of the workload; at a flush of the guest's, what was written before is safe */
} Event;

typedef struct Disk {
    GByteArray *bytes;
    GArray *events; /* NULL: not recorded */
    unsigned step;
} Disk;

static void put(GByteArray *bytes, uint64_t off, const void *data, size_t len)
{
    if (bytes->len < off + len) {
        unsigned old = bytes->len;
        g_byte_array_set_size(bytes, off + len);
        memset(bytes->data + old, 0, off + len - old);
    }
    memcpy(bytes->data + off, data, len);
}

static void record(Disk *d, uint64_t off, const void *data, size_t len)
{
    Event e = { off, data ? g_bytes_new(data, len) : NULL, d->step };
    if (d->events)
        g_array_append_val(d->events, e);
}

static int disk_write(Disk *d, const BlkReq *r)
{
    for (uint64_t done = 0, i = 0; i < r->niov; done += r->iov[i++].iov_len) {
        record(d, r->off + done, r->iov[i].iov_base, r->iov[i].iov_len);
        put(d->bytes, r->off + done, r->iov[i].iov_base, r->iov[i].iov_len);
    }
    return 0;
}

static int disk_read(Disk *d, const BlkReq *r)
{
    uint64_t at = r->off;
    for (unsigned i = 0; i < r->niov; at += r->iov[i++].iov_len) {
        size_t has = at < d->bytes->len ? MIN(r->iov[i].iov_len, d->bytes->len - at) : 0;
        memset(r->iov[i].iov_base, 0, r->iov[i].iov_len);
        memcpy(r->iov[i].iov_base, d->bytes->data + at, has);
    }
    return 0;
}

static int disk_perform(BlkNode *n, BlkReq *r)
{
    Disk *d = *(Disk **)n->state;
    if (r->op == BLK_FLUSH)
        record(d, UINT64_MAX, NULL, 0);
    return r->op == BLK_FLUSH ? 0 : r->op == BLK_WRITE ? disk_write(d, r) : r->op == BLK_READ ? disk_read(d, r) : -ENOTSUP;
}

static void disk_close(BlkNode *n) {}

static const BlkDriver disk_driver = { .name = "recorder", .kind = BLK_PROTOCOL, .state_bytes = sizeof(Disk *), .close = disk_close, .perform = disk_perform };

static BlkNode *disk_node(Disk *d)
{
    BlkNode *n = node_create(&disk_driver, "recorder");
    *(Disk **)n->state = d;
    n->size = d->bytes->len;
    n->grows = true;
    return n;
}

static BlkNode *open_disk(Disk *d)
{
    g_autoptr(GError) err = NULL;
    BlkNode *n = blk_stack(&qcow2_driver, disk_node(d), NULL, &err);
    g_assert_no_error(err);
    return n;
}

static void create(Disk *d, const char *options)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(KeyVals) kv = keyvals_parse(options, NULL, "qcow2", &err);
    BlkNode *n = disk_node(d);
    g_assert_true(qcow2_driver.create(n, kv, &err));
    g_assert_no_error(err);
    blk_close(n);
}

/* Each sector's history: its byte after each step, and up to which step it is flushed. */
typedef struct History {
    uint8_t after[STEPS + 1][DISK / SECTOR];
    unsigned flushed[STEPS + 1];   /* at the end of step i, all up to step flushed[i] is safe */
    uint64_t snapshots[STEPS + 1]; /* bit i: the one that step i made is there */
} History;

typedef enum Kind { WRITE, ZERO, FLUSH, SNAPSHOT, APPLY, DELETE } Kind;

static void change_data(BlkNode *n, History *h, unsigned s, Kind kind)
{
    uint64_t first = g_test_rand_int_range(0, DISK / SECTOR), count = g_test_rand_int_range(1, MIN(40, DISK / SECTOR - (int)first) + 1);
    g_autofree uint8_t *data = g_malloc(count * SECTOR);
    memset(data, s, count * SECTOR);
    memset(h->after[s] + first, kind == ZERO ? 0 : s, count);
    g_assert_cmpint(blk_perform(n, kind == ZERO ? BLK_ZERO : BLK_WRITE, BLK_MAY_UNMAP, first * SECTOR, count * SECTOR,
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

static void work(Disk *d, History *h, bool snapshots)
{
    static const Kind kinds[] = { WRITE, ZERO, WRITE, FLUSH, WRITE, WRITE, ZERO, SNAPSHOT, WRITE, WRITE, SNAPSHOT, WRITE, APPLY, WRITE, DELETE };
    BlkNode *n = open_disk(d);
    for (unsigned s = 1; s <= STEPS; s++) {
        d->step = s;
        memcpy(h->after[s], h->after[s - 1], sizeof(h->after[s]));
        h->flushed[s] = h->flushed[s - 1];
        h->snapshots[s] = h->snapshots[s - 1];
        Kind kind = kinds[s % G_N_ELEMENTS(kinds)];
        if (kind >= SNAPSHOT && snapshots)
            change_snapshots(n, h, s, kind);
        else if (kind == WRITE || kind == ZERO)
            change_data(n, h, s, kind);
        else {
            g_assert_cmpint(blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0), ==, 0);
            h->flushed[s] = s;
        }
    }
    d->step = STEPS + 1;
    blk_close(n);
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

static void check_state(GByteArray *bytes, const History *h, unsigned step)
{
    Disk d = { .bytes = bytes };
    BlkCheck found;
    BlkNode *n = open_disk(&d);
    g_assert_true(qcow2_driver.check(n, 0, &found, NULL));
    g_assert_cmpuint(found.corruptions, ==, 0);
    check_content(n, h, step);
    check_snapshots(n, h, step);
    blk_close(n);
}

static GByteArray *copy_of(const GByteArray *b) { return g_byte_array_append(g_byte_array_new(), b->data, b->len); }

/* Some of the writes since the last flush: [from, to). */
static void check_reordered(const GByteArray *safe, const Disk *d, unsigned from, unsigned to, const History *h)
{
    g_autoptr(GByteArray) b = copy_of(safe);
    for (unsigned i = from; i < to; i++) {
        const Event *e = &g_array_index(d->events, Event, i);
        if (g_test_rand_bit())
            put(b, e->off, g_bytes_get_data(e->data, NULL), g_bytes_get_size(e->data));
    }
    check_state(b, h, g_array_index(d->events, Event, to - 1).step);
}

static unsigned replay(const Disk *d, const GByteArray *start, const History *h)
{
    g_autoptr(GByteArray) now = copy_of(start), safe = copy_of(start);
    unsigned states = 0;
    for (unsigned i = 0, flush = 0; i < d->events->len; i++) {
        const Event *e = &g_array_index(d->events, Event, i);
        if (e->off == UINT64_MAX) {
            g_byte_array_unref(safe);
            safe = copy_of(now);
            flush = i + 1;
            continue;
        }
        put(now, e->off, g_bytes_get_data(e->data, NULL), g_bytes_get_size(e->data));
        g_autoptr(GByteArray) cut = copy_of(now);
        check_state(cut, h, e->step);
        for (unsigned r = 0; r < REORDERINGS; r++)
            check_reordered(safe, d, flush, i + 1, h);
        states += 1 + REORDERINGS;
    }
    return states;
}

static void event_clear(void *event) { g_clear_pointer(&((Event *)event)->data, g_bytes_unref); }

static void test_cut(const void *options)
{
    Disk d = { .bytes = g_byte_array_new() };
    g_autofree History *h = g_new0(History, 1);
    create(&d, options);
    g_autoptr(GByteArray) start = copy_of(d.bytes);
    d.events = g_array_new(FALSE, FALSE, sizeof(Event));
    g_array_set_clear_func(d.events, event_clear);
    work(&d, h, !strstr(options, "refcount_bits=1,"));
    unsigned states = replay(&d, start, h);
    g_assert_cmpuint(states, >, STEPS);
    g_test_message("%u states of %u writes and flushes", states, d.events->len);
    g_array_unref(d.events);
    g_byte_array_unref(d.bytes);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/powercut/4k", "size=1M,cluster_size=4k", test_cut);
    g_test_add_data_func("/powercut/512", "size=1M,cluster_size=512,refcount_bits=64", test_cut);
    g_test_add_data_func("/powercut/64k-v2", "size=1M,compat=0.10", test_cut);
    return g_test_run();
}
