#pragma once
#include "base/keyval.h"
#include "block/block.h"
/*
 * driver.h - what a node is to the drivers behind block.h: filter -> format -> protocol.
 *
 * perform() is straight-line code on a worker thread and may sleep; the ranges it sees lie within the node.  A driver
 * over another node calls blk_perform() on that.
 *
 * submit() is optional and makes a driver fast: it starts a request without sleeping, or says that it cannot.  A format
 * whose data stand in place passes the request on with blk_forward().
 */
typedef enum BlkKind { BLK_PROTOCOL, BLK_FORMAT, BLK_FILTER } BlkKind;

typedef struct BlkDriver {
    const char *name, *summary;
    BlkKind kind;
    size_t state_bytes;       /* n->state, zeroed before open */
    bool reads_file;          /* a filter that opens its child read-only, though it is writable itself */
    bool grows_file;          /* a format that makes its file longer as it writes */
    unsigned flags;           /* BLK_FUA, BLK_COMPRESS: what perform() and submit() take care of; core does FUA by a flush */
    const char *const *schemes; /* protocols: "nbd", "http", ... of URIs; n->filename is all of it */
    const BlkOption *options; /* ends with a row without a name; NULL: none */
    bool (*probe)(const uint8_t *head, size_t n);               /* formats: is it one of ours? */
    bool (*create)(BlkNode *file, KeyVals *options, GError **err); /* formats: into an empty file; file->env has secrets */
    /* Children are open, n->filename and n->read_only are set; takes its own options (never NULL) and leaves the rest;
     * sets n->size, and n->backing_name where there is one. */
    bool (*open)(BlkNode *n, KeyVals *options, GError **err);
    void (*close)(BlkNode *n);                                  /* no request is under way; also after a failed open */
    int (*perform)(BlkNode *n, BlkReq *r);                      /* 0 or -errno; several at once; ENOTSUP: core emulates */

    /* ---- optional; of those that ask about the image, a filter without them passes on to its child */
    /* Starts r and returns true: another thread will call blk_done(), or has.  False: it would have to sleep, and
     * nothing has happened; a worker calls perform().  n is open, r checked and aligned to n->align. */
    bool (*submit)(BlkNode *n, BlkReq *r);
    /* Protocols: within submit() of the node above, completes r, which is done, with 0 and on another thread. */
    bool (*finish)(BlkNode *n, BlkReq *r);
    int (*map)(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret); /* ret is preset: allocated, host_node = n->file */
    bool (*resize)(BlkNode *n, uint64_t size, unsigned flags, GError **err); /* sets n->size */
    bool (*check)(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err);
    void (*info)(BlkNode *n, BlkInfo *ret);                     /* adds what it knows */
    void (*info_specific)(BlkNode *n, GArray *facts);           /* by fact_*() */
    bool (*measure)(KeyVals *options, BlkNode *source, BlkMeasure *ret, GError **err);
    bool (*amend)(BlkNode *n, KeyVals *options, GError **err);
    bool (*set_backing)(BlkNode *n, const char *name, const char *format, GError **err); /* core sets n->backing_name */
    bool (*make_empty)(BlkNode *n, GError **err);
    /* n->read_only has its new value (and the file is open so); before read-only: all is flushed. */
    bool (*reopen)(BlkNode *n, GError **err);
    /* Writes to n what stands in another file's node: only what protocols share and formats with a place for it. */
    int (*copy_range)(BlkNode *n, BlkNode *from_file, uint64_t from_off, uint64_t off, uint64_t len);
    bool (*snapshot_create)(BlkNode *n, const BlkSnapshot *s, GError **err);
    bool (*snapshot_list)(BlkNode *n, GArray *ret, GError **err); /* appends BlkSnapshots with strings of their own */
    bool (*snapshot_apply)(BlkNode *n, const char *id_or_name, GError **err); /* may change n->size */
    bool (*snapshot_load)(BlkNode *n, const char *id_or_name, GError **err);  /* as apply, but only in memory; n is read-only */
    bool (*snapshot_delete)(BlkNode *n, const char *id_or_name, GError **err);
    int (*vm_state)(BlkNode *n, BlkOp op, uint64_t off, void *buf, size_t len);
    /* Persistent bitmaps.  load: once the image is open; adds to n by bitmap_load().  store: on blk_close() and before
     * it becomes read-only, if bitmaps_changed or a persistent bitmap is there.  can_store: may this one be kept? */
    bool (*load_bitmaps)(BlkNode *n, GError **err);
    bool (*store_bitmaps)(BlkNode *n, GError **err);
    bool (*can_store_bitmap)(BlkNode *n, const char *name, uint64_t granularity, GError **err);
} BlkDriver;

