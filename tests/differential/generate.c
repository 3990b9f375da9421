/* generate.c - see generate.h. */
#include "generate.h"

#include <string.h>

#include "isa/x86/insn_example.h"

/* ---- rows */

/* What differs by its nature, reaches the host's kernel, or changes segments that this process needs. */
static const uint16_t untestable[] = {
    OP_CPUID,   OP_RDTSC,    OP_RDTSCP, OP_RDPMC,    OP_RDRAND,  OP_RDSEED, OP_RDPID, OP_XGETBV,
    OP_SYSCALL, OP_SYSENTER, OP_INT1,   OP_WRFSBASE, OP_LFS,     OP_LSS,    OP_SGDT,  OP_SIDT,
    OP_SLDT,    OP_STR,      OP_SMSW,   OP_VMCALL,   OP_VMMCALL, OP_SYSRET, /* in 32-bit mode AMD's and Intel's differ
                                                                             */
};

bool row_is_testable(const InsnRow *row)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(untestable); n++)
        if (row->op == untestable[n])
            return false;
    return true;
}

/* MOV and POP of FS, which C needs, and SS, which holds back the trap; system calls. */
static bool is_unwanted(const Insn *i)
{
    const Operand *o = &i->opnd[0];
    if (i->op == OP_INT && i->imm == 0x80)
        return true;
    if (i->op == OP_RET_FAR && i->n_operands && i->imm > 0xffe0)
        return true; /* the host adds what it popped to this in 16 bits, before it knows how wide RSP is */
    return o->kind == OPND_REG && o->cls == RC_SEG && o->access & OPND_WRITE && (o->reg == SEG_SS || o->reg == SEG_FS);
}

static bool loads_gs(const Insn *i)
{
    const Operand *o = &i->opnd[0];
    return i->op == OP_LGS || i->op == OP_WRGSBASE ||
           (o->kind == OPND_REG && o->cls == RC_SEG && o->access & OPND_WRITE && o->reg == SEG_GS);
}

/* ---- values */

static const uint64_t edges[] = { 0,
                                  1,
                                  2,
                                  0x7f,
                                  0x80,
                                  0xff,
                                  0x7fff,
                                  0x8000,
                                  0xffff,
                                  0x7fffffff,
                                  0x80000000,
                                  0xffffffff,
                                  0x7fffffffffffffff,
                                  0x8000000000000000,
                                  0xffffffffffffff80,
                                  0xffffffffffff8000,
                                  0xffffffff80000000,
                                  0xffffffffffffffff };

uint64_t random_integer(Random *r)
{
    switch (random_below(r, 4)) {
    case 0:
        return edges[random_below(r, G_N_ELEMENTS(edges))];
    case 1:
        return random_below(r, 70);
    case 2:
        return random_next(r) >> random_below(r, 64);
    default:
        return random_next(r);
    }
}

/* A floating-point number of so many bits, as a pattern: sign, biased exponent, fraction. */
static uint64_t random_float(Random *r, unsigned fraction_bits, unsigned exponent_bits)
{
    uint64_t fraction = random_next(r) & ((1ull << fraction_bits) - 1), max = (1ull << exponent_bits) - 1;
    uint64_t bias = max >> 1, exponent, quiet = 1ull << (fraction_bits - 1);
    switch (random_below(r, 12)) {
    case 0:
        exponent = fraction = 0;
        break;
    case 1: /* infinity */
        exponent = max, fraction = 0;
        break;
    case 2: /* signaling NaN */
        exponent = max, fraction = (fraction & (quiet - 1)) | 1;
        break;
    case 3: /* quiet NaN */
        exponent = max, fraction |= quiet;
        break;
    case 4: /* denormal */
        exponent = 0, fraction >>= random_below(r, fraction_bits);
        break;
    case 5: /* largest and smallest */
        exponent = random_percent(r, 50) ? max - 1 - random_below(r, 2) : 1 + random_below(r, 2);
        break;
    case 6: /* powers of two */
        exponent = bias + random_below(r, 8), fraction = 0;
        break;
    case 7: /* anything */
        exponent = random_next(r) & max;
        break;
    default: /* near one, few bits: exact results */
        exponent = bias - 4 + random_below(r, 40);
        if (random_percent(r, 50))
            fraction &= ~0ull << (fraction_bits - 5);
        break;
    }
    return ((uint64_t)random_below(r, 2) << exponent_bits | exponent) << fraction_bits | fraction;
}

