#pragma once
#include "block/driver.h"
/*
 * qcow2.h - what the parts of the qcow2 driver share.  "The specification" is QEMU's docs/interop/qcow2.txt.
 *
 * Changes of metadata stay in memory until qcow2_sync(), which writes them in the order in which a power cut can leave
 * nothing worse than leaked clusters: refcounts, then the L2 tables, then the L1 table, and only then what became free.
 *
 * Q.lock: readers look up and move data in place, the writer allocates.  Q.meta: the caches, between readers.
 */
#define QCOW2_COPIED (1ull << 63)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO 1ull
#define QCOW2_OFFSET 0x00fffffffffffe00ull
enum { QCOW2_MIN_CLUSTER_BITS = 9, QCOW2_MAX_CLUSTER_BITS = 21, QCOW2_HEADER_V3 = 104, QCOW2_HEADER_V2 = 72 };
enum { QCOW2_MAX_L1_BYTES = 32 << 20, QCOW2_MAX_REFTABLE_BYTES = 8 << 20, QCOW2_MAX_BACKING_NAME = 1023 };
enum { QCOW2_MAX_SNAPSHOTS = 65536, QCOW2_MAX_SNAPSHOT_TABLE = 64 << 20, QCOW2_MAX_SNAPSHOT_EXTRA = 1024 };
enum { QCOW2_DIRTY = 1 << 0, QCOW2_CORRUPT = 1 << 1, QCOW2_LAZY_REFCOUNTS = 1 << 0 };
enum { QCOW2_EXT_END = 0, QCOW2_EXT_BACKING_FORMAT = (int)0xe2792aca, QCOW2_EXT_BITMAPS = 0x23852875 };

typedef struct Qcow2Header {
    uint32_t version, backing_bytes, cluster_bits, crypt_method, l1_size, reftable_clusters, snapshots, refcount_order, length;
    uint64_t backing_off, size, l1_off, reftable_off, snapshots_off, incompatible, compatible, autoclear;
} Qcow2Header;

/* A row of the snapshot table, with its L1 table once somebody needed that. */
typedef struct Qcow2Snapshot {
    char *id, *name;
    uint64_t l1_off, clock_ns, vm_state_bytes, disk_bytes, icount;
    uint32_t l1_size, date_s, date_ns;
    GBytes *extra; /* fields that we do not know */
    uint64_t *l1;
} Qcow2Snapshot;

/* One metadata cluster in memory. */
typedef struct Table {
    uint64_t off; /* in the file */
    uint8_t *data;
    bool dirty;
    GList link; /* of Cache.lru */
} Table;

typedef struct Cache {
    GHashTable *tables; /* by offset */
    GQueue lru;         /* the head was used last */
    unsigned max;
} Cache;

typedef struct Dirty {
    uint64_t from, to; /* entries; empty when equal */
} Dirty;

typedef struct Qcow2 {
    BlkNode *file;
    Qcow2Header h;
    unsigned cluster_bits, l2_bits, block_bits; /* log2 of entries of an L2 table and of a refcount block */
    uint64_t cluster_bytes;
    uint64_t *l1, *reftable; /* in the host's byte order */
    uint64_t reftable_size;  /* entries */
    Dirty l1_dirty, reftable_dirty;
    GPtrArray *snapshots;    /* of Qcow2Snapshot */
    Cache l2s, blocks;
    uint64_t hint; /* no cluster before it is free */
    uint64_t end;  /* no cluster from it on was ever given out */
    GArray *freed; /* of uint64_t: clusters whose refcounts fall by one once the tables that named them are written */
    GRWLock lock;
    GMutex meta;
} Qcow2;

typedef enum Qcow2Kind { QCOW2_IS_HOLE, QCOW2_IS_ZERO, QCOW2_IS_DATA, QCOW2_IS_COMPRESSED } Qcow2Kind;

/* What stands at a guest offset, for `len` bytes. */
typedef struct Qcow2Run {
    Qcow2Kind kind;
    uint64_t len, entry, host; /* the first cluster's L2 entry; host: of the first byte */
    bool in_place;             /* data that may be overwritten where it is */
} Qcow2Run;

/* header.c */
bool qcow2_probe(const uint8_t *head, size_t n);
bool qcow2_read_header(BlkNode *n, GError **err);
void qcow2_encode_header(const Qcow2Header *h, uint8_t *to); /* QCOW2_HEADER_V3 bytes */
int qcow2_write_header(Qcow2 *q);

/* cache.c: 0 or -errno.  A table stays where it is until the next call with the same cache. */
void cache_init(Cache *c, unsigned max);
void cache_clear(Cache *c);
void cache_forget(Cache *c);
int cache_get(Qcow2 *q, Cache *c, uint64_t off, Table **ret);
int cache_new(Qcow2 *q, Cache *c, uint64_t off, Table **ret); /* zeros, dirty */
void cache_drop(Cache *c, uint64_t off);
bool cache_is_dirty(const Cache *c);
int cache_write(Qcow2 *q, Cache *c);
int qcow2_sync(Qcow2 *q);
int qcow2_sync_refcounts(Qcow2 *q);
void dirty_add(Dirty *d, uint64_t entry);

