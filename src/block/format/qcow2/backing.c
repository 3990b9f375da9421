/*
 * backing.c - what an image says of its backing file; giving up all that hides it; becoming writable.
 *
 * "The backing file name [stands] in the space between the header extensions and the end of the first cluster."  The
 * header, the extensions and the name ordinarily fit one sector, which disks write whole.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

enum { SECTOR = 512 };

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

static void put_extension(GByteArray *to, uint32_t type, const uint8_t *data, uint32_t len)
{
    static const uint8_t padding[8] = { 0 };
    uint32_t head[2] = { GUINT32_TO_BE(type), GUINT32_TO_BE(len) };
    g_byte_array_append(to, (uint8_t *)head, sizeof(head));
    if (len)
        g_byte_array_append(to, data, len);
    g_byte_array_append(to, padding, -len & 7);
}

/* All extensions but the one that is made anew.  They were judged when the image was opened. */
static void keep_extensions(GByteArray *to, const uint8_t *cluster, uint64_t from, uint64_t end)
{
    for (uint64_t at = from; at + 8 <= end;) {
        uint32_t type = get32(cluster + at), len = get32(cluster + at + 4);
        if (type == QCOW2_EXT_END || len > end - at - 8)
            return;
        if (type != (uint32_t)QCOW2_EXT_BACKING_FORMAT)
            put_extension(to, type, cluster + at + 8, len);
        at += 8 + ((len + 7ull) & ~7ull);
    }
}

/* The head of the first cluster as it shall be, and in *h the fields that say where. */
static GByteArray *new_head(const Qcow2 *q, const uint8_t *cluster, const char *name, const char *format, Qcow2Header *h)
{
    GByteArray *head = g_byte_array_new();
    uint8_t fields[QCOW2_HEADER_MAX];
    g_byte_array_append(head, cluster, q->h.length);
    if (name && format)
        put_extension(head, (uint32_t)QCOW2_EXT_BACKING_FORMAT, (const uint8_t *)format, strlen(format));
    keep_extensions(head, cluster, q->h.length, q->h.backing_off ? q->h.backing_off : q->cluster_bytes);
    put_extension(head, QCOW2_EXT_END, NULL, 0);
    *h = q->h;
    h->backing_off = name ? head->len : 0;
    h->backing_bytes = name ? strlen(name) : 0;
    if (name)
        g_byte_array_append(head, (const uint8_t *)name, h->backing_bytes);
    qcow2_encode_header(h, fields);
    memcpy(head->data, fields, MIN(h->length, QCOW2_HEADER_MAX));
    return head;
}

static int barrier(Qcow2 *q) { return blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0); }

/* What lies behind the first sector first: nothing refers to it yet, unless the names are very long. */
static int write_head(Qcow2 *q, GByteArray *head)
{
    unsigned len = head->len;
    g_byte_array_set_size(head, (len + SECTOR - 1) / SECTOR * SECTOR);
    memset(head->data + len, 0, head->len - len);
    int status = barrier(q);
    if (!status && head->len > SECTOR && !(status = blk_pwrite(q->file, SECTOR, head->data + SECTOR, head->len - SECTOR)))
        status = barrier(q);
    if (!status && !(status = blk_pwrite(q->file, 0, head->data, SECTOR)))
        status = barrier(q);
    return status;
}

static int change_name(Qcow2 *q, const char *name, const char *format)
{
    g_autofree uint8_t *cluster = g_malloc(q->cluster_bytes);
    Qcow2Header next;
    int status = blk_pread(q->file, 0, cluster, q->cluster_bytes);
    if (status)
        return status;
    g_autoptr(GByteArray) head = new_head(q, cluster, name, format, &next);
    status = head->len > q->cluster_bytes ? -ENAMETOOLONG : write_head(q, head);
    if (status)
        return status;
    g_mutex_lock(&q->meta);
    q->h = next;
    g_mutex_unlock(&q->meta);
    return 0;
}

bool qcow2_set_backing(BlkNode *n, const char *name, const char *format, GError **err)
{
    Qcow2 *q = n->state;
    if (name && (!*name || strlen(name) > QCOW2_MAX_BACKING_NAME))
        return error_set(err, ERR_INVALID, "the name of a backing file has 1 to %d bytes", QCOW2_MAX_BACKING_NAME);
    if (name && q->data_raw)
        return error_set(err, ERR_UNSUPPORTED, "cannot give '%s' a backing file: its data file is a raw image by itself", n->filename);
    g_mutex_lock(&q->lock);
    int status = change_name(q, name, format);
    g_mutex_unlock(&q->lock);
    return !status || error_set_errno(err, -status, "cannot change the backing file of qcow2 image '%s'", n->filename);
}

static int forget_data(Qcow2 *q)
{
    Rebuild b;
    qcow2_wait_pins(q);
    int status = rebuild_begin(&b, q);
    if (!status) {
        memset(b.next.l1, 0, q->h.l1_size * 8ull);
        status = rebuild_end(&b);
    }
    rebuild_clear(&b);
    return status;
}

bool qcow2_make_empty(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    if (q->data_raw)
        return error_set(err, ERR_UNSUPPORTED, "cannot empty '%s': its data file is a raw image by itself", n->filename);
    g_mutex_lock(&q->lock);
    int status = forget_data(q);
    if (!status)
        status = forget_data(q); /* now its tables move to the front, and the file becomes short */
    g_mutex_unlock(&q->lock);
    if (!status)
        qcow2_cut_file(q);
    return !status || error_set_errno(err, -status, "cannot empty qcow2 image '%s'", n->filename);
}
