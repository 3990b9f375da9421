#pragma once
#include "machine/device.h"
/*
 * input.h - keyboard and mouse of a PC.
 *
 * i8042: window 0 is port 60h, window 1 port 64h; outputs: 0 IRQ 1, 1 IRQ 12, 2 A20 (true: not masked).
 */
extern const DeviceType i8042_type;
enum { I8042_KEYBOARD_IRQ, I8042_MOUSE_IRQ, I8042_A20, I8042_OUTPUTS };

/* Host events; any thread.  Keys are those of Linux's input-event-codes.h (KEY_A is 30); an unknown one is ignored. */
void i8042_key(Device *kbc, unsigned key, bool down);
/* Movement right and down, wheel towards the user; buttons: bit 0 left, 1 right, 2 middle, 3 and 4 the side buttons. */
void i8042_mouse(Device *kbc, int dx, int dy, int wheel, unsigned buttons);
