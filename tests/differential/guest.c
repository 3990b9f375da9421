/* guest.c - see guest.h. */
#include "guest.h"

#include <asm/prctl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine/machine.h"
#include "machine/vcpu_thread.h"

/* Physical memory. */
enum {
    PML4_AT = 0x1000,
    TABLES_AT = 0x2000,  /* PDPT, PD, PT of user space, then of the kernel */
    SYSTEM_AT = 0x10000, /* GDT, IDT, TSS */
    IDT_OFF = 0x1000,
    TSS_OFF = 0x2000,
    LDT_OFF = 0x3000,
    SYSTEM_PAGES = 4,
    KSTACK_PHYS = 0x20000,
    CODE_PHYS = 0x100000,
    DATA_PHYS = 0x101000,
    STACK_PHYS = 0x104000,
    HANDLERS_PHYS = 0x40000,
    SEQUENCE_PHYS = 0x110000,
    RAM_BYTES = 0x200000,
};
/* Supervisor linear addresses: physical + KERNEL_BASE, the first 2 MB. */
#define KERNEL_BASE 0xffff800000000000ull
#define HANDLERS    (KERNEL_BASE + 0x40000) /* 16 bytes a vector: a HLT, where a run ends */
enum { HANDLER_BYTES = 16, KERNEL_CS = 0x10, TSS_SELECTOR = 0x40, LDT_SELECTOR_GDT = 0x50,
       HOST_CPU_SELECTOR = 0x78 /* Linux's GDT_ENTRY_CPUNODE, which user code can load: expand-down, read-only */ };

#define PTE_P  1ull
#define PTE_W  2ull
#define PTE_U  4ull
#define PTE_AD 0x60ull
#define PTE_NX (1ull << 63)

struct Guest {
    volatile bool stopped;
    Machine *machine;
    Vcpu *vcpu; /* stepped from here: it has no thread */
    uint8_t *ram;
    CpuState base; /* everything that no case changes */
};

static void put64(Guest *g, uint64_t phys, uint64_t value)
{
    memcpy(g->ram + phys, &value, 8);
}

static uint64_t get64(const Guest *g, uint64_t phys)
{
    uint64_t value;
    memcpy(&value, g->ram + phys, 8);
    return value;
}

/* ---- paging */

static void map_page(Guest *g, uint64_t linear, uint64_t phys, uint64_t rights)
{
    unsigned kernel = linear >> 63;
    uint64_t pdpt = TABLES_AT + 0x3000 * kernel, pd = pdpt + 0x1000, pt = pd + 0x1000;
    uint64_t table = PTE_P | PTE_W | PTE_U | PTE_AD;
    put64(g, PML4_AT + 8 * (linear >> 39 & 511), pdpt | table);
    put64(g, pdpt + 8 * (linear >> 30 & 511), pd | table);
    put64(g, pd + 8 * (linear >> 21 & 511), pt | table);
    put64(g, pt + 8 * (linear >> 12 & 511), phys | rights | PTE_P | PTE_AD);
}

static void map_pages(Guest *g, uint64_t linear, uint64_t phys, uint64_t bytes, uint64_t rights)
{
    for (uint64_t off = 0; off < bytes; off += PAGE)
        map_page(g, linear + off, phys + off, rights);
}

static void build_tables(Guest *g)
{
    map_pages(g, CODE_AT, CODE_PHYS, PAGE, PTE_U);
    map_pages(g, DATA_AT, DATA_PHYS, DATA_WRITABLE, PTE_U | PTE_W | PTE_NX);
    map_pages(g, DATA_AT + DATA_WRITABLE, DATA_PHYS + DATA_WRITABLE, PAGE, PTE_U | PTE_NX);
    map_pages(g, STACK_AT, STACK_PHYS, PAGE, PTE_U | PTE_W | PTE_NX);
    map_pages(g, SEQUENCE_AT, SEQUENCE_PHYS, SEQUENCE_BYTES, PTE_U | PTE_W);
    map_pages(g, HANDLERS, HANDLERS_PHYS, PAGE, 0);
    map_pages(g, KERNEL_BASE + SYSTEM_AT, SYSTEM_AT, SYSTEM_PAGES * PAGE, PTE_W);
    map_pages(g, KERNEL_BASE + KSTACK_PHYS, KSTACK_PHYS, PAGE, PTE_W);
}

