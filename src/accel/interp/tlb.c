/*
 * tlb.c - what is cached of page tables: contexts, one a PCID, and what takes entries out of them.  SDM 3, 4.10.
 *
 * A flush of a context that is not current leaves a note; it is carried out when the context becomes current again.
 */
#include "accel/interp/sys.h"

/* Of zeroed memory, so that pages of the table that are never used are never touched.  A tag of 0 matches what ends in page 0: that
 * begins there, too, or wraps around from the page in front. */
static void table_init(Tlb *t)
{
    tlb_entry_clear(&t->entry[0]);
    tlb_entry_clear(&t->entry[TLB_SIZE - 1]);
}

static bool concerns(TlbFlush what, const TlbEntry *e) { return what & (e->global ? FLUSH_GLOBAL : FLUSH_LOCAL); }

static void table_flush(Tlb *t, TlbFlush what)
{
    unsigned kept = 0;
    if (!(what & FLUSH_GLOBAL) && !t->has_local)
        return;
    t->has_local &= !(what & FLUSH_LOCAL);
    for (unsigned i = 0; i < t->n_used; i++) {
        TlbEntry *e = &t->entry[t->used[i]];
        if (!concerns(what, e)) {
            t->used[kept++] = t->used[i];
            continue;
        }
        tlb_entry_clear(e);
        e->listed = false;
    }
    t->n_used = kept;
}

void tlb_list(InterpVcpu *v, MemWho who, TlbEntry *e)
{
    Tlb *t = v->tlb[who];
    t->has_local |= !e->global;
    if (e->listed)
        return;
    e->listed = true;
    t->used[t->n_used++] = (uint16_t)(e - t->entry);
}

/* ---- large pages: a filter by 2 MiB tells INVLPG when to look further than at one entry */
static unsigned filter_bit(uint64_t linear) { return (linear >> 21 ^ linear >> 33) % LARGE_FILTER_BITS; }

void tlb_note_large(InterpVcpu *v, uint64_t linear, unsigned shift)
{
    uint64_t size = 1ull << MIN(shift, 22), start = linear & ~(size - 1);
    v->huge_pages |= shift > 22;
    for (uint64_t at = start; at - start < size; at += 1 << 21)
        v->large_filter[filter_bit(at) / 64] |= 1ull << filter_bit(at) % 64;
}

bool mmu_may_be_large(const InterpVcpu *v, uint64_t linear)
{
    return v->huge_pages || v->large_filter[filter_bit(linear) / 64] >> filter_bit(linear) % 64 & 1;
}

static void table_flush_large(Tlb *t, uint64_t linear, TlbFlush what)
{
    for (unsigned i = 0; i < t->n_used; i++) {
        TlbEntry *e = &t->entry[t->used[i]];
        if (e->shift > 12 && concerns(what, e) && (tlb_entry_page(e) ^ linear) >> e->shift == 0)
            tlb_entry_clear(e);
    }
}

/* ---- the current context */
static void new_walk_epoch(InterpVcpu *v)
{
    v->walk_epoch = v->contexts[v->context].walk_epoch = ++v->last_walk_epoch;
}

static void flush_current(InterpVcpu *v, TlbFlush what)
{
    if (v->client)
        v->client->tlb_flushed(v, what);
    for (unsigned who = 0; who < MEM_WHO_COUNT; who++)
        if (who != MEM_IMPLICIT || !(what & FLUSH_OWN))
            table_flush(v->tlb[who], what);
    new_walk_epoch(v);
}

static void flush_page_current(InterpVcpu *v, uint64_t linear, TlbFlush what)
{
    if (v->client)
        v->client->tlb_page_flushed(v, linear, what);
    bool large = mmu_may_be_large(v, linear);
    for (unsigned who = 0; who < MEM_WHO_COUNT; who++) {
        TlbEntry *e = tlb_entry(v, linear, who);
        if (tlb_entry_page(e) == (linear & ~0xfffull) && concerns(what, e))
            tlb_entry_clear(e);
        if (large)
            table_flush_large(v->tlb[who], linear, what);
    }
    new_walk_epoch(v);
}

/* ---- changing contexts */
static uint16_t current_pcid(const InterpVcpu *v) { return v->s.cr4 & CR4_PCIDE ? v->s.cr3 & 0xfff : 0; }

