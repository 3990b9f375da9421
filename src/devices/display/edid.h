#pragma once
#include <stdint.h>
/* edid.h - what a monitor says about itself.  VESA E-EDID 1.4, one block. */
enum { EDID_BYTES = 128 };
void edid_fill(uint8_t edid[EDID_BYTES], unsigned width, unsigned height);
