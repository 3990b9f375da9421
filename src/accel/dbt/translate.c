/*
 * translate.c - a block of guest instructions to host code.
 *
 * Instructions whose row says `pass` are written again for the host (encode.c) with guest R10 and R11 taken from memory
 * and the memory operand replaced by [SCRATCH_T + SCRATCH_U], which the address translation in front leaves there.
 * Control flow and the stack have their own functions below; everything else ends the block with EXIT_INTERP.
 *
 * No guest register changes before the last access of an instruction that can miss, so every exit can start the
 * instruction over.
 */
#include "accel/dbt/dbt.h"
#include "accel/dbt/emit.h"
#include "accel/interp/mem_inline.h"

enum { BLOCK_INSNS = 32, MOST_SITES = 3 * BLOCK_INSNS + 8, MOST_CODE = 16384, RAX = 0, RSP = 4 };

/* Code that is reached seldom stands behind the block. */
typedef struct ColdSite {
    uint8_t *jump;    /* its displacement */
    DbtExit *exit;
    bool restore_ea;  /* SCRATCH_U is EA minus a tag: add it again */
    bool indirect;    /* not an exit: go on at exit->rip through the jump table */
    uint32_t tags;    /* GS offset of the table */
} ColdSite;

typedef struct Translator {
    DbtVcpu *v;
    DbtBlock *b;
    Emit e;
    uint32_t mode;
    CodeSize size;
    uint64_t rip;        /* of the current instruction */
    uint32_t live;       /* status flags that it or a later one may read */
    bool flags_in_memory; /* host flags are spoilt; the guest's stand in flags_tmp */
    Insn insn[BLOCK_INSNS];
    uint32_t live_before[BLOCK_INSNS + 1];
    unsigned n;
    ColdSite site[MOST_SITES];
    unsigned n_sites;
} Translator;

static bool wide(const Translator *t) { return t->size == CODE64; }
static uint64_t cut_rip(const Translator *t, uint64_t rip) { return wide(t) ? rip : (uint32_t)rip; }
static const uint8_t *page_end(const uint8_t *p) { return (const uint8_t *)(((uintptr_t)p | 0xfff) + 1); }

/* ---- exits */

static DbtExit *new_exit(Translator *t, ExitKind kind, uint64_t rip)
{
    DbtExit *x = dbt_arena_alloc(t->v, sizeof(*x));
    *x = (DbtExit){ .kind = kind, .rip = rip, .block = t->b, .flags_saved = t->flags_in_memory };
    return x;
}

static ColdSite *add_site(Translator *t, uint8_t *jump, DbtExit *exit)
{
    ColdSite *s = &t->site[t->n_sites++];
    *s = (ColdSite){ .jump = jump, .exit = exit };
    return s;
}

static void emit_exit(Translator *t, const DbtExit *x)
{
    e_mov_imm(&t->e, SCRATCH_T, (uintptr_t)x);
    patch_rel32(e_jmp(&t->e), code_buffer_writable(dbt_code(t->v), dbt_glue_exit(t->v->glue)));
}

/* To the guest RIP in SCRATCH_U. */
static void emit_indirect(Translator *t)
{
    if (t->mode & MODE_SINGLE) {
        patch_rel32(e_jmp(&t->e), code_buffer_writable(dbt_code(t->v), dbt_glue_miss(t->v->glue)));
        return;
    }
    uint32_t table = GS_OFF(jump_table) + mode_who(t->mode) * JUMP_SIZE * 8;
    e_movzx16(&t->e, SCRATCH_T, SCRATCH_U);
    e1(&t->e, 0x65);
    e_rex(&t->e, false, 4, SCRATCH_T, 0);
    e1(&t->e, 0xff); /* jmp gs:[T * 8 + table] */
    e1(&t->e, 0x24), e1(&t->e, 0xc5 | (SCRATCH_T & 7) << 3);
    e4(&t->e, table);
}

static bool in_page_of_block(const Translator *t, uint64_t rip) { return ((rip ^ t->b->rip) & ~0xfffull) == 0; }

/* A jump whose displacement stands at `jump`, to a guest RIP known now. */
static void jump_to(Translator *t, uint8_t *jump, uint64_t rip)
{
    DbtExit *x = new_exit(t, EXIT_JUMP, cut_rip(t, rip));
    x->linkable = in_page_of_block(t, x->rip) && !(t->mode & MODE_SINGLE);
    x->jump = jump;
    if (x->linkable)
        t->b->jumps[t->b->jumps[0] != NULL] = x;
    add_site(t, jump, x)->indirect = !x->linkable;
}