/* ---- descriptors */

/* Linux's: 0x10 kernel code, 0x18 kernel data, 0x23 user code 32, 0x2b user data, 0x33 user code 64. */
static void build_gdt(Guest *g)
{
    static const uint64_t gdt[] = { 0,
                                    0x00cf9b000000ffff,
                                    0x00af9b000000ffff,
                                    0x00cf93000000ffff,
                                    0x00cffb000000ffff,
                                    0x00cff3000000ffff,
                                    0x00affb000000ffff };
    memcpy(g->ram + SYSTEM_AT, gdt, sizeof(gdt));
    put64(g, SYSTEM_AT + HOST_CPU_SELECTOR, 0x0040f50000000000);
    uint64_t tss = KERNEL_BASE + SYSTEM_AT + TSS_OFF;
    put64(g, SYSTEM_AT + TSS_SELECTOR, 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56);
    put64(g, SYSTEM_AT + TSS_SELECTOR + 8, tss >> 32);
}

static uint32_t ldt_attr(const SubjectSegment *s) /* as modify_ldt() makes them */
{
    return (s->code ? 11 : s->expand_down ? 7 : 3) | SEG_ATTR_S | SEG_ATTR_DPL | SEG_ATTR_P | SEG_ATTR_AVL;
}

static void build_ldt(Guest *g)
{
    for (unsigned n = 0; n < LDT_COUNT; n++) {
        const SubjectSegment *s = &subject_ldt[n];
        uint64_t attr = ldt_attr(s) | (s->limit >> 16 & 15) << 8;
        put64(g, SYSTEM_AT + LDT_OFF + 8 * n,
              (s->limit & 0xffff) | (s->base & 0xffffff) << 16 | attr << 40 | (s->base >> 24) << 56);
    }
}

/* Interrupt gates; as with Linux user code may raise 3, 4 and 0x80 by INT. */
static void build_idt(Guest *g)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        uint64_t at = HANDLERS + vector * HANDLER_BYTES, dpl = vector == 3 || vector == 4 || vector == 0x80 ? 3 : 0;
        uint64_t low = (at & 0xffff) | KERNEL_CS << 16 | (0x8e00 | dpl << 13) << 32 | (at >> 16 & 0xffff) << 48;
        g->ram[HANDLERS_PHYS + vector * HANDLER_BYTES] = 0xf4;
        put64(g, SYSTEM_AT + IDT_OFF + 16 * vector, low);
        put64(g, SYSTEM_AT + IDT_OFF + 16 * vector + 8, at >> 32);
    }
    uint64_t rsp0 = KERNEL_BASE + KSTACK_PHYS + PAGE;
    memcpy(g->ram + SYSTEM_AT + TSS_OFF + 4, &rsp0, 8);
    put64(g, SYSTEM_AT + TSS_OFF + 100, (uint64_t)104 << 16); /* I/O map beyond the limit: no ports */
}

static Segment flat(uint16_t selector, uint32_t type, uint32_t size_bit)
{
    return (Segment){ .selector = selector,
                      .limit = 0xffffffff,
                      .attr = type | SEG_ATTR_S | SEG_ATTR_DPL | SEG_ATTR_P | SEG_ATTR_G | size_bit };
}

static Segment segment_of(uint16_t selector)
{
    if (selector & 4) {
        const SubjectSegment *s = &subject_ldt[selector >> 3];
        return (Segment){ .selector = selector, .base = s->base, .limit = s->limit, .attr = ldt_attr(s) };
    }
    if (selector == USER_CS64)
        return flat(selector, 11, SEG_ATTR_L);
    return flat(selector, selector == USER_CS32 ? 11 : 3, SEG_ATTR_DB);
}

