/* paging_test.c - page faults and their error codes, rights, accessed and dirty bits, crossings, and 64-bit mode's own
 * rules. */
#include "accel/interp/system_fixture.h"

static Fixture long_mode(unsigned cpl) { Fixture f; fixture_open(&f, "max"); enter_long(&f, cpl); return f; }
/* 64-bit stack slot n above RSP. */
static uint64_t slot(Fixture *f, unsigned n) { return ram_get(f, f->s->gpr[GPR_RSP] + 8 * n, 8); }

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ull << 63)
enum { VICTIM = 0x30 }; /* page number that tests change */
#define VICTIM_AT ((uint64_t)VICTIM << 12)

typedef struct FaultRow {
    const char *name;
    unsigned cpl;
    uint64_t pte;
    char access; /* r w x */
    bool fault;
    uint32_t error;
    uint64_t cr0, cr4, rflags; /* added */
} FaultRow;

static const FaultRow fault_rows[] = {
    { "absent read", 0, 0, 'r', true, 0 },
    { "absent user write", 3, 0, 'w', true, 6 },
    { "absent fetch", 0, 0, 'x', true, 0x10 },
    { "user reads supervisor", 3, P | W, 'r', true, 5 },
    { "user writes read-only", 3, P | U, 'w', true, 7 },
    { "supervisor writes read-only", 0, P, 'w', false, 0 },
    { "supervisor writes read-only, WP", 0, P, 'w', true, 3, .cr0 = CR0_WP },
    { "fetch from NX", 0, P | NX, 'x', true, 0x11 },
    { "user fetch from NX", 3, P | U | NX, 'x', true, 0x15 },
    { "read from NX", 0, P | NX, 'r', false, 0 },
    { "reserved bit", 0, P | W | 1ull << 50, 'r', true, 9 },
    { "SMEP", 0, P | U, 'x', true, 0x11, .cr4 = CR4_SMEP },
    { "SMEP, own page", 0, P, 'x', false, 0, .cr4 = CR4_SMEP },
    { "SMAP read", 0, P | U | W, 'r', true, 1, .cr4 = CR4_SMAP },
    { "SMAP write", 0, P | U | W, 'w', true, 3, .cr4 = CR4_SMAP },
    { "SMAP with AC", 0, P | U | W, 'w', false, 0, .cr4 = CR4_SMAP, .rflags = RFLAGS_AC },
    { "user under SMAP", 3, P | U | W, 'w', false, 0, .cr4 = CR4_SMAP },
};

static void test_rights(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fault_rows); i++) {
        const FaultRow *r = &fault_rows[i];
        g_test_message("%s", r->name);
        Fixture f = long_mode(r->cpl);
        for (unsigned page = 0; page < 512; page++) /* all but user code, data and stack belong to the supervisor */
            if (r->cpl == 0)
                ram_put(&f, pte_at(page), 8, page << 12 | P | W);
        f.s->cr0 |= r->cr0;
        f.s->cr4 |= r->cr4;
        f.s->rflags |= r->rflags;
        ram_put(&f, VICTIM_AT, 1, 0x90);
        ram_put(&f, pte_at(VICTIM), 8, r->pte ? VICTIM_AT | r->pte : 0);
        ready(&f);
        f.s->gpr[GPR_RBX] = VICTIM_AT;
        if (r->access == 'r') {
            RUN(&f, 0x8a, 0x03);
        } else if (r->access == 'w') {
            RUN(&f, 0x88, 0x03);
        } else {
            RUN(&f, 0xff, 0xe3); /* jmp rbx, then the fetch */
            step(&f);
        }
        if (r->fault) {
            assert_in_handler(&f, EXC_PF);
            g_assert_cmphex(slot(&f, 0), ==, r->error);
            g_assert_cmphex(slot(&f, 1), ==, r->access == 'x' ? VICTIM_AT : CODE);
            g_assert_cmphex(f.s->cr2, ==, VICTIM_AT);
            g_assert_cmphex(ram_get(&f, pte_at(VICTIM), 8) & (A | D), ==, 0);
        } else {
            assert_at(&f, r->access == 'x' ? VICTIM_AT + 1 : CODE + 2u);
            g_assert_cmphex(ram_get(&f, pte_at(VICTIM), 8) & (A | D), ==, r->access == 'w' ? A | D : A);
        }
        fixture_close(&f);
    }
}

