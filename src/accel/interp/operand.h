#pragma once
#include "accel/interp/mem_inline.h"
/*
 * operand.h - registers, memory operands and flags, inline.
 *
 * Sizes are constants where a handler is made for one, so that each function here folds to a few instructions.  The
 * fast path of a memory access is a hit in the soft TLB (mem_inline.h); all else goes to mmu.c.
 * A plain access of 1, 2, 4 or 8 bytes is one host access: what the guest's other processors may see of it is what
 * the host gives.
 */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)

typedef uint16_t __attribute__((aligned(1), may_alias)) Unaligned16;
typedef uint32_t __attribute__((aligned(1), may_alias)) Unaligned32;
typedef uint64_t __attribute__((aligned(1), may_alias)) Unaligned64;

ALWAYS_INLINE uint64_t size_mask(unsigned size) { return size >= 8 ? ~0ull : (1ull << size * 8) - 1; }
ALWAYS_INLINE uint64_t sign_bit(unsigned size) { return 1ull << (size * 8 - 1); }
ALWAYS_INLINE uint64_t sign_extend(uint64_t value, unsigned size)
{
    switch (size) {
    case 1: return (int64_t)(int8_t)value;
    case 2: return (int64_t)(int16_t)value;
    case 4: return (int64_t)(int32_t)value;
    default: return value;
    }
}

/* ---- general registers: 32-bit writes clear the upper half, narrower ones leave the rest (SDM 1, 3.4.1.1) */
ALWAYS_INLINE void *gpr_pointer(InterpVcpu *v, const Operand *o)
{
    return (uint8_t *)&v->s.gpr[o->reg] + (o->cls == RC_GPR_HIGH);
}

ALWAYS_INLINE uint64_t gpr_get(const InterpVcpu *v, unsigned reg, unsigned size)
{
    return v->s.gpr[reg] & size_mask(size);
}

ALWAYS_INLINE void gpr_set(InterpVcpu *v, unsigned reg, unsigned size, uint64_t value)
{
    if (size >= 4)
        v->s.gpr[reg] = value & size_mask(size);
    else
        v->s.gpr[reg] = (v->s.gpr[reg] & ~size_mask(size)) | (value & size_mask(size));
}

ALWAYS_INLINE uint64_t reg_read(InterpVcpu *v, const Operand *o, unsigned size)
{
    return size == 1 ? *(uint8_t *)gpr_pointer(v, o) : gpr_get(v, o->reg, size);
}

ALWAYS_INLINE void reg_write(InterpVcpu *v, const Operand *o, unsigned size, uint64_t value)
{
    if (size == 1)
        *(uint8_t *)gpr_pointer(v, o) = value;
    else
        gpr_set(v, o->reg, size, value);
}

/* ---- flags */
ALWAYS_INLINE void flags_set(InterpVcpu *v, uint64_t mask, uint64_t value)
{
    v->s.rflags = (v->s.rflags & ~mask) | (value & mask);
}

/* Condition codes, SDM 1, appendix B. */
ALWAYS_INLINE bool condition(uint64_t f, unsigned cc)
{
    bool r;
    switch (cc >> 1) {
    case 0: r = f & RFLAGS_OF; break;
    case 1: r = f & RFLAGS_CF; break;
    case 2: r = f & RFLAGS_ZF; break;
    case 3: r = f & (RFLAGS_CF | RFLAGS_ZF); break;
    case 4: r = f & RFLAGS_SF; break;
    case 5: r = f & RFLAGS_PF; break;
    case 6: r = (f >> 4 ^ f) & RFLAGS_SF; break; /* OF (bit 11) against SF (bit 7) */
    default: r = ((f >> 4 ^ f) & RFLAGS_SF) || (f & RFLAGS_ZF); break;
    }
    return r ^ (cc & 1);
}

/* ---- effective address */
ALWAYS_INLINE uint64_t effective_address(const InterpVcpu *v, const Insn *i)
{
    uint64_t a = i->disp;
    if (i->base < 16)
        a += v->s.gpr[i->base];
    else if (i->base == INSN_RIP)
        a += v->next_rip;
    if (i->index != INSN_NO_REG)
        a += v->s.gpr[i->index] << i->scale;
    return likely(i->addrsize == 8) ? a : a & size_mask(i->addrsize);
}

/* ---- memory operands */
/* A memory operand that is read and then written: looked up once.  host NULL: two accesses through mmu.c. */
typedef struct Place {
    uint8_t *host;
    uint64_t offset, linear;
    unsigned seg;
} Place;

