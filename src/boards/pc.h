#pragma once
#include "boards/board.h"
/*
 * pc.h - the PCs: "pc", with i440FX host bridge and PIIX3 south bridge with PIIX4 power management; "q35", with 82Q35 and ICH9.
 */
extern const BoardType board_pc, board_q35;
