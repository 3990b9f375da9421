/*
 * vmdk_sparse.c - sparse extents of VMDK: a directory of tables of grains.  "Virtual Disk Format 5.0", Hosted Sparse Extent
 * and Stream-Optimized Compressed Extent.  All fields little endian; places are sectors.
 *
 * Stream-optimized extents are written once from front to back; the tables and a footer follow at each flush, over which the
 * next grain is written.
 */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "block/format/vmdk.h"

enum { SECTOR = 512, GRAIN_SECTORS = 128, TABLE_ENTRIES = 512, TABLE_BYTES = TABLE_ENTRIES * 4, DESCRIPTOR_SECTORS = 20, MAGIC = 0x564d444b,
       MOST_TABLES = 1 << 21, FOOTER_BYTES = 1024 };
enum { NEWLINES = 1, SPARE_TABLES = 2, ZERO_GRAINS = 4, COMPRESSED = 1 << 16, MARKERS = 1 << 17 };
enum { MARKER_EOS, MARKER_TABLE, MARKER_DIRECTORY, MARKER_FOOTER };
#define AT_END ~0ull

typedef struct __attribute__((packed)) SparseHeader {
    uint32_t magic, version, flags;
    uint64_t capacity, grain_sectors, descriptor_off, descriptor_sectors;
    uint32_t table_entries;
    uint64_t spare_off, directory_off, overhead;
    uint8_t unclean;
    char newlines[4];
    uint16_t compression;
    uint8_t pad[433];
} SparseHeader;
G_STATIC_ASSERT(sizeof(SparseHeader) == SECTOR);

typedef struct __attribute__((packed)) GrainMarker {
    uint64_t sector;
    uint32_t bytes;
} GrainMarker;

typedef struct Sparse {
    BlockMap map; /* first */
    SparseHeader h;
    uint32_t *directory, *spare; /* as in the file */
    uint32_t **table;            /* those that were read, by number.  Guarded by lock */
    uint64_t tables;
    GMutex lock;
    bool stream, unwritten;      /* unwritten: grains that no table in the file names yet */
} Sparse;

static uint64_t table_count(const SparseHeader *h)
{
    uint64_t span = GUINT64_FROM_LE(h->grain_sectors) * TABLE_ENTRIES;
    return (GUINT64_FROM_LE(h->capacity) + span - 1) / span;
}

/* ---- tables */

static int load_table(Sparse *s, uint64_t n, uint32_t **ret)
{
    uint64_t at = (uint64_t)GUINT32_FROM_LE(s->directory[n]) * SECTOR;
    int status = 0;
    g_mutex_lock(&s->lock);
    if (!s->table[n] && at) {
        uint32_t *table = g_malloc(TABLE_BYTES);
        status = at > s->map.file->size ? -EIO : blk_pread(s->map.file, at, table, TABLE_BYTES);
        if (status)
            g_free(table);
        else
            s->table[n] = table;
    }
    *ret = s->table[n];
    g_mutex_unlock(&s->lock);
    return status;
}

static int sparse_find(BlockMap *m, uint64_t block, BlockPlace *ret)
{
    Sparse *s = (Sparse *)m;
    uint32_t *table;
    int status = load_table(s, block / TABLE_ENTRIES, &table);
    *ret = (BlockPlace){ .kind = BLOCK_HOLE };
    uint32_t sector = status || !table ? 0 : GUINT32_FROM_LE(table[block % TABLE_ENTRIES]);
    if (!sector)
        return status;
    if (sector == 1 && GUINT32_FROM_LE(s->h.flags) & ZERO_GRAINS) {
        ret->kind = BLOCK_ZERO;
        return 0;
    }
    *ret = (BlockPlace){ .kind = GUINT32_FROM_LE(s->h.flags) & COMPRESSED ? BLOCK_PACKED : BLOCK_DATA, .host = (uint64_t)sector * SECTOR };
    return ret->host >= m->file->size ? -EIO : 0;
}

static int sparse_unpack(BlockMap *m, const BlockPlace *from, uint8_t *to)
{
    GrainMarker marker;
    int status = blk_pread(m->file, from->host, &marker, sizeof(marker));
    uint32_t bytes = GUINT32_FROM_LE(marker.bytes);
    if (status || bytes > 2 * m->block_bytes)
        return status ? status : -EIO;
    g_autofree uint8_t *packed = g_malloc(bytes + 1);
    status = blk_pread(m->file, from->host + sizeof(marker), packed, bytes);
    return status ? status : blockmap_inflate(packed, bytes, 15, to, m->block_bytes) ? 0 : -EIO;
}

/* ---- growing ones: both tables are kept */

