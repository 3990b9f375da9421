/*
 * multiboot.c - kernels with a multiboot header: Xen, memtest86+ 5, many small ones.  Multiboot Specification 0.6.96.
 */
#include <string.h>

#include "base/checked.h"
#include "vmm/loader/kernel.h"

static const uint32_t HEADER_MAGIC = 0x1badb002, LOADER_MAGIC = 0x2badb002;
enum { SEARCH_BYTES = 8192, HEADER_BYTES = 12, ADDRESS_HEADER_BYTES = 32 };
enum { WANTS_ADDRESSES = 1 << 16, KNOWN_REQUIREMENTS = 0x3 }; /* of the 16 bits that must be understood: pages, memory */
enum { INFO_MEMORY = 1 << 0, INFO_COMMAND_LINE = 1 << 2, INFO_MODULES = 1 << 3, INFO_MAP = 1 << 6, INFO_LOADER_NAME = 1 << 9 };
enum { INFO = LOADER_INFO, INFO_BYTES = 120, NAME = LOADER_INFO + 0x80, MAP = LOADER_INFO + 0x100, MAP_ENTRY_BYTES = 24, MODULE_BYTES = 16 };
/* Module list and texts stand where Linux has its zero page and command line. */
enum { MODULES = LOADER_ZERO_PAGE, TEXTS = LOADER_COMMAND_LINE };

static const uint8_t *find_header(const FileBytes *f)
{
    for (size_t off = 0; off + HEADER_BYTES <= MIN(f->n, (size_t)SEARCH_BYTES); off += 4) {
        const uint8_t *h = f->data + off;
        if (get32(h) == HEADER_MAGIC && get32(h) + get32(h + 4) + get32(h + 8) == 0)
            return h;
    }
    return NULL;
}

static bool multiboot_recognise(const FileBytes *f) { return find_header(f) != NULL; }

static bool multiboot_check(const FileBytes *f, GError **err)
{
    const uint8_t *h = find_header(f);
    uint32_t flags = get32(h + 4);
    if (flags & 0xffff & ~KNOWN_REQUIREMENTS)
        return error_set(err, ERR_UNSUPPORTED, "multiboot kernel '%s' demands something that there is not (flags 0x%04x: 4 is a video mode)",
                         f->path, flags & 0xffff);
    if (!(flags & WANTS_ADDRESSES))
        return elf_recognise(f) ? elf_check(f, err)
                                : error_set(err, ERR_INVALID, "multiboot kernel '%s' is neither an ELF file nor says where it is to be loaded", f->path);
    if ((size_t)(h - f->data) + ADDRESS_HEADER_BYTES > f->n)
        return error_set(err, ERR_INVALID, "multiboot kernel '%s' is cut short within its header; fetch it again", f->path);
    return true;
}

/* The "a.out kludge": the header itself says which part of the file goes where. */
static bool load_by_addresses(const FileBytes *f, const uint8_t *h, Machine *m, ElfLoad *ret, GError **err)
{
    uint64_t header_addr = get32(h + 12), load = get32(h + 16), load_end = get32(h + 20), bss_end = get32(h + 24), at = h - f->data;
    if (load > header_addr || header_addr - load > at)
        return error_set(err, ERR_INVALID, "multiboot kernel '%s': the addresses in its header contradict each other", f->path);
    uint64_t off = at - (header_addr - load), n = load_end ? load_end - load : f->n - off;
    if (load_end && (load_end < load || !range_within(off, n, f->n)))
        return error_set(err, ERR_INVALID, "multiboot kernel '%s' is cut short: it lacks a part of what its header names; fetch it again", f->path);
    uint64_t bss = bss_end > load + n ? bss_end - load - n : 0;
    *ret = (ElfLoad) { .highest = load + n + bss, .entry = get32(h + 28) };
    return place_bytes(m, "the kernel", load, f->data + off, n, err) && place_zeros(m, "the kernel", load + n, bss, err);
}

static bool load_kernel(const FileBytes *f, Machine *m, const BoardStart *s, ElfLoad *ret, GError **err)
{
    const uint8_t *h = find_header(f);
    return get32(h + 4) & WANTS_ADDRESSES ? load_by_addresses(f, h, m, ret, err) : elf_load(f, m, s, ret, err);
}

