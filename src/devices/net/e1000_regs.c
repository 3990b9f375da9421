/*
 * e1000_regs.c - the registers of both cards: SDM 13.  Those of diagnosis, of flow control on the wire and of waking by the
 * network keep what is written to them and do nothing.
 */
#include "devices/net/e1000.h"

#include <string.h>

enum { IO_ADDR = 0, IO_DATA = 4, RING_ALIGN = ~15u, RING_LEN = 0xfff80, RING_INDEX = 0xffff };

/* ---- interrupts */

void e1000_update_irq(E1000 *e) { e->model->update_irq(e); }

void e1000_interrupt(E1000 *e, uint32_t causes)
{
    *e1000_reg(e, R_ICR) |= (e->model->causes ? e->model->causes(causes) : causes) & e->model->interrupts;
    e1000_update_irq(e);
}

static uint32_t read_icr(E1000 *e, unsigned off)
{
    uint32_t value = *e1000_reg(e, R_ICR);
    *e1000_reg(e, R_ICR) = 0;
    e1000_update_irq(e);
    return value;
}

static void write_icr(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, R_ICR) &= ~value;
    e1000_update_irq(e);
}

static void write_ics(E1000 *e, unsigned off, uint32_t value) { e1000_interrupt(e, value); }

static void write_ims(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, R_IMS) |= value & e->model->interrupts;
    e1000_update_irq(e);
}

static void write_imc(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, R_IMS) &= ~value;
    e1000_update_irq(e);
}

/* ---- link and resets */

void e1000_set_link(E1000 *e, bool up)
{
    uint32_t *status = e1000_reg(e, R_STATUS);
    *status = up ? *status | STATUS_LU : *status & ~(uint32_t)STATUS_LU;
    e1000_phy_link(e, up);
}

static void write_ctrl(E1000 *e, unsigned off, uint32_t value)
{
    if (value & CTRL_RST) {
        e1000_reset_regs(e);
        return;
    }
    if (value & CTRL_PHY_RST)
        e1000_reset_phy(e);
    *e1000_reg(e, R_CTRL) = value & ~(CTRL_RST | CTRL_PHY_RST);
}

/* ---- EEPROM and PHY */

static uint32_t read_eecd(E1000 *e, unsigned off) { return e1000_read_eecd(e); }
static void write_eecd(E1000 *e, unsigned off, uint32_t value) { e1000_write_eecd(e, value); }
static void write_eerd(E1000 *e, unsigned off, uint32_t value) { e1000_write_eerd(e, value); }
static void write_mdic(E1000 *e, unsigned off, uint32_t value) { e1000_write_mdic(e, value); }

/* ---- rings */

static void kick(E1000 *e)
{
    if (e->card.host && *e1000_reg(e, R_TCTL) & TCTL_EN)
        hostnet_kick(e->card.host, 0);
}

static void write_tdt(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, off) = value & RING_INDEX;
    kick(e);
}

/* A frame that is on its way keeps its place in the old ring: it is not given back in the new one. */
static void write_tx_ring(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, off) = value;
    e->tx_epoch++;
    if (off == R_TCTL)
        kick(e);
}

static void write_tx_base(E1000 *e, unsigned off, uint32_t value) { write_tx_ring(e, off, value & RING_ALIGN); }
static void write_tx_len(E1000 *e, unsigned off, uint32_t value) { write_tx_ring(e, off, value & RING_LEN); }
static void write_tx_head(E1000 *e, unsigned off, uint32_t value) { write_tx_ring(e, off, value & RING_INDEX); }

static void write_rx(E1000 *e, unsigned off, uint32_t value)
{
    *e1000_reg(e, off) = off == R_RDT ? value & RING_INDEX : value;
    if (e->card.host)
        hostnet_resume(e->card.host);
}

/* ---- statistics: SDM 13.7; each stops at its most and reading clears it */

static bool is_low(unsigned off) { return off == R_GORCL || off == R_GOTCL || off == R_TORL || off == R_TOTL; }

