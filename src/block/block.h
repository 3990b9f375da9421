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
 * Behind it stand stacks of nodes, filter -> format -> protocol: see driver.h.  What blk_open() gives is the root of
 * one, which stays the same while jobs put other nodes under it.  What is only a format's (snapshots, bitmaps, ...) may
 * be asked of any node: filters pass it on.
 */
typedef struct BlkNode BlkNode;
typedef struct BlkEnv BlkEnv;       /* secrets and credentials by id */
typedef struct BlkBitmap BlkBitmap; /* what was written since: see the end */
typedef enum BlkOp { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_ZERO, BLK_DISCARD } BlkOp;
enum {
    BLK_FUA = 1 << 0,
    BLK_MAY_UNMAP = 1 << 1,   /* zeros may become a hole */
    BLK_COMPRESS = 1 << 2,    /* a write of whole clusters; -ENOTSUP where the format cannot */
    BLK_NO_FALLBACK = 1 << 3, /* zeros: -ENOTSUP rather than slowly */
};

typedef struct BlkReq BlkReq;
struct BlkReq {
    BlkOp op;
    unsigned flags;
    uint64_t off, len; /* bytes; need not be aligned */
    struct iovec *iov; /* the caller's, until done() */
    unsigned niov;
    void (*done)(BlkReq *r, int status); /* 0 or -errno; exactly once, on a thread of ours, with no lock held */
    void *owner;
    BlkNode *node; /* set by blk_submit, */
    int64_t start_ns; /* as is this */
    struct IoThread *thread; /* on which done() had best be called (io_thread.h), by whom it is submitted; NULL: any */
};

typedef struct BlkInfo {
    uint64_t size; /* bytes */
    bool read_only, snapshot;
    const char *filename, *format, *node_name;
    const char *warning; /* what the user should hear about, or NULL; lives as long as the node */
    const char *backing_name, *backing_format; /* as the image spells them, or NULL */
    const char *protocol;  /* of the file below */
    uint64_t disk_bytes;   /* that the file takes; UINT64_MAX: not known */
    uint64_t file_bytes;   /* how long it is */
    uint64_t cluster_bytes; /* 0: none */
    bool encrypted, compressed, dirty, corrupt;
    bool noisy;             /* a new one of this format does not read as zeros */
} BlkInfo;

typedef struct BlkOpenOptions {
    const char *filename; /* or a URI of a protocol, or json:{...}; a path with a colon is written file:PATH */
    /* NULL: guessed from the head.  A guessed image may not name a backing file, for its guest may have written the
     * head; a format that we know but cannot open is used as raw, with a warning. */
    const char *format;
    bool read_only, snapshot;
    bool share;      /* no lock */
    bool repair;     /* also what is marked damaged opens for writing: it is going to be repaired */
    bool no_backing; /* leave its backing file closed: what is not here reads as zeros */
    /* More, as in -drive and -blockdev: "cache=none,discard=unmap,detect-zeroes=on,aio=io_uring,encrypt.key-secret=s0";
     * file.X goes to the file below; throttling.iops-total=100 and the like limit it. */
    const char *options;
    const BlkEnv *env; /* outlives the node; NULL: none */
} BlkOpenOptions;

/* What the bytes from `off` on are, for a run of them. */
typedef struct BlkExtent {
    uint64_t off, len;
    bool allocated, zero, compressed; /* in this layer, not in its backing file */
    bool has_host;
    uint64_t host;      /* where they stand in the file, if has_host */
    BlkNode *host_node; /* the file, if has_host */
    unsigned depth;     /* blk_map_chain(): how many backing files down */
    BlkNode *node;      /* blk_map_chain(): the image that has them */
} BlkExtent;

enum { BLK_REPAIR_LEAKS = 1, BLK_REPAIR_ALL = 2 };
typedef struct BlkCheck {
    uint64_t leaks, corruptions;       /* clusters, as found */
    uint64_t leaks_fixed, corruptions_fixed;
    uint64_t allocated, total;         /* clusters of the guest's disk */
    uint64_t fragmented, compressed;   /* of the allocated ones */
    uint64_t end;                      /* of what is in use in the file, bytes */
} BlkCheck;

/* Opens and locks: many readers or one writer; a refusal names the process that holds the image. */
BlkNode *blk_open(const BlkOpenOptions *o, GError **err);
/* A stack spelt as -blockdev and --image-opts do: "driver=qcow2,file.driver=file,file.filename=a.qcow2", or as JSON.  Of `o` (which
 * may be NULL) counts what is no name, format or option. */
