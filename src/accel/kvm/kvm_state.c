/*
 * kvm_state.c - CpuState to KVM's structures and back.
 *
 * KVM splits the register file over many calls; each pair of functions here does one of them in both directions.
 * The local APIC, IOAPIC, PIC and PIT in the kernel have state of their own that is not part of CpuState.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm.h"
#include "isa/x86/msr.h"

static bool call(KvmVcpu *v, unsigned long request, void *arg, const char *what, GError **err)
{
    return ioctl(v->fd, request, arg) >= 0 || error_set_errno(err, errno, "CPU %u: KVM cannot transfer its %s", v->vcpu.id, what);
}

/* ---- general registers.  KVM's order is rax rbx rcx rdx rsi rdi rsp rbp r8..r15. */
static const uint8_t gpr_order[16] = { GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RSP, GPR_RBP, 8, 9, 10, 11, 12, 13, 14, 15 };
G_STATIC_ASSERT(offsetof(struct kvm_regs, rip) == sizeof(uint64_t) * 16);

static bool get_regs(KvmVcpu *v, CpuState *s, GError **err)
{
    struct kvm_regs r;
    if (!call(v, KVM_GET_REGS, &r, "registers", err))
        return false;
    for (unsigned i = 0; i < 16; i++)
        s->gpr[gpr_order[i]] = (&r.rax)[i];
    s->rip = r.rip;
    s->rflags = r.rflags;
    return true;
}

static bool set_regs(KvmVcpu *v, const CpuState *s, GError **err)
{
    struct kvm_regs r = { .rip = s->rip, .rflags = s->rflags };
    for (unsigned i = 0; i < 16; i++)
        (&r.rax)[i] = s->gpr[gpr_order[i]];
    return call(v, KVM_SET_REGS, &r, "registers", err);
}

/* ---- segments and control registers */

static Segment segment_from_kvm(const struct kvm_segment *k)
{
    uint32_t attr = k->type | k->s << 4 | k->dpl << SEG_ATTR_DPL_SHIFT | k->present << 7 | k->avl << 12 | k->l << 13 | k->db << 14 |
                    (uint32_t)k->g << 15 | (k->unusable ? SEG_ATTR_UNUSABLE : 0);
    return (Segment){ .selector = k->selector, .attr = attr, .limit = k->limit, .base = k->base };
}

static struct kvm_segment segment_to_kvm(const Segment *s)
{
    return (struct kvm_segment){
        .base = s->base, .limit = s->limit, .selector = s->selector, .type = s->attr & SEG_ATTR_TYPE,
        .present = !!(s->attr & SEG_ATTR_P), .dpl = (s->attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT, .db = !!(s->attr & SEG_ATTR_DB),
        .s = !!(s->attr & SEG_ATTR_S), .l = !!(s->attr & SEG_ATTR_L), .g = !!(s->attr & SEG_ATTR_G),
        .avl = !!(s->attr & SEG_ATTR_AVL), .unusable = !(s->attr & SEG_ATTR_P) || (s->attr & SEG_ATTR_UNUSABLE),
    };
}

static const size_t kvm_seg_off[SEG_COUNT] = {
    [SEG_ES] = offsetof(struct kvm_sregs, es), [SEG_CS] = offsetof(struct kvm_sregs, cs), [SEG_SS] = offsetof(struct kvm_sregs, ss),
    [SEG_DS] = offsetof(struct kvm_sregs, ds), [SEG_FS] = offsetof(struct kvm_sregs, fs), [SEG_GS] = offsetof(struct kvm_sregs, gs),
};

static struct kvm_segment *kvm_seg(struct kvm_sregs *k, unsigned i) { return (struct kvm_segment *)((char *)k + kvm_seg_off[i]); }

static bool get_sregs(KvmVcpu *v, CpuState *s, GError **err)
{
    struct kvm_sregs k;
    if (!call(v, KVM_GET_SREGS, &k, "segment and control registers", err))
        return false;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = segment_from_kvm(kvm_seg(&k, i));
    s->ldtr = segment_from_kvm(&k.ldt);
    s->tr = segment_from_kvm(&k.tr);
    s->gdtr = (DescriptorTable){ k.gdt.base, k.gdt.limit };
    s->idtr = (DescriptorTable){ k.idt.base, k.idt.limit };
    s->cr0 = k.cr0, s->cr2 = k.cr2, s->cr3 = k.cr3, s->cr4 = k.cr4, s->cr8 = k.cr8;
    s->efer = k.efer;
    s->apic_base = k.apic_base;
    return true;
}

static bool set_sregs(KvmVcpu *v, const CpuState *s, GError **err)
{
    struct kvm_sregs k;
    if (!call(v, KVM_GET_SREGS, &k, "segment and control registers", err))
        return false;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        *kvm_seg(&k, i) = segment_to_kvm(&s->seg[i]);
    k.ldt = segment_to_kvm(&s->ldtr);
    k.tr = segment_to_kvm(&s->tr);
    k.gdt.base = s->gdtr.base, k.gdt.limit = s->gdtr.limit;
    k.idt.base = s->idtr.base, k.idt.limit = s->idtr.limit;
    k.cr0 = s->cr0, k.cr2 = s->cr2, k.cr3 = s->cr3, k.cr4 = s->cr4, k.cr8 = s->cr8;
    k.efer = s->efer;
    k.apic_base = s->apic_base;
    memset(k.interrupt_bitmap, 0, sizeof(k.interrupt_bitmap));
    return call(v, KVM_SET_SREGS, &k, "segment and control registers", err);
}

/* ---- FPU, SSE, AVX */

static bool get_fpu(KvmVcpu *v, CpuState *s, GError **err)
{
    struct kvm_xsave x;
    if (!call(v, KVM_GET_XSAVE, &x, "FPU", err))
        return false;
    memcpy(&s->fpu, x.region, sizeof(s->fpu));
    return true;
}

static bool set_fpu(KvmVcpu *v, const CpuState *s, GError **err)
{
    struct kvm_xsave x = { 0 };
    memcpy(x.region, &s->fpu, sizeof(s->fpu));
    ((XsaveImage *)x.region)->xstate_bv |= XCR0_X87 | XCR0_SSE; /* the legacy area counts as it stands */
    return call(v, KVM_SET_XSAVE, &x, "FPU", err);
}

static bool get_xcr0(KvmVcpu *v, CpuState *s, GError **err)
{
    struct kvm_xcrs x;
    if (!call(v, KVM_GET_XCRS, &x, "XCR0", err))
        return false;
    s->xcr0 = x.nr_xcrs ? x.xcrs[0].value : XCR0_X87;
    return true;
}

static bool set_xcr0(KvmVcpu *v, const CpuState *s, GError **err)
{
    struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = s->xcr0 };
    return call(v, KVM_SET_XCRS, &x, "XCR0", err);
}

