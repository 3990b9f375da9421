#pragma once
#include "base/keyval.h"
#include "block/block.h"
/*
 * driver.h - what a node is to the drivers behind block.h: filter -> format -> protocol.
 *
 * perform() is straight-line code on a worker thread and may sleep; the ranges it sees lie within the node.  A driver
 * over another node calls blk_perform() on that.
 */
typedef enum BlkKind { BLK_PROTOCOL, BLK_FORMAT, BLK_FILTER } BlkKind;
typedef enum BlkOptionType { BLK_STRING, BLK_SIZE, BLK_NUMBER, BLK_BOOL, BLK_CHOICE } BlkOptionType;

/* One option: reading it, its check and its help come from this row. */
typedef struct BlkOption {
    const char *name;
    BlkOptionType type;
    const char *def, *doc;
    const char *const *choices; /* of BLK_CHOICE, NULL-terminated */
    bool create, open;
} BlkOption;

typedef struct BlkDriver {
    const char *name, *summary;
    BlkKind kind;
    size_t state_bytes;       /* n->state, zeroed before open */
    bool grows_file;          /* a format that makes its file longer as it writes */
    const BlkOption *options; /* ends with a row without a name; NULL: none */
    bool (*probe)(const uint8_t *head, size_t n);               /* formats: is it one of ours? */
    bool (*create)(BlkNode *file, KeyVals *options, GError **err); /* formats: into an empty file */
    /* Children are open, n->filename and n->read_only are set; sets n->size, and n->backing_name where there is one. */
    bool (*open)(BlkNode *n, KeyVals *options, GError **err);
    void (*close)(BlkNode *n);                                  /* no request is under way; also after a failed open */
    int (*perform)(BlkNode *n, BlkReq *r);                      /* 0 or -errno; several at once; ENOTSUP: core emulates */
    /* Optional; a filter without them passes on to its child. */
    int (*map)(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret);
    bool (*resize)(BlkNode *n, uint64_t size, GError **err);
    bool (*check)(BlkNode *n, unsigned repair, BlkCheck *ret, GError **err);
} BlkDriver;

struct BlkNode {
    const BlkDriver *driver;
    void *state;             /* the driver's */
    BlkNode *file, *backing; /* owned; file: what lies below, of a filter too */
    BlkNode *overlay;        /* whose backing this is */
    char *filename, *warning;
    char *backing_name, *backing_format; /* as the image spells them */
    uint64_t size;
    bool read_only, snapshot, share;
    bool grows;        /* requests past the end are fine: the file grows with them */
    bool probed;       /* its format was guessed: must not name other files */
    bool may_be_empty; /* a file that is being created */
    GThreadPool *pool; /* the top node's */
    GMutex lock;       /* of in_flight */
    GCond idle;
    unsigned in_flight;
};

/* core/node.c */
BlkNode *node_create(const BlkDriver *driver, const char *filename);
void node_start(BlkNode *n); /* the top of a stack: gives it workers */
int blk_perform(BlkNode *n, BlkOp op, unsigned flags, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov);
int blk_pread(BlkNode *n, uint64_t off, void *buf, size_t len);
int blk_pwrite(BlkNode *n, uint64_t off, const void *buf, size_t len);

/* core/open.c */
const BlkDriver *blk_driver(const char *name, BlkKind kind); /* NULL: none */
/* Puts a driver over an open node, which it takes over (also when it fails).  Its backing file is not opened. */
BlkNode *blk_stack(const BlkDriver *driver, BlkNode *file, KeyVals *options, GError **err);

/* core/probe.c */
const char *format_guess(const uint8_t *head, size_t n); /* NULL: none known */

extern const BlkDriver file_driver, raw_driver, snapshot_driver, qcow2_driver;

/* protocol/denied.c, protocol/lock.c */
char *file_denied_reason(const char *path, bool write);
bool image_lock(int fd, const char *filename, bool write, char **ret_warning, GError **err);

/* protocol/file.c, for drivers that keep their data in a file: 0 or -errno.  Reading past the end gives zeros. */
bool file_create(const char *filename, GError **err); /* an empty one; leaves the contents of an old one alone */
int fd_read(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov);
int fd_write(int fd, uint64_t off, uint64_t len, const struct iovec *iov, unsigned niov);
int fd_zero(int fd, uint64_t off, uint64_t len, bool may_unmap);
