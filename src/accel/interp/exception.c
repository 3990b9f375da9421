/*
 * exception.c - faults, and the delivery of exceptions and interrupts.  SDM 3, chapter 6.
 *
 * A fault unwinds to the run loop.  Delivery itself runs under a landing point of its own, so that a fault in the
 * middle of it turns into the second event, a double fault or a shutdown (SDM 3, 6.15, interrupt 8).  A delivery makes
 * every access that can fault before it changes registers, so an attempt that failed has changed none.
 */
#include "accel/interp/sys.h"

typedef struct Event {
    uint8_t vector, kind; /* EVENT_* */
    bool has_error;
    uint32_t error;
    uint64_t return_rip, flags; /* as pushed */
} Event;

void interp_raise(InterpVcpu *v, uint8_t vector)
{
    v->fault_vector = vector;
    v->fault_has_error = false;
    v->fault_error = 0;
    _longjmp(*v->landing, 1);
}

void interp_raise_error(InterpVcpu *v, uint8_t vector, uint32_t error)
{
    v->fault_vector = vector;
    v->fault_has_error = true;
    v->fault_error = error | v->event_ext;
    _longjmp(*v->landing, 1);
}

void interp_raise_page_fault(InterpVcpu *v, uint64_t linear, uint32_t error)
{
    v->s.cr2 = linear;
    v->fault_vector = EXC_PF;
    v->fault_has_error = true;
    v->fault_error = error;
    _longjmp(*v->landing, 1);
}

void raise_selector(InterpVcpu *v, uint8_t vector, uint16_t selector)
{
    interp_raise_error(v, vector, selector & 0xfffc);
}

/* ---- stacks */
StackCursor stack_cursor_new(InterpVcpu *v, const Segment *ss, uint64_t sp, unsigned cpl)
{
    return (StackCursor){
        .ss = *ss, .sp = sp, .mask = ss->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff, .who = mem_who(v, cpl)
    };
}

StackCursor stack_cursor(InterpVcpu *v)
{
    return (StackCursor){ .ss = v->s.seg[SEG_SS], .sp = v->s.gpr[GPR_RSP], .mask = v->stack_mask, .who = v->who,
                          .flat64 = v->code_size == CODE64, .current = true };
}

static uint64_t cursor_linear(InterpVcpu *v, const StackCursor *c, uint64_t at, unsigned size)
{
    uint32_t error = c->current || c->flat64 ? 0 : c->ss.selector & 0xfffc;
    if (c->flat64) {
        if (!interp_canonical(v, at) || !interp_canonical(v, at + size - 1))
            interp_raise_error(v, EXC_SS, error);
        return at;
    }
    if (!segment_allows(&c->ss, at, size, v->protected_mode || !c->current))
        interp_raise_error(v, EXC_SS, error);
    return (c->ss.base + at) & 0xffffffff;
}

void cursor_push(InterpVcpu *v, StackCursor *c, unsigned size, uint64_t value)
{
    uint64_t at = (c->sp - size) & c->mask;
    linear_write(v, cursor_linear(v, c, at, size), size, value, c->who);
    c->sp = (c->sp & ~c->mask) | at;
}

uint64_t cursor_pop(InterpVcpu *v, StackCursor *c, unsigned size)
{
    uint64_t at = c->sp & c->mask;
    uint64_t value = linear_read(v, cursor_linear(v, c, at, size), size, c->who);
    cursor_skip(c, size);
    return value;
}

void cursor_skip(StackCursor *c, unsigned bytes) { c->sp = (c->sp & ~c->mask) | ((c->sp + bytes) & c->mask); }

void cursor_commit(InterpVcpu *v, const StackCursor *c)
{
    v->s.seg[SEG_SS] = c->ss;
    v->s.gpr[GPR_RSP] = c->mask == 0xffff ? (v->s.gpr[GPR_RSP] & ~0xffffull) | (c->sp & 0xffff) : c->sp & c->mask;
}

/* ---- the TSS's stacks */
void tss_stack(InterpVcpu *v, unsigned dpl, uint16_t *ret_ss, uint64_t *ret_sp)
{
    bool wide = tr_is_32(v);
    unsigned size = wide ? 4 : 2, at = wide ? 4 + 8 * dpl : 2 + 4 * dpl;
    if (at + 2 * size - 1 > v->s.tr.limit)
        raise_selector(v, EXC_TS, v->s.tr.selector);
    *ret_sp = linear_read(v, v->s.tr.base + at, size, MEM_IMPLICIT);
    *ret_ss = (uint16_t)linear_read(v, v->s.tr.base + at + size, 2, MEM_IMPLICIT);
}

