/* protect_test.c - segments, gates, tasks and privilege in real, virtual-8086 and protected mode. */
#include "accel/interp/system_fixture.h"

static Fixture real_mode(void) { Fixture f; fixture_open(&f, "max"); enter_real(&f); return f; }
static Fixture protected_mode(unsigned cpl) { Fixture f; fixture_open(&f, "max"); enter_protected(&f, cpl); return f; }
/* 32-bit stack slot n above ESP. */
static uint32_t slot(Fixture *f, unsigned n) { return (uint32_t)ram_get(f, f->s->gpr[GPR_RSP] + 4 * n, 4); }

static void test_real_interrupt(void)
{
    Fixture f = real_mode();
    f.s->rflags |= RFLAGS_IF | RFLAGS_CF;
    RUN(&f, 0xcd, 0x21);
    assert_in_handler(&f, 0x21);
    g_assert_cmphex(f.s->rflags & (RFLAGS_IF | RFLAGS_CF), ==, RFLAGS_CF);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK0 - 6);
    g_assert_cmphex(ram_get(&f, STACK0 - 6, 2), ==, CODE + 2);
    g_assert_cmphex(ram_get(&f, STACK0 - 2, 2), ==, RFLAGS_IF | RFLAGS_CF | 2);
    RUN(&f, 0xcf);
    assert_at(&f, CODE + 2);
    g_assert_cmphex(f.s->rflags, ==, RFLAGS_IF | RFLAGS_CF | 2);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK0);
    fixture_close(&f);
}

static void test_real_limit(void)
{
    Fixture f = real_mode();
    f.s->gpr[GPR_RBX] = 0xffff;
    RUN(&f, 0x8b, 0x07); /* mov ax, [bx]: crosses the limit */
    assert_in_handler(&f, EXC_GP);
    g_assert_cmphex(ram_get(&f, STACK0 - 6, 2), ==, CODE);
    fixture_close(&f);
}

static void test_unreal(void)
{
    Fixture f = real_mode();
    f.s->seg[SEG_DS].limit = 0xffffffff;
    ready(&f);
    ram_put(&f, 0x200000, 4, 0x12345678);
    RUN(&f, 0x67, 0x66, 0xa1, 0, 0, 0x20, 0); /* mov eax, [0x200000] */
    g_assert_cmphex(f.s->gpr[GPR_RAX], ==, 0x12345678);
    RUN(&f, 0x8e, 0xdb); /* mov ds, bx: the limit stays */
    g_assert_cmphex(f.s->seg[SEG_DS].limit, ==, 0xffffffff);
    fixture_close(&f);
}

static void test_to_protected_and_back(void)
{
    Fixture f = real_mode();
    make_tables(&f, false);
    f.s->gpr[GPR_RAX] = f.s->cr0 | CR0_PE;
    RUN(&f, 0x0f, 0x22, 0xc0); /* mov cr0, eax */
    g_assert_true(f.v->protected_mode);
    g_assert_cmpint(f.v->code_size, ==, CODE16);
    RUN(&f, 0x66, 0xea, 0x00, 0x20, 0, 0, CODE0, 0); /* jmp 08:2000 */
    assert_at(&f, 0x2000);
    g_assert_cmpint(f.v->code_size, ==, CODE32);
    RUN(&f, 0xea, 0x00, 0x30, 0, 0, CODE16_SEL, 0);
    g_assert_cmpint(f.v->code_size, ==, CODE16);
    f.s->gpr[GPR_RAX] = f.s->cr0 & ~CR0_PE;
    RUN(&f, 0x0f, 0x22, 0xc0);
    RUN(&f, 0xea, 0x00, 0x00, 0x00, 0x02); /* jmp 0200:0000 */
    assert_at(&f, 0);
    g_assert_cmphex(f.s->seg[SEG_CS].base, ==, 0x2000);
    fixture_close(&f);
}

