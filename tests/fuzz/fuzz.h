#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "block/block.h"
#include "fuzz_input.h"
#include "machine/machine.h"
/*
 * fuzz.h - what device fuzzers share: a machine with RAM and a PCI bus, and a reader of the input.
 *
 * A target is LLVMFuzzerTestOneInput(); with -Dfuzz=true (clang) libFuzzer drives it, otherwise standalone.c does with
 * random inputs.
 */
typedef struct FuzzRig {
    Machine *machine;
    PciBus *bus;
} FuzzRig;

enum { FUZZ_RAM_BYTES = 1 << 20 };

FuzzRig fuzz_rig_create(void);
void fuzz_rig_destroy(FuzzRig *r);
uint64_t fuzz_read(AddressSpace *s, uint64_t at, unsigned size);
void fuzz_write(AddressSpace *s, uint64_t at, unsigned size, uint64_t value);
void fuzz_fill_ram(FuzzRig *r, FuzzInput *in, uint64_t at); /* a run of bytes from the input */
void fuzz_save_load(FuzzRig *r);                            /* must work at any time */

/* A raw image of zeros that devices find by that id; the caller closes it after the rig. */
BlkNode *fuzz_add_image(FuzzRig *r, const char *id, unsigned bytes);
