#pragma once
#include "base/error.h"
#include "block/driver.h"
#include "block/format/luks/luks.h"
/*
 * qcow2.h - what the parts of the qcow2 driver share.  "The specification" is QEMU's docs/interop/qcow2.txt.
 *
 * Changes of metadata stay in memory until qcow2_sync(), which writes them in the order in which a power cut can leave
 * nothing worse than leaked clusters: refcounts, then the L2 tables, then the L1 table, and only then what became free.
 *
 * Q.lock: whoever changes metadata; it is held while tables are read and written.  Q.meta: the contents of the L1 table
 * and of the L2 tables in memory, for short; a change takes both.  Q.ranges: clusters of the guest's whose place is being
 * changed.  The guest's data move with none of the locks held, but "pinned": see cluster.c.
 */
#define QCOW2_COPIED (1ull << 63)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO 1ull
#define QCOW2_OFFSET 0x00fffffffffffe00ull
enum { QCOW2_MIN_CLUSTER_BITS = 9, QCOW2_MAX_CLUSTER_BITS = 21, QCOW2_MIN_EXTENDED_BITS = 14, QCOW2_HEADER_V3 = 104, QCOW2_HEADER_MAX = 112, QCOW2_HEADER_V2 = 72 };
enum { QCOW2_MAX_L1_BYTES = 32 << 20, QCOW2_MAX_REFTABLE_BYTES = 8 << 20, QCOW2_MAX_BACKING_NAME = 1023 };
enum { QCOW2_MAX_SNAPSHOTS = 65536, QCOW2_MAX_SNAPSHOT_TABLE = 64 << 20, QCOW2_MAX_SNAPSHOT_EXTRA = 1024 };
enum { QCOW2_DIRTY = 1 << 0, QCOW2_CORRUPT = 1 << 1, QCOW2_DATA_FILE = 1 << 2, QCOW2_COMPRESSION = 1 << 3, QCOW2_EXTENDED = 1 << 4, QCOW2_LAZY_REFCOUNTS = 1 << 0, QCOW2_AES = 1, QCOW2_LUKS = 2 };
enum { QCOW2_BITMAPS_VALID = 1 << 0, QCOW2_DATA_RAW = 1 << 1 };
enum { QCOW2_EXT_END = 0, QCOW2_EXT_BACKING_FORMAT = (int)0xe2792aca, QCOW2_EXT_BITMAPS = 0x23852875, QCOW2_EXT_CRYPTO = 0x0537be77, QCOW2_EXT_DATA_FILE = 0x44415441 };

typedef struct Qcow2Header {
    uint32_t version, backing_bytes, cluster_bits, crypt_method, l1_size, reftable_clusters, snapshots, refcount_order, length, codec;
    uint64_t backing_off, size, l1_off, reftable_off, snapshots_off, incompatible, compatible, autoclear;
} Qcow2Header;

typedef struct Qcow2Extension {
    uint32_t type;
    GBytes *data;
} Qcow2Extension;

/* A row of the directory of dirty bitmaps. */
typedef struct Qcow2Bitmap {
    char *name;
    uint64_t table_off;
    uint32_t table_size, flags;
    uint8_t granularity_bits;
    bool keep; /* while they are being stored: it stays as it is */
} Qcow2Bitmap;

/* A row of the snapshot table, with its L1 table once somebody needed that. */
typedef struct Qcow2Snapshot {
    char *id, *name;
    uint64_t l1_off, clock_ns, vm_state_bytes, disk_bytes, icount;
    uint32_t l1_size, date_s, date_ns;
    GBytes *extra; /* fields that we do not know */
    uint64_t *l1;
} Qcow2Snapshot;

/* Where the directory of the dirty bitmaps stands. */
typedef struct Qcow2BitmapDirectory {
    uint32_t count;
    uint64_t bytes, off;
} Qcow2BitmapDirectory;

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

typedef enum Qcow2Codec { QCOW2_ZLIB, QCOW2_ZSTD } Qcow2Codec;

