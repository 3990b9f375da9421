/*
 * mmu.c - page tables and the soft TLB.  SDM 3, chapter 4.
 *
 * Entries of page tables are read with single loads and their A and D bits set by compare-and-swap, so that a walk by
 * one vCPU and a store to the table by another behave as on real processors: if the entry changed, the walk starts
 * over.
 */
#include "accel/interp/sys.h"

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX (1ull << 63)
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_RESERVED = 8, PF_FETCH = 16 };

typedef enum WalkResult { WALK_OK, WALK_ABSENT, WALK_RESERVED } WalkResult;
typedef struct Walk {
    uint64_t gpa;                          /* of the 4 KiB page */
    uint64_t entry_gpa[5], entry_value[5]; /* as read, in order of the walk; the last is the leaf */
    unsigned n, entry_size, shift;
    bool user, writable, nx, global;
} Walk;

static const FlatView *memory_view(InterpVcpu *v)
{
    if (G_UNLIKELY(!v->memory_view)) {
        interp_save_fpu(v);
        v->memory_view = space_view(v->vcpu.machine->memory);
    }
    return v->memory_view;
}

/* The range that holds all of [gpa, gpa + size), or NULL. */
static const FlatRange *find_range(InterpVcpu *v, uint64_t gpa, unsigned size)
{
    const FlatRange *r = v->last_range;
    if (!r || gpa < r->start || gpa - r->start >= r->size)
        v->last_range = r = view_find(memory_view(v), gpa);
    return r && gpa >= r->start && size <= r->size - (gpa - r->start) ? r : NULL;
}

void mmu_forget_view(InterpVcpu *v)
{
    if (v->memory_view)
        view_unref(v->memory_view);
    v->memory_view = NULL;
    v->last_range = NULL;
}

static uint8_t *table_host(InterpVcpu *v, uint64_t gpa, unsigned size, bool write, RamBlock **ret_ram)
{
    const FlatRange *r = find_range(v, gpa, size);
    if (!r || !(r->kind == REGION_RAM || (r->kind == REGION_ROM && !write)))
        return NULL;
    *ret_ram = r->ram;
    return r->ram->host + r->offset + (gpa - r->start);
}

static uint64_t table_read(InterpVcpu *v, uint64_t gpa, unsigned size)
{
    RamBlock *ram;
    const uint8_t *p = table_host(v, gpa, size, false, &ram);
    if (p)
        return host_load(p, size);
    interp_save_fpu(v);
    return vcpu_mmio_read(&v->vcpu, gpa, size);
}

