/*
 * far.c - far jumps, calls and returns, call gates, and IRET in every mode.  SDM 2, CALL, JMP, RET, IRET; SDM 3, 5.8.
 */
#include "accel/interp/sys.h"

/* ---- real and virtual-8086 mode */
static void real_offset_check(InterpVcpu *v, uint64_t offset)
{
    if (offset > v->s.seg[SEG_CS].limit)
        interp_gp0(v);
}

static void real_enter(InterpVcpu *v, uint16_t selector, uint64_t offset)
{
    segment_load_real(v, SEG_CS, selector);
    v->next_rip = offset;
    interp_mode_changed(v);
}

/* ---- to a code segment of the same privilege */
static void code_enter(InterpVcpu *v, uint16_t selector, Descriptor *d, unsigned cpl, uint64_t offset)
{
    code_segment_set(v, selector, d, cpl);
    v->next_rip = offset;
    interp_mode_changed(v);
}

static void long_bits_check(InterpVcpu *v, const Descriptor *d, uint16_t selector)
{
    if (v->long_mode && desc_long(d) && desc_big(d))
        raise_selector(v, EXC_GP, selector);
}

static void push_return(InterpVcpu *v, StackCursor *c, unsigned size)
{
    cursor_push(v, c, size, v->s.seg[SEG_CS].selector);
    cursor_push(v, c, size, v->next_rip);
}

static void to_code(InterpVcpu *v, uint16_t selector, Descriptor *d, uint64_t offset, unsigned opsize, bool call)
{
    bool ok = desc_is_code(d) && (desc_is_conforming(d) ? desc_dpl(d) <= v->cpl
                                                        : (selector & SEL_RPL) <= v->cpl && desc_dpl(d) == v->cpl);
    if (!ok)
        raise_selector(v, EXC_GP, selector);
    long_bits_check(v, d, selector);
    if (!desc_present(d))
        raise_selector(v, EXC_NP, selector);
    StackCursor c = stack_cursor(v);
    if (v->long_mode) { /* between 64-bit and compatibility mode: the new one's widths of RIP and RSP already count */
        c.flat64 = desc_long(d);
        c.mask = c.flat64 ? ~0ull : v->s.seg[SEG_SS].attr & SEG_ATTR_DB ? 0xffffffff : 0xffff;
        offset &= c.flat64 ? ~0ull : 0xffffffff;
    }
    if (call)
        push_return(v, &c, opsize); /* stored even if the offset is then found bad */
    code_offset_check(v, d, offset);
    descriptor_set_accessed(v, d);
    if (call)
        cursor_commit(v, &c);
    code_enter(v, selector, d, v->cpl, offset);
}

/* ---- call gates */
typedef struct CallGate {
    uint16_t selector;
    uint64_t offset;
    unsigned size, params; /* of what is pushed, in bytes; parameters of that size */
} CallGate;

static CallGate call_gate_read(InterpVcpu *v, uint16_t selector, const Descriptor *d)
{
    CallGate g = { .selector = d->lo >> 16, .offset = (d->lo & 0xffff) | (d->hi & 0xffff0000u) };
    g.params = d->hi & 31;
    g.size = desc_type(d) == SYS_CALL_GATE ? 4 : 2;
    if (g.size == 2)
        g.offset &= 0xffff;
    if (v->long_mode) {
        uint64_t upper = linear_read(v, d->linear + 8, 8, MEM_IMPLICIT);
        if (upper >> 40 & 0x1f)
            raise_selector(v, EXC_GP, selector);
        g.offset |= upper << 32;
        g.size = 8;
        g.params = 0;
    }
    return g;
}

static void copy_parameters(InterpVcpu *v, StackCursor *to, const CallGate *g)
{
    StackCursor from = stack_cursor(v);
    uint32_t values[31];
    for (unsigned i = 0; i < g->params; i++)
        values[i] = (uint32_t)cursor_pop(v, &from, g->size);
    for (unsigned i = g->params; i-- > 0;)
        cursor_push(v, to, g->size, values[i]);
}

