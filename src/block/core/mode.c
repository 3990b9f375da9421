/* mode.c - the options that every node has: caches, discards, zeros, locks. */
#include "base/error.h"
#include "block/driver.h"

typedef struct CacheMode {
    bool direct, no_flush, writethrough;
} CacheMode;

/* The words of -drive cache=, in the order of `caches`. */
static const char *const cache_words[] = { "writeback", "none", "writethrough", "directsync", "unsafe", NULL };
static const CacheMode caches[] = { { 0 }, { .direct = true }, { .writethrough = true }, { .direct = true, .writethrough = true }, { .no_flush = true } };

static bool take_cache(KeyVals *kv, BlkMode *mode, GError **err)
{
    unsigned word = G_N_ELEMENTS(caches);
    if (!keyvals_take_choice(kv, "cache", cache_words, &word, err))
        return false;
    if (word < G_N_ELEMENTS(caches)) {
        mode->direct = caches[word].direct;
        mode->no_flush = caches[word].no_flush;
        mode->writethrough = caches[word].writethrough;
    }
    bool writeback = !mode->writethrough;
    bool ok = keyvals_take_bool(kv, "cache.direct", &mode->direct, err) &&
              keyvals_take_bool(kv, "cache.no-flush", &mode->no_flush, err) &&
              keyvals_take_bool(kv, "cache.writeback", &writeback, err);
    mode->writethrough = !writeback;
    return ok;
}

/* Discards pass unless told otherwise: a guest that trims wants the space back.  (QEMU's default is to ignore them.) */
static bool take_discard(KeyVals *kv, BlkMode *mode, GError **err)
{
    static const char *const words[] = { "unmap", "ignore", "on", "off", NULL };
    static const char *const detect_words[] = { "off", "on", "unmap", NULL };
    unsigned discard = mode->ignore_discard, detect = mode->detect;
    if (!keyvals_take_choice(kv, "discard", words, &discard, err) || !keyvals_take_choice(kv, "detect-zeroes", detect_words, &detect, err))
        return false;
    mode->ignore_discard = discard & 1;
    mode->detect = detect;
    return detect != BLK_DETECT_UNMAP || !mode->ignore_discard ||
           error_set(err, ERR_INVALID, "detect-zeroes=unmap needs discard=unmap: nothing may be unmapped otherwise");
}

/* QEMU's aio=native is Linux AIO; the ring does the same, and more. */
static bool take_aio(KeyVals *kv, BlkMode *mode, GError **err)
{
    static const char *const words[] = { "threads", "io_uring", "native", NULL };
    unsigned word = G_N_ELEMENTS(words);
    if (!keyvals_take_choice(kv, "aio", words, &word, err))
        return false;
    if (word < G_N_ELEMENTS(words))
        mode->aio = word ? BLK_AIO_URING : BLK_AIO_THREADS;
    return true;
}

static bool take_locking(KeyVals *kv, BlkMode *mode, bool read_only, GError **err)
{
    static const char *const words[] = { "on", "off", "auto", NULL };
    unsigned locking = mode->share;
    bool force_share = false;
    if (!keyvals_take_choice(kv, "locking", words, &locking, err) || !keyvals_take_bool(kv, "force-share", &force_share, err))
        return false;
    if (force_share && !read_only)
        return error_set(err, ERR_INVALID, "force-share=on needs read-only=on: two writers would destroy the image");
    mode->share = locking == 1 || force_share;
    return true;
}

bool mode_take(KeyVals *kv, BlkMode *mode, bool *read_only, const char **ret_name, GError **err)
{
    *ret_name = keyvals_take(kv, "node-name");
    return keyvals_take_bool(kv, "read-only", read_only, err) &&
           keyvals_take_bool(kv, "auto-read-only", &mode->auto_read_only, err) && take_cache(kv, mode, err) &&
           take_discard(kv, mode, err) && take_aio(kv, mode, err) && take_locking(kv, mode, *read_only, err);
}

BlkMode mode_of_child(const BlkMode *mode)
{
    BlkMode child = *mode;
    child.detect = BLK_DETECT_OFF;
    child.writethrough = false;
    child.no_backing = false;
    return child;
}