static void emit_cold(Translator *t, const ColdSite *s)
{
    patch_rel32(s->jump, t->e.p);
    memcpy(&s->exit->unlinked, s->jump, 4);
    if (s->restore_ea)
        e_gs_indexed(&t->e, 0x03, SCRATCH_U, SCRATCH_T, s->tags);
    if (s->indirect) {
        e_mov_imm(&t->e, SCRATCH_U, s->exit->rip);
        emit_indirect(t);
    } else {
        emit_exit(t, s->exit);
    }
}

/* ---- flags around address translation */

static void flags_to_memory(Translator *t)
{
    if (t->flags_in_memory || !t->live)
        return;
    e_mov(&t->e, SCRATCH_T, RAX);
    e_flags_to_rax(&t->e);
    e_store_gs(&t->e, RAX, GS_OFF(flags_tmp));
    e_mov(&t->e, RAX, SCRATCH_T);
    t->flags_in_memory = true;
}

/* Leaves the scratch registers alone. */
static void flags_from_memory(Translator *t)
{
    if (!t->flags_in_memory)
        return;
    e_store_gs(&t->e, RAX, GS_OFF(borrow));
    e_load_gs(&t->e, RAX, GS_OFF(flags_tmp));
    e_flags_from_rax(&t->e);
    e_load_gs(&t->e, RAX, GS_OFF(borrow));
    t->flags_in_memory = false;
}

/* ---- addresses */

static bool is_slot(unsigned reg) { return reg == SCRATCH_T || reg == SCRATCH_U; }

/* Can this operand be addressed by translated code? */
static bool addressable(const Translator *t, const Insn *i)
{
    if (i->vsib || i->addrsize == 2 || !mode_flat(t->mode, i->seg))
        return false;
    return i->disp == (int32_t)i->disp || (i->base == INSN_NO_REG && i->index == INSN_NO_REG);
}

static unsigned load_slot(Translator *t, unsigned reg, unsigned scratch)
{
    if (!is_slot(reg))
        return reg;
    e_load_gs(&t->e, scratch, GS_GPR(reg));
    return scratch;
}

