/*
 * trim.c - a vCPU that idles forgets its blocks, and gives their memory back.
 *
 * An idle guest wakes up for its timers and runs little.  What it ran to get there, a whole boot, it may never run again.
 */
#include "accel/dbt/dbt.h"

enum {
    STRETCH_US = 2000000, /* looked at as a whole */
    IDLE_DIVISOR = 50,    /* ran for less than this part of it: idle */
    LEAST_BYTES = 4 << 20, /* less is not worth translating anew; what an idle Linux runs is below this */
};

bool dbt_trim_idles(DbtTrim *t, int64_t begin_us, int64_t end_us)
{
    if (!t->since_us)
        t->since_us = begin_us;
    t->ran_us += end_us - begin_us;
    int64_t stretch = end_us - t->since_us;
    if (stretch < STRETCH_US)
        return false;
    bool idles = t->ran_us < stretch / IDLE_DIVISOR;
    *t = (DbtTrim){ .since_us = end_us };
    return idles;
}

RunExit dbt_run_and_trim(Vcpu *vcpu)
{
    DbtVcpu *v = (DbtVcpu *)vcpu;
    int64_t begin = g_get_monotonic_time();
    RunExit why = dbt_run(vcpu);
    int64_t end = g_get_monotonic_time();
    if (why != RUN_HALTED)
        v->trim.ran_us += v->trim.since_us ? end - begin : 0;
    else if (dbt_trim_idles(&v->trim, begin, end) && dbt_cache_bytes(v) > LEAST_BYTES)
        dbt_cache_release(v);
    return why;
}
