#pragma once
#include <stdint.h>
#include <string.h>
/*
 * emit.h - writes x86-64 host instructions, as bytes.  Only the forms that the translator needs; each function is one
 * instruction.  Intel SDM 2.  Registers are numbers 0-15.
 */
typedef struct Emit {
    uint8_t *p; /* next byte, in the writable alias */
} Emit;

static inline void e1(Emit *e, unsigned b) { *e->p++ = (uint8_t)b; }
static inline void e4(Emit *e, uint32_t v) { memcpy(e->p, &v, 4); e->p += 4; }
static inline void e8(Emit *e, uint64_t v) { memcpy(e->p, &v, 8); e->p += 8; }

static inline void e_rex(Emit *e, bool w, unsigned reg, unsigned index, unsigned rm)
{
    e1(e, 0x40 | w << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (rm >> 3 & 1));
}

/* ---- gs:[disp32] */
static inline void e_gs_modrm(Emit *e, unsigned reg, uint32_t off)
{
    e1(e, 4 | (reg & 7) << 3); /* SIB, no base, no index */
    e1(e, 0x25);
    e4(e, off);
}
static inline void e_gs_op(Emit *e, unsigned opcode, bool w, unsigned reg, uint32_t off)
{
    e1(e, 0x65);
    e_rex(e, w, reg, 0, 0);
    e1(e, opcode);
    e_gs_modrm(e, reg, off);
}
static inline void e_load_gs(Emit *e, unsigned reg, uint32_t off) { e_gs_op(e, 0x8b, true, reg, off); }
static inline void e_store_gs(Emit *e, unsigned reg, uint32_t off) { e_gs_op(e, 0x89, true, reg, off); }
static inline void e_load32_gs(Emit *e, unsigned reg, uint32_t off) { e_gs_op(e, 0x8b, false, reg, off); }
static inline void e_store32_gs(Emit *e, unsigned reg, uint32_t off) { e_gs_op(e, 0x89, false, reg, off); }
static inline void e_jmp_gs(Emit *e, uint32_t off) { e1(e, 0x65); e1(e, 0xff); e_gs_modrm(e, 4, off); }
static inline void e_push_gs(Emit *e, uint32_t off) { e1(e, 0x65); e1(e, 0xff); e_gs_modrm(e, 6, off); }
static inline void e_pop_gs(Emit *e, uint32_t off) { e1(e, 0x65); e1(e, 0x8f); e_gs_modrm(e, 0, off); }
static inline void e_cmpb_gs(Emit *e, uint32_t off, uint8_t imm) { e1(e, 0x65); e1(e, 0x80); e_gs_modrm(e, 7, off); e1(e, imm); }
/* op reg, gs:[index*8 + off] */
static inline void e_gs_indexed(Emit *e, unsigned opcode, unsigned reg, unsigned index, uint32_t off)
{
    e1(e, 0x65);
    e_rex(e, true, reg, index, 0);
    e1(e, opcode);
    e1(e, 4 | (reg & 7) << 3);
    e1(e, 0xc5 | (index & 7) << 3);
    e4(e, off);
}

static inline void e_jmp_gs_indexed(Emit *e, unsigned index, uint32_t off)
{
    e1(e, 0x65);
    e_rex(e, false, 4, index, 0);
    e1(e, 0xff), e1(e, 0x24), e1(e, 0xc5 | (index & 7) << 3);
    e4(e, off);
}

