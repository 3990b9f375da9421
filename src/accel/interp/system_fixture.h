#pragma once
#include "accel/interp/test_accel.h"
#include "accel/interp/sys.h"
/*
 * system_fixture.h - one vCPU in a small machine for tests of the system half: tests put descriptors, page tables and
 * instruction bytes into RAM, run single instructions and look at the state.
 *
 * Handler of vector n is at HANDLER + 16 * n; nothing needs to stand there, a test looks whether RIP has arrived.
 */
enum {
    CODE = 0x1000,
    STACK0 = 0x8000,
    STACK3 = 0x7000,
    GDT = 0x9000,
    IDT = 0xa000,
    TSS = 0xb000,
    TSS_B = 0xc000,
    LDT = 0xd000,
    HANDLER = 0x4000,
    DATA = 0x6000,
    PAGES = 0x10000,
    RAM = 4 << 20,
};
enum { /* selectors */
       CODE0 = 0x08,
       DATA0 = 0x10,
       CODE3 = 0x1b,
       DATA3 = 0x23,
       TSS_SEL = 0x28,
       TSS_B_SEL = 0x38,
       GATE_SEL = 0x48,
       TASK_GATE_SEL = 0x58,
       LDT_SEL = 0x60,
       CONFORMING = 0x70,
       ABSENT = 0x78,
       READ_ONLY = 0x80,
       CODE16_SEL = 0x88,
       DATA16_SEL = 0x90,
       GDT_LIMIT = 0xff,
};

typedef struct Fixture {
    Machine *machine;
    InterpVcpu *v;
    CpuState *s;
    uint8_t *ram;
} Fixture;

static inline uint64_t ram_get(Fixture *f, uint64_t at, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, f->ram + at, size);
    return value;
}
static inline void ram_put(Fixture *f, uint64_t at, unsigned size, uint64_t value)
{
    memcpy(f->ram + at, &value, size);
}

static inline uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}
static inline uint64_t gate(uint16_t selector, uint32_t offset, unsigned access, unsigned params)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)params << 32 | (uint64_t)access << 40 |
           (uint64_t)(offset >> 16) << 48;
}

static inline void fixture_open(Fixture *f, const char *cpu)
{
    MachineConfig config = {
        .accel_options = g_getenv("ATOLL_TEST_ACCEL_OPTIONS"),
        .ram_size = RAM, .cpus = 1, .max_cpus = 1, .cores = 1, .threads = 1, .sockets = 1, .manual_clock = true
    };
    CpuModel max;
    g_autoptr(GError) err = NULL;
    cpu_model_max(&max);
    g_assert_true(cpu_model_parse(cpu, &max, &config.cpu_model, NULL, &err));
    f->machine = machine_create(&config, &err);
    g_assert_no_error(err);
    g_assert_nonnull(region_add(f->machine->memory,
                                &(RegionDecl){ .name = "ram", .kind = REGION_RAM, .size = RAM, .ram = f->machine->ram },
                                &err));
    g_assert_true(machine_add_accel(f->machine, test_accel(), &err));
    machine_reset(f->machine, RESET_COLD);
    f->v = (InterpVcpu *)machine_vcpu(f->machine, 0);
    f->s = &f->v->s;
    f->ram = f->machine->ram->host;
}

static inline void fixture_close(Fixture *f) { machine_destroy(f->machine); }

static inline Segment flat_segment(uint16_t selector, uint32_t attr)
{
    return (Segment){ .selector = selector, .attr = attr, .limit = 0xffffffff };
}

static inline void ready(Fixture *f) { interp_state_loaded(f->v); }

static inline void enter_real(Fixture *f)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        f->s->seg[i] = (Segment){ .attr = 0x93, .limit = 0xffff };
    f->s->idtr = (DescriptorTable){ 0, 0x3ff };
    for (unsigned n = 0; n < 256; n++)
        ram_put(f, n * 4, 4, HANDLER + 16 * n);
    f->s->rip = CODE;
    f->s->gpr[GPR_RSP] = STACK0;
    f->s->rflags = RFLAGS_ONE;
    ready(f);
}

