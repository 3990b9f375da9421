/*
 * vpc.c - VHD images of Virtual PC and Hyper-V: fixed and dynamic ones.
 *
 * Microsoft, "Virtual Hard Disk Image Format Specification" 1.0; all fields big endian.  A footer ends the file, with a
 * copy at its start for dynamic ones, whose blocks each stand behind a bitmap of their sectors.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/blockmap.h"

enum { FOOTER_BYTES = 512, HEADER_BYTES = 1024, SECTOR = 512, BLOCK_BYTES = 2 << 20, TYPE_FIXED = 2, TYPE_DYNAMIC = 3, VERSION = 0x00010000,
       MAX_BLOCKS = 1 << 22, EPOCH_2000 = 946684800 };
#define NOT_ALLOCATED 0xffffffffu
#define MAX_SIZE      (2040ull << 30) /* the specification's 2,040 GiB */

typedef struct __attribute__((packed)) VpcFooter {
    char cookie[8];
    uint32_t features, version;
    uint64_t data_off;
    uint32_t timestamp;
    char creator[4];
    uint32_t creator_version;
    char creator_host[4];
    uint64_t original_size, size;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t type, checksum;
    uint8_t uuid[16], saved_state, rest[427];
} VpcFooter;
G_STATIC_ASSERT(sizeof(VpcFooter) == FOOTER_BYTES);

typedef struct __attribute__((packed)) VpcHeader {
    char cookie[8];
    uint64_t data_off, table_off;
    uint32_t version, blocks, block_bytes, checksum;
    uint8_t parent[984];
} VpcHeader;
G_STATIC_ASSERT(sizeof(VpcHeader) == HEADER_BYTES);

typedef struct Vpc {
    BlockMap map; /* first */
    VpcFooter footer;
    uint32_t *table; /* as in the file: sectors */
    uint64_t table_off, bitmap_bytes;
} Vpc;

/* ---- dynamic images */

static int vpc_find(BlockMap *m, uint64_t block, BlockPlace *ret)
{
    const Vpc *v = (Vpc *)m;
    uint32_t sector = GUINT32_FROM_BE(v->table[block]);
    *ret = (BlockPlace){ .kind = sector == NOT_ALLOCATED ? BLOCK_HOLE : BLOCK_DATA, .host = (uint64_t)sector * SECTOR + v->bitmap_bytes };
    return 0;
}

/* The bitmap says that all sectors count; the footer moves behind the block. */
static int vpc_reserve(BlockMap *m, uint64_t block, uint64_t *ret_host)
{
    Vpc *v = (Vpc *)m;
    uint64_t at;
    int status = blockmap_take(m, v->bitmap_bytes + m->block_bytes, SECTOR, &at);
    if (status)
        return status;
    g_autofree uint8_t *bitmap = g_malloc(v->bitmap_bytes);
    memset(bitmap, 0xff, v->bitmap_bytes);
    status = blk_perform(m->file, BLK_ZERO, BLK_MAY_UNMAP, at, FOOTER_BYTES, NULL, 0); /* the old footer */
    if (!status)
        status = blk_pwrite(m->file, m->end, &v->footer, FOOTER_BYTES);
    if (!status)
        status = blk_pwrite(m->file, at, bitmap, v->bitmap_bytes);
    *ret_host = at + v->bitmap_bytes;
    return status;
}

static int vpc_enter(BlockMap *m, uint64_t block, uint64_t host)
{
    Vpc *v = (Vpc *)m;
    uint32_t entry = GUINT32_TO_BE((uint32_t)((host - v->bitmap_bytes) / SECTOR));
    int status = blk_pwrite(m->file, v->table_off + block * 4, &entry, 4);
    if (!status)
        v->table[block] = entry;
    return status;
}

static const BlockMapOps ops = { .find = vpc_find, .reserve = vpc_reserve, .enter = vpc_enter };

/* ---- opening */

static bool vpc_probe(const uint8_t *head, size_t n) { return n >= FOOTER_BYTES && !memcmp(head, "conectix", 8); }

static uint32_t checksum(const void *data, size_t bytes, size_t field)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum += i >= field && i < field + 4 ? 0 : ((const uint8_t *)data)[i];
    return ~sum;
}

static bool footer_ok(const VpcFooter *f)
{
    return vpc_probe((const uint8_t *)f, sizeof(*f)) && GUINT32_FROM_BE(f->checksum) == checksum(f, sizeof(*f), offsetof(VpcFooter, checksum));
}

/* Programs that keep to the specification's age tell the size by the geometry; these do not. */
static bool size_is_exact(const VpcFooter *f)
{
    static const char *const exact[] = { "win ", "qem2", "d2v ", "tap", "CTXS", "wa" };
    enum { MOST_SECTORS = 65535 * 16 * 255 };
    for (unsigned i = 0; i < G_N_ELEMENTS(exact); i++)
        if (!memcmp(f->creator, exact[i], strlen(exact[i])))
            return true;
    return (uint64_t)GUINT16_FROM_BE(f->cylinders) * f->heads * f->sectors >= MOST_SECTORS;
}

