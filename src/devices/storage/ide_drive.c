/*
 * ide_drive.c - ide-hd and ide-cd: what the user plugs into a place of an IDE controller.
 *
 * They hold properties and the image; the state of the drive that the guest sees belongs to the controller.
 */
#include <string.h>

#include "devices/storage/ide_core.h"
#include "devices/storage/medium.h"
#include "machine/machine.h"

typedef struct IdePlug {
    Device dev;
    Disk disk;
    char *model, *ver, *bus;
    uint32_t unit;
    uint32_t channel;   /* that bus names */
    Device *controller; /* set by ide_attach */
    IdeDrive *place;    /* NULL: not plugged in */
    IdeMedium medium;
    char *own_serial;
} IdePlug;

#define PLUG_FIELDS(model_default, needs_drive)                                                                        \
    DISK_FIELDS(IdePlug, disk, needs_drive),                                                                           \
    { F(IdePlug, model), .role = FIELD_PROP, .def = model_default, .doc = "model, up to 40 characters" },              \
    { F(IdePlug, ver), .role = FIELD_PROP, .def = ATOLL_VERSION, .doc = "firmware revision, up to 8 characters" },     \
    { F(IdePlug, bus), .role = FIELD_PROP, .doc = "ide.0, ide.1, or ID.N of another controller; the first with a free place if not given" },        \
    { F(IdePlug, unit), .role = FIELD_PROP, .reset = IDE_ANY, .max = IDE_ANY, .doc = "0 master, 1 slave; 2: any" },    \
    { F(IdePlug, channel), .role = FIELD_DERIVED },                                                                    \
    { FO(IdePlug, controller), .role = FIELD_HOST },                                                                   \
    { FO(IdePlug, place), .role = FIELD_HOST },                                                                        \
    { FO(IdePlug, medium), .role = FIELD_HOST },                                                                       \
    { FO(IdePlug, own_serial), .role = FIELD_HOST },                                                                   \
    DEVICE_FIELDS_END

static const Field hd_fields[] = { PLUG_FIELDS("ATOLL HARDDISK", true) };
static const Field cd_fields[] = { PLUG_FIELDS("ATOLL CD-ROM", false) };

bool ide_attach(Device *controller, Device *drive, GError **err)
{
    if (controller->type != &piix3_ide_type)
        return error_set(err, ERR_INVALID, "%s: device '%s' has no IDE bus", drive->path, controller->path);
    if (drive->type != &ide_hd_type && drive->type != &ide_cd_type)
        return error_set(err, ERR_INVALID, "%s: device '%s' does not fit an IDE bus", drive->path, drive->type->name);
    IdePlug *p = (IdePlug *)drive;
    p->controller = controller;
    return true;
}

static bool check_lengths(IdePlug *p, GError **err)
{
    const struct { const char *name, *value; size_t max; } texts[] = {
        { "model", p->model, 40 }, { "ver", p->ver, 8 }
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i].value && strlen(texts[i].value) > texts[i].max)
            return error_set(err, ERR_INVALID, "%s: property '%s' is '%s', but takes at most %zu characters", p->dev.path,
                             texts[i].name, texts[i].value, texts[i].max);
    return true;
}

/* ---- places: of the board's controller by number, of others by the name of their bus */

static bool bus_full(const Bus *b)
{
    const IdeBus *i = (const IdeBus *)b;
    for (unsigned unit = 0; unit < i->units; unit++)
        if (!i->channel->drive[unit].plugged)
            return false;
    return true;
}

static bool plug_refused(Bus *b, Device *d, const char *addr, GError **err)
{
    return error_set(err, ERR_INVALID, "%s: a drive names its bus by the property bus=%s", d->path, b->name);
}

static const BusType ide_bus_type = { .kind = "IDE", .plug = plug_refused, .full = bus_full };

void ide_bus_init(IdeBus *b, Device *controller, IdeChannel *c, unsigned units)
{
    b->channel = c;
    b->units = units;
    bus_init_for(&b->bus, controller, &ide_bus_type);
}

/* False: not a bus of the board's IDE controller. */
static bool find_channel(IdePlug *p)
{
    static const char *const names[] = { "ide.0", "ide.1" };
    p->channel = IDE_ANY;
    for (unsigned i = 0; p->bus && i < G_N_ELEMENTS(names); i++)
        if (g_str_equal(p->bus, names[i]))
            p->channel = i;
    return p->controller && (!p->bus || p->channel != IDE_ANY);
}

