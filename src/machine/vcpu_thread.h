#pragma once
#include "machine/machine.h"
/* vcpu_thread.h - what machine.c needs of vcpu.c. */

/* Who owns the world while every other vCPU is outside run(); also guards Vcpu.in_run. */
typedef struct Exclusive {
    GMutex lock;
    GCond changed;
    unsigned waiters; /* on `changed` */
    Vcpu *owner;
} Exclusive;

/* The memory of a vCPU, wherever its accelerator wants it. */
Vcpu *vcpu_alloc(Accel *a, GError **err);
void vcpu_free(Vcpu *v);
bool vcpu_create(Machine *m, unsigned id, GError **err); /* with its thread, stopped; joins m->vcpus */
void vcpu_destroy(Vcpu *v);
/* Returns when something in wake_mask is asked for, or earlier. */
void vcpu_halt(Vcpu *v, uint32_t wake_mask);
void vcpu_wait_outside(Vcpu *v); /* after a request: returns when run() has been left */