BlkNode *blk_open_tree(const char *text, const BlkOpenOptions *o, GError **err);
void blk_close(BlkNode *n); /* waits for requests; NULL is fine; nobody hears of what could not be written */
bool blk_finish(BlkNode *n, GError **err); /* closes it too, and fails if anything of it may not be in its file */
void blk_info(BlkNode *n, BlkInfo *ret);
void blk_submit(BlkNode *n, BlkReq *r); /* never sleeps */
void blk_drain(BlkNode *n);             /* returns when no request is under way */
/* The same, and requests wait until blk_let_go(), those of who holds it as well; overlays and jobs may be put to it meanwhile. */
void blk_hold(BlkNode *root);
void blk_let_go(BlkNode *root);

/* What came by blk_submit() since the image was opened; of BlkOp. */
enum { BLK_OPS = BLK_DISCARD + 1 };
typedef struct BlkStats {
    uint64_t requests, failed, bytes, ns; /* bytes and time of those that went well */
} BlkStats;
/* idle_ns: since the last request; -1: there was none. */
void blk_stats(BlkNode *root, BlkStats ret[BLK_OPS], int64_t *ret_idle_ns);
/* For loaders, tools and tests: sleep. */
bool blk_read(BlkNode *n, uint64_t off, void *buf, size_t len, GError **err);
bool blk_write(BlkNode *n, uint64_t off, const void *buf, size_t len, GError **err);
bool blk_zero(BlkNode *n, uint64_t off, uint64_t len, unsigned flags, GError **err);
bool blk_flush(BlkNode *n, GError **err);
int blk_perform(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov);
/* Copies without the data passing through us (copy_file_range, reflinks); -ENOTSUP: read and write instead. */
int blk_copy_range(BlkNode *from, uint64_t from_off, BlkNode *to, uint64_t to_off, uint64_t len);

/* options: "size=10G,cluster_size=64k"; an old image of that name is overwritten, unless somebody has it open. */
bool blk_create(const char *format, const char *filename, const char *options, const BlkEnv *env, GError **err);
/* How large would an image become?  source: an open image, or NULL and the options hold size=. */
typedef struct BlkMeasure {
    uint64_t required, fully_allocated, bitmaps; /* bytes */
} BlkMeasure;
bool blk_measure(const char *format, const char *options, BlkNode *source, BlkMeasure *ret, GError **err);

bool blk_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret, GError **err);
bool blk_map_chain(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret, GError **err); /* through backing files */
/* From here to the bitmaps: while no request is under way. */
enum { BLK_SHRINK = 1 << 0, BLK_ALLOCATE_METADATA = 1 << 1, BLK_ALLOCATE = 1 << 2, BLK_ALLOCATE_FULL = 1 << 3 };
bool blk_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err); /* smaller: only with BLK_SHRINK */
bool blk_check(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err); /* false: cannot check at all */
/* What the last check found, in words, the first hundred: of char *; NULL: nothing was checked. */
const GPtrArray *blk_check_words(BlkNode *n);
bool blk_amend(BlkNode *n, const char *options, GError **err);
/* Rewrites what the image says of its backing file, and nothing else; NULL: none. */
bool blk_set_backing(BlkNode *n, const char *name, const char *format, GError **err);
bool blk_make_empty(BlkNode *n, GError **err); /* all reads from the backing file again */
bool blk_set_read_only(BlkNode *n, bool read_only, GError **err); /* of the image and its file, but no backing file */

/* What only this format has, for `info`: GArray of BlkFact; caller unrefs.  "bitmaps.0.name" is name in the first of
 * the list bitmaps. */
typedef enum BlkOptionType { BLK_STRING, BLK_SIZE, BLK_NUMBER, BLK_BOOL, BLK_CHOICE } BlkOptionType;
typedef struct BlkFact {
    char *key;
    BlkOptionType type;
    char *text;      /* of strings and choices */
    uint64_t number; /* of all others */
} BlkFact;
GArray *blk_info_specific(BlkNode *n);

