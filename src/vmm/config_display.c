/* config_display.c - options about screens and keyboards. */
#include <string.h>

#include "base/error.h"
#include "devices/devices.h"
#include "vmm/config.h"

/* -vga's words, and the devices that they stand for. */
static const struct { const char *word, *device; } adapters[] = {
    { "std", "VGA" }, { "none", NULL },
};

static bool unknown(const char *option, const char *arg, const char *there_are, GError **err)
{
    return error_set(err, ERR_UNSUPPORTED, "%s %s: there is no such thing here; there are: %s", option, arg, there_are);
}

bool config_vga(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(GString) all = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(adapters); i++) {
        g_string_append_printf(all, "%s%s", i ? ", " : "", adapters[i].word);
        if (!g_str_equal(arg, adapters[i].word))
            continue;
        c->vga = adapters[i].device;
        c->vga_chosen = true;
        return true;
    }
    return unknown("-vga", arg, all->str, err);
}

bool config_display(VmConfig *c, const char *arg, GError **err)
{
    if (!g_str_equal(arg, "none"))
        return unknown("-display", arg, "none (and -vnc, whose screens any number of viewers see)", err);
    c->display_none = true;
    return true;
}

static bool is_adapter(const DeviceType *t) { return t->pci && t->pci->class_code >> 16 == 0x03; }

static bool has_adapter(const VmConfig *c)
{
    for (unsigned i = 0; i < c->devices->len; i++)
        if (is_adapter(g_array_index(c->devices, DeviceConfig, i).type))
            return true;
    return false;
}

/* The adapter of -vga, or the usual one where somebody could look at it, comes before all other cards. */
bool config_add_display(VmConfig *c, GError **err)
{
    const char *name = c->vga_chosen ? c->vga : c->nodefaults || c->nographic || c->no_board || has_adapter(c) ? NULL : "VGA";
    if (name) {
        DeviceConfig d = { .type = device_type_find(device_types, name, err), .props = g_new0(char *, 1) };
        if (!d.type)
            return false;
        g_array_prepend_val(c->devices, d);
    }
    c->graphics = has_adapter(c);
    return true;
}
