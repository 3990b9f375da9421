/*
 * boot_lockstep.c - a kernel boots in two machines at once, by translation and by interpretation, and both must agree.
 *
 * Time is the machines' manual clock: it stands while instructions run, so that both see the same TSC, timers and interrupts.
 * In each round the translator runs for as long as it happens to, whole blocks of it.  The interpreter then goes single steps
 * until its RIP, registers and memory are the translator's; when it never gets there, or anything else of the CPU differs, the test
 * fails.  Then the clocks of both go on alike.
 *
 * Not compared are status flags that the code at RIP does not read (the translator found them dead), in memory too, where an
 * interrupt pushed them, and where the last x87 instruction stood (docs/dbt.md).
 *
 *     boot_lockstep KERNEL [INITRD] [--instructions N] [--seed N]
 */
#include <stdio.h>
#include <string.h>

#include "accel/accel.h"
#include "accel/dbt/dbt.h"
#include "boards/board.h"
#include "vmm/loader/loader.h"

enum { RAM = 96 << 20, TICK_NS = 100000, HALT_NS = 1000000 };
#define MOST_STEPS 200000000ull
#define MOST_MEMORY_STEPS 20000000ull

static struct {
    char *kernel, *initrd, *append;
    gint64 instructions, seed;
} args = { .append = "console=ttyS0 nokaslr earlyprintk=ttyS0", .instructions = 1000000 };