typedef struct Qcow2 {
    BlkNode *file;
    Qcow2Header h;
    unsigned cluster_bits, l2_bits, block_bits; /* log2 of entries of an L2 table and of a refcount block */
    uint64_t cluster_bytes;
    uint64_t *l1, *reftable; /* in the host's byte order */
    uint64_t reftable_size;  /* entries */
    Dirty l1_dirty, reftable_dirty;
    GPtrArray *snapshots;    /* of Qcow2Snapshot */
    GArray *unknown;         /* of Qcow2Extension: header extensions that we keep for others */
    GBytes *head_rest;       /* fields of the header that we do not know */
    Qcow2BitmapDirectory bitmaps_at;
    GPtrArray *bitmaps;      /* of Qcow2Bitmap, as they stand in the file */
    Cache l2s, blocks;
    BlkNode *data;           /* where the guest's data stand: `file`, or an external data file */
    char *data_name;         /* as the image spells it */
    bool extended, data_raw; /* extended L2 entries; the data file is a raw image by itself */
    unsigned entry_shift, subs; /* log2 of the bytes of an L2 entry; subclusters a cluster */
    uint64_t sub_bytes;
    Qcow2Codec codec;
    Luks *luks;              /* NULL: not encrypted, or nobody gave the passphrase */
    uint64_t luks_off, luks_bytes;
    uint64_t packed, padded; /* where the next compressed cluster may begin, or 0; up to where zeros follow */
    uint64_t snapshot_bytes; /* of their table */
    uint64_t hint; /* no cluster before it is free */
    uint64_t end;  /* no cluster from it on was ever given out */
    GArray *freed; /* of uint64_t: clusters whose refcounts fall by one once the tables that named them are written */
    GMutex lock, meta;
    BlkRanges *ranges;
    GCond unpinned;
    bool pins_awaited;
    unsigned epoch, pins[2]; /* data that move, by when they were looked up */
} Qcow2;

typedef enum Qcow2Kind { QCOW2_IS_HOLE, QCOW2_IS_ZERO, QCOW2_IS_DATA, QCOW2_IS_COMPRESSED } Qcow2Kind;

typedef struct Qcow2Entry {
    uint64_t word, bits; /* bits: of extended entries, else 0; low half: data, high half: zeros */
} Qcow2Entry;

/* What stands at a guest offset, for `len` bytes. */
typedef struct Qcow2Run {
    Qcow2Kind kind;
    uint64_t len, host; /* host: of the first byte, if data */
    Qcow2Entry entry;   /* of the first cluster */
    bool own, in_place; /* its cluster may be written; it is data that may be overwritten where it is */
    unsigned pin;
} Qcow2Run;

/* header.c */
bool qcow2_probe(const uint8_t *head, size_t n);
bool qcow2_read_header(BlkNode *n, GError **err);
void qcow2_encode_header(const Qcow2Header *h, uint8_t *to); /* QCOW2_HEADER_MAX bytes */
int qcow2_write_header(Qcow2 *q);
int qcow2_change_header(Qcow2 *q, const Qcow2Header *next); /* with barriers around; 0: q->h is that */

bool qcow2_refuse(const BlkNode *n, GError **err, ErrorCode code, const char *format, ...) G_GNUC_PRINTF(4, 5);

/* extension.c: what stands in the first cluster behind the header */
bool qcow2_read_extensions(BlkNode *n, GError **err);
/* What an image will be called and said to stand on; NULL: nothing. */
typedef struct Qcow2Names {
    const char *backing, *backing_format, *data;
} Qcow2Names;
Qcow2Names qcow2_names(const BlkNode *n); /* as it is */
/* The first cluster anew, with barriers around.  next: its header, q->h if that succeeds.  -ENAMETOOLONG: does not fit. */
int qcow2_change_head(BlkNode *n, const Qcow2Header *next, const Qcow2Names *names, const Qcow2BitmapDirectory *bitmaps);

/* cache.c: 0 or -errno.  A table stays where it is until the next call with the same cache. */
void cache_init(Cache *c, unsigned max);
void cache_clear(Cache *c);
void cache_forget(Qcow2 *q, Cache *c);
Table *cache_find(Cache *c, uint64_t off);
int cache_get(Qcow2 *q, Cache *c, uint64_t off, Table **ret);
int cache_peek(Qcow2 *q, Cache *c, uint64_t off, uint8_t *buffer, uint8_t **ret); /* does not keep it: in `buffer` if it was not there */
int cache_new(Qcow2 *q, Cache *c, uint64_t off, Table **ret); /* zeros, dirty */
void cache_drop(Qcow2 *q, Cache *c, uint64_t off);
bool cache_is_dirty(Qcow2 *q, Cache *c);
int cache_write(Qcow2 *q, Cache *c);
int qcow2_sync(Qcow2 *q);
int qcow2_sync_refcounts(Qcow2 *q);
void dirty_add(Dirty *d, uint64_t entry);

