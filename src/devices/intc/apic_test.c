/* apic_test.c - local APICs, IOAPIC and MSI on a machine whose accelerator runs nothing. */
#include "devices/intc/intc.h"
#include "devices/intc/lapic.h"
#include "devices/testing.h"

/* ---- an accelerator that only takes requests */

static const AccelOps fake_ops;

static Accel *fake_create(Machine *m, const CpuModel *model, GError **err)
{
    Accel *a = g_new0(Accel, 1);
    *a = (Accel){ .ops = &fake_ops, .machine = m, .model = *model };
    return a;
}
static void fake_destroy(Accel *a) { g_free(a); }
static bool fake_init(Accel *a, Vcpu *v, GError **err) { return true; }
static void fake_finish(Vcpu *v) { }
static RunExit fake_run(Vcpu *v) { return RUN_HALTED; }
static void fake_kick(Vcpu *v) { }
static bool fake_get(Vcpu *v, CpuState *ret, GError **err) { return true; }
static bool fake_set(Vcpu *v, const CpuState *s, GError **err) { return true; }
static const AccelOps fake_ops = {
    .name = "fake",
    .summary = "runs nothing",
    .vcpu_size = sizeof(Vcpu),
    .create = fake_create,
    .destroy = fake_destroy,
    .vcpu_init = fake_init,
    .vcpu_finish = fake_finish,
    .run = fake_run,
    .kick = fake_kick,
    .get = fake_get,
    .set = fake_set,
};

enum { CPUS = 4, IOAPIC = 0xfec00000 };
enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVT_T = 0x320,
    LVT_L0 = 0x350,
    LVT_E = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0
};

typedef struct Rig {
    Machine *m;
    Intc *intc;
    Vcpu *cpu[CPUS];
} Rig;

static void add_feature(CpuModel *model, CpuFeature f) { model->features[f / 64] |= 1ull << f % 64; }

static Rig rig(void)
{
    MachineConfig config = {
        .manual_clock = true, .cpus = CPUS, .max_cpus = CPUS, .sockets = 1, .cores = CPUS, .threads = 1
    };
    add_feature(&config.cpu_model, FEAT_APIC);
    add_feature(&config.cpu_model, FEAT_X2APIC);
    add_feature(&config.cpu_model, FEAT_TSC_DEADLINE);
    config.cpu_model.tsc_khz = 2000000;
    g_autoptr(GError) err = NULL;
    Rig r = { .m = machine_create(&config, &err) };
    g_assert_no_error(err);
    g_assert_true(machine_add_accel(r.m, &fake_ops, &err));
    r.intc = intc_create(r.m, &err);
    g_assert_no_error(err);
    for (unsigned i = 0; i < CPUS; i++)
        r.cpu[i] = machine_vcpu(r.m, i);
    return r;
}

static void rig_destroy(Rig *r)
{
    machine_destroy(r->m);
    intc_destroy(r->intc);
}

static uint32_t rd(Vcpu *v, unsigned reg) { return v->apic_ops->mmio_read(v->apic, reg, 4); }
static void wr(Vcpu *v, unsigned reg, uint32_t value) { v->apic_ops->mmio_write(v->apic, reg, 4, value); }
static int take(Vcpu *v) { return v->apic_ops->take(v->apic); }
static bool requested(Vcpu *v, uint32_t bit) { return vcpu_requests(v) & bit; }
static bool intr(Vcpu *v) { return requested(v, VREQ_INTR); }
static void enable(Vcpu *v) { wr(v, SVR, 0x1ff); }
static void enable_all(Rig *r)
{
    for (unsigned i = 0; i < CPUS; i++)
        enable(r->cpu[i]);
}
static void ipi(Vcpu *v, uint8_t dest, uint32_t low)
{
    wr(v, ICR_HIGH, (uint32_t)dest << 24);
    wr(v, ICR, low);
}

static void io_write(Rig *r, unsigned index, uint32_t v)
{
    test_write(r->m->memory, IOAPIC, 4, index);
    test_write(r->m->memory, IOAPIC + 0x10, 4, v);
}
static uint32_t io_read(Rig *r, unsigned index)
{
    test_write(r->m->memory, IOAPIC, 4, index);
    return test_read(r->m->memory, IOAPIC + 0x10, 4);
}
static void route(Rig *r, unsigned pin, uint8_t dest, uint32_t low)
{
    io_write(r, 0x11 + pin * 2, (uint32_t)dest << 24);
    io_write(r, 0x10 + pin * 2, low);
}

