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
    q->extended = q->h.incompatible & QCOW2_EXTENDED;
    q->entry_shift = q->extended ? 4 : 3;
    q->subs = q->extended ? 32 : 1;
    q->sub_bytes = q->cluster_bytes / q->subs;
    q->codec = q->h.codec;
    q->l2_bits = q->cluster_bits - q->entry_shift;
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
    if (n->read_only || n->mode.repair)
        return true;
    if (q->h.incompatible & QCOW2_DIRTY && !qcow2_check(n, BLK_REPAIR_ALL, &found, err))
        return false;
    uint64_t known = QCOW2_DATA_RAW | QCOW2_BITMAPS_VALID;
    if (!(q->h.incompatible & QCOW2_DIRTY) && !(q->h.autoclear & ~known))
        return true;
    q->h.incompatible &= ~(uint64_t)QCOW2_DIRTY;
    q->h.autoclear &= known;
    int status = qcow2_write_header(q);
    return !status || error_set_errno(err, -status, "cannot write the header of '%s'", n->filename);
}

static bool open_data(BlkNode *n, KeyVals *options, GError **err)
{
    Qcow2 *q = n->state;
    if (!(q->h.incompatible & QCOW2_DATA_FILE))
        return true;
    n->data = blk_open_child(n, options, "data-file", q->data_name, err);
    if (!n->data)
        return false;
    n->data->grows = true;
    q->data = n->data;
    q->data_raw = q->h.autoclear & QCOW2_DATA_RAW;
    return true;
}

/* What must be right before anything is written. */
static bool qcow2_reopen(BlkNode *n, GError **err)
{
    if (!n->read_only && ((Qcow2 *)n->state)->h.incompatible & QCOW2_CORRUPT)
        return error_set(err, ERR_INVALID, "cannot write to qcow2 image '%s': it is marked corrupt; repair it first", n->filename);
    return prepare_writing(n, err) && (n->read_only || qcow2_use_bitmaps(n, err));
}
static void extension_clear(void *extension) { g_bytes_unref(((Qcow2Extension *)extension)->data); }

static bool qcow2_open(BlkNode *n, KeyVals *options, GError **err)
{
    Qcow2 *q = n->state;
    q->file = q->data = n->file;
    q->freed = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    q->snapshots = g_ptr_array_new_with_free_func(qcow2_snapshot_free);
    q->bitmaps = g_ptr_array_new_with_free_func(qcow2_bitmap_free);
    q->unknown = g_array_new(FALSE, FALSE, sizeof(Qcow2Extension));
    g_array_set_clear_func(q->unknown, extension_clear);
    g_mutex_init(&q->lock);
    g_mutex_init(&q->meta);
    g_cond_init(&q->unpinned);
    q->ranges = ranges_new();
    if (!qcow2_read_header(n, err))
        return false;
    n->size = q->h.size;
    set_geometry(q);
    return open_data(n, options, err) && qcow2_open_crypt(n, options, err) && read_tables(n, err) && qcow2_read_snapshots(n, err) && qcow2_read_bitmaps(n, err) && prepare_writing(n, err);
}

/* Of a cluster that was written in part the rest may lie behind the file's end.  QEMU reads zeros there; 7-Zip refuses. */
static void complete_last_cluster(Qcow2 *q)
{
    uint64_t end = q->end << q->cluster_bits;
    if (q->file->size < end && end - q->file->size < q->cluster_bytes)
        blk_resize(q->file, end, 0, NULL);
}

static void qcow2_close(BlkNode *n)
{
    Qcow2 *q = n->state;
    if (q->file && q->reftable && !n->read_only) {
        blk_perform(n, BLK_FLUSH, 0, 0, 0, NULL, 0);
        complete_last_cluster(q);
    }
    cache_clear(&q->l2s);
    cache_clear(&q->blocks);
    g_array_unref(q->freed);
    g_ptr_array_unref(q->snapshots);
    g_ptr_array_unref(q->bitmaps);
    g_array_unref(q->unknown);
    g_clear_pointer(&q->head_rest, g_bytes_unref);
    g_mutex_clear(&q->lock);
    g_mutex_clear(&q->meta);
    g_cond_clear(&q->unpinned);
    ranges_free(q->ranges);
    g_free(q->data_name);
    luks_free(q->luks);
    g_free(q->l1);
    g_free(q->reftable);
}

static int qcow2_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    Qcow2 *q = n->state;
    Qcow2Run run;
    int status = qcow2_find(q, off, len, &run);
    if (status)
        return status;
    qcow2_unpin(q, run.pin);
    ret->len = run.len;
    ret->allocated = run.kind != QCOW2_IS_HOLE;
    ret->zero = run.kind == QCOW2_IS_ZERO || (run.kind == QCOW2_IS_HOLE && !n->backing);
    ret->compressed = run.kind == QCOW2_IS_COMPRESSED;
    ret->has_host = run.kind == QCOW2_IS_DATA && !q->h.crypt_method;
    ret->host = run.host;
    ret->host_node = q->data;
    return 0;
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
    .submit = qcow2_submit,
    .flags = BLK_COMPRESS,
    .map = qcow2_map,
    .resize = qcow2_resize,
    .check = qcow2_check,
    .set_backing = qcow2_set_backing,
    .make_empty = qcow2_make_empty,
    .reopen = qcow2_reopen,
    .info = qcow2_info,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_load = qcow2_snapshot_load,
    .snapshot_delete = qcow2_snapshot_delete,
    .vm_state = qcow2_vm_state,
    .load_bitmaps = qcow2_load_bitmaps,
    .store_bitmaps = qcow2_store_bitmaps,
    .can_store_bitmap = qcow2_can_store_bitmap,
    .amend = qcow2_amend,
    .info_specific = qcow2_info_specific,
    .measure = qcow2_measure,
};
