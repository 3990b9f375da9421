/*
 * random_test.c - random system instructions on random tables and registers, in every mode.
 *
 * Nothing a guest does may end in our own crash, hang or an impossible state.  There is no expected result: the checks
 * are what must always hold, and the sanitizers.  GLib prints the seed (repeat with --seed), and ATOLL_RANDOM_CASES in
 * the environment gives more cases.
 */
#include "accel/interp/system_fixture.h"

enum { STEPS = 24 };

/* Instructions that this half is about, as opcode bytes; what follows is random. */
static const struct { uint8_t n, bytes[4]; } opcodes[] = {
    { 1, { 0x8e } },       { 1, { 0x8c } },
    { 1, { 0x9a } },       { 1, { 0xea } },
    { 1, { 0xca } },       { 1, { 0xcb } },
    { 1, { 0xcf } },       { 2, { 0x48, 0xcf } },
    { 2, { 0x48, 0xcb } }, { 1, { 0xcc } },
    { 1, { 0xcd } },       { 1, { 0xce } },
    { 1, { 0xf1 } },       { 1, { 0x9c } },
    { 1, { 0x9d } },       { 1, { 0xfa } },
    { 1, { 0xfb } },       { 1, { 0xf4 } },
    { 1, { 0xe4 } },       { 1, { 0xe6 } },
    { 1, { 0xed } },       { 1, { 0xef } },
    { 1, { 0x6c } },       { 1, { 0x6d } },
    { 1, { 0x6e } },       { 1, { 0x6f } },
    { 2, { 0xf3, 0x6d } }, { 2, { 0xf3, 0x6f } },
    { 1, { 0x07 } },       { 1, { 0x17 } },
    { 1, { 0x1f } },       { 2, { 0x0f, 0xa1 } },
    { 2, { 0x0f, 0xa9 } }, { 1, { 0xc4 } },
    { 1, { 0xc5 } },       { 2, { 0x0f, 0xb2 } },
    { 2, { 0x0f, 0xb4 } }, { 1, { 0x63 } },
    { 1, { 0xff } },       { 2, { 0x0f, 0x00 } },
    { 2, { 0x0f, 0x01 } }, { 2, { 0x0f, 0x02 } },
    { 2, { 0x0f, 0x03 } }, { 2, { 0x0f, 0x05 } },
    { 2, { 0x0f, 0x06 } }, { 2, { 0x0f, 0x07 } },
    { 2, { 0x0f, 0x20 } }, { 2, { 0x0f, 0x21 } },
    { 2, { 0x0f, 0x22 } }, { 2, { 0x0f, 0x23 } },
    { 2, { 0x0f, 0x30 } }, { 2, { 0x0f, 0x31 } },
    { 2, { 0x0f, 0x32 } }, { 2, { 0x0f, 0x34 } },
    { 2, { 0x0f, 0x35 } }, { 2, { 0x0f, 0xa2 } },
    { 2, { 0x0f, 0xae } }, { 3, { 0xf3, 0x0f, 0xae } },
    { 2, { 0x0f, 0xc7 } }, { 2, { 0x0f, 0x0b } },
    { 1, { 0x50 } },       { 1, { 0x58 } },
    { 1, { 0xc8 } },       { 1, { 0xc9 } },
    { 1, { 0x60 } },       { 1, { 0x61 } },
    { 1, { 0x62 } },       { 4, { 0x66, 0x0f, 0x38, 0x82 } },
    { 1, { 0xa4 } },       { 1, { 0x89 } },
    { 1, { 0x8b } },       { 1, { 0xa1 } },
    { 1, { 0xa3 } },       { 1, { 0x66 } },
    { 1, { 0x67 } },       { 1, { 0x2e } },
    { 1, { 0x0f } },       { 1, { 0x40 } },
};

