/* cpuid.c - CPUID leaves of a CPU model, as in Intel SDM 2, CPUID, and AMD APM 3, appendix E. */
#include <string.h>

#include "isa/x86/cpu_model.h"
#include "isa/x86/cpu_state.h"

static bool is_intel(const CpuModel *m) { return g_str_equal(m->vendor, "GenuineIntel"); }

/* The feature bits of one register of one leaf. */
static uint32_t feature_bits(const CpuModel *m, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    uint32_t bits = 0;
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        const CpuFeatureInfo *i = &cpu_feature_table[f];
        if (i->leaf == leaf && i->subleaf == subleaf && i->reg == reg && cpu_has(m, f))
            bits |= 1u << i->bit;
    }
    return bits;
}

static CpuidRegs feature_leaf(const CpuModel *m, uint32_t leaf, uint32_t subleaf)
{
    return (CpuidRegs){ feature_bits(m, leaf, subleaf, 0), feature_bits(m, leaf, subleaf, 1), feature_bits(m, leaf, subleaf, 2),
                        feature_bits(m, leaf, subleaf, 3) };
}

static CpuidRegs leaf_vendor(const CpuModel *m, uint32_t highest)
{
    CpuidRegs r = { .eax = highest };
    memcpy(&r.ebx, m->vendor, 4);
    memcpy(&r.edx, m->vendor + 4, 4);
    memcpy(&r.ecx, m->vendor + 8, 4);
    return r;
}

static uint32_t signature(const CpuModel *m)
{
    unsigned family = MIN(m->family, 15), more = m->family - family;
    return more << 20 | (m->model >> 4) << 16 | family << 8 | (m->model & 15) << 4 | m->stepping;
}

static uint32_t per_socket(const CpuidContext *c) { return MAX(c->cores, 1) * MAX(c->threads, 1); }

static CpuidRegs leaf_1(const CpuModel *m, const CpuidContext *c)
{
    CpuidRegs r = feature_leaf(m, 1, 0);
    r.eax = signature(m);
    r.ebx = 8 << 8 | MIN(per_socket(c), 255) << 16 | c->apic_id << 24; /* CLFLUSH line of 64 bytes */
    static const uint32_t APIC = 1 << 9, HT = 1 << 28, OSXSAVE = 1 << 27;
    r.ecx = c->cr4 & CR4_OSXSAVE ? r.ecx | OSXSAVE : r.ecx & ~OSXSAVE;
    if (!(c->apic_base & 0x800))
        r.edx &= ~APIC;
    r.edx = per_socket(c) > 1 ? r.edx | HT : r.edx & ~HT;
    return r;
}

/* Deterministic cache parameters (leaf 4); AMD's leaf 8000001d has the same form. */
static const struct { uint8_t type, level, ways; uint32_t sets; bool shared; } caches[] = {
    { 1, 1, 8, 64, false },   /* 32 KiB data */
    { 2, 1, 8, 64, false },   /* 32 KiB instructions */
    { 3, 2, 16, 2048, false }, /* 2 MiB */
    { 3, 3, 16, 16384, true }, /* 16 MiB */
};

static CpuidRegs leaf_4(const CpuModel *m, const CpuidContext *c, uint32_t subleaf)
{
    if (subleaf >= G_N_ELEMENTS(caches) || (m->no_l3 && caches[subleaf].level == 3))
        return (CpuidRegs){ 0 };
    uint32_t sharing = caches[subleaf].shared ? per_socket(c) - 1 : MAX(c->threads, 1) - 1;
    return (CpuidRegs){
        .eax = caches[subleaf].type | caches[subleaf].level << 5 | 1 << 8 | sharing << 14 | (MAX(c->cores, 1) - 1) << 26,
        .ebx = 63 | (caches[subleaf].ways - 1u) << 22, /* lines of 64 bytes */
        .ecx = caches[subleaf].sets - 1,
    };
}

static unsigned bits_for(uint32_t n) { return n <= 1 ? 0 : 32 - __builtin_clz(n - 1); }

/* Extended topology: level 0 is the thread, 1 the core. */
static CpuidRegs leaf_topology(const CpuModel *m, const CpuidContext *c, uint32_t subleaf)
{
    if (m->no_leaf_b)
        return (CpuidRegs){ 0 };
    unsigned thread_bits = bits_for(MAX(c->threads, 1)), core_bits = bits_for(MAX(c->cores, 1));
    CpuidRegs r = { .ecx = subleaf, .edx = c->apic_id };
    if (subleaf == 0)
        r.eax = thread_bits, r.ebx = MAX(c->threads, 1), r.ecx |= 1 << 8;
    else if (subleaf == 1)
        r.eax = thread_bits + core_bits, r.ebx = per_socket(c), r.ecx |= 2 << 8;
    return r;
}

