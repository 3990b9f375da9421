#pragma once
#include "machine/device.h"
/* char.h - serial devices.  Window 0 at property iobase; uart's output 0 is its interrupt (property irq). */
extern const DeviceType isa_serial_type, isa_debugcon_type;