ALWAYS_INLINE Place place_at(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size)
{
    Place p = { .offset = offset, .seg = seg };
    if (likely(mem_flat(v, seg, ACCESS_WRITE))) {
        p.linear = mem_flat_linear(v, seg, offset);
        p.host = tlb_host(v, p.linear, size, ACCESS_WRITE, v->who);
    }
    if (unlikely(!p.host))
        mem_probe_write(v, seg, offset, size);
    return p;
}

ALWAYS_INLINE void place_stored(InterpVcpu *v, const Place *p, unsigned size)
{
    tlb_stored(v, tlb_entry(v, p->linear, v->who), p->linear, size);
}

ALWAYS_INLINE Place place_of(InterpVcpu *v, const Insn *i, unsigned size)
{
    return place_at(v, i->seg, effective_address(v, i), size);
}

ALWAYS_INLINE uint64_t place_read(InterpVcpu *v, const Place *p, unsigned size)
{
    return likely(p->host) ? host_load(p->host, size) : mem_read(v, p->seg, p->offset, size);
}

ALWAYS_INLINE void place_write(InterpVcpu *v, const Place *p, unsigned size, uint64_t value)
{
    if (likely(p->host)) {
        host_store(p->host, size, value);
        place_stored(v, p, size);
    } else {
        mem_write(v, p->seg, p->offset, size, value);
    }
}

/* ---- operands of any kind; `size` is usually the operand's own */
ALWAYS_INLINE uint64_t operand_read(InterpVcpu *v, const Insn *i, unsigned n, unsigned size)
{
    const Operand *o = &i->opnd[n];
    if (o->kind == OPND_REG)
        return reg_read(v, o, size);
    if (o->kind == OPND_MEM)
        return mem_load(v, i->seg, effective_address(v, i), size);
    return i->imm & size_mask(size);
}

ALWAYS_INLINE void operand_write(InterpVcpu *v, const Insn *i, unsigned n, unsigned size, uint64_t value)
{
    const Operand *o = &i->opnd[n];
    if (o->kind == OPND_REG)
        reg_write(v, o, size, value);
    else
        mem_store(v, i->seg, effective_address(v, i), size, value);
}

/* ---- locked read-modify-write: new = update(old, arg).  May run update more than once. */
typedef uint64_t UpdateFn(uint64_t old, uint64_t arg, uint64_t *flags);

ALWAYS_INLINE bool host_compare_exchange(void *p, unsigned size, uint64_t *expected, uint64_t desired)
{
    bool done;
#define CMPXCHG_ASM(suffix, modifier, Type)                                                                            \
    asm volatile("lock cmpxchg" suffix " %" modifier "[new], %[mem]"                                                   \
                 : "=@ccz"(done), [mem] "+m"(*(Type *)p), "+a"(*expected)                                              \
                 : [new] "q"(desired)                                                                                  \
                 : "memory")
    switch (size) {
    case 1: CMPXCHG_ASM("b", "b", uint8_t); break;
    case 2: CMPXCHG_ASM("w", "w", Unaligned16); break;
    case 4: CMPXCHG_ASM("l", "k", Unaligned32); break;
    default: CMPXCHG_ASM("q", "q", Unaligned64); break;
    }
#undef CMPXCHG_ASM
    *expected &= size_mask(size);
    return done;
}

/* Within one cache line a host LOCK costs little; across two it may be trapped by the host (split lock detection). */
ALWAYS_INLINE bool place_takes_lock(const Place *p, unsigned size)
{
    return p->host && ((uintptr_t)p->host & 63) + size <= 64;
}

/* The world stopped for accesses that no host LOCK can make: devices, page and line crossings.  A fault that unwinds
 * between the two ends it (v->exclusive). */
ALWAYS_INLINE void world_stop(InterpVcpu *v)
{
    interp_save_fpu(v);
    exclusive_begin(&v->vcpu);
    v->exclusive = true;
}

ALWAYS_INLINE void world_go(InterpVcpu *v)
{
    v->exclusive = false;
    interp_save_fpu(v);
    exclusive_end(&v->vcpu);
}

/* Returns the old value.  *flags: read and written by update. */
ALWAYS_INLINE uint64_t place_update_locked(InterpVcpu *v, const Place *p, unsigned size, UpdateFn *update, uint64_t arg,
                                           uint64_t *flags)
{
    uint64_t flags_in = *flags;
    if (likely(place_takes_lock(p, size))) {
        uint64_t old = host_load(p->host, size);
        uint64_t new = update(old, arg, flags);
        while (!host_compare_exchange(p->host, size, &old, new)) {
            *flags = flags_in;
            new = update(old, arg, flags);
        }
        place_stored(v, p, size);
        return old;
    }
    world_stop(v);
    uint64_t old = place_read(v, p, size);
    place_write(v, p, size, update(old, arg, flags));
    world_go(v);
    return old;
}
