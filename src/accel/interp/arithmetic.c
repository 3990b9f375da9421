/*
 * arithmetic.c - ADD to CMP, TEST, INC, DEC, NEG, NOT, shifts and rotates, SHLD and SHRD, multiplication, division,
 * decimal adjustment, sign extension of the accumulator.
 *
 * The commonest are compiled once for each operand size and shape, and the decoder's cache picks the right one
 * (select_*); the bodies are written once, inline.
 */
#include "accel/interp/alu.h"

enum { N_SIZES = 4 };
typedef enum Shape { SHAPE_RR, SHAPE_RM, SHAPE_MR, SHAPE_RI, SHAPE_MI, SHAPE_LOCK, N_SHAPES } Shape;
typedef uint64_t AluFn(unsigned size, uint64_t a, uint64_t b, uint64_t *flags);

static inline unsigned size_index(unsigned size) { return __builtin_ctz(size | 8); }

/* ---- two operands */
ALWAYS_INLINE void binary(InterpVcpu *v, const Insn *i, AluFn *alu, unsigned size, Shape shape, bool writes)
{
    uint64_t b;
    switch (shape) {
    case SHAPE_RR: case SHAPE_MR: b = reg_read(v, &i->opnd[1], size); break;
    case SHAPE_RM: b = mem_load(v, i->seg, effective_address(v, i), size); break;
    default: b = i->imm & size_mask(size); break;
    }
    if (shape == SHAPE_RR || shape == SHAPE_RM || shape == SHAPE_RI) {
        uint64_t r = alu(size, reg_read(v, &i->opnd[0], size), b, &v->s.rflags);
        if (writes)
            reg_write(v, &i->opnd[0], size, r);
    } else if (writes) {
        Place p = place_of(v, i, size);
        uint64_t flags = v->s.rflags;
        uint64_t r = alu(size, place_read(v, &p, size), b, &flags);
        place_write(v, &p, size, r);
        v->s.rflags = flags;
    } else {
        alu(size, mem_load(v, i->seg, effective_address(v, i), size), b, &v->s.rflags);
    }
}

ALWAYS_INLINE void binary_locked(InterpVcpu *v, const Insn *i, unsigned size, UpdateFn *update)
{
    uint64_t b = i->n_operands < 2 ? 0 : operand_read(v, i, 1, size);
    Place p = place_of(v, i, size);
    uint64_t flags = v->s.rflags;
    place_update_locked(v, &p, size, update, b, &flags);
    v->s.rflags = flags;
}

#define UPDATE(name, size)                                                                                             \
    static uint64_t update_##name##_##size(uint64_t old, uint64_t arg, uint64_t *flags)                                \
    {                                                                                                                  \
        return alu_##name(size, old, arg, flags);                                                                      \
    }                                                                                                                  \
    static void name##_lock_##size(InterpVcpu *v, const Insn *i) { binary_locked(v, i, size, update_##name##_##size); }

#define BINARY_SHAPE(name, tag, shape, size, writes)                                                                   \
    static void name##_##tag##_##size(InterpVcpu *v, const Insn *i) { binary(v, i, alu_##name, size, shape, writes); }

#define BINARY_SIZE(name, size, writes)                                                                                \
    BINARY_SHAPE(name, rr, SHAPE_RR, size, writes)                                                                     \
    BINARY_SHAPE(name, rm, SHAPE_RM, size, writes)                                                                     \
    BINARY_SHAPE(name, mr, SHAPE_MR, size, writes)                                                                     \
    BINARY_SHAPE(name, ri, SHAPE_RI, size, writes)                                                                     \
    BINARY_SHAPE(name, mi, SHAPE_MI, size, writes)

#define EACH_SIZE(name, tag) { name##_##tag##_1, name##_##tag##_2, name##_##tag##_4, name##_##tag##_8 }
#define BINARY_SHAPES(name)                                                                                            \
    [SHAPE_RR] = EACH_SIZE(name, rr), [SHAPE_RM] = EACH_SIZE(name, rm), [SHAPE_MR] = EACH_SIZE(name, mr),              \
    [SHAPE_RI] = EACH_SIZE(name, ri), [SHAPE_MI] = EACH_SIZE(name, mi)

