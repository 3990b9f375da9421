/*
 * lockstep_test.c - two accelerators execute the same programs step by step and must agree on the whole CpuState.
 *
 * Skipped where /dev/kvm cannot be used.  Where KVM is Linux's instruction emulator (a host without VMX or SVM of its
 * own), it lacks instructions: for those it takes over the interpreter's state and is asked again at the next.  Flags
 * that an instruction leaves undefined are taken over from KVM after each step, so that they do not count but stay
 * alike.
 */
#include <string.h>

#include "accel/accel.h"
#include "isa/x86/insn.h"
#include "machine/machine.h"

extern const uint8_t real_start[], real_end[], protected_start[], protected_end[], long_start[], long_end[];

enum {
    CODE = 0x1000,
    STACK = 0x8000,
    GDT = 0x9000,
    IDT_REGISTER = 0x9800,
    IDT = 0x9900,
    TSS = 0x9e00,
    PAGES = 0x10000,
    RAM = 2 << 20,
    MAX_STEPS = 2000
};

typedef struct Program {
    const char *name;
    const uint8_t *start, *end;
    void (*prepare)(uint8_t *ram, CpuState *s);
} Program;

/* ---- start states */

static void put(uint8_t *ram, uint64_t at, uint64_t value)
{
    memcpy(ram + at, &value, 8);
}

static Segment flat(uint16_t selector, uint32_t attr)
{
    return (Segment){ .selector = selector, .attr = attr, .limit = UINT32_MAX };
}

static void prepare_real(uint8_t *ram, CpuState *s)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = (Segment){ .attr = i == SEG_CS ? 0x9b : 0x93, .limit = 0xffff };
    s->rip = CODE;
    s->gpr[GPR_RSP] = STACK;
}

/* 08 code, 10 data, 18 user code, 20 user data, 28 TSS: the same order for 32 and 64 bits (18 is SYSRET's base + 0). */
static void make_gdt(uint8_t *ram, bool wide)
{
    put(ram, GDT + 0x08, wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
    put(ram, GDT + 0x10, 0x00cf93000000ffff);
    put(ram, GDT + 0x18, 0x00cffb000000ffff);
    put(ram, GDT + 0x20, 0x00cff3000000ffff);
    put(ram, GDT + 0x28, wide ? 0x00affb000000ffff : 0x00008b0000000067 | (uint64_t)TSS << 16);
}

static void make_tss32(uint8_t *ram)
{
    uint32_t esp0 = STACK - 0x100, ss0 = 0x10;
    memcpy(ram + TSS + 4, &esp0, 4);
    memcpy(ram + TSS + 8, &ss0, 4);
}

static void put_gate32(uint8_t *ram, unsigned vector, uint32_t target, unsigned dpl)
{
    put(ram, IDT + 8 * vector,
        (target & 0xffff) | 0x08 << 16 | (uint64_t)(0x8e00 | dpl << 13) << 32 | (uint64_t)(target >> 16) << 48);
}

static void prepare_protected(uint8_t *ram, CpuState *s)
{
    make_gdt(ram, false);
    make_tss32(ram);
    put_gate32(ram, 0x40, 0x1100, 0);
    put_gate32(ram, 0x41, 0x1110, 3);
    put(ram, IDT_REGISTER, (uint64_t)IDT << 16 | 0x4ff);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = i == SEG_CS ? flat(0x08, 0xc09b) : flat(0x10, 0xc093);
    s->tr = (Segment){ .selector = 0x28, .attr = 0x8b, .base = TSS, .limit = 0x67 };
    s->gdtr = (DescriptorTable){ GDT, 0x2f };
    s->cr0 = (s->cr0 | CR0_PE) & ~(CR0_CD | CR0_NW);
    s->rip = CODE;
    s->gpr[GPR_RSP] = STACK;
}

static void prepare_long(uint8_t *ram, CpuState *s)
{
    make_gdt(ram, true);
    put(ram, PAGES, (PAGES + 0x1000) | 0x27);
    put(ram, PAGES + 0x1000, (PAGES + 0x2000) | 0x27);
    put(ram, PAGES + 0x2000, 0xe7);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = i == SEG_CS ? flat(0x08, 0xa09b) : flat(0x10, 0xc093);
    s->gdtr = (DescriptorTable){ GDT, 0x2f };
    s->cr4 |= CR4_PAE | CR4_OSFXSR;
    s->cr3 = PAGES;
    s->efer = EFER_LME | EFER_LMA | EFER_SCE;
    s->cr0 = (s->cr0 | CR0_PE | CR0_PG | CR0_MP | CR0_NE) & ~(CR0_EM | CR0_CD | CR0_NW);
    s->rip = CODE;
    s->gpr[GPR_RSP] = STACK;
}

static const Program programs[] = {
    { "real", real_start, real_end, prepare_real },
    { "protected", protected_start, protected_end, prepare_protected },
    { "long", long_start, long_end, prepare_long },
};

/* ---- one machine */

static Machine *machine_with(const AccelOps *ops, const Program *p, GError **err)
{
    MachineConfig config = { .ram_size = RAM, .cpus = 1, .max_cpus = 1, .cores = 1, .threads = 1, .sockets = 1 };
    CpuModel max;
    cpu_model_max(&max);
    g_assert_true(cpu_model_parse("x86-64-v2,vendor=GenuineIntel,family=6", &max, &config.cpu_model, NULL, NULL));
    Machine *m = machine_create(&config, err);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM, .ram = m->ram };
    g_assert_nonnull(region_add(m->memory, &ram, NULL));
    if (!machine_add_accel(m, ops, err)) {
        machine_destroy(m);
        return NULL;
    }
    machine_reset(m, RESET_COLD);
    memcpy(m->ram->host + CODE, p->start, p->end - p->start);
    return m;
}

