#pragma once
#include <stdbool.h>
#include <stdint.h>
/*
 * bucket.h - a leaky bucket: at most `rate` units a second, with bursts.  Time is the caller's, so tests bring their own.
 *
 * Without a burst, what fits a tenth of a second passes at once.  With one, `burst` units a second pass for
 * `burst_s` seconds, until the bucket is full.
 */
typedef struct Bucket {
    uint64_t rate, burst, burst_s; /* units a second (0: no limit); the same (0: no bursts); seconds, at least 1 */
    double level, burst_level;     /* units that have not leaked out yet */
    uint64_t last_ns;
} Bucket;

/* How long until something may pass; 0: now. */
uint64_t bucket_wait_ns(Bucket *b, uint64_t now_ns);
void bucket_add(Bucket *b, int64_t units); /* what passed; negative: did not, after all */
