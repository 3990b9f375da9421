#pragma once
#include "machine/device.h"
/* window.h - an access to a device's window: cut to what its callbacks take, with the device's lock held. */
uint64_t window_read(Window *w, uint64_t off, unsigned size);
void window_write(Window *w, uint64_t off, unsigned size, uint64_t value);
