#pragma once
#include "manage/hypervisor/hypervisor.h"
/*
 * firmware.h - which firmware a machine starts with, and the file that its variables are kept in.
 *
 * What is installed is said by descriptors (QEMU's docs/interop/firmware.json): files NAME.json in /etc/qemu/firmware and
 * /usr/share/qemu/firmware, in the order of their names; one of the first folder stands for one of the same name in the second.
 */
typedef struct Firmware {
    char *code, *variables; /* paths; variables: what they start as */
    char **features;        /* secure-boot, requires-smm and so on */
} Firmware;

/* Those of UEFI in flash for that board, best first: Firmware.  The caller's. */
GPtrArray *firmware_list(const HvHost *h, const char *arch, const char *machine);
bool firmware_can(const Firmware *f, const char *feature);
/* Fills in what a definition leaves open.  smm: the driver's machines have system management mode. */
bool firmware_choose(const HvHost *h, Domain *d, bool smm, GError **err);
/* The file of variables that a machine of that name gets where its definition names none; the caller frees. */
char *firmware_variables_path(const HvHost *h, const char *name);
/* Makes the file of variables where it is not there yet; `anew`: also where it is. */
bool firmware_make_variables(const HvHost *h, const Domain *d, bool anew, GError **err);
