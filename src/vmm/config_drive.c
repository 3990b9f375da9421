/* config_drive.c - options about disk images: -drive, -blockdev, -hda and their kind. */
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "block/block.h"
#include "devices/devices.h"
#include "vmm/config.h"
#include "vmm/config_net.h"
#include "vmm/objects.h"

/* ---- -drive */

static bool drive_position(KeyVals *kv, DriveConfig *d, GError **err)
{
    uint64_t index = UINT64_MAX, bus = UINT64_MAX, unit = UINT64_MAX;
    if (!keyvals_take_number(kv, "index", 0, d->interface == DRIVE_IDE ? IDE_SLOTS - 1 : d->interface == DRIVE_FLOPPY ? 1 : UINT8_MAX, &index, err) || !keyvals_take_number(kv, "bus", 0, 1, &bus, err) ||
        !keyvals_take_number(kv, "unit", 0, 1, &unit, err))
        return false;
    if (bus != UINT64_MAX || unit != UINT64_MAX) {
        if (index != UINT64_MAX)
            return error_set(err, ERR_INVALID, "-drive: index= and bus=,unit= say the same thing; give one of them");
        index = (bus == UINT64_MAX ? 0 : bus * 2) + (unit == UINT64_MAX ? 0 : unit);
    }
    d->index = index == UINT64_MAX ? -1 : (int)index;
    return true;
}

static void append_pair(GString *to, const char *prefix, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);
    g_string_append_printf(to, "%s%s%s%s=%s", to->len ? "," : "", prefix, *prefix ? "." : "", key, doubled);
}

static bool append_tree(GString *to, const char *prefix, const char *tree, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(tree, NULL, "-blockdev", err);
    g_autofree const char **rest = kv ? keyvals_rest(kv) : NULL;
    for (unsigned i = 0; rest && rest[i]; i += 2)
        append_pair(to, prefix, rest[i], rest[i + 1]);
    return kv;
}

/* -drive's older names of limits, with what follows throttling. */
static const char *const limit_names[][2] = {
    { "iops", "iops-total" }, { "iops_rd", "iops-read" }, { "iops_wr", "iops-write" }, { "bps", "bps-total" }, { "bps_rd", "bps-read" }, { "bps_wr", "bps-write" },
    { "iops_max", "iops-total-max" }, { "iops_rd_max", "iops-read-max" }, { "iops_wr_max", "iops-write-max" }, { "bps_max", "bps-total-max" },
    { "bps_rd_max", "bps-read-max" }, { "bps_wr_max", "bps-write-max" }, { "iops_max_length", "iops-total-max-length" }, { "bps_max_length", "bps-total-max-length" },
    { "iops_size", "iops-size" },
};

static char *take_limits(KeyVals *kv)
{
    g_autoptr(GString) limits = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(limit_names); i++) {
        const char *value = keyvals_take(kv, limit_names[i][0]);
        if (value)
            append_pair(limits, "throttling", limit_names[i][1], value);
    }
    return limits->len ? g_string_free(g_steal_pointer(&limits), FALSE) : NULL;
}

/* What is left is the image layer's, which knows each driver's options: with file=, or as a stack of nodes. */
static bool take_image(KeyVals *kv, DriveConfig *d, GError **err)
{
    g_autofree char *below = d->file ? NULL : keyvals_take_tree(kv, "file"), *limits = take_limits(kv);
    if (!d->file && !below)
        return keyvals_end(kv, err) && (d->cdrom || error_set(err, ERR_INVALID, "-drive: a disk needs file=IMAGE"));
    g_autofree char *others = keyvals_rest_text(kv), *rest = limits && others ? g_strconcat(others, ",", limits, NULL) : g_strdup(limits ? limits : others);
    if (d->file) {
        d->options = g_steal_pointer(&rest);
        return true;
    }
    GString *tree = g_string_new(rest);
    if (d->format)
        append_pair(tree, "", "driver", d->format);
    bool ok = append_tree(tree, "file", below, err);
    d->tree = g_string_free(tree, FALSE);
    return ok;
}

/* What -drive takes but a device obeys. */
static void take_props(KeyVals *kv, DriveConfig *d)
{
    static const char *const names[] = { "werror", "rerror", "serial", NULL };
    g_autoptr(GPtrArray) props = g_ptr_array_new();
    for (unsigned i = 0; names[i]; i++) {
        const char *value = keyvals_take(kv, names[i]);
        if (!value)
            continue;
        g_ptr_array_add(props, (char *)names[i]);
        g_ptr_array_add(props, (char *)value);
    }
    g_ptr_array_add(props, NULL);
    d->props = g_strdupv((char **)props->pdata);
}

