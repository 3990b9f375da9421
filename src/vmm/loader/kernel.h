#pragma once
#include <time.h>

#include "vmm/loader/loader.h"
/*
 * kernel.h - inside the loader: a kind of kernel is a row that recognises a file and starts it.
 */
typedef struct FileBytes {
    const char *what; /* "kernel", "initrd", for messages */
    char *path;       /* NULL: there is none */
    int fd;
    uint8_t *data;    /* NULL: dropped */
    size_t n;
    struct timespec written; /* st_mtim when it was read */
} FileBytes;

/* Opens and reads; refuses directories, devices, empty files. */
bool file_bytes_open(const char *what, const char *path, FileBytes *ret, GError **err);
void file_bytes_drop(FileBytes *f); /* data alone */
/* Reads what was dropped.  *changed becomes true where the file was written to meanwhile. */
bool file_bytes_again(FileBytes *f, bool *changed, GError **err);
void file_bytes_clear(FileBytes *f);

typedef struct KernelKind {
    const char *name;
    bool (*recognise)(const FileBytes *f);
    bool (*check)(const FileBytes *f, GError **err); /* of a recognised file: is it whole and of use? */
    bool (*load)(const Kernel *k, Machine *m, const BoardStart *start, GError **err);
    bool modules; /* initrd is a list of modules, read by kernel_open() into k->modules */
} KernelKind;

typedef struct KernelModule {
    FileBytes file;
    char *command_line;
} KernelModule;

struct Kernel {
    const KernelKind *kind;
    FileBytes file;
    FileBytes initrd;
    GArray *modules; /* KernelModule */
    char *append;    /* never NULL */
};

extern const KernelKind kernel_bzimage, kernel_multiboot, kernel_elf_pvh;

/* Where things stand in low memory; all of it is RAM on any PC, and no kernel wants it for itself. */
enum {
    LOADER_GDT = 0x7000,
    LOADER_INFO = 0x8000,        /* start information of PVH and multiboot, and its lists: two pages */
    LOADER_PAGE_TABLES = 0xa000, /* six pages */
    LOADER_ZERO_PAGE = 0x10000,
    LOADER_COMMAND_LINE = 0x20000,
    LOADER_COMMAND_LINE_MAX = 0x10000,
};

/* ---- placing (place.c) */
/* Copies into RAM; `what` names it in the error. */
bool place_bytes(Machine *m, const char *what, uint64_t at, const void *data, uint64_t n, GError **err);
bool place_zeros(Machine *m, const char *what, uint64_t at, uint64_t n, GError **err);
/* Is [at, at + n) within one RAM entry of the memory map? */
bool place_fits(const BoardStart *s, uint64_t at, uint64_t n);
/* The highest page-aligned place for n bytes with floor <= place and place + n <= ceiling; 0 if there is none. */
uint64_t place_high(const BoardStart *s, uint64_t n, uint64_t floor, uint64_t ceiling);

/* ---- the CPU's state at entry (entry.c) */
typedef struct EntryState {
    bool long_mode; /* else protected mode, paging off */
    uint64_t rip, rax, rbx, rsi;
} EntryState;
/* Flat segments, interrupts off; long mode with the first 4 GiB mapped to themselves. */
bool entry_set(Machine *m, const EntryState *e, GError **err);

/* ---- ELF (elf.c) */
typedef struct ElfLoad {
    uint64_t highest; /* end of the physical addresses that segments use */
    uint64_t entry;   /* e_entry */
} ElfLoad;
bool elf_recognise(const FileBytes *f);
bool elf_check(const FileBytes *f, GError **err); /* headers and segments within the file, for x86 */
/* Copies PT_LOAD segments to their physical addresses. */
bool elf_load(const FileBytes *f, Machine *m, const BoardStart *s, ElfLoad *ret, GError **err);
/* Contents of the note of that owner and type, NULL if there is none.  After elf_check(). */
const uint8_t *elf_note(const FileBytes *f, const char *owner, uint32_t type, uint32_t *ret_n);

static inline uint16_t get16(const uint8_t *p) { return p[0] | p[1] << 8; }
static inline uint32_t get32(const uint8_t *p) { return get16(p) | (uint32_t)get16(p + 2) << 16; }
static inline uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }
static inline void put16(uint8_t *p, uint16_t v) { p[0] = v, p[1] = v >> 8; }
static inline void put32(uint8_t *p, uint32_t v) { put16(p, v), put16(p + 2, v >> 16); }
static inline void put64(uint8_t *p, uint64_t v) { put32(p, v), put32(p + 4, v >> 32); }