static const GOptionEntry options[] = {
    { "kernel", 0, 0, G_OPTION_ARG_FILENAME, &args.kernel, "bzImage", "FILE" },
    { "initrd", 0, 0, G_OPTION_ARG_FILENAME, &args.initrd, "initramfs", "FILE" },
    { "append", 0, 0, G_OPTION_ARG_STRING, &args.append, "command line", "TEXT" },
    { "instructions", 0, 0, G_OPTION_ARG_INT64, &args.instructions, "how many the interpreter executes", "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &args.seed, "of the lengths of rounds", "N" },
    { NULL },
};

/* ---- one machine */
typedef struct Side {
    Machine *m;
    Board *board;
    Kernel *kernel;
    Vcpu *v;
    InterpVcpu *i;
} Side;

static void must(bool ok, GError *err)
{
    if (!ok || err)
        g_error("%s", err ? err->message : "failed");
}

static Side side_open(const AccelOps *ops)
{
    GError *err = NULL;
    MachineConfig mc = { .ram_size = RAM, .cpus = 1, .sockets = 1, .cores = 1, .threads = 1, .max_cpus = 1, .name = "lockstep", .manual_clock = true };
    BoardConfig bc = { .rtc_base = RTC_AT, .rtc_time = 1700000000, .reboot_timeout_ms = -1 };
    BoardStart start = { 0 };
    CpuModel max;
    Side s = { 0 };
    cpu_model_max(&max);
    must(cpu_model_parse("qemu64", &max, &mc.cpu_model, NULL, &err), err);
    must((s.m = machine_create(&mc, &err)) != NULL, err);
    must(machine_add_accel(s.m, ops, &err), err);
    must((s.board = board_create(board_find("pc", &err), s.m, &bc, &err)) != NULL, err);
    must((s.kernel = kernel_open(args.kernel, args.initrd, args.append, &err)) != NULL, err);
    machine_reset(s.m, RESET_COLD);
    must(board_start_direct(s.board, &start, &err) && kernel_load(s.kernel, s.m, &start, &err), err);
    s.v = machine_vcpu(s.m, 0);
    s.i = (InterpVcpu *)s.v;
    return s;
}

static void side_close(Side *s)
{
    machine_destroy(s->m);
    board_destroy(s->board);
    kernel_close(s->kernel);
}

static bool halted(const Side *s) { return s->i->s.activity != CPU_RUNNING; }

static void step_here(Vcpu *v, void *arg)
{
    GError *err = NULL;
    must(v->accel->ops->step(v, &err), err);
}

static const uint8_t *code_at(const Side *s)
{
    uint64_t gpa, linear = (s->i->code_size == CODE64 ? 0 : s->i->base[SEG_CS]) + s->i->s.rip;
    return mmu_debug_translate(s->i, linear, &gpa) && gpa < RAM ? s->m->ram->host + gpa : NULL;
}

/* The translator may have stopped within a REP, at another element than the interpreter would. */
static void leave_rep(Side *s)
{
    Insn insn;
    const uint8_t *code = code_at(s);
    uint64_t rip = s->i->s.rip;
    if (!code || insn_decode(code, MIN(15, 0x1000 - ((uintptr_t)code & 0xfff)), s->i->code_size, &insn) != DECODE_OK)
        return;
    while (insn_row(&insn)->attrs & ROW_STRING && insn.prefixes & (PFX_REP | PFX_REPNE) && s->i->s.rip == rip && !halted(s))
        vcpu_run_on(s->v, step_here, NULL);
}

/* ---- the interpreter follows */
typedef struct Pursuit {
    const CpuState *goal;
    uint64_t steps, most;
    unsigned nearest; /* registers that differed where RIP was right */
    CpuState nearest_state;
    const uint64_t *theirs, *mine; /* a word of memory that must be alike too; NULL: none */
    bool there;
} Pursuit;

/* Flags as PUSHF and SYSCALL keep them: those that an instruction leaves undefined are not alike in both.  In Debian's kernel
 * it is the DIV at 0xffffffff819f5d1d (all six, SDM 2): local_irq_save() is called behind it, and keeps what PUSHF shows in R11
 * while a loop runs.  The interpreter leaves the flags as they were, the translator compares the operands (division.c) and
 * divides; the kernel reads bit 9 alone, IF, which has to be alike. */
static bool only_flags(uint64_t a, uint64_t b) { return !((a ^ b) & ~(uint64_t)RFLAGS_STATUS) && (a & 0xffffffffffc08028) == 0 && a & 2; }

static unsigned registers_differ(const CpuState *a, const CpuState *b)
{
    unsigned n = a->activity != b->activity;
    for (unsigned k = 0; k < 16; k++)
        n += a->gpr[k] != b->gpr[k] && !(k == GPR_R11 && only_flags(a->gpr[k], b->gpr[k]));
    return n;
}

static void pursue_here(Vcpu *v, void *arg)
{
    Pursuit *p = arg;
    const CpuState *s = &((InterpVcpu *)v)->s;
    for (; p->steps < p->most; p->steps++) {
        if (s->rip == p->goal->rip) {
            unsigned n = registers_differ(s, p->goal);
            if (n <= p->nearest) {
                p->nearest = n;
                p->nearest_state = *s;
            }
            if ((p->there = !n && (!p->mine || *p->mine == *p->theirs)))
                return;
        }
        if (s->activity != CPU_RUNNING)
            return;
        step_here(v, NULL);
    }
}

/* ---- comparing */
static void forget(CpuState *s, uint32_t flags)
{
    s->rflags &= flags | ~(uint64_t)RFLAGS_STATUS;
    s->fpu.fip = s->fpu.fdp = s->fpu.fop = 0;
    s->fpu.xstate_bv = s->fpu.xcomp_bv = 0;
    s->interrupt_shadow = 0;
}

static void compare_states(const Side *dbt, const Side *interp, uint64_t instructions)
{
    GError *err = NULL;
    CpuState a, b;
    must(dbt->v->accel->ops->get(dbt->v, &a, &err), err);
    must(interp->v->accel->ops->get(interp->v, &b, &err), err);
    const uint8_t *code = code_at(interp);
    size_t seen = 0;
    uint32_t flags = code && !halted(interp) ? dbt_flags_read_from(code, code + (0x1000 - ((uintptr_t)code & 0xfff)), interp->i->code_size, &seen) : 0;
    if (flags == RFLAGS_STATUS) /* what lies beyond what it looks at counts as a reader, and so does an instruction that ends in the next page */
        flags = 0;
    forget(&a, flags);
    forget(&b, flags);
    if (only_flags(a.gpr[GPR_R11], b.gpr[GPR_R11]))
        a.gpr[GPR_R11] = b.gpr[GPR_R11];
    g_autofree char *diff = cpu_state_diff(&a, &b);
    if (*diff)
        g_error("after %" G_GUINT64_FORMAT " instructions, at %#" G_GINT64_MODIFIER "x, translator and interpreter differ:\n%s", instructions,
                b.rip, diff);
}

/* The first word of memory that differs; NULL: none. */
static const uint64_t *first_difference(const Side *dbt, const Side *interp)
{
    const uint64_t *a = (const uint64_t *)dbt->m->ram->host, *b = (const uint64_t *)interp->m->ram->host;
    enum { WORDS = 512 };
    for (size_t page = 0; page < RAM / 8; page += WORDS)
        for (size_t n = page; memcmp(a + n, b + n, (page + WORDS - n) * 8); n++)
            if (a[n] != b[n] && !only_flags(a[n], b[n]) && !only_flags((uint32_t)a[n], (uint32_t)b[n]) && !only_flags(a[n] >> 32, b[n] >> 32))
                return a + n;
    return NULL;
}

static void lost(const Side *dbt, const Side *interp, const Pursuit *p, uint64_t instructions)
{
    g_autofree char *diff = p->nearest == UINT_MAX ? g_strdup("(it never was at that address)") : cpu_state_diff(&dbt->i->s, &p->nearest_state);
    g_error("after %" G_GUINT64_FORMAT " instructions the translator is at %#" G_GINT64_MODIFIER "x, where the interpreter did not come within %"
            G_GUINT64_FORMAT " steps (it is at %#" G_GINT64_MODIFIER "x).  Nearest:\n%s", instructions, dbt->i->s.rip, p->steps, interp->i->s.rip,
            diff);
}

/* ---- rounds */
static void run_some(Side *s, GRand *rand)
{
    machine_start(s->m);
    g_usleep(g_rand_int_range(rand, 1, 200));
    machine_stop(s->m);
}

/* A loop may come to the same registers with other memory: on to a round of it that agrees. */
static void match_memory(const Side *dbt, const Side *interp, Pursuit *p, uint64_t instructions)
{
    const uint64_t *at;
    while ((at = first_difference(dbt, interp)) != NULL) {
        size_t offset = (const uint8_t *)at - dbt->m->ram->host;
        p->theirs = at;
        p->mine = (const uint64_t *)(interp->m->ram->host + offset);
        p->most = p->steps + MOST_MEMORY_STEPS;
        uint64_t mine = *p->mine;
        vcpu_run_on(interp->v, pursue_here, p);
        if (!p->there)
            g_error("after %" G_GUINT64_FORMAT " instructions memory differs at %#zx: %#" G_GINT64_MODIFIER "x by translation, %#" G_GINT64_MODIFIER
                    "x by interpretation", instructions, offset, *at, mine);
    }
}

static uint64_t round_of(Side *dbt, Side *interp, GRand *rand, uint64_t instructions)
{
    run_some(dbt, rand);
    leave_rep(dbt);
    Pursuit p = { .goal = &dbt->i->s, .most = MOST_STEPS, .nearest = UINT_MAX };
    vcpu_run_on(interp->v, pursue_here, &p);
    if (!p.there)
        lost(dbt, interp, &p, instructions + p.steps);
    match_memory(dbt, interp, &p, instructions);
    compare_states(dbt, interp, instructions + p.steps);
    int64_t ns = halted(dbt) ? HALT_NS : TICK_NS;
    clock_advance(dbt->m->clock, ns);
    clock_advance(interp->m->clock, ns);
    return p.steps;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("- a kernel's boot by translation against interpretation");
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err) || !args.kernel) {
        fprintf(stderr, "%s\n", err ? err->message : "--kernel is missing");
        return 2;
    }
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)args.seed);
    Side dbt = side_open(&accel_dbt), interp = side_open(&accel_interp);
    g_assert_null(first_difference(&dbt, &interp));
    uint64_t instructions = 0;
    unsigned rounds = 0, halts = 0;
    for (; instructions < (uint64_t)args.instructions; rounds++) {
        instructions += round_of(&dbt, &interp, rand, instructions);
        halts += halted(&dbt);
    }
    printf("%" G_GUINT64_FORMAT " instructions alike, compared %u times (%u of them halted); at %#" G_GINT64_MODIFIER "x; %"
           G_GUINT64_FORMAT " blocks\n", instructions, rounds, halts, interp.i->s.rip, ((DbtVcpu *)dbt.v)->stats.blocks);
    side_close(&dbt);
    side_close(&interp);
    return 0;
}
