/*
 * sequence.c - random sequences of instructions, run by the interpreter, by the translator, which makes blocks of them, and by
 * the host's CPU.  Registers, memory, flags and faults must agree.
 *
 *     sequence [--seed N] [--count N] [--seconds N] [--first N] [--kick] [--no-host]
 *
 * A sequence is a function of seed and number.  What fails is made as small as possible and printed.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "accel/accel.h"
#include "base/error.h"
#include "compare.h"
#include "guest.h"
#include "habits.h"
#include "native.h"
#include "program.h"

enum { DEFAULT_SECONDS = 15, MOST_SHOWN = 10, HANG_S = 30, ENDLESS_S = 2 };

typedef struct Side {
    Guest *guest;
    SubjectMemory memory;
    uint8_t *code;
    Outcome outcome;
} Side;

typedef struct Run {
    Side interp, dbt, host;
    Native *native; /* NULL: without the host's CPU */
    RowList rows;
    uint64_t seed, number, failed, on_host, vectors[32], lost;
    gint64 count, seconds, first, most_failures;
    gboolean trace, kick, no_host;
    atomic_bool done;
} Run;

/* ---- comparing */

static bool differ(GString *text, const char *name, int n, uint64_t a, uint64_t b)
{
    if (a != b && text)
        g_string_append_printf(text, n < 0 ? "    %s" : "    %s%d", name, n);
    if (a != b && text)
        g_string_append_printf(text, ": interp %" G_GINT64_MODIFIER "x  dbt %" G_GINT64_MODIFIER "x\n", a, b);
    return a != b;
}

static bool bytes_differ(GString *text, const char *name, int n, const uint8_t *a, const uint8_t *b, size_t bytes)
{
    bool any = false;
    for (size_t at = 0, shown = 0; at < bytes; at++)
        if (a[at] != b[at]) {
            any = true;
            if (text && shown++ < 8)
                g_string_append_printf(text, "    %s%d[%zx]: interp %02x  dbt %02x\n", name, MAX(n, 0), at, a[at],
                                       b[at]);
        }
    return any;
}

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

/* With #XM the interpreter may show more flags than the operation raised (host_exec.c says why). */
static uint32_t unknown_flags(const Outcome *interp) { return interp->vector == EXC_XM ? 0x3f : 0; }

static bool fpu_differs(const Program *p, const XsaveImage *a, const XsaveImage *b, uint32_t unknown, GString *t)
{
    bool d = differ(t, "fcw", -1, a->fcw, b->fcw);
    d |= differ(t, "fsw", -1, a->fsw, b->fsw);
    d |= differ(t, "ftw", -1, a->ftw, b->ftw);
    d |= differ(t, "mxcsr", -1, a->mxcsr & ~unknown, b->mxcsr & ~unknown);
    for (int n = 0; n < 8; n++)
        d |= bytes_differ(t, "st", n, a->st[n].bytes, b->st[n].bytes, 10);
    for (int n = 0; n < (p->size == CODE64 ? 16 : 8); n++) {
        d |= bytes_differ(t, "xmm", n, a->xmm[n].bytes, b->xmm[n].bytes, 16);
        d |= bytes_differ(t, "ymmh", n, a->ymm_high[n].bytes, b->ymm_high[n].bytes, 16);
    }
    return d;
}

/* A near branch to an address that is not canonical: as Intel's processors do it the branch faults, as AMD's and the
 * translator its target. */
static bool faults_at_target(const Outcome *a, const Outcome *b)
{
    return a->vector == EXC_GP && b->vector == EXC_GP && (uint64_t)((int64_t)(b->rip << 16) >> 16) != b->rip;
}

/* Has the program written over itself other than where it means to?  The translator knows which flags are dead from code
 * that a store of the same block may change, so those may then differ (docs/dbt.md). */
static bool wrote_over_itself(const Program *p, const Side *s)
{
    for (unsigned n = 0; n < p->n; n++) {
        const Insn *i = &p->item[n].insn;
        const uint8_t *code = s->code + (p->at[n] - SEQUENCE_AT);
        bool patchable = !i->map && (i->bytes[i->opcode_off] & 0xf8) == 0xb8;
        if (memcmp(i->bytes, code, patchable ? i->imm_off : i->length))
            return true;
    }
    return s->code[p->at[p->n] - SEQUENCE_AT] != 0xcc;
}

/* Within the code, but at none of its instructions. */
static bool is_foreign(const Program *p, uint64_t rip)
{
    for (unsigned n = 0; n <= p->n; n++)
        if (p->at[n] == rip)
            return false;
    return rip != p->at[p->n] + 1 && rip >= SEQUENCE_AT && rip < SEQUENCE_AT + SEQUENCE_BYTES;
}

