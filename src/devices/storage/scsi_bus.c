/* scsi_bus.c - see scsi_bus.h. */
#include "devices/storage/scsi_bus.h"

#include <string.h>

#include "machine/machine.h"

/* ---- the bus */

static ScsiPlug *at(const ScsiBus *b, unsigned i) { return b->plugs->pdata[i]; }

ScsiPlug *scsi_bus_find(const ScsiBus *b, unsigned target, unsigned lun)
{
    for (unsigned i = 0; i < b->plugs->len; i++)
        if (at(b, i)->scsi_id == target && at(b, i)->lun == lun)
            return at(b, i);
    return NULL;
}

unsigned scsi_bus_report(const ScsiBus *b, unsigned target, uint8_t *to, unsigned room)
{
    unsigned bytes = 8;
    memset(to, 0, room);
    for (unsigned i = 0; i < b->plugs->len && bytes + 8 <= room; i++)
        if (at(b, i)->scsi_id == target) {
            to[bytes + 1] = at(b, i)->lun;
            bytes += 8;
        }
    put_be32(to, bytes - 8);
    return bytes == 8 ? 0 : bytes;
}

void scsi_bus_quiesce(ScsiBus *b)
{
    for (unsigned i = 0; i < b->plugs->len; i++)
        disk_quiesce(&at(b, i)->disk);
}

static bool take_place(ScsiBus *b, ScsiPlug *p, GError **err)
{
    if (p->lun == SCSI_ANY)
        p->lun = 0;
    for (unsigned target = 0; target < SCSI_TARGETS && p->scsi_id == SCSI_ANY; target++)
        if (!scsi_bus_find(b, target, p->lun))
            p->scsi_id = target;
    const ScsiPlug *holder = scsi_bus_find(b, p->scsi_id, p->lun);
    if (p->scsi_id == SCSI_ANY || holder)
        return error_set(err, ERR_BUSY, "%s: target %u, unit %u of bus %s is taken by '%s'; give another scsi-id= or lun=", p->dev.path,
                         p->scsi_id, p->lun, b->bus.name, holder ? holder->dev.path : "others");
    return true;
}

static bool plug(Bus *bus, Device *d, const char *addr, GError **err)
{
    ((ScsiPlug *)d)->on = (ScsiBus *)bus;
    return true;
}

static void tell(Bus *bus, Device *d, bool there)
{
    ScsiBus *b = (ScsiBus *)bus;
    g_mutex_lock(&bus->owner->lock);
    if (b->changed)
        b->changed(bus->owner, (ScsiPlug *)d, there);
    g_mutex_unlock(&bus->owner->lock);
}

static void plugged(Bus *bus, Device *d) { tell(bus, d, true); }

/* A guest is told that the unit is gone, and need not agree. */
static bool unplug_request(Bus *bus, Device *d, GError **err)
{
    tell(bus, d, false);
    device_let_go(d);
    return true;
}

static const BusType scsi_bus_type = { .kind = "SCSI", .plug = plug, .plugged = plugged, .unplug_request = unplug_request };

void scsi_bus_init(ScsiBus *b, Device *adapter, void (*changed)(Device *adapter, ScsiPlug *p, bool there))
{
    b->plugs = g_ptr_array_new();
    b->changed = changed;
    bus_init_for(&b->bus, adapter, &scsi_bus_type);
}

/* The adapter may go before its units: they are let go of. */
void scsi_bus_finish(ScsiBus *b)
{
    if (!b->plugs)
        return;
    for (unsigned i = 0; i < b->plugs->len; i++) {
        ScsiPlug *p = at(b, i);
        g_mutex_lock(p->disk.lock);
        disk_quiesce(&p->disk);
        g_mutex_unlock(p->disk.lock);
        if (p->disk.thread)
            io_thread_settle(p->disk.thread);
        if (p->disk.blk)
            blk_drain(p->disk.blk);
        p->disk.lock = &p->dev.lock;
        p->on = NULL;
    }
    g_ptr_array_unref(b->plugs);
    bus_clear(&b->bus);
}

/* ---- units */

#define PLUG_FIELDS(product_default, needs_drive)                                                                                \
    DISK_FIELDS(ScsiPlug, disk, needs_drive),                                                                                    \
    { F(ScsiPlug, product), .role = FIELD_PROP, .def = product_default, .doc = "product name, up to 16 characters" },            \
    { F(ScsiPlug, ver), .role = FIELD_PROP, .def = ATOLL_VERSION, .doc = "revision, up to 4 characters" },                       \
    { FN(ScsiPlug, scsi_id, "scsi-id"), .role = FIELD_PROP, .reset = SCSI_ANY, .max = SCSI_ANY, .doc = "target, 0 to 255; 65535: the first free one" }, \
    { F(ScsiPlug, lun), .role = FIELD_PROP, .reset = SCSI_ANY, .max = SCSI_ANY, .doc = "logical unit, 0 to 255; 65535: 0" },     \
    { F(ScsiPlug, channel), .role = FIELD_PROP, .max = 0, .min = 0, .doc = "0" },                                                \
    { FS(ScsiPlug, unit, scsi_unit_fields), .doc = "the logical unit" },                                                         \
    { FO(ScsiPlug, on), .role = FIELD_HOST },                                                                                    \
    { FO(ScsiPlug, own_serial), .role = FIELD_HOST },                                                                            \
    DEVICE_FIELDS_END

