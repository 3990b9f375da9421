/* ahci_pci.c - the AHCI controller's PCI function: registers, ports as buses, life.  Intel, AHCI 1.3.1, chapter 3; ICH9 data sheet. */
#include "devices/storage/ahci_core.h"

enum { R_CAP = 0, R_GHC = 4, R_IS = 8, R_PI = 0xc, R_VS = 0x10, R_PORTS = 0x100, PORT_BYTES = 0x80 };
enum { P_CLB = 0, P_CLBU = 4, P_FB = 8, P_FBU = 0xc, P_IS = 0x10, P_IE = 0x14, P_CMD = 0x18, P_TFD = 0x20, P_SIG = 0x24, P_SSTS = 0x28,
       P_SCTL = 0x2c, P_SERR = 0x30, P_SACT = 0x34, P_CI = 0x38 };
#define GHC_AE (1u << 31)
enum { GHC_RESET = 1, GHC_IE = 2 };
/* 64-bit addresses, queued commands, 1.5 Gbit/s to 3 Gbit/s, AHCI only, 32 slots, 6 ports. */
static const uint32_t CAP = 1u << 31 | 1u << 30 | 2u << 20 | 1u << 18 | (AHCI_SLOTS - 1) << 8 | (AHCI_PORTS - 1);

static const Field port_fields[] = {
    { FO(AhciPort, ahci), .role = FIELD_HOST },
    { FO(AhciPort, bus), .role = FIELD_HOST },
    { FO(AhciPort, queued), .role = FIELD_HOST },
    { F(AhciPort, epoch), .role = FIELD_HOST },
    { F(AhciPort, advancing), .role = FIELD_HOST },
    { F(AhciPort, running), .role = FIELD_HOST },
    { FA(AhciPort, clb), .doc = "address of the command list" },
    { FA(AhciPort, fb), .doc = "address for received frames" },
    { F(AhciPort, is), .doc = "interrupt status" },
    { F(AhciPort, ie), .doc = "interrupt enable" },
    { F(AhciPort, cmd), .doc = "command and status" },
    { F(AhciPort, tfd), .doc = "task file data" },
    { F(AhciPort, sig), .doc = "signature" },
    { F(AhciPort, ssts), .doc = "link status" },
    { F(AhciPort, sctl), .doc = "link control" },
    { F(AhciPort, serr), .doc = "link errors" },
    { F(AhciPort, sact), .doc = "queued commands that the host waits for" },
    { F(AhciPort, ci), .doc = "commands that the host has issued" },
    { F(AhciPort, slot), .reset = NO_SLOT, .doc = "command under way" },
    { F(AhciPort, halted), .doc = "stopped by an error" },
    { F(AhciPort, moved), .doc = "bytes moved" },
    { FS(AhciPort, channel, ide_channel_fields), .doc = "the drive" },
    DEVICE_FIELDS_END,
};

static const Field fields[] = {
    { F(Ahci, ghc), .reset = 0, .doc = "global control" },
    { F(Ahci, is), .doc = "ports that interrupt" },
    { F(Ahci, line), .since = 2, .doc = "an interrupt is asked for" },
    { FSA(Ahci, port, port_fields), .doc = "ports" },
    DEVICE_FIELDS_END,
};

/* A port's interrupts set its bit, which stays until the host clears it: 10.7.  A message goes out for each bit that comes, also for
 * one that comes back because the host cleared it while its port had more to say. */
void ahci_update_irq(Ahci *a)
{
    uint32_t before = a->is;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        if (a->port[i].is & a->port[i].ie)
            a->is |= 1u << i;
    bool line = a->ghc & GHC_IE && a->is, fresh = line && (!a->line || a->is & ~before), message = pci_msi_enabled(&a->pci);
    a->line = line;
    pci_set_intx(&a->pci, line && !message);
    if (fresh && message)
        pci_msi_notify(&a->pci);
}

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    if (off < p->cap_msi + 4u && off + size > p->cap_msi)
        ahci_update_irq((Ahci *)p); /* from the pin to messages or back */
}

static void reset_all(Ahci *a)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        AhciPort *p = &a->port[i];
        p->is = p->ie = p->sctl = p->serr = 0;
        p->cmd = PORT_SUD | PORT_POD;
        ahci_port_reset(p);
    }
    a->ghc = GHC_AE;
    a->is = 0;
    ahci_update_irq(a);
}

/* ---- ports */

static uint32_t read_port(AhciPort *p, unsigned reg)
{
    const uint32_t regs[] = { p->clb[0], p->clb[1], p->fb[0], p->fb[1], p->is, p->ie, p->cmd, 0, p->tfd, p->sig, p->ssts, p->sctl, p->serr,
                              p->sact, p->ci };
    return reg / 4 < G_N_ELEMENTS(regs) ? regs[reg / 4] : 0;
}

static void write_cmd(AhciPort *p, uint32_t value)
{
    uint32_t old = p->cmd, keep = PORT_ST | PORT_SUD | PORT_POD | PORT_FRE | PORT_ATAPI;
    if (value & PORT_CLO)
        p->tfd &= ~(uint32_t)(ST_BSY | ST_DRQ);
    p->cmd = (value & keep) | (value & PORT_ST ? PORT_CR : 0) | (value & PORT_FRE ? PORT_FR : 0);
    if (old & ~value & PORT_ST)
        ahci_port_stop(p);
    ahci_port_run(p);
}

