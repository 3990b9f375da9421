/*
 * qcow.c - the first version of QEMU's format: two levels of tables, no reference counts.
 *
 * All fields big endian.  Data may be enciphered, by AES without a header (luks.h).  An entry's top bit marks a compressed cluster, whose length stands below it, the offset
 * below that.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/blockmap.h"
#include "block/format/luks/luks.h"

enum { VERSION = 1, HEADER_BYTES = 48, MAX_NAME = 1023, MAX_L1 = 1 << 22, ENCRYPTED_AES = 1 };
#define COMPRESSED (1ull << 63)

typedef struct __attribute__((packed)) QcowHeader {
    char magic[4];
    uint32_t version;
    uint64_t backing_off;
    uint32_t backing_bytes, mtime;
    uint64_t size;
    uint8_t cluster_bits, l2_bits;
    uint16_t pad;
    uint32_t encryption;
    uint64_t l1_off;
} QcowHeader;
G_STATIC_ASSERT(sizeof(QcowHeader) == HEADER_BYTES);

typedef struct Qcow {
    BlockMap map; /* first */
    unsigned cluster_bits, l2_bits;
    uint64_t l1_off, l1_entries;
    uint64_t *l1, **l2; /* as in the file; l2: those that were read, by number.  Guarded by l2_lock */
    GMutex l2_lock;
    uint32_t encryption;
    Luks *cipher; /* NULL: not encrypted, or the passphrase is not known */
} Qcow;

static uint64_t l2_bytes(const Qcow *q) { return 8ull << q->l2_bits; }

static int load_l2(Qcow *q, uint64_t n, uint64_t **ret)
{
    uint64_t at = GUINT64_FROM_BE(q->l1[n]);
    int status = 0;
    g_mutex_lock(&q->l2_lock);
    if (!q->l2[n] && at) {
        uint64_t *table = g_malloc(l2_bytes(q));
        status = at > q->map.file->size ? -EIO : blk_pread(q->map.file, at, table, l2_bytes(q));
        if (status)
            g_free(table);
        else
            q->l2[n] = table;
    }
    *ret = q->l2[n];
    g_mutex_unlock(&q->l2_lock);
    return status;
}

static int qcow_find(BlockMap *m, uint64_t block, BlockPlace *ret)
{
    Qcow *q = (Qcow *)m;
    uint64_t *table;
    int status = load_l2(q, block >> q->l2_bits, &table);
    *ret = (BlockPlace){ .kind = BLOCK_HOLE };
    if (status || !table)
        return status;
    uint64_t entry = GUINT64_FROM_BE(table[block & ((1ull << q->l2_bits) - 1)]);
    if (entry & COMPRESSED) {
        unsigned shift = 63 - q->cluster_bits;
        *ret = (BlockPlace){ BLOCK_PACKED, entry & ((1ull << shift) - 1), entry >> shift & ((1u << q->cluster_bits) - 1) };
    } else if (entry) {
        *ret = (BlockPlace){ .kind = BLOCK_DATA, .host = entry };
    }
    bool outside = ret->kind != BLOCK_HOLE && (ret->host < HEADER_BYTES || ret->host > m->file->size);
    return outside ? -EIO : 0;
}

static int qcow_unpack(BlockMap *m, const BlockPlace *from, uint8_t *to)
{
    g_autofree uint8_t *packed = g_malloc(from->bytes + 1);
    int status = blk_pread(m->file, from->host, packed, from->bytes);
    return status ? status : blockmap_inflate(packed, from->bytes, -12, to, m->block_bytes) ? 0 : -EIO;
}

/* A new table is whole in the file before the first names it. */
static int make_l2(Qcow *q, uint64_t n)
{
    uint64_t at, *table = g_malloc0(l2_bytes(q));
    int status = blockmap_take(&q->map, l2_bytes(q), q->map.block_bytes, &at);
    if (!status)
        status = blk_pwrite(q->map.file, at, table, l2_bytes(q));
    uint64_t entry = GUINT64_TO_BE(at);
    if (!status)
        status = blk_perform(q->map.file, BLK_FLUSH, 0, 0, 0, NULL, 0);
    if (!status)
        status = blk_pwrite(q->map.file, q->l1_off + n * 8, &entry, 8);
    if (status) {
        g_free(table);
        return status;
    }
    q->l2[n] = table;
    q->l1[n] = entry;
    return 0;
}

static int qcow_reserve(BlockMap *m, uint64_t block, uint64_t *ret_host)
{
    Qcow *q = (Qcow *)m;
    uint64_t n = block >> q->l2_bits;
    int status = q->l1[n] ? 0 : make_l2(q, n);
    return status ? status : blockmap_take(m, m->block_bytes, m->block_bytes, ret_host);
}

