/*
 * decode.c - bytes to Insn.  Prefixes, opcode, choice of the row, ModRM, operands, immediates, in the order in which they
 * stand; everything about single instructions comes from the tables of insns.txt.  Intel SDM 2, chapter 2.
 *
 * F3 0F BC and F3 0F BD decode as TZCNT and LZCNT whatever CPUID says; the accelerator falls back to BSF and BSR.
 */
#include "isa/x86/decoder.h"

#include <glib.h>

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
    ret->addrsize = decode_address_size(d, size);
    ret->prefixes = prefixes_of(d, row);
    ret->mandatory = mandatory_of(row);
    ret->seg = d->seg == INSN_NO_REG ? SEG_DS : d->seg;
    ret->vsib = row->flags & (DR_VSIB_X | DR_VSIB_Y);
    if (row->flags & DR_CC)
        ret->cc = ret->opcode & 15;
    if (ret->vsib && (ret->addrsize == 2 || (ret->modrm & 7) != 4))
        return false; /* VSIB needs a SIB byte, and 16-bit addresses have none */
    if (ret->has_modrm && ret->modrm < 0xc0 && !(row->flags & DR_MODANY))
        decode_memory(d, ret);
    if (!decode_operands(d, ret, row))
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
