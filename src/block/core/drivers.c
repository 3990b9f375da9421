/* drivers.c - the list of drivers, and finding one. */
#include <string.h>

#include "block/driver.h"

static const BlkDriver *const drivers[] = {
    &file_driver, &memory_driver, &null_driver, &nbd_driver, &http_driver,
    &raw_driver, &qcow2_driver, &qcow_driver, &vdi_driver, &vhdx_driver, &vmdk_driver, &vpc_driver, &luks_driver,
    &snapshot_driver, &throttle_driver, &copy_on_read_driver, &debug_driver,
};

const BlkDriver *driver_named(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (g_str_equal(drivers[i]->name, name))
            return drivers[i];
    return NULL;
}

const BlkDriver *blk_driver(const char *name, BlkKind kind)
{
    const BlkDriver *d = driver_named(name);
    return d && d->kind == kind ? d : NULL;
}

const BlkDriver *driver_of_head(const uint8_t *head, size_t n)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (drivers[i]->probe && drivers[i]->probe(head, n))
            return drivers[i];
    return NULL;
}

static bool has_scheme(const BlkDriver *d, const char *uri, size_t len)
{
    for (unsigned i = 0; d->schemes && d->schemes[i]; i++)
        if (strlen(d->schemes[i]) == len && !strncmp(d->schemes[i], uri, len))
            return true;
    return false;
}

/* As QEMU has it, what stands before a colon is a protocol unless a slash comes first. */
const BlkDriver *driver_of_uri(const char *filename)
{
    size_t len = strcspn(filename, ":/");
    for (unsigned i = 0; filename[len] == ':' && i < G_N_ELEMENTS(drivers); i++)
        if (has_scheme(drivers[i], filename, len))
            return drivers[i];
    return &file_driver;
}

char *driver_names(BlkKind kind)
{
    GString *names = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (drivers[i]->kind == kind)
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", drivers[i]->name);
    return g_string_free(names, FALSE);
}

const char **blk_format_names(void)
{
    GPtrArray *names = g_ptr_array_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (drivers[i]->kind == BLK_FORMAT)
            g_ptr_array_add(names, (char *)drivers[i]->name);
    g_ptr_array_add(names, NULL);
    return (const char **)g_ptr_array_free(names, FALSE);
}

const BlkOption *blk_format_options(const char *format)
{
    static const BlkOption none[] = { { 0 } };
    const BlkDriver *d = blk_driver(format, BLK_FORMAT);
    return d ? d->options ? d->options : none : NULL;
}
