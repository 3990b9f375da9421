/* luks.c - the header of LUKS version 1, its key slots, and the cipher of sectors. */
#include "block/format/luks/luks.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "base/error.h"

enum { VERSION = 1, DIGEST_BYTES = 20, SALT_BYTES = 32, STRIPES = 4000, MAX_KEY = 64, MIN_ITERATIONS = 1000, MAX_ITERATIONS = 1 << 27,
       FIRST_MATERIAL_SECTOR = 8, SLOT_ENABLED = 0x00ac71f3, SLOT_DISABLED = 0x0000dead, PROBE_ITERATIONS = 1 << 15, MAX_HASH = 64 };
static const char magic[6] = { 'L', 'U', 'K', 'S', (char)0xba, (char)0xbe };

typedef struct __attribute__((packed)) KeySlot {
    uint32_t state, iterations;
    uint8_t salt[SALT_BYTES];
    uint32_t material_sector, stripes;
} KeySlot;

typedef struct __attribute__((packed)) LuksHeader { /* big endian */
    char magic[6];
    uint16_t version;
    char cipher[32], mode[32], hash[32];
    uint32_t payload_sector, key_bytes;
    uint8_t digest[DIGEST_BYTES], digest_salt[SALT_BYTES];
    uint32_t digest_iterations;
    char uuid[40];
    KeySlot slot[LUKS_SLOTS];
} LuksHeader;
G_STATIC_ASSERT(sizeof(LuksHeader) == 592);

/* ---- what we know */

typedef struct CipherRow {
    const char *name; /* as options say it */
    unsigned bytes;   /* of one key; XTS takes two */
    gnutls_cipher_algorithm_t xts, cbc;
} CipherRow;
static const CipherRow ciphers[] = {
    { "aes-256", 32, GNUTLS_CIPHER_AES_256_XTS, GNUTLS_CIPHER_AES_256_CBC },
    { "aes-128", 16, GNUTLS_CIPHER_AES_128_XTS, GNUTLS_CIPHER_AES_128_CBC },
    { "aes-192", 24, GNUTLS_CIPHER_UNKNOWN, GNUTLS_CIPHER_AES_192_CBC },
};
typedef struct HashRow {
    const char *name;
    gnutls_digest_algorithm_t digest;
    gnutls_mac_algorithm_t mac;
} HashRow;
static const HashRow hashes[] = {
    { "sha256", GNUTLS_DIG_SHA256, GNUTLS_MAC_SHA256 }, { "sha1", GNUTLS_DIG_SHA1, GNUTLS_MAC_SHA1 }, { "sha512", GNUTLS_DIG_SHA512, GNUTLS_MAC_SHA512 },
    { "sha384", GNUTLS_DIG_SHA384, GNUTLS_MAC_SHA384 }, { "sha224", GNUTLS_DIG_SHA224, GNUTLS_MAC_SHA224 },
};
enum { AES_256, AES_128 };
enum { XTS, CBC };
enum { PLAIN64, PLAIN, ESSIV };
static const char *const cipher_names[] = { "aes-256", "aes-128", "aes-192", NULL }, *const mode_names[] = { "xts", "cbc", NULL },
                  *const iv_names[] = { "plain64", "plain", "essiv", NULL }, *const hash_names[] = { "sha256", "sha1", "sha512", "sha384", "sha224", NULL };

typedef struct Suite {
    const CipherRow *cipher;
    const HashRow *hash, *iv_hash; /* iv_hash: of ESSIV */
    unsigned mode, iv;
} Suite;

struct Luks {
    LuksHeader h;
    Suite suite;
    uint8_t key[MAX_KEY];
    GMutex lock;
    GPtrArray *idle; /* of gnutls_cipher_hd_t: each serves one thread at a time */
};

static unsigned key_bytes(const Suite *s) { return s->cipher->bytes * (s->mode == XTS ? 2 : 1); }
static unsigned material_sectors(unsigned key) { return (key * STRIPES + LUKS_SECTOR - 1) / LUKS_SECTOR; }
/* Slots begin at multiples of 4 KiB. */
static unsigned slot_sectors(unsigned key) { return (material_sectors(key) + FIRST_MATERIAL_SECTOR - 1) / FIRST_MATERIAL_SECTOR * FIRST_MATERIAL_SECTOR; }