static const uint32_t msrs[] = { 0x10,       0x1b,       0x3b,       0x174,      0x175,      0x176,
                                 0x1a0,      0x1d9,      0x200,      0x201,      0x250,      0x277,
                                 0x2ff,      0x6e0,      0x800,      0xc0000080, 0xc0000081, 0xc0000082,
                                 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103 };

static uint64_t random64(GRand *r) { return (uint64_t)g_rand_int(r) << 32 | g_rand_int(r); }

/* Values near the edges and near what exists are more telling than even ones. */
static uint64_t random_value(GRand *r)
{
    switch (g_rand_int_range(r, 0, 8)) {
    case 0: return random64(r);
    case 1: return g_rand_int(r);
    case 2: return (uint64_t)0 - g_rand_int_range(r, 0, 64);
    case 3: return 0x0000800000000000 - 8 + g_rand_int_range(r, 0, 16);
    case 4: return msrs[g_rand_int_range(r, 0, G_N_ELEMENTS(msrs))];
    case 5: return g_rand_int_range(r, 0, GDT_LIMIT + 9);
    default: return g_rand_int_range(r, 0, RAM + 0x2000);
    }
}

static void disturb_tables(Fixture *f, GRand *r)
{
    static const uint32_t places[] = {
        GDT, IDT, TSS, TSS_B, LDT, PAGES, PAGES + 0x1000, PAGES + 0x2000, PAGES + 0x3000, STACK0 - 0x100, STACK3 - 0x100
    };
    for (unsigned n = g_rand_int_range(r, 0, 12); n; n--) {
        uint32_t at = places[g_rand_int_range(r, 0, G_N_ELEMENTS(places))] + g_rand_int_range(r, 0, 0x100);
        if (g_rand_boolean(r))
            f->ram[at] = g_rand_int(r);
        else
            ram_put(f, at & ~7u, 8, random_value(r));
    }
}

static void random_modes(Fixture *f, GRand *r)
{
    switch (g_rand_int_range(r, 0, 5)) {
    case 0: enter_real(f); break;
    case 1: enter_protected(f, g_rand_boolean(r) ? 3 : 0); break;
    case 2: /* virtual-8086 mode */
        enter_protected(f, 0);
        f->s->rflags |= RFLAGS_VM;
        for (unsigned i = 0; i < SEG_COUNT; i++)
            f->s->seg[i] = (Segment){ .selector = 0x100, .base = 0x1000, .limit = 0xffff, .attr = 0xf3 };
        f->s->rip = 0;
        f->s->gpr[GPR_RSP] = 0x7000;
        break;
    case 3: enter_long(f, g_rand_boolean(r) ? 3 : 0); break;
    default: /* compatibility mode */
        enter_long(f, 0);
        f->s->seg[SEG_CS].attr = 0xc09b;
    }
    static const uint64_t cr4[] = { CR4_VME,      CR4_PVI,  CR4_DE,   CR4_PSE,     CR4_PGE,   CR4_UMIP,
                                    CR4_FSGSBASE, CR4_SMEP, CR4_SMAP, CR4_OSXSAVE, CR4_OSFXSR };
    for (unsigned i = 0; i < G_N_ELEMENTS(cr4); i++)
        if (g_rand_boolean(r))
            f->s->cr4 |= cr4[i];
    f->s->rflags |= g_rand_int(r) & (RFLAGS_STATUS | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_AC |
                                     RFLAGS_ID | RFLAGS_VIF | RFLAGS_VIP);
    if (g_rand_int_range(r, 0, 8) == 0)
        f->s->rflags |= RFLAGS_TF;
    if (g_rand_int_range(r, 0, 8) == 0) {
        f->s->dr[7] = g_rand_int(r) | 0x400;
        f->s->dr[g_rand_int_range(r, 0, 4)] = g_rand_int_range(r, 0, 0x10000);
    }
}

