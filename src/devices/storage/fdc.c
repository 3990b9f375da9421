/*
 * fdc.c - the floppy controller's registers, its FIFO and its life.  Intel, 82077AA, chapters 2 and 4.
 *
 * The head moves at once and a sector is there as soon as the image has it.  Resets and saving wait for the sector under way.
 */
#include <string.h>

#include "devices/storage/fdc_core.h"
#include "machine/machine.h"

enum { R_SRA, R_SRB, R_DOR, R_TDR, R_MSR, R_FIFO, R_COUNT };
enum { DOR_RUN = 4, DOR_IRQ = 8, DSR_RESET = 0x80, SRA_INTERRUPT = 0x80, DIR_CHANGED = 0x80, SRB_FIXED = 0xc0 };
enum { MSR_READY = 0x80, MSR_TO_HOST = 0x40, MSR_NO_DMA = 0x20, MSR_BUSY = 0x10 };
enum { CONFIG_RESET = 0x20 /* no FIFO */, CONFIG_POLL_OFF = 0x10 };

/* ---- interrupt and FIFO */

void fdc_set_irq(Fdc *f, bool level)
{
    f->irq_level = level;
    irq_set(&f->dev.irq[0], level && f->dor & DOR_IRQ);
}

/* At most what the row says. */
void fdc_answer(Fdc *f, const uint8_t *bytes, unsigned n)
{
    f->results = MIN(n, MIN(fdc_command(f)->results, FDC_RESULTS));
    f->result_at = 0;
    if (f->results)
        memcpy(f->result, bytes, f->results);
    f->phase = f->results ? FDC_RESULT : FDC_IDLE;
    f->got = 0;
}

static void take_command(Fdc *f, uint8_t value)
{
    if (f->phase == FDC_IDLE) {
        f->row = fdc_find(value);
        f->got = f->results = f->result_at = 0;
        f->phase = FDC_COMMAND;
    }
    f->command[f->got++] = value; /* got <= params of the row <= FDC_PARAMS */
    if (f->got <= fdc_command(f)->params)
        return;
    f->phase = FDC_BUSY;
    fdc_command(f)->run(f);
}

static void fifo_write(Fdc *f, uint8_t value)
{
    if (f->phase == FDC_IDLE || f->phase == FDC_COMMAND)
        take_command(f, value);
    else if (f->phase == FDC_WRITE)
        fdc_data_write(f, value);
    else
        guest_error(&f->dev, "%s: byte %02x written to the FIFO during '%s'", f->dev.path, value, fdc_command(f)->name);
}

static uint8_t take_result(Fdc *f)
{
    uint8_t value = f->result[f->result_at++]; /* result_at < results <= FDC_RESULTS */
    fdc_set_irq(f, false);
    if (f->result_at == f->results)
        f->phase = FDC_IDLE;
    for (unsigned i = 0; i < FDC_LINES && f->phase == FDC_IDLE; i++)
        if (f->place[i].seek_done)
            fdc_set_irq(f, true); /* another drive has arrived */
    return value;
}

static uint8_t fifo_read(Fdc *f)
{
    if (f->phase == FDC_RESULT)
        return take_result(f);
    return f->phase == FDC_READ ? fdc_data_read(f) : 0xff;
}

/* ---- resets: 4.1 */

static void stop_data(Fdc *f)
{
    f->aborting = true;
    for (unsigned i = 0; i < FDC_LINES; i++) {
        Disk *d = floppy_disk(&f->place[i]);
        if (d)
            disk_quiesce(d);
    }
    f->aborting = false;
}

static void forget(Fdc *f)
{
    stop_data(f);
    f->phase = FDC_IDLE;
    f->got = f->results = f->result_at = f->senses = 0;
    f->data_at = f->data_end = 0;
    for (unsigned i = 0; i < FDC_LINES; i++)
        f->place[i].seek_done = false;
    fdc_set_irq(f, false);
    if (f->lock)
        return;
    f->config = CONFIG_RESET;
    f->pretrack = 0;
    f->perpendicular &= ~3;
}

static void come_up(Fdc *f)
{
    if (f->config & CONFIG_POLL_OFF)
        return;
    f->senses = FDC_LINES;
    fdc_set_irq(f, true);
}