static bool read_drive(KeyVals *kv, DriveConfig *d, GError **err)
{
    static const char *const interfaces[] = { "ide", "virtio", "none", "pflash", "floppy", NULL }, *const media[] = { "disk", "cdrom", NULL };
    unsigned interface = DRIVE_IDE, medium = 0;
    d->file = g_strdup(keyvals_take(kv, "file"));
    d->format = g_strdup(keyvals_take(kv, "format"));
    d->id = g_strdup(keyvals_take(kv, "id"));
    take_props(kv, d);
    if (!keyvals_take_choice(kv, "if", interfaces, &interface, err) || !keyvals_take_choice(kv, "media", media, &medium, err))
        return false;
    d->interface = interface;
    if (!drive_position(kv, d, err) || !keyvals_take_bool(kv, "readonly", &d->read_only, err) ||
        !keyvals_take_bool(kv, "read-only", &d->read_only, err) || !keyvals_take_bool(kv, "snapshot", &d->snapshot, err))
        return false;
    d->cdrom = medium == 1;
    if (!take_image(kv, d, err))
        return false;
    if (d->interface == DRIVE_NONE && !d->id)
        return error_set(err, ERR_INVALID, "-drive: if=none needs id=, by which a -device names the drive");
    return true;
}

bool config_drive(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-drive", err);
    if (!kv)
        return false;
    g_array_set_size(c->drives, c->drives->len + 1);
    return read_drive(kv, &g_array_index(c->drives, DriveConfig, c->drives->len - 1), err);
}

/* ---- -blockdev: nodes by name, each over nodes that were named before */

DriveConfig *config_drive_by_id(VmConfig *c, const char *id)
{
    for (unsigned i = 0; i < c->drives->len; i++) {
        DriveConfig *d = &g_array_index(c->drives, DriveConfig, i);
        if (g_strcmp0(d->id, id) == 0)
            return d;
    }
    return NULL;
}

static bool names_a_node(const char *key, const char *value)
{
    return *value && (g_str_equal(key, "file") || g_str_equal(key, "backing") || g_str_equal(key, "image") || g_str_equal(key, "data-file"));
}

/* Puts what a name stands for in its place. */
static bool expand(VmConfig *c, const char *const *pairs, GString *to, GError **err)
{
    bool ok = true;
    for (; pairs[0] && ok; pairs += 2) {
        bool name = names_a_node(pairs[0], pairs[1]);
        DriveConfig *child = name ? config_drive_by_id(c, pairs[1]) : NULL;
        if (name && (!child || !child->tree || child->used))
            return error_set(err, ERR_NOT_FOUND, child ? "-blockdev: node '%s' is taken already" : "-blockdev: there is no node '%s': an earlier -blockdev must define it", pairs[1]);
        if (!name) {
            append_pair(to, "", pairs[0], pairs[1]);
            continue;
        }
        child->used = true;
        ok = append_tree(to, pairs[0], child->tree, err);
    }
    return ok;
}

bool config_blockdev(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "driver", "-blockdev", err);
    g_autofree const char **pairs = kv ? keyvals_rest(kv) : NULL;
    const char *name = kv ? keyvals_take(kv, "node-name") : NULL;
    if (!kv)
        return false;
    if (!name)
        return error_set(err, ERR_INVALID, "-blockdev '%s' needs node-name=, by which a -device or another -blockdev names it", arg);
    GString *tree = g_string_new(NULL);
    DriveConfig d = { .id = g_strdup(name), .interface = DRIVE_NONE, .index = -1 };
    bool ok = expand(c, pairs, tree, err);
    d.tree = g_string_free(tree, FALSE);
    g_array_append_val(c->drives, d);
    return ok;
}

bool config_object(VmConfig *c, const char *arg, GError **err)
{
    bool net;
    if (!g_str_equal(arg, "help"))
        return config_net_object(c, arg, &net, err) && (net || object_add(c, arg, err));
    c->answer = object_help();
    return true;
}

static bool add_ide(VmConfig *c, const char *file, int index, bool cdrom)
{
    DriveConfig d = { .file = g_strdup(file), .index = index, .cdrom = cdrom };
    g_array_append_val(c->drives, d);
    return true;
}

