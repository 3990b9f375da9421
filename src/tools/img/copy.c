/*
 * copy.c - moves the data of one or several images into another: what is a hole stays one, zeros become holes.
 *
 * A data piece is small enough for the processor's cache: it is read, searched for zeros and written while it is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/img/convert.h"

enum { PIECE_BYTES = 256 << 10, COMPRESSED_PIECE_BYTES = 512 << 10, SECTOR = 512, ZERO_PIECE_BYTES = 64 << 20 };

/* ---- what comes next */

static bool start_source(Copy *c, unsigned i)
{
    if (i >= c->count)
        return false;
    c->current = i;
    c->scan = (Scan){ .n = c->sources[i].node, .top_only = c->on_backing, .end = c->sources[i].size,
                      .data_bytes = MAX(c->compress ? COMPRESSED_PIECE_BYTES : PIECE_BYTES, c->cluster) };
    return true;
}

/* A source may begin in the middle of a cluster of the target: pieces are cut where the target's clusters are. */
static bool next_piece(void *owner, Piece *ret, GError **err)
{
    Copy *c = owner;
    while (c->scan.at >= c->scan.end)
        if (!start_source(c, c->current + 1))
            return false;
    ret->local = c->scan.at;
    ret->source = c->current;
    if (!scan_next(&c->scan, &ret->extent, err))
        return false;
    ret->off = c->sources[c->current].start + ret->local;
    ret->len = ret->extent.len;
    return true;
}

/* Compressed clusters must be written whole, so a piece is whole clusters whatever the source's extents are. */
static bool next_clusters(void *owner, Piece *ret, GError **err)
{
    Copy *c = owner;
    if (c->done >= c->total)
        return false;
    ret->off = c->done;
    ret->len = MIN(MAX(COMPRESSED_PIECE_BYTES, c->cluster), c->total - c->done);
    c->done += ret->len;
    return true;
}

/* ---- writing */

static bool failed(const Copy *c, int status, const char *verb, uint64_t off, BlkNode *n, GError **err)
{
    BlkInfo info;
    blk_info(n, &info);
    return error_set_errno(err, -status, "error while %s at byte %" G_GUINT64_FORMAT " of '%s'", verb, off, info.filename);
}

static bool write_data(Copy *c, uint64_t off, char *buffer, uint64_t len, unsigned flags, GError **err)
{
    struct iovec iov = { buffer, len };
    rate_spend(&c->rate, len);
    int status = blk_perform(c->target, BLK_WRITE, flags, off, len, &iov, 1);
    return !status || failed(c, status, "writing", off, c->target, err);
}

static bool write_zeros(Copy *c, uint64_t off, uint64_t len, GError **err)
{
    if (c->target_zero)
        return true;
    int status = blk_perform(c->target, BLK_ZERO, c->granule ? BLK_MAY_UNMAP : 0, off, len, NULL, 0);
    return !status || failed(c, status, "writing zeros", off, c->target, err);
}

/* How much from `at` on is of one kind: zeros or data, in granules aligned in the target. */
static uint64_t run_of(const Copy *c, uint64_t off, const char *buffer, uint64_t len, bool *ret_zero)
{
    if (!c->granule) {
        *ret_zero = false;
        return len;
    }
    uint64_t run = 0;
    while (run < len) {
        uint64_t part = MIN(c->granule - (off + run) % c->granule, len - run);
        bool zero = is_zero(buffer + run, part);
        if (run && zero != *ret_zero)
            break;
        *ret_zero = zero;
        run += part;
    }
    return run;
}

static bool write_piece(Copy *c, uint64_t off, char *buffer, uint64_t len, unsigned flags, GError **err)
{
    bool zero = false;
    for (uint64_t at = 0, run; at < len; at += run) {
        run = run_of(c, off + at, buffer + at, len - at, &zero);
        if (!(zero ? write_zeros(c, off + at, run, err) : write_data(c, off + at, buffer + at, run, flags, err)))
            return false;
    }
    return true;
}


