/* transfer.c - the data of a command: between image and buffer, buffer and host, image and guest memory. */
#include <string.h>

#include "base/iov.h"
#include "devices/storage/ide_core.h"

/* A packet command is under way; the few other commands of a CD drive behave like a disk's. */
static bool is_packet(const IdeDrive *d) { return d->byte_limit != 0; }
static uint32_t block_bytes(const IdeDrive *d) { return d->medium->cd ? CD_BLOCK : DISK_BLOCK; }

void ide_irq(IdeDrive *d)
{
    d->irq = true;
    ide_update_irq(d->channel);
}

static void end_command(IdeDrive *d, uint8_t status)
{
    d->phase = IDE_IDLE;
    d->task = TASK_NONE;
    d->pos = d->drq_end = 0;
    d->status = status;
    if (is_packet(d))
        atapi_status(d);
}

void ide_done(IdeDrive *d)
{
    d->error = 0;
    end_command(d, ST_DRDY | ST_DSC);
    ide_irq(d);
}

void ide_fail(IdeDrive *d, uint8_t error)
{
    d->error = error;
    end_command(d, ST_DRDY | ST_DSC | ST_ERR);
    ide_irq(d);
}

static void image_failed(IdeDrive *d, uint8_t error)
{
    if (d->medium->cd) {
        atapi_medium_error(d);
        return;
    }
    ata_set_address(d);
    ide_fail(d, error);
}

/* Whoever waits in ide_channel_quiesce() goes on after the state has changed. */
static void request_done(DiskReq *r, int status)
{
    IdeDrive *d = r->req.owner;
    bool cancelled = d->cancelled;
    d->in_flight = d->cancelled = false;
    if (cancelled)
        dma_map_end(&d->map, UINT64_MAX);
    else
        d->then(d, status);
    if (!cancelled && d->channel->ops->progress)
        d->channel->ops->progress(d->channel);
    g_cond_broadcast(&d->channel->idle);
}

void ide_submit(IdeDrive *d, BlkOp op, unsigned flags, uint64_t off, struct iovec *iov, unsigned niov, uint64_t len,
                void (*then)(IdeDrive *d, int status))
{
    d->then = then;
    d->in_flight = true;
    d->phase = IDE_BUSY;
    d->status = ST_BSY | ST_DRDY | ST_DSC;
    d->req = (DiskReq){ .req = { .op = op, .flags = flags, .off = off, .len = len, .iov = iov, .niov = niov, .owner = d },
                        .done = request_done };
    disk_submit(d->medium->disk, &d->req);
}

static void submit_buf(IdeDrive *d, BlkOp op, unsigned flags, unsigned bytes, void (*then)(IdeDrive *d, int status))
{
    d->iov = (struct iovec){ d->buf, bytes };
    ide_submit(d, op, flags, d->lba * block_bytes(d), &d->iov, 1, bytes, then);
}

static unsigned write_flags(const IdeDrive *d) { return d->write_cache && !d->force_unit ? 0 : BLK_FUA; }

/* A command waits for the bus master, unless that has started already. */
static void dma_begin(IdeDrive *d)
{
    d->phase = IDE_DMA_WAIT;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    if (d->channel->ops->dma_started(d->channel))
        ide_dma_go(d);
}

static void dma_done(IdeDrive *d, int status)
{
    uint64_t bytes = d->map.len;
    dma_map_end(&d->map, bytes);
    d->channel->ops->dma_end(d->channel, false);
    if (status) {
        image_failed(d, d->task == TASK_READ ? ER_UNC : ER_ABRT);
        return;
    }
    d->lba += d->left;
    d->left = 0;
    if (!d->medium->cd)
        ata_set_address(d);
    ide_done(d);
}

static void dma_move(IdeDrive *d)
{
    if (d->task == TASK_REPLY) {
        iov_write(d->map.iov, d->map.n, 0, d->buf, d->buf_end);
        dma_done(d, 0);
        return;
    }
    bool write = d->task == TASK_WRITE;
    ide_submit(d, write ? BLK_WRITE : BLK_READ, write ? write_flags(d) : 0, d->lba * block_bytes(d), d->map.iov,
               d->map.n, d->map.len, dma_done);
}

/* A table that is too short ends the transfer without an interrupt, as Intel's bus master specification 1.0 says;
 * one that points outside RAM ends the command. */
void ide_dma_go(IdeDrive *d)
{
    IdeChannel *c = d->channel;
    uint64_t len = d->task == TASK_REPLY ? d->buf_end : (uint64_t)d->left * block_bytes(d);
    IdeDmaResult result = c->ops->dma_map(c, len, d->task != TASK_WRITE, &d->map);
    if (result == DMA_OK) {
        dma_move(d);
        return;
    }
    dma_map_end(&d->map, 0);
    c->ops->dma_end(c, result == DMA_BAD);
    if (result == DMA_BAD)
        ide_fail(d, ER_ABRT);
    else
        end_command(d, ST_DRDY | ST_DSC);
}

