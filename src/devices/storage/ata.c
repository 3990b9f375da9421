/*
 * ata.c - the commands of an ATA disk.  ATA8-ACS (T13/1699D); obsolete ones per ATA-3 and ATA/ATAPI-6.
 *
 * What is not in the table is aborted, so a command that IDENTIFY does not promise does not work either.
 */
#include <string.h>

#include "base/checked.h"
#include "devices/storage/ide_core.h"

typedef struct AtaCommand {
    uint8_t code;
    uint8_t drives;    /* ON_DISK, ON_CD */
    uint8_t arg;
    void (*run)(IdeDrive *d, unsigned arg);
} AtaCommand;

enum { ON_DISK = 1, ON_CD = 2, ON_BOTH = 3 };
enum { EXT = 1, DMA = 2, MULTIPLE = 4, FUA = 8 }; /* of reads and writes */

static void ata_abort(IdeDrive *d) { ide_fail(d, ER_ABRT); }

/* ---- addresses */

static uint64_t address_ext(const IdeDrive *d)
{
    return d->lba_low[0] | d->lba_mid[0] << 8 | d->lba_high[0] << 16 | (uint64_t)d->lba_low[1] << 24 |
           (uint64_t)d->lba_mid[1] << 32 | (uint64_t)d->lba_high[1] << 40;
}

static bool address_chs(const IdeDrive *d, uint64_t *ret)
{
    unsigned cylinder = d->lba_mid[0] | d->lba_high[0] << 8, head = d->select & 0xf, sector = d->lba_low[0];
    if (!sector || sector > d->sectors || head >= d->heads)
        return false;
    *ret = ((uint64_t)cylinder * d->heads + head) * d->sectors + sector - 1;
    return true;
}

/* Sets lba and left; false where the command has failed. */
static bool take_address(IdeDrive *d, bool ext)
{
    bool ok = true;
    if (ext)
        d->lba = address_ext(d);
    else if (d->select & SEL_LBA)
        d->lba = d->lba_low[0] | d->lba_mid[0] << 8 | d->lba_high[0] << 16 | (uint64_t)(d->select & 0xf) << 24;
    else
        ok = address_chs(d, &d->lba);
    d->left = ext ? d->count[0] | d->count[1] << 8 : d->count[0];
    if (!d->left)
        d->left = ext ? 65536 : 256;
    if (ok && range_within(d->lba, d->left, ide_blocks(d)))
        return true;
    ide_fail(d, ER_IDNF);
    return false;
}

static void show_chs(IdeDrive *d)
{
    uint64_t track = d->lba / d->sectors, cylinder = track / d->heads;
    d->lba_low[0] = d->lba % d->sectors + 1;
    d->lba_mid[0] = cylinder;
    d->lba_high[0] = cylinder >> 8;
    d->select = (d->select & 0xf0) | (track % d->heads);
}

void ata_set_address(IdeDrive *d)
{
    d->count[0] = d->left;
    d->count[1] = d->left >> 8;
    if (!(d->select & SEL_LBA)) {
        show_chs(d);
        return;
    }
    d->lba_low[0] = d->lba;
    d->lba_mid[0] = d->lba >> 8;
    d->lba_high[0] = d->lba >> 16;
    d->lba_low[1] = d->lba >> 24;
    d->lba_mid[1] = d->lba >> 32;
    d->lba_high[1] = d->lba >> 40;
    d->select = (d->select & 0xf0) | (d->lba >> 24 & 0xf);
}

/* ---- data */

/* READ and WRITE MULTIPLE are refused until SET MULTIPLE MODE has been given: ATA/ATAPI-6, 8.28. */
static bool take_transfer(IdeDrive *d, unsigned how)
{
    if (how & MULTIPLE && !d->multiple) {
        ata_abort(d);
        return false;
    }
    d->dma = how & DMA;
    d->drq_bytes = DISK_BLOCK * (how & MULTIPLE ? d->multiple : 1);
    d->force_unit = how & FUA;
    return take_address(d, how & EXT);
}

static void read_sectors(IdeDrive *d, unsigned how)
{
    if (take_transfer(d, how))
        ide_read(d, TASK_READ);
}

static void write_sectors(IdeDrive *d, unsigned how)
{
    if (d->medium->disk->read_only)
        ata_abort(d);
    else if (take_transfer(d, how))
        ide_write(d);
}

static void verify_sectors(IdeDrive *d, unsigned how)
{
    if (take_transfer(d, how))
        ide_read(d, TASK_VERIFY);
}

static void seek(IdeDrive *d, unsigned arg)
{
    if (take_address(d, false))
        ide_done(d);
}

