/* event_test.c - debug exceptions, interrupt shadows, interrupts, NMI, halt. */
#include "accel/interp/system_fixture.h"

static Fixture protected_mode(void) { Fixture f; fixture_open(&f, "max"); enter_protected(&f, 0); return f; }
static uint32_t slot(Fixture *f, unsigned n) { return (uint32_t)ram_get(f, f->s->gpr[GPR_RSP] + 4 * n, 4); }
/* The trap of an instruction comes before the next one: its delivery and the handler's first instruction are one step.
 */
static void put_code(Fixture *f, const uint8_t *bytes, size_t n) { memcpy(f->ram + CODE, bytes, n); }
#define CODE_BYTES(f, ...) put_code((f), (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Handlers start with NOP, so that the step after an event ends at HANDLER + 16 * n + 1. */
static Fixture debug_mode(void)
{
    Fixture f = protected_mode();
    memset(f.ram + HANDLER, 0x90, 0x1000);
    return f;
}
#define assert_handled(f, vector) assert_at(f, HANDLER + 16 * (vector) + 1)

static void test_single_step(void)
{
    Fixture f = debug_mode();
    CODE_BYTES(&f, 0x40, 0x41, 0x42); /* inc eax, ecx, edx */
    f.s->rflags |= RFLAGS_TF;
    ready(&f);
    step(&f);
    assert_at(&f, CODE + 1);
    step(&f);
    assert_handled(&f, EXC_DB);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 1);
    g_assert_cmphex(slot(&f, 2) & (RFLAGS_TF | RFLAGS_RF), ==, RFLAGS_TF);
    g_assert_cmphex(f.s->rflags & RFLAGS_TF, ==, 0);
    g_assert_cmphex(f.s->dr[6] & DR6_BS, ==, DR6_BS);
    fixture_close(&f);
}

/* POPF that sets TF traps after the next instruction; one that clears it traps once more. */
static void test_popf_tf(void)
{
    Fixture f = debug_mode();
    CODE_BYTES(&f, 0x9d, 0x40, 0x41);
    ram_put(&f, STACK0 - 4, 4, RFLAGS_TF | 2);
    f.s->gpr[GPR_RSP] = STACK0 - 4;
    step(&f);
    assert_at(&f, CODE + 1);
    step(&f);
    assert_at(&f, CODE + 2);
    step(&f);
    assert_handled(&f, EXC_DB);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 2);
    fixture_close(&f);
}

static void test_step_over_mov_ss(void)
{
    Fixture f = debug_mode();
    CODE_BYTES(&f, 0x8e, 0xd0, 0x40, 0x41); /* mov ss, ax; inc eax; inc ecx */
    f.s->gpr[GPR_RAX] = DATA0;
    f.s->rflags |= RFLAGS_TF;
    ready(&f);
    step(&f);
    step(&f);
    assert_at(&f, CODE + 3);
    step(&f);
    assert_handled(&f, EXC_DB);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 3);
    fixture_close(&f);
}

static void test_instruction_breakpoint(void)
{
    Fixture f = debug_mode();
    CODE_BYTES(&f, 0x40, 0x41, 0x42);
    f.s->dr[0] = CODE + 1;
    f.s->dr[7] = 0x401 | 1;
    ready(&f);
    step(&f);
    assert_at(&f, CODE + 1);
    step(&f);
    assert_in_handler(&f, EXC_DB);
    g_assert_cmphex(f.s->dr[6] & 0xf, ==, 1);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 1);
    g_assert_cmphex(slot(&f, 2) & RFLAGS_RF, ==, 0);
    ram_put(&f, f.s->gpr[GPR_RSP] + 8, 4, slot(&f, 2) | RFLAGS_RF); /* as a debugger does, then IRET */
    RUN(&f, 0xcf);
    step(&f);
    assert_at(&f, CODE + 2);
    g_assert_cmphex(f.s->gpr[GPR_RCX], ==, 1);
    g_assert_cmphex(f.s->rflags & RFLAGS_RF, ==, 0);
    fixture_close(&f);
}

