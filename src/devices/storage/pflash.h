#pragma once
#include "machine/machine.h"
/*
 * pflash.h - parallel NOR flash for firmware: one chip a drive, whose end the board places.
 *
 *     Device *d = device_create(m, &pflash_type, NULL, (const char *[]){ "drive", "pflash0", NULL }, err);
 *     pflash_map(d, top - pflash_size(d), err)
 */
extern const DeviceType pflash_type;
enum { PFLASH_BLOCK = 4096, PFLASH_MAX = 8 << 20 }; /* bytes: erased at once, which an image is a multiple of; of a chip */

uint64_t pflash_size(const Device *d); /* bytes; after realize */
bool pflash_map(Device *d, uint64_t at, GError **err);
RamBlock *pflash_contents(const Device *d); /* to show a part of it elsewhere as ROM */
