/*
 * pass.c - instructions that are written again for the host, with other registers and memory operands.
 */
#include "accel/dbt/translate.h"

const Operand *tr_memory_operand(const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->opnd[n].kind == OPND_MEM)
            return &i->opnd[n];
    return NULL;
}

/* CVTPI2PS and the like: SSE instructions that check for pending x87 exceptions. */
static bool names_mmx(const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->opnd[n].kind == OPND_REG && i->opnd[n].cls == RC_MM)
            return true;
    return false;
}

/* What `pass` alone does not tell: faults, control words, registers that are implied. */
static bool is_special(const Insn *i)
{
    switch (i->op) {
    case OP_FLDCW: case OP_LDMXCSR: case OP_VLDMXCSR: case OP_FNINIT: case OP_FLDENV: case OP_FNSTENV: case OP_FRSTOR:
    case OP_FNSAVE: case OP_FXSAVE: case OP_FXRSTOR: case OP_XSAVE: case OP_XSAVEOPT: case OP_XSAVEC: case OP_XSAVES:
    case OP_XRSTOR: case OP_XRSTORS: case OP_XGETBV: case OP_FNCLEX: case OP_RDRAND: case OP_RDSEED: case OP_RDPID:
    case OP_MASKMOVQ: case OP_MASKMOVDQU: case OP_VMASKMOVDQU: case OP_XLAT:
    case OP_VMASKMOVPS: case OP_VMASKMOVPD: case OP_VPMASKMOVD: case OP_VPMASKMOVQ: case OP_CPUID: case OP_STMXCSR: case OP_VSTMXCSR:
        return true;
    case OP_BT: case OP_BTS: case OP_BTR: case OP_BTC: /* with a register the bit may lie far away */
        return i->has_mem && i->opnd[1].kind == OPND_REG;
    case OP_VCVTPS2PH: /* MXCSR and the x87 stack change even if the store faults: the interpreter knows when */
        return i->has_mem;
    default:
        return i->has_mem && names_mmx(i) && tr_memory_operand(i) && tr_memory_operand(i)->access & OPND_WRITE;
    }
}

/* One-byte opcodes that mean something else, or nothing, in the host's 64-bit mode. */
static bool lacks_64bit_form(const Insn *i)
{
    static const uint8_t lost[] = { 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x62, 0x63,
                                    0x82, 0x9a, 0xc4, 0xc5, 0xce, 0xd4, 0xd5, 0xd6, 0xea, 0xa0, 0xa1, 0xa2, 0xa3 };
    if (i->map || i->prefixes & PFX_VEX)
        return false;
    if (i->code_size == CODE64)
        return i->opcode >= 0xa0 && i->opcode <= 0xa3;
    return memchr(lost, i->opcode, sizeof(lost)) || (i->opcode & 0xf0) == 0x40;
}

static bool unit_usable(const Translator *t, const Insn *i)
{
    const InsnRow *row = insn_row(i);
    if (names_mmx(i) && !(t->mode & MODE_X87))
        return false;
    if (row->attrs & ROW_AVX)
        return t->mode & MODE_AVX;
    if (row->attrs & ROW_SSE)
        return t->mode & MODE_SSE;
    if (row->attrs & (ROW_FPU | ROW_MMX))
        return t->mode & MODE_X87;
    return true;
}

static bool model_has(const Translator *t, const InsnRow *row)
{
    return row->feature == FEAT_ALWAYS || cpu_has(interp_model(&t->v->i), row->feature);
}

bool tr_passes(const Translator *t, const Insn *i)
{
    enum { NEVER = ROW_BRANCH | ROW_SYSTEM | ROW_IO | ROW_STRING | ROW_MEM_SIDE };
    const InsnRow *row = insn_row(i);
    bool bit_register = !i->has_mem && (i->op == OP_BT || i->op == OP_BTS || i->op == OP_BTR || i->op == OP_BTC);
    bool pass = row->attrs & ROW_PASS || bit_register || i->op == OP_CMPXCHG8B || i->op == OP_CMPXCHG16B;
    if (!pass || (row->attrs & NEVER && !bit_register) || row->cpl < 3 || is_special(i) || lacks_64bit_form(i))
        return false;
    if (!unit_usable(t, i) || !model_has(t, row))
        return false;
    return !i->has_mem || (tr_memory_operand(i) && tr_memory_operand(i)->size && tr_addressable(t, i));
}

/* A register to put a slot's value into while both scratch registers are taken: one that the instruction does not name. */
static unsigned pick_borrow(const GprFields *f, unsigned taken)
{
    static const uint8_t low[] = { 3, 6, 7, 5 }, any[] = { 8, 9, 12, 13, 14, 3, 6, 7 };
    const uint8_t *from = f->high ? low : any;
    unsigned n = f->high ? sizeof(low) : sizeof(any);
    for (unsigned k = 0; k < n; k++)
        if (!(f->named >> from[k] & 1) && from[k] != taken)
            return from[k];
    g_assert_not_reached(); /* an instruction names at most four */
}