/* mov ds, ax for each selector: vector and error code, or 0 for success. */
static void test_data_segment_checks(void)
{
    static const struct { unsigned cpl; uint16_t selector; uint8_t vector; uint16_t error; } rows[] = {
        { 0, DATA0, 0, 0 },
        { 0, 0, 0, 0 },
        { 0, 3, 0, 0 },
        { 0, DATA0 | 3, EXC_GP, DATA0 },
        { 3, DATA0, EXC_GP, DATA0 },
        { 3, DATA3, 0, 0 },
        { 3, CODE3, 0, 0 },
        { 0, ABSENT, EXC_NP, ABSENT },
        { 0, TSS_SEL, EXC_GP, TSS_SEL },
        { 0, 0x100, EXC_GP, 0x100 },
        { 0, 0x0c, EXC_GP, 0x0c },
        { 3, CONFORMING, 0, 0 },
        { 0, READ_ONLY, 0, 0 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f = protected_mode(rows[i].cpl);
        f.s->gpr[GPR_RAX] = rows[i].selector;
        RUN(&f, 0x8e, 0xd8);
        if (rows[i].vector) {
            assert_in_handler(&f, rows[i].vector);
            g_assert_cmphex(slot(&f, 0), ==, rows[i].error);
            g_assert_cmphex(slot(&f, 1), ==, CODE);
        } else {
            assert_at(&f, CODE + 2);
            g_assert_cmphex(f.s->seg[SEG_DS].selector, ==, rows[i].selector);
            g_assert_cmpint(!!(f.s->seg[SEG_DS].attr & SEG_ATTR_UNUSABLE), ==, rows[i].selector < 4);
        }
        fixture_close(&f);
    }
}

static void test_stack_segment_checks(void)
{
    static const struct { uint16_t selector; uint8_t vector; uint16_t error; } rows[] = {
        { 0, EXC_GP, 0 },           { DATA3, EXC_GP, DATA3 & ~3 }, { READ_ONLY, EXC_GP, READ_ONLY },
        { ABSENT, EXC_SS, ABSENT }, { CODE0, EXC_GP, CODE0 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f = protected_mode(0);
        f.s->gpr[GPR_RAX] = rows[i].selector;
        RUN(&f, 0x8e, 0xd0);
        assert_in_handler(&f, rows[i].vector);
        g_assert_cmphex(slot(&f, 0), ==, rows[i].error);
        fixture_close(&f);
    }
}

static void test_use_of_segments(void)
{
    Fixture f = protected_mode(0);
    f.s->seg[SEG_DS] = null_segment(0, 0);
    f.s->seg[SEG_ES].attr = 0xc091; /* read-only */
    f.s->seg[SEG_FS] = (Segment){ .selector = DATA0, .attr = 0xc097, .base = 0, .limit = 0xfff }; /* expands down */
    ready(&f);
    RUN(&f, 0xa0, 0, 0x60, 0, 0); /* mov al, [0x6000] */
    assert_in_handler(&f, EXC_GP);
    f.s->rip = CODE;
    RUN(&f, 0x26, 0xa0, 0, 0x60, 0, 0); /* mov al, es: */
    assert_at(&f, CODE + 6);
    RUN(&f, 0x26, 0xa2, 0, 0x60, 0, 0); /* mov es:, al */
    assert_in_handler(&f, EXC_GP);
    f.s->rip = CODE;
    RUN(&f, 0x64, 0xa0, 0, 0x10, 0, 0); /* fs:1000: above the limit, so inside */
    assert_at(&f, CODE + 6);
    RUN(&f, 0x64, 0xa0, 0xff, 0x0f, 0, 0);
    assert_in_handler(&f, EXC_GP);
    fixture_close(&f);
}

static void test_interrupt_to_inner(void)
{
    Fixture f = protected_mode(3);
    f.s->rflags |= RFLAGS_IF | RFLAGS_TF * 0 | RFLAGS_NT;
    RUN(&f, 0xcd, 0x41);
    assert_in_handler(&f, 0x41);
    g_assert_cmpint(f.v->cpl, ==, 0);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK0 - 20);
    uint32_t expect[] = { CODE + 2, CODE3, RFLAGS_IF | RFLAGS_NT | 2, STACK3, DATA3 };
    for (unsigned i = 0; i < 5; i++)
        g_assert_cmphex(slot(&f, i), ==, expect[i]);
    g_assert_cmphex(f.s->rflags, ==, 2);
    g_assert_cmphex(f.s->seg[SEG_SS].selector, ==, DATA0);
    f.s->seg[SEG_DS] = flat_segment(DATA0, 0xc093); /* must not survive the return */
    RUN(&f, 0xcf);
    assert_at(&f, CODE + 2);
    g_assert_cmpint(f.v->cpl, ==, 3);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK3);
    g_assert_cmphex(f.s->rflags, ==, RFLAGS_IF | RFLAGS_NT | 2);
    g_assert_cmphex(f.s->seg[SEG_DS].selector, ==, 0);
    g_assert_cmphex(f.s->seg[SEG_ES].selector, ==, DATA3);
    fixture_close(&f);
}

