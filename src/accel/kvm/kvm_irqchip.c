/*
 * kvm_irqchip.c - what the kernel holds beside CpuState, for saved state: interrupt controllers, timer, clock, and of each CPU its local
 * APIC, what is being injected, and MSRs that are KVM's own.
 *
 * Sections are the kernel's structures as they are (api.rst): their layout does not change.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm.h"
#include "isa/x86/msr.h"

enum { TSC = 0x10, TSC_DEADLINE = 0x6e0, PART_BYTES = 2048 };

typedef struct Part {
    const char *name;
    unsigned long get, set;
    size_t bytes;
    unsigned chip; /* of kvm_irqchip */
} Part;

static const Part machine_parts[] = {
    { "pic0", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), KVM_IRQCHIP_PIC_MASTER },
    { "pic1", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), KVM_IRQCHIP_PIC_SLAVE },
    { "ioapic", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip), KVM_IRQCHIP_IOAPIC },
    { "pit", KVM_GET_PIT2, KVM_SET_PIT2, sizeof(struct kvm_pit_state2) },
    { "clock", KVM_GET_CLOCK, KVM_SET_CLOCK, sizeof(struct kvm_clock_data) },
};
static const Part cpu_parts[] = {
    { "lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state) },
    { "events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events) },
};
G_STATIC_ASSERT(sizeof(struct kvm_lapic_state) <= PART_BYTES && sizeof(struct kvm_irqchip) <= PART_BYTES);

/* ---- one structure */
static bool save_part(int fd, const Part *p, const char *name, GVariantBuilder *ret, GError **err)
{
    _Alignas(8) uint8_t data[PART_BYTES] = { 0 };
    if (p->get == KVM_GET_IRQCHIP)
        ((struct kvm_irqchip *)data)->chip_id = p->chip;
    if (ioctl(fd, p->get, data) < 0)
        return error_set_errno(err, errno, "KVM does not tell the state of its %s", p->name);
    g_variant_builder_add(ret, "{sv}", name, g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, data, p->bytes, 1));
    return true;
}

static bool load_part(int fd, const Part *p, const char *name, GVariant *fields, GError **err)
{
    _Alignas(8) uint8_t data[PART_BYTES] = { 0 };
    gsize n;
    g_autoptr(GVariant) value = g_variant_lookup_value(fields, name, G_VARIANT_TYPE_BYTESTRING);
    const void *bytes = value ? g_variant_get_fixed_array(value, &n, 1) : NULL;
    if (!bytes || n != p->bytes)
        return error_set(err, ERR_INVALID, "saved state of KVM lacks '%s', or it is damaged", name);
    memcpy(data, bytes, n);
    if (p->set == KVM_SET_IRQCHIP)
        ((struct kvm_irqchip *)data)->chip_id = p->chip;
    if (p->set == KVM_SET_CLOCK) /* its time, not that it ran by the host's TSC */
        ((struct kvm_clock_data *)data)->flags = 0;
    return ioctl(fd, p->set, data) >= 0 || error_set_errno(err, errno, "KVM does not take the state of its %s", p->name);
}

/* ---- MSRs that CpuState does not have: the paravirtual clock and its like */
static bool in_cpu_state(uint32_t number)
{
    for (const MsrField *f = msr_fields; f->name; f++)
        if (f->number == number)
            return true;
    return number == TSC || number == TSC_DEADLINE;
}

static void save_msrs(KvmVcpu *v, const char *name, GVariantBuilder *ret)
{
    const GArray *all = kvm_of(&v->vcpu)->msrs;
    GVariantBuilder list;
    g_variant_builder_init(&list, G_VARIANT_TYPE("a(ut)"));
    for (unsigned i = 0; i < all->len; i++) {
        struct { struct kvm_msrs head; struct kvm_msr_entry entry; } b = { .head.nmsrs = 1, .entry.index = g_array_index(all, uint32_t, i) };
        if (!in_cpu_state(b.entry.index) && ioctl(v->fd, KVM_GET_MSRS, &b) == 1 && b.entry.data)
            g_variant_builder_add(&list, "(ut)", b.entry.index, (guint64)b.entry.data);
    }
    g_variant_builder_add(ret, "{sv}", name, g_variant_builder_end(&list));
}

/* Those that cannot be set are the host's own. */
static void load_msrs(KvmVcpu *v, const char *name, GVariant *fields)
{
    g_autoptr(GVariant) list = g_variant_lookup_value(fields, name, G_VARIANT_TYPE("a(ut)"));
    for (gsize i = 0; list && i < g_variant_n_children(list); i++) {
        guint32 number;
        guint64 value;
        g_variant_get_child(list, i, "(ut)", &number, &value);
        struct { struct kvm_msrs head; struct kvm_msr_entry entry; } b = { .head.nmsrs = 1, .entry = { .index = number, .data = value } };
        if (ioctl(v->fd, KVM_SET_MSRS, &b) != 1)
            log_write(v->vcpu.machine->log, LOG_UNIMP, "KVM refuses MSR %#x = %#" G_GINT64_MODIFIER "x", number, value);
    }
}

/* The local APIC was set after the CPU, whose deadline it has forgotten. */
static void set_deadline(KvmVcpu *v, uint64_t deadline)
{
    struct { struct kvm_msrs head; struct kvm_msr_entry entry; } b = { .head.nmsrs = 1, .entry = { .index = TSC_DEADLINE, .data = deadline } };
    if (deadline)
        ioctl(v->fd, KVM_SET_MSRS, &b);
}

/* ---- all of it */
static char *of_cpu(const Vcpu *v, const char *part) { return g_strdup_printf("%s.%u", part, v->id); }

static bool save_cpu(KvmVcpu *v, GVariantBuilder *ret, GError **err)
{
    g_autofree char *msrs = of_cpu(&v->vcpu, "msrs");
    for (unsigned i = 0; i < G_N_ELEMENTS(cpu_parts); i++) {
        g_autofree char *name = of_cpu(&v->vcpu, cpu_parts[i].name);
        if (!save_part(v->fd, &cpu_parts[i], name, ret, err))
            return false;
    }
    save_msrs(v, msrs, ret);
    return true;
}

static bool load_cpu(KvmVcpu *v, GVariant *fields, GError **err)
{
    CpuState s;
    g_autofree char *msrs = of_cpu(&v->vcpu, "msrs");
    if (!kvm_get_state(&v->vcpu, &s, err))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(cpu_parts); i++) {
        g_autofree char *name = of_cpu(&v->vcpu, cpu_parts[i].name);
        if (!load_part(v->fd, &cpu_parts[i], name, fields, err))
            return false;
    }
    load_msrs(v, msrs, fields);
    set_deadline(v, s.tsc_deadline);
    return true;
}

