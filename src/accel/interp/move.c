/*
 * move.c - data movement: MOV and its extensions, LEA, XCHG, XADD, CMPXCHG, CMOVcc, SETcc, BSWAP, MOVBE, XLAT; flags
 * moved as data; and what has no effect here: NOP, PAUSE, fences, cache control.
 */
#include "accel/interp/alu.h"

#include <sched.h>

/* ---- MOV */
#define MOV_SIZE(size)                                                                                                 \
    static void mov_rr_##size(InterpVcpu *v, const Insn *i)                                                            \
    {                                                                                                                  \
        reg_write(v, &i->opnd[0], size, reg_read(v, &i->opnd[1], size));                                               \
    }                                                                                                                  \
    static void mov_rm_##size(InterpVcpu *v, const Insn *i)                                                            \
    {                                                                                                                  \
        reg_write(v, &i->opnd[0], size, mem_load(v, i->seg, effective_address(v, i), size));                           \
    }                                                                                                                  \
    static void mov_mr_##size(InterpVcpu *v, const Insn *i)                                                            \
    {                                                                                                                  \
        mem_store(v, i->seg, effective_address(v, i), size, reg_read(v, &i->opnd[1], size));                           \
    }                                                                                                                  \
    static void mov_ri_##size(InterpVcpu *v, const Insn *i) { reg_write(v, &i->opnd[0], size, i->imm); }               \
    static void mov_mi_##size(InterpVcpu *v, const Insn *i)                                                            \
    {                                                                                                                  \
        mem_store(v, i->seg, effective_address(v, i), size, i->imm);                                                   \
    }
MOV_SIZE(1)
MOV_SIZE(2)
MOV_SIZE(4)
MOV_SIZE(8)

static inline unsigned size_index(unsigned size) { return __builtin_ctz(size | 8); }

#define EACH_SIZE(tag) { mov_##tag##_1, mov_##tag##_2, mov_##tag##_4, mov_##tag##_8 }
static ExecFn *select_mov(const Insn *i)
{
    static ExecFn *const table[2][3][4] = { /* [destination][source]: register, memory, immediate */
        { EACH_SIZE(rr), EACH_SIZE(rm), EACH_SIZE(ri) }, { EACH_SIZE(mr), EACH_SIZE(mr), EACH_SIZE(mi) } };
    return table[i->opnd[0].kind - OPND_REG][i->opnd[1].kind - OPND_REG][size_index(i->opnd[0].size)];
}

/* ---- MOVZX, MOVSX, MOVSXD: by source size and kind */
ALWAYS_INLINE void extend(InterpVcpu *v, const Insn *i, unsigned from, bool memory, bool is_signed)
{
    uint64_t x = memory ? mem_load(v, i->seg, effective_address(v, i), from) : reg_read(v, &i->opnd[1], from);
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, is_signed ? sign_extend(x, from) : x);
}

#define EXTEND(from)                                                                                                   \
    static void movzx_r_##from(InterpVcpu *v, const Insn *i) { extend(v, i, from, false, false); }                     \
    static void movzx_m_##from(InterpVcpu *v, const Insn *i) { extend(v, i, from, true, false); }                      \
    static void movsx_r_##from(InterpVcpu *v, const Insn *i) { extend(v, i, from, false, true); }                      \
    static void movsx_m_##from(InterpVcpu *v, const Insn *i) { extend(v, i, from, true, true); }
EXTEND(1)
EXTEND(2)
EXTEND(4)

static ExecFn *select_movzx(const Insn *i)
{
    static ExecFn *const table[2][3] = { { movzx_r_1, movzx_r_2, movzx_r_4 }, { movzx_m_1, movzx_m_2, movzx_m_4 } };
    return table[i->opnd[1].kind == OPND_MEM][size_index(i->opnd[1].size)];
}

static ExecFn *select_movsx(const Insn *i)
{
    static ExecFn *const table[2][3] = { { movsx_r_1, movsx_r_2, movsx_r_4 }, { movsx_m_1, movsx_m_2, movsx_m_4 } };
    return table[i->opnd[1].kind == OPND_MEM][size_index(i->opnd[1].size)];
}