static int sparse_reserve(BlockMap *m, uint64_t block, uint64_t *ret_host)
{
    Sparse *s = (Sparse *)m;
    if (!s->directory[block / TABLE_ENTRIES])
        return -EIO; /* all tables are made with the image */
    int status = blockmap_take(m, m->block_bytes, m->block_bytes, ret_host);
    return !status && *ret_host / SECTOR > UINT32_MAX ? -EFBIG : status;
}

static int sparse_enter(BlockMap *m, uint64_t block, uint64_t host)
{
    Sparse *s = (Sparse *)m;
    uint64_t n = block / TABLE_ENTRIES, i = block % TABLE_ENTRIES;
    uint32_t entry = GUINT32_TO_LE((uint32_t)(host / SECTOR)), *table;
    int status = load_table(s, n, &table);
    if (!status)
        status = blk_pwrite(m->file, (uint64_t)GUINT32_FROM_LE(s->directory[n]) * SECTOR + i * 4, &entry, 4);
    if (!status && s->spare && s->spare[n])
        status = blk_pwrite(m->file, (uint64_t)GUINT32_FROM_LE(s->spare[n]) * SECTOR + i * 4, &entry, 4);
    if (!status)
        table[i] = entry;
    return status;
}

/* Where the image knows grains of zeros: what the block had stays behind, unused. */
static int sparse_set_zero(BlockMap *m, uint64_t block) { return sparse_enter(m, block, SECTOR); }

/* ---- stream-optimized ones */

static int stream_append(BlockMap *m, uint64_t block, const uint8_t *data)
{
    Sparse *s = (Sparse *)m;
    uint64_t n = block / TABLE_ENTRIES, at;
    uLongf bytes = compressBound(m->block_bytes);
    g_autofree uint8_t *packed = g_malloc0(sizeof(GrainMarker) + bytes);
    if (s->table[n] && s->table[n][block % TABLE_ENTRIES])
        return -EROFS; /* written already: this format cannot change it */
    if (compress2(packed + sizeof(GrainMarker), &bytes, data, m->block_bytes, Z_DEFAULT_COMPRESSION) != Z_OK)
        return -EIO;
    *(GrainMarker *)packed = (GrainMarker){ GUINT64_TO_LE(block * m->block_bytes / SECTOR), GUINT32_TO_LE((uint32_t)bytes) };
    int status = blockmap_take(m, sizeof(GrainMarker) + bytes, SECTOR, &at);
    if (!status)
        status = at / SECTOR > UINT32_MAX ? -EFBIG : blk_pwrite(m->file, at, packed, sizeof(GrainMarker) + bytes);
    if (status)
        return status;
    s->table[n] = s->table[n] ? s->table[n] : g_malloc0(TABLE_BYTES);
    s->table[n][block % TABLE_ENTRIES] = GUINT32_TO_LE((uint32_t)(at / SECTOR));
    s->unwritten = true;
    return 0;
}

static void add_marker(GByteArray *tail, unsigned type, uint64_t sectors)
{
    uint8_t raw[SECTOR] = { 0 };
    memcpy(raw, &(uint64_t){ GUINT64_TO_LE(sectors) }, 8);
    raw[12] = type;
    g_byte_array_append(tail, raw, sizeof(raw));
}

static void pad_sector(GByteArray *tail)
{
    static const uint8_t zeros[SECTOR];
    if (tail->len % SECTOR)
        g_byte_array_append(tail, zeros, SECTOR - tail->len % SECTOR);
}

/* Tables, directory, footer, end of stream.  m->end stays: a grain that follows takes their place. */
static int stream_finish(BlockMap *m)
{
    Sparse *s = (Sparse *)m;
    uint64_t start = (m->end + SECTOR - 1) / SECTOR;
    g_autoptr(GByteArray) tail = g_byte_array_new();
    if (!s->unwritten)
        return 0;
    for (uint64_t n = 0; n < s->tables; n++) {
        if (!s->table[n])
            continue;
        add_marker(tail, MARKER_TABLE, TABLE_BYTES / SECTOR);
        s->directory[n] = GUINT32_TO_LE((uint32_t)(start + tail->len / SECTOR));
        g_byte_array_append(tail, (uint8_t *)s->table[n], TABLE_BYTES);
    }
    add_marker(tail, MARKER_DIRECTORY, (s->tables * 4 + SECTOR - 1) / SECTOR);
    SparseHeader footer = s->h;
    footer.directory_off = GUINT64_TO_LE(start + tail->len / SECTOR);
    g_byte_array_append(tail, (uint8_t *)s->directory, s->tables * 4);
    pad_sector(tail);
    add_marker(tail, MARKER_FOOTER, 1);
    g_byte_array_append(tail, (uint8_t *)&footer, sizeof(footer));
    add_marker(tail, MARKER_EOS, 0);
    int status = blk_pwrite(m->file, start * SECTOR, tail->data, tail->len);
    if (!status && !blk_resize(m->file, start * SECTOR + tail->len, BLK_SHRINK, NULL))
        status = -EIO;
    s->unwritten = status != 0;
    return status;
}

