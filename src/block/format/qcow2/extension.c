/*
 * extension.c - what stands in the first cluster behind the header: extensions and the name of the backing file ("Header
 * extensions").  Those that we do not know are kept when the cluster is written anew.
 */
#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

/* ---- reading */

static bool take_text(BlkNode *n, const char *what, const uint8_t *data, uint32_t len, char **ret, GError **err)
{
    if (memchr(data, 0, len))
        return qcow2_refuse(n, err, ERR_INVALID, "the %s contains a zero byte", what);
    g_free(*ret);
    *ret = g_strndup((const char *)data, len);
    return true;
}

static bool take_bitmaps(BlkNode *n, const uint8_t *data, uint32_t len, GError **err)
{
    Qcow2 *q = n->state;
    if (len != 24)
        return qcow2_refuse(n, err, ERR_INVALID, "its bitmaps extension has %u bytes, not 24", len);
    q->bitmaps_at = (Qcow2BitmapDirectory){ be_get(data, 4), be_get(data + 8, 8), be_get(data + 16, 8) };
    return true;
}

static bool take_extension(BlkNode *n, uint32_t type, const uint8_t *data, uint32_t len, GError **err)
{
    Qcow2 *q = n->state;
    switch (type) {
    case (uint32_t)QCOW2_EXT_BACKING_FORMAT:
        return take_text(n, "format of its backing file", data, len, &n->backing_format, err);
    case QCOW2_EXT_DATA_FILE:
        return take_text(n, "name of its data file", data, len, &q->data_name, err);
    case QCOW2_EXT_BITMAPS:
        return take_bitmaps(n, data, len, err);
    }
    if (type == QCOW2_EXT_CRYPTO && len >= 16) { /* and kept as it is */
        q->luks_off = be_get(data, 8);
        q->luks_bytes = be_get(data + 8, 8);
    }
    Qcow2Extension other = { type, g_bytes_new(data, len) };
    g_array_append_val(q->unknown, other);
    return true;
}

static bool take_extensions(BlkNode *n, const uint8_t *head, uint64_t end, GError **err)
{
    for (uint64_t at = ((Qcow2 *)n->state)->h.length; at + 8 <= end;) {
        uint32_t type = be_get(head + at, 4), len = be_get(head + at + 4, 4);
        if (type == QCOW2_EXT_END)
            return true;
        at += 8;
        if (len > end - at)
            return qcow2_refuse(n, err, ERR_INVALID, "header extension 0x%x (%u bytes) does not end within the header", type, len);
        if (!take_extension(n, type, head + at, len, err))
            return false;
        at += (len + 7ull) & ~7ull;
    }
    return true;
}

bool qcow2_read_extensions(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    const Qcow2Header *h = &q->h;
    uint64_t bytes = 1ull << h->cluster_bits;
    g_autofree uint8_t *head = g_malloc0(bytes);
    int status = blk_pread(n->file, 0, head, MIN(bytes, n->file->size));
    if (status)
        return error_set_errno(err, -status, "cannot read the header of '%s'", n->filename);
    if (h->length > QCOW2_HEADER_MAX)
        q->head_rest = g_bytes_new(head + QCOW2_HEADER_MAX, h->length - QCOW2_HEADER_MAX);
    if (h->backing_off && !take_text(n, "name of its backing file", head + h->backing_off, h->backing_bytes, &n->backing_name, err))
        return false;
    return take_extensions(n, head, h->backing_off ? h->backing_off : bytes, err);
}

/* ---- writing */

static void put(GByteArray *to, const void *data, size_t len)
{
    static const uint8_t zeros[8];
    g_byte_array_append(to, data, len);
    g_byte_array_append(to, zeros, -to->len & 7);
}

static void put_extension(GByteArray *to, uint32_t type, const void *data, uint32_t len)
{
    uint32_t head[2] = { GUINT32_TO_BE(type), GUINT32_TO_BE(len) };
    put(to, head, 8);
    put(to, data, len);
}

