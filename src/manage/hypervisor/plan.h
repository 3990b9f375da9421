#pragma once
#include "manage/hypervisor/hypervisor.h"
/* plan.h - a definition as a command line of atoll-vm or qemu-system-x86_64. */

/* Which of the two; the rest is spelled alike. */
typedef struct PlanFlavour {
    const char *emulator;   /* where the definition names none; NULL: the host's */
    const char *translator; /* -accel of type='qemu' */
} PlanFlavour;
extern const PlanFlavour plan_atoll, plan_qemu;

bool plan_machine(const PlanFlavour *flavour, const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err);
/* Gives every device the name that its machine knows it by (libvirt's aliases). */
void plan_aliases(Domain *d);
/* JSON of -blockdev for a disk's image and, above it, its format; either may be NULL (an empty drive).  Callers free. */
void plan_disk_nodes(const Disk *disk, char **ret_storage, char **ret_format);
/* JSON of -device; NULL and an error: there is no such device here.  Callers free. */
char *plan_disk_device(const Domain *d, const Disk *disk, GError **err);
char *plan_interface_device(const Interface *i, GError **err);
char *plan_interface_backend(const Interface *i, GError **err);
char *plan_monitor_path(const HvHost *h, const Domain *d);
char *plan_pid_path(const HvHost *h, const Domain *d);