static void write_sctl(AhciPort *p, uint32_t value)
{
    unsigned old = p->sctl & 0xf;
    p->sctl = value & 0xfff;
    if ((value & 0xf) == 1) {
        ahci_port_reset(p);
        p->ssts = 0;
    } else if (old == 1 && !(value & 0xf)) {
        ahci_port_comreset(p);
    }
}

static void write_port(AhciPort *p, unsigned reg, uint32_t value)
{
    switch (reg) {
    case P_CLB:
        p->clb[0] = value & ~0x3ffu;
        break;
    case P_CLBU:
        p->clb[1] = value;
        break;
    case P_FB:
        p->fb[0] = value & ~0xffu;
        break;
    case P_FBU:
        p->fb[1] = value;
        break;
    case P_IS:
        p->is &= ~value;
        ahci_update_irq(p->ahci);
        break;
    case P_IE:
        p->ie = value;
        ahci_update_irq(p->ahci);
        break;
    case P_CMD:
        write_cmd(p, value);
        break;
    case P_SCTL:
        write_sctl(p, value);
        break;
    case P_SERR:
        p->serr &= ~value;
        break;
    case P_SACT:
        p->sact |= p->cmd & PORT_ST ? value : 0;
        break;
    case P_CI:
        p->ci |= p->cmd & PORT_ST ? value : 0;
        ahci_port_run(p);
    }
}

/* ---- the window */

static uint64_t read_register(Device *d, uint64_t off, unsigned size)
{
    Ahci *a = (Ahci *)d;
    if (off >= R_PORTS)
        return (off - R_PORTS) / PORT_BYTES < AHCI_PORTS ? read_port(&a->port[(off - R_PORTS) / PORT_BYTES], off % PORT_BYTES) : 0;
    switch (off) {
    case R_CAP:
        return CAP;
    case R_GHC:
        return a->ghc;
    case R_IS:
        return a->is;
    case R_PI:
        return (1u << AHCI_PORTS) - 1;
    case R_VS:
        return 0x00010300;
    }
    return 0;
}

static void write_register(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    Ahci *a = (Ahci *)d;
    if (off >= R_PORTS) {
        if ((off - R_PORTS) / PORT_BYTES < AHCI_PORTS)
            write_port(&a->port[(off - R_PORTS) / PORT_BYTES], off % PORT_BYTES, value);
        return;
    }
    if (off == R_GHC && value & GHC_RESET)
        reset_all(a);
    else if (off == R_GHC)
        a->ghc = GHC_AE | (value & GHC_IE);
    else if (off == R_IS)
        a->is &= ~(uint32_t)value;
    ahci_update_irq(a);
}

static const WindowOps ops = { read_register, write_register, .min = 4, .max = 4 };
static const WindowDecl windows[] = {
    { "abar", SPACE_PCI_BAR, 4096, &ops, .bar = 5 },
    { .name = NULL },
};

/* ---- life */

static bool realize(Device *d, GError **err)
{
    Ahci *a = (Ahci *)d;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        AhciPort *p = &a->port[i];
        p->ahci = a;
        p->slot = NO_SLOT;
        p->queued = g_new0(AhciQueued, AHCI_SLOTS);
        for (unsigned slot = 0; slot < AHCI_SLOTS; slot++) {
            p->queued[slot].port = p;
            p->queued[slot].slot = slot;
        }
        ide_channel_init(&p->channel, d, i, &ahci_bus_ops);
        ide_bus_init(&p->bus, d, &p->channel, 1);
    }
    return true;
}

static void unrealize(Device *d)
{
    Ahci *a = (Ahci *)d;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        AhciPort *p = &a->port[i];
        if (!p->ahci)
            continue;
        g_mutex_lock(&d->lock);
        ahci_port_stop(p);
        g_mutex_unlock(&d->lock);
        ide_channel_finish(&p->channel);
        bus_clear(&p->bus.bus);
        g_free(p->queued);
    }
}

static void reset(Device *d, ResetKind k) { reset_all((Ahci *)d); }

static void pre_save(Device *d)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ahci_port_quiesce(&((Ahci *)d)->port[i], false);
}

static bool post_load(Device *d, GError **err)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        const AhciPort *p = &((Ahci *)d)->port[i];
        if (p->slot != NO_SLOT)
            return error_set(err, ERR_INVALID, "%s: saved state of port %u is in the middle of a command", d->path, i);
        if (!ide_channel_check(&((Ahci *)d)->port[i].channel, err))
            return false;
    }
    return true;
}

static const PciInfo pci_info = { .vendor = 0x8086, .device = 0x2922, .class_code = 0x010601, .revision = 2, .interrupt_pin = 1, .msi = true,
                                  .config_written = config_written };

const DeviceType ich9_ahci_type = {
    .name = "ich9-ahci", .summary = "SATA controller of the ICH9 with six ports", .spec = "AHCI 1.3.1",
    .size = sizeof(Ahci), .version = 2, .fields = fields, .windows = windows, .pci = &pci_info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = pre_save, .post_load = post_load,
};

const DeviceType ahci_type = {
    .name = "ahci", .summary = "SATA controller with six ports", .spec = "AHCI 1.3.1",
    .size = sizeof(Ahci), .version = 2, .fields = fields, .windows = windows, .pci = &pci_info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = pre_save, .post_load = post_load,
};