static void flushed(IdeDrive *d, int status)
{
    if (status)
        ata_abort(d);
    else
        ide_done(d);
}

static void flush(IdeDrive *d, unsigned arg) { ide_submit(d, BLK_FLUSH, 0, 0, NULL, 0, 0, flushed); }

/* ---- settings */

static void nothing(IdeDrive *d, unsigned arg) { ide_done(d); }

static void set_multiple(IdeDrive *d, unsigned arg)
{
    unsigned n = d->count[0];
    if (n > IDE_MAX_MULTIPLE || n & (n - 1)) {
        ata_abort(d);
        return;
    }
    d->multiple = n;
    ide_done(d);
}

static void set_geometry(IdeDrive *d, unsigned arg)
{
    if (!d->count[0] || d->count[0] > 63) {
        ata_abort(d);
        return;
    }
    d->heads = (d->select & 0xf) + 1;
    d->sectors = d->count[0];
    ide_done(d);
}

static void check_power(IdeDrive *d, unsigned arg)
{
    d->count[0] = 0xff; /* active */
    ide_done(d);
}

static bool set_transfer_mode(IdeDrive *d, uint8_t mode)
{
    unsigned n = mode & 7;
    switch (mode >> 3) {
    case 0: /* PIO default */
    case 1: /* PIO flow control */
        d->pio_mode = n;
        return n <= 4;
    case 4:
        if (n > 2)
            return false;
        d->mwdma_mode = 1 << n;
        d->udma_mode = 0;
        return true;
    case 8:
        if (n > 5)
            return false;
        d->udma_mode = 1 << n;
        d->mwdma_mode = 0;
        return true;
    }
    return false;
}

static bool set_feature(IdeDrive *d)
{
    switch (d->feature[0]) {
    case 0x02:
    case 0x82:
        d->write_cache = d->feature[0] == 0x02;
        return !d->medium->cd;
    case 0x03:
        return set_transfer_mode(d, d->count[0]);
    case 0x55:
    case 0xaa:
        d->look_ahead = d->feature[0] == 0xaa;
        return !d->medium->cd;
    case 0x66: /* keep settings over soft resets: they are */
    case 0xcc:
        return true;
    }
    return false;
}

static void set_features(IdeDrive *d, unsigned arg)
{
    bool ok = set_feature(d);
    if (!ok)
        ata_abort(d);
    else if (d->feature[0] == 0x82) /* what the cache held must be on the medium: ATA8-ACS 7.47.6 */
        flush(d, 0);
    else
        ide_done(d);
}

/* ---- identity, diagnostics, SMART */

static void identify(IdeDrive *d, unsigned arg)
{
    if (d->medium->cd != arg) { /* a packet device answers IDENTIFY DEVICE with its signature */
        ide_signature(d);
        ata_abort(d);
        return;
    }
    ata_identify(d);
    d->drq_bytes = DISK_BLOCK;
    ide_reply(d, DISK_BLOCK);
}

/* Both drives act on it, and drive 0 reports. */
static void diagnose(IdeDrive *d, unsigned arg)
{
    IdeDrive *first = &d->channel->drive[0];
    ide_channel_reset(d->channel);
    ide_irq(first->medium ? first : d);
}

static void smart_page(IdeDrive *d, uint8_t revision)
{
    memset(d->buf, 0, DISK_BLOCK);
    d->buf[0] = revision;
}

static void smart_reply(IdeDrive *d)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < DISK_BLOCK - 1; i++)
        sum += d->buf[i];
    d->buf[DISK_BLOCK - 1] = -sum;
    d->drq_bytes = DISK_BLOCK;
    ide_reply(d, DISK_BLOCK);
}

/* No attributes and an empty error log: there is no medium that wears. */
static void smart_command(IdeDrive *d)
{
    switch (d->feature[0]) {
    case 0xd0: /* READ DATA */
        smart_page(d, 0x10);
        d->buf[362] = 0x02; /* off-line collection completed without error */
        smart_reply(d);
        return;
    case 0xd1: /* READ THRESHOLDS */
        smart_page(d, 0x10);
        smart_reply(d);
        return;
    case 0xd5: /* READ LOG: summary error log only */
        smart_page(d, 0x01);
        if (d->lba_low[0] == 1)
            smart_reply(d);
        else
            ata_abort(d);
        return;
    case 0xda: /* RETURN STATUS: cylinder registers unchanged is "no threshold exceeded" */
    case 0xd2: /* attribute autosave */
        ide_done(d);
        return;
    case 0xd9:
        d->smart = false;
        ide_done(d);
        return;
    }
    ata_abort(d);
}