/* ---- LEA */
static void lea_64(InterpVcpu *v, const Insn *i) { v->s.gpr[i->opnd[0].reg] = effective_address(v, i); }
static void lea_any(InterpVcpu *v, const Insn *i)
{
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, effective_address(v, i));
}
static ExecFn *select_lea(const Insn *i) { return i->opnd[0].size == 8 ? lea_64 : lea_any; }

/* ---- conditional moves: the source is read whatever the condition; a 32-bit destination is always written */
static void exec_cmov(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opsize;
    uint64_t x = operand_read(v, i, 1, size);
    if (!condition(v->s.rflags, i->cc))
        x = reg_read(v, &i->opnd[0], size);
    reg_write(v, &i->opnd[0], size, x);
}

static void exec_setcc(InterpVcpu *v, const Insn *i) { operand_write(v, i, 0, 1, condition(v->s.rflags, i->cc)); }

/* ---- exchanges.  XCHG with memory is locked with or without the prefix. */
static uint64_t update_xchg(uint64_t old, uint64_t arg, uint64_t *flags) { return arg; }

static void exec_xchg(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[0].size, memory = i->opnd[1].kind == OPND_MEM, reg = !memory;
    if (i->opnd[memory].kind != OPND_MEM) {
        uint64_t a = reg_read(v, &i->opnd[0], size), b = reg_read(v, &i->opnd[1], size);
        reg_write(v, &i->opnd[0], size, b);
        reg_write(v, &i->opnd[1], size, a);
        return;
    }
    Place p = place_of(v, i, size);
    uint64_t flags;
    uint64_t old = place_update_locked(v, &p, size, update_xchg, reg_read(v, &i->opnd[reg], size), &flags);
    reg_write(v, &i->opnd[reg], size, old);
}

static uint64_t alu_add_sized(unsigned size, uint64_t a, uint64_t b, uint64_t *flags)
{
    switch (size) {
    case 1: return alu_add(1, a, b, flags);
    case 2: return alu_add(2, a, b, flags);
    case 4: return alu_add(4, a, b, flags);
    default: return alu_add(8, a, b, flags);
    }
}

static uint64_t update_add(uint64_t old, uint64_t arg, uint64_t *flags) { return old + arg; }

static void exec_xadd(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[0].size;
    uint64_t b = reg_read(v, &i->opnd[1], size), old, flags = v->s.rflags;
    if (i->opnd[0].kind != OPND_MEM) {
        old = reg_read(v, &i->opnd[0], size);
        reg_write(v, &i->opnd[1], size, old);
        reg_write(v, &i->opnd[0], size, alu_add_sized(size, old, b, &v->s.rflags));
        return;
    }
    Place p = place_of(v, i, size);
    if (i->prefixes & PFX_LOCK) {
        old = place_update_locked(v, &p, size, update_add, b, &flags);
    } else {
        old = place_read(v, &p, size);
        place_write(v, &p, size, old + b);
    }
    alu_add_sized(size, old, b, &v->s.rflags);
    reg_write(v, &i->opnd[1], size, old);
}

static void compare_accumulator(InterpVcpu *v, unsigned size, uint64_t a, uint64_t b)
{
    switch (size) {
    case 1: alu_cmp(1, a, b, &v->s.rflags); break;
    case 2: alu_cmp(2, a, b, &v->s.rflags); break;
    case 4: alu_cmp(4, a, b, &v->s.rflags); break;
    default: alu_cmp(8, a, b, &v->s.rflags); break;
    }
}

/* Stores `desired` if memory holds `expected`; returns what it held.  Atomic wherever the host can, LOCK or not. */
static uint64_t place_compare_exchange(InterpVcpu *v, const Place *p, unsigned size, uint64_t expected,
                                       uint64_t desired)
{
    uint64_t found = expected;
    if (place_takes_lock(p, size)) {
        host_compare_exchange(p->host, size, &found, desired);
        place_stored(v, p, size);
        return found;
    }
    world_stop(v);
    found = place_read(v, p, size);
    place_write(v, p, size, found == expected ? desired : found); /* the bus cycle always writes */
    world_go(v);
    return found;
}

