/*
 * cpu_model.c - CPU models: from -cpu text to features, and from features to CPUID leaves.
 * Leaves as in Intel SDM 2, CPUID, and AMD APM 3, appendix E.
 */
#include "isa/x86/cpu_model.h"

#include <cpuid.h>
#include <string.h>

#include "base/error.h"
#include "isa/x86/cpu_models.h"
#include "isa/x86/cpu_state.h"

/* ---- features by name */

static CpuFeature feature_find(const char *name, size_t length)
{
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        const CpuFeatureInfo *i = &cpu_feature_table[f];
        if ((strlen(i->name) == length && !memcmp(i->name, name, length)) ||
            (i->alias && strlen(i->alias) == length && !memcmp(i->alias, name, length)))
            return f;
    }
    return FEAT_ALWAYS;
}

static void set_feature(CpuModel *m, CpuFeature f, bool on)
{
    uint64_t bit = 1ull << (f % 64);
    m->features[f / 64] = on ? m->features[f / 64] | bit : m->features[f / 64] & ~bit;
}

static void add_features(CpuModel *m, const char *names)
{
    for (const char *p = names; *p;) {
        size_t length = strcspn(p, " ");
        set_feature(m, feature_find(p, length), true);
        p += length + (p[length] == ' ');
    }
    set_feature(m, FEAT_ALWAYS, true);
}

static void cut_features(CpuModel *m, const CpuModel *supported)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(m->features); i++)
        m->features[i] &= supported->features[i];
}

/* ---- models */

static const CpuModelRow *row_find(const char *name)
{
    for (const CpuModelRow *r = cpu_model_rows; r->name; r++)
        if (g_str_equal(r->name, name))
            return r;
    return NULL;
}

static void add_row_features(CpuModel *m, const CpuModelRow *r)
{
    if (r->parent)
        add_row_features(m, row_find(r->parent));
    if (r->features)
        add_features(m, r->features);
}

static void model_from_row(CpuModel *m, const CpuModelRow *r)
{
    *m = (CpuModel){ .family = r->family, .model = r->model, .stepping = r->stepping, .level = r->level, .xlevel = r->xlevel,
                     .phys_bits = r->phys_bits, .virt_bits = 48 };
    g_strlcpy(m->name, r->name, sizeof(m->name));
    g_strlcpy(m->vendor, r->vendor, sizeof(m->vendor));
    g_strlcpy(m->brand, r->brand, sizeof(m->brand));
    add_row_features(m, r);
}

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
    set_feature(m, FEAT_ALWAYS, true);
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        const CpuFeatureInfo *i = &cpu_feature_table[f];
        bool has_leaf = i->leaf <= (i->leaf & 0x80000000 ? m->xlevel : m->level);
        if (has_leaf && (!wanted || cpu_has(wanted, f)) && reg_of(known_leaf(&leaves, i->leaf, i->subleaf), i->reg) >> i->bit & 1)
            set_feature(m, f, true);
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
    set_feature(m, FEAT_X2APIC, true);       /* from the interrupt controller, not from the CPU */
    set_feature(m, FEAT_TSC_DEADLINE, true);
    set_feature(m, FEAT_HYPERVISOR, true);
}

void cpu_model_max(CpuModel *m)
{
    CpuModel host = { .features = { 0 } }, by_host = host;
    add_features(&by_host, cpu_features_by_host);
    host_features(&host, &by_host);
    cut_features(&by_host, &host);
    model_from_row(m, row_find("max"));
    add_features(m, cpu_features_own);
    for (unsigned i = 0; i < G_N_ELEMENTS(m->features); i++)
        m->features[i] |= by_host.features[i];
    m->virt_bits = cpu_has(m, FEAT_LA57) ? 57 : 48;
}

/* ---- -cpu */

static bool unknown_model(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const CpuModelRow *r = cpu_model_rows; r->name; r++)
        g_ptr_array_add(names, (void *)r->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(name, (const char *const *)names->pdata);
    return error_set(err, ERR_NOT_FOUND, "there is no CPU model '%s'%s; -cpu help lists them", name, hint);
}

static bool unknown_feature(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        g_ptr_array_add(names, (void *)cpu_feature_table[f].name);
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(name, (const char *const *)names->pdata);
    return error_set(err, ERR_NOT_FOUND, "-cpu: there is no CPU feature or property '%s'%s; -cpu help lists them", name, hint);
}

/* Numeric properties of a model. */
static const struct { const char *name; size_t off, size; uint64_t max; } numbers[] = {
    { "family", offsetof(CpuModel, family), 1, 255 }, { "model", offsetof(CpuModel, model), 1, 255 },
    { "stepping", offsetof(CpuModel, stepping), 1, 15 }, { "level", offsetof(CpuModel, level), 4, 0x20 },
    { "xlevel", offsetof(CpuModel, xlevel), 4, 0x8000001f }, { "phys-bits", offsetof(CpuModel, phys_bits), 1, 52 },
};

