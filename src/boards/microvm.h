#pragma once
#include "boards/board.h"
/* microvm.h - the smallest machine: no PCI, no firmware; interrupt controllers, clocks, a serial port, and eight places for virtio. */
extern const BoardType board_microvm;
