/*
 * accel.c - the interpreter as an accelerator: its vCPUs' lives.
 */
#include "base/error.h"
#include "accel/interp/interp_accel.h"

bool interp_step(Vcpu *vcpu, GError **err)
{
    InterpVcpu *v = (InterpVcpu *)vcpu;
    v->single_step = true;
    RunExit why = interp_run(vcpu);
    v->single_step = false;
    return why != RUN_BROKEN || error_set(err, ERR_INTERNAL, "vCPU %u: cannot step: %s", vcpu->id, vcpu->broken);
}

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

typedef struct Take {
    InterpAccel *accel;
    RamBlock *ram;
    uint64_t first_page, n_pages, *bitmap;
} Take;

/* While no vCPU is between a look at the flags and its store.  Translated code looks no more once a page is in its tables. */
static void take_dirty(Vcpu *self, void *arg)
{
    Take *t = arg;
    exclusive_begin(self);
    for (unsigned n = 0; n < t->accel->vcpus->len; n++) {
        InterpVcpu *v = t->accel->vcpus->pdata[n];
        if (v->client)
            mmu_flush(v, true);
    }
    ram_take_dirty(t->ram, t->first_page, t->n_pages, t->bitmap);
    exclusive_end(self);
}

void interp_dirty_take(Accel *accel, RamBlock *ram, uint64_t first_page, uint64_t n_pages, uint64_t *bitmap)
{
    InterpAccel *a = (InterpAccel *)accel;
    Take t = { a, ram, first_page, n_pages, bitmap };
    if (a->vcpus->len)
        vcpu_run_on(a->vcpus->pdata[0], take_dirty, &t);
    else
        ram_take_dirty(ram, first_page, n_pages, bitmap);
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
    .dirty_take = interp_dirty_take,
    .step = interp_step,
};