/* Adds bits to an entry that still has the value that was read.  False: it has changed meanwhile. */
static bool table_set_bits(InterpVcpu *v, uint64_t gpa, unsigned size, uint64_t seen, uint64_t bits)
{
    if ((seen & bits) == bits)
        return true;
    RamBlock *ram;
    uint8_t *p = table_host(v, gpa, size, true, &ram);
    if (!p)
        return true; /* tables in ROM or a device: nothing can be recorded */
    bool ok;
    if (size == 4) {
        uint32_t old = (uint32_t)seen;
        ok = __atomic_compare_exchange_n((uint32_t *)p, &old, old | (uint32_t)bits, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST);
    } else {
        ok = __atomic_compare_exchange_n((uint64_t *)p, &seen, seen | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    if (ok && atomic_load_explicit(&ram->page_flags[(p - ram->host) >> 12], memory_order_relaxed) != PAGE_DIRTY)
        ram_written(v, ram, (uint64_t)(p - ram->host), size);
    return ok;
}

static uint64_t walk_read(InterpVcpu *v, Walk *w, uint64_t gpa)
{
    uint64_t e = table_read(v, gpa, w->entry_size);
    w->entry_gpa[w->n] = gpa;
    w->entry_value[w->n++] = e;
    w->user &= (e & PTE_U) != 0;
    w->writable &= (e & PTE_W) != 0;
    w->nx |= w->entry_size == 8 && (e & PTE_NX);
    return e;
}

static void walk_leaf(Walk *w, uint64_t linear, uint64_t frame, unsigned shift, bool global)
{
    uint64_t low = (1ull << shift) - 1;
    w->gpa = (frame & ~low) | (linear & low & ~0xfffull);
    w->shift = shift;
    w->global = global;
}

/* 32-bit paging, with 4 MiB pages of up to 40 physical bits (PSE-36).  SDM 3, 4.3. */
static WalkResult walk32(InterpVcpu *v, uint64_t linear, Walk *w)
{
    w->entry_size = 4;
    uint64_t e = walk_read(v, w, (v->s.cr3 & 0xfffff000) + (linear >> 22 & 0x3ff) * 4);
    if (!(e & PTE_P))
        return WALK_ABSENT;
    if ((e & PTE_PS) && (v->s.cr4 & CR4_PSE)) {
        uint64_t high = has(v, FEAT_PSE36) ? (e >> 13 & 0xff) << 32 & phys_mask(v) : 0;
        if ((e & 0x3fe000) != high >> 32 << 13)
            return WALK_RESERVED;
        walk_leaf(w, linear, (e & 0xffc00000) | high, 22, e & PTE_G);
        return WALK_OK;
    }
    e = walk_read(v, w, (e & 0xfffff000) + (linear >> 12 & 0x3ff) * 4);
    if (!(e & PTE_P))
        return WALK_ABSENT;
    walk_leaf(w, linear, e & 0xfffff000, 12, e & PTE_G);
    return WALK_OK;
}

/* Bits that must be 0 in a present 8-byte entry.  SDM 3, tables 4-9 to 4-20. */
static uint64_t reserved_bits(InterpVcpu *v, unsigned level, bool leaf)
{
    uint64_t bits = 0x000fffffffffffffull & ~phys_mask(v);
    if (!(v->s.efer & EFER_NXE))
        bits |= PTE_NX;
    if (!v->long_mode)
        bits |= 0x7ff0000000000000ull;
    if (level > 3 || (level == 3 && !has(v, FEAT_PDPE1GB)))
        bits |= PTE_PS;
    if (leaf && level > 1)
        bits |= ((1ull << (12 + 9 * (level - 1))) - 1) & ~0x1fffull;
    return bits;
}

static WalkCacheEntry *walk_cache_entry(InterpVcpu *v, uint64_t linear) { return &v->walk_cache[(linear >> 21) % WALK_CACHE]; }

/* Starts a walk at its last level, if that table is cached: the entries above it are marked accessed. */
static bool walk_from_cache(InterpVcpu *v, uint64_t linear, Walk *w, uint64_t *ret_table)
{
    const WalkCacheEntry *c = walk_cache_entry(v, linear);
    if (c->epoch != v->walk_epoch || c->region != linear >> 21)
        return false;
    w->user = c->user, w->writable = c->writable, w->nx = c->nx;
    *ret_table = c->table;
    return true;
}

/* The upper levels as they were before the leaf changed the rights. */
static void walk_remember(InterpVcpu *v, uint64_t linear, const Walk *w)
{
    if (w->entry_size != 8 || w->shift != 12 || w->n < 2)
        return;
    WalkCacheEntry *c = walk_cache_entry(v, linear);
    *c = (WalkCacheEntry){ .region = linear >> 21, .epoch = v->walk_epoch, .user = true, .writable = true };
    for (unsigned i = 0; i < w->n - 1; i++) {
        uint64_t e = w->entry_value[i];
        c->user &= (e & PTE_U) != 0;
        c->writable &= (e & PTE_W) != 0;
        c->nx |= (e & PTE_NX) != 0;
    }
    c->table = w->entry_value[w->n - 2] & 0x000ffffffffff000ull;
}

/* PAE, 4-level and 5-level paging: 512 entries of 8 bytes a table. */
static WalkResult walk64(InterpVcpu *v, uint64_t linear, Walk *w, bool cached)
{
    uint64_t table = v->s.cr3 & phys_mask(v) & ~0xfffull;
    unsigned level = v->s.cr4 & CR4_LA57 ? 5 : 4;
    w->entry_size = 8;
    if (cached && walk_from_cache(v, linear, w, &table)) {
        level = 1;
    } else if (!v->long_mode) {
        uint64_t pdpte = v->pdpte[linear >> 30 & 3];
        if (!(pdpte & PTE_P))
            return WALK_ABSENT;
        table = pdpte & phys_mask(v) & ~0xfffull;
        level = 2;
    }
    for (;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        uint64_t e = walk_read(v, w, table + (linear >> shift & 0x1ff) * 8);
        if (!(e & PTE_P))
            return WALK_ABSENT;
        bool leaf = level == 1 || (level <= 3 && (e & PTE_PS));
        if (e & reserved_bits(v, level, leaf))
            return WALK_RESERVED;
        uint64_t frame = e & 0x000ffffffffff000ull;
        if (leaf) {
            walk_leaf(w, linear, frame, shift, e & PTE_G);
            return WALK_OK;
        }
        table = frame;
    }
}

static WalkResult walk(InterpVcpu *v, uint64_t linear, Walk *w, bool cached)
{
    *w = (Walk){ .user = true, .writable = true, .shift = 12 };
    if (!(v->s.cr0 & CR0_PG)) {
        w->gpa = linear & 0xfffff000;
        return WALK_OK;
    }
    WalkResult r = v->s.cr4 & CR4_PAE ? walk64(v, linear, w, cached) : walk32(v, linear, w);
    w->global = w->global && (v->s.cr4 & CR4_PGE);
    return r;
}

/* SDM 3, 4.6.1. */
static bool walk_permits(InterpVcpu *v, const Walk *w, MemAccess access, MemWho who)
{
    if (!(v->s.cr0 & CR0_PG))
        return true;
    bool user = who == MEM_USER;
    if (user && !w->user)
        return false;
    if (access == ACCESS_EXEC)
        return !w->nx && !(!user && w->user && (v->s.cr4 & CR4_SMEP));
    if (!user && w->user && (v->s.cr4 & CR4_SMAP) && who != MEM_SMAP_AC)
        return false;
    return access == ACCESS_READ || w->writable || (!user && !(v->s.cr0 & CR0_WP));
}

static bool walk_mark(InterpVcpu *v, const Walk *w, bool write)
{
    for (unsigned i = 0; i < w->n; i++) {
        uint64_t bits = PTE_A | (write && i == w->n - 1 ? PTE_D : 0);
        if (!table_set_bits(v, w->entry_gpa[i], w->entry_size, w->entry_value[i], bits))
            return false;
    }
    return true;
}

static uint32_t page_fault_error(InterpVcpu *v, bool present, bool reserved, MemAccess access, MemWho who)
{
    bool fetch_shown = (v->s.cr4 & CR4_SMEP) || ((v->s.cr4 & CR4_PAE) && (v->s.efer & EFER_NXE));
    return (present ? PF_PRESENT : 0) | (access == ACCESS_WRITE ? PF_WRITE : 0) | (who == MEM_USER ? PF_USER : 0) |
           (reserved ? PF_RESERVED : 0) | (access == ACCESS_EXEC && fetch_shown ? PF_FETCH : 0);
}

/* ---- filling the TLB */
/* Is a data breakpoint in this page?  Then its accesses take the slow path, which looks at DR0-3. */
static bool page_is_watched(const InterpVcpu *v, uint64_t page)
{
    for (unsigned n = 0; n < 4; n++)
        if ((v->s.dr[7] >> (2 * n) & 3) && (v->s.dr[7] >> (16 + 4 * n) & 3) &&
            ((v->s.dr[n] & v->linear_mask & ~0xfffull) == page ||
             ((v->s.dr[n] + 7) & v->linear_mask & ~0xfffull) == page))
            return true;
    return false;
}

static void entry_place(InterpVcpu *v, TlbEntry *e, const Walk *w)
{
    e->gpa = w->gpa;
    e->global = w->global;
    e->shift = (uint8_t)w->shift;
    e->host = NULL;
    e->ram = NULL;
    e->flags = NULL;
    const FlatRange *r = w->gpa == v->apic_page ? NULL : find_range(v, w->gpa, 4096);
    if (!r || (r->kind != REGION_RAM && r->kind != REGION_ROM))
        return;
    uint64_t offset = r->offset + (w->gpa - r->start);
    e->ram = r->ram;
    e->host = r->ram->host + offset;
    if (r->kind == REGION_RAM)
        e->flags = &r->ram->page_flags[offset >> 12];
}

/* Would a write need no walk, for the leaf is marked dirty? */
static bool may_write_now(InterpVcpu *v, const Walk *w, MemWho who)
{
    return walk_permits(v, w, ACCESS_WRITE, who) && (!w->n || w->entry_value[w->n - 1] & PTE_D);
}

static TlbEntry *entry_fill(InterpVcpu *v, uint64_t linear, MemAccess access, MemWho who, const Walk *w)
{
    TlbEntry *e = tlb_entry(v, linear, who);
    uint64_t page = linear & ~0xfffull;
    if (tlb_entry_page(e) != page || e->gpa != w->gpa || !e->listed)
        tlb_entry_clear(e);
    entry_place(v, e, w);
    tlb_list(v, who, e);
    if (w->shift > 12)
        tlb_note_large(v, linear, w->shift);
    if (!e->host) {
        e->tag[access] = page | TLB_DEVICE;
        return e;
    }
    if (access == ACCESS_EXEC) {
        e->tag[ACCESS_EXEC] = page;
    } else if (!page_is_watched(v, page)) {
        e->tag[ACCESS_READ] = page;
        if (e->flags && (access == ACCESS_WRITE || may_write_now(v, w, who)))
            e->tag[ACCESS_WRITE] = page;
    }
    return e;
}

/* Every level anew: faults come of what stands in memory now. */
static void walk_all(InterpVcpu *v, uint64_t linear, MemAccess access, MemWho who, Walk *w)
{
    do {
        WalkResult r = walk(v, linear, w, false);
        if (r != WALK_OK)
            interp_raise_page_fault(v, linear,
                                    page_fault_error(v, r == WALK_RESERVED, r == WALK_RESERVED, access, who));
        if (!walk_permits(v, w, access, who))
            interp_raise_page_fault(v, linear, page_fault_error(v, true, false, access, who));
    } while (!walk_mark(v, w, access == ACCESS_WRITE));
    walk_remember(v, linear, w);
}

TlbEntry *mmu_translate(InterpVcpu *v, uint64_t linear, MemAccess access, MemWho who)
{
    TlbEntry *e = tlb_entry(v, linear, who);
    if ((e->tag[access] & ~TLB_DEVICE) == (linear & ~0xfffull))
        return e;
    /* Code that runs into the hole, a table that reaches over it; data accesses were checked before. */
    if (v->long_mode && !interp_canonical(v, linear))
        interp_gp0(v);
    Walk w;
    bool cached = walk(v, linear, &w, true) == WALK_OK && walk_permits(v, &w, access, who) && walk_mark(v, &w, access == ACCESS_WRITE);
    if (!cached)
        walk_all(v, linear, access, who, &w);
    return entry_fill(v, linear, access, who, &w);
}

bool mmu_debug_translate(InterpVcpu *v, uint64_t linear, uint64_t *ret_gpa)
{
    Walk w;
    if ((v->long_mode && !interp_canonical(v, linear)) || walk(v, linear, &w, false) != WALK_OK)
        return false;
    *ret_gpa = w.gpa | (linear & 0xfff);
    return true;
}

/* SDM 3, 4.4.1: reserved are bits 2:1, 8:5 and those above the physical address width. */
bool mmu_load_pdptes(InterpVcpu *v, uint64_t cr3)
{
    uint64_t pdpte[4];
    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = table_read(v, (cr3 & 0xffffffe0) + i * 8, 8);
        if ((pdpte[i] & PTE_P) && (pdpte[i] & (~phys_mask(v) | 0x1e6)))
            return false;
    }
    memcpy(v->pdpte, pdpte, sizeof pdpte);
    return true;
}

void interp_sys_init(InterpVcpu *v)
{
    v->apic_page = ~0ull;
    tlb_init(v);
}

void interp_sys_finish(InterpVcpu *v)
{
    mmu_forget_view(v);
    tlb_finish(v);
}