static ExecFn *pick_binary(const Insn *i, ExecFn *const table[N_SHAPES][N_SIZES])
{
    static const Shape shapes[3][3] = { /* [destination][source]: register, memory, immediate */
        { SHAPE_RR, SHAPE_RM, SHAPE_RI }, { SHAPE_MR, SHAPE_MR, SHAPE_MI } };
    Shape shape = shapes[i->opnd[0].kind - OPND_REG][i->opnd[1].kind - OPND_REG];
    if (i->prefixes & PFX_LOCK)
        shape = SHAPE_LOCK;
    return table[shape][size_index(i->opnd[0].size)];
}

/* TEST r/m, r and its mirror: memory may stand first or second; both are read only. */
#define BINARY(name, writes)                                                                                           \
    BINARY_SIZE(name, 1, writes) BINARY_SIZE(name, 2, writes) BINARY_SIZE(name, 4, writes) BINARY_SIZE(name, 8, writes)
#define BINARY_READS(name)                                                                                             \
    BINARY(name, false)                                                                                                \
    static ExecFn *select_##name(const Insn *i)                                                                        \
    {                                                                                                                  \
        static ExecFn *const table[N_SHAPES][N_SIZES] = { BINARY_SHAPES(name) };                                       \
        return pick_binary(i, table);                                                                                  \
    }
#define BINARY_WRITES(name)                                                                                            \
    BINARY(name, true)                                                                                                 \
    UPDATE(name, 1) UPDATE(name, 2) UPDATE(name, 4) UPDATE(name, 8)                                                    \
    static ExecFn *select_##name(const Insn *i)                                                                        \
    {                                                                                                                  \
        static ExecFn *const table[N_SHAPES][N_SIZES] = { BINARY_SHAPES(name), [SHAPE_LOCK] = EACH_SIZE(name, lock) }; \
        return pick_binary(i, table);                                                                                  \
    }

BINARY_WRITES(add)
BINARY_WRITES(or)
BINARY_WRITES(adc)
BINARY_WRITES(sbb)
BINARY_WRITES(and)
BINARY_WRITES(sub)
BINARY_WRITES(xor)
BINARY_READS(cmp)
BINARY_READS(test)

/* ---- one operand, shifts: register or memory, count in an immediate or CL */
ALWAYS_INLINE void in_place(InterpVcpu *v, const Insn *i, AluFn *alu, unsigned size, bool memory, bool has_count)
{
    uint64_t count = 0;
    if (has_count)
        count = i->opnd[1].kind == OPND_REG ? v->s.gpr[GPR_RCX] & 0xff : i->imm;
    if (!memory) {
        reg_write(v, &i->opnd[0], size, alu(size, reg_read(v, &i->opnd[0], size), count, &v->s.rflags));
        return;
    }
    Place p = place_of(v, i, size);
    uint64_t flags = v->s.rflags;
    uint64_t r = alu(size, place_read(v, &p, size), count, &flags);
    place_write(v, &p, size, r);
    v->s.rflags = flags;
}

#define IN_PLACE_SIZE(name, size, has_count)                                                                           \
    static void name##_r_##size(InterpVcpu *v, const Insn *i) { in_place(v, i, alu_##name, size, false, has_count); }  \
    static void name##_m_##size(InterpVcpu *v, const Insn *i) { in_place(v, i, alu_##name, size, true, has_count); }
#define IN_PLACE(name, has_count)                                                                                      \
    IN_PLACE_SIZE(name, 1, has_count) IN_PLACE_SIZE(name, 2, has_count)                                                \
    IN_PLACE_SIZE(name, 4, has_count) IN_PLACE_SIZE(name, 8, has_count)
#define UNARY(name)                                                                                                    \
    IN_PLACE(name, false)                                                                                              \
    UPDATE(name, 1) UPDATE(name, 2) UPDATE(name, 4) UPDATE(name, 8)                                                    \
    static ExecFn *select_##name(const Insn *i)                                                                        \
    {                                                                                                                  \
        static ExecFn *const table[3][N_SIZES] = { EACH_SIZE(name, r), EACH_SIZE(name, m), EACH_SIZE(name, lock) };    \
        bool lock = i->prefixes & PFX_LOCK;                                                                            \
        return table[lock ? 2 : i->opnd[0].kind == OPND_MEM][size_index(i->opnd[0].size)];                             \
    }
