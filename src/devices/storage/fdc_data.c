/*
 * fdc_data.c - commands of the floppy controller that move data: a sector at a time between image and buffer, and between
 * buffer and DMA or FIFO.  82077AA, 5.1.
 */
#include <string.h>

#include "base/checked.h"
#include "devices/misc/i8237.h"
#include "devices/storage/fdc_core.h"

enum { MULTI_TRACK = 0x80, NO_DMA = 1, ID_BYTES = 4, SIZE_512 = 2, EOT = 6, VERIFY_COUNT = 0x80, READ_TRACK = 0x02, COMMAND_BITS = 0x1f };
enum { READ_DELETED = 0x0c, SCAN_EQUAL = 0x11, SCAN_LOW = 0x19 };

static void sector_through(Fdc *f);
static void next_sector(Fdc *f);
static FdcFlow flow(const Fdc *f) { return fdc_command(f)->flow; }
static uint8_t opcode(const Fdc *f) { return f->command[0] & COMMAND_BITS; }
static bool by_dma(const Fdc *f) { return f->dma && !(f->hlt_nd & NO_DMA); }

void fdc_data_end(Fdc *f, uint8_t st0, uint8_t st1, uint8_t st2)
{
    const uint8_t result[] = { st0 | (fdc_unit(f) & 3) | (f->head & 1) << 2, st1, st2, f->cylinder, f->head, f->sector, SIZE_512 };
    fdc_answer(f, result, sizeof(result));
    fdc_set_irq(f, true);
}

static void fail(Fdc *f, uint8_t st1, uint8_t st2) { fdc_data_end(f, ST0_ABNORMAL, st1, st2); }

/* ---- the address of the sector */

static uint8_t find_error(Fdc *f, uint8_t *ret_st2)
{
    const FdcPlace *p = fdc_selected(f);
    const FloppyFormat *m = floppy_format(p);
    if (!m || m->rate != f->rate || f->head >= m->heads || p->track >= m->cylinders)
        return ST1_NO_MARK;
    if (f->cylinder != p->track) {
        *ret_st2 = ST2_WRONG_CYLINDER;
        return ST1_NO_DATA;
    }
    return !f->sector || f->sector > m->sectors ? ST1_NO_DATA : 0;
}

static uint64_t sector_offset(Fdc *f)
{
    const FloppyFormat *m = floppy_format(fdc_selected(f));
    return (((uint64_t)f->cylinder * m->heads + f->head) * m->sectors + f->sector - 1) * FDC_SECTOR;
}

/* False: past the last sector of the command. */
static bool advance(Fdc *f)
{
    if (f->sector != f->command[EOT]) {
        f->sector++;
        return true;
    }
    bool other_side = f->command[0] & MULTI_TRACK && !f->head && floppy_format(fdc_selected(f))->heads > 1;
    f->sector = 1;
    if (!other_side)
        f->cylinder++;
    if (f->command[0] & MULTI_TRACK)
        f->head ^= 1;
    return other_side;
}

/* ---- image and buffer */

static void image_done(DiskReq *r, int status)
{
    Fdc *f = r->req.owner;
    f->in_flight = false;
    if (f->aborting)
        return;
    if (status)
        fail(f, ST1_DATA_ERROR, 0);
    else
        sector_through(f);
}

static void move_sector(Fdc *f, bool write)
{
    Disk *d = floppy_disk(fdc_selected(f));
    uint64_t off = sector_offset(f);
    if (!d || !range_within(off, FDC_SECTOR, d->bytes)) {
        fail(f, ST1_NO_DATA, 0);
        return;
    }
    f->phase = FDC_BUSY;
    f->in_flight = true;
    f->iov = (struct iovec){ f->data, FDC_SECTOR };
    f->req = (DiskReq){ .req = { .op = write ? BLK_WRITE : BLK_READ, .flags = write && !d->cache ? BLK_FUA : 0, .off = off, .len = FDC_SECTOR,
                                 .iov = &f->iov, .niov = 1, .owner = f }, .done = image_done };
    disk_submit(d, &f->req);
}

/* ---- buffer and host */

static void past_end(Fdc *f) { fail(f, ST1_END, f->scan); }

/* A sector is dealt with, on both sides. */
static void sector_done(Fdc *f)
{
    bool counted = flow(f) == FLOW_FORMAT || (flow(f) == FLOW_VERIFY && f->command[1] & VERIFY_COUNT);
    bool last = counted && !--f->left, more = flow(f) == FLOW_FORMAT || advance(f);
    if (last || f->end || (opcode(f) == READ_DELETED && flow(f) == FLOW_READ))
        fdc_data_end(f, 0, 0, f->scan | (opcode(f) == READ_DELETED ? ST2_CONTROL_MARK : 0));
    else if (more)
        next_sector(f);
    else if (opcode(f) == READ_TRACK || flow(f) == FLOW_VERIFY)
        fdc_data_end(f, 0, 0, 0);
    else
        past_end(f);
}