/* A read caches the entry; the write after it must still set D. */
static void test_dirty_after_read(void)
{
    Fixture f = long_mode(0);
    f.s->gpr[GPR_RBX] = VICTIM_AT;
    RUN(&f, 0x8a, 0x03);
    g_assert_cmphex(ram_get(&f, pte_at(VICTIM), 8) & (A | D), ==, A);
    RUN(&f, 0x88, 0x03);
    g_assert_cmphex(ram_get(&f, pte_at(VICTIM), 8) & (A | D), ==, A | D);
    g_assert_cmphex(ram_get(&f, PAGES, 8) & (A | D), ==, A);
    fixture_close(&f);
}

/* The second page of a crossing write is absent: the first must not change. */
static void test_crossing(void)
{
    Fixture f = long_mode(0);
    ram_put(&f, pte_at(VICTIM + 1), 8, 0);
    ready(&f);
    ram_put(&f, VICTIM_AT + 0xffc, 4, 0x55555555);
    f.s->gpr[GPR_RBX] = VICTIM_AT + 0xffc;
    RUN(&f, 0x48, 0x89, 0x03); /* mov [rbx], rax */
    assert_in_handler(&f, EXC_PF);
    g_assert_cmphex(f.s->cr2, ==, VICTIM_AT + 0x1000);
    g_assert_cmphex(ram_get(&f, VICTIM_AT + 0xffc, 4), ==, 0x55555555);
    ram_put(&f, pte_at(VICTIM + 1), 8, 0x50000 | 7); /* elsewhere */
    f.s->gpr[GPR_RAX] = 0x1122334455667788;
    f.s->rip = CODE;
    ready(&f);
    RUN(&f, 0x48, 0x89, 0x03);
    g_assert_cmphex(ram_get(&f, VICTIM_AT + 0xffc, 4), ==, 0x55667788);
    g_assert_cmphex(ram_get(&f, 0x50000, 4), ==, 0x11223344);
    RUN(&f, 0x48, 0x8b, 0x0b);
    g_assert_cmphex(f.s->gpr[GPR_RCX], ==, 0x1122334455667788);
    fixture_close(&f);
}

static void test_large_page_and_invlpg(void)
{
    Fixture f = long_mode(0);
    ram_put(&f, 0x345678, 4, 0xcafe);
    ram_put(&f, 0x145678, 4, 0xbeef);
    f.s->gpr[GPR_RBX] = 0x345678;
    RUN(&f, 0x8b, 0x03);
    g_assert_cmphex(f.s->gpr[GPR_RAX], ==, 0xcafe);
    ram_put(&f, PAGES + 0x2008, 8, 0x000087); /* now 0-2 MiB */
    f.s->gpr[GPR_RCX] = 0x2ff000;             /* another page of the same large one */
    RUN(&f, 0x0f, 0x01, 0x39);                /* invlpg [rcx] */
    RUN(&f, 0x8b, 0x03);
    g_assert_cmphex(f.s->gpr[GPR_RAX], ==, 0xbeef);
    ram_put(&f, PAGES + 0x2008, 8, 0x002087); /* reserved bits of the address */
    RUN(&f, 0x0f, 0x01, 0x39);
    RUN(&f, 0x8b, 0x03);
    assert_in_handler(&f, EXC_PF);
    g_assert_cmphex(slot(&f, 0), ==, 9);
    fixture_close(&f);
}

