/*
 * kvm_cpuid.c - the CPU model as KVM takes it: a list of CPUID leaves, cut to what this kernel supports.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/kvm/kvm.h"

enum { MAX_ENTRIES = 256 };

static struct kvm_cpuid2 *new_list(void)
{
    struct kvm_cpuid2 *list = g_malloc0(sizeof(*list) + MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2));
    list->nent = MAX_ENTRIES;
    return list;
}

enum { ARCH_CAPABILITIES = 0x10a };

/* What this kernel would give of a feature MSR; 0 where it has none. */
static uint64_t kernel_msr(int kvm_fd, uint32_t number)
{
    struct { struct kvm_msrs head; struct kvm_msr_entry entry; } b = { .head.nmsrs = 1, .entry.index = number };
    return ioctl(kvm_fd, KVM_GET_MSRS, &b) == 1 ? b.entry.data : 0;
}

bool kvm_load_supported_cpuid(KvmAccel *k, GError **err)
{
    k->supported = new_list();
    k->arch_capabilities = kernel_msr(k->kvm_fd, ARCH_CAPABILITIES);
    return ioctl(k->kvm_fd, KVM_GET_SUPPORTED_CPUID, k->supported) == 0 ||
           error_set_errno(err, errno, "KVM does not say which CPU features it supports");
}

static const struct kvm_cpuid_entry2 *supported_leaf(const KvmAccel *k, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < k->supported->nent; i++)
        if (k->supported->entries[i].function == leaf && k->supported->entries[i].index == subleaf)
            return &k->supported->entries[i];
    return NULL;
}

static void add_entry(struct kvm_cpuid2 *list, uint32_t leaf, uint32_t subleaf, bool indexed, CpuidRegs r)
{
    if (list->nent == MAX_ENTRIES)
        return;
    list->entries[list->nent++] = (struct kvm_cpuid_entry2){
        .function = leaf, .index = subleaf, .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = r.eax, .ebx = r.ebx, .ecx = r.ecx, .edx = r.edx,
    };
}

/* Feature words that must not promise more than the kernel gives; the rest of a leaf is the model's own. */
static const struct { uint32_t leaf, subleaf; uint8_t regs; } feature_words[] = { /* bit a register, eax first */
    { 1, 0, 0xc }, { 7, 0, 0xe }, { 7, 1, 0xf }, { 0xd, 0, 0x9 }, { 0xd, 1, 0xd }, { 0x80000001, 0, 0xc }, { 0x80000007, 0, 0x8 }, { 0x80000008, 0, 0x2 },
    { 0x8000000a, 0, 0x8 }, { 0x80000021, 0, 0x1 },
};

/* Bits that KVM's list leaves out although its irqchip and the model give them. */
static uint32_t irqchip_features(uint32_t leaf, unsigned reg)
{
    enum { ECX = 2, X2APIC = 1 << 21, TSC_DEADLINE = 1 << 24, HYPERVISOR = 1u << 31, OSXSAVE = 1 << 27 };
    return leaf == 1 && reg == ECX ? X2APIC | TSC_DEADLINE | HYPERVISOR | OSXSAVE : 0;
}

static void cut(const KvmAccel *k, uint32_t leaf, uint32_t subleaf, CpuidRegs *r)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_words); i++) {
        if (feature_words[i].leaf != leaf || feature_words[i].subleaf != subleaf)
            continue;
        const struct kvm_cpuid_entry2 *s = supported_leaf(k, leaf, subleaf);
        uint32_t *mine[] = { &r->eax, &r->ebx, &r->ecx, &r->edx };
        uint32_t theirs[] = { s ? s->eax : 0, s ? s->ebx : 0, s ? s->ecx : 0, s ? s->edx : 0 };
        for (unsigned reg = 0; reg < 4; reg++)
            if (feature_words[i].regs >> reg & 1)
                *mine[reg] &= theirs[reg] | irqchip_features(leaf, reg);
    }
}

/* How many subleaves a leaf has, for those where ECX matters. */
static unsigned subleaves(uint32_t leaf)
{
    switch (leaf) {
    case 4:
    case 0x8000001d:
        return 5;
    case 7:
        return 2;
    case 0xb:
    case 0x1f:
        return 3;
    case 0xd:
        return 10;
    default:
        return 0;
    }
}

static void add_leaf(KvmVcpu *v, struct kvm_cpuid2 *list, const CpuidContext *context, uint32_t leaf)
{
    KvmAccel *k = kvm_of(&v->vcpu);
    unsigned n = subleaves(leaf);
    for (unsigned i = 0; i < MAX(n, 1); i++) {
        CpuidRegs r = cpu_model_cpuid(&k->accel.model, context, leaf, i);
        cut(k, leaf, i, &r);
        add_entry(list, leaf, i, n > 0, r);
    }
}

