/*
 * encode.c - an example of a row as bytes; the inverse of decode.c, from the same tables.
 */
#include <glib.h>
#include <string.h>

#include "isa/x86/decode.h"
#include "isa/x86/insn_example.h"

typedef struct Encoder {
    const InsnExample *e;
    const DecodeRow *row;
    uint8_t *buf;
    unsigned n;
    bool opsize_prefix, wide, addrsize_prefix, failed;
    uint8_t opsize, addrsize;
} Encoder;

static void put(Encoder *c, uint64_t value, unsigned bytes)
{
    if (c->n + bytes > INSN_MAX_BYTES) {
        c->failed = true;
        return;
    }
    memcpy(c->buf + c->n, &value, bytes);
    c->n += bytes;
}

/* ---- sizes */

/* Finds 66 and REX.W that give the operand size asked for. */
static bool choose_opsize(Encoder *c)
{
    for (unsigned k = 0; k < 4; k++) {
        c->opsize_prefix = k & 1;
        c->wide = k & 2;
        if ((c->wide || c->row->flags & DR_W1) && c->e->size != CODE64 && !(c->row->flags & DR_VEX))
            continue;
        if ((c->row->flags & DR_W1 && !c->wide) || (c->row->flags & DR_W0 && c->wide))
            continue;
        bool counts = c->wide && c->e->size == CODE64;
        c->opsize = decode_operand_size(c->row, c->e->size, c->opsize_prefix, counts);
        if (c->e->opsize == 0 || c->opsize == c->e->opsize)
            return true;
    }
    return false;
}

static bool choose_addrsize(Encoder *c)
{
    static const uint8_t normal[] = { 2, 4, 8 }, other[] = { 4, 2, 4 };
    CodeSize size = c->e->size;
    c->addrsize = c->e->addrsize ? c->e->addrsize : normal[size];
    c->addrsize_prefix = c->addrsize != normal[size];
    return !c->addrsize_prefix || c->addrsize == other[size];
}

/* ---- prefixes and opcode */

static bool uses_modrm_memory(const Encoder *c)
{
    bool reg_only = c->row->modrm_mask >= 0xc0 || c->row->flags & DR_MODANY;
    return c->row->flags & DR_MODRM && !reg_only && (c->e->memory || c->row->flags & DR_MEM);
}

/* The register numbers whose top bits are R, B and X; 0 where the row has no such field. */
static uint8_t r_register(const Encoder *c)
{
    return c->row->flags & DR_MODRM && !(c->row->modrm_mask & 0x38) ? c->e->reg : 0;
}

static uint8_t b_register(const Encoder *c)
{
    bool in_modrm = c->row->flags & DR_MODRM && !(c->row->modrm_mask & 7);
    if (uses_modrm_memory(c))
        return c->e->base < INSN_RIP ? c->e->base : 0;
    return in_modrm || c->row->span == 8 ? c->e->rm : 0;
}

static uint8_t x_register(const Encoder *c)
{
    return uses_modrm_memory(c) && c->e->index != INSN_NO_REG ? c->e->index : 0;
}

static void put_legacy_prefixes(Encoder *c)
{
    static const uint8_t segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
    static const uint8_t mandatory[] = { [ROWPFX_66] = 0x66, [ROWPFX_F2] = 0xf2, [ROWPFX_F3] = 0xf3, [ROWPFX_NF] = 0 };
    bool vex = c->row->flags & DR_VEX;
    if (c->e->seg < SEG_COUNT)
        put(c, segments[c->e->seg], 1);
    if (c->addrsize_prefix)
        put(c, 0x67, 1);
    if (c->e->lock)
        put(c, 0xf0, 1);
    if (c->e->rep)
        put(c, c->e->rep, 1);
    if (c->opsize_prefix)
        put(c, 0x66, 1);
    if (!vex && mandatory[c->row->prefix])
        put(c, mandatory[c->row->prefix], 1);
}

