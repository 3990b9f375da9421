/*
 * microvm.c - a machine that starts a kernel at once: no PCI bus to look through, no firmware to run.
 *
 * Memory-mapped virtio devices stand at feb00000h, 512 bytes each.  A kernel hears of them from ACPI (LNRO0005), or with acpi=off by words
 * on its command line.  Addresses, lines and switches are those of QEMU's microvm; ACPI is fixed hardware here, not reduced, for its timer is
 * what kernels measure their TSC by.
 */
#include "boards/microvm.h"

#include <string.h>

#include "boards/parts.h"
#include "devices/acpi/acpi_hw.h"
#include "devices/acpi/fw_cfg.h"
#include "devices/acpi/mptable.h"
#include "devices/display/ramfb.h"
#include "devices/misc/misc.h"
#include "devices/virtio/virtio_mmio_bus.h"

enum { PLACES = 8, VIRTIO_BASE = 0xfeb00000u, VIRTIO_GSI = 16, VIRTIO_ISA_LINE = 5 };
enum { PM_PORT = 0x600, RESET_PORT = 0xcf9, SCI_IRQ = 9, MIB = 1 << 20 };
#define LOW_RAM_MAX (3ull << 30)
#define HIGH_RAM (4ull << 30)

typedef struct Microvm {
    Board board;
    Intc *intc;
    Device *rtc, *fw_cfg;
    VirtioMmioBus place[PLACES];
    uint64_t low_ram, high_ram;
    bool serial[4], acpi, pic, kernel_words;
    uint16_t pvpanic_port;
} Microvm;

static Machine *machine(const Microvm *m) { return m->board.machine; }
static unsigned virtio_line(const Microvm *m, unsigned n) { return (m->acpi ? VIRTIO_GSI : VIRTIO_ISA_LINE) + n; }
static bool irqchip_in_kernel(const Microvm *m) { return machine(m)->accel && machine(m)->accel->ops->in_kernel_irqchip; }
static bool chosen(BoardSwitch s, bool by_itself) { return s == SWITCH_AUTO ? by_itself : s == SWITCH_ON; }

/* ---- parts */

static bool map_ram(Microvm *m, GError **err)
{
    RamBlock *ram = machine(m)->ram;
    if (!ram || ram->size < 2 * MIB)
        return error_set(err, ERR_INVALID, "machine 'microvm' needs at least 2 MiB of memory; raise -m");
    m->low_ram = MIN(ram->size, LOW_RAM_MAX);
    m->high_ram = ram->size - m->low_ram;
    RegionDecl low = { .name = "RAM", .kind = REGION_RAM, .size = m->low_ram, .ram = ram };
    RegionDecl high = { .name = "RAM above 4 GiB", .kind = REGION_RAM, .base = HIGH_RAM, .size = m->high_ram, .ram = ram, .offset = m->low_ram };
    return region_add(machine(m)->memory, &low, err) && (!m->high_ram || region_add(machine(m)->memory, &high, err));
}

static bool add_controllers(Microvm *m, const BoardConfig *c, GError **err)
{
    m->pic = chosen(c->micro.pic, true);
    if (!(m->intc = intc_create(machine(m), err)))
        return false;
    return m->pic || intc_hide_pic(m->intc) || error_set(err, ERR_UNSUPPORTED, "-machine pic=off: this accelerator's interrupt controllers come as a whole");
}

static bool add_clocks(Microvm *m, const BoardConfig *c, GError **err)
{
    bool ours = !irqchip_in_kernel(m);
    if (chosen(c->micro.pit, ours) && ours && !board_add_pit(machine(m), m->intc, err))
        return false;
    return !chosen(c->micro.rtc, ours) || (m->rtc = board_add_rtc(machine(m), m->intc, c, err));
}

static bool add_power(Microvm *m, GError **err)
{
    static const uint64_t at[] = { PM_PORT, RESET_PORT };
    if (!m->acpi)
        return true;
    Device *d = device_new(machine(m), &acpi_hw_type, NULL, NULL, err);
    if (!d)
        return false;
    d->irq[0] = intc_gsi(m->intc, SCI_IRQ);
    machine(m)->power_button = device_irq_input(d, 0);
    return device_realize(d, err) && board_map_windows(d, at, 2, err);
}

static bool add_serials(Microvm *m, const BoardConfig *c, GError **err)
{
    for (unsigned n = 0; n < 4 && chosen(c->micro.isa_serial, true); n++) {
        m->serial[n] = c->serial[n];
        if (c->serial[n] && !board_add_serial(machine(m), n, c->serial[n], intc_gsi(m->intc, board_com_ports[n].line), err))
            return false;
    }
    return true;
}

static void add_places(Microvm *m)
{
    for (unsigned n = 0; n < PLACES; n++)
        virtio_mmio_bus_init(&m->place[n], machine(m), n, VIRTIO_BASE + n * VIRTIO_MMIO_BYTES, intc_gsi(m->intc, virtio_line(m, n)));
}

/* ---- what the kernel is told */

static unsigned used_places(const Microvm *m, struct AcpiVirtio ret[PLACES])
{
    unsigned used = 0;
    for (unsigned n = 0; n < PLACES; n++)
        if (virtio_mmio_bus_device(&m->place[n]))
            ret[used++] = (struct AcpiVirtio){ m->place[n].base, virtio_line(m, n) };
    return used;
}

