#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isa/x86/cpu_state.h"
/*
 * insn.h - one decoded x86 instruction, and the rows of insns.txt that it can be an instance of.
 *
 * The decoder fills everything that the formatter, the interpreter and the translator need, so that none of them looks
 * at instruction bytes again.  Op and the row table are generated from insns.txt by gen_insns.py.
 */
#include "isa/x86/insn_ops.h" /* generated: typedef enum Op { OP_INVALID, OP_ADD, ... OP_COUNT } */

typedef enum CodeSize { CODE16, CODE32, CODE64 } CodeSize;

/* Prefixes as found; REX and VEX bits are folded into the operands. */
enum {
    PFX_OPSIZE = 1 << 0,  /* 66, where it is not part of the opcode */
    PFX_ADDRSIZE = 1 << 1, /* 67 */
    PFX_LOCK = 1 << 2,    /* f0 */
    PFX_REPNE = 1 << 3,   /* f2, where it is not part of the opcode */
    PFX_REP = 1 << 4,     /* f3, likewise */
    PFX_SEG = 1 << 5,     /* a segment override that counts */
    PFX_REX = 1 << 6,
    PFX_REX_W = 1 << 7,   /* REX.W or VEX.W */
    PFX_VEX = 1 << 8,
};

typedef enum OperandKind { OPND_NONE, OPND_REG, OPND_MEM, OPND_IMM, OPND_REL /* imm is added to the next RIP */, OPND_FAR /* imm2:imm */ } OperandKind;
typedef enum RegClass { RC_GPR, RC_GPR_HIGH /* AH CH DH BH as 0-3 */, RC_SEG, RC_CR, RC_DR, RC_ST, RC_MM, RC_XMM, RC_YMM, RC_MASK } RegClass;
enum { OPND_READ = 1, OPND_WRITE = 2 };

typedef struct Operand {
    uint8_t kind;  /* OperandKind */
    uint8_t cls;   /* RegClass, for OPND_REG */
    uint8_t reg;   /* number, for OPND_REG */
    uint8_t access; /* OPND_READ | OPND_WRITE */
    uint16_t size; /* in bytes; memory forms without one (LEA, FXSAVE area and so on): 0 or the area's size */
} Operand;

enum { INSN_NO_REG = 0xff, INSN_RIP = 0x10 };
enum { INSN_MAX_BYTES = 15, INSN_MAX_OPERANDS = 4 };

typedef struct Insn {
    uint16_t op;      /* Op */
    uint16_t row;     /* index into insn_rows */
    uint16_t prefixes;
    uint8_t length;   /* in bytes */
    uint8_t code_size; /* CodeSize it was decoded for */
    uint8_t opsize;   /* effective operand size: 2, 4, 8 (1 where every operand is a byte) */
    uint8_t addrsize; /* effective address size: 2, 4, 8 */
    uint8_t cc;       /* low nibble of the opcode: condition of JCC, SETCC, CMOVCC */
    uint8_t n_operands;
    Operand opnd[INSN_MAX_OPERANDS];

    /* The memory operand, if has_mem: segment, base + (index << scale) + disp, cut to addrsize.  `seg` is DS or the
     * override as well where memory is implied (strings, XLAT, MASKMOVDQU, MONITOR). */
    bool has_mem, has_modrm, vsib; /* vsib: index is a vector register */
    uint8_t seg;                   /* after default and override */
    uint8_t base;                  /* GPR number, INSN_RIP or INSN_NO_REG */
    uint8_t index, scale;
    int64_t disp; /* sign-extended, or the 64-bit moffs */

    uint64_t imm;  /* Ib, Iw, Iv zero-extended; Ibs, Iz sign-extended to 64 bits; OPND_REL: the displacement, likewise */
    uint16_t imm2; /* ENTER's level, the selector of a far pointer */

    /* Where the parts stand in bytes, for copying an instruction with another operand. */
    uint8_t opcode_off, modrm_off, disp_off, disp_len, imm_off, imm_len;
    uint8_t opcode;  /* last opcode byte */
    uint8_t map;     /* 0: one byte, 1: 0f, 2: 0f38, 3: 0f3a */
    uint8_t mandatory; /* 0, 0x66, 0xf2 or 0xf3: prefix that belongs to the opcode */
    uint8_t modrm, vvvv, vex_l;
    uint8_t bytes[INSN_MAX_BYTES];
} Insn;

