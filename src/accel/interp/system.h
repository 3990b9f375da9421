#pragma once
#include "accel/interp/operand.h"
#include "accel/interp/sys.h"
/*
 * system.h - handlers of system instructions, as exec_system[] (system.c) lists them.
 */

/* control_regs.c: control and debug registers, XCR0 */
ExecFn exec_mov_cr, exec_mov_dr, exec_lmsw, exec_smsw, exec_clts, exec_xgetbv, exec_xsetbv;
/* msr.c */
ExecFn exec_rdmsr, exec_wrmsr, exec_rdtsc, exec_rdtscp, exec_rdpmc, exec_rdpid;
/* descriptor.c: descriptor tables and what looks at descriptors */
ExecFn exec_lgdt, exec_sgdt, exec_lidt, exec_sidt, exec_lldt, exec_sldt, exec_ltr, exec_str, exec_lar, exec_lsl,
    exec_verr, exec_verw, exec_arpl, exec_mov_seg, exec_load_far;
/* syscall.c */
ExecFn exec_syscall, exec_sysret, exec_sysenter, exec_sysexit, exec_swapgs, exec_rdfsbase, exec_rdgsbase, exec_wrfsbase,
    exec_wrgsbase;
/* io.c */
ExecFn exec_in, exec_out, exec_ins, exec_outs;
/* flags.c */
ExecFn exec_cli, exec_sti, exec_pushf, exec_popf, exec_clac, exec_stac, exec_int, exec_int3, exec_into, exec_int1;

/* CR4.UMIP hides the system tables from CPL above 0. */
static inline void umip_check(InterpVcpu *v)
{
    if (v->cpl && (v->s.cr4 & CR4_UMIP))
        interp_gp0(v);
}