uint64_t tss_stack64(InterpVcpu *v, unsigned slot)
{
    unsigned at = 4 + 8 * slot;
    if (at + 7 > v->s.tr.limit)
        raise_selector(v, EXC_TS, v->s.tr.selector);
    return linear_read(v, v->s.tr.base + at, 8, MEM_IMPLICIT);
}

Descriptor stack_descriptor_check(InterpVcpu *v, uint16_t ss, unsigned cpl, uint8_t vector)
{
    if (selector_null(ss))
        interp_raise_error(v, vector, 0);
    Descriptor d = descriptor_read(v, ss, vector);
    if ((ss & SEL_RPL) != cpl || desc_dpl(&d) != cpl || !desc_is_writable(&d))
        raise_selector(v, vector, ss);
    if (!desc_present(&d))
        raise_selector(v, EXC_SS, ss);
    return d;
}

/* ---- delivery by mode.  Each may fault until it starts to assign. */
enum { GATE_CLEARS = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM };

static void enter_handler(InterpVcpu *v, uint64_t rip, bool clear_if)
{
    v->s.rip = v->next_rip = rip;
    interp_set_rflags(v, 0, GATE_CLEARS | (clear_if ? RFLAGS_IF : 0));
    interp_mode_changed(v);
}

/* Real mode, and virtual-8086 mode where VME redirects to the program's own table. */
static void deliver_ivt(InterpVcpu *v, uint64_t table, uint8_t vector, uint64_t flags, uint64_t return_rip)
{
    uint32_t entry = (uint32_t)linear_read(v, table + vector * 4u, 4, v->vm86 ? MEM_USER : MEM_IMPLICIT);
    StackCursor c = stack_cursor(v);
    cursor_push(v, &c, 2, flags);
    cursor_push(v, &c, 2, v->s.seg[SEG_CS].selector);
    cursor_push(v, &c, 2, return_rip);
    cursor_commit(v, &c);
    segment_load_real(v, SEG_CS, entry >> 16);
    v->s.rip = v->next_rip = entry & 0xffff;
}

