#pragma once
#include "accel/dbt/dbt.h"
/*
 * index_set.h - which entries of a table of 64 Ki hold something.
 */
static inline bool index_has(const uint64_t *bits, unsigned i) { return bits[i / 64] >> (i % 64) & 1; }
static inline void index_put(uint64_t *bits, unsigned i, bool value)
{
    bits[i / 64] = (bits[i / 64] & ~(1ull << i % 64)) | (uint64_t)value << i % 64;
}

static inline void index_add(IndexSet *s, unsigned i)
{
    s->bit[i / 64] |= 1ull << i % 64;
    s->word[i / 4096] |= 1ull << i / 64 % 64;
}

static inline void index_remove(IndexSet *s, unsigned i)
{
    if (!index_has(s->bit, i))
        return;
    s->bit[i / 64] &= ~(1ull << i % 64);
    if (!s->bit[i / 64])
        s->word[i / 4096] &= ~(1ull << i / 64 % 64);
}

/* The first of the set at or behind i; INDEX_SIZE: none. */
static inline unsigned index_next(const IndexSet *s, unsigned i)
{
    if (i >= INDEX_SIZE)
        return INDEX_SIZE;
    uint64_t rest = s->bit[i / 64] >> (i % 64);
    if (rest)
        return i + __builtin_ctzll(rest);
    unsigned word = i / 64 + 1;
    for (; word < INDEX_WORDS; word = (word / 64 + 1) * 64) {
        uint64_t words = s->word[word / 64] >> (word % 64);
        if (words) {
            word += __builtin_ctzll(words);
            return word * 64 + __builtin_ctzll(s->bit[word]);
        }
    }
    return INDEX_SIZE;
}
#define INDEX_FOREACH_IN(i, set, first, n) for (unsigned i = index_next(set, first); i < (first) + (n); i = index_next(set, i + 1))
#define INDEX_FOREACH(i, set) INDEX_FOREACH_IN(i, set, 0u, (unsigned)INDEX_SIZE)

/* Does a flush of that kind concern entries that are global, or those that are not? */
static inline bool flush_concerns(TlbFlush what, bool global) { return what & (global ? FLUSH_GLOBAL : FLUSH_LOCAL); }
