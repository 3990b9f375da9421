/*
 * string.c - MOVS STOS LODS SCAS CMPS, alone and repeated.
 *
 * A repeated instruction keeps its registers right after every step, so that a fault or an interrupt between two steps
 * restarts it (SDM 2, REP).  Where both sides lie in RAM without segment checks, MOVS and STOS go by the page.
 */
#include "accel/interp/alu.h"
#include "accel/interp/sys.h"

/* Adds to rSI, rDI or rCX as wide as the address size. */
static void add_to(InterpVcpu *v, unsigned reg, const Insn *i, int64_t delta)
{
    gpr_set(v, reg, i->addrsize, v->s.gpr[reg] + delta);
}

static inline uint64_t index_of(const InterpVcpu *v, unsigned reg, const Insn *i)
{
    return gpr_get(v, reg, i->addrsize);
}
static inline int64_t step_of(const InterpVcpu *v, const Insn *i)
{
    return v->s.rflags & RFLAGS_DF ? -(int64_t)i->opsize : i->opsize;
}

static inline uint64_t load_sized(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size)
{
    switch (size) {
    case 1: return mem_load(v, seg, offset, 1);
    case 2: return mem_load(v, seg, offset, 2);
    case 4: return mem_load(v, seg, offset, 4);
    default: return mem_load(v, seg, offset, 8);
    }
}

static inline void store_sized(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: mem_store(v, seg, offset, 1, value); break;
    case 2: mem_store(v, seg, offset, 2, value); break;
    case 4: mem_store(v, seg, offset, 4, value); break;
    default: mem_store(v, seg, offset, 8, value); break;
    }
}

/* ---- one step each */
static void movs_step(InterpVcpu *v, const Insn *i)
{
    uint64_t x = load_sized(v, i->seg, index_of(v, GPR_RSI, i), i->opsize);
    store_sized(v, SEG_ES, index_of(v, GPR_RDI, i), i->opsize, x);
    add_to(v, GPR_RSI, i, step_of(v, i));
    add_to(v, GPR_RDI, i, step_of(v, i));
}

static void stos_step(InterpVcpu *v, const Insn *i)
{
    store_sized(v, SEG_ES, index_of(v, GPR_RDI, i), i->opsize, v->s.gpr[GPR_RAX]);
    add_to(v, GPR_RDI, i, step_of(v, i));
}

static void lods_step(InterpVcpu *v, const Insn *i)
{
    gpr_set(v, GPR_RAX, i->opsize, load_sized(v, i->seg, index_of(v, GPR_RSI, i), i->opsize));
    add_to(v, GPR_RSI, i, step_of(v, i));
}

static void compare(InterpVcpu *v, const Insn *i, uint64_t a, uint64_t b)
{
    switch (i->opsize) {
    case 1: alu_cmp(1, a, b, &v->s.rflags); break;
    case 2: alu_cmp(2, a, b, &v->s.rflags); break;
    case 4: alu_cmp(4, a, b, &v->s.rflags); break;
    default: alu_cmp(8, a, b, &v->s.rflags); break;
    }
}

static void scas_step(InterpVcpu *v, const Insn *i)
{
    uint64_t x = load_sized(v, SEG_ES, index_of(v, GPR_RDI, i), i->opsize);
    compare(v, i, gpr_get(v, GPR_RAX, i->opsize), x);
    add_to(v, GPR_RDI, i, step_of(v, i));
}

static void cmps_step(InterpVcpu *v, const Insn *i)
{
    uint64_t b = load_sized(v, SEG_ES, index_of(v, GPR_RDI, i), i->opsize); /* first: its fault is the one reported */
    uint64_t a = load_sized(v, i->seg, index_of(v, GPR_RSI, i), i->opsize);
    compare(v, i, a, b);
    add_to(v, GPR_RSI, i, step_of(v, i));
    add_to(v, GPR_RDI, i, step_of(v, i));
}

/* ---- many steps within a page */
/* Host memory of one side: the first element, and how many elements the page and the address size allow. */
typedef struct Run {
    uint8_t *host;
    uint64_t linear, n;
} Run;

/* The two sides of a copy may share one entry of the TLB, so it is filled here: else each step would throw the other's out.
 * What does not stay in its page, or is no address at all, is left to the steps. */
static uint8_t *element_host(InterpVcpu *v, uint64_t linear, unsigned size, MemAccess access)
{
    uint8_t *host = tlb_host(v, linear, size, access, v->who);
    if (host || (linear & 0xfff) + size > 0x1000 || (v->long_mode && !interp_canonical(v, linear)))
        return host;
    mmu_translate(v, linear, access, v->who);
    return tlb_host(v, linear, size, access, v->who);
}

static Run run_of(InterpVcpu *v, unsigned seg, uint64_t offset, const Insn *i, MemAccess access)
{
    if (!mem_flat(v, seg, access))
        return (Run){ 0 };
    Run r = { .linear = mem_flat_linear(v, seg, offset) };
    r.host = element_host(v, r.linear, i->opsize, access);
    if (!r.host)
        return (Run){ 0 };
    bool down = v->s.rflags & RFLAGS_DF;
    uint64_t in_page = down ? (r.linear & 0xfff) / i->opsize + 1 : (0x1000 - (r.linear & 0xfff)) / i->opsize;
    uint64_t in_segment = down ? offset / i->opsize : (size_mask(i->addrsize) - offset) / i->opsize;
    r.n = MIN(in_page, in_segment); /* the step that wraps, if any, goes alone */
    return r;
}