static void test_global_page(void)
{
    Fixture f = long_mode(0);
    f.s->cr4 |= CR4_PGE;
    ram_put(&f, pte_at(VICTIM), 8, VICTIM_AT | 7 | G);
    ready(&f);
    ram_put(&f, VICTIM_AT, 1, 0x11);
    ram_put(&f, 0x50000, 1, 0x22);
    f.s->gpr[GPR_RBX] = VICTIM_AT;
    RUN(&f, 0x8a, 0x03);
    ram_put(&f, pte_at(VICTIM), 8, 0x50000 | 7 | G);
    f.s->gpr[GPR_RCX] = PAGES;
    RUN(&f, 0x0f, 0x22, 0xd9); /* mov cr3, rcx: keeps it */
    RUN(&f, 0x8a, 0x03);
    g_assert_cmphex(f.s->gpr[GPR_RAX] & 0xff, ==, 0x11);
    f.s->gpr[GPR_RCX] = f.s->cr4 & ~CR4_PGE;
    RUN(&f, 0x0f, 0x22, 0xe1); /* mov cr4, rcx: drops it */
    RUN(&f, 0x8a, 0x03);
    g_assert_cmphex(f.s->gpr[GPR_RAX] & 0xff, ==, 0x22);
    fixture_close(&f);
}

/* ---- PCIDs.  VICTIM shows one of the pages OLD and NEW, and is read as user memory under SMAP with AC set: such accesses have
 * a table in each context. */
enum { OLD_AT = 0x50000, NEW_AT = 0x51000, OLD = 0x11, NEW = 0x22 };
#define CR3_KEEP (1ull << 63)

static void victim_shows(Fixture *f, uint64_t page, uint64_t bits) { ram_put(f, pte_at(VICTIM), 8, page | 7 | bits); }

static Fixture with_pcids(uint64_t bits)
{
    Fixture f = long_mode(0);
    f.s->cr4 |= CR4_PGE | CR4_SMAP | CR4_PCIDE;
    f.s->rflags |= RFLAGS_AC;
    ram_put(&f, OLD_AT, 1, OLD);
    ram_put(&f, NEW_AT, 1, NEW);
    victim_shows(&f, OLD_AT, bits);
    ready(&f);
    return f;
}

static void load_cr3(Fixture *f, uint64_t bits)
{
    f->s->gpr[GPR_RCX] = PAGES | bits;
    RUN(f, 0x0f, 0x22, 0xd9);
    g_assert_cmphex(f->s->cr3, ==, (PAGES | bits) & ~CR3_KEEP);
}

static unsigned victim_read(Fixture *f)
{
    f->s->gpr[GPR_RBX] = VICTIM_AT;
    RUN(f, 0x8a, 0x03);
    return f->s->gpr[GPR_RAX] & 0xff;
}

static void invpcid(Fixture *f, unsigned type, uint16_t pcid)
{
    ram_put(f, DATA, 8, pcid);
    ram_put(f, DATA + 8, 8, type ? 0 : VICTIM_AT);
    f->s->gpr[GPR_RAX] = type;
    f->s->gpr[GPR_RBX] = DATA;
    RUN(f, 0x66, 0x0f, 0x38, 0x82, 0x03);
}

static void invlpg_victim(Fixture *f)
{
    f->s->gpr[GPR_RBX] = VICTIM_AT;
    RUN(f, 0x0f, 0x01, 0x3b);
}

static void test_pcid_keeps(void)
{
    Fixture f = with_pcids(0);
    load_cr3(&f, 1);
    g_assert_cmphex(victim_read(&f), ==, OLD);
    victim_shows(&f, NEW_AT, 0);
    load_cr3(&f, 2);
    g_assert_cmphex(victim_read(&f), ==, NEW); /* another PCID knows nothing of it */
    load_cr3(&f, 1 | CR3_KEEP);
    g_assert_cmphex(victim_read(&f), ==, OLD);
    load_cr3(&f, 1 | CR3_KEEP); /* loaded again */
    g_assert_cmphex(victim_read(&f), ==, OLD);
    load_cr3(&f, 2 | CR3_KEEP);
    load_cr3(&f, 1);
    g_assert_cmphex(victim_read(&f), ==, NEW);
    fixture_close(&f);
}

