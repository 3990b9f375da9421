/*
 * entry.c - the state in which a boot loader hands over the first CPU.
 *
 * Linux: Documentation/arch/x86/boot.rst, "32-bit" and "64-bit boot protocol" (selectors 0x10 and 0x18).  Multiboot 0.6.96
 * section 3.2 and the PVH ABI ask for the same flat protected mode.
 */
#include "vmm/loader/kernel.h"

enum { CODE_SELECTOR = 0x10, DATA_SELECTOR = 0x18 };

static const uint64_t CODE32 = 0x00cf9b000000ffff, CODE64 = 0x00af9b000000ffff, DATA = 0x00cf93000000ffff;

static Segment segment_of(uint16_t selector, uint64_t descriptor)
{
    return (Segment) { .selector = selector, .attr = descriptor >> 40 & 0xf0ff, .limit = 0xffffffff, .base = 0 };
}

static bool place_gdt(Machine *m, bool long_mode, GError **err)
{
    uint8_t gdt[32] = { 0 };
    put64(gdt + CODE_SELECTOR, long_mode ? CODE64 : CODE32);
    put64(gdt + DATA_SELECTOR, DATA);
    return place_bytes(m, "the start GDT", LOADER_GDT, gdt, sizeof(gdt), err);
}

/* PML4 -> PDPT -> four directories of 2 MiB pages. */
static bool place_page_tables(Machine *m, GError **err)
{
    enum { PAGE = 4096, PRESENT_WRITABLE = 3, LARGE = 0x80 };
    g_autofree uint8_t *tables = g_malloc0(6 * PAGE);
    put64(tables, (LOADER_PAGE_TABLES + PAGE) | PRESENT_WRITABLE);
    for (unsigned i = 0; i < 4; i++)
        put64(tables + PAGE + i * 8, (LOADER_PAGE_TABLES + (2 + i) * PAGE) | PRESENT_WRITABLE);
    for (uint64_t i = 0; i < 4 * 512; i++)
        put64(tables + 2 * PAGE + i * 8, i << 21 | PRESENT_WRITABLE | LARGE);
    return place_bytes(m, "the start page tables", LOADER_PAGE_TABLES, tables, 6 * PAGE, err);
}

static void set_segments(CpuState *s, bool long_mode)
{
    s->seg[SEG_CS] = segment_of(CODE_SELECTOR, long_mode ? CODE64 : CODE32);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        if (i != SEG_CS)
            s->seg[i] = segment_of(DATA_SELECTOR, DATA);
    s->tr = (Segment) { .attr = 0x8b, .limit = 0x67 };
    s->gdtr = (DescriptorTable) { .base = LOADER_GDT, .limit = 31 };
    s->idtr = (DescriptorTable) { 0 };
}

static void set_mode(CpuState *s, bool long_mode)
{
    s->cr0 = CR0_PE | CR0_ET | (long_mode ? CR0_PG | CR0_NE | CR0_WP : 0);
    s->cr4 = long_mode ? CR4_PAE : 0;
    s->cr3 = long_mode ? LOADER_PAGE_TABLES : 0;
    s->efer = long_mode ? EFER_LME | EFER_LMA : 0;
}

bool entry_set(Machine *m, const EntryState *e, GError **err)
{
    Vcpu *v = machine_vcpu(m, 0);
    CpuState s;
    if (!place_gdt(m, e->long_mode, err) || (e->long_mode && !place_page_tables(m, err)) || !m->accel->ops->get(v, &s, err))
        return false;
    set_segments(&s, e->long_mode);
    set_mode(&s, e->long_mode);
    for (unsigned i = 0; i < 16; i++)
        s.gpr[i] = 0;
    s.gpr[GPR_RAX] = e->rax;
    s.gpr[GPR_RBX] = e->rbx;
    s.gpr[GPR_RSI] = e->rsi;
    s.gpr[GPR_RSP] = LOADER_GDT; /* down from there: good for an early exception; kernels bring their own */
    s.rip = e->rip;
    s.rflags = RFLAGS_ONE;
    s.activity = CPU_RUNNING;
    return m->accel->ops->set(v, &s, err);
}