/* The lowest address of n elements. */
static Run run_base(InterpVcpu *v, Run r, const Insn *i, uint64_t n)
{
    uint64_t back = v->s.rflags & RFLAGS_DF ? (n - 1) * i->opsize : 0;
    return (Run){ .host = r.host - back, .linear = r.linear - back, .n = n };
}

static void run_stored(InterpVcpu *v, Run r, const Insn *i)
{
    tlb_stored(v, tlb_entry(v, r.linear, v->who), r.linear, r.n * i->opsize);
}

/* An overlap in the direction of the copy repeats a pattern, which host_copy() would not. */
static void copy_elements(const Insn *i, uint8_t *to, const uint8_t *from, uint64_t n, int64_t step)
{
    for (; n; n--, to += step, from += step)
        host_store(to, i->opsize, host_load(from, i->opsize));
}

static uint64_t movs_run(InterpVcpu *v, const Insn *i, uint64_t count)
{
    Run from = run_of(v, i->seg, index_of(v, GPR_RSI, i), i, ACCESS_READ);
    if (from.n < 2)
        return 0; /* the target must not fault before a source that a step would find at fault */
    Run to = run_of(v, SEG_ES, index_of(v, GPR_RDI, i), i, ACCESS_WRITE);
    uint64_t n = MIN(count, MIN(from.n, to.n));
    if (n < 2)
        return 0;
    Run low_from = run_base(v, from, i, n), low_to = run_base(v, to, i, n);
    uint64_t bytes = n * i->opsize;
    int64_t step = step_of(v, i);
    bool repeats = (uint64_t)(step > 0 ? low_to.host - low_from.host : low_from.host - low_to.host) < bytes;
    if (repeats && low_to.host != low_from.host)
        copy_elements(i, to.host, from.host, n, step);
    else
        host_copy(low_to.host, low_from.host, bytes);
    run_stored(v, low_to, i);
    add_to(v, GPR_RSI, i, step * (int64_t)n);
    add_to(v, GPR_RDI, i, step * (int64_t)n);
    return n;
}

static uint64_t stos_run(InterpVcpu *v, const Insn *i, uint64_t count)
{
    Run to = run_of(v, SEG_ES, index_of(v, GPR_RDI, i), i, ACCESS_WRITE);
    uint64_t n = MIN(count, to.n), x = gpr_get(v, GPR_RAX, i->opsize);
    if (n < 2)
        return 0;
    Run low = run_base(v, to, i, n);
    if (x == (x & 0xff) * (0x0101010101010101ull & size_mask(i->opsize)))
        host_fill(low.host, (uint8_t)x, n * i->opsize);
    else
        for (uint64_t k = 0; k < n; k++)
            host_store(low.host + k * i->opsize, i->opsize, x);
    run_stored(v, low, i);
    add_to(v, GPR_RDI, i, step_of(v, i) * (int64_t)n);
    return n;
}

/* ---- repetition */
/* Between two steps the loop may want to look around: come back to this instruction then. */
static bool interrupted(InterpVcpu *v)
{
    if (likely(!v->attention && !v->single_step && !vcpu_requests(&v->vcpu)))
        return false;
    v->next_rip = v->s.rip;
    v->leave_block = true;
    return true;
}

typedef uint64_t RunFn(InterpVcpu *v, const Insn *i, uint64_t count);

ALWAYS_INLINE void repeat(InterpVcpu *v, const Insn *i, ExecFn *step, RunFn *run, bool compares)
{
    if (!(i->prefixes & (PFX_REP | PFX_REPNE))) {
        step(v, i);
        return;
    }
    /* Until it ends, be it for good, SCAS and CMPS leave the flags that they began with (SDM 2, REP). */
    const uint64_t flags = v->s.rflags;
    uint64_t count = index_of(v, GPR_RCX, i);
    if (i->addrsize == 4) { /* cleared above 32 bits in any case, and the pointers where the microcode is fast */
        gpr_set(v, GPR_RCX, 4, count);
        if (run == movs_run)
            gpr_set(v, GPR_RSI, 4, v->s.gpr[GPR_RSI]);
        if (run)
            gpr_set(v, GPR_RDI, 4, v->s.gpr[GPR_RDI]);
    }
    while (count) {
        if (compares)
            v->s.rflags = flags;
        uint64_t n = run && !v->attention && !v->single_step ? run(v, i, count) : 0;
        if (!n) {
            step(v, i);
            n = 1;
        }
        count -= n;
        gpr_set(v, GPR_RCX, i->addrsize, count);
        if (compares && !(v->s.rflags & RFLAGS_ZF) != !!(i->prefixes & PFX_REPNE))
            return;
        if (count && interrupted(v)) {
            v->s.rflags = flags;
            return;
        }
    }
}

static void exec_movs(InterpVcpu *v, const Insn *i) { repeat(v, i, movs_step, movs_run, false); }
static void exec_stos(InterpVcpu *v, const Insn *i) { repeat(v, i, stos_step, stos_run, false); }
static void exec_lods(InterpVcpu *v, const Insn *i) { repeat(v, i, lods_step, NULL, false); }
static void exec_scas(InterpVcpu *v, const Insn *i) { repeat(v, i, scas_step, NULL, true); }
static void exec_cmps(InterpVcpu *v, const Insn *i) { repeat(v, i, cmps_step, NULL, true); }

const ExecEntry exec_string[] = {
    { OP_MOVS, exec_movs },
    { OP_STOS, exec_stos },
    { OP_LODS, exec_lods },
    { OP_SCAS, exec_scas },
    { OP_CMPS, exec_cmps },
    { OP_INVALID },
};
