#pragma once
#include "accel/interp/interp.h"
/*
 * mem_inline.h - guest memory accesses that hit the soft TLB, inline; everything else goes to mmu.c.
 *
 * The page-crossing check is free: the entry is looked up by the first byte's page and its tag compared with the last
 * byte's, and neighbours never share an entry.  A non-canonical or wrapped address has no entry, so it misses too.
 */
static inline TlbEntry *tlb_entry(InterpVcpu *v, uint64_t linear, MemWho who)
{
    return &v->tlb[who]->entry[linear >> 12 & (TLB_SIZE - 1)];
}

/* The host address of [linear, linear + size) or NULL: take the slow path.  After a store: tlb_stored(). */
static inline uint8_t *tlb_host(InterpVcpu *v, uint64_t linear, unsigned size, MemAccess access, MemWho who)
{
    TlbEntry *e = tlb_entry(v, linear, who);
    if (G_UNLIKELY(e->tag[access] != ((linear + size - 1) & ~0xfffull)))
        return NULL;
    return e->host + (linear & 0xfff);
}

/* Code that was decoded of these bytes goes, and a clean page becomes dirty. */
static inline void tlb_stored(InterpVcpu *v, const TlbEntry *e, uint64_t linear, unsigned size)
{
    if (G_UNLIKELY(atomic_load_explicit(e->flags, memory_order_relaxed) != PAGE_DIRTY))
        ram_written(v, e->ram, tlb_ram_offset(e) + (linear & 0xfff), size);
}

static inline bool mem_flat(const InterpVcpu *v, unsigned seg, MemAccess access) { return v->flat[seg] >> access & 1; }
static inline uint64_t mem_flat_linear(const InterpVcpu *v, unsigned seg, uint64_t offset)
{
    return (v->base[seg] + offset) & v->linear_mask;
}

/* Host memory that other vCPUs change meanwhile: constant sizes become one move, so aligned accesses never tear. */
static inline uint64_t host_load(const uint8_t *p, unsigned size)
{
    uint16_t w;
    uint32_t d;
    uint64_t q;
    switch (size) {
    case 1: return *(const volatile uint8_t *)p;
    case 2: memcpy(&w, p, 2); return w;
    case 4: memcpy(&d, p, 4); return d;
    default: memcpy(&q, p, 8); return q;
    }
}

static inline void host_store(uint8_t *p, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(volatile uint8_t *)p = (uint8_t)value; break;
    case 2: memcpy(p, &(uint16_t){ (uint16_t)value }, 2); break;
    case 4: memcpy(p, &(uint32_t){ (uint32_t)value }, 4); break;
    default: memcpy(p, &value, 8); break;
    }
}

/* Any number of bytes, by the processor's own loops: light code cannot call the C library's. */
static inline void host_fill(uint8_t *to, uint8_t byte, size_t n)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
}

static inline void host_copy(uint8_t *to, const uint8_t *from, size_t n) /* as memmove() */
{
    if ((uintptr_t)to - (uintptr_t)from >= n) {
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
        return;
    }
    to += n - 1, from += n - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

/* As mem_read() and mem_write(); best with a constant size. */
static inline uint64_t mem_load(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size)
{
    if (G_LIKELY(mem_flat(v, seg, ACCESS_READ))) {
        const uint8_t *p = tlb_host(v, mem_flat_linear(v, seg, offset), size, ACCESS_READ, v->who);
        if (G_LIKELY(p))
            return host_load(p, size);
    }
    return mem_read(v, seg, offset, size);
}

static inline void mem_store(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size, uint64_t value)
{
    if (G_LIKELY(mem_flat(v, seg, ACCESS_WRITE))) {
        uint64_t linear = mem_flat_linear(v, seg, offset);
        uint8_t *p = tlb_host(v, linear, size, ACCESS_WRITE, v->who);
        if (G_LIKELY(p)) {
            host_store(p, size, value);
            tlb_stored(v, tlb_entry(v, linear, v->who), linear, size);
            return;
        }
    }
    mem_write(v, seg, offset, size, value);
}

/* RSP as the stack segment's size has it. */
static inline void stack_set_pointer(InterpVcpu *v, uint64_t value)
{
    if (v->stack_size == 2)
        v->s.gpr[GPR_RSP] = (v->s.gpr[GPR_RSP] & ~0xffffull) | (value & 0xffff);
    else
        v->s.gpr[GPR_RSP] = value & v->stack_mask;
}

static inline void stack_push_inline(InterpVcpu *v, unsigned size, uint64_t value)
{
    uint64_t at = (v->s.gpr[GPR_RSP] - size) & v->stack_mask;
    mem_store(v, SEG_SS, at, size, value);
    stack_set_pointer(v, at);
}

static inline uint64_t stack_pop_inline(InterpVcpu *v, unsigned size)
{
    uint64_t at = v->s.gpr[GPR_RSP] & v->stack_mask;
    uint64_t value = mem_load(v, SEG_SS, at, size);
    stack_set_pointer(v, at + size);
    return value;
}
