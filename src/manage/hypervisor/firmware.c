/* firmware.c - firmware by its descriptors, and its variables. */
#include "manage/hypervisor/firmware.h"

#include <errno.h>
#include <fnmatch.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "base/error.h"

static const char *const default_dirs[] = { "/etc/qemu/firmware", "/usr/share/qemu/firmware", NULL };

/* ---- descriptors */
static void firmware_free(gpointer data)
{
    Firmware *f = data;
    g_free(f->code);
    g_free(f->variables);
    g_strfreev(f->features);
    g_free(f);
}

static JsonObject *member(JsonObject *o, const char *name)
{
    JsonNode *n = o ? json_object_get_member(o, name) : NULL;
    return n && JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

static JsonArray *array(JsonObject *o, const char *name)
{
    JsonNode *n = o ? json_object_get_member(o, name) : NULL;
    return n && JSON_NODE_HOLDS_ARRAY(n) ? json_node_get_array(n) : NULL;
}

static const char *text(JsonNode *n) { return n && JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == G_TYPE_STRING ? json_node_get_string(n) : ""; }
static const char *text_of(JsonObject *o, const char *name) { return text(o ? json_object_get_member(o, name) : NULL); }

static char **texts(JsonArray *a)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();
    for (guint i = 0; a && i < json_array_get_length(a); i++)
        g_strv_builder_add(b, text(json_array_get_element(a, i)));
    return g_strv_builder_end(b);
}

static bool has(JsonArray *a, const char *word)
{
    g_auto(GStrv) all = texts(a);
    return g_strv_contains((const char *const *)all, word);
}

/* Descriptors name QEMU's boards with their versions, whose newest has a short name. */
static bool is_for(JsonObject *o, const char *arch, const char *machine)
{
    const char *board = !machine || !strcmp(machine, "pc") ? "pc-i440fx-7.2" : !strcmp(machine, "q35") ? "pc-q35-7.2" : machine;
    JsonArray *targets = array(o, "targets");
    for (guint i = 0; targets && i < json_array_get_length(targets); i++) {
        JsonNode *n = json_array_get_element(targets, i);
        JsonObject *target = JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
        g_auto(GStrv) patterns = texts(array(target, "machines"));
        for (char **p = patterns; *p && !strcmp(text_of(target, "architecture"), arch); p++)
            if (!fnmatch(*p, board, 0))
                return true;
    }
    return false;
}

/* NULL: it is no UEFI in flash for that board. */
static Firmware *descriptor_read(const char *path, const char *arch, const char *machine)
{
    g_autofree char *said = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(JsonNode) root = g_file_get_contents(path, &said, NULL, &err) && *said ? json_from_string(said, &err) : NULL;
    JsonObject *o = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL, *map = member(o, "mapping");
    JsonObject *code = member(map, "executable"), *variables = member(map, "nvram-template");
    if (err)
        g_info("firmware's descriptor '%s': %s", path, err->message);
    if (!has(array(o, "interface-types"), "uefi") || strcmp(text_of(map, "device"), "flash") || strcmp(text_of(code, "format"), "raw") || strcmp(text_of(variables, "format"), "raw"))
        return NULL;
    if (!is_for(o, arch, machine))
        return NULL;
    Firmware *f = g_new0(Firmware, 1);
    *f = (Firmware){ g_strdup(text_of(code, "filename")), g_strdup(text_of(variables, "filename")), texts(array(o, "features")) };
    return f;
}

static int by_name(gconstpointer a, gconstpointer b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void add_names(GPtrArray *names, const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        if (g_str_has_suffix(name, ".json") && !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
            g_ptr_array_add(names, g_strdup(name));
}

GPtrArray *firmware_list(const HvHost *h, const char *arch, const char *machine)
{
    const char *const *dirs = h->firmware_dirs ? h->firmware_dirs : default_dirs;
    GPtrArray *list = g_ptr_array_new_with_free_func(firmware_free);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; dirs[i]; i++)
        add_names(names, dirs[i]);
    g_ptr_array_sort(names, by_name);
    for (guint n = 0; n < names->len; n++)
        for (unsigned i = 0; dirs[i]; i++) {
            g_autofree char *path = g_build_filename(dirs[i], names->pdata[n], NULL);
            if (!g_file_test(path, G_FILE_TEST_EXISTS))
                continue;
            Firmware *f = descriptor_read(path, arch, machine);
            if (f)
                g_ptr_array_add(list, f);
            break; /* what other folders have by that name does not count */
        }
    return list;
}

bool firmware_can(const Firmware *f, const char *feature) { return g_strv_contains((const char *const *)f->features, feature); }

/* ---- the choice */

/* 1: it must be there, 2: it must not, 0: nothing is said. */
static unsigned wish(const Domain *d, const char *name)
{
    for (guint i = 0; d->firmware_features && i < d->firmware_features->len; i++) {
        const FirmwareFeature *f = d->firmware_features->pdata[i];
        if (!strcmp(f->name, name))
            return f->enabled;
    }
    return 0;
}

static bool wants_secure(const Domain *d) { return !g_strcmp0(d->loader_secure, "yes") || wish(d, "secure-boot") == 1 || wish(d, "enrolled-keys") == 1; }

/* Without a wish it is one that needs no system management mode: it starts everywhere, and what is installed need not be signed. */
static bool suits(const Firmware *f, const Domain *d, bool smm)
{
    static const char *const names[] = { "secure-boot", "enrolled-keys" };
    if (firmware_can(f, "requires-smm") && (!smm || !(wants_secure(d) || d->smm == 1)))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        unsigned wanted = wish(d, names[i]);
        if (wanted && (wanted == 1) != firmware_can(f, names[i]))
            return false;
    }
    return !d->loader_secure || !strcmp(d->loader_secure, "yes") == firmware_can(f, "secure-boot");
}