/* More PCIDs than there are contexts: one that lost its own starts empty, and none sees another's. */
static void test_pcid_many(void)
{
    Fixture f = with_pcids(0);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned pcid = 1; pcid <= 3 * TLB_CONTEXTS; pcid++) {
            victim_shows(&f, (OLD_AT + (pcid % 2 ? 0x1000 : 0)), 0);
            load_cr3(&f, pcid);
            g_assert_cmphex(victim_read(&f), ==, pcid % 2 ? NEW : OLD);
            victim_shows(&f, NEW_AT, 0);
            load_cr3(&f, (pcid > 1 ? pcid - 1 : 100) | CR3_KEEP);
            load_cr3(&f, pcid | CR3_KEEP);
            g_assert_cmphex(victim_read(&f), ==, pcid % 2 ? NEW : OLD);
        }
    victim_shows(&f, NEW_AT, 0);
    load_cr3(&f, 2 | CR3_KEEP); /* taken by others since */
    g_assert_cmphex(victim_read(&f), ==, NEW);
    fixture_close(&f);
}

static void test_invpcid(void)
{
    enum { MINE = 1, OTHER = 2 };
    static const struct { unsigned type; uint16_t pcid; bool global, mine_goes, other_goes; } rows[] = {
        { 0, MINE, false, true, false }, { 0, OTHER, false, false, true }, { 1, MINE, false, true, false },
        { 1, OTHER, false, false, true }, { 1, 77, false, false, false }, { 2, 0, false, true, true },
        { 3, 0, false, true, true },      { 1, MINE, true, false, false }, { 1, OTHER, true, false, false },
        { 2, 0, true, true, true },       { 3, 0, true, false, false },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("row %u", i);
        uint64_t bits = rows[i].global ? G : 0;
        Fixture f = with_pcids(bits);
        load_cr3(&f, OTHER);
        g_assert_cmphex(victim_read(&f), ==, OLD);
        load_cr3(&f, MINE);
        g_assert_cmphex(victim_read(&f), ==, OLD);
        victim_shows(&f, NEW_AT, bits);
        invpcid(&f, rows[i].type, rows[i].pcid);
        g_assert_cmphex(victim_read(&f), ==, rows[i].mine_goes ? NEW : OLD);
        load_cr3(&f, OTHER | CR3_KEEP);
        g_assert_cmphex(victim_read(&f), ==, rows[i].other_goes ? NEW : OLD);
        fixture_close(&f);
    }
}

/* INVLPG takes global entries of every context, and only those. */
static void test_invlpg_in_contexts(void)
{
    for (unsigned global = 0; global < 2; global++)
        for (unsigned times = 1; times < 3 * TLB_LOG; times += TLB_LOG) {
            Fixture f = with_pcids(global ? G : 0);
            load_cr3(&f, 1);
            g_assert_cmphex(victim_read(&f), ==, OLD);
            load_cr3(&f, 2);
            victim_shows(&f, NEW_AT, global ? G : 0);
            for (unsigned n = 0; n < times; n++)
                invlpg_victim(&f);
            load_cr3(&f, 1 | CR3_KEEP);
            if (global)
                g_assert_cmphex(victim_read(&f), ==, NEW);
            fixture_close(&f);
        }
}