/* ---- options */

static bool take_choice(KeyVals *kv, const char *prefix, const char *key, const char *const *names, unsigned *ret, GError **err)
{
    g_autofree char *full = g_strconcat(prefix, key, NULL);
    return keyvals_take_choice(kv, full, names, ret, err);
}

static const char *take_text(KeyVals *kv, const char *prefix, const char *key)
{
    g_autofree char *full = g_strconcat(prefix, key, NULL);
    return keyvals_take(kv, full);
}

static bool take_number(KeyVals *kv, const char *prefix, const char *key, uint64_t min, uint64_t max, uint64_t *ret, GError **err)
{
    g_autofree char *full = g_strconcat(prefix, key, NULL);
    return keyvals_take_number(kv, full, min, max, ret, err);
}

bool luks_take_options(KeyVals *kv, const char *prefix, LuksOptions *ret, GError **err)
{
    *ret = (LuksOptions){ .iter_ms = 2000 };
    ret->key_secret = take_text(kv, prefix, "key-secret");
    if (!take_choice(kv, prefix, "cipher-alg", cipher_names, &ret->cipher, err) || !take_choice(kv, prefix, "cipher-mode", mode_names, &ret->mode, err) ||
        !take_choice(kv, prefix, "ivgen-alg", iv_names, &ret->iv, err) || !take_choice(kv, prefix, "ivgen-hash-alg", hash_names, &ret->iv_hash, err) ||
        !take_choice(kv, prefix, "hash-alg", hash_names, &ret->hash, err) || !take_number(kv, prefix, "iter-time", 1, 1000000, &ret->iter_ms, err))
        return false;
    if (!ret->key_secret)
        return error_set(err, ERR_INVALID, "encryption needs %skey-secret=ID of a secret: --object secret,id=ID,file=PATH", prefix);
    if (ret->mode == XTS && ciphers[ret->cipher].xts == GNUTLS_CIPHER_UNKNOWN)
        return error_set(err, ERR_INVALID, "%scipher-alg=%s has no mode xts: choose aes-128 or aes-256", prefix, ciphers[ret->cipher].name);
    return true;
}

static Suite suite_of(const LuksOptions *o) { return (Suite){ &ciphers[o->cipher], &hashes[o->hash], &hashes[o->iv_hash], o->mode, o->iv }; }

uint64_t luks_header_bytes(const LuksOptions *o)
{
    Suite s = suite_of(o);
    return (FIRST_MATERIAL_SECTOR + LUKS_SLOTS * (uint64_t)slot_sectors(key_bytes(&s))) * LUKS_SECTOR;
}

/* ---- the cipher of sectors */

static gnutls_cipher_hd_t new_cipher(const Suite *s, const uint8_t *key)
{
    gnutls_cipher_hd_t h;
    uint8_t iv[16] = { 0 };
    gnutls_datum_t k = { (uint8_t *)key, key_bytes(s) }, v = { iv, sizeof(iv) };
    return gnutls_cipher_init(&h, s->mode == XTS ? s->cipher->xts : s->cipher->cbc, &k, &v) ? NULL : h;
}

/* ESSIV: the sector's number, encrypted with the hash of the key. */
static bool essiv(const Suite *s, const uint8_t *key, uint8_t iv[16])
{
    uint8_t salt[MAX_HASH], zero[16] = { 0 };
    unsigned bytes = gnutls_hash_get_len(s->iv_hash->digest);
    if (bytes != 32 && bytes != 16)
        return false;
    gnutls_cipher_hd_t h;
    gnutls_datum_t k = { salt, bytes }, v = { zero, sizeof(zero) };
    bool ok = !gnutls_hash_fast(s->iv_hash->digest, key, key_bytes(s), salt) && !gnutls_cipher_init(&h, GNUTLS_CIPHER_AES_256_CBC, &k, &v);
    if (ok) {
        ok = !gnutls_cipher_encrypt(h, iv, 16);
        gnutls_cipher_deinit(h);
    }
    return ok;
}

