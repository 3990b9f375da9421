/* fdc_commands.c - the commands of the floppy controller.  Intel, 82077AA CHMOS Single-Chip Floppy Disk Controller, chapter 5. */
#include <string.h>

#include "devices/storage/fdc_core.h"

enum { CONFIG_IMPLIED_SEEK = 0x40, CONFIG_FIFO_OFF = 0x20, CONFIG_POLL_OFF = 0x10, VERSION_ENHANCED = 0x90 };
enum { ST3_PROTECTED = 0x40, ST3_FIXED = 0x28, ST3_TRACK0 = 0x10 };

static void answer_byte(Fdc *f, uint8_t byte) { fdc_answer(f, &byte, 1); }
static void invalid(Fdc *f) { answer_byte(f, ST0_INVALID); }
static void version(Fdc *f) { answer_byte(f, VERSION_ENHANCED); }
static void finish(Fdc *f) { fdc_answer(f, NULL, 0); }

/* ---- setting up */

static void specify(Fdc *f)
{
    f->srt_hut = f->command[1];
    f->hlt_nd = f->command[2];
    finish(f);
}

static void configure(Fdc *f)
{
    f->config = f->command[2];
    f->pretrack = f->command[3];
    finish(f);
}

static void perpendicular(Fdc *f)
{
    f->perpendicular = f->command[1] & 0x80 ? f->command[1] & 0x7f : (f->perpendicular & 0x3c) | (f->command[1] & 3);
    finish(f);
}

static void lock(Fdc *f)
{
    f->lock = f->command[0] & 0x80;
    answer_byte(f, f->lock << 4);
}

static void dump_registers(Fdc *f)
{
    const uint8_t dump[] = { f->place[0].track, f->place[1].track, f->place[2].track, f->place[3].track, f->srt_hut, f->hlt_nd, f->sector,
                             f->lock << 7 | (f->perpendicular & 0x3f), f->config, f->pretrack };
    fdc_answer(f, dump, sizeof(dump));
}

/* ---- moving heads: done at once, and told by an interrupt */

static void arrive(Fdc *f, uint8_t track, uint8_t st0)
{
    FdcPlace *p = fdc_selected(f);
    if (floppy_disk(p))
        p->changed = false; /* a step with a disk in the drive */
    p->track = track;
    p->seek_done = true;
    p->seek_st0 = st0 | ST0_SEEK_END | (f->command[1] & 3);
    finish(f);
    fdc_set_irq(f, true);
}

static void seek(Fdc *f) { arrive(f, f->command[2], f->command[1] & 4); }

static void relative_seek(Fdc *f)
{
    int track = fdc_selected(f)->track + (f->command[0] & 0x40 ? f->command[2] : -f->command[2]);
    arrive(f, CLAMP(track, 0, 255), f->command[1] & 4);
}

/* Without a drive nothing says that track 0 is reached. */
static void recalibrate(Fdc *f) { arrive(f, 0, fdc_selected(f)->plug ? 0 : ST0_ABNORMAL | ST0_CHECK); }

/* After a reset one for each drive: 5.2.4. */
static bool sense_reset(Fdc *f)
{
    if (!f->senses)
        return false;
    unsigned drive = FDC_LINES - f->senses--;
    fdc_answer(f, (const uint8_t[]){ ST0_POLLED | drive, f->place[drive].track }, 2);
    return true;
}

static void sense_interrupt(Fdc *f)
{
    fdc_set_irq(f, false);
    if (sense_reset(f))
        return;
    for (unsigned i = 0; i < FDC_LINES; i++) {
        FdcPlace *p = &f->place[i];
        if (!p->seek_done)
            continue;
        p->seek_done = false;
        fdc_answer(f, (const uint8_t[]){ p->seek_st0, p->track }, 2);
        return;
    }
    invalid(f);
}

static void sense_drive(Fdc *f)
{
    FdcPlace *p = fdc_selected(f);
    const Disk *disk = floppy_disk(p);
    answer_byte(f, ST3_FIXED | fdc_unit(f) | (p->track ? 0 : ST3_TRACK0) | (disk && disk->read_only ? ST3_PROTECTED : 0));
}

/* ---- what concerns a disk */

static void begin(Fdc *f)
{
    f->cylinder = f->command[2];
    f->head = f->command[3];
    f->sector = f->command[4];
    if (f->config & CONFIG_IMPLIED_SEEK)
        fdc_selected(f)->track = f->cylinder;
    fdc_data_begin(f);
}

static void begin_track(Fdc *f)
{
    begin(f);
}

static void format_track(Fdc *f)
{
    f->left = f->command[3];
    fdc_data_begin(f);
}

/* Any address mark that passes; there are some if the data rate is the disk's. */
static void read_id(Fdc *f)
{
    const FdcPlace *p = fdc_selected(f);
    const FloppyFormat *format = floppy_format(p);
    f->head = f->command[1] >> 2 & 1;
    f->cylinder = p->track;
    f->sector = 1;
    bool found = format && format->rate == f->rate && p->track < format->cylinders && f->head < format->heads;
    fdc_data_end(f, found ? 0 : ST0_ABNORMAL, found ? 0 : ST1_NO_MARK, 0);
}

#define DATA(mask_, value_, name_, flow_) { mask_, value_, 8, 7, name_, begin, flow_ }

const FdcCommand fdc_commands[] = {
    DATA(0x1f, 0x06, "read data", FLOW_READ),
    DATA(0x1f, 0x0c, "read deleted data", FLOW_READ),
    DATA(0x3f, 0x05, "write data", FLOW_WRITE),
    DATA(0x3f, 0x09, "write deleted data", FLOW_WRITE),
    DATA(0x1f, 0x16, "verify", FLOW_VERIFY),
    DATA(0x1f, 0x11, "scan equal", FLOW_SCAN),
    DATA(0x1f, 0x19, "scan low or equal", FLOW_SCAN),
    DATA(0x1f, 0x1d, "scan high or equal", FLOW_SCAN),
    { 0x9f, 0x02, 8, 7, "read track", begin_track, FLOW_READ },
    { 0xbf, 0x0d, 5, 7, "format track", format_track, FLOW_FORMAT },
    { 0xbf, 0x0a, 1, 7, "read ID", read_id },
    { 0xff, 0x07, 1, 0, "recalibrate", recalibrate },
    { 0xff, 0x0f, 2, 0, "seek", seek },
    { 0xbf, 0x8f, 2, 0, "relative seek", relative_seek },
    { 0xff, 0x08, 0, 2, "sense interrupt status", sense_interrupt },
    { 0xff, 0x04, 1, 1, "sense drive status", sense_drive },
    { 0xff, 0x03, 2, 0, "specify", specify },
    { 0xff, 0x13, 3, 0, "configure", configure },
    { 0xff, 0x12, 1, 0, "perpendicular mode", perpendicular },
    { 0x7f, 0x14, 0, 1, "lock", lock },
    { 0xff, 0x0e, 0, 10, "dump registers", dump_registers },
    { 0xff, 0x10, 0, 1, "version", version },
    { 0x00, 0x00, 0, 1, "invalid", invalid },
};
const unsigned fdc_n_commands = G_N_ELEMENTS(fdc_commands);

uint8_t fdc_find(uint8_t first)
{
    uint8_t row = 0;
    while ((first & fdc_commands[row].mask) != fdc_commands[row].value)
        row++;
    return row;
}