static uint32_t read_stat(E1000 *e, unsigned off)
{
    uint32_t value = *e1000_reg(e, off);
    if (is_low(off))
        return value; /* goes when the high half is read */
    *e1000_reg(e, off) = 0;
    if (is_low(off - 4))
        *e1000_reg(e, off - 4) = 0;
    return value;
}

void e1000_count(E1000 *e, unsigned off, uint32_t n)
{
    uint32_t *r = e1000_reg(e, off);
    *r = *r > UINT32_MAX - n ? UINT32_MAX : *r + n;
}

void e1000_count64(E1000 *e, unsigned low, uint32_t n)
{
    uint64_t sum = e1000_ring(e, low) + n;
    *e1000_reg(e, low) = sum;
    *e1000_reg(e, low + 4) = sum >> 32;
}

void e1000_count_size(E1000 *e, unsigned reg64, size_t bytes)
{
    static const uint16_t most[] = { 64, 127, 255, 511, 1023 };
    unsigned i = 0;
    while (i < G_N_ELEMENTS(most) && bytes > most[i])
        i++;
    e1000_count(e, reg64 + 4 * i, 1);
}

/* ---- the table, by offset */

#define ALL UINT32_MAX
static const E1000Reg regs[] = {
    { R_CTRL, 1, ALL, CTRL_SLU | 1 << 9, .write = write_ctrl }, /* 1000 Mbit/s */
    { R_CTRL + 4, 1, ALL, CTRL_SLU | 1 << 9, .write = write_ctrl }, /* SDM 13.4.1: the same once more */
    { R_STATUS, 1, 0, STATUS_FD | STATUS_1000 | STATUS_ASDV_1000 },
    { R_EECD, 1, .read = read_eecd, .write = write_eecd },
    { R_EERD, 1, .write = write_eerd },
    { R_CTRL_EXT, 1, ALL },
    { R_FLA, 1, 0xf },
    { R_MDIC, 1, .write = write_mdic },
    { R_FCAL, 1, ALL, 0x00c28001 },
    { R_FCAH, 1, 0xffff, 0x0100 },
    { R_FCT, 1, 0xffff, 0x8808 },
    { R_VET, 1, 0xffff, 0x8100 },
    { R_ICR, 1, .read = read_icr, .write = write_icr },
    { R_ITR, 1, 0xffff },
    { R_ICS, 1, .write = write_ics },
    { R_IMS, 1, .write = write_ims },
    { R_IMC, 1, .write = write_imc },
    { R_RCTL, 1, .write = write_rx },
    { R_FCTTV, 1, 0xffff },
    { R_TXCW, 1, ALL },
    { R_RXCW, 1, 0 },
    { R_TCTL, 1, .write = write_tx_ring },
    { R_TIPG, 1, 0x3fffffff },
    { R_AIT, 1, 0xffff },
    { R_LEDCTL, 1, ALL, 0x07068302 },
    { R_PBA, 1, ALL, 0x00100030 },
    { R_FCRTL, 1, 0xfff8 | 1u << 31 },
    { R_FCRTH, 1, 0xfff8 },
    { R_RDFH, 5, 0x1fff },
    { R_RDBAL, 1, RING_ALIGN },
    { R_RDBAH, 1, ALL },
    { R_RDLEN, 1, RING_LEN },
    { R_RDH, 1, RING_INDEX },
    { R_RDT, 1, .write = write_rx },
    { R_RDTR, 1, 0xffff },
    { R_RXDCTL, 1, ALL },
    { R_RADV, 1, 0xffff },
    { R_RSRPD, 1, 0xfff },
    { R_TXDMAC, 1, 1 },
    { R_TDFH, 5, 0x1fff },
    { R_TDBAL, 1, .write = write_tx_base },
    { R_TDBAH, 1, .write = write_tx_ring },
    { R_TDLEN, 1, .write = write_tx_len },
    { R_TDH, 1, .write = write_tx_head },
    { R_TDT, 1, .write = write_tdt },
    { R_TIDV, 1, 0xffff },
    { R_TXDCTL, 1, ALL },
    { R_TADV, 1, 0xffff },
    { R_TSPMT, 1, ALL },
    { R_CRCERRS, (R_STATS_END - R_CRCERRS) / 4, 0, .read = read_stat },
    { R_RXCSUM, 1, 0x7ff },
    { R_MTA, 128, ALL },
    { R_RA, 32, ALL },
    { R_VFTA, 128, ALL },
    { R_WUC, 1, 0xf },
    { R_WUFC, 1, 0xf00ff },
    { R_WUS, 1, 0 },
    { R_MANC, 1, ALL },
    { R_IPAV, 1, 0x1000f },
    { R_WUPL, 1, 0 },
};

