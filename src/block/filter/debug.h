#pragma once
#include "block/driver.h"
/* debug.h - blkdebug by hand, for unit tests over a stack of their own. */
typedef struct DebugRule {
    unsigned ops;                 /* bit a BlkOp */
    uint64_t sector;              /* UINT64_MAX: any */
    uint64_t after, count;        /* lets so many pass, then fails so many (UINT64_MAX: all) */
    int error;                    /* errno */
} DebugRule;

void debug_set_rule(BlkNode *n, const DebugRule *rule); /* the only one, from now on; NULL: none */
uint64_t debug_seen(BlkNode *n, BlkOp op);              /* requests since then */
