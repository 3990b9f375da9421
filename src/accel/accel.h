#pragma once
#include "machine/accel.h"
/* accel.h - the accelerators there are.  accel_table[] (machine/accel.h) is defined by table.c. */
extern const AccelOps accel_interp, accel_kvm;
