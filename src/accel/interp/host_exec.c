/*
 * host_exec.c - executes SIMD and x87 instructions by the host's own (interp.h).
 *
 * The first time that an instruction is met a stub is made of it (host_stub.h).  Stubs are found by the instruction's
 * bytes in a small direct-mapped cache, and behind that by their own code, so that two instructions which differ only
 * in how they address memory share one.  All of it belongs to one vCPU and is used on its thread alone.
 */
#include <string.h>

#include "accel/interp/fpu.h"
#include "accel/interp/operand.h"
#include "base/error.h"
#include "jit/code_buffer.h"

enum { SLOT_BITS = 11, SLOTS = 1 << SLOT_BITS, CODE_BYTES = 1 << 20 };

typedef struct StubSlot {
    uint64_t key[2]; /* the instruction's bytes, zero-filled, and its CodeSize in the sixteenth */
    const HostStub *stub;
} StubSlot;

struct HostExec {
    CodeBuffer *code;
    GHashTable *stubs; /* GBytes of the code and what is known about it -> HostStub */
    bool host_known;   /* below: asked when the first stub is made, for CPUID takes long below a hypervisor */
    CpuModel host;     /* what the host's CPU has: no stub of anything else is ever run */
    bool avx_enabled;  /* by the host's operating system */
    StubSlot slot[SLOTS];
};

/* XGETBV of XCR0, where the host's operating system uses XSAVE at all. */
static uint64_t host_xcr0(void)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (!(ecx & 1u << 27))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return (uint64_t)edx << 32 | eax;
}

struct HostExec *host_exec_create(GError **err)
{
    CodeBuffer *code = code_buffer_create(CODE_BYTES, err);
    if (!code)
        return NULL;
    struct HostExec *h = g_new0(struct HostExec, 1);
    h->code = code;
    h->stubs = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, g_free);
    return h;
}

void host_exec_destroy(struct HostExec *h)
{
    if (!h)
        return;
    g_hash_table_destroy(h->stubs);
    code_buffer_destroy(h->code);
    g_free(h);
}

/* The code buffer is full: start afresh.  A guest that makes us do this often is slow, and nothing else. */
static void forget_stubs(struct HostExec *h)
{
    g_hash_table_remove_all(h->stubs);
    memset(h->slot, 0, sizeof(h->slot));
    code_buffer_reset(h->code);
}

static void describe(const Insn *i, HostStub *ret)
{
    const InsnRow *row = insn_row(i);
    *ret = (HostStub){ .attrs = row->attrs, .writes_flags = row->flags_written != 0 };
    for (unsigned n = 0; n < i->n_operands; n++) {
        const Operand *o = &i->opnd[n];
        if (o->kind == OPND_MEM) {
            ret->mem_read = o->access & OPND_READ;
            ret->mem_write = o->access & OPND_WRITE;
            ret->mem_size = (uint8_t)MIN(o->size, 64);
        } else if (o->kind == OPND_REG && o->cls == RC_MM) {
            ret->uses_mm = true;
            if (o->access & OPND_WRITE)
                ret->mm_written |= (uint8_t)(1u << (o->reg & 7));
        }
    }
}

static const HostStub *stub_install(struct HostExec *h, const StubCode *code, HostStub *stub)
{
    uint8_t *w = code_buffer_reserve(h->code, code->n);
    if (!w) {
        forget_stubs(h);
        w = code_buffer_reserve(h->code, code->n);
    }
    memcpy(w, code->bytes, code->n);
    const uint8_t *at = code_buffer_commit(h->code, code->n);
    stub->fn = (StubFn *)at;
    stub->insn = at + code->insn_off;
    return stub;
}

static const HostStub *stub_build(struct HostExec *h, const Insn *i)
{
    struct {
        HostStub stub;
        StubCode code;
    } made;
    memset(&made, 0, sizeof(made));
    describe(i, &made.stub);
    host_stub_emit(i, &made.code);
    GBytes *key = g_bytes_new(&made, sizeof(made));
    HostStub *stub = g_hash_table_lookup(h->stubs, key);
    if (stub) {
        g_bytes_unref(key);
        return stub;
    }
    stub = g_memdup2(&made.stub, sizeof(made.stub));
    stub_install(h, &made.code, stub);
    g_hash_table_insert(h->stubs, key, stub);
    return stub;
}

static void ask_host(struct HostExec *h)
{
    cpu_model_host(&h->host);
    h->avx_enabled = (host_xcr0() & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX);
    h->host_known = true;
}

static bool host_can(struct HostExec *h, const InsnRow *row)
{
    if (!h->host_known)
        ask_host(h);
    return (row->feature == FEAT_ALWAYS || cpu_has(&h->host, row->feature)) && (!(row->attrs & ROW_AVX) || h->avx_enabled);
}

static const HostStub *stub_find(InterpVcpu *v, const Insn *i)
{
    struct HostExec *h = v->host;
    uint64_t key[2] = { 0 };
    memcpy(key, i->bytes, INSN_MAX_BYTES);
    key[1] |= (uint64_t)i->code_size << 56;
    uint64_t hash = (key[0] * 0x9e3779b97f4a7c15u) ^ (key[1] * 0xc2b2ae3d27d4eb4fu);
    StubSlot *slot = &h->slot[hash >> (64 - SLOT_BITS)];
    if (slot->stub && slot->key[0] == key[0] && slot->key[1] == key[1])
        return slot->stub;

    if (!host_can(h, insn_row(i)))
        interp_ud(v);
    const HostStub *stub = stub_build(h, i);
    *slot = (StubSlot){ { key[0], key[1] }, stub };
    return stub;
}

