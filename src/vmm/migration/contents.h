#pragma once
#include "machine/machine.h"
#include "vmm/migration/stream.h"
/*
 * contents.h - what a saved machine consists of: which machine it is, its memory page by page, and the state of its processors
 * and devices.  The machine stands still meanwhile; any thread.
 */
typedef struct MemoryCount { /* bytes; read by others meanwhile */
    _Atomic uint64_t total, left, zero, normal;
} MemoryCount;

/* state: of machine_save(). */
bool contents_write(Stream *s, Machine *m, const char *board, const GByteArray *state, MemoryCount *count, GError **err);
/* Checks that this is the same machine, and fills its memory; *state is to be given to machine_load().  After a failure the
 * machine's memory is good for nothing. */
bool contents_read(Stream *s, Machine *m, const char *board, GByteArray **state, MemoryCount *count, GError **err);