/* ---- local APIC */

static void test_reset_values(void)
{
    Rig r = rig();
    g_assert_cmphex(r.cpu[0]->apic_ops->get_base(r.cpu[0]->apic), ==, 0xfee00900);
    g_assert_cmphex(r.cpu[1]->apic_ops->get_base(r.cpu[1]->apic), ==, 0xfee00800);
    g_assert_cmphex(rd(r.cpu[2], ID), ==, 2u << 24);
    g_assert_cmphex(rd(r.cpu[0], VERSION), ==, 0x01050014);
    g_assert_cmphex(rd(r.cpu[0], SVR), ==, 0xff);
    g_assert_cmphex(rd(r.cpu[0], DFR), ==, 0xffffffff);
    g_assert_cmphex(rd(r.cpu[0], LVT_L0), ==, 0x700);
    g_assert_cmphex(rd(r.cpu[1], LVT_L0), ==, 0x10000);
    rig_destroy(&r);
}

static void test_priorities(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[1];
    enable_all(&r);
    ipi(r.cpu[0], 1, 0x41);
    ipi(r.cpu[0], 1, 0x52);
    ipi(r.cpu[0], 1, 0x43);
    g_assert_true(intr(v));
    g_assert_cmphex(take(v), ==, 0x52);
    g_assert_cmphex(rd(v, PPR), ==, 0x50);
    g_assert_false(intr(v)); /* 43h and 41h are not above */
    ipi(r.cpu[0], 1, 0x53);
    g_assert_false(intr(v)); /* the same class */
    ipi(r.cpu[0], 1, 0x61);
    g_assert_true(intr(v));
    g_assert_cmphex(take(v), ==, 0x61);
    wr(v, EOI, 0);
    g_assert_false(intr(v));
    wr(v, EOI, 0);
    g_assert_cmphex(take(v), ==, 0x53);
    wr(v, EOI, 0);
    wr(v, TPR, 0x40);
    g_assert_false(intr(v));
    g_assert_cmpint(take(v), ==, -1);
    v->apic_ops->set_tpr(v->apic, 3);
    g_assert_cmphex(rd(v, TPR), ==, 0x30);
    g_assert_true(intr(v));
    g_assert_cmphex(take(v), ==, 0x43);
    wr(v, EOI, 0);
    g_assert_cmphex(take(v), ==, 0x41);
    wr(v, EOI, 0);
    g_assert_false(intr(v));
    rig_destroy(&r);
}

static void test_disabled_takes_nothing(void)
{
    Rig r = rig();
    ipi(r.cpu[0], 1, 0x41);
    g_assert_false(intr(r.cpu[1]));
    g_assert_cmphex(rd(r.cpu[1], IRR + 0x20), ==, 0);
    ipi(r.cpu[0], 1, 0x4400); /* but NMI */
    g_assert_true(requested(r.cpu[1], VREQ_NMI));
    rig_destroy(&r);
}

static void clear_requests(Rig *r)
{
    for (unsigned i = 0; i < CPUS; i++)
        vcpu_unrequest(r->cpu[i], VREQ_NMI | VREQ_INIT | VREQ_SIPI | VREQ_SMI);
}

static unsigned who(Rig *r, uint32_t bit)
{
    unsigned set = 0;
    for (unsigned i = 0; i < CPUS; i++)
        set |= requested(r->cpu[i], bit) << i;
    clear_requests(r);
    return set;
}

static void test_shorthands(void)
{
    Rig r = rig();
    ipi(r.cpu[0], 0, 0xc4500); /* INIT, all but self */
    g_assert_cmphex(who(&r, VREQ_INIT), ==, 0xe);
    ipi(r.cpu[0], 0, 0x84400); /* NMI, all */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0xf);
    ipi(r.cpu[2], 0, 0x44400); /* NMI, self */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0x4);
    ipi(r.cpu[0], 0xff, 0x4400); /* NMI, broadcast */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0xf);
    ipi(r.cpu[0], 3, 0x4699); /* SIPI */
    g_assert_cmphex(atomic_load(&r.cpu[3]->sipi_vector), ==, 0x99);
    g_assert_cmphex(who(&r, VREQ_SIPI), ==, 0x8);
    ipi(r.cpu[0], 0, 0x88500); /* INIT level de-assert: nothing */
    g_assert_cmphex(who(&r, VREQ_INIT), ==, 0);
    ipi(r.cpu[0], 1, 0x4200); /* SMI */
    g_assert_cmphex(who(&r, VREQ_SMI), ==, 2);
    rig_destroy(&r);
}

