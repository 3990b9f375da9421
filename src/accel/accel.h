#pragma once
#include "machine/accel.h"
/* accel.h - the accelerators of this build. */
extern const AccelOps accel_interp, accel_dbt, accel_kvm, accel_qtest;
/* Before the process has a second thread: what the kernel gives at once now, and later only after every processor has taken notice. */
void accel_prepare(void);
const AccelOps *accel_find(const char *name); /* as -accel spells it; NULL: none of that name */