static void put_bitmaps(GByteArray *to, const Qcow2BitmapDirectory *d)
{
    uint64_t raw[3] = { GUINT64_TO_BE((uint64_t)d->count << 32), GUINT64_TO_BE(d->bytes), GUINT64_TO_BE(d->off) };
    put_extension(to, QCOW2_EXT_BITMAPS, raw, sizeof(raw));
}

/* Ours come first: what changes most should be within one sector. */
static GByteArray *encode(const Qcow2 *q, Qcow2Header *h, const Qcow2Names *names, const Qcow2BitmapDirectory *bitmaps)
{
    static const uint8_t end[8];
    uint8_t head[QCOW2_HEADER_MAX] = { 0 };
    GByteArray *to = g_byte_array_new();
    put(to, head, MIN(h->length, QCOW2_HEADER_MAX));
    if (q->head_rest && h->length > QCOW2_HEADER_MAX)
        put(to, g_bytes_get_data(q->head_rest, NULL), g_bytes_get_size(q->head_rest));
    if (bitmaps->count)
        put_bitmaps(to, bitmaps);
    if (names->backing && names->backing_format)
        put_extension(to, (uint32_t)QCOW2_EXT_BACKING_FORMAT, names->backing_format, strlen(names->backing_format));
    if (names->data)
        put_extension(to, QCOW2_EXT_DATA_FILE, names->data, strlen(names->data));
    for (unsigned i = 0; i < q->unknown->len; i++) {
        const Qcow2Extension *e = &g_array_index(q->unknown, Qcow2Extension, i);
        put_extension(to, e->type, g_bytes_get_data(e->data, NULL), g_bytes_get_size(e->data));
    }
    put(to, end, 8);
    h->backing_off = names->backing ? to->len : 0;
    h->backing_bytes = names->backing ? strlen(names->backing) : 0;
    if (names->backing)
        put(to, names->backing, h->backing_bytes);
    qcow2_encode_header(h, head);
    memcpy(to->data, head, MIN(h->length, QCOW2_HEADER_MAX));
    return to;
}

Qcow2Names qcow2_names(const BlkNode *n) { return (Qcow2Names){ n->backing_name, n->backing_format, ((Qcow2 *)n->state)->data_name }; }

/* What differs from what is there, in whole sectors: mostly one, which disks write whole; else the first is the last. */
static int write_changed(Qcow2 *q, const uint8_t *head, uint64_t bytes)
{
    g_autofree uint8_t *old = g_malloc(bytes);
    int status = blk_pread(q->file, 0, old, bytes);
    uint64_t from = 0, to = bytes;
    while (from < to && !memcmp(old + from, head + from, 512))
        from += 512;
    while (to > from && !memcmp(old + to - 512, head + to - 512, 512))
        to -= 512;
    uint64_t split = from == 0 && to > 512 ? 512 : from;
    if (!status && split < to)
        status = blk_pwrite(q->file, split, head + split, to - split);
    if (!status && from < split && !(status = blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0)))
        status = blk_pwrite(q->file, from, head + from, split - from);
    return status;
}

int qcow2_change_head(BlkNode *n, const Qcow2Header *next, const Qcow2Names *names, const Qcow2BitmapDirectory *bitmaps)
{
    Qcow2 *q = n->state;
    Qcow2Header h = *next;
    g_autoptr(GByteArray) head = encode(q, &h, names, bitmaps);
    if (head->len > q->cluster_bytes)
        return -ENAMETOOLONG;
    uint64_t used = head->len;
    g_byte_array_set_size(head, q->cluster_bytes);
    memset(head->data + used, 0, q->cluster_bytes - used);
    int status = blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
    if (!status)
        status = write_changed(q, head->data, q->cluster_bytes);
    if (!status)
        status = blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
    if (status)
        return status;
    g_mutex_lock(&q->meta);
    q->h = h;
    g_mutex_unlock(&q->meta);
    q->bitmaps_at = *bitmaps;
    return 0;
}
