/*
 * decode_operands.c - sizes, memory operand, registers and immediates of an instruction whose row is known.
 */
#include <glib.h>

#include "isa/x86/decoder.h"

static int64_t sign_extend(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;
    return (int64_t)(value << shift) >> shift;
}

/* ---- sizes */

unsigned decode_operand_size(const DecodeRow *row, CodeSize size, bool opsize_prefix, bool wide)
{
    bool narrow = opsize_prefix && row->prefix != ROWPFX_66;
    if (row->size == ROWSIZE_BYTE)
        return 1;
    if (row->size == ROWSIZE_N64)
        return size == CODE64 ? 8 : 4;
    if (size == CODE16)
        return narrow ? 4 : 2;
    if (size == CODE32)
        return narrow ? 2 : 4;
    switch (row->size) {
    case ROWSIZE_D64:
        return narrow && !wide ? 2 : 8;
    case ROWSIZE_F64:
        return 8;
    case ROWSIZE_Z64:
        return narrow && !wide ? 2 : 4;
    default:
        return wide ? 8 : narrow ? 2 : 4;
    }
}

unsigned decode_address_size(const Decoder *d, CodeSize size)
{
    static const uint8_t sizes[3][2] = { { 2, 4 }, { 4, 2 }, { 8, 4 } };
    return sizes[size][d->addrsize];
}

/* Bytes of an operand whose size is written `code`. */
static unsigned resolve_size(const Decoder *d, const Insn *i, unsigned code)
{
    bool in64 = i->code_size == CODE64;
    unsigned vector = i->vex_l ? 32 : 16;
    switch (code) {
    case SZ_V:
        return i->opsize;
    case SZ_Z:
        return MIN(i->opsize, 4);
    case SZ_Y:
        return d->rex & REX_W ? 8 : 4;
    case SZ_N:
        return in64 ? 8 : 4;
    case SZ_X:
        return vector;
    case SZ_H:
        return vector / 2;
    case SZ_F:
        return vector / 4;
    case SZ_O:
        return vector / 8;
    case SZ_P:
        return i->opsize + 2;
    case SZ_A:
        return i->opsize * 2;
    case SZ_S:
        return in64 ? 10 : 6;
    case SZ_E:
        return i->opsize == 2 ? 14 : 28;
    case SZ_L:
        return i->opsize == 2 ? 94 : 108;
    default:
        return code;
    }
}

/* ---- memory operands */

static void read_disp(Decoder *d, Insn *ret, unsigned bytes)
{
    ret->disp_off = d->pos;
    ret->disp_len = bytes;
    ret->disp = sign_extend(next_bytes(d, bytes), bytes);
}

/* SDM 2, table 2-1. */
static void read_address16(Decoder *d, Insn *ret)
{
    static const uint8_t base[8] = { GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX };
    static const uint8_t index[8] = { GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG };
    unsigned mod = ret->modrm >> 6, rm = ret->modrm & 7;
    if (mod == 0 && rm == 6) {
        read_disp(d, ret, 2);
        return;
    }
    ret->base = base[rm];
    ret->index = index[rm];
    if (mod)
        read_disp(d, ret, mod);
}

/* SDM 2, table 2-3.  Index 4 means none, unless it is a vector register. */
static void read_sib(Decoder *d, Insn *ret)
{
    uint8_t sib = next_byte(d);
    unsigned index = (sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0);
    if (ret->vsib || index != 4) {
        ret->index = index;
        ret->scale = sib >> 6;
    }
    if ((sib & 7) != 5 || ret->modrm >> 6)
        ret->base = (sib & 7) | (d->rex & REX_B ? 8 : 0);
    else
        read_disp(d, ret, 4);
}

/* SDM 2, table 2-2 and 2.2.1.6 (RIP-relative). */
static void read_address32(Decoder *d, Insn *ret)
{
    unsigned mod = ret->modrm >> 6, rm = ret->modrm & 7;
    if (rm == 4) {
        read_sib(d, ret);
    } else if (mod == 0 && rm == 5) {
        if (ret->code_size == CODE64)
            ret->base = INSN_RIP;
        read_disp(d, ret, 4);
    } else {
        ret->base = rm | (d->rex & REX_B ? 8 : 0);
    }
    if (mod == 1)
        read_disp(d, ret, 1);
    else if (mod == 2)
        read_disp(d, ret, 4);
}

void decode_memory(Decoder *d, Insn *ret)
{
    ret->has_mem = true;
    if (ret->addrsize == 2)
        read_address16(d, ret);
    else
        read_address32(d, ret);
    bool stack = ret->base == GPR_RBP || ret->base == GPR_RSP;
    if (stack && d->seg == INSN_NO_REG)
        ret->seg = SEG_SS;
}

/* ---- operands */

static void set_reg(Operand *o, uint8_t cls, uint8_t reg)
{
    o->kind = OPND_REG;
    o->cls = cls;
    o->reg = reg;
}

/* Without REX, byte registers 4 to 7 are AH, CH, DH, BH. */
static void set_gpr(const Decoder *d, Operand *o, uint8_t reg)
{
    if (o->size == 1 && !d->has_rex && reg >= 4)
        set_reg(o, RC_GPR_HIGH, reg - 4);
    else
        set_reg(o, RC_GPR, reg);
}

