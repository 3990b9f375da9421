#pragma once
#include <stdalign.h>

#include "isa/x86/insn.h"
/*
 * host_stub.h - the machine code of one stub: a guest's SIMD or x87 instruction wrapped so that it runs on CpuState.
 *
 * A stub loads the registers that the instruction names from CpuState, executes the guest's instruction itself with its
 * memory operand replaced by StubFrame.mem and its general register by RAX, and stores what was written.  It is position
 * independent and follows the System V ABI; all vector registers are the caller's to lose.
 */
typedef struct StubFrame {
    alignas(64) uint8_t mem[64]; /* the memory operand, in and out */
    uint32_t mxcsr_in, mxcsr_out; /* HOST_STUB_SIMD_FP: to run with, and what it came to */
    uint32_t unmasked;            /* flags of mxcsr_out that keep the stub from storing its result */
    uint32_t mxcsr_host;          /* restored behind the instruction */
    uint64_t flags_in;            /* x87: RFLAGS that the instruction reads */
} StubFrame;

/* Returns RFLAGS as the instruction left them; meaningful where its row writes flags. */
typedef uint64_t StubFn(CpuState *s, StubFrame *frame);

enum { HOST_STUB_MAX = 256 }; /* bytes: four 256-bit registers in and one out, and all that surrounds them */

typedef struct StubCode {
    unsigned n;        /* bytes used */
    unsigned insn_off; /* where the guest's own instruction stands */
    uint8_t bytes[HOST_STUB_MAX];
} StubCode;

/* Writes the stub of a decoded instruction whose row has one of ROW_FPU, ROW_MMX, ROW_SSE, ROW_AVX.  `uses_mm`: the
 * mm registers are ST(0) to ST(7) of the image, so TOP must be 0. */
void host_stub_emit(const Insn *i, StubCode *ret);
