/* blockmap.c - requests on images that keep a table of blocks. */
#include "block/format/blockmap.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "base/iov.h"

void blockmap_init(BlockMap *m, const BlockMapOps *ops, BlkNode *n, BlkNode *file, uint64_t block_bytes)
{
    m->ops = ops;
    m->node = n;
    m->file = file;
    m->block_bytes = block_bytes;
    g_rw_lock_init(&m->lock);
}

void blockmap_clear(BlockMap *m)
{
    if (m->ops)
        g_rw_lock_clear(&m->lock);
    m->ops = NULL;
}

int blockmap_take(BlockMap *m, uint64_t bytes, uint64_t align, uint64_t *ret)
{
    uint64_t at = (m->end + align - 1) / align * align;
    if (at + bytes > m->file->size && !blk_resize(m->file, at + bytes, 0, NULL))
        return -ENOSPC;
    m->end = at + bytes;
    *ret = at;
    return 0;
}

bool blockmap_inflate(const uint8_t *from, size_t from_bytes, int window_bits, uint8_t *to, size_t to_bytes)
{
    z_stream z = { .next_in = (uint8_t *)from, .avail_in = from_bytes, .next_out = to, .avail_out = to_bytes };
    if (inflateInit2(&z, window_bits) != Z_OK)
        return false;
    int status = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return !z.avail_out && (status == Z_STREAM_END || status == Z_BUF_ERROR);
}

bool blockmap_put(BlkNode *file, uint64_t off, const void *data, size_t bytes, GError **err)
{
    int status = blk_pwrite(file, off, data, bytes);
    return !status || error_set_errno(err, -status, "cannot create '%s'", file->filename);
}