/* An upper level that changes is seen after an INVLPG of any address, and a fault looks anew. */
static void test_upper_level_changes(void)
{
    Fixture f = with_pcids(0);
    g_assert_cmphex(victim_read(&f), ==, OLD);
    memcpy(f.ram + 0x80000, f.ram + PAGES + 0x3000, 4096); /* another last table */
    ram_put(&f, 0x80000 + 8 * VICTIM, 8, NEW_AT | 7);
    ram_put(&f, PAGES + 0x2000, 8, 0x80000 | 7);
    invlpg_victim(&f);
    g_assert_cmphex(victim_read(&f), ==, NEW);
    ram_put(&f, 0x80000 + 8 * (VICTIM + 1), 8, 0); /* absent there, present in a third: no INVLPG is due */
    memcpy(f.ram + 0x81000, f.ram + PAGES + 0x3000, 4096);
    ram_put(&f, 0x81000 + 8 * (VICTIM + 1), 8, NEW_AT | 7);
    ram_put(&f, PAGES + 0x2000, 8, 0x81000 | 7);
    f.s->gpr[GPR_RBX] = VICTIM_AT + 0x1000;
    RUN(&f, 0x8a, 0x03);
    g_assert_cmphex(f.s->gpr[GPR_RAX] & 0xff, ==, NEW);
    fixture_close(&f);
}

static void test_canonical(void)
{
    Fixture f = long_mode(0);
    f.s->gpr[GPR_RBX] = 0x0000800000000000;
    RUN(&f, 0x8a, 0x03);
    assert_in_handler(&f, EXC_GP);
    f.s->rip = CODE;
    f.s->gpr[GPR_RSP] = 0x0000800000000008;
    RUN(&f, 0x58); /* pop rax */
    /* #SS, and its delivery on the same stack fails too: #DF, then shutdown. */
    g_assert_cmpint(f.s->activity, ==, CPU_SHUTDOWN);
    fixture_close(&f);
}

static void test_ist(void)
{
    Fixture f = long_mode(0);
    ram_put(&f, TSS + 36, 8, 0x7007); /* IST1, not aligned */
    ram_put(&f, IDT + 16 * EXC_UD + 4, 1, 1);
    RUN(&f, 0x0f, 0x0b);
    assert_in_handler(&f, EXC_UD);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, 0x7000 - 40);
    uint64_t expect[] = { CODE, CODE0, RFLAGS_RF | 2, STACK0, DATA0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(expect); i++)
        g_assert_cmphex(slot(&f, i), ==, expect[i]);
    RUN(&f, 0x48, 0xcf);
    assert_at(&f, CODE);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK0);
    fixture_close(&f);
}

static void test_long_inner(void)
{
    Fixture f = long_mode(3);
    RUN(&f, 0xcd, 0x40);
    assert_in_handler(&f, 0x40);
    g_assert_cmphex(f.s->seg[SEG_SS].selector, ==, 0);
    g_assert_cmpint(f.v->cpl, ==, 0);
    g_assert_cmphex(slot(&f, 3), ==, STACK3);
    RUN(&f, 0x48, 0xcf);
    g_assert_cmpint(f.v->cpl, ==, 3);
    assert_at(&f, CODE + 2);
    fixture_close(&f);
}

static void test_syscall(void)
{
    Fixture f;
    fixture_open(&f, "max,vendor=GenuineIntel");
    enter_long(&f, 3);
    f.s->star = (uint64_t)0x13 << 48 | (uint64_t)CODE0 << 32;
    f.s->lstar = 0x5000;
    f.s->sfmask = RFLAGS_IF | RFLAGS_TF;
    f.s->rflags |= RFLAGS_IF | RFLAGS_CF;
    ready(&f);
    RUN(&f, 0x0f, 0x05);
    assert_at(&f, 0x5000);
    g_assert_cmpint(f.v->cpl, ==, 0);
    g_assert_cmphex(f.s->gpr[GPR_RCX], ==, CODE + 2);
    g_assert_cmphex(f.s->gpr[GPR_R11], ==, RFLAGS_IF | RFLAGS_CF | 2);
    g_assert_cmphex(f.s->rflags, ==, RFLAGS_CF | 2);
    g_assert_cmphex(f.s->seg[SEG_SS].selector, ==, DATA0);
    RUN(&f, 0x48, 0x0f, 0x07);
    assert_at(&f, CODE + 2);
    g_assert_cmpint(f.v->cpl, ==, 3);
    g_assert_cmphex(f.s->seg[SEG_CS].selector, ==, 0x23);
    g_assert_cmphex(f.s->seg[SEG_SS].selector, ==, 0x1b);
    g_assert_cmphex(f.s->rflags, ==, RFLAGS_IF | RFLAGS_CF | 2);
    f.s->efer &= ~EFER_SCE;
    ready(&f);
    RUN(&f, 0x0f, 0x05);
    assert_in_handler(&f, EXC_UD);
    fixture_close(&f);
}