#define SHIFT(name)                                                                                                    \
    IN_PLACE(name, true)                                                                                               \
    static ExecFn *select_##name(const Insn *i)                                                                        \
    {                                                                                                                  \
        static ExecFn *const table[2][N_SIZES] = { EACH_SIZE(name, r), EACH_SIZE(name, m) };                           \
        return table[i->opnd[0].kind == OPND_MEM][size_index(i->opnd[0].size)];                                        \
    }

UNARY(inc)
UNARY(dec)
UNARY(neg)
UNARY(not)
SHIFT(rol)
SHIFT(ror)
SHIFT(rcl)
SHIFT(rcr)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)

/* ---- double shifts.  A 16-bit one with a count over 16 is undefined; the host's answer is as good as any. */
#define DOUBLE_SHIFT(text, suffix, modifier)                                                                           \
    asm(text suffix " %%cl, %" modifier "[b], %" modifier "[a]" FLAGS_TO_AX                                            \
        : [a] "+q"(a), "=&a"(ax) : [b] "q"(b), "c"(count) : "cc")

#define EXEC_DOUBLE_SHIFT(name)                                                                                        \
    static void exec_##name(InterpVcpu *v, const Insn *i)                                                              \
    {                                                                                                                  \
        unsigned size = i->opnd[0].size;                                                                               \
        uint8_t count = operand_read(v, i, 2, 1) & (size == 8 ? 63 : 31);                                              \
        uint64_t b = reg_read(v, &i->opnd[1], size);                                                                   \
        bool memory = i->opnd[0].kind == OPND_MEM;                                                                     \
        Place p = memory ? place_of(v, i, size) : (Place){ 0 };                                                        \
        uint64_t a = memory ? place_read(v, &p, size) : reg_read(v, &i->opnd[0], size), flags = v->s.rflags;           \
        if (count) {                                                                                                   \
            uint32_t ax;                                                                                               \
            switch (size) {                                                                                            \
            case 2: DOUBLE_SHIFT(#name, "w", "w"); break;                                                              \
            case 4: DOUBLE_SHIFT(#name, "l", "k"); break;                                                              \
            default: DOUBLE_SHIFT(#name, "q", "q"); break;                                                             \
            }                                                                                                          \
            flags = flags_merge(flags, ax);                                                                            \
        }                                                                                                              \
        if (memory)                                                                                                    \
            place_write(v, &p, size, a);                                                                               \
        else                                                                                                           \
            reg_write(v, &i->opnd[0], size, a);                                                                        \
        v->s.rflags = flags;                                                                                           \
    }
EXEC_DOUBLE_SHIFT(shld)
EXEC_DOUBLE_SHIFT(shrd)

/* ---- multiplication.  CF and OF say whether the upper half matters; the rest is undefined, so take the host's. */
#define MUL_WIDE(text, suffix, modifier, low, high)                                                                    \
    asm(text suffix " %" modifier "[b]\n\tpushfq\n\tpopq %[f]"                                                         \
        : "+a"(low), "=d"(high), [f] "=r"(f) : [b] "q"(b) : "cc")
#define EXEC_MUL_WIDE(name)                                                                                            \
    static void name##_wide(InterpVcpu *v, const Insn *i)                                                              \
    {                                                                                                                  \
        unsigned size = i->opnd[i->n_operands - 1].size;                                                               \
        uint64_t b = operand_read(v, i, i->n_operands - 1, size), low = gpr_get(v, GPR_RAX, size), high = 0, f;        \
        switch (size) {                                                                                                \
        case 1: MUL_WIDE(#name, "b", "b", low, high); gpr_set(v, GPR_RAX, 2, low); break;                              \
        case 2: MUL_WIDE(#name, "w", "w", low, high); break;                                                           \
        case 4: MUL_WIDE(#name, "l", "k", low, high); break;                                                           \
        default: MUL_WIDE(#name, "q", "q", low, high); break;                                                          \
        }                                                                                                              \
        if (size > 1) {                                                                                                \
            gpr_set(v, GPR_RAX, size, low);                                                                            \
            gpr_set(v, GPR_RDX, size, high);                                                                           \
        }                                                                                                              \
        flags_set(v, RFLAGS_STATUS, f);                                                                                \
    }
EXEC_MUL_WIDE(mul)
EXEC_MUL_WIDE(imul)

ALU_BINARY(imul, "imul") /* of two operands; not for bytes */

static void imul_short(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[0].size, source = i->n_operands - 2;
    uint64_t a = operand_read(v, i, source, size), b = operand_read(v, i, source + 1, size), r;
    switch (size) {
    case 2: r = alu_imul(2, a, b, &v->s.rflags); break;
    case 4: r = alu_imul(4, a, b, &v->s.rflags); break;
    default: r = alu_imul(8, a, b, &v->s.rflags); break;
    }
    reg_write(v, &i->opnd[0], size, r);
}

static ExecFn *select_imul(const Insn *i)
{
    return i->n_operands > 1 ? imul_short : imul_wide;
}

/* ---- division.  #DE where the quotient does not fit; the flags are undefined and stay. */
static void divide_store(InterpVcpu *v, unsigned size, uint64_t quotient, uint64_t remainder)
{
    if (size == 1) {
        gpr_set(v, GPR_RAX, 2, (quotient & 0xff) | (remainder & 0xff) << 8);
    } else {
        gpr_set(v, GPR_RAX, size, quotient);
        gpr_set(v, GPR_RDX, size, remainder);
    }
}

typedef struct Dividend { uint64_t low, high; } Dividend;

static Dividend dividend(InterpVcpu *v, unsigned size)
{
    if (size == 1)
        return (Dividend){ gpr_get(v, GPR_RAX, 2) & 0xff, gpr_get(v, GPR_RAX, 2) >> 8 };
    return (Dividend){ gpr_get(v, GPR_RAX, size), gpr_get(v, GPR_RDX, size) };
}

/* high < divisor, so that the quotient fits in `size` bytes. */
static uint64_t divide_unsigned(unsigned size, Dividend n, uint64_t divisor, uint64_t *remainder)
{
    if (size < 8) {
        uint64_t wide = n.high << size * 8 | n.low;
        *remainder = wide % divisor;
        return wide / divisor;
    }
    uint64_t quotient;
    asm("divq %[d]" : "=a"(quotient), "=d"(*remainder) : "a"(n.low), "d"(n.high), [d] "r"(divisor) : "cc");
    return quotient;
}

static void exec_div(InterpVcpu *v, const Insn *i)
{
    unsigned last = i->n_operands - 1, size = i->opnd[last].size;
    uint64_t divisor = operand_read(v, i, last, size), remainder;
    Dividend n = dividend(v, size);
    if (n.high >= divisor) /* also divisor 0 */
        interp_raise(v, EXC_DE);
    uint64_t quotient = divide_unsigned(size, n, divisor, &remainder);
    divide_store(v, size, quotient, remainder);
}

static Dividend dividend_negated(Dividend n, unsigned size)
{
    n.low = -n.low & size_mask(size);
    n.high = (~n.high + !n.low) & size_mask(size);
    return n;
}

static void exec_idiv(InterpVcpu *v, const Insn *i)
{
    unsigned last = i->n_operands - 1, size = i->opnd[last].size;
    uint64_t divisor = operand_read(v, i, last, size), remainder;
    Dividend n = dividend(v, size);
    bool negative = n.high & sign_bit(size), divisor_negative = divisor & sign_bit(size);
    if (negative)
        n = dividend_negated(n, size);
    if (divisor_negative)
        divisor = -divisor & size_mask(size);
    if (n.high >= divisor)
        interp_raise(v, EXC_DE);
    uint64_t quotient = divide_unsigned(size, n, divisor, &remainder);
    bool quotient_negative = negative != divisor_negative;
    if (quotient > sign_bit(size) - !quotient_negative)
        interp_raise(v, EXC_DE);
    divide_store(v, size, quotient_negative ? -quotient : quotient, negative ? -remainder : remainder);
}

/* ---- accumulator: CBW CWDE CDQE, CWD CDQ CQO */
static void exec_cbw(InterpVcpu *v, const Insn *i)
{
    gpr_set(v, GPR_RAX, i->opsize, sign_extend(v->s.gpr[GPR_RAX], i->opsize / 2));
}

static void exec_cwd(InterpVcpu *v, const Insn *i)
{
    gpr_set(v, GPR_RDX, i->opsize, gpr_get(v, GPR_RAX, i->opsize) & sign_bit(i->opsize) ? ~0ull : 0);
}

/* ---- decimal arithmetic (SDM 2, DAA and the like).  The host has none of it in 64-bit mode. */
static uint64_t flags_of_byte(uint8_t r)
{
    return (r ? 0 : RFLAGS_ZF) | (r & 0x80 ? RFLAGS_SF : 0) | (__builtin_parity(r) ? 0 : RFLAGS_PF);
}

static void decimal_adjust(InterpVcpu *v, int sign)
{
    uint8_t al = v->s.gpr[GPR_RAX], old = al;
    bool cf = v->s.rflags & RFLAGS_CF, old_cf = cf, af = v->s.rflags & RFLAGS_AF;
    cf = false;
    if ((old & 15) > 9 || af) {
        cf = old_cf || (sign > 0 ? old > 0xf9 : old < 6);
        al += sign * 6;
        af = true;
    }
    if (old > 0x99 || old_cf) {
        al += sign * 0x60;
        cf = true;
    }
    gpr_set(v, GPR_RAX, 1, al);
    flags_set(v, RFLAGS_STATUS, flags_of_byte(al) | (cf ? RFLAGS_CF : 0) | (af ? RFLAGS_AF : 0));
}

static void exec_daa(InterpVcpu *v, const Insn *i) { decimal_adjust(v, 1); }
static void exec_das(InterpVcpu *v, const Insn *i) { decimal_adjust(v, -1); }

static void ascii_adjust(InterpVcpu *v, int sign)
{
    uint16_t ax = v->s.gpr[GPR_RAX];
    bool adjust = (ax & 15) > 9 || v->s.rflags & RFLAGS_AF;
    if (adjust)
        ax += sign * 0x106;
    gpr_set(v, GPR_RAX, 2, ax & 0xff0f);
    flags_set(v, RFLAGS_STATUS, flags_of_byte(ax & 15) | (adjust ? RFLAGS_CF | RFLAGS_AF : 0));
}

static void exec_aaa(InterpVcpu *v, const Insn *i) { ascii_adjust(v, 1); }
static void exec_aas(InterpVcpu *v, const Insn *i) { ascii_adjust(v, -1); }

static void exec_aam(InterpVcpu *v, const Insn *i)
{
    uint8_t al = v->s.gpr[GPR_RAX], base = i->imm;
    if (!base)
        interp_raise(v, EXC_DE);
    gpr_set(v, GPR_RAX, 2, al / base << 8 | al % base);
    flags_set(v, RFLAGS_STATUS, flags_of_byte(al % base));
}

static void exec_aad(InterpVcpu *v, const Insn *i)
{
    uint8_t al = v->s.gpr[GPR_RAX], ah = v->s.gpr[GPR_RAX] >> 8, r = al + ah * (uint8_t)i->imm;
    gpr_set(v, GPR_RAX, 2, r);
    flags_set(v, RFLAGS_STATUS, flags_of_byte(r));
}

const ExecEntry exec_arithmetic[] = {
    { OP_ADD, .select = select_add }, { OP_OR, .select = select_or },   { OP_ADC, .select = select_adc },
    { OP_SBB, .select = select_sbb }, { OP_AND, .select = select_and }, { OP_SUB, .select = select_sub },
    { OP_XOR, .select = select_xor }, { OP_CMP, .select = select_cmp }, { OP_TEST, .select = select_test },
    { OP_INC, .select = select_inc }, { OP_DEC, .select = select_dec }, { OP_NEG, .select = select_neg },
    { OP_NOT, .select = select_not }, { OP_ROL, .select = select_rol }, { OP_ROR, .select = select_ror },
    { OP_RCL, .select = select_rcl }, { OP_RCR, .select = select_rcr }, { OP_SHL, .select = select_shl },
    { OP_SHR, .select = select_shr }, { OP_SAR, .select = select_sar },
    { OP_SHLD, exec_shld },
    { OP_SHRD, exec_shrd },
    { OP_MUL, mul_wide },
    { OP_IMUL, .select = select_imul },
    { OP_DIV, exec_div },
    { OP_IDIV, exec_idiv },
    { OP_CBW, exec_cbw },
    { OP_CWD, exec_cwd },
    { OP_DAA, exec_daa },
    { OP_DAS, exec_das },
    { OP_AAA, exec_aaa },
    { OP_AAS, exec_aas },
    { OP_AAM, exec_aam },
    { OP_AAD, exec_aad },
    { OP_INVALID },
};