static void set_vector(const Insn *i, Operand *o, unsigned size_code, uint8_t reg)
{
    bool ymm = size_code == 32 || (size_code == SZ_X && i->vex_l);
    set_reg(o, ymm ? RC_YMM : RC_XMM, reg);
}

static void read_imm(Decoder *d, Insn *ret, Operand *o, unsigned bytes, bool sign)
{
    o->kind = OPND_IMM;
    ret->imm_off = d->pos;
    ret->imm_len = bytes;
    ret->imm = next_bytes(d, bytes);
    if (sign)
        ret->imm = sign_extend(ret->imm, bytes);
}

static void read_second_imm(Decoder *d, Insn *ret, unsigned bytes)
{
    ret->imm_len += bytes;
    ret->imm2 = next_bytes(d, bytes);
}

/* Iz has at most 4 bytes and is sign-extended to the operand size; Iv is as long as its operand. */
static void immediate(Decoder *d, Insn *ret, Operand *o, unsigned size_code)
{
    if (size_code == SZ_Z) {
        read_imm(d, ret, o, o->size, true);
        o->size = ret->opsize;
    } else {
        read_imm(d, ret, o, o->size, false);
    }
}

static void moffs(Decoder *d, Insn *ret, Operand *o)
{
    o->kind = OPND_MEM;
    ret->has_mem = true;
    ret->disp_off = d->pos;
    ret->disp_len = ret->addrsize;
    ret->disp = next_bytes(d, ret->addrsize);
}

static bool control_register_exists(unsigned reg)
{
    return reg <= 8 && (1u << reg & 0x11d); /* 0, 2, 3, 4, 8 */
}

/* Fills operand o of spec s.  false: the register does not exist, #UD. */
static bool operand(Decoder *d, Insn *ret, const OperandSpec *s, Operand *o)
{
    uint8_t rm = (ret->modrm & 7) | (d->rex & REX_B ? 8 : 0);
    uint8_t reg = (ret->modrm >> 3 & 7) | (d->rex & REX_R ? 8 : 0);
    bool is_reg = ret->modrm >= 0xc0;
    o->access = s->access;
    o->size = resolve_size(d, ret, s->size);
    switch ((Place)s->place) {
    case PL_M:
        o->kind = OPND_MEM;
        return true;
    case PL_E:
        if (is_reg)
            set_gpr(d, o, rm);
        else
            o->kind = OPND_MEM;
        return true;
    case PL_Q:
        if (is_reg)
            set_reg(o, RC_MM, ret->modrm & 7);
        else
            o->kind = OPND_MEM;
        return true;
    case PL_W:
        if (is_reg)
            set_vector(ret, o, s->size, rm);
        else
            o->kind = OPND_MEM;
        return true;
    case PL_R:
        set_gpr(d, o, rm);
        return true;
    case PL_G:
        set_gpr(d, o, reg);
        return true;
    case PL_Z:
        set_gpr(d, o, (ret->opcode & 7) | (d->rex & REX_B ? 8 : 0));
        return true;
    case PL_B:
        set_reg(o, RC_GPR, ret->vvvv);
        return true;
    case PL_S:
        set_reg(o, RC_SEG, reg & 7);
        return o->reg < SEG_COUNT && !(o->reg == SEG_CS && o->access & OPND_WRITE);
    case PL_C:
        set_reg(o, RC_CR, reg);
        return control_register_exists(reg);
    case PL_D:
        set_reg(o, RC_DR, reg);
        return reg < 8;
    case PL_I:
        immediate(d, ret, o, s->size);
        return true;
    case PL_IS:
        read_imm(d, ret, o, 1, true);
        return true;
    case PL_I2:
        o->kind = OPND_IMM;
        read_second_imm(d, ret, 1);
        return true;
    case PL_J:
        read_imm(d, ret, o, o->size, true);
        o->kind = OPND_REL;
        return true;
    case PL_A:
        read_imm(d, ret, o, ret->opsize, false);
        read_second_imm(d, ret, 2);
        o->kind = OPND_FAR;
        return true;
    case PL_O:
        moffs(d, ret, o);
        return true;
    case PL_P:
        set_reg(o, RC_MM, ret->modrm >> 3 & 7);
        return true;
    case PL_N:
        set_reg(o, RC_MM, ret->modrm & 7);
        return true;
    case PL_V:
        set_vector(ret, o, s->size, reg);
        return true;
    case PL_U:
        set_vector(ret, o, s->size, rm);
        return true;
    case PL_H:
        set_vector(ret, o, s->size, ret->vvvv);
        return true;
    case PL_L:
        read_imm(d, ret, o, 1, false);
        set_vector(ret, o, s->size, ret->imm >> 4 & (ret->code_size == CODE64 ? 15 : 7));
        return true;
    case PL_ST:
        set_reg(o, RC_ST, ret->modrm & 7);
        return true;
    case PL_FIXED:
        set_reg(o, s->cls, s->reg);
        return true;
    case PL_ONE:
        o->kind = OPND_IMM;
        ret->imm = 1;
        return true;
    }
    g_return_val_if_reached(false);
}

bool decode_operands(Decoder *d, Insn *ret, const DecodeRow *row)
{
    ret->n_operands = row->n_operands;
    for (unsigned k = 0; k < row->n_operands; k++)
        if (!operand(d, ret, &row->opnd[k], &ret->opnd[k]))
            return false;
    return true;
}
