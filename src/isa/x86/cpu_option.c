/*
 * cpu_option.c - -cpu MODEL,+feature,-feature,property=value,...: what is asked for, cut to what can be had.
 *
 * As in QEMU the properties come first, in their order, then all of +feature, then all of -feature.  On the host's own
 * processor (KVM) a named model has the host's vendor, since SYSCALL and SYSENTER follow that, and what KVM adds itself.
 */
#include "isa/x86/cpu_model.h"

#include <string.h>

#include "base/error.h"
#include "isa/x86/cpu_models.h"

typedef struct Reading {
    CpuModel *model;
    const CpuModel *supported;
    bool check, enforce;
    bool level_set, xlevel_set;
    uint8_t phys_limit;
    GString *idle; /* properties without effect; NULL: nobody asks */
} Reading;

/* ---- errors */

static bool unknown_model(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++)
        if (r->name)
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

/* ---- properties with numbers and text */

static const struct NumberRow { const char *name; size_t off, size; uint64_t min, max; const char *doc; } numbers[] = {
    { "family", offsetof(CpuModel, family), 1, 0, 255, "with model and stepping: what leaf 1 says" },
    { "model", offsetof(CpuModel, model), 1, 0, 255, NULL },
    { "stepping", offsetof(CpuModel, stepping), 1, 0, 15, NULL },
    { "level", offsetof(CpuModel, level), 4, 0, 0x20, "highest leaf" },
    { "min-level", offsetof(CpuModel, level), 4, 0, 0x20, "highest leaf, more where a feature needs it" },
    { "xlevel", offsetof(CpuModel, xlevel), 4, 0, 0x8000003f, "highest extended leaf" },
    { "min-xlevel", offsetof(CpuModel, xlevel), 4, 0, 0x8000003f, "highest extended leaf, more where a feature needs it" },
    { "phys-bits", offsetof(CpuModel, phys_bits), 1, 32, 52, "width of physical addresses" },
};

