/*
 * vhdx.c - Hyper-V's second image format.
 *
 * Microsoft, [MS-VHDX].  All fields little endian.  Two headers take turns, the one with the higher number counts; region
 * tables tell where the block allocation table (BAT) and the metadata are.  A log holds changes that may not have
 * reached their place: it is replayed when the image is opened for writing (vhdx_log.c).  We write the BAT in place, an
 * entry at a time, after the block's data; an entry never crosses a sector.
 */
#include "block/format/vhdx.h"

#include <errno.h>
#include <isa-l/crc.h>
#include <string.h>

#include "base/error.h"

static const VhdxGuid region_bat = { 0x2dc27766, 0xf623, 0x4200, { 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 } };
static const VhdxGuid region_metadata = { 0x8b7ca206, 0x4790, 0x4b9a, { 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e } };

enum { STATE_NOT_PRESENT, STATE_UNDEFINED, STATE_ZERO, STATE_UNMAPPED, STATE_PRESENT = 6, STATE_MASK = 7 };
enum { HAS_PARENT = 2, MOST_REGIONS = 2047, MOST_ITEMS = 2047 };
#define PLACE_MASK  (~0xfffffull)
#define MAX_BLOCKS  (1u << 24)
#define MAX_SIZE    (64ull << 40)
#define SECTOR_RATIO (1ull << 23) /* sectors that one bitmap block covers */

static uint64_t bat_index(const Vhdx *v, uint64_t block) { return block + block / v->chunk_ratio; }

static int vhdx_find(BlockMap *m, uint64_t block, BlockPlace *ret)
{
    const Vhdx *v = (Vhdx *)m;
    uint64_t entry = GUINT64_FROM_LE(v->bat[bat_index(v, block)]);
    *ret = (BlockPlace){ .host = entry & PLACE_MASK };
    switch (entry & STATE_MASK) {
    case STATE_PRESENT:
        ret->kind = BLOCK_DATA;
        return 0;
    case STATE_NOT_PRESENT: case STATE_UNDEFINED:
        ret->kind = BLOCK_HOLE;
        return 0;
    case STATE_ZERO: case STATE_UNMAPPED:
        ret->kind = BLOCK_ZERO;
        return 0;
    default:
        return -EIO; /* partly present: only in differences, which are refused */
    }
}

static int vhdx_reserve(BlockMap *m, uint64_t block, uint64_t *ret_host) { return blockmap_take(m, m->block_bytes, 1 << 20, ret_host); }

static int write_entry(Vhdx *v, uint64_t block, uint64_t entry)
{
    uint64_t index = bat_index(v, block), raw = GUINT64_TO_LE(entry);
    int status = blk_pwrite(v->map.file, v->bat_off + index * 8, &raw, 8);
    if (!status)
        v->bat[index] = raw;
    return status;
}

static int vhdx_enter(BlockMap *m, uint64_t block, uint64_t host) { return write_entry((Vhdx *)m, block, host | STATE_PRESENT); }

static const BlockMapOps ops = { .find = vhdx_find, .reserve = vhdx_reserve, .enter = vhdx_enter };

/* ---- checksums: CRC-32C, with its own field as 0 */

uint32_t vhdx_crc(const void *data, size_t bytes)
{
    uint8_t *at = (uint8_t *)data; /* the library does not say that it only reads */
    uint32_t crc = crc32_iscsi(at, VHDX_CRC_OFF, ~0u);
    crc = crc32_iscsi((uint8_t[4]){ 0 }, 4, crc);
    return ~crc32_iscsi(at + VHDX_CRC_OFF + 4, bytes - VHDX_CRC_OFF - 4, crc);
}

static bool sealed(const void *data, size_t bytes, const char *signature)
{
    uint32_t crc;
    memcpy(&crc, (const uint8_t *)data + VHDX_CRC_OFF, 4);
    return !memcmp(data, signature, 4) && GUINT32_FROM_LE(crc) == vhdx_crc(data, bytes);
}