static const BlockMapOps growing = { .find = sparse_find, .reserve = sparse_reserve, .enter = sparse_enter };
static const BlockMapOps growing_with_zeros = { .find = sparse_find, .reserve = sparse_reserve, .enter = sparse_enter, .set_zero = sparse_set_zero };
static const BlockMapOps streaming = { .find = sparse_find, .unpack = sparse_unpack, .append = stream_append, .flush = stream_finish };

/* ---- opening */

static const char *flaw(const SparseHeader *h)
{
    uint64_t grain = GUINT64_FROM_LE(h->grain_sectors), capacity = GUINT64_FROM_LE(h->capacity);
    if (GUINT32_FROM_LE(h->magic) != MAGIC)
        return "an extent has no VMDK head";
    if (GUINT32_FROM_LE(h->version) > 3)
        return "its version is not 1 to 3";
    if (GUINT32_FROM_LE(h->table_entries) != TABLE_ENTRIES || grain < 8 || grain > 4096 || grain & (grain - 1))
        return "its tables or grains have an impossible size";
    if (capacity > (64ull << 40) / SECTOR || table_count(h) > MOST_TABLES)
        return "the disk is larger than this program takes";
    if (GUINT32_FROM_LE(h->flags) & COMPRESSED && GUINT16_FROM_LE(h->compression) != 1)
        return "its grains are compressed in an unknown way";
    return NULL;
}

static uint32_t *read_directory(Sparse *s, uint64_t sector, int *status)
{
    uint64_t bytes = s->tables * 4, at = sector > UINT32_MAX ? UINT64_MAX : sector * SECTOR;
    uint32_t *directory = g_malloc0(bytes + 4);
    if (*status == 0)
        *status = at > s->map.file->size || bytes > s->map.file->size - at ? -EIO : blk_pread(s->map.file, at, directory, bytes);
    return directory;
}

/* The header at the start, or for streams the footer, which tells more. */
static int read_header(Sparse *s, BlkNode *file)
{
    int status = file->size < SECTOR ? -EIO : blk_pread(file, 0, &s->h, sizeof(s->h));
    if (status || GUINT64_FROM_LE(s->h.directory_off) != AT_END || file->size < SECTOR + FOOTER_BYTES)
        return status;
    SparseHeader footer;
    status = blk_pread(file, file->size - FOOTER_BYTES, &footer, sizeof(footer));
    if (!status && GUINT32_FROM_LE(footer.magic) == MAGIC)
        s->h = footer;
    return status;
}

static int load(Sparse *s, BlkNode *n, BlkNode *file)
{
    int status = 0;
    s->tables = table_count(&s->h);
    s->stream = GUINT32_FROM_LE(s->h.flags) & COMPRESSED;
    const BlockMapOps *writable = GUINT32_FROM_LE(s->h.flags) & ZERO_GRAINS ? &growing_with_zeros : &growing;
    blockmap_init(&s->map, s->stream ? &streaming : writable, n, file, GUINT64_FROM_LE(s->h.grain_sectors) * SECTOR);
    g_mutex_init(&s->lock);
    s->map.end = file->size;
    s->table = g_new0(uint32_t *, s->tables + 1);
    bool fresh = GUINT64_FROM_LE(s->h.directory_off) == AT_END; /* a stream that nothing was written to */
    s->directory = fresh ? g_new0(uint32_t, s->tables + 1) : read_directory(s, GUINT64_FROM_LE(s->h.directory_off), &status);
    if (!status && GUINT32_FROM_LE(s->h.flags) & SPARE_TABLES)
        s->spare = read_directory(s, GUINT64_FROM_LE(s->h.spare_off), &status);
    if (!status && s->stream && !n->read_only) /* what is appended must know all that is there */
        for (uint64_t t = 0; t < s->tables && !status; t++)
            status = load_table(s, t, &(uint32_t *){ NULL });
    s->unwritten = s->stream && fresh && !n->read_only;
    return status;
}

static int read_text(Sparse *s, char **ret_text)
{
    uint64_t at = GUINT64_FROM_LE(s->h.descriptor_off), sectors = GUINT64_FROM_LE(s->h.descriptor_sectors);
    if (!at || at > UINT32_MAX || sectors > 2048 || (at + sectors) * SECTOR > s->map.file->size)
        sectors = 0;
    *ret_text = g_malloc0(sectors * SECTOR + 1);
    return sectors ? blk_pread(s->map.file, at * SECTOR, *ret_text, sectors * SECTOR) : 0;
}