static void test_sysret_not_canonical(void)
{
    Fixture f;
    fixture_open(&f, "max,vendor=GenuineIntel");
    enter_long(&f, 0);
    f.s->gpr[GPR_RCX] = 0x0000800000000000;
    RUN(&f, 0x48, 0x0f, 0x07);
    assert_in_handler(&f, EXC_GP); /* while still in ring 0 */
    g_assert_cmphex(slot(&f, 2), ==, CODE0);
    fixture_close(&f);
}

static void test_sysenter(void)
{
    Fixture f;
    fixture_open(&f, "max,vendor=GenuineIntel");
    enter_long(&f, 3);
    f.s->sysenter_cs = CODE0;
    f.s->sysenter_eip = 0x5000;
    f.s->sysenter_esp = STACK0;
    f.s->rflags |= RFLAGS_IF;
    ready(&f);
    RUN(&f, 0x0f, 0x34);
    assert_at(&f, 0x5000);
    g_assert_cmphex(f.s->gpr[GPR_RSP], ==, STACK0);
    g_assert_cmphex(f.s->rflags & RFLAGS_IF, ==, 0);
    f.s->gpr[GPR_RDX] = 0x1800;
    f.s->gpr[GPR_RCX] = STACK3;
    RUN(&f, 0x0f, 0x35); /* to 32-bit code */
    assert_at(&f, 0x1800);
    g_assert_cmphex(f.s->seg[SEG_CS].selector, ==, CODE0 + 16 + 3);
    g_assert_cmpint(f.v->code_size, ==, CODE32);
    fixture_close(&f);
}

/* ---- msr and control registers */
static void wrmsr(Fixture *f, uint32_t msr, uint64_t value)
{
    f->s->gpr[GPR_RCX] = msr;
    f->s->gpr[GPR_RAX] = (uint32_t)value;
    f->s->gpr[GPR_RDX] = value >> 32;
    f->s->rip = CODE;
    f->s->gpr[GPR_RSP] = STACK0;
    RUN(f, 0x0f, 0x30);
}

static void test_msr(void)
{
    static const struct { uint32_t msr; uint64_t value; bool ok; } rows[] = {
        { 0x277, 0x0007040600070406, true },
        { 0x277, 0x0207040600070406, false },
        { 0x12345, 0, false },
        { 0xc0000080, EFER_LME | EFER_LMA | EFER_NXE, true },
        { 0xc0000080, EFER_LMA, false },
        { 0xc0000080, EFER_LME | 2, false },
        { 0xc0000100, 0x0000800000000000, false },
        { 0xc0000100, 0xffff800000000000, true },
        { 0xc0000082, 1ull << 62, false },
        { 0x200, 6, true },
        { 0x200, 2, false },
        { 0x201, 0x800, true },
        { 0x201, 0x100, false },
        { 0xfe, 0, false },
        { 0x2ff, 0xc06, true },
        { 0x2ff, 0x1000, false },
        { 0xc0000103, 1ull << 32, false },
        { 0x174, 1ull << 32, false },
    };
    Fixture f = long_mode(0);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        wrmsr(&f, rows[i].msr, rows[i].value);
        g_test_message("row %u", i);
        if (rows[i].ok) {
            assert_at(&f, CODE + 2);
            f.s->gpr[GPR_RAX] = f.s->gpr[GPR_RDX] = 0;
            RUN(&f, 0x0f, 0x32);
            g_assert_cmphex(f.s->gpr[GPR_RAX] | f.s->gpr[GPR_RDX] << 32, ==, rows[i].value);
        } else {
            assert_in_handler(&f, EXC_GP);
            g_assert_cmphex(slot(&f, 0), ==, 0);
        }
    }
    fixture_close(&f);
}

