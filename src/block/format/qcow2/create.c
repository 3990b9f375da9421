/*
 * create.c - new images.
 *
 * A new image is first the smallest there is (header, refcount table, one refcount block), and then grows.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

static const char *const preallocations[] = { "off", "metadata", "falloc", "full", NULL };
const char *const qcow2_compats[] = { "0.10", "1.1", "v2", "v3", NULL };
static const char *const encryptions[] = { "luks", "aes", NULL };
enum { ENCRYPT_LUKS, ENCRYPT_AES, ENCRYPT_NO };
static const char *const codecs[] = { "zlib", "zstd", NULL };

const BlkOption qcow2_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true, .amend = true },
    { "compat", BLK_CHOICE, "1.1", "0.10 or v2: version 2; 1.1 or v3: version 3", .choices = qcow2_compats, .create = true, .amend = true },
    { "cluster_size", BLK_SIZE, "64k", "512 to 2M, a power of two", .create = true },
    { "refcount_bits", BLK_NUMBER, "16", "1 to 64, a power of two; with compat=0.10 only 16", .create = true, .amend = true },
    { "backing_file", BLK_STRING, .doc = "image with what is not written here", .create = true, .amend = true },
    { "backing_fmt", BLK_STRING, .doc = "its format", .create = true, .amend = true },
    { "preallocation", BLK_CHOICE, "off", "what has its place from the start", .choices = preallocations, .create = true },
    { "compression_type", BLK_CHOICE, "zlib", "how clusters are compressed", .choices = codecs, .create = true },
    { "extended_l2", BLK_BOOL, "off", "32 subclusters a cluster, each with its own state; cluster_size from 16k", .create = true },
    { "data_file", BLK_STRING, .doc = "file for the guest's data, apart from the tables", .create = true },
    { "data_file_raw", BLK_BOOL, "off", "the data file is at all times a raw image of the disk", .create = true },
    { "encrypt.format", BLK_CHOICE, .doc = "luks: the guest's data are encrypted; aes: as it was before, weakly", .choices = encryptions, .create = true, .open = true },
    { "encrypt.key-secret", BLK_STRING, .doc = "id of the secret with the passphrase", .create = true, .open = true },
    { "encrypt.cipher-alg", BLK_STRING, "aes-256", "aes-128, aes-192 (cbc only) or aes-256", .create = true },
    { "encrypt.cipher-mode", BLK_STRING, "xts", "xts or cbc", .create = true },
    { "encrypt.ivgen-alg", BLK_STRING, "plain64", "plain, plain64 or essiv", .create = true },
    { "encrypt.ivgen-hash-alg", BLK_STRING, "sha256", "hash of essiv", .create = true },
    { "encrypt.hash-alg", BLK_STRING, "sha256", "sha1, sha224, sha256, sha384 or sha512", .create = true },
    { "encrypt.iter-time", BLK_NUMBER, "2000", "milliseconds that trying a passphrase shall take", .create = true, .amend = true },
    { "encrypt.state", BLK_STRING, .doc = "active: add a key; inactive: erase one", .amend = true },
    { "encrypt.new-secret", BLK_STRING, .doc = "id of the secret with the new passphrase", .amend = true },
    { "encrypt.old-secret", BLK_STRING, .doc = "id of the secret whose key to erase", .amend = true },
    { "encrypt.keyslot", BLK_NUMBER, .doc = "which of the eight key slots", .amend = true },
    { "encryption", BLK_BOOL, .doc = "on: the same as encrypt.format=aes", .create = true },
    { "lazy_refcounts", BLK_BOOL, "off", "let QEMU put off refcounts; we keep them always", .create = true, .amend = true },
    { 0 },
};

typedef struct Create {
    uint64_t size, cluster, refcount_bits;
    unsigned compat, preallocation, codec;
    bool lazy, extended, data_raw;
    unsigned encrypt; /* QCOW2_AES, QCOW2_LUKS; 0: no */
    LuksOptions luks;
    const char *backing, *backing_format, *data;
} Create;

static bool power_of_two(uint64_t x) { return x && !(x & (x - 1)); }

