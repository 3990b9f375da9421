/*
 * pflash.c - parallel NOR flash, byte wide, with the Intel command set.  Intel 28F320J5 data sheet (290606); the query
 * structure: JEDEC JESD68.01 (CFI).
 *
 * The guest reads the array as ROM, without leaving its code; any write begins a command, and until "read array" the chip
 * answers by a window.  Contents are kept in memory and written to the drive behind the guest's back: one request at a time,
 * which takes all that has changed meanwhile.
 */
#include "devices/storage/pflash.h"

#include <string.h>

#include "block/block.h"

enum { /* commands */
    READ_ARRAY = 0xff, READ_ID = 0x90, QUERY = 0x98, READ_STATUS = 0x70, CLEAR_STATUS = 0x50, ERASE = 0x20, CONFIRM = 0xd0,
    PROGRAM = 0x40, PROGRAM_ALSO = 0x10, LOCK = 0x60,
};
enum { READY = 0x80, ERASE_FAILED = 0x20, PROGRAM_FAILED = 0x10 }; /* status */
enum { MANUFACTURER = 0x89, CHIP = 0x18 };

typedef struct Pflash {
    Device dev;
    char *drive;
    uint8_t command, status;
    bool second; /* the next write is the second cycle of `command` */
    BlkNode *blk;
    RamBlock *array;
    MemRegion *region;
    uint64_t at;
    bool read_only;
    uint64_t changed, changed_end; /* of the array, not yet on their way to the drive */
    uint64_t stale, stale_end;     /* of the array, and accelerators may have code of it cached */
    bool writing;                  /* a request is under way */
    GCond written;
    BlkReq req;
    struct iovec iov;
} Pflash;

/* ---- to the drive */

static void write_changed(Pflash *p);

static void request_done(BlkReq *r, int status)
{
    Pflash *p = r->owner;
    if (status)
        g_printerr("atoll-vm: warning: flash '%s': cannot write its image: %s; what the firmware stored will be lost\n", p->dev.path, g_strerror(-status));
    g_free(p->iov.iov_base);
    g_mutex_lock(&p->dev.lock);
    p->writing = false;
    write_changed(p);
    g_cond_broadcast(&p->written);
    g_mutex_unlock(&p->dev.lock);
}

static void write_changed(Pflash *p)
{
    uint64_t n = p->changed_end - p->changed;
    if (p->writing || !n)
        return;
    p->iov = (struct iovec){ g_memdup2(p->array->host + p->changed, n), n };
    p->req = (BlkReq){ .op = BLK_WRITE, .off = p->changed, .len = n, .iov = &p->iov, .niov = 1, .done = request_done, .owner = p };
    p->changed = p->changed_end = 0;
    p->writing = true;
    blk_submit(p->blk, &p->req);
}

static void widen(uint64_t *start, uint64_t *end, uint64_t off, uint64_t n)
{
    *start = *end ? MIN(*start, off) : off;
    *end = MAX(*end, off + n);
}

static void note_change(Pflash *p, uint64_t off, uint64_t n)
{
    widen(&p->changed, &p->changed_end, off, n);
    widen(&p->stale, &p->stale_end, off, n);
}

/* ---- commands */

static void show_array(Pflash *p, bool array)
{
    if (!p->region)
        return;
    region_set_kind(p->region, array ? REGION_ROM : REGION_IO);
    if (array && p->stale_end)
        dma_written(p->dev.machine, p->at + p->stale, p->stale_end - p->stale);
    if (array)
        p->stale = p->stale_end = 0;
}

static void read_array(Pflash *p)
{
    p->command = READ_ARRAY;
    p->second = false;
    show_array(p, true);
}

static void program(Pflash *p, uint64_t off, uint8_t value)
{
    p->status = READY | (p->read_only ? PROGRAM_FAILED : 0);
    if (p->read_only)
        return;
    p->array->host[off] &= value; /* programming clears bits, only an erase sets them */
    note_change(p, off, 1);
}

static void erase(Pflash *p, uint64_t off)
{
    p->status = READY | (p->read_only ? ERASE_FAILED : 0);
    if (p->read_only)
        return;
    off -= off % PFLASH_BLOCK;
    memset(p->array->host + off, 0xff, PFLASH_BLOCK);
    note_change(p, off, PFLASH_BLOCK);
}

static void first_cycle(Pflash *p, uint8_t value)
{
    p->command = value;
    switch (value) {
    case PROGRAM:
    case PROGRAM_ALSO:
    case ERASE:
    case LOCK:
        p->second = true;
        break;
    case CLEAR_STATUS: /* 0 although the chip is ready: by that EDK II knows an emulated flash */
        p->status = 0;
        break;
    case READ_ID:
    case QUERY:
    case READ_STATUS:
        break;
    default:
        read_array(p);
        return;
    }
    show_array(p, false);
}

static void second_cycle(Pflash *p, uint64_t off, uint8_t value)
{
    p->second = false;
    if (p->command == PROGRAM || p->command == PROGRAM_ALSO)
        program(p, off, value);
    else if (p->command == ERASE && value == CONFIRM)
        erase(p, off);
    else if (p->command == ERASE)
        p->status = READY | ERASE_FAILED | PROGRAM_FAILED; /* improper sequence */
    p->command = READ_STATUS;
}

static void flash_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Pflash *p = (Pflash *)d;
    if (p->second)
        second_cycle(p, off, value);
    else
        first_cycle(p, value);
    if (p->command == READ_ARRAY || p->command == READ_STATUS)
        write_changed(p);
}

/* ---- answers */

