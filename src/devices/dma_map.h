#pragma once
#include <sys/uio.h>

#include "machine/memory.h"
/*
 * dma_map.h - a list of guest memory ranges as host memory, for requests that go straight to it.
 *
 *     dma_map_begin(&map, machine, true);
 *     if (!dma_map_add(&map, gpa, len)) ...     some byte of it is not RAM
 *     ... a request with map.iov, map.n ...
 *     dma_map_end(&map, written);               also after a failed add
 */
typedef struct DmaMap {
    Machine *machine;
    FlatView *view; /* keeps the memory in place; NULL: not in use */
    struct iovec *iov;
    uint64_t *gpa; /* of each piece */
    unsigned n, room;
    uint64_t len; /* bytes of all pieces */
    bool to_memory;
} DmaMap;

void dma_map_begin(DmaMap *m, Machine *machine, bool to_memory);
bool dma_map_add(DmaMap *m, uint64_t gpa, uint64_t len);
void dma_map_end(DmaMap *m, uint64_t written); /* how many bytes, from the first, may have changed */
