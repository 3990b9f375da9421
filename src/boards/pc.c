/* pc.c - a PC: which devices, at which ports, on which lines.  What differs between chip sets is in pc_i440fx.c and pc_q35.c. */
#include "boards/pc.h"

#include "boards/pc_inside.h"
#include "devices/acpi/fw_cfg.h"
#include "devices/display/ramfb.h"
#include "devices/input/input.h"
#include "devices/misc/a20.h"
#include "devices/misc/i8237.h"
#include "devices/misc/misc.h"
#include "devices/pci/i440fx.h"
#include "devices/storage/fdc.h"
#include "devices/storage/ide.h"
#include "devices/timer/timer.h"

/* ---- helpers */

static Machine *machine(const Pc *pc) { return pc->board.machine; }
static IrqLine gsi(Pc *pc, unsigned n) { return intc_gsi(pc->intc, n); }
IrqLine pc_shared_line(Pc *pc, unsigned source, unsigned irq) { return device_irq_input(pc->south, source * 16 + irq); }
static bool irqchip_in_kernel(const Pc *pc) { return machine(pc)->accel && machine(pc)->accel->ops->in_kernel_irqchip; }

static void append_props(GPtrArray *to, const char *const *props)
{
    for (; props && *props; props++)
        g_ptr_array_add(to, (char *)*props);
}

Device *pc_new_drive(Pc *pc, unsigned n, const BoardConfig *c, const char *const *place, GError **err)
{
    g_autoptr(GPtrArray) props = g_ptr_array_new();
    append_props(props, place);
    append_props(props, (const char *const[]){ c->ide[n] ? "drive" : NULL, c->ide[n], NULL });
    append_props(props, c->ide_props[n]);
    g_ptr_array_add(props, NULL);
    return device_new(machine(pc), c->ide_cdrom[n] ? &ide_cd_type : &ide_hd_type, NULL, (const char *const *)props->pdata, err);
}

Device *pc_new_device(Pc *pc, const DeviceType *t, GError **err) { return device_new(machine(pc), t, NULL, NULL, err); }

bool pc_plug_function(Pc *pc, Device *d, unsigned slot, unsigned function, GError **err)
{
    return d && pci_plug((PciDevice *)d, pc->board.pci, pci_devfn(slot, function), err) && device_realize(d, err);
}

/* ---- chip set */

void pc_send_msi(void *opaque, uint64_t address, uint32_t data) { intc_msi(((Pc *)opaque)->intc, address, data); }

bool pc_add_ports(Pc *pc, GError **err)
{
    static const uint64_t at[] = { 0xcf8, 0xcfc };
    if (!(pc->ports = pc_new_device(pc, &i440fx_ports_type, err)))
        return false;
    i440fx_ports_set_bus(pc->ports, pc->board.pci);
    return device_realize(pc->ports, err) && board_map_windows(pc->ports, at, 2, err);
}

/* ---- timers */

/* KVM's interrupt controllers come with a timer of their own. */
static bool add_pit(Pc *pc, GError **err) { return irqchip_in_kernel(pc) || (pc->pit = board_add_pit(machine(pc), pc->intc, err)); }

/* Its legacy replacement takes IRQ 0 and 8 from the other timers, so it needs a PIT of ours. */
static bool add_hpet(Pc *pc, const BoardConfig *c, GError **err)
{
    static const uint64_t at[] = { 0xfed00000 };
    if (c->no_hpet || !pc->pit)
        return true;
    if (!(pc->hpet = pc_new_device(pc, &hpet_type, err)))
        return false;
    for (unsigned n = 0; n < INTC_GSIS; n++)
        pc->hpet->irq[n] = gsi(pc, n);
    pc->hpet->irq[HPET_LEGACY_PIT] = device_irq_input(pc->pit, 0);
    pc->hpet->irq[HPET_LEGACY_RTC] = device_irq_input(pc->rtc, 0);
    return device_realize(pc->hpet, err) && board_map_windows(pc->hpet, at, 1, err);
}

/* ---- keyboard controller, port 92h and the A20 gate that both drive */

static bool add_keyboard_controller(Pc *pc, GError **err)
{
    static const uint64_t at[] = { 0x60, 0x64 };
    Device *d = pc_new_device(pc, &i8042_type, err);
    if (!d)
        return false;
    d->irq[I8042_KEYBOARD_IRQ] = gsi(pc, 1);
    d->irq[I8042_MOUSE_IRQ] = gsi(pc, 12);
    d->irq[I8042_A20] = device_irq_input(pc->a20, 0);
    return device_realize(d, err) && board_map_windows(d, at, 2, err);
}

static bool add_port92(Pc *pc, GError **err)
{
    static const uint64_t at[] = { 0x92 };
    Device *d = pc_new_device(pc, &port92_type, err);
    if (!d)
        return false;
    d->irq[0] = device_irq_input(pc->a20, 1);
    return device_realize(d, err) && board_map_windows(d, at, 1, err);
}

static bool add_input(Pc *pc, GError **err)
{
    pc->a20 = device_create(machine(pc), &a20_type, NULL, NULL, err);
    return pc->a20 && add_keyboard_controller(pc, err) && add_port92(pc, err);
}

