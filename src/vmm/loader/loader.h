#pragma once
#include "boards/board.h"
/*
 * loader.h - starting a kernel without firmware (-kernel).  Files stay open, so that a reboot of the guest starts the same
 * kernel again though another has taken its name, and are read again then.
 */
typedef struct Kernel Kernel;

/* Reads and recognises; initrd and append may be NULL. */
Kernel *kernel_open(const char *path, const char *initrd, const char *append, GError **err);
void kernel_close(Kernel *k); /* NULL is fine */
const char *kernel_kind(const Kernel *k);
/* Is this descriptor one of its files', which nobody opens again?  k NULL: no. */
bool kernel_reads(const Kernel *k, int fd);
/* After machine_reset() and board_start_direct(): puts kernel and initrd into RAM and vCPU 0 at its entry. */
bool kernel_load(Kernel *k, Machine *m, const BoardStart *start, GError **err);