void random_vector(Random *r, uint8_t *bytes, unsigned n)
{
    unsigned kind = random_below(r, 4);
    for (unsigned at = 0; at < n; at += 8) {
        uint64_t value = random_next(r);
        if (kind == 0)
            value = random_float(r, 23, 8) | random_float(r, 23, 8) << 32;
        else if (kind == 1)
            value = random_float(r, 52, 11);
        else if (kind == 2)
            value = random_integer(r);
        memcpy(bytes + at, &value, 8);
    }
}

static void random_extended(Random *r, uint8_t *bytes)
{
    uint64_t d = random_float(r, 52, 11), mantissa = 1ull << 63 | d << 11;
    unsigned exponent = d >> 52 & 0x7ff, sign = (unsigned)(d >> 63) << 15;
    switch (random_below(r, 10)) {
    case 0:
        mantissa = random_next(r), exponent = (unsigned)random_next(r) & 0x7fff;
        break;
    case 1:
        mantissa = exponent = 0;
        break;
    case 2: /* denormal, or pseudo-denormal */
        mantissa = random_next(r) >> random_below(r, 64), exponent = 0;
        break;
    case 3:
        mantissa = 1ull << 63 | random_next(r), exponent = random_percent(r, 50) ? 0x7ffe : 1;
        break;
    default:
        exponent = exponent == 0x7ff ? 0x7fff : exponent ? exponent - 1023 + 16383 : 0;
        if (!exponent)
            mantissa = 0;
        mantissa |= random_percent(r, 30) ? random_next(r) & 0x7ff : 0;
        break;
    }
    memcpy(bytes, &mantissa, 8);
    bytes[8] = (uint8_t)exponent;
    bytes[9] = (uint8_t)((exponent | sign) >> 8);
}

/* ---- state */

static void random_x87(Random *r, XsaveImage *x)
{
    x->fcw = 0x037f;
    if (random_percent(r, 40))
        x->fcw = (uint16_t)(0x40 | (random_next(r) & 0x0f3f) | (random_percent(r, 60) ? 0x3f : 0));
    x->ftw = random_percent(r, 70) ? 0xff : (uint8_t)random_next(r);
    unsigned flags =
        random_percent(r, 50) ? 0 : (unsigned)random_next(r) & (random_percent(r, 90) ? x->fcw & 0x3f : 0x3f);
    x->fsw = (uint16_t)(flags | (random_next(r) & 0x4700) | random_below(r, 8) << 11 | (random_below(r, 2) ? 0x40 : 0));
    if (x->fsw & ~x->fcw & 0x3f)
        x->fsw |= 0x8080; /* as the processor would have it */
    for (unsigned n = 0; n < 8; n++)
        random_extended(r, x->st[n].bytes);
}

void random_state(Random *r, Case *c)
{
    CpuState *s = &c->state;
    memset(s, 0, sizeof(*s));
    for (unsigned n = 0; n < 16; n++)
        s->gpr[n] = random_integer(r);
    s->rflags = RFLAGS_ONE | RFLAGS_IF | (random_next(r) & RFLAGS_STATUS) | (random_percent(r, 15) ? RFLAGS_DF : 0);
    random_x87(r, &s->fpu);
    s->fpu.mxcsr = 0x1f80;
    if (random_percent(r, 50))
        s->fpu.mxcsr = (uint32_t)(random_next(r) & 0xffff) | (random_percent(r, 60) ? 0x1f80 : 0);
    s->fpu.mxcsr_mask = 0xffff;
    for (unsigned n = 0; n < 16; n++) {
        random_vector(r, s->fpu.xmm[n].bytes, 16);
        random_vector(r, s->fpu.ymm_high[n].bytes, 16);
    }
    s->fpu.xstate_bv = XCR0_X87 | XCR0_SSE | XCR0_AVX;
}

