/*
 * lapic.c - the local APIC of one vCPU: its registers, as a page of memory (xAPIC) and as MSRs (x2APIC).
 *
 * Input lines 0 and 1 are LINT0 (INTR of the PIC) and LINT1 (NMI).  Intel SDM volume 3, chapter "APIC".
 */
#include "devices/intc/lapic.h"

bool lapic_has_feature(const Lapic *a, CpuFeature f) { return cpu_has(&a->dev.machine->config.cpu_model, f); }

/* ---- the register file: index is offset / 16, MSR number - 800h */

enum {
    REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_PPR = 0x0a, REG_EOI = 0x0b, REG_LDR = 0x0d, REG_DFR = 0x0e,
    REG_SVR = 0x0f, REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28, REG_ICR = 0x30, REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32, REG_INITIAL = 0x38, REG_CURRENT = 0x39, REG_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f,
    REG_COUNT = 0x40,
};

/* How a register may be reached, by memory (X) and by MSR (M); and which bits may be set. */
enum { XR = 1, XW = 2, MR = 4, MW = 8, RO = XR | MR, RW = XR | XW | MR | MW, WO = XW | MW };
typedef struct Reg {
    uint8_t access;
    uint32_t writable;
} Reg;

static const Reg registers[REG_COUNT] = {
    [REG_ID] = { RO },
    [REG_VERSION] = { RO },
    [REG_TPR] = { RW, 0xff },
    [REG_PPR] = { RO },
    [REG_EOI] = { WO, 0 },
    [REG_LDR] = { RO | XW, 0xff000000 },
    [REG_DFR] = { XR | XW, 0xf0000000 },
    [REG_SVR] = { RW, 0x3ff | SVR_NO_EOI_BROADCAST },
    [REG_ISR ... REG_ISR + 7] = { RO },
    [REG_TMR ... REG_TMR + 7] = { RO },
    [REG_IRR ... REG_IRR + 7] = { RO },
    [REG_ESR] = { RW, 0 },
    [REG_ICR] = { RW, 0xccfff },
    [REG_ICR_HIGH] = { XR | XW, 0xff000000 },
    [REG_LVT + LVT_TIMER] = { RW, 0x700ff },
    [REG_LVT + LVT_THERMAL] = { RW, 0x107ff },
    [REG_LVT + LVT_PERF] = { RW, 0x107ff },
    [REG_LVT + LVT_LINT0] = { RW, 0x1a7ff },
    [REG_LVT + LVT_LINT1] = { RW, 0x1a7ff },
    [REG_LVT + LVT_ERROR] = { RW, 0x100ff },
    [REG_INITIAL] = { RW, 0xffffffff },
    [REG_CURRENT] = { RO },
    [REG_DIVIDE] = { RW, 0xb },
    [REG_SELF_IPI] = { MW, 0xff },
};

/* Version 14h, six LVT entries, EOI broadcast may be suppressed (bit 24). */
#define VERSION (1u << 24 | (LVT_COUNT - 1) << 16 | 0x14)

static uint32_t register_read(Lapic *a, unsigned reg)
{
    switch (reg) {
    case REG_ID:
        return lapic_x2apic(a) ? lapic_id(a) : lapic_id(a) << 24;
    case REG_VERSION:
        return VERSION;
    case REG_TPR:
        return a->tpr;
    case REG_PPR:
        return a->ppr;
    case REG_LDR:
        return lapic_x2apic(a) ? lapic_x2apic_ldr(a) : a->ldr;
    case REG_DFR:
        return a->dfr;
    case REG_SVR:
        return a->svr;
    case REG_ISR ... REG_ISR + 7:
        return a->isr[reg - REG_ISR];
    case REG_TMR ... REG_TMR + 7:
        return LAPIC_LOAD(a->tmr[reg - REG_TMR]);
    case REG_IRR ... REG_IRR + 7:
        return LAPIC_LOAD(a->irr[reg - REG_IRR]);
    case REG_ESR:
        return a->esr;
    case REG_ICR:
        return a->icr;
    case REG_ICR_HIGH:
        return a->icr >> 32;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        return a->lvt[reg - REG_LVT];
    case REG_INITIAL:
        return a->initial_count;
    case REG_CURRENT:
        return lapic_timer_current(a);
    case REG_DIVIDE:
        return a->divide;
    }
    return 0;
}