static bool number_of(const char *name, const char *value, uint64_t min, uint64_t max, uint64_t *ret, GError **err)
{
    char *end;
    uint64_t number = g_ascii_strtoull(value, &end, 0);
    if (!*value || *end || *value == '-' || number < min || number > max)
        return error_set(err, ERR_INVALID, "-cpu: %s takes a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ", not '%s'", name, min, max, value);
    *ret = number;
    return true;
}

static bool set_number(Reading *p, const struct NumberRow *row, const char *value, GError **err)
{
    uint64_t number = 0;
    if (!number_of(row->name, value, row->min, row->max, &number, err))
        return false;
    memcpy((char *)p->model + row->off, &number, row->size);
    p->level_set |= g_str_equal(row->name, "level");
    p->xlevel_set |= g_str_equal(row->name, "xlevel");
    return true;
}

static bool set_tsc_frequency(Reading *p, const char *value, GError **err)
{
    uint64_t hz = 0;
    if (!number_of("tsc-frequency", value, 1000000, 100000000000ull, &hz, err))
        return false;
    p->model->tsc_khz = hz / 1000;
    return true;
}

static bool set_vendor(Reading *p, const char *value, GError **err)
{
    if (strlen(value) != 12)
        return error_set(err, ERR_INVALID, "-cpu: vendor takes 12 characters as in GenuineIntel, not '%s'", value);
    memcpy(p->model->vendor, value, 13);
    return true;
}

static bool set_model_id(Reading *p, const char *value, GError **err)
{
    g_strlcpy(p->model->brand, value, sizeof(p->model->brand));
    return true;
}

static bool set_phys_limit(Reading *p, const char *value, GError **err)
{
    uint64_t bits = 0;
    if (!number_of("host-phys-bits-limit", value, 0, 52, &bits, err))
        return false;
    p->phys_limit = bits;
    return true;
}

static const struct TextRow { const char *name; bool (*set)(Reading *p, const char *value, GError **err); const char *doc; } texts[] = {
    { "vendor", set_vendor, "12 characters, as GenuineIntel" },
    { "model-id", set_model_id, "name of the processor" },
    { "tsc-frequency", set_tsc_frequency, "Hz" },
    { "host-phys-bits-limit", set_phys_limit, "the most that host-phys-bits may take" },
};

/* ---- switches */

static void set_host_phys(Reading *p, bool on)
{
    CpuModel host;
    if (!on)
        return;
    cpu_model_host(&host);
    p->model->phys_bits = host.phys_bits;
}

static void set_check(Reading *p, bool on) { p->check = on; }
static void set_enforce(Reading *p, bool on) { p->enforce = on; }
static void set_l3(Reading *p, bool on) { p->model->no_l3 = !on; }
static void set_leaf_b(Reading *p, bool on) { p->model->no_leaf_b = !on; }
static void set_auto_level(Reading *p, bool on) { p->level_set = p->xlevel_set = !on; }

/* "kvm" is of the leaf that KVM shows, "tcg-cpuid" of the translator's own. */
static void set_kvm(Reading *p, bool on) { p->model->hidden = p->supported->native ? !on : p->model->hidden; }
static void set_own_leaf(Reading *p, bool on) { p->model->hidden = p->supported->native ? p->model->hidden : !on; }

static const struct SwitchRow { const char *name; void (*set)(Reading *p, bool on); const char *doc; } switches[] = {
    { "check", set_check, "warn of features that cannot be had (on)" },
    { "enforce", set_enforce, "refuse to start without them" },
    { "host-phys-bits", set_host_phys, "phys-bits of this host" },
    { "l3-cache", set_l3, "show a cache that all cores share (on)" },
    { "cpuid-0xb", set_leaf_b, "show the topology leaf (on)" },
    { "full-cpuid-auto-level", set_auto_level, "raise level and xlevel where a feature needs it (on)" },
    { "kvm", set_kvm, "with KVM: show its leaf (on)" },
    { "tcg-cpuid", set_own_leaf, "without KVM: show Atoll's leaf (on)" },
};

/* Taken, so that a command line made for QEMU works, and without effect; with a warning unless the value is what we do
 * anyway.  A name that ends with - stands for all that begin so; "*" is any value. */
static const struct IdleRow { const char *name, *ours; } idle[] = {
    { "hv-", "off" }, { "vmx-", "off" }, { "kvm-hint-dedicated", "off" }, { "migratable", "*" }, { "pmu", "off" }, { "lmce", "off" }, { "lbr-fmt", "0" },
    { "legacy-cache", "*" }, { "host-cache-info", "off" }, { "vmware-cpuid-freq", "on" }, { "fill-mtrr-mask", "on" }, { "start-powered-off", "off" },
    { "kvm-no-smi-migration", "off" }, { "kvm-pv-enforce-cpuid", "off" }, { "xlevel2", "0" }, { "min-xlevel2", "0" }, { "ucode-rev", "0" }, { "x-", "off" },
};

/* ---- reading */

static bool is_named(const char *row, const char *name)
{
    size_t length = strlen(row);
    g_autofree char *plain = g_strdelimit(g_strdup(name), "_", '-');
    return row[length - 1] == '-' ? g_str_has_prefix(plain, row) : g_str_equal(row, plain);
}

static bool parse_switch(const char *value, bool *ret)
{
    *ret = g_str_equal(value, "on") || g_str_equal(value, "true") || g_str_equal(value, "yes");
    return *ret || g_str_equal(value, "off") || g_str_equal(value, "false") || g_str_equal(value, "no");
}

static bool switch_of(const char *name, const char *value, bool *ret, GError **err)
{
    return parse_switch(value, ret) || error_set(err, ERR_INVALID, "-cpu: '%s' takes on or off, not '%s'", name, value);
}

static void note_idle(Reading *p, const struct IdleRow *row, const char *name, const char *value)
{
    bool on, ours;
    bool same = g_str_equal(row->ours, "*") || g_str_equal(row->ours, value) ||
                (parse_switch(value, &on) && parse_switch(row->ours, &ours) && on == ours);
    if (!same && p->idle)
        g_string_append_printf(p->idle, "%s%s", p->idle->len ? ", " : "", name);
}

static bool set_feature(Reading *p, const char *name, const char *value, GError **err)
{
    CpuFeature f = cpu_feature_find(name);
    bool on;
    if (f == FEAT_ALWAYS)
        return unknown_feature(name, err);
    if (!switch_of(name, value, &on, err))
        return false;
    cpu_model_set(p->model, f, on);
    return true;
}

static bool set_property(Reading *p, const char *name, const char *value, GError **err)
{
    bool on;
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (is_named(numbers[i].name, name))
            return set_number(p, &numbers[i], value, err);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        if (is_named(texts[i].name, name))
            return texts[i].set(p, value, err);
    for (unsigned i = 0; i < G_N_ELEMENTS(switches); i++) {
        if (!is_named(switches[i].name, name))
            continue;
        if (!switch_of(name, value, &on, err))
            return false;
        switches[i].set(p, on);
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(idle); i++) {
        if (!is_named(idle[i].name, name))
            continue;
        note_idle(p, &idle[i], name, value);
        return true;
    }
    return set_feature(p, name, value, err);
}

static bool read_property(Reading *p, const char *word, GError **err)
{
    const char *equals = strchr(word, '=');
    g_autofree char *name = g_strndup(word, equals ? (size_t)(equals - word) : strlen(word));
    return set_property(p, name, equals ? equals + 1 : "on", err);
}

static bool read_words(Reading *p, const char *const *words, GError **err)
{
    for (const char *const *w = words; *w; w++)
        if (**w != '+' && **w != '-' && !read_property(p, *w, err))
            return false;
    for (const char *sign = "+-"; *sign; sign++)
        for (const char *const *w = words; *w; w++)
            if (**w == *sign && !set_property(p, *w + 1, *sign == '+' ? "on" : "off", err))
                return false;
    return true;
}

/* ---- from a row to a model */

/* What KVM's guests have or have not unless -cpu says so: as QEMU with -accel kvm. */
static void take_native(CpuModel *m, const CpuModel *supported)
{
    static const uint32_t KVM_LEAF = 0x40000001, SVM_LEAF = 0x8000000a;
    memcpy(m->vendor, supported->vendor, sizeof(m->vendor));
    cpu_model_set(m, FEAT_X2APIC, cpu_has(supported, FEAT_X2APIC));
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        uint32_t leaf = cpu_feature_table[f].leaf;
        if (leaf == KVM_LEAF)
            cpu_model_set(m, f, cpu_has(supported, f));
        if (leaf == SVM_LEAF || f == FEAT_SVM || f == FEAT_MONITOR || f == FEAT_ACPI)
            cpu_model_set(m, f, false);
    }
}

