/*
 * virtio_blk.c - block device.  Virtio 1.2, section 5.2.
 *
 * Requests go from the ring to the block layer without a copy, as many as there are, on an I/O thread: that of iothread=, else
 * the machine's.  What is answered together takes one interrupt.
 */
#include "devices/virtio/virtio_blk.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "base/iov.h"
#include "devices/storage/disk.h"
#include "devices/virtio/virtio_mmio.h"
#include "machine/machine.h"

enum { /* features: 5.2.3 */
    F_SEG_MAX = 2, F_GEOMETRY = 4, F_RO = 5, F_BLK_SIZE = 6, F_FLUSH = 9, F_TOPOLOGY = 10, F_CONFIG_WCE = 11, F_MQ = 12,
    F_DISCARD = 13, F_WRITE_ZEROES = 14,
};
enum { /* configuration: 5.2.4 */
    C_CAPACITY = 0, C_SEG_MAX = 12, C_CYLINDERS = 16, C_HEADS = 18, C_SECTORS = 19, C_BLK_SIZE = 20, C_PHYSICAL_EXP = 24,
    C_MIN_IO = 26, C_OPT_IO = 28, C_WRITEBACK = 32, C_NUM_QUEUES = 34, C_MAX_DISCARD_SECTORS = 36, C_MAX_DISCARD_SEG = 40,
    C_DISCARD_ALIGN = 44, C_MAX_ZEROES_SECTORS = 48, C_MAX_ZEROES_SEG = 52, C_ZEROES_MAY_UNMAP = 56, CONFIG_BYTES = 60,
};
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 }; /* 5.2.6 */
enum { S_OK = 0, S_IOERR = 1, S_UNSUPPORTED = 2 };
enum { SECTOR = 512, HEADER_BYTES = 16, ID_BYTES = 20, MAX_SECTORS = INT32_MAX / SECTOR, ZEROES_UNMAP = 1, MAX_QUEUES = VIRTIO_QUEUES };

typedef struct Request Request;
struct Request {
    DiskReq dr;
    VirtqChain chain;
    unsigned queue;
    struct iovec *own_iov; /* of a chain whose buffers had to be cut */
    Request *next_free;
};

typedef struct VirtioBlk {
    VirtioPci base;
    Disk disk;
    char *iothread;
    uint32_t num_queues, queue_size;
    bool discard, write_zeroes, config_wce;
    /* Host. */
    Request *free;
} VirtioBlk;

