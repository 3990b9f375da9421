/* smbus.c - the SMBus host controller of the 82371AB (order number 290562, 7.3), with nothing on the bus. */
#include "devices/pci/smbus.h"

enum { SMBHSTSTS = 0, SMBSLVSTS = 1, SMBHSTCNT = 2, STS_DEV_ERR = 1 << 2, STS_EVENTS = 0x1e, CNT_INTERRUPT = 1 << 0, CNT_START = 1 << 6 };

const Field smbus_fields[] = {
    { F(Smbus, status), .doc = "SMBHSTSTS" },
    { FA(Smbus, reg), .doc = "the other registers, as written" },
    { .name = NULL },
};

uint8_t smbus_read(Smbus *s, unsigned off)
{
    if (off == SMBHSTSTS)
        return s->status;
    return off < SMBUS_REGISTERS && off != SMBSLVSTS ? s->reg[off] : 0;
}

bool smbus_interrupt(const Smbus *s) { return s->status & STS_EVENTS && s->reg[SMBHSTCNT] & CNT_INTERRUPT; }

void smbus_write(Smbus *s, unsigned off, uint8_t value)
{
    if (off == SMBHSTSTS) {
        s->status &= ~(value & STS_EVENTS);
        return;
    }
    if (off == SMBHSTCNT && value & CNT_START)
        s->status |= STS_DEV_ERR;
    if (off < SMBUS_REGISTERS)
        s->reg[off] = off == SMBHSTCNT ? value & ~CNT_START : value;
}
