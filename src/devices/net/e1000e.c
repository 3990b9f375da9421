/*
 * e1000e.c - Intel 82574L: an 82540EM with messages for each cause, other receive descriptors and a few more registers.  Intel 317694,
 * "82574 GbE Controller Family Datasheet" (DS below), whose chapter 10 has the registers.
 *
 * One queue of each direction works, as drivers use without RSS; the second one's registers keep what is written.  A descriptor
 * has no hash, and packets are not split over descriptors of four buffers.
 */
#include "devices/net/e1000.h"

#include "devices/net/net.h"
#include "machine/machine.h"

enum { INTEL = 0x8086, ID_82574L = 0x10d3, CLASS_ETHERNET = 0x020000, VECTORS = 5 };
enum { /* DS 10.1: those that the 82540EM lacks */
    R_IAM = 0xe0, R_EIAC = 0xdc, R_IVAR = 0xe4, R_EITR = 0xe8, R_EXTCNF_CTRL = 0xf00, R_EXTCNF_SIZE = 0xf08, R_POEMB = 0xf10, R_PBS = 0x1008,
    R_EEMNGCTL = 0x1010, R_FLASHT = 0x1028, R_EEWR = 0x102c, R_FLSWCTL = 0x1030, R_PSRCTL = 0x2170, R_RDBAL1 = 0x2900, R_TARC0 = 0x3840, R_TDBAL1 = 0x3900,
    R_TDT1 = 0x3918, R_TARC1 = 0x3940, R_IAC = 0x4100, R_MRQC = 0x5818, R_GCR = 0x5b00, R_FUNCTAG = 0x5b08, R_FACTPS = 0x5b30, R_SWSM = 0x5b50, R_FWSM = 0x5b54,
    R_SWSM2 = 0x5b58, R_GCR2 = 0x5b64, R_RETA = 0x5c00, R_RSSRK = 0x5c80, R_MANC2H = 0x5860, R_TIME = 0xb600, TIME_REGS = 16,
};
enum { R_SYSTIML = 0xb600, R_SYSTIMH = 0xb604, R_TIMINCA = 0xb608 };
enum { /* ICR */
    INT_SRPD = 1 << 16, INT_ACK = 1 << 17, INT_MNG = 1 << 18, INT_RXQ0 = 1 << 20, INT_RXQ1 = 1 << 21, INT_TXQ0 = 1 << 22, INT_TXQ1 = 1 << 23,
    INT_OTHER = 1 << 24, INT_ASSERTED = 1u << 31, INT_OTHERS = INT_LSC | INT_RXO | INT_MDAC | INT_SRPD | INT_ACK | INT_MNG, INT_82574 = 0x1f7ffff,
};
enum { CTRL_EXT_IAME = 1 << 27, EEMNGCTL_CFG_DONE = 1 << 18, NVM_DONE = 2, TICK_NS = 40 };

typedef struct E1000e {
    E1000 core;
    uint32_t told;            /* causes that a message was sent for, and that have not gone since */
    uint32_t time[TIME_REGS]; /* B600h on */
    int64_t time_since;       /* ns of the machine's clock when SYSTIM was what stands in time[] */
} E1000e;

/* ---- interrupts: DS 7.1, 7.4 */

/* The pairs of a cause's bit and its field in IVAR, where bit 3 says that the vector counts: DS 10.2.4.9. */
static const struct {
    uint32_t cause;
    unsigned shift;
} vectors[] = { { INT_RXQ0, 0 }, { INT_RXQ1, 4 }, { INT_TXQ0, 8 }, { INT_TXQ1, 12 }, { INT_OTHER, 16 } };

static uint32_t add_causes(uint32_t causes)
{
    causes |= causes & (INT_RXT0 | INT_RXDMT0) ? INT_RXQ0 : 0;
    causes |= causes & INT_TXDW ? INT_TXQ0 : 0;
    return causes | (causes & INT_OTHERS ? INT_OTHER : 0);
}

static uint32_t pending(E1000 *e) { return *e1000_reg(e, R_ICR) & *e1000_reg(e, R_IMS) & INT_82574; }