static uint64_t disk_size(const VpcFooter *f)
{
    uint64_t geometry = (uint64_t)GUINT16_FROM_BE(f->cylinders) * f->heads * f->sectors * SECTOR;
    return size_is_exact(f) || !geometry ? GUINT64_FROM_BE(f->size) & -(uint64_t)SECTOR : geometry;
}

static const char *table_flaw(Vpc *v, uint64_t blocks, uint64_t file_size)
{
    uint64_t stride = v->bitmap_bytes + v->map.block_bytes, slots = file_size / stride + 2;
    uint64_t end = (v->table_off + blocks * 4 + SECTOR - 1) & -(uint64_t)SECTOR;
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    for (uint64_t b = 0; b < blocks; b++) {
        uint64_t at = GUINT32_FROM_BE(v->table[b]) * (uint64_t)SECTOR;
        if (v->table[b] == NOT_ALLOCATED)
            continue;
        if (at < v->table_off + blocks * 4 || at + v->bitmap_bytes >= file_size)
            return "a block lies in the table or past the end of the file";
        if (g_hash_table_size(seen) >= slots || !g_hash_table_add(seen, GSIZE_TO_POINTER(at)))
            return "two blocks have one place";
        end = MAX(end, at + stride);
    }
    v->map.end = end;
    return NULL;
}

static const char *header_flaw(const VpcHeader *h, uint64_t size, uint64_t file_size)
{
    uint64_t block = GUINT32_FROM_BE(h->block_bytes), blocks = GUINT32_FROM_BE(h->blocks), off = GUINT64_FROM_BE(h->table_off);
    if (memcmp(h->cookie, "cxsparse", 8) || GUINT32_FROM_BE(h->checksum) != checksum(h, sizeof(*h), offsetof(VpcHeader, checksum)))
        return "its dynamic header is damaged";
    if (block < 8 * SECTOR || block & (block - 1) || block > 256 << 20)
        return "its blocks have an impossible size";
    if (blocks > MAX_BLOCKS || blocks * block < size)
        return "its table has not room for the disk, or is larger than this program takes";
    if (off % SECTOR || off > file_size || blocks * 4 > file_size - off)
        return "its table reaches past the end of the file";
    return NULL;
}

static int read_dynamic(BlkNode *n, const char **wrong)
{
    Vpc *v = n->state;
    VpcHeader h;
    uint64_t off = GUINT64_FROM_BE(v->footer.data_off);
    *wrong = off > n->file->size - sizeof(h) ? "its dynamic header lies past the end of the file" : NULL;
    int status = *wrong ? 0 : blk_pread(n->file, off, &h, sizeof(h));
    if (status || *wrong || (*wrong = header_flaw(&h, n->size, n->file->size)))
        return status;
    uint64_t blocks = GUINT32_FROM_BE(h.blocks), block = GUINT32_FROM_BE(h.block_bytes);
    blockmap_init(&v->map, &ops, n, n->file, block);
    v->table_off = GUINT64_FROM_BE(h.table_off);
    v->bitmap_bytes = (block / SECTOR / 8 + SECTOR - 1) & -(uint64_t)SECTOR;
    v->table = g_malloc(blocks * 4);
    status = blk_pread(n->file, v->table_off, v->table, blocks * 4);
    if (!status)
        *wrong = table_flaw(v, blocks, n->file->size);
    return status;
}

/* The footer at the end, or where that was cut off, the copy at the start. */
static int read_footer(BlkNode *n)
{
    Vpc *v = n->state;
    if (n->file->size < FOOTER_BYTES)
        return 0;
    int status = blk_pread(n->file, n->file->size - FOOTER_BYTES, &v->footer, FOOTER_BYTES);
    if (!status && !footer_ok(&v->footer))
        status = blk_pread(n->file, 0, &v->footer, FOOTER_BYTES);
    return status;
}

static bool vpc_open(BlkNode *n, KeyVals *options, GError **err)
{
    Vpc *v = n->state;
    const char *wrong = NULL;
    int status = read_footer(n);
    uint32_t type = GUINT32_FROM_BE(v->footer.type);
    n->size = disk_size(&v->footer);
    if (!status && !footer_ok(&v->footer))
        wrong = "it has no intact VHD footer at its end or start";
    else if (!status && type == TYPE_DYNAMIC)
        status = read_dynamic(n, &wrong);
    else if (!status && type != TYPE_FIXED)
        wrong = "it is a difference to another image, which is not supported: let Hyper-V merge it";
    else if (!status && n->size > n->file->size - FOOTER_BYTES)
        wrong = "the file is shorter than the disk";
    if (status)
        return error_set_errno(err, -status, "cannot read disk image '%s'", n->filename);
    return !wrong || error_set(err, ERR_INVALID, "cannot use '%s' as a vpc image: %s", n->filename, wrong);
}

static void vpc_close(BlkNode *n)
{
    Vpc *v = n->state;
    blockmap_clear(&v->map);
    g_free(v->table);
}

