#pragma once
#include "block/driver.h"
/*
 * blockmap.h - what formats share that divide the disk into blocks and keep a table of where each of them stands: vdi, vpc,
 * vhdx, vmdk, qcow.  A format tells where a block is, gives out room and enters it into its table; the requests are
 * here.
 *
 * A block's data are written before the table names it.  So a cut between leaves room that nobody uses, at worst.
 */
typedef enum BlockKind {
    BLOCK_HOLE,   /* the backing file's, or zeros */
    BLOCK_ZERO,
    BLOCK_DATA,   /* may be written in place */
    BLOCK_PACKED, /* compressed */
} BlockKind;

typedef struct BlockPlace {
    BlockKind kind;
    uint64_t host;  /* file offset, bytes */
    uint32_t bytes; /* of a packed one, in the file */
} BlockPlace;

typedef struct BlockMap BlockMap;
/* Each returns 0 or -errno.  find() is called by several at once, the others by one alone. */
typedef struct BlockMapOps {
    int (*find)(BlockMap *m, uint64_t block, BlockPlace *ret);
    /* Room for a block that nothing names yet.  NULL: the format can only be read. */
    int (*reserve)(BlockMap *m, uint64_t block, uint64_t *ret_host);
    int (*enter)(BlockMap *m, uint64_t block, uint64_t host);
    int (*set_zero)(BlockMap *m, uint64_t block); /* optional */
    int (*unpack)(BlockMap *m, const BlockPlace *from, uint8_t *to); /* where blocks may be packed */
    int (*append)(BlockMap *m, uint64_t block, const uint8_t *data); /* instead of reserve(): only whole blocks, once each */
    int (*flush)(BlockMap *m);                                       /* optional: what append() kept in memory */
    bool (*crypt)(BlockMap *m, bool encrypt, uint64_t off, uint8_t *data, size_t bytes); /* optional: blocks of data are enciphered */
} BlockMapOps;

struct BlockMap {
    const BlockMapOps *ops;
    BlkNode *node, *file; /* not owned */
    uint64_t block_bytes;
    uint64_t end;         /* of what is used in the file */
    GRWLock lock;
};

void blockmap_init(BlockMap *m, const BlockMapOps *ops, BlkNode *n, BlkNode *file, uint64_t block_bytes);
void blockmap_clear(BlockMap *m); /* also fine without init */
int blockmap_perform(BlockMap *m, BlkReq *r);
int blockmap_map(BlockMap *m, uint64_t off, uint64_t len, BlkExtent *ret);
/* A piece of the file's end: rounds up to `align`, advances m->end, and makes the file that long. */
int blockmap_take(BlockMap *m, uint64_t bytes, uint64_t align, uint64_t *ret);
/* zlib data, with the given window bits (-15: raw); false unless it fills `to`. */
bool blockmap_inflate(const uint8_t *from, size_t from_bytes, int window_bits, uint8_t *to, size_t to_bytes);
/* For create(): writes, or says why not. */
bool blockmap_put(BlkNode *file, uint64_t off, const void *data, size_t bytes, GError **err);
void blockmap_uuid(uint8_t uuid[16]); /* RFC 4122 version 4 */
