#pragma once
#include "machine/machine.h"
/*
 * pam.h - what a host bridge lays over the expansion bus: shadow RAM at c0000h to fffffh, SMRAM at a0000h.
 */
enum { PAM_SEGMENTS = 13, PAM_REGISTERS = 7 };
enum { SMRAM_DLCK = 1 << 4, SMRAM_DCLS = 1 << 5, SMRAM_DOPEN = 1 << 6, SMRAM_WRITABLE = 0x78, SMRAM_RESET = 0x02 };

typedef struct Pam {
    MemRegion *segment[PAM_SEGMENTS]; /* RAM over what the bus shows: f0000h, then c0000h upwards by 16 KiB */
    MemRegion *smram;                 /* RAM over the VGA window */
} Pam;

bool pam_create(Pam *p, Device *d, GError **err);
void pam_destroy(Pam *p); /* also of one that was made half-way */
void pam_update(Pam *p, Device *d, const uint8_t reg[PAM_REGISTERS], uint8_t smram);
/* D_LCK makes the register read-only and closes SMRAM until reset. */
void smram_lock(uint8_t *reg, uint8_t *writable);
