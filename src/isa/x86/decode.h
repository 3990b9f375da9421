#pragma once
#include <stdint.h>

#include "isa/x86/insn.h"
/*
 * decode.h - the decoder's tables, generated from insns.txt: for each opcode of each map a list of rows to try, and for
 * each row what must match and where its operands stand.  Inside isa/ only.
 */
enum { DECODE_MAPS = 4 };

/* Which of the prefixes 66, F2, F3 a row asks for. */
typedef enum RowPrefix { ROWPFX_ANY, ROWPFX_NP, ROWPFX_66, ROWPFX_F2, ROWPFX_F3, ROWPFX_NF } RowPrefix;

/* How the operand size comes about. */
typedef enum RowSize { ROWSIZE_NORMAL, ROWSIZE_D64, ROWSIZE_F64, ROWSIZE_Z64, ROWSIZE_N64, ROWSIZE_BYTE } RowSize;

enum {
    DR_MODRM = 1 << 0,   /* has a ModRM byte */
    DR_MEM = 1 << 1,     /* mod must not be 3 */
    DR_MODANY = 1 << 2,  /* mod is ignored: a register */
    DR_NOB = 1 << 3,     /* REX.B must be 0 */
    DR_W0 = 1 << 4,
    DR_W1 = 1 << 5,
    DR_L0 = 1 << 6,
    DR_L1 = 1 << 7,
    DR_VVVV = 1 << 8,    /* an operand stands in VEX.vvvv */
    DR_VSIB_X = 1 << 9,  /* the index is an XMM register */
    DR_VSIB_Y = 1 << 10, /* the index is a YMM register; with DR_VSIB_X: by VEX.L */
    DR_VEX = 1 << 11,
    DR_CC = 1 << 12,     /* the opcode's low nibble is a condition */
};

/* Where an operand stands: the letters of insns.txt. */
typedef enum Place {
    PL_E, PL_M, PL_R, PL_G, PL_Z, PL_B, PL_S, PL_C, PL_D, PL_I, PL_IS /* sign-extended */, PL_I2, PL_J, PL_A, PL_O,
    PL_P, PL_Q, PL_N, PL_V, PL_W, PL_U, PL_H, PL_L, PL_ST, PL_FIXED, PL_ONE,
} Place;

/* Sizes from 0 to 512 bytes that depend on nothing are themselves; these depend on prefixes. */
enum {
    SZ_V = 0x1000, SZ_Z, SZ_Y, SZ_N, SZ_X, SZ_H, SZ_F, SZ_O, SZ_P, SZ_A, SZ_S, SZ_E, SZ_L,
};

typedef struct OperandSpec {
    uint8_t place;  /* Place */
    uint8_t access; /* OPND_READ | OPND_WRITE */
    uint8_t cls, reg; /* PL_FIXED: RegClass and number */
    uint16_t size;  /* bytes, or SZ_* */
} OperandSpec;

typedef struct DecodeRow {
    uint8_t prefix;  /* RowPrefix */
    uint8_t map, opcode;
    uint8_t modrm_mask, modrm_value;
    uint8_t modes;   /* bit per CodeSize */
    uint8_t size;    /* RowSize */
    uint8_t n_operands;
    uint16_t flags;  /* DR_* */
    uint8_t span;    /* opcodes that the row covers: 1, 8 (+r) or 16 (+cc) */
    OperandSpec opnd[INSN_MAX_OPERANDS];
} DecodeRow;

extern const DecodeRow decode_rows[]; /* by row */
/* Rows to try for opcode o of map m: decode_list[decode_first[m * 256 + o]] up to the next entry's. */
extern const uint16_t decode_first[DECODE_MAPS * 256 + 1], decode_list[];
extern const uint16_t decode_vex_first[DECODE_MAPS * 256 + 1], decode_vex_list[];

/* The "missing" lines of insns.txt: known opcodes without a row. */
typedef struct MissingRow {
    const char *names;
    bool vex;
    uint8_t map, opcode, modrm_mask, modrm_value;
} MissingRow;
extern const MissingRow missing_rows[];
extern const unsigned missing_row_count;

/* Effective operand size in bytes, given a 66 prefix or REX.W. */
unsigned decode_operand_size(const DecodeRow *row, CodeSize size, bool opsize_prefix, bool wide);
