#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"
/*
 * parallel.h - a long range of bytes, worked on in pieces by several threads.
 *
 * Each thread takes the next piece (one at a time, in order), and works on it with a buffer of its own.  The first error
 * stops all.
 */
typedef struct Piece {
    uint64_t off, len;
    BlkExtent extent;  /* what next() knows about it */
    BlkExtent other;
    unsigned source;   /* next()'s and work()'s own business */
    uint64_t local;    /* offset within the source */
} Piece;

typedef struct Parallel {
    unsigned threads; /* 0: as many as suit this host */
    size_t buffer_bytes;
    void *owner;
    /* With a lock held.  False: the end, or an error. */
    bool (*next)(void *owner, Piece *ret, GError **err);
    bool (*work)(void *owner, const Piece *p, char *buffer, GError **err);
} Parallel;
bool parallel_run(const Parallel *p, GError **err);
unsigned parallel_processors(void);

/* A node's extents, one after the other, cut into pieces of at most `data_bytes` where they hold data; zeros are given
 * out in long pieces.  Data pieces end at multiples of data_bytes. */
typedef struct Scan {
    BlkNode *n;
    bool top_only; /* blk_map(), not blk_map_chain() */
    uint64_t at, end, data_bytes;
    BlkExtent run; /* what is known from `at` on; len 0: nothing */
} Scan;
bool scan_next(Scan *s, BlkExtent *ret, GError **err); /* false: the end, or an error */
