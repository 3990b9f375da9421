/*
 * pc_memory.c - the memory map of the classic PC.
 *
 *     0          RAM, up to 3 GiB, 2 GiB with a q35
 *     a0000      hole for the VGA; c0000 hole for option ROMs; e0000 the last 128 KiB of the firmware.  The host bridge
 *                lays RAM over these as its shadow registers say.
 *     low RAM    PCI windows, up to fec00000: IOAPIC, HPET, local APIC
 *     4 GiB - n  firmware
 *     4 GiB      the rest of RAM
 */
#include <errno.h>
#include <string.h>

#include "boards/pc_inside.h"
#include "devices/storage/pflash.h"

#define FIRMWARE_MAX (8ull << 20)
enum { FIRMWARE_UNIT = 64 << 10, ISA_FIRMWARE = 128 << 10, MIB = 1 << 20 };
enum { PRIO_RAM = 0, PRIO_EXPANSION = 1 };

static bool add(Pc *pc, const RegionDecl *decl, GError **err) { return region_add(pc->board.machine->memory, decl, err); }

static bool map_ram(Pc *pc, GError **err)
{
    RamBlock *ram = pc->board.machine->ram;
    if (!ram || ram->size < 2 * MIB)
        return error_set(err, ERR_INVALID, "machine '%s' needs at least 2 MiB of memory; raise -m", pc->chips->type->name);
    pc->low_ram = MIN(ram->size, pc->chips->low_ram_max);
    pc->high_ram = ram->size - pc->low_ram;
    RegionDecl low = { .name = "RAM", .kind = REGION_RAM, .size = pc->low_ram, .priority = PRIO_RAM, .ram = ram };
    RegionDecl high = { .name = "RAM above 4 GiB", .kind = REGION_RAM, .base = PC_4G, .size = pc->high_ram, .priority = PRIO_RAM, .ram = ram, .offset = pc->low_ram };
    RegionDecl hole = { .name = "expansion bus", .kind = REGION_HOLE, .base = 0xa0000, .size = MIB - 0xa0000, .priority = PRIO_EXPANSION };
    return add(pc, &low, err) && (!pc->high_ram || add(pc, &high, err)) && add(pc, &hole, err);
}

static bool read_firmware(Pc *pc, const char *path, GError **err)
{
    g_autofree char *data = NULL;
    gsize n;
    g_autoptr(GError) cause = NULL;
    if (!g_file_get_contents(path, &data, &n, &cause))
        return error_set(err, ERR_NOT_FOUND, "cannot read firmware '%s': %s", path, cause->message);
    if (!n || n % FIRMWARE_UNIT || n > FIRMWARE_MAX)
        return error_set(err, ERR_INVALID, "firmware '%s' has %zu bytes; an image is a multiple of 64 KiB, up to 8 MiB", path, n);
    if (!(pc->firmware = ram_create("firmware", n, err)))
        return false;
    memcpy(pc->firmware->host, data, n);
    return true;
}

static bool map_isa_firmware(Pc *pc, RamBlock *image, GError **err)
{
    uint64_t top = MIN(image->size, ISA_FIRMWARE);
    RegionDecl isa = { .name = "firmware below 1 MiB", .kind = REGION_ROM, .base = MIB - top, .size = top, .priority = PRIO_EXPANSION, .ram = image, .offset = image->size - top };
    return add(pc, &isa, err);
}

static bool map_firmware(Pc *pc, const char *path, GError **err)
{
    if (!read_firmware(pc, path, err))
        return false;
    uint64_t n = pc->firmware->size;
    RegionDecl whole = { .name = "firmware", .kind = REGION_ROM, .base = PC_4G - n, .size = n, .priority = PRIO_RAM, .ram = pc->firmware };
    return add(pc, &whole, err) && map_isa_firmware(pc, pc->firmware, err);
}

/* One flash below the other; the end of the first is also what the processor finds below 1 MiB. */
static bool map_flash(Pc *pc, const char *const *drives, GError **err)
{
    uint64_t at = PC_4G;
    for (unsigned i = 0; i < 2 && drives[i]; i++) {
        Device *d = device_create(pc->board.machine, &pflash_type, NULL, (const char *[]){ "drive", drives[i], NULL }, err);
        if (!d || !pflash_map(d, at -= pflash_size(d), err) || (i == 0 && !map_isa_firmware(pc, pflash_contents(d), err)))
            return false;
    }
    return true;
}

bool pc_map_memory(Pc *pc, const BoardConfig *config, GError **err)
{
    return map_ram(pc, err) && (!config->firmware || map_firmware(pc, config->firmware, err)) && map_flash(pc, config->pflash, err);
}

/* RAM as firmware finds it, before anybody has reserved parts of it. */
unsigned pc_e820(const Pc *pc, E820Entry ret[32])
{
    unsigned n = 0;
    ret[n++] = (E820Entry){ 0, pc->low_ram, E820_RAM };
    if (pc->high_ram)
        ret[n++] = (E820Entry){ PC_4G, pc->high_ram, E820_RAM };
    return n;
}