static void start(Machine *m, const Program *p)
{
    CpuState s;
    Vcpu *v = machine_vcpu(m, 0);
    g_autoptr(GError) err = NULL;
    v->accel->ops->get(v, &s, &err);
    g_assert_no_error(err);
    p->prepare(m->ram->host, &s);
    v->accel->ops->set(v, &s, &err);
    g_assert_no_error(err);
}

typedef struct StepResult {
    bool ok;
    GError *err;
    CpuState state;
} StepResult;

static void step_here(Vcpu *v, void *arg)
{
    StepResult *r = arg;
    r->ok = v->accel->ops->step(v, &r->err) && v->accel->ops->get(v, &r->state, &r->err);
}

/* A REP may be one step or one for each element: go on until the instruction is left.  False: the accelerator cannot
 * execute it (no emulation, or it stays where it is). */
static bool step(Machine *m, const CpuState *before, CpuState *ret)
{
    enum { MOST_ELEMENTS = 16 };
    uint64_t rip = before->rip;
    for (unsigned i = 0; i < MOST_ELEMENTS; i++) {
        StepResult r = { 0 };
        vcpu_run_on(machine_vcpu(m, 0), step_here, &r);
        if (!r.ok)
            g_test_message("%s: at %#" G_GINT64_MODIFIER "x: %s", m->accel->ops->name, rip, r.err->message);
        g_clear_error(&r.err);
        if (!r.ok)
            return false;
        *ret = r.state;
        if (ret->rip != rip)
            return true;
    }
    return false;
}

/* The machine takes over another's registers and memory. */
static void follow(Machine *m, const Machine *leader, const CpuState *s)
{
    memcpy(m->ram->host, leader->ram->host, RAM);
    g_autoptr(GError) err = NULL;
    m->accel->ops->set(machine_vcpu(m, 0), s, &err);
    g_assert_no_error(err);
}

/* ---- comparing */

/* What is not the program's: time, the interrupt controller's mirror, hidden bits that the modes do not use. */
static void forget_unrelated(CpuState *s)
{
    s->tsc_offset = s->tsc_adjust = s->tsc_deadline = 0;
    s->smbase = s->apic_base = s->microcode_version = s->misc_enable = s->mcg_ctl = s->cr8 = 0;
    s->fpu.mxcsr_mask = 0;
    s->fpu.fip = s->fpu.fdp = s->fpu.fop = 0;
    s->fpu.xstate_bv = s->fpu.xcomp_bv = 0;
    memset(s->fpu.reserved1, 0, sizeof(s->fpu.reserved1));
    memset(s->fpu.reserved2, 0, sizeof(s->fpu.reserved2));
    s->dr[6] &= ~0x4000ull; /* single-stepping's own mark */
    s->dr[4] = s->dr[5] = 0;
    s->rflags &= ~(uint64_t)(RFLAGS_RF | RFLAGS_TF);
    s->ldtr = (Segment){ .selector = s->ldtr.selector };
    s->activity = s->sipi_vector = 0;
    memset(s->mtrr_fixed, 0, sizeof(s->mtrr_fixed));
    s->mtrr_def_type = 0;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        s->seg[i].attr &= ~(SEG_ATTR_G | SEG_ATTR_AVL); /* G: the limit says it */
        if (!(s->cr0 & CR0_PE))
            s->seg[i].attr = 0; /* KVM shows what VMX wants to see there */
        if (s->seg[i].attr & SEG_ATTR_UNUSABLE)
            s->seg[i] = (Segment){ .selector = s->seg[i].selector, .base = s->seg[i].base };
    }
    s->tr.attr &= ~(SEG_ATTR_G | SEG_ATTR_AVL);
}