/* refcount.c */
uint64_t refcount_get(const uint8_t *block, unsigned order, uint64_t i);
void refcount_put(uint8_t *block, unsigned order, uint64_t i, uint64_t value);
int qcow2_refcount(Qcow2 *q, uint64_t cluster, uint64_t *ret);
int qcow2_set_refcount(Qcow2 *q, uint64_t cluster, uint64_t value);
int qcow2_alloc(Qcow2 *q, uint64_t *ret_off);
int qcow2_alloc_run(Qcow2 *q, uint64_t want, uint64_t *ret_off, uint64_t *ret_got); /* at least one, in one piece */
void qcow2_unalloc(Qcow2 *q, uint64_t off, uint64_t clusters); /* at once: nothing names them */
int qcow2_alloc_region(Qcow2 *q, uint64_t clusters, uint64_t *ret_off); /* in one piece */
void qcow2_free(Qcow2 *q, uint64_t off, uint64_t bytes);
int qcow2_apply_freed(Qcow2 *q);
bool qcow2_is_metadata(const Qcow2 *q, uint64_t off);
int qcow2_mark_corrupt(Qcow2 *q); /* -EIO, from now on for all changes */

/* cluster.c */
Qcow2Entry qcow2_entry_at(const Qcow2 *q, const Table *t, uint64_t i);
void qcow2_put_entry(const Qcow2 *q, Table *t, uint64_t i, Qcow2Entry entry);
bool qcow2_has_host(const Qcow2 *q, uint64_t word);
void qcow2_compressed_range(const Qcow2 *q, uint64_t word, uint64_t *ret_off, uint64_t *ret_bytes);
uint64_t qcow2_compressed_word(const Qcow2 *q, uint64_t off, uint64_t bytes);
int qcow2_lookup(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret);    /* with Q.lock; not pinned */
int qcow2_find(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret);      /* without a lock; pinned if 0 */
bool qcow2_try_find(Qcow2 *q, uint64_t off, uint64_t len, Qcow2Run *ret); /* never sleeps */
void qcow2_unpin(Qcow2 *q, unsigned pin);
void qcow2_wait_pins(Qcow2 *q); /* until all are gone that were there; with Q.lock and no pin of one's own */
int qcow2_set_entry(Qcow2 *q, uint64_t off, Qcow2Entry entry);
void qcow2_free_entry(Qcow2 *q, uint64_t word);

/* codec.c */
int qcow2_inflate(Qcow2Codec codec, const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes);
size_t qcow2_deflate(Qcow2Codec codec, const uint8_t *from, size_t from_bytes, uint8_t *to, size_t to_bytes); /* 0: not smaller */

/* compress.c */
int qcow2_pad_packed(Qcow2 *q);
int qcow2_write_compressed(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov);

/* read.c, write.c, zero.c */
int qcow2_read(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov);
bool qcow2_reads_zero(BlkNode *n, uint64_t off, uint64_t len);
int qcow2_write(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov);
int qcow2_zero(BlkNode *n, uint64_t off, uint64_t len, bool discard, bool unmap);

/* request.c */
int qcow2_perform(BlkNode *n, BlkReq *r);
bool qcow2_submit(BlkNode *n, BlkReq *r);
int qcow2_vm_state(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len);

/* refs.c: who uses which cluster, counted from the tables themselves */
typedef struct Refs {
    Qcow2 *q;
    GHashTable *chunks;       /* of uint8_t[1 << REFS_CHUNK_BITS], a count a cluster, where any is counted */
    GHashTable *many;         /* counts that do not fit there, by cluster */
    uint64_t at;              /* the chunk that was used last, ... */
    uint8_t *chunk;           /* ... NULL: none is there */
    uint64_t block_at;        /* the same of the refcounts as they stand in the image */
    const uint8_t *block;
    uint64_t limit;           /* clusters; no reference is believed from here on */
    GHashTable *tables;       /* L2 tables by offset: how many L1 entries name each */
    GPtrArray *words;         /* of char *: what is wrong; NULL: not wanted */
    uint8_t *buffer, *block_buffer; /* tables that are not worth keeping */
    uint64_t corruptions, end;
} Refs;