static StackCursor call_inner_stack(InterpVcpu *v, unsigned cpl, const CallGate *g)
{
    StackCursor c;
    if (v->long_mode) {
        c = (StackCursor){ .ss = null_segment((uint16_t)cpl, cpl), .sp = tss_stack64(v, cpl), .mask = ~0ull,
                           .who = mem_who(v, cpl), .flat64 = true };
    } else {
        uint16_t ss;
        uint64_t sp;
        tss_stack(v, cpl, &ss, &sp);
        Descriptor d = stack_descriptor_check(v, ss, cpl, EXC_TS);
        descriptor_set_accessed(v, &d);
        Segment s = desc_segment(&d, ss);
        c = stack_cursor_new(v, &s, sp, cpl);
    }
    cursor_push(v, &c, g->size, v->s.seg[SEG_SS].selector);
    cursor_push(v, &c, g->size, v->s.gpr[GPR_RSP]);
    copy_parameters(v, &c, g);
    return c;
}

static void through_call_gate(InterpVcpu *v, uint16_t selector, const Descriptor *gate, bool call)
{
    if (desc_dpl(gate) < v->cpl || desc_dpl(gate) < (selector & SEL_RPL))
        raise_selector(v, EXC_GP, selector);
    if (!desc_present(gate))
        raise_selector(v, EXC_NP, selector);
    CallGate g = call_gate_read(v, selector, gate);
    if (selector_null(g.selector))
        interp_gp0(v);
    Descriptor d = descriptor_read(v, g.selector, EXC_GP);
    bool stays = desc_is_conforming(&d) || desc_dpl(&d) == v->cpl;
    if (!desc_is_code(&d) || desc_dpl(&d) > v->cpl || (!call && !stays) ||
        (v->long_mode && (!desc_long(&d) || desc_big(&d))))
        raise_selector(v, EXC_GP, g.selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, g.selector);
    unsigned cpl = stays ? v->cpl : desc_dpl(&d);
    code_offset_check(v, &d, g.offset);
    if (call) {
        StackCursor c = stays ? stack_cursor(v) : call_inner_stack(v, cpl, &g);
        if (v->long_mode && stays)
            c.flat64 = true, c.mask = ~0ull;
        push_return(v, &c, g.size);
        descriptor_set_accessed(v, &d);
        cursor_commit(v, &c);
    }
    code_enter(v, g.selector, &d, cpl, g.offset);
}

static void through_task(InterpVcpu *v, uint16_t selector, const Descriptor *d, bool gate, bool call)
{
    if (desc_dpl(d) < v->cpl || desc_dpl(d) < (selector & SEL_RPL))
        raise_selector(v, EXC_GP, selector);
    if (gate && !desc_present(d))
        raise_selector(v, EXC_NP, selector);
    task_switch(v, gate ? d->lo >> 16 : selector, call ? TASK_CALL : TASK_JUMP, false, 0);
}

static void far_transfer(InterpVcpu *v, uint16_t selector, uint64_t offset, unsigned opsize, bool call)
{
    if (!v->protected_mode) {
        real_offset_check(v, offset);
        if (call) {
            StackCursor c = stack_cursor(v);
            push_return(v, &c, opsize);
            cursor_commit(v, &c);
        }
        real_enter(v, selector, offset);
        return;
    }
    if (selector_null(selector))
        interp_gp0(v);
    Descriptor d = descriptor_read(v, selector, EXC_GP);
    if (!desc_is_system(&d)) {
        to_code(v, selector, &d, offset, opsize, call);
        return;
    }
    switch (desc_type(&d)) {
    case SYS_CALL_GATE16:
        if (v->long_mode)
            break;
        /* fall through */
    case SYS_CALL_GATE:
        through_call_gate(v, selector, &d, call);
        return;
    case SYS_TASK_GATE: case SYS_TSS16: case SYS_TSS:
        if (v->long_mode)
            break;
        through_task(v, selector, &d, desc_type(&d) == SYS_TASK_GATE, call);
        return;
    }
    raise_selector(v, EXC_GP, selector);
}

void far_jump(InterpVcpu *v, uint16_t selector, uint64_t offset, unsigned opsize)
{
    far_transfer(v, selector, offset, opsize, false);
}

void far_call(InterpVcpu *v, uint16_t selector, uint64_t offset, unsigned opsize)
{
    far_transfer(v, selector, offset, opsize, true);
}

