/*
 * crypt.c - LUKS encryption of the guest's data ("Full disk encryption header pointer").
 *
 * The LUKS header stands in clusters of its own.  A sector is enciphered by where it stands in the file, so data that
 * are copied are enciphered anew.
 */
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "base/iov.h"
#include "block/format/qcow2/qcow2.h"

enum { PIECE_BYTES = 1 << 20 };

/* Without a passphrase an image may be looked at, but not its data. */
bool qcow2_open_crypt(BlkNode *n, KeyVals *options, GError **err)
{
    Qcow2 *q = n->state;
    const char *format = options ? keyvals_take(options, "encrypt.format") : NULL, *secret = options ? keyvals_take(options, "encrypt.key-secret") : NULL;
    if (q->h.crypt_method != QCOW2_LUKS)
        return (!format && !secret) || qcow2_refuse(n, err, ERR_INVALID, "encryption was asked for, but it is not encrypted");
    if (format && !g_str_equal(format, "luks"))
        return qcow2_refuse(n, err, ERR_INVALID, "it is encrypted by luks, not by '%s'", format);
    if (!q->luks_bytes || q->luks_off & (q->cluster_bytes - 1) || !range_within(q->luks_off, q->luks_bytes, q->file->size))
        return qcow2_refuse(n, err, ERR_INVALID, "its encryption header at 0x%" G_GINT64_MODIFIER "x is not aligned or not within the file", q->luks_off);
    n->align = LUKS_SECTOR;
    if (!secret && n->read_only) {
        if (!n->warning)
            n->warning = g_strdup_printf("'%s' is encrypted: to read its data give encrypt.key-secret=ID", n->filename);
        return true;
    }
    if (!secret)
        return qcow2_refuse(n, err, ERR_DENIED, "it is encrypted: give encrypt.key-secret=ID and --object secret,id=ID,file=PATH");
    q->luks = luks_open(q->file, q->luks_off, secret, err);
    return q->luks;
}

static bool name_header(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    uint64_t raw[2] = { GUINT64_TO_BE(q->luks_off), GUINT64_TO_BE(q->luks_bytes) };
    Qcow2Extension pointer = { QCOW2_EXT_CRYPTO, g_bytes_new(raw, sizeof(raw)) };
    Qcow2Names names = qcow2_names(n);
    Qcow2Header h = q->h;
    h.crypt_method = QCOW2_LUKS;
    g_array_append_val(q->unknown, pointer);
    int status = qcow2_sync(q);
    if (!status)
        status = qcow2_change_head(n, &h, &names, &q->bitmaps_at);
    return !status || error_set_errno(err, -status, "cannot encrypt '%s'", n->filename);
}

/* An image without data yet. */
bool qcow2_create_crypt(BlkNode *n, const LuksOptions *o, GError **err)
{
    Qcow2 *q = n->state;
    q->luks_bytes = luks_header_bytes(o);
    g_mutex_lock(&q->lock);
    int status = qcow2_alloc_region(q, div_up(q->luks_bytes, q->cluster_bytes), &q->luks_off);
    bool ok = !status || error_set_errno(err, -status, "cannot encrypt '%s'", n->filename);
    if (ok)
        q->luks = luks_create(q->file, q->luks_off, o, err);
    ok = ok && q->luks && name_header(n, err);
    g_mutex_unlock(&q->lock);
    n->align = LUKS_SECTOR;
    return ok;
}

/* ---- data */

static int read_piece(Qcow2 *q, uint64_t host, uint64_t len, uint8_t *piece)
{
    int status = blk_pread(q->data, host, piece, len);
    return status ? status : luks_crypt(q->luks, false, host / LUKS_SECTOR, piece, len) ? 0 : -EIO;
}

static int write_piece(Qcow2 *q, uint64_t host, uint64_t len, uint8_t *piece)
{
    return luks_crypt(q->luks, true, host / LUKS_SECTOR, piece, len) ? blk_pwrite(q->data, host, piece, len) : -EIO;
}

static int move(Qcow2 *q, bool write, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov)
{
    if (!q->luks)
        return -EACCES;
    if ((host | len) % LUKS_SECTOR)
        return -EINVAL;
    g_autofree uint8_t *piece = g_malloc(MIN(len, PIECE_BYTES));
    int status = 0;
    for (uint64_t done = 0, bytes; done < len && !status; done += bytes) {
        bytes = MIN(len - done, PIECE_BYTES);
        if (write)
            iov_read(iov, niov, done, piece, bytes);
        status = (write ? write_piece : read_piece)(q, host + done, bytes, piece);
        if (!write && !status)
            iov_write(iov, niov, done, piece, bytes);
    }
    return status;
}

int qcow2_read_data(Qcow2 *q, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov)
{
    return q->h.crypt_method ? move(q, false, host, len, iov, niov) : blk_perform(q->data, BLK_READ, 0, host, len, iov, niov);
}

int qcow2_write_data(Qcow2 *q, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov)
{
    return q->h.crypt_method ? move(q, true, host, len, iov, niov) : blk_perform(q->data, BLK_WRITE, 0, host, len, iov, niov);
}
