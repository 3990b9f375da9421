#pragma once
#include <stdbool.h>

typedef struct Machine Machine;
typedef struct VcpuHelpers VcpuHelpers;
/*
 * help.h - what vCPUs do in the place of threads that serve devices, because to wake one costs more than a small piece of work.
 *
 *     machine_add_helper(m, &(VcpuHelper){ .help = io_thread_help, .opaque = t });
 *
 * All is called on the threads of vCPUs, of several at a time, with no lock held.
 */
typedef struct VcpuHelper {
    void (*help)(void *opaque);           /* after an access to a device: do what it asked for, if that is little */
    void (*watch)(void *opaque, bool on); /* optional: a vCPU is halted, and calls look() now and then; false: it will sleep now */
    bool (*look)(void *opaque);           /* optional: true: something had come, and is done */
    void *opaque;
} VcpuHelper;

/* From the main thread. */
void machine_add_helper(Machine *m, const VcpuHelper *h);
void machine_remove_helper(Machine *m, const void *opaque); /* returns when no vCPU uses it */

/* For vcpu.c and halt.c. */
void help_free(VcpuHelpers *all); /* NULL is fine */
void help_run(Machine *m);
void help_watch(Machine *m, bool on);
bool help_look(Machine *m);
