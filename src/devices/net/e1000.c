/* e1000.c - Intel 82540EM, the gigabit card that every guest has a driver for: its PCI function and life. */
#include "devices/net/e1000.h"

#include <string.h>

#include "devices/net/net.h"

enum { INTEL = 0x8086, ID_82540EM = 0x100e, REVISION = 3, QUMRANET = 0x1af4, SUBSYSTEM = 0x1100, CLASS_ETHERNET = 0x020000 };
enum { BUFFER_BYTES = HOSTNET_FRAME_MAX + 8 };

static const Field fields[] = {
    NET_CARD_FIELDS(E1000, card),
    { FA(E1000, reg), .doc = "registers" },
    { F(E1000, io_addr), .doc = "IOADDR" },
    { FA(E1000, phy), .doc = "registers of the PHY" },
    { F(E1000, ee_shift), .doc = "EEPROM: bits of the command" },
    { F(E1000, ee_count), .doc = "EEPROM: how many" },
    { FSA(E1000, context, e1000_context_fields), .doc = "of checksums and of segmentation" },
    { FA(E1000, eeprom), .role = FIELD_DERIVED },
    { F(E1000, tx_epoch), .role = FIELD_HOST },
    { FO(E1000, tx_frame), .role = FIELD_HOST },
    { FO(E1000, rx_frame), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

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

static bool realize(Device *d, GError **err)
{
    E1000 *e = (E1000 *)d;
    if (!net_card_realize(&e->card, d, err))
        return false;
    e->tx_frame = g_malloc(BUFFER_BYTES);
    e->rx_frame = g_malloc(BUFFER_BYTES);
    e1000_fill_eeprom(e);
    net_card_attach(&e->card, &card, d);
    return true;
}

static void unrealize(Device *d)
{
    E1000 *e = (E1000 *)d;
    net_card_unrealize(&e->card, d);
    g_clear_pointer(&e->tx_frame, g_free);
    g_clear_pointer(&e->rx_frame, g_free);
}

static void reset(Device *d, ResetKind k) { e1000_reset_regs((E1000 *)d); }

/* The cable is this host's. */
static bool post_load(Device *d, GError **err)
{
    E1000 *e = (E1000 *)d;
    e->tx_epoch++;
    e1000_set_link(e, net_card_link(&e->card));
    e1000_update_irq(e);
    return true;
}

static void resumed(Device *d)
{
    E1000 *e = (E1000 *)d;
    if (!e->card.host)
        return;
    hostnet_resume(e->card.host);
    hostnet_kick(e->card.host, 0);
}

static const PciInfo pci_info = {
    .vendor = INTEL, .device = ID_82540EM, .subsystem_vendor = QUMRANET, .subsystem = SUBSYSTEM, .class_code = CLASS_ETHERNET, .revision = REVISION,
    .interrupt_pin = 1, .romfile = "pxe-e1000.rom", .rom_optional = true,
};

const DeviceType e1000_type = {
    .name = "e1000", .summary = "Intel 82540EM gigabit network card", .spec = "Intel 317453",
    .size = sizeof(E1000), .version = 1, .fields = fields, .windows = windows, .pci = &pci_info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = post_load, .boot_place = net_card_boot_place, .resumed = resumed,
};
