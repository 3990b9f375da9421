#pragma once
#include "boards/parts.h"
#include "devices/pci/pirq.h"
/*
 * pc_inside.h - PCs, inside: what their files share.  Two chip sets make two boards of them.
 */
typedef struct Pc Pc;

typedef struct PcChips {
    const BoardType *type;
    const char *bus_name;
    uint64_t low_ram_max; /* bytes of RAM below 4 GiB */
    PciBusOps bus;
    AcpiChips acpi;
    bool floppies;           /* has a floppy controller */
    uint8_t pam0;            /* register of the host bridge */
    uint8_t isa_slot;
    uint64_t (*ecam)(const Pc *pc); /* NULL: has none */
    bool (*add)(Pc *pc, const BoardConfig *config, GError **err); /* host bridge, ISA bridge with power management, disks' controller */
    void (*set_up)(Pc *pc);  /* what firmware writes to their registers; shadow RAM and BARs apart */
} PcChips;
struct Pc {
    Board board;
    const PcChips *chips;
    Intc *intc;
    Device *ports, *host, *south, *pm, *fw_cfg, *rtc, *pit, *hpet, *a20, *ide, *dma, *fdc;
    RamBlock *firmware;
    uint64_t low_ram, high_ram; /* bytes below and above 4 GiB */
    bool serial[4], acpi, smbios, graphics;
    bool has_uuid;
    uint8_t uuid[16];
    SmbiosUser smbios_user;
    uint16_t pvpanic_port;
    unsigned next_isa_source;   /* of the south bridge's shared lines */
};

/* Sources of ISA lines; cards share the rest. */
enum { ISA_SOURCE_SCI = PIRQ_SOURCE_SCI, ISA_SOURCE_COM1, ISA_SOURCE_CARDS = ISA_SOURCE_COM1 + 4 };
#define PC_4G (1ull << 32)
#define PC_HOLE_END 0xfec00000ull /* PCI windows end below the IOAPIC */

/* pc.c */
Board *pc_create(const PcChips *chips, Machine *m, const BoardConfig *config, GError **err);
Device *pc_new_device(Pc *pc, const DeviceType *t, GError **err);
/* The disk or CD drive of the n-th IDE position; place: its properties that say where, ending with NULL. */
Device *pc_new_drive(Pc *pc, unsigned n, const BoardConfig *c, const char *const *place, GError **err);
bool pc_plug_function(Pc *pc, Device *d, unsigned slot, unsigned function, GError **err);
IrqLine pc_shared_line(Pc *pc, unsigned source, unsigned irq);
void pc_send_msi(void *pc, uint64_t address, uint32_t data); /* fits PciBusOps */
bool pc_add_ports(Pc *pc, GError **err);                     /* configuration mechanism 1 */
/* pc_memory.c */
bool pc_map_memory(Pc *pc, const BoardConfig *config, GError **err);
unsigned pc_e820(const Pc *pc, E820Entry ret[32]);
/* pc_firmware.c: CMOS, fw_cfg, ACPI and SMBIOS files.  pc_publish_tables() again after a device was added. */
bool pc_tell_firmware(Pc *pc, const BoardConfig *config, GError **err);
bool pc_set_boot_order(Board *b, const BootOrder *order, GError **err);
bool pc_publish_tables(Pc *pc, GError **err);
AcpiTables *pc_acpi_tables(const Pc *pc);
struct Smbios *pc_smbios(const Pc *pc);
struct MpPciPin;
GByteArray *pc_mp_table(const Pc *pc, const struct MpPciPin *pins, unsigned n);
/* pc_direct.c */
bool pc_start_direct(Board *b, BoardStart *ret, GError **err);
void pc_tell_floppies(Pc *pc); /* CMOS: which drives there are */
void pc_out(Pc *pc, uint16_t port, unsigned size, uint32_t value);
extern const uint8_t pc_pirq_line[4]; /* that SeaBIOS gives PIRQA-D, and E-H too */