static void write_dor(Fdc *f, uint8_t value)
{
    uint8_t old = f->dor;
    f->dor = value;
    if (old & ~value & DOR_RUN)
        forget(f);
    if (~old & value & DOR_RUN)
        come_up(f);
    irq_set(&f->dev.irq[0], f->irq_level && f->dor & DOR_IRQ);
}

static void write_dsr(Fdc *f, uint8_t value)
{
    f->rate = value & 3;
    if (!(value & DSR_RESET) || !(f->dor & DOR_RUN))
        return;
    forget(f);
    come_up(f);
}

/* ---- registers */

static uint8_t main_status(const Fdc *f)
{
    static const uint8_t of[] = {
        [FDC_IDLE] = MSR_READY, [FDC_COMMAND] = MSR_READY | MSR_BUSY, [FDC_BUSY] = MSR_BUSY,
        [FDC_READ] = MSR_READY | MSR_TO_HOST | MSR_NO_DMA | MSR_BUSY, [FDC_WRITE] = MSR_READY | MSR_NO_DMA | MSR_BUSY,
        [FDC_RESULT] = MSR_READY | MSR_TO_HOST | MSR_BUSY,
    };
    return f->dor & DOR_RUN ? of[f->phase] : 0;
}

static uint64_t fdc_read(Device *d, uint64_t off, unsigned size)
{
    Fdc *f = (Fdc *)d;
    switch (off) {
    case R_SRA:
        return f->irq_level ? SRA_INTERRUPT : 0;
    case R_SRB:
        return SRB_FIXED;
    case R_DOR:
        return f->dor;
    case R_TDR:
        return f->tdr;
    case R_MSR:
        return main_status(f);
    case R_FIFO:
        return f->dor & DOR_RUN ? fifo_read(f) : 0xff;
    }
    return 0xff;
}

static void fdc_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Fdc *f = (Fdc *)d;
    if (off == R_DOR)
        write_dor(f, value);
    else if (off == R_TDR)
        f->tdr = value & 3;
    else if (off == R_MSR)
        write_dsr(f, value);
    else if (off == R_FIFO && f->dor & DOR_RUN)
        fifo_write(f, value);
}

static uint64_t dir_read(Device *d, uint64_t off, unsigned size)
{
    const Fdc *f = (Fdc *)d;
    const FdcPlace *p = &f->place[f->dor & 3];
    return p->plug && p->changed ? DIR_CHANGED : 0;
}

static void ccr_write(Device *d, uint64_t off, unsigned size, uint64_t value) { ((Fdc *)d)->rate = value & 3; }

/* ---- the bus of drives */

static bool bus_full(const Bus *b)
{
    const Fdc *f = ((const FloppyBus *)b)->fdc;
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        if (!f->place[i].plug)
            return false;
    return true;
}

static bool plug(Bus *b, Device *d, const char *addr, GError **err) { return true; } /* the drive takes its place by its unit */

static const BusType floppy_bus_type = { .kind = "floppy-bus", .plug = plug, .full = bus_full };

/* ---- life */

static const Field place_fields[] = {
    { F(FdcPlace, track), .doc = "where the head is" },
    { F(FdcPlace, changed), .reset = 1, .doc = "the disk has been changed" },
    { F(FdcPlace, seek_done), .doc = "the head has arrived, and nobody has asked" },
    { F(FdcPlace, seek_st0), .doc = "what to answer then" },
    { FO(FdcPlace, plug), .role = FIELD_HOST },
    { .name = NULL },
};