static const Field fields[] = {
    VIRTIO_PCI_FIELDS(VirtioBlk, base),
    DISK_FIELDS(VirtioBlk, disk, true),
    { F(VirtioBlk, iothread), .role = FIELD_PROP, .doc = "id of the iothread object that serves it" },
    { FN(VirtioBlk, num_queues, "num-queues"), .role = FIELD_PROP, .max = MAX_QUEUES, .doc = "request queues; 0: as many as CPUs" },
    { FN(VirtioBlk, queue_size, "queue-size"), .role = FIELD_PROP, .reset = 256, .min = 4, .max = 1024, .doc = "entries of a queue, a power of two" },
    { F(VirtioBlk, discard), .role = FIELD_PROP, .reset = 1, .doc = "the guest may discard" },
    { FN(VirtioBlk, write_zeroes, "write-zeroes"), .role = FIELD_PROP, .reset = 1, .doc = "the guest may write zeros without sending them" },
    { FN(VirtioBlk, config_wce, "config-wce"), .role = FIELD_PROP, .reset = 1, .doc = "the guest may switch the write cache" },
    { FO(VirtioBlk, free), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static VirtioBlk *blk_of(Virtio *v) { return (VirtioBlk *)v->dev; }

/* ---- requests */

static Request *request_new(VirtioBlk *b)
{
    Request *r = b->free;
    if (!r)
        return g_new0(Request, 1);
    b->free = r->next_free;
    return r;
}

static void request_free(VirtioBlk *b, Request *r)
{
    g_clear_pointer(&r->own_iov, g_free);
    r->next_free = b->free;
    b->free = r;
}

/* The last byte that the device may write is the status. */
static void answer(VirtioBlk *b, Request *r, uint8_t status, uint32_t written)
{
    VirtqChain *c = &r->chain;
    iov_write(c->in.iov, c->in.n, c->in.len - 1, &status, 1);
    virtq_push(&b->base.virtio, r->queue, c, written ? c->in.len : 1);
    virtq_signal(&b->base.virtio, r->queue);
    request_free(b, r);
}

static void done(DiskReq *dr, int status)
{
    VirtioBlk *b = (VirtioBlk *)dr->disk->dev;
    uint8_t s = !status ? S_OK : status == -ENOTSUP ? S_UNSUPPORTED : S_IOERR;
    answer(b, (Request *)dr, s, dr->req.op == BLK_READ ? dr->req.len : 0);
}

/* ---- data */

/* Pieces [off, off + len) of a map: the chain's own where cuts fall between buffers, as they do for all known drivers. */
static void take_data(Request *r, const DmaMap *m, uint64_t off, uint64_t len)
{
    unsigned first = 0, end = m->n;
    size_t bytes;
    while (first < end && off >= m->iov[first].iov_len)
        off -= m->iov[first++].iov_len;
    if (m->to_memory && end && m->iov[end - 1].iov_len == 1)
        end--;
    r->dr.req.iov = m->iov + first;
    r->dr.req.niov = end - first;
    if (!off && iov_size(r->dr.req.iov, r->dr.req.niov) == len)
        return;
    r->own_iov = g_new(struct iovec, m->n);
    r->dr.req.niov = iov_slice(m->iov + first, m->n - first, off, len, r->own_iov, m->n, &bytes);
    r->dr.req.iov = r->own_iov;
}

static bool writeback(const VirtioBlk *b)
{
    const Virtio *v = &b->base.virtio;
    return virtio_has(v, F_CONFIG_WCE) ? v->config[C_WRITEBACK] : virtio_has(v, F_FLUSH); /* 5.2.5.2 */
}

static void move(VirtioBlk *b, Request *r, uint64_t sector)
{
    bool write = r->dr.req.op == BLK_WRITE;
    uint64_t len = write ? r->chain.out.len - HEADER_BYTES : r->chain.in.len - 1;
    if (len % b->disk.logical_block || sector % (b->disk.logical_block / SECTOR) || !checked_mul(sector, SECTOR, &r->dr.req.off) ||
        !range_within(r->dr.req.off, len, b->disk.bytes) || (write && b->disk.read_only)) {
        answer(b, r, S_IOERR, 0);
        return;
    }
    r->dr.req.len = len;
    if (write)
        r->dr.req.flags = writeback(b) ? 0 : BLK_FUA;
    take_data(r, write ? &r->chain.out : &r->chain.in, write ? HEADER_BYTES : 0, len);
    disk_submit(&b->disk, &r->dr);
}

static void read_data(VirtioBlk *b, Request *r, uint64_t sector)
{
    r->dr.req.op = BLK_READ;
    move(b, r, sector);
}

static void write_data(VirtioBlk *b, Request *r, uint64_t sector)
{
    r->dr.req.op = BLK_WRITE;
    move(b, r, sector);
}

/* ---- what moves no data */

static void flush(VirtioBlk *b, Request *r, uint64_t sector)
{
    r->dr.req.op = BLK_FLUSH;
    disk_submit(&b->disk, &r->dr);
}

static void get_id(VirtioBlk *b, Request *r, uint64_t sector)
{
    char id[ID_BYTES] = { 0 };
    const char *serial = b->disk.serial ? b->disk.serial : "";
    memcpy(id, serial, MIN(strlen(serial), sizeof(id)));
    if (r->chain.in.len - 1 < ID_BYTES) {
        answer(b, r, S_IOERR, 0);
        return;
    }
    iov_write(r->chain.in.iov, r->chain.in.n, 0, id, sizeof(id));
    answer(b, r, S_OK, ID_BYTES);
}

/* One range a request, as the configuration says. */
static void range(VirtioBlk *b, Request *r, bool zero)
{
    struct { uint64_t sector; uint32_t sectors, flags; } s;
    const DmaMap *out = &r->chain.out;
    if (out->len != HEADER_BYTES + sizeof(s) || b->disk.read_only) {
        answer(b, r, S_IOERR, 0);
        return;
    }
    iov_read(out->iov, out->n, HEADER_BYTES, &s, sizeof(s));
    bool unsupported = s.flags & ~(zero ? ZEROES_UNMAP : 0u), fits = s.sectors <= MAX_SECTORS && s.sector <= INT64_MAX / SECTOR &&
                range_within(s.sector * SECTOR, (uint64_t)s.sectors * SECTOR, b->disk.bytes);
    if (unsupported || !fits) {
        answer(b, r, unsupported ? S_UNSUPPORTED : S_IOERR, 0);
        return;
    }
    r->dr.req.op = zero ? BLK_ZERO : BLK_DISCARD;
    r->dr.req.flags = zero ? (s.flags & ZEROES_UNMAP ? BLK_MAY_UNMAP : 0) | (writeback(b) ? 0 : BLK_FUA) : 0;
    r->dr.req.off = s.sector * SECTOR;
    r->dr.req.len = (uint64_t)s.sectors * SECTOR;
    disk_submit(&b->disk, &r->dr);
}

static void discard(VirtioBlk *b, Request *r, uint64_t sector) { range(b, r, false); }
static void write_zeroes(VirtioBlk *b, Request *r, uint64_t sector) { range(b, r, true); }

static const struct {
    uint32_t type;
    int8_t feature; /* -1: always */
    void (*run)(VirtioBlk *b, Request *r, uint64_t sector);
} kinds[] = {
    { T_IN, -1, read_data },
    { T_OUT, -1, write_data },
    { T_FLUSH, -1, flush },
    { T_GET_ID, -1, get_id },
    { T_DISCARD, F_DISCARD, discard },
    { T_WRITE_ZEROES, F_WRITE_ZEROES, write_zeroes },
};

static void run(VirtioBlk *b, Request *r)
{
    struct { uint32_t type, reserved; uint64_t sector; } header;
    const VirtqChain *c = &r->chain;
    iov_read(c->out.iov, c->out.n, 0, &header, sizeof(header));
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i].type == header.type && (kinds[i].feature < 0 || virtio_has(&b->base.virtio, kinds[i].feature))) {
            kinds[i].run(b, r, header.sector);
            return;
        }
    answer(b, r, S_UNSUPPORTED, 0);
}

