/* tlb.c - the tables that translated code looks addresses up in; filled from the interpreter's MMU. */
#include "accel/dbt/dbt.h"
#include "accel/interp/mem_inline.h"

static unsigned index_of(uint64_t linear) { return linear >> 12 & (DTLB_SIZE - 1); }

static void drop_entry(DbtTlb *t, unsigned index)
{
    t->tag[index] = index ? 0 : DTLB_EMPTY; /* page 0 has index 0, so elsewhere a tag of 0 matches nothing */
    t->addend[index] = 0;
}

static bool is_filled(const DbtTlb *t, unsigned index) { return t->addend[index] != 0; }

static void note_used(DbtTlb *t, unsigned index)
{
    if (t->n_used < G_N_ELEMENTS(t->used))
        t->used[t->n_used] = index;
    t->n_used = MIN(t->n_used + 1, G_N_ELEMENTS(t->used) + 1);
}

static void table_flush(DbtTlb *t, bool global_too)
{
    bool all = t->n_used > G_N_ELEMENTS(t->used);
    unsigned n_listed = all ? DTLB_SIZE : t->n_used;
    t->n_used = 0; /* listed anew below; never ahead of n */
    for (unsigned n = 0; n < n_listed; n++) {
        unsigned index = all ? n : t->used[n];
        if (!is_filled(t, index))
            continue;
        if (t->global[index] && !global_too)
            note_used(t, index);
        else
            drop_entry(t, index);
    }
}

static void table_set(DbtTlb *t, uint64_t linear, const TlbEntry *e)
{
    unsigned index = index_of(linear);
    if (!is_filled(t, index))
        note_used(t, index);
    t->global[index] = e->global;
    t->tag[index] = linear & ~0xfffull;
    t->addend[index] = (uintptr_t)e->host;
}

void dbt_tlb_init(DbtVcpu *v)
{
    for (unsigned who = 0; who < MEM_WHO_COUNT; who++)
        for (unsigned access = 0; access < 2; access++)
            v->tlb[who][access].tag[0] = DTLB_EMPTY;
}

void dbt_tlb_flush(DbtVcpu *v, bool global_too)
{
    for (unsigned who = 0; who < MEM_WHO_COUNT; who++)
        for (unsigned access = 0; access < 2; access++)
            table_flush(&v->tlb[who][access], global_too);
}

void dbt_tlb_flush_page(DbtVcpu *v, uint64_t linear)
{
    for (unsigned who = 0; who < MEM_WHO_COUNT; who++)
        for (unsigned access = 0; access < 2; access++)
            if (v->tlb[who][access].tag[index_of(linear)] == (linear & ~0xfffull))
                drop_entry(&v->tlb[who][access], index_of(linear));
}

static void table_forbid(DbtTlb *t, const uint8_t *host_page)
{
    bool all = t->n_used > G_N_ELEMENTS(t->used);
    for (unsigned n = 0; n < (all ? DTLB_SIZE : t->n_used); n++) {
        unsigned index = all ? n : t->used[n];
        if (t->addend[index] == (uintptr_t)host_page)
            drop_entry(t, index);
    }
}

void dbt_tlb_forbid_write(DbtVcpu *v, const uint8_t *host_page)
{
    for (unsigned who = 0; who < MEM_WHO_COUNT; who++)
        table_forbid(&v->tlb[who][DTLB_WRITE], host_page);
}

/* A page may be written without notice only when it is dirty already and holds no code. */
static bool plain_ram(const TlbEntry *e) { return e->flags && atomic_load(e->flags) == PAGE_DIRTY; }

bool dbt_tlb_fill(DbtVcpu *v, uint64_t ea, unsigned size, unsigned access)
{
    MemAccess how = access == DTLB_WRITE ? ACCESS_WRITE : ACCESS_READ;
    uint64_t page = ea & ~0xfffull;
    if (((ea + size - 1) & ~0xfffull) != page)
        return false; /* crosses pages */
    if (v->i.code_size == CODE64 && (uint64_t)((int64_t)(ea << 16) >> 16) != ea && !(v->i.s.cr4 & CR4_LA57))
        return false; /* not canonical */
    TlbEntry *e = tlb_entry(&v->i, ea, v->i.who);
    if (e->tag[how] != page)
        e = mmu_translate(&v->i, ea, how, v->i.who);
    if (!e->host || e->tag[how] != page)
        return false;
    if (access == DTLB_WRITE && !plain_ram(e)) {
        if (!e->flags || atomic_load(e->flags) & PAGE_HAS_CODE)
            return false;
        ram_written(&v->i, e->ram, tlb_ram_offset(e), 1);
    }
    table_set(&v->tlb[v->i.who][access], ea, e);
    v->stats.tlb_fills++;
    return true;
}
