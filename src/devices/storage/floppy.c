/* floppy.c - a floppy drive, with what is in it. */
#include <string.h>

#include "devices/storage/fdc_core.h"
#include "devices/storage/medium.h"
#include "machine/machine.h"

enum { UNIT_ANY = FDC_DRIVES, CMOS_144 = 4, CMOS_288 = 5, RATE_500 = 0, RATE_250 = 2, RATE_1000 = 3 };

typedef struct FloppyPlug {
    Device dev;
    Disk disk;
    char *drive_type;
    uint32_t unit;
    const FloppyFormat *format; /* of what is in it; NULL: nothing */
    Fdc *fdc;                   /* NULL: not plugged in */
} FloppyPlug;

static const Field fields[] = {
    DISK_FIELDS(FloppyPlug, disk, false),
    { FN(FloppyPlug, drive_type, "drive-type"), .role = FIELD_PROP, .def = "auto", .doc = "144, 288, 120, 360 or auto: the kind of the image" },
    { F(FloppyPlug, unit), .role = FIELD_PROP, .reset = UNIT_ANY, .max = UNIT_ANY, .doc = "0 is A, 1 is B; 2: the first that is free" },
    { FO(FloppyPlug, format), .role = FIELD_HOST },
    { FO(FloppyPlug, fdc), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static FloppyPlug *plug_of(const FdcPlace *p) { return p->plug; }

/* ---- formats: sectors, cylinders, heads, rate, drive */

static const FloppyFormat formats[] = {
    { 18, 80, 2, RATE_500, CMOS_144 }, { 36, 80, 2, RATE_1000, CMOS_288 }, { 9, 80, 2, RATE_250, CMOS_144 }, { 15, 80, 2, RATE_500, 2 },
    { 9, 40, 2, RATE_250, 1 },         { 21, 80, 2, RATE_500, CMOS_144 },  { 21, 82, 2, RATE_500, CMOS_144 }, { 8, 40, 2, RATE_250, 1 },
    { 9, 40, 1, RATE_250, 1 },         { 8, 40, 1, RATE_250, 1 },
};

static uint64_t format_bytes(const FloppyFormat *f) { return (uint64_t)f->sectors * f->cylinders * f->heads * FDC_SECTOR; }

/* The one of that size, else the smallest that is larger. */
static const FloppyFormat *find_format(uint64_t bytes)
{
    const FloppyFormat *best = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        uint64_t size = format_bytes(&formats[i]);
        if (size >= bytes && (!best || size < format_bytes(best)))
            best = &formats[i];
    }
    return best;
}

static void look_at_medium(FloppyPlug *p) { p->format = p->disk.blk ? find_format(p->disk.bytes) : NULL; }

Disk *floppy_disk(const FdcPlace *p) { return p->plug && plug_of(p)->format ? &plug_of(p)->disk : NULL; }
const FloppyFormat *floppy_format(const FdcPlace *p) { return p->plug ? plug_of(p)->format : NULL; }

static const struct { const char *name; uint8_t cmos; } kinds[] = { { "auto", 0 }, { "144", CMOS_144 }, { "288", CMOS_288 }, { "120", 2 }, { "360", 1 } };

static uint8_t named_kind(const FloppyPlug *p)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_str_equal(kinds[i].name, p->drive_type))
            return kinds[i].cmos;
    return UINT8_MAX;
}

uint8_t floppy_cmos(const FdcPlace *place)
{
    const FloppyPlug *p = place->plug;
    if (!p)
        return 0;
    return named_kind(p) ? named_kind(p) : p->format ? p->format->cmos : CMOS_144;
}

/* ---- life */

static bool check(const FloppyPlug *p, GError **err)
{
    if (named_kind(p) == UINT8_MAX)
        return error_set(err, ERR_INVALID, "%s: drive-type is auto, 144, 288, 120 or 360, not '%s'", p->dev.path, p->drive_type);
    if (p->disk.blk && !p->format)
        return error_set(err, ERR_INVALID, "%s: image of drive '%s' has %" G_GUINT64_FORMAT " bytes, and the largest floppy %d", p->dev.path,
                         p->disk.drive, p->disk.bytes, 2880 << 10);
    if (p->disk.logical_block != FDC_SECTOR)
        return error_set(err, ERR_UNSUPPORTED, "%s: logical_block_size of a floppy is 512", p->dev.path);
    return true;
}

static bool take_place(FloppyPlug *p, GError **err)
{
    Fdc *f = ((FloppyBus *)p->dev.bus)->fdc;
    for (unsigned unit = 0; unit < FDC_DRIVES && p->unit == UNIT_ANY; unit++)
        if (!f->place[unit].plug)
            p->unit = unit;
    if (p->unit == UNIT_ANY || f->place[p->unit].plug)
        return error_set(err, ERR_BUSY, "%s: the place of drive %c is taken; give another unit=", p->dev.path, p->unit ? 'B' : 'A');
    g_mutex_lock(&f->dev.lock);
    p->disk.lock = &f->dev.lock;
    p->fdc = f;
    f->place[p->unit].plug = p;
    f->place[p->unit].changed = true;
    g_mutex_unlock(&f->dev.lock);
    return true;
}

static bool realize(Device *d, GError **err)
{
    FloppyPlug *p = (FloppyPlug *)d;
    if (!d->bus)
        return error_set(err, ERR_INVALID, "%s: a floppy drive needs a floppy controller; add -device isa-fdc first", d->path);
    if (!disk_realize(&p->disk, d, err))
        return false;
    look_at_medium(p);
    return check(p, err) && take_place(p, err);
}

void floppy_let_go(FloppyPlug *p)
{
    g_mutex_lock(p->disk.lock);
    disk_quiesce(&p->disk);
    g_mutex_unlock(p->disk.lock);
    if (p->disk.thread)
        io_thread_settle(p->disk.thread);
    if (p->disk.blk)
        blk_drain(p->disk.blk);
    p->disk.lock = &p->dev.lock;
    p->fdc->place[p->unit].plug = NULL;
    p->fdc = NULL;
}

static void unrealize(Device *d)
{
    FloppyPlug *p = (FloppyPlug *)d;
    if (p->fdc)
        floppy_let_go(p);
    disk_unrealize(&p->disk);
}

/* With the controller's lock: another disk is in it, or none. */
static void changed(Device *d)
{
    FloppyPlug *p = (FloppyPlug *)d;
    look_at_medium(p);
    if (p->fdc)
        p->fdc->place[p->unit].changed = true;
}

static void medium(Device *d, Medium *ret)
{
    FloppyPlug *p = (FloppyPlug *)d;
    if (p->fdc)
        *ret = (Medium){ .disk = &p->disk, .changed = changed };
}

static void resumed(Device *d)
{
    FloppyPlug *p = (FloppyPlug *)d;
    if (!p->fdc)
        return;
    g_mutex_lock(p->disk.lock);
    disk_resumed(&p->disk);
    g_mutex_unlock(p->disk.lock);
}

static bool boot_place(Device *d, BootPlace *ret)
{
    const FloppyPlug *p = (FloppyPlug *)d;
    if (!p->fdc)
        return false;
    *ret = (BootPlace){ 'a', g_strdup_printf("/pci@i0cf8/isa@1/fdc@%04x/floppy@%u", p->fdc->iobase, p->unit) };
    return true;
}

const DeviceType floppy_type = {
    .name = "floppy", .summary = "floppy drive", .bus = "floppy-bus",
    .size = sizeof(FloppyPlug), .version = 1, .fields = fields, .realize = realize, .unrealize = unrealize,
    .boot_place = boot_place, .resumed = resumed, .medium = medium,
};