static void deliver_real(InterpVcpu *v, const Event *e)
{
    if (e->vector * 4u + 3 > v->s.idtr.limit)
        interp_raise_error(v, EXC_GP, e->vector * 8u + 2);
    deliver_ivt(v, v->s.idtr.base, e->vector, e->flags, e->return_rip);
    interp_set_rflags(v, 0, RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
    interp_mode_changed(v);
}

void vm86_deliver_ivt(InterpVcpu *v, uint8_t vector, uint64_t return_rip)
{
    /* SDM 3, 20.3.3: with IOPL below 3 the program sees IOPL 3 and VIF as IF. */
    uint64_t flags = v->s.rflags, clears = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF;
    if (iopl(v) < 3)
        flags = (flags & ~(uint64_t)RFLAGS_IF) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
    deliver_ivt(v, 0, vector, flags, return_rip);
    interp_set_rflags(v, 0, clears | (iopl(v) < 3 ? RFLAGS_VIF : RFLAGS_IF));
    interp_mode_changed(v);
}

typedef struct Gate {
    uint16_t selector;
    uint8_t type, dpl, ist;
    uint64_t offset;
} Gate;

static Gate gate_read(InterpVcpu *v, const Event *e)
{
    unsigned size = v->long_mode ? 16 : 8;
    uint32_t name = e->vector * 8u + 2;
    if (e->vector * size + size - 1 > v->s.idtr.limit)
        interp_raise_error(v, EXC_GP, name);
    uint64_t at = v->s.idtr.base + e->vector * size;
    uint64_t raw = linear_read(v, at, 8, MEM_IMPLICIT);
    Gate g = { .selector = raw >> 16, .type = raw >> 40 & 0x1f, .dpl = raw >> 45 & 3,
               .offset = (raw & 0xffff) | (raw >> 48 << 16) };
    bool ok = g.type == SYS_INT_GATE || g.type == SYS_TRAP_GATE ||
              (!v->long_mode && (g.type == SYS_TASK_GATE || g.type == SYS_INT_GATE16 || g.type == SYS_TRAP_GATE16));
    if (!ok || (e->kind == EVENT_SOFT && g.dpl < v->cpl))
        interp_raise_error(v, EXC_GP, name);
    if (!(raw >> 47 & 1))
        interp_raise_error(v, EXC_NP, name);
    if (v->long_mode) {
        g.ist = raw >> 32 & 7;
        g.offset |= linear_read(v, at + 8, 4, MEM_IMPLICIT) << 32;
    } else if (g.type < SYS_TSS) {
        g.offset &= 0xffff;
    }
    return g;
}

static Descriptor gate_code_segment(InterpVcpu *v, const Gate *g)
{
    if (selector_null(g->selector))
        interp_gp0(v);
    Descriptor d = descriptor_read(v, g->selector, EXC_GP);
    if (!desc_is_code(&d) || desc_dpl(&d) > v->cpl || (v->long_mode && (!desc_long(&d) || desc_big(&d))))
        raise_selector(v, EXC_GP, g->selector);
    if (!desc_present(&d))
        raise_selector(v, EXC_NP, g->selector);
    return d;
}

static void deliver_long(InterpVcpu *v, const Event *e)
{
    Gate g = gate_read(v, e);
    Descriptor cs = gate_code_segment(v, &g);
    unsigned cpl = desc_is_conforming(&cs) ? v->cpl : desc_dpl(&cs);
    bool inner = cpl < v->cpl;
    uint64_t sp = g.ist ? tss_stack64(v, 3 + g.ist) : inner ? tss_stack64(v, cpl) : v->s.gpr[GPR_RSP];
    StackCursor c = { .ss = inner ? null_segment((uint16_t)cpl, cpl) : v->s.seg[SEG_SS],
                      .sp = sp & ~0xfull,
                      .mask = ~0ull,
                      .who = mem_who(v, cpl),
                      .flat64 = true };
    if (!interp_canonical(v, g.offset))
        interp_gp0(v);
    cursor_push(v, &c, 8, v->s.seg[SEG_SS].selector);
    cursor_push(v, &c, 8, v->s.gpr[GPR_RSP]);
    cursor_push(v, &c, 8, e->flags);
    cursor_push(v, &c, 8, v->s.seg[SEG_CS].selector);
    cursor_push(v, &c, 8, e->return_rip);
    if (e->has_error)
        cursor_push(v, &c, 8, e->error);
    code_segment_set(v, g.selector, &cs, cpl);
    cursor_commit(v, &c);
    enter_handler(v, g.offset, g.type == SYS_INT_GATE);
}

/* To an inner level: the old stack pointer goes onto the new stack, below the data segments of a VM86 task. */
static StackCursor inner_stack(InterpVcpu *v, unsigned cpl, unsigned size)
{
    uint16_t ss;
    uint64_t sp;
    tss_stack(v, cpl, &ss, &sp);
    Descriptor d = stack_descriptor_check(v, ss, cpl, EXC_TS);
    descriptor_set_accessed(v, &d);
    Segment s = desc_segment(&d, ss);
    StackCursor c = stack_cursor_new(v, &s, sp, cpl);
    static const uint8_t data[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };
    for (unsigned i = 0; v->vm86 && i < G_N_ELEMENTS(data); i++)
        cursor_push(v, &c, size, v->s.seg[data[i]].selector);
    cursor_push(v, &c, size, v->s.seg[SEG_SS].selector);
    cursor_push(v, &c, size, v->s.gpr[GPR_RSP]);
    return c;
}

static void clear_data_segments(InterpVcpu *v)
{
    static const uint8_t data[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++)
        v->s.seg[data[i]] = null_segment(0, 0);
}

static void deliver_protected(InterpVcpu *v, const Event *e)
{
    Gate g = gate_read(v, e);
    if (g.type == SYS_TASK_GATE) {
        v->next_rip = e->return_rip;
        task_switch_flags(v, g.selector, TASK_INTERRUPT, e->has_error, e->error, e->flags);
        return;
    }
    unsigned size = g.type >= SYS_TSS ? 4 : 2;
    Descriptor cs = gate_code_segment(v, &g);
    unsigned cpl = desc_is_conforming(&cs) ? v->cpl : desc_dpl(&cs);
    if (v->vm86 && cpl != 0)
        raise_selector(v, EXC_GP, g.selector);
    StackCursor c = cpl < v->cpl ? inner_stack(v, cpl, size) : stack_cursor(v);
    code_offset_check(v, &cs, g.offset);
    cursor_push(v, &c, size, e->flags);
    cursor_push(v, &c, size, v->s.seg[SEG_CS].selector);
    cursor_push(v, &c, size, e->return_rip);
    if (e->has_error)
        cursor_push(v, &c, size, e->error);
    code_segment_set(v, g.selector, &cs, cpl);
    if (v->vm86)
        clear_data_segments(v);
    cursor_commit(v, &c);
    enter_handler(v, g.offset, g.type == SYS_INT_GATE || g.type == SYS_INT_GATE16);
}

static void deliver(InterpVcpu *v, const Event *e)
{
    if (!(v->s.cr0 & CR0_PE))
        deliver_real(v, e);
    else if (v->long_mode)
        deliver_long(v, e);
    else
        deliver_protected(v, e);
}

/* One attempt; false: it met a fault, which v->fault_* describes. */
static bool attempt(InterpVcpu *v, const Event *e)
{
    jmp_buf here, *outer = v->landing;
    v->event_ext = e->kind != EVENT_SOFT;
    v->landing = &here;
    bool ok = _setjmp(here) == 0;
    if (ok)
        deliver(v, e);
    v->landing = outer;
    v->event_ext = 0;
    return ok;
}

/* ---- which second event makes a double fault.  SDM 3, table 6-5. */
typedef enum FaultClass { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT } FaultClass;

static FaultClass fault_class(uint8_t kind, uint8_t vector)
{
    if (kind != EVENT_EXCEPTION)
        return BENIGN;
    switch (vector) {
    case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP: return CONTRIBUTORY;
    case EXC_PF: return PAGE_FAULT;
    case EXC_DF: return DOUBLE_FAULT;
    default: return BENIGN;
    }
}

static bool makes_double_fault(FaultClass first, FaultClass second)
{
    return (first == CONTRIBUTORY && second == CONTRIBUTORY) ||
           (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT));
}

