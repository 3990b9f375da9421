#pragma once
#include "block/block.h"
#include "fuzz.h"
/* fuzz_image.h - for targets that open images: one request as the input says. */
static inline void fuzz_image_request(BlkNode *n, uint64_t size, FuzzInput *in)
{
    enum { REQUEST_BYTES = 9000 };
    static uint8_t data[REQUEST_BYTES];
    uint64_t off = fuzz_take(in, 3) % MAX(size, 1), len = fuzz_take(in, 2) % REQUEST_BYTES;
    BlkExtent e;
    switch (fuzz_take(in, 1) % 4) {
    case 0:
        blk_write(n, off, data, len, NULL);
        break;
    case 1:
        blk_flush(n, NULL);
        break;
    case 2:
        blk_map(n, off, len, &e, NULL);
        break;
    default:
        blk_read(n, off, data, len, NULL);
    }
}
