/*
 * pci_rom.c - a function's expansion ROM: a file that firmware copies and runs.  PCI Local Bus Specification 3.0, 6.2.5.2.
 *
 * The base register at 30h maps the file read-only.  Each function has one that was asked for by romfile=, or the one that
 * its type names, which is looked for in the machine's data folders; romfile= (empty) and rombar=off leave it out.
 */
#include <string.h>

#include "machine/machine.h"

enum { ROM_ENABLE = 1, ROM_LEAST = 4096, ROM_MOST = 32 << 20 };

const Field pci_props[] = {
    { F(PciDevice, romfile), .role = FIELD_PROP, .doc = "expansion ROM, a path or a name in the -L folders; empty: none" },
    { F(PciDevice, rombar), .role = FIELD_PROP, .reset = 1, .doc = "whether firmware finds the expansion ROM" },
    { F(PciDevice, multifunction), .role = FIELD_PROP, .doc = "others of this slot's functions are in use, too" },
    { .name = NULL },
};

static const char *rom_name(const PciDevice *p)
{
    bool data = p->dev.machine->config.data_dirs; /* without any, nothing is read that nobody named */
    return p->romfile ? p->romfile : data ? p->dev.type->pci->romfile : NULL;
}

static bool create_rom(PciDevice *p, const char *path, const char *data, size_t n, GError **err)
{
    if (n < 3 || (uint8_t)data[0] != 0x55 || (uint8_t)data[1] != 0xaa || n > ROM_MOST)
        return error_set(err, ERR_INVALID, "%s: romfile '%s' is no expansion ROM: it must begin with the bytes 55 aa and have at most 32 MiB",
                         p->dev.path, path);
    uint64_t size = ROM_LEAST;
    while (size < n)
        size *= 2;
    if (!(p->rom = machine_create_ram(p->dev.machine, "rom", size, err)))
        return false;
    memcpy(p->rom->host, data, n);
    pci_set_writable(p, PCI_ROM, 4, ~(uint32_t)(size - 1) | ROM_ENABLE);
    return true;
}

bool pci_rom_realize(PciDevice *p, GError **err)
{
    const char *name = rom_name(p);
    if (!name || !*name || !p->rombar)
        return true;
    g_autoptr(GError) why = NULL;
    g_autofree char *data = NULL, *path = machine_find_data(p->dev.machine, name, &why);
    gsize n;
    if (!path && !p->romfile && p->dev.type->pci->rom_optional)
        return true;
    if (!path || !g_file_get_contents(path, &data, &n, &why))
        return error_set(err, ERR_NOT_FOUND, "%s: cannot read romfile: %s; name another with romfile=, or none by romfile= alone",
                         p->dev.path, why->message);
    return create_rom(p, path, data, n, err);
}

void pci_rom_patch(PciDevice *p)
{
    enum { DATA_POINTER = 0x18, CHECKSUM = 6, IDS = 4, ID_BYTES = 4 };
    if (!p->rom || p->romfile)
        return;
    uint8_t *rom = p->rom->host;
    size_t at = rom[DATA_POINTER] | (size_t)rom[DATA_POINTER + 1] << 8;
    if (at + IDS + ID_BYTES > p->rom->size || memcmp(rom + at, "PCIR", 4))
        return;
    for (unsigned i = 0; i < ID_BYTES; i++) {
        rom[CHECKSUM] += rom[at + IDS + i] - p->config[PCI_VENDOR_ID + i];
        rom[at + IDS + i] = p->config[PCI_VENDOR_ID + i];
    }
}

void pci_rom_unrealize(PciDevice *p)
{
    g_clear_pointer(&p->rom_region, region_remove);
    g_clear_pointer(&p->rom, machine_release_ram);
}

void pci_rom_map(PciDevice *p)
{
    if (!p->rom)
        return;
    uint64_t base = pci_get32(p, PCI_ROM) & ~(p->rom->size - 1);
    bool on = base && pci_get32(p, PCI_ROM) & ROM_ENABLE && p->config[PCI_COMMAND] & PCI_COMMAND_MEMORY;
    if (p->rom_region) {
        if (on)
            region_move(p->rom_region, base);
        region_enable(p->rom_region, on);
    } else if (on) {
        RegionDecl decl = { .name = p->dev.path, .kind = REGION_ROM, .base = base, .size = p->rom->size, .priority = -1, .ram = p->rom };
        p->rom_region = region_add(p->dev.machine->memory, &decl, NULL); /* 32 bits of address always fit */
    }
}