/* Fault-class exceptions push RF, so that an instruction breakpoint does not come again.  SDM 3, 17.3.1.1. */
static uint64_t flags_image(const InterpVcpu *v, uint8_t kind, uint8_t vector)
{
    bool fault = kind == EVENT_EXCEPTION && vector != EXC_DB && vector != EXC_BP && vector != EXC_OF &&
                 vector != EXC_NMI && vector != EXC_DF && vector != EXC_MC;
    return v->s.rflags | (fault ? RFLAGS_RF : 0);
}

static void log_event(InterpVcpu *v, const Event *e)
{
    Log *log = v->vcpu.machine->log;
    if (!log_on(log, LOG_INT))
        return;
    interp_save_fpu(v);
    log_write(log, LOG_INT,
              "cpu %u: vector %02x kind %u error %04x at %04x:%016" G_GINT64_MODIFIER
              "x ss:rsp %04x:%016" G_GINT64_MODIFIER "x cr2 %016" G_GINT64_MODIFIER "x",
              v->vcpu.id, e->vector, e->kind, e->error, v->s.seg[SEG_CS].selector, e->return_rip,
              v->s.seg[SEG_SS].selector, v->s.gpr[GPR_RSP], v->s.cr2);
}

static void shut_down(InterpVcpu *v)
{
    v->s.activity = CPU_SHUTDOWN;
    v->next_rip = v->s.rip;
    interp_update_attention(v);
}

void interp_deliver_kind(InterpVcpu *v, uint8_t vector, unsigned kind, bool has_error, uint32_t error,
                         uint64_t return_rip)
{
    Event e = {
        .vector = vector, .kind = (uint8_t)kind, .has_error = has_error, .error = error, .return_rip = return_rip
    };
    for (;;) {
        e.flags = flags_image(v, e.kind, e.vector);
        log_event(v, &e);
        if (attempt(v, &e))
            break;
        FaultClass first = fault_class(e.kind, e.vector), second = fault_class(EVENT_EXCEPTION, v->fault_vector);
        if (first == DOUBLE_FAULT && second != BENIGN) {
            shut_down(v);
            return;
        }
        if (makes_double_fault(first, second))
            e = (Event){ .vector = EXC_DF, .has_error = true };
        else
            e = (Event){ .vector = v->fault_vector, .has_error = v->fault_has_error, .error = v->fault_error };
        e.kind = EVENT_EXCEPTION;
        e.return_rip = v->s.rip;
    }
    if (e.kind == EVENT_EXCEPTION && e.vector == EXC_DB)
        v->s.dr[7] &= ~DR7_GD;
    v->started_step = v->started_resume = false;
    v->s.interrupt_shadow = v->new_shadow = 0;
    v->s.activity = CPU_RUNNING;
    interp_update_attention(v);
}

void interp_deliver(InterpVcpu *v, uint8_t vector, bool soft, bool has_error, uint32_t error, uint64_t return_rip)
{
    interp_deliver_kind(v, vector, soft ? EVENT_SOFT : EVENT_EXCEPTION, has_error, error, return_rip);
}

void interp_deliver_interrupt(InterpVcpu *v, uint8_t vector)
{
    interp_deliver_kind(v, vector, EVENT_INTERRUPT, false, 0, v->s.rip);
}
