#pragma once
#include "generate.h"
/*
 * program.h - random sequences of instructions, which come to an end: branches lead forward, or back with a counter.
 *
 * An item is an instruction; branches name items, so that items can be taken out again when a failure is made smaller.
 */
enum { MOST_ITEMS = 96 };

typedef enum Fix {
    FIX_NONE,
    FIX_RELATIVE, /* the immediate leads to the target */
    FIX_ABSOLUTE, /* the immediate is the target's address */
    FIX_RIP,      /* the displacement leads to `data` */
    FIX_CODE,     /* the displacement is the address of the target's immediate */
} Fix;

typedef struct Item {
    Insn insn;          /* with its bytes */
    uint8_t fix, group; /* items of one group (not 0) stay together */
    unsigned target;    /* an item, or the number of items: the end */
    uint64_t data;
} Item;

typedef struct Program {
    CodeSize size;
    unsigned n, offset; /* of the first byte in the two pages */
    Item item[MOST_ITEMS];
    uint64_t at[MOST_ITEMS + 1];
    Case start;
    uint8_t data[DATA_BYTES], stack[PAGE];
} Program;

typedef struct RowList {
    unsigned *general, *other;
    unsigned n_general, n_other;
} RowList;

/* Rows that a program may have in it. */
void row_list_fill(RowList *l);
void row_list_free(RowList *l);
/* FS has this base. */
#define SEQUENCE_FS_BASE (DATA_AT + 0x100)
bool program_generate(Program *p, Random *r, const RowList *rows, unsigned instructions);
/* Writes displacements and addresses.  False: it cannot be run, or a flag would be read that is undefined. */
bool program_finish(Program *p);
void program_write(const Program *p, uint8_t *code, const SubjectMemory *m);
/* False: that item cannot be taken out. */
bool program_remove(Program *p, unsigned item);
/* The flags that are defined and may still be read, where the program has come to RIP. */
uint64_t program_flags_at(const Program *p, uint64_t rip);
