/*
 * table.c - every accelerator.  -accel names one.
 */
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* membarrier(2): the interpreter, which the translator has too, registers and reports what is wrong; this spares it 5 to 20 ms. */
void accel_prepare(void) { syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0); }