/* ---- returns */
static Descriptor return_code_check(InterpVcpu *v, uint16_t selector)
{
    if (selector_null(selector))
        interp_gp0(v);
    Descriptor d = descriptor_read(v, selector, EXC_GP);
    unsigned rpl = selector & SEL_RPL;
    bool ok = desc_is_code(&d) && rpl >= v->cpl && (desc_is_conforming(&d) ? desc_dpl(&d) <= rpl : desc_dpl(&d) == rpl);
    if (!ok)
        raise_selector(v, EXC_GP, selector);
    long_bits_check(v, &d, selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, selector);
    return d;
}

/* The stack segment that a return loads; null only for 64-bit code outside ring 3. */
static Segment return_stack(InterpVcpu *v, uint16_t ss, unsigned cpl, const Descriptor *cs)
{
    if (selector_null(ss)) {
        if (!v->long_mode || !desc_long(cs) || cpl == 3 || (ss & SEL_RPL) != cpl)
            interp_gp0(v);
        return null_segment(ss, cpl);
    }
    Descriptor d = stack_descriptor_check(v, ss, cpl, EXC_GP);
    descriptor_set_accessed(v, &d);
    return desc_segment(&d, ss);
}

/* After a return to an outer level the inner level's data segments must not stay usable. */
static void drop_inner_segments(InterpVcpu *v, unsigned cpl)
{
    static const uint8_t data[] = { SEG_ES, SEG_FS, SEG_GS, SEG_DS };
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
        Segment *s = &v->s.seg[data[i]];
        bool conforming = (s->attr & TYPE_CODE) && (s->attr & TYPE_DC);
        if (selector_null(s->selector) || (segment_dpl(s) < cpl && !conforming)) {
            uint64_t base = s->base;
            *s = null_segment(0, 0);
            if (v->long_mode)
                s->base = base; /* FS and GS bases of 64-bit code live on */
        }
    }
}

static void return_finish(InterpVcpu *v, uint16_t cs, Descriptor *d, uint64_t rip, StackCursor *c, bool outer)
{
    unsigned cpl = cs & SEL_RPL;
    code_segment_set(v, cs, d, cpl);
    if (v->long_mode && desc_long(d))
        c->mask = ~0ull; /* RSP is whole again */
    else
        c->mask = c->ss.attr & SEG_ATTR_DB ? 0xffffffff : 0xffff;
    cursor_commit(v, c);
    v->next_rip = rip;
    if (outer)
        drop_inner_segments(v, cpl);
}

void far_return(InterpVcpu *v, unsigned opsize, unsigned pop_bytes)
{
    StackCursor c = stack_cursor(v);
    uint64_t rip = cursor_pop(v, &c, opsize);
    uint16_t cs = (uint16_t)cursor_pop(v, &c, opsize);
    if (!v->protected_mode) {
        real_offset_check(v, rip);
        cursor_skip(&c, pop_bytes);
        cursor_commit(v, &c);
        real_enter(v, cs, rip);
        return;
    }
    Descriptor d = return_code_check(v, cs);
    bool outer = (cs & SEL_RPL) > v->cpl;
    if (v->long_mode && desc_long(&d))
        c.mask = ~0ull; /* the width of RSP is the new mode's already */
    cursor_skip(&c, pop_bytes);
    if (outer) {
        uint64_t sp = cursor_pop(v, &c, opsize);
        uint16_t ss = (uint16_t)cursor_pop(v, &c, opsize);
        c.ss = return_stack(v, ss, cs & SEL_RPL, &d);
        c.sp = sp + pop_bytes;
    }
    code_offset_check(v, &d, rip);
    return_finish(v, cs, &d, rip, &c, outer);
    interp_mode_changed(v);
}

/* ---- IRET */
static uint64_t iret_mask(const InterpVcpu *v, unsigned opsize)
{
    uint64_t mask = RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
    if (opsize > 2)
        mask |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
    if (v->cpl <= iopl(v))
        mask |= RFLAGS_IF;
    if (v->cpl == 0)
        mask |= RFLAGS_IOPL | (opsize > 2 ? RFLAGS_VIF | RFLAGS_VIP : 0);
    return mask;
}