static bool set_number(CpuModel *m, const char *name, const char *value, bool *ret_known, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (!g_str_equal(numbers[i].name, name))
            continue;
        char *end;
        uint64_t number = g_ascii_strtoull(value, &end, 0);
        *ret_known = true;
        if (!*value || *end || number > numbers[i].max)
            return error_set(err, ERR_INVALID, "-cpu: %s takes a number up to %" G_GUINT64_FORMAT ", not '%s'", name, numbers[i].max, value);
        memcpy((char *)m + numbers[i].off, &number, numbers[i].size);
        return true;
    }
    return true;
}

static bool set_tsc_frequency(CpuModel *m, const char *value, GError **err)
{
    char *end;
    uint64_t hz = g_ascii_strtoull(value, &end, 0);
    if (*end || hz < 1000000 || hz > 100000000000ull)
        return error_set(err, ERR_INVALID, "-cpu: tsc-frequency takes Hz from 1000000, not '%s'", value);
    m->tsc_khz = hz / 1000;
    return true;
}

static bool set_vendor(CpuModel *m, const char *value, GError **err)
{
    if (strlen(value) != 12)
        return error_set(err, ERR_INVALID, "-cpu: vendor takes 12 characters as in GenuineIntel, not '%s'", value);
    memcpy(m->vendor, value, 13);
    return true;
}

typedef struct Parse {
    CpuModel *model;
    CpuModel asked; /* features named in the text */
    bool enforce;
} Parse;

static bool set_named_feature(Parse *p, const char *name, bool on, GError **err)
{
    CpuFeature f = feature_find(name, strlen(name));
    if (f == FEAT_ALWAYS)
        return unknown_feature(name, err);
    set_feature(p->model, f, on);
    set_feature(&p->asked, f, on);
    return true;
}

static bool parse_switch(const char *value, bool *ret)
{
    *ret = g_str_equal(value, "on") || g_str_equal(value, "true") || g_str_equal(value, "yes");
    return *ret || g_str_equal(value, "off") || g_str_equal(value, "false") || g_str_equal(value, "no");
}

static bool parse_assignment(Parse *p, const char *name, const char *value, GError **err)
{
    bool known = false, on;
    if (!set_number(p->model, name, value, &known, err))
        return false;
    if (known)
        return true;
    if (g_str_equal(name, "vendor"))
        return set_vendor(p->model, value, err);
    if (g_str_equal(name, "tsc-frequency"))
        return set_tsc_frequency(p->model, value, err);
    if (g_str_equal(name, "model-id")) {
        g_strlcpy(p->model->brand, value, sizeof(p->model->brand));
        return true;
    }
    if (!parse_switch(value, &on))
        return error_set(err, ERR_INVALID, "-cpu: '%s' takes on or off, not '%s'", name, value);
    if (g_str_equal(name, "enforce"))
        p->enforce = on;
    else if (!g_str_equal(name, "check") && !g_str_equal(name, "migratable"))
        return set_named_feature(p, name, on, err);
    return true;
}

static bool parse_word(Parse *p, const char *word, GError **err)
{
    const char *equals = strchr(word, '=');
    if (equals) {
        g_autofree char *name = g_strndup(word, equals - word);
        return parse_assignment(p, name, equals + 1, err);
    }
    if (*word == '+' || *word == '-')
        return set_named_feature(p, word + 1, *word == '+', err);
    return parse_assignment(p, word, "on", err);
}

/* What was asked for and cannot be had; NULL if nothing.  Caller frees. */
static char *missing_features(const CpuModel *wanted, const CpuModel *supported)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        if (cpu_has(wanted, f) && !cpu_has(supported, f))
            g_string_append_printf(text, "%s%s", text->len ? ", " : "", cpu_feature_table[f].name);
    return text->len ? g_strdup(text->str) : NULL;
}

static void start_model(CpuModel *m, const CpuModelRow *r, const CpuModel *supported)
{
    model_from_row(m, r);
    if (g_str_equal(r->name, "host"))
        cpu_model_host(m);
    else if (g_str_equal(r->name, "max"))
        memcpy(m->features, supported->features, sizeof(m->features));
    if (g_str_equal(r->name, "host") || g_str_equal(r->name, "max"))
        cut_features(m, supported);
}