/* What an image could become: the tables that a header would name. */
typedef struct Qcow2Next {
    Qcow2Header h;
    uint64_t *l1;
    GPtrArray *snapshots;
} Qcow2Next;

enum { REFS_CHUNK_BITS = 16 };
void refs_init(Refs *r, Qcow2 *q, GPtrArray *words);
uint32_t refs_count(Refs *r, uint64_t cluster);
bool refs_set(Refs *r, uint64_t cluster, uint32_t count);  /* false: no memory */
uint64_t refs_stored(Refs *r, uint64_t cluster);           /* as the image says it; a block that cannot be right says 0 */
int refs_peek(Refs *r, uint64_t off, Table *ret);          /* an L2 table, until the next one */
void refs_clear(Refs *r);
bool refs_add(Refs *r, uint64_t off, uint64_t bytes, uint32_t times); /* false: no memory, or not within the limit */
int refs_tables(Refs *r, const Qcow2Next *next);   /* all but the refcounts' own clusters */
int refs_refcounts(Refs *r);                       /* those */
void refs_say(Refs *r, const char *format, ...) G_GNUC_PRINTF(2, 3); /* refs_wrong() counts as well */
void refs_wrong(Refs *r, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* rebuild.c: from one sound state to another by one write of the header */
typedef struct Rebuild {
    Refs refs;
    Qcow2Next next;
    uint64_t at;     /* no cluster before it will be taken */
    bool mistrust;   /* the refcounts: take clusters from the end of the file only */
    uint64_t snapshot_bytes;
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

/* bitmap.c */
bool qcow2_read_bitmaps(BlkNode *n, GError **err); /* their directory */
bool qcow2_use_bitmaps(BlkNode *n, GError **err); /* from now on, until they are stored */
bool qcow2_load_bitmaps(BlkNode *n, GError **err);
bool qcow2_store_bitmaps(BlkNode *n, GError **err);
bool qcow2_can_store_bitmap(BlkNode *n, const char *name, uint64_t granularity, GError **err);
void qcow2_bitmap_free(void *b);
int refs_bitmaps(Refs *r);

/* amend.c, info.c */
bool qcow2_amend(BlkNode *n, KeyVals *options, GError **err);
bool qcow2_set_backing(BlkNode *n, const char *name, const char *format, GError **err);
bool qcow2_make_empty(BlkNode *n, GError **err);
void qcow2_info(BlkNode *n, BlkInfo *ret);
void qcow2_info_specific(BlkNode *n, GArray *facts);
bool qcow2_measure(KeyVals *options, BlkNode *source, BlkMeasure *ret, GError **err);

/* crypt.c: the guest's data, in their place, through the cipher if there is one */
bool qcow2_open_crypt(BlkNode *n, KeyVals *options, GError **err);
bool qcow2_create_crypt(BlkNode *n, unsigned method, const LuksOptions *o, GError **err);
int qcow2_read_data(Qcow2 *q, uint64_t guest, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov);
int qcow2_write_data(Qcow2 *q, uint64_t guest, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov);

/* qcow2.c */
int qcow2_read_table(BlkNode *file, uint64_t off, uint64_t entries, uint64_t **ret); /* in the host's byte order */

/* create.c */
extern const BlkOption qcow2_options[];
extern const char *const qcow2_compats[]; /* of even index: version 2 */
typedef struct Qcow2Geometry {
    uint64_t cluster, refcount_bits, entry_bytes;
} Qcow2Geometry;
/* For measuring: takes all options.  all: everything is preallocated. */
bool qcow2_take_geometry(KeyVals *options, Qcow2Geometry *ret, uint64_t *ret_size, bool *ret_all, GError **err);
bool qcow2_create(BlkNode *file, KeyVals *options, GError **err);

/* resize.c */
int qcow2_grow_l1(BlkNode *n, uint64_t entries); /* with Q.lock */
int qcow2_forget_cluster(Qcow2 *q, uint64_t off);     /* a hole from now on */
int qcow2_preallocate(BlkNode *n, uint64_t from, unsigned how); /* BLK_ALLOCATE... */
bool qcow2_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err);
void qcow2_cut_file(Qcow2 *q); /* clusters at its end that nobody uses */

/* check.c */
bool qcow2_check(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err);

static inline uint64_t div_up(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
