/*
 * channel.c - a channel's register file, resets and interrupt line.
 *
 * Sources: ATA/ATAPI-6 (T13/1410D) clauses 7 (registers) and 9 (protocols), ATA8-ACS.  Writes of the taskfile go to
 * both drives, reads come from the selected one.
 */
#include "devices/storage/ide_core.h"

enum { R_DATA, R_FEATURE, R_COUNT, R_LBA_LOW, R_LBA_MID, R_LBA_HIGH, R_SELECT, R_COMMAND };
enum { CMD_DEVICE_RESET = 0x08 };

static const Field drive_fields[] = {
    { FO(IdeDrive, channel), .role = FIELD_HOST },
    { FO(IdeDrive, medium), .role = FIELD_HOST },
    { FO(IdeDrive, plugged), .role = FIELD_HOST },
    { FO(IdeDrive, req), .role = FIELD_HOST },
    { FO(IdeDrive, iov), .role = FIELD_HOST },
    { FO(IdeDrive, map), .role = FIELD_HOST },
    { FO(IdeDrive, then), .role = FIELD_HOST },
    { F(IdeDrive, in_flight), .role = FIELD_HOST },
    { F(IdeDrive, cancelled), .role = FIELD_HOST },
    { FA(IdeDrive, feature), .doc = "features register, now and before" },
    { FA(IdeDrive, count), .doc = "sector count register, now and before" },
    { FA(IdeDrive, lba_low), .doc = "LBA bits 0-7 (sector), now and before" },
    { FA(IdeDrive, lba_mid), .doc = "LBA bits 8-15 (cylinder low), now and before" },
    { FA(IdeDrive, lba_high), .doc = "LBA bits 16-23 (cylinder high), now and before" },
    { F(IdeDrive, select), .doc = "device register" },
    { F(IdeDrive, status), .doc = "status register" },
    { F(IdeDrive, error), .doc = "error register" },
    { F(IdeDrive, irq), .doc = "interrupt pending" },
    { F(IdeDrive, multiple), .reset = IDE_MAX_MULTIPLE, .doc = "sectors a block of READ and WRITE MULTIPLE" },
    { F(IdeDrive, heads), .reset = 16, .doc = "logical heads" },
    { F(IdeDrive, sectors), .reset = 63, .doc = "logical sectors a track" },
    { F(IdeDrive, pio_mode), .doc = "PIO mode" },
    { F(IdeDrive, mwdma_mode), .reset = 0, .doc = "multiword DMA modes, selected: bit" },
    { F(IdeDrive, udma_mode), .reset = 0x20, .doc = "ultra DMA modes, selected: bit" },
    { F(IdeDrive, write_cache), .reset = 1, .doc = "write cache on" },
    { F(IdeDrive, look_ahead), .reset = 1, .doc = "read look-ahead on" },
    { F(IdeDrive, smart), .reset = 1, .doc = "SMART on" },
    { F(IdeDrive, phase), .doc = "what the drive waits for" },
    { F(IdeDrive, task), .doc = "what the transfer is for" },
    { F(IdeDrive, dma), .doc = "transfer by bus master" },
    { F(IdeDrive, force_unit), .doc = "write through the cache" },
    { F(IdeDrive, drq_bytes), .reset = DISK_BLOCK, .doc = "bytes of a data block" },
    { F(IdeDrive, left), .doc = "blocks left" },
    { F(IdeDrive, lba), .doc = "next block" },
    { F(IdeDrive, pos), .doc = "position in the buffer" },
    { F(IdeDrive, drq_end), .doc = "end of the data block" },
    { F(IdeDrive, buf_end), .doc = "end of the data" },
    { FA(IdeDrive, buf), .doc = "buffer" },
    { FA(IdeDrive, queued_error), .since = 2, .doc = "SATA: the queued command that failed last" },
    { F(IdeDrive, byte_limit), .doc = "ATAPI: byte count limit, 0 outside a packet command" },
    { FS(IdeDrive, unit, scsi_unit_fields), .doc = "ATAPI: what packet commands find" },
    DEVICE_FIELDS_END,
};

const Field ide_channel_fields[] = {
    { FO(IdeChannel, dev), .role = FIELD_HOST },
    { FO(IdeChannel, ops), .role = FIELD_HOST },
    { FO(IdeChannel, idle), .role = FIELD_HOST },
    { F(IdeChannel, index), .role = FIELD_HOST },
    { F(IdeChannel, control), .doc = "device control register" },
    { F(IdeChannel, line), .doc = "interrupt line" },
    { F(IdeChannel, bm_command), .doc = "bus master command" },
    { F(IdeChannel, bm_status), .doc = "bus master status" },
    { F(IdeChannel, bm_more), .doc = "descriptor table longer than the transfer" },
    { F(IdeChannel, bm_table), .doc = "address of the descriptor table" },
    { FSA(IdeChannel, drive, drive_fields), .doc = "drives" },
    DEVICE_FIELDS_END,
};

