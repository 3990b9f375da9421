/*
 * host_stub.c - emits stubs (host_stub.h).
 *
 * Inside a stub RDI is CpuState and RSI the StubFrame.  Vector registers keep their numbers, so that most of the
 * instruction is copied as it stands.  SDM 2, chapter 2.
 */
#include "accel/interp/host_stub.h"

#include <string.h>

#define GPR_OFF(n) ((uint32_t)(offsetof(CpuState, gpr) + 8 * (n)))
#define XMM_OFF(n) ((uint32_t)(offsetof(CpuState, fpu.xmm) + 16 * (n)))
#define YMM_OFF(n) ((uint32_t)(offsetof(CpuState, fpu.ymm_high) + 16 * (n)))
#define ST_OFF(n)  ((uint32_t)(offsetof(CpuState, fpu.st) + 16 * (n)))
_Static_assert(offsetof(CpuState, fpu) == 0, "FXSAVE64 [rdi] saves into the image");

/* The prefix of the guest's instruction, taken apart. */
typedef struct Prefix {
    bool rex_w, rex_r, rex_b;
    const uint8_t *vex; /* first byte, C4 or C5; NULL: legacy */
} Prefix;

static void put(StubCode *c, const void *bytes, unsigned n)
{
    memcpy(c->bytes + c->n, bytes, n);
    c->n += n;
}

static void put1(StubCode *c, uint8_t byte)
{
    c->bytes[c->n++] = byte;
}
#define PUT(c, ...) put((c), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* ModRM and displacement of [rdi + off]. */
static void put_state_operand(StubCode *c, unsigned reg, uint32_t off)
{
    put1(c, (uint8_t)(0x87 | (reg & 7) << 3));
    put(c, &off, 4);
}

/* ModRM and displacement of [rsi + off]; off within a StubFrame. */
static void put_frame_operand(StubCode *c, unsigned reg, size_t off)
{
    PUT(c, (uint8_t)(0x46 | reg << 3), (uint8_t)off);
}

/* An SSE or MMX move (0F opcode) between a vector register and the state. */
static void put_move(StubCode *c, uint8_t opcode, unsigned reg, uint32_t off)
{
    if (reg > 7)
        put1(c, 0x44);
    PUT(c, 0x0f, opcode);
    put_state_operand(c, reg, off);
}

/* VINSERTF128 ymm, ymm, [rdi + off], 1 (opcode 18) or VEXTRACTF128 [rdi + off], ymm, 1 (19). */
static void put_upper_half(StubCode *c, uint8_t opcode, unsigned reg)
{
    unsigned vvvv = opcode == 0x18 ? ~reg & 15 : 15;
    PUT(c, 0xc4, (uint8_t)(reg > 7 ? 0x63 : 0xe3), (uint8_t)(vvvv << 3 | 5), opcode);
    put_state_operand(c, reg, YMM_OFF(reg));
    put1(c, 1);
}

/* mov r64, [rdi + off] (8B) or the reverse (89), of the host's first eight registers. */
static void put_gpr_move(StubCode *c, uint8_t opcode, unsigned host_reg, unsigned guest_reg)
{
    PUT(c, 0x48, opcode);
    put_state_operand(c, host_reg, GPR_OFF(guest_reg));
}

/* REX stands right before the opcode with its escape bytes, VEX before the one opcode byte. */
static Prefix parse_prefix(const Insn *i)
{
    const uint8_t *opcode = i->bytes + i->opcode_off;
    bool long_code = i->code_size == CODE64;
    if (i->prefixes & PFX_VEX) {
        bool three = opcode[-2] != 0xc5; /* as the second byte of three it would name map 5, which there is not */
        const uint8_t *p = opcode - (three ? 3 : 2);
        return (Prefix){ .rex_w = three && p[2] & 0x80,
                         .rex_r = long_code && !(p[1] & 0x80),
                         .rex_b = long_code && three && !(p[1] & 0x20),
                         .vex = p };
    }
    if (!(i->prefixes & PFX_REX))
        return (Prefix){ 0 };
    uint8_t rex = opcode[-1 - (i->map > 1 ? 2 : i->map)];
    return (Prefix){ .rex_w = rex & 8, .rex_r = rex & 4, .rex_b = rex & 1 };
}

/* Does the r/m field of an instruction that has a general register name it?  The others have it in the reg field. */
static bool gpr_in_rm(const Insn *i)
{
    if (i->map == 1)
        return i->opcode == 0x2a || i->opcode == 0x6e || i->opcode == 0x7e || i->opcode == 0xc4;
    return i->map == 3; /* PEXTRB/W/D, EXTRACTPS, PINSRB/D */
}

static const Operand *gpr_operand(const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->opnd[n].kind == OPND_REG && i->opnd[n].cls == RC_GPR)
            return &i->opnd[n];
    return NULL;
}