static void set_svr(Lapic *a, uint32_t v)
{
    LAPIC_STORE(a->svr, v);
    if (v & SVR_ENABLED)
        return;
    for (unsigned i = 0; i < LVT_COUNT; i++) /* software disable masks the local vector table */
        LAPIC_STORE(a->lvt[i], a->lvt[i] | LVT_MASKED);
    lapic_update_request(a);
}

static void set_lvt(Lapic *a, unsigned n, uint32_t v)
{
    if (!(a->svr & SVR_ENABLED))
        v |= LVT_MASKED;
    if (n == LVT_TIMER) {
        if (!lapic_has_feature(a, FEAT_TSC_DEADLINE))
            v &= ~(TIMER_TSC_DEADLINE << TIMER_MODE_SHIFT);
        lapic_timer_set_lvt(a, v);
        return;
    }
    LAPIC_STORE(a->lvt[n], v);
    lapic_update_request(a); /* LINT0 may now let the PIC through */
}

static void latch_errors(Lapic *a) { a->esr = __atomic_exchange_n(&a->errors, 0, __ATOMIC_SEQ_CST); }

static void self_ipi(Lapic *a, uint8_t vector)
{
    ApicMessage msg = { .vector = vector };
    if (vector < 16)
        lapic_error(a, ESR_SEND_ILLEGAL);
    else
        lapic_receive(a, &msg);
}

/* Writing the low half of ICR sends. */
static void send_ipi(Lapic *a)
{
    enum { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };
    uint32_t low = a->icr;
    bool level = low & 1 << 15, assert_level = low & 1 << 14;
    ApicMessage msg = {
        .dest = lapic_x2apic(a) ? a->icr >> 32 : a->icr >> 56,
        .vector = low,
        .mode = low >> 8 & 7,
        .logical = low & 1 << 11,
        .wide = lapic_x2apic(a),
    };
    bool has_vector = msg.mode == DELIVER_FIXED || msg.mode == DELIVER_LOWEST;
    if (has_vector && msg.vector < 16) {
        lapic_error(a, ESR_SEND_ILLEGAL);
        return;
    }
    if (msg.mode == DELIVER_EXTINT || msg.mode == 3 || (level && !assert_level)) /* INIT level de-assert: nothing */
        return;
    switch (low >> 18 & 3) {
    case TO_DEST:
        apic_bus_send(a->bus, &msg);
        break;
    case TO_SELF:
        lapic_receive(a, &msg);
        break;
    case TO_ALL:
        apic_bus_send_all(a->bus, &msg, NULL);
        break;
    case TO_OTHERS:
        apic_bus_send_all(a->bus, &msg, a);
        break;
    }
}

static void register_write(Lapic *a, unsigned reg, uint32_t v)
{
    switch (reg) {
    case REG_TPR:
        a->tpr = v;
        lapic_update_priority(a);
        break;
    case REG_EOI:
        lapic_eoi(a);
        break;
    case REG_LDR:
        LAPIC_STORE(a->ldr, v);
        break;
    case REG_DFR:
        LAPIC_STORE(a->dfr, v | 0x0fffffff);
        break;
    case REG_SVR:
        set_svr(a, v);
        break;
    case REG_ESR:
        latch_errors(a);
        break;
    case REG_ICR:
        a->icr = (a->icr & ~0xffffffffull) | v;
        send_ipi(a);
        break;
    case REG_ICR_HIGH:
        a->icr = (uint32_t)a->icr | (uint64_t)v << 32;
        break;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        set_lvt(a, reg - REG_LVT, v);
        break;
    case REG_INITIAL:
        lapic_timer_set_initial(a, v);
        break;
    case REG_DIVIDE:
        lapic_timer_set_divide(a, v);
        break;
    case REG_SELF_IPI:
        self_ipi(a, v);
        break;
    }
}

/* ---- as memory */

static uint64_t ops_mmio_read(void *opaque, uint64_t off, unsigned size)
{
    Lapic *a = opaque;
    unsigned reg = off / 16;
    if (reg >= REG_COUNT || !(registers[reg].access & XR)) {
        lapic_error(a, ESR_ILLEGAL_REGISTER);
        return 0;
    }
    return off % 16 < 4 ? register_read(a, reg) >> off % 4 * 8 : 0;
}

static void ops_mmio_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
    Lapic *a = opaque;
    unsigned reg = off / 16;
    if (off % 16 || size < 4) {
        guest_error(&a->dev, "write of %u bytes at offset 0x%x: registers are 32 bits wide", size, (unsigned)off);
        return;
    }
    if (reg >= REG_COUNT || !(registers[reg].access & XW))
        lapic_error(a, ESR_ILLEGAL_REGISTER);
    else
        register_write(a, reg, v & registers[reg].writable);
}

