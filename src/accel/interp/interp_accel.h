#pragma once
#include "accel/interp/code_cache.h"
/*
 * interp_accel.h - what the vCPUs of one machine share under the interpreter.
 */
struct InterpAccel {
    Accel accel;
    const ExecEntry *entry[OP_COUNT]; /* NULL: #UD */
    bool on_fpu[OP_COUNT]; /* the handler works on CpuState.fpu */
    CodeMap *code_map;
    GPtrArray *vcpus; /* InterpVcpu; complete before the first of them runs */
    void *translator; /* accel/dbt's own */
};

/* dispatch.c */
void dispatch_init(InterpAccel *a);
/* The handler for a decoded instruction: a plain one if all of its conditions can be checked now, else one that checks
 * privilege and mode each time. */
ExecFn *dispatch(const InterpAccel *a, const Insn *i);
ExecFn exec_undefined, exec_too_long;

/* ---- run.c: the loop, and for the translator that builds upon it.  In order of the loop. */
/* An interrupt that IF holds back is no reason to stop: STI, POPF and IRET raise attention. */
static inline bool interp_wants_attention(InterpVcpu *v)
{
    uint32_t requests = vcpu_requests(&v->vcpu);
    return v->attention || requests & ~VREQ_INTR || (requests && v->s.rflags & RFLAGS_IF);
}
bool interp_serve_requests(InterpVcpu *v, RunExit *ret); /* true: leave run() with *ret */
void interp_run_some(InterpVcpu *v); /* a decoded block */
void interp_run_one(InterpVcpu *v);  /* one instruction */
void interp_land_fault(InterpVcpu *v); /* what follows where faults land */

/* accel.c.  Members of AccelOps that serve both. */
Accel *interp_accel_create(Machine *m, const CpuModel *model, const AccelOps *ops, GError **err);
void interp_destroy(Accel *accel);
bool interp_vcpu_init(Accel *accel, Vcpu *vcpu, GError **err);
void interp_vcpu_finish(Vcpu *vcpu);
bool interp_get(Vcpu *vcpu, CpuState *ret, GError **err);
bool interp_set(Vcpu *vcpu, const CpuState *s, GError **err);
void interp_map_changed(Accel *accel, const FlatRange *old, size_t n_old, const FlatRange *now, size_t n_now);
void interp_code_changed(Accel *accel, uint64_t gpa, uint64_t size);
void interp_dirty_take(Accel *accel, RamBlock *ram, uint64_t first_page, uint64_t n_pages, uint64_t *bitmap);