static void smart(IdeDrive *d, unsigned arg)
{
    bool enable = d->feature[0] == 0xd8;
    if (d->lba_mid[0] != 0x4f || d->lba_high[0] != 0xc2 || (!d->smart && !enable)) {
        ata_abort(d);
    } else if (enable) {
        d->smart = true;
        ide_done(d);
    } else {
        smart_command(d);
    }
}

/* ---- packet */

static void packet(IdeDrive *d, unsigned arg)
{
    unsigned limit = d->lba_mid[0] | d->lba_high[0] << 8;
    if (d->feature[0] & 2) { /* overlap */
        ata_abort(d);
        return;
    }
    d->dma = d->feature[0] & 1;
    d->byte_limit = limit < 2 ? 0xfffe : limit & 0xfffe;
    ide_take_packet(d);
}

static const AtaCommand commands[] = {
    { 0x10, ON_DISK, 0, nothing }, /* RECALIBRATE */
    { 0x20, ON_DISK, 0, read_sectors },
    { 0x21, ON_DISK, 0, read_sectors },
    { 0x24, ON_DISK, EXT, read_sectors },
    { 0x25, ON_DISK, EXT | DMA, read_sectors },
    { 0x29, ON_DISK, EXT | MULTIPLE, read_sectors },
    { 0x2f, ON_DISK, 0, ata_read_log },
    { 0x30, ON_DISK, 0, write_sectors },
    { 0x31, ON_DISK, 0, write_sectors },
    { 0x34, ON_DISK, EXT, write_sectors },
    { 0x35, ON_DISK, EXT | DMA, write_sectors },
    { 0x39, ON_DISK, EXT | MULTIPLE, write_sectors },
    { 0x3d, ON_DISK, EXT | DMA | FUA, write_sectors },
    { 0x40, ON_DISK, 0, verify_sectors },
    { 0x41, ON_DISK, 0, verify_sectors },
    { 0x42, ON_DISK, EXT, verify_sectors },
    { 0x70, ON_DISK, 0, seek },
    { 0x90, ON_BOTH, 0, diagnose },
    { 0x91, ON_DISK, 0, set_geometry },
    { 0x94, ON_BOTH, 0, nothing }, /* 94 to 99 are the old codes of e0 to e6 */
    { 0x95, ON_BOTH, 0, nothing },
    { 0x96, ON_BOTH, 0, nothing },
    { 0x97, ON_BOTH, 0, nothing },
    { 0x98, ON_BOTH, 0, check_power },
    { 0x99, ON_BOTH, 0, nothing },
    { 0xa0, ON_CD, 0, packet },
    { 0xa1, ON_BOTH, true, identify },
    { 0xb0, ON_DISK, 0, smart },
    { 0xc4, ON_DISK, MULTIPLE, read_sectors },
    { 0xc5, ON_DISK, MULTIPLE, write_sectors },
    { 0xc6, ON_DISK, 0, set_multiple },
    { 0xc8, ON_DISK, DMA, read_sectors },
    { 0xc9, ON_DISK, DMA, read_sectors },
    { 0xca, ON_DISK, DMA, write_sectors },
    { 0xcb, ON_DISK, DMA, write_sectors },
    { 0xce, ON_DISK, EXT | MULTIPLE | FUA, write_sectors },
    { 0xe0, ON_BOTH, 0, nothing }, /* STANDBY IMMEDIATE */
    { 0xe1, ON_BOTH, 0, nothing }, /* IDLE IMMEDIATE */
    { 0xe2, ON_DISK, 0, nothing }, /* STANDBY */
    { 0xe3, ON_DISK, 0, nothing }, /* IDLE */
    { 0xe5, ON_BOTH, 0, check_power },
    { 0xe6, ON_BOTH, 0, nothing }, /* SLEEP */
    { 0xe7, ON_DISK, 0, flush },
    { 0xea, ON_DISK, 0, flush },
    { 0xec, ON_BOTH, false, identify },
    { 0xef, ON_BOTH, 0, set_features },
};

/* READ SECTORS shows what a packet device is, as IDENTIFY DEVICE does. */
static void refuse(IdeDrive *d, uint8_t command)
{
    unimplemented(d->channel->dev, "%s: drive %u: command %02x", d->channel->dev->path, d->channel->index, command);
    if (d->medium->cd && (command == 0x20 || command == 0x21))
        ide_signature(d);
    ata_abort(d);
}

void ata_command(IdeDrive *d, uint8_t command)
{
    d->dma = false;
    d->force_unit = false;
    d->byte_limit = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++)
        if (commands[i].code == command && commands[i].drives & (d->medium->cd ? ON_CD : ON_DISK)) {
            commands[i].run(d, commands[i].arg);
            return;
        }
    refuse(d, command);
}
