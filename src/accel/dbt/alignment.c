/*
 * alignment.c - what is known, while a block is translated, about the low bits of addresses: an access at RSP + 8 that was
 * found to be aligned tells that the next one at RSP + 16 is.
 *
 * For each register: its value modulo 1 << bits.  Everything between the accesses runs in order and without a way in, so
 * what was checked holds until the register is written.
 */
#include "accel/dbt/translate.h"

enum { MOST_BITS = 4 };

void tr_address_base(Translator *t, unsigned reg, int64_t disp)
{
    t->address = (KnownAddress){ .kind = ADDRESS_BASE, .base = (uint8_t)reg, .low = (uint16_t)(disp & 0xfff) };
}

void tr_address_fixed(Translator *t, uint64_t address)
{
    t->address = (KnownAddress){ .kind = ADDRESS_FIXED, .low = (uint16_t)(address & 0xfff) };
}

bool tr_address_stays_in_page(const Translator *t, unsigned size)
{
    const KnownAddress *a = &t->address;
    if (a->kind == ADDRESS_FIXED)
        return a->low + size <= 4096;
    if (a->kind == ADDRESS_UNKNOWN || size & (size - 1))
        return false;
    const LowBits *l = &t->low_bits[a->base];
    return 1u << l->bits >= size && ((l->value + a->low) & (size - 1)) == 0;
}

void tr_address_is_aligned(Translator *t, unsigned size)
{
    const KnownAddress *a = &t->address;
    unsigned bits = (unsigned)__builtin_ctz(size);
    if (a->kind != ADDRESS_BASE || size & (size - 1) || bits > MOST_BITS || t->low_bits[a->base].bits >= bits)
        return;
    t->low_bits[a->base] = (LowBits){ .bits = (uint8_t)bits, .value = (uint8_t)(-a->low & (size - 1)) };
}

/* ---- what instructions do to it */

static LowBits shifted(LowBits l, uint64_t by) { return (LowBits){ .bits = l.bits, .value = (uint8_t)((l.value + by) & ((1u << l.bits) - 1)) }; }

/* Instructions that write no general register but their operands. */
static bool writes_operands_only(const Insn *i)
{
    switch (i->op) {
    case OP_MOV: case OP_ADD: case OP_SUB: case OP_AND: case OP_OR: case OP_XOR: case OP_CMP: case OP_TEST: case OP_LEA:
    case OP_INC: case OP_DEC: case OP_NEG: case OP_NOT: case OP_SHL: case OP_SHR: case OP_SAR: case OP_MOVZX: case OP_MOVSX:
    case OP_MOVSXD: case OP_PUSH: case OP_POP: case OP_NOP: case OP_JCC:
        return true;
    default:
        return insn_row(i)->attrs & ROW_PASS && insn_row(i)->attrs & (ROW_SSE | ROW_AVX);
    }
}

bool tr_may_write_gpr(const Insn *i, unsigned reg)
{
    if (!writes_operands_only(i) || (insn_row(i)->attrs & (ROW_SSE | ROW_AVX) && reg < 3))
        return true;
    for (unsigned n = 0; n < i->n_operands; n++) {
        const Operand *o = &i->opnd[n];
        if (o->kind == OPND_REG && (o->cls == RC_GPR || o->cls == RC_GPR_HIGH) && o->reg == reg && o->access & OPND_WRITE)
            return true;
    }
    return false;
}

static bool is_whole_gpr(const Operand *o) { return o->kind == OPND_REG && o->cls == RC_GPR && o->size >= 4; }

/* After the first operand, a whole register, was written. */
static LowBits result(const Translator *t, const Insn *i)
{
    static const LowBits nothing;
    LowBits old = t->low_bits[i->opnd[0].reg];
    const Operand *from = &i->opnd[1];
    bool imm = i->n_operands == 2 && from->kind == OPND_IMM;
    switch (i->op) {
    case OP_ADD: return imm ? shifted(old, i->imm) : nothing;
    case OP_SUB: return imm ? shifted(old, -i->imm) : nothing;
    case OP_INC: return shifted(old, 1);
    case OP_DEC: return shifted(old, ~0ull);
    case OP_MOV: return is_whole_gpr(from) ? t->low_bits[from->reg] : nothing;
    case OP_LEA: return i->base < 16 && i->index == INSN_NO_REG && i->addrsize >= 4 ? shifted(t->low_bits[i->base], (uint64_t)i->disp) : nothing;
    case OP_AND: return imm && !(i->imm & 15) ? (LowBits){ .bits = MOST_BITS } : nothing;
    default: return nothing;
    }
}

void tr_alignment_after(Translator *t, const Insn *i)
{
    if (!writes_operands_only(i)) {
        memset(t->low_bits, 0, sizeof(t->low_bits));
        return;
    }
    if (insn_row(i)->attrs & (ROW_SSE | ROW_AVX)) /* PCMPISTRI and its like write one that they do not name */
        memset(t->low_bits, 0, 3 * sizeof(t->low_bits[0]));
    LowBits first = { 0 };
    if (i->n_operands && is_whole_gpr(&i->opnd[0]))
        first = result(t, i);
    if (i->op == OP_PUSH || i->op == OP_POP)
        t->low_bits[RSP] = shifted(t->low_bits[RSP], i->op == OP_POP ? i->opsize : -(uint64_t)i->opsize);
    for (unsigned n = 0; n < i->n_operands; n++) {
        const Operand *o = &i->opnd[n];
        if (o->kind != OPND_REG || !(o->access & OPND_WRITE))
            continue;
        if (o->cls == RC_GPR)
            t->low_bits[o->reg] = n == 0 && o->size >= 4 ? first : (LowBits){ 0 };
        else if (o->cls == RC_GPR_HIGH)
            t->low_bits[o->reg] = (LowBits){ 0 };
    }
}
