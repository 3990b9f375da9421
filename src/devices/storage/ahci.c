/*
 * ahci.c - SATA controller: ports with command lists, on the drives of ata.c and atapi.c; queued commands beside them.
 *
 * Sources: Intel, Serial ATA AHCI 1.3.1; SATA 3.1 for the frames (FIS); ATA8-ACS for queued commands.
 *
 * A command that is not queued is written into the drive's registers, and its data move between the drive and the
 * command's table (PRDT) as they would by bus master or port.  Queued ones are requests of their own.
 */
#include <string.h>

#include "base/checked.h"
#include "base/iov.h"
#include "devices/storage/ahci_core.h"

/* ---- frames to the host: AHCI 4.2.1 */

static uint64_t address(const uint32_t pair[2]) { return pair[0] | (uint64_t)pair[1] << 32; }

static void port_irq(AhciPort *p, uint32_t bits)
{
    p->is |= bits;
    ahci_update_irq(p->ahci);
}

static void receive(AhciPort *p, unsigned at, const uint8_t *fis, size_t n)
{
    if (p->cmd & PORT_FRE)
        dma_write(p->ahci->pci.dev.machine, address(p->fb) + at, fis, n);
}

static void set_tfd(AhciPort *p) { p->tfd = p->channel.drive[0].status | p->channel.drive[0].error << 8; }

static void send_d2h(AhciPort *p, bool interrupt)
{
    const IdeDrive *d = &p->channel.drive[0];
    uint8_t fis[20] = { 0x34, interrupt << 6, d->status, d->error, d->lba_low[0], d->lba_mid[0], d->lba_high[0], d->select,
                        d->lba_low[1], d->lba_mid[1], d->lba_high[1], 0, d->count[0], d->count[1] };
    set_tfd(p);
    receive(p, FIS_D2H, fis, sizeof(fis));
    if (d->status & ST_ERR)
        port_irq(p, PIS_TFES);
    if (interrupt)
        port_irq(p, PIS_DHRS);
}

static void send_pio_setup(AhciPort *p, bool to_host, unsigned bytes)
{
    const IdeDrive *d = &p->channel.drive[0];
    uint8_t fis[20] = { 0x5f, 0x40 | to_host << 5, d->status, d->error, d->lba_low[0], d->lba_mid[0], d->lba_high[0], d->select,
                        d->lba_low[1], d->lba_mid[1], d->lba_high[1], 0, d->count[0], d->count[1], 0, ST_DRDY | ST_DSC, bytes, bytes >> 8 };
    receive(p, FIS_PIO, fis, sizeof(fis));
    port_irq(p, PIS_PSS);
}

static void send_bits(AhciPort *p, uint32_t tags, uint8_t status, uint8_t error)
{
    uint8_t fis[8] = { 0xa1, 0x40, status & 0x77, error, tags, tags >> 8, tags >> 16, tags >> 24 };
    p->sact &= ~tags;
    p->tfd = status | error << 8;
    receive(p, FIS_SDB, fis, sizeof(fis));
    port_irq(p, PIS_SDBS | (status & ST_ERR ? PIS_TFES : 0));
}

/* ---- the command's table: AHCI 4.2.2, 4.2.3 */

static bool read_header(AhciPort *p, unsigned slot, uint32_t ret[4])
{
    return dma_read(p->ahci->pci.dev.machine, address(p->clb) + 32 * slot, ret, 16);
}

/* Maps [skip, skip + len) of the data; less where the table is shorter. */
static bool map_table(AhciPort *p, unsigned slot, uint64_t skip, uint64_t len, bool to_memory, DmaMap *map)
{
    uint32_t header[4], prd[4];
    dma_map_begin(map, p->ahci->pci.dev.machine, to_memory);
    if (!read_header(p, slot, header))
        return false;
    uint64_t table = header[2] | (uint64_t)header[3] << 32;
    for (unsigned i = 0; i < header[0] >> 16 && len; i++) {
        if (!dma_read(map->machine, table + TABLE_PRDT + 16ull * i, prd, sizeof(prd)))
            return false;
        uint64_t bytes = (prd[3] & 0x3fffff) + 1ull, drop = MIN(skip, bytes), use = MIN(bytes - drop, len);
        skip -= drop;
        len -= use;
        if (use && !dma_map_add(map, address(prd) + drop, use))
            return false;
    }
    return true;
}