static void seal(void *data, size_t bytes)
{
    uint32_t crc = GUINT32_TO_LE(vhdx_crc(data, bytes));
    memcpy((uint8_t *)data + VHDX_CRC_OFF, &crc, 4);
}

bool vhdx_guid_is_zero(const VhdxGuid *g)
{
    static const VhdxGuid zero;
    return !memcmp(g, &zero, sizeof(zero));
}

static bool same_guid(const VhdxGuid *file, const VhdxGuid *ours)
{
    VhdxGuid g = { GUINT32_TO_LE(ours->a), GUINT16_TO_LE(ours->b), GUINT16_TO_LE(ours->c), { 0 } };
    memcpy(g.d, ours->d, sizeof(g.d));
    return !memcmp(file, &g, sizeof(g));
}

static void put_guid(VhdxGuid *file, const VhdxGuid *ours)
{
    *file = (VhdxGuid){ GUINT32_TO_LE(ours->a), GUINT16_TO_LE(ours->b), GUINT16_TO_LE(ours->c), { 0 } };
    memcpy(file->d, ours->d, sizeof(file->d));
}

/* ---- headers */

static const uint64_t header_off[2] = { 64 << 10, 128 << 10 };

int vhdx_write_header(BlkNode *file, Vhdx *v)
{
    uint8_t raw[VHDX_HEADER_BYTES] = { 0 };
    v->current ^= 1;
    v->h.sequence = GUINT64_TO_LE(GUINT64_FROM_LE(v->h.sequence) + 1);
    memcpy(raw, &v->h, sizeof(v->h));
    seal(raw, sizeof(raw));
    int status = blk_pwrite(file, header_off[v->current], raw, sizeof(raw));
    return status ? status : blk_perform(file, BLK_FLUSH, 0, 0, 0, NULL, 0);
}

static int read_headers(BlkNode *n, const char **wrong)
{
    Vhdx *v = n->state;
    g_autofree uint8_t *raw = g_malloc(VHDX_HEADER_BYTES);
    bool found = false;
    int status = 0;
    for (unsigned i = 0; i < 2 && !status; i++) {
        status = blk_pread(n->file, header_off[i], raw, VHDX_HEADER_BYTES);
        VhdxHeader *h = (VhdxHeader *)raw;
        if (status || !sealed(raw, VHDX_HEADER_BYTES, "head") || GUINT16_FROM_LE(h->version) != 1)
            continue;
        if (found && GUINT64_FROM_LE(h->sequence) <= GUINT64_FROM_LE(v->h.sequence))
            continue;
        v->h = *h;
        v->current = i;
        found = true;
    }
    if (!status && !found)
        *wrong = "neither of its headers is intact";
    return status;
}

/* ---- regions and metadata */

static bool inside(const BlkNode *file, uint64_t off, uint64_t bytes) { return off >= 1 << 20 && off <= file->size && bytes <= file->size - off; }

static const char *take_region(Vhdx *v, const VhdxRegion *r, const BlkNode *file)
{
    uint64_t off = GUINT64_FROM_LE(r->off), bytes = GUINT32_FROM_LE(r->bytes);
    bool bat = same_guid(&r->guid, &region_bat), metadata = same_guid(&r->guid, &region_metadata);
    if (!bat && !metadata)
        return GUINT32_FROM_LE(r->required) & 1 ? "it has a region that this program does not know" : NULL;
    if (!inside(file, off, bytes))
        return "a region lies past the end of the file";
    if (bat)
        v->bat_off = off, v->bat_bytes = bytes;
    else
        v->metadata_off = off, v->metadata_bytes = bytes;
    return NULL;
}

