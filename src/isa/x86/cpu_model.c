/* cpu_model.c - CPU models: of a row of cpu_models.c, of this host's CPU, of what we can do. */
#include "isa/x86/cpu_model.h"

#include <cpuid.h>
#include <string.h>

#include "isa/x86/cpu_models.h"

/* ---- features */

static char folded(char c) { return c == '_' || c == '.' ? '-' : c; }

static bool same_name(const char *known, const char *name, size_t length)
{
    size_t i = 0;
    while (i < length && known[i] && folded(known[i]) == folded(name[i]))
        i++;
    return i == length && !known[i];
}

static CpuFeature feature_find(const char *name, size_t length)
{
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        const CpuFeatureInfo *i = &cpu_feature_table[f];
        if (same_name(i->name, name, length) || (i->alias && same_name(i->alias, name, length)))
            return f;
    }
    return FEAT_ALWAYS;
}

CpuFeature cpu_feature_find(const char *name) { return feature_find(name, strlen(name)); }

void cpu_model_set(CpuModel *m, CpuFeature f, bool on)
{
    uint64_t bit = 1ull << (f % 64);
    m->features[f / 64] = on ? m->features[f / 64] | bit : m->features[f / 64] & ~bit;
}

static void set_features(CpuModel *m, const char *names, bool on)
{
    for (const char *p = names; p && *p;) {
        size_t length = strcspn(p, " ");
        cpu_model_set(m, feature_find(p, length), on);
        p += length + (p[length] == ' ');
    }
    cpu_model_set(m, FEAT_ALWAYS, true);
}

/* ---- rows */

static const CpuModelRow *version_find(const char *of, size_t length, unsigned version)
{
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++) {
        const char *base = r->of ? r->of : r->name;
        if (r->version == version && strlen(base) == length && !memcmp(base, of, length))
            return r;
    }
    return NULL;
}

const CpuModelRow *cpu_model_row_find(const char *name)
{
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++)
        if (r->name && g_str_equal(r->name, name))
            return r;
    const char *end = g_strrstr(name, "-v");
    bool number = end && end[2] >= '1' && end[2] <= '9' && !end[3];
    return number ? version_find(name, end - name, end[2] - '0') : NULL;
}

char *cpu_model_row_versioned(const CpuModelRow *r) { return g_strdup_printf("%s-v%u", r->of ? r->of : r->name, r->version); }

bool cpu_model_row_is_fixed(const CpuModelRow *r) { return r->name && (g_str_equal(r->name, "host") || g_str_equal(r->name, "max")); }

static const CpuModelRow *parent_of(const CpuModelRow *r)
{
    if (r->parent)
        return cpu_model_row_find(r->parent);
    return r->of ? version_find(r->of, strlen(r->of), r->version - 1) : NULL;
}

static void take_identity(CpuModel *m, const CpuModelRow *r)
{
    m->family = r->family;
    m->model = r->model;
    m->stepping = r->stepping;
}

static void take_row(CpuModel *m, const CpuModelRow *r)
{
    const CpuModelRow *parent = parent_of(r);
    if (parent)
        take_row(m, parent);
    if (r->vendor)
        g_strlcpy(m->vendor, r->vendor, sizeof(m->vendor));
    if (r->brand)
        g_strlcpy(m->brand, r->brand, sizeof(m->brand));
    if (r->family)
        take_identity(m, r);
    if (r->level) {
        m->level = r->level;
        m->xlevel = r->xlevel;
    }
    set_features(m, r->add, true);
    set_features(m, r->cut, false);
}

void cpu_model_from_row(CpuModel *m, const CpuModelRow *r)
{
    *m = (CpuModel){ .virt_bits = 48 };
    take_row(m, r);
    g_strlcpy(m->name, r->name ? r->name : r->of, sizeof(m->name));
}

/* ---- this host's */

static CpuidRegs host_cpuid(uint32_t leaf, uint32_t subleaf)
{
    CpuidRegs r;
    __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
    return r;
}