static bool check_options(const Create *c, GError **err)
{
    if (!power_of_two(c->cluster) || c->cluster < 512 || c->cluster > 2 << 20)
        return error_set(err, ERR_INVALID, "cluster_size must be a power of two from 512 to 2M");
    if (!power_of_two(c->refcount_bits) || c->refcount_bits > 64)
        return error_set(err, ERR_INVALID, "refcount_bits must be 1, 2, 4, 8, 16, 32 or 64");
    if (!c->compat && (c->refcount_bits != 16 || c->lazy))
        return error_set(err, ERR_INVALID, "refcount_bits other than 16 and lazy_refcounts need compat=1.1");
    if (c->backing && (!*c->backing || strlen(c->backing) > QCOW2_MAX_BACKING_NAME))
        return error_set(err, ERR_INVALID, "backing_file must have 1 to %d bytes", QCOW2_MAX_BACKING_NAME);
    if (c->backing && (!c->backing_format || !blk_driver(c->backing_format, BLK_FORMAT)))
        return error_set(err, ERR_INVALID, "backing_file='%s' needs backing_fmt, a format that is known: a guess could be the guest's", c->backing);
    if (c->backing_format && !c->backing)
        return error_set(err, ERR_INVALID, "backing_fmt needs backing_file");
    if (c->backing && c->preallocation)
        return error_set(err, ERR_INVALID, "preallocation and backing_file exclude each other: all would be taken from here");
    if (!c->compat && (c->codec || c->extended || c->data))
        return error_set(err, ERR_INVALID, "compression_type=zstd, extended_l2 and data_file need compat=1.1");
    if (c->extended && c->cluster < 1u << QCOW2_MIN_EXTENDED_BITS)
        return error_set(err, ERR_INVALID, "extended_l2 needs cluster_size=16k or more");
    if (c->data_raw && (!c->data || c->backing))
        return error_set(err, ERR_INVALID, "data_file_raw needs data_file, and excludes backing_file");
    if (c->data && (!*c->data || strlen(c->data) > QCOW2_MAX_BACKING_NAME))
        return error_set(err, ERR_INVALID, "data_file must have 1 to %d bytes", QCOW2_MAX_BACKING_NAME);
    uint64_t name = (c->data ? strlen(c->data) + 16 : 0) + (c->backing ? strlen(c->backing) + strlen(c->backing_format) : 0);
    if (QCOW2_HEADER_MAX + 24 + name > c->cluster)
        return error_set(err, ERR_INVALID, "the names of the backing file and the data file do not fit a cluster of %" G_GUINT64_FORMAT " bytes", c->cluster);
    return true;
}

static bool take_encryption(KeyVals *kv, Create *c, GError **err)
{
    static const unsigned methods[] = { QCOW2_LUKS, QCOW2_AES, 0 };
    unsigned which = ENCRYPT_NO;
    bool old = false;
    if (!keyvals_take_choice(kv, "encrypt.format", encryptions, &which, err) || !keyvals_take_bool(kv, "encryption", &old, err))
        return false;
    if (old && which == ENCRYPT_LUKS)
        return error_set(err, ERR_INVALID, "encryption=on means encrypt.format=aes, but encrypt.format=luks was given: leave out encryption");
    c->encrypt = methods[old ? ENCRYPT_AES : which];
    return !c->encrypt || luks_take_options(kv, "encrypt.", &c->luks, err);
}

static bool take_options(KeyVals *kv, Create *c, GError **err)
{
    c->backing = keyvals_take(kv, "backing_file");
    c->backing_format = keyvals_take(kv, "backing_fmt");
    c->data = keyvals_take(kv, "data_file");
    bool ok = keyvals_take_number(kv, "size", 0, INT64_MAX - 511, &c->size, err) &&
           keyvals_take_choice(kv, "compat", qcow2_compats, &c->compat, err) &&
           keyvals_take_number(kv, "cluster_size", 1, UINT32_MAX, &c->cluster, err) &&
           keyvals_take_number(kv, "refcount_bits", 1, 64, &c->refcount_bits, err) &&
           keyvals_take_choice(kv, "preallocation", preallocations, &c->preallocation, err) &&
           keyvals_take_choice(kv, "compression_type", codecs, &c->codec, err) &&
           keyvals_take_bool(kv, "extended_l2", &c->extended, err) && keyvals_take_bool(kv, "data_file_raw", &c->data_raw, err) &&
           keyvals_take_bool(kv, "lazy_refcounts", &c->lazy, err) && take_encryption(kv, c, err) && keyvals_end(kv, err);
    c->compat %= 2;
    return ok && check_options(c, err);
}

bool qcow2_take_geometry(KeyVals *options, Qcow2Geometry *ret, uint64_t *ret_size, bool *ret_all, GError **err)
{
    Create c = { .size = *ret_size, .cluster = 65536, .refcount_bits = 16, .compat = 1 };
    if (!take_options(options, &c, err))
        return false;
    *ret = (Qcow2Geometry){ c.cluster, c.refcount_bits, c.extended ? 16 : 8 };
    *ret_size = c.size;
    *ret_all = c.preallocation > 1;
    return true;
}

static unsigned put_extension(uint8_t *to, uint32_t type, const char *text)
{
    uint32_t head[2] = { GUINT32_TO_BE(type), GUINT32_TO_BE((uint32_t)strlen(text)) };
    memcpy(to, head, 8);
    memcpy(to + 8, text, strlen(text));
    return 8 + ((strlen(text) + 7) & ~7u);
}

static void put_refcount(uint8_t *block, unsigned bits, unsigned i)
{
    if (bits < 8)
        block[i * bits / 8] |= 1u << i * bits % 8;
    else
        block[(i + 1) * bits / 8 - 1] = 1;
}

