#pragma once
#include <stdbool.h>
#include <stdint.h>
/* checked.h - arithmetic on numbers that come from outside.  Each returns false on overflow and leaves *ret alone. */
static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

/* Does [off, off + len) lie within [0, size)? */
static inline bool range_within(uint64_t off, uint64_t len, uint64_t size) { return off <= size && len <= size - off; }
