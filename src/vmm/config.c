/* config.c - the life of a VmConfig, and what follows from all its options together. */
#include "vmm/config.h"

#include <string.h>

#include "accel/accel.h"
#include "block/block.h"
#include "vmm/config_net.h"
#include "vmm/objects.h"

static void clear_drive(void *data)
{
    DriveConfig *d = data;
    g_free(d->id);
    g_free(d->file);
    g_free(d->format);
    g_free(d->options);
    g_free(d->tree);
    g_strfreev(d->props);
}

void config_device_clear(void *data)
{
    DeviceConfig *d = data;
    g_free(d->id);
    g_free(d->bus);
    g_free(d->addr);
    g_strfreev(d->props);
}

static void clear_chardev(void *data)
{
    ChardevConfig *d = data;
    g_free(d->id);
    g_free(d->spec);
}

static void clear_file(void *data)
{
    FileConfig *f = data;
    g_free(f->name);
    g_free(f->path);
    g_free(f->text);
}

static void clear_monitor(void *data) { g_free(((MonitorConfig *)data)->chardev); }

static void clear_vnc(void *data)
{
    VncSetup *v = data;
    char *texts[] = { v->id, v->host, v->path, v->tls_creds, v->secret, v->adapter };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
}

static void clear_global(void *data)
{
    GlobalConfig *g = data;
    g_free(g->driver);
    g_free(g->property);
    g_free(g->value);
}

static void clear_fd(void *data) { g_free(((FdConfig *)data)->opaque); }

static GArray *array_of(size_t size, GDestroyNotify clear)
{
    GArray *a = g_array_new(FALSE, TRUE, size);
    g_array_set_clear_func(a, clear);
    return a;
}

VmConfig *config_new(void)
{
    VmConfig *c = g_new0(VmConfig, 1);
    c->begun = tsc_sample();
    c->ram_bytes = 128 << 20;
    c->cpus = c->sockets = c->cores = c->threads = 1;
    c->reboot_timeout_ms = -1;
    c->env = blk_env_new();
    c->net = config_net_new();
    c->accels = g_ptr_array_new();
    c->firmware_dirs = g_ptr_array_new_with_free_func(g_free);
    c->escape_key = 0x01; /* Ctrl-a */
    c->serials = g_ptr_array_new_with_free_func(g_free);
    c->debugcons = g_ptr_array_new_with_free_func(g_free);
    c->drives = array_of(sizeof(DriveConfig), clear_drive);
    c->devices = array_of(sizeof(DeviceConfig), config_device_clear);
    c->vncs = array_of(sizeof(VncSetup), clear_vnc);
    c->chardevs = array_of(sizeof(ChardevConfig), clear_chardev);
    c->objects = array_of(sizeof(ObjectConfig), object_clear);
    c->globals = array_of(sizeof(GlobalConfig), clear_global);
    c->fds = array_of(sizeof(FdConfig), clear_fd);
    c->monitors = array_of(sizeof(MonitorConfig), clear_monitor);
    c->files = array_of(sizeof(FileConfig), clear_file);
    return c;
}

