#pragma once
#include "devices/acpi/aml.h"
#include "machine/machine.h"
/*
 * acpi_tables.h - the ACPI tables of a board, in a form that is not yet placed in memory.
 *
 * Two files hold the bytes: the tables, and the RSDP.  Pointers are offsets within the tables until acpi_place() adds an
 * address, or firmware does by the linker-loader script.
 */
/* What the chip set decides. */
typedef struct AcpiChips {
    uint16_t pm_port, gpe_port; /* gpe_bytes 0: no general-purpose events */
    uint16_t smi_port;          /* 0: in ACPI mode from the start */
    uint8_t gpe_bytes;          /* status and enables together */
    uint16_t hotplug_port;      /* pci_hotplug.h, for bus 0; 0: none */
    uint8_t isa_slot;           /* of PCI bus 0, where the interrupt router is */
    uint8_t links;              /* 4: PIRQA-D, routed by registers 60h-63h; 8: E-H too, by 68h-6bh */
    uint8_t pirq_gsi;           /* IOAPIC input that PIRQA is wired to as well, the others behind it; 0: none */
    unsigned (*pirq)(unsigned slot, unsigned pin); /* which of them a slot's pin is wired to */
} AcpiChips;

typedef struct AcpiBoard {
    const AcpiChips *chips;
    uint64_t ecam; /* where 256 buses' configuration space is memory; 0: nowhere */
    unsigned cpus;
    const uint32_t *apic_ids;
    uint8_t ioapic_id;
    uint64_t pci32_first, pci32_last, pci64_first, pci64_last; /* windows for BARs; 64 with last 0: none */
    bool serial[4];    /* COM1 to COM4 at their classic places */
    bool hpet, vga, fw_cfg;
    uint16_t fdc_port; /* of the floppy controller; 0: none */
    uint16_t pvpanic_port; /* 0: none */
    bool no_8042, no_rtc, no_pic;
    const struct AcpiVirtio { uint32_t base, gsi; } *virtio; /* memory-mapped: of a board without PCI */
    unsigned n_virtio;
    Aml *(*dsdt)(const struct AcpiBoard *b);
} AcpiBoard;

typedef struct AcpiPointer {
    bool in_rsdp;      /* else in the tables */
    uint32_t offset;
    uint8_t size;      /* 4 or 8 */
} AcpiPointer;

typedef struct AcpiChecksum {
    bool in_rsdp;
    uint32_t at, start, length;
} AcpiChecksum;

typedef struct AcpiTables {
    GByteArray *tables, *rsdp;
    GArray *pointers;  /* AcpiPointer: each holds an offset into the tables */
    GArray *checksums; /* AcpiChecksum, in the order in which they must be computed */
} AcpiTables;

AcpiTables *acpi_tables_build(const AcpiBoard *board);
void acpi_tables_free(AcpiTables *t); /* NULL is fine */

/* For firmware: "etc/acpi/tables", "etc/acpi/rsdp" and "etc/table-loader". */
bool acpi_add_files(const AcpiTables *t, Device *fw_cfg, GError **err);
/* Resolves pointers and checksums for tables that will stand at guest-physical `tables_at` (a multiple of 64). */
void acpi_place(AcpiTables *t, uint64_t tables_at);

/* Starts a table: appends its 36-byte header.  acpi_table_end() fills in length and asks for the checksum. */
uint32_t acpi_table_begin(AcpiTables *t, const char *signature, uint8_t revision);
void acpi_table_end(AcpiTables *t, uint32_t start);
/* Appends a pointer of `size` bytes to the table at `target`. */
void acpi_table_pointer(AcpiTables *t, unsigned size, uint32_t target);

Aml *acpi_pc_dsdt(const AcpiBoard *board);      /* dsdt.c */
Aml *acpi_microvm_dsdt(const AcpiBoard *board); /* dsdt_microvm.c */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AcpiTables, acpi_tables_free)
