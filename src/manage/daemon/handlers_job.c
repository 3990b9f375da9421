/* handlers_job.c - stub to be filled */
#include "manage/daemon/change.h"
void disk_job_told(ManagedDomain *d, const char *id, HvJobStatus status) {}
