#pragma once
#include "block/block.h"
/* limits.h - what a filter at the top of an image lets through (filter/throttle.c), a second; 0: no limit. */
typedef struct BlkLimits {
    uint64_t bps, bps_rd, bps_wr, iops, iops_rd, iops_wr;
} BlkLimits;
BlkLimits blk_limits(BlkNode *root);