static uint8_t query(const Pflash *p, uint64_t off)
{
    uint64_t blocks = p->array->size / PFLASH_BLOCK - 1;
    const uint8_t table[] = {
        [0x10] = 'Q', 'R', 'Y',
        [0x13] = 1, 0, 0x31, 0, /* Intel's command set; where its own table stands */
        [0x1b] = 0x45, 0x55,    /* supply: 4.5 to 5.5 V */
        [0x1f] = 7, 0, 10,      /* program a byte in 2^7 us, erase a block in 2^10 ms */
        [0x23] = 4, 0, 4,       /* at most 2^4 times that */
        [0x27] = g_bit_storage(p->array->size) - 1,
        [0x2c] = 1,             /* one kind of blocks: their number, their size in units of 256 */
        [0x2d] = blocks, blocks >> 8, (uint8_t)(PFLASH_BLOCK >> 8), PFLASH_BLOCK >> 16,
        [0x31] = 'P', 'R', 'I', '1', '0',
        [0x3f] = 0,
    };
    return off < sizeof(table) ? table[off] : 0;
}

static uint64_t flash_read(Device *d, uint64_t off, unsigned size)
{
    Pflash *p = (Pflash *)d;
    switch (p->command) {
    case READ_ARRAY:
        return p->array->host[off]; /* a reader that was under way while the array came back */
    case READ_ID:
        return off % PFLASH_BLOCK == 0 ? MANUFACTURER : off % PFLASH_BLOCK == 1 ? CHIP : 0;
    case QUERY:
        return query(p, off % 0x100);
    default:
        return p->status;
    }
}

/* ---- life */

static bool load(Pflash *p, GError **err)
{
    BlkInfo info;
    if (!(p->blk = machine_claim_backend(p->dev.machine, BACKEND_DRIVE, p->drive, &p->dev, err)))
        return false;
    blk_info(p->blk, &info);
    p->read_only = info.read_only;
    if (!info.size || info.size % PFLASH_BLOCK || info.size > PFLASH_MAX)
        return error_set(err, ERR_INVALID, "%s: image '%s' has %" G_GUINT64_FORMAT " bytes; a flash chip has a multiple of %u KiB, up to %u MiB", p->dev.path,
                         info.filename, info.size, PFLASH_BLOCK >> 10, PFLASH_MAX >> 20);
    p->array = ram_create(p->dev.path, info.size, err);
    return p->array && blk_read(p->blk, 0, p->array->host, info.size, err);
}

static bool realize(Device *d, GError **err)
{
    g_cond_init(&((Pflash *)d)->written);
    return load((Pflash *)d, err);
}

static void unrealize(Device *d)
{
    Pflash *p = (Pflash *)d;
    g_mutex_lock(&d->lock);
    while (p->writing)
        g_cond_wait(&p->written, &d->lock);
    g_mutex_unlock(&d->lock);
    g_clear_pointer(&p->region, region_remove);
    ram_destroy(p->array);
    if (p->blk)
        machine_release_backend(d->machine, BACKEND_DRIVE, p->drive);
    g_cond_clear(&p->written);
}

static void reset(Device *d, ResetKind k) { read_array((Pflash *)d); }

static bool post_load(Device *d, GError **err)
{
    Pflash *p = (Pflash *)d;
    show_array(p, p->command == READ_ARRAY);
    return true;
}

uint64_t pflash_size(const Device *d) { return ((const Pflash *)d)->array->size; }
RamBlock *pflash_contents(const Device *d) { return ((const Pflash *)d)->array; }

bool pflash_map(Device *d, uint64_t at, GError **err)
{
    Pflash *p = (Pflash *)d;
    RegionDecl decl = { .name = d->path, .kind = REGION_ROM, .base = at, .size = p->array->size, .ram = p->array, .window = &d->windows[0] };
    p->at = at;
    p->region = region_add(d->machine->memory, &decl, err);
    return p->region;
}

static const WindowOps flash_ops = { flash_read, flash_write, 1, 1 };
static const WindowDecl windows[] = { { "flash", SPACE_MMIO, PFLASH_MAX, &flash_ops }, { .name = NULL } };
static const Field fields[] = {
    { F(Pflash, drive), .role = FIELD_PROP, .required = true, .doc = "id of the drive (-drive if=pflash)" },
    { F(Pflash, command), .reset = READ_ARRAY, .doc = "command under way; it says what reading shows" },
    { F(Pflash, status), .reset = READY, .doc = "status register" },
    { F(Pflash, second), .doc = "the next write is the command's second cycle" },
    { FO(Pflash, blk), .role = FIELD_HOST },
    { FO(Pflash, array), .role = FIELD_HOST },
    { FO(Pflash, region), .role = FIELD_HOST },
    { F(Pflash, at), .role = FIELD_HOST },
    { F(Pflash, read_only), .role = FIELD_HOST },
    { F(Pflash, changed), .role = FIELD_HOST },
    { F(Pflash, changed_end), .role = FIELD_HOST },
    { F(Pflash, stale), .role = FIELD_HOST },
    { F(Pflash, stale_end), .role = FIELD_HOST },
    { F(Pflash, writing), .role = FIELD_HOST },
    { FO(Pflash, written), .role = FIELD_HOST },
    { FO(Pflash, req), .role = FIELD_HOST },
    { FO(Pflash, iov), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType pflash_type = {
    .name = "cfi.pflash01",
    .summary = "parallel flash for firmware and its variables",
    .spec = "Intel 28F320J5, order number 290606; JESD68.01",
    .size = sizeof(Pflash),
    .version = 1,
    .fields = fields,
    .windows = windows,
    .internal = true,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
