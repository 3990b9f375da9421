/*
 * jumps.c - where jumps through registers and to other pages go: tables by the low 16 bits of RIP, a set for each context.
 *
 * Entries that know nothing lead to the miss.  A table in which few are used shares the pages of all others with a file that
 * holds nothing but that address, the template.
 */
#include "accel/dbt/index_set.h"

#include <sys/mman.h>
#include <unistd.h>

static void drop_entry(DbtVcpu *v, DbtJumps *j, unsigned index)
{
    j->entry[index] = dbt_glue_miss(v->glue);
    index_remove(&j->filled[0], index);
    index_remove(&j->filled[1], index);
}

static void drop_second(DbtJumps *j, unsigned index)
{
    j->second_minus_rip[index] = index == 0; /* index 0: RIP 0 would match an empty one, and -1 has another index */
    index_remove(&j->second_filled[0], index);
    index_remove(&j->second_filled[1], index);
}

static void table_flush(DbtVcpu *v, DbtJumps *j, TlbFlush what)
{
    for (unsigned global = 0; global < 2; global++) {
        if (!flush_concerns(what, global))
            continue;
        INDEX_FOREACH(index, &j->filled[global])
            drop_entry(v, j, index);
        INDEX_FOREACH(index, &j->second_filled[global])
            drop_second(j, index);
    }
}

void dbt_jump_flush(DbtVcpu *v, TlbFlush what)
{
    for (unsigned who = what & FLUSH_OWN ? MEM_IMPLICIT + 1 : 0; who < MEM_WHO_COUNT; who++)
        table_flush(v, dbt_jumps(v, who), what);
}

void dbt_jump_flush_shared(DbtVcpu *v) { table_flush(v, &v->shared_jumps, FLUSH_LOCAL); }

/* ---- INVLPG: pages of data are most, and concern no jump */
static unsigned filter_bit(uint64_t unit) { return (unit ^ unit >> 16 ^ unit >> 29) % JUMP_FILTER_BITS; }

static void filter_add(DbtJumps *j, uint64_t rip)
{
    index_put(j->pages, filter_bit(rip >> 12), true);
    index_put(j->large, filter_bit(rip >> 22), true);
}

/* Does code at the RIP that stands there as its negative touch the page?  An instruction may begin in the page before. */
static bool touches(uint64_t minus_rip, uint64_t page) { return -minus_rip - page + INSN_MAX_BYTES < 0x1000 + INSN_MAX_BYTES; }

static void flush_page(DbtVcpu *v, DbtJumps *j, uint64_t page, TlbFlush what)
{
    unsigned first = page & 0xf000, before = (first - INSN_MAX_BYTES) % JUMP_SIZE;
    for (unsigned global = 0; global < 2; global++) {
        if (!flush_concerns(what, global))
            continue;
        INDEX_FOREACH_IN(index, &j->filled[global], first, 0x1000)
            if (touches(j->minus_rip[index], page))
                drop_entry(v, j, index);
        INDEX_FOREACH_IN(index, &j->filled[global], before, INSN_MAX_BYTES)
            if (touches(j->minus_rip[index], page))
                drop_entry(v, j, index);
        INDEX_FOREACH(index, &j->second_filled[global])
            if (touches(j->second_minus_rip[index], page))
                drop_second(j, index);
    }
}

void dbt_jump_flush_page(DbtVcpu *v, uint64_t linear, TlbFlush what)
{
    bool large = mmu_may_be_large(&v->i, linear);
    for (unsigned who = what & FLUSH_OWN ? MEM_IMPLICIT + 1 : 0; who < MEM_WHO_COUNT; who++) {
        DbtJumps *j = dbt_jumps(v, who);
        if (v->i.huge_pages || (large && index_has(j->large, filter_bit(linear >> 22))))
            table_flush(v, j, what);
        else if (!large && index_has(j->pages, filter_bit(linear >> 12)))
            flush_page(v, j, linear & ~0xfffull, what);
    }
}

/* ---- entries: what leads to nothing leads to the miss */
static void fill(DbtVcpu *v, DbtJumps *j)
{
    madvise(j->entry, sizeof(j->entry), MADV_POPULATE_WRITE); /* faster than by faults, where the kernel knows it */
    for (unsigned n = 0; n < JUMP_SIZE; n++)
        j->entry[n] = dbt_glue_miss(v->glue);
}

static bool write_template(int fd, const void *miss)
{
    const void *part[JUMP_SIZE / 8];
    for (unsigned n = 0; n < G_N_ELEMENTS(part); n++)
        part[n] = miss;
    bool ok = true;
    for (size_t at = 0; at < sizeof(((DbtJumps *)NULL)->entry); at += sizeof(part))
        ok = ok && pwrite(fd, part, sizeof(part), at) == sizeof(part);
    return ok;
}

