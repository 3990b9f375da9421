#pragma once
#include "block/driver.h"
#include "block/protocol/uring.h"
/* file.h - what the parts of the file driver share. */
typedef struct File {
    int fd;                   /* 0: not open */
    GMutex lock;              /* of starting the ring */
    Uring *ring;              /* NULL: not yet, or none to be had */
    bool no_ring;
    _Atomic int lost; /* errno of a flush after which nobody knows what is on the disk; 0: none */
} File;

/* file_open.c */
bool file_open(BlkNode *n, KeyVals *options, GError **err);
bool file_reopen(BlkNode *n, GError **err);
bool file_find_size(BlkNode *n, GError **err);
