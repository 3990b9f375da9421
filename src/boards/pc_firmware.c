/* pc_firmware.c - what the classic PC tells its firmware: CMOS bytes, fw_cfg items, ACPI and SMBIOS tables. */
#include <string.h>

#include "boards/pc.h"
#include "boards/pc_inside.h"
#include "devices/acpi/acpi_tables.h"
#include "devices/acpi/fw_cfg.h"
#include "devices/acpi/mptable.h"
#include "devices/acpi/smbios.h"
#include "devices/storage/fdc.h"
#include "devices/timer/timer.h"

/* ---- CMOS: memory sizes and boot order where BIOSes of PCs look for them */

enum { KIB = 10, UNIT_64K = 16 };

static void set_cmos16(Pc *pc, unsigned at, uint64_t value)
{
    value = MIN(value, 0xffff);
    rtc_set_cmos(pc->rtc, at, value);
    rtc_set_cmos(pc->rtc, at + 1, value >> 8);
}

static void set_memory_bytes(Pc *pc)
{
    uint64_t extended = (pc->low_ram - (1 << 20)) >> KIB;
    set_cmos16(pc, 0x15, 640);
    set_cmos16(pc, 0x17, extended);
    set_cmos16(pc, 0x30, extended);
    set_cmos16(pc, 0x34, pc->low_ram > 16 << 20 ? (pc->low_ram - (16 << 20)) >> UNIT_64K : 0);
    for (unsigned i = 0; i < 3; i++)
        rtc_set_cmos(pc->rtc, 0x5b + i, pc->high_ram >> (UNIT_64K + 8 * i));
}

/* Nibbles 1 floppy, 2 disk, 3 CD, 4 network: 3dh low first and high second, 38h high third; bit 0: no floppy check. */
static bool set_boot_nibbles(Pc *pc, const char *order, GError **err)
{
    static const char letters[] = "acdn";
    uint8_t code[3] = { 0 };
    order = order ? order : "cad";
    if (!boot_order_check(order, err))
        return false;
    for (unsigned i = 0; order[i]; i++)
        code[i] = strchr(letters, order[i]) - letters + 1;
    rtc_set_cmos(pc->rtc, 0x3d, code[1] << 4 | code[0]);
    rtc_set_cmos(pc->rtc, 0x38, code[2] << 4 | 1);
    return true;
}

bool pc_set_boot_order(Board *b, const BootOrder *order, GError **err)
{
    Pc *pc = (Pc *)b;
    static const char name[] = "bootorder";
    g_autoptr(GString) file = NULL;
    if (!set_boot_nibbles(pc, order->letters, err) || !(file = boot_order_build(b->machine, order, err)))
        return false;
    return (!file->len && !fw_cfg_file(pc->fw_cfg, name)) || fw_cfg_add_file(pc->fw_cfg, name, file->str, file->len, err);
}

enum { FPU = 0x02, PS2_MOUSE = 0x04 }; /* equipment, 14h */

/* 14h: bit 0 floppies, bits 7 and 6 one less than how many. */
void pc_tell_floppies(Pc *pc)
{
    uint8_t kinds = pc->fdc ? fdc_cmos_drives(pc->fdc) : 0;
    unsigned n = !!(kinds >> 4) + !!(kinds & 15);
    rtc_set_cmos(pc->rtc, 0x10, kinds);
    rtc_set_cmos(pc->rtc, 0x14, FPU | PS2_MOUSE | (n ? 1 | (n - 1) << 6 : 0));
}

static bool set_cmos(Pc *pc, const BoardConfig *c, GError **err)
{
    enum { ALL_LBA = 0x55 };
    set_memory_bytes(pc);
    rtc_set_cmos(pc->rtc, 0x14, FPU | PS2_MOUSE);
    rtc_set_cmos(pc->rtc, 0x39, ALL_LBA); /* translation of the four disks */
    rtc_set_cmos(pc->rtc, 0x5f, pc->board.machine->config.cpus - 1);
    return set_boot_nibbles(pc, c->boot.letters, err);
}

/* ---- fw_cfg */

static bool add_number_file(Pc *pc, const char *name, uint64_t value, unsigned size, GError **err)
{
    value = GUINT64_TO_LE(value);
    return fw_cfg_add_file(pc->fw_cfg, name, &value, size, err);
}

static bool add_e820(Pc *pc, GError **err)
{
    E820Entry map[32];
    unsigned n = pc_e820(pc, map);
    return fw_cfg_add_file(pc->fw_cfg, "etc/e820", map, n * sizeof(map[0]), err);
}