static int read_regions(BlkNode *n, const char **wrong)
{
    static const uint64_t at[2] = { 192 << 10, 256 << 10 };
    Vhdx *v = n->state;
    g_autofree uint8_t *raw = g_malloc(VHDX_REGION_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        int status = blk_pread(n->file, at[i], raw, VHDX_REGION_BYTES);
        if (status)
            return status;
        uint32_t count = GUINT32_FROM_LE(((VhdxRegionTable *)raw)->count);
        if (!sealed(raw, VHDX_REGION_BYTES, "regi") || count > MOST_REGIONS)
            continue;
        for (uint32_t k = 0; k < count && !*wrong; k++)
            *wrong = take_region(v, &((VhdxRegionTable *)raw)->region[k], n->file);
        if (!*wrong && (!v->bat_off || !v->metadata_off))
            *wrong = "it lacks a table of blocks or of metadata";
        return 0;
    }
    *wrong = "neither of its region tables is intact";
    return 0;
}

/* What the disk is: each item a row. */
typedef struct Item {
    VhdxGuid guid;
    unsigned bytes;
    size_t member; /* of VhdxMetadata; SIZE_MAX: not of interest */
} Item;
static const Item items[] = {
    { { 0xcaa16737, 0xfa36, 0x4d43, { 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b } }, 8, offsetof(VhdxMetadata, block_bytes) },
    { { 0x2fa54224, 0xcd1b, 0x4876, { 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 } }, 8, offsetof(VhdxMetadata, size) },
    { { 0x8141bf1d, 0xa96f, 0x4709, { 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f } }, 4, offsetof(VhdxMetadata, sector_bytes) },
    { { 0xcda348c7, 0x445d, 0x4471, { 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 } }, 4, offsetof(VhdxMetadata, physical_bytes) },
    { { 0xbeca12ab, 0xb2e6, 0x4523, { 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 } }, 16, offsetof(VhdxMetadata, page83) },
};
enum { ITEM_VIRTUAL_DISK = 2, ITEM_REQUIRED = 4 };

static int take_item(BlkNode *n, const VhdxItem *i, VhdxMetadata *ret, const char **wrong)
{
    Vhdx *v = n->state;
    for (unsigned k = 0; k < G_N_ELEMENTS(items); k++) {
        if (!same_guid(&i->guid, &items[k].guid))
            continue;
        uint64_t off = GUINT32_FROM_LE(i->off);
        if (GUINT32_FROM_LE(i->bytes) < items[k].bytes || off < VHDX_METADATA_TABLE_BYTES || off + items[k].bytes > v->metadata_bytes)
            *wrong = "an item of its metadata lies outside of them";
        return *wrong ? 0 : blk_pread(n->file, v->metadata_off + off, (uint8_t *)ret + items[k].member, items[k].bytes);
    }
    if (GUINT32_FROM_LE(i->flags) & ITEM_REQUIRED)
        *wrong = "it has metadata that this program does not know, a parent perhaps: let Hyper-V merge it";
    return 0;
}

static int read_metadata(BlkNode *n, VhdxMetadata *ret, const char **wrong)
{
    Vhdx *v = n->state;
    g_autofree uint8_t *raw = g_malloc(VHDX_METADATA_TABLE_BYTES);
    if (v->metadata_bytes < VHDX_METADATA_TABLE_BYTES) {
        *wrong = "its metadata are too short";
        return 0;
    }
    int status = blk_pread(n->file, v->metadata_off, raw, VHDX_METADATA_TABLE_BYTES);
    const VhdxItemTable *t = (VhdxItemTable *)raw;
    unsigned count = GUINT16_FROM_LE(t->count);
    if (!status && (memcmp(t->signature, "metadata", 8) || count > MOST_ITEMS))
        *wrong = "its metadata are damaged";
    for (unsigned k = 0; k < count && !status && !*wrong; k++)
        status = take_item(n, &t->item[k], ret, wrong);
    return status;
}

