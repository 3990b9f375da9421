/*
 * bzimage.c - a Linux kernel as distributions ship it.  Linux Documentation/arch/x86/boot.rst; names of the set-up
 * header's fields are those of that text.
 */
#include <string.h>

#include "vmm/loader/kernel.h"

enum { /* offsets, the same in the file and in boot_params ("zero page") */
    ACPI_RSDP_ADDR = 0x070,
    E820_ENTRIES = 0x1e8,
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    BOOT_FLAG = 0x1fe,
    JUMP = 0x200,
    HEADER = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    CODE32_START = 0x214,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    E820_TABLE = 0x2d0,
};
enum { LOADED_HIGH = 0x01, XLF_KERNEL_64 = 0x01, LOADER_UNDEFINED = 0xff, ZERO_PAGE_BYTES = 4096, HIGH_START = 0x100000 };

static bool bzimage_recognise(const FileBytes *f)
{
    return f->n > HEADER + 4 && get16(f->data + BOOT_FLAG) == 0xaa55 && memcmp(f->data + HEADER, "HdrS", 4) == 0;
}

static size_t setup_bytes(const FileBytes *f)
{
    unsigned sectors = f->data[SETUP_SECTS] ? f->data[SETUP_SECTS] : 4;
    return (sectors + 1) * 512;
}

static unsigned protocol(const FileBytes *f) { return get16(f->data + VERSION); }

static bool bzimage_check(const FileBytes *f, GError **err)
{
    if (f->n < INIT_SIZE + 4 || f->n <= setup_bytes(f))
        return error_set(err, ERR_INVALID, "kernel '%s' is cut short: %zu bytes do not even hold its set-up code; fetch it again", f->path, f->n);
    if (protocol(f) < 0x202 || !(f->data[LOADFLAGS] & LOADED_HIGH))
        return error_set(err, ERR_UNSUPPORTED, "kernel '%s' has Linux boot protocol %u.%02u; a bzImage with 2.02 is the oldest that starts",
                         f->path, protocol(f) >> 8, protocol(f) & 0xff);
    uint64_t wanted = setup_bytes(f) + get32(f->data + SYSSIZE) * 16ull;
    if (f->n + 15 < wanted)
        return error_set(err, ERR_INVALID, "kernel '%s' is cut short: it has %zu of %" G_GUINT64_FORMAT " bytes; fetch it again", f->path, f->n,
                         wanted);
    return true;
}

/* The end of what the kernel uses before it reads the memory map. */
static uint64_t kernel_end(const FileBytes *f)
{
    uint64_t end = HIGH_START + (f->n - setup_bytes(f));
    if (protocol(f) >= 0x20a)
        end = MAX(end, MAX(get64(f->data + PREF_ADDRESS), HIGH_START) + get32(f->data + INIT_SIZE));
    return end;
}

static bool place_initrd(const Kernel *k, Machine *m, const BoardStart *s, uint8_t *zero_page, GError **err)
{
    if (!k->initrd.n)
        return true;
    uint64_t limit = protocol(&k->file) >= 0x203 ? get32(k->file.data + INITRD_ADDR_MAX) + 1ull : 0x38000000;
    uint64_t at = place_high(s, k->initrd.n, kernel_end(&k->file), MIN(limit, s->low_ram));
    if (!at)
        return error_set(err, ERR_NO_SPACE,
                         "initrd '%s' of %zu KiB does not fit beside the kernel (%" G_GUINT64_FORMAT " KiB) into %" G_GUINT64_FORMAT
                         " MiB of guest memory; give it more with -m",
                         k->initrd.path, (k->initrd.n + 1023) >> 10, kernel_end(&k->file) >> 10, m->config.ram_size >> 20);
    put32(zero_page + RAMDISK_IMAGE, at);
    put32(zero_page + RAMDISK_SIZE, k->initrd.n);
    return place_bytes(m, "the initrd", at, k->initrd.data, k->initrd.n, err);
}

static bool place_command_line(const Kernel *k, Machine *m, uint8_t *zero_page, GError **err)
{
    uint64_t n = strlen(k->append), most = protocol(&k->file) >= 0x206 ? get32(k->file.data + CMDLINE_SIZE) : 255;
    if (n > most)
        return error_set(err, ERR_INVALID, "-append: %" G_GUINT64_FORMAT " bytes are more than the %" G_GUINT64_FORMAT " that kernel '%s' takes",
                         n, most, k->file.path);
    put32(zero_page + CMD_LINE_PTR, LOADER_COMMAND_LINE);
    return place_bytes(m, "the command line", LOADER_COMMAND_LINE, k->append, n + 1, err);
}

static void put_memory_map(uint8_t *zero_page, const BoardStart *s)
{
    zero_page[E820_ENTRIES] = s->n_e820;
    memcpy(zero_page + E820_TABLE, s->e820, s->n_e820 * sizeof(E820Entry));
    put64(zero_page + ACPI_RSDP_ADDR, s->rsdp);
}

static void put_setup_header(uint8_t *zero_page, const FileBytes *f)
{
    size_t end = MIN((size_t)HEADER + f->data[JUMP + 1], (size_t)E820_TABLE); /* the jump over the header tells its size */
    memcpy(zero_page + SETUP_SECTS, f->data + SETUP_SECTS, end - SETUP_SECTS);
    zero_page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    put32(zero_page + CODE32_START, HIGH_START);
}

static bool bzimage_load(const Kernel *k, Machine *m, const BoardStart *s, GError **err)
{
    const FileBytes *f = &k->file;
    uint8_t zero_page[ZERO_PAGE_BYTES] = { 0 };
    size_t setup = setup_bytes(f);
    if (!place_fits(s, HIGH_START, kernel_end(f) - HIGH_START))
        return error_set(err, ERR_NO_SPACE, "kernel '%s' needs %" G_GUINT64_FORMAT " MiB to unpack itself, more than the machine's %" G_GUINT64_FORMAT
                         " MiB; give it more with -m", f->path, (kernel_end(f) >> 20) + 1, m->config.ram_size >> 20);
    put_setup_header(zero_page, f);
    put_memory_map(zero_page, s);
    if (!place_bytes(m, "the kernel", HIGH_START, f->data + setup, f->n - setup, err) || !place_initrd(k, m, s, zero_page, err) ||
        !place_command_line(k, m, zero_page, err) || !place_bytes(m, "boot_params", LOADER_ZERO_PAGE, zero_page, sizeof(zero_page), err))
        return false;
    bool kernel64 = protocol(f) >= 0x20c && (get16(f->data + XLOADFLAGS) & XLF_KERNEL_64);
    bool long_mode = kernel64 && cpu_has(&m->config.cpu_model, FEAT_LM);
    EntryState e = { .long_mode = long_mode, .rip = HIGH_START + (long_mode ? 0x200 : 0), .rsi = LOADER_ZERO_PAGE };
    return entry_set(m, &e, err);
}

const KernelKind kernel_bzimage = {
    .name = "Linux bzImage",
    .recognise = bzimage_recognise,
    .check = bzimage_check,
    .load = bzimage_load,
};