/* INT n through a gate that CPL 3 may not use: #GP(n * 8 + 2), and the fault's address is the INT's. */
static void test_interrupt_privilege(void)
{
    Fixture f = protected_mode(3);
    RUN(&f, 0xcd, 0x20);
    assert_in_handler(&f, EXC_GP);
    g_assert_cmphex(slot(&f, 0), ==, 0x20 * 8 + 2);
    g_assert_cmphex(slot(&f, 1), ==, CODE);
    g_assert_cmphex(slot(&f, 3) & RFLAGS_RF, ==, RFLAGS_RF);
    fixture_close(&f);
}

static void test_double_and_triple_fault(void)
{
    Fixture f = protected_mode(0);
    ram_put(&f, IDT + 8 * EXC_GP, 8, gate(CODE0, 0, 0x0e, 0)); /* not present: #GP, then #NP, then #DF */
    f.s->gpr[GPR_RAX] = 0x100;
    RUN(&f, 0x8e, 0xd8);
    assert_in_handler(&f, EXC_DF);
    g_assert_cmphex(slot(&f, 0), ==, 0);
    f.s->idtr.limit = 0;
    RUN(&f, 0x0f, 0x0b);
    g_assert_cmpint(f.s->activity, ==, CPU_SHUTDOWN);
    fixture_close(&f);
}

/* A benign first event: the second fault is delivered by itself, with EXT set. */
static void test_serial_fault(void)
{
    Fixture f = protected_mode(0);
    ram_put(&f, IDT + 8 * EXC_UD, 8, gate(CODE0, 0, 0x0e, 0));
    RUN(&f, 0x0f, 0x0b);
    assert_in_handler(&f, EXC_NP);
    g_assert_cmphex(slot(&f, 0), ==, EXC_UD * 8 + 2 + 1);
    fixture_close(&f);
}

static void test_call_gate(void)
{
    Fixture f = protected_mode(3);
    ram_put(&f, GDT + GATE_SEL, 8, gate(CODE0, 0x5000, 0xec, 2));
    ram_put(&f, STACK3, 4, 0x11111111);
    ram_put(&f, STACK3 + 4, 4, 0x22222222);
    RUN(&f, 0x9a, 0, 0, 0, 0, GATE_SEL, 0);
    assert_at(&f, 0x5000);
    g_assert_cmpint(f.v->cpl, ==, 0);
    uint32_t expect[] = { CODE + 7, CODE3, 0x11111111, 0x22222222, STACK3, DATA3 };
    for (unsigned i = 0; i < G_N_ELEMENTS(expect); i++)
        g_assert_cmphex(slot(&f, i), ==, expect[i]);
    RUN(&f, 0xca, 8, 0); /* retf 8 */
    assert_at(&f, CODE + 7);
    g_assert_cmpint(f.v->cpl, ==, 3);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK3 + 8);
    ram_put(&f, GDT + GATE_SEL, 8, gate(CODE0, 0x5000, 0x8c, 0)); /* DPL 0: not from here */
    RUN(&f, 0x9a, 0, 0, 0, 0, GATE_SEL, 0);
    assert_in_handler(&f, EXC_GP);
    g_assert_cmphex(slot(&f, 0), ==, GATE_SEL);
    fixture_close(&f);
}

static void test_conforming(void)
{
    Fixture f = protected_mode(3);
    RUN(&f, 0x9a, 0, 0x50, 0, 0, CONFORMING, 0);
    assert_at(&f, 0x5000);
    g_assert_cmpint(f.v->cpl, ==, 3);
    g_assert_cmphex(f.s->seg[SEG_CS].selector, ==, CONFORMING | 3);
    RUN(&f, 0xcb);
    assert_at(&f, CODE + 7);
    fixture_close(&f);
}