static bool check_words(const Domain *d, GError **err)
{
    bool flash = d->loader_type && !strcmp(d->loader_type, "pflash"), efi = d->firmware && !strcmp(d->firmware, "efi");
    if (d->firmware && !efi && strcmp(d->firmware, "bios"))
        return error_set(err, ERR_INVALID, "os/@firmware is '%s': it can be bios or efi", d->firmware);
    if (d->loader_type && !flash && strcmp(d->loader_type, "rom"))
        return error_set(err, ERR_INVALID, "os/loader/@type is '%s': it can be rom or pflash", d->loader_type);
    if (d->firmware_features && d->firmware_features->len && !efi)
        return error_set(err, ERR_INVALID, "os/firmware says what the firmware can do, and it is not chosen by itself: <os firmware='efi'> does that");
    for (guint i = 0; d->firmware_features && i < d->firmware_features->len; i++) {
        const char *name = ((FirmwareFeature *)d->firmware_features->pdata[i])->name;
        if (strcmp(name, "secure-boot") && strcmp(name, "enrolled-keys"))
            return error_set(err, ERR_INVALID, "os/firmware/feature: '%s' is no feature of firmware: secure-boot and enrolled-keys are", name);
    }
    if ((d->nvram || d->nvram_template) && !flash && !efi)
        return error_set(err, ERR_INVALID, "os/nvram keeps variables of firmware in flash: <os firmware='efi'> or <loader type='pflash'> names that");
    return true;
}

/* Secure boot is only worth something where the guest's kernel cannot write the flash. */
static bool check_secure(const Domain *d, bool smm, GError **err)
{
    bool q35 = d->machine && strstr(d->machine, "q35");
    if (!wants_secure(d))
        return true;
    if (!smm)
        return error_set(err, ERR_UNSUPPORTED, "Secure boot needs system management mode, which atoll-vm does not have: <feature enabled='no' name='secure-boot'/> does without, "
                                               "<emulator>/usr/bin/qemu-system-x86_64</emulator> has it");
    return q35 || error_set(err, ERR_UNSUPPORTED, "Secure boot is supported for q35 machine types only: set <type machine='q35'>");
}

static void set_text(char **at, const char *value)
{
    if (!*at)
        *at = g_strdup(value);
}

static void take(Domain *d, const Firmware *f)
{
    set_text(&d->loader, f->code);
    set_text(&d->loader_type, "pflash");
    set_text(&d->loader_readonly, "yes");
    set_text(&d->nvram_template, f->variables);
    if (firmware_can(f, "secure-boot") && firmware_can(f, "requires-smm")) {
        set_text(&d->loader_secure, "yes");
        d->smm = 1;
    }
}

static const Firmware *find(const GPtrArray *list, const Domain *d, bool smm)
{
    for (guint i = 0; i < list->len; i++) {
        const Firmware *f = list->pdata[i];
        if (d->loader ? !strcmp(f->code, d->loader) : suits(f, d, smm))
            return f;
    }
    return NULL;
}

bool firmware_choose(const HvHost *h, Domain *d, bool smm, GError **err)
{
    bool efi = d->firmware && !strcmp(d->firmware, "efi");
    if (!check_words(d, err) || !check_secure(d, smm, err))
        return false;
    if (!efi && !(d->loader && d->loader_type && !strcmp(d->loader_type, "pflash")))
        return true;
    g_autoptr(GPtrArray) list = firmware_list(h, d->arch, d->machine);
    const Firmware *f = find(list, d, smm);
    if (!f && !d->loader)
        return error_set(err, ERR_UNSUPPORTED, "Unable to find any firmware to satisfy 'efi': no descriptor in /usr/share/qemu/firmware is of one for machine '%s' with these features; "
                                               "Debian's package ovmf has some for q35 and pc", d->machine ? d->machine : "pc");
    if (f)
        take(d, f);
    set_text(&d->loader_type, "pflash");
    if (!d->nvram && g_strcmp0(d->loader_readonly, "no")) /* flash that is written itself has its variables within */
        d->nvram = firmware_variables_path(h, d->name);
    return true;
}

/* ---- variables */
char *firmware_variables_path(const HvHost *h, const char *name)
{
    g_autofree char *file = g_strconcat(name, "_VARS.fd", NULL);
    return g_build_filename(h->state_dir, "nvram", file, NULL);
}

bool firmware_make_variables(const HvHost *h, const Domain *d, bool anew, GError **err)
{
    g_autofree char *data = NULL, *folder = d->nvram ? g_path_get_dirname(d->nvram) : NULL;
    gsize length;
    if (!d->nvram || (!anew && g_file_test(d->nvram, G_FILE_TEST_EXISTS)))
        return true;
    if (!d->nvram_template)
        return error_set(err, ERR_NOT_FOUND, "unable to find any master var store for loader: '%s': <nvram template='PATH'> in the definition of domain '%s' names it", d->loader, d->name);
    if (!g_file_get_contents(d->nvram_template, &data, &length, err)) {
        g_prefix_error(err, "domain '%s': what the firmware's variables start as: ", d->name);
        return false;
    }
    if (g_mkdir_with_parents(folder, 0700) < 0)
        return error_set_errno(err, errno, "domain '%s': cannot make the folder '%s' of its firmware's variables", d->name, folder);
    return g_file_set_contents_full(d->nvram, data, length, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, err);
}