typedef enum DecodeResult {
    DECODE_OK,
    DECODE_MORE,     /* the bytes given end within the instruction */
    DECODE_INVALID,  /* #UD; ret->length says how many bytes were looked at */
    DECODE_TOO_LONG, /* over 15 bytes: #GP(0) */
} DecodeResult;

/* Decodes the instruction at bytes[0..n).  LOCK on a row or operand that does not take it, VEX with a legacy prefix
 * and the like are DECODE_INVALID; whether the guest's CPUID has the row's feature is for the caller (row->feature).
 * SDM 2, chapter 2. */
DecodeResult insn_decode(const uint8_t *bytes, size_t n, CodeSize size, Insn *ret);

/* Intel syntax as in "add qword ptr [rax+rcx*8+0x10], rdx"; targets of jumps are absolute from `rip`.  Writes at most n
 * bytes with the final NUL and returns the length that was needed. */
size_t insn_format(const Insn *insn, uint64_t rip, char *buf, size_t n);

/* Attributes of a row. */
enum {
    ROW_PASS = 1 << 0,        /* may be copied to the host with only the memory operand replaced */
    ROW_LOCK = 1 << 1,        /* takes LOCK when its destination is memory */
    ROW_STRING = 1 << 2,      /* takes REP; its operands are implied (n_operands 0), `seg` is that of rSI */
    ROW_BRANCH = 1 << 3,      /* may change RIP other than to the next instruction */
    ROW_SYSTEM = 1 << 4,      /* may change mode, mapping or privilege: ends a block */
    ROW_IO = 1 << 5,
    ROW_FPU = 1 << 6,         /* x87: #NM by CR0.EM and CR0.TS, #MF */
    ROW_MMX = 1 << 7,
    ROW_SSE = 1 << 8,         /* #UD without CR4.OSFXSR, #NM by CR0.TS */
    ROW_AVX = 1 << 9,         /* #UD without XCR0.AVX */
    ROW_SIMD_FP = 1 << 10,    /* may raise SIMD floating-point exceptions (#XM) */
    ROW_ALIGNED = 1 << 11,    /* its memory operand must be aligned to its size, else #GP */
    ROW_NO_REAL = 1 << 12,    /* #UD in real and virtual-8086 mode */
    ROW_NO_WAIT = 1 << 13,    /* x87 instruction that does not check for pending exceptions */
    ROW_SUFFIX = 1 << 14,     /* the name has alternatives by operand size: "cbw/cwde/cdqe" */
    ROW_MEM_SIDE = 1 << 15,   /* reads or writes memory other than through its operands: stack, descriptor, string */
};

typedef struct InsnRow {
    const char *name;     /* mnemonic, lower case; see ROW_SUFFIX; "cc" at the end stands for the condition */
    uint16_t op;          /* Op */
    uint16_t feature;     /* CpuFeature that CPUID must show, FEAT_ALWAYS if none */
    uint8_t cpl;          /* highest CPL that may execute it; 3 if any */
    uint32_t attrs;       /* ROW_* */
    /* RFLAGS_* masks; written includes undefined.  What may stay as it was (shift by a count of 0, REP CMPS with a
     * count of 0) is in both read and written. */
    uint32_t flags_read, flags_written, flags_undefined;
    uint8_t n_operands;
    const char *encoding; /* as in insns.txt, for the coverage page and tests */
    const char *operands;
} InsnRow;

extern const InsnRow insn_rows[];
extern const unsigned insn_row_count;
extern const char *const op_names[]; /* by Op */

static inline const InsnRow *insn_row(const Insn *i) { return &insn_rows[i->row]; }
