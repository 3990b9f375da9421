/* tlb.c - the tables that translated code looks addresses up in; filled from the interpreter's MMU. */
#include "accel/dbt/index_set.h"
#include "accel/dbt/mem.h"
#include "accel/interp/mem_inline.h"

static unsigned index_of(uint64_t linear) { return linear >> 12 & (DTLB_SIZE - 1); }

static void drop_entry(DbtTlb *t, unsigned index)
{
    t->tag[index] = index ? 0 : DTLB_EMPTY; /* page 0 has index 0, so elsewhere a tag of 0 matches nothing */
    t->addend[index] = 0;
    index_remove(&t->filled[0], index);
    index_remove(&t->filled[1], index);
}

static void table_flush(DbtTlb *t, TlbFlush what)
{
    for (unsigned global = 0; global < 2; global++)
        if (flush_concerns(what, global))
            INDEX_FOREACH(index, &t->filled[global])
                drop_entry(t, index);
}

/* Entries of the 4 MiB around, which may be of one page. */
static void table_flush_large(DbtTlb *t, uint64_t linear, TlbFlush what)
{
    enum { PAGES = 1 << 10 };
    unsigned first = index_of(linear) & ~(PAGES - 1u);
    for (unsigned global = 0; global < 2; global++)
        if (flush_concerns(what, global))
            INDEX_FOREACH_IN(index, &t->filled[global], first, PAGES)
                if ((t->tag[index] ^ linear) >> 22 == 0)
                    drop_entry(t, index);
}

static void table_set(DbtTlb *t, uint64_t linear, const TlbEntry *e)
{
    unsigned index = index_of(linear);
    index_remove(&t->filled[!e->global], index);
    index_add(&t->filled[e->global], index);
    t->tag[index] = linear & ~0xfffull;
    t->addend[index] = (uintptr_t)e->host;
}

void dbt_tlb_init(DbtTlb *t) { t->tag[0] = DTLB_EMPTY; }

/* ---- flushes of what is current */
static void for_tables(DbtVcpu *v, TlbFlush what, void each(DbtTlb *t, uint64_t linear, TlbFlush what), uint64_t linear)
{
    for (unsigned who = what & FLUSH_OWN ? MEM_IMPLICIT + 1 : 0; who < MEM_WHO_COUNT; who++)
        for (unsigned access = 0; access < 2; access++)
            each(dbt_tlb(v, who, access), linear, what);
}

static void flush_one(DbtTlb *t, uint64_t linear, TlbFlush what) { table_flush(t, what); }
static void renew_filter(DbtVcpu *v);
void dbt_tlb_flush(DbtVcpu *v, TlbFlush what)
{
    if (v->flat) {
        dbt_flat_flush(v, what);
        if (what & FLUSH_GLOBAL && v->n_writable > v->renew_filter_at)
            renew_filter(v);
    } else
        for_tables(v, what, flush_one, 0);
}

void dbt_tlb_flush_shared(DbtVcpu *v)
{
    if (v->flat) {
        dbt_flat_flush_shared(v);
        return;
    }
    table_flush(&v->shared_tlb[DTLB_READ], FLUSH_LOCAL);
    table_flush(&v->shared_tlb[DTLB_WRITE], FLUSH_LOCAL);
}

static void flush_page_one(DbtTlb *t, uint64_t linear, TlbFlush what)
{
    unsigned index = index_of(linear);
    if (t->tag[index] == (linear & ~0xfffull) && flush_concerns(what, index_has(t->filled[1].bit, index)))
        drop_entry(t, index);
}

void dbt_tlb_flush_page(DbtVcpu *v, uint64_t linear, TlbFlush what)
{
    if (v->i.huge_pages)
        dbt_tlb_flush(v, what);
    else if (v->flat)
        dbt_flat_flush_page(v, linear, mmu_may_be_large(&v->i, linear), what);
    else
        for_tables(v, what, mmu_may_be_large(&v->i, linear) ? table_flush_large : flush_page_one, linear);
}

