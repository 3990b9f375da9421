/* config_smbios.c - -smbios: what the firmware tables say of the machine. */
#include "base/keyval.h"
#include "vmm/config.h"

static bool add_file(VmConfig *c, const char *path, GError **err)
{
    g_autoptr(GError) cause = NULL;
    char *data = NULL;
    gsize n;
    if (!g_file_get_contents(path, &data, &n, &cause))
        return error_set(err, ERR_NOT_FOUND, "-smbios: cannot read '%s': %s", path, cause->message);
    return smbios_user_add_structure(&c->smbios, g_bytes_new_take(data, n)) ||
           error_set(err, ERR_INVALID, "-smbios: '%s' is no structure of SMBIOS: header, body, strings, two zeros", path);
}

static void take_texts(VmConfig *c, KeyVals *kv, unsigned type)
{
    for (unsigned n = 0; n < SMBIOS_TEXTS; n++) {
        const SmbiosKey *k = &smbios_keys[n];
        const char *value = k->type == type ? keyvals_take(kv, k->key) : NULL;
        if (!value)
            continue;
        g_free(c->smbios.text[k->text]);
        c->smbios.text[k->text] = g_strdup(value);
    }
}

/* "value" may be said many times. */
static bool take_oem(VmConfig *c, KeyVals *kv, GError **err)
{
    g_autofree const char **rest = keyvals_rest(kv);
    if (!c->smbios.oem)
        c->smbios.oem = g_ptr_array_new_with_free_func(g_free);
    for (const char **pair = rest; *pair; pair += 2) {
        if (!g_str_equal(pair[0], "value"))
            return error_set(err, ERR_INVALID, "-smbios type=11: '%s' is unknown; it takes value=TEXT", pair[0]);
        if (c->smbios.oem->len == SMBIOS_OEM_MOST)
            return error_set(err, ERR_INVALID, "-smbios type=11: there are at most %u strings", SMBIOS_OEM_MOST);
        if (*pair[1]) /* an empty one would end the list */
            g_ptr_array_add(c->smbios.oem, g_strdup(pair[1]));
    }
    return true;
}

static bool known_type(uint64_t type)
{
    bool known = type == 11;
    for (unsigned n = 0; n < SMBIOS_TEXTS; n++)
        known |= smbios_keys[n].type == type;
    return known;
}

bool config_smbios(VmConfig *c, const char *arg, GError **err)
{
    enum { NO_TYPE = 256, SYSTEM = 1, OEM = 11 };
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-smbios", err);
    uint64_t type = NO_TYPE;
    if (!kv)
        return false;
    const char *file = keyvals_take(kv, "file"), *uuid;
    if (file)
        return keyvals_end(kv, err) && add_file(c, file, err);
    if (!keyvals_take_number(kv, "type", 0, 255, &type, err))
        return false;
    if (!known_type(type))
        return error_set(err, ERR_INVALID, "-smbios: give type=0, 1, 2, 3, 4, 11 or 17, or file=");
    if (type == OEM)
        return take_oem(c, kv, err);
    take_texts(c, kv, type);
    if (type == SYSTEM && (uuid = keyvals_take(kv, "uuid")) && !config_uuid(c, uuid, err))
        return false;
    return keyvals_end(kv, err);
}
