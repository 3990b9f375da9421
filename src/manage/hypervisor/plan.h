#pragma once
#include "manage/hypervisor/hypervisor.h"
/* plan.h - a definition as a command line of atoll-vm or qemu-system-x86_64. */

/* Which of the two; the rest is spelled alike. */
typedef struct PlanFlavour {
    const char *emulator;   /* where the definition names none; NULL: the host's */
    const char *translator; /* -accel of type='qemu' */
    bool smm;               /* it has system management mode */
} PlanFlavour;
extern const PlanFlavour plan_atoll, plan_qemu;

bool plan_machine(const PlanFlavour *flavour, const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err);
/* Gives every device the name that its machine knows it by (libvirt's aliases). */
void plan_aliases(Domain *d);
bool plan_name_device(const Domain *live, void *device, GError **err); /* one more device of a running machine */
/* The name of the node with an image's format, or of the one below it with its data; index RECORD_NONE: the image that the machine started with. */
char *plan_node_name(const char *alias, uint64_t index, bool storage);
/* JSON of -blockdev, from the bottom of the disk's chain to its top; none for an empty drive.  The array is the caller's. */
GPtrArray *plan_disk_nodes(const Disk *disk);
/* Two of them for a new image alone; `below` NULL: nothing lies below it. */
GPtrArray *plan_image_nodes(const Disk *disk, const Layer *image, const char *below);
/* JSON of -device; NULL and an error: there is no such device here.  Callers free. */
char *plan_disk_device(const Domain *d, const Disk *disk, GError **err);
char *plan_interface_device(const Domain *d, const Interface *i, GError **err);
char *plan_controller_device(const Controller *c, GError **err);
char *plan_interface_backend(const Interface *i, GError **err);
/* A secret of that machine's images: the object's name, and the file that it is in while the machine starts.  Callers free. */
char *plan_secret_name(const char *alias, uint64_t index);
char *plan_secret_path(const HvHost *h, const Domain *d, const Encryption *e);
char *plan_monitor_path(const HvHost *h, const Domain *d);
char *plan_pid_path(const HvHost *h, const Domain *d);
char *plan_channel_path(const HvHost *h, const Domain *d, const char *channel); /* the host's end of a channel without a path */