/* ---- debug registers */

static bool get_debug(KvmVcpu *v, CpuState *s, GError **err)
{
    struct kvm_debugregs d;
    if (!call(v, KVM_GET_DEBUGREGS, &d, "debug registers", err))
        return false;
    memcpy(s->dr, d.db, sizeof(d.db));
    s->dr[6] = d.dr6;
    s->dr[7] = d.dr7;
    return true;
}

static bool set_debug(KvmVcpu *v, const CpuState *s, GError **err)
{
    struct kvm_debugregs d = { .dr6 = s->dr[6], .dr7 = s->dr[7] };
    memcpy(d.db, s->dr, sizeof(d.db));
    return call(v, KVM_SET_DEBUGREGS, &d, "debug registers", err);
}

/* ---- events and activity */

static bool get_events(KvmVcpu *v, CpuState *s, GError **err)
{
    struct kvm_vcpu_events e;
    if (!call(v, KVM_GET_VCPU_EVENTS, &e, "pending events", err))
        return false;
    s->interrupt_shadow = (e.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? 1 : 0) | (e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? 2 : 0);
    s->nmi_blocked = e.nmi.masked;
    s->nmi_pending = e.nmi.pending;
    s->sipi_vector = e.sipi_vector;
    return true;
}

static bool set_events(KvmVcpu *v, const CpuState *s, GError **err)
{
    struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW };
    e.interrupt.shadow = (s->interrupt_shadow & 1 ? KVM_X86_SHADOW_INT_STI : 0) | (s->interrupt_shadow & 2 ? KVM_X86_SHADOW_INT_MOV_SS : 0);
    e.nmi.masked = s->nmi_blocked;
    e.nmi.pending = s->nmi_pending;
    e.sipi_vector = s->sipi_vector;
    return call(v, KVM_SET_VCPU_EVENTS, &e, "pending events", err);
}

static const struct { uint32_t mp_state; CpuActivity activity; } activities[] = {
    { KVM_MP_STATE_RUNNABLE, CPU_RUNNING }, { KVM_MP_STATE_HALTED, CPU_HALTED },
    { KVM_MP_STATE_UNINITIALIZED, CPU_WAIT_SIPI }, { KVM_MP_STATE_INIT_RECEIVED, CPU_WAIT_SIPI },
};

static bool get_activity(KvmVcpu *v, CpuState *s, GError **err)
{
    struct kvm_mp_state mp;
    if (!call(v, KVM_GET_MP_STATE, &mp, "activity", err))
        return false;
    s->activity = CPU_RUNNING;
    for (unsigned i = 0; i < G_N_ELEMENTS(activities); i++)
        if (activities[i].mp_state == mp.mp_state)
            s->activity = activities[i].activity;
    return true;
}

