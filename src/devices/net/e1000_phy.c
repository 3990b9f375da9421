/*
 * e1000_phy.c - the serial EEPROM (SDM 5: Microwire, 64 words, read only) and the PHY behind MDIC (SDM 8, 13.4.6).
 *
 * Autonegotiation ends as soon as it is started.
 */
#include <string.h>

#include "devices/net/e1000.h"

/* ---- EEPROM */

enum { EE_SUBSYSTEM = 0x0b, EE_SUBSYSTEM_VENDOR = 0x0c, EE_DEVICE = 0x0d, EE_VENDOR = 0x0e, EE_CHECKSUM = 0x3f, EE_SUM = 0xbaba };
enum { EE_CONTROL1 = 0x0a, EE_CONTROL2 = 0x0f, EE_SIGNATURE = 0x4000, EE_LOAD_IDS = 3, EE_AUTONEG = 0x3000 };
enum { EECD_SK = 1, EECD_CS = 2, EECD_DI = 4, EECD_DO = 8, EECD_REQ = 0x40, EECD_GNT = 0x80 };
enum { EERD_START = 1, COMMAND_BITS = 9, READ_OPCODE = 6, WORD_BITS = 16 };

/* SDM 5.6: the words add up to BABAh. */
void e1000_fill_eeprom(E1000 *e)
{
    const PciInfo *p = e->pci.dev.type->pci;
    uint16_t sum = 0;
    memset(e->eeprom, 0, sizeof(e->eeprom));
    for (unsigned i = 0; i < MAC_BYTES / 2; i++)
        e->eeprom[i] = e->card.mac[2 * i] | e->card.mac[2 * i + 1] << 8;
    e->eeprom[EE_CONTROL1] = EE_SIGNATURE | EE_LOAD_IDS;
    e->eeprom[EE_SUBSYSTEM] = pci_get16(&e->pci, PCI_SUBSYSTEM);
    e->eeprom[EE_SUBSYSTEM_VENDOR] = pci_get16(&e->pci, PCI_SUBSYSTEM_VENDOR);
    e->eeprom[EE_DEVICE] = p->device;
    e->eeprom[EE_VENDOR] = p->vendor;
    e->eeprom[EE_CONTROL2] = EE_AUTONEG;
    for (unsigned i = 0; i < EE_CHECKSUM; i++)
        sum += e->eeprom[i];
    e->eeprom[EE_CHECKSUM] = EE_SUM - sum;
}

/* A rising clock: a bit of the command, or of what is read.  Zeros before the start bit do not count. */
static void clock_bit(E1000 *e, bool di)
{
    if (!e->ee_count && !di)
        return;
    if (e->ee_count < COMMAND_BITS)
        e->ee_shift = e->ee_shift << 1 | di;
    e->ee_count = e->ee_count == COMMAND_BITS + WORD_BITS * E1000_EEPROM_WORDS ? COMMAND_BITS + 1 : e->ee_count + 1;
}

/* Words follow one another for as long as the driver clocks. */
static bool data_bit(const E1000 *e)
{
    if (e->ee_count <= COMMAND_BITS || e->ee_shift >> 6 != READ_OPCODE)
        return e->ee_count != COMMAND_BITS; /* ready; a zero comes before the data */
    unsigned bit = e->ee_count - COMMAND_BITS - 1;
    return e->eeprom[(e->ee_shift + bit / WORD_BITS) % E1000_EEPROM_WORDS] >> (WORD_BITS - 1 - bit % WORD_BITS) & 1;
}

void e1000_write_eecd(E1000 *e, uint32_t value)
{
    uint32_t *eecd = e1000_reg(e, R_EECD);
    bool rising = value & ~*eecd & EECD_SK;
    *eecd = value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ);
    if (!(value & EECD_CS))
        e->ee_shift = e->ee_count = 0;
    else if (rising)
        clock_bit(e, value & EECD_DI);
}

uint32_t e1000_read_eecd(const E1000 *e)
{
    uint32_t eecd = e->reg[R_EECD / 4];
    return eecd | e->model->eecd | (eecd & EECD_REQ ? EECD_GNT : 0) | (data_bit(e) ? EECD_DO : 0);
}

