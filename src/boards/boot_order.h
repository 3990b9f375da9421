#pragma once
#include "machine/machine.h"
/*
 * boot_order.h - what firmware boots from first, as fw_cfg's file "bootorder" says it (QEMU's docs/bootindex; SeaBIOS's boot.c,
 * OVMF's QemuBootOrderLib): devices' paths, a line each, best first, with a NUL behind.
 *
 * Devices with a bootindex come first; then, where an order of letters is given, the others in that order, and those of letters that it does
 * not name.  With strict a last line says HALT: nothing else is booted, and letters not named are left out.
 */
typedef struct BootOrder {
    const char *letters; /* as -boot order=; NULL: none */
    bool strict;
} BootOrder;

/* The file; empty: firmware's own order.  NULL: two devices have one bootindex. */
GString *boot_order_build(Machine *m, const BootOrder *order, GError **err);
bool boot_order_check(const char *letters, GError **err); /* letters a c d n, up to three, each once */
