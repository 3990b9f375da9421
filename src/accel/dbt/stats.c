/* stats.c - what `-d exec` prints about a vCPU at its end: blocks, exits, and which instructions were interpreted. */
#include "accel/dbt/dbt.h"

void dbt_stats_init(DbtVcpu *v) { v->stats.by_row = g_new0(uint64_t, insn_row_count); }

static int by_count(const void *a, const void *b, void *data)
{
    const uint64_t *by_row = data, x = by_row[*(const unsigned *)a], y = by_row[*(const unsigned *)b];
    return x < y ? 1 : x > y ? -1 : 0;
}

static void print_rows(const DbtVcpu *v, Log *log)
{
    enum { MOST = 40 };
    g_autofree unsigned *order = g_new(unsigned, insn_row_count);
    for (unsigned n = 0; n < insn_row_count; n++)
        order[n] = n;
    g_qsort_with_data(order, (int)insn_row_count, sizeof(*order), by_count, v->stats.by_row);
    for (unsigned n = 0; n < MIN(MOST, insn_row_count) && v->stats.by_row[order[n]]; n++)
        log_write(log, LOG_EXEC, "vCPU %u: %10" G_GUINT64_FORMAT " interpreted: %s %s", v->i.vcpu.id, v->stats.by_row[order[n]],
                  insn_rows[order[n]].name, insn_rows[order[n]].operands);
}

void dbt_stats_finish(DbtVcpu *v)
{
    Log *log = v->i.vcpu.machine->log;
    const DbtStats *s = &v->stats;
    if (log_on(log, LOG_EXEC)) {
        log_write(log, LOG_EXEC, "vCPU %u: %" G_GUINT64_FORMAT " blocks, %" G_GUINT64_FORMAT " instructions interpreted and %" G_GUINT64_FORMAT
                  " blocks of other modes, exits: jump %" G_GUINT64_FORMAT " indirect %" G_GUINT64_FORMAT " interp %" G_GUINT64_FORMAT
                  " memory %" G_GUINT64_FORMAT " attention %" G_GUINT64_FORMAT "; %" G_GUINT64_FORMAT " TLB fills, %" G_GUINT64_FORMAT
                  " faults, %" G_GUINT64_FORMAT " evictions", v->i.vcpu.id, s->blocks, s->interp_insns, s->whole_blocks_interp, s->exits[EXIT_JUMP], s->exits[EXIT_INDIRECT],
                  s->exits[EXIT_INTERP], s->exits[EXIT_MEMORY], s->exits[EXIT_ATTENTION], s->tlb_fills, s->faults, s->evictions);
        print_rows(v, log);
    }
    g_free(v->stats.by_row);
}