static uint32_t undefined_flags(Machine *m, uint64_t linear, CodeSize size)
{
    Insn insn;
    g_assert_cmpint(insn_decode(m->ram->host + linear, 15, size, &insn), ==, DECODE_OK);
    return insn_row(&insn)->flags_undefined;
}

static CodeSize code_size(const CpuState *s)
{
    return s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEG_ATTR_L ? CODE64
           : s->seg[SEG_CS].attr & SEG_ATTR_DB                    ? CODE32
                                                                  : CODE16;
}

static void adopt_flags(Machine *m, CpuState *s, uint64_t flags, uint32_t mask)
{
    Vcpu *v = machine_vcpu(m, 0);
    s->rflags = (s->rflags & ~(uint64_t)mask) | (flags & mask);
    g_assert_true(v->accel->ops->set(v, s, NULL));
}

static void compare(const Program *p, const CpuState *interp, const CpuState *kvm, uint64_t rip, unsigned n)
{
    CpuState a = *interp, b = *kvm;
    forget_unrelated(&a);
    forget_unrelated(&b);
    g_autofree char *diff = cpu_state_diff(&a, &b);
    if (*diff)
        g_error("%s: step %u at %#" G_GINT64_MODIFIER "x: interp and kvm differ:\n%s", p->name, n, rip, diff);
}

static void test_program(const void *arg)
{
    const Program *p = arg;
    g_autoptr(GError) err = NULL;
    if (!accel_kvm.probe(&err)) {
        g_test_skip(err->message);
        return;
    }
    Machine *interp = machine_with(&accel_interp, p, &err), *kvm = machine_with(&accel_kvm, p, &err);
    g_assert_no_error(err);
    start(interp, p);
    start(kvm, p);
    CpuState before;
    machine_vcpu(kvm, 0)->accel->ops->get(machine_vcpu(kvm, 0), &before, &err);
    unsigned n = 0, not_emulated = 0;
    for (; n < MAX_STEPS && before.rip + before.seg[SEG_CS].base != CODE + (uint64_t)(p->end - p->start); n++) {
        CpuState a, b = before;
        uint32_t undefined = undefined_flags(interp, before.rip + before.seg[SEG_CS].base, code_size(&before));
        if (!step(interp, &before, &a))
            g_error("%s: the interpreter does not get beyond %#" G_GINT64_MODIFIER "x", p->name, before.rip);
        bool emulated = step(kvm, &before, &b);
        if (not_emulated && a.rip != b.rip)
            emulated = false; /* that emulator also takes two instructions at once now and then */
        if (emulated) {
            adopt_flags(interp, &a, b.rflags, undefined);
            compare(p, &a, &b, before.rip, n);
        } else {
            not_emulated++;
            follow(kvm, interp, &a);
        }
        before = a;
    }
    g_assert_cmpuint(n, <, MAX_STEPS);
    g_assert_cmpuint(not_emulated, <, n / 2);
    g_assert_cmpmem(interp->ram->host + STACK, 0x4000, kvm->ram->host + STACK, 0x4000);
    g_test_message("%s: %u steps, %u of them beyond this host's KVM", p->name, n, not_emulated);
    machine_destroy(interp);
    machine_destroy(kvm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(programs); i++) {
        g_autofree char *path = g_strdup_printf("/lockstep/%s", programs[i].name);
        g_test_add_data_func(path, &programs[i], test_program);
    }
    return g_test_run();
}
