#pragma once
#include "manage/daemon/task.h"
/* change.h - what a running machine tells of its devices and images, on the main thread, and who takes it. */

/* handlers_device.c: the guest has let go of a device. */
void device_removed(ManagedDomain *d, const char *alias);
Record *device_read(const char *xml, GError **err); /* a device alone, as attach-device gives it */

/* handlers_job.c: a job on a disk's images. */
void disk_job_told(ManagedDomain *d, const char *id, HvJobStatus status);
char *disk_job_id(HvJobType type, const char *target, const Layer *top, const Layer *base); /* names a job; `top`, `base` may be NULL */
bool disk_job_wait(Task *t, const char *target, bool ready, GError **err); /* until it is ready, or has ended; on a worker */
Layer *disk_chain(const Disk *disk); /* a copy that begins with its own image; NULL: there is none */
Layer *layer_named(Layer *chain, const char *path);
/* handlers_disk.c: what a disk has done and how large it is; on a worker. */
bool disk_figures(Task *t, const Disk *disk, HvDiskStats *ret, GError **err);
/* disk.c */
void disk_failed(ManagedDomain *d, const char *node, int action);
Disk *disk_find(const Domain *d, const char *target_or_path); /* NULL: none */
Disk *disk_of_node(const Domain *d, const char *node);
/* The running machine's and the definition's disk of that target goes on with another image. */
void disk_set_image(Disk *disk, const Layer *image);
uint64_t disk_next_index(const Disk *disk); /* for a node of a new image */