/* The linear address of the memory operand to SCRATCH_U.  Spoils SCRATCH_T; keeps flags. */
static void emit_address(Translator *t, const Insn *i)
{
    bool w = i->addrsize == 8;
    if (i->base == INSN_RIP) {
        uint64_t ea = t->rip + i->length + i->disp;
        e_mov_imm(&t->e, SCRATCH_U, w ? ea : (uint32_t)ea);
    } else if (i->base == INSN_NO_REG && i->index == INSN_NO_REG) {
        e_mov_imm(&t->e, SCRATCH_U, w ? (uint64_t)i->disp : (uint32_t)i->disp);
    } else {
        unsigned base = i->base == INSN_NO_REG ? 0xff : load_slot(t, i->base, SCRATCH_U);
        unsigned index = i->index == INSN_NO_REG ? 0xff : load_slot(t, i->index, SCRATCH_T);
        e_lea(&t->e, w, SCRATCH_U, base, index, i->scale, (int32_t)i->disp);
    }
    if (i->seg >= SEG_FS) {
        e_load_gs(&t->e, SCRATCH_T, GS_OFF(i.base) + 8 * i->seg);
        e_lea(&t->e, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
    }
}

/* SCRATCH_U: linear address -> host memory is [SCRATCH_T + SCRATCH_U].  Spoils flags; `align`: a power of 2 or 1. */
static void emit_translate(Translator *t, unsigned size, unsigned access, unsigned align)
{
    uint32_t tags = GS_OFF(tlb) + (2 * mode_who(t->mode) + access) * sizeof(DbtTlb) + offsetof(DbtTlb, tag);
    e_rorx(&t->e, SCRATCH_T, SCRATCH_U, 12);
    e_movzx16(&t->e, SCRATCH_T, SCRATCH_T);
    e_gs_indexed(&t->e, 0x2b, SCRATCH_U, SCRATCH_T, tags); /* sub: offset in page if the tag is right */
    DbtExit *x = new_exit(t, EXIT_MEMORY, t->rip);
    x->size = size, x->access = access;
    if (align > 1) {
        e_rex(&t->e, false, 0, 0, SCRATCH_U);
        e1(&t->e, 0xf6), e1(&t->e, 0xc0 | (SCRATCH_U & 7)), e1(&t->e, align - 1); /* test u8, imm */
        DbtExit *misaligned = new_exit(t, EXIT_INTERP, t->rip);
        add_site(t, e_jcc(&t->e, CC_NE), misaligned);
    }
    e_rex(&t->e, true, 0, 0, SCRATCH_U);
    e1(&t->e, 0x81), e1(&t->e, 0xf8 | (SCRATCH_U & 7)), e4(&t->e, 4096 - size); /* cmp u, imm */
    ColdSite *s = add_site(t, e_jcc(&t->e, CC_A), x);
    s->restore_ea = true;
    s->tags = tags;
    e_gs_indexed(&t->e, 0x8b, SCRATCH_T, SCRATCH_T, tags + (offsetof(DbtTlb, addend) - offsetof(DbtTlb, tag)));
}

/* DIV faults exactly where the high half is not below the divisor: that is the interpreter's.  The flags are spoilt, as DIV
 * itself does. */
static void emit_division_check(Translator *t, const Insn *i)
{
    enum { RDX = 2, CMP_RM_REG = 0x39, CMP_REG_RM = 0x3b };
    const Operand *o = &i->opnd[0];
    if (o->size == 2)
        e1(&t->e, 0x66);
    if (o->kind == OPND_MEM) {
        e_op_mem(&t->e, CMP_REG_RM, o->size == 8, RDX, SCRATCH_T, SCRATCH_U, 0, 0);
    } else {
        e_rex(&t->e, o->size == 8, o->reg, 0, RDX);
        e1(&t->e, CMP_RM_REG), e1(&t->e, 0xc0 | (o->reg & 7) << 3 | RDX);
    }
    add_site(t, e_jcc(&t->e, CC_AE), new_exit(t, EXIT_INTERP, t->rip));
}

/* Both, with the guest's flags put aside if somebody needs them. */
static void emit_access(Translator *t, const Insn *i, unsigned size, unsigned access, unsigned align)
{
    flags_to_memory(t);
    emit_address(t, i);
    emit_translate(t, size, access, align);
    if (i->op == OP_DIV)
        emit_division_check(t, i);
    flags_from_memory(t);
}

/* ---- instructions that pass */

static const Operand *memory_operand(const Insn *i)
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
    case OP_IDIV: /* #DE */
        return true;
    case OP_DIV:
        return i->opnd[0].size == 1; /* the high half is AH */
    case OP_FLDCW: case OP_LDMXCSR: case OP_VLDMXCSR: case OP_FNINIT: case OP_FLDENV: case OP_FNSTENV: case OP_FRSTOR:
    case OP_FNSAVE: case OP_FXSAVE: case OP_FXRSTOR: case OP_XSAVE: case OP_XSAVEOPT: case OP_XSAVEC: case OP_XSAVES:
    case OP_XRSTOR: case OP_XRSTORS: case OP_XGETBV: case OP_FNCLEX: case OP_RDRAND: case OP_RDSEED: case OP_RDPID:
    case OP_MASKMOVQ: case OP_MASKMOVDQU: case OP_VMASKMOVDQU: case OP_XLAT:
    case OP_VMASKMOVPS: case OP_VMASKMOVPD: case OP_VPMASKMOVD: case OP_VPMASKMOVQ: case OP_CPUID: case OP_STMXCSR: case OP_VSTMXCSR:
    case OP_PCMPESTRI: case OP_PCMPESTRM: case OP_VPCMPESTRI: case OP_VPCMPESTRM:
        return true;
    case OP_BT: case OP_BTS: case OP_BTR: case OP_BTC: /* with a register the bit may lie far away */
        return i->has_mem && i->opnd[1].kind == OPND_REG;
    case OP_VCVTPS2PH: /* MXCSR and the x87 stack change even if the store faults: the interpreter knows when */
        return i->has_mem;
    default:
        return i->has_mem && names_mmx(i) && memory_operand(i) && memory_operand(i)->access & OPND_WRITE;
    }
}