static const char *judge(BlkNode *n, const VhdxMetadata *d)
{
    Vhdx *v = n->state;
    uint64_t block = GUINT32_FROM_LE(d->block_bytes), sector = GUINT32_FROM_LE(d->sector_bytes);
    n->size = GUINT64_FROM_LE(d->size);
    if (GUINT32_FROM_LE(d->flags) & HAS_PARENT)
        return "it is a difference to another image, which is not supported: let Hyper-V merge it";
    if (block < 1 << 20 || block > 256 << 20 || block & (block - 1))
        return "its blocks have an impossible size";
    if ((sector != 512 && sector != 4096) || n->size % sector || n->size > MAX_SIZE)
        return "its size or sectors are impossible";
    v->chunk_ratio = SECTOR_RATIO * sector / block;
    uint64_t blocks = (n->size + block - 1) / block;
    if (blocks > MAX_BLOCKS || (blocks && (bat_index(v, blocks - 1) + 1) * 8 > v->bat_bytes))
        return "its table has not room for the disk, or is larger than this program takes";
    blockmap_init(&v->map, &ops, n, n->file, block);
    return NULL;
}

static const char *bat_flaw(Vhdx *v, uint64_t blocks)
{
    uint64_t size = v->map.file->size, end = MAX(v->bat_off + v->bat_bytes, v->metadata_off + v->metadata_bytes);
    g_autofree uint8_t *seen = g_malloc0((size >> 23) + 1); /* a bit a mebibyte */
    end = MAX(end, GUINT64_FROM_LE(v->h.log_off) + GUINT32_FROM_LE(v->h.log_bytes));
    for (uint64_t b = 0; b < blocks; b++) {
        BlockPlace p = { 0 };
        if (vhdx_find(&v->map, b, &p))
            return "a block is in a state that only differences have";
        if (p.kind != BLOCK_DATA)
            continue;
        if (p.host < 1 << 20 || p.host >= size)
            return "a block lies in the header or past the end of the file";
        for (uint64_t mb = p.host >> 20; mb < MIN(p.host + v->map.block_bytes, size) >> 20; mb++) {
            if (seen[mb / 8] >> mb % 8 & 1)
                return "two blocks overlap";
            seen[mb / 8] |= 1u << mb % 8;
        }
        end = MAX(end, p.host + v->map.block_bytes);
    }
    v->map.end = end;
    return NULL;
}

static int read_bat(BlkNode *n, const char **wrong)
{
    Vhdx *v = n->state;
    uint64_t blocks = (n->size + v->map.block_bytes - 1) / v->map.block_bytes;
    uint64_t bytes = blocks ? (bat_index(v, blocks - 1) + 1) * 8 : 0;
    v->bat = g_malloc(bytes + 8);
    int status = blk_pread(n->file, v->bat_off, v->bat, bytes);
    if (!status)
        *wrong = bat_flaw(v, blocks);
    return status;
}

static bool vhdx_probe(const uint8_t *head, size_t n) { return n >= 8 && !memcmp(head, "vhdxfile", 8); }

static int load(BlkNode *n, const char **wrong)
{
    Vhdx *v = n->state;
    VhdxMetadata d = { 0 };
    uint8_t head[8];
    int status = n->file->size < 1 << 20 ? 0 : blk_pread(n->file, 0, head, 8);
    if (status || n->file->size < 1 << 20 || !vhdx_probe(head, 8)) {
        *wrong = "it has no VHDX head";
        return status;
    }
    status = read_headers(n, wrong);
    if (!status && !*wrong && !vhdx_guid_is_zero(&v->h.log_guid))
        status = vhdx_replay_log(n, wrong);
    if (!status && !*wrong)
        status = read_regions(n, wrong);
    if (!status && !*wrong)
        status = read_metadata(n, &d, wrong);
    if (!status && !*wrong)
        *wrong = judge(n, &d);
    return status || *wrong ? status : read_bat(n, wrong);
}

static bool vhdx_open(BlkNode *n, KeyVals *options, GError **err)
{
    const char *wrong = NULL;
    int status = load(n, &wrong);
    if (!status && !wrong && !n->read_only) { /* [MS-VHDX] 2.2.2: a new FileWriteGuid tells that somebody has written */
        Vhdx *v = n->state;
        blockmap_uuid((uint8_t *)&v->h.file_write_guid);
        status = vhdx_write_header(n->file, v);
    }
    if (status)
        return error_set_errno(err, -status, "cannot read disk image '%s'", n->filename);
    return !wrong || error_set(err, ERR_INVALID, "cannot use '%s' as a vhdx image: %s", n->filename, wrong);
}

