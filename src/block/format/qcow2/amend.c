/* amend.c - changing what an image was created with: its version, refcounts, names of other files. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

static bool failed(const BlkNode *n, const char *what, int status, GError **err)
{
    if (status == -ENAMETOOLONG)
        return error_set(err, ERR_INVALID, "cannot change the %s of '%s': it does not fit into the first cluster", what, n->filename);
    if (status == -ERANGE)
        return error_set(err, ERR_INVALID, "cannot change the %s of '%s': some cluster is used more often than they can count", what, n->filename);
    if (status == -EUCLEAN)
        return error_set(err, ERR_INVALID, "cannot change the %s of '%s': the image is damaged; check and repair it first", what, n->filename);
    return error_set_errno(err, -status, "cannot change the %s of '%s'", what, n->filename);
}

static int change_head(BlkNode *n, const Qcow2Header *h, const Qcow2Names *names)
{
    Qcow2 *q = n->state;
    g_mutex_lock(&q->lock);
    int status = qcow2_sync(q);
    if (!status)
        status = qcow2_change_head(n, h, names, &q->bitmaps_at);
    g_mutex_unlock(&q->lock);
    return status;
}

bool qcow2_set_backing(BlkNode *n, const char *name, const char *format, GError **err)
{
    const Qcow2 *q = n->state;
    Qcow2Names names = { name, name ? format : NULL, q->data_name };
    if (name && (!*name || strlen(name) > QCOW2_MAX_BACKING_NAME))
        return error_set(err, ERR_INVALID, "cannot change the backing file of '%s': its name must have 1 to %d bytes", n->filename, QCOW2_MAX_BACKING_NAME);
    if (name && q->data_raw)
        return error_set(err, ERR_INVALID, "cannot give '%s' a backing file: its data file is a raw image by itself", n->filename);
    int status = change_head(n, &q->h, &names);
    return !status || failed(n, "backing file", status, err);
}

/* ---- all from the backing file again */