/* State components beyond x87 and SSE: where XSAVE puts them (SDM 1, 13.5).  Each follows a feature. */
static const struct XsavePart { uint8_t component; CpuFeature feature; uint32_t size, offset; } xsave_parts[] = {
    { 2, FEAT_AVX, 256, 576 },      { 3, FEAT_MPX, 64, 960 },        { 4, FEAT_MPX, 64, 1024 }, { 5, FEAT_AVX512F, 64, 1088 },
    { 6, FEAT_AVX512F, 512, 1152 }, { 7, FEAT_AVX512F, 1024, 1664 }, { 9, FEAT_PKU, 8, 2688 },
};
enum { XSAVE_LEGACY = 512 + 64 };

static uint64_t xsave_components(const CpuModel *m)
{
    uint64_t bits = XCR0_X87 | XCR0_SSE;
    for (unsigned i = 0; i < G_N_ELEMENTS(xsave_parts); i++)
        bits |= (uint64_t)cpu_has(m, xsave_parts[i].feature) << xsave_parts[i].component;
    return bits;
}

static uint32_t xsave_size(uint64_t components, bool compacted)
{
    uint32_t size = XSAVE_LEGACY;
    for (unsigned i = 0; i < G_N_ELEMENTS(xsave_parts); i++)
        if (components >> xsave_parts[i].component & 1)
            size = (compacted ? size : xsave_parts[i].offset) + xsave_parts[i].size;
    return size;
}

static CpuidRegs xsave_part(uint64_t components, uint32_t component)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(xsave_parts); i++)
        if (xsave_parts[i].component == component && components >> component & 1)
            return (CpuidRegs){ .eax = xsave_parts[i].size, .ebx = xsave_parts[i].offset };
    return (CpuidRegs){ 0 };
}

static CpuidRegs leaf_xsave(const CpuModel *m, const CpuidContext *c, uint32_t subleaf)
{
    if (!cpu_has(m, FEAT_XSAVE))
        return (CpuidRegs){ 0 };
    uint64_t components = xsave_components(m);
    if (subleaf == 0)
        return (CpuidRegs){ .eax = components, .ebx = xsave_size(c->xcr0, false), .ecx = xsave_size(components, false) };
    if (subleaf > 1)
        return xsave_part(components, subleaf);
    bool compacts = cpu_has(m, FEAT_XSAVEC) || cpu_has(m, FEAT_XSAVES);
    return (CpuidRegs){ .eax = feature_bits(m, 0xd, 1, 0), .ebx = compacts ? xsave_size(c->xcr0, true) : 0 };
}

/* TSC frequency as crystal * ebx / eax, with a crystal of 1 MHz. */
static CpuidRegs leaf_tsc(const CpuModel *m)
{
    return m->tsc_khz ? (CpuidRegs){ .eax = 1000, .ebx = m->tsc_khz, .ecx = 1000000 } : (CpuidRegs){ 0 };
}

static CpuidRegs leaf_brand(const CpuModel *m, unsigned part)
{
    CpuidRegs r;
    char brand[48] = { 0 };
    memcpy(brand, m->brand, strlen(m->brand));
    memcpy(&r, brand + 16 * part, 16);
    return r;
}

/* AMD's leaf repeats most of leaf 1's EDX. */
static CpuidRegs leaf_extended(const CpuModel *m, const CpuidContext *c)
{
    static const uint32_t REPEATED = 0x0183f3ff;
    CpuidRegs r = feature_leaf(m, 0x80000001, 0);
    if (!is_intel(m))
        r.edx |= leaf_1(m, c).edx & REPEATED;
    if (per_socket(c) <= 1)
        r.ecx &= ~2u; /* cmp_legacy */
    r.eax = is_intel(m) ? 0 : signature(m);
    return r;
}

/* AMD: L1 caches and TLBs; L2 and L3.  Lines of 64 bytes. */
static CpuidRegs leaf_amd_l1(void) { return (CpuidRegs){ 0x01ff01ff, 0x01ff01ff, 32 << 24 | 8 << 16 | 1 << 8 | 64, 32 << 24 | 8 << 16 | 1 << 8 | 64 }; }
static CpuidRegs leaf_amd_l2(const CpuModel *m)
{
    return (CpuidRegs){ 0, 0x42004200, 2048u << 16 | 8 << 12 | 1 << 8 | 64, m->no_l3 ? 0 : 32u << 18 | 8 << 12 | 1 << 8 | 64 };
}

/* AMD with topoext: leaf 4 under its own number, without the count of cores; the core and the node that a thread is of. */
static CpuidRegs leaf_amd_caches(const CpuModel *m, const CpuidContext *c, uint32_t subleaf)
{
    CpuidRegs r = cpu_has(m, FEAT_TOPOEXT) ? leaf_4(m, c, subleaf) : (CpuidRegs){ 0 };
    r.eax &= 0x3ffffff;
    return r;
}