uint64_t simd_aligned_address(InterpVcpu *v, const Insn *i, unsigned size)
{
    uint64_t offset = effective_address(v, i);
    if ((v->base[i->seg] + offset) & (size - 1))
        interp_gp0(v); /* before limits and canonical form, whose exception may be #SS */
    return offset;
}

/* #XM for `flags`, which an operation has raised and MXCSR does not mask.  SDM 1, 11.5. */
static G_NORETURN void raise_simd_fp(InterpVcpu *v, uint32_t flags)
{
    v->s.fpu.mxcsr |= flags;
    interp_raise(v, v->s.cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
}

/* An unmasked exception that is found before the operation (invalid, denormal, divide by zero) leaves those that come
 * of its result undiscovered. */
static uint32_t flags_when_unmasked(uint32_t raised, uint32_t unmasked)
{
    const uint32_t before = MXCSR_IE | MXCSR_DE | MXCSR_ZE;
    return raised & unmasked & before ? raised & before : raised;
}

/* Runs a stub under the guest's rounding, FTZ and DAZ with every exception masked.  With underflow unmasked a tiny
 * result raises it even when exact, and FTZ does not apply: flushing makes the host report every tiny result, and a
 * second run without it on a copy of the state finds out whether precision was lost too.
 *
 * Two things are not exact: PE beside an unmasked overflow or underflow also shows what only the limits of the exponent
 * have lost, and DPPS and DPPD report flags of steps after the one that raised #XM. */
static uint64_t run_simd_fp(InterpVcpu *v, const HostStub *stub, StubFrame *f)
{
    uint32_t guest = v->s.fpu.mxcsr & MXCSR_VALID; /* state from outside must not make the stub fault */
    f->unmasked = ~(guest >> 7) & MXCSR_EXCEPTIONS;
    f->mxcsr_in = (guest & ~MXCSR_EXCEPTIONS) | MXCSR_MASKS;
    f->mxcsr_host = MXCSR_INIT;
    if (f->unmasked & MXCSR_UE)
        f->mxcsr_in |= MXCSR_FTZ;
    uint64_t flags = fpu_run_stub(&v->s, stub, f, false);
    uint32_t raised = f->mxcsr_out & MXCSR_EXCEPTIONS;
    if (G_UNLIKELY(raised & f->unmasked)) {
        if (f->unmasked & raised & MXCSR_UE) {
            CpuState copy = v->s;
            f->mxcsr_in &= ~MXCSR_FTZ;
            fpu_run_stub(&copy, stub, f, false);
            raised = (f->mxcsr_out & MXCSR_EXCEPTIONS) | MXCSR_UE;
        }
        raise_simd_fp(v, flags_when_unmasked(raised, f->unmasked));
    }
    v->s.fpu.mxcsr |= raised;
    return flags;
}

static void finish_mmx(InterpVcpu *v, const HostStub *stub)
{
    v->s.fpu.ftw = 0xff;
    for (unsigned n = 0; n < 8; n++)
        if (stub->mm_written >> n & 1)
            memset(v->s.fpu.st[n].bytes + 8, 0xff, 2); /* sign and exponent of the x87 register below */
}

/* Checks and reads come before the stub; a write comes after it, when only MMX's hold on x87 and the flags of MXCSR
 * have changed, which a fault does not undo on hardware either. */
static uint64_t fetch_operand(InterpVcpu *v, const Insn *i, const HostStub *stub, StubFrame *f)
{
    uint64_t offset = stub->attrs & ROW_ALIGNED ? simd_aligned_address(v, i, stub->mem_size) : effective_address(v, i);
    if (stub->mem_read)
        mem_read_bytes(v, i->seg, offset, f->mem, stub->mem_size);
    return offset;
}

void exec_host(InterpVcpu *v, const Insn *i)
{
    const HostStub *stub = stub_find(v, i);
    if (stub->attrs & ROW_FPU) {
        fpu_exec(v, i, stub);
        return;
    }
    if (stub->uses_mm) /* not CVTPI2PS of memory */
        fpu_check_pending(v);
    StubFrame f;
    uint64_t offset = i->has_mem ? fetch_operand(v, i, stub, &f) : 0;
    if (stub->uses_mm)
        fpu_to_mmx(v);
    if (stub->uses_mm && !stub->mem_write)
        v->s.fpu.ftw = 0xff; /* also where #XM follows */
    uint64_t flags = stub->attrs & ROW_SIMD_FP ? run_simd_fp(v, stub, &f) : fpu_run_stub(&v->s, stub, &f, false);
    if (stub->writes_flags)
        v->s.rflags = (v->s.rflags & ~(uint64_t)RFLAGS_STATUS) | (flags & RFLAGS_STATUS);
    if (stub->mem_write)
        mem_write_bytes(v, i->seg, offset, f.mem, stub->mem_size);
    if (stub->uses_mm)
        finish_mmx(v, stub);
}
