#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
/*
 * block.h - a disk image as machines and tools see it.
 *
 * A size that is no multiple of 512 is rounded up: the rest reads as zeros until it is written.
 *
 * Issue 4 puts stacks of nodes (filter -> format -> protocol) behind it; today there are raw files and the temporary
 * overlay of -snapshot.
 */
typedef struct BlkNode BlkNode;
typedef enum BlkOp { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_ZERO, BLK_DISCARD } BlkOp;
enum { BLK_FUA = 1, BLK_MAY_UNMAP = 2 };

typedef struct BlkReq BlkReq;
struct BlkReq {
    BlkOp op;
    unsigned flags;
    uint64_t off, len; /* bytes; need not be aligned */
    struct iovec *iov; /* the caller's, until done() */
    unsigned niov;
    void (*done)(BlkReq *r, int status); /* 0 or -errno; exactly once, on a worker thread, with no lock held */
    void *owner;
    BlkNode *node; /* set by blk_submit */
};

typedef struct BlkInfo {
    uint64_t size; /* bytes */
    bool read_only, snapshot;
    const char *filename;
    const char *warning; /* what the user should hear about, or NULL; lives as long as the node */
} BlkInfo;

typedef struct BlkOpenOptions {
    const char *filename;
    const char *format; /* "raw"; NULL: raw, with a warning where the head looks like another format's */
    bool read_only, snapshot;
    bool share; /* no lock */
} BlkOpenOptions;

/* Opens and locks: many readers or one writer; a refusal names the process that holds the image. */
BlkNode *blk_open(const BlkOpenOptions *o, GError **err);
void blk_close(BlkNode *n); /* waits for requests; NULL is fine */
void blk_info(BlkNode *n, BlkInfo *ret);
void blk_submit(BlkNode *n, BlkReq *r); /* never sleeps */
void blk_drain(BlkNode *n);             /* returns when no request is under way */
/* For loaders and tests: sleeps. */
bool blk_read(BlkNode *n, uint64_t off, void *buf, size_t len, GError **err);
bool blk_write(BlkNode *n, uint64_t off, const void *buf, size_t len, GError **err);
bool blk_flush(BlkNode *n, GError **err);