static bool sides_differ(const Program *p, const Side *x, const Side *y, GString *t)
{
    const Outcome *a = &x->outcome, *b = &y->outcome;
    if (faults_at_target(a, b) || wrote_over_itself(p, x))
        return false;
    uint64_t width = p->size == CODE64 ? ~0ull : 0xffffffff;
    bool d = differ(t, "vector", -1, (uint64_t)(int64_t)a->vector, (uint64_t)(int64_t)b->vector);
    d |= differ(t, "error", -1, a->error, b->error);
    d |= differ(t, "rip", -1, a->rip, b->rip);
    if (a->vector == EXC_PF)
        d |= differ(t, "cr2", -1, a->cr2, b->cr2);
    for (int n = 0; n < (p->size == CODE64 ? 16 : 8); n++)
        d |= differ(t, gpr_names[n], -1, a->gpr[n] & width, b->gpr[n] & width);
    uint64_t flags = ~(uint64_t)RFLAGS_STATUS | (is_foreign(p, a->rip) ? 0 : program_flags_at(p, a->rip));
    d |= differ(t, "rflags", -1, a->rflags & flags, b->rflags & flags);
    d |= fpu_differs(p, &a->fpu, &b->fpu, unknown_flags(a), t);
    d |= bytes_differ(t, "data", -1, x->memory.data, y->memory.data, DATA_BYTES);
    d |= bytes_differ(t, "stack", -1, x->memory.stack, y->memory.stack, PAGE);
    return d | bytes_differ(t, "code", -1, x->code, y->code, SEQUENCE_BYTES);
}

/* ---- the host's CPU, against the translator */

/* Not where the processor decides whether it faults, and goes on; where descriptors are looked at that the guest does not have;
 * and in 32-bit code FS and GS would have to be segments of this process's. */
static bool runs_on_host(const Program *p)
{
    for (unsigned n = 0; n < p->n; n++) {
        const Insn *i = &p->item[n].insn;
        switch (i->op) {
        case OP_MASKMOVQ: case OP_MASKMOVDQU: case OP_VMASKMOVDQU: case OP_LAR: case OP_LSL: case OP_VERR: case OP_VERW:
            return false;
        }
        if ((p->size != CODE64 && i->seg >= SEG_FS) || habit_is_quiet(i))
            return false;
    }
    return true;
}

/* The instruction that it ended at, as a case; at the end, INT3. */
static Case last_case(const Program *p, const Outcome *o)
{
    Case c = p->start;
    c.translated = true;
    static const uint8_t int3 = 0xcc;
    insn_decode(&int3, 1, p->size, &c.insn);
    for (unsigned n = 0; n < p->n; n++)
        if (p->at[n] == o->rip)
            c.insn = p->item[n].insn;
    c.row = insn_row(&c.insn);
    return c;
}

/* The host's side runs in this process: a wild address that faults in the guest can be memory of ours, whose reservations are a
 * twentieth of the address space.  The guest's own memory lies below 4 GiB. */
static bool hit_our_memory(const Outcome *host, const Outcome *dbt)
{
    unsigned char resident;
    return dbt->vector == 14 && dbt->cr2 >> 32 && (host->vector != 14 || host->cr2 != dbt->cr2) && !mincore((void *)(dbt->cr2 & -(uint64_t)PAGE), 1, &resident);
}

static bool differs_from_host(const Program *p, const Side *host, const Side *dbt, GString *t)
{
    Outcome a = host->outcome, b = dbt->outcome;
    if (a.vector < 0 || faults_at_target(&a, &b) || hit_our_memory(&a, &b) || wrote_over_itself(p, host))
        return false;
    Case c = last_case(p, &a);
    unsigned free = habits_of(&c, &a, &b);
    if (faults_are_its_own(&c, &a, &b) || stores_in_parts(&c, &a) || free & FREE_ALL)
        return false;
    uint64_t flags = ~(uint64_t)RFLAGS_STATUS | (is_foreign(p, a.rip) ? 0 : program_flags_at(p, a.rip));
    a.rflags &= flags, b.rflags &= flags;
    if (t)
        g_string_append(t, "    (guest: dbt)\n");
    bool equal = outcome_equal(&c, &a, &b, t) & (free & FREE_MEMORY || memory_equal(&host->memory, &dbt->memory, t));
    return !equal || bytes_differ(t, "code", -1, host->code, dbt->code, SEQUENCE_BYTES);
}

/* ---- running */

static void run_side(const Program *p, Side *s)
{
    program_write(p, s->code, &s->memory);
    guest_run(s->guest, &p->start, &s->outcome);
}

static Guest *volatile endless; /* the interpreter's machine while it runs: a sequence may change itself into a loop without end */

