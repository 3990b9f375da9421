/*
 * throttle.c - at most so many requests and bytes a second, as QEMU's throttling options have it.
 *
 * The requests of a direction pass one after the other: who must wait lets nobody past.
 */
#include <string.h>

#include "base/error.h"
#include "block/core/bucket.h"
#include "block/driver.h"

enum { TOTAL, READS, WRITES, KINDS }; /* what a limit is about */
enum { IOPS, BPS, UNITS };

typedef struct Throttle {
    GMutex lock;          /* of the buckets */
    GMutex turn[KINDS];   /* READS, WRITES: held by who waits */
    Bucket buckets[UNITS][KINDS];
    uint64_t iops_bytes;  /* a request counts as one for that many bytes begun; 0: always as one */
} Throttle;

static const char *const limit_names[UNITS][KINDS] = { { "iops-total", "iops-read", "iops-write" }, { "bps-total", "bps-read", "bps-write" } };

static bool take_limit(KeyVals *kv, const char *name, Bucket *b, GError **err)
{
    g_autofree char *burst = g_strconcat(name, "-max", NULL), *length = g_strconcat(name, "-max-length", NULL);
    b->burst_s = 1;
    if (!keyvals_take_number(kv, name, 0, INT64_MAX, &b->rate, err) || !keyvals_take_number(kv, burst, 0, INT64_MAX, &b->burst, err) ||
        !keyvals_take_number(kv, length, 1, UINT32_MAX, &b->burst_s, err))
        return false;
    return !b->burst || (b->rate && b->burst >= b->rate) ||
           error_set(err, ERR_INVALID, "throttle: %s must be at least %s, which must be given too", burst, name);
}

static bool both(const Bucket *b) { return b[TOTAL].rate && (b[READS].rate || b[WRITES].rate); }

static bool throttle_open(BlkNode *n, KeyVals *kv, GError **err)
{
    Throttle *t = n->state;
    g_mutex_init(&t->lock);
    for (unsigned k = 0; k < KINDS; k++)
        g_mutex_init(&t->turn[k]);
    for (unsigned u = 0; u < UNITS; u++)
        for (unsigned k = 0; k < KINDS; k++)
            if (!take_limit(kv, limit_names[u][k], &t->buckets[u][k], err))
                return false;
    n->size = n->file->size;
    if (both(t->buckets[IOPS]) || both(t->buckets[BPS]))
        return error_set(err, ERR_INVALID, "throttle: give a limit of the total, or limits of reads and writes, not both");
    return keyvals_take_number(kv, "iops-size", 0, INT64_MAX, &t->iops_bytes, err);
}

static void throttle_close(BlkNode *n)
{
    Throttle *t = n->state;
    g_mutex_clear(&t->lock);
    for (unsigned k = 0; k < KINDS; k++)
        g_mutex_clear(&t->turn[k]);
}

static bool is_limited(BlkOp op) { return op != BLK_FLUSH; }

static void account(Throttle *t, const BlkReq *r, int sign)
{
    unsigned kind = r->op == BLK_READ ? READS : WRITES;
    int64_t requests = t->iops_bytes && r->len > t->iops_bytes ? (r->len + t->iops_bytes - 1) / t->iops_bytes : 1;
    int64_t units[UNITS] = { requests, r->op == BLK_DISCARD || r->op == BLK_ZERO ? 0 : r->len };
    for (unsigned u = 0; u < UNITS; u++) {
        bucket_add(&t->buckets[u][TOTAL], sign * units[u]);
        bucket_add(&t->buckets[u][kind], sign * units[u]);
    }
}

/* Lets r pass and returns 0, or says how long it must wait. */
static uint64_t try_pass(Throttle *t, const BlkReq *r)
{
    unsigned kind = r->op == BLK_READ ? READS : WRITES;
    uint64_t now = g_get_monotonic_time() * 1000, wait = 0;
    g_mutex_lock(&t->lock);
    for (unsigned u = 0; u < UNITS; u++)
        wait = MAX(wait, MAX(bucket_wait_ns(&t->buckets[u][TOTAL], now), bucket_wait_ns(&t->buckets[u][kind], now)));
    if (!wait)
        account(t, r, 1);
    g_mutex_unlock(&t->lock);
    return wait;
}

static void wait_for_turn(Throttle *t, const BlkReq *r)
{
    GMutex *turn = &t->turn[r->op == BLK_READ ? READS : WRITES];
    g_mutex_lock(turn);
    for (uint64_t wait; (wait = try_pass(t, r));)
        g_usleep(wait / 1000 + 1);
    g_mutex_unlock(turn);
}

static int throttle_perform(BlkNode *n, BlkReq *r)
{
    if (is_limited(r->op))
        wait_for_turn(n->state, r);
    return blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
}

static bool throttle_submit(BlkNode *n, BlkReq *r)
{
    Throttle *t = n->state;
    GMutex *turn = &t->turn[r->op == BLK_READ ? READS : WRITES];
    if (!is_limited(r->op))
        return node_submit(n->file, r);
    if (!g_mutex_trylock(turn))
        return false; /* others wait already */
    BlkReq copy = *r; /* r may be gone once it is submitted */
    bool passes = !try_pass(t, r), started = passes && node_submit(n->file, r);
    if (passes && !started) {
        g_mutex_lock(&t->lock);
        account(t, &copy, -1);
        g_mutex_unlock(&t->lock);
    }
    g_mutex_unlock(turn);
    return started;
}

static const BlkOption throttle_options[] = {
    { "iops-total", BLK_NUMBER, .doc = "requests a second; also iops-read, iops-write", .open = true },
    { "bps-total", BLK_SIZE, .doc = "bytes a second; also bps-read, bps-write", .open = true },
    { "iops-total-max", BLK_NUMBER, .doc = "in a burst; also of the others", .open = true },
    { "iops-total-max-length", BLK_NUMBER, "1", "seconds that a burst lasts; also of the others", .open = true },
    { "iops-size", BLK_SIZE, .doc = "a larger request counts as several", .open = true },
    { 0 },
};

const BlkDriver throttle_driver = {
    .name = "throttle",
    .summary = "limits requests and bytes a second",
    .kind = BLK_FILTER,
    .state_bytes = sizeof(Throttle),
    .flags = BLK_FUA | BLK_COMPRESS,
    .options = throttle_options,
    .open = throttle_open,
    .close = throttle_close,
    .perform = throttle_perform,
    .submit = throttle_submit,
};