static void test_logical(void)
{
    Rig r = rig();
    for (unsigned i = 0; i < CPUS; i++)
        wr(r.cpu[i], LDR, 0x01000000u << i);
    ipi(r.cpu[0], 0x06, 0x4c00); /* flat */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0x6);
    for (unsigned i = 0; i < CPUS; i++) {
        wr(r.cpu[i], DFR, 0);
        wr(r.cpu[i], LDR, (i / 2 << 4 | 1 << i % 2) << 24);
    }
    g_assert_cmphex(rd(r.cpu[0], DFR), ==, 0x0fffffff);
    ipi(r.cpu[0], 0x13, 0x4c00); /* cluster 1, members 0 and 1 */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0xc);
    ipi(r.cpu[0], 0xf1, 0x4c00); /* member 0 of every cluster */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0x5);
    rig_destroy(&r);
}

static void test_lowest_priority(void)
{
    Rig r = rig();
    enable_all(&r);
    for (unsigned i = 0; i < CPUS; i++) {
        wr(r.cpu[i], LDR, 0x01000000u << i);
        wr(r.cpu[i], TPR, 0x30 - (i == 2) * 0x10);
    }
    ipi(r.cpu[0], 0x0f, 0x4941);
    for (unsigned i = 0; i < CPUS; i++)
        g_assert_cmpint(intr(r.cpu[i]), ==, i == 2);
    rig_destroy(&r);
}

static void test_errors(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[0];
    enable_all(&r);
    wr(v, LVT_E, 0xfe);
    ipi(v, 1, 0x0f); /* vectors below 16 are not sent */
    g_assert_false(intr(r.cpu[1]));
    g_assert_cmphex(take(v), ==, 0xfe);
    wr(v, EOI, 0);
    g_assert_cmphex(rd(v, ESR), ==, 0);
    wr(v, ESR, 0);
    g_assert_cmphex(rd(v, ESR), ==, 0x20);
    wr(v, ESR, 0);
    g_assert_cmphex(rd(v, ESR), ==, 0);
    rd(v, 0x3a0); /* no such register */
    wr(v, ESR, 0);
    g_assert_cmphex(rd(v, ESR), ==, 0x80);
    rig_destroy(&r);
}

/* ---- timer */

static void advance(Rig *r, int64_t ns) { clock_advance(r->m->clock, ns); }

static void test_timer_one_shot(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[0];
    enable(v);
    wr(v, LVT_T, 0xec);
    wr(v, DIVIDE, 3); /* by 16 */
    wr(v, INITIAL, 1000);
    advance(&r, 4000);
    g_assert_cmpuint(rd(v, CURRENT), ==, 750);
    advance(&r, 11999);
    g_assert_false(intr(v));
    advance(&r, 1);
    g_assert_cmphex(take(v), ==, 0xec);
    g_assert_cmpuint(rd(v, CURRENT), ==, 0);
    wr(v, EOI, 0);
    advance(&r, 100000);
    g_assert_false(intr(v));
    rig_destroy(&r);
}

static void test_timer_periodic(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[0];
    enable(v);
    wr(v, LVT_T, 0x200ec);
    wr(v, DIVIDE, 0xb); /* by 1 */
    wr(v, INITIAL, 1000000);
    for (unsigned i = 0; i < 5; i++) {
        advance(&r, 999999);
        g_assert_false(intr(v));
        advance(&r, 1);
        g_assert_cmphex(take(v), ==, 0xec);
        wr(v, EOI, 0);
    }
    wr(v, LVT_T, 0x300ec); /* masked: it counts on */
    advance(&r, 1000000);
    g_assert_false(intr(v));
    advance(&r, 250000);
    g_assert_cmpuint(rd(v, CURRENT), ==, 750000);
    wr(v, INITIAL, 0);
    wr(v, LVT_T, 0x200ec);
    advance(&r, 3000000);
    g_assert_false(intr(v));
    rig_destroy(&r);
}