/* What EIAC names goes with its message, and is masked until the driver has looked. */
static void send_vectors(E1000 *e, uint32_t causes)
{
    uint32_t ivar = *e1000_reg(e, R_IVAR);
    for (unsigned i = 0; i < G_N_ELEMENTS(vectors); i++) {
        unsigned vector = ivar >> vectors[i].shift & 15;
        if (!(causes & vectors[i].cause) || !(vector & 8) || (vector & 7) >= VECTORS)
            continue;
        uint32_t automatic = vectors[i].cause & *e1000_reg(e, R_EIAC);
        *e1000_reg(e, R_ICR) &= ~automatic;
        *e1000_reg(e, R_IMS) &= ~automatic;
        pci_msix_notify(&e->pci, vector & 7);
    }
}

static void update_irq(E1000 *e)
{
    E1000e *x = (E1000e *)e;
    uint32_t *icr = e1000_reg(e, R_ICR), now = pending(e), fresh = now & ~x->told;
    bool msix = pci_msix_enabled(&e->pci), msi = !msix && pci_msi_enabled(&e->pci);
    if (msix)
        send_vectors(e, fresh);
    else if (msi && now && !x->told)
        pci_msi_notify(&e->pci);
    x->told = pending(e);
    *icr = x->told ? *icr | INT_ASSERTED : *icr & INT_82574;
    pci_set_intx(&e->pci, x->told && !msix && !msi);
}

/* DS 10.2.4.1: reading clears where all is masked or one was asserted, and then masks what IAM names. */
static uint32_t read_icr(E1000 *e, unsigned off)
{
    uint32_t value = *e1000_reg(e, R_ICR);
    if (*e1000_reg(e, R_IMS) && !(value & INT_ASSERTED))
        return value;
    if (value & INT_ASSERTED && *e1000_reg(e, R_CTRL_EXT) & CTRL_EXT_IAME)
        *e1000_reg(e, R_IMS) &= ~*e1000_reg(e, R_IAM);
    *e1000_reg(e, R_ICR) = 0;
    update_irq(e);
    return value;
}

static void write_icr(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, R_ICR) &= ~value;
    update_irq(e);
}

/* ---- the clock: DS 10.2.9; it counts TIMINCA's increment each period of so many ticks */

static uint64_t time_now(E1000e *x)
{
    uint64_t base = x->time[0] | (uint64_t)x->time[1] << 32;
    uint32_t timinca = x->time[(R_TIMINCA - R_TIME) / 4], period = timinca >> 24;
    uint64_t ticks = (clock_now(x->core.pci.dev.machine->clock) - x->time_since) / TICK_NS;
    return period ? base + ticks / period * (timinca & 0xffffff) : base;
}

static uint32_t read_time(E1000 *e, unsigned off)
{
    E1000e *x = (E1000e *)e;
    if (off > R_SYSTIMH)
        return x->time[(off - R_TIME) / 4];
    return time_now(x) >> (off == R_SYSTIMH ? 32 : 0);
}

static void write_time(E1000 *e, unsigned off, uint32_t value)
{
    E1000e *x = (E1000e *)e;
    uint64_t now = time_now(x);
    x->time[0] = now;
    x->time[1] = now >> 32;
    x->time_since = clock_now(e->pci.dev.machine->clock);
    x->time[(off - R_TIME) / 4] = value;
}

static void write_tdt1(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, off) = value & 0xffff;
    unimplemented(&e->pci.dev, "%s: the second transmit queue", e->pci.dev.path);
}

static void write_psrctl(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, off) = value & 0x3f3f3f7f;
    unimplemented(&e->pci.dev, "%s: packets split over several buffers", e->pci.dev.path);
}

/* ---- the table, by offset */

