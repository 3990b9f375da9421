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
 * Behind it stand stacks of nodes, filter -> format -> protocol: see driver.h.
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
    const char *filename, *format;
    const char *warning; /* what the user should hear about, or NULL; lives as long as the node */
} BlkInfo;

typedef struct BlkOpenOptions {
    const char *filename;
    /* NULL: guessed from the head.  A guessed image may not name a backing file, for its guest may have written the
     * head; a format that we know but cannot open is used as raw, with a warning. */
    const char *format;
    bool read_only, snapshot;
    bool share; /* no lock */
} BlkOpenOptions;

/* What the bytes from `off` on are, for a run of them. */
typedef struct BlkExtent {
    uint64_t off, len;
    bool allocated, zero, compressed; /* in this layer, not in its backing file */
    bool has_host;
    uint64_t host; /* where they stand in the file, if has_host */
} BlkExtent;

enum { BLK_REPAIR_LEAKS = 1, BLK_REPAIR_ALL = 2 };
typedef struct BlkCheck {
    uint64_t leaks, corruptions;       /* clusters, as found */
    uint64_t leaks_fixed, corruptions_fixed;
    uint64_t allocated, total;         /* clusters of the guest's disk */
    uint64_t end;                      /* of what is in use in the file, bytes */
} BlkCheck;

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

/* A stack spelt as -blockdev and --image-opts do: "driver=qcow2,file.driver=file,file.filename=a.qcow2". */
BlkNode *blk_open_tree(const char *text, bool read_only, GError **err);
/* options: "size=10G,cluster_size=64k"; an old image of that name is overwritten, unless somebody has it open. */
bool blk_create(const char *format, const char *filename, const char *options, GError **err);
bool blk_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret, GError **err);
/* Both: while no request is under way. */
bool blk_resize(BlkNode *n, uint64_t size, GError **err);
bool blk_check(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err); /* false: cannot check at all */