static const Field fields[] = {
    { F(Fdc, iobase), .role = FIELD_PROP, .reset = 0x3f0, .max = 0xfff8, .doc = "the first port" },
    { F(Fdc, irq), .role = FIELD_PROP, .reset = 6, .max = 15, .doc = "the interrupt line" },
    { FN(Fdc, channel, "dma"), .role = FIELD_PROP, .reset = 2, .max = 3, .doc = "the DMA channel" },
    { F(Fdc, dor), .reset = DOR_RUN | DOR_IRQ, .doc = "digital output" },
    { F(Fdc, tdr), .doc = "tape drive" },
    { F(Fdc, rate), .reset = 2, .doc = "data rate" },
    { F(Fdc, srt_hut), .doc = "step rate and head unload time" },
    { F(Fdc, hlt_nd), .doc = "head load time, no DMA" },
    { F(Fdc, config), .reset = CONFIG_RESET, .doc = "configuration" },
    { F(Fdc, pretrack), .doc = "write precompensation starts here" },
    { F(Fdc, perpendicular), .doc = "perpendicular mode" },
    { F(Fdc, lock), .doc = "resets keep the configuration" },
    { F(Fdc, irq_level), .doc = "interrupt asked for" },
    { F(Fdc, senses), .doc = "drives whose state after a reset was not asked for yet" },
    { FSA(Fdc, place, place_fields), .doc = "drives" },
    { F(Fdc, phase), .doc = "phase of the FIFO" },
    { F(Fdc, row), .doc = "row of the command" },
    { F(Fdc, got), .doc = "bytes of the command so far" },
    { FA(Fdc, command), .doc = "the command" },
    { FA(Fdc, result), .doc = "its result" },
    { F(Fdc, results), .doc = "bytes of it" },
    { F(Fdc, result_at), .doc = "next to be read" },
    { F(Fdc, cylinder), .doc = "address under way" },
    { F(Fdc, head), .doc = "address under way" },
    { F(Fdc, sector), .doc = "address under way" },
    { F(Fdc, scan), .doc = "what a scan has found" },
    { F(Fdc, left), .doc = "sectors to go" },
    { F(Fdc, data_at), .doc = "next byte of the sector" },
    { F(Fdc, data_end), .doc = "bytes of it" },
    { FA(Fdc, data), .doc = "the sector" },
    { FA(Fdc, compare), .doc = "what a scan compares it with" },
    { F(Fdc, aborting), .role = FIELD_HOST },
    { F(Fdc, in_flight), .role = FIELD_HOST },
    { F(Fdc, end), .role = FIELD_HOST },
    { FO(Fdc, req), .role = FIELD_HOST },
    { FO(Fdc, iov), .role = FIELD_HOST },
    { FO(Fdc, dma), .role = FIELD_HOST },
    { FO(Fdc, bus), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

void fdc_set_dma(Device *fdc, Device *i8237) { ((Fdc *)fdc)->dma = i8237; }

uint8_t fdc_cmos_drives(const Device *fdc)
{
    const Fdc *f = (const Fdc *)fdc;
    return floppy_cmos(&f->place[0]) << 4 | floppy_cmos(&f->place[1]);
}

static bool realize(Device *d, GError **err)
{
    Fdc *f = (Fdc *)d;
    f->bus.fdc = f;
    bus_init_for(&f->bus.bus, d, &floppy_bus_type);
    return !d->machine->ports || device_map(d, 1, f->iobase + 7, err);
}

static void unrealize(Device *d)
{
    Fdc *f = (Fdc *)d;
    for (unsigned i = 0; i < FDC_LINES; i++)
        if (f->place[i].plug)
            floppy_let_go(f->place[i].plug);
    bus_clear(&f->bus.bus);
}

static void reset(Device *d, ResetKind k)
{
    Fdc *f = (Fdc *)d;
    forget(f);
    come_up(f);
}

static void pre_save(Device *d)
{
    Fdc *f = (Fdc *)d;
    for (unsigned i = 0; i < FDC_LINES; i++)
        if (floppy_disk(&f->place[i]))
            disk_quiesce(floppy_disk(&f->place[i]));
}

static bool post_load(Device *d, GError **err)
{
    Fdc *f = (Fdc *)d;
    bool ok = f->phase <= FDC_RESULT && f->phase != FDC_BUSY && f->row < fdc_n_commands;
    ok = ok && f->got <= fdc_command(f)->params && f->results <= fdc_command(f)->results && f->result_at <= f->results;
    ok = ok && (f->phase != FDC_RESULT || f->result_at < f->results) && f->data_at <= f->data_end && f->data_end <= FDC_SECTOR;
    return ok || error_set(err, ERR_INVALID, "%s: saved state of the FIFO makes no sense", d->path);
}

static const WindowOps fdc_ops = { fdc_read, fdc_write, 1, 1 }, dir_ops = { dir_read, ccr_write, 1, 1 };
static const WindowDecl windows[] = {
    { "registers", SPACE_PIO, R_COUNT, &fdc_ops },
    { "dir", SPACE_PIO, 1, &dir_ops },
    { .name = NULL },
};

const DeviceType isa_fdc_type = {
    .name = "isa-fdc", .summary = "floppy controller", .spec = "Intel 82077AA (290166)",
    .size = sizeof(Fdc), .version = 1, .fields = fields, .windows = windows, .n_irqs = 1,
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = pre_save, .post_load = post_load,
};
