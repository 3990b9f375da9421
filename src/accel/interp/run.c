/*
 * run.c - the interpreter as an accelerator: its vCPUs, and the loop that runs them.
 */
#include "accel/interp/interp_accel.h"
#include "accel/interp/operand.h"
#include "base/error.h"

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
    if (e->host)
        memcpy(bytes, e->host + (linear & 0xfff), n);
    else
        for (size_t i = 0; i < n; i++)
            bytes[i] = vcpu_mmio_read(&v->vcpu, e->gpa + (linear & 0xfff) + i, 1);
    return n;
}

/* The instruction at rip, wherever its bytes lie. */
static const CodeInsn *decode_one(InterpVcpu *v)
{
    CodeInsn *c = code_odd_slot(v->code, v->s.rip);
    uint8_t bytes[INSN_MAX_BYTES];
    size_t n = fetch(v, v->s.rip, bytes, sizeof(bytes));
    DecodeResult r = DECODE_MORE;
    for (;;) {
        if (c->fn && c->insn.code_size == v->code_size && c->insn.length <= n &&
            !memcmp(c->insn.bytes, bytes, c->insn.length))
            return c;
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
    if (_setjmp(v->unwind)) {
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

bool interp_step(Vcpu *vcpu, GError **err)
{
    InterpVcpu *v = (InterpVcpu *)vcpu;
    v->single_step = true;
    RunExit why = interp_run(vcpu);
    v->single_step = false;
    return why != RUN_BROKEN || error_set(err, ERR_INTERNAL, "vCPU %u: cannot step: %s", vcpu->id, vcpu->broken);
}

/* ---- the accelerator */
static bool interp_probe(GError **err) { return true; }

Accel *interp_accel_create(Machine *m, const CpuModel *model, const AccelOps *ops, GError **err)
{
    CodeMap *map = code_map_create(err);
    if (!map)
        return NULL;
    InterpAccel *a = g_new0(InterpAccel, 1);
    a->accel = (Accel){ .ops = ops, .machine = m, .model = *model };
    a->code_map = map;
    a->vcpus = g_ptr_array_new();
    dispatch_init(a);
    return &a->accel;
}

static Accel *interp_create(Machine *m, const CpuModel *model, GError **err)
{
    return interp_accel_create(m, model, &accel_interp, err);
}

void interp_destroy(Accel *accel)
{
    InterpAccel *a = (InterpAccel *)accel;
    if (!a)
        return;
    code_map_destroy(a->code_map);
    g_ptr_array_unref(a->vcpus);
    g_free(a);
}

bool interp_vcpu_init(Accel *accel, Vcpu *vcpu, GError **err)
{
    InterpAccel *a = (InterpAccel *)accel;
    InterpVcpu *v = (InterpVcpu *)vcpu;
    v->host = host_exec_create(err);
    if (!v->host)
        return false;
    v->code = code_cache_create(v);
    interp_sys_init(v);
    cpu_state_reset(&v->s, vcpu->id == 0, false);
    interp_state_loaded(v);
    g_ptr_array_add(a->vcpus, v);
    return true;
}

void interp_vcpu_finish(Vcpu *vcpu)
{
    InterpVcpu *v = (InterpVcpu *)vcpu;
    g_ptr_array_remove(((InterpAccel *)vcpu->accel)->vcpus, v);
    interp_sys_finish(v);
    code_cache_destroy(v->code);
    host_exec_destroy(v->host);
}

/* run() looks at the request word after every block and every page of a string instruction. */
static void interp_kick(Vcpu *vcpu) { }

bool interp_get(Vcpu *vcpu, CpuState *ret, GError **err)
{
    *ret = ((InterpVcpu *)vcpu)->s;
    fpu_export(ret);
    if (vcpu->apic_ops) { /* the local APIC has the truth of what CpuState mirrors */
        ret->cr8 = vcpu->apic_ops->get_tpr(vcpu->apic);
        ret->apic_base = vcpu->apic_ops->get_base(vcpu->apic);
    }
    return true;
}

bool interp_set(Vcpu *vcpu, const CpuState *s, GError **err)
{
    InterpVcpu *v = (InterpVcpu *)vcpu;
    v->s = *s;
    v->next_rip = s->rip;
    interp_state_loaded(v);
    return true;
}

void interp_map_changed(Accel *accel, const FlatRange *old, size_t n_old, const FlatRange *now, size_t n_now)
{
    InterpAccel *a = (InterpAccel *)accel;
    for (unsigned i = 0; i < a->vcpus->len; i++)
        vcpu_request(g_ptr_array_index(a->vcpus, i), VREQ_TLB_FLUSH);
}

void interp_code_changed(Accel *accel, uint64_t gpa, uint64_t size)
{
    FlatView *view = space_view(accel->machine->memory);
    while (size) {
        const FlatRange *r = view_find(view, gpa);
        uint64_t n = r ? MIN(size, r->start + r->size - gpa) : MIN(size, 0x1000 - (gpa & 0xfff));
        if (r && r->ram)
            code_written((InterpAccel *)accel, NULL, r->ram, r->offset + (gpa - r->start), n);
        gpa += n;
        size -= n;
    }
    view_unref(view);
}

const AccelOps accel_interp = {
    .name = "interp",
    .summary = "precise interpreter: every mode, no host support needed",
    .vcpu_size = sizeof(InterpVcpu),
    .probe = interp_probe,
    .create = interp_create,
    .destroy = interp_destroy,
    .vcpu_init = interp_vcpu_init,
    .vcpu_finish = interp_vcpu_finish,
    .run = interp_run,
    .kick = interp_kick,
    .get = interp_get,
    .set = interp_set,
    .map_changed = interp_map_changed,
    .code_changed = interp_code_changed,
    .step = interp_step,
};
