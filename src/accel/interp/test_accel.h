#pragma once
#include "accel/accel.h"
/*
 * test_accel.h - which accelerator a test of the interpreter runs: the translator keeps the interpreter's state and must
 * come to the same, so its tests run a second time with ATOLL_TEST_ACCEL=dbt.
 */
static inline const AccelOps *test_accel(void)
{
    const char *name = g_getenv("ATOLL_TEST_ACCEL");
    const AccelOps *ops = accel_find(name ? name : "interp");
    if (!ops)
        g_error("ATOLL_TEST_ACCEL: there is no accelerator '%s'", name);
    return ops;
}