/* Before that the template is a hole: a guest that never leaves supervisor mode needs none. */
static void first_use(DbtVcpu *v, DbtJumps *j)
{
    interp_save_fpu(&v->i);
    if (!v->jump_template_written)
        v->jump_template_written = write_template(v->jump_template, dbt_glue_miss(v->glue));
    if (!v->jump_template_written)
        fill(v, j); /* no memory for the file */
}

/* Code jumps through a table only in the mode that is written here (exits.c, tr_enter_mode()). */
void dbt_jump_check_mode(DbtVcpu *v)
{
    DbtJumps *j = dbt_jumps(v, mode_who(v->mode));
    if (j->mode == v->mode)
        return;
    if (!j->mode && j != &v->shared_jumps) /* no mode of theirs is 0: it names who */
        first_use(v, j);
    table_flush(v, j, FLUSH_ALL);
    j->mode = v->mode;
}

static void remember_second(DbtVcpu *v, DbtJumps *j, DbtBlock *b, uint64_t rip)
{
    unsigned index = dbt_second_index(rip);
    index_remove(&j->second_filled[!v->page_global], index);
    index_add(&j->second_filled[v->page_global], index);
    j->second_minus_rip[index] = -rip;
    j->second_code[index] = b->known_entry;
    b->in_second = true;
}

void dbt_jump_remember(DbtVcpu *v, DbtBlock *b)
{
    DbtJumps *j = dbt_jumps(v, mode_who(b->mode));
    uint64_t rip = v->i.s.rip;
    uint16_t index = rip;
    filter_add(j, rip);
    b->remembered |= 1 << v->i.context;
    if (b->second)
        filter_add(j, rip + b->bytes);
    bool taken = index_has(j->filled[0].bit, index) || index_has(j->filled[1].bit, index);
    if (taken && j->minus_rip[index] != -rip && !b->second) {
        remember_second(v, j, b, rip);
        return;
    }
    index_remove(&j->filled[!v->page_global], index);
    index_add(&j->filled[v->page_global], index);
    j->minus_rip[index] = -rip;
    j->entry[index] = b->checked_entry;
}

static void forget(DbtVcpu *v, DbtJumps *j, const DbtBlock *b)
{
    unsigned step = mode_relative(b->mode) ? 0x1000 : JUMP_SIZE;
    for (unsigned index = b->rip % step; index < JUMP_SIZE; index += step)
        if (j->entry[index] == b->checked_entry)
            drop_entry(v, j, index);
    for (unsigned global = 0; b->in_second && global < 2; global++)
        INDEX_FOREACH(index, &j->second_filled[global])
            if (j->second_code[index] == b->known_entry)
                drop_second(j, index);
}

void dbt_jump_forget(DbtVcpu *v, const DbtBlock *b)
{
    MemWho who = mode_who(b->mode);
    if (who == MEM_IMPLICIT && b->remembered)
        forget(v, &v->shared_jumps, b);
    for (unsigned n = 0; who != MEM_IMPLICIT && n < TLB_CONTEXTS; n++)
        if (b->remembered >> n & 1)
            forget(v, &v->contexts[n]->jumps[who - 1], b);
}

/* ---- life */
void dbt_jumps_init(DbtVcpu *v, DbtJumps *j)
{
    drop_second(j, 0);
    if (v->jump_template < 0 || mmap(j->entry, sizeof(j->entry), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                                     v->jump_template, 0) == MAP_FAILED)
        fill(v, j);
}

void dbt_jumps_create(DbtVcpu *v)
{
    v->jump_template = memfd_create("atoll-jumps", MFD_CLOEXEC);
    if (v->jump_template >= 0 && ftruncate(v->jump_template, sizeof(v->shared_jumps.entry))) {
        close(v->jump_template);
        v->jump_template = -1;
    }
    fill(v, &v->shared_jumps); /* not a mapping of the template: the DbtVcpu is mapped once more for each context (context.c) */
    drop_second(&v->shared_jumps, 0);
}

void dbt_jumps_destroy(DbtVcpu *v)
{
    if (v->jump_template >= 0)
        close(v->jump_template);
}

/* All blocks are gone.  The glue stands first in the buffer, so the miss is where it was. */
void dbt_jumps_reset(DbtVcpu *v)
{
    table_flush(v, &v->shared_jumps, FLUSH_ALL);
    for (unsigned n = 0; n < TLB_CONTEXTS; n++)
        for (unsigned who = 0; v->contexts[n] && who < MEM_WHO_COUNT - 1; who++)
            table_flush(v, &v->contexts[n]->jumps[who], FLUSH_ALL);
}