/* ---- the rest of what is soldered on */

static bool add_serials(Pc *pc, const BoardConfig *c, GError **err)
{
    for (unsigned n = 0; n < 4; n++) {
        pc->serial[n] = c->serial[n];
        if (c->serial[n] && !board_add_serial(machine(pc), n, c->serial[n], pc_shared_line(pc, ISA_SOURCE_COM1 + n, board_com_ports[n].line), err))
            return false;
    }
    return true;
}

static bool add_dma(Pc *pc, GError **err)
{
    static const uint64_t at[] = { 0x00, 0xc0, 0x81 };
    pc->dma = device_create(machine(pc), &i8237_type, NULL, NULL, err);
    return pc->dma && board_map_windows(pc->dma, at, 3, err);
}

/* The classic PC has a floppy controller; on others one is a card. */
static bool add_fdc(Pc *pc, GError **err)
{
    if (!pc->chips->floppies)
        return true;
    if (!(pc->fdc = pc_new_device(pc, &isa_fdc_type, err)))
        return false;
    pc->fdc->irq[0] = gsi(pc, 6);
    fdc_set_dma(pc->fdc, pc->dma);
    return device_realize(pc->fdc, err) && device_map(pc->fdc, 0, 0x3f0, err);
}

/* ---- the board */

static bool build(Pc *pc, const BoardConfig *c, GError **err)
{
    return pc_map_memory(pc, c, err) && (pc->intc = intc_create(machine(pc), err)) && pc->chips->add(pc, c, err) && add_input(pc, err) &&
           (pc->rtc = board_add_rtc(machine(pc), pc->intc, c, err)) && add_pit(pc, err) && add_hpet(pc, c, err) && add_dma(pc, err) &&
           add_fdc(pc, err) && add_serials(pc, c, err) && (pc->fw_cfg = board_add_fw_cfg(machine(pc), err)) && pc_tell_firmware(pc, c, err);
}

static void destroy(Board *b)
{
    Pc *pc = (Pc *)b;
    intc_destroy(pc->intc);
    bus_clear(&b->isa.bus);
    pci_bus_destroy(b->pci);
    ram_destroy(pc->firmware);
    smbios_user_clear(&pc->smbios_user);
    g_free(pc);
}

/* Cards beyond the number of sources share the last one; they then also share whether a line is high. */
static IrqLine isa_irq(Board *b, unsigned n)
{
    Pc *pc = (Pc *)b;
    unsigned source = MIN(pc->next_isa_source, PIRQ_SOURCES - 1);
    pc->next_isa_source = source + 1;
    return pc_shared_line(pc, source, n);
}

static bool add_file(Board *b, const char *name, const void *data, size_t n, GError **err)
{
    return fw_cfg_add_file(((Pc *)b)->fw_cfg, name, data, n, err);
}

static bool attach(Board *b, Device *d, GError **err)
{
    Pc *pc = (Pc *)b;
    if (d->type == &isa_fdc_type)
        fdc_set_dma(pc->fdc = d, pc->dma);
    bool drive = d->type == &ide_hd_type || d->type == &ide_cd_type;
    return !drive || !pc->ide || ide_attach(pc->ide, d, err);
}

static bool plugged(Board *b, Device *d, GError **err)
{
    Pc *pc = (Pc *)b;
    if (d->type == &floppy_type)
        pc_tell_floppies(pc);
    if (d->type == &ramfb_type)
        return ramfb_connect(d, pc->fw_cfg, err);
    if (d->type != &pvpanic_type)
        return true;
    pc->pvpanic_port = field_get(field_find(d->type->fields, "iobase", FIELD_PROP), d, 0);
    return pc_publish_tables(pc, err);
}

static const BoardOps pc_ops = { .destroy = destroy, .isa_irq = isa_irq, .add_file = add_file, .set_boot_order = pc_set_boot_order, .attach = attach, .plugged = plugged, .start_direct = pc_start_direct };

Board *pc_create(const PcChips *chips, Machine *m, const BoardConfig *c, GError **err)
{
    Pc *pc = g_new0(Pc, 1);
    pc->chips = chips;
    pc->board = (Board){ .ops = &pc_ops, .machine = m };
    pc->board.pci = pci_bus_create(m, chips->bus_name, &chips->bus, pc);
    pc->board.isa.board = &pc->board;
    bus_init(&pc->board.isa.bus, m, &isa_bus_type, "isa.0", NULL);
    pc->next_isa_source = ISA_SOURCE_CARDS;
    pc->acpi = !c->no_acpi;
    pc->smbios = !c->no_smbios;
    pc->graphics = c->graphics;
    pc->has_uuid = c->has_uuid;
    memcpy(pc->uuid, c->uuid, sizeof(pc->uuid));
    if (c->smbios)
        pc->smbios_user = smbios_user_copy(c->smbios);
    unsigned devices = m->devices->len;
    if (build(pc, c, err))
        return &pc->board;
    board_destroy_devices(m, devices);
    destroy(&pc->board);
    return NULL;
}