static int vpc_perform(BlkNode *n, BlkReq *r)
{
    Vpc *v = n->state;
    if (v->table)
        return blockmap_perform(&v->map, r);
    return blk_perform(n->file, r->op, r->flags & BLK_MAY_UNMAP, r->off, r->len, r->iov, r->niov);
}

static int vpc_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    Vpc *v = n->state;
    if (v->table)
        return blockmap_map(&v->map, off, len, ret);
    ret->has_host = true;
    ret->host = off;
    return 0;
}

/* ---- creating */

static const char *const subformats[] = { "dynamic", "fixed", NULL };
static const BlkOption vpc_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { "subformat", BLK_CHOICE, "dynamic", "grow as it is written, or all from the start", .choices = subformats, .create = true },
    { "force_size", BLK_BOOL, "on", "the size as asked for: it is always", .create = true },
    { 0 },
};

/* The specification's appendix: the geometry that a BIOS of old can address. */
static void set_geometry(VpcFooter *f, uint64_t sectors)
{
    sectors = MIN(sectors, 65535ull * 16 * 255);
    uint64_t per_track = 17, heads, tracks = sectors / 17;
    if (sectors >= 65535ull * 16 * 63) {
        per_track = 255, heads = 16, tracks = sectors / 255;
    } else {
        heads = MAX((tracks + 1023) / 1024, 4);
        if (tracks >= heads * 1024 || heads > 16)
            per_track = 31, heads = 16, tracks = sectors / 31;
        if (tracks >= heads * 1024)
            per_track = 63, heads = 16, tracks = sectors / 63;
    }
    f->cylinders = GUINT16_TO_BE((uint16_t)(tracks / heads));
    f->heads = heads;
    f->sectors = per_track;
}

static void fill_footer(VpcFooter *f, uint64_t size, bool dynamic)
{
    *f = (VpcFooter){ .cookie = "conectix", .features = GUINT32_TO_BE(2), .version = GUINT32_TO_BE(VERSION), .data_off = dynamic ? GUINT64_TO_BE((uint64_t)FOOTER_BYTES) : ~0ull,
                      .timestamp = GUINT32_TO_BE((uint32_t)(g_get_real_time() / G_USEC_PER_SEC - EPOCH_2000)), .creator = "win ",
                      .creator_version = GUINT32_TO_BE(VERSION), .creator_host = "Wi2k", .original_size = GUINT64_TO_BE(size), .size = GUINT64_TO_BE(size),
                      .type = GUINT32_TO_BE(dynamic ? TYPE_DYNAMIC : TYPE_FIXED) };
    set_geometry(f, size / SECTOR);
    blockmap_uuid(f->uuid);
    f->checksum = GUINT32_TO_BE(checksum(f, sizeof(*f), offsetof(VpcFooter, checksum)));
}

static bool create_dynamic(BlkNode *file, const VpcFooter *f, uint64_t size, GError **err)
{
    uint32_t blocks = (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    uint64_t table_off = FOOTER_BYTES + HEADER_BYTES, table_bytes = (blocks * 4ull + SECTOR - 1) & -(uint64_t)SECTOR;
    VpcHeader h = { .cookie = "cxsparse", .data_off = ~0ull, .table_off = GUINT64_TO_BE(table_off), .version = GUINT32_TO_BE(VERSION),
                    .blocks = GUINT32_TO_BE(blocks), .block_bytes = GUINT32_TO_BE(BLOCK_BYTES) };
    h.checksum = GUINT32_TO_BE(checksum(&h, sizeof(h), offsetof(VpcHeader, checksum)));
    g_autofree uint8_t *table = g_malloc(table_bytes);
    memset(table, 0xff, table_bytes);
    return blockmap_put(file, FOOTER_BYTES, &h, sizeof(h), err) && blockmap_put(file, table_off, table, table_bytes, err) &&
           blockmap_put(file, table_off + table_bytes, f, sizeof(*f), err) && blockmap_put(file, 0, f, sizeof(*f), err);
}

static bool vpc_create(BlkNode *file, KeyVals *options, GError **err)
{
    uint64_t size = 0;
    unsigned subformat = 0;
    bool force = true;
    if (!keyvals_take_number(options, "size", 0, MAX_SIZE, &size, err) || !keyvals_take_choice(options, "subformat", subformats, &subformat, err) ||
        !keyvals_take_bool(options, "force_size", &force, err) || !keyvals_end(options, err))
        return false;
    size = (size + SECTOR - 1) & -(uint64_t)SECTOR;
    VpcFooter f;
    fill_footer(&f, size, subformat == 0);
    return subformat == 0 ? create_dynamic(file, &f, size, err) : blk_resize(file, size, 0, err) && blockmap_put(file, size, &f, sizeof(f), err);
}

const BlkDriver vpc_driver = {
    .name = "vpc",
    .summary = "VHD images of Virtual PC and Hyper-V",
    .kind = BLK_FORMAT,
    .state_bytes = sizeof(Vpc),
    .grows_file = true,
    .options = vpc_options,
    .probe = vpc_probe,
    .create = vpc_create,
    .open = vpc_open,
    .close = vpc_close,
    .perform = vpc_perform,
    .map = vpc_map,
};