typedef struct BlkSnapshot {
    char *id, *name;
    uint64_t size, vm_state_bytes; /* of the disk then; of the machine's state */
    uint64_t date_s, vm_clock_ns;
    uint32_t date_ns;
    uint64_t icount; /* UINT64_MAX: not known */
} BlkSnapshot;
void blk_snapshot_clear(BlkSnapshot *s);
/* Its id is chosen where it is NULL. */
bool blk_snapshot_create(BlkNode *n, const BlkSnapshot *s, GError **err);
GArray *blk_snapshot_list(BlkNode *n, GError **err); /* of BlkSnapshot; caller unrefs */
bool blk_snapshot_apply(BlkNode *n, const char *id_or_name, GError **err);
/* A read-only image shows what it was then, until it is closed. */
bool blk_snapshot_load(BlkNode *n, const char *id_or_name, GError **err);
bool blk_snapshot_delete(BlkNode *n, const char *id_or_name, GError **err);
/* The machine's state that the next snapshot takes along, or that the last applied one had. */
int blk_vm_state(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len);

/* ---- the tree */

BlkNode *blk_backing(BlkNode *n);  /* the image below, or NULL */
void blk_walk(BlkNode *n, void (*visit)(BlkNode *n, void *arg), void *arg); /* top down, backing files last */
BlkNode *blk_find(BlkNode *n, const char *node_name);                       /* NULL: none */

/* What is done to an image that a machine uses: requests wait meanwhile.  core/live.c */
bool blk_resize_live(BlkNode *root, uint64_t size, GError **err);
/* Of the image `node` in that tree, NULL: the whole of it. */
bool blk_set_read_only_live(BlkNode *root, BlkNode *node, bool read_only, GError **err);
bool blk_snapshot_create_live(BlkNode *root, const BlkSnapshot *s, GError **err);
bool blk_snapshot_delete_live(BlkNode *root, const char *id_or_name, GError **err);
/* Limits as throttling.X= has them, "iops-total=100,bps-read=1000000"; "": none.  Those that it had are gone. */
bool blk_set_limits(BlkNode *root, const char *limits, GError **err);
/* Puts the image of `overlay`, a root of an image without a backing file, above that of `root`; writes go there from now on.
 * overlay is gone then. */
bool blk_put_overlay(BlkNode *root, BlkNode *overlay, GError **err);

/* ---- the drivers, for help */

/* One option: reading it, its check and its help come from this row. */
typedef struct BlkOption {
    const char *name;
    BlkOptionType type;
    const char *def, *doc;
    const char *const *choices; /* of BLK_CHOICE, NULL-terminated */
    bool create, open, amend;
} BlkOption;
/* NULL-terminated; the caller frees the array. */
const char **blk_format_names(void);
/* Ends with a row without a name; NULL: no such format. */
const BlkOption *blk_format_options(const char *format);

/* ---- objects: secrets and credentials (core/env.c) */

BlkEnv *blk_env_new(void);
void blk_env_free(BlkEnv *e);
bool blk_env_remove_object(BlkEnv *e, const char *id, GError **err); /* images that have used it keep what they took */
bool blk_env_add_object(BlkEnv *e, const char *text, GError **err); /* "secret,id=s0,data=..|file=..,format=raw|base64" */

/* ---- dirty bitmaps (core/bitmap.c): a bit for `granularity` bytes, set by each change while it is enabled */

enum { BLK_BITMAP_NAME_MAX = 1023 };
typedef struct BlkBitmapInfo {
    const char *name;
    uint64_t granularity, dirty_bytes;
    bool enabled, persistent, busy; /* busy: a job has it */
    bool inconsistent;              /* of an image that was not closed: may only be removed */
} BlkBitmapInfo;
/* granularity: a power of two from 512; 0: 64 KiB. */
BlkBitmap *blk_bitmap_add(BlkNode *n, const char *name, uint64_t granularity, bool persistent, GError **err);
bool blk_bitmap_remove(BlkNode *n, BlkBitmap *b, GError **err);
BlkBitmap *blk_bitmap_find(BlkNode *n, const char *name);    /* NULL: none */
BlkBitmap *blk_bitmap_next(BlkNode *n, const BlkBitmap *b);  /* b NULL: the first */
void blk_bitmap_info(BlkBitmap *b, BlkBitmapInfo *ret);
bool blk_bitmap_enable(BlkBitmap *b, bool enable, GError **err);
bool blk_bitmap_clear(BlkBitmap *b, GError **err);
bool blk_bitmap_merge(BlkBitmap *to, BlkBitmap *from, GError **err); /* of images of one size */
/* The first dirty run from *off on: moves *off there and sets *ret_len.  False: none. */
bool blk_bitmap_next_dirty(BlkBitmap *b, uint64_t *off, uint64_t *ret_len);
