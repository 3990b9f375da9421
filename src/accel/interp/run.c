/*
 * run.c - the loop that runs a vCPU.
 */
#include "accel/interp/interp_accel.h"
#include "accel/interp/operand.h"

/* ---- the loop */
/* Does the code segment hold [rip, rip + bytes) without a check for each instruction? */
static bool within_code_segment(const InterpVcpu *v, uint64_t rip, unsigned bytes)
{
    return mem_flat(v, SEG_CS, ACCESS_EXEC) || rip + bytes - 1 <= v->s.seg[SEG_CS].limit;
}

static TlbEntry *code_page(InterpVcpu *v, uint64_t linear)
{
    TlbEntry *e = tlb_entry(v, linear, v->who);
    return likely(e->tag[ACCESS_EXEC] == (linear & ~0xfffull)) ? e : mmu_translate(v, linear, ACCESS_EXEC, v->who);
}

static void commit(InterpVcpu *v) { v->s.rip = v->code_size == CODE64 ? v->next_rip : (uint32_t)v->next_rip; }

static void run_block(InterpVcpu *v, const CodeBlock *b)
{
    const CodeInsn *c = b->insn, *end = c + b->n;
    uint64_t rip = v->s.rip;
    v->leave_block = false;
    do {
        v->s.rip = rip;
        rip += c->insn.length;
        v->next_rip = rip;
        c->fn(v, &c->insn);
        c++;
    } while (likely(c != end) && likely(!v->leave_block));
    v->instructions += c - b->insn;
    commit(v);
}

/* Up to n bytes of code at rip that lie in one page; #GP beyond the segment's limit, #PF. */
static size_t fetch(InterpVcpu *v, uint64_t rip, uint8_t *bytes, size_t n)
{
    uint64_t linear = mem_flat_linear(v, SEG_CS, rip);
    n = MIN(n, 0x1000 - (linear & 0xfff));
    if (v->code_size != CODE64) {
        uint32_t limit = v->s.seg[SEG_CS].limit;
        if (rip > limit)
            interp_gp0(v);
        n = MIN(n, (uint64_t)limit - rip + 1);
    }
    TlbEntry *e = code_page(v, linear);
    if (e->host) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = e->host[(linear & 0xfff) + i];
        return n;
    }
    interp_save_fpu(v);
    for (size_t i = 0; i < n; i++)
        bytes[i] = vcpu_mmio_read(&v->vcpu, e->gpa + (linear & 0xfff) + i, 1);
    return n;
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* The instruction at rip, wherever its bytes lie. */
static const CodeInsn *decode_one(InterpVcpu *v)
{
    CodeInsn *c = code_odd_slot(v->code, v->s.rip);
    uint8_t bytes[INSN_MAX_BYTES];
    size_t n = fetch(v, v->s.rip, bytes, sizeof(bytes));
    DecodeResult r = DECODE_MORE;
    for (;;) {
        if (c->fn && c->insn.code_size == v->code_size && c->insn.length <= n && same_bytes(c->insn.bytes, bytes, c->insn.length))
            return c;
        interp_save_fpu(v);
        r = insn_decode(bytes, n, v->code_size, &c->insn);
        c->fn = NULL; /* not to be found again unless decoded */
        if (r != DECODE_MORE)
            break;
        n += fetch(v, v->s.rip + n, bytes + n, sizeof(bytes) - n);
    }
    const InterpAccel *a = (const InterpAccel *)v->vcpu.accel;
    c->fn = r == DECODE_OK ? dispatch(a, &c->insn) : r == DECODE_TOO_LONG ? exec_too_long : exec_undefined;
    return c;
}

void interp_run_one(InterpVcpu *v)
{
    CodeInsn c = *decode_one(v); /* a copy: while it runs, the slot may be used for a nested fetch */
    if (c.fn == exec_undefined || c.fn == exec_too_long)
        code_odd_slot(v->code, v->s.rip)->fn = NULL;
    v->leave_block = false;
    v->next_rip = v->s.rip + c.insn.length;
    v->last_row = c.fn == exec_undefined || c.fn == exec_too_long ? 0 : c.insn.row;
    c.fn(v, &c.insn);
    v->instructions++;
    commit(v);
}

/* Out of line: what setjmp()'s caller keeps lives in memory, not in registers. */
__attribute__((noinline)) void interp_run_some(InterpVcpu *v)
{
    interp_save_fpu(v);
    uint64_t linear = mem_flat_linear(v, SEG_CS, v->s.rip);
    TlbEntry *e = code_page(v, linear);
    if (likely(e->host)) {
        const CodeBlock *b = code_block(v->code, e, e->host + (linear & 0xfff), v->code_size);
        if (likely(b) && likely(within_code_segment(v, v->s.rip, b->bytes))) {
            run_block(v, b);
            return;
        }
    }
    interp_run_one(v);
}

/* True: leave run() with *ret. */
bool interp_serve_requests(InterpVcpu *v, RunExit *ret)
{
    if (vcpu_requests(&v->vcpu) & VREQ_ACCEL) {
        interp_save_fpu(v);
        vcpu_unrequest(&v->vcpu, VREQ_ACCEL);
        code_drain(v->code);
    }
    return interp_poll_events(v, ret);
}

void interp_land_fault(InterpVcpu *v)
{
    if (v->exclusive)
        world_go(v);
    interp_deliver(v, v->fault_vector, false, v->fault_has_error, v->fault_error, v->s.rip);
}

RunExit interp_run(Vcpu *vcpu)
{
    InterpVcpu *v = (InterpVcpu *)vcpu;
    RunExit ret;
    jmp_buf landing;
    v->landing = &landing;
    if (_setjmp(landing)) {
        interp_land_fault(v);
        if (v->single_step)
            return RUN_KICKED;
    }
    for (;;) {
        if (unlikely(interp_wants_attention(v)) && interp_serve_requests(v, &ret))
            return ret;
        if (likely(!v->attention && !v->single_step))
            interp_run_some(v);
        else
            interp_run_one(v);
        if (v->attention)
            interp_retired(v);
        if (v->single_step)
            return RUN_KICKED;
    }
}
