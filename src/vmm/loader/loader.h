#pragma once
#include "boards/board.h"
/*
 * loader.h - starting a kernel without firmware (-kernel).  Files are read once, so that a reboot of the guest starts
 * the same kernel again.
 */
typedef struct Kernel Kernel;

/* Reads and recognises; initrd and append may be NULL. */
Kernel *kernel_open(const char *path, const char *initrd, const char *append, GError **err);
void kernel_close(Kernel *k); /* NULL is fine */
const char *kernel_kind(const Kernel *k);
/* After machine_reset() and board_start_direct(): puts kernel and initrd into RAM and vCPU 0 at its entry. */
bool kernel_load(const Kernel *k, Machine *m, const BoardStart *start, GError **err);
