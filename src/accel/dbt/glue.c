/*
 * glue.c - the two pieces of host code between C and translated code.
 *
 * enter(v, code) saves what the C ABI wants kept, loads the guest's registers and flags and jumps; the exit stores them
 * and returns to enter's caller.  While translated code runs, RSP is the guest's: nothing may use the stack, and signal
 * handlers need a stack of their own.
 */
#include "accel/dbt/dbt.h"
#include "accel/dbt/emit.h"

struct DbtGlue {
    DbtEnterFn *enter;
    const void *exit, *miss;
    DbtExit miss_exit;
};

enum { RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7 };
static const uint8_t kept_by_callee[] = { RBX, RBP, 12, 13, 14, 15 };

static void push(Emit *e, unsigned reg) { e_rex(e, false, 0, 0, reg), e1(e, 0x50 | (reg & 7)); }
static void pop(Emit *e, unsigned reg) { e_rex(e, false, 0, 0, reg), e1(e, 0x58 | (reg & 7)); }

static bool lives_in_host(unsigned reg) { return reg != SCRATCH_T && reg != SCRATCH_U; }

static void emit_enter(Emit *e)
{
    for (unsigned n = 0; n < sizeof(kept_by_callee); n++)
        push(e, kept_by_callee[n]);
    e_store_gs(e, RSP, GS_OFF(host_rsp));
    e_store_gs(e, RSI, GS_OFF(resume));
    e_push_gs(e, GS_OFF(flags_tmp));
    e1(e, 0x9d); /* popfq */
    for (unsigned reg = 0; reg < 16; reg++)
        if (lives_in_host(reg))
            e_load_gs(e, reg, GS_GPR(reg));
    e_jmp_gs(e, GS_OFF(resume));
}

/* SCRATCH_T holds the DbtExit, SCRATCH_U what that kind says. */
static void emit_exit(Emit *e)
{
    e_store_gs(e, SCRATCH_T, GS_OFF(exit));
    e_store_gs(e, SCRATCH_U, GS_OFF(ea));
    for (unsigned reg = 0; reg < 16; reg++)
        if (lives_in_host(reg))
            e_store_gs(e, reg, GS_GPR(reg));
    e_load_gs(e, RSP, GS_OFF(host_rsp));
    e1(e, 0x9c); /* pushfq */
    e_pop_gs(e, GS_OFF(resume));
    for (unsigned n = sizeof(kept_by_callee); n-- > 0;)
        pop(e, kept_by_callee[n]);
    e1(e, 0xc3);
}

struct DbtGlue *dbt_glue_create(CodeBuffer *code)
{
    struct DbtGlue *g = g_new0(struct DbtGlue, 1);
    Emit e = { code_buffer_reserve(code, 1024) };
    uint8_t *start = e.p;
    emit_enter(&e);
    g->enter = (DbtEnterFn *)code_buffer_commit(code, e.p - start);
    e.p = start = code_buffer_reserve(code, 1024);
    emit_exit(&e);
    g->exit = code_buffer_commit(code, e.p - start);
    g->miss_exit = (DbtExit){ .kind = EXIT_INDIRECT };
    e.p = start = code_buffer_reserve(code, 64);
    e_mov_imm(&e, SCRATCH_T, (uintptr_t)&g->miss_exit);
    patch_rel32(e_jmp(&e), code_buffer_writable(code, g->exit));
    g->miss = code_buffer_commit(code, e.p - start);
    return g;
}

void dbt_glue_destroy(struct DbtGlue *g) { g_free(g); }
const void *dbt_glue_miss(const struct DbtGlue *g) { return g->miss; }

DbtEnterFn *dbt_glue_enter(const struct DbtGlue *g) { return g->enter; }
const void *dbt_glue_exit(const struct DbtGlue *g) { return g->exit; }