/* What of a feature word of the kernel the model does not have; bits that have no name stay. */
static uint32_t refused(const KvmAccel *k, uint32_t leaf, unsigned reg)
{
    uint32_t bits = 0;
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        if (cpu_feature_table[f].leaf == leaf && cpu_feature_table[f].reg == reg && !cpu_has(&k->accel.model, f))
            bits |= 1u << cpu_feature_table[f].bit;
    return bits;
}

/* KVM's own leaves (its clock and so on) instead of ours. */
static void add_kvm_leaves(const KvmAccel *k, struct kvm_cpuid2 *list)
{
    static const uint32_t SIGNATURE = 0x40000000, FEATURES = 0x40000001, OLD_CLOCK = 1, CLOCK = 1 << 3;
    const struct kvm_cpuid_entry2 *s = supported_leaf(k, SIGNATURE, 0), *f = supported_leaf(k, FEATURES, 0);
    if (!s || !f || k->accel.model.hidden)
        return;
    uint32_t missing = refused(k, FEATURES, 0);
    missing |= missing & OLD_CLOCK ? CLOCK : 0;
    add_entry(list, SIGNATURE, 0, false, (CpuidRegs){ s->eax, s->ebx, s->ecx, s->edx });
    add_entry(list, FEATURES, 0, false, (CpuidRegs){ f->eax & ~missing, f->ebx, f->ecx, f->edx });
}

/* KVM counts the MSRs that it has taken: where it takes not even this one, the guest reads what the kernel has in it by itself. */
static bool set_arch_capabilities(KvmVcpu *v)
{
    const KvmAccel *k = kvm_of(&v->vcpu);
    struct { struct kvm_msrs head; struct kvm_msr_entry entry; } b = {
        .head.nmsrs = 1, .entry = { .index = ARCH_CAPABILITIES, .data = k->arch_capabilities & ~(uint64_t)refused(k, ARCH_CAPABILITIES, CPU_REG_MSR) },
    };
    return !cpu_has(&k->accel.model, FEAT_ARCH_CAPABILITIES) || ioctl(v->fd, KVM_SET_MSRS, &b) >= 0;
}

bool kvm_set_cpuid(KvmVcpu *v, GError **err)
{
    KvmAccel *k = kvm_of(&v->vcpu);
    const MachineConfig *c = &v->vcpu.machine->config;
    CpuidContext context = { .apic_id = v->vcpu.apic_id, .sockets = MAX(c->sockets, 1), .cores = MAX(c->cores, 1),
                             .threads = MAX(c->threads, 1), .xcr0 = 7, .apic_base = 0xfee00900 };
    g_autofree struct kvm_cpuid2 *list = new_list();
    list->nent = 0;
    for (uint32_t leaf = 0; leaf <= k->accel.model.level; leaf++)
        add_leaf(v, list, &context, leaf);
    add_kvm_leaves(k, list);
    for (uint32_t leaf = 0x80000000; leaf <= k->accel.model.xlevel; leaf++)
        add_leaf(v, list, &context, leaf);
    return (ioctl(v->fd, KVM_SET_CPUID2, list) == 0 && set_arch_capabilities(v)) ||
           error_set_errno(err, errno, "KVM refuses CPU model '%s'; -cpu host is always possible", k->accel.model.name);
}

/* ---- the limit for -cpu */

static bool kernel_gives(const KvmAccel *k, const CpuFeatureInfo *i)
{
    if (i->reg == CPU_REG_MSR)
        return i->leaf == ARCH_CAPABILITIES && k->arch_capabilities >> i->bit & 1;
    const struct kvm_cpuid_entry2 *s = supported_leaf(k, i->leaf, i->subleaf);
    const uint32_t words[] = { s ? s->eax : 0, s ? s->ebx : 0, s ? s->ecx : 0, s ? s->edx : 0 };
    return (words[i->reg] | irqchip_features(i->leaf, i->reg)) >> i->bit & 1;
}

/* Of the live bits and of the count of processors nothing can be missing. */
static bool is_live(CpuFeature f) { return f == FEAT_HT || f == FEAT_OSPKE || f == FEAT_CMP_LEGACY; }

/* Without /dev/kvm the host's CPU is the limit; that KVM cannot be used is said where it is tried. */
void kvm_cpu_limit(CpuModel *ret)
{
    KvmAccel k = { .kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC) };
    cpu_model_host(ret);
    ret->native = true;
    if (k.kvm_fd >= 0 && kvm_load_supported_cpuid(&k, NULL))
        for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
            cpu_model_set(ret, f, is_live(f) || kernel_gives(&k, &cpu_feature_table[f]));
    g_free(k.supported);
    if (k.kvm_fd >= 0)
        close(k.kvm_fd);
}