BlockMap *vmdk_sparse_open(BlkNode *n, BlkNode *file, char **ret_text, GError **err)
{
    Sparse *s = g_new0(Sparse, 1);
    int status = read_header(s, file);
    const char *wrong = status ? NULL : flaw(&s->h);
    if (!status && !wrong)
        status = load(s, n, file);
    if (!status && !wrong && ret_text)
        status = read_text(s, ret_text);
    if (!status && !wrong)
        return &s->map;
    if (wrong)
        error_set(err, ERR_INVALID, "cannot use '%s' as a vmdk image: %s", file->filename, wrong);
    else
        error_set_errno(err, -status, "cannot read disk image '%s'", file->filename);
    vmdk_sparse_close(&s->map);
    return NULL;
}

uint64_t vmdk_sparse_size(const BlockMap *m) { return GUINT64_FROM_LE(((const Sparse *)m)->h.capacity) * SECTOR; }

void vmdk_sparse_close(BlockMap *m)
{
    Sparse *s = (Sparse *)m;
    if (!s)
        return;
    if (m->ops) {
        if (s->unwritten && stream_finish(m))
            g_warning("cannot finish vmdk image '%s': its end is missing; write it again", m->file->filename);
        g_mutex_clear(&s->lock);
    }
    blockmap_clear(m);
    for (uint64_t i = 0; s->table && i < s->tables; i++)
        g_free(s->table[i]);
    g_free(s->table);
    g_free(s->directory);
    g_free(s->spare);
    g_free(s);
}

/* ---- creating */

/* Both directories with all their tables, empty, from `sector` on.  Returns the sector behind. */
static uint64_t add_tables(GByteArray *to, uint64_t sector, uint64_t tables)
{
    uint64_t first = sector + (tables * 4 + SECTOR - 1) / SECTOR;
    for (uint64_t t = 0; t < tables; t++)
        g_byte_array_append(to, (uint8_t *)&(uint32_t){ GUINT32_TO_LE((uint32_t)(first + t * (TABLE_BYTES / SECTOR))) }, 4);
    pad_sector(to);
    g_byte_array_set_size(to, to->len + tables * TABLE_BYTES);
    memset(to->data + to->len - tables * TABLE_BYTES, 0, tables * TABLE_BYTES);
    return first + tables * (TABLE_BYTES / SECTOR);
}

bool vmdk_sparse_create(BlkNode *file, uint64_t size, const char *text, unsigned how, GError **err)
{
    bool stream = how & VMDK_STREAM, zero_grains = how & VMDK_ZERO_GRAINS;
    SparseHeader h = { .magic = GUINT32_TO_LE(MAGIC), .version = GUINT32_TO_LE(stream ? 3 : zero_grains ? 2 : 1), .capacity = GUINT64_TO_LE(size / SECTOR),
                       .flags = GUINT32_TO_LE(stream ? NEWLINES | COMPRESSED | MARKERS : NEWLINES | SPARE_TABLES | (zero_grains ? ZERO_GRAINS : 0)),
                       .grain_sectors = GUINT64_TO_LE((uint64_t)GRAIN_SECTORS),
                       .descriptor_off = GUINT64_TO_LE(1ull), .descriptor_sectors = GUINT64_TO_LE((uint64_t)DESCRIPTOR_SECTORS),
                       .table_entries = GUINT32_TO_LE(TABLE_ENTRIES), .newlines = { '\n', ' ', '\r', '\n' }, .compression = GUINT16_TO_LE(stream) };
    uint64_t tables = table_count(&h), at = 1 + DESCRIPTOR_SECTORS, spare = at;
    if (tables > MOST_TABLES)
        return error_set(err, ERR_INVALID, "cannot create '%s': a vmdk image holds at most 62T", file->filename);
    g_autoptr(GByteArray) body = g_byte_array_new();
    if (!stream) {
        at = add_tables(body, at, tables);
        h.spare_off = GUINT64_TO_LE(spare);
        h.directory_off = GUINT64_TO_LE(at);
        at = add_tables(body, at, tables);
    } else {
        h.directory_off = AT_END;
    }
    at = (at + GRAIN_SECTORS - 1) / GRAIN_SECTORS * GRAIN_SECTORS;
    h.overhead = GUINT64_TO_LE(at);
    return blk_resize(file, at * SECTOR, 0, err) && blockmap_put(file, SECTOR, text, MIN(strlen(text), DESCRIPTOR_SECTORS * SECTOR), err) &&
           (!body->len || blockmap_put(file, spare * SECTOR, body->data, body->len, err)) && blockmap_put(file, 0, &h, sizeof(h), err);
}