/* ---- the instruction */

static uint8_t random_register(Random *r, CodeSize size)
{
    return (uint8_t)random_below(r, size == CODE64 && random_percent(r, 50) ? 16 : 8);
}

/* SDM 2, table 2-1. */
static void random_address16(Random *r, InsnExample *e)
{
    static const uint8_t base[] = {
        GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX, INSN_NO_REG
    };
    static const uint8_t index[] = { GPR_RSI,     GPR_RDI,     GPR_RSI,     GPR_RDI,    INSN_NO_REG,
                                     INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG };
    unsigned n = random_below(r, G_N_ELEMENTS(base));
    e->base = base[n];
    e->index = index[n];
    e->disp = random_percent(r, 40) ? 0 : random_percent(r, 60) ? (int8_t)random_next(r) : (int16_t)random_next(r);
}

static void random_address(Random *r, const InsnForms *f, InsnExample *e)
{
    if (e->addrsize == 2 || (e->size == CODE16 && !e->addrsize)) {
        random_address16(r, e);
        return;
    }
    e->base = random_register(r, e->size);
    if (random_percent(r, 8))
        e->base = e->size == CODE64 && random_percent(r, 50) ? INSN_RIP : INSN_NO_REG;
    if (f->vsib || (e->base != INSN_RIP && random_percent(r, 35))) {
        e->index = random_register(r, e->size);
        e->scale = (uint8_t)random_below(r, 4);
    }
    e->disp = random_percent(r, 40) ? 0 : random_percent(r, 60) ? (int8_t)random_next(r) : (int32_t)random_next(r);
}

static bool random_encoding(Random *r, unsigned row, CodeSize size, uint8_t *code, Insn *ret)
{
    InsnForms f = insn_row_forms(row);
    if (!(f.modes >> size & 1))
        return false;
    uint32_t attrs = insn_rows[row].attrs;
    InsnExample e = insn_example(row, size);
    e.memory = f.mem && (!f.reg || random_percent(r, 55));
    if (f.opsizes)
        e.opsize = (uint8_t[]){ 0, 2, 4, 8 }[random_below(r, size == CODE64 ? 4 : 3)];
    if (random_percent(r, 8))
        e.addrsize = size == CODE32 ? 2 : 4;
    if (e.memory)
        random_address(r, &f, &e);
    e.reg = random_register(r, size);
    e.rm = random_register(r, size);
    e.vvvv = random_register(r, size);
    e.is4 = random_register(r, size);
    e.imm = random_integer(r);
    e.imm2 = (uint16_t)random_integer(r);
    e.cc = (uint8_t)random_below(r, 16);
    e.rex = !f.vex && size == CODE64 && random_percent(r, 30);
    e.vex_l = random_percent(r, 50);
    e.vex3 = random_percent(r, 30);
    e.lock = attrs & ROW_LOCK && e.memory && random_percent(r, 25);
    if (attrs & ROW_STRING && random_percent(r, 60))
        e.rep = random_percent(r, 50) ? 0xf2 : 0xf3;
    if (random_percent(r, 10))
        e.seg = (uint8_t)random_below(r, SEG_COUNT);
    size_t n = insn_encode(&e, code);
    if (!n || insn_decode(code, n, size, ret) != DECODE_OK)
        return false;
    if (ret->has_mem && !ret->vsib && ret->base == ret->index && ret->base != INSN_NO_REG)
        return false;                          /* cannot be aimed */
    return ret->seg != SEG_FS || ret->has_mem; /* an operand that is not aimed could hit this process through FS */
}

/* ---- addresses */

