/*
 * task.c - hardware task switches, 16 and 32-bit.  SDM 3, 7.2.1, 7.3 and table 7-1.
 *
 * Faults up to the commit point leave the old task as it was; those after it (the new task's LDT and segments) come in
 * the new task's context, at its first instruction.
 */
#include "accel/interp/sys.h"

typedef struct TssLayout {
    uint8_t limit, size; /* least limit; bytes of a register */
    uint8_t ip, flags, gpr, seg, n_seg, ldt;
} TssLayout;
static const TssLayout tss_layout[2] = {
    { .limit = 0x2b, .size = 2, .ip = 0x0e, .flags = 0x10, .gpr = 0x12, .seg = 0x22, .n_seg = 4, .ldt = 0x2a },
    { .limit = 0x67, .size = 4, .ip = 0x20, .flags = 0x24, .gpr = 0x28, .seg = 0x48, .n_seg = 6, .ldt = 0x60 },
};
enum { TSS_CR3 = 0x1c, TSS_TRAP = 0x64 };

typedef struct TaskState {
    uint32_t cr3, ip, flags, gpr[8];
    uint16_t seg[SEG_COUNT], ldt;
    bool trap;
} TaskState;

static Descriptor task_descriptor(InterpVcpu *v, uint16_t selector, TaskReason why)
{
    uint8_t vector = why == TASK_IRET ? EXC_TS : EXC_GP;
    Descriptor d;
    if ((selector & SEL_TI) || selector_null(selector) || !descriptor_find(v, selector, &d))
        raise_selector(v, vector, selector);
    unsigned available = desc_type(&d) & ~2u;
    bool busy = desc_type(&d) & 2;
    if (!desc_is_system(&d) || (available != SYS_TSS16 && available != SYS_TSS) || busy != (why == TASK_IRET))
        raise_selector(v, vector, selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, selector);
    if (desc_limit(&d) < tss_layout[desc_type(&d) >> 3].limit)
        raise_selector(v, EXC_TS, selector);
    return d;
}

static TaskState task_load(InterpVcpu *v, uint32_t base, const TssLayout *l)
{
    TaskState t = { .ip = (uint32_t)linear_read(v, base + l->ip, l->size, MEM_IMPLICIT),
                    .flags = (uint32_t)linear_read(v, base + l->flags, l->size, MEM_IMPLICIT),
                    .ldt = (uint16_t)linear_read(v, base + l->ldt, 2, MEM_IMPLICIT) };
    for (unsigned i = 0; i < 8; i++)
        t.gpr[i] = (uint32_t)linear_read(v, base + l->gpr + i * l->size, l->size, MEM_IMPLICIT);
    for (unsigned i = 0; i < l->n_seg; i++)
        t.seg[i] = (uint16_t)linear_read(v, base + l->seg + i * l->size, 2, MEM_IMPLICIT);
    if (l->size == 4) {
        t.cr3 = (uint32_t)linear_read(v, base + TSS_CR3, 4, MEM_IMPLICIT);
        t.trap = linear_read(v, base + TSS_TRAP, 1, MEM_IMPLICIT) & 1;
    }
    return t;
}

static void task_save(InterpVcpu *v, const TssLayout *l, uint64_t flags)
{
    uint64_t base = v->s.tr.base;
    linear_write(v, base + l->ip, l->size, v->next_rip, MEM_IMPLICIT);
    linear_write(v, base + l->flags, l->size, flags, MEM_IMPLICIT);
    for (unsigned i = 0; i < 8; i++)
        linear_write(v, base + l->gpr + i * l->size, l->size, v->s.gpr[i], MEM_IMPLICIT);
    for (unsigned i = 0; i < l->n_seg; i++)
        linear_write(v, base + l->seg + i * l->size, 2, v->s.seg[i].selector, MEM_IMPLICIT);
}

static void task_load_ldt(InterpVcpu *v, uint16_t selector)
{
    v->s.ldtr = null_segment(selector, 0);
    if (selector_null(selector))
        return;
    Descriptor d;
    if ((selector & SEL_TI) || !descriptor_find(v, selector, &d) || !desc_is_system(&d) || desc_type(&d) != SYS_LDT ||
        !desc_present(&d))
        raise_selector(v, EXC_TS, selector);
    v->s.ldtr = desc_segment(&d, selector);
}