static void put_instructions(Fixture *f, GRand *r)
{
    for (unsigned at = CODE; at < 0x5000;) {
        unsigned o = g_rand_int_range(r, 0, G_N_ELEMENTS(opcodes));
        memcpy(f->ram + at, opcodes[o].bytes, opcodes[o].n);
        at += opcodes[o].n;
        for (unsigned n = g_rand_int_range(r, 0, 5); n; n--)
            f->ram[at++] = g_rand_boolean(r) ? g_rand_int(r) : g_rand_int(r) & 0x78;
    }
}

/* What holds whatever the guest does. */
static void check(const Fixture *f)
{
    const CpuState *s = f->s;
    const InterpVcpu *v = f->v;
    g_assert_true(s->rflags & RFLAGS_ONE);
    g_assert_cmphex(s->rflags & ~0x3f7fd7ull, ==, 0);
    g_assert_true(!(s->cr0 & CR0_PG) || (s->cr0 & CR0_PE));
    g_assert_cmpint(!!(s->efer & EFER_LMA), ==, (s->cr0 & CR0_PG) && (s->efer & EFER_LME));
    g_assert_true(!(s->efer & EFER_LMA) || (s->cr4 & CR4_PAE));
    g_assert_cmpint(v->vm86, ==, (s->cr0 & CR0_PE) && (s->rflags & RFLAGS_VM));
    g_assert_cmpint(v->long_mode, ==, !!(s->efer & EFER_LMA));
    g_assert_cmpint(v->event_ext, ==, 0);
    g_assert_cmphex(s->rip, ==, v->next_rip);
    if (v->code_size == CODE64)
        g_assert_true(v->long_mode && (s->seg[SEG_CS].attr & SEG_ATTR_L));
    else
        g_assert_cmphex(s->rip >> 32, ==, 0);
    g_assert_cmphex(s->xcr0 & ~7ull, ==, 0);
    for (unsigned i = 0; i < MEM_WHO_COUNT; i++)
        g_assert_cmpuint(v->tlb[i]->n_used, <=, TLB_SIZE);
}

typedef struct Case {
    Fixture *f;
    GRand *r;
} Case;

static void one_case(Vcpu *vcpu, void *arg)
{
    Fixture *f = ((Case *)arg)->f;
    GRand *r = ((Case *)arg)->r;
    g_autoptr(GError) err = NULL;
    cpu_state_reset(f->s, true, false);
    memset(f->ram, 0, 0x20000);
    put_instructions(f, r);
    random_modes(f, r);
    disturb_tables(f, r);
    ready(f);
    for (unsigned i = 0; i < STEPS && f->s->activity != CPU_SHUTDOWN; i++) {
        if (g_rand_int_range(r, 0, 3) == 0)
            f->s->gpr[g_rand_int_range(r, 0, 16)] = random_value(r);
        if (g_rand_int_range(r, 0, 16) == 0)
            vcpu_request(&f->v->vcpu, VREQ_NMI);
        test_accel()->step(vcpu, &err);
        g_assert_no_error(err);
        check(f);
    }
}

static void test_random(void)
{
    const char *wish = g_getenv("ATOLL_RANDOM_CASES");
    unsigned cases = wish ? (unsigned)g_ascii_strtoull(wish, NULL, 10) : 3000, shutdowns = 0;
    g_autoptr(GRand) r = g_rand_new_with_seed(g_test_rand_int());
    Fixture f;
    fixture_open(&f, "max,vendor=GenuineIntel");
    for (unsigned i = 0; i < cases; i++) {
        vcpu_run_on(&f.v->vcpu, one_case, &(Case){ &f, r });
        shutdowns += f.s->activity == CPU_SHUTDOWN;
    }
    g_test_message("%u cases, %u of them end in shutdown", cases, shutdowns);
    g_assert_cmpuint(shutdowns, <, cases / 2); /* else the tables are so broken that little is tested */
    fixture_close(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/random/system", test_random);
    return g_test_run();
}