static int forget_data(Qcow2 *q)
{
    Rebuild b;
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

/* ---- the version */

/* Version 2 knows no zeros: they become holes where nothing is below, else data. */
static int expand_zeros(BlkNode *n)
{
    Qcow2 *q = n->state;
    Qcow2Run run;
    g_autofree uint8_t *zeros = g_malloc0(q->cluster_bytes);
    int status = 0;
    for (uint64_t at = 0; at < n->size && !status; at += run.len) {
        status = qcow2_find(q, at, n->size - at, &run);
        if (status)
            return status;
        qcow2_unpin(q, run.pin);
        if (run.kind != QCOW2_IS_ZERO)
            continue;
        run.len = MIN(run.len, q->cluster_bytes);
        if (n->backing || n->backing_name)
            status = qcow2_write(n, at, run.len, &(struct iovec){ zeros, run.len }, 1);
        else
            status = qcow2_forget_cluster(q, at);
    }
    return status;
}

static bool check_downgrade(const BlkNode *n, GError **err)
{
    const Qcow2 *q = n->state;
    const char *why = q->h.incompatible & ~(uint64_t)(QCOW2_DIRTY | QCOW2_CORRUPT) ? "it uses zstd, extended L2 entries or a data file" :
                      q->h.refcount_order != 4 ? "its refcount_bits are not 16" : q->bitmaps->len || (n->bitmaps && n->bitmaps->len) ? "it has bitmaps" :
                      q->snapshots->len ? "it has snapshots, whose zeros version 2 could not express" : NULL;
    return !why || error_set(err, ERR_UNSUPPORTED, "cannot amend '%s' to compat=0.10: %s", n->filename, why);
}

static bool downgrade(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    Qcow2Names names = qcow2_names(n);
    if (!check_downgrade(n, err))
        return false;
    int status = expand_zeros(n);
    Qcow2Header h = q->h;
    h.version = 2;
    h.length = QCOW2_HEADER_V2;
    h.incompatible = h.compatible = h.autoclear = 0;
    if (!status)
        status = change_head(n, &h, &names);
    return !status || failed(n, "version", status, err);
}

static bool upgrade(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    Qcow2Names names = qcow2_names(n);
    Qcow2Header h = q->h;
    h.version = 3;
    h.length = QCOW2_HEADER_MAX;
    h.refcount_order = 4;
    int status = change_head(n, &h, &names);
    return !status || failed(n, "version", status, err);
}

static bool set_version(BlkNode *n, bool three, GError **err)
{
    const Qcow2 *q = n->state;
    return (q->h.version == 3) == three || (three ? upgrade(n, err) : downgrade(n, err));
}

/* ---- the rest */

static bool set_lazy(BlkNode *n, bool lazy, GError **err)
{
    Qcow2 *q = n->state;
    if (lazy && q->h.version == 2)
        return error_set(err, ERR_INVALID, "cannot amend '%s': lazy_refcounts needs compat=1.1", n->filename);
    Qcow2Header h = q->h;
    h.compatible = (h.compatible & ~(uint64_t)QCOW2_LAZY_REFCOUNTS) | (lazy ? QCOW2_LAZY_REFCOUNTS : 0);
    g_mutex_lock(&q->lock);
    int status = qcow2_change_header(q, &h);
    g_mutex_unlock(&q->lock);
    return !status || failed(n, "lazy_refcounts", status, err);
}

static bool set_refcount_bits(BlkNode *n, uint64_t bits, GError **err)
{
    Qcow2 *q = n->state;
    if (!bits || bits & (bits - 1))
        return error_set(err, ERR_INVALID, "refcount_bits must be 1, 2, 4, 8, 16, 32 or 64");
    if (bits == 1u << q->h.refcount_order)
        return true;
    if (q->h.version == 2)
        return error_set(err, ERR_INVALID, "cannot amend '%s': refcount_bits other than 16 need compat=1.1", n->filename);
    Rebuild b;
    g_mutex_lock(&q->lock);
    int status = rebuild_begin(&b, q);
    b.next.h.refcount_order = __builtin_ctzll(bits);
    if (!status)
        status = rebuild_end(&b);
    g_mutex_unlock(&q->lock);
    rebuild_clear(&b);
    return !status || failed(n, "refcount_bits", status, err);
}

bool qcow2_amend(BlkNode *n, KeyVals *kv, GError **err)
{
    Qcow2 *q = n->state;
    unsigned compat = q->h.version == 3;
    uint64_t bits = 1u << q->h.refcount_order, size = n->size;
    bool lazy = q->h.compatible & QCOW2_LAZY_REFCOUNTS;
    const char *backing = keyvals_take(kv, "backing_file"), *format = keyvals_take(kv, "backing_fmt");
    if (q->luks_bytes && q->luks && keyvals_take(kv, "encrypt.state") && !luks_amend(q->luks, q->file, q->luks_off, kv, "encrypt.", err))
        return false;
    if (!keyvals_take_choice(kv, "compat", qcow2_compats, &compat, err) || !keyvals_take_bool(kv, "lazy_refcounts", &lazy, err) ||
        !keyvals_take_number(kv, "refcount_bits", 1, 64, &bits, err) || !keyvals_take_number(kv, "size", 0, INT64_MAX - 511, &size, err) ||
        !keyvals_end(kv, err))
        return false;
    bool three = compat % 2;
    if (three && !set_version(n, true, err))
        return false;
    if ((backing || format) && !blk_set_backing(n, backing ? *backing ? backing : NULL : n->backing_name, format ? format : n->backing_format, err))
        return false;
    if (lazy != !!(q->h.compatible & QCOW2_LAZY_REFCOUNTS) && !set_lazy(n, lazy, err))
        return false;
    if (!set_refcount_bits(n, bits, err) || (size != n->size && !blk_resize(n, size, 0, err)))
        return false;
    return three || set_version(n, false, err);
}