/* Outside 64-bit mode VEX.W is ignored where it would choose a 64-bit general register or its memory form. */
static bool w_selects_gpr(const Insn *i)
{
    if (i->map == 1)
        return i->opcode == 0x2a || i->opcode == 0x2c || i->opcode == 0x2d || i->opcode == 0x6e || i->opcode == 0x7e;
    return i->map == 3 && (i->opcode == 0x16 || i->opcode == 0x22);
}

static uint8_t host_modrm(const Insn *i, Prefix *p)
{
    uint8_t modrm = i->modrm;
    if (i->has_mem) {
        modrm = (modrm & 0x38) | 6; /* [rsi] */
        p->rex_b = false;
    }
    if (!gpr_operand(i))
        return modrm;
    if (i->has_mem || !gpr_in_rm(i)) {
        p->rex_r = false;
        return modrm & ~0x38;
    }
    p->rex_b = false;
    return modrm & ~7;
}

static void put_vex(StubCode *c, const Insn *i, const Prefix *p)
{
    bool three = p->vex[0] == 0xc4;
    uint8_t map = three ? p->vex[1] & 31 : 1;
    uint8_t last = (three ? p->vex[2] : p->vex[1]) & 0x7f; /* vvvv, L, pp */
    if (i->code_size != CODE64)
        last |= 0x40; /* vvvv bit 3 is ignored there */
    bool w = p->rex_w && (i->code_size == CODE64 || !w_selects_gpr(i));
    PUT(c, 0xc4, (uint8_t)((p->rex_r ? 0 : 0x80) | 0x40 | (p->rex_b ? 0 : 0x20) | map),
        (uint8_t)(last | (w ? 0x80 : 0)));
}

static void put_legacy_prefix(StubCode *c, const Insn *i, const Prefix *p)
{
    if (i->mandatory)
        put1(c, i->mandatory);
    uint8_t rex = (uint8_t)(p->rex_w << 3 | p->rex_r << 2 | p->rex_b);
    if (rex && i->map)
        put1(c, 0x40 | rex);
    if (i->map)
        put1(c, 0x0f);
    if (i->map > 1)
        put1(c, i->map == 2 ? 0x38 : 0x3a);
}

static bool has_register_selector(const Insn *i)
{
    return i->map == 3 && i->opcode >= 0x4a && i->opcode <= 0x4c;
}

/* The guest's instruction with its operands replaced. */
static void put_instruction(StubCode *c, const Insn *i)
{
    Prefix p = parse_prefix(i);
    uint8_t modrm = host_modrm(i, &p);
    c->insn_off = c->n;
    if (p.vex)
        put_vex(c, i, &p);
    else
        put_legacy_prefix(c, i, &p);
    put1(c, i->opcode);
    if (i->has_modrm)
        put1(c, modrm);
    if (i->imm_len) {
        put(c, i->bytes + i->imm_off, i->imm_len);
        if (has_register_selector(i) && i->code_size != CODE64)
            c->bytes[c->n - 1] &= 0x7f;
    }
}

/* SSE4.2 string compares: explicit lengths in RAX and RDX, result in RCX or XMM0.  Opcodes 60-63 of map 3. */
static bool is_string_compare(const Insn *i)
{
    return i->map == 3 && i->opcode >= 0x60 && i->opcode <= 0x63;
}
static bool writes_rcx(const Insn *i)
{
    return is_string_compare(i) && i->opcode & 1;
}
static bool reads_rax_rdx(const Insn *i)
{
    return is_string_compare(i) && i->opcode < 0x62;
}

static bool writes_xmm0(const Insn *i)
{
    return is_string_compare(i) && !(i->opcode & 1);
}

static bool is_vector(const Operand *o)
{
    return o->kind == OPND_REG && (o->cls == RC_XMM || o->cls == RC_YMM);
}
static bool is_mm(const Operand *o)
{
    return o->kind == OPND_REG && o->cls == RC_MM;
}

static void put_loads(StubCode *c, const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++) {
        const Operand *o = &i->opnd[n];
        if (is_vector(o))
            put_move(c, 0x10, o->reg, XMM_OFF(o->reg));
        else if (is_mm(o))
            put_move(c, 0x6f, o->reg & 7, ST_OFF(o->reg & 7));
    }
    for (unsigned n = 0; n < i->n_operands; n++)
        if (is_vector(&i->opnd[n]) && i->opnd[n].cls == RC_YMM)
            put_upper_half(c, 0x18, i->opnd[n].reg);
    const Operand *gpr = gpr_operand(i);
    if (gpr)
        put_gpr_move(c, 0x8b, 0, gpr->reg);
    if (reads_rax_rdx(i)) {
        put_gpr_move(c, 0x8b, 0, GPR_RAX);
        put_gpr_move(c, 0x8b, 2, GPR_RDX);
    }
}

