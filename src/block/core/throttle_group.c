/* throttle_group.c - see throttle_group.h.  The options are QEMU's. */
#include "block/core/throttle_group.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "block/core/bucket.h"

enum { TOTAL, READS, WRITES, KINDS }; /* what a limit is about */
enum { IOPS, BPS, UNITS };

struct ThrottleGroup {
    _Atomic unsigned refs;
    GMutex lock;        /* of the buckets */
    GMutex turn[KINDS]; /* READS, WRITES: held by who waits */
    Bucket buckets[UNITS][KINDS];
    uint64_t iops_bytes; /* a request counts as one for that many bytes begun; 0: always as one */
};

/* ---- life */

ThrottleGroup *throttle_group_new(void)
{
    ThrottleGroup *g = g_new0(ThrottleGroup, 1);
    g->refs = 1;
    g_mutex_init(&g->lock);
    for (unsigned k = 0; k < KINDS; k++)
        g_mutex_init(&g->turn[k]);
    return g;
}

ThrottleGroup *throttle_group_ref(ThrottleGroup *g)
{
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void throttle_group_unref(ThrottleGroup *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1)
        return;
    g_mutex_clear(&g->lock);
    for (unsigned k = 0; k < KINDS; k++)
        g_mutex_clear(&g->turn[k]);
    g_free(g);
}

/* ---- limits */

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

bool throttle_group_take_limits(ThrottleGroup *g, KeyVals *kv, GError **err)
{
    Bucket b[UNITS][KINDS] = { 0 };
    uint64_t iops_bytes = 0;
    bool any = false;
    for (unsigned u = 0; u < UNITS; u++)
        for (unsigned k = 0; k < KINDS; k++) {
            if (!take_limit(kv, limit_names[u][k], &b[u][k], err))
                return false;
            any |= b[u][k].rate;
        }
    if (both(b[IOPS]) || both(b[BPS]))
        return error_set(err, ERR_INVALID, "throttle: give a limit of the total, or limits of reads and writes, not both");
    if (!keyvals_take_number(kv, "iops-size", 0, INT64_MAX, &iops_bytes, err))
        return false;
    g_mutex_lock(&g->lock);
    if (any || iops_bytes) {
        memcpy(g->buckets, b, sizeof(b));
        g->iops_bytes = iops_bytes;
    }
    g_mutex_unlock(&g->lock);
    return true;
}

/* ---- passing */

static unsigned kind_of(const BlkReq *r) { return r->op == BLK_READ ? READS : WRITES; }

static void account(ThrottleGroup *g, const BlkReq *r, int sign)
{
    int64_t requests = g->iops_bytes && r->len > g->iops_bytes ? (r->len + g->iops_bytes - 1) / g->iops_bytes : 1;
    int64_t units[UNITS] = { requests, r->op == BLK_DISCARD || r->op == BLK_ZERO ? 0 : r->len };
    for (unsigned u = 0; u < UNITS; u++) {
        bucket_add(&g->buckets[u][TOTAL], sign * units[u]);
        bucket_add(&g->buckets[u][kind_of(r)], sign * units[u]);
    }
}

/* Lets r pass and returns 0, or says how long it must wait. */
static uint64_t try_pass(ThrottleGroup *g, const BlkReq *r)
{
    uint64_t now = g_get_monotonic_time() * 1000, wait = 0;
    g_mutex_lock(&g->lock);
    for (unsigned u = 0; u < UNITS; u++)
        wait = MAX(wait, MAX(bucket_wait_ns(&g->buckets[u][TOTAL], now), bucket_wait_ns(&g->buckets[u][kind_of(r)], now)));
    if (!wait)
        account(g, r, 1);
    g_mutex_unlock(&g->lock);
    return wait;
}

void throttle_group_wait(ThrottleGroup *g, const BlkReq *r)
{
    GMutex *turn = &g->turn[kind_of(r)];
    g_mutex_lock(turn);
    for (uint64_t wait; (wait = try_pass(g, r));)
        g_usleep(wait / 1000 + 1);
    g_mutex_unlock(turn);
}

bool throttle_group_enter(ThrottleGroup *g, const BlkReq *r, BlkReq *copy)
{
    GMutex *turn = &g->turn[kind_of(r)];
    if (!g_mutex_trylock(turn))
        return false; /* others wait already */
    *copy = *r;
    if (!try_pass(g, r))
        return true;
    g_mutex_unlock(turn);
    return false;
}

void throttle_group_leave(ThrottleGroup *g, const BlkReq *copy, bool passed)
{
    if (!passed) {
        g_mutex_lock(&g->lock);
        account(g, copy, -1);
        g_mutex_unlock(&g->lock);
    }
    g_mutex_unlock(&g->turn[kind_of(copy)]);
}

BlkLimits throttle_group_limits(ThrottleGroup *g)
{
    g_mutex_lock(&g->lock);
    const Bucket *bps = g->buckets[BPS], *iops = g->buckets[IOPS];
    BlkLimits l = { bps[TOTAL].rate, bps[READS].rate, bps[WRITES].rate, iops[TOTAL].rate, iops[READS].rate, iops[WRITES].rate };
    g_mutex_unlock(&g->lock);
    return l;
}