/* Three clusters: the header, the refcount table, the block that counts these three. */
static int write_smallest(BlkNode *file, const Create *c)
{
    g_autofree uint8_t *image = g_malloc0(3 * c->cluster);
    Qcow2Header h = { .version = c->compat ? 3 : 2, .cluster_bits = __builtin_ctzll(c->cluster), .reftable_off = c->cluster, .reftable_clusters = 1,
                      .refcount_order = __builtin_ctzll(c->refcount_bits), .length = c->compat ? QCOW2_HEADER_MAX : QCOW2_HEADER_V2,
                      .compatible = c->lazy ? QCOW2_LAZY_REFCOUNTS : 0, .codec = c->codec, .autoclear = c->data_raw ? QCOW2_DATA_RAW : 0,
                      .incompatible = (c->codec ? QCOW2_COMPRESSION : 0) | (c->extended ? QCOW2_EXTENDED : 0) | (c->data ? QCOW2_DATA_FILE : 0) };
    unsigned at = h.length;
    if (c->data)
        at += put_extension(image + at, QCOW2_EXT_DATA_FILE, c->data);
    if (c->backing) {
        at += put_extension(image + at, (uint32_t)QCOW2_EXT_BACKING_FORMAT, c->backing_format) + 8; /* and the end of extensions */
        h.backing_off = at;
        h.backing_bytes = strlen(c->backing);
        memcpy(image + at, c->backing, h.backing_bytes);
    }
    uint8_t head[QCOW2_HEADER_MAX];
    qcow2_encode_header(&h, head);
    memcpy(image, head, h.length);
    memcpy(image + c->cluster, &(uint64_t){ GUINT64_TO_BE(2 * c->cluster) }, 8);
    for (unsigned i = 0; i < 3; i++)
        put_refcount(image + 2 * c->cluster, c->refcount_bits, i);
    return blk_pwrite(file, 0, image, 3 * c->cluster);
}

/* The file that is being made belongs to the caller: it only visits the stack. */
static bool finish(BlkNode *file, const Create *c, GError **err)
{
    BlkNode *n = node_create(&qcow2_driver, file->filename);
    n->file = file;
    bool ok = qcow2_driver.open(n, NULL, err) && (!c->encrypt || qcow2_create_crypt(n, c->encrypt, &c->luks, err)) && qcow2_resize(n, c->size, 0, err);
    static const unsigned flags[] = { 0, BLK_ALLOCATE_METADATA, BLK_ALLOCATE, BLK_ALLOCATE_FULL };
    int status = ok && c->preallocation ? qcow2_preallocate(n, 0, flags[c->preallocation]) : 0;
    if (status)
        ok = error_set_errno(err, -status, "cannot preallocate '%s'", file->filename);
    status = ok ? blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0) : 0;
    if (status)
        ok = error_set_errno(err, -status, "cannot write the metadata of '%s'", file->filename);
    n->file = NULL;
    ((Qcow2 *)n->state)->file = ok ? file : NULL;
    blk_close(n);
    return ok;
}

static bool backing_size(const BlkNode *file, Create *c, GError **err)
{
    g_autofree char *directory = g_path_get_dirname(file->filename);
    g_autofree char *path = g_path_is_absolute(c->backing) ? g_strdup(c->backing) : g_build_filename(directory, c->backing, NULL);
    BlkNode *backing = blk_open(&(BlkOpenOptions){ .filename = path, .format = c->backing_format, .read_only = true }, err);
    if (backing)
        c->size = backing->size;
    blk_close(backing);
    return backing;
}

/* As long as the disk, and all holes. */
static bool make_data_file(const BlkNode *file, const char *name, uint64_t size, GError **err)
{
    g_autofree char *options = g_strdup_printf("size=%" G_GUINT64_FORMAT, MAX(size, 512));
    g_autofree char *directory = g_path_get_dirname(file->filename);
    g_autofree char *path = g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(directory, name, NULL);
    return blk_create("raw", path, options, file->env, err);
}

bool qcow2_create(BlkNode *file, KeyVals *options, GError **err)
{
    Create c = { .size = UINT64_MAX, .cluster = 65536, .refcount_bits = 16, .compat = 1 };
    if (!take_options(options, &c, err))
        return false;
    if (c.size == UINT64_MAX && !c.backing)
        return error_set(err, ERR_INVALID, "cannot create '%s': say its size, as in size=10G", file->filename);
    if (c.size == UINT64_MAX && !backing_size(file, &c, err))
        return false;
    c.size = (c.size + 511) & -512ull;
    if (c.data && !make_data_file(file, c.data, c.size, err))
        return false;
    int status = write_smallest(file, &c);
    if (status)
        return error_set_errno(err, -status, "cannot create '%s'", file->filename);
    return finish(file, &c, err);
}
