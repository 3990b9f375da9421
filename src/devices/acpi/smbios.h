#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/* smbios.h - System Management BIOS 2.8 tables (DMTF DSP0134): who made the machine and what is in it. */
typedef struct SmbiosMemory {
    uint64_t base, size;
} SmbiosMemory;

typedef struct SmbiosBoard {
    const char *product, *version; /* machine type */
    const char *cpu_vendor, *cpu_brand;
    uint32_t cpu_signature, cpu_features; /* CPUID leaf 1, EAX and EDX */
    unsigned sockets, cores, threads;     /* cores a socket, threads a core */
    const SmbiosMemory *memory;           /* blocks of RAM, by address */
    unsigned n_memory;
    const uint8_t *uuid; /* 16 bytes in the order they are written as text; NULL: none */
} SmbiosBoard;

typedef struct Smbios {
    GByteArray *tables;
    uint8_t anchor[31]; /* 2.1 entry point; address and checksums are set by smbios_place() or by firmware */
} Smbios;

Smbios *smbios_build(const SmbiosBoard *board);
void smbios_free(Smbios *s); /* NULL is fine */
void smbios_place(Smbios *s, uint32_t tables_at);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Smbios, smbios_free)
