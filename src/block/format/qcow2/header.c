/* header.c - reads, judges and writes the header and its extensions ("Header" and "Header extensions"). */
#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/checked.h"
#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

typedef struct Field {
    uint8_t off, bytes;
    uint16_t at; /* in Qcow2Header */
} Field;

#define FIELD(off, bytes, name) { off, bytes, offsetof(Qcow2Header, name) }
static const Field fields[] = {
    FIELD(4, 4, version),       FIELD(8, 8, backing_off), FIELD(16, 4, backing_bytes), FIELD(20, 4, cluster_bits),
    FIELD(24, 8, size),         FIELD(32, 4, crypt_method), FIELD(36, 4, l1_size),     FIELD(40, 8, l1_off),
    FIELD(48, 8, reftable_off), FIELD(56, 4, reftable_clusters), FIELD(60, 4, snapshots), FIELD(64, 8, snapshots_off),
    FIELD(72, 8, incompatible), FIELD(80, 8, compatible), FIELD(88, 8, autoclear),  FIELD(96, 4, refcount_order), FIELD(100, 4, length),
    FIELD(104, 1, codec),
};

static const char *const incompatible_names[] = { "dirty", "corrupt", "external data file", "compression type", "extended L2 entries" };

bool qcow2_probe(const uint8_t *head, size_t n)
{
    return n >= 8 && !memcmp(head, "QFI\xfb", 4) && (be_get(head + 4, 4) == 2 || be_get(head + 4, 4) == 3);
}

static void decode(const uint8_t *head, Qcow2Header *h)
{
    *h = (Qcow2Header){ 0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        const Field *f = &fields[i];
        uint64_t wide = be_get(head + f->off, 8);
        if (f->bytes == 8)
            memcpy((char *)h + f->at, &wide, 8);
        else
            memcpy((char *)h + f->at, &(uint32_t){ wide >> (64 - 8 * f->bytes) }, 4);
    }
    if (h->version == 2) {
        h->incompatible = h->compatible = h->autoclear = 0;
        h->refcount_order = 4;
        h->length = QCOW2_HEADER_V2;
    }
    if (h->length <= QCOW2_HEADER_V3)
        h->codec = QCOW2_ZLIB;
}

void qcow2_encode_header(const Qcow2Header *h, uint8_t *to)
{
    memset(to, 0, QCOW2_HEADER_MAX);
    memcpy(to, "QFI\xfb", 4);
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        const Field *f = &fields[i];
        uint64_t value = f->bytes == 8 ? *(const uint64_t *)((const char *)h + f->at) : *(const uint32_t *)((const char *)h + f->at);
        for (unsigned b = 0; b < f->bytes && f->off < h->length; b++)
            to[f->off + b] = value >> 8 * (f->bytes - 1 - b);
    }
}

/* All fields are within one sector, which disks write whole. */
int qcow2_write_header(Qcow2 *q)
{
    uint8_t head[QCOW2_HEADER_MAX];
    qcow2_encode_header(&q->h, head);
    return blk_pwrite(q->file, 0, head, MIN(q->h.length, QCOW2_HEADER_MAX));
}

static int barrier(Qcow2 *q) { return blk_perform(q->file, BLK_FLUSH, 0, 0, 0, NULL, 0); }

/* After what it names and before what follows.  If that fails, nobody knows which of the two the file has; the old one
 * again, if it can be written. */
int qcow2_change_header(Qcow2 *q, const Qcow2Header *next)
{
    Qcow2Header old = q->h;
    int status = barrier(q);
    if (status)
        return status;
    g_mutex_lock(&q->meta);
    q->h = *next;
    g_mutex_unlock(&q->meta);
    status = qcow2_write_header(q);
    if (!status)
        status = barrier(q);
    if (!status)
        return 0;
    g_mutex_lock(&q->meta);
    q->h = old;
    g_mutex_unlock(&q->meta);
    qcow2_write_header(q);
    return status;
}

bool qcow2_refuse(const BlkNode *n, GError **err, ErrorCode code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    return error_set(err, code, "cannot open qcow2 image '%s': %s", n->filename, why);
}

