#pragma once
#include "machine/device.h"
/*
 * ramfb.h - a screen that is nothing but a place in RAM: firmware (OVMF's QemuRamfbDxe) writes address, size and format into fw_cfg's file
 * "etc/ramfb", as QEMU's hw/display/ramfb.c has it.
 */
extern const DeviceType ramfb_type;

bool ramfb_connect(Device *ramfb, Device *fw_cfg, GError **err); /* by the board, once both are realized */
