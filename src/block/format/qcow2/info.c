/* info.c - what an image says of itself, and how large one would become. */
#include "base/error.h"
#include "block/format/qcow2/qcow2.h"

void qcow2_info(BlkNode *n, BlkInfo *ret)
{
    const Qcow2 *q = n->state;
    ret->cluster_bytes = q->cluster_bytes;
    ret->encrypted = q->h.crypt_method;
    ret->dirty = q->h.incompatible & QCOW2_DIRTY;
    ret->corrupt = q->h.incompatible & QCOW2_CORRUPT;
}

static void bitmap_facts(GArray *facts, unsigned i, const BlkBitmapInfo *b)
{
    unsigned flag = 0;
    g_autofree char *name = g_strdup_printf("bitmaps.%u.name", i), *granularity = g_strdup_printf("bitmaps.%u.granularity", i);
    const struct { bool set; const char *name; } flags[] = { { b->inconsistent, "in-use" }, { b->enabled && !b->inconsistent, "auto" } };
    for (unsigned f = 0; f < G_N_ELEMENTS(flags); f++) {
        g_autofree char *key = g_strdup_printf("bitmaps.%u.flags.%u", i, flag);
        if (flags[f].set) {
            fact_string(facts, key, flags[f].name);
            flag++;
        }
    }
    fact_string(facts, name, b->name);
    fact_number(facts, granularity, b->granularity);
}

/* The keys, and their order, are QEMU's. */
void qcow2_info_specific(BlkNode *n, GArray *facts)
{
    const Qcow2 *q = n->state;
    unsigned i = 0;
    fact_string(facts, "compat", q->h.version == 2 ? "0.10" : "1.1");
    if (q->data_name)
        fact_string(facts, "data-file", q->data_name);
    if (q->data != q->file)
        fact_bool(facts, "data-file-raw", q->data_raw);
    fact_string(facts, "compression-type", q->codec == QCOW2_ZSTD ? "zstd" : "zlib");
    if (q->h.version > 2)
        fact_bool(facts, "lazy-refcounts", q->h.compatible & QCOW2_LAZY_REFCOUNTS);
    for (BlkBitmap *b = blk_bitmap_next(n, NULL); b; b = blk_bitmap_next(n, b)) {
        BlkBitmapInfo info;
        blk_bitmap_info(b, &info);
        if (info.persistent)
            bitmap_facts(facts, i++, &info);
    }
    fact_number(facts, "refcount-bits", 1u << q->h.refcount_order);
    if (q->h.crypt_method == QCOW2_AES)
        fact_string(facts, "encrypt.format", "aes");
    if (q->luks && q->h.crypt_method == QCOW2_LUKS) {
        fact_string(facts, "encrypt.format", "luks");
        luks_facts(q->luks, "encrypt.", facts);
    }
    if (q->h.version > 2) {
        fact_bool(facts, "corrupt", q->h.incompatible & QCOW2_CORRUPT);
        fact_bool(facts, "extended-l2", q->extended);
    }
}

/* ---- measuring */

static uint64_t up(uint64_t x, uint64_t unit) { return div_up(x, unit) * unit; }

/* Header, L1 and L2 tables, refcounts of all of it, and the data. */
static uint64_t file_bytes(uint64_t size, uint64_t data, const Qcow2Geometry *g)
{
    uint64_t tables = div_up(size, g->cluster / g->entry_bytes * g->cluster);
    uint64_t rest = g->cluster + tables * g->cluster + up(tables * 8, g->cluster) + data, blocks = 0, table = 1, more;
    while ((more = div_up(div_up(rest, g->cluster) + blocks + table, g->cluster * 8 / g->refcount_bits)) > blocks) {
        blocks = more;
        table = div_up(blocks * 8, g->cluster);
    }
    return rest + (blocks + table) * g->cluster;
}

/* What of a source takes space, in clusters. */
static bool count_data(BlkNode *source, uint64_t cluster, uint64_t *ret, GError **err)
{
    BlkExtent e = { 0 };
    uint64_t counted = 0; /* up to that cluster */
    *ret = 0;
    for (uint64_t at = 0; at < source->size; at += e.len) {
        if (!blk_map_chain(source, at, source->size - at, &e, err))
            return false;
        if (!e.allocated || e.zero)
            continue;
        uint64_t first = MAX(at / cluster, counted), end = div_up(at + e.len, cluster);
        *ret += end > first ? (end - first) * cluster : 0;
        counted = MAX(counted, end);
    }
    return true;
}

static uint64_t bitmap_bytes_of(BlkNode *source, uint64_t cluster)
{
    uint64_t bytes = 0, rows = 0;
    for (BlkBitmap *b = source ? blk_bitmap_next(source, NULL) : NULL; b; b = blk_bitmap_next(source, b)) {
        BlkBitmapInfo info;
        blk_bitmap_info(b, &info);
        uint64_t data = div_up(div_up(source->size, info.granularity), 8), tables = div_up(data, cluster);
        if (!info.persistent)
            continue;
        bytes += up(data, cluster) + up(tables * 8, cluster);
        rows += up(24 + strlen(info.name), 8);
    }
    return bytes + up(rows, cluster);
}

bool qcow2_measure(KeyVals *options, BlkNode *source, BlkMeasure *ret, GError **err)
{
    Qcow2Geometry g;
    uint64_t size = source ? source->size : UINT64_MAX, data = 0;
    bool all = false;
    if (!qcow2_take_geometry(options, &g, &size, &all, err))
        return false;
    if (size == UINT64_MAX)
        return error_set(err, ERR_INVALID, "cannot measure qcow2: say its size, as in size=10G, or give a source");
    if (source && !count_data(source, g.cluster, &data, err))
        return false;
    size = up(size, 512);
    ret->fully_allocated = file_bytes(size, up(size, g.cluster), &g);
    ret->required = all ? ret->fully_allocated : file_bytes(size, data, &g);
    ret->bitmaps = bitmap_bytes_of(source, g.cluster);
    return true;
}
