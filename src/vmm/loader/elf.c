/* elf.c - what loaders need of ELF: segments at their physical addresses, and notes.  System V ABI, chapters 4 and 5. */
#include <elf.h>
#include <string.h>

#include "base/checked.h"
#include "vmm/loader/kernel.h"

typedef struct ElfSegment { /* a program header of either class */
    uint32_t type;
    uint64_t off, paddr, filesz, memsz;
} ElfSegment;

static bool is64(const FileBytes *f) { return f->data[EI_CLASS] == ELFCLASS64; }

bool elf_recognise(const FileBytes *f) { return f->n >= sizeof(Elf32_Ehdr) && memcmp(f->data, ELFMAG, SELFMAG) == 0; }

static unsigned segment_count(const FileBytes *f)
{
    return is64(f) ? get16(f->data + offsetof(Elf64_Ehdr, e_phnum)) : get16(f->data + offsetof(Elf32_Ehdr, e_phnum));
}

static uint64_t segment_table(const FileBytes *f)
{
    return is64(f) ? get64(f->data + offsetof(Elf64_Ehdr, e_phoff)) : get32(f->data + offsetof(Elf32_Ehdr, e_phoff));
}

static ElfSegment segment_at(const FileBytes *f, unsigned i)
{
    const uint8_t *at = f->data + segment_table(f) + i * (is64(f) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
    if (is64(f)) {
        Elf64_Phdr p;
        memcpy(&p, at, sizeof(p));
        return (ElfSegment) { p.p_type, p.p_offset, p.p_paddr, p.p_filesz, p.p_memsz };
    }
    Elf32_Phdr p;
    memcpy(&p, at, sizeof(p));
    return (ElfSegment) { p.p_type, p.p_offset, p.p_paddr, p.p_filesz, p.p_memsz };
}

static bool bad(const FileBytes *f, const char *why, GError **err)
{
    return error_set(err, ERR_INVALID, "kernel '%s' cannot be started: %s", f->path, why);
}

bool elf_check(const FileBytes *f, GError **err)
{
    unsigned machine = get16(f->data + offsetof(Elf32_Ehdr, e_machine));
    if (f->data[EI_DATA] != ELFDATA2LSB || (machine != EM_386 && machine != EM_X86_64))
        return bad(f, "it is an ELF file for another kind of processor", err);
    if (is64(f) && f->n < sizeof(Elf64_Ehdr))
        return bad(f, "it is cut short within its first header; fetch it again", err);
    if (!range_within(segment_table(f), (uint64_t)segment_count(f) * (is64(f) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)), f->n))
        return bad(f, "it is cut short within its program headers; fetch it again", err);
    for (unsigned i = 0; i < segment_count(f); i++) {
        ElfSegment s = segment_at(f, i);
        uint64_t end;
        if (!range_within(s.off, s.filesz, f->n))
            return bad(f, "it is cut short: a segment lies behind the end of the file; fetch it again", err);
        if (s.type == PT_LOAD && (s.memsz < s.filesz || !checked_add(s.paddr, s.memsz, &end)))
            return bad(f, "a segment's sizes contradict each other; the file is damaged", err);
    }
    return true;
}

static bool load_segment(const FileBytes *f, const ElfSegment *s, Machine *m, const BoardStart *start, GError **err)
{
    if (s->memsz && !place_fits(start, s->paddr, s->memsz))
        return error_set(err, ERR_NO_SPACE, "kernel '%s' wants %" G_GUINT64_FORMAT " KiB at 0x%" G_GINT64_MODIFIER "x, which is not RAM in a machine with %"
                         G_GUINT64_FORMAT " MiB; give it more with -m", f->path, (s->memsz + 1023) >> 10, s->paddr, m->config.ram_size >> 20);
    return place_bytes(m, "the kernel", s->paddr, f->data + s->off, s->filesz, err) &&
           place_zeros(m, "the kernel", s->paddr + s->filesz, s->memsz - s->filesz, err);
}

bool elf_load(const FileBytes *f, Machine *m, const BoardStart *start, ElfLoad *ret, GError **err)
{
    ElfLoad load = { .entry = is64(f) ? get64(f->data + offsetof(Elf64_Ehdr, e_entry)) : get32(f->data + offsetof(Elf32_Ehdr, e_entry)) };
    for (unsigned i = 0; i < segment_count(f); i++) {
        ElfSegment s = segment_at(f, i);
        if (s.type != PT_LOAD)
            continue;
        if (!load_segment(f, &s, m, start, err))
            return false;
        load.highest = MAX(load.highest, s.paddr + s.memsz);
    }
    if (!load.highest)
        return bad(f, "it has no segment to load", err);
    *ret = load;
    return true;
}

/* One PT_NOTE segment: name and contents are padded to four bytes, in 64-bit Linux kernels too. */
static const uint8_t *find_note(const uint8_t *p, uint64_t n, const char *owner, uint32_t type, uint32_t *ret_n)
{
    while (n >= 12) {
        uint64_t name = get32(p), desc = get32(p + 4);
        uint64_t name_end = 12 + ((name + 3) & ~3ull), desc_end = name_end + ((desc + 3) & ~3ull);
        if (name_end + desc > n)
            return NULL;
        if (get32(p + 8) == type && name == strlen(owner) + 1 && memcmp(p + 12, owner, name) == 0) {
            *ret_n = desc;
            return p + name_end;
        }
        if (desc_end > n)
            return NULL;
        p += desc_end;
        n -= desc_end;
    }
    return NULL;
}

const uint8_t *elf_note(const FileBytes *f, const char *owner, uint32_t type, uint32_t *ret_n)
{
    for (unsigned i = 0; i < segment_count(f); i++) {
        ElfSegment s = segment_at(f, i);
        const uint8_t *note = s.type == PT_NOTE ? find_note(f->data + s.off, s.filesz, owner, type, ret_n) : NULL;
        if (note)
            return note;
    }
    return NULL;
}
