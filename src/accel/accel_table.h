#pragma once
#include "machine/accel.h"
/* accel_table.h - choosing an accelerator. */
const AccelOps *accel_find(const char *name); /* NULL: none of that name */
