#pragma once
#include "tools/img/parallel.h"
#include "tools/img/util.h"
/* convert.h - what convert.c (the command) and copy.c (moving the data) share. */
typedef struct Source {
    BlkNode *node;
    uint64_t start, size; /* in the target */
} Source;

typedef struct Copy {
    const ImgArgs *args;
    Source *sources;
    unsigned count;
    BlkNode *target;
    uint64_t total;
    uint64_t granule;  /* zeros of that size and alignment become holes; 0: never */
    uint64_t cluster;  /* of a compressed write */
    bool target_zero;  /* reads as zeros already */
    bool on_backing;   /* what the top source does not have comes from the target's backing file */
    bool compress, offload, salvage;
    unsigned threads;
    Rate rate;
    Progress progress;

    Scan scan; /* of sources[current] */
    unsigned current;
    uint64_t done; /* atomic */
} Copy;
bool copy_run(Copy *c, GError **err);
bool copy_reflink(const char *from, const char *to); /* false: the file system cannot */
