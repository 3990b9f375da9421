/*
 * decode.c - bytes to Insn.  Prefixes, opcode, choice of the row, ModRM, operands, immediates, in the order in which they
 * stand; everything about single instructions comes from the tables of insns.txt.  Intel SDM 2, chapter 2.
 *
 * F3 0F BC and F3 0F BD decode as TZCNT and LZCNT whatever CPUID says; the accelerator falls back to BSF and BSR.
 */
#include "isa/x86/decode.h"

#include <glib.h>
#include <string.h>

#include "isa/x86/cpu_features.h"

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

typedef struct Decoder {
    const uint8_t *bytes;
    unsigned pos, limit; /* limit: min(n, 15) */
    bool ended;          /* a byte beyond limit was asked for */
    bool opsize, addrsize, lock, has_rex, vex;
    uint8_t rep;         /* the last of F2 and F3 */
    uint8_t seg;         /* override, or INSN_NO_REG */
    uint8_t rex;         /* REX_*; of VEX too */
    bool w;              /* REX.W or VEX.W as encoded, whatever the mode */
    uint8_t pp;          /* VEX: 0, 66, F3, F2 */
} Decoder;

static uint8_t next_byte(Decoder *d)
{
    if (d->pos >= d->limit) {
        d->ended = true;
        return 0;
    }
    return d->bytes[d->pos++];
}

/* Little-endian, zero-extended. */
static uint64_t next_bytes(Decoder *d, unsigned n)
{
    uint64_t value = 0;
    if (d->limit - d->pos < n) {
        d->pos = d->limit;
        d->ended = true;
        return 0;
    }
    memcpy(&value, d->bytes + d->pos, n);
    d->pos += n;
    return value;
}

static int64_t sign_extend(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;
    return (int64_t)(value << shift) >> shift;
}

/* ---- prefixes */

/* ES, CS, SS and DS overrides count for nothing in 64-bit mode (SDM 1, 3.3.7.1); they do not undo FS or GS either. */
static void segment_prefix(Decoder *d, CodeSize size, uint8_t seg)
{
    if (size != CODE64 || seg >= SEG_FS)
        d->seg = seg;
}

/* Takes the legacy prefixes and returns the byte after them. */
static uint8_t legacy_prefixes(Decoder *d, CodeSize size)
{
    for (;;) {
        uint8_t byte = next_byte(d);
        switch (byte) {
        case 0x26: case 0x2e: case 0x36: case 0x3e:
            segment_prefix(d, size, SEG_ES + (byte >> 3 & 3));
            break;
        case 0x64: case 0x65:
            segment_prefix(d, size, SEG_FS + (byte & 1));
            break;
        case 0x66:
            d->opsize = true;
            break;
        case 0x67:
            d->addrsize = true;
            break;
        case 0xf0:
            d->lock = true;
            break;
        case 0xf2: case 0xf3:
            d->rep = byte;
            break;
        default:
            if (size != CODE64 || (byte & 0xf0) != 0x40 || d->ended)
                return byte;
            d->has_rex = true; /* counts only if the opcode follows */
            d->rex = byte & 15;
            continue;
        }
        d->has_rex = false;
        d->rex = 0;
    }
}

static const uint8_t vex_pp[4] = { 0, 0x66, 0xf3, 0xf2 };

/* C4 and C5.  Outside 64-bit mode they are LES and LDS unless what follows looks like a register operand. */
static bool is_vex(Decoder *d, CodeSize size, uint8_t byte)
{
    if (byte != 0xc4 && byte != 0xc5)
        return false;
    if (size == CODE64)
        return true;
    if (d->pos >= d->limit) {
        d->ended = true;
        return false;
    }
    return d->bytes[d->pos] >= 0xc0;
}

