/*
 * elf_pvh.c - an ELF kernel (vmlinux, Xen) with a PVH entry.  Xen docs/misc/pvh.pandoc ("x86/HVM direct boot ABI") and
 * xen/include/public/arch-x86/hvm/start_info.h.
 */
#include <string.h>

#include "vmm/loader/kernel.h"

enum { XEN_ELFNOTE_PHYS32_ENTRY = 18, START_INFO_BYTES = 56, MODULE_BYTES = 32, MAP_ENTRY_BYTES = 24 };
static const uint32_t XEN_HVM_START_MAGIC = 0x336ec578;
enum { START_INFO = LOADER_INFO, MODULE_LIST = LOADER_INFO + 0x100, MEMORY_MAP = LOADER_INFO + 0x200 };

static const uint8_t *entry_note(const FileBytes *f, uint32_t *ret_n) { return elf_note(f, "Xen", XEN_ELFNOTE_PHYS32_ENTRY, ret_n); }

static bool pvh_check(const FileBytes *f, GError **err)
{
    uint32_t n = 0;
    if (!elf_check(f, err))
        return false;
    if (!entry_note(f, &n) || (n != 4 && n != 8))
        return error_set(err, ERR_INVALID, "kernel '%s' cannot be started: it is an ELF file with neither a PVH note nor a multiboot header; "
                         "give the bzImage (vmlinuz), or build it with CONFIG_PVH", f->path);
    return true;
}

static bool place_module(const Kernel *k, Machine *m, const BoardStart *s, const ElfLoad *load, uint8_t *info, GError **err)
{
    uint8_t module[MODULE_BYTES] = { 0 };
    if (!k->initrd.n)
        return true;
    uint64_t at = place_high(s, k->initrd.n, load->highest, s->low_ram);
    if (!at)
        return error_set(err, ERR_NO_SPACE, "initrd '%s' of %zu KiB does not fit into %" G_GUINT64_FORMAT " MiB of guest memory; give it more with -m",
                         k->initrd.path, (k->initrd.n + 1023) >> 10, m->config.ram_size >> 20);
    put64(module, at);
    put64(module + 8, k->initrd.n);
    put32(info + 12, 1);
    put64(info + 16, MODULE_LIST);
    return place_bytes(m, "the module list", MODULE_LIST, module, sizeof(module), err) &&
           place_bytes(m, "the initrd", at, k->initrd.data, k->initrd.n, err);
}

static bool place_memory_map(Machine *m, const BoardStart *s, uint8_t *info, GError **err)
{
    uint8_t map[G_N_ELEMENTS(s->e820) * MAP_ENTRY_BYTES] = { 0 };
    for (unsigned i = 0; i < s->n_e820; i++) {
        put64(map + i * MAP_ENTRY_BYTES, s->e820[i].base);
        put64(map + i * MAP_ENTRY_BYTES + 8, s->e820[i].size);
        put32(map + i * MAP_ENTRY_BYTES + 16, s->e820[i].type);
    }
    put64(info + 40, MEMORY_MAP);
    put32(info + 48, s->n_e820);
    return place_bytes(m, "the memory map", MEMORY_MAP, map, s->n_e820 * MAP_ENTRY_BYTES, err);
}

static bool pvh_load(const Kernel *k, Machine *m, const BoardStart *s, GError **err)
{
    uint8_t info[START_INFO_BYTES] = { 0 };
    ElfLoad load;
    uint32_t n = 0;
    const uint8_t *note = entry_note(&k->file, &n);
    put32(info, XEN_HVM_START_MAGIC);
    put32(info + 4, 1); /* version with the memory map */
    put64(info + 24, LOADER_COMMAND_LINE);
    put64(info + 32, s->rsdp);
    if (!elf_load(&k->file, m, s, &load, err) || !place_module(k, m, s, &load, info, err) || !place_memory_map(m, s, info, err) ||
        !place_bytes(m, "the command line", LOADER_COMMAND_LINE, k->append, strlen(k->append) + 1, err) ||
        !place_bytes(m, "the start information", START_INFO, info, sizeof(info), err))
        return false;
    return entry_set(m, &(EntryState) { .rip = get32(note), .rbx = START_INFO }, err);
}

const KernelKind kernel_elf_pvh = {
    .name = "ELF with PVH entry",
    .recognise = elf_recognise,
    .check = pvh_check,
    .load = pvh_load,
};