/* PRDBC, the bytes moved. */
static void note_bytes(AhciPort *p, unsigned slot, uint32_t bytes)
{
    dma_write(p->ahci->pci.dev.machine, address(p->clb) + 32 * slot + 4, &bytes, 4);
}

/* ---- the drive's side */

static AhciPort *port_of(IdeChannel *c) { return (AhciPort *)((char *)c - offsetof(AhciPort, channel)); }

static bool dma_started(IdeChannel *c) { return port_of(c)->slot != NO_SLOT; }

static IdeDmaResult dma_map(IdeChannel *c, uint64_t len, bool to_memory, DmaMap *map)
{
    AhciPort *p = port_of(c);
    if (!map_table(p, p->slot, 0, len, to_memory, map))
        return DMA_BAD;
    p->moved = map->len;
    return map->len == len ? DMA_OK : DMA_SHORT;
}

static void dma_end(IdeChannel *c, bool error)
{
    AhciPort *p = port_of(c);
    note_bytes(p, p->slot, error ? 0 : p->moved);
    if (error)
        port_irq(p, PIS_HBFS);
}

/* A block of the drive's buffer that a port-driven transfer would hand over. */
static void move_block(AhciPort *p, IdeDrive *d, bool to_host)
{
    DmaMap map;
    unsigned bytes = d->drq_end - d->pos;
    uint8_t block[IDE_BUF];
    bool ok = map_table(p, p->slot, p->moved, bytes, to_host, &map);
    if (!ok)
        port_irq(p, PIS_HBFS);
    send_pio_setup(p, to_host, bytes);
    if (to_host) {
        memcpy(block, d->buf + d->pos, bytes);
        iov_write(map.iov, ok ? map.n : 0, 0, block, bytes);
    } else {
        memset(block, 0, bytes);
        iov_read(map.iov, ok ? map.n : 0, 0, block, bytes);
    }
    dma_map_end(&map, UINT64_MAX);
    p->moved += bytes;
    for (unsigned i = 0; i < bytes; i += 2) { /* last: the drive may go on to its next block */
        if (to_host)
            ide_data_read(d, MIN(2, bytes - i));
        else
            ide_data_write(d, MIN(2, bytes - i), block[i] | (i + 1 < bytes ? block[i + 1] << 8 : 0));
    }
}

static void give_packet(AhciPort *p, IdeDrive *d)
{
    uint32_t header[4];
    uint8_t packet[PACKET_BYTES] = { 0 };
    if (read_header(p, p->slot, header))
        dma_read(p->ahci->pci.dev.machine, (header[2] | (uint64_t)header[3] << 32) + TABLE_PACKET, packet, sizeof(packet));
    for (unsigned i = 0; i < PACKET_BYTES; i += 2)
        ide_data_write(d, 2, packet[i] | packet[i + 1] << 8);
}

static void end_slot(AhciPort *p)
{
    const IdeDrive *d = &p->channel.drive[0];
    unsigned slot = p->slot;
    p->slot = NO_SLOT;
    p->halted = d->status & ST_ERR;
    if (!p->halted) /* 6.2.2.1: what fails stays issued until the host stops the port */
        p->ci &= ~(1u << slot);
    if (p->moved)
        note_bytes(p, slot, p->moved);
    send_d2h(p, true);
}

