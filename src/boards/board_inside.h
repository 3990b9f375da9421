#pragma once
#include "boards/board.h"
/* board_inside.h - what board.c asks of a board; for src/boards only. */
typedef struct BoardOps {
    void (*destroy)(Board *b);
    IrqLine (*isa_irq)(Board *b, unsigned n);
    bool (*add_file)(Board *b, const char *name, const void *data, size_t n, GError **err);
    bool (*set_boot_order)(Board *b, const BootOrder *order, GError **err);
    bool (*attach)(Board *b, Device *d, GError **err);  /* a place for a device that is neither PCI nor ISA; before realize */
    bool (*plugged)(Board *b, Device *d, GError **err); /* a device of the user's has been realized */
    bool (*start_direct)(Board *b, BoardStart *ret, GError **err);
} BoardOps;

typedef struct IsaBus {
    Bus bus;
    Board *board;
} IsaBus;
extern const BusType isa_bus_type; /* a board with ISA cards makes its bus "isa.0" */

/* First member of every board's own struct. */
struct Board {
    const BoardOps *ops;
    Machine *machine;
    PciBus *pci;
    IsaBus isa;
};

/* Devices refer to the board, so they go before it: all but the first `keep`. */
void board_destroy_devices(Machine *m, unsigned keep);