static bool take(VirtioBlk *b, unsigned n)
{
    VirtqChain c;
    if (!virtq_pop(&b->base.virtio, n, &c))
        return false;
    if (c.out.len < HEADER_BYTES || !c.in.len) {
        virtio_fail(&b->base.virtio, "a request of %" G_GUINT64_FORMAT " bytes to read and %" G_GUINT64_FORMAT " to write has no header or no status",
                    c.out.len, c.in.len);
        virtq_drop(&c);
        return false;
    }
    Request *r = request_new(b);
    *r = (Request){ .dr.done = done, .chain = c, .queue = n };
    run(b, r);
    return true;
}

static void notified(Virtio *v, unsigned n)
{
    VirtioBlk *b = blk_of(v);
    while (take(b, n))
        ;
}

static void quiesce(Virtio *v) { disk_quiesce(&blk_of(v)->disk); }

/* ---- configuration */

static void put(VirtioBlk *b, unsigned off, unsigned bytes, uint64_t value) { memcpy(b->base.virtio.config + off, &value, bytes); }

static void fill_config(VirtioBlk *b)
{
    const Disk *d = &b->disk;
    uint64_t sectors = d->bytes / SECTOR, cylinders = MIN(sectors / (16 * 63), 65535);
    uint32_t align = d->logical_block / SECTOR, most = MAX_SECTORS / align * align;
    put(b, C_CAPACITY, 8, sectors);
    put(b, C_SEG_MAX, 4, b->base.virtio.queue_size - 2);
    put(b, C_CYLINDERS, 2, cylinders);
    put(b, C_HEADS, 1, 16);
    put(b, C_SECTORS, 1, 63);
    put(b, C_BLK_SIZE, 4, d->logical_block);
    put(b, C_PHYSICAL_EXP, 1, __builtin_ctz(d->physical_block / d->logical_block));
    put(b, C_MIN_IO, 2, d->min_io / d->logical_block);
    put(b, C_OPT_IO, 4, d->opt_io / d->logical_block);
    put(b, C_NUM_QUEUES, 2, b->base.virtio.n_queues);
    put(b, C_MAX_DISCARD_SECTORS, 4, b->discard ? most : 0);
    put(b, C_MAX_DISCARD_SEG, 4, b->discard);
    put(b, C_DISCARD_ALIGN, 4, align);
    put(b, C_MAX_ZEROES_SECTORS, 4, b->write_zeroes ? most : 0);
    put(b, C_MAX_ZEROES_SEG, 4, b->write_zeroes);
    put(b, C_ZEROES_MAY_UNMAP, 1, b->write_zeroes);
}