void config_free(VmConfig *c)
{
    if (!c)
        return;
    smbios_user_clear(&c->smbios);
    GPtrArray *lists[] = { c->accels, c->firmware_dirs, c->serials, c->debugcons };
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++)
        g_ptr_array_unref(lists[i]);
    GArray *arrays[] = { c->vncs, c->drives, c->devices, c->chardevs, c->objects, c->globals, c->fds, c->monitors, c->files };
    for (unsigned i = 0; i < G_N_ELEMENTS(arrays); i++)
        g_array_unref(arrays[i]);
    char *texts[] = { c->answer, c->accel_options, c->cpu, c->name, c->firmware, c->kernel, c->initrd, c->append, c->boot_order, c->boot_once, c->boot_splash,
                      c->pidfile, c->log_categories, c->memory_backend, c->mem_path, c->gdb, c->qtest, c->qtest_log, c->log_path, c->incoming };
    for (unsigned i = 0; i < FLASH_CHIPS; i++)
        g_free(c->pflash[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    sandbox_config_clear(&c->sandbox);
    blk_env_free(c->env);
    config_net_free(c->net);
    g_free(c);
}

static const char *drive_label(const DriveConfig *d) { return d->file ? d->file : "an empty CD-ROM drive"; }

static bool place_at(VmConfig *c, unsigned drive, int slot, GError **err)
{
    const DriveConfig *d = &g_array_index(c->drives, DriveConfig, drive);
    if (c->ide_drive[slot] >= 0)
        return error_set(err, ERR_INVALID, "'%s' and '%s' both want IDE position %d; give one another index=",
                         drive_label(&g_array_index(c->drives, DriveConfig, c->ide_drive[slot])), drive_label(d), slot);
    c->ide_drive[slot] = drive;
    c->ide_cdrom[slot] = d->cdrom;
    return true;
}

static bool place_anywhere(VmConfig *c, unsigned drive, GError **err)
{
    for (int slot = 0; slot < IDE_SLOTS; slot++)
        if (c->ide_drive[slot] < 0)
            return place_at(c, drive, slot, err);
    return error_set(err, ERR_INVALID, "no free IDE position for '%s': the board has %d", drive_label(&g_array_index(c->drives, DriveConfig, drive)), IDE_SLOTS);
}

static bool place_drives(VmConfig *c, GError **err)
{
    for (int slot = 0; slot < IDE_SLOTS; slot++)
        c->ide_drive[slot] = -1;
    for (unsigned pass = 0; pass < 2; pass++) /* first those that say where */
        for (unsigned i = 0; i < c->drives->len; i++) {
            DriveConfig *d = &g_array_index(c->drives, DriveConfig, i);
            if (d->interface == DRIVE_IDE && config_is_bare(c))
                d->interface = DRIVE_VIRTIO;
            if (d->interface != DRIVE_IDE || (d->index >= 0) != (pass == 0))
                continue;
            if (!(pass == 0 ? place_at(c, i, d->index, err) : place_anywhere(c, i, err)))
                return false;
        }
    return true;
}

static bool place_chip(VmConfig *c, DriveConfig *d, GError **err)
{
    unsigned n = d->index >= 0 ? d->index : c->pflash[0] ? 1 : 0;
    if (n >= FLASH_CHIPS || c->pflash[n])
        return error_set(err, ERR_INVALID, "'%s': flash chip %u is taken or does not exist: there are 0, the firmware, and 1, its variables; give unit=", drive_label(d), n);
    if (!d->id)
        d->id = g_strdup_printf("pflash%u", n);
    c->pflash[n] = g_strdup(d->id);
    return true;
}

static bool place_flash(VmConfig *c, GError **err)
{
    for (unsigned i = 0; i < c->drives->len; i++) {
        DriveConfig *d = &g_array_index(c->drives, DriveConfig, i);
        if (d->interface == DRIVE_PFLASH && !place_chip(c, d, err))
            return false;
    }
    return !c->pflash[1] || c->pflash[0] || error_set(err, ERR_INVALID, "flash chip 1 holds the variables of the firmware in chip 0, and that has no image; add -drive if=pflash,unit=0,...");
}

/* Names as QEMU gives them: ide0-hd0, ide1-cd0. */
static void name_drives(VmConfig *c)
{
    for (int slot = 0; slot < IDE_SLOTS; slot++) {
        if (c->ide_drive[slot] < 0)
            continue;
        DriveConfig *d = &g_array_index(c->drives, DriveConfig, c->ide_drive[slot]);
        if (!d->id)
            d->id = g_strdup_printf("ide%d-%s%d", slot / 2, d->cdrom ? "cd" : "hd", slot % 2);
    }
}

static bool check_ids(GArray *array, size_t id_off, const char *what, GError **err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (unsigned i = 0; i < array->len; i++) {
        char *id = *(char **)(array->data + i * g_array_get_element_size(array) + id_off);
        if (id && !g_hash_table_add(seen, id))
            return error_set(err, ERR_INVALID, "two %ss have the id '%s'; rename one", what, id);
    }
    return true;
}

static bool check_memory_backend(const VmConfig *c, GError **err)
{
    const ObjectConfig *o = c->memory_backend ? object_find(c, c->memory_backend) : NULL;
    if (!c->memory_backend)
        return true;
    if (c->mem_path)
        return error_set(err, ERR_INVALID, "-mem-path and -machine memory-backend=%s both say where RAM is; give one of them", c->memory_backend);
    if (!o || !o->size)
        return error_set(err, ERR_NOT_FOUND, "-machine memory-backend=%s: there is no memory of that name; define it with -object memory-backend-ram,id=%s,size=...",
                         c->memory_backend, c->memory_backend);
    return o->size == c->ram_bytes || error_set(err, ERR_INVALID, "-m says %" G_GUINT64_FORMAT " bytes, but memory '%s' has %" G_GUINT64_FORMAT "; give both the same size",
                                                c->ram_bytes, c->memory_backend, o->size);
}

RamSource config_ram_source(const VmConfig *c)
{
    const ObjectConfig *o = c->memory_backend ? object_find(c, c->memory_backend) : NULL;
    if (o)
        return (RamSource){ .path = o->mem_path, .shared = o->share, .populated = o->prealloc || c->mem_prealloc };
    return (RamSource){ .path = c->mem_path, .populated = c->mem_prealloc };
}

static bool check_start(const VmConfig *c, GError **err)
{
    if (!c->kernel && (c->initrd || c->append))
        return error_set(err, ERR_INVALID, "-%s needs -kernel", c->initrd ? "initrd" : "append");
    if (c->kernel && c->firmware)
        return error_set(err, ERR_INVALID, "-kernel starts without firmware, so leave out -bios %s (or start from a disk)", c->firmware);
    if (c->board && c->cpus > c->board->max_cpus)
        return error_set(err, ERR_INVALID, "-smp: machine '%s' takes up to %u CPUs, not %u", c->board->name, c->board->max_cpus, c->cpus);
    if (c->pflash[0] && (c->kernel || c->firmware))
        return error_set(err, ERR_INVALID, "flash '%s' is the firmware, so leave out %s", c->pflash[0], c->kernel ? "-kernel, or give it to that firmware's shell" : "-bios");
    return true;
}

static bool has_device(const VmConfig *c, const char *prefix)
{
    for (unsigned i = 0; i < c->devices->len; i++)
        if (g_str_has_prefix(g_array_index(c->devices, DeviceConfig, i).type->name, prefix))
            return true;
    return false;
}

static void add_firmware_dirs(VmConfig *c)
{
    static const char *const usual[] = { "/usr/share/seabios", "/usr/share/qemu", "/usr/lib/ipxe/qemu" };
    for (unsigned i = 0; i < G_N_ELEMENTS(usual); i++)
        g_ptr_array_add(c->firmware_dirs, g_strdup(usual[i]));
    g_ptr_array_add(c->firmware_dirs, NULL);
}

static void add_defaults(VmConfig *c)
{
    add_firmware_dirs(c);
    c->accels_unasked = !c->accels->len;
    for (unsigned i = 0; accel_table[i] && c->accels_unasked; i++)
        if (!accel_table[i]->unasked || accel_table[i]->unasked())
            g_ptr_array_add(c->accels, (void *)accel_table[i]);
    if (!c->serials->len && !c->nodefaults)
        g_ptr_array_add(c->serials, g_strdup(c->nographic ? "mon:stdio" : "null"));
    if (!config_is_bare(c) && c->ide_drive[2] < 0 && !c->nodefaults && !has_device(c, "ide-"))
        c->ide_cdrom[2] = true;
}

bool config_finish(VmConfig *c, GError **err)
{
    if (!c->board && !c->no_board && !(c->board = board_find("pc", err)))
        return false;
    if (!place_drives(c, err) || !place_flash(c, err) || !config_plug_drives(c, err))
        return false;
    name_drives(c);
    add_defaults(c);
    if (!config_net_finish(c, err) || !config_add_usb(c, err) || !config_add_display(c, err))
        return false;
    return check_ids(c->drives, offsetof(DriveConfig, id), "drive", err) && check_ids(c->devices, offsetof(DeviceConfig, id), "device", err) &&
           check_ids(c->chardevs, offsetof(ChardevConfig, id), "chardev", err) && check_start(c, err) && config_check_bare(c, err) && check_memory_backend(c, err);
}
