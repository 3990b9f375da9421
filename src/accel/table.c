/*
 * table.c - every accelerator.  -accel names one.
 */
#include <string.h>

#include "accel/accel.h"

const AccelOps *const accel_table[] = {
    &accel_kvm,
    &accel_dbt,
    &accel_interp,
    &accel_qtest,
    NULL,
};

const AccelOps *accel_find(const char *name)
{
    for (const AccelOps *const *a = accel_table; *a; a++)
        if (!strcmp((*a)->name, name))
            return *a;
    return NULL;
}
