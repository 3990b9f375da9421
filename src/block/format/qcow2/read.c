/* read.c - the guest's reads: from the data, from zeros, from compressed clusters, from the backing file. */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "block/format/qcow2/qcow2.h"

static int read_compressed(Qcow2 *q, uint64_t word, uint8_t *cluster)
{
    uint64_t off, bytes;
    qcow2_compressed_range(q, word, &off, &bytes);
    g_autofree uint8_t *packed = g_malloc(bytes);
    int status = blk_pread(q->file, off, packed, bytes);
    return status ? status : qcow2_inflate(q->codec, packed, bytes, cluster, q->cluster_bytes);
}

/* A part of a compressed cluster. */
static int read_unpacked(Qcow2 *q, uint64_t off, const Qcow2Run *run, struct iovec *iov, unsigned niov)
{
    g_autofree uint8_t *cluster = g_malloc(q->cluster_bytes);
    int status = read_compressed(q, run->entry.word, cluster);
    if (!status)
        iov_write(iov, niov, 0, cluster + (off & (q->cluster_bytes - 1)), run->len);
    return status;
}

static int read_backing(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    uint64_t has = n->backing && off < n->size && off < n->backing->size ? MIN(len, n->backing->size - off) : 0;
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    size_t bytes;
    unsigned pieces = iov_slice(iov, niov, 0, has, part, niov, &bytes);
    iov_fill(iov, niov, has, 0, len - has);
    return has ? blk_perform(n->backing, BLK_READ, 0, off, has, part, pieces) : 0;
}

static int read_run(BlkNode *n, uint64_t off, const Qcow2Run *run, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    switch (run->kind) {
    case QCOW2_IS_HOLE:
        return read_backing(n, off, run->len, iov, niov);
    case QCOW2_IS_ZERO:
        iov_fill(iov, niov, 0, 0, run->len);
        return 0;
    case QCOW2_IS_DATA:
        return qcow2_read_data(q, off, run->host, run->len, iov, niov);
    case QCOW2_IS_COMPRESSED:
        return read_unpacked(q, off, run, iov, niov);
    }
    return -EIO;
}

int qcow2_read(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    Qcow2Run run;
    int status = 0;
    for (uint64_t done = 0; done < len && !status; done += run.len) {
        status = qcow2_find(n->state, off + done, len - done, &run);
        if (status)
            return status;
        size_t bytes;
        unsigned pieces = iov_slice(iov, niov, done, run.len, part, niov, &bytes);
        status = bytes == run.len ? read_run(n, off + done, &run, part, pieces) : -EINVAL;
        qcow2_unpin(n->state, run.pin);
    }
    return status;
}

/* True only if it is known without reading data. */
bool qcow2_reads_zero(BlkNode *n, uint64_t off, uint64_t len)
{
    Qcow2Run run;
    for (uint64_t done = 0; done < len; done += run.len) {
        if (qcow2_find(n->state, off + done, len - done, &run))
            return false;
        qcow2_unpin(n->state, run.pin);
        bool behind = !n->backing || off + done >= MIN(n->size, n->backing->size);
        if (run.kind != QCOW2_IS_ZERO && (run.kind != QCOW2_IS_HOLE || !behind))
            return false;
    }
    return true;
}