static void test_tsc_adjust(void)
{
    Fixture f = long_mode(0);
    wrmsr(&f, 0x10, 1000000);
    g_assert_cmpint(interp_tsc(f.v), ==, 1000000); /* the clock is manual */
    wrmsr(&f, 0x3b, f.s->tsc_adjust + 500);
    g_assert_cmpint(interp_tsc(f.v), ==, 1000500);
    fixture_close(&f);
}

static void test_control_registers(void)
{
    static const struct { uint8_t modrm; uint64_t value; bool ok; } rows[] = {
        /* mov crN, rax */
        { 0xc0, CR0_PG, false },
        { 0xc0, CR0_PE, false },
        { 0xc0, CR0_PE | CR0_PG | CR0_NW, false },
        { 0xc0, 1ull << 40, false },
        { 0xc0, CR0_PE | CR0_PG | CR0_WP, true },
        { 0xd8, 1ull << 52, false },
        { 0xd8, PAGES, true },
        { 0xe0, 0, false },
        { 0xe0, CR4_PAE | CR4_VMXE, false },
        { 0xe0, CR4_PAE | CR4_LA57, false },
        { 0xe0, CR4_PAE | CR4_PCIDE, true },
        { 0xe0, CR4_PAE | CR4_PGE, true },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f = long_mode(0);
        g_test_message("row %u", i);
        f.s->gpr[GPR_RAX] = rows[i].value;
        RUN(&f, 0x0f, 0x22, rows[i].modrm);
        assert_at(&f, rows[i].ok ? CODE + 3u : HANDLER + 16u * EXC_GP);
        fixture_close(&f);
    }
}

/* ---- the older paging modes */
static void enable_paging(Fixture *f, uint64_t cr3, uint64_t cr4)
{
    f->s->cr4 |= cr4;
    f->s->cr3 = cr3;
    ready(f);
    f->s->gpr[GPR_RAX] = f->s->cr0 | CR0_PG;
    RUN(f, 0x0f, 0x22, 0xc0);
}

static void test_32_bit_paging(void)
{
    Fixture f;
    fixture_open(&f, "max");
    enter_protected(&f, 0);
    ram_put(&f, PAGES, 4, (PAGES + 0x1000) | 7);
    for (unsigned i = 0; i < 1024; i++)
        ram_put(&f, PAGES + 0x1000 + 4 * i, 4, i << 12 | 7);
    ram_put(&f, PAGES + 4, 4, 0x000087); /* 4-8 MiB shows 0-4 MiB */
    ram_put(&f, PAGES + 8, 4, 0x200087); /* bit 21 is reserved */
    ram_put(&f, PAGES + 0x1000 + 4 * VICTIM, 4, VICTIM_AT | 5);
    enable_paging(&f, PAGES, CR4_PSE);
    assert_at(&f, CODE + 3);
    ram_put(&f, DATA, 4, 0xabcd);
    RUN(&f, 0xa1, 0, 0x60, 0x40, 0); /* mov eax, [0x406000] */
    g_assert_cmphex(f.s->gpr[GPR_RAX], ==, 0xabcd);
    RUN(&f, 0xa3, 0, 0x60, 0x80, 0);
    assert_in_handler(&f, EXC_PF);
    g_assert_cmphex(ram_get(&f, f.s->gpr[GPR_RSP], 4), ==, 0xb);
    set_ring(&f, 3);
    f.s->rip = CODE;
    RUN(&f, 0xa3, 0, 0x00, 0x03, 0); /* user write to a read-only page */
    assert_in_handler(&f, EXC_PF);
    g_assert_cmphex(ram_get(&f, f.s->gpr[GPR_RSP], 4), ==, 7);
    fixture_close(&f);
}

