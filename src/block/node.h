#pragma once
#include "block/block.h"
/*
 * node.h - what a node is to the drivers behind block.h.
 *
 * perform() is straight-line code on a worker thread and may sleep; the ranges it sees lie within the node.  A driver
 * over another node calls blk_perform() on that.
 */
typedef struct BlkDriver {
    const char *name;
    int (*perform)(BlkNode *n, BlkReq *r); /* 0 or -errno; several at once */
    void (*close)(BlkNode *n);             /* no request is under way */
} BlkDriver;

struct BlkNode {
    const BlkDriver *driver;
    void *state;    /* the driver's */
    BlkNode *child; /* owned */
    char *filename, *warning;
    uint64_t size;
    bool read_only, snapshot;
    GThreadPool *pool; /* the top node's */
    GMutex lock;       /* of in_flight */
    GCond idle;
    unsigned in_flight;
};

BlkNode *node_create(const BlkDriver *driver, const char *filename);
int blk_perform(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov);

BlkNode *file_open(const BlkOpenOptions *o, GError **err);                         /* file.c */
BlkNode *overlay_open(BlkNode *base, GError **err);                                /* overlay.c; takes base over */
char *file_denied_reason(const char *path, bool write);                            /* denied.c */
bool image_lock(int fd, const char *filename, bool write, char **ret_warning, GError **err); /* lock.c */
const char *format_guess(const uint8_t *head, size_t n);                           /* probe.c; NULL: none known */

/* file.c, for drivers that keep their data in a file: 0 or -errno.  Reading past the end gives zeros. */
int fd_read(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov);
int fd_write(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov);
int fd_zero(int fd, uint64_t off, uint64_t len, bool may_unmap);
