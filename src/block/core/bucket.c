/* bucket.c - see bucket.h. */
#include "block/core/bucket.h"

enum { PARTS = 10 }; /* of a second that pass without a burst */
static const double NS = 1e9;

static void leak(Bucket *b, uint64_t now_ns)
{
    double s = now_ns > b->last_ns ? (double)(now_ns - b->last_ns) / NS : 0;
    b->last_ns = now_ns > b->last_ns ? now_ns : b->last_ns;
    b->level -= s * (double)b->rate;
    b->burst_level -= s * (double)b->burst;
    b->level = b->level > 0 ? b->level : 0;
    b->burst_level = b->burst_level > 0 ? b->burst_level : 0;
}

static double seconds_over(double level, double capacity, uint64_t rate)
{
    return level > capacity ? (level - capacity) / (double)rate : 0;
}

uint64_t bucket_wait_ns(Bucket *b, uint64_t now_ns)
{
    if (!b->rate)
        return 0;
    leak(b, now_ns);
    double capacity = b->burst ? (double)b->burst * (double)(b->burst_s ? b->burst_s : 1) : (double)b->rate / PARTS;
    double wait = seconds_over(b->level, capacity, b->rate);
    double burst = b->burst && b->burst_s > 1 ? seconds_over(b->burst_level, (double)b->burst / PARTS, b->burst) : 0;
    return (uint64_t)((wait > burst ? wait : burst) * NS);
}

void bucket_add(Bucket *b, int64_t units)
{
    b->level += (double)units;
    b->burst_level += (double)units;
}