/* Puts a text behind the last one; returns its address, 0 if there is no room. */
static uint32_t place_text(Machine *m, uint32_t *next, const char *text)
{
    uint32_t at = *next, n = strlen(text) + 1;
    if (n > TEXTS + LOADER_COMMAND_LINE_MAX - at || !dma_write(m, at, text, n))
        return 0;
    *next += n;
    return at;
}

/* Upwards from the kernel's end, page-aligned, as boot loaders do. */
static bool place_modules(const Kernel *k, Machine *m, const BoardStart *s, uint64_t at, uint32_t *next_text, GError **err)
{
    for (unsigned i = 0; i < k->modules->len; i++) {
        const KernelModule *module = &g_array_index(k->modules, KernelModule, i);
        uint8_t entry[MODULE_BYTES] = { 0 };
        at = (at + 0xfff) & ~0xfffull;
        if (!place_fits(s, at, module->file.n))
            return error_set(err, ERR_NO_SPACE, "module '%s' of %zu KiB does not fit behind the kernel into %" G_GUINT64_FORMAT
                             " MiB of guest memory; give it more with -m", module->file.path, (module->file.n + 1023) >> 10, m->config.ram_size >> 20);
        put32(entry, at);
        put32(entry + 4, at + module->file.n);
        put32(entry + 8, place_text(m, next_text, module->command_line));
        if (!place_bytes(m, "a module", at, module->file.data, module->file.n, err) ||
            !place_bytes(m, "the module list", MODULES + i * MODULE_BYTES, entry, sizeof(entry), err))
            return false;
        at += module->file.n;
    }
    return true;
}

static bool place_map(Machine *m, const BoardStart *s, uint8_t *info, GError **err)
{
    uint8_t map[G_N_ELEMENTS(s->e820) * MAP_ENTRY_BYTES];
    for (unsigned i = 0; i < s->n_e820; i++) {
        put32(map + i * MAP_ENTRY_BYTES, MAP_ENTRY_BYTES - 4); /* size of the rest */
        memcpy(map + i * MAP_ENTRY_BYTES + 4, &s->e820[i], sizeof(E820Entry));
    }
    put32(info + 44, s->n_e820 * MAP_ENTRY_BYTES);
    put32(info + 48, MAP);
    return place_bytes(m, "the memory map", MAP, map, s->n_e820 * MAP_ENTRY_BYTES, err);
}

static bool place_info(const Kernel *k, Machine *m, const BoardStart *s, uint32_t *next_text, GError **err)
{
    static const char name[] = "Atoll";
    uint8_t info[INFO_BYTES] = { 0 };
    g_autofree char *command_line = g_strdup_printf("%s%s%s", k->file.path, *k->append ? " " : "", k->append);
    put32(info, INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MAP | INFO_LOADER_NAME);
    put32(info + 4, 639);
    put32(info + 8, (s->low_ram - 0x100000) >> 10);
    put32(info + 16, place_text(m, next_text, command_line));
    put32(info + 20, k->modules->len);
    put32(info + 24, MODULES);
    put32(info + 64, NAME);
    return place_map(m, s, info, err) && place_bytes(m, "the loader's name", NAME, name, sizeof(name), err) &&
           place_bytes(m, "the multiboot information", INFO, info, sizeof(info), err);
}

/* The BIOS data area's words for the EBDA's segment and KiB of base memory: Xen and others look there for the end of
 * low memory, as if firmware had run. */
static bool place_bios_data(Machine *m, GError **err)
{
    static const uint8_t ebda[] = { 0xc0, 0x9f }, base_memory[] = { 639 & 0xff, 639 >> 8 };
    return place_bytes(m, "the BIOS data area", 0x40e, ebda, 2, err) && place_bytes(m, "the BIOS data area", 0x413, base_memory, 2, err);
}

static bool multiboot_load(const Kernel *k, Machine *m, const BoardStart *s, GError **err)
{
    uint32_t next_text = TEXTS;
    ElfLoad load;
    if (!load_kernel(&k->file, m, s, &load, err) || !place_modules(k, m, s, load.highest, &next_text, err) ||
        !place_info(k, m, s, &next_text, err) || !place_bios_data(m, err))
        return false;
    return entry_set(m, &(EntryState) { .rip = load.entry, .rax = LOADER_MAGIC, .rbx = INFO }, err);
}

const KernelKind kernel_multiboot = {
    .name = "multiboot",
    .recognise = multiboot_recognise,
    .check = multiboot_check,
    .load = multiboot_load,
    .modules = true,
};