static void exec_cmpxchg(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[0].size;
    uint64_t expected = gpr_get(v, GPR_RAX, size), desired = reg_read(v, &i->opnd[1], size), found;
    if (i->opnd[0].kind == OPND_MEM) {
        Place p = place_of(v, i, size);
        found = place_compare_exchange(v, &p, size, expected, desired);
    } else {
        found = reg_read(v, &i->opnd[0], size);
        if (found == expected)
            reg_write(v, &i->opnd[0], size, desired);
    }
    if (found != expected)
        gpr_set(v, GPR_RAX, size, found);
    compare_accumulator(v, size, expected, found);
}

static void exec_cmpxchg8b(InterpVcpu *v, const Insn *i)
{
    uint64_t expected = gpr_get(v, GPR_RDX, 4) << 32 | gpr_get(v, GPR_RAX, 4);
    uint64_t desired = gpr_get(v, GPR_RCX, 4) << 32 | gpr_get(v, GPR_RBX, 4);
    Place p = place_of(v, i, 8);
    uint64_t found = place_compare_exchange(v, &p, 8, expected, desired);
    if (found != expected) {
        gpr_set(v, GPR_RAX, 4, found);
        gpr_set(v, GPR_RDX, 4, found >> 32);
    }
    flags_set(v, RFLAGS_ZF, found == expected ? RFLAGS_ZF : 0);
}

static bool host_compare_exchange16(void *p, uint64_t expected[2], const uint64_t desired[2])
{
    bool done;
    asm volatile("lock cmpxchg16b %[mem]"
                 : "=@ccz"(done), [mem] "+m"(*(unsigned __int128 *)p), "+a"(expected[0]), "+d"(expected[1])
                 : "b"(desired[0]), "c"(desired[1])
                 : "memory");
    return done;
}

static bool memory_compare_exchange16(InterpVcpu *v, Place *p, uint64_t expected[2], const uint64_t desired[2])
{
    if (p->host) { /* aligned to 16, so within a line */
        bool done = host_compare_exchange16(p->host, expected, desired);
        place_stored(v, p, 16);
        return done;
    }
    world_stop(v);
    uint64_t found[2];
    mem_read_bytes(v, p->seg, p->offset, found, 16);
    bool done = found[0] == expected[0] && found[1] == expected[1];
    mem_write_bytes(v, p->seg, p->offset, done ? desired : found, 16);
    world_go(v);
    memcpy(expected, found, 16);
    return done;
}

static void exec_cmpxchg16b(InterpVcpu *v, const Insn *i)
{
    uint64_t offset = effective_address(v, i);
    if ((v->base[i->seg] + offset) & 15)
        interp_gp0(v);
    Place p = place_at(v, i->seg, offset, 16);
    uint64_t expected[2] = { v->s.gpr[GPR_RAX], v->s.gpr[GPR_RDX] };
    const uint64_t desired[2] = { v->s.gpr[GPR_RBX], v->s.gpr[GPR_RCX] };
    bool done = memory_compare_exchange16(v, &p, expected, desired);
    v->s.gpr[GPR_RAX] = expected[0];
    v->s.gpr[GPR_RDX] = expected[1];
    flags_set(v, RFLAGS_ZF, done ? RFLAGS_ZF : 0);
}

/* ---- byte order */
static uint64_t swap_bytes(uint64_t x, unsigned size) { return __builtin_bswap64(x) >> (64 - size * 8); }

/* A 16-bit BSWAP is undefined; processors give zero. */
static void exec_bswap(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[0].size, reg = i->opnd[0].reg;
    gpr_set(v, reg, size, size == 2 ? 0 : swap_bytes(gpr_get(v, reg, size), size));
}

static void exec_movbe(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opsize;
    operand_write(v, i, 0, size, swap_bytes(operand_read(v, i, 1, size), size));
}

/* AL = [rBX + AL], the sum cut to the address size. */
static void exec_xlat(InterpVcpu *v, const Insn *i)
{
    uint64_t offset = (v->s.gpr[GPR_RBX] + (v->s.gpr[GPR_RAX] & 0xff)) & size_mask(i->addrsize);
    gpr_set(v, GPR_RAX, 1, mem_load(v, i->seg, offset, 1));
}