/* The linear address for an operand of n bytes: mostly within the writable pages, and at every kind of edge. */
static uint64_t random_target(Random *r, CodeSize size, unsigned n, bool locked)
{
    const uint64_t end = DATA_AT + DATA_WRITABLE;
    uint64_t anywhere = DATA_AT + random_below(r, (unsigned)DATA_WRITABLE - n);
    if (locked) /* a line crossing would be trapped, or slow, or reported by the host's kernel */
        return random_percent(r, 85) ? anywhere & ~63ull : end & ~63ull;
    switch (random_below(r, 20)) {
    case 0:
    case 1: /* from page to page */
        return DATA_AT + PAGE - random_below(r, n + 1);
    case 2: /* into what can only be read */
        return end - random_below(r, n + 1);
    case 3: /* out of what there is */
        return end + PAGE - random_below(r, n + 1);
    case 4:
        return DATA_AT - random_below(r, n + 1);
    case 5:
        return size == CODE64 && random_percent(r, 60) ? 0x8000000000000000ull | random_next(r) : end + PAGE + 64;
    case 6:
        return size == CODE64 && random_percent(r, 30) ? 0x0000800000000000ull - random_below(r, n + 1) : anywhere;
    case 7:
    case 8:
    case 9:
        return anywhere;
    default: /* as compilers do it */
        return anywhere & ~(uint64_t)(n >= 32 ? 31 : n >= 16 ? 15 : n >= 8 ? 7 : 3);
    }
}

static uint64_t segment_base(const Case *c, unsigned seg, uint64_t fs_base)
{
    const uint16_t selectors[SEG_COUNT] = { c->es, c->cs, c->ss, c->ds };
    return seg == SEG_FS ? fs_base : seg == SEG_GS ? GS_BASE : selector_base(selectors[seg]);
}

/* Makes the memory operand stand at `target` by its base register, or where it has none by its displacement; false
 * if that cannot reach it: FS keeps the host's base, and what stands near that is mapped for the host alone. */
static bool aim(Case *c, uint64_t target, uint64_t fs_base, uint8_t *code)
{
    Insn *i = &c->insn;
    uint64_t *gpr = c->state.gpr, index = 0;
    target -= segment_base(c, i->seg, fs_base);
    if (i->index != INSN_NO_REG && !i->vsib)
        index = gpr[i->index] << i->scale;
    if (i->base < 16) {
        gpr[i->base] = target - index - (uint64_t)i->disp;
    } else if (i->disp_len >= 2) {
        uint64_t disp = target - index - (i->base == INSN_RIP ? c->state.rip + i->length : 0);
        memcpy(code + i->disp_off, &disp, i->disp_len);
        insn_decode(code, i->length, c->size, i);
        if (i->seg == SEG_FS && c->size == CODE64)
            return i->addrsize == 8 && (uint64_t)i->disp == disp;
    }
    return true;
}

/* An offset in the stack segment. */
static uint64_t in_stack(Random *r, const Case *c)
{
    uint64_t base = selector_base(c->ss);
    if (random_percent(r, 5))
        return STACK_AT - base + (random_percent(r, 50) ? PAGE : 0) + random_below(r, 32) - 16;
    return STACK_AT - base + 0x400 + random_below(r, 0x800) * (random_percent(r, 80) ? 1 : 0);
}

/* Elements of a gather near the target. */
static void aim_gather(Random *r, Case *c)
{
    XsaveImage *x = &c->state.fpu;
    for (unsigned n = 0; n < 16; n += 8) {
        uint64_t low = random_below(r, 64) | (uint64_t)random_below(r, 64) << 32;
        memcpy(x->xmm[c->insn.index].bytes + n, &(uint64_t){ random_percent(r, 80) ? low : low & 63 }, 8);
        memcpy(x->ymm_high[c->insn.index].bytes + n, &(uint64_t){ low & 63 }, 8);
    }
}