static void start_host(CpuModel *m, const CpuModel *supported)
{
    cpu_model_host(m);
    for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++)
        m->features[i] = supported->native ? supported->features[i] : m->features[i] & supported->features[i];
}

static void start_model(CpuModel *m, const CpuModelRow *r, const char *name, const CpuModel *supported)
{
    if (g_str_equal(name, "host") || (g_str_equal(name, "max") && supported->native)) {
        start_host(m, supported);
    } else {
        cpu_model_from_row(m, r);
        cpu_model_set(m, FEAT_HYPERVISOR, !g_str_equal(name, "base"));
        if (g_str_equal(name, "max"))
            memcpy(m->features, supported->features, sizeof(m->features));
        else if (supported->native && !g_str_equal(name, "base"))
            take_native(m, supported);
    }
    g_strlcpy(m->name, name, sizeof(m->name));
}

static uint8_t usual_phys_bits(const CpuModel *m)
{
    return cpu_has(m, FEAT_LM) ? 40 : cpu_has(m, FEAT_PAE) || cpu_has(m, FEAT_PSE36) ? 36 : 32;
}

static void raise_levels(Reading *p)
{
    CpuModel *m = p->model;
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        const CpuFeatureInfo *i = &cpu_feature_table[f];
        bool extended = i->leaf & 0x80000000;
        if (!cpu_has(m, f) || i->reg == CPU_REG_MSR || (!extended && i->leaf >= 0x40000000))
            continue;
        if (extended && !p->xlevel_set)
            m->xlevel = MAX(m->xlevel, i->leaf);
        else if (!extended && !p->level_set)
            m->level = MAX(m->level, i->leaf);
    }
}