static bool set_activity(KvmVcpu *v, const CpuState *s, GError **err)
{
    struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
    for (unsigned i = 0; i < G_N_ELEMENTS(activities); i++)
        if (activities[i].activity == s->activity) {
            mp.mp_state = activities[i].mp_state;
            break;
        }
    return call(v, KVM_SET_MP_STATE, &mp, "activity", err);
}

/* ---- MSRs */

bool kvm_load_msr_list(KvmAccel *k, GError **err)
{
    struct kvm_msr_list probe = { .nmsrs = 0 };
    ioctl(k->kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe); /* fails with E2BIG and the number */
    g_autofree struct kvm_msr_list *list = g_malloc0(sizeof(*list) + probe.nmsrs * sizeof(uint32_t));
    list->nmsrs = probe.nmsrs;
    if (ioctl(k->kvm_fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
        return error_set_errno(err, errno, "KVM does not list its MSRs");
    k->msrs = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_array_append_vals(k->msrs, list->indices, list->nmsrs);
    return true;
}

static bool host_has_msr(const KvmAccel *k, uint32_t number)
{
    for (unsigned i = 0; i < k->msrs->len; i++)
        if (g_array_index(k->msrs, uint32_t, i) == number)
            return true;
    return false;
}

enum { MAX_MSRS = 64 };
typedef struct MsrBatch {
    struct kvm_msrs head;
    struct kvm_msr_entry entries[MAX_MSRS];
} MsrBatch;

/* One entry for each row of the table that CpuState and this kernel have. */
static void fill_batch(KvmVcpu *v, MsrBatch *b, const CpuState *values)
{
    b->head.nmsrs = 0;
    for (const MsrField *f = msr_fields; f->name && b->head.nmsrs < MAX_MSRS; f++)
        if (host_has_msr(kvm_of(&v->vcpu), f->number)) {
            b->entries[b->head.nmsrs].index = f->number;
            b->entries[b->head.nmsrs++].data = values ? *msr_in_state((CpuState *)values, f) : 0;
        }
}

static bool get_msrs(KvmVcpu *v, CpuState *s, GError **err)
{
    MsrBatch b = { 0 };
    fill_batch(v, &b, NULL);
    if (!call(v, KVM_GET_MSRS, &b, "MSRs", err))
        return false;
    for (const MsrField *f = msr_fields; f->name; f++)
        for (unsigned i = 0; i < b.head.nmsrs; i++)
            if (b.entries[i].index == f->number)
                *msr_in_state(s, f) = b.entries[i].data;
    return true;
}

/* KVM stops at the first MSR that it refuses; those behind it still have to be set. */
static bool set_msrs(KvmVcpu *v, const CpuState *s, GError **err)
{
    MsrBatch b = { 0 };
    fill_batch(v, &b, s);
    for (unsigned done = 0; done < b.head.nmsrs;) {
        MsrBatch rest = { .head.nmsrs = b.head.nmsrs - done };
        memcpy(rest.entries, b.entries + done, rest.head.nmsrs * sizeof(rest.entries[0]));
        int n = ioctl(v->fd, KVM_SET_MSRS, &rest);
        if (n < 0)
            return error_set_errno(err, errno, "CPU %u: KVM cannot set its MSRs", v->vcpu.id);
        if ((unsigned)n < rest.head.nmsrs && rest.entries[n].data)
            log_write(v->vcpu.machine->log, LOG_UNIMP, "KVM refuses MSR %#x = %#llx", rest.entries[n].index,
                      (unsigned long long)rest.entries[n].data);
        done += n + 1;
    }
    return true;
}

/* ---- all of it */

typedef bool TransferFn(KvmVcpu *v, CpuState *s, GError **err);
static TransferFn *const getters[] = { get_regs, get_sregs, get_fpu, get_xcr0, get_debug, get_events, get_activity, get_msrs };
typedef bool SetFn(KvmVcpu *v, const CpuState *s, GError **err);
/* Segment registers first: KVM checks the others against the mode that they set. */
static SetFn *const setters[] = { set_sregs, set_regs, set_xcr0, set_fpu, set_debug, set_msrs, set_events, set_activity };

bool kvm_get_state(Vcpu *vcpu, CpuState *ret, GError **err)
{
    CpuState s = { 0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(getters); i++)
        if (!getters[i]((KvmVcpu *)vcpu, &s, err))
            return false;
    *ret = s;
    return true;
}

bool kvm_set_state(Vcpu *vcpu, const CpuState *s, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(setters); i++)
        if (!setters[i]((KvmVcpu *)vcpu, s, err))
            return false;
    return true;
}
