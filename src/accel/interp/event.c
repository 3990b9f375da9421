/*
 * event.c - what happens between instructions: requests from other threads, debug exceptions, NMI, interrupts, halt.
 * Priorities as in SDM 3, table 6-2.
 */
#include "accel/interp/sys.h"

void interp_update_attention(InterpVcpu *v)
{
    uint32_t a = 0;
    if (v->s.rflags & RFLAGS_TF || v->started_step) /* POPF and IRET that clear TF are the last to trap */
        a |= ATTN_STEP;
    if (v->s.rflags & RFLAGS_RF || v->started_resume)
        a |= ATTN_RESUME;
    if (v->s.interrupt_shadow || v->new_shadow)
        a |= ATTN_SHADOW;
    if (v->s.dr[7] & 0xff)
        a |= ATTN_BREAK;
    if (v->pending_debug || (v->s.nmi_pending && !v->s.nmi_blocked) || v->s.activity != CPU_RUNNING)
        a |= ATTN_PENDING;
    v->attention = a;
}

void interp_set_shadow(InterpVcpu *v, uint8_t kind)
{
    v->new_shadow = kind;
    v->attention |= ATTN_SHADOW;
}

/* ---- debug registers.  SDM 3, 17.2. */
typedef struct Breakpoint {
    uint64_t address;
    unsigned length;
    enum { BREAK_CODE, BREAK_WRITE, BREAK_IO, BREAK_ACCESS } kind;
} Breakpoint;

static bool breakpoint(const InterpVcpu *v, unsigned n, Breakpoint *ret)
{
    static const uint8_t length[] = { 1, 2, 8, 4 };
    uint64_t dr7 = v->s.dr[7];
    if (!(dr7 >> (2 * n) & 3))
        return false;
    ret->kind = dr7 >> (16 + 4 * n) & 3;
    ret->length = length[dr7 >> (18 + 4 * n) & 3];
    ret->address = v->s.dr[n] & ~(uint64_t)(ret->length - 1);
    return true;
}

static bool overlaps(const Breakpoint *b, uint64_t at, unsigned size)
{
    return at < b->address + b->length && b->address < at + size;
}

static void debug_pend(InterpVcpu *v, uint64_t bits)
{
    if (!bits)
        return;
    v->pending_debug |= bits;
    v->attention |= ATTN_PENDING;
}

void debug_check_data(InterpVcpu *v, uint64_t linear, unsigned size, bool write)
{
    Breakpoint b;
    uint64_t hit = 0;
    for (unsigned n = 0; n < 4; n++)
        if (breakpoint(v, n, &b) && (b.kind == BREAK_ACCESS || (b.kind == BREAK_WRITE && write)) &&
            overlaps(&b, linear, size))
            hit |= 1ull << n;
    debug_pend(v, hit);
}

void debug_check_io(InterpVcpu *v, uint16_t port, unsigned size)
{
    Breakpoint b;
    uint64_t hit = 0;
    for (unsigned n = 0; (v->s.cr4 & CR4_DE) && n < 4; n++)
        if (breakpoint(v, n, &b) && b.kind == BREAK_IO && overlaps(&b, port, size))
            hit |= 1ull << n;
    debug_pend(v, hit);
}

static uint64_t code_breakpoints(const InterpVcpu *v)
{
    uint64_t linear = ((v->code_size == CODE64 ? 0 : v->s.seg[SEG_CS].base) + v->s.rip) & v->linear_mask, hit = 0;
    Breakpoint b;
    for (unsigned n = 0; n < 4; n++)
        if (breakpoint(v, n, &b) && b.kind == BREAK_CODE && b.address == linear)
            hit |= 1ull << n;
    return hit;
}

static void deliver_debug(InterpVcpu *v, uint64_t bits)
{
    v->s.dr[6] |= bits;
    v->pending_debug = 0;
    interp_deliver(v, EXC_DB, false, false, 0, v->s.rip);
}

/* ---- requests */
static void take_reset(InterpVcpu *v, uint32_t requests)
{
    interp_save_fpu(v);
    if (requests & VREQ_INIT) {
        vcpu_unrequest(&v->vcpu, VREQ_INIT);
        cpu_state_reset(&v->s, v->vcpu.id == 0, true);
        if (v->vcpu.apic_ops)
            v->vcpu.apic_ops->cpu_reset(v->vcpu.apic, true);
        interp_state_loaded(v);
    }
    if (requests & VREQ_SIPI) {
        vcpu_unrequest(&v->vcpu, VREQ_SIPI);
        if (v->s.activity == CPU_WAIT_SIPI) {
            cpu_state_sipi(&v->s, atomic_load(&v->vcpu.sipi_vector));
            interp_state_loaded(v);
        }
    }
}

static void take_requests(InterpVcpu *v, uint32_t requests)
{
    if (requests & VREQ_TLB_FLUSH) {
        interp_save_fpu(v);
        vcpu_unrequest(&v->vcpu, VREQ_TLB_FLUSH);
        mmu_forget_view(v);
        mmu_flush(v, true);
    }
    if (requests & (VREQ_INIT | VREQ_SIPI))
        take_reset(v, requests);
    if (requests & VREQ_NMI) {
        vcpu_unrequest(&v->vcpu, VREQ_NMI);
        v->s.nmi_pending = true;
        interp_update_attention(v);
    }
    if (requests & VREQ_SMI)
        vcpu_unrequest(&v->vcpu, VREQ_SMI); /* no system management mode yet */
}