/* ---- registers */
static inline void e_mov(Emit *e, unsigned to, unsigned from)
{
    e_rex(e, true, from, 0, to);
    e1(e, 0x89);
    e1(e, 0xc0 | (from & 7) << 3 | (to & 7));
}
static inline void e_mov32(Emit *e, unsigned to, unsigned from)
{
    e_rex(e, false, from, 0, to);
    e1(e, 0x89);
    e1(e, 0xc0 | (from & 7) << 3 | (to & 7));
}
/* The shortest that gives all 64 bits. */
static inline void e_mov_imm(Emit *e, unsigned reg, uint64_t imm)
{
    if (imm <= UINT32_MAX) {
        e_rex(e, false, 0, 0, reg), e1(e, 0xb8 | (reg & 7)), e4(e, (uint32_t)imm);
    } else if ((int64_t)imm == (int32_t)imm) {
        e_rex(e, true, 0, 0, reg), e1(e, 0xc7), e1(e, 0xc0 | (reg & 7)), e4(e, (uint32_t)imm);
    } else {
        e_rex(e, true, 0, 0, reg), e1(e, 0xb8 | (reg & 7)), e8(e, imm);
    }
}
static inline void e_movzx16(Emit *e, unsigned to, unsigned from)
{
    e_rex(e, false, to, 0, from);
    e1(e, 0x0f), e1(e, 0xb7);
    e1(e, 0xc0 | (to & 7) << 3 | (from & 7));
}
static inline void e_rorx(Emit *e, unsigned to, unsigned from, uint8_t count) /* BMI2, 64 bits */
{
    e1(e, 0xc4);
    e1(e, (to > 7 ? 0 : 0x80) | 0x40 | (from > 7 ? 0 : 0x20) | 3);
    e1(e, 0xfb);
    e1(e, 0xf0);
    e1(e, 0xc0 | (to & 7) << 3 | (from & 7));
    e1(e, count);
}

/* The bits of `from` that gs:[off] selects; BMI2, 64 bits, leaves flags alone. */
static inline void e_pext_gs(Emit *e, unsigned to, unsigned from, uint32_t off)
{
    e1(e, 0x65), e1(e, 0xc4);
    e1(e, (to > 7 ? 0 : 0x80) | 0x40 | 0x20 | 2);
    e1(e, 0x80 | (~from & 15) << 3 | 2);
    e1(e, 0xf5);
    e_gs_modrm(e, to, off);
}

/* ModRM, SIB and displacement of [base + index << scale + disp]; base or index may be absent (0xff). */
static inline void e_mem(Emit *e, unsigned reg, unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    bool sib = index != 0xff || base == 0xff || (base & 7) == 4;
    unsigned mod = base == 0xff ? 0 : disp == 0 && (base & 7) != 5 ? 0 : disp == (int8_t)disp ? 1 : 2;
    e1(e, mod << 6 | (reg & 7) << 3 | (sib ? 4 : (base & 7)));
    if (sib)
        e1(e, scale << 6 | (index == 0xff ? 4 : (index & 7)) << 3 | (base == 0xff ? 5 : (base & 7)));
    if (mod == 1)
        e1(e, (uint8_t)disp);
    else if (mod == 2 || base == 0xff)
        e4(e, (uint32_t)disp);
}
static inline void e_op_mem(Emit *e, unsigned opcode, bool w, unsigned reg, unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    e_rex(e, w, reg, index == 0xff ? 0 : index, base == 0xff ? 0 : base);
    e1(e, opcode);
    e_mem(e, reg, base, index, scale, disp);
}
static inline void e_lea(Emit *e, bool w, unsigned reg, unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    if (base == 0xff || index != 0xff || disp)
        e_op_mem(e, 0x8d, w, reg, base, index, scale, disp);
    else if (w)
        e_mov(e, reg, base); /* costs no time where the processor renames registers */
    else
        e_mov32(e, reg, base);
}

/* ---- opcode gs:[off], imm with `digit` in ModRM.reg: 80/81 (add 0, or 1, and 4, sub 5, xor 6, cmp 7), c6/c7 mov, f6/f7 test */
static inline void e_gs_imm8(Emit *e, unsigned opcode, unsigned digit, uint32_t off, uint8_t imm)
{
    e1(e, 0x65), e1(e, opcode);
    e_gs_modrm(e, digit, off);
    e1(e, imm);
}
static inline void e_gs_imm32(Emit *e, unsigned opcode, bool w, unsigned digit, uint32_t off, uint32_t imm)
{
    e1(e, 0x65);
    e_rex(e, w, 0, 0, 0);
    e1(e, opcode);
    e_gs_modrm(e, digit, off);
    e4(e, imm);
}
static inline void e_movzx16_gs(Emit *e, unsigned reg, uint32_t off)
{
    e1(e, 0x65);
    e_rex(e, false, reg, 0, 0);
    e1(e, 0x0f), e1(e, 0xb7);
    e_gs_modrm(e, reg, off);
}
static inline void e_movzx8_gs(Emit *e, unsigned reg, uint32_t off)
{
    e1(e, 0x65);
    e_rex(e, false, reg, 0, 0);
    e1(e, 0x0f), e1(e, 0xb6);
    e_gs_modrm(e, reg, off);
}
static inline void e_store16_gs(Emit *e, unsigned reg, uint32_t off)
{
    e1(e, 0x66);
    e_gs_op(e, 0x89, false, reg, off);
}