/* CPUID leaves that have been read: below a hypervisor each costs tens of microseconds, and hundreds of features stand in a dozen. */
typedef struct HostLeaves {
    struct { uint32_t leaf, subleaf; CpuidRegs regs; } known[24];
    unsigned n;
} HostLeaves;

static CpuidRegs known_leaf(HostLeaves *l, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < l->n; i++)
        if (l->known[i].leaf == leaf && l->known[i].subleaf == subleaf)
            return l->known[i].regs;
    CpuidRegs regs = host_cpuid(leaf, subleaf);
    if (l->n < G_N_ELEMENTS(l->known)) {
        l->known[l->n].leaf = leaf;
        l->known[l->n].subleaf = subleaf;
        l->known[l->n++].regs = regs;
    }
    return regs;
}

static uint32_t reg_of(CpuidRegs r, unsigned reg) { return (const uint32_t[]){ r.eax, r.ebx, r.ecx, r.edx }[reg]; }

/* level, xlevel and what they reach of features; of `wanted` alone if that is given. */
static void host_features(CpuModel *m, const CpuModel *wanted)
{
    HostLeaves leaves = { .n = 0 };
    m->level = known_leaf(&leaves, 0, 0).eax;
    m->xlevel = known_leaf(&leaves, 0x80000000, 0).eax;
    cpu_model_set(m, FEAT_ALWAYS, true);
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        const CpuFeatureInfo *i = &cpu_feature_table[f];
        bool has_leaf = i->reg != CPU_REG_MSR && i->leaf <= (i->leaf & 0x80000000 ? m->xlevel : m->level);
        if (has_leaf && (!wanted || cpu_has(wanted, f)) && reg_of(known_leaf(&leaves, i->leaf, i->subleaf), i->reg) >> i->bit & 1)
            cpu_model_set(m, f, true);
    }
}

static void host_identity(CpuModel *m)
{
    CpuidRegs zero = host_cpuid(0, 0), one = host_cpuid(1, 0);
    memcpy(m->vendor, &zero.ebx, 4);
    memcpy(m->vendor + 4, &zero.edx, 4);
    memcpy(m->vendor + 8, &zero.ecx, 4);
    unsigned family = one.eax >> 8 & 15, model = one.eax >> 4 & 15;
    m->stepping = one.eax & 15;
    m->model = family == 6 || family == 15 ? model | (one.eax >> 12 & 0xf0) : model;
    m->family = family == 15 ? family + (one.eax >> 20 & 0xff) : family;
    for (unsigned i = 0; i < 3; i++) {
        CpuidRegs r = host_cpuid(0x80000002 + i, 0);
        memcpy(m->brand + 16 * i, &r, 16);
    }
    CpuidRegs sizes = m->xlevel >= 0x80000008 ? host_cpuid(0x80000008, 0) : (CpuidRegs){ .eax = 48 << 8 | 36 };
    m->phys_bits = sizes.eax & 0xff;
    m->virt_bits = sizes.eax >> 8 & 0xff;
}

void cpu_model_host(CpuModel *m)
{
    *m = (CpuModel){ .name = "host" };
    host_features(m, NULL);
    host_identity(m);
    cpu_model_set(m, FEAT_X2APIC, true); /* from the interrupt controller, not from the CPU */
    cpu_model_set(m, FEAT_TSC_DEADLINE, true);
    cpu_model_set(m, FEAT_HYPERVISOR, true);
}

/* ---- ours */

void cpu_model_max(CpuModel *m)
{
    CpuModel host = { .features = { 0 } }, by_host = host;
    set_features(&by_host, cpu_features_by_host, true);
    host_features(&host, &by_host);
    cpu_model_from_row(m, cpu_model_row_find("max"));
    set_features(m, cpu_features_own, true);
    for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++)
        m->features[i] |= by_host.features[i] & host.features[i];
    m->phys_bits = 40;
    m->virt_bits = cpu_has(m, FEAT_LA57) ? 57 : 48;
}