static void put_rex(Encoder *c)
{
    unsigned rex = (c->wide ? 8 : 0) | (r_register(c) & 8 ? 4 : 0) | (x_register(c) & 8 ? 2 : 0) | (b_register(c) & 8 ? 1 : 0);
    if (!rex && !c->e->rex)
        return;
    if (c->e->size != CODE64)
        c->failed = true;
    put(c, 0x40 | rex, 1);
}

static void put_vex(Encoder *c)
{
    static const uint8_t pp[] = { [ROWPFX_NP] = 0, [ROWPFX_66] = 1, [ROWPFX_F3] = 2, [ROWPFX_F2] = 3, [ROWPFX_NF] = 0 };
    bool l = c->row->flags & DR_L1 || (c->e->vex_l && !(c->row->flags & DR_L0));
    uint8_t vvvv = c->row->flags & DR_VVVV ? c->e->vvvv : 0;
    unsigned tail = (~vvvv & 15) << 3 | (l ? 4 : 0) | pp[c->row->prefix];
    bool r = r_register(c) & 8, x = x_register(c) & 8, b = b_register(c) & 8;
    if (c->e->size != CODE64 && (r || x || b || vvvv > 7))
        c->failed = true;
    if (c->row->map == 1 && !x && !b && !c->wide && !c->e->vex3) {
        put(c, 0xc5, 1);
        put(c, (r ? 0 : 0x80) | tail, 1);
        return;
    }
    put(c, 0xc4, 1);
    put(c, (r ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | c->row->map, 1);
    put(c, (c->wide ? 0x80 : 0) | tail, 1);
}

static void put_opcode(Encoder *c)
{
    unsigned opcode = c->row->opcode;
    if (c->row->flags & DR_VEX) {
        put_vex(c);
    } else {
        put_rex(c);
        if (c->row->map)
            put(c, 0x0f, 1);
        if (c->row->map > 1)
            put(c, c->row->map == 2 ? 0x38 : 0x3a, 1);
    }
    if (c->row->span == 8)
        opcode |= c->e->rm & 7;
    if (c->row->span == 16)
        opcode |= c->e->cc & 15;
    put(c, opcode, 1);
}

/* ---- ModRM */

static void put_address16(Encoder *c, unsigned reg)
{
    static const uint8_t base[8] = { GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX };
    static const uint8_t index[8] = { GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG };
    const InsnExample *e = c->e;
    if (e->base == INSN_NO_REG && e->index == INSN_NO_REG) {
        put(c, 6 | reg << 3, 1);
        put(c, e->disp, 2);
        return;
    }
    unsigned rm = 0;
    while (rm < 8 && (base[rm] != e->base || index[rm] != e->index))
        rm++;
    c->failed |= rm == 8;
    unsigned mod = e->disp == 0 && rm != 6 ? 0 : e->disp == (int8_t)e->disp ? 1 : 2;
    put(c, mod << 6 | reg << 3 | rm, 1);
    put(c, e->disp, mod);
}

static void put_absolute(Encoder *c, unsigned reg)
{
    const InsnExample *e = c->e;
    bool rip = e->base == INSN_RIP, sib = e->index != INSN_NO_REG || (e->size == CODE64 && !rip);
    put(c, (sib ? 4 : 5) | reg << 3, 1);
    if (sib)
        put(c, 5 | (e->index == INSN_NO_REG ? 4 : e->index & 7) << 3 | e->scale << 6, 1);
    put(c, e->disp, 4);
}

static void put_address32(Encoder *c, unsigned reg)
{
    const InsnExample *e = c->e;
    if (e->base == INSN_NO_REG || e->base == INSN_RIP) {
        put_absolute(c, reg);
        return;
    }
    unsigned mod = e->disp == 0 && (e->base & 7) != 5 ? 0 : e->disp == (int8_t)e->disp ? 1 : 2;
    bool sib = e->index != INSN_NO_REG || (e->base & 7) == 4;
    put(c, mod << 6 | reg << 3 | (sib ? 4 : e->base & 7), 1);
    if (sib)
        put(c, (e->base & 7) | (e->index == INSN_NO_REG ? 4 : e->index & 7) << 3 | e->scale << 6, 1);
    put(c, e->disp, mod == 2 ? 4 : mod);
}

static void put_modrm(Encoder *c)
{
    const DecodeRow *row = c->row;
    unsigned reg = row->modrm_mask & 0x38 ? row->modrm_value >> 3 & 7 : c->e->reg & 7;
    unsigned rm = row->modrm_mask & 7 ? row->modrm_value & 7 : c->e->rm & 7;
    if (!(row->flags & DR_MODRM))
        return;
    if (!uses_modrm_memory(c))
        put(c, 0xc0 | reg << 3 | rm, 1);
    else if (c->addrsize == 2)
        put_address16(c, reg);
    else
        put_address32(c, reg);
}

/* ---- immediates */

static unsigned immediate_bytes(const Encoder *c, unsigned size_code)
{
    return size_code == SZ_V ? c->opsize : size_code == SZ_Z ? MIN(c->opsize, 4) : size_code;
}

static void put_immediate(Encoder *c, const OperandSpec *s)
{
    switch (s->place) {
    case PL_I:
    case PL_J:
        put(c, c->e->imm, immediate_bytes(c, s->size));
        break;
    case PL_IS:
        put(c, c->e->imm, 1);
        break;
    case PL_I2:
        put(c, c->e->imm2, 1);
        break;
    case PL_A:
        put(c, c->e->imm, c->opsize);
        put(c, c->e->imm2, 2);
        break;
    case PL_O:
        put(c, c->e->disp, c->addrsize);
        break;
    case PL_L:
        put(c, c->e->is4 << 4, 1);
        break;
    default:
        break;
    }
}

static bool encodes_row(const InsnExample *e, const uint8_t *buf, unsigned n)
{
    Insn insn;
    return insn_decode(buf, n, e->size, &insn) == DECODE_OK && insn.row == e->row && insn.length == n &&
           (e->opsize == 0 || insn.opsize == e->opsize || insn.opsize == 1);
}

size_t insn_encode(const InsnExample *e, uint8_t buf[INSN_MAX_BYTES])
{
    Encoder c = { .e = e, .row = &decode_rows[e->row], .buf = buf };
    if (!(c.row->modes >> e->size & 1) || !choose_opsize(&c) || !choose_addrsize(&c))
        return 0;
    put_legacy_prefixes(&c);
    put_opcode(&c);
    put_modrm(&c);
    for (unsigned k = 0; k < c.row->n_operands; k++)
        put_immediate(&c, &c.row->opnd[k]);
    return !c.failed && encodes_row(e, buf, c.n) ? c.n : 0;
}

static bool depends_on_opsize(const OperandSpec *s)
{
    return s->size == SZ_V || s->size == SZ_Z || s->size == SZ_Y || s->size == SZ_P || s->size == SZ_A;
}

InsnForms insn_row_forms(unsigned row)
{
    const DecodeRow *r = &decode_rows[row];
    InsnForms f = { .modes = r->modes, .vex = r->flags & DR_VEX, .vsib = r->flags & (DR_VSIB_X | DR_VSIB_Y) };
    bool either = false, opsizes = strchr(insn_rows[row].name, '/') != NULL;
    for (unsigned k = 0; k < r->n_operands; k++) {
        unsigned place = r->opnd[k].place;
        either |= place == PL_E || place == PL_Q || place == PL_W;
        f.mem |= place == PL_M || place == PL_O;
        opsizes |= depends_on_opsize(&r->opnd[k]);
    }
    f.reg = !f.mem;
    f.mem |= either;
    f.opsizes = opsizes && r->size != ROWSIZE_BYTE && r->size != ROWSIZE_N64;
    f.lengths = f.vex && !(r->flags & (DR_L0 | DR_L1));
    return f;
}
