#pragma once
#include "boards/board.h"
/* pc.h - the classic PC: i440FX host bridge and PIIX3 south bridge with PIIX4 power management. */
extern const BoardType board_pc;