void e1000_write_eerd(E1000 *e, uint32_t value)
{
    const E1000Model *m = e->model;
    uint32_t at = (value & 0xffff) >> m->eerd_shift, data = e->eeprom[at % E1000_EEPROM_WORDS];
    *e1000_reg(e, R_EERD) = value & EERD_START ? at << m->eerd_shift | m->eerd_done | data << 16 : value;
}

/* ---- PHY: Marvell 88E1011; the 82574L's own is of that family */

enum { PHY_CTRL = 0, PHY_STATUS = 1, PHY_ID1 = 2, PHY_ID2 = 3, PHY_ADV = 4, PHY_PARTNER = 5, PHY_1000_CTRL = 9, PHY_1000_STATUS = 10, PHY_EXT_STATUS = 15, PHY_SPECIFIC = 16, PHY_SPECIFIC_STATUS = 17, PHY_EXT_SPECIFIC = 20, PHY_PAGE = 22 };
enum { PHY_CTRL_RESET = 0x8000, PHY_CTRL_RESTART = 0x200, PHY_STATUS_LINK = 4, PHY_STATUS_DONE = 0x20, PHY_SPECIFIC_LINK = 0xac00 };
enum { MDIC_WRITE = 1, MDIC_READ = 2, MDIC_READY = 1 << 28, MDIC_INTERRUPT = 1 << 29, MDIC_ERROR = 1 << 30, PHY_ADDRESS = 1 };

static const struct {
    uint16_t reset, writable;
} phy_regs[E1000_PHY_REGS] = {
    [PHY_CTRL] = { 0x1140, 0x7dc0 },
    [PHY_STATUS] = { 0x7949, 0 },
    [PHY_ID1] = { 0x0141, 0 },
    [PHY_ADV] = { 0x0de1, 0xffff },
    [PHY_PARTNER] = { 0x01e0, 0 },
    [PHY_1000_CTRL] = { 0x0e00, 0xffff },
    [PHY_1000_STATUS] = { 0x3c00, 0 },
    [PHY_EXT_STATUS] = { 0x3000, 0 },
    [PHY_SPECIFIC] = { 0x0360, 0xffff },
    [PHY_EXT_SPECIFIC] = { 0x0d60, 0xffff },
};

void e1000_phy_link(E1000 *e, bool up)
{
    uint16_t status = e->phy[PHY_STATUS] & ~(PHY_STATUS_LINK | PHY_STATUS_DONE);
    e->phy[PHY_STATUS] = up ? status | PHY_STATUS_LINK | PHY_STATUS_DONE : status;
    e->phy[PHY_SPECIFIC_STATUS] = up ? PHY_SPECIFIC_LINK : 0;
}

void e1000_reset_phy(E1000 *e)
{
    for (unsigned i = 0; i < E1000_PHY_REGS; i++)
        e->phy[i] = phy_regs[i].reset;
    e->phy[PHY_ID2] = e->model->phy_id2;
    e1000_phy_link(e, net_card_link(&e->card));
}

/* Of the pages only the first is built: the others read as 0. */
static bool is_off_page(const E1000 *e, unsigned n) { return e->phy[PHY_PAGE] && n >= PHY_SPECIFIC && n != PHY_PAGE; }

static void write_phy(E1000 *e, unsigned n, uint16_t value)
{
    if (is_off_page(e, n))
        return;
    if (n == PHY_CTRL && value & PHY_CTRL_RESET) {
        e1000_reset_phy(e);
        return;
    }
    uint16_t writable = n == PHY_PAGE && e->model->phy_pages ? 0xffff : phy_regs[n].writable;
    e->phy[n] = (e->phy[n] & ~writable) | (value & writable);
    if (n == PHY_CTRL && value & PHY_CTRL_RESTART)
        e1000_interrupt(e, INT_LSC);
}

void e1000_write_mdic(E1000 *e, uint32_t value)
{
    unsigned reg = value >> 16 & 31, address = value >> 21 & 31, op = value >> 26 & 3;
    uint32_t done = (value & ~(uint32_t)MDIC_ERROR) | MDIC_READY;
    if (address != PHY_ADDRESS)
        done |= MDIC_ERROR;
    else if (op == MDIC_WRITE)
        write_phy(e, reg, value);
    else if (op == MDIC_READ)
        done = (done & 0xffff0000) | (is_off_page(e, reg) ? 0 : e->phy[reg]);
    *e1000_reg(e, R_MDIC) = done;
    if (value & MDIC_INTERRUPT)
        e1000_interrupt(e, INT_MDAC);
}