static AcpiTables *acpi_tables(const Microvm *m)
{
    static const AcpiChips chips = { .pm_port = PM_PORT };
    struct AcpiVirtio virtio[PLACES];
    g_autofree uint32_t *ids = board_apic_ids(machine(m));
    AcpiBoard b = { .chips = &chips, .cpus = machine(m)->config.cpus, .apic_ids = ids, .fw_cfg = true, .pvpanic_port = m->pvpanic_port, .no_8042 = true,
                    .no_rtc = !m->rtc, .no_pic = !m->pic, .virtio = virtio, .n_virtio = used_places(m, virtio), .dsdt = acpi_microvm_dsdt };
    memcpy(b.serial, m->serial, sizeof(b.serial));
    return acpi_tables_build(&b);
}

static GByteArray *mp_table(const Microvm *m)
{
    g_autofree uint32_t *ids = board_apic_ids(machine(m));
    CpuidContext context = board_topology(machine(m));
    CpuidRegs leaf1 = cpu_model_cpuid(&machine(m)->config.cpu_model, &context, 1, 0);
    MpBoard b = { .cpus = machine(m)->config.cpus, .apic_ids = ids, .cpu_signature = leaf1.eax, .cpu_features = leaf1.edx };
    return mp_table_build(&b);
}

/* Linux Documentation/admin-guide/kernel-parameters.txt, virtio_mmio.device=size@address:line. */
static void say_places(const Microvm *m, BoardStart *ret)
{
    struct AcpiVirtio virtio[PLACES];
    unsigned n = used_places(m, virtio);
    for (unsigned i = 0; i < n; i++) {
        size_t used = strlen(ret->command_line);
        g_snprintf(ret->command_line + used, sizeof(ret->command_line) - used, "%svirtio_mmio.device=%u@0x%x:%u", used ? " " : "", VIRTIO_MMIO_BYTES,
                   virtio[i].base, virtio[i].gsi);
    }
}

static bool start_direct(Board *b, BoardStart *ret, GError **err)
{
    Microvm *m = (Microvm *)b;
    BoardStart start = { 0 };
    TableArea area;
    g_autoptr(AcpiTables) acpi = m->acpi ? acpi_tables(m) : NULL;
    g_autoptr(GByteArray) mp = mp_table(m);
    if (!table_area_begin(&area, b->machine, err) || !table_area_add_mp(&area, mp, err) ||
        (acpi && !table_area_add_acpi(&area, acpi, &start.rsdp, err)))
        return false;
    if (!acpi && m->kernel_words)
        say_places(m, &start);
    table_area_describe(&start, m->low_ram, m->high_ram);
    *ret = start;
    return true;
}

/* ---- the board */

static bool build(Microvm *m, const BoardConfig *c, GError **err)
{
    if (!map_ram(m, err) || !add_controllers(m, c, err) || !add_clocks(m, c, err) || !add_power(m, err) || !add_serials(m, c, err))
        return false;
    add_places(m);
    if (!(m->fw_cfg = board_add_fw_cfg(machine(m), err)))
        return false;
    fw_cfg_add_number(m->fw_cfg, FW_CFG_RAM_SIZE, machine(m)->config.ram_size, 8);
    fw_cfg_add_number(m->fw_cfg, FW_CFG_NB_CPUS, machine(m)->config.cpus, 2);
    return true;
}

static void destroy(Board *b)
{
    Microvm *m = (Microvm *)b;
    intc_destroy(m->intc);
    for (unsigned n = 0; n < PLACES; n++)
        if (m->place[n].bus.type)
            bus_clear(&m->place[n].bus);
    bus_clear(&b->isa.bus);
    g_free(m);
}

static IrqLine isa_irq(Board *b, unsigned n) { return intc_gsi(((Microvm *)b)->intc, n); }

static bool add_file(Board *b, const char *name, const void *data, size_t n, GError **err)
{
    return fw_cfg_add_file(((Microvm *)b)->fw_cfg, name, data, n, err);
}

/* There is nothing that would boot from a disk. */
static bool set_boot_order(Board *b, const BootOrder *order, GError **err) { return !order->letters || boot_order_check(order->letters, err); }
static bool attach(Board *b, Device *d, GError **err) { return true; }

static bool plugged(Board *b, Device *d, GError **err)
{
    if (d->type == &ramfb_type)
        return ramfb_connect(d, ((Microvm *)b)->fw_cfg, err);
    if (d->type == &pvpanic_type)
        ((Microvm *)b)->pvpanic_port = field_get(field_find(d->type->fields, "iobase", FIELD_PROP), d, 0);
    return true;
}

static const BoardOps ops = { .destroy = destroy, .isa_irq = isa_irq, .add_file = add_file, .set_boot_order = set_boot_order, .attach = attach,
                              .plugged = plugged, .start_direct = start_direct };

static Board *create(Machine *machine, const BoardConfig *c, GError **err)
{
    Microvm *m = g_new0(Microvm, 1);
    unsigned devices = machine->devices->len;
    m->board = (Board){ .ops = &ops, .machine = machine };
    m->board.isa.board = &m->board;
    bus_init(&m->board.isa.bus, machine, &isa_bus_type, "isa.0", NULL);
    m->acpi = !c->no_acpi;
    m->kernel_words = chosen(c->micro.auto_kernel_cmdline, true);
    if (build(m, c, err))
        return &m->board;
    board_destroy_devices(machine, devices);
    destroy(&m->board);
    return NULL;
}

const BoardType board_microvm = {
    .name = "microvm",
    .summary = "no PCI, no firmware: -kernel with virtio-mmio devices",
    .max_cpus = 255,
    .bare = true,
    .create = create,
};