static void build_state(Guest *g, uint64_t fs_base)
{
    CpuState *s = &g->base;
    cpu_state_reset(s, true, false);
    s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    s->cr3 = PML4_AT;
    s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_UMIP;
    s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    s->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    s->gdtr = (DescriptorTable){ KERNEL_BASE + SYSTEM_AT, HOST_CPU_SELECTOR + 7 };
    s->idtr = (DescriptorTable){ KERNEL_BASE + SYSTEM_AT + IDT_OFF, 0xfff };
    s->tr = (Segment){
        .selector = TSS_SELECTOR, .base = KERNEL_BASE + SYSTEM_AT + TSS_OFF, .limit = 0x67, .attr = 11 | SEG_ATTR_P
    };
    s->ldtr = (Segment){ .selector = LDT_SELECTOR_GDT,
                         .base = KERNEL_BASE + SYSTEM_AT + LDT_OFF,
                         .limit = 8 * LDT_COUNT - 1,
                         .attr = 2 | SEG_ATTR_P };
    s->seg[SEG_FS] = (Segment){ .base = fs_base, .attr = SEG_ATTR_UNUSABLE };
    s->seg[SEG_GS] = (Segment){ .base = GS_BASE, .attr = SEG_ATTR_UNUSABLE };
}

/* ---- life */

static bool make_vcpu(Guest *g, const AccelOps *ops, GError **err)
{
    Machine *m = g->machine;
    m->accel = ops->create(m, &m->config.cpu_model, err);
    if (!m->accel)
        return false;
    g->vcpu = vcpu_alloc(m->accel, err);
    if (!g->vcpu)
        return false;
    g_mutex_init(&g->vcpu->lock);
    g_cond_init(&g->vcpu->wake);
    return ops->vcpu_init(m->accel, g->vcpu, err);
}

Guest *guest_create(const AccelOps *ops, uint64_t fs_base, GError **err)
{
    Guest *g = g_new0(Guest, 1);
    MachineConfig config = { .ram_size = RAM_BYTES, .cpus = 1, .name = "differential", .manual_clock = true,
                             .accel_options = g_getenv("ATOLL_TEST_ACCEL_OPTIONS") };
    CpuModel host;
    cpu_model_host(&host);
    cpu_model_max(&config.cpu_model);
    memcpy(config.cpu_model.vendor, host.vendor, sizeof(host.vendor)); /* whose habits the interpreter then has */
    g->machine = machine_create(&config, err);
    if (!g->machine ||
        !region_add(g->machine->memory,
                    &(RegionDecl){ .name = "ram", .kind = REGION_RAM, .size = RAM_BYTES, .ram = g->machine->ram },
                    err) ||
        !make_vcpu(g, ops, err)) {
        guest_destroy(g);
        return NULL;
    }
    g->ram = g->machine->ram->host;
    build_tables(g);
    build_gdt(g);
    build_ldt(g);
    build_idt(g);
    build_state(g, fs_base);
    return g;
}

void guest_destroy(Guest *g)
{
    if (!g)
        return;
    if (g->vcpu)
        g->vcpu->accel->ops->vcpu_finish(g->vcpu);
    vcpu_free(g->vcpu);
    if (g->machine)
        machine_destroy(g->machine);
    g_free(g);
}

SubjectMemory guest_memory(Guest *g)
{
    return (SubjectMemory){ .code = g->ram + CODE_PHYS, .data = g->ram + DATA_PHYS, .stack = g->ram + STACK_PHYS };
}

static bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* Takes the exception's frame off the stack: the state is that of the interrupted code again. */
static void read_exception(const Guest *g, const CpuState *s, Outcome *ret)
{
    unsigned vector = (unsigned)((s->rip - HANDLERS) / HANDLER_BYTES);
    uint64_t at = s->gpr[GPR_RSP] - KERNEL_BASE;
    ret->vector = (int)vector;
    ret->cr2 = s->cr2;
    if (at < KSTACK_PHYS || at >= KSTACK_PHYS + PAGE) {
        ret->vector = LOST;
        return;
    }
    if (has_error_code(vector)) {
        ret->error = (uint32_t)get64(g, at);
        at += 8;
    }
    ret->rip = get64(g, at);
    ret->cs = (uint16_t)get64(g, at + 8);
    ret->rflags = get64(g, at + 16);
    ret->gpr[GPR_RSP] = get64(g, at + 24);
}

uint8_t *guest_sequence(Guest *g)
{
    return g->ram + SEQUENCE_PHYS;
}

