/* e1000.c - Intel 82540EM, the gigabit card that every guest has a driver for: its PCI function and life. */
#include "devices/net/e1000.h"

#include <string.h>

#include "devices/net/net.h"

enum { INTEL = 0x8086, ID_82540EM = 0x100e, REVISION = 3, QUMRANET = 0x1af4, SUBSYSTEM = 0x1100, CLASS_ETHERNET = 0x020000 };
enum { BUFFER_BYTES = HOSTNET_FRAME_MAX + 8 };

static const Field fields[] = { E1000_FIELDS, DEVICE_FIELDS_END };

static const WindowDecl windows[] = {
    { "registers", SPACE_PCI_BAR, 128 << 10, &e1000_memory_ops, .bar = 0 },
    { "io", SPACE_PCI_BAR, 64, &e1000_io_ops, .bar = 1, .bar_io = true },
    { .name = NULL },
};

static void link_changed(void *opaque, bool up)
{
    E1000 *e = opaque;
    g_mutex_lock(&e->pci.dev.lock);
    e1000_set_link(e, up);
    e1000_interrupt(e, INT_LSC);
    g_mutex_unlock(&e->pci.dev.lock);
}

static const HostNetCard card = { .transmit = e1000_transmit, .receive = e1000_receive, .link_changed = link_changed };

bool e1000_realize(E1000 *e, const E1000Model *model, GError **err)
{
    Device *d = &e->pci.dev;
    e->model = model;
    if (!net_card_realize(&e->card, d, err))
        return false;
    e->tx_frame = g_malloc(BUFFER_BYTES);
    e->rx_frame = g_malloc(BUFFER_BYTES);
    e1000_fill_eeprom(e);
    net_card_attach(&e->card, &card, d);
    return true;
}

void e1000_unrealize(Device *d)
{
    E1000 *e = (E1000 *)d;
    net_card_unrealize(&e->card, d);
    g_clear_pointer(&e->tx_frame, g_free);
    g_clear_pointer(&e->rx_frame, g_free);
}

void e1000_reset(Device *d, ResetKind k) { e1000_reset_regs((E1000 *)d); }

/* The cable is this host's. */
bool e1000_post_load(Device *d, GError **err)
{
    E1000 *e = (E1000 *)d;
    e->tx_epoch++;
    e1000_set_link(e, net_card_link(&e->card));
    e1000_update_irq(e);
    return true;
}

void e1000_resumed(Device *d)
{
    E1000 *e = (E1000 *)d;
    if (!e->card.host)
        return;
    hostnet_resume(e->card.host);
    hostnet_kick(e->card.host, 0);
}

/* ---- the 82540EM */

static void update_irq(E1000 *e) { pci_set_intx(&e->pci, *e1000_reg(e, R_ICR) & *e1000_reg(e, R_IMS)); }

static const E1000Model model = {
    .interrupts = INT_ALL, .eecd = EECD_PRES | EECD_FWE_OFF, .eerd_shift = 8, .eerd_done = 0x10, .phy_id2 = 0x0c20, .update_irq = update_irq,
};

static bool realize(Device *d, GError **err) { return e1000_realize((E1000 *)d, &model, err); }

static const PciInfo pci_info = {
    .vendor = INTEL, .device = ID_82540EM, .subsystem_vendor = QUMRANET, .subsystem = SUBSYSTEM, .class_code = CLASS_ETHERNET, .revision = REVISION,
    .interrupt_pin = 1, .romfile = "pxe-e1000.rom", .rom_optional = true,
};

const DeviceType e1000_type = {
    .name = "e1000", .summary = "Intel 82540EM gigabit network card", .spec = "Intel 317453",
    .size = sizeof(E1000), .version = 1, .fields = fields, .windows = windows, .pci = &pci_info,
    .realize = realize, .unrealize = e1000_unrealize, .reset = e1000_reset, .post_load = e1000_post_load, .boot_place = net_card_boot_place,
    .resumed = e1000_resumed,
};