static uint64_t rdmsr(Vcpu *v, uint32_t msr)
{
    uint64_t value;
    g_assert_true(v->apic_ops->read_msr(v->apic, msr, &value));
    return value;
}
static bool wrmsr(Vcpu *v, uint32_t msr, uint64_t value) { return v->apic_ops->write_msr(v->apic, msr, value); }

static void test_timer_deadline(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[0];
    enable(v);
    g_assert_true(wrmsr(v, 0x6e0, 12345));
    g_assert_cmphex(rdmsr(v, 0x6e0), ==, 0); /* ignored in another mode */
    wr(v, LVT_T, 0x400ec);
    uint64_t deadline = tsc_now(&r.m->tsc) + 2000; /* at 2 GHz: 1000 ns */
    wrmsr(v, 0x6e0, deadline);
    g_assert_cmphex(rdmsr(v, 0x6e0), ==, deadline);
    g_assert_cmpuint(rd(v, CURRENT), ==, 0);
    advance(&r, 999);
    g_assert_false(intr(v));
    advance(&r, 1);
    g_assert_cmphex(take(v), ==, 0xec);
    wr(v, EOI, 0);
    g_assert_cmphex(rdmsr(v, 0x6e0), ==, 0);
    wrmsr(v, 0x6e0, 1); /* in the past: at once */
    advance(&r, 0);
    g_assert_cmphex(take(v), ==, 0xec);
    wr(v, EOI, 0);
    wrmsr(v, 0x6e0, tsc_now(&r.m->tsc) + 2000);
    wrmsr(v, 0x6e0, 0); /* disarmed */
    advance(&r, 5000);
    g_assert_false(intr(v));
    atomic_store(&v->tsc_offset, -1000000); /* the guest's TSC is behind: the same deadline is later */
    wrmsr(v, 0x6e0, tsc_now(&r.m->tsc) - 1000000 + 2000);
    advance(&r, 999);
    g_assert_false(intr(v));
    advance(&r, 1);
    g_assert_true(intr(v));
    rig_destroy(&r);
}

/* ---- x2APIC */

static bool set_base(Vcpu *v, uint64_t base) { return v->apic_ops->set_base(v->apic, base); }

static void test_modes(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[1];
    uint64_t value;
    g_assert_false(v->apic_ops->read_msr(v->apic, 0x802, &value)); /* not in xAPIC mode */
    g_assert_false(set_base(v, 0xfee00400)); /* x2APIC without enable */
    g_assert_false(set_base(v, 0xfee00801)); /* reserved bit */
    g_assert_true(set_base(v, 0xfee00c00));
    g_assert_cmphex(rdmsr(v, 0x802), ==, 1);
    g_assert_cmphex(rdmsr(v, 0x80d), ==, 2);
    g_assert_false(wrmsr(v, 0x80d, 0)); /* read-only */
    g_assert_false(wrmsr(v, 0x80e, 0)); /* DFR is not there */
    g_assert_false(wrmsr(v, 0x831, 0));
    g_assert_false(wrmsr(v, 0x80b, 1)); /* EOI takes 0 only */
    g_assert_true(wrmsr(v, 0x80b, 0));
    g_assert_false(wrmsr(v, 0x808, 0x100)); /* reserved bits */
    g_assert_false(set_base(v, 0xfee00800)); /* not back to xAPIC */
    g_assert_true(set_base(v, 0xfee00000));
    g_assert_false(set_base(v, 0xfee00c00)); /* nor from disabled */
    g_assert_true(set_base(v, 0xfed00800)); /* elsewhere */
    g_assert_cmphex(v->apic_ops->get_base(v->apic), ==, 0xfed00800);
    rig_destroy(&r);
}

