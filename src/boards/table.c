/* table.c - every board there is. */
#include "boards/board.h"
#include "boards/microvm.h"
#include "boards/pc.h"

const BoardType *const board_types[] = {
    &board_pc,
    &board_q35,
    &board_microvm,
    NULL,
};