static bool crypt_sectors(const Suite *s, gnutls_cipher_hd_t h, const uint8_t *key, bool encrypt, uint64_t sector, uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += LUKS_SECTOR, sector++) {
        uint8_t iv[16] = { 0 };
        uint64_t number = GUINT64_TO_LE(s->iv == PLAIN ? sector & UINT32_MAX : sector);
        memcpy(iv, &number, 8);
        if (s->iv == ESSIV && !essiv(s, key, iv))
            return false;
        gnutls_cipher_set_iv(h, iv, sizeof(iv));
        if (encrypt ? gnutls_cipher_encrypt(h, data + at, LUKS_SECTOR) : gnutls_cipher_decrypt(h, data + at, LUKS_SECTOR))
            return false;
    }
    return true;
}

bool luks_crypt(Luks *l, bool encrypt, uint64_t sector, uint8_t *data, size_t bytes)
{
    g_mutex_lock(&l->lock);
    gnutls_cipher_hd_t h = l->idle->len ? g_ptr_array_steal_index_fast(l->idle, l->idle->len - 1) : NULL;
    g_mutex_unlock(&l->lock);
    if (!h && !(h = new_cipher(&l->suite, l->key)))
        return false;
    bool ok = crypt_sectors(&l->suite, h, l->key, encrypt, sector, data, bytes);
    g_mutex_lock(&l->lock);
    g_ptr_array_add(l->idle, h);
    g_mutex_unlock(&l->lock);
    return ok;
}

static bool crypt_once(const Suite *s, const uint8_t *key, bool encrypt, uint8_t *data, size_t bytes)
{
    gnutls_cipher_hd_t h = new_cipher(s, key);
    bool ok = h && crypt_sectors(s, h, key, encrypt, 0, data, bytes);
    if (h)
        gnutls_cipher_deinit(h);
    return ok;
}

/* ---- anti-forensic stripes: section 2.4 */

static void diffuse(const HashRow *hash, uint8_t *block, unsigned bytes)
{
    unsigned step = gnutls_hash_get_len(hash->digest);
    uint8_t in[4 + MAX_KEY], out[MAX_HASH];
    for (unsigned at = 0, n = 0; at < bytes; at += step, n++) {
        unsigned part = MIN(step, bytes - at);
        memcpy(in, &(uint32_t){ GUINT32_TO_BE(n) }, 4);
        memcpy(in + 4, block + at, part);
        gnutls_hash_fast(hash->digest, in, 4 + part, out);
        memcpy(block + at, out, part);
    }
}

static void mix(uint8_t *block, const uint8_t *with, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        block[i] ^= with[i];
}

static void merge_stripes(const HashRow *hash, const uint8_t *stripes, unsigned bytes, uint8_t *ret_key)
{
    memset(ret_key, 0, bytes);
    for (unsigned i = 0; i + 1 < STRIPES; i++) {
        mix(ret_key, stripes + i * bytes, bytes);
        diffuse(hash, ret_key, bytes);
    }
    mix(ret_key, stripes + (STRIPES - 1) * bytes, bytes);
}

static void split_stripes(const HashRow *hash, const uint8_t *key, unsigned bytes, uint8_t *ret_stripes)
{
    uint8_t sum[MAX_KEY] = { 0 };
    gnutls_rnd(GNUTLS_RND_KEY, ret_stripes, (size_t)(STRIPES - 1) * bytes);
    for (unsigned i = 0; i + 1 < STRIPES; i++) {
        mix(sum, ret_stripes + i * bytes, bytes);
        diffuse(hash, sum, bytes);
    }
    mix(sum, key, bytes);
    memcpy(ret_stripes + (STRIPES - 1) * bytes, sum, bytes);
}

/* ---- passphrases */