bool config_hda(VmConfig *c, const char *arg, GError **err) { return add_ide(c, arg, 0, false); }
bool config_hdb(VmConfig *c, const char *arg, GError **err) { return add_ide(c, arg, 1, false); }
bool config_hdc(VmConfig *c, const char *arg, GError **err) { return add_ide(c, arg, 2, false); }
bool config_hdd(VmConfig *c, const char *arg, GError **err) { return add_ide(c, arg, 3, false); }

static bool add_floppy(VmConfig *c, const char *file, int index)
{
    DriveConfig d = { .file = g_strdup(file), .interface = DRIVE_FLOPPY, .index = index };
    g_array_append_val(c->drives, d);
    return true;
}

bool config_fda(VmConfig *c, const char *arg, GError **err) { return add_floppy(c, arg, 0); }
bool config_fdb(VmConfig *c, const char *arg, GError **err) { return add_floppy(c, arg, 1); }
bool config_cdrom(VmConfig *c, const char *arg, GError **err) { return add_ide(c, arg, 2, true); }

/* ---- drives that are devices of their own */

static void append_props(DeviceConfig *to, char *const *props)
{
    GPtrArray *all = g_ptr_array_new();
    for (char **p = to->props; p && *p; p++)
        g_ptr_array_add(all, *p);
    for (; props && props[0]; props += 2) {
        if (to->props && g_strv_contains((const char *const *)to->props, props[0]))
            continue;
        g_ptr_array_add(all, g_strdup(props[0]));
        g_ptr_array_add(all, g_strdup(props[1]));
    }
    g_ptr_array_add(all, NULL);
    g_free(to->props);
    to->props = (char **)g_ptr_array_free(all, FALSE);
}

/* The device obeys what its -drive said. */
static void inherit(VmConfig *c, DeviceConfig *device)
{
    for (char **p = device->props; p && p[0]; p += 2)
        if (g_str_equal(p[0], "drive")) {
            DriveConfig *d = config_drive_by_id(c, p[1]);
            if (d)
                append_props(device, d->props);
            return;
        }
}

static int by_index(const void *a, const void *b)
{
    const DriveConfig *const *x = a, *const *y = b;
    return (int)((*x)->index < 0 ? INT_MAX : (*x)->index) - (int)((*y)->index < 0 ? INT_MAX : (*y)->index);
}

static const struct PluggedAs {
    DriveInterface interface;
    const char *type, *name; /* name: of a drive without an id, with its number */
} plugged_as[] = { { DRIVE_FLOPPY, "floppy", "floppy%u" }, { DRIVE_VIRTIO, "virtio-blk-pci", "virtio%u" } };

/* In front of what -device says, in the order of their index. */
static bool plug_as(VmConfig *c, const struct PluggedAs *as, GError **err)
{
    g_autoptr(GPtrArray) drives = g_ptr_array_new();
    for (unsigned i = 0; i < c->drives->len; i++)
        if (g_array_index(c->drives, DriveConfig, i).interface == as->interface)
            g_ptr_array_add(drives, &g_array_index(c->drives, DriveConfig, i));
    g_ptr_array_sort(drives, by_index);
    bool mmio = as->interface == DRIVE_VIRTIO && config_is_bare(c);
    const DeviceType *type = device_type_find(device_types, mmio ? "virtio-blk-device" : as->type, err);
    for (unsigned i = 0; i < drives->len && type; i++) {
        DriveConfig *d = drives->pdata[i];
        char unit[16];
        g_snprintf(unit, sizeof(unit), "%d", d->index);
        bool placed = as->interface == DRIVE_FLOPPY && d->index >= 0;
        if (!d->id)
            d->id = g_strdup_printf(as->name, i);
        DeviceConfig device = { .type = type, .props = g_strdupv((char *[]){ "drive", d->id, placed ? "unit" : NULL, unit, NULL }) };
        append_props(&device, d->props);
        g_array_insert_val(c->devices, i, device);
    }
    return type;
}

bool config_plug_drives(VmConfig *c, GError **err)
{
    for (unsigned i = 0; i < c->devices->len; i++)
        inherit(c, &g_array_index(c->devices, DeviceConfig, i));
    for (unsigned i = 0; i < G_N_ELEMENTS(plugged_as); i++)
        if (!plug_as(c, &plugged_as[i], err))
            return false;
    return true;
}