/* ---- pages that get their first code are not written without a look from then on, in no context */
static unsigned writable_bit(const uint8_t *host_page) { return ((uintptr_t)host_page >> 12 ^ (uintptr_t)host_page >> 28) % INDEX_SIZE; }

static void table_forbid(DbtTlb *t, const uint8_t *host_page)
{
    for (unsigned global = 0; global < 2; global++)
        INDEX_FOREACH(index, &t->filled[global])
            if (t->addend[index] == (uintptr_t)host_page)
                drop_entry(t, index);
}

/* Any thread may ask.  The page's flag is set already, and all threads have passed a barrier since: who fills an entry sets the
 * bit, then looks at the flag. */
bool dbt_tlb_may_write(const DbtVcpu *v, const uint8_t *host_page)
{
    unsigned bit = writable_bit(host_page);
    return __atomic_load_n(&v->writable[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1;
}

static void note_writable(DbtVcpu *v, const uint8_t *host_page)
{
    unsigned bit = writable_bit(host_page);
    if (dbt_tlb_may_write(v, host_page))
        return;
    __atomic_store_n(&v->writable[bit / 64], v->writable[bit / 64] | 1ull << bit % 64, __ATOMIC_RELAXED);
    atomic_signal_fence(memory_order_seq_cst);
    v->n_writable++;
}

/* The filter made anew from the pages that tables still may let be written, each of whose bits stays set all the while. */
static void renew_filter(DbtVcpu *v)
{
    enum { FEW = 512 };
    uint64_t now[INDEX_WORDS] = { 0 };
    v->n_writable = dbt_flat_list_writable(v, now, writable_bit);
    v->renew_filter_at = 2 * v->n_writable + FEW;
    for (unsigned n = 0; n < INDEX_WORDS; n++)
        __atomic_store_n(&v->writable[n], now[n], __ATOMIC_RELAXED);
}

void dbt_tlb_forbid_write(DbtVcpu *v, const uint8_t *host_page)
{
    if (!dbt_tlb_may_write(v, host_page))
        return;
    if (v->flat) {
        dbt_flat_forbid_write(v, host_page);
        return;
    }
    table_forbid(&v->shared_tlb[DTLB_WRITE], host_page);
    for (unsigned n = 0; n < TLB_CONTEXTS; n++)
        for (unsigned who = 0; v->contexts[n] && who < MEM_WHO_COUNT - 1; who++)
            table_forbid(&v->contexts[n]->tlb[who][DTLB_WRITE], host_page);
}

/* ---- filling */

/* A page may be written without notice only when it is dirty already and holds no code. */
static bool plain_ram(const TlbEntry *e) { return e->flags && atomic_load(e->flags) == PAGE_DIRTY; }

/* False: it was there already, so it is not what the access lacks. */
static bool set(DbtVcpu *v, uint64_t ea, unsigned access, const TlbEntry *e)
{
    if (v->flat)
        return dbt_flat_set(v, v->i.who, access, ea, e);
    table_set(dbt_tlb(v, v->i.who, access), ea, e);
    return true;
}

bool dbt_tlb_fill(DbtVcpu *v, uint64_t ea, unsigned size, unsigned access)
{
    if (v->flat)
        dbt_flat_touch(v, v->i.who, access, ea);
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
    bool is_new[2] = { false, false };
    if (e->tag[ACCESS_READ] == page)
        is_new[DTLB_READ] = set(v, ea, DTLB_READ, e);
    if (e->tag[ACCESS_WRITE] == page)
        note_writable(v, e->host);
    if (e->tag[ACCESS_WRITE] == page && plain_ram(e))
        is_new[DTLB_WRITE] = set(v, ea, DTLB_WRITE, e);
    v->stats.tlb_fills++;
    return is_new[access];
}
