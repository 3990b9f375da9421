#pragma once
#include "accel/interp/code_cache.h"
/*
 * interp_accel.h - what the vCPUs of one machine share under the interpreter.
 */
struct InterpAccel {
    Accel accel;
    const ExecEntry *entry[OP_COUNT]; /* NULL: #UD */
    CodeMap *code_map;
    GPtrArray *vcpus; /* InterpVcpu; complete before the first of them runs */
};

/* dispatch.c */
void dispatch_init(InterpAccel *a);
/* The handler for a decoded instruction: a plain one if all of its conditions can be checked now, else one that checks
 * privilege and mode each time. */
ExecFn *dispatch(const InterpAccel *a, const Insn *i);
ExecFn exec_undefined, exec_too_long;