/* Goes on with the command under way as far as it comes without waiting. */
static void advance(IdeChannel *c)
{
    AhciPort *p = port_of(c);
    IdeDrive *d = &c->drive[0];
    if (p->advancing)
        return;
    p->advancing = true;
    while (p->slot != NO_SLOT && d->phase != IDE_BUSY && d->phase != IDE_DMA_WAIT) {
        if (d->phase == IDE_IDLE)
            end_slot(p);
        else if (d->phase == IDE_DATA_OUT && d->task == TASK_PACKET)
            give_packet(p, d);
        else
            move_block(p, d, d->phase == IDE_DATA_IN);
    }
    p->advancing = false;
    if (p->slot == NO_SLOT)
        ahci_port_run(p);
}

const IdeBusOps ahci_bus_ops = { .dma_started = dma_started, .dma_map = dma_map, .dma_end = dma_end, .progress = advance, .sata = true };

/* ---- queued commands: ATA8-ACS 7.15, AHCI 5.6.4 */

/* The drive drops the others, too, and the port stands until the host has stopped it: AHCI 6.2.2.2. */
static void fail_queued(AhciPort *p, unsigned tag, uint8_t error, uint64_t lba, uint32_t blocks)
{
    IdeDrive *d = &p->channel.drive[0];
    p->halted = true;
    d->status = ST_DRDY | ST_DSC | ST_ERR;
    d->error = error;
    ata_note_queued_error(d, tag, error, lba, blocks);
    send_bits(p, 0, d->status, error);
}

static void queued_done(DiskReq *r, int status)
{
    AhciQueued *q = (AhciQueued *)r;
    AhciPort *p = q->port;
    bool read = r->req.op == BLK_READ;
    if (read)
        note_bytes(p, q->slot, status ? 0 : q->map.len);
    dma_map_end(&q->map, UINT64_MAX);
    q->busy = false;
    if (q->epoch != p->epoch || p->halted)
        return;
    if (status)
        fail_queued(p, q->slot, read ? ER_UNC : ER_ABRT, r->req.off / DISK_BLOCK, r->req.len / DISK_BLOCK);
    else
        send_bits(p, 1u << q->slot, ST_DRDY | ST_DSC, 0);
}

static void start_queued(AhciPort *p, unsigned slot, const uint8_t *fis)
{
    IdeDrive *d = &p->channel.drive[0];
    AhciQueued *q = &p->queued[slot];
    bool write = fis[2] == CMD_WRITE_QUEUED;
    uint64_t lba = fis[4] | fis[5] << 8 | (uint64_t)fis[6] << 16 | (uint64_t)fis[8] << 24 | (uint64_t)fis[9] << 32 | (uint64_t)fis[10] << 40;
    uint64_t blocks = fis[3] | fis[11] << 8;
    blocks = blocks ? blocks : 65536;
    p->ci &= ~(1u << slot);
    d->status = ST_DRDY | ST_DSC;
    d->error = 0;
    send_d2h(p, false); /* the drive has taken it */
    if (q->busy || fis[12] >> 3 != slot) {
        fail_queued(p, slot, ER_ABRT, lba, blocks);
        return;
    }
    if (!range_within(lba, blocks, ide_blocks(d))) {
        fail_queued(p, slot, ER_IDNF, lba, blocks);
        return;
    }
    if (!map_table(p, slot, 0, blocks * DISK_BLOCK, !write, &q->map) || q->map.len != blocks * DISK_BLOCK) {
        dma_map_end(&q->map, 0);
        port_irq(p, PIS_OFS);
        fail_queued(p, slot, ER_ABRT, lba, blocks);
        return;
    }
    q->busy = true;
    q->epoch = p->epoch;
    bool fua = write && (fis[7] & 0x80 || !d->write_cache);
    q->dr = (DiskReq){ .req = { .op = write ? BLK_WRITE : BLK_READ, .flags = fua ? BLK_FUA : 0, .off = lba * DISK_BLOCK,
                                .len = blocks * DISK_BLOCK, .iov = q->map.iov, .niov = q->map.n }, .done = queued_done };
    disk_submit(d->medium->disk, &q->dr);
}

/* ---- taking commands: AHCI 5.3 */

