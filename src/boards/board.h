#pragma once
#include "boards/boot_order.h"
#include "devices/acpi/smbios.h"
#include "machine/machine.h"
/*
 * board.h - main boards: which devices a machine has and how they are wired.  No behaviour of its own.
 *
 *     Machine *m = machine_create(&config, &err);
 *     Board *b = board_create(board_find("pc", &err), m, &board_config, &err);   after machine_add_accel()
 *     ... device_new() and board_plug() for every -device ...
 *     machine_reset(m, RESET_COLD); board_start_direct(b, &info, &err);          the latter only without firmware
 *     machine_start(m);
 *     ... machine_destroy(m); board_destroy(b);                                  in this order
 */
typedef struct Board Board;

typedef enum RtcBase { RTC_UTC, RTC_LOCALTIME, RTC_AT } RtcBase;

typedef enum BoardSwitch { SWITCH_AUTO, SWITCH_ON, SWITCH_OFF } BoardSwitch;
typedef struct MicroConfig { /* a microvm's own; auto: as the accelerator wants it, and on */
    BoardSwitch pic, pit, rtc, isa_serial, auto_kernel_cmdline;
} MicroConfig;

/* Strings stay the caller's and need not outlive board_create(). */
typedef struct BoardConfig {
    const char *firmware;      /* path of the image; NULL: none, see board_start_direct() */
    const char *pflash[2];     /* instead: drive ids of the firmware's flash and of its variables' */
    const char *serial[4];     /* chardev ids of COM1 to COM4; NULL: no such port */
    const char *ide[4];        /* drive ids: primary master and slave, secondary master and slave; NULL: empty */
    const char *const *ide_props[4]; /* of that drive, "name", "value", ..., NULL; or NULL */
    bool ide_cdrom[4];         /* an ATAPI drive; with ide[n] NULL it has no disc */
    BootOrder boot;
    bool boot_menu;
    unsigned boot_menu_timeout_ms; /* 0: the firmware's default */
    int reboot_timeout_ms;     /* when nothing boots; -1: stay */
    RtcBase rtc_base;
    int64_t rtc_time;          /* RTC_AT: seconds since 1970 at machine start */
    bool no_acpi, no_hpet, no_smbios;
    bool graphics;             /* false: firmware uses COM1 as its console */
    const SmbiosUser *smbios;  /* NULL: nothing said */
    bool has_uuid;
    uint8_t uuid[16];          /* in the order it is written as text */
    MicroConfig micro;
} BoardConfig;

typedef struct BoardType {
    const char *name, *alias, *summary;
    const char *versioned; /* "pc-q35-": with one of board_versions behind it a name of this board, too; NULL: none */
    unsigned max_cpus;
    bool bare; /* no PCI and no firmware: virtio devices are memory-mapped, and a start is board_start_direct() */
    Board *(*create)(Machine *m, const BoardConfig *config, GError **err);
} BoardType;

extern const BoardType *const board_types[]; /* table.c; NULL-terminated */
/* Versions in the names that QEMU's machines have had: what was defined for one of them starts here, on the board as it is. */
extern const char *const board_versions[]; /* table.c; NULL-terminated */
const BoardType *board_find(const char *name, GError **err); /* by name or alias; an error names the nearest */

/* Puts every device of the board into m, which has its accelerator already, and RAM into the memory map.  On failure
 * NULL, with the board's devices gone; m is then good for machine_destroy() only. */
Board *board_create(const BoardType *type, Machine *m, const BoardConfig *config, GError **err);
void board_destroy(Board *b); /* after machine_destroy(); NULL is fine */

/* Wires and realizes a device made with device_new() on the bus of that name (NULL: one of its kind): PCI devices at `addr`
 * ("SLOT" or "SLOT.FUNCTION", NULL: the first free slot), ISA cards at their properties iobase (or ioport) and irq.  On
 * failure the device is still the caller's to destroy. */
bool board_plug(Board *b, Device *d, const char *bus, const char *addr, GError **err);

/* The order of boot devices from the next start on: after devices were added or their bootindex changed, and once -boot once= is over. */
bool board_set_boot_order(Board *b, const BootOrder *order, GError **err);

/* An extra fw_cfg file (-fw_cfg name=...,file=...); the bytes are copied. */
bool board_add_file(Board *b, const char *name, const void *data, size_t n, GError **err);

/* ---- a start without firmware */

typedef enum E820Type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 } E820Type;
typedef struct __attribute__((packed)) E820Entry {
    uint64_t base, size;
    uint32_t type; /* E820Type */
} E820Entry;

typedef struct BoardStart {
    unsigned n_e820;
    E820Entry e820[32]; /* sorted, not overlapping */
    uint64_t rsdp;      /* 0: no ACPI */
    uint64_t low_ram;   /* end of RAM below 4 GiB */
    char command_line[512]; /* what a kernel's is to have at its end; may be empty */
} BoardStart;

/* Does what firmware would have left behind: shadow RAM at c0000-fffff, PCI BARs and interrupt lines, IDE and power
 * management decoding, interrupt routing, ACPI and SMBIOS tables in guest memory.  Machine stopped, after every
 * machine_reset().  Memory that a loader may use: what *ret calls RAM. */
bool board_start_direct(Board *b, BoardStart *ret, GError **err);