/* ---- reading */

/* Sector by sector: what cannot be read becomes zeros. */
static void salvage(Copy *c, BlkNode *n, uint64_t off, char *buffer, uint64_t len)
{
    for (uint64_t at = 0; at < len; at += SECTOR) {
        struct iovec iov = { buffer + at, MIN(SECTOR, len - at) };
        int status = blk_perform(n, BLK_READ, 0, off + at, iov.iov_len, &iov, 1);
        if (!status)
            continue;
        memset(iov.iov_base, 0, iov.iov_len);
        if (!c->args->quiet)
            fprintf(stderr, "%s: warning: error while reading offset %" G_GUINT64_FORMAT ": %s\n", c->args->program, off + at, g_strerror(-status));
    }
}

static bool read_source(Copy *c, const Source *s, uint64_t local, char *buffer, uint64_t len, GError **err)
{
    struct iovec iov = { buffer, len };
    int status = blk_perform(s->node, BLK_READ, 0, local, len, &iov, 1);
    if (status && c->salvage) {
        salvage(c, s->node, local, buffer, len);
        return true;
    }
    return !status || failed(c, status, "reading", local, s->node, err);
}

/* A range of the target, which may come from several sources. */
static bool read_target_range(Copy *c, uint64_t off, char *buffer, uint64_t len, GError **err)
{
    for (unsigned i = 0; i < c->count; i++) {
        const Source *s = &c->sources[i];
        uint64_t from = MAX(off, s->start), to = MIN(off + len, s->start + s->size);
        if (from < to && !read_source(c, s, from - s->start, buffer + (from - off), to - from, err))
            return false;
    }
    return true;
}

static bool is_hole(Copy *c, const Piece *p)
{
    BlkExtent e;
    for (uint64_t at = p->off; at < p->off + p->len; at += e.len) {
        const Source *s = c->sources;
        while (at >= s->start + s->size)
            s++;
        if (!blk_map_chain(s->node, at - s->start, MIN(s->start + s->size, p->off + p->len) - at, &e, NULL) || !e.zero)
            return false;
    }
    return true;
}

static bool copy_clusters(void *owner, const Piece *p, char *buffer, GError **err)
{
    Copy *c = owner;
    bool hole = c->granule && is_hole(c, p);
    bool ok = hole ? write_zeros(c, p->off, p->len, err)
                   : read_target_range(c, p->off, buffer, p->len, err) && write_piece(c, p->off, buffer, p->len, BLK_COMPRESS, err);
    progress_show(&c->progress, p->off + p->len, c->total);
    return ok;
}

static bool copy_data(Copy *c, const Piece *p, char *buffer, GError **err)
{
    const Source *s = &c->sources[p->source];
    if (c->offload && !blk_copy_range(s->node, p->local, c->target, p->off, p->len))
        return true;
    return read_source(c, s, p->local, buffer, p->len, err) && write_piece(c, p->off, buffer, p->len, 0, err);
}

static bool copy_piece(void *owner, const Piece *p, char *buffer, GError **err)
{
    Copy *c = owner;
    bool ok = true;
    if (p->extent.allocated && !p->extent.zero)
        ok = copy_data(c, p, buffer, err);
    else if (p->extent.zero || !c->on_backing)
        ok = write_zeros(c, p->off, p->len, err);
    progress_show(&c->progress, __atomic_add_fetch(&c->done, p->len, __ATOMIC_RELAXED), c->total);
    return ok;
}

bool copy_run(Copy *c, GError **err)
{
    c->done = 0;
    if (!start_source(c, 0))
        return true;
    Parallel p = { .threads = c->threads, .owner = c, .buffer_bytes = c->scan.data_bytes,
                   .next = c->compress ? next_clusters : next_piece, .work = c->compress ? copy_clusters : copy_piece };
    return parallel_run(&p, err);
}

bool copy_reflink(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CLOEXEC);
    bool ok = in >= 0 && out >= 0 && !ioctl(out, FICLONE, in);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return ok;
}
