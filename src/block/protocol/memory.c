/*
 * memory.c - disks without a file: "memory" keeps what is written, "null-co" does not.
 *
 *     driver=memory,size=1M          driver=null-co,size=1T,read-zeroes=on
 */
#include "block/protocol/memory.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"

static const uint64_t DEFAULT_SIZE = 1ull << 30; /* as QEMU's null-co */
enum { GROWTH = 64 << 20 };

static const BlkOption memory_options[] = {
    { "size", BLK_SIZE, "1G", "bytes", .open = true },
    { "read-zeroes", BLK_BOOL, "off", "null-co: a read fills its buffer", .open = true },
    { 0 },
};

static bool take_size(BlkNode *n, KeyVals *options, GError **err)
{
    n->size = DEFAULT_SIZE;
    return keyvals_take_number(options, "size", 0, INT64_MAX / 2, &n->size, err);
}

/* ---- memory */

typedef struct Memory {
    GRWLock lock;
    uint8_t *data;
    uint64_t bytes; /* what lies behind reads as zeros */
    uint64_t most;  /* an image that lies must not have it grow without end */
} Memory;

static bool reserve(Memory *m, uint64_t bytes)
{
    if (bytes <= m->bytes)
        return true;
    if (bytes > m->most)
        return false;
    uint8_t *data = g_try_realloc(m->data, bytes);
    if (!data)
        return false;
    memset(data + m->bytes, 0, bytes - m->bytes);
    m->data = data;
    m->bytes = bytes;
    return true;
}

static bool memory_open(BlkNode *n, KeyVals *options, GError **err)
{
    Memory *m = n->state;
    g_rw_lock_init(&m->lock);
    bool ok = take_size(n, options, err);
    m->most = n->size + GROWTH;
    return ok;
}

static void memory_close(BlkNode *n)
{
    Memory *m = n->state;
    g_rw_lock_clear(&m->lock);
    g_free(m->data);
}

static void read_out(Memory *m, const BlkReq *r)
{
    uint64_t has = r->off < m->bytes ? MIN(r->len, m->bytes - r->off) : 0;
    if (has)
        iov_write(r->iov, r->niov, 0, m->data + r->off, has);
    iov_fill(r->iov, r->niov, has, 0, r->len - has);
}

static int change(Memory *m, const BlkReq *r)
{
    if (r->op == BLK_WRITE) {
        if (!reserve(m, r->off + r->len))
            return -ENOSPC;
        iov_read(r->iov, r->niov, 0, m->data + r->off, r->len);
    } else if (r->off < m->bytes) {
        memset(m->data + r->off, 0, MIN(r->len, m->bytes - r->off));
    }
    return 0;
}

static int memory_perform(BlkNode *n, BlkReq *r)
{
    Memory *m = n->state;
    int status = 0;
    if (r->op == BLK_FLUSH)
        return 0;
    if (r->op == BLK_READ) {
        g_rw_lock_reader_lock(&m->lock);
        read_out(m, r);
        g_rw_lock_reader_unlock(&m->lock);
        return 0;
    }
    g_rw_lock_writer_lock(&m->lock);
    status = change(m, r);
    g_rw_lock_writer_unlock(&m->lock);
    return status;
}

static bool memory_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    Memory *m = n->state;
    if (size < m->bytes)
        memset(m->data + size, 0, m->bytes - size);
    n->size = size;
    m->most = MAX(m->most, size);
    return true;
}

BlkNode *memory_disk(GByteArray *bytes)
{
    BlkNode *n = node_create(&memory_driver, "memory");
    Memory *m = n->state;
    g_rw_lock_init(&m->lock);
    n->size = m->bytes = bytes ? bytes->len : 0;
    m->most = DEFAULT_SIZE;
    m->data = bytes ? g_byte_array_free(bytes, FALSE) : NULL;
    return n;
}

GByteArray *memory_bytes(BlkNode *n)
{
    Memory *m = n->state;
    g_rw_lock_reader_lock(&m->lock);
    uint64_t has = MIN(m->bytes, n->size);
    GByteArray *bytes = g_byte_array_append(g_byte_array_new(), m->data, has);
    g_byte_array_set_size(bytes, n->size); /* it may have been made longer without being written */
    memset(bytes->data + has, 0, n->size - has);
    g_rw_lock_reader_unlock(&m->lock);
    return bytes;
}

const BlkDriver memory_driver = {
    .name = "memory",
    .summary = "a disk in memory",
    .kind = BLK_PROTOCOL,
    .state_bytes = sizeof(Memory),
    .options = memory_options,
    .open = memory_open,
    .close = memory_close,
    .perform = memory_perform,
    .resize = memory_resize,
};

/* ---- null */

static bool null_open(BlkNode *n, KeyVals *options, GError **err)
{
    bool *zeros = n->state;
    return take_size(n, options, err) && keyvals_take_bool(options, "read-zeroes", zeros, err);
}

static void null_close(BlkNode *n) {}

static int null_perform(BlkNode *n, BlkReq *r)
{
    const bool *zeros = n->state;
    if (r->op == BLK_READ && *zeros)
        iov_fill(r->iov, r->niov, 0, 0, r->len);
    return 0;
}

const BlkDriver null_driver = {
    .name = "null-co",
    .summary = "forgets what is written, for measuring",
    .kind = BLK_PROTOCOL,
    .state_bytes = sizeof(bool),
    .flags = BLK_FUA,
    .options = memory_options,
    .open = null_open,
    .close = null_close,
    .perform = null_perform,
};