static bool check_features(const BlkNode *n, const Qcow2Header *h, GError **err)
{
    if (h->version != 2 && h->version != 3)
        return qcow2_refuse(n, err, ERR_UNSUPPORTED, "version %u is not known; known are 2 and 3", h->version);
    uint64_t known = QCOW2_DIRTY | QCOW2_CORRUPT | QCOW2_DATA_FILE | QCOW2_COMPRESSION | QCOW2_EXTENDED, unknown = h->incompatible & ~known;
    if (unknown) {
        unsigned bit = __builtin_ctzll(unknown);
        const char *name = bit < G_N_ELEMENTS(incompatible_names) ? incompatible_names[bit] : "unknown";
        return qcow2_refuse(n, err, ERR_UNSUPPORTED, "it needs incompatible feature %u (%s), which is not supported; qemu-img convert "
                      "makes an image without it", bit, name);
    }
    if (h->codec > QCOW2_ZSTD || (h->codec && !(h->incompatible & QCOW2_COMPRESSION)))
        return qcow2_refuse(n, err, ERR_UNSUPPORTED, "it is compressed by method %u, or does not say so; known are 0 (zlib) and 1 (zstd)", h->codec);
    if (h->incompatible & QCOW2_EXTENDED && h->cluster_bits < QCOW2_MIN_EXTENDED_BITS)
        return qcow2_refuse(n, err, ERR_INVALID, "it has extended L2 entries and clusters of less than 16 KiB");
    if (h->crypt_method > QCOW2_LUKS)
        return qcow2_refuse(n, err, ERR_UNSUPPORTED, "it is encrypted (method %u), which is not supported", h->crypt_method);
    if (h->incompatible & QCOW2_CORRUPT && !n->read_only && !n->mode.repair)
        return qcow2_refuse(n, err, ERR_INVALID, "it is marked corrupt; open it with readonly=on, or repair it");
    return true;
}

static bool table_fits(const Qcow2Header *h, uint64_t off, uint64_t bytes, uint64_t file)
{
    return !(off & ((1ull << h->cluster_bits) - 1)) && range_within(off, bytes, file) && (off || !bytes);
}

static bool check_fields(const BlkNode *n, const Qcow2Header *h, GError **err)
{
    uint64_t file = n->file->size;
    if (h->cluster_bits < QCOW2_MIN_CLUSTER_BITS || h->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
        return qcow2_refuse(n, err, ERR_INVALID, "cluster_bits is %u; allowed are 9 to 21", h->cluster_bits);
    if (h->refcount_order > 6)
        return qcow2_refuse(n, err, ERR_INVALID, "refcount_order is %u; allowed are 0 to 6", h->refcount_order);
    if (h->version == 3 && (h->length < QCOW2_HEADER_V3 || h->length > 1u << h->cluster_bits || h->length % 8))
        return qcow2_refuse(n, err, ERR_INVALID, "header_length is %u; allowed are multiples of 8 from 104 to a cluster", h->length);
    uint64_t covered = 1ull << (2 * h->cluster_bits - (h->incompatible & QCOW2_EXTENDED ? 4 : 3)); /* by an L1 entry */
    if (h->size > INT64_MAX || div_up(h->size, covered) > QCOW2_MAX_L1_BYTES / 8)
        return qcow2_refuse(n, err, ERR_INVALID, "its size of %" G_GUINT64_FORMAT " bytes is too large for its clusters", h->size);
    if (h->l1_size > QCOW2_MAX_L1_BYTES / 8 || h->l1_size < div_up(h->size, covered))
        return qcow2_refuse(n, err, ERR_INVALID, "l1_size %u does not fit a size of %" G_GUINT64_FORMAT " bytes", h->l1_size, h->size);
    if (!table_fits(h, h->l1_off, h->l1_size * 8ull, file))
        return qcow2_refuse(n, err, ERR_INVALID, "its L1 table at 0x%" G_GINT64_MODIFIER "x is not aligned or not within the file", h->l1_off);
    uint64_t reftable = (uint64_t)h->reftable_clusters << h->cluster_bits;
    if (!reftable || reftable > QCOW2_MAX_REFTABLE_BYTES || !table_fits(h, h->reftable_off, reftable, file))
        return qcow2_refuse(n, err, ERR_INVALID, "its refcount table at 0x%" G_GINT64_MODIFIER "x (%u clusters) is not aligned, empty, too large or "
                      "not within the file", h->reftable_off, h->reftable_clusters);
    if (h->backing_off && (!h->backing_bytes || h->backing_bytes > QCOW2_MAX_BACKING_NAME || h->backing_off < h->length ||
                           !range_within(h->backing_off, h->backing_bytes, MIN(file, 1ull << h->cluster_bits))))
        return qcow2_refuse(n, err, ERR_INVALID, "the name of its backing file (%u bytes) is not within the first cluster", h->backing_bytes);
    return true;
}

bool qcow2_read_header(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    uint8_t head[QCOW2_HEADER_MAX];
    int status = blk_pread(n->file, 0, head, sizeof(head));
    if (status)
        return error_set_errno(err, -status, "cannot read the header of '%s'", n->filename);
    if (memcmp(head, "QFI\xfb", 4))
        return qcow2_refuse(n, err, ERR_INVALID, "it does not begin as qcow2 images do; is its format another?");
    decode(head, &q->h);
    return check_features(n, &q->h, err) && check_fields(n, &q->h, err) && qcow2_read_extensions(n, err);
}
