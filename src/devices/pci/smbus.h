#pragma once
#include "machine/device.h"
/*
 * smbus.h - the SMBus host controller of PIIX4 and ICH: its registers, as part of a function.
 * No device is on the bus; a transaction ends at once with "no acknowledge".
 */
enum { SMBUS_REGISTERS = 14 };

typedef struct Smbus {
    uint8_t status;                /* SMBHSTSTS */
    uint8_t reg[SMBUS_REGISTERS];  /* the others, as written */
} Smbus;

extern const Field smbus_fields[];
uint8_t smbus_read(Smbus *s, unsigned off);
bool smbus_interrupt(const Smbus *s);
void smbus_write(Smbus *s, unsigned off, uint8_t value);