/* ---- as MSRs: what memory ignores is a fault here */

enum { MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };

static const Reg *msr_register(const Lapic *a, uint32_t msr, unsigned access)
{
    const Reg *r = msr - MSR_X2APIC < REG_COUNT ? &registers[msr - MSR_X2APIC] : NULL;
    return lapic_x2apic(a) && r && (r->access & access) ? r : NULL;
}

static bool ops_read_msr(void *opaque, uint32_t msr, uint64_t *ret)
{
    Lapic *a = opaque;
    if (msr == MSR_TSC_DEADLINE) {
        *ret = lapic_timer_deadline(a);
        return lapic_has_feature(a, FEAT_TSC_DEADLINE);
    }
    if (!msr_register(a, msr, MR))
        return false;
    *ret = msr == MSR_X2APIC + REG_ICR ? a->icr : register_read(a, msr - MSR_X2APIC);
    return true;
}

static bool write_x2apic_icr(Lapic *a, uint64_t v)
{
    if ((uint32_t)v & ~registers[REG_ICR].writable)
        return false;
    a->icr = v;
    send_ipi(a);
    return true;
}

static bool ops_write_msr(void *opaque, uint32_t msr, uint64_t v)
{
    Lapic *a = opaque;
    if (msr == MSR_TSC_DEADLINE) {
        if (lapic_has_feature(a, FEAT_TSC_DEADLINE))
            lapic_timer_set_deadline(a, v);
        return lapic_has_feature(a, FEAT_TSC_DEADLINE);
    }
    const Reg *r = msr_register(a, msr, MW);
    if (!r)
        return false;
    if (msr == MSR_X2APIC + REG_ICR)
        return write_x2apic_icr(a, v);
    if (v & ~(uint64_t)r->writable)
        return false;
    register_write(a, msr - MSR_X2APIC, v);
    return true;
}

/* ---- IA32_APIC_BASE and the rest of what the processor asks */

static uint64_t ops_get_base(void *opaque) { return ((Lapic *)opaque)->base; }

/* SDM figure "Local x2APIC State Transitions": only by way of disabled back to xAPIC, and never straight in. */
static bool valid_transition(uint64_t old, uint64_t new)
{
    bool was_x2 = old & BASE_X2APIC, x2 = new & BASE_X2APIC, was_on = old & BASE_ENABLED, on = new & BASE_ENABLED;
    if (x2)
        return on && was_on;
    return !(was_x2 && on);
}

/* IA32_APIC_BASE is left alone: while it was wrong for a moment, a SIPI that follows an INIT closely would be lost. */
static void registers_reset(Lapic *a)
{
    bool bootstrap = a->vcpu && a->vcpu->id == 0;
    fields_reset(lapic_fields, a, FIELD_STATE, true);
    if (bootstrap) /* MP specification 3.6.2.2: virtual wire, until the firmware says otherwise */
        LAPIC_STORE(a->lvt[LVT_LINT0], DELIVER_EXTINT << 8);
    LAPIC_STORE(a->ppr, 0);
    lapic_timer_rearm(a);
}

static void base_reset(Lapic *a)
{
    bool bootstrap = a->vcpu && a->vcpu->id == 0, present = lapic_has_feature(a, FEAT_APIC);
    LAPIC_STORE(a->base, BASE_ADDRESS | (bootstrap ? BASE_BSP : 0) | (present ? BASE_ENABLED : 0));
}

static bool ops_set_base(void *opaque, uint64_t v)
{
    Lapic *a = opaque;
    uint64_t changeable = BASE_ENABLED | (lapic_has_feature(a, FEAT_X2APIC) ? BASE_X2APIC : 0);
    unsigned phys_bits = MAX(a->dev.machine->config.cpu_model.phys_bits, 36);
    uint64_t address = ((1ull << phys_bits) - 1) & ~0xfffull;
    if ((v & ~(changeable | address | BASE_BSP)) || !valid_transition(a->base, v))
        return false;
    bool turned_off = lapic_present(a) && !(v & BASE_ENABLED);
    g_mutex_lock(&a->dev.lock);
    LAPIC_STORE(a->base, (a->base & BASE_BSP) | (v & ~BASE_BSP));
    if (turned_off)
        registers_reset(a);
    g_mutex_unlock(&a->dev.lock);
    lapic_update_priority(a);
    return true;
}