static void vhdx_close(BlkNode *n)
{
    Vhdx *v = n->state;
    blockmap_clear(&v->map);
    g_free(v->bat);
}

static int vhdx_perform(BlkNode *n, BlkReq *r) { return blockmap_perform(n->state, r); }
static int vhdx_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret) { return blockmap_map(n->state, off, len, ret); }

/* ---- creating */

static const char *const subformats[] = { "dynamic", "fixed", NULL };
static const BlkOption vhdx_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { "block_size", BLK_SIZE, "0", "1M to 256M, a power of two; 0: by the disk's size", .create = true },
    { "subformat", BLK_CHOICE, "dynamic", "grow as it is written, or all from the start", .choices = subformats, .create = true },
    { "log_size", BLK_SIZE, "1M", "of the log; rounded up to 1M", .create = true },
    { "block_state_zero", BLK_BOOL, "on", "blocks that were never written are marked as zeros, not as absent", .create = true },
    { 0 },
};

enum { MB = 1 << 20, LOG_OFF = 1 * MB };
#define MOST_LOG (1ull << 30)

/* Regions follow each other: log, metadata, table of blocks, blocks. */
typedef struct Layout {
    uint32_t log_bytes, bat_bytes;
    uint64_t metadata_off, bat_off;
    uint64_t blocks, block_bytes, ratio; /* ratio: blocks to an entry for a bitmap, which stands behind them */
    bool fixed, zero;
} Layout;

static bool put_metadata(BlkNode *file, const Layout *l, const VhdxMetadata *d, GError **err)
{
    g_autofree uint8_t *raw = g_malloc0(MB);
    VhdxItemTable *t = (VhdxItemTable *)raw;
    uint32_t at = VHDX_METADATA_TABLE_BYTES;
    memcpy(t->signature, "metadata", 8);
    t->count = GUINT16_TO_LE(G_N_ELEMENTS(items));
    for (unsigned k = 0; k < G_N_ELEMENTS(items); k++) {
        t->item[k] = (VhdxItem){ .off = GUINT32_TO_LE(at), .bytes = GUINT32_TO_LE(items[k].bytes),
                                 .flags = GUINT32_TO_LE(k ? ITEM_REQUIRED | ITEM_VIRTUAL_DISK : ITEM_REQUIRED) };
        put_guid(&t->item[k].guid, &items[k].guid);
        memcpy(raw + at, (const uint8_t *)d + items[k].member, items[k].bytes);
        at += items[k].bytes;
    }
    return blockmap_put(file, l->metadata_off, raw, MB, err);
}

static bool put_regions(BlkNode *file, const Layout *l, GError **err)
{
    g_autofree uint8_t *raw = g_malloc0(VHDX_REGION_BYTES);
    VhdxRegionTable *t = (VhdxRegionTable *)raw;
    memcpy(t->signature, "regi", 4);
    t->count = GUINT32_TO_LE(2);
    t->region[0] = (VhdxRegion){ .off = GUINT64_TO_LE(l->bat_off), .bytes = GUINT32_TO_LE(l->bat_bytes), .required = GUINT32_TO_LE(1) };
    t->region[1] = (VhdxRegion){ .off = GUINT64_TO_LE(l->metadata_off), .bytes = GUINT32_TO_LE(MB), .required = GUINT32_TO_LE(1) };
    put_guid(&t->region[0].guid, &region_bat);
    put_guid(&t->region[1].guid, &region_metadata);
    seal(raw, VHDX_REGION_BYTES);
    return blockmap_put(file, 192 << 10, raw, VHDX_REGION_BYTES, err) && blockmap_put(file, 256 << 10, raw, VHDX_REGION_BYTES, err);
}

