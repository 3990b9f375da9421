#pragma once
#include <glib.h>

#include "subject.h"
/*
 * native.h - one instruction executed by the host's CPU, in this process.
 *
 * The state before is put in place by rt_sigreturn with a made-up frame, which can set every register, the FPU and the
 * code segment (64-bit or compatibility mode) at once; the trap flag ends the instruction, and the signal's frame has
 * the state after.  One sandbox a process: signal handlers have no other way to find it.
 */
typedef struct Native Native;
Native *native_create(GError **err);
void native_destroy(Native *n);
SubjectMemory native_memory(Native *n);
uint64_t native_fs_base(void);
void native_step(Native *n, const Case *c, Outcome *ret);

/* The pages of guest_sequence() at their address, in this process, which from now on makes no system calls from there.  It runs
 * until an exception; LOST: it called the system. */
uint8_t *native_sequence(Native *n, GError **err);
bool native_run(Native *n, const Case *c, uint64_t fs_base, Outcome *ret);
