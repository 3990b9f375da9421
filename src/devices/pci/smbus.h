#pragma once
#include "machine/device.h"
/*
 * smbus.h - the PIIX4's SMBus host controller: its registers, as part of the power management function.
 * No device is on the bus; a transaction ends at once with "no acknowledge".
 */
enum { SMBUS_REGISTERS = 14 };

typedef struct Smbus {
    uint8_t status;                /* SMBHSTSTS */
    uint8_t reg[SMBUS_REGISTERS];  /* the others, as written */
} Smbus;

extern const Field smbus_fields[];
uint8_t smbus_read(Smbus *s, unsigned off);
void smbus_write(Smbus *s, unsigned off, uint8_t value);