IdeDrive *ide_selected(IdeChannel *c) { return &c->drive[(c->drive[0].select & SEL_DRIVE) != 0]; }

void ide_channel_init(IdeChannel *c, Device *dev, unsigned index, const IdeBusOps *ops)
{
    c->dev = dev;
    c->ops = ops;
    c->index = index;
    g_cond_init(&c->idle);
    for (unsigned i = 0; i < 2; i++)
        c->drive[i].channel = c;
}

void ide_channel_finish(IdeChannel *c)
{
    if (!c->dev)
        return;
    for (unsigned i = 0; i < 2; i++) {
        if (c->drive[i].plugged)
            ide_drive_let_go(c->drive[i].plugged);
        ide_unplug(&c->drive[i]);
    }
    g_cond_clear(&c->idle);
}

/* While this waits the lock is free, and another CPU may start something: look at both drives again. */
void ide_channel_quiesce(IdeChannel *c, bool cancel)
{
    while (c->drive[0].in_flight || c->drive[1].in_flight) {
        for (unsigned i = 0; i < 2; i++) {
            c->drive[i].cancelled |= c->drive[i].in_flight && cancel;
            if (c->drive[i].in_flight)
                disk_fail_held(c->drive[i].medium->disk);
        }
        if (!c->drive[0].in_flight && !c->drive[1].in_flight)
            break;
        g_cond_wait(&c->idle, &c->dev->lock);
    }
}

/* The other drive's request comes to its end as ever. */
static void cancel_drive(IdeDrive *d)
{
    d->cancelled |= d->in_flight;
    ide_channel_quiesce(d->channel, false);
}

void ide_update_irq(IdeChannel *c)
{
    const IdeDrive *d = ide_selected(c);
    bool level = d->irq && d->medium && !(c->control & CTL_NIEN);
    if (level == c->line || c->ops->sata)
        return;
    c->line = level;
    if (level)
        c->bm_status |= BM_INT;
    irq_set(&c->dev->irq[c->index], level);
}

/* ATA/ATAPI-6, 9.12: how a drive says what it is after a reset or diagnostics. */
void ide_signature(IdeDrive *d)
{
    bool cd = d->medium && d->medium->cd;
    d->count[0] = d->lba_low[0] = 1;
    d->lba_mid[0] = cd ? 0x14 : 0;
    d->lba_high[0] = cd ? 0xeb : 0;
    d->error = 1; /* no fault; of device 0: device 1 neither */
    d->status = !d->medium || cd ? 0 : ST_DRDY | ST_DSC;
}

static void drop_command(IdeDrive *d)
{
    d->phase = IDE_IDLE;
    d->task = TASK_NONE;
    d->byte_limit = 0;
    d->irq = false;
}

static void reset_drives(IdeChannel *c)
{
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = &c->drive[i];
        drop_command(d);
        d->select = 0;
        scsi_sense(&d->unit, SENSE_NONE, 0);
        ide_signature(d);
    }
    ide_update_irq(c);
}

void ide_channel_reset(IdeChannel *c)
{
    ide_channel_quiesce(c, true);
    reset_drives(c);
}

bool ide_channel_check(IdeChannel *c, GError **err)
{
    for (unsigned i = 0; i < 2; i++) {
        const IdeDrive *d = &c->drive[i];
        bool idle = d->phase == IDE_IDLE;
        if (d->pos > d->drq_end || d->drq_end > d->buf_end || d->buf_end > IDE_BUF || d->phase >= IDE_PHASES ||
            d->phase == IDE_BUSY || d->task >= IDE_TASKS || d->multiple > IDE_MAX_MULTIPLE || !d->heads || d->heads > 16 ||
            !d->sectors || d->drq_bytes > IDE_BUF || (!idle && !d->medium) || d->left > 65536 ||
            (!idle && d->task != TASK_REPLY && d->task != TASK_PACKET && !d->medium->disk->blk))
            return error_set(err, ERR_INVALID, "%s: saved state of drive %u.%u is damaged or has another drive",
                             c->dev->path, c->index, i);
    }
    return true;
}

/* Registers of a place where nothing is read as 0, so that drivers see no drive. */
static uint8_t read_register(IdeChannel *c, unsigned reg)
{
    IdeDrive *d = ide_selected(c);
    unsigned hob = c->control & CTL_HOB ? 1 : 0;
    if (!d->medium)
        return 0;
    switch (reg) {
    case R_FEATURE:
        return hob ? d->feature[1] : d->error;
    case R_COUNT:
        return d->count[hob];
    case R_LBA_LOW:
        return d->lba_low[hob];
    case R_LBA_MID:
        return d->lba_mid[hob];
    case R_LBA_HIGH:
        return d->lba_high[hob];
    case R_SELECT:
        return d->select | 0xa0;
    case R_COMMAND:
        d->irq = false;
        ide_update_irq(c);
        return d->status;
    }
    return 0;
}