static IdeDrive *place_on_bus(IdePlug *p, GError **err)
{
    IdeBus *b = (IdeBus *)bus_find(p->dev.machine, "IDE", p->bus, err);
    if (!b)
        return NULL;
    p->controller = b->bus.owner;
    p->channel = b->channel->index;
    for (unsigned unit = 0; unit < b->units; unit++)
        if (!b->channel->drive[unit].plugged && (p->unit == IDE_ANY || p->unit == unit)) {
            p->unit = unit;
            return &b->channel->drive[unit];
        }
    error_set(err, ERR_BUSY, "%s: bus %s has %u place%s, and it is taken or not the one asked for", p->dev.path, b->bus.name, b->units,
              b->units == 1 ? "" : "s");
    return NULL;
}

static IdeDrive *find_place(IdePlug *p, GError **err)
{
    return find_channel(p) ? ide_place(p->controller, &p->channel, &p->unit, err) : place_on_bus(p, err);
}

static bool check_image(const IdePlug *p, GError **err)
{
    BlkInfo info;
    const Disk *d = &p->disk;
    if (!d->blk)
        return true;
    blk_info(d->blk, &info);
    if (d->bytes < (p->medium.cd ? CD_BLOCK : DISK_BLOCK))
        return error_set(err, ERR_INVALID, "%s: image '%s' is too small: a disc has blocks of 2048 bytes", p->dev.path, info.filename);
    if (!p->medium.cd && d->read_only)
        return error_set(err, ERR_INVALID, "%s: image '%s' is open read-only, and an IDE disk cannot be; use snapshot=on, or "
                         "media=cdrom", p->dev.path, info.filename);
    if (d->logical_block != DISK_BLOCK)
        return error_set(err, ERR_UNSUPPORTED, "%s: logical_block_size of an IDE device is 512", p->dev.path);
    return true;
}

static void fill_names(IdePlug *p)
{
    p->own_serial = g_strdup_printf("AT%05u", p->channel * 2 + p->unit + 1);
    p->medium.serial = p->disk.serial ? p->disk.serial : p->own_serial;
    p->medium.model = p->model;
    p->medium.firmware = p->ver;
}

static bool realize(Device *d, GError **err)
{
    IdePlug *p = (IdePlug *)d;
    p->medium.cd = d->type == &ide_cd_type;
    p->medium.disk = &p->disk;
    if (!disk_realize(&p->disk, d, err) || !check_lengths(p, err) || !check_image(p, err))
        return false;
    IdeDrive *place = find_place(p, err);
    if (!place)
        return false;
    fill_names(p);
    p->disk.lock = &p->controller->lock;
    p->place = place;
    ide_plug(place->channel, p->unit, &p->medium, d);
    return true;
}

/* The controller may be gone already, and has then let go of us. */
static void unrealize(Device *d)
{
    IdePlug *p = (IdePlug *)d;
    if (p->place)
        ide_unplug(p->place);
    p->disk.lock = &d->lock;
    disk_unrealize(&p->disk);
    g_free(p->own_serial);
}

static void medium(Device *d, Medium *ret)
{
    IdePlug *p = (IdePlug *)d;
    if (p->place)
        *ret = (Medium){ .disk = &p->disk, .unit = &p->place->unit };
}

static void resumed(Device *d)
{
    IdePlug *p = (IdePlug *)d;
    if (!p->place)
        return;
    g_mutex_lock(&p->controller->lock);
    disk_resumed(&p->disk);
    g_mutex_unlock(&p->controller->lock);
}

static bool boot_place(Device *d, BootPlace *ret)
{
    IdePlug *p = (IdePlug *)d;
    if (!p->place)
        return false;
    g_autofree char *controller = pci_boot_path((PciDevice *)p->controller);
    *ret = (BootPlace){ p->medium.cd ? 'd' : 'c', g_strdup_printf("%s/drive@%x/disk@%x", controller, p->channel, p->unit) };
    return true;
}

void ide_drive_let_go(Device *plugged) { ((IdePlug *)plugged)->place = NULL; }

/* The guest sees it when it asks for identify data again. */
static void resized(Device *d, uint64_t bytes)
{
    IdePlug *p = (IdePlug *)d;
    g_mutex_lock(p->disk.lock);
    p->disk.bytes = bytes;
    g_mutex_unlock(p->disk.lock);
}

const DeviceType ide_hd_type = {
    .name = "ide-hd", .summary = "IDE disk", .spec = "ATA8-ACS (T13/1699D)",
    .size = sizeof(IdePlug), .version = 1, .fields = hd_fields, .realize = realize, .unrealize = unrealize,
    .boot_place = boot_place, .resumed = resumed, .resized = resized,
};

const DeviceType ide_cd_type = {
    .name = "ide-cd", .summary = "IDE CD-ROM drive", .spec = "ATA/ATAPI-6 (T13/1410D), MMC-6",
    .size = sizeof(IdePlug), .version = 1, .fields = cd_fields, .realize = realize, .unrealize = unrealize,
    .boot_place = boot_place, .resumed = resumed, .medium = medium,
};