static const E1000Reg *find_in(const E1000Reg *table, unsigned n, unsigned off)
{
    unsigned low = 0, high = n;
    while (low + 1 < high) {
        unsigned middle = (low + high) / 2;
        if (table[middle].off <= off)
            low = middle;
        else
            high = middle;
    }
    return n && off >= table[low].off && off < table[low].off + 4 * table[low].n ? &table[low] : NULL;
}

static const E1000Reg *find(E1000 *e, unsigned off)
{
    const E1000Reg *own = find_in(e->model->regs, e->model->n_regs, off);
    return own ? own : find_in(regs, G_N_ELEMENTS(regs), off);
}

static uint64_t read_reg(Device *d, uint64_t off, unsigned size)
{
    E1000 *e = (E1000 *)d;
    const E1000Reg *r = find(e, off);
    if (!r) {
        unimplemented(d, "%s: read of register %x", d->path, (unsigned)off);
        return 0;
    }
    return r->read ? r->read(e, off) : *e1000_reg(e, off);
}

static void write_reg(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    E1000 *e = (E1000 *)d;
    const E1000Reg *r = find(e, off);
    if (!r)
        unimplemented(d, "%s: write of %x to register %x", d->path, (unsigned)value, (unsigned)off);
    else if (r->write)
        r->write(e, r->off == R_CTRL + 4 ? R_CTRL : off, value);
    else
        *e1000_reg(e, off) = (*e1000_reg(e, off) & ~r->writable) | (value & r->writable);
}

/* SDM 13.2.2: two registers in I/O space reach all the others. */
static uint64_t read_io(Device *d, uint64_t off, unsigned size)
{
    E1000 *e = (E1000 *)d;
    return off == IO_ADDR ? e->io_addr : off == IO_DATA ? read_reg(d, e->io_addr & ~3u, 4) : 0;
}

static void write_io(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    E1000 *e = (E1000 *)d;
    if (off == IO_ADDR)
        e->io_addr = value;
    else if (off == IO_DATA)
        write_reg(d, e->io_addr & ~3u, 4, value);
}

const WindowOps e1000_memory_ops = { read_reg, write_reg, .min = 4, .max = 4 };
const WindowOps e1000_io_ops = { read_io, write_io, .min = 4, .max = 4 };

/* The first receive address comes from the EEPROM. */
static void load_address(E1000 *e)
{
    memcpy(e1000_reg(e, R_RA), e->card.mac, MAC_BYTES);
    *e1000_reg(e, R_RA + 4) |= 1u << 31;
}

static void reset_table(E1000 *e, const E1000Reg *table, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (table[i].off < E1000_REG_BYTES)
            *e1000_reg(e, table[i].off) = table[i].reset;
}

void e1000_reset_regs(E1000 *e)
{
    memset(e->reg, 0, sizeof(e->reg));
    reset_table(e, regs, G_N_ELEMENTS(regs));
    reset_table(e, e->model->regs, e->model->n_regs);
    memset(e->context, 0, sizeof(e->context));
    e->ee_shift = e->ee_count = 0;
    e->tx_epoch++;
    load_address(e);
    e1000_reset_phy(e);
    e1000_set_link(e, net_card_link(&e->card));
    e1000_update_irq(e);
}