/* A 128-bit VEX instruction has cleared the upper half in the host's register as it must in the guest's. */
static void put_vector_store(StubCode *c, const Insn *i, unsigned reg)
{
    put_move(c, 0x11, reg, XMM_OFF(reg));
    if (i->prefixes & PFX_VEX)
        put_upper_half(c, 0x19, reg);
}

static void put_stores(StubCode *c, const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++) {
        const Operand *o = &i->opnd[n];
        if (!(o->access & OPND_WRITE) || o->kind != OPND_REG)
            continue;
        if (is_vector(o))
            put_vector_store(c, i, o->reg);
        else if (is_mm(o))
            put_move(c, 0x7f, o->reg & 7, ST_OFF(o->reg & 7));
        else if (o->cls == RC_GPR)
            put_gpr_move(c, 0x89, 0, o->reg);
    }
    if (writes_xmm0(i))
        put_vector_store(c, i, 0);
    if (writes_rcx(i))
        put_gpr_move(c, 0x89, 1, GPR_RCX);
}

/* Brings the guest's MXCSR in before the instruction; takes it out behind, and skips to `end` what an unmasked
 * exception forbids. */
static void put_mxcsr_before(StubCode *c)
{
    PUT(c, 0x0f, 0xae);
    put_frame_operand(c, 2, offsetof(StubFrame, mxcsr_in));
}

static unsigned put_mxcsr_after(StubCode *c)
{
    PUT(c, 0x0f, 0xae); /* stmxcsr */
    put_frame_operand(c, 3, offsetof(StubFrame, mxcsr_out));
    PUT(c, 0x0f, 0xae); /* ldmxcsr */
    put_frame_operand(c, 2, offsetof(StubFrame, mxcsr_host));
    PUT(c, 0x44, 0x8b); /* mov r9d, mxcsr_out */
    put_frame_operand(c, 1, offsetof(StubFrame, mxcsr_out));
    PUT(c, 0x44, 0x85); /* test unmasked, r9d */
    put_frame_operand(c, 1, offsetof(StubFrame, unmasked));
    PUT(c, 0x0f, 0x85, 0, 0, 0, 0); /* jnz end */
    return c->n;
}

static void patch_jump(StubCode *c, unsigned from)
{
    uint32_t distance = c->n - from;
    memcpy(c->bytes + from - 4, &distance, 4);
}

static bool any_operand(const Insn *i, bool (*is)(const Operand *o))
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (is(&i->opnd[n]))
            return true;
    return false;
}

static void put_save_flags(StubCode *c)
{
    PUT(c, 0x9c, 0x41, 0x58);
} /* pushfq; pop r8 */

static void emit_simd(const Insn *i, StubCode *c)
{
    const InsnRow *row = insn_row(i);
    put_loads(c, i);
    if (row->attrs & ROW_SIMD_FP)
        put_mxcsr_before(c);
    put_instruction(c, i);
    if (row->flags_written)
        put_save_flags(c);
    unsigned jump = row->attrs & ROW_SIMD_FP ? put_mxcsr_after(c) : 0;
    put_stores(c, i);
    if (jump)
        patch_jump(c, jump);
    if (any_operand(i, is_mm))
        PUT(c, 0x0f, 0x77); /* emms: the ABI wants x87 empty */
    if (i->prefixes & PFX_VEX)
        PUT(c, 0xc5, 0xf8, 0x77); /* vzeroupper: C code is SSE */
}

/* The whole x87 state goes in and out, with the guest's own masks: an unmasked x87 exception only marks FSW.ES, and the
 * next waiting instruction would trap; FXSAVE and FNINIT do not wait. */
static void emit_x87(const Insn *i, StubCode *c)
{
    PUT(c, 0x48, 0x0f, 0xae, 0x0f); /* fxrstor64 [rdi] */
    PUT(c, 0xff);                   /* push flags_in; popfq */
    put_frame_operand(c, 6, offsetof(StubFrame, flags_in));
    PUT(c, 0x9d);
    put_instruction(c, i);
    put_save_flags(c);
    PUT(c, 0x48, 0x0f, 0xae, 0x07, 0xdb, 0xe3); /* fxsave64 [rdi]; fninit */
    PUT(c, 0x0f, 0xae);                         /* ldmxcsr */
    put_frame_operand(c, 2, offsetof(StubFrame, mxcsr_host));
}

void host_stub_emit(const Insn *i, StubCode *ret)
{
    ret->n = ret->insn_off = 0;
    if (insn_row(i)->attrs & ROW_FPU)
        emit_x87(i, ret);
    else
        emit_simd(i, ret);
    PUT(ret, 0x4c, 0x89, 0xc0, 0xc3); /* mov rax, r8; ret */
}
