/*
 * differential.c - every row of insns.txt that user code may execute, run by the host's CPU and by the interpreter, or the translator, on
 * the same random and edge operands.  General, vector and x87 registers, memory, defined flags and faults must agree.
 *
 *     differential [--accel NAME] [--cases N] [--seed N] [--row NAME]
 *
 * ATOLL_SEED and ATOLL_CASES do the same as the options.  A case is a function of seed, row and number, so what fails
 * can be repeated alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "accel/accel.h"
#include "base/error.h"
#include "compare.h"
#include "generate.h"
#include "guest.h"
#include "habits.h"
#include "native.h"

enum { DEFAULT_CASES = 100 /* a row and mode */, SHOWN_A_ROW = 1, SHOWN_IN_ALL = 60, MOST_ITERATIONS = 64 };

typedef struct Run {
    Native *native;
    Guest *guest;
    SubjectMemory host_memory, guest_memory;
    uint64_t seed, fs_base;
    gint64 cases;
    char *only_row, *accel;
    gboolean trace;
    unsigned rows, shown, rows_failed, left_out, empty;
    uint64_t done, failed;
    GString *failing_rows;
} Run;

typedef void StepFn(void *side, const Case *c, Outcome *ret);
static void step_native(void *side, const Case *c, Outcome *ret)
{
    native_step(side, c, ret);
}
static void step_guest(void *side, const Case *c, Outcome *ret)
{
    guest_step(side, c, ret);
}

/* A repeated string instruction may stop after each iteration, and a gather before a fault. */
static bool may_stop_early(const Insn *i)
{
    return insn_row(i)->attrs & ROW_STRING || i->vsib;
}

/* Goes on to the instruction's end.  False: it had not come to one. */
static bool run_side(StepFn *step, void *side, const Case *first, Outcome *ret)
{
    Case c = *first;
    for (unsigned n = 0; n < MOST_ITERATIONS; n++) {
        step(side, &c, ret);
        if (ret->vector != NO_VECTOR || ret->rip != first->state.rip || !may_stop_early(&first->insn))
            return true;
        c.state.fpu = ret->fpu;
        memcpy(c.state.gpr, ret->gpr, sizeof(c.state.gpr));
        c.state.rflags = ret->rflags & ~(uint64_t)(RFLAGS_TF | RFLAGS_RF);
    }
    return false;
}

/* The host runs with the trap flag set, and PUSHF shows it. */
static void hide_trap_flag(const Case *c, const SubjectMemory *m, const Outcome *o)
{
    uint64_t rsp = c->size == CODE64 ? o->gpr[GPR_RSP] : (uint32_t)o->gpr[GPR_RSP]; /* Linux leaves its own above a 16-bit stack pointer */
    uint64_t at = rsp + selector_base(c->ss) + 1 - STACK_AT;
    if (c->row->op == OP_PUSHF && o->vector == NO_VECTOR && at < PAGE)
        m->stack[at] &= ~(RFLAGS_TF >> 8);
}

static void copy_memory(const SubjectMemory *to, const SubjectMemory *from)
{
    memcpy(to->code, from->code, PAGE);
    memcpy(to->data, from->data, DATA_BYTES);
    memcpy(to->stack, from->stack, PAGE);
}

static void show(Run *run, const Case *c, unsigned number, const Outcome *host, const Outcome *guest)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "FAIL seed %" G_GUINT64_FORMAT " case %u: ", run->seed, number);
    case_describe(c, text);
    outcome_equal(c, host, guest, text);
    memory_equal(&run->host_memory, &run->guest_memory, text);
    g_string_append_printf(text, "    after: vector %d rip %" G_GINT64_MODIFIER "x cs %x\n", host->vector, host->rip,
                           host->cs);
    fputs(text->str, stdout);
    fflush(stdout);
}

static void trace(const Case *c)
{
    g_autoptr(GString) text = g_string_new("TRACE ");
    case_describe(c, text);
    fputs(text->str, stdout);
    fflush(stdout);
}

/* True: agreed, or there was no such case, or it would last too long. */
static bool run_case(Run *run, unsigned row, CodeSize size, unsigned number, bool may_show)
{
    Random r = { run->seed ^ ((uint64_t)row << 40 | (uint64_t)size << 36 | number) * 0x9e3779b97f4a7c15ull };
    Case c;
    Outcome host, guest;
    if (!case_generate(&r, row, size, run->fs_base, &run->host_memory, &c))
        return true;
    c.translated = run->accel && !strcmp(run->accel, "dbt");
    copy_memory(&run->guest_memory, &run->host_memory);
    if (run->trace)
        trace(&c);
    if (!run_side(step_native, run->native, &c, &host) || !run_side(step_guest, run->guest, &c, &guest))
        return true;
    hide_trap_flag(&c, &run->host_memory, &host);
    run->done++;
    if (outcome_equal(&c, &host, &guest, NULL) &&
        (stores_in_parts(&c, &host) || habits_of(&c, &host, &guest) & (FREE_MEMORY | FREE_ALL) || memory_equal(&run->host_memory, &run->guest_memory, NULL)))
        return true;
    if (may_show)
        show(run, &c, number, &host, &guest);
    return false;
}

