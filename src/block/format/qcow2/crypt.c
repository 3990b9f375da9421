/*
 * crypt.c - encryption of the guest's data: LUKS ("Full disk encryption header pointer"), and the AES that was before.
 *
 * The LUKS header stands in clusters of its own, and a sector is enciphered by where it stands in the file, so data that
 * are copied are enciphered anew.  The old AES (method 1) has no header and goes by the sector's number in the disk.
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
    const char *method = q->h.crypt_method == QCOW2_AES ? "aes" : "luks";
    if (!q->h.crypt_method)
        return (!format && !secret) || qcow2_refuse(n, err, ERR_INVALID, "encryption was asked for, but it is not encrypted");
    if (format && !g_str_equal(format, method))
        return qcow2_refuse(n, err, ERR_INVALID, "it is encrypted by %s, not by '%s'", method, format);
    bool luks = q->h.crypt_method == QCOW2_LUKS;
    if (luks && (!q->luks_bytes || q->luks_off & (q->cluster_bytes - 1) || !range_within(q->luks_off, q->luks_bytes, q->file->size)))
        return qcow2_refuse(n, err, ERR_INVALID, "its encryption header at 0x%" G_GINT64_MODIFIER "x is not aligned or not within the file", q->luks_off);
    n->align = LUKS_SECTOR;
    if (!secret && n->read_only) {
        if (!n->warning)
            n->warning = g_strdup_printf("'%s' is encrypted: to read its data give encrypt.key-secret=ID", n->filename);
        return true;
    }
    if (!secret)
        return qcow2_refuse(n, err, ERR_DENIED, "it is encrypted: give encrypt.key-secret=ID and --object secret,id=ID,file=PATH");
    q->luks = luks ? luks_open(q->file, q->luks_off, secret, err) : luks_without_header(q->file, secret, err);
    return q->luks;
}

static void add_pointer(Qcow2 *q)
{
    uint64_t raw[2] = { GUINT64_TO_BE(q->luks_off), GUINT64_TO_BE(q->luks_bytes) };
    Qcow2Extension pointer = { QCOW2_EXT_CRYPTO, g_bytes_new(raw, sizeof(raw)) };
    g_array_append_val(q->unknown, pointer);
}

static bool name_method(BlkNode *n, unsigned method, GError **err)
{
    Qcow2 *q = n->state;
    Qcow2Names names = qcow2_names(n);
    Qcow2Header h = q->h;
    h.crypt_method = method;
    int status = qcow2_sync(q);
    if (!status)
        status = qcow2_change_head(n, &h, &names, &q->bitmaps_at);
    return !status || error_set_errno(err, -status, "cannot encrypt '%s'", n->filename);
}

static bool create_luks(BlkNode *n, const LuksOptions *o, GError **err)
{
    Qcow2 *q = n->state;
    q->luks_bytes = luks_header_bytes(o);
    int status = qcow2_alloc_region(q, div_up(q->luks_bytes, q->cluster_bytes), &q->luks_off);
    bool ok = !status || error_set_errno(err, -status, "cannot encrypt '%s'", n->filename);
    if (ok)
        q->luks = luks_create(q->file, q->luks_off, o, err);
    if (q->luks)
        add_pointer(q);
    return q->luks;
}

/* An image without data yet. */
bool qcow2_create_crypt(BlkNode *n, unsigned method, const LuksOptions *o, GError **err)
{
    Qcow2 *q = n->state;
    g_mutex_lock(&q->lock);
    bool ok = method == QCOW2_LUKS ? create_luks(n, o, err) : (q->luks = luks_without_header(q->file, o->key_secret, err)) != NULL;
    ok = ok && name_method(n, method, err);
    g_mutex_unlock(&q->lock);
    n->align = LUKS_SECTOR;
    return ok;
}

/* ---- data: `at` is what the cipher goes by */

static int read_piece(Qcow2 *q, uint64_t at, uint64_t host, uint64_t len, uint8_t *piece)
{
    int status = blk_pread(q->data, host, piece, len);
    return status ? status : luks_crypt(q->luks, false, at / LUKS_SECTOR, piece, len) ? 0 : -EIO;
}

static int write_piece(Qcow2 *q, uint64_t at, uint64_t host, uint64_t len, uint8_t *piece)
{
    return luks_crypt(q->luks, true, at / LUKS_SECTOR, piece, len) ? blk_pwrite(q->data, host, piece, len) : -EIO;
}

static int move(Qcow2 *q, bool write, uint64_t guest, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov)
{
    if (!q->luks)
        return -EACCES;
    if ((guest | host | len) % LUKS_SECTOR)
        return -EINVAL;
    uint64_t at = q->h.crypt_method == QCOW2_AES ? guest : host;
    g_autofree uint8_t *piece = g_malloc(MIN(len, PIECE_BYTES));
    int status = 0;
    for (uint64_t done = 0, bytes; done < len && !status; done += bytes) {
        bytes = MIN(len - done, PIECE_BYTES);
        if (write)
            iov_read(iov, niov, done, piece, bytes);
        status = (write ? write_piece : read_piece)(q, at + done, host + done, bytes, piece);
        if (!write && !status)
            iov_write(iov, niov, done, piece, bytes);
    }
    return status;
}

int qcow2_read_data(Qcow2 *q, uint64_t guest, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov)
{
    return q->h.crypt_method ? move(q, false, guest, host, len, iov, niov) : blk_perform(q->data, BLK_READ, 0, host, len, iov, niov);
}

int qcow2_write_data(Qcow2 *q, uint64_t guest, uint64_t host, uint64_t len, struct iovec *iov, unsigned niov)
{
    return q->h.crypt_method ? move(q, true, guest, host, len, iov, niov) : blk_perform(q->data, BLK_WRITE, 0, host, len, iov, niov);
}
