/* qcow2.c - the driver of qcow2 images, versions 2 and 3: opening, closing and the table of the rest. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

enum { CACHE_BYTES = 32 << 20, MIN_TABLES = 16 };

int qcow2_read_table(BlkNode *file, uint64_t off, uint64_t entries, uint64_t **ret)
{
    *ret = g_try_new0(uint64_t, MAX(entries, 1));
    int status = *ret ? entries ? blk_pread(file, off, *ret, entries * 8) : 0 : -ENOMEM;
    for (uint64_t i = 0; i < entries && !status; i++)
        (*ret)[i] = GUINT64_FROM_BE((*ret)[i]);
    return status;
}

static void set_geometry(Qcow2 *q)
{
    q->cluster_bits = q->h.cluster_bits;
    q->cluster_bytes = 1ull << q->cluster_bits;
    q->l2_bits = q->cluster_bits - 3;
    q->block_bits = q->cluster_bits + 3 - q->h.refcount_order;
    q->reftable_size = (uint64_t)q->h.reftable_clusters << q->cluster_bits >> 3;
    q->end = div_up(q->file->size, q->cluster_bytes);
    cache_init(&q->l2s, MAX(CACHE_BYTES >> q->cluster_bits, MIN_TABLES));
    cache_init(&q->blocks, MAX(CACHE_BYTES / 4 >> q->cluster_bits, MIN_TABLES));
}

static bool read_tables(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    int status = qcow2_read_table(q->file, q->h.l1_off, q->h.l1_size, &q->l1);
    if (!status)
        status = qcow2_read_table(q->file, q->h.reftable_off, q->reftable_size, &q->reftable);
    for (uint64_t i = 0; i < q->reftable_size && !status; i++)
        if (q->reftable[i] & (q->cluster_bytes - 1) || q->reftable[i] > INT64_MAX)
            return error_set(err, ERR_INVALID, "cannot open qcow2 image '%s': entry %" G_GUINT64_FORMAT " of its refcount table is not aligned",
                             n->filename, i);
    return !status || error_set_errno(err, -status, "cannot read the tables of qcow2 image '%s'", n->filename);
}

/* After a crash under lazy refcounts they are rebuilt; features of others that we do not keep up to date are cleared. */
static bool prepare_writing(BlkNode *n, GError **err)
{
    Qcow2 *q = n->state;
    BlkCheck found;
    if (n->read_only)
        return true;
    if (q->h.incompatible & QCOW2_DIRTY && !qcow2_check(n, BLK_REPAIR_ALL, &found, err))
        return false;
    if (!(q->h.incompatible & QCOW2_DIRTY) && !q->h.autoclear)
        return true;
    q->h.incompatible &= ~(uint64_t)QCOW2_DIRTY;
    q->h.autoclear = 0;
    int status = qcow2_write_header(q);
    return !status || error_set_errno(err, -status, "cannot write the header of '%s'", n->filename);
}

static bool qcow2_open(BlkNode *n, KeyVals *options, GError **err)
{
    Qcow2 *q = n->state;
    q->file = n->file;
    q->freed = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    q->snapshots = g_ptr_array_new_with_free_func(qcow2_snapshot_free);
    g_rw_lock_init(&q->lock);
    g_mutex_init(&q->meta);
    if (!qcow2_read_header(n, err))
        return false;
    n->size = q->h.size;
    set_geometry(q);
    return read_tables(n, err) && qcow2_read_snapshots(n, err) && prepare_writing(n, err);
}

static void qcow2_close(BlkNode *n)
{
    Qcow2 *q = n->state;
    if (q->file && q->reftable && !n->read_only)
        blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0);
    cache_clear(&q->l2s);
    cache_clear(&q->blocks);
    g_array_unref(q->freed);
    g_ptr_array_unref(q->snapshots);
    g_rw_lock_clear(&q->lock);
    g_mutex_clear(&q->meta);
    g_free(q->l1);
    g_free(q->reftable);
}

static int qcow2_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    Qcow2 *q = n->state;
    Qcow2Run run;
    g_rw_lock_reader_lock(&q->lock);
    g_mutex_lock(&q->meta);
    int status = qcow2_lookup(q, off, len, &run);
    g_mutex_unlock(&q->meta);
    g_rw_lock_reader_unlock(&q->lock);
    if (!status)
        *ret = (BlkExtent){ .off = off, .len = run.len, .allocated = run.kind != QCOW2_IS_HOLE,
                            .zero = run.kind == QCOW2_IS_ZERO || (run.kind == QCOW2_IS_HOLE && !n->backing),
                            .compressed = run.kind == QCOW2_IS_COMPRESSED, .has_host = run.kind == QCOW2_IS_DATA, .host = run.host };
    return status;
}

static void qcow2_info(BlkNode *n, BlkInfo *ret)
{
    const Qcow2 *q = n->state;
    ret->cluster_bytes = q->cluster_bytes;
    ret->encrypted = q->h.crypt_method;
    ret->dirty = q->h.incompatible & QCOW2_DIRTY;
    ret->corrupt = q->h.incompatible & QCOW2_CORRUPT;
}

const BlkDriver qcow2_driver = {
    .name = "qcow2",
    .summary = "grows as it is written, with backing files and compression",
    .kind = BLK_FORMAT,
    .state_bytes = sizeof(Qcow2),
    .grows_file = true,
    .options = qcow2_options,
    .probe = qcow2_probe,
    .create = qcow2_create,
    .open = qcow2_open,
    .close = qcow2_close,
    .perform = qcow2_perform,
    .map = qcow2_map,
    .resize = qcow2_resize,
    .check = qcow2_check,
    .info = qcow2_info,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_load = qcow2_snapshot_load,
    .snapshot_delete = qcow2_snapshot_delete,
    .vm_state = qcow2_vm_state,
};
