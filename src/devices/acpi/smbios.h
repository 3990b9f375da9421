#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/* smbios.h - System Management BIOS 2.8 tables (DMTF DSP0134): who made the machine and what is in it. */
typedef struct SmbiosMemory {
    uint64_t base, size;
} SmbiosMemory;

/* What a user may say instead of what the board says: smbios_keys tells which option's key is which. */
typedef enum SmbiosText {
    SMBIOS_BIOS_VENDOR, SMBIOS_BIOS_VERSION, SMBIOS_BIOS_DATE,
    SMBIOS_SYSTEM_MAKER, SMBIOS_SYSTEM_PRODUCT, SMBIOS_SYSTEM_VERSION, SMBIOS_SYSTEM_SERIAL, SMBIOS_SYSTEM_SKU, SMBIOS_SYSTEM_FAMILY,
    SMBIOS_BOARD_MAKER, SMBIOS_BOARD_PRODUCT, SMBIOS_BOARD_VERSION, SMBIOS_BOARD_SERIAL, SMBIOS_BOARD_ASSET, SMBIOS_BOARD_LOCATION,
    SMBIOS_CHASSIS_MAKER, SMBIOS_CHASSIS_VERSION, SMBIOS_CHASSIS_SERIAL, SMBIOS_CHASSIS_ASSET, SMBIOS_CHASSIS_SKU,
    SMBIOS_CPU_SOCKET, SMBIOS_CPU_MAKER, SMBIOS_CPU_VERSION, SMBIOS_CPU_SERIAL, SMBIOS_CPU_ASSET, SMBIOS_CPU_PART,
    SMBIOS_MODULE_LOCATOR, SMBIOS_MODULE_BANK, SMBIOS_MODULE_MAKER, SMBIOS_MODULE_SERIAL, SMBIOS_MODULE_ASSET, SMBIOS_MODULE_PART,
    SMBIOS_TEXTS,
} SmbiosText;

typedef struct SmbiosKey {
    uint8_t type; /* of the structure */
    const char *key;
    SmbiosText text;
} SmbiosKey;
extern const SmbiosKey smbios_keys[SMBIOS_TEXTS];

enum { SMBIOS_OEM_MOST = 255 };

typedef struct SmbiosUser {
    char *text[SMBIOS_TEXTS];  /* NULL: the board's */
    GPtrArray *oem;            /* char: strings of structure 11; NULL: none */
    GPtrArray *structures;     /* GBytes: whole ones, in place of the board's of that type; NULL: none */
} SmbiosUser;

void smbios_user_clear(SmbiosUser *u);
SmbiosUser smbios_user_copy(const SmbiosUser *u);
/* A structure with its strings, as it stands in memory; takes data.  False: it is not one. */
bool smbios_user_add_structure(SmbiosUser *u, GBytes *data);

typedef struct SmbiosBoard {
    const char *product, *version; /* machine type */
    const char *cpu_vendor, *cpu_brand;
    uint32_t cpu_signature, cpu_features; /* CPUID leaf 1, EAX and EDX */
    unsigned sockets, cores, threads;     /* cores a socket, threads a core */
    const SmbiosMemory *memory;           /* blocks of RAM, by address */
    unsigned n_memory;
    const uint8_t *uuid; /* 16 bytes in the order they are written as text; NULL: none */
    const SmbiosUser *user; /* NULL: nothing said */
} SmbiosBoard;

typedef struct Smbios {
    GByteArray *tables;
    uint8_t anchor[31]; /* 2.1 entry point; address and checksums are set by smbios_place() or by firmware */
} Smbios;

Smbios *smbios_build(const SmbiosBoard *board);
void smbios_free(Smbios *s); /* NULL is fine */
void smbios_place(Smbios *s, uint32_t tables_at);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Smbios, smbios_free)