#define ALL UINT32_MAX
static const E1000Reg regs[] = {
    { R_ICR, 1, .read = read_icr, .write = write_icr },
    { R_EIAC, 1, INT_82574 },
    { R_IAM, 1, ALL },
    { R_IVAR, 1, 0x800fffff },
    { R_EITR, 5, 0xffff },
    { R_EXTCNF_CTRL, 1, ALL },
    { R_EXTCNF_SIZE, 1, ALL },
    { R_POEMB, 1, ALL },
    { R_PBA, 1, 0xffff, 0x00140014 },
    { R_PBS, 1, ALL },
    { R_EEMNGCTL, 1, 0, EEMNGCTL_CFG_DONE },
    { R_FLASHT, 1, ALL },
    { R_EEWR, 1, 0, NVM_DONE },
    { R_FLSWCTL, 3, 0 },
    { R_PSRCTL, 1, .write = write_psrctl },
    { R_RDBAL1, 12, ALL },
    { R_TARC0, 1, ALL, 0x403 },
    { R_TDBAL1, 6, ALL },
    { R_TDT1, 1, .write = write_tdt1 },
    { R_TDT1 + 4, 5, ALL },
    { R_TARC1, 1, ALL, 0x403 },
    { R_IAC, 16, 0 },
    { R_RFCTL, 1, ALL },
    { R_MRQC, 1, 0xffff0003 },
    { R_MANC2H, 1, ALL },
    { R_GCR, 1, ALL },
    { R_FUNCTAG, 2, ALL },
    { R_FACTPS, 1, 0 },
    { R_SWSM, 1, 0xf },
    { R_FWSM, 1, 0 },
    { R_SWSM2, 1, 2 },
    { R_GCR2, 1, ALL },
    { R_RETA, 32, ALL },
    { R_RSSRK, 10, ALL },
    { R_TIME, TIME_REGS, .read = read_time, .write = write_time },
};

static const E1000Model model = {
    .regs = regs, .n_regs = G_N_ELEMENTS(regs), .interrupts = INT_82574, .eecd = EECD_PRES | EECD_AUTO_RD, .eerd_shift = 2, .eerd_done = NVM_DONE,
    .phy_id2 = 0x0cb1, .phy_pages = true, .extended = true, .causes = add_causes, .update_irq = update_irq,
};

/* ---- the PCI function */

/* There is no flash behind its BAR. */
static uint64_t read_flash(Device *d, uint64_t off, unsigned size) { return UINT64_MAX; }
static const WindowOps flash_ops = { .read = read_flash, .min = 1, .max = 4 };

static const WindowDecl windows[] = {
    { "registers", SPACE_PCI_BAR, 128 << 10, &e1000_memory_ops, .bar = 0 },
    { "flash", SPACE_PCI_BAR, 128 << 10, &flash_ops, .bar = 1 },
    { "io", SPACE_PCI_BAR, 32, &e1000_io_ops, .bar = 2, .bar_io = true },
    { "msix", SPACE_PCI_BAR, 16 << 10, &pci_msix_window, .bar = 3 },
    { .name = NULL },
};

static const Field fields[] = {
    E1000_FIELDS,
    { F(E1000e, told), .doc = "causes that a message was sent for" },
    { FA(E1000e, time), .doc = "registers of the clock" },
    { F(E1000e, time_since), .doc = "when SYSTIM was set, in ns of the machine's clock" },
    DEVICE_FIELDS_END,
};

static bool realize(Device *d, GError **err) { return e1000_realize((E1000 *)d, &model, err); }

static const PciInfo pci_info = {
    .vendor = INTEL, .device = ID_82574L, .subsystem_vendor = INTEL, .subsystem = 0, .class_code = CLASS_ETHERNET, .interrupt_pin = 1,
    .msi = true, .msix_vectors = VECTORS, .msix_bar = 3, .romfile = "efi-e1000e.rom", .rom_optional = true,
};

const DeviceType e1000e_type = {
    .name = "e1000e", .summary = "Intel 82574L gigabit network card", .spec = "Intel 317694",
    .size = sizeof(E1000e), .version = 1, .fields = fields, .windows = windows, .pci = &pci_info,
    .realize = realize, .unrealize = e1000_unrealize, .reset = e1000_reset, .post_load = e1000_post_load, .boot_place = net_card_boot_place,
    .resumed = e1000_resumed,
};