static void push(uint8_t reg[2], uint8_t value)
{
    reg[1] = reg[0];
    reg[0] = value;
}

static void write_taskfile(IdeDrive *d, unsigned reg, uint8_t value)
{
    switch (reg) {
    case R_FEATURE:
        return push(d->feature, value);
    case R_COUNT:
        return push(d->count, value);
    case R_LBA_LOW:
        return push(d->lba_low, value);
    case R_LBA_MID:
        return push(d->lba_mid, value);
    case R_LBA_HIGH:
        return push(d->lba_high, value);
    case R_SELECT:
        d->select = value & ~0xa0;
    }
}

static bool is_busy(const IdeDrive *d) { return d->in_flight || (d->status & (ST_BSY | ST_DRQ)); }

/* DEVICE RESET of a packet device is the one command that a busy drive takes: ATA/ATAPI-6, 8.10. */
static void device_reset_command(IdeChannel *c, IdeDrive *d)
{
    cancel_drive(d);
    drop_command(d);
    ide_signature(d);
    d->status = 0;
    ide_update_irq(c);
}

static void write_command(IdeChannel *c, uint8_t command)
{
    IdeDrive *d = ide_selected(c);
    if (!d->medium)
        return;
    if (d->medium->cd && command == CMD_DEVICE_RESET) {
        device_reset_command(c, d);
        return;
    }
    if (is_busy(d)) {
        guest_error(c->dev, "%s: command %02x to a busy drive", c->dev->path, command);
        return;
    }
    d->irq = false;
    ide_update_irq(c);
    ata_command(d, command);
}

static void write_register(IdeChannel *c, unsigned reg, uint8_t value)
{
    c->control &= ~CTL_HOB;
    if (c->control & CTL_SRST)
        return;
    if (reg == R_COMMAND) {
        write_command(c, value);
        return;
    }
    if (is_busy(ide_selected(c)))
        return;
    write_taskfile(&c->drive[0], reg, value);
    write_taskfile(&c->drive[1], reg, value);
    ide_update_irq(c); /* the selected drive's interrupt shows */
}

uint64_t ide_command_read(IdeChannel *c, uint64_t off, unsigned size)
{
    uint64_t value = 0;
    if (off == R_DATA)
        return ide_data_read(ide_selected(c), size);
    for (unsigned i = 0; i < size && off + i <= R_COMMAND; i++)
        value |= (uint64_t)read_register(c, off + i) << 8 * i;
    return value;
}

void ide_command_write(IdeChannel *c, uint64_t off, unsigned size, uint64_t value)
{
    if (off == R_DATA) {
        ide_data_write(ide_selected(c), size, value);
        return;
    }
    for (unsigned i = 0; i < size && off + i <= R_COMMAND; i++)
        write_register(c, off + i, value >> 8 * i);
}

/* Alternate status: as status, but leaves the interrupt. */
uint8_t ide_control_read(IdeChannel *c) { return ide_selected(c)->medium ? ide_selected(c)->status : 0; }

static void begin_soft_reset(IdeChannel *c)
{
    ide_channel_quiesce(c, true);
    for (unsigned i = 0; i < 2; i++) {
        drop_command(&c->drive[i]);
        c->drive[i].status = c->drive[i].medium ? ST_BSY : 0;
    }
}

void ide_control_write(IdeChannel *c, uint8_t value)
{
    uint8_t old = c->control;
    c->control = value & (CTL_HOB | CTL_SRST | CTL_NIEN);
    if (~old & value & CTL_SRST)
        begin_soft_reset(c);
    else if (old & ~value & CTL_SRST)
        reset_drives(c);
    ide_update_irq(c);
}

void ide_plug(IdeChannel *c, unsigned unit, const IdeMedium *m, Device *by)
{
    IdeDrive *d = &c->drive[unit];
    g_mutex_lock(&c->dev->lock);
    d->medium = m;
    d->plugged = by;
    d->unit.cd = d->unit.atapi = m->cd;
    d->unit.model = m->model;
    d->unit.firmware = m->firmware;
    d->unit.serial = m->serial;
    d->unit.disk = m->disk;
    ide_signature(d);
    g_mutex_unlock(&c->dev->lock);
}

void ide_unplug(IdeDrive *d)
{
    IdeChannel *c = d->channel;
    g_mutex_lock(&c->dev->lock);
    BlkNode *blk = d->medium ? d->medium->disk->blk : NULL;
    cancel_drive(d);
    drop_command(d);
    d->medium = NULL;
    d->plugged = NULL;
    d->status = 0;
    ide_update_irq(c);
    d->unit.disk = NULL;
    g_mutex_unlock(&c->dev->lock);
    if (blk)
        blk_drain(blk); /* the worker has left our completion */
}