static void load_registers(IdeDrive *d, const uint8_t *fis)
{
    const uint8_t pairs[][2] = { { fis[3], fis[11] }, { fis[12], fis[13] }, { fis[4], fis[8] }, { fis[5], fis[9] }, { fis[6], fis[10] } };
    uint8_t *const to[] = { d->feature, d->count, d->lba_low, d->lba_mid, d->lba_high };
    for (unsigned i = 0; i < G_N_ELEMENTS(to); i++)
        memcpy(to[i], pairs[i], 2);
    d->select = fis[7] & ~(0xa0 | SEL_DRIVE);
}

/* A frame that only carries the control register: software reset is two of them. */
static void control(AhciPort *p, unsigned slot, uint8_t value)
{
    bool was = p->channel.control & CTL_SRST;
    p->ci &= ~(1u << slot);
    ide_control_write(&p->channel, value & CTL_SRST);
    if (was && !(value & CTL_SRST))
        send_d2h(p, false);
}

static void start_slot(AhciPort *p, unsigned slot)
{
    IdeDrive *d = &p->channel.drive[0];
    uint32_t header[4];
    uint8_t fis[20];
    if (!read_header(p, slot, header) || !dma_read(p->ahci->pci.dev.machine, header[2] | (uint64_t)header[3] << 32, fis, sizeof(fis))) {
        p->halted = true;
        port_irq(p, PIS_HBFS);
        return;
    }
    if (!(fis[1] & 0x80)) {
        control(p, slot, fis[15]);
        return;
    }
    if (!d->medium->cd && (fis[2] == CMD_READ_QUEUED || fis[2] == CMD_WRITE_QUEUED)) {
        start_queued(p, slot, fis);
        return;
    }
    load_registers(d, fis);
    p->slot = slot;
    p->moved = 0;
    p->tfd |= ST_BSY;
    p->advancing = true; /* what the command does at once is worked off below */
    d->irq = false;
    ata_command(d, fis[2]);
    p->advancing = false;
    advance(&p->channel);
}

void ahci_port_run(AhciPort *p)
{
    if (p->running)
        return;
    p->running = true;
    while (p->cmd & PORT_ST && p->slot == NO_SLOT && p->ci && !p->halted && p->channel.drive[0].medium)
        start_slot(p, __builtin_ctz(p->ci));
    p->running = false;
}

/* ---- resets */

/* Returns when nothing is under way. */
void ahci_port_quiesce(AhciPort *p, bool cancel)
{
    IdeDrive *d = &p->channel.drive[0];
    if (cancel)
        p->epoch++;
    ide_channel_quiesce(&p->channel, cancel);
    if (d->medium)
        disk_quiesce(d->medium->disk);
}

/* As seen after COMRESET: the drive's signature in its first frame. */
void ahci_port_signature(AhciPort *p)
{
    IdeDrive *d = &p->channel.drive[0];
    bool there = d->medium;
    p->ssts = there ? SSTS_READY : 0;
    p->sig = !there ? UINT32_MAX : d->medium->cd ? 0xeb140101 : 0x00000101;
    p->tfd = there ? (d->medium->cd ? 0 : ST_DRDY | ST_DSC) | 1 << 8 : 0x7f;
}

void ahci_port_stop(AhciPort *p)
{
    ahci_port_quiesce(p, true);
    p->slot = NO_SLOT;
    p->ci = p->sact = 0;
    p->halted = false;
    p->channel.drive[0].phase = IDE_IDLE;
    p->channel.drive[0].task = TASK_NONE;
}

void ahci_port_reset(AhciPort *p)
{
    ahci_port_stop(p);
    ide_channel_reset(&p->channel);
    ahci_port_signature(p);
}

/* COMRESET by the host: AHCI 10.4.2. */
void ahci_port_comreset(AhciPort *p)
{
    ahci_port_reset(p);
    if (!p->channel.drive[0].medium)
        return;
    p->serr |= SERR_EXCHANGED;
    send_d2h(p, false);
    port_irq(p, PIS_PCS);
}