static bool put_headers(BlkNode *file, const Layout *l, GError **err)
{
    Vhdx v = { .h = { .signature = "head", .version = GUINT16_TO_LE(1), .log_bytes = GUINT32_TO_LE(l->log_bytes), .log_off = GUINT64_TO_LE((uint64_t)LOG_OFF) } };
    blockmap_uuid((uint8_t *)&v.h.file_write_guid);
    blockmap_uuid((uint8_t *)&v.h.data_write_guid);
    int status = vhdx_write_header(file, &v);
    if (!status)
        status = vhdx_write_header(file, &v);
    return !status || error_set_errno(err, -status, "cannot create '%s'", file->filename);
}

static bool put_bat(BlkNode *file, const Layout *l, GError **err)
{
    g_autofree uint64_t *bat = g_malloc0(l->bat_bytes);
    uint64_t first = l->bat_off + l->bat_bytes;
    for (uint64_t b = 0; b < l->blocks; b++)
        bat[b + b / l->ratio] = GUINT64_TO_LE(l->fixed ? (first + b * l->block_bytes) | STATE_PRESENT : l->zero ? STATE_ZERO : STATE_NOT_PRESENT);
    return blk_resize(file, first + (l->fixed ? l->blocks * l->block_bytes : 0), 0, err) && blockmap_put(file, l->bat_off, bat, l->bat_bytes, err);
}

static uint64_t default_block(uint64_t size)
{
    return size > 32ull << 40 ? 64 * MB : size > 100ull << 30 ? 32 * MB : size > 1ull << 30 ? 16 * MB : 8 * MB;
}

static Layout layout(uint64_t size, uint64_t block_bytes, uint64_t log_bytes)
{
    Layout l = { .blocks = (size + block_bytes - 1) / block_bytes, .block_bytes = block_bytes, .ratio = SECTOR_RATIO * 512 / block_bytes };
    l.log_bytes = (uint32_t)((MAX(log_bytes, 1) + MB - 1) & -(uint64_t)MB);
    l.metadata_off = LOG_OFF + l.log_bytes;
    l.bat_off = l.metadata_off + MB;
    l.bat_bytes = ((l.blocks + l.blocks / l.ratio + 1) * 8 + MB - 1) & -(uint64_t)MB;
    return l;
}

static bool vhdx_create(BlkNode *file, KeyVals *options, GError **err)
{
    uint64_t size = 0, block = 0, log = MB;
    unsigned subformat = 0;
    bool zero = true;
    if (!keyvals_take_number(options, "size", 0, MAX_SIZE, &size, err) || !keyvals_take_number(options, "block_size", 0, 256 * MB, &block, err) ||
        !keyvals_take_choice(options, "subformat", subformats, &subformat, err) || !keyvals_take_number(options, "log_size", 0, MOST_LOG, &log, err) ||
        !keyvals_take_bool(options, "block_state_zero", &zero, err) || !keyvals_end(options, err))
        return false;
    block = block ? block : default_block(size);
    if (block & (block - 1) || block < MB)
        return error_set(err, ERR_INVALID, "block_size must be a power of two from 1M to 256M");
    size = (size + 511) & -512ull;
    Layout l = layout(size, block, log);
    l.fixed = subformat == 1, l.zero = zero;
    VhdxMetadata d = { .block_bytes = GUINT32_TO_LE((uint32_t)block), .flags = GUINT32_TO_LE(l.fixed), .size = GUINT64_TO_LE(size),
                       .sector_bytes = GUINT32_TO_LE(512), .physical_bytes = GUINT32_TO_LE(4096) };
    blockmap_uuid(d.page83);
    uint8_t head[8 + 512] = "vhdxfile";
    return put_bat(file, &l, err) && put_metadata(file, &l, &d, err) && put_regions(file, &l, err) && put_headers(file, &l, err) &&
           blockmap_put(file, 0, head, sizeof(head), err);
}

const BlkDriver vhdx_driver = {
    .name = "vhdx",
    .summary = "Hyper-V's images",
    .kind = BLK_FORMAT,
    .state_bytes = sizeof(Vhdx),
    .grows_file = true,
    .options = vhdx_options,
    .probe = vhdx_probe,
    .create = vhdx_create,
    .open = vhdx_open,
    .close = vhdx_close,
    .perform = vhdx_perform,
    .map = vhdx_map,
};
