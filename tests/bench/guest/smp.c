/*
 * smp.c - the same work by one thread and by two at once: on two processors both take the same time.
 */
#include <pthread.h>

#include "work.h"

static void *busy(void *unused)
{
    static const uint8_t data[16384];
    uint64_t sum = 0;
    for (unsigned i = 0; i < 40; i++)
        sum = mix(sum, sha256_blocks(data, sizeof(data)));
    return (void *)(uintptr_t)sum;
}

static uint64_t run_threads(unsigned count)
{
    pthread_t threads[2];
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, busy, NULL))
            give_up("pthread_create");
    for (unsigned i = 0; i < count; i++) {
        void *result;
        pthread_join(threads[i], &result);
        sum += (uintptr_t)result;
    }
    return sum;
}

static uint64_t run_one(void)
{
    return run_threads(1);
}

static uint64_t run_two(void)
{
    return run_threads(2);
}

const Workload smp_workloads[] = { { "one-thread", run_one }, { "two-threads", run_two }, { NULL } };
