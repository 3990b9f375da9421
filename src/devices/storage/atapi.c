/* atapi.c - packet commands: SCSI commands of scsi.h by ATA registers.  ATA/ATAPI-6 clause 8.23. */
#include <string.h>

#include "devices/storage/ide_core.h"

void atapi_block_ready(IdeDrive *d)
{
    unsigned bytes = d->drq_end - d->pos;
    d->count[0] = IR_TO_HOST;
    d->lba_mid[0] = bytes;
    d->lba_high[0] = bytes >> 8;
}

void atapi_status(IdeDrive *d)
{
    d->count[0] = IR_COMMAND | IR_TO_HOST;
    d->byte_limit = 0;
}

/* The sense key stands in the error register, too. */
static void check_condition(IdeDrive *d)
{
    uint8_t key = d->unit.sense_key;
    ide_fail(d, key << 4 | (key == SENSE_ILLEGAL ? ER_ABRT : 0));
}

void atapi_medium_error(IdeDrive *d)
{
    scsi_sense(&d->unit, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
    check_condition(d);
}

static void read_disc(IdeDrive *d, const ScsiTask *t)
{
    d->lba = t->off / CD_BLOCK;
    d->left = t->len / CD_BLOCK;
    ide_read(d, TASK_READ);
}

void atapi_packet(IdeDrive *d)
{
    uint8_t cdb[SCSI_CDB_BYTES] = { 0 };
    memcpy(cdb, d->buf, PACKET_BYTES);
    ScsiTask t = { .cdb = cdb, .buf = d->buf };
    switch (scsi_run(&d->unit, &t)) {
    case SCSI_REPLY:
        ide_reply(d, t.bytes);
        break;
    case SCSI_READ:
        read_disc(d, &t);
        break;
    case SCSI_FAILED:
        if (d->unit.asc == ASC_INVALID_OPCODE >> 8)
            unimplemented(d->channel->dev, "%s: packet command %02x", d->channel->dev->path, cdb[0]);
        check_condition(d);
        break;
    default: /* a drive that only reads has no others */
        ide_done(d);
    }
}