static bool stretch(const HashRow *hash, const void *secret, size_t len, const uint8_t *salt, uint32_t iterations, uint8_t *ret, size_t bytes)
{
    gnutls_datum_t s = { (uint8_t *)secret, len }, t = { (uint8_t *)salt, SALT_BYTES };
    return !gnutls_pbkdf2(hash->mac, &s, &t, iterations, ret, bytes);
}

/* How many take that long here. */
static uint32_t iterations_for(const HashRow *hash, unsigned bytes, uint64_t ms)
{
    uint8_t out[MAX_KEY], salt[SALT_BYTES] = { 0 };
    int64_t start = g_get_monotonic_time();
    stretch(hash, "probe", 5, salt, PROBE_ITERATIONS, out, bytes);
    uint64_t us = MAX(g_get_monotonic_time() - start, 1);
    return CLAMP(PROBE_ITERATIONS * ms * 1000 / us, MIN_ITERATIONS, MAX_ITERATIONS);
}

static bool is_key(const LuksHeader *h, const Suite *s, const uint8_t *key)
{
    uint8_t digest[DIGEST_BYTES];
    return stretch(s->hash, key, key_bytes(s), h->digest_salt, GUINT32_FROM_BE(h->digest_iterations), digest, sizeof(digest)) &&
           !gnutls_memcmp(digest, h->digest, sizeof(digest));
}

static int try_slot(BlkNode *file, uint64_t off, const LuksHeader *h, const Suite *s, const KeySlot *slot, const uint8_t *pass, size_t len, uint8_t *ret_key)
{
    unsigned bytes = key_bytes(s);
    size_t material = (size_t)material_sectors(bytes) * LUKS_SECTOR;
    uint8_t derived[MAX_KEY];
    g_autofree uint8_t *stripes = g_malloc(material);
    int status = blk_pread(file, off + GUINT32_FROM_BE(slot->material_sector) * (uint64_t)LUKS_SECTOR, stripes, material);
    if (status)
        return status;
    bool ok = stretch(s->hash, pass, len, slot->salt, GUINT32_FROM_BE(slot->iterations), derived, bytes) && crypt_once(s, derived, false, stripes, material);
    if (ok)
        merge_stripes(s->hash, stripes, bytes, ret_key);
    explicit_bzero(derived, sizeof(derived));
    explicit_bzero(stripes, material);
    return ok && is_key(h, s, ret_key) ? 1 : 0;
}

/* The slot's number, -1: none, or -errno - 1. */
static int find_slot(BlkNode *file, uint64_t off, const LuksHeader *h, const Suite *s, const uint8_t *pass, size_t len, uint8_t *ret_key)
{
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        if (GUINT32_FROM_BE(h->slot[i].state) != SLOT_ENABLED)
            continue;
        int status = try_slot(file, off, h, s, &h->slot[i], pass, len, ret_key);
        if (status < 0)
            return status - 1;
        if (status)
            return i;
    }
    return -1;
}

static bool write_slot(BlkNode *file, uint64_t off, Luks *l, unsigned i, const uint8_t *pass, size_t len, uint64_t iter_ms, GError **err)
{
    const Suite *s = &l->suite;
    KeySlot *slot = &l->h.slot[i];
    unsigned bytes = key_bytes(s);
    size_t material = (size_t)material_sectors(bytes) * LUKS_SECTOR;
    uint8_t derived[MAX_KEY];
    g_autofree uint8_t *stripes = g_malloc0(material);
    gnutls_rnd(GNUTLS_RND_RANDOM, slot->salt, SALT_BYTES);
    slot->iterations = GUINT32_TO_BE(iterations_for(s->hash, bytes, iter_ms));
    split_stripes(s->hash, l->key, bytes, stripes);
    bool ok = stretch(s->hash, pass, len, slot->salt, GUINT32_FROM_BE(slot->iterations), derived, bytes) && crypt_once(s, derived, true, stripes, material);
    explicit_bzero(derived, sizeof(derived));
    if (!ok)
        return error_set(err, ERR_INTERNAL, "the cipher failed");
    int status = blk_pwrite(file, off + GUINT32_FROM_BE(slot->material_sector) * (uint64_t)LUKS_SECTOR, stripes, material);
    if (!status)
        status = blk_perform(file, BLK_FLUSH, 0, 0, 0, NULL, 0);
    slot->state = GUINT32_TO_BE((uint32_t)SLOT_ENABLED);
    if (!status)
        status = blk_pwrite(file, off, &l->h, sizeof(l->h));
    return !status || error_set_errno(err, -status, "cannot write the key slots of '%s'", file->filename);
}

