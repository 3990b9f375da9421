#pragma once
#include "machine/machine.h"
/*
 * fw_cfg.h - the firmware configuration device: small items by number and files by name, which the board fills.
 * Interface: QEMU's docs/specs/fw_cfg; what SeaBIOS, OVMF and Linux expect.  Window 0 at port 510h, window 1 at 514h.
 */
extern const DeviceType fw_cfg_type;

/* Items by number. */
enum {
    FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_UUID = 0x02, FW_CFG_RAM_SIZE = 0x03, FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05, FW_CFG_KERNEL_ADDR = 0x07, FW_CFG_KERNEL_SIZE = 0x08, FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b, FW_CFG_BOOT_DEVICE = 0x0c, FW_CFG_BOOT_MENU = 0x0e, FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_DATA = 0x11, FW_CFG_INITRD_DATA = 0x12, FW_CFG_CMDLINE_ADDR = 0x13, FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15, FW_CFG_SETUP_ADDR = 0x16, FW_CFG_SETUP_SIZE = 0x17, FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19, FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002, /* x86: IRQ 0 is wired to IOAPIC pin 2 */
};

/* The machine is stopped.  Data are copied; a number or name that exists gets new data. */
void fw_cfg_add(Device *fw_cfg, uint16_t key, const void *data, size_t n);
void fw_cfg_add_number(Device *fw_cfg, uint16_t key, uint64_t value, unsigned size); /* little-endian */
bool fw_cfg_add_file(Device *fw_cfg, const char *name, const void *data, size_t n, GError **err);
/* A file of n zeros that the guest may write, by DMA; written() then sees all of it, with fw_cfg's lock held. */
typedef void FwCfgWritten(void *opaque, const uint8_t *data);
bool fw_cfg_add_writable(Device *fw_cfg, const char *name, size_t n, FwCfgWritten *written, void *opaque, GError **err);
/* The bytes of a file, or NULL: for tests and for starts without firmware. */
GBytes *fw_cfg_file(Device *fw_cfg, const char *name);