/* refcount.c */
void refcount_put(uint8_t *block, unsigned order, uint64_t i, uint64_t value);
int qcow2_refcount(Qcow2 *q, uint64_t cluster, uint64_t *ret);
int qcow2_set_refcount(Qcow2 *q, uint64_t cluster, uint64_t value);
int qcow2_alloc(Qcow2 *q, uint64_t *ret_off);
int qcow2_alloc_region(Qcow2 *q, uint64_t clusters, uint64_t *ret_off); /* in one piece */
void qcow2_free(Qcow2 *q, uint64_t off, uint64_t bytes);
int qcow2_apply_freed(Qcow2 *q);
bool qcow2_is_metadata(const Qcow2 *q, uint64_t off);

/* cluster.c */
uint64_t qcow2_entry_at(const Qcow2 *q, const Table *t, uint64_t i);
void qcow2_put_entry(const Qcow2 *q, Table *t, uint64_t i, uint64_t entry);
int qcow2_lookup(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret);
int qcow2_set_entry(Qcow2 *q, uint64_t off, uint64_t entry);
void qcow2_compressed_range(const Qcow2 *q, uint64_t entry, uint64_t *ret_off, uint64_t *ret_bytes);
void qcow2_free_entry(Qcow2 *q, uint64_t entry);

/* io.c */
int qcow2_perform(BlkNode *n, BlkReq *r);

/* refs.c: who uses which cluster, counted from the tables themselves */
typedef struct Refs {
    Qcow2 *q;
    uint32_t *count; /* a cluster */
    uint64_t clusters, limit; /* counted so far; no reference is believed from `limit` on */
    GHashTable *tables;       /* L2 tables by offset: how many L1 entries name each */
    GPtrArray *words;         /* of char *: what is wrong; NULL: not wanted */
    uint64_t corruptions, end;
} Refs;

/* What an image could become: the tables that a header would name. */
typedef struct Qcow2Next {
    Qcow2Header h;
    uint64_t *l1;
    GPtrArray *snapshots;
} Qcow2Next;

void refs_init(Refs *r, Qcow2 *q, GPtrArray *words);
void refs_clear(Refs *r);
bool refs_add(Refs *r, uint64_t off, uint64_t bytes, uint32_t times); /* false: no memory, or not within the limit */
int refs_tables(Refs *r, const Qcow2Next *next);   /* all but the refcounts' own clusters */
int refs_refcounts(Refs *r);                       /* those */
void refs_wrong(Refs *r, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* rebuild.c: from one sound state to another by one write of the header */
typedef struct Rebuild {
    Refs refs;
    Qcow2Next next;
    uint64_t at;     /* no cluster before it will be taken */
    bool mistrust;   /* the refcounts: take clusters from the end of the file only */
    int status;
} Rebuild;
int rebuild_begin(Rebuild *b, Qcow2 *q);          /* next: as it is now */
int rebuild_end(Rebuild *b);                      /* 0: the image is what `next` said */
void rebuild_clear(Rebuild *b);
int rebuild_take(Rebuild *b, uint64_t bytes, uint64_t *ret_off); /* clusters in one piece */

/* snapshot.c */
bool qcow2_read_snapshots(BlkNode *n, GError **err);
int qcow2_snapshot_l1(Qcow2 *q, Qcow2Snapshot *s);
bool qcow2_snapshot_create(BlkNode *n, const BlkSnapshot *s, GError **err);
bool qcow2_snapshot_list(BlkNode *n, GArray *ret, GError **err);
bool qcow2_snapshot_apply(BlkNode *n, const char *id_or_name, GError **err);
bool qcow2_snapshot_load(BlkNode *n, const char *id_or_name, GError **err);
bool qcow2_snapshot_delete(BlkNode *n, const char *id_or_name, GError **err);
int qcow2_vm_state(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len);
GByteArray *qcow2_encode_snapshots(const GPtrArray *snapshots);
Qcow2Snapshot *qcow2_snapshot_copy(const Qcow2Snapshot *s);
void qcow2_snapshot_free(void *s);

/* qcow2.c */
int qcow2_read_table(BlkNode *file, uint64_t off, uint64_t entries, uint64_t **ret); /* in the host's byte order */

/* create.c */
extern const BlkOption qcow2_options[];
bool qcow2_create(BlkNode *file, KeyVals *options, GError **err);
int qcow2_grow_l1(BlkNode *n, uint32_t entries);
bool qcow2_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err);

/* check.c */
bool qcow2_check(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err);

static inline uint64_t div_up(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
