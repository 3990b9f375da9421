#pragma once
#include "boards/board_inside.h"
#include "devices/intc/intc.h"
/* pc_inside.h - the classic PC, inside: what its files share. */
typedef struct Pc {
    Board board;
    Intc *intc;
    Device *ports, *host, *south, *pm, *fw_cfg, *rtc, *pit, *hpet, *a20, *ide;
    RamBlock *firmware;
    uint64_t low_ram, high_ram; /* bytes below and above 4 GiB */
    bool serial[4], acpi, smbios, graphics;
    bool has_uuid;
    uint8_t uuid[16];
    uint16_t pvpanic_port;
    unsigned next_isa_source;   /* of the south bridge's shared lines */
} Pc;

/* Sources of ISA lines; cards share the rest. */
enum { ISA_SOURCE_SCI, ISA_SOURCE_COM1, ISA_SOURCE_CARDS = ISA_SOURCE_COM1 + 4 };
enum { PC_BRIDGE_SLOT = 1 }; /* the south bridge: functions 0 ISA, 1 IDE, 3 power management */
#define PC_4G (1ull << 32)
#define PC_LOW_RAM_MAX (3ull << 30)
#define PC_HOLE_END 0xfec00000ull /* PCI windows end below the IOAPIC */

/* pc_memory.c */
bool pc_map_memory(Pc *pc, const BoardConfig *config, GError **err);
unsigned pc_e820(const Pc *pc, E820Entry ret[32]);
/* pc_firmware.c: CMOS, fw_cfg, ACPI and SMBIOS files.  pc_publish_tables() again after a device was added. */
bool pc_tell_firmware(Pc *pc, const BoardConfig *config, GError **err);
bool pc_set_boot_order(Board *b, const char *order, GError **err);
bool pc_publish_tables(Pc *pc, GError **err);
struct AcpiTables *pc_acpi_tables(const Pc *pc);
struct Smbios *pc_smbios(const Pc *pc);
struct MpPciPin;
GByteArray *pc_mp_table(const Pc *pc, const struct MpPciPin *pins, unsigned n);
/* pc_direct.c */
bool pc_start_direct(Board *b, BoardStart *ret, GError **err);