/* ---- the header */

static int name_index(const char *const *names, const char *name, size_t len)
{
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == len && !memcmp(names[i], name, len))
            return i;
    return -1;
}

/* "xts-plain64", "cbc-essiv:sha256" */
static const char *read_mode(const char mode[32], Suite *s)
{
    const char *end = memchr(mode, 0, 32), *dash = memchr(mode, '-', 32);
    const char *colon = end ? memchr(mode, ':', end - mode) : NULL;
    int m = end && dash ? name_index(mode_names, mode, dash - mode) : -1;
    int iv = end && dash ? name_index(iv_names, dash + 1, (colon ? colon : end) - dash - 1) : -1;
    int hash = colon ? name_index(hash_names, colon + 1, end - colon - 1) : 0;
    s->mode = m;
    s->iv = iv;
    s->iv_hash = &hashes[MAX(hash, 0)];
    return m < 0 || iv < 0 || hash < 0 ? "its cipher mode is none of xts and cbc with plain, plain64 or essiv" : NULL;
}

static const char *read_suite(const LuksHeader *h, Suite *s)
{
    const char *end = memchr(h->hash, 0, sizeof(h->hash)), *wrong = read_mode(h->mode, s);
    int hash = end ? name_index(hash_names, h->hash, end - h->hash) : -1;
    if (wrong)
        return wrong;
    if (strncmp(h->cipher, "aes", sizeof(h->cipher)))
        return "its cipher is not AES";
    if (hash < 0)
        return "its hash is none of sha1, sha224, sha256, sha384 and sha512";
    s->hash = &hashes[hash];
    for (unsigned i = 0; i < G_N_ELEMENTS(ciphers); i++) {
        s->cipher = &ciphers[i];
        if (key_bytes(s) == GUINT32_FROM_BE(h->key_bytes) && (s->mode == CBC || s->cipher->xts != GNUTLS_CIPHER_UNKNOWN))
            return NULL;
    }
    return "its key has a length that AES does not take";
}

static const char *flaw(const LuksHeader *h, Suite *s)
{
    if (memcmp(h->magic, magic, sizeof(magic)))
        return "it has no LUKS head";
    if (GUINT16_FROM_BE(h->version) != VERSION)
        return "its version is not 1: LUKS2 is not supported";
    const char *wrong = read_suite(h, s);
    uint64_t payload = GUINT32_FROM_BE(h->payload_sector);
    for (unsigned i = 0; i < LUKS_SLOTS && !wrong; i++) {
        const KeySlot *slot = &h->slot[i];
        uint64_t first = GUINT32_FROM_BE(slot->material_sector);
        if (GUINT32_FROM_BE(slot->state) != SLOT_ENABLED && GUINT32_FROM_BE(slot->state) != SLOT_DISABLED)
            wrong = "a key slot is in an unknown state";
        else if (GUINT32_FROM_BE(slot->state) == SLOT_ENABLED && (!slot->iterations || GUINT32_FROM_BE(slot->iterations) > MAX_ITERATIONS))
            wrong = "a key slot asks for no, or for more than 134217728 iterations";
        else if (GUINT32_FROM_BE(slot->stripes) != STRIPES || first < 2 || first + material_sectors(key_bytes(s)) > payload)
            wrong = "a key slot lies outside of the header";
    }
    if (!wrong && (!h->digest_iterations || GUINT32_FROM_BE(h->digest_iterations) > MAX_ITERATIONS))
        wrong = "its key's digest asks for no, or for more than 134217728 iterations";
    return wrong;
}

