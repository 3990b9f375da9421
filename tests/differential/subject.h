#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "isa/x86/cpu_state.h"
#include "isa/x86/insn.h"
/*
 * subject.h - what the two sides of the differential test share: where things stand in linear memory, what a case is,
 * and what comes of it.
 *
 * Both sides have the same linear addresses, so that registers, faults and pointers can be compared as they are.
 */
#define PAGE 0x1000ull
#define CODE_AT 0x20000000ull    /* one page, executable */
#define DATA_AT 0x20011000ull    /* two writable pages, one that can only be read; nothing around them */
#define DATA_WRITABLE (2 * PAGE)
#define DATA_BYTES (3 * PAGE)
#define STACK_AT 0x20021000ull   /* one writable page; nothing around it */
#define GS_BASE 0x20000800ull

#define USER_CS32 0x23 /* as Linux has them */
#define USER_DS 0x2b
#define USER_CS64 0x33

/* The memory of one side. */
typedef struct SubjectMemory {
    uint8_t *code, *data, *stack; /* where the test writes it */
} SubjectMemory;

enum { NO_VECTOR = -1, TIMED_OUT = -2, LOST = -3 /* the side itself failed */ };

typedef struct Outcome {
    int vector; /* of the exception, or NO_VECTOR */
    uint32_t error;
    uint64_t cr2; /* #PF */
    uint64_t gpr[16], rip, rflags;
    uint16_t cs;
    uint64_t gs_base;
    XsaveImage fpu;
} Outcome;

/* A case: the state before.  The instruction stands at state.rip, and memory is as it is. */
typedef struct Case {
    CodeSize size; /* CODE32 or CODE64 */
    Insn insn;
    const InsnRow *row;
    bool may_change_gs;
    CpuState state; /* gpr, rip, rflags, fpu count */
} Case;
