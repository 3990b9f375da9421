#pragma once
#include "isa/x86/insn.h"
/*
 * insn_example.h - an encoding of a row, with registers, memory operand and immediates that the caller chooses.  Tests
 * make their cases of it: each row, in each mode, in each form.
 *
 *     InsnExample e = insn_example(row, CODE64);
 *     e.memory = true, e.base = GPR_RDI, e.disp = 16, e.reg = GPR_RCX, e.opsize = 8;
 *     uint8_t code[INSN_MAX_BYTES];
 *     size_t n = insn_encode(&e, code);
 */
typedef struct InsnExample {
    unsigned row;
    CodeSize size;
    uint8_t opsize;      /* 2, 4, 8, or 0: what the mode gives without a prefix */
    uint8_t addrsize;    /* likewise */
    bool memory;         /* rows that take register or memory: the memory form */
    uint8_t base, index; /* GPR numbers (or vector index), INSN_NO_REG, base also INSN_RIP */
    uint8_t scale;
    int64_t disp;
    uint8_t reg;         /* of ModRM.reg */
    uint8_t rm;          /* of ModRM.rm or the opcode */
    uint8_t vvvv, is4;
    uint64_t imm;
    uint16_t imm2;
    uint8_t cc;          /* rows with a condition */
    bool rex;            /* a REX prefix even where nothing needs it: SPL to DIL instead of AH to BH */
    bool vex_l;          /* YMM, where the row leaves it open */
    bool vex3;           /* C4 even where C5 would do */
    bool lock;
    uint8_t rep;         /* 0xf2 or 0xf3 before a row that does not have it as part of the opcode */
    uint8_t seg;         /* override, or INSN_NO_REG */
} InsnExample;

/* Which forms a row has, so that a caller can go through them. */
typedef struct InsnForms {
    bool reg;      /* register form; true as well for rows without a ModRM operand */
    bool mem;      /* memory form */
    bool opsizes;  /* an operand depends on the operand size: try 2, 4 and 8 */
    bool lengths;  /* VEX.L chooses between XMM and YMM */
    bool vsib;     /* needs a vector index; base, index, mask and destination must be told apart */
    bool vex;
    uint8_t modes; /* bit per CodeSize */
} InsnForms;

InsnForms insn_row_forms(unsigned row);

/* No registers beyond number 0, no memory, no prefixes. */
static inline InsnExample insn_example(unsigned row, CodeSize size)
{
    return (InsnExample){ .row = row, .size = size, .base = INSN_NO_REG, .index = INSN_NO_REG, .seg = INSN_NO_REG };
}

/* Writes the encoding and returns its length; 0 if there is none that decodes to this row: no such form, mode, size or
 * register (numbers above 7 outside 64-bit mode, SPL without REX). */
size_t insn_encode(const InsnExample *e, uint8_t buf[INSN_MAX_BYTES]);