static Luks *new_luks(const LuksHeader *h, const Suite *s)
{
    Luks *l = g_new0(Luks, 1);
    l->h = *h;
    l->suite = *s;
    l->idle = g_ptr_array_new();
    g_mutex_init(&l->lock);
    return l;
}

Luks *luks_without_header(BlkNode *file, const char *key_secret, GError **err)
{
    uint8_t *pass;
    size_t len;
    if (!env_secret(file->env, key_secret, &pass, &len, err))
        return NULL;
    Luks *l = g_new0(Luks, 1);
    l->suite = (Suite){ &ciphers[AES_128], &hashes[0], &hashes[0], CBC, PLAIN64 };
    g_mutex_init(&l->lock);
    l->idle = g_ptr_array_new();
    memcpy(l->key, pass, MIN(len, ciphers[AES_128].bytes));
    explicit_bzero(pass, len);
    g_free(pass);
    return l;
}

void luks_free(Luks *l)
{
    if (!l)
        return;
    for (unsigned i = 0; i < l->idle->len; i++)
        gnutls_cipher_deinit(l->idle->pdata[i]);
    g_ptr_array_unref(l->idle);
    explicit_bzero(l->key, sizeof(l->key));
    g_mutex_clear(&l->lock);
    g_free(l);
}

uint64_t luks_payload_off(const Luks *l) { return GUINT32_FROM_BE(l->h.payload_sector) * (uint64_t)LUKS_SECTOR; }

static int unlock(BlkNode *file, uint64_t off, Luks *l, const char *key_secret, GError **err)
{
    g_autofree uint8_t *pass = NULL;
    size_t len;
    if (!key_secret)
        return error_set(err, ERR_DENIED, "'%s' is encrypted: give the id of a secret, key-secret=ID, and --object secret,id=ID,file=PATH", file->filename), -1;
    if (!env_secret(file->env, key_secret, &pass, &len, err))
        return -1;
    int slot = find_slot(file, off, &l->h, &l->suite, pass, len, l->key);
    explicit_bzero(pass, len);
    if (slot == -1)
        error_set(err, ERR_DENIED, "the passphrase of secret '%s' opens no key slot of '%s': it is wrong", key_secret, file->filename);
    else if (slot < 0)
        error_set_errno(err, -(slot + 1), "cannot read the key slots of '%s'", file->filename);
    return slot;
}

Luks *luks_look(BlkNode *file, uint64_t off, GError **err)
{
    LuksHeader h;
    Suite s = { 0 };
    int status = off + sizeof(h) > file->size ? -EIO : blk_pread(file, off, &h, sizeof(h));
    if (status) {
        error_set_errno(err, -status, "cannot read the LUKS header of '%s'", file->filename);
        return NULL;
    }
    const char *wrong = flaw(&h, &s);
    if (wrong) {
        error_set(err, ERR_INVALID, "cannot use the LUKS header of '%s': %s", file->filename, wrong);
        return NULL;
    }
    return new_luks(&h, &s);
}

Luks *luks_open(BlkNode *file, uint64_t off, const char *key_secret, GError **err)
{
    Luks *l = luks_look(file, off, err);
    if (l && unlock(file, off, l, key_secret, err) >= 0)
        return l;
    luks_free(l);
    return NULL;
}

static void fill_header(LuksHeader *h, const Suite *s)
{
    unsigned bytes = key_bytes(s), step = slot_sectors(bytes);
    g_autofree char *uuid = g_uuid_string_random();
    *h = (LuksHeader){ .version = GUINT16_TO_BE(VERSION), .cipher = "aes", .key_bytes = GUINT32_TO_BE(bytes),
                       .payload_sector = GUINT32_TO_BE(FIRST_MATERIAL_SECTOR + LUKS_SLOTS * step) };
    memcpy(h->magic, magic, sizeof(magic));
    g_strlcpy(h->hash, s->hash->name, sizeof(h->hash));
    g_snprintf(h->mode, sizeof(h->mode), "%s-%s%s%s", mode_names[s->mode], iv_names[s->iv], s->iv == ESSIV ? ":" : "", s->iv == ESSIV ? s->iv_hash->name : "");
    g_strlcpy(h->uuid, uuid, sizeof(h->uuid));
    for (unsigned i = 0; i < LUKS_SLOTS; i++)
        h->slot[i] = (KeySlot){ .state = GUINT32_TO_BE((uint32_t)SLOT_DISABLED), .stripes = GUINT32_TO_BE((uint32_t)STRIPES),
                                .material_sector = GUINT32_TO_BE(FIRST_MATERIAL_SECTOR + i * step) };
}