/* false: #UD.  In 32-bit modes R and X are 1 by is_vex(), B is ignored and so is the top bit of vvvv. */
static bool vex_prefix(Decoder *d, CodeSize size, uint8_t byte, Insn *ret)
{
    d->vex = true;
    ret->prefixes = PFX_VEX;
    if (d->opsize || d->rep || d->lock || d->has_rex)
        return false;
    uint8_t p = next_byte(d);
    ret->map = 1;
    d->rex = p & 0x80 ? 0 : REX_R;
    if (byte == 0xc4) {
        ret->map = p & 31;
        d->rex |= (p & 0x40 ? 0 : REX_X) | (p & 0x20 || size != CODE64 ? 0 : REX_B);
        p = next_byte(d);
        d->w = p & 0x80;
        if (d->w && size == CODE64)
            d->rex |= REX_W;
    }
    ret->vvvv = ~(p >> 3) & (size == CODE64 ? 15 : 7);
    ret->vex_l = p >> 2 & 1;
    d->pp = vex_pp[p & 3];
    return ret->map >= 1 && ret->map <= 3;
}

/* Reads up to the opcode byte.  false: #UD. */
static bool read_opcode(Decoder *d, CodeSize size, Insn *ret)
{
    uint8_t byte = legacy_prefixes(d, size);
    d->w = d->rex & REX_W;
    if (is_vex(d, size, byte)) {
        if (!vex_prefix(d, size, byte, ret))
            return false;
        byte = next_byte(d);
    } else if (byte == 0x0f) {
        byte = next_byte(d);
        ret->map = 1;
        if (byte == 0x38 || byte == 0x3a) {
            ret->map = byte == 0x38 ? 2 : 3;
            byte = next_byte(d);
        }
    }
    ret->opcode = byte;
    ret->opcode_off = d->pos - 1;
    return true;
}

/* ---- the row */

static bool prefix_matches(const Decoder *d, uint8_t wanted)
{
    if (wanted == ROWPFX_ANY)
        return true;
    uint8_t have = d->vex ? d->pp : d->rep ? d->rep : d->opsize ? 0x66 : 0;
    switch (wanted) {
    case ROWPFX_NP:
        return have == 0;
    case ROWPFX_66:
        return have == 0x66;
    case ROWPFX_F2:
        return have == 0xf2;
    case ROWPFX_F3:
        return have == 0xf3;
    default: /* ROWPFX_NF */
        return have == 0 || have == 0x66;
    }
}

static bool flags_match(const Decoder *d, const Insn *i, const DecodeRow *row)
{
    unsigned f = row->flags;
    if (f & DR_MEM && i->modrm >= 0xc0)
        return false;
    if ((f & DR_NOB && d->rex & REX_B) || (f & DR_W0 && d->w) || (f & DR_W1 && !d->w))
        return false;
    if ((f & DR_L0 && i->vex_l) || (f & DR_L1 && !i->vex_l))
        return false;
    return !(f & DR_VEX) || f & DR_VVVV || i->vvvv == 0;
}

static bool row_matches(const Decoder *d, CodeSize size, const Insn *i, const DecodeRow *row)
{
    return (i->modrm & row->modrm_mask) == row->modrm_value && row->modes >> size & 1 && prefix_matches(d, row->prefix) &&
           flags_match(d, i, row);
}