static bool is_hint(const Insn *i)
{
    switch (i->op) {
    case OP_NOP: case OP_PREFETCHNTA: case OP_PREFETCHT0: case OP_PREFETCHT1: case OP_PREFETCHT2: case OP_PREFETCHW:
        return true;
    default:
        return false;
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
        return t->mode & MODE_AVX && t->size == CODE64;
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

static bool passes(const Translator *t, const Insn *i)
{
    enum { NEVER = ROW_BRANCH | ROW_SYSTEM | ROW_IO | ROW_STRING | ROW_MEM_SIDE };
    const InsnRow *row = insn_row(i);
    bool pass = row->attrs & ROW_PASS || i->op == OP_CMPXCHG8B || i->op == OP_CMPXCHG16B;
    if (!pass || row->attrs & NEVER || row->cpl < 3 || is_special(i) || lacks_64bit_form(i))
        return false;
    if (!unit_usable(t, i) || !model_has(t, row) || (t->size != CODE64 && i->prefixes & PFX_VEX))
        return false;
    return !i->has_mem || (memory_operand(i) && memory_operand(i)->size && addressable(t, i));
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

/* One field that may name a slot, in the form with a memory operand: at most two are needed. */
typedef struct Borrowed {
    unsigned host, slot;
    bool written;
    uint32_t save;
} Borrowed;

static Borrowed borrow(Translator *t, const GprFields *f, unsigned slot, uint8_t access, unsigned taken)
{
    Borrowed b = { .host = pick_borrow(f, taken), .slot = slot, .written = access & OPND_WRITE };
    b.save = taken == 0xff ? GS_OFF(borrow) : GS_OFF(resume);
    e_store_gs(&t->e, b.host, b.save);
    e_load_gs(&t->e, b.host, GS_GPR(slot));
    return b;
}

static void give_back(Translator *t, const Borrowed *b)
{
    if (b->written)
        e_store_gs(&t->e, b->host, GS_GPR(b->slot));
    e_load_gs(&t->e, b->host, b->save);
}

static void put_recoded(Translator *t, const Insn *i, const Recode *r) { t->e.p += dbt_recode(i, r, t->e.p); }

static void emit_pass_memory(Translator *t, const Insn *i)
{
    GprFields f = dbt_gpr_fields(i);
    const Operand *m = memory_operand(i);
    bool aligned = insn_row(i)->attrs & ROW_ALIGNED || i->op == OP_CMPXCHG16B;
    emit_access(t, i, m->size, m->access & OPND_WRITE ? DTLB_WRITE : DTLB_READ, aligned ? m->size : 1);
    Recode r = { .reg = 0xff, .rm = 0xff, .vvvv = 0xff, .memory = true, .mem_base = SCRATCH_T, .mem_index = SCRATCH_U };
    Borrowed held[3];
    unsigned n = 0;
    if (f.high) { /* no REX: the address must stand in a low register */
        held[n++] = borrow(t, &f, SCRATCH_T, 0, 0xff);
        e_lea(&t->e, true, held[0].host, SCRATCH_T, SCRATCH_U, 0, 0);
        r.mem_base = held[0].host, r.mem_index = 0xff;
    }
    if (f.reg && is_slot(f.reg_n)) {
        held[n] = borrow(t, &f, f.reg_n, f.reg_access, n ? held[0].host : 0xff);
        r.reg = held[n++].host;
    }
    if (f.vvvv && is_slot(f.vvvv_n)) {
        held[n] = borrow(t, &f, f.vvvv_n, f.vvvv_access, n ? held[0].host : 0xff);
        r.vvvv = held[n++].host;
    }
    put_recoded(t, i, &r);
    while (n-- > 0)
        give_back(t, &held[n]);
}

/* Without a memory operand the scratch registers are free and stand for the slots themselves. */
static void emit_pass_registers(Translator *t, const Insn *i)
{
    GprFields f = dbt_gpr_fields(i);
    static const Recode same = { .reg = 0xff, .rm = 0xff, .vvvv = 0xff };
    uint16_t written = (f.reg && f.reg_access & OPND_WRITE ? 1u << f.reg_n : 0) | (f.rm && f.rm_access & OPND_WRITE ? 1u << f.rm_n : 0) |
                       (f.vvvv && f.vvvv_access & OPND_WRITE ? 1u << f.vvvv_n : 0);
    if (i->op == OP_DIV)
        flags_to_memory(t);
    for (unsigned slot = SCRATCH_T; slot <= SCRATCH_U; slot++)
        if (f.named >> slot & 1)
            e_load_gs(&t->e, slot, GS_GPR(slot));
    if (i->op == OP_DIV)
        emit_division_check(t, i);
    flags_from_memory(t);
    put_recoded(t, i, &same);
    for (unsigned slot = SCRATCH_T; slot <= SCRATCH_U; slot++)
        if (written >> slot & 1)
            e_store_gs(&t->e, slot, GS_GPR(slot));
}

static void emit_pass(Translator *t, const Insn *i)
{
    if (insn_row(i)->attrs & (ROW_FPU | ROW_MMX | ROW_SSE | ROW_AVX))
        t->b->uses_fpu = true;
    if (i->has_mem)
        emit_pass_memory(t, i);
    else
        emit_pass_registers(t, i);
}

/* ---- values in registers */

static void load_gpr(Translator *t, unsigned to, unsigned reg)
{
    if (is_slot(reg))
        e_load_gs(&t->e, to, GS_GPR(reg));
    else
        e_mov(&t->e, to, reg);
}

static void store_gpr(Translator *t, unsigned reg, unsigned from)
{
    if (is_slot(reg))
        e_store_gs(&t->e, from, GS_GPR(reg));
    else
        e_mov(&t->e, reg, from);
}

/* ---- LEA, INC and DEC with one byte, moffs */

static bool emit_lea(Translator *t, const Insn *i)
{
    Insn plain = *i;
    plain.seg = SEG_DS; /* no segment base */
    if (i->addrsize == 2 || i->opsize < 4 || !addressable(t, &plain))
        return false;
    emit_address(t, &plain);
    if (i->opsize == 4)
        e_mov32(&t->e, SCRATCH_U, SCRATCH_U);
    store_gpr(t, i->opnd[0].reg, SCRATCH_U);
    return true;
}

/* 40-4f: a REX prefix in 64-bit mode.  FF /0 and /1 are the same. */
static bool emit_inc_dec(Translator *t, const Insn *i)
{
    if (i->opsize == 2)
        e1(&t->e, 0x66);
    e1(&t->e, 0xff);
    e1(&t->e, 0xc0 | (i->op == OP_DEC) << 3 | i->opnd[0].reg);
    return true;
}

/* ---- selectors */

/* Selectors stand in CpuState.  Into a register only: zero-extended, but 16-bit forms leave the rest. */
static bool emit_mov_from_segment(Translator *t, const Insn *i)
{
    const Operand *to = &i->opnd[0], *from = &i->opnd[1];
    if (from->kind != OPND_REG || from->cls != RC_SEG || to->kind != OPND_REG || i->opsize == 2)
        return false;
    e1(&t->e, 0x65);
    e_rex(&t->e, false, SCRATCH_U, 0, 0);
    e1(&t->e, 0x0f), e1(&t->e, 0xb7); /* movzx u32, word gs:[selector] */
    e_gs_modrm(&t->e, SCRATCH_U, GS_OFF(i.s.seg) + from->reg * sizeof(Segment) + offsetof(Segment, selector));
    store_gpr(t, to->reg, SCRATCH_U);
    return true;
}

/* ---- stack */

/* Address of the new top of the stack to SCRATCH_U, translated for writing. */
static void emit_push_access(Translator *t)
{
    int bytes = wide(t) ? 8 : 4;
    flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, -bytes);
    emit_translate(t, bytes, DTLB_WRITE, 1);
    flags_from_memory(t);
}

static void emit_move_stack(Translator *t, int32_t bytes) { e_lea(&t->e, wide(t), RSP, RSP, 0xff, 0, bytes); }

static void store_top(Translator *t, unsigned reg) { e_op_mem(&t->e, 0x89, wide(t), reg, SCRATCH_T, SCRATCH_U, 0, 0); }

static void store_top_imm(Translator *t, uint64_t imm)
{
    bool fits = !wide(t) || imm == (uint64_t)(int32_t)imm;
    e_op_mem(&t->e, 0xc7, wide(t) && fits, 0, SCRATCH_T, SCRATCH_U, 0, 0);
    e4(&t->e, (uint32_t)imm);
    if (!fits) {
        e_op_mem(&t->e, 0xc7, false, 0, SCRATCH_T, SCRATCH_U, 0, 4);
        e4(&t->e, imm >> 32);
    }
}

static bool emit_push(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (i->opsize != (wide(t) ? 8 : 4) || (o->kind == OPND_REG && o->cls != RC_GPR) || o->kind == OPND_MEM)
        return false;
    emit_push_access(t);
    if (o->kind == OPND_IMM) {
        store_top_imm(t, i->imm);
    } else if (is_slot(o->reg)) {
        GprFields none = { 0 };
        Borrowed b = borrow(t, &none, o->reg, OPND_READ, 0xff);
        store_top(t, b.host);
        give_back(t, &b);
    } else {
        store_top(t, o->reg);
    }
    emit_move_stack(t, wide(t) ? -8 : -4);
    return true;
}

static void op_imm32(Translator *t, unsigned digit, unsigned reg, uint32_t imm) /* 32 bits: upper half becomes 0 */
{
    e_rex(&t->e, false, 0, 0, reg);
    e1(&t->e, 0x81), e1(&t->e, 0xc0 | digit << 3 | (reg & 7)), e4(&t->e, imm);
}

static void shift_imm(Translator *t, unsigned digit, unsigned reg, uint8_t count)
{
    e_rex(&t->e, false, 0, 0, reg);
    e1(&t->e, 0xc1), e1(&t->e, 0xc0 | digit << 3 | (reg & 7)), e1(&t->e, count);
}

static void or_reg(Translator *t, unsigned to, unsigned from)
{
    e_rex(&t->e, false, from, 0, to);
    e1(&t->e, 0x09), e1(&t->e, 0xc0 | (from & 7) << 3 | (to & 7));
}

/* The guest's flags as PUSHF shows them, from flags_tmp (LAHF's byte, OF) and CpuState, to `resume`. */
static void emit_flags_image(Translator *t)
{
    enum { AND = 4, SHL = 4, SHR = 5, LAHF_BITS = RFLAGS_STATUS & 0xff, OF_SHIFT = 11 };
    e_load32_gs(&t->e, SCRATCH_T, GS_OFF(flags_tmp));
    e_mov32(&t->e, SCRATCH_U, SCRATCH_T);
    shift_imm(t, SHR, SCRATCH_T, 8);
    op_imm32(t, AND, SCRATCH_T, LAHF_BITS);
    op_imm32(t, AND, SCRATCH_U, 1);
    shift_imm(t, SHL, SCRATCH_U, OF_SHIFT);
    or_reg(t, SCRATCH_T, SCRATCH_U);
    e_load32_gs(&t->e, SCRATCH_U, GS_OFF(i.s.rflags));
    op_imm32(t, AND, SCRATCH_U, ~(RFLAGS_STATUS | RFLAGS_VM | RFLAGS_RF));
    or_reg(t, SCRATCH_T, SCRATCH_U);
    e_store_gs(&t->e, SCRATCH_T, GS_OFF(resume));
}

/* Outside virtual-8086 mode PUSHF has no condition. */
static bool emit_pushf(Translator *t, const Insn *i)
{
    if (i->opsize != (wide(t) ? 8 : 4))
        return false;
    flags_to_memory(t);
    if (!t->flags_in_memory)
        return false; /* cannot be: it reads all flags */
    emit_flags_image(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, wide(t) ? -8 : -4);
    emit_translate(t, wide(t) ? 8 : 4, DTLB_WRITE, 1);
    enum { RBX = 3 };
    e_store_gs(&t->e, RBX, GS_OFF(borrow));
    e_load_gs(&t->e, RBX, GS_OFF(resume));
    store_top(t, RBX);
    e_load_gs(&t->e, RBX, GS_OFF(borrow));
    flags_from_memory(t);
    emit_move_stack(t, wide(t) ? -8 : -4);
    return true;
}

/* The top of the stack to SCRATCH_U. */
static void emit_load_top(Translator *t)
{
    flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RSP, 0xff, 0, 0);
    emit_translate(t, wide(t) ? 8 : 4, DTLB_READ, 1);
    flags_from_memory(t);
    e_op_mem(&t->e, 0x8b, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
}

static bool emit_pop(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (i->opsize != (wide(t) ? 8 : 4) || o->kind != OPND_REG || o->cls != RC_GPR || o->reg == RSP)
        return false;
    emit_load_top(t);
    emit_move_stack(t, wide(t) ? 8 : 4);
    store_gpr(t, o->reg, SCRATCH_U);
    return true;
}

static bool emit_leave(Translator *t, const Insn *i)
{
    enum { RBP = 5 };
    if (i->opsize != (wide(t) ? 8 : 4))
        return false;
    flags_to_memory(t);
    e_lea(&t->e, wide(t), SCRATCH_U, RBP, 0xff, 0, 0);
    emit_translate(t, wide(t) ? 8 : 4, DTLB_READ, 1);
    flags_from_memory(t);
    e_op_mem(&t->e, 0x8b, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
    e_lea(&t->e, wide(t), RSP, RBP, 0xff, 0, wide(t) ? 8 : 4);
    e_mov(&t->e, RBP, SCRATCH_U);
    return true;
}

/* ---- IF */

/* At CPL 0 nothing is checked.  The bit lives in CpuState. */
static bool emit_cli(Translator *t, const Insn *i)
{
    (void)i;
    if (!(t->mode & MODE_CPL0))
        return false;
    flags_to_memory(t);
    e1(&t->e, 0x65), e1(&t->e, 0x81); /* and dword gs:[rflags], ~IF */
    e_gs_modrm(&t->e, 4, GS_OFF(i.s.rflags));
    e4(&t->e, ~RFLAGS_IF);
    flags_from_memory(t);
    return true;
}

/* ---- control flow.  Each ends the block. */

static uint64_t next_rip(const Translator *t, const Insn *i) { return cut_rip(t, t->rip + i->length); }
static uint64_t target(const Translator *t, const Insn *i) { return cut_rip(t, next_rip(t, i) + i->imm); }
static bool natural_size(const Translator *t, const Insn *i) { return i->opsize == (wide(t) ? 8 : 4); }

static void emit_jump(Translator *t, uint64_t rip) { jump_to(t, e_jmp(&t->e), rip); }

static bool emit_jmp(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (!natural_size(t, i))
        return false;
    if (o->kind == OPND_REL) {
        emit_jump(t, target(t, i));
        return true;
    }
    if (o->kind == OPND_MEM) {
        if (!addressable(t, i))
            return false;
        emit_access(t, i, o->size, DTLB_READ, 1);
        e_op_mem(&t->e, 0x8b, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
    } else {
        load_gpr(t, SCRATCH_U, o->reg);
    }
    emit_indirect(t);
    return true;
}

static bool emit_call(Translator *t, const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (!natural_size(t, i) || (o->kind == OPND_MEM && !addressable(t, i)))
        return false;
    if (o->kind == OPND_MEM) {
        emit_access(t, i, o->size, DTLB_READ, 1);
        e_op_mem(&t->e, 0x8b, wide(t), SCRATCH_U, SCRATCH_T, SCRATCH_U, 0, 0);
    } else if (o->kind == OPND_REG) {
        load_gpr(t, SCRATCH_U, o->reg);
    }
    if (o->kind != OPND_REL)
        e_store_gs(&t->e, SCRATCH_U, GS_OFF(resume));
    emit_push_access(t);
    store_top_imm(t, next_rip(t, i));
    emit_move_stack(t, wide(t) ? -8 : -4);
    if (o->kind == OPND_REL) {
        emit_jump(t, target(t, i));
    } else {
        e_load_gs(&t->e, SCRATCH_U, GS_OFF(resume));
        emit_indirect(t);
    }
    return true;
}

static bool emit_ret(Translator *t, const Insn *i)
{
    if (!natural_size(t, i))
        return false;
    emit_load_top(t);
    emit_move_stack(t, (wide(t) ? 8 : 4) + (int32_t)(i->n_operands ? i->imm : 0));
    emit_indirect(t);
    return true;
}

static bool emit_jcc(Translator *t, const Insn *i)
{
    if (!natural_size(t, i))
        return false;
    jump_to(t, e_jcc(&t->e, i->cc), target(t, i));
    emit_jump(t, next_rip(t, i));
    return true;
}

/* LOOP and JCXZ have only short jumps: over a long one to the other. */
static bool emit_loop(Translator *t, const Insn *i)
{
    if (!natural_size(t, i) || i->addrsize == 2)
        return false;
    if (i->addrsize == 4)
        e1(&t->e, 0x67);
    e1(&t->e, i->opcode), e1(&t->e, 5);
    emit_jump(t, next_rip(t, i));
    emit_jump(t, target(t, i));
    return true;
}

static const struct { uint16_t op; bool (*emit)(Translator *t, const Insn *i); bool ends; } own[] = {
    { OP_LEA, emit_lea, false }, { OP_MOV_SEG, emit_mov_from_segment, false }, { OP_PUSHF, emit_pushf, false }, { OP_PUSH, emit_push, false }, { OP_POP, emit_pop, false }, { OP_LEAVE, emit_leave, false },
    { OP_CLI, emit_cli, false },
    { OP_JMP, emit_jmp, true }, { OP_CALL, emit_call, true }, { OP_RET, emit_ret, true }, { OP_JCC, emit_jcc, true },
    { OP_LOOP, emit_loop, true }, { OP_LOOPE, emit_loop, true }, { OP_LOOPNE, emit_loop, true }, { OP_JCXZ, emit_loop, true },
};

/* ---- blocks */

typedef enum Progress { GOES_ON, ENDS, INTERPRETED } Progress;

static Progress emit_insn(Translator *t, const Insn *i)
{
    if (is_hint(i))
        return GOES_ON;
    if (i->code_size != CODE64 && !i->map && (i->opcode & 0xf0) == 0x40 && !(i->prefixes & PFX_VEX))
        return emit_inc_dec(t, i) ? GOES_ON : INTERPRETED;
    for (unsigned n = 0; n < G_N_ELEMENTS(own); n++)
        if (own[n].op == i->op)
            return !own[n].emit(t, i) ? INTERPRETED : own[n].ends ? ENDS : GOES_ON;
    if (!passes(t, i))
        return INTERPRETED;
    emit_pass(t, i);
    return GOES_ON;
}

static bool ends_block(const Insn *i)
{
    const InsnRow *row = insn_row(i);
    return row->attrs & (ROW_BRANCH | ROW_SYSTEM | ROW_IO);
}

/* The bytes are copied before they are decoded: another vCPU may write them. */
static void decode(Translator *t, const TlbEntry *page)
{
    const uint8_t *at = t->b->host, *end = page_end(at);
    unsigned most = t->mode & MODE_SINGLE ? 1 : BLOCK_INSNS;
    while (t->n < most && at < end) {
        uint8_t bytes[INSN_MAX_BYTES];
        size_t n = MIN((size_t)(end - at), sizeof(bytes));
        Insn *i = &t->insn[t->n];
        if (!code_claim(&t->v->i, page->ram, (uint64_t)(at - page->ram->host), n))
            break;
        memcpy(bytes, at, n);
        if (insn_decode(bytes, n, t->size, i) != DECODE_OK)
            break;
        t->n++;
        at += i->length;
        if (ends_block(i) && i->op != OP_CLI)
            break;
    }
    t->b->bytes = at - t->b->host;
    t->b->n_insns = t->n;
}

/* What stands there belongs to the block from now on: if it changes, others may be dead. */
static uint32_t flags_read_from(Translator *t, const TlbEntry *page, const uint8_t *at)
{
    size_t claimed = 0, seen;
    for (;;) {
        uint32_t read = dbt_flags_read_from(at, page_end(t->b->host), t->size, &seen);
        if (seen <= claimed)
            return read;
        if (!code_claim(&t->v->i, page->ram, (uint64_t)(at - page->ram->host), seen))
            return RFLAGS_STATUS;
        claimed = seen;
        t->b->looked_at |= dbt_granules(at, seen);
    }
}

static void find_live_flags(Translator *t, const TlbEntry *page)
{
    const uint8_t *after = t->b->host + t->b->bytes;
    const Insn *last = &t->insn[t->n - 1];
    uint32_t live = RFLAGS_STATUS;
    if (!ends_block(last)) {
        live = flags_read_from(t, page, after);
    } else if ((last->op == OP_JCC || last->op == OP_JMP || last->op == OP_CALL) && last->opnd[0].kind == OPND_REL) {
        const uint8_t *to = after + (int64_t)last->imm;
        bool same_page = ((uintptr_t)to & ~0xfffull) == ((uintptr_t)t->b->host & ~0xfffull);
        live = same_page ? flags_read_from(t, page, to) : RFLAGS_STATUS;
        if (last->op == OP_JCC)
            live |= flags_read_from(t, page, after);
    }
    t->live_before[t->n] = live;
    for (unsigned n = t->n; n-- > 0;)
        t->live_before[n] = t->mode & MODE_SINGLE ? RFLAGS_STATUS /* who steps sees all of them */
                                                  : dbt_flags_before(&t->insn[n], t->live_before[n + 1]);
}

/* Polls, and for blocks that use the FPU asks whether it is loaded. */
static void emit_attention(Translator *t)
{
    flags_to_memory(t);
    if (t->b->uses_fpu)
        e_cmpw_gs(&t->e, GS_OFF(entry_word), 1);
    else
        e_cmpb_gs(&t->e, GS_OFF(poll), 0);
    add_site(t, e_jcc(&t->e, CC_NE), new_exit(t, EXIT_ATTENTION, t->b->rip));
    flags_from_memory(t);
}

/* Compares the RIP in SCRATCH_U with the block's own.  If they differ, another block comes, for which the flags may be live
 * although they are dead here: so only RCX and JRCXZ, which leave them alone. */
static void emit_rip_check(Translator *t)
{
    enum { RCX = 1, MISS_BYTES = 3 + 5 };
    e_mov_imm(&t->e, SCRATCH_T, -t->b->rip);
    e_lea(&t->e, true, SCRATCH_T, SCRATCH_T, SCRATCH_U, 0, 0);
    e_xchg(&t->e, SCRATCH_T, RCX);
    e1(&t->e, 0xe3), e1(&t->e, MISS_BYTES); /* jrcxz */
    e_xchg(&t->e, SCRATCH_T, RCX);
    patch_rel32(e_jmp(&t->e), code_buffer_writable(dbt_code(t->v), dbt_glue_miss(t->v->glue)));
    e_mov(&t->e, RCX, SCRATCH_T);
}

static bool uses_units(const Insn *i) { return insn_row(i)->attrs & (ROW_FPU | ROW_MMX | ROW_SSE | ROW_AVX); }

static void emit_body(Translator *t)
{
    Progress progress = GOES_ON;
    for (unsigned n = 0; n < t->n && progress == GOES_ON; n++) {
        const Insn *i = &t->insn[n];
        t->live = t->live_before[n];
        progress = emit_insn(t, i);
        if (progress == INTERPRETED)
            emit_exit(t, new_exit(t, EXIT_INTERP, t->rip));
        t->rip = cut_rip(t, t->rip + i->length);
    }
    if (progress == GOES_ON)
        emit_jump(t, t->rip);
}

bool dbt_translate(DbtVcpu *v, DbtBlock *b, const TlbEntry *page)
{
    g_autofree Translator *t = g_new0(Translator, 1);
    CodeBuffer *code = dbt_code(v);
    t->v = v, t->b = b, t->mode = b->mode, t->size = mode_code_size(b->mode), t->rip = b->rip;
    uint8_t *start = t->e.p = code_buffer_reserve(code, MOST_CODE);
    if (!start)
        return false;
    decode(t, page);
    if (!t->n)
        return true; /* the caller sees n_insns 0 */
    find_live_flags(t, page);
    for (unsigned n = 0; n < t->n; n++)
        b->uses_fpu |= uses_units(&t->insn[n]);
    t->live = t->live_before[0];
    emit_rip_check(t);
    uint8_t *entry = t->e.p;
    emit_attention(t);
    emit_body(t);
    t->flags_in_memory = false;
    for (unsigned n = 0; n < t->n_sites; n++)
        emit_cold(t, &t->site[n]);
    const uint8_t *executable = code_buffer_commit(code, t->e.p - start);
    b->checked_entry = executable;
    b->entry = executable + (entry - start);
    return true;
}