/* Delivers at most one event; true: look again. */
static bool deliver_one(InterpVcpu *v)
{
    unsigned shadow = v->s.interrupt_shadow;
    if (v->pending_debug && shadow != 2) {
        deliver_debug(v, v->pending_debug);
        return true;
    }
    if (v->s.nmi_pending && !v->s.nmi_blocked && !shadow) {
        v->s.nmi_pending = false;
        v->s.nmi_blocked = true;
        interp_deliver_interrupt(v, EXC_NMI);
        return true;
    }
    if ((vcpu_requests(&v->vcpu) & VREQ_INTR) && (v->s.rflags & RFLAGS_IF) && !shadow && v->vcpu.apic_ops) {
        interp_save_fpu(v);
        int vector = v->vcpu.apic_ops->take(v->vcpu.apic);
        if (vector >= 0) {
            interp_deliver_interrupt(v, (uint8_t)vector);
            return true;
        }
    }
    return false;
}

/* The fault of an instruction breakpoint, before the instruction. */
static bool deliver_breakpoint(InterpVcpu *v)
{
    if (v->s.activity != CPU_RUNNING || !(v->attention & ATTN_BREAK) || (v->s.rflags & RFLAGS_RF) ||
        v->s.interrupt_shadow == 2)
        return false;
    uint64_t hit = code_breakpoints(v);
    if (hit)
        deliver_debug(v, hit);
    return hit;
}

/* The vCPU's thread sleeps until one of halt_wake is asked for. */
static bool halt(InterpVcpu *v, RunExit *ret)
{
    *ret = v->s.activity == CPU_SHUTDOWN ? RUN_SHUTDOWN : RUN_HALTED;
    v->vcpu.halt_wake = VREQ_INIT | VREQ_TLB_FLUSH;
    if (v->s.activity == CPU_WAIT_SIPI)
        v->vcpu.halt_wake |= VREQ_SIPI;
    else
        v->vcpu.halt_wake |= VREQ_NMI | VREQ_SMI | (v->s.rflags & RFLAGS_IF ? VREQ_INTR : 0);
    return true;
}

bool interp_poll_events(InterpVcpu *v, RunExit *ret)
{
    for (;;) {
        uint32_t requests = vcpu_requests(&v->vcpu);
        take_requests(v, requests);
        if (!v->single_step && requests & (VREQ_STOP | VREQ_WORK | VREQ_EXCLUSIVE)) {
            *ret = RUN_KICKED;
            return true;
        }
        if (v->s.activity == CPU_WAIT_SIPI || v->s.activity == CPU_SHUTDOWN)
            return halt(v, ret);
        if (deliver_one(v))
            continue;
        if (!deliver_breakpoint(v))
            break;
        if (v->single_step) { /* this was the step; and a breakpoint at its own handler never ends */
            *ret = RUN_KICKED;
            return true;
        }
    }
    if (v->s.activity == CPU_HALTED)
        return halt(v, ret);
    v->started_step = v->s.rflags & RFLAGS_TF;
    v->started_resume = v->s.rflags & RFLAGS_RF;
    return false;
}

void interp_retired(InterpVcpu *v)
{
    if (v->started_step)
        v->pending_debug |= DR6_BS;
    if (v->started_resume)
        v->s.rflags &= ~(uint64_t)RFLAGS_RF;
    v->started_step = v->started_resume = false;
    v->s.interrupt_shadow = v->new_shadow;
    v->new_shadow = 0;
    if (v->s.interrupt_shadow == 2)
        v->pending_debug &= ~DR6_BS; /* SDM 3, 6.8.3: MOV SS and the next instruction are stepped as one */
    interp_update_attention(v);
}

/* ---- state from outside */
void interp_apic_moved(InterpVcpu *v)
{
    interp_save_fpu(v);
    uint64_t base = v->vcpu.apic_ops ? v->vcpu.apic_ops->get_base(v->vcpu.apic) : v->s.apic_base;
    bool xapic = v->vcpu.apic_ops && (base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE;
    v->apic_page = xapic ? base & phys_mask(v) & ~0xfffull : ~0ull;
    mmu_flush(v, true);
}

void interp_state_loaded(InterpVcpu *v)
{
    v->started_step = v->started_resume = false;
    v->new_shadow = 0;
    v->event_ext = 0;
    v->pending_debug = 0;
    v->next_rip = v->s.rip;
    atomic_store(&v->vcpu.tsc_offset, v->s.tsc_offset);
    interp_mode_changed(v);
    interp_apic_moved(v); /* flushes the TLB */
    mmu_cr3_loaded(v, true);
    if ((v->s.cr0 & CR0_PG) && (v->s.cr4 & CR4_PAE) && !v->long_mode)
        mmu_load_pdptes(v, v->s.cr3);
    interp_update_attention(v);
}
