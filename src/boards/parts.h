#pragma once
#include "boards/board_inside.h"
#include "devices/acpi/acpi_tables.h"
#include "devices/acpi/smbios.h"
#include "devices/intc/intc.h"
/*
 * parts.h - what all boards are made of: clocks and serial ports at their classic places, and the tables of a start without firmware, which
 * stand where a BIOS would.
 */
/* NULL on failure; the device is the machine's. */
Device *board_add_rtc(Machine *m, Intc *intc, const BoardConfig *c, GError **err);
Device *board_add_pit(Machine *m, Intc *intc, GError **err);
Device *board_add_fw_cfg(Machine *m, GError **err);
bool board_map_windows(Device *d, const uint64_t *at, unsigned n, GError **err); /* windows 0, 1, ... */

/* COM1 to COM4. */
typedef struct ComPort {
    const char *iobase, *irq;
    uint16_t port;
    uint8_t line;
} ComPort;
extern const ComPort board_com_ports[4];
bool board_add_serial(Machine *m, unsigned n, const char *chardev, IrqLine irq, GError **err);

uint32_t *board_apic_ids(const Machine *m); /* of each vCPU; caller frees */
CpuidContext board_topology(const Machine *m);

/* ---- tables within e0000h-fffffh */

typedef struct TableArea {
    Machine *machine;
    uint64_t next, end;
} TableArea;

bool table_area_begin(TableArea *a, Machine *m, GError **err); /* all zeros */
bool table_area_add_acpi(TableArea *a, AcpiTables *t, uint64_t *ret_rsdp, GError **err);
bool table_area_add_smbios(TableArea *a, Smbios *s, GError **err);
bool table_area_add_mp(TableArea *a, const GByteArray *table, GError **err);
/* What is left of RAM: not the last KiB below 640 KiB, nor what stands above that up to 1 MiB. */
void table_area_describe(BoardStart *ret, uint64_t low_ram, uint64_t high_ram);