bool cpu_model_parse(const char *text, const CpuModel *supported, CpuModel *ret, char **ret_warning, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    const CpuModelRow *r = words[0] ? row_find(words[0]) : NULL;
    if (!r)
        return unknown_model(words[0] ? words[0] : "", err);
    CpuModel m;
    Parse p = { .model = &m };
    start_model(&m, r, supported);
    for (char **word = words + 1; *word; word++)
        if (!parse_word(&p, *word, err))
            return false;
    g_autofree char *missing = missing_features(p.enforce ? &m : &p.asked, supported);
    if (missing && p.enforce)
        return error_set(err, ERR_UNSUPPORTED, "-cpu %s,enforce: this accelerator and host cannot give %s", r->name, missing);
    if (ret_warning)
        *ret_warning = missing ? g_strdup_printf("-cpu %s: left out what this accelerator and host cannot give: %s", r->name, missing) : NULL;
    cut_features(&m, supported);
    m.virt_bits = cpu_has(&m, FEAT_LA57) ? 57 : 48;
    *ret = m;
    return true;
}

char *cpu_model_help(void)
{
    GString *text = g_string_new("CPU models:\n");
    for (const CpuModelRow *r = cpu_model_rows; r->name; r++)
        g_string_append_printf(text, "  %-12s %s\n", r->name, r->doc);
    g_string_append(text, "\nFeatures, for +name, -name or name=on|off:\n");
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        g_string_append_printf(text, "  %-18s %s\n", cpu_feature_table[f].name, cpu_feature_table[f].doc);
    return g_string_free(text, FALSE);
}

/* ---- CPUID */

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

static CpuidRegs leaf_4(const CpuidContext *c, uint32_t subleaf)
{
    if (subleaf >= G_N_ELEMENTS(caches))
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
static CpuidRegs leaf_topology(const CpuidContext *c, uint32_t subleaf)
{
    unsigned thread_bits = bits_for(MAX(c->threads, 1)), core_bits = bits_for(MAX(c->cores, 1));
    CpuidRegs r = { .ecx = subleaf, .edx = c->apic_id };
    if (subleaf == 0)
        r.eax = thread_bits, r.ebx = MAX(c->threads, 1), r.ecx |= 1 << 8;
    else if (subleaf == 1)
        r.eax = thread_bits + core_bits, r.ebx = per_socket(c), r.ecx |= 2 << 8;
    return r;
}

enum { XSAVE_LEGACY = 512 + 64, YMM_OFFSET = 576, YMM_SIZE = 256 };

static CpuidRegs leaf_xsave(const CpuModel *m, const CpuidContext *c, uint32_t subleaf)
{
    uint64_t components = XCR0_X87 | XCR0_SSE | (cpu_has(m, FEAT_AVX) ? XCR0_AVX : 0);
    if (!cpu_has(m, FEAT_XSAVE))
        return (CpuidRegs){ 0 };
    uint32_t enabled = XSAVE_LEGACY + (c->xcr0 & XCR0_AVX ? YMM_SIZE : 0);
    CpuidRegs r = { 0 };
    if (subleaf == 0)
        r = (CpuidRegs){ .eax = components, .ebx = enabled, .ecx = XSAVE_LEGACY + (components & XCR0_AVX ? YMM_SIZE : 0) };
    else if (subleaf == 1)
        r = (CpuidRegs){ .eax = feature_bits(m, 0xd, 1, 0), .ebx = cpu_has(m, FEAT_XSAVEC) || cpu_has(m, FEAT_XSAVES) ? enabled : 0 };
    else if (subleaf == 2 && components & XCR0_AVX)
        r = (CpuidRegs){ .eax = YMM_SIZE, .ebx = YMM_OFFSET };
    return r;
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
static CpuidRegs leaf_amd_l2(void) { return (CpuidRegs){ 0, 0x42004200, 2048u << 16 | 8 << 12 | 1 << 8 | 64, 32u << 18 | 8 << 12 | 1 << 8 | 64 }; }

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

static CpuidRegs extended_leaf(const CpuModel *m, const CpuidContext *c, uint32_t leaf)
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
        return is_intel(m) ? (CpuidRegs){ .ecx = 2048u << 16 | 8 << 12 | 64 } : leaf_amd_l2();
    case 0x80000008:
        return leaf_sizes(m, c);
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
        return leaf_4(c, subleaf);
    case 0xb:
    case 0x1f:
        return leaf_topology(c, subleaf);
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
    if (leaf >= 0x40000000 && leaf <= 0x40000010 && cpu_has(m, FEAT_HYPERVISOR))
        return leaf_hypervisor(m, leaf);
    if (leaf >= 0x80000000 && leaf <= m->xlevel)
        return extended_leaf(m, c, leaf);
    if (leaf <= m->level)
        return basic_leaf(m, c, leaf, subleaf);
    /* Beyond the highest leaf Intel answers with the highest basic one, AMD with zeros. */
    return is_intel(m) ? basic_leaf(m, c, m->level, subleaf) : (CpuidRegs){ 0 };
}
