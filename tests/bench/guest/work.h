/*
 * work.h - one workload of the guest benchmarks: a function that does the same thing every time it is called.
 *
 * run() returns a checksum that is the same at every call and on every machine; so a benchmark is a test as well: an
 * emulator that computes something else is found out.  One call takes about a millisecond or less on a real processor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Workload {
    const char *name;
    uint64_t (*run)(void);
    uint64_t units;       /* iterations that one call counts as; 0 means 1 */
    uint64_t idle_ns;     /* time that an iteration is meant to take, and that is not counted */
    bool (*usable)(void); /* optional: false where the processor or the programs are not there */
} Workload;

/* Tables end with a row without a name. */
extern const Workload compute_workloads[], vector_workloads[], memory_workloads[], kernel_workloads[], code_workloads[],
    smp_workloads[], program_workloads[];

/* Numbers that look random and are the same everywhere: a linear congruential generator, upper half. */
static inline uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 32;
}

/* Folds a value into a checksum. */
static inline uint64_t mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 29;
}

/* Ends the process with a message; a workload that cannot do its work has no figure. */
_Noreturn void give_up(const char *what);

/* SHA-256 of `size` bytes (a multiple of 64), without the padding, folded to 64 bits. */
uint64_t sha256_blocks(const uint8_t *data, size_t size);
