/*
 * mem_flat.c - linear address to host memory by the flat table (flat.c): the addend of the page is added, and an address
 * that the table does not know faults.
 *
 * An access must not cross its page, for the host page behind it is another guest page's.  Aligned accesses do not; what
 * is not known to be aligned is tested, in ways that fault: most never are anything but aligned, and a site that faults a
 * few times is translated anew with a better check.
 */
#include "accel/dbt/mem.h"
#include "accel/dbt/translate.h"

_Static_assert(FLAT_INVALID_BYTE % 8 == 0 && FLAT_KIND_SLOTS % 32 == 0, "see branch_if_misaligned()");

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

static void load_addend(Translator *t, unsigned access)
{
    enum { ADDRESS_SIZE = 0x67 };
    e_rorx(&t->e, SCRATCH_T, SCRATCH_U, 12);
    e1(&t->e, ADDRESS_SIZE);
    e_gs_indexed(&t->e, 0x8b, SCRATCH_T, SCRATCH_T, (uint32_t)(8 * (FLAT_FIRST_SLOT + FLAT_KIND(mode_who(t->mode), access))));
}

static ColdSite *check_addend(Translator *t, unsigned size, unsigned access, unsigned align)
{
    DbtExit *x = tr_new_exit(t, EXIT_MEMORY, t->rip);
    x->size = size, x->access = access, x->aligned = align > 1;
    e_rex(&t->e, false, 0, 0, SCRATCH_T);
    e1(&t->e, 0xf6), e1(&t->e, 0xc0 | (SCRATCH_T & 7)), e1(&t->e, 1); /* test t8, 1: poison */
    return tr_add_site(t, e_jcc(&t->e, CC_NE), x);
}

/* ---- groups of accesses (group.c) */

bool mem_may_group(const Translator *t) { return t->v->flat && !(t->mode & MODE_SINGLE) && may_spoil_flags(t); }

/* Cold: the last byte is near the start of its page, so the first may be in the one before. */
static void group_cold(Translator *t, const ColdSite *s)
{
    e_mov32(&t->e, SCRATCH_T, SCRATCH_U);
    e_alu_imm(&t->e, false, 4, SCRATCH_T, 0xfff); /* and */
    e_alu_imm(&t->e, false, 7, SCRATCH_T, s->size - 1); /* cmp */
    patch_rel32(e_jcc(&t->e, CC_AE), s->back);
}

/* Looks up where the last byte of the group stands, to SCRATCH_U, and serves the first access. */
void mem_flat_lead(Translator *t, unsigned size, unsigned access, unsigned align)
{
    const Group *g = &t->group;
    unsigned bytes = (unsigned)(g->high - g->low);
    FaultSite *f = tr_add_fault_site(t, size, access);
    f->ea = t->group_disp;
    f->aligned = align > 1;
    e_lea(&t->e, wide(t), SCRATCH_U, g->base, 0xff, 0, (int32_t)(g->high - 1));
    e_test_imm(&t->e, SCRATCH_U, 0x1000 - power_of_2_from(bytes));
    ColdSite *s = tr_add_site(t, e_jcc(&t->e, CC_E), NULL);
    s->alone = t->now, s->rip = t->rip, s->flags_in_memory = t->flags_in_memory;
    s->back = t->e.p;
    s->size = bytes;
    load_addend(t, access);
    if (dbt_flat_site_is_checked(t->v, here(t)))
        check_addend(t, size, access, align)->to_ea = t->group_disp;
}

/* ---- one access */

/* For sites that are often not aligned, and odd sizes. */
static void check_crossing(Translator *t, unsigned size)
{
    DbtExit *x = tr_new_exit(t, EXIT_INTERP, t->rip);
    if (size > 32) {
        tr_add_site(t, branch_if_crossing(t, size), x);
        return;
    }
    test_low_bits(t, power_of_2_from(size) - 1);
    ColdSite *s = tr_add_site(t, e_jcc(&t->e, CC_NE), x);
    s->back = t->e.p;
    s->size = size;
}

/* Cold: not aligned, but most such accesses do not cross either. */
void mem_flat_cold(Translator *t, const ColdSite *s)
{
    if (s->alone) {
        group_cold(t, s);
        return;
    }
    uint8_t *crosses = branch_if_crossing(t, s->size);
    patch_rel32(e_jmp(&t->e), s->back);
    patch_rel32(crosses, t->e.p);
}

/* Where flags are free: a branch into the displacement of the load of the entry, whose first byte is FLAT_INVALID_BYTE.
 * Returns where the branch's displacement stands. */
static uint8_t *branch_if_misaligned(Translator *t, unsigned size)
{
    enum { JNE_SHORT = 0x75 };
    test_low_bits(t, size - 1);
    e1(&t->e, JNE_SHORT), e1(&t->e, 0);
    return t->e.p - 1;
}

/* Where flags live: the bits select one of the quadwords that begin at the last one which can be read. */
static void load_if_aligned(Translator *t, unsigned size)
{
    e_pext_gs(&t->e, SCRATCH_T, SCRATCH_U, GS_OFF(low_bits) + 8 * (size == 2 ? 0 : size == 4 ? 1 : 2));
    e_gs_indexed(&t->e, 0x8b, SCRATCH_T, SCRATCH_T, GS_EDGE);
}

/* Returns a short branch's displacement that is to lead to the next instruction's own, or NULL. */
static uint8_t *check_page(Translator *t, unsigned size, unsigned align, bool checked)
{
    if (size == 1 || align == size || tr_address_stays_in_page(t, size))
        return NULL;
    if (checked || !is_scalar(size)) {
        check_crossing(t, size);
        return NULL;
    }
    tr_address_is_aligned(t, size);
    if (may_spoil_flags(t))
        return branch_if_misaligned(t, size);
    load_if_aligned(t, size);
    return NULL;
}

void mem_flat_translate(Translator *t, unsigned size, unsigned access, unsigned align)
{
    FaultSite *f = tr_add_fault_site(t, size, access);
    f->aligned = align > 1;
    bool checked = dbt_flat_site_is_checked(t->v, here(t)) && may_spoil_flags(t);
    uint8_t *misaligned = check_page(t, size, align, checked);
    load_addend(t, access);
    if (misaligned)
        *misaligned = (uint8_t)(t->e.p - 4 - (misaligned + 1));
    if (checked)
        check_addend(t, size, access, align);
}
