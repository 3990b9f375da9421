/*
 * vdi.c - VirtualBox's disk images, version 1.1: dynamic and static ones.
 *
 * The table holds 32-bit numbers of blocks behind the data's start.  (Layout as in VirtualBox's VDICore.h; all fields little endian.)
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format/blockmap.h"

enum { SIGNATURE = (int)0xbeda107f, VERSION_1_1 = 0x00010001, TYPE_DYNAMIC = 1, TYPE_STATIC = 2, BLOCK_BYTES = 1 << 20,
       MAX_BLOCKS = 1 << 26, HEADER_BYTES = 512, FIRST_BYTES = 0x190 };
#define NOT_ALLOCATED 0xffffffffu
#define DISCARDED     0xfffffffeu

typedef struct __attribute__((packed)) VdiHeader {
    char text[64];
    uint32_t signature, version, header_bytes, type, flags;
    char description[256];
    uint32_t table_off, data_off, cylinders, heads, sectors, sector_bytes, unused;
    uint64_t disk_bytes;
    uint32_t block_bytes, block_extra, blocks, allocated;
    uint8_t uuid[16], uuid_snapshot[16], uuid_link[16], uuid_parent[16], rest[56];
} VdiHeader;
G_STATIC_ASSERT(sizeof(VdiHeader) == HEADER_BYTES);

typedef struct Vdi {
    BlockMap map; /* first */
    VdiHeader h;
    uint32_t *table; /* as in the file */
} Vdi;

static uint64_t place_of(const Vdi *v, uint32_t index) { return GUINT32_FROM_LE(v->h.data_off) + (uint64_t)index * v->map.block_bytes; }

static int vdi_find(BlockMap *m, uint64_t block, BlockPlace *ret)
{
    const Vdi *v = (Vdi *)m;
    uint32_t index = GUINT32_FROM_LE(v->table[block]);
    *ret = (BlockPlace){ .kind = index == NOT_ALLOCATED ? BLOCK_HOLE : index == DISCARDED ? BLOCK_ZERO : BLOCK_DATA };
    if (ret->kind == BLOCK_DATA)
        ret->host = place_of(v, index);
    return 0;
}

static int write_entry(Vdi *v, uint64_t block, uint32_t index)
{
    uint32_t entry = GUINT32_TO_LE(index);
    int status = blk_pwrite(v->map.file, GUINT32_FROM_LE(v->h.table_off) + block * 4, &entry, 4);
    if (!status)
        v->table[block] = entry;
    return status;
}

/* The header counts the block before anything names it: so two never get one place. */
static int vdi_reserve(BlockMap *m, uint64_t block, uint64_t *ret_host)
{
    Vdi *v = (Vdi *)m;
    int status = blockmap_take(m, m->block_bytes, 1, ret_host);
    if (status)
        return status;
    v->h.allocated = GUINT32_TO_LE((uint32_t)((m->end - GUINT32_FROM_LE(v->h.data_off)) / m->block_bytes));
    return blk_pwrite(m->file, offsetof(VdiHeader, allocated), &v->h.allocated, 4);
}

static int vdi_enter(BlockMap *m, uint64_t block, uint64_t host)
{
    Vdi *v = (Vdi *)m;
    return write_entry(v, block, (host - GUINT32_FROM_LE(v->h.data_off)) / m->block_bytes);
}

static const BlockMapOps ops = { .find = vdi_find, .reserve = vdi_reserve, .enter = vdi_enter };

static bool vdi_probe(const uint8_t *head, size_t n)
{
    return n >= HEADER_BYTES && ((const VdiHeader *)head)->signature == GUINT32_TO_LE((uint32_t)SIGNATURE);
}

/* What is wrong with the header; NULL: nothing. */
static const char *flaw(const VdiHeader *h, const BlkNode *file)
{
    uint64_t blocks = GUINT32_FROM_LE(h->blocks), block_bytes = GUINT32_FROM_LE(h->block_bytes);
    if (!vdi_probe((const uint8_t *)h, sizeof(*h)))
        return "it has no VDI signature";
    if (GUINT32_FROM_LE(h->version) != VERSION_1_1)
        return "its version is not 1.1";
    if (GUINT32_FROM_LE(h->type) != TYPE_DYNAMIC && GUINT32_FROM_LE(h->type) != TYPE_STATIC)
        return "it is a difference to another image, which is not supported: let VirtualBox merge it";
    if (GUINT32_FROM_LE(h->sector_bytes) != 512)
        return "its sectors are not of 512 bytes";
    if (block_bytes != BLOCK_BYTES)
        return "its blocks are not of 1 MiB";
    if (blocks > MAX_BLOCKS || GUINT64_FROM_LE(h->disk_bytes) > blocks * block_bytes)
        return "its table has not room for the disk, or is larger than this program takes";
    if (GUINT32_FROM_LE(h->table_off) % 512 || GUINT32_FROM_LE(h->data_off) % 512 || GUINT32_FROM_LE(h->table_off) < HEADER_BYTES)
        return "its table or data do not begin at a sector behind the header";
    if (GUINT32_FROM_LE(h->table_off) + blocks * 4 > MIN(file->size, GUINT32_FROM_LE(h->data_off)))
        return "its table reaches into the data or past the end of the file";
    return NULL;
}