static void make_task(Fixture *f, unsigned cpl)
{
    static const uint16_t selectors[2][6] = { { DATA0, CODE0, DATA0, DATA0, 0, 0 },
                                              { DATA3, CODE3, DATA3, DATA3, 0, 0 } };
    ram_put(f, TSS_B + 0x20, 4, 0x5000);
    ram_put(f, TSS_B + 0x24, 4, 2);
    for (unsigned i = 0; i < 8; i++)
        ram_put(f, TSS_B + 0x28 + 4 * i, 4, i == GPR_RSP ? 0x7800 : 0x100 + i);
    for (unsigned i = 0; i < 6; i++)
        ram_put(f, TSS_B + 0x48 + 4 * i, 4, selectors[cpl == 3][i]);
    ram_put(f, TSS_B + 4, 4, STACK0 - 0x400);
    ram_put(f, TSS_B + 8, 4, DATA0);
}

static void test_task_jump(void)
{
    Fixture f = protected_mode(0);
    make_task(&f, 3);
    f.s->gpr[GPR_RBX] = 0xabcdef;
    RUN(&f, 0xea, 0, 0, 0, 0, TSS_B_SEL, 0);
    assert_at(&f, 0x5000);
    g_assert_cmpint(f.v->cpl, ==, 3);
    g_assert_cmphex(f.s->gpr[GPR_RBX], ==, 0x103);
    g_assert_cmphex(f.s->tr.selector, ==, TSS_B_SEL);
    g_assert_cmphex(ram_get(&f, TSS + 0x20, 4), ==, CODE + 7);
    g_assert_cmphex(ram_get(&f, TSS + 0x34, 4), ==, 0xabcdef);
    g_assert_cmphex(ram_get(&f, GDT + TSS_SEL + 5, 1), ==, 0x89); /* no longer busy */
    g_assert_cmphex(ram_get(&f, GDT + TSS_B_SEL + 5, 1), ==, 0x8b);
    g_assert_true(f.s->cr0 & CR0_TS);
    g_assert_false(f.s->rflags & RFLAGS_NT);
    fixture_close(&f);
}

static void test_task_call_and_return(void)
{
    Fixture f = protected_mode(0);
    make_task(&f, 0);
    ram_put(&f, GDT + TASK_GATE_SEL, 8, gate(TSS_B_SEL, 0, 0x85, 0));
    RUN(&f, 0x9a, 0, 0, 0, 0, TASK_GATE_SEL, 0);
    assert_at(&f, 0x5000);
    g_assert_true(f.s->rflags & RFLAGS_NT);
    g_assert_cmphex(ram_get(&f, TSS_B, 2), ==, TSS_SEL);
    g_assert_cmphex(ram_get(&f, GDT + TSS_SEL + 5, 1), ==, 0x8b); /* both busy */
    RUN(&f, 0xcf);
    assert_at(&f, CODE + 7);
    g_assert_cmphex(f.s->tr.selector, ==, TSS_SEL);
    g_assert_cmphex(ram_get(&f, GDT + TSS_B_SEL + 5, 1), ==, 0x89);
    g_assert_cmphex(ram_get(&f, TSS_B + 0x24, 4) & RFLAGS_NT, ==, 0);
    RUN(&f, 0x9a, 0, 0, 0, 0, TSS_SEL, 0); /* to itself: busy */
    assert_in_handler(&f, EXC_GP);
    g_assert_cmphex(slot(&f, 0), ==, TSS_SEL);
    fixture_close(&f);
}

static void test_task_gate_exception(void)
{
    Fixture f = protected_mode(0);
    make_task(&f, 0);
    ram_put(&f, IDT + 8 * EXC_GP, 8, gate(TSS_B_SEL, 0, 0x85, 0));
    f.s->gpr[GPR_RAX] = 0x100;
    RUN(&f, 0x8e, 0xd8);
    assert_at(&f, 0x5000);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, 0x7800 - 4);
    g_assert_cmphex(slot(&f, 0), ==, 0x100);
    g_assert_cmphex(ram_get(&f, TSS + 0x20, 4), ==, CODE);
    fixture_close(&f);
}

/* The new task's bad stack segment: #TS in its own context. */
static void test_task_bad_segment(void)
{
    Fixture f = protected_mode(0);
    make_task(&f, 0);
    ram_put(&f, TSS_B + 0x54, 4, DATA0); /* DS fine */
    ram_put(&f, TSS_B + 0x58, 4, TSS_SEL); /* FS is no data segment */
    RUN(&f, 0xea, 0, 0, 0, 0, TSS_B_SEL, 0);
    assert_in_handler(&f, EXC_TS);
    g_assert_cmphex(slot(&f, 0), ==, TSS_SEL);
    g_assert_cmphex(slot(&f, 1), ==, 0x5000);
    g_assert_cmphex(f.s->tr.selector, ==, TSS_B_SEL);
    fixture_close(&f);
}

