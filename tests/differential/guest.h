#pragma once
#include <glib.h>

#include "machine/accel.h"
#include "subject.h"
/*
 * guest.h - one instruction executed by an accelerator, in a machine of nothing but RAM.
 *
 * Paging is on, with the same user pages as the native side has; the interrupt table sends each vector to an address of
 * its own in supervisor memory, so the exception that came, if any, is seen in RIP and its frame on the stack.
 */
typedef struct Guest Guest;
Guest *guest_create(const AccelOps *ops, uint64_t fs_base, GError **err);
void guest_destroy(Guest *g);
SubjectMemory guest_memory(Guest *g);
void guest_step(Guest *g, const Case *c, Outcome *ret);

/* The pages at SEQUENCE_AT, for guest_run(): it goes on until an exception. */
uint8_t *guest_sequence(Guest *g);
void guest_run(Guest *g, const Case *c, Outcome *ret);
void guest_kick(Guest *g); /* from another thread */
void guest_stop(Guest *g); /* from a signal handler: what runs comes back, TIMED_OUT */