static void run_row(Run *run, unsigned row)
{
    uint64_t failed = 0, before = run->done;
    for (CodeSize size = CODE16; size <= CODE64; size++)
        for (unsigned n = 0; n < run->cases; n++)
            if (!run_case(run, row, size, n, failed < SHOWN_A_ROW && run->shown < SHOWN_IN_ALL) &&
                failed++ < SHOWN_A_ROW)
                run->shown++;
    run->rows += run->done > before;
    if (run->done == before) {
        printf("no case: %s | %s | %s\n", insn_rows[row].name, insn_rows[row].encoding, insn_rows[row].operands);
        run->empty++;
    }
    run->failed += failed;
    run->rows_failed += failed > 0;
    if (failed)
        g_string_append_printf(run->failing_rows, "  %s | %s | %s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT "\n",
                               insn_rows[row].name, insn_rows[row].encoding, insn_rows[row].operands, failed,
                               run->done - before);
}

/* What the host has, and the interpreter says it has. */
static bool both_have(const CpuModel *host, const CpuModel *guest, const InsnRow *row)
{
    return row->feature == FEAT_ALWAYS || (cpu_has(host, row->feature) && cpu_has(guest, row->feature));
}

static void run_rows(Run *run)
{
    CpuModel host, guest;
    cpu_model_host(&host);
    cpu_model_max(&guest);
    for (unsigned row = 0; row < insn_row_count; row++) {
        const InsnRow *info = &insn_rows[row];
        if (run->only_row && strcmp(run->only_row, info->name))
            continue;
        if (row_is_testable(info) && both_have(&host, &guest, info))
            run_row(run, row);
        else
            run->left_out++;
    }
}

static bool prepare(Run *run, GError **err)
{
    run->native = native_create(err);
    if (!run->native)
        return false;
    run->fs_base = native_fs_base();
    const AccelOps *ops = accel_find(run->accel ? run->accel : "interp");
    if (!ops)
        return error_set(err, ERR_INVALID, "there is no accelerator '%s'", run->accel);
    run->guest = guest_create(ops, run->fs_base, err);
    if (!run->guest)
        return false;
    run->host_memory = native_memory(run->native);
    run->guest_memory = guest_memory(run->guest);
    return true;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = g_getenv(variable);
    return text ? g_ascii_strtoull(text, NULL, 0) : otherwise;
}

static bool parse_options(Run *run, int *argc, char ***argv, GError **err)
{
    g_autofree char *seed = NULL;
    const GOptionEntry options[] = {
        { "cases", 0, 0, G_OPTION_ARG_INT64, &run->cases, "cases for each row and mode", "N" },
        { "seed", 0, 0, G_OPTION_ARG_STRING, &seed, "of the random numbers", "N" },
        { "accel", 0, 0, G_OPTION_ARG_STRING, &run->accel, "interp (the default) or dbt", "NAME" },
        { "row", 0, 0, G_OPTION_ARG_STRING, &run->only_row, "only rows of this mnemonic", "NAME" },
        { "trace", 0, 0, G_OPTION_ARG_NONE, &run->trace, "name each case before it runs", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- compare the interpreter with the host's CPU");
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, argc, argv, err))
        return false;
    if (seed)
        run->seed = g_ascii_strtoull(seed, NULL, 0);
    return true;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    Run run = { .cases = (gint64)number_from("ATOLL_CASES", DEFAULT_CASES),
                .seed = number_from("ATOLL_SEED", (uint64_t)time(NULL)),
                .failing_rows = g_string_new(NULL) };
    if (!parse_options(&run, &argc, &argv, &err) || !prepare(&run, &err)) {
        fprintf(stderr, "differential: %s\n", err->message);
        return 2;
    }
    printf("seed %" G_GUINT64_FORMAT "\n", run.seed);
    run_rows(&run);
    if (run.failed)
        printf("rows with failures:\n%s", run.failing_rows->str);
    printf("left out: %u rows that user code cannot run here, or not to a defined result; no case of %u\n",
           run.left_out, run.empty);
    printf("rows %u, cases %" G_GUINT64_FORMAT ", failures %" G_GUINT64_FORMAT " in %u rows\n", run.rows, run.done,
           run.failed, run.rows_failed);
    guest_destroy(run.guest);
    native_destroy(run.native);
    g_free(run.only_row);
    g_string_free(run.failing_rows, TRUE);
    return run.failed ? 1 : 0;
}