static void add_items(Pc *pc, const BoardConfig *c)
{
    const MachineConfig *m = &pc->board.machine->config;
    fw_cfg_add_number(pc->fw_cfg, FW_CFG_RAM_SIZE, m->ram_size, 8);
    fw_cfg_add_number(pc->fw_cfg, FW_CFG_NB_CPUS, m->cpus, 2);
    fw_cfg_add_number(pc->fw_cfg, FW_CFG_MAX_CPUS, MAX(m->max_cpus, m->cpus), 2);
    fw_cfg_add_number(pc->fw_cfg, FW_CFG_NOGRAPHIC, !c->graphics, 2);
    fw_cfg_add_number(pc->fw_cfg, FW_CFG_BOOT_MENU, c->boot_menu, 2);
    fw_cfg_add_number(pc->fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1, 4);
    if (c->has_uuid)
        fw_cfg_add(pc->fw_cfg, FW_CFG_UUID, c->uuid, sizeof(c->uuid));
}

/* Sleep states for firmware that writes its own tables: none but S5 (type 0); bit 7 says enabled. */
static bool add_files(Pc *pc, const BoardConfig *c, GError **err)
{
    static const uint8_t system_states[6] = { 0x80, 0, 0, 0, 0, 0x80 };
    if (c->boot_menu_timeout_ms && !add_number_file(pc, "etc/boot-menu-wait", MIN(c->boot_menu_timeout_ms, 0xffff), 2, err))
        return false;
    return add_e820(pc, err) && fw_cfg_add_file(pc->fw_cfg, "etc/system-states", system_states, sizeof(system_states), err) &&
           add_number_file(pc, "etc/boot-fail-wait", (uint32_t)c->reboot_timeout_ms, 4, err);
}

/* ---- ACPI and SMBIOS */

AcpiTables *pc_acpi_tables(const Pc *pc)
{
    g_autofree uint32_t *ids = board_apic_ids(pc->board.machine);
    AcpiBoard b = { .cpus = pc->board.machine->config.cpus, .apic_ids = ids, .chips = &pc->chips->acpi, .ecam = pc->chips->ecam ? pc->chips->ecam(pc) : 0, .pci32_first = pc->low_ram, .pci32_last = PC_HOLE_END - 1,
                    .hpet = pc->hpet, .vga = pc->graphics, .fw_cfg = true, .fdc_port = pc->fdc ? 0x3f0 : 0, .pvpanic_port = pc->pvpanic_port, .dsdt = acpi_pc_dsdt };
    memcpy(b.serial, pc->serial, sizeof(b.serial));
    return acpi_tables_build(&b);
}

Smbios *pc_smbios(const Pc *pc)
{
    const CpuModel *cpu = &pc->board.machine->config.cpu_model;
    SmbiosMemory memory[] = { { 0, pc->low_ram }, { PC_4G, pc->high_ram } };
    CpuidContext context = board_topology(pc->board.machine);
    CpuidRegs leaf1 = cpu_model_cpuid(cpu, &context, 1, 0);
    SmbiosBoard b = { .product = pc->chips->type->summary, .version = pc->chips->type->name, .cpu_vendor = cpu->vendor, .cpu_brand = cpu->brand,
                      .cpu_signature = leaf1.eax, .cpu_features = leaf1.edx, .sockets = context.sockets, .cores = context.cores,
                      .threads = context.threads, .memory = memory, .n_memory = pc->high_ram ? 2 : 1,
                      .uuid = pc->has_uuid ? pc->uuid : NULL, .user = &pc->smbios_user };
    return smbios_build(&b);
}

GByteArray *pc_mp_table(const Pc *pc, const MpPciPin *pins, unsigned n)
{
    g_autofree uint32_t *ids = board_apic_ids(pc->board.machine);
    CpuidContext context = board_topology(pc->board.machine);
    CpuidRegs leaf1 = cpu_model_cpuid(&pc->board.machine->config.cpu_model, &context, 1, 0);
    MpBoard b = { .cpus = pc->board.machine->config.cpus, .apic_ids = ids, .cpu_signature = leaf1.eax, .cpu_features = leaf1.edx,
                  .pins = pins, .n_pins = n };
    return mp_table_build(&b);
}

static bool publish_smbios(Pc *pc, GError **err)
{
    g_autoptr(Smbios) s = pc_smbios(pc);
    return fw_cfg_add_file(pc->fw_cfg, "etc/smbios/smbios-tables", s->tables->data, s->tables->len, err) &&
           fw_cfg_add_file(pc->fw_cfg, "etc/smbios/smbios-anchor", s->anchor, sizeof(s->anchor), err);
}

bool pc_publish_tables(Pc *pc, GError **err)
{
    if (!pc->acpi)
        return true;
    g_autoptr(AcpiTables) t = pc_acpi_tables(pc);
    return acpi_add_files(t, pc->fw_cfg, err);
}

bool pc_tell_firmware(Pc *pc, const BoardConfig *c, GError **err)
{
    add_items(pc, c);
    return set_cmos(pc, c, err) && add_files(pc, c, err) && pc_publish_tables(pc, err) && (!pc->smbios || publish_smbios(pc, err));
}
