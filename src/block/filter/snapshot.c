/*
 * snapshot.c - the temporary layer of -snapshot: writes go to an unlinked file, reads merge it with the image below.
 *
 * A bit a 4 KiB cluster says which of the two holds it.  A write that covers a cluster in part first copies the rest
 * up.  Writers exclude readers; nothing here outlives the process, so a flush has nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/iov.h"
#include "block/driver.h"

enum { CLUSTER = 4096 };

typedef struct Overlay {
    int fd; /* 0: not open */
    uint64_t *present; /* bit a cluster */
    uint64_t clusters;
    GRWLock lock;
} Overlay;

static bool is_present(const Overlay *o, uint64_t cluster) { return o->present[cluster / 64] >> cluster % 64 & 1; }
static void set_present(Overlay *o, uint64_t cluster) { o->present[cluster / 64] |= 1ull << cluster % 64; }

/* Bytes from off up to end that lie all in the same place. */
static uint64_t run_length(const Overlay *o, uint64_t off, uint64_t end)
{
    uint64_t cluster = off / CLUSTER, next = cluster + 1;
    while (next * CLUSTER < end && is_present(o, next) == is_present(o, cluster))
        next++;
    return MIN(next * CLUSTER, end) - off;
}

static int read_run(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    Overlay *o = n->state;
    if (is_present(o, off / CLUSTER))
        return fd_read(o->fd, off, len, iov, niov);
    return blk_perform(n->file, BLK_READ, 0, off, len, iov, niov);
}

static int overlay_read(BlkNode *n, BlkReq *r)
{
    g_autofree struct iovec *part = g_new(struct iovec, r->niov);
    int status = 0;
    for (uint64_t done = 0; done < r->len && !status;) {
        uint64_t run = run_length(n->state, r->off + done, r->off + r->len);
        size_t bytes;
        unsigned pieces = iov_slice(r->iov, r->niov, done, run, part, r->niov, &bytes);
        status = bytes == run ? read_run(n, r->off + done, run, part, pieces) : -EINVAL;
        done += run;
    }
    return status;
}

/* Makes sure that the cluster stands in the overlay before a part of it is written. */
static int copy_up(BlkNode *n, uint64_t cluster)
{
    Overlay *o = n->state;
    if (is_present(o, cluster))
        return 0;
    char data[CLUSTER] = { 0 };
    struct iovec iov = { data, MIN(CLUSTER, n->size - cluster * CLUSTER) };
    int status = blk_perform(n->file, BLK_READ, 0, cluster * CLUSTER, iov.iov_len, &iov, 1);
    if (!status)
        status = fd_write(o->fd, cluster * CLUSTER, iov.iov_len, &iov, 1);
    if (!status)
        set_present(o, cluster);
    return status;
}

static int overlay_change(BlkNode *n, BlkReq *r)
{
    Overlay *o = n->state;
    uint64_t end = r->off + r->len;
    int status = r->off % CLUSTER ? copy_up(n, r->off / CLUSTER) : 0;
    if (!status && end % CLUSTER && end != n->size)
        status = copy_up(n, end / CLUSTER);
    if (!status)
        status = r->op == BLK_WRITE ? fd_write(o->fd, r->off, r->len, r->iov, r->niov)
                                    : fd_zero(o->fd, r->off, r->len, true);
    for (uint64_t c = r->off / CLUSTER; !status && c * CLUSTER < end; c++)
        set_present(o, c);
    return status;
}

static int overlay_perform(BlkNode *n, BlkReq *r)
{
    Overlay *o = n->state;
    int status = 0;
    switch (r->op) {
    case BLK_READ:
        g_rw_lock_reader_lock(&o->lock);
        status = overlay_read(n, r);
        g_rw_lock_reader_unlock(&o->lock);
        return status;
    case BLK_WRITE:
    case BLK_ZERO:
        g_rw_lock_writer_lock(&o->lock);
        status = overlay_change(n, r);
        g_rw_lock_writer_unlock(&o->lock);
        return status;
    case BLK_FLUSH:
    case BLK_DISCARD: /* a hint; dropping the cluster would bring back the image below */
        return 0;
    }
    return -ENOTSUP;
}

static void overlay_close(BlkNode *n)
{
    Overlay *o = n->state;
    if (o->fd)
        close(o->fd);
    g_rw_lock_clear(&o->lock);
    g_free(o->present);
}

static int open_temporary(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    g_autofree char *path = g_build_filename(directory, "atoll-snapshot-XXXXXX", NULL);
    fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* /var/tmp and not /tmp, which may be memory: a guest can write as much as its disk holds. */
static bool make_file(Overlay *o, uint64_t size, GError **err)
{
    const char *directory = g_getenv("TMPDIR");
    directory = directory && *directory ? directory : "/var/tmp";
    int fd = open_temporary(directory);
    o->fd = MAX(fd, 0);
    if (fd < 0 || ftruncate(fd, size))
        return error_set_errno(err, errno, "cannot make the temporary file of a snapshot in '%s' (TMPDIR names another place)",
                               directory);
    return true;
}

static bool overlay_open(BlkNode *n, KeyVals *options, GError **err)
{
    Overlay *o = n->state;
    g_rw_lock_init(&o->lock);
    n->size = n->file->size;
    n->read_only = false;
    n->snapshot = true;
    o->clusters = (n->size + CLUSTER - 1) / CLUSTER;
    o->present = g_try_new0(uint64_t, (o->clusters + 63) / 64);
    return o->present ? make_file(o, n->size, err)
                      : error_set(err, ERR_NO_SPACE, "no memory for the snapshot of '%s'", n->filename);
}

const BlkDriver snapshot_driver = {
    .name = "snapshot",
    .summary = "a temporary layer: what is written is gone in the end",
    .kind = BLK_FILTER,
    .reads_file = true,
    .state_bytes = sizeof(Overlay),
    .open = overlay_open,
    .close = overlay_close,
    .perform = overlay_perform,
};