/* ---- flags as data */
static void exec_lahf(InterpVcpu *v, const Insn *i)
{
    ((uint8_t *)&v->s.gpr[GPR_RAX])[1] = (v->s.rflags & RFLAGS_STATUS & 0xff) | RFLAGS_ONE;
}

static void exec_sahf(InterpVcpu *v, const Insn *i)
{
    flags_set(v, RFLAGS_STATUS & 0xff, v->s.gpr[GPR_RAX] >> 8);
}

static void exec_salc(InterpVcpu *v, const Insn *i) { gpr_set(v, GPR_RAX, 1, v->s.rflags & RFLAGS_CF ? 0xff : 0); }
static void exec_clc(InterpVcpu *v, const Insn *i) { v->s.rflags &= ~(uint64_t)RFLAGS_CF; }
static void exec_stc(InterpVcpu *v, const Insn *i) { v->s.rflags |= RFLAGS_CF; }
static void exec_cmc(InterpVcpu *v, const Insn *i) { v->s.rflags ^= RFLAGS_CF; }
static void exec_cld(InterpVcpu *v, const Insn *i) { v->s.rflags &= ~(uint64_t)RFLAGS_DF; }
static void exec_std(InterpVcpu *v, const Insn *i) { v->s.rflags |= RFLAGS_DF; }

/* ---- without effect on state */
static void exec_nop(InterpVcpu *v, const Insn *i) { }
/* Whoever holds what this vCPU spins for may be waiting for the same host CPU. */
static void exec_pause(InterpVcpu *v, const Insn *i)
{
    interp_save_fpu(v);
    sched_yield();
}
static void exec_fence(InterpVcpu *v, const Insn *i) { __sync_synchronize(); }

/* CLFLUSH and its kin are checked as a load of one byte (SDM 2, CLFLUSH), but read nothing. */
static void exec_clflush(InterpVcpu *v, const Insn *i)
{
    mmu_translate(v, interp_linear(v, i->seg, effective_address(v, i), 1, ACCESS_READ), ACCESS_READ, v->who);
}

const ExecEntry exec_move[] = {
    { OP_MOV, .select = select_mov },
    { OP_MOVNTI, .select = select_mov },
    { OP_MOVZX, .select = select_movzx },
    { OP_MOVSX, .select = select_movsx },
    { OP_MOVSXD, .select = select_movsx },
    { OP_LEA, .select = select_lea },
    { OP_CMOVCC, exec_cmov },
    { OP_SETCC, exec_setcc },
    { OP_XCHG, exec_xchg },
    { OP_XADD, exec_xadd },
    { OP_CMPXCHG, exec_cmpxchg },
    { OP_CMPXCHG8B, exec_cmpxchg8b },
    { OP_CMPXCHG16B, exec_cmpxchg16b },
    { OP_BSWAP, exec_bswap },
    { OP_MOVBE, exec_movbe },
    { OP_XLAT, exec_xlat },
    { OP_LAHF, exec_lahf },
    { OP_SAHF, exec_sahf },
    { OP_SALC, exec_salc },
    { OP_CLC, exec_clc },
    { OP_STC, exec_stc },
    { OP_CMC, exec_cmc },
    { OP_CLD, exec_cld },
    { OP_STD, exec_std },
    { OP_NOP, exec_nop },
    { OP_PAUSE, exec_pause },
    { OP_LFENCE, exec_fence },
    { OP_MFENCE, exec_fence },
    { OP_SFENCE, exec_fence },
    { OP_PREFETCH, exec_nop },
    { OP_PREFETCHW, exec_nop },
    { OP_PREFETCHNTA, exec_nop },
    { OP_PREFETCHT0, exec_nop },
    { OP_PREFETCHT1, exec_nop },
    { OP_PREFETCHT2, exec_nop },
    { OP_CLFLUSH, exec_clflush },
    { OP_CLFLUSHOPT, exec_clflush },
    { OP_CLWB, exec_clflush },
    { OP_INVALID },
};
