/*
 * flat.c - the flat tables: for each page of linear addresses what to add to get the host address.  See mem.h.
 *
 * A slot that holds nothing holds poison: an addend that leads every address with this slot into the arena's guard.  Bit 0
 * tells it from entries.  A table is a reservation; pieces of it are made accessible, and filled with poison, when they
 * are first needed.
 */
#include <errno.h>
#include <sys/mman.h>

#include "accel/dbt/mem.h"

enum {
    PIECE_SHIFT = 9, PIECE_SLOTS = 1 << PIECE_SHIFT, /* a page, which stands for 2 MiB of addresses */
    /* Of a table; of all: each may cost two of the host's mappings, and a process has 65,530 (vm.max_map_count). */
    MOST_PIECES = 2048, ALL_PIECES = 24 << 10, MOST_USED = 1 << 14,
    HINTS = 1 << 14, FAULTS_UNTIL_CHECKED = 4,
};

/* A slot that has been filled; it may be poison again. */
typedef struct Used {
    uint64_t page : 52, who : 2, access : 1; /* of linear addresses */
    const uint8_t *host; /* the page */
} Used;

typedef struct UsedList {
    unsigned n;
    Used used[MOST_USED];
} UsedList;

/* Apart, so that a change of CR3 need not read entries that stay: those of MEM_IMPLICIT and the others, local and global. */
enum { SHARED = 0, OWN = 2, LISTS = 4 };
static unsigned list_of(MemWho who, bool global) { return (who == MEM_IMPLICIT ? SHARED : OWN) + global; }

typedef struct FlatTable {
    uint64_t *slot;
    unsigned n_pieces;
    uint32_t piece[MOST_PIECES];
    uint8_t accessible[FLAT_SLOTS / PIECE_SLOTS / 8 + 1]; /* a bit a piece */
    UsedList list[LISTS];
} FlatTable;

struct DbtFlat {
    DbtRegion *region;
    uint64_t poison;
    unsigned most_pieces;
    FlatTable *table[TLB_CONTEXTS];
    uint8_t faults[HINTS];
};

DbtFlat *dbt_flat_create(DbtVcpu *v, DbtRegion *r)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(v->low_bits); n++)
        v->low_bits[n] = (2u << n) - 1;
    DbtFlat *f = g_new0(DbtFlat, 1);
    f->region = r;
    f->poison = dbt_region_poison(r);
    f->most_pieces = MIN(MOST_PIECES, ALL_PIECES / TLB_CONTEXTS / MAX(v->i.vcpu.machine->config.cpus, 1u));
    return f;
}

void dbt_flat_destroy(DbtFlat *f)
{
    if (!f)
        return;
    for (unsigned n = 0; n < TLB_CONTEXTS; n++)
        if (f->table[n])
            munmap(f->table[n], sizeof(FlatTable));
    g_free(f);
}

/* Mapped, so that only what is touched costs memory. */
void dbt_flat_make_table(DbtFlat *f, unsigned context, uint64_t *table)
{
    FlatTable *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t == MAP_FAILED)
        g_error("out of memory for address translation (%zu bytes)", sizeof(*t)); /* as g_malloc does */
    t->slot = table;
    f->table[context] = t;
}

/* ---- slots */

static uint64_t slot_of(MemWho who, unsigned access, uint64_t page)
{
    return (page + FLAT_KIND(who, access) + FLAT_FIRST_SLOT) & (FLAT_SLOTS - 1);
}
static uint64_t poison_of(const DbtFlat *f, uint64_t slot) { return f->poison - ((slot - FLAT_FIRST_SLOT) << 12) + 1; }
static bool is_accessible(const FlatTable *t, uint64_t slot)
{
    uint64_t piece = slot >> PIECE_SHIFT;
    return t->accessible[piece / 8] >> piece % 8 & 1;
}
static bool is_filled(const FlatTable *t, uint64_t slot) { return is_accessible(t, slot) && !(t->slot[slot] & 1); }
static void drop(const DbtFlat *f, FlatTable *t, uint64_t slot) { t->slot[slot] = poison_of(f, slot); }

