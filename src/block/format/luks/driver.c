/* driver.c - images that are one encrypted disk: a LUKS header and the sectors behind it. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"
#include "block/format/luks/luks.h"

enum { PIECE_BYTES = 1 << 20 };

typedef struct LuksImage {
    Luks *luks;
    uint64_t payload;
    bool locked; /* no passphrase: for looking at it */
} LuksImage;

static bool image_probe(const uint8_t *head, size_t n) { return n >= 8 && !memcmp(head, "LUKS\xba\xbe\0\1", 8); }

static bool image_open(BlkNode *n, KeyVals *options, GError **err)
{
    LuksImage *i = n->state;
    const char *secret = keyvals_take(options, "key-secret");
    i->locked = !secret && n->read_only;
    i->luks = i->locked ? luks_look(n->file, 0, err) : luks_open(n->file, 0, secret, err);
    if (!i->luks)
        return false;
    if (i->locked)
        n->warning = g_strdup_printf("'%s' is encrypted: to read its data give key-secret=ID", n->filename);
    i->payload = luks_payload_off(i->luks);
    if (i->payload > n->file->size)
        return error_set(err, ERR_INVALID, "cannot use '%s' as a luks image: it is shorter than its header says", n->filename);
    n->size = n->file->size - i->payload;
    n->align = LUKS_SECTOR;
    return true;
}

static void image_close(BlkNode *n) { luks_free(((LuksImage *)n->state)->luks); }

static int read_piece(BlkNode *n, uint64_t off, uint64_t len, const BlkReq *r, uint8_t *piece)
{
    LuksImage *i = n->state;
    int status = blk_pread(n->file, i->payload + off, piece, len);
    if (!status && !luks_crypt(i->luks, false, off / LUKS_SECTOR, piece, len))
        status = -EIO;
    if (!status)
        iov_write(r->iov, r->niov, off - r->off, piece, len);
    return status;
}

static int write_piece(BlkNode *n, uint64_t off, uint64_t len, const BlkReq *r, uint8_t *piece)
{
    LuksImage *i = n->state;
    iov_read(r->iov, r->niov, off - r->off, piece, len);
    return luks_crypt(i->luks, true, off / LUKS_SECTOR, piece, len) ? blk_pwrite(n->file, i->payload + off, piece, len) : -EIO;
}

static int image_perform(BlkNode *n, BlkReq *r)
{
    LuksImage *i = n->state;
    int status = 0;
    if (r->op == BLK_FLUSH)
        return blk_perform(n->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
    if (r->op == BLK_DISCARD)
        return blk_perform(n->file, BLK_DISCARD, 0, i->payload + r->off, r->len, NULL, 0);
    if (r->op != BLK_READ && r->op != BLK_WRITE)
        return -ENOTSUP;
    if (i->locked)
        return -EACCES;
    g_autofree uint8_t *piece = g_malloc(MIN(r->len, PIECE_BYTES));
    for (uint64_t done = 0, len; done < r->len && !status; done += len) {
        len = MIN(r->len - done, PIECE_BYTES);
        status = (r->op == BLK_READ ? read_piece : write_piece)(n, r->off + done, len, r, piece);
    }
    return status;
}

static bool image_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    LuksImage *i = n->state;
    if (!blk_resize(n->file, i->payload + size, flags, err))
        return false;
    n->size = size;
    return true;
}

static bool image_create(BlkNode *file, KeyVals *options, GError **err)
{
    uint64_t size = 0;
    LuksOptions o;
    if (!keyvals_take_number(options, "size", 0, INT64_MAX - (1 << 30), &size, err) || !luks_take_options(options, "", &o, err) || !keyvals_end(options, err) ||
        !blk_resize(file, luks_header_bytes(&o) + ((size + LUKS_SECTOR - 1) & -(uint64_t)LUKS_SECTOR), 0, err))
        return false;
    Luks *l = luks_create(file, 0, &o, err);
    luks_free(l);
    return l;
}

static bool image_amend(BlkNode *n, KeyVals *options, GError **err)
{
    return luks_amend(((LuksImage *)n->state)->luks, n->file, 0, options, "", err);
}

static void image_info(BlkNode *n, BlkInfo *ret) { ret->encrypted = ret->noisy = true; }
static void image_facts(BlkNode *n, GArray *facts) { luks_facts(((LuksImage *)n->state)->luks, "", facts); }

static bool image_measure(KeyVals *options, BlkNode *source, BlkMeasure *ret, GError **err)
{
    uint64_t size = 0;
    BlkInfo info = { 0 };
    LuksOptions o;
    if (!keyvals_take_number(options, "size", 0, INT64_MAX - (1 << 30), &size, err) || !luks_take_options(options, "", &o, err))
        return false;
    if (source)
        blk_info(source, &info);
    ret->required = ret->fully_allocated = luks_header_bytes(&o) + (source ? info.size : size);
    return true;
}

static const BlkOption luks_image_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { "key-secret", BLK_STRING, .doc = "id of the secret with the passphrase", .create = true, .open = true },
    { "cipher-alg", BLK_STRING, "aes-256", "aes-128, aes-192 (cbc only) or aes-256", .create = true },
    { "cipher-mode", BLK_STRING, "xts", "xts or cbc", .create = true },
    { "ivgen-alg", BLK_STRING, "plain64", "plain, plain64 or essiv", .create = true },
    { "ivgen-hash-alg", BLK_STRING, "sha256", "hash of essiv", .create = true },
    { "hash-alg", BLK_STRING, "sha256", "sha1, sha224, sha256, sha384 or sha512", .create = true },
    { "iter-time", BLK_NUMBER, "2000", "milliseconds that trying a passphrase shall take", .create = true, .amend = true },
    { "state", BLK_STRING, .doc = "active: add a key; inactive: erase one", .amend = true },
    { "new-secret", BLK_STRING, .doc = "id of the secret with the new passphrase", .amend = true },
    { "old-secret", BLK_STRING, .doc = "id of the secret whose key to erase", .amend = true },
    { "keyslot", BLK_NUMBER, .doc = "which of the eight key slots", .amend = true },
    { 0 },
};

const BlkDriver luks_driver = {
    .name = "luks",
    .summary = "a disk encrypted by LUKS, version 1",
    .kind = BLK_FORMAT,
    .state_bytes = sizeof(LuksImage),
    .options = luks_image_options,
    .probe = image_probe,
    .create = image_create,
    .open = image_open,
    .close = image_close,
    .perform = image_perform,
    .resize = image_resize,
    .amend = image_amend,
    .measure = image_measure,
    .info = image_info,
    .info_specific = image_facts,
};