static void test_gate16(void)
{
    Fixture f = protected_mode(3);
    ram_put(&f, IDT + 8 * 0x42, 8, gate(CODE0, 0x4420, 0xe6, 0));
    RUN(&f, 0xcd, 0x42);
    assert_at(&f, 0x4420);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK0 - 10);
    uint16_t expect[] = { CODE + 2, CODE3, 2, STACK3, DATA3 };
    for (unsigned i = 0; i < G_N_ELEMENTS(expect); i++)
        g_assert_cmphex(ram_get(&f, STACK0 - 10 + 2 * i, 2), ==, expect[i]);
    RUN(&f, 0x66, 0xcf);
    assert_at(&f, CODE + 2);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK3);
    fixture_close(&f);
}

/* To a 286 task and back: half registers, four segments. */
static void test_task16(void)
{
    Fixture f = protected_mode(0);
    ram_put(&f, GDT + TSS_B_SEL, 8, descriptor(TSS_B, 0x2b, 0x81, 0));
    ram_put(&f, TSS_B + 0x0e, 2, 0x5000);
    ram_put(&f, TSS_B + 0x10, 2, 2);
    for (unsigned i = 0; i < 8; i++)
        ram_put(&f, TSS_B + 0x12 + 2 * i, 2, i == GPR_RSP ? 0x7800 : 0x100 + i);
    static const uint16_t selectors[] = { DATA16_SEL, CODE16_SEL, DATA16_SEL, DATA16_SEL };
    memcpy(f.ram + TSS_B + 0x22, selectors, sizeof(selectors));
    RUN(&f, 0x9a, 0, 0, 0, 0, TSS_B_SEL, 0);
    assert_at(&f, 0x5000);
    g_assert_cmpint(f.v->code_size, ==, CODE16);
    g_assert_cmphex(f.s->gpr[GPR_RCX] & 0xffff, ==, 0x101);
    g_assert_true(segment_unusable(&f.s->seg[SEG_FS]));
    g_assert_cmphex(ram_get(&f, TSS_B, 2), ==, TSS_SEL);
    f.s->gpr[GPR_RCX] = 0x7777;
    RUN(&f, 0xcf);
    assert_at(&f, CODE + 7);
    g_assert_cmpint(f.v->code_size, ==, CODE32);
    g_assert_cmphex(ram_get(&f, TSS_B + 0x14, 2), ==, 0x7777);
    ram_put(&f, GDT + TSS_B_SEL, 8, descriptor(TSS_B, 0x2a, 0x81, 0)); /* one byte too short */
    RUN(&f, 0x9a, 0, 0, 0, 0, TSS_B_SEL, 0);
    assert_in_handler(&f, EXC_TS);
    g_assert_cmphex(slot(&f, 0), ==, TSS_B_SEL);
    fixture_close(&f);
}

/* ---- virtual-8086 mode */
static Fixture vm86_mode(unsigned iopl_level, bool vme)
{
    Fixture f = protected_mode(0);
    if (vme)
        f.s->cr4 |= CR4_VME;
    ready(&f);
    uint32_t frame[] = { 0x50, 0x200, RFLAGS_VM | iopl_level << 12 | 2, 0x700, 0x600, 0x601, 0x602, 0x603, 0x604 };
    memcpy(f.ram + STACK0 - sizeof(frame), frame, sizeof(frame));
    f.s->gpr[GPR_RSP] = STACK0 - sizeof(frame);
    RUN(&f, 0xcf);
    return f;
}

