/*
 * dispatch.c - which handler executes an instruction, and the conditions under which it may.
 *
 * What depends on the CPU model only is decided when an instruction is decoded; what depends on mode and control
 * registers is checked each time, by exec_checked, which such rows get as their handler.  It also fetches the guest's FPU
 * state for handlers that work on it.
 */
#include "accel/interp/interp_accel.h"

void exec_undefined(InterpVcpu *v, const Insn *i) { interp_ud(v); }
void exec_too_long(InterpVcpu *v, const Insn *i) { interp_gp0(v); }

/* Rows of these units that no table names are executed by the host's instruction. */
enum { ROW_UNITS = ROW_FPU | ROW_MMX | ROW_SSE | ROW_AVX };

void dispatch_init(InterpAccel *a)
{
    const ExecEntry *const tables[] = { exec_arithmetic, exec_move,   exec_bits, exec_string,
                                        exec_control,    exec_system, exec_simd };
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++)
        for (const ExecEntry *e = tables[t]; e->op != OP_INVALID; e++)
            a->entry[e->op] = e;
    for (const ExecEntry *e = exec_simd; e->op != OP_INVALID; e++)
        a->on_fpu[e->op] = true;
}

static ExecFn *handler(const InterpAccel *a, const Insn *i)
{
    const ExecEntry *e = a->entry[i->op];
    if (!e)
        return insn_row(i)->attrs & ROW_UNITS ? exec_host : exec_undefined;
    return e->select ? e->select(i) : e->fn;
}

static bool on_fpu(const InterpAccel *a, const Insn *i) { return a->on_fpu[i->op] || insn_row(i)->attrs & ROW_UNITS; }

/* SDM 2, tables 2-16 and following; SDM 3, table 9-3 and 2.5.  VEX rows need protected mode and XCR0's SSE and AVX. */
static void check_units(InterpVcpu *v, const Insn *i, uint32_t attrs)
{
    uint64_t cr0 = v->s.cr0, cr4 = v->s.cr4;
    bool emulate = cr0 & CR0_EM, switched = cr0 & CR0_TS;
    if (attrs & ROW_AVX) {
        if (!v->protected_mode || !(cr4 & CR4_OSXSAVE) || (v->s.xcr0 & (XCR0_SSE | XCR0_AVX)) != (XCR0_SSE | XCR0_AVX))
            interp_ud(v);
    } else if (attrs & ROW_SSE) {
        if (emulate || !(cr4 & CR4_OSFXSR))
            interp_ud(v);
    } else if (attrs & ROW_MMX) {
        if (emulate)
            interp_ud(v);
    } else if (i->op == OP_FWAIT) {
        switched = switched && cr0 & CR0_MP;
    } else if (attrs & ROW_FPU) {
        switched = switched || emulate;
    }
    if (switched)
        interp_raise(v, EXC_NM);
}

static void exec_checked(InterpVcpu *v, const Insn *i)
{
    const InsnRow *row = insn_row(i);
    if ((row->attrs & ROW_NO_REAL) && !v->protected_mode)
        interp_ud(v);
    if (v->cpl > row->cpl) {
        if (i->op == OP_CLAC || i->op == OP_STAC) /* SDM 2: #UD, unlike all others */
            interp_ud(v);
        interp_gp0(v);
    }
    if (row->attrs & ROW_UNITS)
        check_units(v, i, row->attrs);
    const InterpAccel *a = (const InterpAccel *)v->vcpu.accel;
    if (on_fpu(a, i))
        interp_save_fpu(v);
    handler(a, i)(v, i);
}

/* F3 0F BC and BD without the newer instruction: the prefix means nothing (SDM 2, TZCNT and LZCNT). */
static uint16_t older_op(uint16_t op)
{
    switch (op) {
    case OP_TZCNT: return OP_BSF;
    case OP_LZCNT: return OP_BSR;
    default: return OP_INVALID;
    }
}

ExecFn *dispatch(const InterpAccel *a, const Insn *i)
{
    const InsnRow *row = insn_row(i);
    if (row->feature != FEAT_ALWAYS && !cpu_has(&a->accel.model, row->feature)) {
        const ExecEntry *e = a->entry[older_op(i->op)];
        return e ? e->fn : exec_undefined;
    }
    if (row->cpl < 3 || row->attrs & ROW_NO_REAL || on_fpu(a, i))
        return exec_checked;
    return handler(a, i);
}