static void task_load_cs(InterpVcpu *v, uint16_t selector)
{
    Descriptor d;
    unsigned rpl = selector & SEL_RPL;
    if (selector_null(selector) || !descriptor_find(v, selector, &d) || !desc_is_code(&d) ||
        (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
        raise_selector(v, EXC_TS, selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, selector);
    code_segment_set(v, selector, &d, rpl);
}

static void task_load_ss(InterpVcpu *v, uint16_t selector, unsigned cpl)
{
    Descriptor d;
    if (selector_null(selector) || !descriptor_find(v, selector, &d) || !desc_is_writable(&d) ||
        (selector & SEL_RPL) != cpl || desc_dpl(&d) != cpl)
        raise_selector(v, EXC_TS, selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_SS, selector);
    descriptor_set_accessed(v, &d);
    v->s.seg[SEG_SS] = desc_segment(&d, selector);
}

static void task_load_data(InterpVcpu *v, unsigned seg, uint16_t selector, unsigned cpl)
{
    Descriptor d;
    if (selector_null(selector))
        return;
    if (!descriptor_find(v, selector, &d) || !desc_is_readable(&d) ||
        (!desc_is_conforming(&d) && ((selector & SEL_RPL) > desc_dpl(&d) || cpl > desc_dpl(&d))))
        raise_selector(v, EXC_TS, selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, selector);
    descriptor_set_accessed(v, &d);
    v->s.seg[seg] = desc_segment(&d, selector);
}

static void task_load_segments(InterpVcpu *v, const TaskState *t)
{
    unsigned cpl = t->seg[SEG_CS] & SEL_RPL;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        v->s.seg[i] = null_segment(t->seg[i], i == SEG_SS ? cpl : 0);
    interp_mode_changed(v);
    task_load_ldt(v, t->ldt);
    if (v->vm86) {
        for (unsigned i = 0; i < SEG_COUNT; i++)
            segment_load_real(v, i, t->seg[i]);
        interp_mode_changed(v);
        return;
    }
    task_load_cs(v, t->seg[SEG_CS]);
    task_load_ss(v, t->seg[SEG_SS], cpl);
    static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++)
        task_load_data(v, data[i], t->seg[data[i]], cpl);
    interp_mode_changed(v);
}

static void task_load_cr3(InterpVcpu *v, uint32_t cr3)
{
    if (!(v->s.cr0 & CR0_PG))
        return;
    v->s.cr3 = cr3;
    if (v->s.cr4 & CR4_PAE)
        mmu_load_pdptes(v, cr3);
    mmu_cr3_loaded(v, false);
}

/* Registers of the new task: from here on its context is the current one. */
static void task_commit(InterpVcpu *v, uint16_t selector, const Descriptor *d, const TaskState *t, TaskReason why)
{
    v->s.tr = desc_segment(d, selector);
    v->s.tr.attr |= 2;
    v->s.cr0 |= CR0_TS;
    v->s.dr[7] &= ~0x155ull; /* local breakpoints are the old task's */
    if (desc_type(d) >> 3)
        task_load_cr3(v, t->cr3);
    v->s.rip = v->next_rip = t->ip;
    for (unsigned i = 0; i < 8; i++)
        v->s.gpr[i] = t->gpr[i];
    bool nested = why == TASK_CALL || why == TASK_INTERRUPT;
    v->s.rflags = (t->flags & 0x3f7fd5) | RFLAGS_ONE | (nested ? RFLAGS_NT : 0);
    interp_update_attention(v);
}

void task_switch_flags(InterpVcpu *v, uint16_t selector, TaskReason why, bool has_error, uint32_t error, uint64_t flags)
{
    Descriptor d = task_descriptor(v, selector, why);
    const TssLayout *from = &tss_layout[tr_is_32(v)], *to = &tss_layout[desc_type(&d) >> 3];
    uint32_t base = desc_base(&d);
    uint64_t old_descriptor = v->s.gdtr.base + (v->s.tr.selector & ~7u);
    bool nested = why == TASK_CALL || why == TASK_INTERRUPT;
    TaskState t = task_load(v, base, to);
    linear_probe_write(v, v->s.tr.base, from->limit + 1, MEM_IMPLICIT);
    linear_probe_write(v, d.linear + 5, 1, MEM_IMPLICIT);
    linear_probe_write(v, old_descriptor + 5, 1, MEM_IMPLICIT);
    if (nested)
        linear_write(v, base, 2, v->s.tr.selector, MEM_IMPLICIT);
    task_save(v, from, why == TASK_IRET ? flags & ~(uint64_t)RFLAGS_NT : flags);
    if (!nested)
        descriptor_set_busy(v, old_descriptor, false);
    if (why != TASK_IRET)
        descriptor_set_busy(v, d.linear, true);
    task_commit(v, selector, &d, &t, why);
    task_load_segments(v, &t);
    if (t.ip > v->s.seg[SEG_CS].limit)
        interp_gp0(v);
    if (has_error) {
        StackCursor c = stack_cursor(v);
        cursor_push(v, &c, to->size, error);
        cursor_commit(v, &c);
    }
    if (t.trap) {
        v->pending_debug |= DR6_BT;
        interp_update_attention(v);
    }
}

void task_switch(InterpVcpu *v, uint16_t selector, TaskReason why, bool has_error, uint32_t error)
{
    task_switch_flags(v, selector, why, has_error, error, v->s.rflags);
}