static void make_key(Luks *l, uint64_t iter_ms)
{
    unsigned bytes = key_bytes(&l->suite);
    gnutls_rnd(GNUTLS_RND_KEY, l->key, bytes);
    gnutls_rnd(GNUTLS_RND_RANDOM, l->h.digest_salt, SALT_BYTES);
    uint32_t iterations = iterations_for(l->suite.hash, DIGEST_BYTES, MAX(iter_ms / 8, 1));
    l->h.digest_iterations = GUINT32_TO_BE(iterations);
    stretch(l->suite.hash, l->key, bytes, l->h.digest_salt, iterations, l->h.digest, DIGEST_BYTES);
}

Luks *luks_create(BlkNode *file, uint64_t off, const LuksOptions *o, GError **err)
{
    LuksHeader h;
    Suite s = suite_of(o);
    g_autofree uint8_t *pass = NULL;
    size_t len;
    if (!env_secret(file->env, o->key_secret, &pass, &len, err))
        return NULL;
    fill_header(&h, &s);
    Luks *l = new_luks(&h, &s);
    make_key(l, o->iter_ms);
    bool ok = write_slot(file, off, l, 0, pass, len, o->iter_ms, err);
    explicit_bzero(pass, len);
    if (ok)
        return l;
    luks_free(l);
    return NULL;
}

/* ---- telling and changing */

static unsigned slots_in_use(const Luks *l)
{
    unsigned n = 0;
    for (unsigned i = 0; i < LUKS_SLOTS; i++)
        n += GUINT32_FROM_BE(l->h.slot[i].state) == SLOT_ENABLED;
    return n;
}

static void fact(GArray *facts, const char *prefix, const char *key, const char *text)
{
    g_autofree char *full = g_strconcat(prefix, key, NULL);
    fact_string(facts, full, text);
}

void luks_facts(const Luks *l, const char *prefix, GArray *facts)
{
    const Suite *s = &l->suite;
    fact(facts, prefix, "ivgen-alg", iv_names[s->iv]);
    fact(facts, prefix, "hash-alg", s->hash->name);
    fact(facts, prefix, "cipher-alg", s->cipher->name);
    fact(facts, prefix, "uuid", l->h.uuid);
    if (s->iv == ESSIV)
        fact(facts, prefix, "ivgen-hash-alg", s->iv_hash->name);
    fact(facts, prefix, "cipher-mode", mode_names[s->mode]);
    struct { const char *key; uint64_t value; } numbers[] = { { "payload-offset", luks_payload_off(l) }, { "master-key-iters", GUINT32_FROM_BE(l->h.digest_iterations) } };
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *full = g_strconcat(prefix, numbers[i].key, NULL);
        fact_number(facts, full, numbers[i].value);
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        const KeySlot *k = &l->h.slot[i];
        bool active = GUINT32_FROM_BE(k->state) == SLOT_ENABLED;
        struct { const char *key; uint64_t value; } rows[] = { { "iters", GUINT32_FROM_BE(k->iterations) }, { "key-offset", GUINT32_FROM_BE(k->material_sector) * 512ull },
                                                               { "stripes", GUINT32_FROM_BE(k->stripes) } };
        g_autofree char *active_key = g_strdup_printf("%sslots.%u.active", prefix, i);
        fact_bool(facts, active_key, active);
        for (unsigned r = active ? 0 : 1; r < (active ? 3u : 2u); r++) {
            g_autofree char *full = g_strdup_printf("%sslots.%u.%s", prefix, i, rows[r].key);
            fact_number(facts, full, rows[r].value);
        }
    }
}