static void iret_real(InterpVcpu *v, unsigned opsize)
{
    StackCursor c = stack_cursor(v);
    uint64_t rip = cursor_pop(v, &c, opsize);
    uint16_t cs = (uint16_t)cursor_pop(v, &c, opsize);
    uint64_t flags = cursor_pop(v, &c, opsize);
    real_offset_check(v, rip);
    cursor_commit(v, &c);
    uint64_t mask = RFLAGS_STATUS | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT;
    if (opsize > 2)
        mask |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
    if (v->vm86)
        mask &= ~(uint64_t)RFLAGS_IOPL;
    real_enter(v, cs, rip);
    interp_set_rflags(v, flags, mask);
}

/* SDM 3, table 20-2: with VME and IOPL below 3 a 16-bit IRET acts on VIF. */
static void iret_vme(InterpVcpu *v, unsigned opsize)
{
    if (!(v->s.cr4 & CR4_VME) || opsize != 2)
        interp_gp0(v);
    StackCursor c = stack_cursor(v);
    uint64_t rip = cursor_pop(v, &c, 2);
    uint16_t cs = (uint16_t)cursor_pop(v, &c, 2);
    uint64_t flags = cursor_pop(v, &c, 2);
    if ((flags & RFLAGS_TF) || ((flags & RFLAGS_IF) && (v->s.rflags & RFLAGS_VIP)))
        interp_gp0(v);
    real_offset_check(v, rip);
    cursor_commit(v, &c);
    real_enter(v, cs, rip);
    if (flags & RFLAGS_IF)
        flags |= RFLAGS_VIF;
    interp_set_rflags(v, flags, RFLAGS_STATUS | RFLAGS_DF | RFLAGS_NT | RFLAGS_VIF);
}

static void iret_to_vm86(InterpVcpu *v, StackCursor *c, uint64_t rip, uint16_t cs, uint64_t flags)
{
    uint64_t sp = cursor_pop(v, c, 4);
    static const uint8_t order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    uint16_t selectors[G_N_ELEMENTS(order)];
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        selectors[i] = (uint16_t)cursor_pop(v, c, 4);
    if (rip > 0xffff)
        interp_gp0(v);
    v->s.rflags = (flags & 0x3f7fd5) | RFLAGS_ONE;
    v->vm86 = true;
    v->protected_mode = false;
    segment_load_real(v, SEG_CS, cs);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        segment_load_real(v, order[i], selectors[i]);
    v->s.gpr[GPR_RSP] = sp;
    v->next_rip = rip;
    interp_mode_changed(v);
    interp_update_attention(v);
}

static void iret_task(InterpVcpu *v)
{
    if (v->long_mode)
        interp_gp0(v);
    uint16_t link = (uint16_t)linear_read(v, v->s.tr.base, 2, MEM_IMPLICIT);
    task_switch(v, link, TASK_IRET, false, 0);
}

static void iret_protected(InterpVcpu *v, unsigned opsize)
{
    StackCursor c = stack_cursor(v);
    bool long64 = v->code_size == CODE64;
    uint64_t mask = iret_mask(v, opsize);
    uint64_t rip = cursor_pop(v, &c, opsize);
    uint16_t cs = (uint16_t)cursor_pop(v, &c, opsize);
    uint64_t flags = cursor_pop(v, &c, opsize);
    if ((flags & RFLAGS_VM) && v->cpl == 0 && opsize == 4 && !v->long_mode) {
        iret_to_vm86(v, &c, rip, cs, flags);
        return;
    }
    Descriptor d = return_code_check(v, cs);
    bool outer = (cs & SEL_RPL) > v->cpl;
    if (outer || long64) {
        uint64_t sp = cursor_pop(v, &c, opsize);
        uint16_t ss = (uint16_t)cursor_pop(v, &c, opsize);
        c.ss = return_stack(v, ss, cs & SEL_RPL, &d);
        c.sp = sp;
    }
    code_offset_check(v, &d, rip);
    return_finish(v, cs, &d, rip, &c, outer);
    interp_set_rflags(v, flags, mask);
    interp_mode_changed(v);
}

void interrupt_return(InterpVcpu *v, unsigned opsize)
{
    v->s.nmi_blocked = false;
    if (v->vm86 && iopl(v) < 3)
        iret_vme(v, opsize);
    else if (!v->protected_mode)
        iret_real(v, opsize);
    else if (v->s.rflags & RFLAGS_NT)
        iret_task(v);
    else
        iret_protected(v, opsize);
    interp_update_attention(v);
}
