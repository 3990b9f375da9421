#pragma once
#include "accel/interp/host_stub.h"
#include "accel/interp/interp.h"
/*
 * fpu.h - what the files that execute x87, MMX, SSE and AVX share.
 */
#define FSW_IE 0x0001u
#define FSW_DE 0x0002u
#define FSW_ZE 0x0004u
#define FSW_OE 0x0008u
#define FSW_UE 0x0010u
#define FSW_PE 0x0020u
#define FSW_SF 0x0040u
#define FSW_ES 0x0080u
#define FSW_TOP 0x3800u
#define FSW_B 0x8000u
#define FSW_EXCEPTIONS 0x003fu
#define FCW_INIT 0x037fu

#define MXCSR_IE 0x0001u
#define MXCSR_DE 0x0002u
#define MXCSR_ZE 0x0004u
#define MXCSR_UE 0x0010u
#define MXCSR_EXCEPTIONS 0x003fu
#define MXCSR_MASKS 0x1f80u
#define MXCSR_FTZ 0x8000u
#define MXCSR_INIT 0x1f80u
#define MXCSR_VALID 0xffffu /* MXCSR_MASK of every processor with DAZ */

/* Ready to run: the code of an instruction with what surrounds it. */
typedef struct HostStub {
    StubFn *fn;
    const void *insn;   /* address of the guest's instruction in it: what x87 leaves in FIP */
    uint32_t attrs;     /* ROW_* */
    bool writes_flags;
    bool uses_mm;
    bool mem_read, mem_write;
    uint8_t mem_size;   /* bytes; at most 64 */
    uint8_t mm_written; /* a bit per mm register */
} HostStub;

/* x87 (fpu.c) */
void fpu_exec(InterpVcpu *v, const Insn *i, const HostStub *stub);
/* Runs a stub in spite of a pending x87 exception, as with CR0.NE clear. */
uint64_t fpu_run_stub(CpuState *s, const HostStub *stub, StubFrame *f, bool loads_fcw);
void fpu_check_pending(InterpVcpu *v); /* #MF, or IRQ 13 where CR0.NE is 0 */
void fpu_to_mmx(InterpVcpu *v);        /* TOP = 0; the caller makes every tag valid when it is done */
ExecFn fpu_exec_fnstenv, fpu_exec_fldenv, fpu_exec_fnsave, fpu_exec_frstor, fpu_exec_fwait,
    fpu_exec_fnstsw, fpu_exec_emms;

/* Saved areas (xsave.c) */
ExecFn exec_fxsave, exec_fxrstor, exec_xsave, exec_xsaveopt, exec_xsavec, exec_xsaves, exec_xrstor, exec_xrstors;

/* The effective address of a memory operand that must be aligned to `size` bytes, a power of 2: #GP(0) if it is not. */
uint64_t simd_aligned_address(InterpVcpu *v, const Insn *i, unsigned size);