/* Registers that an instruction uses without naming them. */
static void aim_implicit(Random *r, Case *c)
{
    uint64_t *gpr = c->state.gpr;
    gpr[GPR_RSP] = in_stack(r, c);
    if (!(c->row->attrs & ROW_MEM_SIDE) && !(c->row->attrs & ROW_STRING))
        return;
    gpr[GPR_RSI] = random_target(r, c->size, 16, false) - selector_base(c->ds);
    gpr[GPR_RDI] = random_target(r, c->size, 16, false) - selector_base(c->es);
    gpr[GPR_RCX] = random_below(r, 5) | (random_percent(r, 10) ? random_next(r) << 32 : 0);
    if (c->insn.addrsize == 4 && random_percent(r, 30))
        gpr[GPR_RSI] |= random_next(r) << 32, gpr[GPR_RDI] |= random_next(r) << 32;
    if (random_percent(r, 90))
        gpr[GPR_RBP] = in_stack(r, c);
    if (random_percent(r, 90))
        gpr[GPR_RBX] = random_target(r, c->size, 1, false) - selector_base(c->ds);
    if (c->insn.vsib)
        aim_gather(r, c);
}

/* ---- memory */

static void fill_window(Random *r, const SubjectMemory *m, uint64_t target, unsigned n)
{
    uint64_t start = MAX(target - 16, DATA_AT), end = MIN(target + n + 16, DATA_AT + DATA_BYTES);
    if (target < DATA_AT - 64 || target >= DATA_AT + DATA_BYTES)
        return;
    uint8_t values[256];
    random_vector(r, values, sizeof(values));
    if (n == 10)
        random_extended(r, values + 16);
    if (n == 4 || n == 8)
        memcpy(values + 16,
               &(uint64_t){ random_percent(r, 50) ? random_integer(r)
                            : n == 4              ? random_float(r, 23, 8)
                                                  : random_float(r, 52, 11) },
               8);
    for (uint64_t at = start; at < end && at - (target - 16) < sizeof(values); at++)
        m->data[at - DATA_AT] = values[at - (target - 16)];
}

/* What POP, RET and their like find: anything, or a sensible address; no AC, which our own code would not survive. */
static void fill_stack(Random *r, const SubjectMemory *m, uint64_t rsp)
{
    if (rsp < STACK_AT || rsp > STACK_AT + PAGE - 64)
        return;
    for (unsigned n = 0; n < 64; n += 8) {
        uint64_t value = random_percent(r, 30) ? CODE_AT + random_below(r, 4096) : random_integer(r);
        value &= ~(uint64_t)RFLAGS_AC;
        memcpy(m->stack + (rsp - STACK_AT) + n, &value, 8);
    }
}

/* ---- all together */

static unsigned operand_bytes(const Insn *i)
{
    for (unsigned n = 0; n < i->n_operands; n++)
        if (i->opnd[n].kind == OPND_MEM)
            return MAX(i->opnd[n].size, 1);
    return 1;
}

/* BT and its kin reach far with a register's bit offset: mostly not beyond the pages. */
static void tame_bit_offset(Random *r, Case *c)
{
    const Operand *o = &c->insn.opnd[1];
    if (c->insn.has_mem && g_str_has_prefix(c->row->name, "bt") && o->kind == OPND_REG && random_percent(r, 90))
        c->state.gpr[o->reg] = random_below(r, 2048);
}

/* Selectors that mean the same to the host's kernel and to ours. */
static uint16_t random_selector(Random *r)
{
    static const uint16_t selectors[] = { 0,
                                          1,
                                          2,
                                          3,
                                          0x10,
                                          0x18,
                                          0x23,
                                          0x2b,
                                          0x33,
                                          0x23,
                                          0x33,
                                          0xfff8,
                                          0xffff,
                                          0x2a,
                                          0x28,
                                          0x30,
                                          LDT_SELECTOR(LDT_CODE),
                                          LDT_SELECTOR(LDT_DATA),
                                          LDT_SELECTOR(LDT_DOWN),
                                          LDT_SELECTOR(LDT_COUNT) };
    return selectors[random_below(r, G_N_ELEMENTS(selectors))];
}