static TlbContext *find_context(InterpVcpu *v, uint16_t pcid)
{
    for (TlbContext *c = v->contexts; c < v->contexts + TLB_CONTEXTS; c++)
        if (c->ready && c->pcid == pcid)
            return c;
    return NULL;
}

/* The one not used for longest, for another PCID. */
static TlbContext *take_context(InterpVcpu *v, uint16_t pcid)
{
    TlbContext *oldest = v->contexts;
    for (TlbContext *c = v->contexts; c < v->contexts + TLB_CONTEXTS; c++)
        if (c->last_used < oldest->last_used)
            oldest = c;
    if (!oldest->ready) {
        table_init(&oldest->user);
        table_init(&oldest->smap_ac);
        oldest->ready = true;
        oldest->log_seen = v->n_flushed_pages;
    }
    oldest->pcid = pcid;
    oldest->due = FLUSH_ALL;
    return oldest;
}

static void use_context(InterpVcpu *v, TlbContext *c)
{
    v->context = c - v->contexts;
    v->tlb[MEM_USER] = &c->user;
    v->tlb[MEM_SMAP_AC] = &c->smap_ac;
    v->walk_epoch = c->walk_epoch;
}

/* What was flushed while c was not current. */
static void catch_up(InterpVcpu *v, TlbContext *c)
{
    uint64_t missed = v->n_flushed_pages - c->log_seen;
    if (missed > TLB_LOG)
        c->due |= FLUSH_GLOBAL;
    if (c->due)
        flush_current(v, c->due | FLUSH_OWN);
    if (!(c->due & FLUSH_GLOBAL))
        for (uint64_t n = c->log_seen; n < v->n_flushed_pages; n++)
            flush_page_current(v, v->flushed_pages[n % TLB_LOG], FLUSH_GLOBAL);
    c->due = 0;
    c->log_seen = v->n_flushed_pages;
}

static void switch_context(InterpVcpu *v, TlbContext *to)
{
    v->contexts[v->context].last_used = ++v->context_clock;
    v->contexts[v->context].log_seen = v->n_flushed_pages;
    to->last_used = G_MAXUINT64; /* as long as it is current */
    use_context(v, to);
    table_flush(&v->shared_tlb, FLUSH_LOCAL);
    if (v->client)
        v->client->tlb_switched(v);
    catch_up(v, to);
}

void mmu_cr3_loaded(InterpVcpu *v, bool keep)
{
    uint16_t pcid = current_pcid(v);
    TlbContext *now = &v->contexts[v->context];
    if (now->pcid != pcid) {
        TlbContext *to = find_context(v, pcid);
        if (!to)
            to = take_context(v, pcid);
        to->due |= keep ? 0 : FLUSH_LOCAL;
        switch_context(v, to);
    } else if (!keep) {
        flush_current(v, FLUSH_LOCAL);
    }
}

/* ---- flushes */
void mmu_flush(InterpVcpu *v, bool global_too)
{
    TlbFlush what = global_too ? FLUSH_ALL : FLUSH_LOCAL;
    for (TlbContext *c = v->contexts; c < v->contexts + TLB_CONTEXTS; c++)
        if (c != &v->contexts[v->context])
            c->due |= what;
    if (global_too) {
        memset(v->large_filter, 0, sizeof(v->large_filter));
        v->huge_pages = false;
    }
    flush_current(v, what);
}

void mmu_flush_pcid(InterpVcpu *v, uint16_t pcid)
{
    TlbContext *c = find_context(v, pcid);
    if (c == &v->contexts[v->context])
        flush_current(v, FLUSH_LOCAL);
    else if (c)
        c->due |= FLUSH_LOCAL;
}

void mmu_flush_page(InterpVcpu *v, uint64_t linear)
{
    v->flushed_pages[v->n_flushed_pages++ % TLB_LOG] = linear;
    flush_page_current(v, linear, FLUSH_ALL);
}

/* ---- life */
void tlb_init(InterpVcpu *v)
{
    v->contexts = g_new0(TlbContext, TLB_CONTEXTS);
    table_init(&v->shared_tlb);
    v->tlb[MEM_IMPLICIT] = &v->shared_tlb;
    TlbContext *first = take_context(v, 0);
    first->due = 0;
    first->last_used = G_MAXUINT64;
    use_context(v, first);
    new_walk_epoch(v);
}

void tlb_finish(InterpVcpu *v) { g_free(v->contexts); }