void blockmap_uuid(uint8_t uuid[16])
{
    for (unsigned i = 0; i < 16; i += 4)
        memcpy(uuid + i, &(uint32_t){ g_random_int() }, 4);
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

/* ---- one block: [at, at + len) lies within it */

/* Data that have a place; `off` is where they are in the disk. */
static int move_data(BlockMap *m, BlkOp op, uint64_t off, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov)
{
    if (!m->ops->crypt)
        return blk_perform(m->file, op, 0, host, len, iov, niov);
    g_autofree uint8_t *piece = g_malloc(len);
    if (op == BLK_WRITE) {
        iov_read(iov, niov, 0, piece, len);
        return m->ops->crypt(m, true, off, piece, len) ? blk_pwrite(m->file, host, piece, len) : -EIO;
    }
    int status = blk_pread(m->file, host, piece, len);
    if (!status && !m->ops->crypt(m, false, off, piece, len))
        status = -EIO;
    if (!status)
        iov_write(iov, niov, 0, piece, len);
    return status;
}

static int read_backing(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    uint64_t has = n->backing && off < n->backing->size ? MIN(len, n->backing->size - off) : 0;
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    size_t bytes;
    unsigned pieces = iov_slice(iov, niov, 0, has, part, niov, &bytes);
    iov_fill(iov, niov, has, 0, len - has);
    return has ? blk_perform(n->backing, BLK_READ, 0, off, has, part, pieces) : 0;
}

static int read_block(BlockMap *m, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    BlockPlace p = { 0 };
    uint64_t within = off % m->block_bytes;
    int status = m->ops->find(m, off / m->block_bytes, &p);
    if (status)
        return status;
    switch (p.kind) {
    case BLOCK_HOLE:
        return read_backing(m->node, off, len, iov, niov);
    case BLOCK_ZERO:
        iov_fill(iov, niov, 0, 0, len);
        return 0;
    case BLOCK_DATA:
        return move_data(m, BLK_READ, off, p.host + within, len, iov, niov);
    case BLOCK_PACKED:
        break;
    }
    g_autofree uint8_t *block = g_malloc(m->block_bytes);
    status = m->ops->unpack(m, &p, block);
    if (!status)
        iov_write(iov, niov, 0, block + within, len);
    return status;
}

/* The whole block as it will read, with the new part in it. */
static int merged(BlockMap *m, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov, uint8_t *block)
{
    uint64_t start = off - off % m->block_bytes;
    struct iovec whole = { block, MIN(m->block_bytes, m->node->size - start) };
    int status = len < whole.iov_len ? read_block(m, start, whole.iov_len, &whole, 1) : 0;
    if (!status)
        iov_read(iov, niov, 0, block + (off - start), len);
    return status;
}

static int append_block(BlockMap *m, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    g_autofree uint8_t *block = g_malloc0(m->block_bytes);
    int status = merged(m, off, len, iov, niov, block);
    return status ? status : m->ops->append(m, off / m->block_bytes, block);
}

/* New room is zero already, as it lies behind the file's end: of a block that was a hole only the part is written. */
static int write_new(BlockMap *m, const BlockPlace *was, uint64_t host, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    bool nothing_around = !m->ops->crypt && (was->kind == BLOCK_ZERO || (was->kind == BLOCK_HOLE && !m->node->backing));
    if (nothing_around || len == m->block_bytes)
        return move_data(m, BLK_WRITE, off, host + off % m->block_bytes, len, iov, niov);
    g_autofree uint8_t *block = g_malloc0(m->block_bytes);
    int status = merged(m, off, len, iov, niov, block);
    return status ? status : move_data(m, BLK_WRITE, off - off % m->block_bytes, host, m->block_bytes, &(struct iovec){ block, m->block_bytes }, 1);
}

static int write_block(BlockMap *m, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    BlockPlace p = { 0 };
    uint64_t block = off / m->block_bytes, host;
    int status = m->ops->find(m, block, &p);
    if (status)
        return status;
    if (m->ops->append)
        return append_block(m, off, len, iov, niov);
    if (p.kind == BLOCK_DATA)
        return move_data(m, BLK_WRITE, off, p.host + off % m->block_bytes, len, iov, niov);
    if (!m->ops->reserve)
        return -EROFS;
    status = m->ops->reserve(m, block, &host);
    if (!status)
        status = write_new(m, &p, host, off, len, iov, niov);
    return status ? status : m->ops->enter(m, block, host);
}

static int zero_block(BlockMap *m, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    BlockPlace p = { 0 };
    bool whole = len == m->block_bytes || (off % m->block_bytes == 0 && off + len == m->node->size);
    int status = m->ops->find(m, off / m->block_bytes, &p);
    if (status || p.kind == BLOCK_ZERO || (p.kind == BLOCK_HOLE && !m->node->backing))
        return status;
    if (whole && m->ops->set_zero)
        return m->ops->set_zero(m, off / m->block_bytes);
    g_autofree uint8_t *zeros = g_malloc0(len);
    return write_block(m, off, len, &(struct iovec){ zeros, len }, 1);
}

/* ---- requests */

typedef int (*BlockFn)(BlockMap *m, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov);

static int each_block(BlockMap *m, const BlkReq *r, BlockFn fn)
{
    g_autofree struct iovec *part = g_new(struct iovec, r->niov + 1);
    int status = 0;
    for (uint64_t done = 0, len; done < r->len && !status; done += len) {
        uint64_t off = r->off + done;
        len = MIN(r->len - done, m->block_bytes - off % m->block_bytes);
        size_t bytes;
        unsigned pieces = iov_slice(r->iov, r->niov, done, len, part, r->niov, &bytes);
        status = bytes == len || !r->niov ? fn(m, off, len, part, pieces) : -EINVAL;
    }
    return status;
}

static bool all_in_place(BlockMap *m, const BlkReq *r)
{
    for (uint64_t b = r->off / m->block_bytes; b <= (r->off + r->len - 1) / m->block_bytes; b++) {
        BlockPlace p = { 0 };
        if (m->ops->append || m->ops->find(m, b, &p) || p.kind != BLOCK_DATA)
            return false;
    }
    return true;
}

static int locked_alone(BlockMap *m, const BlkReq *r, BlockFn fn)
{
    g_rw_lock_writer_lock(&m->lock);
    int status = each_block(m, r, fn);
    g_rw_lock_writer_unlock(&m->lock);
    return status;
}

static int write_request(BlockMap *m, const BlkReq *r)
{
    g_rw_lock_reader_lock(&m->lock);
    bool in_place = all_in_place(m, r);
    int status = in_place ? each_block(m, r, write_block) : 0;
    g_rw_lock_reader_unlock(&m->lock);
    return in_place ? status : locked_alone(m, r, write_block);
}

static int flush_request(BlockMap *m)
{
    if (m->node->read_only)
        return 0;
    g_rw_lock_writer_lock(&m->lock);
    int status = m->ops->flush ? m->ops->flush(m) : 0;
    g_rw_lock_writer_unlock(&m->lock);
    return status ? status : blk_perform(m->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

int blockmap_perform(BlockMap *m, BlkReq *r)
{
    int status;
    switch (r->op) {
    case BLK_READ:
        g_rw_lock_reader_lock(&m->lock);
        status = each_block(m, r, read_block);
        g_rw_lock_reader_unlock(&m->lock);
        return status;
    case BLK_WRITE:
        return write_request(m, r);
    case BLK_ZERO:
        return locked_alone(m, r, zero_block);
    case BLK_FLUSH:
        return flush_request(m);
    default:
        return -ENOTSUP;
    }
}

/* The run of blocks that are of one kind and, if they have a place, follow each other in the file. */
int blockmap_map(BlockMap *m, uint64_t off, uint64_t len, BlkExtent *ret)
{
    BlockPlace first = { 0 };
    g_rw_lock_reader_lock(&m->lock);
    int status = m->ops->find(m, off / m->block_bytes, &first);
    uint64_t within = off % m->block_bytes, run = m->block_bytes - within;
    for (BlockPlace p = { 0 }; !status && run < len; run += m->block_bytes) {
        status = m->ops->find(m, (off + run) / m->block_bytes, &p);
        if (status || p.kind != first.kind || (p.kind == BLOCK_DATA && p.host != first.host + within + run))
            break;
    }
    g_rw_lock_reader_unlock(&m->lock);
    ret->len = MIN(run, len);
    ret->allocated = first.kind != BLOCK_HOLE;
    ret->zero = first.kind == BLOCK_ZERO;
    ret->compressed = first.kind == BLOCK_PACKED;
    ret->has_host = first.kind == BLOCK_DATA && !m->ops->crypt;
    ret->host = first.host + within;
    return status;
}