static const DecodeRow *find_row(Decoder *d, CodeSize size, Insn *ret)
{
    const uint16_t *first = d->vex ? decode_vex_first : decode_first;
    const uint16_t *list = d->vex ? decode_vex_list : decode_list;
    unsigned bucket = ret->map * 256u + ret->opcode;
    const uint16_t *at = list + first[bucket], *end = list + first[bucket + 1];
    if (at == end)
        return NULL;
    if (decode_rows[*at].flags & DR_MODRM) {
        ret->has_modrm = true;
        ret->modrm_off = d->pos;
        ret->modrm = next_byte(d);
        if (d->ended)
            return NULL;
    }
    for (; at < end; at++)
        if (row_matches(d, size, ret, &decode_rows[*at])) {
            ret->row = *at;
            return &decode_rows[*at];
        }
    return NULL;
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

static unsigned address_size(const Decoder *d, CodeSize size)
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

static void read_memory(Decoder *d, Insn *ret)
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

static bool operands(Decoder *d, Insn *ret, const DecodeRow *row)
{
    ret->n_operands = row->n_operands;
    for (unsigned k = 0; k < row->n_operands; k++)
        if (!operand(d, ret, &row->opnd[k], &ret->opnd[k]))
            return false;
    return true;
}

/* ---- validity of the whole */

/* LOCK: only where the row takes it and the destination is memory. */
static bool lock_is_valid(const Insn *i)
{
    return insn_row(i)->attrs & ROW_LOCK && i->n_operands && i->opnd[0].kind == OPND_MEM;
}

/* Destination, index and mask must be three registers (SDM 2, VPGATHERDD). */
static bool gather_is_valid(const Insn *i)
{
    unsigned dest = i->opnd[0].reg, mask = i->vvvv;
    return dest != mask && dest != i->index && mask != i->index;
}

static uint16_t prefixes_of(const Decoder *d, const DecodeRow *row)
{
    unsigned p = 0;
    bool rep_is_opcode = row->prefix == ROWPFX_F2 || row->prefix == ROWPFX_F3;
    if (d->opsize && row->prefix != ROWPFX_66)
        p |= PFX_OPSIZE;
    if (d->rep && !rep_is_opcode)
        p |= d->rep == 0xf2 ? PFX_REPNE : PFX_REP;
    p |= (d->addrsize ? PFX_ADDRSIZE : 0) | (d->lock ? PFX_LOCK : 0) | (d->seg != INSN_NO_REG ? PFX_SEG : 0);
    p |= (d->has_rex ? PFX_REX : 0) | (d->rex & REX_W ? PFX_REX_W : 0) | (d->vex ? PFX_VEX : 0);
    return p;
}

static uint8_t mandatory_of(const DecodeRow *row)
{
    static const uint8_t bytes[] = { [ROWPFX_66] = 0x66, [ROWPFX_F2] = 0xf2, [ROWPFX_F3] = 0xf3, [ROWPFX_NF] = 0 };
    return bytes[row->prefix];
}

/* Everything after the row is known.  false: #UD. */
static bool decode_body(Decoder *d, CodeSize size, const DecodeRow *row, Insn *ret)
{
    ret->op = insn_rows[ret->row].op;
    ret->opsize = decode_operand_size(row, size, d->opsize, d->rex & REX_W);
    ret->addrsize = address_size(d, size);
    ret->prefixes = prefixes_of(d, row);
    ret->mandatory = mandatory_of(row);
    ret->seg = d->seg == INSN_NO_REG ? SEG_DS : d->seg;
    ret->vsib = row->flags & (DR_VSIB_X | DR_VSIB_Y);
    if (row->flags & DR_CC)
        ret->cc = ret->opcode & 15;
    if (ret->vsib && (ret->addrsize == 2 || (ret->modrm & 7) != 4))
        return false; /* VSIB needs a SIB byte, and 16-bit addresses have none */
    if (ret->has_modrm && ret->modrm < 0xc0 && !(row->flags & DR_MODANY))
        read_memory(d, ret);
    if (!operands(d, ret, row))
        return false;
    return !(d->lock && !lock_is_valid(ret)) && !(ret->vsib && !gather_is_valid(ret));
}

static DecodeResult finish(const Decoder *d, Insn *ret, bool valid)
{
    ret->length = d->pos;
    memcpy(ret->bytes, d->bytes, d->pos);
    if (d->ended)
        return d->pos >= INSN_MAX_BYTES ? DECODE_TOO_LONG : DECODE_MORE;
    if (!valid)
        ret->op = OP_INVALID;
    return valid ? DECODE_OK : DECODE_INVALID;
}

DecodeResult insn_decode(const uint8_t *bytes, size_t n, CodeSize size, Insn *ret)
{
    Decoder d = { .bytes = bytes, .limit = MIN(n, INSN_MAX_BYTES), .seg = INSN_NO_REG };
    memset(ret, 0, sizeof(*ret));
    ret->code_size = size;
    ret->base = ret->index = INSN_NO_REG;
    if (!read_opcode(&d, size, ret) || d.ended)
        return finish(&d, ret, false);
    const DecodeRow *row = find_row(&d, size, ret);
    return finish(&d, ret, row && decode_body(&d, size, row, ret));
}