typedef enum BlkAio { BLK_AIO_AUTO, BLK_AIO_THREADS, BLK_AIO_URING } BlkAio;
typedef enum BlkDetect { BLK_DETECT_OFF, BLK_DETECT_ON, BLK_DETECT_UNMAP } BlkDetect;

/* How a node is used (core/mode.c reads it).  Children inherit all but `detect` and `writethrough`. */
typedef struct BlkMode {
    bool direct, no_flush, writethrough;
    bool ignore_discard; /* and no zeros become holes */
    bool auto_read_only; /* rather that than fail */
    bool share;          /* no lock */
    bool no_backing;
    bool repair;         /* what is marked damaged is opened as it is */
    BlkDetect detect;    /* writes of zeros become BLK_ZERO */
    BlkAio aio;
} BlkMode;

typedef struct BlkRanges BlkRanges;
typedef struct BlkRoot BlkRoot;

struct BlkNode {
    const BlkDriver *driver;
    void *state;             /* the driver's */
    BlkNode *file, *backing; /* owned; file: what lies below, of a filter too */
    BlkNode *data;           /* owned: an external data file, or NULL */
    BlkNode *overlay;        /* whose backing this is */
    const BlkEnv *env;
    char *node_name;         /* or NULL */
    char *filename, *warning;
    char *backing_name, *backing_format; /* as the image spells them */
    uint64_t size;
    uint32_t align; /* protocols: requests must be aligned to that many bytes, memory too; 0 as 1.  Core bounces others */
    unsigned slow_ops; /* bit a BlkOp: submit() never takes it, here or below */
    bool cached;       /* protocols: what is written goes into the host's page cache, without sleeping for long */
    bool read_only, snapshot;
    bool grows;        /* requests past the end are fine: the file grows with them */
    bool probed;       /* its format was guessed: must not name other files */
    bool may_be_empty; /* a file that is being created */
    bool has_job;      /* a root: of block/job */
    bool bitmaps_changed; /* since they were stored */
    bool finished;        /* all is stored: nothing is left for blk_close() */
    BlkMode mode;
    GPtrArray *bitmaps; /* of BlkBitmap, owned; NULL: none */
    GPtrArray *words;   /* of char *: what the last check found; set by core before it */
    BlkRanges *ranges;  /* NULL: nothing needs them */
    BlkRoot *root;      /* of a root: its workers; else NULL */
    GMutex lock;        /* of size, as it grows, and of bitmaps */
};

/* core/node.c */
bool node_store_bitmaps(BlkNode *n, GError **err); /* if there is something to store */
BlkNode *node_create(const BlkDriver *driver, const char *filename);
BlkNode *past_filters(BlkNode *n); /* the image that n is about */
void fact_string(GArray *facts, const char *key, const char *value);
void fact_number(GArray *facts, const char *key, uint64_t value);
void fact_bool(GArray *facts, const char *key, bool value);

/* core/request.c */
int node_perform(BlkNode *n, BlkReq *r); /* what blk_perform() does below a root */
void blk_done(BlkReq *r, int status);    /* how a driver completes what its submit() took */
int blk_pread(BlkNode *n, uint64_t off, void *buf, size_t len);
int blk_pwrite(BlkNode *n, uint64_t off, const void *buf, size_t len);
/* As BlkDriver.submit, with all that core does around it. */
bool node_submit(BlkNode *n, BlkReq *r);
/* Within submit(): starts r on `child` at `off`.  after (optional) is called on its completion, before r->done; what it
 * returns is r's status. */
bool blk_forward(BlkNode *n, BlkNode *child, BlkReq *r, uint64_t off, int (*after)(BlkNode *n, BlkReq *r, int status));

/* protocol/io_thread.c: performs r, a write, in this round of t; false: not on t, or it took too long lately. */
bool io_thread_write(struct IoThread *t, BlkReq *r);
void root_work(BlkReq *r); /* on a worker */

/* core/root.c: a root over a stack, which it owns.  Between begin and end requests wait, and nodes may be exchanged. */
BlkNode *node_root(BlkNode *top);
void root_enter(BlkNode *root); /* waits for the gate */
void root_leave(BlkNode *root);
void root_done(BlkNode *root, const BlkReq *copy, int status); /* the same for one of blk_submit(), which may be gone */
void root_drain_begin(BlkNode *root);
void root_drain_end(BlkNode *root);

/* core/range.c: ranges of a node that must not be worked on at once.  First come, first served. */
typedef struct BlkRange {
    uint64_t off, end;
    bool exclusive;
    GList link;
} BlkRange;
BlkRanges *ranges_new(void);
void ranges_free(BlkRanges *r);
void range_lock(BlkRanges *r, BlkRange *range, uint64_t off, uint64_t len, bool exclusive);
bool range_try_lock(BlkRanges *r, BlkRange *range, uint64_t off, uint64_t len, bool exclusive);
void range_unlock(BlkRanges *r, BlkRange *range);

