/*
 * glue.c - the pieces of host code between C and translated code.
 *
 * enter(v, code) saves what the C ABI wants kept, loads the guest's registers and flags and jumps; an exit stores them, calls
 * dbt_exit() and goes where that says, or returns to enter's caller.  While translated code runs, RSP is the guest's: nothing may use the stack, and signal
 * handlers need a stack of their own.
 */
#include "accel/dbt/dbt.h"
#include "accel/dbt/emit.h"

struct DbtGlue {
    DbtEnterFn *enter;
    const void *exit, *exit_flags_saved, *miss, *second[MEM_WHO_COUNT];
    DbtExit miss_exit;
};

enum { RAX = 0, RCX = 1, RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7 };
static const uint8_t kept_by_callee[] = { RBX, RBP, 12, 13, 14, 15 };

static void push(Emit *e, unsigned reg) { e_rex(e, false, 0, 0, reg), e1(e, 0x50 | (reg & 7)); }
static void pop(Emit *e, unsigned reg) { e_rex(e, false, 0, 0, reg), e1(e, 0x58 | (reg & 7)); }

static bool lives_in_host(unsigned reg) { return reg != SCRATCH_T && reg != SCRATCH_U; }

/* Guest registers and flags, then to continue_at.  SCRATCH_U holds `ea`: an access that starts over wants it. */
static void emit_load(Emit *e)
{
    e_load_gs(e, RAX, GS_OFF(flags_tmp));
    e_flags_from_rax(e);
    for (unsigned reg = 0; reg < 16; reg++)
        if (lives_in_host(reg))
            e_load_gs(e, reg, GS_GPR(reg));
    e_load_gs(e, SCRATCH_U, GS_OFF(ea));
    e_jmp_gs(e, GS_OFF(continue_at));
}

/* An odd number of words is pushed, so that a call from host_rsp finds the stack as the ABI wants it. */
static void emit_enter(Emit *e)
{
    for (unsigned n = 0; n < sizeof(kept_by_callee); n++)
        push(e, kept_by_callee[n]);
    push(e, RDI); /* the DbtVcpu */
    e_store_gs(e, RSP, GS_OFF(host_rsp));
    e_store_gs(e, RSI, GS_OFF(continue_at));
    emit_load(e);
}

static void emit_leave(Emit *e)
{
    pop(e, RDI);
    for (unsigned n = sizeof(kept_by_callee); n-- > 0;)
        pop(e, kept_by_callee[n]);
    e1(e, 0xc3);
}

static void emit_call_handler(Emit *e)
{
    e_load_gs(e, RSP, GS_OFF(host_rsp));
    e_op_mem(e, 0x8b, true, RDI, RSP, 0xff, 0, 0);
    e_mov(e, RSI, SCRATCH_T);
    e_mov_imm(e, RAX, (uintptr_t)dbt_exit);
    e1(e, 0xff), e1(e, 0xd0); /* call rax */
    e_rex(e, true, RAX, 0, RAX);
    e1(e, 0x85), e1(e, 0xc0); /* test rax, rax */
}

/* SCRATCH_T holds the DbtExit, SCRATCH_U what that kind says. */
static void emit_exit(Emit *e, bool flags_saved)
{
    e_store_gs(e, RAX, GS_GPR(RAX));
    if (!flags_saved) {
        e_flags_to_rax(e);
        e_store_gs(e, RAX, GS_OFF(flags_tmp));
    }
    e_store_gs(e, SCRATCH_U, GS_OFF(ea));
    for (unsigned reg = RAX + 1; reg < 16; reg++)
        if (lives_in_host(reg))
            e_store_gs(e, reg, GS_GPR(reg));
    emit_call_handler(e);
    uint8_t *leave = e_jcc(e, CC_E);
    e_store_gs(e, RAX, GS_OFF(continue_at));
    emit_load(e);
    patch_rel32(leave, e->p);
    emit_leave(e);
}

static const void *make_exit(CodeBuffer *code, bool flags_saved)
{
    Emit e = { code_buffer_reserve(code, 1024) };
    const uint8_t *start = e.p;
    emit_exit(&e, flags_saved);
    return code_buffer_commit(code, e.p - start);
}

/* The second part of a jump table; without the flags, which may be live. */
static const void *make_second(CodeBuffer *code, const struct DbtGlue *g, MemWho who)
{
    Emit e = { code_buffer_reserve(code, 256) };
    const uint8_t *start = e.p;
    e_store_gs(&e, RCX, GS_OFF(borrow));
    e_rorx(&e, RCX, SCRATCH_U, 16);
    e_lea(&e, true, SCRATCH_T, RCX, SCRATCH_U, 0, 0);
    e_movzx16(&e, SCRATCH_T, SCRATCH_T); /* dbt_second_index() */
    e_gs_indexed(&e, 0x8b, RCX, SCRATCH_T, dbt_jumps_offset(who) + offsetof(DbtJumps, second_minus_rip));
    e_lea(&e, true, RCX, RCX, SCRATCH_U, 0, 0);
    uint8_t *same = e_jrcxz(&e);
    e_load_gs(&e, RCX, GS_OFF(borrow));
    patch_rel32(e_jmp(&e), code_buffer_writable(code, g->miss));
    e_land(&e, same);
    e_load_gs(&e, RCX, GS_OFF(borrow));
    e_jmp_gs_indexed(&e, SCRATCH_T, dbt_jumps_offset(who) + offsetof(DbtJumps, second_code));
    return code_buffer_commit(code, e.p - start);
}

struct DbtGlue *dbt_glue_create(CodeBuffer *code)
{
    struct DbtGlue *g = g_new0(struct DbtGlue, 1);
    Emit e = { code_buffer_reserve(code, 1024) };
    uint8_t *start = e.p;
    emit_enter(&e);
    g->enter = (DbtEnterFn *)code_buffer_commit(code, e.p - start);
    g->exit = make_exit(code, false);
    g->exit_flags_saved = make_exit(code, true);
    g->miss_exit = (DbtExit){ .kind = EXIT_INDIRECT };
    e.p = start = code_buffer_reserve(code, 64);
    e_mov_imm(&e, SCRATCH_T, (uintptr_t)&g->miss_exit);
    patch_rel32(e_jmp(&e), code_buffer_writable(code, g->exit));
    g->miss = code_buffer_commit(code, e.p - start);
    for (unsigned who = 0; who < MEM_WHO_COUNT; who++)
        g->second[who] = make_second(code, g, who);
    return g;
}

void dbt_glue_destroy(struct DbtGlue *g) { g_free(g); }
const void *dbt_glue_miss(const struct DbtGlue *g) { return g->miss; }
const void *dbt_glue_second(const struct DbtGlue *g, MemWho who) { return g->second[who]; }

DbtEnterFn *dbt_glue_enter(const struct DbtGlue *g) { return g->enter; }
const void *dbt_glue_exit(const struct DbtGlue *g, bool flags_saved) { return flags_saved ? g->exit_flags_saved : g->exit; }