/* A breakpoint at the handler of its own exception: for ever, but between two deliveries the host gets its turn. */
static void test_endless_breakpoint(void)
{
    Fixture f = debug_mode();
    f.s->dr[0] = HANDLER + 16 * EXC_DB;
    f.s->dr[7] = 0x401;
    f.s->rip = HANDLER + 16 * EXC_DB;
    ready(&f);
    for (unsigned i = 1; i < 4; i++) {
        step(&f);
        assert_in_handler(&f, EXC_DB);
        g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK0 - 12 * i);
    }
    fixture_close(&f);
}

static void test_data_breakpoint(void)
{
    Fixture f = debug_mode();
    CODE_BYTES(&f, 0xa1, 0, 0x60, 0, 0, 0xa3, 0, 0x60, 0, 0, 0x40); /* mov eax, [DATA]; mov [DATA], eax; inc eax */
    f.s->gpr[GPR_RBX] = DATA + 2;
    f.s->dr[1] = DATA + 2;
    f.s->dr[7] = 0x400 | 1 << 2 | 1u << 20 | 1u << 22; /* DR1: writes, 2 bytes */
    ready(&f);
    step(&f);
    step(&f);
    assert_at(&f, CODE + 10); /* the read did not trap, the write has been done */
    step(&f);
    assert_handled(&f, EXC_DB);
    g_assert_cmphex(f.s->dr[6] & 0xf, ==, 2);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 10);
    fixture_close(&f);
}

static void test_general_detect(void)
{
    Fixture f = protected_mode();
    f.s->dr[7] = 0x400 | DR7_GD;
    ready(&f);
    RUN(&f, 0x0f, 0x21, 0xf0); /* mov eax, dr6 */
    assert_in_handler(&f, EXC_DB);
    g_assert_cmphex(f.s->dr[6] & DR6_BD, ==, DR6_BD);
    g_assert_cmphex(f.s->dr[7] & DR7_GD, ==, 0);
    g_assert_cmphex(slot(&f, 0), ==, CODE);
    fixture_close(&f);
}

static void test_io_breakpoint(void)
{
    Fixture f = debug_mode();
    CODE_BYTES(&f, 0xe6, 0x80, 0x40);
    f.s->cr4 |= CR4_DE;
    f.s->dr[0] = 0x80;
    f.s->dr[7] = 0x401 | 2 << 16;
    ready(&f);
    step(&f);
    step(&f);
    assert_handled(&f, EXC_DB);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 2);
    fixture_close(&f);
}

static void test_icebp(void)
{
    Fixture f = protected_mode();
    RUN(&f, 0xf1);
    assert_in_handler(&f, EXC_DB);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 1);
    fixture_close(&f);
}

/* ---- interrupts, from a local APIC of our own */
typedef struct FakeApic {
    Fixture *f;
    int vector;
} FakeApic;

static int fake_take(void *opaque)
{
    FakeApic *a = opaque;
    vcpu_unrequest(&a->f->v->vcpu, VREQ_INTR);
    return a->vector;
}
static uint64_t fake_get_base(void *opaque) { return 0xfee00900; }
static const LocalApicOps fake_ops = { .take = fake_take, .get_base = fake_get_base };

static void connect(Fixture *f, FakeApic *a, int vector)
{
    *a = (FakeApic){ f, vector };
    f->v->vcpu.apic = a;
    f->v->vcpu.apic_ops = &fake_ops;
}
static void disconnect(Fixture *f)
{
    f->v->vcpu.apic_ops = NULL;
    fixture_close(f);
}