static void test_x2apic_ipi(void)
{
    Rig r = rig();
    for (unsigned i = 0; i < CPUS; i++)
        g_assert_true(set_base(r.cpu[i], 0xfee00c00 | (i == 0) << 8));
    g_assert_true(wrmsr(r.cpu[0], 0x830, 9ull << 32 | 0x4400)); /* NMI to nobody */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0);
    g_assert_true(wrmsr(r.cpu[0], 0x830, 3ull << 32 | 0x4400));
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0x8);
    g_assert_true(wrmsr(r.cpu[0], 0x830, 0x0000000aull << 32 | 0x4c00)); /* cluster 0, members 1 and 3 */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0xa);
    g_assert_true(wrmsr(r.cpu[0], 0x830, 0x0001000aull << 32 | 0x4c00)); /* cluster 1: nobody */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0);
    g_assert_true(wrmsr(r.cpu[0], 0x830, 0xffffffffull << 32 | 0x4400));
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0xf);
    g_assert_true(wrmsr(r.cpu[2], 0x80f, 0x1ff));
    g_assert_true(wrmsr(r.cpu[2], 0x83f, 0x77)); /* SELF IPI */
    g_assert_cmphex(take(r.cpu[2]), ==, 0x77);
    rig_destroy(&r);
}

/* ---- IOAPIC, MSI, PIC */

static void test_ioapic_edge(void)
{
    Rig r = rig();
    enable_all(&r);
    g_assert_cmphex(io_read(&r, 1), ==, 0x170020);
    g_assert_cmphex(io_read(&r, 0x10), ==, 0x10000);
    IrqLine timer = intc_gsi(r.intc, 0);
    route(&r, 2, 1, 0x10031); /* masked: the edge is lost */
    irq_pulse(&timer);
    route(&r, 2, 1, 0x31);
    g_assert_false(intr(r.cpu[1]));
    irq_pulse(&timer); /* ISA IRQ 0 is on pin 2 */
    g_assert_cmphex(take(r.cpu[1]), ==, 0x31);
    wr(r.cpu[1], EOI, 0);
    g_assert_false(intr(r.cpu[1]));
    rig_destroy(&r);
}

/* The clock's ticks are counted while one waits, those of other pins are not. */
static void test_ticks_owed(void)
{
    Rig r = rig();
    enable_all(&r);
    IrqLine timer = intc_gsi(r.intc, 0), serial = intc_gsi(r.intc, 4);
    route(&r, 2, 1, 0x31);
    route(&r, 4, 1, 0x41);
    for (unsigned n = 0; n < 3; n++) {
        irq_pulse(&timer);
        irq_pulse(&serial);
    }
    g_assert_cmphex(take(r.cpu[1]), ==, 0x41);
    wr(r.cpu[1], EOI, 0);
    for (unsigned n = 0; n < 3; n++) {
        g_assert_cmphex(take(r.cpu[1]), ==, 0x31);
        g_assert_false(intr(r.cpu[1]));
        wr(r.cpu[1], EOI, 0);
        g_assert_cmpint(intr(r.cpu[1]), ==, n < 2);
    }
    for (unsigned n = 0; n < 100000; n++)
        irq_pulse(&timer);
    unsigned taken = 0;
    for (; take(r.cpu[1]) == 0x31; taken++)
        wr(r.cpu[1], EOI, 0);
    g_assert_cmpuint(taken, ==, 251); /* a guest that was away for long is not kept busy for as long */
    rig_destroy(&r);
}

static void test_ioapic_level(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[2];
    enable_all(&r);
    IrqLine line = intc_gsi(r.intc, 11);
    route(&r, 11, 2, 0x8039);
    irq_set(&line, true);
    g_assert_cmphex(io_read(&r, 0x10 + 22), ==, 0xc039); /* remote IRR */
    g_assert_cmphex(take(v), ==, 0x39);
    irq_set(&line, false);
    irq_set(&line, true);
    g_assert_false(intr(v)); /* not before EOI */
    wr(v, EOI, 0);
    g_assert_true(intr(v)); /* still asserted: again */
    g_assert_cmphex(take(v), ==, 0x39);
    irq_set(&line, false);
    wr(v, EOI, 0);
    g_assert_false(intr(v));
    g_assert_cmphex(io_read(&r, 0x10 + 22), ==, 0x8039);
    rig_destroy(&r);
}

static void test_ioapic_directed_eoi(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[0];
    wr(v, SVR, 0x11ff); /* no EOI broadcast */
    IrqLine line = intc_gsi(r.intc, 20);
    route(&r, 20, 0, 0x8039);
    irq_set(&line, true);
    g_assert_cmphex(take(v), ==, 0x39);
    irq_set(&line, false);
    wr(v, EOI, 0);
    g_assert_cmphex(io_read(&r, 0x10 + 40), ==, 0xc039);
    test_write(r.m->memory, IOAPIC + 0x40, 4, 0x39);
    g_assert_cmphex(io_read(&r, 0x10 + 40), ==, 0x8039);
    rig_destroy(&r);
}

