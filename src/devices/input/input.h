#pragma once
#include "machine/device.h"
/*
 * input.h - keyboard and mouse of a PC.
 *
 * Keys and movement come from the machine's InputHub.  i8042: window 0 is port 60h, window 1 port 64h; outputs: 0 IRQ 1, 1 IRQ 12, 2 A20 (true: not masked).
 */
extern const DeviceType i8042_type;
enum { I8042_KEYBOARD_IRQ, I8042_MOUSE_IRQ, I8042_A20, I8042_OUTPUTS };