static void test_vm86(void)
{
    Fixture f = vm86_mode(3, false);
    g_assert_true(f.v->vm86);
    assert_at(&f, 0x50);
    g_assert_cmpint(f.v->cpl, ==, 3);
    g_assert_cmphex(f.s->seg[SEG_CS].base, ==, 0x2000);
    g_assert_cmphex(f.s->seg[SEG_GS].selector, ==, 0x604);
    RUN(&f, 0xcd, 0x40);
    assert_in_handler(&f, 0x40);
    g_assert_false(f.v->vm86);
    uint32_t expect[] = { 0x52, 0x200, RFLAGS_VM | RFLAGS_IOPL | 2, 0x700, 0x600, 0x601, 0x602, 0x603, 0x604 };
    for (unsigned i = 0; i < G_N_ELEMENTS(expect); i++)
        g_assert_cmphex(slot(&f, i), ==, expect[i]);
    g_assert_true(segment_unusable(&f.s->seg[SEG_GS]));
    g_assert_cmphex(f.s->rflags & (RFLAGS_VM | RFLAGS_IF), ==, 0);
    RUN(&f, 0xcf);
    g_assert_true(f.v->vm86);
    assert_at(&f, 0x52);
    fixture_close(&f);
}

static void test_vm86_iopl(void)
{
    static const uint8_t trapped[][2] = { { 0xfa }, { 0xfb }, { 0x9c }, { 0x9d }, { 0xcd, 0x40 }, { 0xcf } };
    for (unsigned i = 0; i < G_N_ELEMENTS(trapped); i++) {
        Fixture f = vm86_mode(0, false);
        run_bytes(&f, trapped[i], 2);
        assert_in_handler(&f, EXC_GP);
        g_assert_cmphex(slot(&f, 0), ==, 0);
        g_assert_cmphex(slot(&f, 1), ==, 0x50);
        fixture_close(&f);
    }
}

static void test_vme(void)
{
    Fixture f = vm86_mode(0, true);
    RUN(&f, 0xfb); /* sti: VIF */
    g_assert_cmphex(f.s->rflags & (RFLAGS_IF | RFLAGS_VIF), ==, RFLAGS_VIF);
    f.s->seg[SEG_SS].selector = 0x600;
    RUN(&f, 0x9c);
    g_assert_cmphex(ram_get(&f, 0x6000 + 0x6fe, 2), ==, RFLAGS_IF | RFLAGS_IOPL | 2);
    RUN(&f, 0xfa);
    g_assert_cmphex(f.s->rflags & RFLAGS_VIF, ==, 0);
    RUN(&f, 0x9d);
    g_assert_cmphex(f.s->rflags & (RFLAGS_IF | RFLAGS_VIF), ==, RFLAGS_VIF);
    /* Redirection bitmap of zeros: INT goes to the program's own table. */
    ram_put(&f, TSS + 0x66, 2, 0x68 + 32);
    f.s->tr.limit = 0x68 + 32 + 1;
    ram_put(&f, 0x21 * 4, 4, 0x02000123);
    ready(&f);
    RUN(&f, 0xcd, 0x21);
    g_assert_true(f.v->vm86);
    assert_at(&f, 0x123);
    g_assert_cmphex(f.s->rflags & RFLAGS_VIF, ==, 0);
    g_assert_cmphex(ram_get(&f, 0x6000 + 0x700 - 2, 2), ==, RFLAGS_IF | RFLAGS_IOPL | 2);
    RUN(&f, 0xcf);
    g_assert_cmphex(f.s->rflags & RFLAGS_VIF, ==, RFLAGS_VIF);
    ram_put(&f, TSS + 0x68 + 0x21 / 8, 1, 1 << (0x21 & 7)); /* set: not redirected, and IOPL is 0 */
    RUN(&f, 0xcd, 0x21);
    assert_in_handler(&f, EXC_GP);
    fixture_close(&f);
}

/* ---- I/O permission bitmap */
static void test_io_bitmap(void)
{
    Fixture f = protected_mode(3);
    ram_put(&f, TSS + 0x66, 2, 0x68);
    f.s->tr.limit = 0x68 + 0x20;
    ram_put(&f, TSS + 0x68 + 0x10, 1, 0x02); /* port 0x81 is not allowed */
    RUN(&f, 0xe4, 0x80);
    assert_at(&f, CODE + 2);
    g_assert_cmphex(f.s->gpr[GPR_RAX] & 0xff, ==, 0xff);
    RUN(&f, 0x66, 0xe5, 0x80); /* in ax, 0x80: touches 0x81 */
    assert_in_handler(&f, EXC_GP);
    fixture_close(&f);
}

static void test_io_beyond_bitmap(void)
{
    Fixture f = protected_mode(3);
    RUN(&f, 0xe4, 0x80); /* the TSS ends before the bitmap */
    assert_in_handler(&f, EXC_GP);
    fixture_close(&f);
}