/* Everything gone, as at the start. */
static void table_reset(FlatTable *t)
{
    for (unsigned n = 0; n < t->n_pieces; n++) {
        uint64_t piece = t->piece[n];
        mmap(t->slot + (piece << PIECE_SHIFT), PIECE_SLOTS * 8, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        t->accessible[piece / 8] &= (uint8_t)~(1 << piece % 8);
    }
    t->n_pieces = 0;
    for (unsigned n = 0; n < LISTS; n++)
        t->list[n].n = 0;
}

static bool set_access(uint64_t *piece) { return mprotect(piece, PIECE_SLOTS * 8, PROT_READ | PROT_WRITE) == 0; }

static void make_accessible(DbtVcpu *v, FlatTable *t, uint64_t slot)
{
    if (is_accessible(t, slot))
        return;
    interp_save_fpu(&v->i);
    if (t->n_pieces >= v->flat->most_pieces)
        table_reset(t);
    uint64_t piece = slot >> PIECE_SHIFT, first = piece << PIECE_SHIFT;
    if (!set_access(t->slot + first)) {
        table_reset(t);
        if (!set_access(t->slot + first))
            g_error("out of memory for address translation"); /* as g_malloc does */
    }
    for (uint64_t n = first; n < first + PIECE_SLOTS; n++)
        drop(v->flat, t, n);
    t->accessible[piece / 8] |= (uint8_t)(1 << piece % 8);
    t->piece[t->n_pieces++] = (uint32_t)piece;
}

static FlatTable *current(const DbtVcpu *v) { return v->flat->table[v->i.context]; }

void dbt_flat_touch(DbtVcpu *v, MemWho who, unsigned access, uint64_t linear)
{
    make_accessible(v, current(v), slot_of(who, access, linear >> 12));
}

static void drop_if_filled(const DbtFlat *f, FlatTable *t, const Used *u)
{
    uint64_t slot = slot_of(u->who, u->access, u->page);
    if (is_filled(t, slot))
        drop(f, t, slot);
}

static void list_flush(const DbtFlat *f, FlatTable *t, UsedList *l)
{
    for (unsigned n = 0; n < l->n; n++)
        drop_if_filled(f, t, &l->used[n]);
    l->n = 0;
}

static void lists_flush(const DbtFlat *f, FlatTable *t, unsigned lists, TlbFlush what)
{
    if (what & FLUSH_LOCAL)
        list_flush(f, t, &t->list[lists]);
    if (what & FLUSH_GLOBAL)
        list_flush(f, t, &t->list[lists + 1]);
}

bool dbt_flat_set(DbtVcpu *v, MemWho who, unsigned access, uint64_t linear, const TlbEntry *e)
{
    DbtFlat *f = v->flat;
    FlatTable *t = current(v);
    uint64_t slot = slot_of(who, access, linear >> 12);
    make_accessible(v, t, slot);
    uint8_t *window = dbt_region_window(v, f->region, e->ram);
    if (!window)
        return false;
    uint64_t addend = (uintptr_t)window + tlb_ram_offset(e) - (linear & ~0xfffull);
    if (t->slot[slot] == addend)
        return false;
    UsedList *l = &t->list[list_of(who, e->global)];
    if (l->n == MOST_USED)
        list_flush(f, t, l);
    l->used[l->n++] = (Used){ .page = linear >> 12, .who = who, .access = access, .host = e->host };
    t->slot[slot] = addend;
    return true;
}

/* ---- dropping */

void dbt_flat_flush(DbtVcpu *v, TlbFlush what)
{
    DbtFlat *f = v->flat;
    for (unsigned n = 0; n < TLB_CONTEXTS && !(what & FLUSH_OWN); n++)
        if (f->table[n])
            lists_flush(f, f->table[n], SHARED, what);
    lists_flush(f, current(v), OWN, what);
}

void dbt_flat_flush_shared(DbtVcpu *v) { lists_flush(v->flat, current(v), SHARED, FLUSH_LOCAL); }

/* An entry's own list knows whether it is global, which hardly matters here: one too many dropped is filled again. */
static void flush_small(const DbtFlat *f, FlatTable *t, unsigned lists, uint64_t page)
{
    for (unsigned who = lists == SHARED ? MEM_IMPLICIT : MEM_IMPLICIT + 1; who < (lists == SHARED ? MEM_IMPLICIT + 1 : MEM_WHO_COUNT); who++)
        for (unsigned access = 0; access < 2; access++)
            drop_if_filled(f, t, &(Used){ .page = page, .who = who, .access = access });
}

static void list_flush_large(const DbtFlat *f, FlatTable *t, UsedList *l, uint64_t page)
{
    enum { PAGES_SHIFT = 10 };
    unsigned kept = 0;
    for (unsigned n = 0; n < l->n; n++) {
        if ((l->used[n].page ^ page) >> PAGES_SHIFT == 0)
            drop_if_filled(f, t, &l->used[n]);
        else if (kept++ != n)
            l->used[kept - 1] = l->used[n];
    }
    l->n = kept; /* a page that comes and goes is not listed once for each time */
}

static void flush_large(const DbtFlat *f, FlatTable *t, unsigned lists, uint64_t page)
{
    list_flush_large(f, t, &t->list[lists], page);
    list_flush_large(f, t, &t->list[lists + 1], page);
}

void dbt_flat_flush_page(DbtVcpu *v, uint64_t linear, bool large, TlbFlush what)
{
    DbtFlat *f = v->flat;
    void (*flush)(const DbtFlat *, FlatTable *, unsigned, uint64_t) = large ? flush_large : flush_small;
    for (unsigned n = 0; n < TLB_CONTEXTS && !(what & FLUSH_OWN); n++)
        if (f->table[n])
            flush(f, f->table[n], SHARED, linear >> 12);
    flush(f, current(v), OWN, linear >> 12);
}

unsigned dbt_flat_list_writable(const DbtVcpu *v, uint64_t *bits, unsigned bit_of(const uint8_t *host_page))
{
    unsigned listed = 0;
    for (unsigned c = 0; c < LISTS * TLB_CONTEXTS; c++) {
        const FlatTable *t = v->flat->table[c / LISTS];
        for (unsigned n = 0; t && n < t->list[c % LISTS].n; n++) {
            const Used *u = &t->list[c % LISTS].used[n];
            if (u->access != DTLB_WRITE)
                continue;
            bits[bit_of(u->host) / 64] |= 1ull << bit_of(u->host) % 64;
            listed++;
        }
    }
    return listed;
}

void dbt_flat_forbid_write(DbtVcpu *v, const uint8_t *host_page)
{
    DbtFlat *f = v->flat;
    for (unsigned c = 0; c < LISTS * TLB_CONTEXTS; c++) {
        FlatTable *t = f->table[c / LISTS];
        for (unsigned n = 0; t && n < t->list[c % LISTS].n; n++) {
            const Used *u = &t->list[c % LISTS].used[n];
            if (u->access == DTLB_WRITE && u->host == host_page)
                drop_if_filled(f, t, u);
        }
    }
}

/* ---- sites */

static uint8_t *hint_of(DbtFlat *f, const uint8_t *insn)
{
    uintptr_t at = (uintptr_t)insn;
    return &f->faults[(at ^ at >> 14) % HINTS];
}

bool dbt_flat_site_is_checked(const DbtVcpu *v, const uint8_t *insn) { return *hint_of(v->flat, insn) >= FAULTS_UNTIL_CHECKED; }

bool dbt_flat_site_faulted(DbtVcpu *v, const uint8_t *insn)
{
    uint8_t *n = hint_of(v->flat, insn);
    if (*n >= FAULTS_UNTIL_CHECKED)
        return false;
    return ++*n == FAULTS_UNTIL_CHECKED;
}
