/*
 * range.c - ranges that must not be worked on at once.
 *
 * A range waits for those before it in the list that overlap it, unless both are shared; so nobody starves and, as long
 * as a thread holds one range a node, nobody waits in a circle.
 */
#include "block/driver.h"

struct BlkRanges {
    GMutex lock;
    GCond changed;
    GQueue list; /* of BlkRange, first come first */
};

BlkRanges *ranges_new(void)
{
    BlkRanges *r = g_new0(BlkRanges, 1);
    g_mutex_init(&r->lock);
    g_cond_init(&r->changed);
    return r;
}

void ranges_free(BlkRanges *r)
{
    if (!r)
        return;
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->changed);
    g_free(r);
}

static bool must_wait(const BlkRange *range)
{
    for (const GList *l = range->link.prev; l; l = l->prev) {
        const BlkRange *other = l->data;
        if (other->off < range->end && range->off < other->end && (other->exclusive || range->exclusive))
            return true;
    }
    return false;
}

static void enter(BlkRanges *r, BlkRange *range, uint64_t off, uint64_t len, bool exclusive)
{
    *range = (BlkRange){ .off = off, .end = off + len, .exclusive = exclusive, .link.data = range };
    g_queue_push_tail_link(&r->list, &range->link);
}

void range_lock(BlkRanges *r, BlkRange *range, uint64_t off, uint64_t len, bool exclusive)
{
    g_mutex_lock(&r->lock);
    enter(r, range, off, len, exclusive);
    while (must_wait(range))
        g_cond_wait(&r->changed, &r->lock);
    g_mutex_unlock(&r->lock);
}

bool range_try_lock(BlkRanges *r, BlkRange *range, uint64_t off, uint64_t len, bool exclusive)
{
    g_mutex_lock(&r->lock);
    enter(r, range, off, len, exclusive);
    bool ok = !must_wait(range);
    if (!ok)
        g_queue_unlink(&r->list, &range->link);
    g_mutex_unlock(&r->lock);
    return ok;
}

void range_unlock(BlkRanges *r, BlkRange *range)
{
    g_mutex_lock(&r->lock);
    g_queue_unlink(&r->list, &range->link);
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
}