static int qcow_enter(BlockMap *m, uint64_t block, uint64_t host)
{
    Qcow *q = (Qcow *)m;
    uint64_t n = block >> q->l2_bits, i = block & ((1ull << q->l2_bits) - 1), entry = GUINT64_TO_BE(host);
    int status = blk_pwrite(m->file, GUINT64_FROM_BE(q->l1[n]) + i * 8, &entry, 8);
    if (!status)
        q->l2[n][i] = entry;
    return status;
}

static bool qcow_crypt(BlockMap *m, bool encrypt, uint64_t off, uint8_t *data, size_t bytes)
{
    const Qcow *q = (Qcow *)m;
    return q->cipher && luks_crypt(q->cipher, encrypt, off / LUKS_SECTOR, data, bytes);
}

static const BlockMapOps encrypted_ops = { .find = qcow_find, .reserve = qcow_reserve, .enter = qcow_enter, .unpack = qcow_unpack, .crypt = qcow_crypt };
static const BlockMapOps ops = { .find = qcow_find, .reserve = qcow_reserve, .enter = qcow_enter, .unpack = qcow_unpack };

static bool qcow_probe(const uint8_t *head, size_t n) { return n >= HEADER_BYTES && !memcmp(head, "QFI\xfb\0\0\0\1", 8); }

static const char *flaw(const QcowHeader *h, uint64_t file_size)
{
    uint64_t size = GUINT64_FROM_BE(h->size);
    if (!qcow_probe((const uint8_t *)h, sizeof(*h)))
        return "it has no qcow head of version 1";
    if (GUINT32_FROM_BE(h->encryption) > ENCRYPTED_AES)
        return "it is encrypted in a way that is not known";
    if (h->cluster_bits < 9 || h->cluster_bits > 16 || h->l2_bits < 6 || h->l2_bits > 13)
        return "its clusters or tables have an impossible size";
    if (size > INT64_MAX - (1ull << 30) || size >> (h->cluster_bits + h->l2_bits) >= MAX_L1)
        return "the disk is larger than this program takes";
    if (GUINT32_FROM_BE(h->backing_bytes) > MAX_NAME || GUINT64_FROM_BE(h->backing_off) > file_size)
        return "the name of its backing file lies past the end of the file, or is too long";
    if (GUINT64_FROM_BE(h->l1_off) < HEADER_BYTES || GUINT64_FROM_BE(h->l1_off) > file_size)
        return "its first table lies in the header or past the end of the file";
    return NULL;
}

static int load(BlkNode *n, const QcowHeader *h)
{
    Qcow *q = n->state;
    q->cluster_bits = h->cluster_bits;
    q->l2_bits = h->l2_bits;
    n->size = (GUINT64_FROM_BE(h->size) + 511) & -512ull;
    q->l1_entries = (n->size + (1ull << (h->cluster_bits + h->l2_bits)) - 1) >> (h->cluster_bits + h->l2_bits);
    q->l1_off = GUINT64_FROM_BE(h->l1_off);
    q->l1 = g_malloc0(q->l1_entries * 8 + 8);
    q->l2 = g_new0(uint64_t *, q->l1_entries + 1);
    q->encryption = GUINT32_FROM_BE(h->encryption);
    blockmap_init(&q->map, q->encryption ? &encrypted_ops : &ops, n, n->file, 1ull << h->cluster_bits);
    g_mutex_init(&q->l2_lock);
    q->map.end = n->file->size;
    int status = blk_pread(n->file, q->l1_off, q->l1, q->l1_entries * 8);
    if (!status && h->backing_off) {
        n->backing_name = g_malloc0(MAX_NAME + 1);
        status = blk_pread(n->file, GUINT64_FROM_BE(h->backing_off), n->backing_name, GUINT32_FROM_BE(h->backing_bytes));
    }
    return status;
}

/* Without a passphrase an image may be looked at, but not its data. */
static bool open_crypt(BlkNode *n, KeyVals *options, GError **err)
{
    Qcow *q = n->state;
    const char *format = keyvals_take(options, "encrypt.format"), *secret = keyvals_take(options, "encrypt.key-secret");
    if (!q->encryption)
        return (!format && !secret) || error_set(err, ERR_INVALID, "cannot use '%s' as was asked: it is not encrypted", n->filename);
    if (format && !g_str_equal(format, "aes"))
        return error_set(err, ERR_INVALID, "cannot open '%s': it is encrypted by aes, not by '%s'", n->filename, format);
    n->align = LUKS_SECTOR;
    if (secret)
        return (q->cipher = luks_without_header(n->file, secret, err)) != NULL;
    if (!n->read_only)
        return error_set(err, ERR_DENIED, "cannot open '%s': it is encrypted: give encrypt.key-secret=ID and --object secret,id=ID,file=PATH", n->filename);
    n->warning = g_strdup_printf("'%s' is encrypted: to read its data give encrypt.key-secret=ID", n->filename);
    return true;
}

