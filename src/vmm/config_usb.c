/* config_usb.c - the short spellings about USB: a controller, and what is plugged into it. */
#include <string.h>

#include "base/error.h"
#include "devices/devices.h"
#include "vmm/config.h"

/* -usbdevice's words, and the devices that they stand for. */
static const struct { const char *word, *device; } words[] = { { "tablet", "usb-tablet" }, { "mouse", "usb-mouse" }, { "keyboard", "usb-kbd" } };

static bool add(VmConfig *c, const char *name, bool first, GError **err)
{
    DeviceConfig d = { 0 };
    if (!config_device_read(c, name, &d, err))
        return false;
    if (first)
        g_array_prepend_val(c->devices, d);
    else
        g_array_append_val(c->devices, d);
    return true;
}

bool config_usbdevice(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(GString) all = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        g_string_append_printf(all, "%s%s", i ? ", " : "", words[i].word);
        if (!g_str_equal(arg, words[i].word))
            continue;
        c->usb = true;
        return add(c, words[i].device, false, err);
    }
    return error_set(err, ERR_UNSUPPORTED, "-usbdevice %s: there is no such thing here; there are: %s", arg, all->str);
}

static bool is_controller(const DeviceType *t) { return t->pci && t->pci->class_code >> 8 == 0x0c03; }

/* The classic PC has its south bridge's, which old guests know, and which has two ports; there are no hubs. */
static const char *usual_controller(const VmConfig *c)
{
    enum { UHCI_PORTS = 2 };
    unsigned n = 0;
    for (unsigned i = 0; i < c->devices->len; i++)
        n += !g_strcmp0(g_array_index(c->devices, DeviceConfig, i).type->bus, "usb-bus");
    return c->board && g_str_equal(c->board->name, "pc") && n <= UHCI_PORTS ? "piix3-usb-uhci,addr=1.2" : "qemu-xhci";
}

/* The controller of -usb comes before the devices, which take the first bus that has room. */
bool config_add_usb(VmConfig *c, GError **err)
{
    for (unsigned i = 0; i < c->devices->len; i++)
        if (is_controller(g_array_index(c->devices, DeviceConfig, i).type))
            return true;
    return !c->usb || c->no_board || add(c, usual_controller(c), true, err);
}