bool kvm_save(Accel *a, GVariantBuilder *ret, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(machine_parts); i++)
        if (!save_part(((KvmAccel *)a)->vm_fd, &machine_parts[i], machine_parts[i].name, ret, err))
            return false;
    for (unsigned i = 0; i < a->machine->vcpus->len; i++)
        if (!save_cpu(a->machine->vcpus->pdata[i], ret, err))
            return false;
    return true;
}

/* The kernel's timer runs on while CPUs stand, and its ticks would come in a heap. */
void kvm_stand(Accel *a, bool standing)
{
    KvmAccel *k = (KvmAccel *)a;
    if (standing) {
        k->stood = !ioctl(k->vm_fd, KVM_GET_PIT2, &k->pit) && !ioctl(k->vm_fd, KVM_GET_CLOCK, &k->clock);
    } else if (k->stood) {
        k->clock.flags = 0;
        ioctl(k->vm_fd, KVM_SET_PIT2, &k->pit);
        ioctl(k->vm_fd, KVM_SET_CLOCK, &k->clock);
    }
}

bool kvm_load(Accel *a, GVariant *fields, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(machine_parts); i++)
        if (!load_part(((KvmAccel *)a)->vm_fd, &machine_parts[i], machine_parts[i].name, fields, err))
            return false;
    for (unsigned i = 0; i < a->machine->vcpus->len; i++)
        if (!load_cpu(a->machine->vcpus->pdata[i], fields, err))
            return false;
    kvm_stand(a, true);
    return true;
}