/* A level pin whose receiver was disabled delivers when it is set up anew. */
static void test_ioapic_nobody(void)
{
    Rig r = rig();
    IrqLine line = intc_gsi(r.intc, 11);
    route(&r, 11, 2, 0x8039);
    irq_set(&line, true);
    g_assert_cmphex(io_read(&r, 0x10 + 22), ==, 0x8039); /* no remote IRR */
    enable_all(&r);
    route(&r, 11, 1, 0x8039);
    g_assert_true(intr(r.cpu[1]));
    rig_destroy(&r);
}

static void test_msi(void)
{
    Rig r = rig();
    enable_all(&r);
    intc_msi(r.intc, 0xfee03000, 0x4055);
    g_assert_cmphex(take(r.cpu[3]), ==, 0x55);
    wr(r.cpu[3], EOI, 0);
    for (unsigned i = 0; i < CPUS; i++)
        wr(r.cpu[i], LDR, 0x01000000u << i);
    intc_msi(r.intc, 0xfee0200c, 0x156); /* logical, lowest priority */
    g_assert_cmphex(take(r.cpu[1]), ==, 0x56);
    rig_destroy(&r);
}

/* Virtual wire: the PIC through LINT0 of the bootstrap processor. */
static void test_virtual_wire(void)
{
    Rig r = rig();
    static const uint8_t init[] = { 0x11, 0x30, 0x04, 0x01 };
    for (unsigned i = 0; i < 4; i++)
        test_out(r.m, 0x20 + !!i, init[i]);
    IrqLine timer = intc_gsi(r.intc, 0);
    irq_pulse(&timer);
    g_assert_true(intr(r.cpu[0]));
    g_assert_false(intr(r.cpu[1]));
    g_assert_cmphex(take(r.cpu[0]), ==, 0x30);
    g_assert_false(intr(r.cpu[0]));
    test_out(r.m, 0x20, 0x20);
    enable(r.cpu[0]);
    wr(r.cpu[0], LVT_L0, 0x10700);
    irq_pulse(&timer);
    g_assert_false(intr(r.cpu[0])); /* masked */
    wr(r.cpu[0], LVT_L0, 0x700);
    g_assert_true(intr(r.cpu[0]));
    test_out(r.m, 0x21, 0x01); /* masked in the PIC: INTR falls, and so does the request */
    g_assert_false(intr(r.cpu[0]));
    test_out(r.m, 0x21, 0x00);
    set_base(r.cpu[0], 0xfee00000); /* no APIC at all: wired straight through */
    g_assert_cmphex(take(r.cpu[0]), ==, 0x30);
    rig_destroy(&r);
}

static void test_nmi(void)
{
    Rig r = rig();
    intc_nmi(r.intc); /* LINT1 is masked after reset */
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0);
    enable_all(&r);
    wr(r.cpu[0], 0x360, 0x400);
    intc_nmi(r.intc);
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 1);
    IrqLine mask = intc_nmi_mask(r.intc);
    irq_set(&mask, true);
    intc_nmi(r.intc);
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 0);
    irq_set(&mask, false);
    set_base(r.cpu[3], 0xfee00000); /* without an APIC the pin is the processor's own */
    intc_nmi(r.intc);
    g_assert_cmphex(who(&r, VREQ_NMI), ==, 9);
    rig_destroy(&r);
}

static void test_init_keeps_base(void)
{
    Rig r = rig();
    Vcpu *v = r.cpu[1];
    enable(v);
    wr(v, TPR, 0x20);
    g_assert_true(set_base(v, 0xfee00c00));
    v->apic_ops->cpu_reset(v->apic, true);
    g_assert_cmphex(v->apic_ops->get_base(v->apic), ==, 0xfee00c00);
    g_assert_cmphex(rdmsr(v, 0x80f), ==, 0xff);
    g_assert_cmphex(rdmsr(v, 0x808), ==, 0);
    v->apic_ops->cpu_reset(v->apic, false);
    g_assert_cmphex(v->apic_ops->get_base(v->apic), ==, 0xfee00800);
    rig_destroy(&r);
}

/* ---- threads: no interrupt is lost between senders and a receiver that changes its priority all the time */

enum { SENDERS = 3, ROUNDS = 3000 };