static void put_selector(const SubjectMemory *m, uint64_t at, uint16_t selector)
{
    if (at >= DATA_AT && at + 2 <= DATA_AT + DATA_BYTES)
        memcpy(m->data + (at - DATA_AT), &selector, 2);
}

/* Where the selector is that an instruction reads: a register, memory, or behind the offset of a far pointer. */
static void aim_selector(Random *r, const SubjectMemory *m, Case *c, uint64_t target, uint8_t *code)
{
    const Insn *i = &c->insn;
    const Operand *last = &i->opnd[i->n_operands ? i->n_operands - 1 : 0];
    uint16_t selector = random_selector(r);
    switch (i->op) {
    case OP_LAR:
    case OP_LSL:
    case OP_VERR:
    case OP_VERW:
    case OP_MOV_SEG:
        if (last->kind == OPND_REG && last->cls == RC_GPR)
            c->state.gpr[last->reg] = (c->state.gpr[last->reg] & ~0xffffull) | selector;
        else
            put_selector(m, target, selector);
        break;
    case OP_LDS:
    case OP_LES:
    case OP_LGS:
        put_selector(m, target + i->opsize, selector);
        break;
    case OP_CALL_FAR:
    case OP_JMP_FAR:
        if (i->has_mem) {
            put_selector(m, target + i->opsize, selector);
            if (target >= DATA_AT && target + 8 <= DATA_AT + DATA_BYTES && random_percent(r, 70))
                memcpy(m->data + (target - DATA_AT), &(uint32_t){ CODE_AT + random_below(r, 4096) },
                       i->opsize == 2 ? 2 : 4);
        } else {
            memcpy(code + i->length - 2, &selector, 2);
            insn_decode(code, i->length, c->size, &c->insn);
        }
        break;
    default:
        break;
    }
}

/* What RETF, IRET and POP of a segment register find. */
static void aim_stacked_selectors(Random *r, const SubjectMemory *m, const Case *c)
{
    uint64_t at = c->state.gpr[GPR_RSP] + selector_base(c->ss) - STACK_AT;
    unsigned n = c->insn.opsize;
    if (at > PAGE - 64 || (c->row->op != OP_RET_FAR && c->row->op != OP_IRET && c->row->op != OP_POP))
        return;
    uint8_t *stack = m->stack + at;
    uint16_t cs = random_selector(r);
    if (c->row->op == OP_POP) {
        if (c->insn.opnd[0].kind == OPND_REG && c->insn.opnd[0].cls == RC_SEG)
            memcpy(stack, &cs, 2);
        return;
    }
    memcpy(stack, &(uint64_t){ CODE_AT + random_below(r, 4096) }, n);
    memcpy(stack + n, &(uint64_t){ cs }, n);
    if (c->row->op == OP_IRET) {
        memcpy(stack + 2 * n, &(uint64_t){ RFLAGS_ONE | RFLAGS_IF | (random_next(r) & RFLAGS_STATUS) }, n);
        memcpy(stack + 3 * n, &(uint64_t){ STACK_AT - selector_base(c->ss) + 0x800 }, n);
        memcpy(stack + 4 * n, &(uint64_t){ random_percent(r, 80) ? USER_DS : random_selector(r) }, n);
    }
}

enum { AREA_BYTES = 576 }; /* x87, SSE and the header */

static bool is_xsave(const Insn *i)
{
    return i->op == OP_XSAVE || i->op == OP_XSAVEOPT || i->op == OP_XSAVEC || i->op == OP_XRSTOR;
}