static bool read_model(Reading *p, const char *const *words, GError **err)
{
    const char *name = *words ? *words : "";
    const CpuModelRow *r = cpu_model_row_find(name);
    if (!r)
        return unknown_model(name, err);
    CpuModel *m = p->model;
    start_model(m, r, name, p->supported);
    if (*words && !read_words(p, words + 1, err))
        return false;
    raise_levels(p);
    if (!m->phys_bits)
        m->phys_bits = p->supported->native ? MIN(usual_phys_bits(m), p->supported->phys_bits) : usual_phys_bits(m);
    if (p->phys_limit)
        m->phys_bits = MIN(m->phys_bits, p->phys_limit);
    return true;
}

bool cpu_model_read(const char *const *words, const CpuModel *supported, CpuModel *ret, GError **err)
{
    CpuModel m;
    Reading p = { .model = &m, .supported = supported };
    if (!read_model(&p, words, err))
        return false;
    *ret = m;
    return true;
}

/* ---- what can be had */

static void cut_to(CpuModel *m, const CpuModel *supported)
{
    for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++) {
        m->lacks[i] = m->features[i] & ~supported->features[i];
        m->features[i] &= supported->features[i];
    }
    m->virt_bits = cpu_has(m, FEAT_LA57) ? 57 : 48;
}

/* NULL if nothing is.  Caller frees. */
static char *lacking(const CpuModel *m)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        if (m->lacks[f / 64] >> (f % 64) & 1)
            g_string_append_printf(text, "%s%s", text->len ? ", " : "", cpu_feature_table[f].name);
    return text->len ? g_strdup(text->str) : NULL;
}

static char *warning_of(const CpuModel *m, const char *missing, const GString *idle)
{
    if (!missing && !idle->len)
        return NULL;
    return g_strdup_printf("-cpu %s: %s%s%s%s%s", m->name, missing ? "this accelerator and host lack " : "", missing ? missing : "",
                           missing ? ", left out" : "", missing && idle->len ? "; without effect: " : idle->len ? "without effect: " : "", idle->str);
}

bool cpu_model_parse(const char *text, const CpuModel *supported, CpuModel *ret, char **ret_warning, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    g_autoptr(GString) idle_names = g_string_new(NULL);
    CpuModel m;
    Reading p = { .model = &m, .supported = supported, .check = true, .idle = idle_names };
    if (!read_model(&p, (const char *const *)words, err))
        return false;
    cut_to(&m, supported);
    g_autofree char *missing = lacking(&m);
    if (missing && p.enforce)
        return error_set(err, ERR_UNSUPPORTED, "-cpu %s,enforce: this accelerator and host lack %s; without 'enforce' that is left out", m.name, missing);
    if (ret_warning)
        *ret_warning = warning_of(&m, p.check ? missing : NULL, idle_names);
    *ret = m;
    return true;
}

/* ---- help */

static void help_model(GString *text, const CpuModelRow *r)
{
    g_autofree char *version = r->version ? cpu_model_row_versioned(r) : NULL;
    const char *doc = r->doc ? r->doc : r->brand ? r->brand : "";
    if (r->name && version)
        g_string_append_printf(text, "  %-26s %s\n", r->name, doc);
    g_string_append_printf(text, "  %-26s %s%s\n", version ? version : r->name, version && r->name ? "the same as " : doc, version && r->name ? r->name : "");
}

static void help_property(GString *text, const char *name, const char *doc)
{
    if (doc)
        g_string_append_printf(text, "  %-26s %s\n", name, doc);
    else
        g_string_append_printf(text, "  %s\n", name);
}

char *cpu_model_help(void)
{
    GString *text = g_string_new("CPU models:\n");
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++)
        help_model(text, r);
    g_string_append(text, "\nProperties, for name=value:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++)
        help_property(text, numbers[i].name, numbers[i].doc);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        help_property(text, texts[i].name, texts[i].doc);
    for (unsigned i = 0; i < G_N_ELEMENTS(switches); i++)
        help_property(text, switches[i].name, switches[i].doc);
    g_string_append(text, "\nFeatures, for +name, -name or name=on|off:\n");
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        help_property(text, cpu_feature_table[f].name, cpu_feature_table[f].doc);
    return g_string_free(text, FALSE);
}
