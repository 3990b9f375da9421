#pragma once
#include "machine/bus.h"
#include "machine/device.h"
/*
 * fdc.h - what a board and -device need of floppies.
 *
 * isa-fdc is the controller, with a bus for floppies.  Windows: 0 at 3f0 (six bytes), 1 at 3f7 (one; 3f6 is the IDE's).
 */
extern const DeviceType isa_fdc_type, floppy_type;

void fdc_set_dma(Device *fdc, Device *i8237);     /* before realize; without it data go by the FIFO only */
uint8_t fdc_cmos_drives(const Device *fdc);       /* CMOS byte 10h: the kinds of both drives */