static inline void make_tables(Fixture *f, bool wide)
{
    static const struct { unsigned at; uint64_t value; } gdt[] = {
        { CODE0, 0x00cf9b000000ffff },      { DATA0, 0x00cf93000000ffff },      { CODE3 & ~3, 0x00cffb000000ffff },
        { DATA3 & ~3, 0x00cff3000000ffff }, { CONFORMING, 0x00cf9f000000ffff }, { ABSENT, 0x00cf13000000ffff },
        { READ_ONLY, 0x00cf91000000ffff },  { CODE16_SEL, 0x00009b000000ffff }, { DATA16_SEL, 0x000093000000ffff },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(gdt); i++)
        ram_put(f, GDT + gdt[i].at, 8, gdt[i].value);
    if (wide) {
        ram_put(f, GDT + CODE0, 8, 0x00af9b000000ffff);
        ram_put(f, GDT + (CODE3 & ~3), 8, 0x00affb000000ffff);
    }
    ram_put(f, GDT + TSS_SEL, 8, descriptor(TSS, 0x67, 0x8b, 0));
    ram_put(f, GDT + TSS_B_SEL, 8, descriptor(TSS_B, 0x67, 0x89, 0));
    ram_put(f, GDT + LDT_SEL, 8, descriptor(LDT, 0xff, 0x82, 0));
    f->s->gdtr = (DescriptorTable){ GDT, GDT_LIMIT };
    f->s->idtr = (DescriptorTable){ IDT, wide ? 0x4ff : 0x27f };
    for (unsigned n = 0; n < 0x50; n++)
        ram_put(f, IDT + n * (wide ? 16 : 8), 8,
                gate(CODE0, HANDLER + 16 * n, n >= 0x40 || n == 3 || n == 4 ? 0xee : 0x8e, 0));
    f->s->tr = (Segment){ .selector = TSS_SEL, .attr = 0x8b, .base = TSS, .limit = 0x67 };
    ram_put(f, TSS + 4, wide ? 8 : 4, STACK0);
    if (!wide)
        ram_put(f, TSS + 8, 4, DATA0);
    ram_put(f, TSS + 0x66, 2, 0x68);
}

static inline void set_ring(Fixture *f, unsigned cpl)
{
    bool wide = f->s->efer & EFER_LMA;
    f->s->seg[SEG_CS] = flat_segment(cpl ? CODE3 : CODE0, (wide ? 0xa09b : 0xc09b) | cpl << 5);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        if (i != SEG_CS)
            f->s->seg[i] = flat_segment(cpl ? DATA3 : DATA0, 0xc093 | cpl << 5);
    f->s->gpr[GPR_RSP] = cpl ? STACK3 : STACK0;
    ready(f);
}

/* 32-bit protected mode, flat, without paging. */
static inline void enter_protected(Fixture *f, unsigned cpl)
{
    make_tables(f, false);
    f->s->cr0 = (f->s->cr0 | CR0_PE) & ~(CR0_CD | CR0_NW);
    f->s->ldtr = null_segment(0, 0);
    f->s->rip = CODE;
    f->s->rflags = RFLAGS_ONE;
    set_ring(f, cpl);
}

/* 4-level paging: the first 2 MiB in 4 KiB pages (user, writable) as PAGES + 0x3000 says; 2-4 MiB as one large page. */
static inline void enter_long(Fixture *f, unsigned cpl)
{
    make_tables(f, true);
    ram_put(f, PAGES, 8, (PAGES + 0x1000) | 7);
    ram_put(f, PAGES + 0x1000, 8, (PAGES + 0x2000) | 7);
    ram_put(f, PAGES + 0x2000, 8, (PAGES + 0x3000) | 7);
    ram_put(f, PAGES + 0x2008, 8, 0x200087);
    for (unsigned i = 0; i < 512; i++)
        ram_put(f, PAGES + 0x3000 + 8 * i, 8, i << 12 | 7);
    f->s->cr4 |= CR4_PAE;
    f->s->cr3 = PAGES;
    f->s->efer |= EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    f->s->cr0 = (f->s->cr0 | CR0_PE | CR0_PG) & ~(CR0_CD | CR0_NW);
    f->s->ldtr = null_segment(0, 0);
    f->s->rip = CODE;
    f->s->rflags = RFLAGS_ONE;
    set_ring(f, cpl);
}
static inline uint64_t pte_at(unsigned page) { return PAGES + 0x3000 + 8 * page; }

static inline void step_here(Vcpu *v, void *arg)
{
    g_autoptr(GError) err = NULL;
    test_accel()->step(v, &err);
    g_assert_no_error(err);
}
static inline void step(Fixture *f) { vcpu_run_on(&f->v->vcpu, step_here, NULL); }

/* Runs one instruction, given by its bytes, at RIP. */
static inline void run_bytes(Fixture *f, const uint8_t *bytes, size_t n)
{
    uint64_t linear = ((f->s->efer & EFER_LMA ? 0 : f->s->seg[SEG_CS].base) + f->s->rip), gpa;
    g_assert_true(mmu_debug_translate(f->v, linear, &gpa));
    memcpy(f->ram + gpa, bytes, n);
    test_accel()->code_changed(f->v->vcpu.accel, gpa, n);
    step(f);
}
#define RUN(f, ...) run_bytes((f), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

#define assert_at(f, where) g_assert_cmphex((f)->s->rip, ==, (where))
#define assert_in_handler(f, vector) assert_at(f, HANDLER + 16 * (vector))
