#pragma once
#include "accel/interp/test_accel.h"
#include "accel/interp/interp.h"
/*
 * test_guest.h - a machine with nothing but RAM, for tests and benchmarks of the interpreter.
 *
 * Code stands at GUEST_CODE and ends with HLT.  Every exception has a handler that is one HLT, so that the stopped vCPU
 * tells by its RIP which it was: guest_vector().  16-bit is real mode, 32-bit is flat without paging, 64-bit has its
 * first gigabyte mapped one to one, in pages of 2 MiB that CPL 3 may use.
 */
enum {
    GUEST_RAM = 16 << 20, GUEST_TABLES = 0x1000, GUEST_IDT = 0x5000, GUEST_HANDLERS = 0x6000, GUEST_GDT = 0x7000,
    GUEST_CODE = 0x8000, GUEST_STACK = 0xf000, GUEST_DATA = 0x20000,
};

typedef struct Guest {
    Machine *m;
    uint8_t *ram;
    CodeSize size;
} Guest;

static inline InterpVcpu *guest_vcpu(const Guest *g, unsigned id) { return (InterpVcpu *)machine_vcpu(g->m, id); }

static inline Segment guest_segment(CodeSize size, uint16_t selector, uint32_t type)
{
    if (size == CODE16)
        return (Segment){ .attr = 0x93, .limit = 0xffff };
    uint32_t wide = (type & 8) && size == CODE64 ? SEG_ATTR_L : SEG_ATTR_DB;
    return (Segment){ .selector = selector, .attr = 0x90 | type | wide | SEG_ATTR_G, .limit = 0xffffffff };
}

static inline void guest_tables(const Guest *g)
{
    uint64_t *pml4 = (uint64_t *)(g->ram + GUEST_TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
    pml4[0] = (GUEST_TABLES + 0x1000) | 7;
    pdpt[0] = (GUEST_TABLES + 0x2000) | 7;
    for (uint64_t n = 0; n < 512; n++)
        pd[n] = n << 21 | 0x87;
    uint64_t *gdt = (uint64_t *)(g->ram + GUEST_GDT);
    gdt[1] = g->size == CODE64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
    gdt[2] = 0x00cf93000000ffff;
    for (unsigned vector = 0; vector < 32; vector++) {
        uint64_t at = GUEST_HANDLERS + vector * 16;
        g->ram[at] = 0xf4;
        uint64_t gate = at | 8 << 16 | 0x8e00ull << 32;
        if (g->size == CODE16)
            memcpy(g->ram + GUEST_IDT + vector * 4, &at, 4);
        else
            memcpy(g->ram + GUEST_IDT + vector * (g->size == CODE64 ? 16 : 8), &gate, 8);
    }
}

static inline CpuState guest_state(const Guest *g)
{
    CpuState s = {
        .rflags = RFLAGS_ONE, .rip = GUEST_CODE, .cr0 = CR0_ET, .pat = 0x0007040600070406, .xcr0 = XCR0_X87
    };
    s.fpu.fcw = 0x37f;
    s.fpu.mxcsr = 0x1f80;
    s.gpr[GPR_RSP] = GUEST_STACK;
    for (unsigned n = 0; n < SEG_COUNT; n++)
        s.seg[n] = guest_segment(g->size, n == SEG_CS ? 8 : 16, n == SEG_CS ? 0xb : 3);
    s.tr = (Segment){ .attr = 0x8b, .limit = 0x67, .base = 0x7800 };
    s.ldtr.attr = SEG_ATTR_UNUSABLE;
    s.gdtr = (DescriptorTable){ GUEST_GDT, 23 };
    s.idtr = (DescriptorTable){ GUEST_IDT, g->size == CODE16 ? 0x3ff : 0x1ff };
    s.dr[6] = 0xffff0ff0;
    s.dr[7] = 0x400;
    if (g->size != CODE16)
        s.cr0 |= CR0_PE;
    if (g->size == CODE64) {
        s.cr0 |= CR0_PG | CR0_WP;
        s.cr3 = GUEST_TABLES;
        s.cr4 = CR4_PAE | CR4_OSFXSR;
        s.efer = EFER_LME | EFER_LMA | EFER_NXE;
    }
    return s;
}

static inline Guest guest_create(unsigned cpus, CodeSize size)
{
    GError *err = NULL;
    MachineConfig config = { .accel_options = g_getenv("ATOLL_TEST_ACCEL_OPTIONS"), .ram_size = GUEST_RAM, .cpus = cpus, .sockets = 1, .cores = cpus, .threads = 1,
                             .max_cpus = cpus, .name = "test", .manual_clock = true };
    config.cpu_model = (CpuModel){ .name = "test", .vendor = "GenuineIntel", .family = 6, .level = 13,
                                   .xlevel = 0x80000008, .phys_bits = 40, .virt_bits = 48 };
    memset(config.cpu_model.features, 0xff, sizeof(config.cpu_model.features));
    Guest g = { .m = machine_create(&config, &err), .size = size };
    g_assert_no_error(err);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = GUEST_RAM, .ram = g.m->ram };
    region_add(g.m->memory, &ram, &err);
    g_assert_no_error(err);
    machine_add_accel(g.m, test_accel(), &err);
    g_assert_no_error(err);
    g.ram = g.m->ram->host;
    guest_tables(&g);
    return g;
}

static inline void guest_destroy(Guest *g) { machine_destroy(g->m); }

static inline void guest_set(const Guest *g, unsigned id, const CpuState *s)
{
    g_assert_true(test_accel()->set(machine_vcpu(g->m, id), s, NULL));
}

/* Runs every vCPU until it halts (or shuts down); at most two minutes. */
static inline void guest_run(const Guest *g)
{
    machine_start(g->m);
    for (unsigned id = 0; id < g->m->vcpus->len; id++)
        for (unsigned ms = 0; *(volatile uint8_t *)&guest_vcpu(g, id)->s.activity == CPU_RUNNING; ms++) {
            g_assert_cmpuint(ms, <, 120000);
            g_usleep(1000);
        }
    machine_stop(g->m);
}

/* The exception whose handler halted vCPU 0, or -1. */
static inline int guest_vector(const Guest *g)
{
    uint64_t at = guest_vcpu(g, 0)->s.rip - 1 - GUEST_HANDLERS;
    return at < 32 * 16 ? (int)(at / 16) : -1;
}