/* Hands the next data block of the buffer to the host. */
static void block_in(IdeDrive *d)
{
    if (is_packet(d))
        d->drq_bytes = MIN(d->byte_limit, IDE_BUF); /* drivers say 65534 */
    d->drq_end = MIN((unsigned)d->pos + d->drq_bytes, d->buf_end);
    d->phase = IDE_DATA_IN;
    d->error = 0;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
    if (is_packet(d))
        atapi_block_ready(d);
    ide_irq(d);
}

static void fetch(IdeDrive *d);

static void fetched(IdeDrive *d, int status)
{
    unsigned blocks = d->iov.iov_len / block_bytes(d);
    if (status) {
        image_failed(d, ER_UNC);
        return;
    }
    d->lba += blocks;
    d->left -= blocks;
    d->pos = d->drq_end = 0;
    d->buf_end = d->iov.iov_len;
    if (d->task == TASK_READ)
        block_in(d);
    else if (d->left)
        fetch(d);
    else
        ide_done(d);
}

static void fetch(IdeDrive *d)
{
    submit_buf(d, BLK_READ, 0, MIN(d->left, IDE_BUF / block_bytes(d)) * block_bytes(d), fetched);
}

void ide_read(IdeDrive *d, IdeTask task)
{
    d->task = task;
    if (d->dma && task == TASK_READ)
        dma_begin(d);
    else
        fetch(d);
}

void ide_reply(IdeDrive *d, unsigned bytes)
{
    d->task = TASK_REPLY;
    d->left = d->pos = d->drq_end = 0;
    d->buf_end = MIN(bytes, IDE_BUF);
    if (d->dma)
        dma_begin(d);
    else
        block_in(d);
}

static void block_in_taken(IdeDrive *d)
{
    if (d->pos < d->buf_end) {
        block_in(d);
    } else if (d->left) {
        fetch(d);
    } else if (is_packet(d)) {
        ide_done(d);
    } else {
        if (d->task == TASK_READ)
            ata_set_address(d);
        end_command(d, ST_DRDY | ST_DSC);
    }
}

/* Waits for the host to fill the next data block. */
static void block_out(IdeDrive *d)
{
    d->pos = 0;
    d->buf_end = d->drq_end = MIN(d->left, (unsigned)d->drq_bytes / DISK_BLOCK) * DISK_BLOCK;
    d->phase = IDE_DATA_OUT;
    d->status = ST_DRDY | ST_DSC | ST_DRQ;
}

static void stored(IdeDrive *d, int status)
{
    if (status) {
        image_failed(d, ER_ABRT);
        return;
    }
    d->lba += d->buf_end / DISK_BLOCK;
    d->left -= d->buf_end / DISK_BLOCK;
    if (!d->left) {
        ata_set_address(d);
        ide_done(d);
        return;
    }
    block_out(d);
    ide_irq(d);
}

void ide_write(IdeDrive *d)
{
    d->task = TASK_WRITE;
    if (d->dma)
        dma_begin(d);
    else
        block_out(d); /* the first block without an interrupt: ATA8-APT, PIO data-out */
}

void ide_take_packet(IdeDrive *d)
{
    d->task = TASK_PACKET;
    d->pos = 0;
    d->buf_end = d->drq_end = PACKET_BYTES;
    d->phase = IDE_DATA_OUT;
    d->status = ST_DRDY | ST_DRQ;
    d->count[0] = IR_COMMAND;
}

static void block_out_filled(IdeDrive *d)
{
    if (d->task == TASK_PACKET)
        atapi_packet(d);
    else
        submit_buf(d, BLK_WRITE, write_flags(d), d->buf_end, stored);
}

uint64_t ide_data_read(IdeDrive *d, unsigned size)
{
    uint64_t value = 0;
    if (d->phase != IDE_DATA_IN)
        return 0;
    unsigned bytes = MIN(size, (unsigned)d->drq_end - d->pos);
    memcpy(&value, d->buf + d->pos, bytes);
    d->pos += bytes;
    if (d->pos == d->drq_end)
        block_in_taken(d);
    return value;
}

void ide_data_write(IdeDrive *d, unsigned size, uint64_t value)
{
    if (d->phase != IDE_DATA_OUT)
        return;
    unsigned bytes = MIN(size, (unsigned)d->drq_end - d->pos);
    memcpy(d->buf + d->pos, &value, bytes);
    d->pos += bytes;
    if (d->pos == d->drq_end)
        block_out_filled(d);
}