static void test_pae_paging(void)
{
    Fixture f;
    fixture_open(&f, "max");
    enter_protected(&f, 0);
    ram_put(&f, PAGES + 0x20, 8, (PAGES + 0x1000) | 1); /* PDPTEs, aligned to 32 bytes only */
    ram_put(&f, PAGES + 0x28, 8, 0);
    ram_put(&f, PAGES + 0x1000, 8, 0x000087);
    ram_put(&f, PAGES + 0x1008, 8, 0x200087);
    enable_paging(&f, PAGES + 0x20, CR4_PAE);
    assert_at(&f, CODE + 3);
    ram_put(&f, 0x201000, 4, 0x7777);
    RUN(&f, 0xa1, 0, 0x10, 0x20, 0);
    g_assert_cmphex(f.s->gpr[GPR_RAX], ==, 0x7777);
    RUN(&f, 0xa1, 0, 0, 0, 0x40); /* the second gigabyte: no PDPTE */
    assert_in_handler(&f, EXC_PF);
    g_assert_cmphex(f.s->cr2, ==, 0x40000000);
    /* A reserved bit in a PDPTE: the load of CR3 faults. */
    ram_put(&f, PAGES + 0x48, 8, 3);
    f.s->gpr[GPR_RAX] = PAGES + 0x40;
    f.s->rip = CODE;
    RUN(&f, 0x0f, 0x22, 0xd8);
    assert_in_handler(&f, EXC_GP);
    g_assert_cmphex(f.s->cr3, ==, PAGES + 0x20);
    fixture_close(&f);
}

static void test_five_levels(void)
{
    Fixture f = long_mode(0);
    ram_put(&f, PAGES + 0x4000, 8, PAGES | 7);
    ram_put(&f, PAGES + 0x4000 + 8 * 1, 8, PAGES | 7); /* 1 << 48 shows the same */
    f.s->cr3 = PAGES + 0x4000;
    f.s->cr4 |= CR4_LA57;
    ready(&f);
    ram_put(&f, DATA, 4, 0x5150);
    f.s->gpr[GPR_RBX] = (1ull << 48) + DATA;
    RUN(&f, 0x8b, 0x03);
    g_assert_cmphex(f.s->gpr[GPR_RAX], ==, 0x5150);
    f.s->gpr[GPR_RBX] = 1ull << 56;
    RUN(&f, 0x8b, 0x03);
    assert_in_handler(&f, EXC_GP);
    fixture_close(&f);
}

static void test_umip(void)
{
    Fixture f = long_mode(3);
    f.s->cr4 |= CR4_UMIP;
    ready(&f);
    f.s->gpr[GPR_RBX] = DATA;
    RUN(&f, 0x0f, 0x01, 0x03); /* sgdt */
    assert_in_handler(&f, EXC_GP);
    fixture_close(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    static const struct { const char *name; void (*test)(void); } tests[] = {
        { "rights", test_rights },
        { "dirty-after-read", test_dirty_after_read },
        { "crossing", test_crossing },
        { "large-page", test_large_page_and_invlpg },
        { "global", test_global_page },
        { "pcid-keeps", test_pcid_keeps },
        { "pcid-many", test_pcid_many },
        { "invpcid", test_invpcid },
        { "invlpg-in-contexts", test_invlpg_in_contexts },
        { "upper-level-changes", test_upper_level_changes },
        { "canonical", test_canonical },
        { "ist", test_ist },
        { "inner", test_long_inner },
        { "syscall", test_syscall },
        { "sysret", test_sysret_not_canonical },
        { "sysenter", test_sysenter },
        { "msr", test_msr },
        { "tsc-adjust", test_tsc_adjust },
        { "control", test_control_registers },
        { "32-bit", test_32_bit_paging },
        { "pae", test_pae_paging },
        { "five-levels", test_five_levels },
        { "umip", test_umip },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/paging/%s", tests[i].name);
        g_test_add_func(path, tests[i].test);
    }
    return g_test_run();
}