static void test_look_at_descriptors(void)
{
    Fixture f = protected_mode(3);
    f.s->gpr[GPR_RAX] = DATA3;
    RUN(&f, 0x0f, 0x02, 0xd8); /* lar ebx, eax */
    g_assert_true(f.s->rflags & RFLAGS_ZF);
    g_assert_cmphex(f.s->gpr[GPR_RBX], ==, 0xcff300);
    RUN(&f, 0x0f, 0x03, 0xd8); /* lsl */
    g_assert_cmphex(f.s->gpr[GPR_RBX], ==, 0xffffffff);
    f.s->gpr[GPR_RAX] = DATA0;
    RUN(&f, 0x0f, 0x00, 0xe0); /* verr ax: too privileged */
    g_assert_false(f.s->rflags & RFLAGS_ZF);
    f.s->gpr[GPR_RAX] = DATA3;
    RUN(&f, 0x0f, 0x00, 0xe8); /* verw */
    g_assert_true(f.s->rflags & RFLAGS_ZF);
    f.s->gpr[GPR_RBX] = 3;
    f.s->gpr[GPR_RAX] = DATA0;
    RUN(&f, 0x63, 0xd8); /* arpl ax, bx */
    g_assert_cmphex(f.s->gpr[GPR_RAX], ==, DATA0 | 3);
    fixture_close(&f);
}

static void test_ldt(void)
{
    Fixture f = protected_mode(0);
    f.s->gpr[GPR_RAX] = LDT_SEL;
    RUN(&f, 0x0f, 0x00, 0xd0);
    ram_put(&f, LDT + 8, 8, descriptor(DATA, 0xff, 0x92, 4));
    f.s->gpr[GPR_RAX] = 0x0c;
    RUN(&f, 0x8e, 0xd8);
    g_assert_cmphex(f.s->seg[SEG_DS].base, ==, DATA);
    g_assert_cmphex(ram_get(&f, LDT + 8 + 5, 1), ==, 0x93); /* accessed */
    RUN(&f, 0xa0, 0xff, 0, 0, 0);
    assert_at(&f, CODE + 3 + 2 + 5);
    RUN(&f, 0xa1, 0xfd, 0, 0, 0);
    assert_in_handler(&f, EXC_GP);
    fixture_close(&f);
}

static void test_alignment_check(void)
{
    Fixture f = protected_mode(3);
    f.s->cr0 |= CR0_AM;
    f.s->rflags |= RFLAGS_AC;
    ready(&f);
    RUN(&f, 0xa1, 0x02, 0x60, 0, 0);
    assert_in_handler(&f, EXC_AC);
    g_assert_cmphex(slot(&f, 0), ==, 0);
    fixture_close(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct { const char *name; void (*test)(void); } tests[] = {
        { "real/interrupt", test_real_interrupt },
        { "real/limit", test_real_limit },
        { "real/unreal", test_unreal },
        { "real/to-protected-and-back", test_to_protected_and_back },
        { "segment/data", test_data_segment_checks },
        { "segment/stack", test_stack_segment_checks },
        { "segment/use", test_use_of_segments },
        { "segment/ldt", test_ldt },
        { "segment/look", test_look_at_descriptors },
        { "interrupt/inner", test_interrupt_to_inner },
        { "interrupt/privilege", test_interrupt_privilege },
        { "interrupt/double-fault", test_double_and_triple_fault },
        { "interrupt/serial-fault", test_serial_fault },
        { "far/call-gate", test_call_gate },
        { "far/conforming", test_conforming },
        { "task/jump", test_task_jump },
        { "task/call", test_task_call_and_return },
        { "task/exception", test_task_gate_exception },
        { "task/bad-segment", test_task_bad_segment },
        { "task/16-bit", test_task16 },
        { "interrupt/16-bit", test_gate16 },
        { "vm86/enter-and-leave", test_vm86 },
        { "vm86/iopl", test_vm86_iopl },
        { "vm86/vme", test_vme },
        { "io/bitmap", test_io_bitmap },
        { "io/no-bitmap", test_io_beyond_bitmap },
        { "alignment", test_alignment_check },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/protect/%s", tests[i].name);
        g_test_add_func(path, tests[i].test);
    }
    return g_test_run();
}
