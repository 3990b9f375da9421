/* config_display.c - options about screens and keyboards. */
#include <string.h>

#include "base/error.h"
#include "base/keyval.h"
#include "devices/devices.h"
#include "vmm/config.h"

/* -vga's words, and the devices that they stand for. */
static const struct { const char *word, *device; } adapters[] = {
    { "std", "VGA" }, { "virtio", "virtio-vga" }, { "none", NULL },
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
    if (!g_str_equal(arg, "help"))
        return unknown("-vga", arg, all->str, err);
    c->answer = g_strdup_printf("Display adapters: %s\n", all->str);
    return true;
}

bool config_display(VmConfig *c, const char *arg, GError **err)
{
    static const char words[] = "none and vnc=ADDRESS (as -vnc has it: any number of viewers see the screen)";
    if (g_str_has_prefix(arg, "vnc="))
        return config_vnc(c, arg + strlen("vnc="), err);
    if (g_str_equal(arg, "help"))
        c->answer = g_strdup_printf("Displays: %s\n", words);
    else if (!g_str_equal(arg, "none"))
        return unknown("-display", arg, words, err);
    return true;
}

/* "HOST:N", ":N", "[ADDRESS]:N", "unix:PATH". */
static bool vnc_address(VncSetup *v, const char *text, GError **err)
{
    const char *colon = strrchr(text, ':');
    if (g_str_has_prefix(text, "unix:")) {
        v->path = g_strdup(text + strlen("unix:"));
        return true;
    }
    char *end = NULL;
    guint64 n = colon ? g_ascii_strtoull(colon + 1, &end, 10) : 0;
    if (!colon || end == colon + 1 || *end || n > 65535 - 5900)
        return error_set(err, ERR_INVALID, "-vnc %s: say HOST:N with a display number N (port 5900 + N, up to 59635), unix:PATH, or none", text);
    bool brackets = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    v->host = g_strndup(text + brackets, colon - text - 2 * brackets);
    v->display = n;
    return true;
}

/* Taken and of no effect here: sound, and how much a picture may lose. */
static void ignore_words(KeyVals *kv)
{
    static const char *const words[] = { "audiodev", "lossy", "key-delay-ms", "power-control", "non-adaptive" };
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        keyvals_take(kv, words[i]);
}

static bool read_vnc(KeyVals *kv, VncSetup *v, GError **err)
{
    static const char *const shares[] = { "allow-exclusive", "force-shared", "ignore", NULL };
    uint64_t to = 0;
    const char *address = keyvals_take(kv, "vnc");
    if (!address)
        return error_set(err, ERR_INVALID, "-vnc: where? say HOST:N, unix:PATH or none");
    v->id = g_strdup(keyvals_take(kv, "id"));
    v->adapter = g_strdup(keyvals_take(kv, "display"));
    v->tls_creds = g_strdup(keyvals_take(kv, "tls-creds"));
    v->secret = g_strdup(keyvals_take(kv, "password-secret"));
    ignore_words(kv);
    if (!vnc_address(v, address, err) || !keyvals_take_number(kv, "to", 0, 59635, &to, err) || !keyvals_take_bool(kv, "password", &v->password, err) ||
        !keyvals_take_choice(kv, "share", shares, &v->share, err))
        return false;
    v->to = to;
    v->password |= v->secret != NULL;
    return keyvals_end(kv, err);
}

bool config_vnc(VmConfig *c, const char *arg, GError **err)
{
    if (g_str_equal(arg, "none")) {
        g_array_set_size(c->vncs, 0);
        return true;
    }
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "vnc", "-vnc", err);
    if (!kv)
        return false;
    g_array_set_size(c->vncs, c->vncs->len + 1);
    return read_vnc(kv, &g_array_index(c->vncs, VncSetup, c->vncs->len - 1), err);
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
    const char *name = c->vga_chosen ? c->vga : c->nodefaults || c->nographic || c->no_board || config_is_bare(c) || has_adapter(c) ? NULL : "VGA";
    if (name) {
        DeviceConfig d = { .type = device_type_find(device_types, name, err), .props = g_new0(char *, 1) };
        if (!d.type)
            return false;
        g_array_prepend_val(c->devices, d);
    }
    c->graphics = has_adapter(c);
    return true;
}

/* Viewers send the place of a key (QEMU's extended keys), to which a layout has nothing to say; only the keys of one that sends
 * signs alone are looked up, as on a keyboard of the USA. */
bool config_keyboard(VmConfig *c, const char *arg, GError **err)
{
    static const char *const layouts[] = { "ar", "bepo", "cz", "da", "de", "de-ch", "en-gb", "en-us", "es", "et", "fi", "fo", "fr", "fr-be", "fr-ca", "fr-ch", "hr", "hu", "is", "it",
                                           "ja", "lt", "lv", "mk", "nl", "no", "pl", "pt", "pt-br", "ru", "sl", "sv", "th", "tr", NULL };
    g_autofree char *all = g_strjoinv(" ", (char **)layouts);
    if (g_str_equal(arg, "help")) {
        c->answer = g_strconcat(all, "\n", NULL);
        return true;
    }
    return g_strv_contains(layouts, arg) || unknown("-k", arg, all, err);
}