static CpuidRegs leaf_amd_topology(const CpuModel *m, const CpuidContext *c)
{
    if (!cpu_has(m, FEAT_TOPOEXT))
        return (CpuidRegs){ 0 };
    unsigned thread_bits = bits_for(MAX(c->threads, 1)), core_bits = bits_for(MAX(c->cores, 1));
    return (CpuidRegs){ .eax = c->apic_id,
                        .ebx = (MAX(c->threads, 1) - 1) << 8 | (c->apic_id >> thread_bits & ((1u << core_bits) - 1)),
                        .ecx = c->apic_id >> (thread_bits + core_bits) & 0xff };
}

/* SVM: revision and address spaces, where there is SVM. */
static CpuidRegs leaf_svm(const CpuModel *m)
{
    return cpu_has(m, FEAT_SVM) ? (CpuidRegs){ .eax = 1, .ebx = 16, .edx = feature_bits(m, 0x8000000a, 0, 3) } : (CpuidRegs){ 0 };
}

/* Its EAX is the highest subleaf. */
static CpuidRegs leaf_7(const CpuModel *m, uint32_t subleaf)
{
    CpuidRegs r = feature_leaf(m, 7, subleaf);
    if (subleaf == 0)
        r.eax = feature_bits(m, 7, 1, 0) ? 1 : 0;
    return r;
}

static CpuidRegs leaf_sizes(const CpuModel *m, const CpuidContext *c)
{
    CpuidRegs r = feature_leaf(m, 0x80000008, 0);
    r.eax = m->phys_bits | m->virt_bits << 8;
    if (!is_intel(m) && per_socket(c) > 1)
        r.ecx = (per_socket(c) - 1) | bits_for(per_socket(c)) << 12;
    return r;
}

static CpuidRegs leaf_hypervisor(const CpuModel *m, uint32_t leaf)
{
    CpuidRegs r = { 0 };
    if (leaf == 0x40000000) {
        r.eax = 0x40000010;
        memcpy(&r.ebx, "AtollAtollAt", 12);
    } else if (leaf == 0x40000010) { /* the frequency leaf that several hypervisors share: TSC and bus in kHz */
        r.eax = m->tsc_khz;
        r.ebx = 1000000;
    }
    return r;
}

static CpuidRegs extended_leaf(const CpuModel *m, const CpuidContext *c, uint32_t leaf, uint32_t subleaf)
{
    switch (leaf) {
    case 0x80000000:
        return leaf_vendor(m, m->xlevel);
    case 0x80000001:
        return leaf_extended(m, c);
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        return leaf_brand(m, leaf - 0x80000002);
    case 0x80000005:
        return is_intel(m) ? (CpuidRegs){ 0 } : leaf_amd_l1();
    case 0x80000006:
        return is_intel(m) ? (CpuidRegs){ .ecx = 2048u << 16 | 8 << 12 | 64 } : leaf_amd_l2(m);
    case 0x80000008:
        return leaf_sizes(m, c);
    case 0x8000000a:
        return leaf_svm(m);
    case 0x8000001d:
        return leaf_amd_caches(m, c, subleaf);
    case 0x8000001e:
        return leaf_amd_topology(m, c);
    default:
        return feature_leaf(m, leaf, 0);
    }
}

static CpuidRegs basic_leaf(const CpuModel *m, const CpuidContext *c, uint32_t leaf, uint32_t subleaf)
{
    switch (leaf) {
    case 0:
        return leaf_vendor(m, m->level);
    case 1:
        return leaf_1(m, c);
    case 2:
        return (CpuidRegs){ .eax = 0x00ff0001 }; /* "see leaf 4" */
    case 4:
        return leaf_4(m, c, subleaf);
    case 7:
        return leaf_7(m, subleaf);
    case 0xb:
    case 0x1f:
        return leaf_topology(m, c, subleaf);
    case 0xd:
        return leaf_xsave(m, c, subleaf);
    case 0x15:
        return leaf_tsc(m);
    default:
        return feature_leaf(m, leaf, subleaf);
    }
}

CpuidRegs cpu_model_cpuid(const CpuModel *m, const CpuidContext *c, uint32_t leaf, uint32_t subleaf)
{
    if (leaf >= 0x40000000 && leaf <= 0x40000010 && cpu_has(m, FEAT_HYPERVISOR) && !m->hidden)
        return leaf_hypervisor(m, leaf);
    if (leaf >= 0x80000000 && leaf <= m->xlevel)
        return extended_leaf(m, c, leaf, subleaf);
    if (leaf <= m->level)
        return basic_leaf(m, c, leaf, subleaf);
    /* Beyond the highest leaf Intel answers with the highest basic one, AMD with zeros. */
    return is_intel(m) ? basic_leaf(m, c, m->level, subleaf) : (CpuidRegs){ 0 };
}

uint64_t cpu_model_msr(const CpuModel *m, uint32_t msr) { return feature_bits(m, msr, 0, CPU_REG_MSR); }