Borrowed tr_borrow(Translator *t, const GprFields *f, unsigned slot, uint8_t access, unsigned taken)
{
    Borrowed b = { .host = pick_borrow(f, taken), .slot = slot, .written = access & OPND_WRITE };
    unsigned n = taken != 0xff;
    b.save = GS_OFF(borrow) + 8 * n;
    e_store_gs(&t->e, b.host, b.save);
    tr_note_held(t, n, b.host);
    e_load_gs(&t->e, b.host, GS_GPR(slot));
    return b;
}

Borrowed tr_borrow_for(Translator *t, const GprFields *f, uint32_t off)
{
    Borrowed b = { .host = pick_borrow(f, 0xff), .save = GS_OFF(borrow) };
    e_store_gs(&t->e, b.host, b.save);
    tr_note_held(t, 0, b.host);
    e_load_gs(&t->e, b.host, off);
    return b;
}

void tr_give_back(Translator *t, const Borrowed *b)
{
    if (b->written)
        e_store_gs(&t->e, b->host, GS_GPR(b->slot));
    e_load_gs(&t->e, b->host, b->save);
}

static void put_recoded(Translator *t, const Insn *i, const Recode *r) { t->e.p += dbt_recode(i, r, t->e.p); }

/* To a general register, whatever it held. */
static bool is_load(const Insn *i)
{
    bool moves = i->op == OP_MOV || i->op == OP_MOVZX || i->op == OP_MOVSX || i->op == OP_MOVSXD;
    return moves && i->opnd[0].kind == OPND_REG && i->opnd[0].cls == RC_GPR;
}

static void emit_pass_memory(Translator *t, const Insn *i)
{
    GprFields f = dbt_gpr_fields(i);
    const Operand *m = tr_memory_operand(i);
    bool aligned = insn_row(i)->attrs & ROW_ALIGNED || i->op == OP_CMPXCHG16B;
    tr_emit_access(t, i, m->size, m->access & OPND_WRITE ? DTLB_WRITE : DTLB_READ, aligned ? m->size : 1);
    Recode r = { .reg = 0xff, .rm = 0xff, .vvvv = 0xff, .memory = true, .mem_base = SCRATCH_T, .mem_index = SCRATCH_U, .disp = (int8_t)t->disp };
    tr_note_simd_fp(t, i);
    Borrowed held[3];
    unsigned n = 0;
    if (f.high) { /* no REX: the address must stand in a low register */
        held[n++] = tr_borrow(t, &f, SCRATCH_T, 0, 0xff);
        e_lea(&t->e, true, held[0].host, SCRATCH_T, SCRATCH_U, 0, 0);
        r.mem_base = held[0].host, r.mem_index = 0xff;
    }
    bool loads_slot = is_load(i) && is_slot(f.reg_n) && !(f.reg_access & OPND_READ);
    if (loads_slot) {
        r.reg = f.reg_n; /* the access is the last that needs the address */
    } else if (f.reg && is_slot(f.reg_n)) {
        held[n] = tr_borrow(t, &f, f.reg_n, f.reg_access, n ? held[0].host : 0xff);
        r.reg = held[n++].host;
    }
    if (f.vvvv && is_slot(f.vvvv_n)) {
        held[n] = tr_borrow(t, &f, f.vvvv_n, f.vvvv_access, n ? held[0].host : 0xff);
        r.vvvv = held[n++].host;
    }
    put_recoded(t, i, &r);
    if (loads_slot) {
        e_store_gs(&t->e, f.reg_n, GS_GPR(f.reg_n));
        t->slots_kept = 1u << f.reg_n;
    }
    while (n-- > 0)
        tr_give_back(t, &held[n]);
}

/* Without a memory operand the scratch registers are free and stand for the slots themselves. */
static void emit_pass_registers(Translator *t, const Insn *i)
{
    GprFields f = dbt_gpr_fields(i);
    static const Recode same = { .reg = 0xff, .rm = 0xff, .vvvv = 0xff };
    uint16_t written = (f.reg && f.reg_access & OPND_WRITE ? 1u << f.reg_n : 0) | (f.rm && f.rm_access & OPND_WRITE ? 1u << f.rm_n : 0) |
                       (f.vvvv && f.vvvv_access & OPND_WRITE ? 1u << f.vvvv_n : 0);
    for (unsigned slot = SCRATCH_T; slot <= SCRATCH_U; slot++)
        if (f.named >> slot & ~t->slots_loaded >> slot & 1)
            e_load_gs(&t->e, slot, GS_GPR(slot));
    t->slots_kept = t->slots_loaded | (f.named & SLOTS);
    tr_note_simd_fp(t, i);
    put_recoded(t, i, &same);
    for (unsigned slot = SCRATCH_T; slot <= SCRATCH_U; slot++)
        if (written >> slot & 1)
            e_store_gs(&t->e, slot, GS_GPR(slot));
}

void tr_emit_pass(Translator *t, const Insn *i)
{
    if (i->has_mem)
        emit_pass_memory(t, i);
    else
        emit_pass_registers(t, i);
}