static bool fails(Run *run, const Program *p, GString *text)
{
    endless = run->interp.guest;
    alarm(ENDLESS_S);
    run_side(p, &run->interp);
    alarm(0);
    endless = NULL;
    if (run->interp.outcome.vector == TIMED_OUT)
        return false;
    alarm(HANG_S);
    run_side(p, &run->dbt);
    alarm(0);
    if (sides_differ(p, &run->interp, &run->dbt, text))
        return true;
    if (!run->native || !runs_on_host(p))
        return false;
    program_write(p, run->host.code, &run->host.memory);
    run->on_host++;
    return native_run(run->native, &p->start, SEQUENCE_FS_BASE, &run->host.outcome) && differs_from_host(p, &run->host, &run->dbt, text);
}

/* Takes out what can go while the failure stays. */
static void shrink(Run *run, Program *p)
{
    g_autofree Program *less = g_new(Program, 1);
    for (bool again = true; again;) {
        again = false;
        for (unsigned n = p->n; n-- > 0 && n < p->n;) {
            *less = *p;
            if (program_remove(less, n) && less->n && program_finish(less) && fails(run, less, NULL)) {
                *p = *less;
                again = true;
            }
        }
    }
}

static void describe(const Program *p, GString *t)
{
    const CpuState *s = &p->start.state;
    g_string_append_printf(t, "    before: rflags %" G_GINT64_MODIFIER "x", s->rflags);
    for (int n = 0; n < (p->size == CODE64 ? 16 : 8); n++)
        g_string_append_printf(t, " %s %" G_GINT64_MODIFIER "x", gpr_names[n], s->gpr[n]);
    g_string_append_printf(t, "\n    fcw %x fsw %x ftw %x mxcsr %x\n", s->fpu.fcw, s->fpu.fsw, s->fpu.ftw,
                           s->fpu.mxcsr);
    for (unsigned n = 0; n < p->n; n++) {
        const Insn *i = &p->item[n].insn;
        char text[128];
        insn_format(i, p->at[n], text, sizeof(text));
        g_string_append_printf(t, "    %" G_GINT64_MODIFIER "x: ", p->at[n]);
        for (unsigned k = 0; k < INSN_MAX_BYTES; k++)
            if (k < i->length)
                g_string_append_printf(t, "%02x", i->bytes[k]);
            else if (k < 9)
                g_string_append(t, "  ");
        g_string_append_printf(t, "  %s\n", text);
    }
}

static void show(Run *run, Program *p)
{
    unsigned before = p->n;
    shrink(run, p);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text,
                           "FAIL --seed %" G_GUINT64_FORMAT " --first %" G_GUINT64_FORMAT
                           " --count 1: %u bits, %u instructions of %u\n",
                           run->seed, run->number, 16u << p->size, p->n, before);
    describe(p, text);
    bool still = fails(run, p, text);
    g_string_append_printf(text, "    ends with vector %d at %" G_GINT64_MODIFIER "x%s\n", run->interp.outcome.vector,
                           run->interp.outcome.rip, still ? "" : " (does not fail again)");
    fputs(text->str, stdout);
    fflush(stdout);
}

static void run_one(Run *run, Program *p)
{
    Random r = { (run->seed * 0x9e3779b97f4a7c15ull) ^ (run->number * 0xd1342543de82ef95ull) };
    while (!program_generate(p, &r, &run->rows, 3 + random_below(&r, 28)))
        continue;
    if (run->trace) {
        g_autoptr(GString) text = g_string_new(NULL);
        g_string_append_printf(text, "number %" G_GUINT64_FORMAT "\n", run->number);
        describe(p, text);
        fputs(text->str, stdout);
        fflush(stdout);
    }
    bool failed = fails(run, p, NULL);
    if (run->interp.outcome.vector >= 0 && run->interp.outcome.vector < 32)
        run->vectors[run->interp.outcome.vector]++;
    else
        run->lost++;
    if (failed && run->failed++ < MOST_SHOWN)
        show(run, p);
}

/* ---- the process */

static volatile uint64_t current; /* for the handler of signals that end this process */

static void last_words(int sig)
{
    if (sig == SIGALRM && endless) {
        guest_stop(endless);
        return;
    }
    dprintf(1, "FAIL: signal %d while running --first %" G_GUINT64_FORMAT " --count 1\n", sig, current);
    _exit(3);
}

/* In translated code RSP is the guest's. */
enum { SIGNAL_STACK_BYTES = 65536 };

static void install_handlers(void *stack)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM, SIGABRT };
    stack_t alt = { .ss_sp = stack, .ss_size = SIGNAL_STACK_BYTES };
    sigaltstack(&alt, NULL);
    struct sigaction a = { .sa_handler = last_words, .sa_flags = SA_ONSTACK };
    for (unsigned n = 0; n < G_N_ELEMENTS(signals); n++)
        sigaction(signals[n], &a, NULL);
}