/* The host takes or gives data_end bytes: at once by DMA, else by the FIFO. */
static void offer(Fdc *f, uint8_t *buf, bool to_host)
{
    f->data_at = 0;
    if (!by_dma(f)) {
        f->phase = to_host ? FDC_READ : FDC_WRITE;
        fdc_set_irq(f, true);
        return;
    }
    size_t moved = i8237_transfer(f->dma, f->channel & 7, buf, f->data_end, to_host, &f->end);
    if (moved < f->data_end && !f->end) {
        fail(f, ST1_OVERRUN, 0);
        return;
    }
    memset(buf + moved, 0, f->data_end - moved); /* what a write does not give is zeros */
    f->data_at = f->data_end;
}

static bool scan_goes_on(Fdc *f)
{
    bool less = false, equal = true;
    for (unsigned i = 0; i < FDC_SECTOR && equal; i++) {
        equal = f->data[i] == f->compare[i] || f->compare[i] == 0xff;
        less = f->data[i] < f->compare[i];
    }
    bool hit = equal || (opcode(f) == SCAN_EQUAL ? false : less == (opcode(f) == SCAN_LOW));
    f->scan = equal ? ST2_SCAN_EQUAL : hit ? 0 : ST2_SCAN_NO;
    return !hit;
}

static void fill_format(Fdc *f)
{
    uint8_t id[ID_BYTES];
    memcpy(id, f->data, sizeof(id));
    f->cylinder = id[0];
    f->head = id[1];
    f->sector = id[2];
    memset(f->data, f->command[5], FDC_SECTOR);
    uint8_t st2 = 0, st1 = find_error(f, &st2);
    if (st1)
        fail(f, st1, st2);
    else
        move_sector(f, true);
}

static void taken_from_host(Fdc *f)
{
    if (flow(f) == FLOW_FORMAT)
        fill_format(f);
    else if (flow(f) == FLOW_WRITE)
        move_sector(f, true);
    else if (scan_goes_on(f))
        sector_done(f);
    else
        fdc_data_end(f, 0, 0, f->scan);
}

static void ask_host(Fdc *f, uint8_t *buf, unsigned bytes)
{
    f->data_end = bytes;
    offer(f, buf, false);
    if (f->phase == FDC_BUSY)
        taken_from_host(f);
}

static void sector_through(Fdc *f)
{
    if (flow(f) == FLOW_SCAN) {
        ask_host(f, f->compare, FDC_SECTOR);
    } else if (flow(f) == FLOW_READ) {
        f->data_end = FDC_SECTOR;
        offer(f, f->data, true);
        if (f->phase == FDC_BUSY)
            sector_done(f);
    } else {
        sector_done(f);
    }
}

uint8_t fdc_data_read(Fdc *f)
{
    uint8_t value = f->data[f->data_at % FDC_SECTOR];
    fdc_set_irq(f, false);
    if (++f->data_at >= f->data_end) {
        f->phase = FDC_BUSY;
        sector_done(f);
    }
    return value;
}

void fdc_data_write(Fdc *f, uint8_t value)
{
    (flow(f) == FLOW_SCAN ? f->compare : f->data)[f->data_at % FDC_SECTOR] = value;
    fdc_set_irq(f, false);
    if (++f->data_at >= f->data_end) {
        f->phase = FDC_BUSY;
        taken_from_host(f);
    }
}

/* ---- the command */

static void next_sector(Fdc *f)
{
    uint8_t st2 = 0, st1 = flow(f) == FLOW_FORMAT ? 0 : find_error(f, &st2);
    f->phase = FDC_BUSY;
    if (st1)
        fail(f, st1, st2);
    else if (flow(f) == FLOW_FORMAT)
        ask_host(f, f->data, ID_BYTES);
    else if (flow(f) == FLOW_WRITE)
        ask_host(f, f->data, FDC_SECTOR);
    else
        move_sector(f, false);
}

void fdc_data_begin(Fdc *f)
{
    const FdcPlace *p = fdc_selected(f);
    const Disk *d = floppy_disk(p);
    bool writes = flow(f) == FLOW_WRITE || flow(f) == FLOW_FORMAT, format = flow(f) == FLOW_FORMAT;
    f->end = false;
    f->scan = 0;
    if (format) {
        f->cylinder = p->track;
        f->head = f->command[1] >> 2 & 1;
        f->sector = 1;
    } else if (opcode(f) == READ_TRACK) {
        f->sector = 1;
    } else if (flow(f) == FLOW_VERIFY) {
        f->left = f->command[8] ? f->command[8] : 256;
    }
    if (!d)
        fail(f, ST1_NO_MARK, 0);
    else if (writes && d->read_only)
        fail(f, ST1_PROTECTED, 0);
    else if (f->command[format ? 2 : 5] != SIZE_512 || (format && !f->left))
        fail(f, ST1_NO_DATA, 0);
    else
        next_sector(f);
}
