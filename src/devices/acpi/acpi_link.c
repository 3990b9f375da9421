/*
 * acpi_link.c - gives the tables their addresses: here, or by a script that firmware executes.
 * The script: QEMU's hw/acpi/bios-linker-loader.c and SeaBIOS's src/fw/romfile_loader.h describe the format.
 */
#include <string.h>

#include "devices/acpi/acpi_tables.h"
#include "devices/acpi/fw_cfg.h"

static const char TABLES_FILE[] = "etc/acpi/tables", RSDP_FILE[] = "etc/acpi/rsdp", LOADER_FILE[] = "etc/table-loader";

/* ---- by ourselves */

static GByteArray *holder(AcpiTables *t, bool in_rsdp) { return in_rsdp ? t->rsdp : t->tables; }

static void add_to_pointer(uint8_t *at, unsigned size, uint64_t base)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    value += base;
    memcpy(at, &value, size);
}

static void set_checksum(GByteArray *a, const AcpiChecksum *c)
{
    uint8_t sum = 0;
    a->data[c->at] = 0;
    for (uint32_t i = 0; i < c->length; i++)
        sum += a->data[c->start + i];
    a->data[c->at] = -sum;
}

void acpi_place(AcpiTables *t, uint64_t tables_at)
{
    for (unsigned i = 0; i < t->pointers->len; i++) {
        const AcpiPointer *p = &g_array_index(t->pointers, AcpiPointer, i);
        add_to_pointer(holder(t, p->in_rsdp)->data + p->offset, p->size, tables_at);
    }
    for (unsigned i = 0; i < t->checksums->len; i++) {
        const AcpiChecksum *c = &g_array_index(t->checksums, AcpiChecksum, i);
        set_checksum(holder(t, c->in_rsdp), c);
    }
}

/* ---- by firmware */

enum { LOAD_ALLOCATE = 1, LOAD_ADD_POINTER = 2, LOAD_ADD_CHECKSUM = 3, ZONE_HIGH = 1, ZONE_FSEG = 2 };

typedef struct __attribute__((packed)) LoaderEntry {
    uint32_t command;
    union __attribute__((packed)) {
        struct __attribute__((packed)) { char file[56]; uint32_t align; uint8_t zone; } allocate;
        struct __attribute__((packed)) { char dest[56], src[56]; uint32_t offset; uint8_t size; } pointer;
        struct __attribute__((packed)) { char file[56]; uint32_t at, start, length; } checksum;
        uint8_t pad[124];
    };
} LoaderEntry;
_Static_assert(sizeof(LoaderEntry) == 128, "linker-loader entry");

static void allocate(GArray *script, const char *file, uint32_t align, uint8_t zone)
{
    LoaderEntry e = { .command = LOAD_ALLOCATE, .allocate = { .align = align, .zone = zone } };
    g_strlcpy(e.allocate.file, file, sizeof(e.allocate.file));
    g_array_append_val(script, e);
}

static void add_pointer(GArray *script, const AcpiPointer *p)
{
    LoaderEntry e = { .command = LOAD_ADD_POINTER, .pointer = { .offset = p->offset, .size = p->size } };
    g_strlcpy(e.pointer.dest, p->in_rsdp ? RSDP_FILE : TABLES_FILE, sizeof(e.pointer.dest));
    g_strlcpy(e.pointer.src, TABLES_FILE, sizeof(e.pointer.src));
    g_array_append_val(script, e);
}

static void add_checksum(GArray *script, const AcpiChecksum *c)
{
    LoaderEntry e = { .command = LOAD_ADD_CHECKSUM, .checksum = { .at = c->at, .start = c->start, .length = c->length } };
    g_strlcpy(e.checksum.file, c->in_rsdp ? RSDP_FILE : TABLES_FILE, sizeof(e.checksum.file));
    g_array_append_val(script, e);
}

/* Firmware reads the list of files, and with it their sizes, before it places the PCIe configuration space; then the tables are made again, with
 * MCFG.  So a file has the same size both times: zeros behind the tables, and behind the script, where they are no command. */
enum { TABLES_STEP = 128 << 10, SCRIPT_STEP = 32 * sizeof(LoaderEntry) };

static bool add_padded(Device *fw_cfg, const char *name, const void *data, size_t n, size_t step, GError **err)
{
    size_t bytes = (n + step - 1) / step * step;
    g_autofree uint8_t *padded = g_malloc0(bytes);
    memcpy(padded, data, n);
    return fw_cfg_add_file(fw_cfg, name, padded, bytes, err);
}

bool acpi_add_files(const AcpiTables *t, Device *fw_cfg, GError **err)
{
    g_autoptr(GArray) script = g_array_new(FALSE, FALSE, sizeof(LoaderEntry));
    allocate(script, TABLES_FILE, 64, ZONE_HIGH);
    allocate(script, RSDP_FILE, 16, ZONE_FSEG);
    for (unsigned i = 0; i < t->pointers->len; i++)
        add_pointer(script, &g_array_index(t->pointers, AcpiPointer, i));
    for (unsigned i = 0; i < t->checksums->len; i++)
        add_checksum(script, &g_array_index(t->checksums, AcpiChecksum, i));
    return add_padded(fw_cfg, TABLES_FILE, t->tables->data, t->tables->len, TABLES_STEP, err) &&
           fw_cfg_add_file(fw_cfg, RSDP_FILE, t->rsdp->data, t->rsdp->len, err) &&
           add_padded(fw_cfg, LOADER_FILE, script->data, script->len * sizeof(LoaderEntry), SCRIPT_STEP, err);
}
