#pragma once
#include "vmm/jobs.h"
#include "vmm/monitor/command.h"
/* job_call.h - what the commands that start jobs have in common; commands_job.c. */
VmJobOptions job_options_of(MonitorCall *call);
bool job_find_drive(MonitorCall *call, NodePlace *ret, GError **err); /* argument "device" */
BlkSync job_sync_of(const char *word);                                /* MirrorSyncMode */
bool job_backup_bitmap(MonitorCall *call, const NodePlace *at, BlkBitmap **ret, GError **err); /* *ret stays NULL where none is asked for */
