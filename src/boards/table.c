/* table.c - every board there is. */
#include "boards/board.h"
#include "boards/microvm.h"
#include "boards/pc.h"

const char *const board_versions[] = {
    "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "3.0", "3.1", "4.0", "4.1", "4.2", "5.0", "5.1", "5.2",
    "6.0", "6.1", "6.2", "7.0", "7.1", "7.2", "8.0", "8.1", "8.2", "9.0", "9.1", "9.2", "10.0", NULL,
};

const BoardType *const board_types[] = {
    &board_pc,
    &board_q35,
    &board_microvm,
    NULL,
};