static void test_sti_shadow(void)
{
    Fixture f = debug_mode();
    FakeApic apic;
    connect(&f, &apic, 0x31);
    vcpu_request(&f.v->vcpu, VREQ_INTR);
    CODE_BYTES(&f, 0xfb, 0x40, 0x41); /* sti; inc eax; inc ecx */
    step(&f);
    assert_at(&f, CODE + 1);
    step(&f);
    assert_at(&f, CODE + 2); /* not before this one */
    step(&f);
    assert_handled(&f, 0x31);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 2);
    g_assert_cmphex(f.s->rflags & RFLAGS_IF, ==, 0);
    disconnect(&f);
}

/* sti; hlt; the shadow covers HLT, which the interrupt then ends. */
static void test_halt(void)
{
    Fixture f = debug_mode();
    FakeApic apic;
    connect(&f, &apic, 0x31);
    CODE_BYTES(&f, 0xfb, 0xf4, 0x40);
    step(&f);
    step(&f);
    g_assert_cmpint(f.s->activity, ==, CPU_HALTED);
    step(&f);
    g_assert_cmpint(f.s->activity, ==, CPU_HALTED);
    vcpu_request(&f.v->vcpu, VREQ_INTR);
    step(&f);
    g_assert_cmpint(f.s->activity, ==, CPU_RUNNING);
    assert_handled(&f, 0x31);
    g_assert_cmphex(slot(&f, 0), ==, CODE + 2);
    disconnect(&f);
}

static void test_nmi(void)
{
    Fixture f = debug_mode();
    CODE_BYTES(&f, 0x40, 0x41, 0x42);
    vcpu_request(&f.v->vcpu, VREQ_NMI);
    step(&f);
    assert_handled(&f, EXC_NMI);
    g_assert_true(f.s->nmi_blocked);
    vcpu_request(&f.v->vcpu, VREQ_NMI); /* waits for the IRET */
    step(&f);
    assert_at(&f, HANDLER + 16 * EXC_NMI + 2);
    f.s->gpr[GPR_RSP] += 0;
    RUN(&f, 0xcf);
    assert_at(&f, CODE);
    g_assert_false(f.s->nmi_blocked);
    step(&f);
    assert_handled(&f, EXC_NMI);
    fixture_close(&f);
}

static void test_init_and_sipi(void)
{
    Fixture f = protected_mode();
    f.s->gpr[GPR_RBX] = 0x77;
    f.s->activity = CPU_WAIT_SIPI;
    ready(&f);
    step(&f);
    g_assert_cmpint(f.s->activity, ==, CPU_WAIT_SIPI);
    atomic_store(&f.v->vcpu.sipi_vector, 0x02);
    f.ram[0x2000] = 0x90;
    vcpu_request(&f.v->vcpu, VREQ_SIPI);
    step(&f);
    g_assert_cmpint(f.s->activity, ==, CPU_RUNNING);
    assert_at(&f, 1);
    g_assert_cmphex(f.s->seg[SEG_CS].selector, ==, 0x200);
    vcpu_request(&f.v->vcpu, VREQ_INIT);
    memset(f.ram, 0, 16);
    step(&f);
    g_assert_false(f.s->cr0 & CR0_PE);
    g_assert_cmphex(f.s->gpr[GPR_RBX], ==, 0);
    fixture_close(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct { const char *name; void (*test)(void); } tests[] = {
        { "single-step", test_single_step },
        { "popf-tf", test_popf_tf },
        { "step-over-mov-ss", test_step_over_mov_ss },
        { "instruction-breakpoint", test_instruction_breakpoint },
        { "endless-breakpoint", test_endless_breakpoint },
        { "data-breakpoint", test_data_breakpoint },
        { "general-detect", test_general_detect },
        { "io-breakpoint", test_io_breakpoint },
        { "icebp", test_icebp },
        { "sti-shadow", test_sti_shadow },
        { "halt", test_halt },
        { "nmi", test_nmi },
        { "init-sipi", test_init_and_sipi },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/event/%s", tests[i].name);
        g_test_add_func(path, tests[i].test);
    }
    return g_test_run();
}
