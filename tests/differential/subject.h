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
#define SEQUENCE_AT    0x20004000ull /* two more pages of code, which may be written */
#define SEQUENCE_BYTES (2 * PAGE)

#define USER_CS32 0x23 /* as Linux has them */
#define USER_DS 0x2b
#define USER_CS64 0x33

/* 16-bit code has segments of its own, in an LDT that both sides have. */
enum { LDT_CODE, LDT_DATA, LDT_STACK, LDT_DOWN /* data, expand-down */, LDT_COUNT };
#define LDT_SELECTOR(n) (uint16_t)((n) << 3 | 7)

typedef struct SubjectSegment {
    uint64_t base;
    uint32_t limit; /* in bytes */
    bool code, expand_down;
} SubjectSegment;
static const SubjectSegment subject_ldt[LDT_COUNT] = {
    [LDT_CODE] = { .base = CODE_AT, .limit = PAGE - 1, .code = true },
    [LDT_DATA] = { .base = DATA_AT - PAGE, .limit = 0x3dff },
    [LDT_STACK] = { .base = STACK_AT - PAGE, .limit = 2 * PAGE - 1 },
    [LDT_DOWN] = { .base = DATA_AT - PAGE, .limit = 0x17ff, .expand_down = true },
};

static inline uint64_t selector_base(uint16_t selector) { return selector & 4 && selector >> 3 < LDT_COUNT ? subject_ldt[selector >> 3].base : 0; }

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
    CodeSize size;
    uint16_t cs, ss, ds, es;
    Insn insn;
    const InsnRow *row;
    bool may_change_gs;
    bool translated; /* the guest's side is the translator, which differs knowingly: see compare.c */
    CpuState state; /* gpr, rip, rflags, fpu count */
} Case;