static bool open_side(Side *s, const char *accel, GError **err)
{
    s->guest = guest_create(accel_find(accel), SEQUENCE_FS_BASE, err);
    if (!s->guest)
        return false;
    s->memory = guest_memory(s->guest);
    s->code = guest_sequence(s->guest);
    return true;
}

/* Not under sanitizers: differential's meson.build says why. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HOST_CAN = false };
#else
enum { HOST_CAN = true };
#endif

static void open_host(Run *run)
{
    g_autoptr(GError) err = NULL;
    if (run->no_host || !HOST_CAN)
        return;
    run->native = native_create(&err);
    run->host.code = run->native ? native_sequence(run->native, &err) : NULL;
    if (run->host.code) {
        run->host.memory = native_memory(run->native);
        return;
    }
    printf("without the host's CPU: %s\n", err->message);
    g_clear_pointer(&run->native, native_destroy);
}

static bool parse_options(Run *run, int *argc, char ***argv, GError **err)
{
    g_autofree char *seed = NULL;
    const GOptionEntry options[] = {
        { "seed", 0, 0, G_OPTION_ARG_STRING, &seed, "of the random numbers", "N" },
        { "first", 0, 0, G_OPTION_ARG_INT64, &run->first, "number of the first sequence", "N" },
        { "count", 0, 0, G_OPTION_ARG_INT64, &run->count, "sequences, instead of a time", "N" },
        { "seconds", 0, 0, G_OPTION_ARG_INT64, &run->seconds, "how long", "N" },
        { "failures", 0, 0, G_OPTION_ARG_INT64, &run->most_failures, "end after so many", "N" },
        { "kick", 0, 0, G_OPTION_ARG_NONE, &run->kick, "make the translator leave its blocks all the time", NULL },
        { "no-host", 0, 0, G_OPTION_ARG_NONE, &run->no_host, "leave the host's CPU out", NULL },
        { "trace", 0, 0, G_OPTION_ARG_NONE, &run->trace, "print each sequence before it runs", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- compare the translator with the interpreter");
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, argc, argv, err))
        return false;
    if (seed)
        run->seed = g_ascii_strtoull(seed, NULL, 0);
    return true;
}

/* Blocks end early wherever this finds them. */
static gpointer kicker(gpointer arg)
{
    Run *run = arg;
    while (!run->done) {
        guest_kick(run->dbt.guest);
        g_usleep(1);
    }
    return NULL;
}

static void run_all(Run *run)
{
    g_autofree Program *p = g_new0(Program, 1);
    gint64 end = g_get_monotonic_time() + run->seconds * G_USEC_PER_SEC;
    uint64_t n = 0;
    for (; run->count ? n < (uint64_t)run->count : g_get_monotonic_time() < end; n++) {
        current = run->number = (uint64_t)run->first + n;
        run_one(run, p);
        if (run->failed >= (uint64_t)run->most_failures)
            break;
    }
    alarm(0);
    printf("sequences %" G_GUINT64_FORMAT ", failures %" G_GUINT64_FORMAT "; ended by", n, run->failed);
    for (unsigned v = 0; v < 32; v++)
        if (run->vectors[v])
            printf(" #%u: %" G_GUINT64_FORMAT, v, run->vectors[v]);
    printf("; not at all: %" G_GUINT64_FORMAT "; on the host too: %" G_GUINT64_FORMAT "\n", run->lost, run->on_host);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    const char *fixed = g_getenv("ATOLL_SEED");
    Run run = { .seed = fixed ? g_ascii_strtoull(fixed, NULL, 0) : (uint64_t)time(NULL),
                .seconds = DEFAULT_SECONDS, .most_failures = MOST_SHOWN };
    if (!parse_options(&run, &argc, &argv, &err) || !open_side(&run.interp, "interp", &err) ||
        !open_side(&run.dbt, "dbt", &err)) {
        fprintf(stderr, "sequence: %s\n", err->message);
        return 2;
    }
    open_host(&run);
    g_autofree void *signal_stack = g_malloc0(SIGNAL_STACK_BYTES);
    install_handlers(signal_stack);
    row_list_fill(&run.rows);
    printf("seed %" G_GUINT64_FORMAT "\n", run.seed);
    fflush(stdout);
    GThread *thread = run.kick ? g_thread_new("kick", kicker, &run) : NULL;
    run_all(&run);
    run.done = true;
    if (thread)
        g_thread_join(thread);
    row_list_free(&run.rows);
    native_destroy(run.native);
    guest_destroy(run.interp.guest);
    guest_destroy(run.dbt.guest);
    return run.failed ? 1 : 0;
}
