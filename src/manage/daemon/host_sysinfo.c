/* host_sysinfo.c - what the host's firmware says of it, as /sys/class/dmi/id has it (SMBIOS types 0, 1, 2 and 3). */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/host_devices.h"
#include "manage/rpc/rpc.h"

/* A row is an <entry> of an element; rows of an element follow each other. */
static const struct {
    const char *element, *entry, *file;
} rows[] = {
    { "bios", "vendor", "bios_vendor" }, { "bios", "version", "bios_version" }, { "bios", "date", "bios_date" }, { "bios", "release", "bios_release" },
    { "system", "manufacturer", "sys_vendor" }, { "system", "product", "product_name" }, { "system", "version", "product_version" }, { "system", "serial", "product_serial" },
    { "system", "uuid", "product_uuid" }, { "system", "sku", "product_sku" }, { "system", "family", "product_family" },
    { "baseBoard", "manufacturer", "board_vendor" }, { "baseBoard", "product", "board_name" }, { "baseBoard", "version", "board_version" }, { "baseBoard", "serial", "board_serial" },
    { "baseBoard", "asset", "board_asset_tag" },
    { "chassis", "manufacturer", "chassis_vendor" }, { "chassis", "version", "chassis_version" }, { "chassis", "serial", "chassis_serial" }, { "chassis", "asset", "chassis_asset_tag" },
};

static char *value_of(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL) || !g_utf8_validate(text, -1, NULL) || !*g_strstrip(text))
        return NULL;
    return g_markup_escape_text(text, -1);
}

char *host_sysinfo(const char *folder, GError **err)
{
    g_autoptr(GString) s = g_string_new("<sysinfo type='smbios'>\n");
    const char *open = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *value = value_of(folder, rows[i].file);
        if (!value)
            continue;
        if (open && strcmp(open, rows[i].element))
            g_string_append_printf(s, "  </%s>\n", open);
        if (!open || strcmp(open, rows[i].element))
            g_string_append_printf(s, "  <%s>\n", rows[i].element);
        open = rows[i].element;
        g_string_append_printf(s, "    <entry name='%s'>%s</entry>\n", rows[i].entry, value);
    }
    if (!open) {
        rpc_error_set(err, RPC_ERR_CONFIG_UNSUPPORTED, "Host SMBIOS information is not available: the kernel has none in '%s'", folder);
        return NULL;
    }
    g_string_append_printf(s, "  </%s>\n</sysinfo>\n", open);
    return g_strdup(s->str);
}
