/* ata_log.c - READ LOG EXT: the directory of logs, and what went wrong with a queued command.  ATA8-ACS 7.33 and annex A. */
#include <string.h>

#include "devices/storage/ide_core.h"

enum { LOG_DIRECTORY = 0x00, LOG_QUEUED_ERROR = 0x10, DIRECTORY_VERSION = 1, NOT_QUEUED = 0x80, NEWS = 0x80 };

static void put_directory(IdeDrive *d);

/* A.7.4.  Ours has NEWS where the guest sees NOT_QUEUED. */
static void put_queued_error(IdeDrive *d)
{
    memcpy(d->buf, d->queued_error, sizeof(d->queued_error));
    d->buf[0] ^= NOT_QUEUED;
    d->queued_error[0] = 0; /* told */
    uint8_t sum = 0;
    for (unsigned i = 0; i < DISK_BLOCK - 1; i++)
        sum += d->buf[i];
    d->buf[DISK_BLOCK - 1] = -sum;
}

static const struct {
    uint8_t address, pages;
    bool sata;
    void (*put)(IdeDrive *d);
} logs[] = { { LOG_DIRECTORY, 1, false, put_directory }, { LOG_QUEUED_ERROR, 1, true, put_queued_error } };

static bool has_log(const IdeDrive *d, unsigned i) { return !logs[i].sata || d->channel->ops->sata; }

/* A word for each address: how many pages that log has. */
static void put_directory(IdeDrive *d)
{
    d->buf[0] = DIRECTORY_VERSION;
    for (unsigned i = 1; i < G_N_ELEMENTS(logs); i++)
        if (has_log(d, i))
            d->buf[2 * logs[i].address] = logs[i].pages;
}

void ata_read_log(IdeDrive *d, unsigned arg)
{
    unsigned page = d->lba_mid[0] | d->lba_mid[1] << 8, n = d->count[0] | d->count[1] << 8;
    for (unsigned i = 0; i < G_N_ELEMENTS(logs); i++) {
        if (logs[i].address != d->lba_low[0] || !has_log(d, i) || !n || page + n > logs[i].pages)
            continue;
        memset(d->buf, 0, DISK_BLOCK);
        logs[i].put(d);
        d->drq_bytes = DISK_BLOCK;
        ide_reply(d, DISK_BLOCK);
        return;
    }
    ide_fail(d, ER_ABRT);
}

void ata_note_queued_error(IdeDrive *d, unsigned tag, uint8_t error, uint64_t lba, uint32_t blocks)
{
    const uint8_t log[] = { tag | NEWS, 0, d->status, error, lba, lba >> 8, lba >> 16, SEL_LBA, lba >> 24, lba >> 32, lba >> 40, 0, blocks, blocks >> 8 };
    G_STATIC_ASSERT(sizeof(log) == QUEUED_ERROR_BYTES);
    memcpy(d->queued_error, log, sizeof(log));
}