static bool qcow_open(BlkNode *n, KeyVals *options, GError **err)
{
    QcowHeader h = { 0 };
    int status = blk_pread(n->file, 0, &h, MIN(sizeof(h), n->file->size));
    const char *wrong = status ? NULL : flaw(&h, n->file->size);
    if (!status && !wrong)
        status = load(n, &h);
    if (status)
        return error_set_errno(err, -status, "cannot read disk image '%s'", n->filename);
    if (wrong)
        return error_set(err, ERR_INVALID, "cannot use '%s' as a qcow image: %s", n->filename, wrong);
    return open_crypt(n, options, err);
}

static void qcow_close(BlkNode *n)
{
    Qcow *q = n->state;
    if (q->map.ops)
        g_mutex_clear(&q->l2_lock);
    blockmap_clear(&q->map);
    luks_free(q->cipher);
    for (uint64_t i = 0; q->l2 && i < q->l1_entries; i++)
        g_free(q->l2[i]);
    g_free(q->l2);
    g_free(q->l1);
}

static int qcow_perform(BlkNode *n, BlkReq *r) { return blockmap_perform(n->state, r); }
static int qcow_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret) { return blockmap_map(n->state, off, len, ret); }

static void qcow_info(BlkNode *n, BlkInfo *ret)
{
    const Qcow *q = n->state;
    ret->cluster_bytes = q->map.block_bytes;
    ret->encrypted = q->encryption;
}

/* ---- creating */

static const char *const encryptions[] = { "aes", NULL };

static const BlkOption qcow_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { "backing_file", BLK_STRING, .doc = "image with what is not written here; its format is guessed later", .create = true },
    { "backing_fmt", BLK_STRING, .doc = "its format: checked, but the image has no place for it", .create = true },
    { "encrypt.format", BLK_CHOICE, .doc = "aes: the guest's data are encrypted, weakly", .choices = encryptions, .create = true, .open = true },
    { "encrypt.key-secret", BLK_STRING, .doc = "id of the secret with the passphrase", .create = true, .open = true },
    { "encryption", BLK_BOOL, .doc = "on: the same as encrypt.format=aes", .create = true },
    { 0 },
};

static bool take_encryption(KeyVals *options, const BlkNode *file, bool *ret, GError **err)
{
    unsigned which = G_N_ELEMENTS(encryptions);
    const char *secret = keyvals_take(options, "encrypt.key-secret");
    *ret = false;
    if (!keyvals_take_choice(options, "encrypt.format", encryptions, &which, err) || !keyvals_take_bool(options, "encryption", ret, err))
        return false;
    *ret |= which < G_N_ELEMENTS(encryptions);
    if (*ret && !secret)
        return error_set(err, ERR_INVALID, "encryption needs encrypt.key-secret=ID of a secret: --object secret,id=ID,file=PATH");
    Luks *l = *ret ? luks_without_header((BlkNode *)file, secret, err) : NULL; /* is there one? */
    luks_free(l);
    return !*ret || l;
}

/* With a backing file clusters are one sector, so that little is copied. */
static bool qcow_create(BlkNode *file, KeyVals *options, GError **err)
{
    uint64_t size = 0;
    bool encrypted;
    const char *backing = keyvals_take(options, "backing_file");
    keyvals_take(options, "backing_fmt");
    if (!keyvals_take_number(options, "size", 0, 1ull << 43, &size, err) || !take_encryption(options, file, &encrypted, err) ||
        !keyvals_end(options, err))
        return false;
    if (backing && strlen(backing) > MAX_NAME)
        return error_set(err, ERR_INVALID, "backing_file must have at most %d bytes", MAX_NAME);
    size_t name = backing ? strlen(backing) : 0;
    QcowHeader h = { .magic = "QFI\xfb", .version = GUINT32_TO_BE(VERSION), .size = GUINT64_TO_BE(size), .cluster_bits = backing ? 9 : 12, .l2_bits = backing ? 12 : 9,
                     .backing_off = name ? GUINT64_TO_BE((uint64_t)HEADER_BYTES) : 0, .backing_bytes = GUINT32_TO_BE((uint32_t)name), .encryption = GUINT32_TO_BE((uint32_t)encrypted),
                     .l1_off = GUINT64_TO_BE((HEADER_BYTES + name + 7) & ~7ull) };
    unsigned shift = h.cluster_bits + h.l2_bits;
    uint64_t entries = (size + (1ull << shift) - 1) >> shift, l1_off = GUINT64_FROM_BE(h.l1_off);
    return blk_resize(file, l1_off + entries * 8, 0, err) && (!name || blockmap_put(file, HEADER_BYTES, backing, name, err)) &&
           blockmap_put(file, 0, &h, sizeof(h), err);
}

const BlkDriver qcow_driver = {
    .name = "qcow",
    .summary = "QEMU's first format; qcow2 is its successor",
    .kind = BLK_FORMAT,
    .state_bytes = sizeof(Qcow),
    .grows_file = true,
    .options = qcow_options,
    .probe = qcow_probe,
    .create = qcow_create,
    .open = qcow_open,
    .close = qcow_close,
    .perform = qcow_perform,
    .map = qcow_map,
    .info = qcow_info,
};