/* Only the components that both sides have are asked for, and most headers are good.  False: RAX or RDX is not free. */
static bool aim_xsave(Random *r, const SubjectMemory *m, Case *c, uint64_t *target)
{
    const Insn *i = &c->insn;
    uint64_t *gpr = c->state.gpr;
    if (i->base == GPR_RAX || i->base == GPR_RDX || i->index == GPR_RAX || i->index == GPR_RDX)
        return false;
    gpr[GPR_RAX] = random_below(r, 8);
    gpr[GPR_RDX] = 0;
    if (random_percent(r, 90))
        *target = DATA_AT + 64 * random_below(r, 100);
    if (*target >= DATA_AT && *target - DATA_AT <= DATA_BYTES - AREA_BYTES) {
        uint8_t *area = m->data + (*target - DATA_AT);
        memcpy(area, &(uint32_t){ 0x037f }, 4);
        memcpy(area + 24, &(uint32_t){ random_percent(r, 80) ? 0x1f80 : (uint32_t)random_next(r) }, 4);
        memset(area + 512, 0, 64);
        area[512] = (uint8_t)random_below(r, 8);
        if (random_percent(r, 15)) /* a component that nobody has, or a reserved byte */
            area[512 + random_below(r, 24)] |= 8;
    }
    return true;
}

void narrow_to_32(CpuState *s)
{
    for (unsigned n = 0; n < 16; n++)
        s->gpr[n] = n < 8 ? (uint32_t)s->gpr[n] : 0;
}

static void random_segments(Random *r, Case *c)
{
    c->cs = c->size == CODE64 ? USER_CS64 : USER_CS32;
    c->ss = c->ds = c->es = USER_DS;
    if (c->size != CODE16)
        return;
    c->cs = LDT_SELECTOR(LDT_CODE);
    c->ss = LDT_SELECTOR(LDT_STACK);
    c->ds = random_percent(r, 80) ? LDT_SELECTOR(LDT_DATA) : LDT_SELECTOR(LDT_DOWN);
    c->es = random_percent(r, 80) ? LDT_SELECTOR(LDT_DATA) : LDT_SELECTOR(LDT_DOWN);
}

bool case_generate(Random *r, unsigned row, CodeSize size, uint64_t fs_base, const SubjectMemory *m, Case *ret)
{
    uint8_t code[INSN_MAX_BYTES + 1] = { 0 };
    ret->size = size;
    bool found = false;
    for (unsigned tries = 0; tries < 20 && !found; tries++)
        found = random_encoding(r, row, size, code, &ret->insn) && !is_unwanted(&ret->insn);
    if (!found)
        return false;
    ret->row = insn_row(&ret->insn);
    random_state(r, ret);
    random_segments(r, ret);
    uint64_t at = 64 + random_below(r, 2048); /* in the code's page */
    if (random_percent(r, 3))                 /* up to its end, or beyond, where there is nothing */
        at = PAGE - 1 - random_below(r, ret->insn.length);
    ret->state.rip = CODE_AT + at - selector_base(ret->cs);
    aim_implicit(r, ret);
    tame_bit_offset(r, ret);
    if (ret->insn.has_mem) {
        unsigned n = operand_bytes(&ret->insn);
        CodeSize reach = ret->insn.addrsize == 8 ? CODE64 : CODE32; /* of the address */
        uint64_t target = random_target(r, reach, n, ret->insn.prefixes & PFX_LOCK || ret->row->op == OP_XCHG);
        if (ret->insn.seg == SEG_SS && ret->ss != USER_DS)
            target = STACK_AT + random_below(r, PAGE + 16); /* the segment has nothing else */
        fill_window(r, m, target, n);
        if (is_xsave(&ret->insn) && !aim_xsave(r, m, ret, &target))
            return false;
        aim_selector(r, m, ret, target, code);
        if (!aim(ret, target, fs_base, code))
            return false;
    } else {
        aim_selector(r, m, ret, 0, code);
    }
    if (size != CODE64)
        narrow_to_32(&ret->state);
    fill_stack(r, m, ret->state.gpr[GPR_RSP] + selector_base(ret->ss));
    aim_stacked_selectors(r, m, ret);
    ret->may_change_gs = loads_gs(&ret->insn);
    memset(m->code, 0xcc, PAGE);
    memcpy(m->code + at, ret->insn.bytes, MIN(ret->insn.length, PAGE - at));
    return true;
}
