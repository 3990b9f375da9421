/*
 * encode.c - a guest instruction as bytes that the host executes in 64-bit mode, with other registers or another memory
 * operand.  Where each operand stands (ModRM.reg, ModRM.rm, VEX.vvvv, opcode) is read from the letters of its row.
 */
#include "accel/dbt/dbt.h"

/* ---- the guest's prefixes, taken apart */
typedef struct Fields {
    uint8_t reg, rm, vvvv; /* with REX or VEX extension bits */
    bool rex, w;
} Fields;

static Fields raw_fields(const Insn *i)
{
    Fields f = { .reg = i->modrm >> 3 & 7, .rm = i->modrm & 7, .vvvv = i->vvvv, .w = i->prefixes & PFX_REX_W };
    if (!i->has_modrm)
        f.rm = i->opcode & 7;
    const uint8_t *opcode = i->bytes + i->opcode_off;
    if (i->code_size != CODE64) {
        if (i->prefixes & PFX_VEX && opcode[-2] != 0xc5)
            f.w = opcode[-1] >> 7; /* it may tell rows apart */
        return f;
    }
    if (i->prefixes & PFX_VEX) {
        bool three = opcode[-2] != 0xc5; /* as the second byte of three it would name map 5, which there is not */
        const uint8_t *p = opcode - (three ? 3 : 2);
        f.reg |= p[1] & 0x80 ? 0 : 8;
        f.rm |= three && !(p[1] & 0x20) ? 8 : 0;
    } else if (i->prefixes & PFX_REX) {
        uint8_t rex = opcode[-1 - (i->map > 1 ? 2 : i->map)];
        f.rex = true;
        f.reg |= rex & 4 ? 8 : 0;
        f.rm |= rex & 1 ? 8 : 0;
    }
    return f;
}

/* ---- places of operands */
typedef enum Place { PLACE_NONE, PLACE_REG, PLACE_RM, PLACE_VVVV } Place;

static Place place_of(const char *token)
{
    if (g_ascii_isupper(token[1])) /* a register by its name: AL, CL, DX, ES, ST, XMM0 */
        return PLACE_NONE;
    switch (*token) {
    case 'E': case 'M': case 'R': case 'Q': case 'N': case 'W': case 'U': case 'Z':
        return PLACE_RM;
    case 'G': case 'S': case 'C': case 'D': case 'P': case 'V':
        return PLACE_REG;
    case 'B': case 'H':
        return PLACE_VVVV;
    default:
        return PLACE_NONE;
    }
}

static const char *next_token(const char *s)
{
    while (*s && *s != ' ')
        s++;
    while (*s == ' ')
        s++;
    return s;
}

static uint8_t effective_access(const Operand *o)
{
    return o->access & OPND_WRITE && o->size < 4 ? o->access | OPND_READ : o->access;
}

static void note_gpr(GprFields *f, const Operand *o, Place place)
{
    f->named |= 1u << o->reg;
    switch (place) {
    case PLACE_REG:
        f->reg = true, f->reg_n = o->reg, f->reg_access = effective_access(o);
        break;
    case PLACE_RM:
        f->rm = true, f->rm_n = o->reg, f->rm_access = effective_access(o);
        break;
    case PLACE_VVVV:
        f->vvvv = true, f->vvvv_n = o->reg, f->vvvv_access = effective_access(o);
        break;
    case PLACE_NONE:
        break;
    }
}

GprFields dbt_gpr_fields(const Insn *i)
{
    GprFields f = { 0 };
    const char *token = insn_row(i)->operands;
    for (unsigned n = 0; n < i->n_operands; n++, token = next_token(token)) {
        const Operand *o = &i->opnd[n];
        if (o->kind != OPND_REG)
            continue;
        if (o->cls == RC_GPR_HIGH)
            f.high = true, f.named |= 1u << o->reg;
        else if (o->cls == RC_GPR)
            note_gpr(&f, o, place_of(token));
    }
    if (i->has_mem && i->base < 16)
        f.named |= 1u << i->base;
    if (i->has_mem && i->index < 16 && !i->vsib)
        f.named |= 1u << i->index;
    return f;
}

/* ---- writing */

/* SPL, BPL, SIL, DIL need a REX prefix, which a guest's instruction with them has. */
static void put_legacy(uint8_t **p, const Insn *i, const Fields *f, unsigned index, bool wide_needs_66)
{
    if (i->prefixes & PFX_LOCK)
        *(*p)++ = 0xf0;
    if (i->mandatory)
        *(*p)++ = i->mandatory;
    else if (i->prefixes & PFX_REP)
        *(*p)++ = 0xf3;
    if (wide_needs_66 && i->mandatory != 0x66)
        *(*p)++ = 0x66;
    uint8_t rex = (uint8_t)(f->w << 3 | (f->reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (f->rm >> 3 & 1));
    if (rex || f->rex)
        *(*p)++ = 0x40 | rex;
    if (i->map)
        *(*p)++ = 0x0f;
    if (i->map > 1)
        *(*p)++ = i->map == 2 ? 0x38 : 0x3a;
}

static void put_vex(uint8_t **p, const Insn *i, const Fields *f, unsigned index)
{
    unsigned pp = i->mandatory == 0x66 ? 1 : i->mandatory == 0xf3 ? 2 : i->mandatory == 0xf2 ? 3 : 0;
    *(*p)++ = 0xc4;
    *(*p)++ = (uint8_t)((f->reg & 8 ? 0 : 0x80) | (index & 8 ? 0 : 0x40) | (f->rm & 8 ? 0 : 0x20) | i->map);
    *(*p)++ = (uint8_t)(f->w << 7 | (~f->vvvv & 15) << 3 | i->vex_l << 2 | pp);
}

static bool names_gpr(const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->opnd[n].kind == OPND_REG && i->opnd[n].cls == RC_GPR)
            return true;
    return false;
}

size_t dbt_recode(const Insn *i, const Recode *r, uint8_t *out)
{
    Fields f = raw_fields(i);
    uint8_t *p = out;
    if (i->code_size != CODE64 && f.w && names_gpr(i)) /* VEX.W does not count there */
        f.w = false;
    bool memory = r->memory;
    if (r->reg != 0xff)
        f.reg = r->reg;
    if (r->vvvv != 0xff)
        f.vvvv = r->vvvv;
    if (memory)
        f.rm = r->mem_base;
    else if (r->rm != 0xff)
        f.rm = r->rm;
    unsigned index = memory && r->mem_index != 0xff ? r->mem_index : 0;
    if (i->prefixes & PFX_VEX)
        put_vex(&p, i, &f, index);
    else
        put_legacy(&p, i, &f, index, i->opsize == 2 && i->mandatory != 0x66);
    *p++ = i->has_modrm ? i->opcode : (uint8_t)((i->opcode & ~7) | (f.rm & 7));
    if (i->has_modrm && memory) {
        bool sib = r->mem_index != 0xff || (f.rm & 7) == 4, disp8 = r->disp || (f.rm & 7) == 5;
        *p++ = (uint8_t)((disp8 ? 0x40 : 0) | (f.reg & 7) << 3 | (sib ? 4 : f.rm & 7));
        if (sib)
            *p++ = (uint8_t)((r->mem_index == 0xff ? 4 : r->mem_index & 7) << 3 | (f.rm & 7));
        if (disp8)
            *p++ = (uint8_t)r->disp;
    } else if (i->has_modrm) {
        *p++ = (uint8_t)(0xc0 | (f.reg & 7) << 3 | (f.rm & 7));
    }
    memcpy(p, i->bytes + i->imm_off, i->imm_len);
    return (size_t)(p - out) + i->imm_len;
}
