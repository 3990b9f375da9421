#pragma once
#include "block/format/blockmap.h"
/* vmdk.h - between vmdk.c (descriptor, extents) and vmdk_sparse.c (tables of grains). */
typedef struct VmdkExtent {
    uint64_t start, bytes; /* of the guest's disk */
    BlkNode *file;         /* owned; NULL: zeros, or the image's own file */
    uint64_t host;         /* flat: where it begins there */
    BlockMap *sparse;      /* or tables of grains */
    bool read_only;
} VmdkExtent;

typedef struct Vmdk {
    VmdkExtent *extent;
    unsigned n_extents;
} Vmdk;

/* *ret_text, if wanted: the descriptor within, which the caller frees. */
BlockMap *vmdk_sparse_open(BlkNode *n, BlkNode *file, char **ret_text, GError **err);
uint64_t vmdk_sparse_size(const BlockMap *m);
void vmdk_sparse_close(BlockMap *m); /* NULL is fine */
enum { VMDK_STREAM = 1 /* compressed grains, tables at the end */, VMDK_ZERO_GRAINS = 2 };
bool vmdk_sparse_create(BlkNode *file, uint64_t size, const char *text, unsigned how, GError **err);