static const Field hd_fields[] = { PLUG_FIELDS("ATOLL HARDDISK", true) };
static const Field cd_fields[] = { PLUG_FIELDS("ATOLL CD-ROM", false) };

static bool check(const ScsiPlug *p, GError **err)
{
    if ((p->scsi_id != SCSI_ANY && p->scsi_id >= SCSI_TARGETS) || (p->lun != SCSI_ANY && p->lun >= SCSI_LUNS) || p->channel)
        return error_set(err, ERR_INVALID, "%s: scsi-id and lun are 0 to 255 (not %u and %u), channel is 0", p->dev.path, p->scsi_id, p->lun);
    if (p->disk.blk && p->disk.bytes < scsi_block_bytes(&p->unit))
        return error_set(err, ERR_INVALID, "%s: image of drive '%s' is smaller than a block", p->dev.path, p->disk.drive);
    return true;
}

static bool realize(Device *d, GError **err)
{
    ScsiPlug *p = (ScsiPlug *)d;
    p->unit.cd = d->type == &scsi_cd_type;
    p->unit.disk = &p->disk;
    if (!p->on)
        return error_set(err, ERR_INVALID, "%s: device '%s' needs a SCSI bus; add -device virtio-scsi-pci first", d->path, d->type->name);
    if (!disk_realize(&p->disk, d, err) || (p->on->iothread && !disk_choose_thread(&p->disk, p->on->iothread, err)) || !check(p, err) || !take_place(p->on, p, err))
        return false;
    p->own_serial = g_strdup_printf("AT%03u%03u", p->scsi_id, p->lun);
    p->unit.serial = p->disk.serial ? p->disk.serial : p->own_serial;
    p->unit.model = p->product;
    p->unit.firmware = p->ver;
    p->unit.write_cache = p->disk.cache;
    p->disk.lock = &p->on->bus.owner->lock;
    g_mutex_lock(p->disk.lock);
    g_ptr_array_add(p->on->plugs, p);
    g_mutex_unlock(p->disk.lock);
    return true;
}

static void unrealize(Device *d)
{
    ScsiPlug *p = (ScsiPlug *)d;
    if (p->on) {
        GMutex *lock = &p->on->bus.owner->lock;
        g_mutex_lock(lock);
        g_ptr_array_remove(p->on->plugs, p);
        g_mutex_unlock(lock);
    }
    disk_unrealize(&p->disk);
    g_free(p->own_serial);
}

static void reset(Device *d, ResetKind k)
{
    ScsiPlug *p = (ScsiPlug *)d;
    p->unit.write_cache = p->disk.cache;
}

static void medium(Device *d, Medium *ret)
{
    ScsiPlug *p = (ScsiPlug *)d;
    if (p->unit.cd)
        *ret = (Medium){ .disk = &p->disk, .unit = &p->unit };
}

static void resumed(Device *d)
{
    ScsiPlug *p = (ScsiPlug *)d;
    if (!p->on)
        return;
    g_mutex_lock(p->disk.lock);
    disk_resumed(&p->disk);
    g_mutex_unlock(p->disk.lock);
}

static bool boot_place(Device *d, BootPlace *ret)
{
    ScsiPlug *p = (ScsiPlug *)d;
    if (!p->on || !p->on->bus.owner->type->pci)
        return false;
    g_autofree char *adapter = pci_boot_path((PciDevice *)p->on->bus.owner);
    *ret = (BootPlace){ d->type == &scsi_cd_type ? 'd' : 'c', g_strdup_printf("%s/channel@%x/disk@%x,%x", adapter, p->channel, p->scsi_id, p->lun) };
    return true;
}

/* SBC-3, 4.6: the next command hears of it. */
static void resized(Device *d, uint64_t bytes)
{
    ScsiPlug *p = (ScsiPlug *)d;
    g_mutex_lock(p->disk.lock);
    p->disk.bytes = bytes;
    p->unit.attention = ASC_CAPACITY_CHANGED;
    g_mutex_unlock(p->disk.lock);
}

const DeviceType scsi_hd_type = {
    .name = "scsi-hd", .summary = "SCSI disk", .spec = "SPC-3, SBC-3 (T10)", .bus = "SCSI",
    .size = sizeof(ScsiPlug), .version = 1, .fields = hd_fields, .realize = realize, .unrealize = unrealize, .reset = reset, .boot_place = boot_place, .resumed = resumed,
    .resized = resized,
};

const DeviceType scsi_cd_type = {
    .name = "scsi-cd", .summary = "SCSI CD-ROM drive", .spec = "SPC-3, MMC-6 (T10)", .bus = "SCSI",
    .size = sizeof(ScsiPlug), .version = 1, .fields = cd_fields, .realize = realize, .unrealize = unrealize, .reset = reset, .boot_place = boot_place, .resumed = resumed,
    .medium = medium,
};