static bool add_slot(Luks *l, BlkNode *file, uint64_t off, const char *secret, uint64_t slot, uint64_t iter_ms, GError **err)
{
    g_autofree uint8_t *pass = NULL;
    size_t len;
    if (!secret)
        return error_set(err, ERR_INVALID, "a new key needs new-secret=ID");
    for (unsigned i = 0; i < LUKS_SLOTS && slot >= LUKS_SLOTS; i++)
        if (GUINT32_FROM_BE(l->h.slot[i].state) != SLOT_ENABLED)
            slot = i;
    if (slot >= LUKS_SLOTS || GUINT32_FROM_BE(l->h.slot[slot].state) == SLOT_ENABLED)
        return error_set(err, ERR_BUSY, slot >= LUKS_SLOTS ? "all key slots are in use: erase one first, state=inactive" : "that key slot is in use: erase it first");
    if (!env_secret(file->env, secret, &pass, &len, err))
        return false;
    bool ok = write_slot(file, off, l, slot, pass, len, iter_ms, err);
    explicit_bzero(pass, len);
    return ok;
}

static bool erase_slot(Luks *l, BlkNode *file, uint64_t off, unsigned i, GError **err)
{
    if (slots_in_use(l) == 1 && GUINT32_FROM_BE(l->h.slot[i].state) == SLOT_ENABLED)
        return error_set(err, ERR_DENIED, "that is the last key of '%s': without it the data are lost; add another first", file->filename);
    l->h.slot[i].state = GUINT32_TO_BE((uint32_t)SLOT_DISABLED);
    l->h.slot[i].iterations = 0;
    size_t material = (size_t)material_sectors(key_bytes(&l->suite)) * LUKS_SECTOR;
    g_autofree uint8_t *noise = g_malloc(material);
    gnutls_rnd(GNUTLS_RND_RANDOM, noise, material);
    int status = blk_pwrite(file, off, &l->h, sizeof(l->h));
    if (!status)
        status = blk_pwrite(file, off + GUINT32_FROM_BE(l->h.slot[i].material_sector) * (uint64_t)LUKS_SECTOR, noise, material);
    return !status || error_set_errno(err, -status, "cannot erase a key slot of '%s'", file->filename);
}

static bool erase_secret(Luks *l, BlkNode *file, uint64_t off, const char *secret, GError **err)
{
    uint8_t key[MAX_KEY];
    g_autofree uint8_t *pass = NULL;
    size_t len;
    if (!env_secret(file->env, secret, &pass, &len, err))
        return false;
    int slot = find_slot(file, off, &l->h, &l->suite, pass, len, key);
    explicit_bzero(pass, len);
    explicit_bzero(key, sizeof(key));
    if (slot < 0)
        return error_set(err, ERR_NOT_FOUND, "no key slot of '%s' belongs to secret '%s'", file->filename, secret);
    return erase_slot(l, file, off, slot, err);
}

bool luks_amend(Luks *l, BlkNode *file, uint64_t off, KeyVals *kv, const char *prefix, GError **err)
{
    static const char *const states[] = { "active", "inactive", NULL };
    unsigned state = 2;
    uint64_t slot = LUKS_SLOTS, iter_ms = 2000;
    const char *fresh = take_text(kv, prefix, "new-secret"), *old = take_text(kv, prefix, "old-secret");
    if (!take_choice(kv, prefix, "state", states, &state, err) || !take_number(kv, prefix, "keyslot", 0, LUKS_SLOTS - 1, &slot, err) ||
        !take_number(kv, prefix, "iter-time", 1, 1000000, &iter_ms, err))
        return false;
    if (state == 0)
        return add_slot(l, file, off, fresh, slot, iter_ms, err);
    if (state == 1 && old)
        return erase_secret(l, file, off, old, err);
    if (state == 1 && slot < LUKS_SLOTS)
        return erase_slot(l, file, off, slot, err);
    return error_set(err, ERR_INVALID, "say %sstate=active with new-secret=ID, or %sstate=inactive with old-secret=ID or keyslot=N", prefix, prefix);
}