/* core/drivers.c */
const BlkDriver *blk_driver(const char *name, BlkKind kind); /* NULL: none */
const BlkDriver *driver_named(const char *name);             /* of any kind */
const BlkDriver *driver_of_head(const uint8_t *head, size_t n);
const BlkDriver *driver_of_uri(const char *filename); /* the protocol of "scheme:..."; the file driver for a path */
char *driver_names(BlkKind kind);                     /* "a, b, c"; caller frees */

/* core/mode.c: takes the options that every node has; *ret_name: node-name, owned by kv, or NULL. */
bool mode_take(KeyVals *kv, BlkMode *mode, bool *read_only, const char **ret_name, GError **err);
BlkMode mode_of_child(const BlkMode *mode);

/* core/open.c */
/* Puts a driver over an open node, which it takes over (also when it fails).  Its backing file is not opened. */
BlkNode *blk_stack(const BlkDriver *driver, BlkNode *file, KeyVals *options, GError **err);
/* A file that an image names, seen from the directory of the image; the caller frees it. */
char *blk_path_from(const BlkNode *n, const char *name);
/* A further child, e.g. "data-file": as "NAME.driver=..,NAME.filename=.." of the options say, or else the file that the
 * image names, seen from its directory (refused where n's format was guessed). */
BlkNode *blk_open_child(BlkNode *n, KeyVals *options, const char *name, const char *filename, GError **err);

/* core/probe.c */
const char *format_guess(const uint8_t *head, size_t n); /* NULL: none known */

/* filter/copy_on_read.c: copies up what comes from backing files; n is such a filter */
int copy_on_read_fill(BlkNode *n, uint64_t off, uint64_t len);

/* core/env.c */
/* The bytes of a secret; caller frees (and wipes). */
/* Caller unrefs.  shared: made at the first call with that name. */
struct ThrottleGroup *env_throttle_object(const BlkEnv *e, const char *id, GError **err);
struct ThrottleGroup *env_throttle_shared(const BlkEnv *e, const char *name);
bool env_secret(const BlkEnv *e, const char *id, uint8_t **ret, size_t *ret_len, GError **err);
/* A property of an object of that type, e.g. "tls-creds-x509", "tls0", "dir"; NULL: it has none.  False: no such object. */
bool env_property(const BlkEnv *e, const char *type, const char *id, const char *key, const char **ret, GError **err);

/* core/bitmap.c, for formats that keep bitmaps */
/* Bits as a format stores them: one a granule, the least significant of a byte first. */
BlkBitmap *bitmap_load(BlkNode *n, const char *name, uint64_t granularity, bool enabled, bool inconsistent, GError **err);
void bitmap_import(BlkBitmap *b, uint64_t first_byte, const uint8_t *from, size_t bytes);
void bitmap_export(BlkBitmap *b, uint64_t first_byte, uint8_t *to, size_t bytes);
uint64_t bitmap_bytes(const BlkBitmap *b); /* of all its bits */
/* For core and jobs. */
void bitmap_free(BlkBitmap *b);
void bitmaps_note(BlkNode *n, uint64_t off, uint64_t len); /* a change of n */
void bitmaps_resize(BlkNode *n, uint64_t size);
BlkBitmap *bitmap_new(uint64_t size, uint64_t granularity); /* of no node */
void bitmap_mark(BlkBitmap *b, uint64_t off, uint64_t len, bool dirty);
bool bitmap_is_dirty(BlkBitmap *b, uint64_t off);
uint64_t bitmap_dirty_bytes(BlkBitmap *b);
void bitmap_set_busy(BlkBitmap *b, bool busy);

extern const BlkDriver file_driver, memory_driver, null_driver, nbd_driver, http_driver;
extern const BlkDriver raw_driver, qcow2_driver, qcow_driver, vdi_driver, vhdx_driver, vmdk_driver, vpc_driver, luks_driver;
extern const BlkDriver snapshot_driver, throttle_driver, copy_on_read_driver, debug_driver;

/* protocol/denied.c, protocol/lock.c */
char *file_denied_reason(const char *path, bool write);
bool image_lock(int fd, const char *filename, bool write, char **ret_warning, GError **err);
void image_unlock_write(int fd); /* after an upgrade that failed */
int image_lock_take(int fd, bool write); /* without a look at others: they were looked at, through another descriptor */

/* protocol/file.c, for drivers that keep their data in a file: 0 or -errno.  Reading past the end gives zeros. */
bool file_create(const char *filename, GError **err); /* an empty one; leaves the contents of an old one alone */
int fd_read(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov);
int fd_write(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov);
int fd_zero(int fd, uint64_t off, uint64_t len, bool may_unmap);
