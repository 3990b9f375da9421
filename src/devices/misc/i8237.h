#pragma once
#include "machine/device.h"
/*
 * i8237.h - the DMA controllers of a PC: two 8237A and the page registers.
 *
 * Windows: 0 the first controller (00-0f), 1 the second (c0-df), 2 page registers (81-8f).  Channels 0 to 3 move bytes, 5 to 7
 * words.  A device that has data calls i8237_transfer() with its own lock held.
 */
extern const DeviceType i8237_type;

/* Moves up to n bytes between buf and the memory that the guest has set the channel to; returns how many, 0 where the channel
 * is masked or set the other way.  *ret_end: the channel's count ran out (terminal count). */
size_t i8237_transfer(Device *d, unsigned channel, void *buf, size_t n, bool to_memory, bool *ret_end);