/* Two blocks at one place, or one past the end, would mix up the guest's data. */
static const char *table_flaw(Vdi *v, uint64_t blocks)
{
    uint64_t most = v->map.file->size / v->map.block_bytes + 1, used = GUINT32_FROM_LE(v->h.allocated);
    g_autofree uint8_t *seen = g_malloc0(most / 8 + 1);
    for (uint64_t b = 0; b < blocks; b++) {
        uint32_t index = GUINT32_FROM_LE(v->table[b]);
        if (index >= DISCARDED)
            continue;
        if (index >= most || place_of(v, index) >= v->map.file->size)
            return "a block lies past the end of the file";
        if (seen[index / 8] >> index % 8 & 1)
            return "two blocks have one place";
        seen[index / 8] |= 1u << index % 8;
        used = MAX(used, index + 1ull);
    }
    v->map.end = place_of(v, MIN(used, most));
    return NULL;
}

static bool vdi_open(BlkNode *n, KeyVals *options, GError **err)
{
    Vdi *v = n->state;
    int status = blk_pread(n->file, 0, &v->h, MIN(sizeof(v->h), n->file->size));
    const char *wrong = status ? NULL : flaw(&v->h, n->file);
    uint64_t blocks = GUINT32_FROM_LE(v->h.blocks);
    if (!status && !wrong) {
        v->table = g_malloc(blocks * 4);
        blockmap_init(&v->map, &ops, n, n->file, BLOCK_BYTES);
        status = blk_pread(n->file, GUINT32_FROM_LE(v->h.table_off), v->table, blocks * 4);
    }
    if (!status && !wrong)
        wrong = table_flaw(v, blocks);
    if (status)
        return error_set_errno(err, -status, "cannot read disk image '%s'", n->filename);
    if (wrong)
        return error_set(err, ERR_INVALID, "cannot use '%s' as a vdi image: %s", n->filename, wrong);
    n->size = (GUINT64_FROM_LE(v->h.disk_bytes) + 511) & -512ull;
    return true;
}

static void vdi_close(BlkNode *n)
{
    Vdi *v = n->state;
    blockmap_clear(&v->map);
    g_free(v->table);
}

static int vdi_perform(BlkNode *n, BlkReq *r) { return blockmap_perform(n->state, r); }
static int vdi_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret) { return blockmap_map(n->state, off, len, ret); }

/* ---- creating */

static const BlkOption vdi_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { "static", BLK_BOOL, "off", "all blocks have their place from the start", .create = true },
    { 0 },
};

static void fill_header(VdiHeader *h, uint64_t size, uint64_t blocks, bool all)
{
    *h = (VdiHeader){ .signature = GUINT32_TO_LE((uint32_t)SIGNATURE), .version = GUINT32_TO_LE(VERSION_1_1), .header_bytes = GUINT32_TO_LE(FIRST_BYTES),
                      .type = GUINT32_TO_LE(all ? TYPE_STATIC : TYPE_DYNAMIC), .table_off = GUINT32_TO_LE(HEADER_BYTES),
                      .data_off = GUINT32_TO_LE((uint32_t)((HEADER_BYTES + blocks * 4 + BLOCK_BYTES - 1) & -(uint64_t)BLOCK_BYTES)),
                      .sector_bytes = GUINT32_TO_LE(512), .disk_bytes = GUINT64_TO_LE(size), .block_bytes = GUINT32_TO_LE(BLOCK_BYTES),
                      .blocks = GUINT32_TO_LE((uint32_t)blocks), .allocated = all ? GUINT32_TO_LE((uint32_t)blocks) : 0 };
    g_strlcpy(h->text, "<<< Oracle VM VirtualBox Disk Image >>>\n", sizeof(h->text));
    blockmap_uuid(h->uuid);
    blockmap_uuid(h->uuid_snapshot);
}

static bool vdi_create(BlkNode *file, KeyVals *options, GError **err)
{
    uint64_t size = 0;
    bool all = false;
    if (!keyvals_take_number(options, "size", 0, (uint64_t)MAX_BLOCKS * BLOCK_BYTES, &size, err) ||
        !keyvals_take_bool(options, "static", &all, err) || !keyvals_end(options, err))
        return false;
    uint64_t blocks = (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    VdiHeader h;
    fill_header(&h, size, blocks, all);
    g_autofree uint32_t *table = g_new(uint32_t, blocks + 1);
    for (uint64_t b = 0; b < blocks; b++)
        table[b] = all ? GUINT32_TO_LE((uint32_t)b) : NOT_ALLOCATED;
    uint64_t end = GUINT32_FROM_LE(h.data_off) + (all ? blocks * BLOCK_BYTES : 0);
    return blk_resize(file, end, 0, err) && blockmap_put(file, HEADER_BYTES, table, blocks * 4, err) && blockmap_put(file, 0, &h, sizeof(h), err);
}

const BlkDriver vdi_driver = {
    .name = "vdi",
    .summary = "VirtualBox's images",
    .kind = BLK_FORMAT,
    .state_bytes = sizeof(Vdi),
    .grows_file = true,
    .options = vdi_options,
    .probe = vdi_probe,
    .create = vdi_create,
    .open = vdi_open,
    .close = vdi_close,
    .perform = vdi_perform,
    .map = vdi_map,
};