typedef struct Race {
    Rig r;
    _Atomic unsigned seen[256];
    _Atomic bool quit;
} Race;

typedef struct Sender {
    Race *race;
    uint8_t vector;
} Sender;

static void *receive(void *opaque)
{
    Race *race = opaque;
    Vcpu *v = race->r.cpu[0];
    while (!atomic_load(&race->quit)) {
        int vector = intr(v) ? take(v) : -1;
        if (vector < 0) {
            g_thread_yield();
            continue;
        }
        atomic_fetch_add(&race->seen[vector], 1);
        if (vector == 0x30)
            test_out(race->r.m, 0x20, 0x20);
        else
            wr(v, EOI, 0);
        v->apic_ops->set_tpr(v->apic, 15);
        v->apic_ops->set_tpr(v->apic, 0); /* and then only a request tells of more */
    }
    return NULL;
}

static void wait_for(Race *race, uint8_t vector, unsigned count)
{
    int64_t end = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;
    while (atomic_load(&race->seen[vector]) < count) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_thread_yield();
    }
}

static void *send_messages(void *opaque)
{
    Sender *s = opaque;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        intc_msi(s->race->r.intc, 0xfee00000, s->vector);
        wait_for(s->race, s->vector, i);
    }
    return NULL;
}

static void *pulse_pic(void *opaque)
{
    Race *race = opaque;
    IrqLine timer = intc_gsi(race->r.intc, 0);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        irq_pulse(&timer);
        wait_for(race, 0x30, i);
    }
    return NULL;
}

static void test_race(void)
{
    static const uint8_t init[] = { 0x11, 0x30, 0x04, 0x01 };
    Race race = { .r = rig() };
    Sender senders[SENDERS] = { { &race, 0x41 }, { &race, 0x52 }, { &race, 0x53 } };
    GThread *threads[SENDERS + 1];
    enable(race.r.cpu[0]);
    wr(race.r.cpu[0], LVT_L0, 0x700);
    for (unsigned i = 0; i < 4; i++)
        test_out(race.r.m, 0x20 + !!i, init[i]);
    GThread *receiver = g_thread_new("receiver", receive, &race);
    for (unsigned i = 0; i < SENDERS; i++)
        threads[i] = g_thread_new("sender", send_messages, &senders[i]);
    threads[SENDERS] = g_thread_new("pic", pulse_pic, &race);
    for (unsigned i = 0; i <= SENDERS; i++)
        g_thread_join(threads[i]);
    atomic_store(&race.quit, true);
    g_thread_join(receiver);
    for (unsigned i = 0; i < SENDERS; i++)
        g_assert_cmpuint(race.seen[senders[i].vector], ==, ROUNDS);
    g_assert_cmpuint(race.seen[0x30], ==, ROUNDS);
    rig_destroy(&race.r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/apic/reset-values", test_reset_values);
    g_test_add_func("/apic/priorities", test_priorities);
    g_test_add_func("/apic/disabled", test_disabled_takes_nothing);
    g_test_add_func("/apic/shorthands", test_shorthands);
    g_test_add_func("/apic/logical", test_logical);
    g_test_add_func("/apic/lowest-priority", test_lowest_priority);
    g_test_add_func("/apic/errors", test_errors);
    g_test_add_func("/apic/timer/one-shot", test_timer_one_shot);
    g_test_add_func("/apic/timer/periodic", test_timer_periodic);
    g_test_add_func("/apic/timer/deadline", test_timer_deadline);
    g_test_add_func("/apic/modes", test_modes);
    g_test_add_func("/apic/x2apic-ipi", test_x2apic_ipi);
    g_test_add_func("/apic/init", test_init_keeps_base);
    g_test_add_func("/ioapic/edge", test_ioapic_edge);
    g_test_add_func("/ioapic/ticks-owed", test_ticks_owed);
    g_test_add_func("/ioapic/level", test_ioapic_level);
    g_test_add_func("/ioapic/directed-eoi", test_ioapic_directed_eoi);
    g_test_add_func("/ioapic/nobody", test_ioapic_nobody);
    g_test_add_func("/intc/msi", test_msi);
    g_test_add_func("/intc/nmi", test_nmi);
    g_test_add_func("/intc/virtual-wire", test_virtual_wire);
    g_test_add_func("/intc/race", test_race);
    return g_test_run();
}