static void ops_cpu_reset(void *opaque, bool init)
{
    Lapic *a = opaque;
    g_mutex_lock(&a->dev.lock);
    if (!init)
        base_reset(a);
    registers_reset(a);
    g_mutex_unlock(&a->dev.lock);
    lapic_update_priority(a);
}

static int ops_take(void *opaque) { return lapic_take(opaque); }
static uint8_t ops_get_tpr(void *opaque) { return ((Lapic *)opaque)->tpr >> 4; }
static void ops_set_tpr(void *opaque, uint8_t cr8) { register_write(opaque, REG_TPR, cr8 << 4 & 0xf0); }

const LocalApicOps lapic_ops = {
    .take = ops_take,
    .get_tpr = ops_get_tpr,
    .set_tpr = ops_set_tpr,
    .get_base = ops_get_base,
    .set_base = ops_set_base,
    .read_msr = ops_read_msr,
    .write_msr = ops_write_msr,
    .mmio_read = ops_mmio_read,
    .mmio_write = ops_mmio_write,
    .cpu_reset = ops_cpu_reset,
};

/* ---- the device */

void lapic_connect(Device *d, Vcpu *v, ApicBus *bus)
{
    Lapic *a = (Lapic *)d;
    a->vcpu = v;
    a->bus = bus;
    v->apic = a;
    v->apic_ops = &lapic_ops;
    g_ptr_array_add(bus->apics, a);
}

static bool lapic_realize(Device *d, GError **err)
{
    lapic_timer_init((Lapic *)d);
    return true;
}

static void lapic_unrealize(Device *d) { timer_finish(&((Lapic *)d)->timer); }

static void lapic_reset(Device *d, ResetKind kind)
{
    base_reset((Lapic *)d);
    registers_reset((Lapic *)d);
    lapic_update_request((Lapic *)d);
}

static bool lapic_post_load(Device *d, GError **err)
{
    lapic_timer_rearm((Lapic *)d);
    lapic_update_priority((Lapic *)d);
    return true;
}

static void lapic_set_irq(Device *d, unsigned n, bool level)
{
    if (n < 2)
        lapic_set_lint((Lapic *)d, n, level);
}

const Field lapic_fields[] = {
    { F(Lapic, base), .keep = true, .doc = "IA32_APIC_BASE" },
    { F(Lapic, icr), .doc = "interrupt command" },
    { F(Lapic, ldr), .doc = "logical destination" },
    { F(Lapic, dfr), .reset = 0xffffffff, .doc = "destination format" },
    { F(Lapic, svr), .reset = 0xff, .doc = "spurious vector and software enable" },
    { F(Lapic, esr), .doc = "error status as last latched" },
    { F(Lapic, errors), .doc = "errors since then" },
    { FA(Lapic, lvt), .reset = LVT_MASKED, .doc = "timer, thermal, performance, LINT0, LINT1, error" },
    { FA(Lapic, irr), .doc = "interrupt requests" },
    { FA(Lapic, isr), .doc = "in service" },
    { FA(Lapic, tmr), .doc = "level-triggered" },
    { F(Lapic, tpr), .doc = "task priority" },
    { F(Lapic, ppr), .role = FIELD_DERIVED },
    { F(Lapic, ticks_owed), .doc = "a clock's ticks that came while one waited: bits 7-0 vector, then how many" },
    { FA(Lapic, lint), .keep = true, .doc = "levels of LINT0, LINT1" },
    { F(Lapic, extint), .doc = "an ExtINT message is pending" },
    { F(Lapic, initial_count), .doc = "timer: initial count" },
    { F(Lapic, divide), .doc = "timer: divide configuration" },
    { F(Lapic, timer_start), .doc = "timer: when it had its initial count, ns" },
    { F(Lapic, timer_running), .doc = "timer: counting" },
    { F(Lapic, tsc_deadline), .doc = "timer: IA32_TSC_DEADLINE" },
    { FO(Lapic, timer), .role = FIELD_HOST },
    { FO(Lapic, vcpu), .role = FIELD_HOST },
    { FO(Lapic, bus), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType apic_type = {
    .name = "apic",
    .summary = "local APIC",
    .spec = "Intel SDM volume 3, APIC chapter",
    .size = sizeof(Lapic),
    .version = 1,
    .internal = true,
    .fields = lapic_fields,
    .realize = lapic_realize,
    .unrealize = lapic_unrealize,
    .reset = lapic_reset,
    .post_load = lapic_post_load,
    .set_irq = lapic_set_irq,
};
