#pragma once
#include "manage/hypervisor/plan.h"
#include "manage/hypervisor/qmp.h"
/* vmm_inside.h - a machine that runs as a process of its own, for the files of its drivers. */
struct HvDomain {
    Qmp *qmp;
    const HvHost *host;
    int pid;
    char *name, *uuid, *pid_path, *monitor_path;
    HvNotify *notify;
    void *opaque;
    int how;      /* HvStop, once the machine has said why it ends */
    bool said_how;
    uint64_t memory;
    GMutex lock;  /* what follows */
    GCond cond;
    GHashTable *answered; /* alias -> 1 + the guest has let go, of devices that somebody waits for */
};

bool vmm_find_chain(const HvHost *h, Disk *disk, GError **err); /* gives the disk what lies below its image */
void vmm_tell(HvDomain *d, HvEventKind kind, int detail, int64_t value, const char *name);

/* vmm_file.c: blockdev-add of each (JSON); files are opened here where the machine may not.  On failure the caller forgets them. */
bool vmm_add_nodes(HvDomain *d, const GPtrArray *nodes, GError **err);

/* vmm_device.c */
void vmm_device_answered(HvDomain *d, const char *alias, bool gone);
bool vmm_attach(HvDomain *d, const Domain *live, void *device, GError **err);
bool vmm_detach(HvDomain *d, const void *device, GError **err);
void vmm_detached(HvDomain *d, const void *device);
bool vmm_change_medium(HvDomain *d, const Disk *before, Disk *after, bool force, GError **err);
bool vmm_set_link(HvDomain *d, const Interface *card, bool up, GError **err);

/* vmm_disk.c */
bool vmm_disk_stats(HvDomain *d, const Disk *disk, HvDiskStats *ret, GError **err);
bool vmm_resize(HvDomain *d, const Disk *disk, uint64_t bytes, GError **err);
bool vmm_limit(HvDomain *d, const Disk *disk, const IoTune *limits, GError **err);
bool vmm_overlay(HvDomain *d, const GPtrArray *disks, const GPtrArray *overlays, GError **err);
void vmm_forget_node(HvDomain *d, const Disk *disk, uint64_t index);
bool vmm_job_start(HvDomain *d, const Disk *disk, const HvBlockJob *job, GError **err);
bool vmm_job_act(HvDomain *d, const char *id, HvJobAct act, uint64_t value, GError **err);
bool vmm_job_find(HvDomain *d, const char *target, HvJobInfo *ret, GError **err);

/* vmm_save.c */
bool vmm_save(HvDomain *d, int fd, GCancellable *cancel, GError **err);
bool vmm_load(HvDomain *d, int fd, GError **err); /* of a machine that was started with -incoming defer */

/* vmm_keys.c */
bool vmm_send_keys(HvDomain *d, unsigned codeset, unsigned hold_ms, const guint *keys, unsigned n, GError **err);
