/*
 * mem_tag.c - linear address to host memory by tables of tags that are compared inline (tlb.c).
 */
#include "accel/dbt/translate.h"

/* SCRATCH_U: linear address -> host memory is [SCRATCH_T + SCRATCH_U].  Spoils flags; `align`: a power of 2 or 1. */
void mem_tag_translate(Translator *t, unsigned size, unsigned access, unsigned align)
{
    uint32_t tags = dbt_tlb_offset(mode_who(t->mode), access) + offsetof(DbtTlb, tag);
    const void *start = tr_here(t);
    e_rorx(&t->e, SCRATCH_T, SCRATCH_U, 12);
    e_movzx16(&t->e, SCRATCH_T, SCRATCH_T);
    e_gs_indexed(&t->e, 0x2b, SCRATCH_U, SCRATCH_T, tags); /* sub: offset in page if the tag is right */
    DbtExit *x = tr_new_exit(t, EXIT_MEMORY, t->rip);
    x->size = size, x->access = access, x->resume = start;
    if (align > 1) {
        e_rex(&t->e, false, 0, 0, SCRATCH_U);
        e1(&t->e, 0xf6), e1(&t->e, 0xc0 | (SCRATCH_U & 7)), e1(&t->e, align - 1); /* test u8, imm */
        DbtExit *misaligned = tr_new_exit(t, EXIT_INTERP, t->rip);
        tr_add_site(t, e_jcc(&t->e, CC_NE), misaligned);
    }
    e_rex(&t->e, true, 0, 0, SCRATCH_U);
    e1(&t->e, 0x81), e1(&t->e, 0xf8 | (SCRATCH_U & 7)), e4(&t->e, 4096 - size); /* cmp u, imm */
    ColdSite *s = tr_add_site(t, e_jcc(&t->e, CC_A), x);
    s->restore_ea = true;
    s->tags = tags;
    e_gs_indexed(&t->e, 0x8b, SCRATCH_T, SCRATCH_T, tags + (offsetof(DbtTlb, addend) - offsetof(DbtTlb, tag)));
}
