/*
 * mem_flat.c - linear address to host memory by the flat table (flat.c): the addend of the page is added, and an address
 * that the table does not know faults.
 *
 * An access must not cross its page, for the host page behind it is another guest page's.  Aligned accesses do not; what
 * is not known to be aligned is tested, where the guest's flags may be spoilt by a branch, else by a load that faults
 * where the low bits of the address are not 0.
 */
#include "accel/dbt/mem.h"
#include "accel/dbt/translate.h"

static bool may_spoil_flags(const Translator *t) { return !t->live || t->flags_in_memory; }
static bool is_scalar(unsigned size) { return size == 1 || size == 2 || size == 4 || size == 8; }

static const uint8_t *here(const Translator *t) { return t->b->host + (t->rip - t->b->rip); }

bool mem_flat_keeps_flags(const Translator *t, unsigned size, unsigned align)
{
    return (is_scalar(size) || align == size) && !dbt_flat_site_is_checked(t->v, here(t));
}

static unsigned power_of_2_from(unsigned n)
{
    unsigned p = 1;
    while (p < n)
        p *= 2;
    return p;
}

static void test_low_bits(Translator *t, unsigned mask) /* of SCRATCH_U */
{
    e_rex(&t->e, false, 0, 0, SCRATCH_U);
    e1(&t->e, 0xf6), e1(&t->e, 0xc0 | (SCRATCH_U & 7)), e1(&t->e, mask);
}

/* Compares the last byte's offset in the page: above it the access crosses. */
static uint8_t *branch_if_crossing(Translator *t, unsigned size)
{
    e_mov32(&t->e, SCRATCH_T, SCRATCH_U);
    e_alu_imm(&t->e, false, 4, SCRATCH_T, 0xfff); /* and */
    e_alu_imm(&t->e, false, 7, SCRATCH_T, 4096 - size); /* cmp */
    return e_jcc(&t->e, CC_A);
}

static DbtExit *crossing_exit(Translator *t) { return tr_new_exit(t, EXIT_INTERP, t->rip); }

static void check_by_branch(Translator *t, unsigned size)
{
    if (size > 32) {
        tr_add_site(t, branch_if_crossing(t, size), crossing_exit(t));
        return;
    }
    test_low_bits(t, power_of_2_from(size) - 1);
    ColdSite *s = tr_add_site(t, e_jcc(&t->e, CC_NE), crossing_exit(t));
    s->back = t->e.p;
    s->size = size;
}

/* Cold: not aligned, but most such accesses do not cross either. */
void mem_flat_cold(Translator *t, const ColdSite *s)
{
    uint8_t *crosses = branch_if_crossing(t, s->size);
    patch_rel32(e_jmp(&t->e), s->back);
    patch_rel32(crosses, t->e.p);
}

/* The bits select one of the quadwords that begin at the last one which can be read. */
static void check_by_load(Translator *t, unsigned size)
{
    e_pext_gs(&t->e, SCRATCH_T, SCRATCH_U, GS_OFF(low_bits) + 8 * (size == 2 ? 0 : size == 4 ? 1 : 2));
    e_gs_indexed(&t->e, 0x8b, SCRATCH_T, SCRATCH_T, GS_EDGE);
}

void mem_flat_translate(Translator *t, unsigned size, unsigned access, unsigned align)
{
    FaultSite *f = tr_add_fault_site(t, size, access);
    bool checked = dbt_flat_site_is_checked(t->v, here(t));
    if (size > 1 && align != size) {
        if (may_spoil_flags(t))
            check_by_branch(t, size);
        else
            check_by_load(t, size);
    }
    f->flags_saved = t->flags_in_memory;
    f->aligned = align > 1;
    e_rorx(&t->e, SCRATCH_T, SCRATCH_U, 12);
    e_mov32(&t->e, SCRATCH_T, SCRATCH_T);
    e_gs_indexed(&t->e, 0x8b, SCRATCH_T, SCRATCH_T, FLAT_TABLE_OFFSET + 8 * FLAT_KIND(mode_who(t->mode), access));
    if (!checked || !may_spoil_flags(t))
        return;
    DbtExit *x = tr_new_exit(t, EXIT_MEMORY, t->rip);
    x->size = size, x->access = access, x->aligned = align > 1;
    e_rex(&t->e, false, 0, 0, SCRATCH_T);
    e1(&t->e, 0xf6), e1(&t->e, 0xc0 | (SCRATCH_T & 7)), e1(&t->e, 1); /* test t8, 1: poison */
    tr_add_site(t, e_jcc(&t->e, CC_NE), x);
}