/* The driver writes one byte that counts: whether there is a cache. */
static void config_written(Virtio *v, unsigned off, unsigned size)
{
    VirtioBlk *b = blk_of(v);
    bool may = virtio_has(v, F_CONFIG_WCE);
    uint8_t cache = may ? v->config[C_WRITEBACK] & 1 : b->disk.cache;
    fill_config(b);
    v->config[C_WRITEBACK] = cache;
}

static uint64_t features(const VirtioBlk *b)
{
    uint64_t f = 1ull << F_SEG_MAX | 1ull << F_GEOMETRY | 1ull << F_BLK_SIZE | 1ull << F_FLUSH | 1ull << F_TOPOLOGY;
    f |= (uint64_t)b->config_wce << F_CONFIG_WCE | (uint64_t)b->disk.read_only << F_RO;
    if (b->base.virtio.n_queues > 1)
        f |= 1ull << F_MQ;
    if (!b->disk.read_only)
        f |= (uint64_t)b->discard << F_DISCARD | (uint64_t)b->write_zeroes << F_WRITE_ZEROES;
    return f;
}

static const VirtioType blk_type = {
    .id = 2, .n_queues = 1, .queue_size = 256, .config_bytes = CONFIG_BYTES,
    .notified = notified, .quiesce = quiesce, .config_written = config_written,
};

static void resized(Device *d, uint64_t bytes)
{
    VirtioBlk *b = (VirtioBlk *)d;
    g_mutex_lock(&d->lock);
    b->disk.bytes = bytes;
    fill_config(b);
    virtio_config_changed(&b->base.virtio);
    g_mutex_unlock(&d->lock);
}

/* ---- life */

static bool realize(Device *d, GError **err)
{
    VirtioBlk *b = (VirtioBlk *)d;
    Virtio *v = &b->base.virtio;
    if (b->queue_size & (b->queue_size - 1))
        return error_set(err, ERR_INVALID, "%s: queue-size is a power of two, not %u", d->path, b->queue_size);
    if (!disk_realize(&b->disk, d, err) || (b->iothread && !disk_choose_thread(&b->disk, b->iothread, err)))
        return false;
    virtio_pci_prepare(&b->base, &blk_type);
    v->n_queues = b->num_queues ? b->num_queues : CLAMP(d->machine->config.cpus, 1, MAX_QUEUES);
    v->queue_size = b->queue_size;
    v->offered |= features(b);
    virtio_set_thread(v, b->disk.thread);
    return virtio_pci_realize(&b->base, &blk_type, err);
}

static void unrealize(Device *d)
{
    VirtioBlk *b = (VirtioBlk *)d;
    virtio_clear_thread(&b->base.virtio);
    disk_unrealize(&b->disk);
    for (Request *r; (r = b->free);) {
        b->free = r->next_free;
        g_free(r);
    }
}

static void reset(Device *d, ResetKind k)
{
    VirtioBlk *b = (VirtioBlk *)d;
    virtio_pci_reset(d, k);
    fill_config(b);
    put(b, C_WRITEBACK, 1, b->disk.cache);
}

/* The size of the image counts, not what it was when the state was saved. */
static bool post_load(Device *d, GError **err)
{
    VirtioBlk *b = (VirtioBlk *)d;
    fill_config(b);
    b->base.virtio.config[C_WRITEBACK] &= 1;
    return virtio_pci_post_load(d, err);
}

static void resumed(Device *d) { disk_resumed(&((VirtioBlk *)d)->disk); }

static const PciInfo pci_info = VIRTIO_PCI_INFO(0x1001, 0x010000, MAX_QUEUES + 1);

static bool boot_place(Device *d, BootPlace *ret)
{
    g_autofree char *function = pci_boot_path((PciDevice *)d);
    *ret = (BootPlace){ 'c', g_strconcat(function, "/disk@0,0", NULL) };
    return true;
}

#define BLK_TYPE                                                                                                       \
    .summary = "virtio disk", .spec = "Virtio 1.2, 5.2", .size = sizeof(VirtioBlk), .version = 1, .fields = fields,    \
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = virtio_pci_pre_save, .post_load = post_load, \
    .resized = resized, .resumed = resumed

VIRTIO_PCI_TYPES(virtio_blk_pci_type, "virtio-blk-pci", BLK_TYPE, .windows = virtio_pci_windows, .pci = &pci_info, .boot_place = boot_place);
VIRTIO_MMIO_TYPE(virtio_blk_device_type, "virtio-blk-device", BLK_TYPE);