static RunExit step(Guest *g)
{
    return g->vcpu->accel->ops->step(g->vcpu, NULL) ? RUN_HALTED : RUN_BROKEN;
}

/* Up to the HLT of an exception's handler. */
static RunExit run(Guest *g)
{
    RunExit why;
    while ((why = g->vcpu->accel->ops->run(g->vcpu)) == RUN_KICKED && !g->stopped)
        continue;
    return why;
}

/* The translator and the native side both use this thread's GS, and have handlers of their own for the same signals. */
static bool with_own_gs(Guest *g, RunExit (*go)(Guest *))
{
    const AccelOps *ops = g->vcpu->accel->ops;
    unsigned long gs;
    syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
    sigset_t mask; /* the translator's threads take no signals; this one has handlers with a stack of their own */
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    stack_t stack;
    struct sigaction on_segv, on_bus, on_ill, on_fpe;
    sigaltstack(NULL, &stack);
    sigaction(SIGSEGV, NULL, &on_segv);
    sigaction(SIGBUS, NULL, &on_bus);
    sigaction(SIGILL, NULL, &on_ill);
    sigaction(SIGFPE, NULL, &on_fpe);
    if (ops->thread_start)
        ops->thread_start(g->vcpu);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    bool ok = go(g) == RUN_HALTED;
    syscall(SYS_arch_prctl, ARCH_SET_GS, gs);
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &on_segv, NULL);
    sigaction(SIGBUS, &on_bus, NULL);
    sigaction(SIGILL, &on_ill, NULL);
    sigaction(SIGFPE, &on_fpe, NULL);
    return ok;
}

static void go(Guest *g, const Case *c, uint64_t code_phys, uint64_t code_bytes, RunExit (*how)(Guest *), Outcome *ret)
{
    const AccelOps *ops = g->vcpu->accel->ops;
    CpuState s = g->base;
    memcpy(s.gpr, c->state.gpr, sizeof(s.gpr));
    s.fpu = c->state.fpu;
    s.rip = c->state.rip;
    s.rflags = c->state.rflags | RFLAGS_ONE | RFLAGS_IF;
    s.seg[SEG_CS] = segment_of(c->cs);
    s.seg[SEG_SS] = segment_of(c->ss);
    s.seg[SEG_DS] = segment_of(c->ds);
    s.seg[SEG_ES] = segment_of(c->es);
    if (c->size == CODE32 && code_phys == SEQUENCE_PHYS)
        s.seg[SEG_FS].attr = s.seg[SEG_GS].attr = s.seg[SEG_DS].attr,
        s.seg[SEG_FS].limit = s.seg[SEG_GS].limit = 0xffffffff;

    *ret = (Outcome){ .vector = LOST };
    if (ops->code_changed)
        ops->code_changed(g->vcpu->accel, code_phys, code_bytes); /* the test has put another instruction there */
    if (!ops->set(g->vcpu, &s, NULL) || !with_own_gs(g, how) || !ops->get(g->vcpu, &s, NULL))
        return;
    ret->vector = NO_VECTOR;
    memcpy(ret->gpr, s.gpr, sizeof(ret->gpr));
    ret->rip = s.rip;
    ret->rflags = s.rflags;
    ret->cs = s.seg[SEG_CS].selector;
    ret->gs_base = s.seg[SEG_GS].base;
    ret->fpu = s.fpu;
    if (s.rip >= HANDLERS && s.rip < HANDLERS + 256 * HANDLER_BYTES)
        read_exception(g, &s, ret);
}

void guest_step(Guest *g, const Case *c, Outcome *ret)
{
    go(g, c, CODE_PHYS, PAGE, step, ret);
}

void guest_run(Guest *g, const Case *c, Outcome *ret)
{
    go(g, c, SEQUENCE_PHYS, SEQUENCE_BYTES, run, ret);
    if (!g->stopped)
        return;
    ret->vector = TIMED_OUT;
    g->stopped = false;
    vcpu_unrequest(g->vcpu, VREQ_STOP);
}

void guest_stop(Guest *g)
{
    g->stopped = true;
    atomic_fetch_or(&g->vcpu->request, VREQ_STOP);
    guest_kick(g);
}

void guest_kick(Guest *g)
{
    g->vcpu->accel->ops->kick(g->vcpu);
}
