/* config_device.c - options about devices and consoles. */
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "console/chardev.h"
#include "devices/devices.h"
#include "vmm/config.h"

/* ---- -device */

static char *device_list(void)
{
    GString *s = g_string_new("Devices (-device TYPE,help lists a type's properties):\n");
    for (unsigned i = 0; device_types[i]; i++)
        if (!device_types[i]->internal)
            g_string_append_printf(s, "%-20s %s\n", device_types[i]->name, device_types[i]->summary);
    return g_string_free(s, FALSE);
}

/* A disc is never written, so its image is opened read-only and others may use it too. */
static void note_disc(VmConfig *c, const DeviceConfig *device)
{
    for (char *const *props = device->props; g_str_equal(device->type->name, "ide-cd") && props[0]; props += 2) {
        DriveConfig *d = g_str_equal(props[0], "drive") ? config_drive_by_id(c, props[1]) : NULL;
        if (d)
            d->cdrom = true;
    }
}

static bool read_device(KeyVals *kv, const char *text, DeviceConfig *ret, GError **err)
{
    const char *name = keyvals_take(kv, "driver");
    if (!name)
        return error_set(err, ERR_INVALID, "-device: '%s' names no type; -device help lists them", text);
    if (!(ret->type = device_type_find(device_types, name, err)))
        return false;
    if (ret->type->internal)
        return error_set(err, ERR_INVALID, "-device %s: that is a part of the board and cannot be added; -device help lists what can", name);
    ret->id = g_strdup(keyvals_take(kv, "id"));
    ret->addr = g_strdup(keyvals_take(kv, "addr"));
    if (!field_find(ret->type->fields, "bus", FIELD_PROP))
        ret->bus = g_strdup(keyvals_take(kv, "bus"));
    return true;
}

/* index= of a serial port: COM1 to COM4 at their usual places. */
typedef struct ComPort {
    const char *base, *irq;
} ComPort;

static bool take_index(KeyVals *kv, const ComPort **ret, GError **err)
{
    static const ComPort ports[] = { { "0x3f8", "4" }, { "0x2f8", "3" }, { "0x3e8", "4" }, { "0x2e8", "3" } };
    uint64_t index = G_N_ELEMENTS(ports);
    if (!keyvals_take_number(kv, "index", 0, G_N_ELEMENTS(ports) - 1, &index, err))
        return false;
    *ret = index < G_N_ELEMENTS(ports) ? &ports[index] : NULL;
    return true;
}

/* -global first: what is said of this one wins. */
static char **with_globals(const VmConfig *c, const DeviceType *type, const ComPort *com, KeyVals *kv)
{
    g_autoptr(GStrvBuilder) props = g_strv_builder_new();
    for (unsigned i = 0; i < c->globals->len; i++) {
        const GlobalConfig *g = &g_array_index(c->globals, GlobalConfig, i);
        if (g_str_equal(g->driver, type->name))
            g_strv_builder_add_many(props, g->property, g->value, NULL);
    }
    if (com)
        g_strv_builder_add_many(props, "iobase", com->base, "irq", com->irq, NULL);
    g_autofree const char **rest = keyvals_rest(kv);
    g_strv_builder_addv(props, rest);
    return g_strv_builder_end(props);
}

bool config_device_read(const VmConfig *c, const char *text, DeviceConfig *ret, GError **err)
{
    const ComPort *com = NULL;
    g_autoptr(KeyVals) kv = keyvals_parse(text, "driver", "-device", err);
    if (!kv || !read_device(kv, text, ret, err))
        return false;
    if (g_str_equal(ret->type->name, "isa-serial") && !take_index(kv, &com, err))
        return false;
    ret->props = with_globals(c, ret->type, com, kv);
    return true;
}

static bool wants_help(const char *arg, char **ret)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "driver", "-device", NULL);
    const char *name = kv ? keyvals_take(kv, "driver") : NULL;
    const DeviceType *type = name && keyvals_take(kv, "help") ? device_type_find(device_types, name, NULL) : NULL;
    if (type)
        *ret = device_type_help(type);
    return type;
}

bool config_device(VmConfig *c, const char *arg, GError **err)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        c->answer = device_list();
        return true;
    }
    if (wants_help(arg, &c->answer))
        return true;
    DeviceConfig d = { 0 };
    if (!config_device_read(c, arg, &d, err)) {
        config_device_clear(&d);
        return false;
    }
    note_disc(c, &d);
    g_array_append_val(c->devices, d);
    return true;
}

/* ---- consoles */

bool config_serial(VmConfig *c, const char *arg, GError **err)
{
    if (c->serials->len == SERIAL_PORTS)
        return error_set(err, ERR_INVALID, "-serial %s: the board has %d serial ports and all are taken", arg, SERIAL_PORTS);
    g_ptr_array_add(c->serials, g_strdup(arg));
    return true;
}

bool config_debugcon(VmConfig *c, const char *arg, GError **err)
{
    g_ptr_array_add(c->debugcons, g_strdup(arg));
    return true;
}

bool config_chardev(VmConfig *c, const char *arg, GError **err)
{
    if (g_str_equal(arg, "help")) {
        c->answer = chardev_help();
        return true;
    }
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "backend", "-chardev", err);
    const char *id = kv ? keyvals_take(kv, "id") : NULL;
    if (!kv)
        return false;
    if (!id)
        return error_set(err, ERR_INVALID, "-chardev '%s' needs id=, by which -serial chardev:ID names it", arg);
    ChardevConfig d = { g_strdup(id), config_with_fds(c, arg) };
    g_array_append_val(c->chardevs, d);
    return true;
}