/* ---- arithmetic on registers: opcode 01 add, 09 or, 21 and, 29 sub, 31 xor, 39 cmp, 85 test; digits as above */
static inline void e_alu(Emit *e, unsigned opcode, bool w, unsigned to, unsigned from)
{
    e_rex(e, w, from, 0, to);
    e1(e, opcode), e1(e, 0xc0 | (from & 7) << 3 | (to & 7));
}
static inline void e_alu_imm(Emit *e, bool w, unsigned digit, unsigned reg, uint32_t imm)
{
    e_rex(e, w, 0, 0, reg);
    e1(e, 0x81), e1(e, 0xc0 | digit << 3 | (reg & 7)), e4(e, imm);
}
static inline void e_test_imm(Emit *e, unsigned reg, uint32_t imm)
{
    e_rex(e, false, 0, 0, reg);
    e1(e, 0xf7), e1(e, 0xc0 | (reg & 7)), e4(e, imm);
}
static inline void e_shift(Emit *e, bool w, unsigned digit, unsigned reg, uint8_t count) /* shl 4, shr 5, sar 7 */
{
    e_rex(e, w, 0, 0, reg);
    e1(e, 0xc1), e1(e, 0xc0 | digit << 3 | (reg & 7)), e1(e, count);
}
static inline void e_not(Emit *e, bool w, unsigned reg) { e_rex(e, w, 0, 0, reg), e1(e, 0xf7), e1(e, 0xd0 | (reg & 7)); }

/* ---- flags in RAX: AH as LAHF has it, AL the overflow flag */
static inline void e_flags_to_rax(Emit *e) { e1(e, 0x9f), e1(e, 0x0f), e1(e, 0x90), e1(e, 0xc0); } /* lahf; seto al */
static inline void e_flags_from_rax(Emit *e) { e1(e, 0x04), e1(e, 0x7f), e1(e, 0x9e); }            /* add al, 7f; sahf */

/* Those bits of RFLAGS in `from` as e_flags_from_rax() takes them, to `to`.  Spoils both and the flags. */
static inline void e_flags_to_lahf(Emit *e, unsigned to, unsigned from)
{
    e_alu(e, 0x89, false, to, from); /* mov */
    e_alu_imm(e, false, 4, to, 0xd5);
    e_shift(e, false, 4, to, 8);
    e_shift(e, false, 5, from, 11);
    e_alu_imm(e, false, 4, from, 1);
    e_alu(e, 0x09, false, to, from);
}

/* ---- jumps: return where the displacement stands */
static inline uint8_t *e_jmp(Emit *e) { e1(e, 0xe9); e4(e, 0); return e->p - 4; }
static inline uint8_t *e_jcc(Emit *e, unsigned cc) { e1(e, 0x0f), e1(e, 0x80 | cc); e4(e, 0); return e->p - 4; }
/* Short ones, forward over what follows until e_land(). */
static inline uint8_t *e_skip(Emit *e, unsigned cc) { e1(e, 0x70 | cc), e1(e, 0); return e->p; }
static inline uint8_t *e_jrcxz(Emit *e) { e1(e, 0xe3), e1(e, 0); return e->p; }
static inline void e_land(Emit *e, uint8_t *skip) { skip[-1] = (uint8_t)(e->p - skip); }
static inline void patch_rel32(uint8_t *at, const uint8_t *target)
{
    int32_t rel = (int32_t)(target - (at + 4));
    memcpy(at, &rel, 4);
}
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A };
