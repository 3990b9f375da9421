/* cpu_model_test.c - -cpu text and CPUID leaves. */
#include "isa/x86/cpu_model.h"

#include <string.h>

#include "base/error.h"
#include "isa/x86/cpu_models.h"

static CpuModel everything(void)
{
    CpuModel m = { 0 };
    memset(m.features, 0xff, sizeof(m.features));
    return m;
}

static const CpuidContext one_core = { .sockets = 1, .cores = 1, .threads = 1, .apic_base = 0xfee00900 };
static const CpuidContext two_cores = { .apic_id = 1, .sockets = 1, .cores = 2, .threads = 1, .cr4 = 0x40000, .xcr0 = 7, .apic_base = 0xfee00900 };

/* A feature's name in a list that features.txt does not have would silently vanish. */
static void assert_features(const char *names)
{
    g_auto(GStrv) each = g_strsplit(names ? names : "", " ", -1);
    for (char **n = each; *n; n++)
        if (cpu_feature_find(*n) == FEAT_ALWAYS)
            g_error("there is no feature '%s'", *n);
}

static void test_rows_name_real_features(void)
{
    assert_features(cpu_features_own);
    assert_features(cpu_features_by_host);
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++) {
        assert_features(r->add);
        assert_features(r->cut);
        g_assert_true(!r->parent || cpu_model_row_find(r->parent));
    }
}

/* A later version stands behind the one that it follows, and both names lead to one row. */
static void test_versions(void)
{
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++) {
        g_assert_true(!r->name || cpu_model_row_find(r->name) == r);
        if (!r->version)
            continue;
        g_autofree char *name = cpu_model_row_versioned(r);
        g_assert_true(cpu_model_row_find(name) == r);
        g_assert_true(r->version == 1 ? !r->of : r[-1].version == r->version - 1);
    }
    g_assert_null(cpu_model_row_find("Nehalem-v3"));
    g_assert_null(cpu_model_row_find("Nehalem-v"));
    g_assert_null(cpu_model_row_find("max-v1"));
}

/* ---- every model against a text */

static void append_leaf(GString *s, const CpuModel *m, uint32_t leaf, uint32_t subleaf)
{
    CpuidRegs r = cpu_model_cpuid(m, &one_core, leaf, subleaf);
    if (r.eax | r.ebx | r.ecx | r.edx)
        g_string_append_printf(s, "  %08x.%u %08x %08x %08x %08x\n", leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
}

static void append_model(GString *s, const char *name)
{
    static const struct { uint32_t leaf, subleaf; } leaves[] = {
        { 0, 0 }, { 1, 0 }, { 6, 0 }, { 7, 0 }, { 7, 1 }, { 0xd, 0 }, { 0xd, 1 }, { 0x80000000, 0 }, { 0x80000001, 0 }, { 0x80000007, 0 },
        { 0x80000008, 0 }, { 0x8000000a, 0 }, { 0x80000021, 0 },
    };
    CpuModel all = everything(), m;
    g_assert_true(cpu_model_parse(name, &all, &m, NULL, NULL));
    g_string_append_printf(s, "%s '%s'\n", name, m.brand);
    for (unsigned i = 0; i < G_N_ELEMENTS(leaves); i++)
        if (leaves[i].leaf <= (leaves[i].leaf & 0x80000000 ? m.xlevel : m.level))
            append_leaf(s, &m, leaves[i].leaf, leaves[i].subleaf);
    if (cpu_model_msr(&m, 0x10a))
        g_string_append_printf(s, "  msr 0000010a %08x\n", (unsigned)cpu_model_msr(&m, 0x10a));
}

static char *golden_path(void)
{
    const char *file = __FILE__; /* as seen from the build directory; run by hand, from the one above */
    if (!g_file_test(file, G_FILE_TEST_EXISTS) && g_str_has_prefix(file, "../"))
        file += 3;
    g_autofree char *folder = g_path_get_dirname(file);
    return g_build_filename(folder, "cpu_models.golden", NULL);
}

static void test_golden(void)
{
    g_autofree char *path = golden_path(), *wanted = NULL;
    g_autoptr(GString) s = g_string_new("# What each model's CPUID says, of a processor alone: leaf.subleaf eax ebx ecx edx.\n");
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++) {
        g_autofree char *version = r->version ? cpu_model_row_versioned(r) : NULL;
        if (!cpu_model_row_is_fixed(r))
            append_model(s, version ? version : r->name);
    }
    if (!g_strcmp0(g_getenv("ATOLL_GOLDEN"), "write"))
        g_assert_true(g_file_set_contents(path, s->str, -1, NULL));
    g_assert_true(g_file_get_contents(path, &wanted, NULL, NULL));
    if (g_strcmp0(s->str, wanted))
        g_error("%s is not what the models are (ATOLL_GOLDEN=write writes it anew); now they are:\n%s", path, s->str);
}

static void test_32_bit(void)
{
    static const char *const names[] = { "486", "pentium", "pentium2", "pentium3", "qemu32", "kvm32", "athlon", "n270", "coreduo", NULL };
    CpuModel all = everything(), m;
    for (const CpuModelRow *r = cpu_model_rows; !cpu_model_row_is_last(r); r++) {
        bool small = r->name && g_strv_contains(names, r->name);
        if (!r->name || cpu_model_row_is_fixed(r) || g_str_equal(r->name, "base"))
            continue;
        g_assert_true(cpu_model_parse(r->name, &all, &m, NULL, NULL));
        g_assert_true(cpu_has(&m, FEAT_LM) == !small);
        g_assert_true(small ? m.phys_bits <= 36 : m.phys_bits == 40);
    }
}

/* ---- the text of -cpu */

static void test_parse(void)
{
    CpuModel all = everything(), m;
    g_autoptr(GError) err = NULL;
    g_assert_true(cpu_model_parse("qemu64,+avx2,-sse4.2,nx=off,family=6,vendor=GenuineIntel", &all, &m, NULL, &err));
    g_assert_true(cpu_has(&m, FEAT_AVX2));
    g_assert_true(cpu_has(&m, FEAT_LM));
    g_assert_true(cpu_has(&m, FEAT_SSE2)); /* from its parent */
    g_assert_false(cpu_has(&m, FEAT_NX));
    g_assert_cmpuint(m.family, ==, 6);
    static const char *const bad[][2] = { { "Nehalen", "Nehalem" }, { "qemu64,phys-bits=7", "from 32 to 52" }, { "qemu65", "qemu64" }, { "qemu64,+avx22", "avx2" }, { "qemu64,nx=perhaps", "on or off" },
                                          { "qemu64,family=x", "number" }, { "", "no CPU model" }, { "qemu64,vendor=me", "12 characters" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) bad_err = NULL;
        g_assert_false(cpu_model_parse(bad[i][0], &all, &m, NULL, &bad_err));
        g_assert_nonnull(strstr(bad_err->message, bad[i][1]));
    }
}

static void test_bounds(void)
{
    CpuModel none = { 0 }, m;
    g_autofree char *warning = NULL;
    g_autoptr(GError) err = NULL;
    g_assert_true(cpu_model_parse("486,+avx2", &none, &m, &warning, NULL));
    g_assert_nonnull(strstr(warning, "avx2"));
    g_assert_false(cpu_has(&m, FEAT_AVX2));
    g_assert_false(cpu_model_parse("486,enforce", &none, &m, NULL, &err));
    g_assert_nonnull(strstr(err->message, "fpu"));
}

/* -feature wins over +feature and both over name=on, wherever they stand; - _ and . are alike. */
static void test_order(void)
{
    CpuModel all = everything(), m;
    g_assert_true(cpu_model_parse("qemu64,-avx,+avx,avx=on,+sse4_1,+sse4-2,tsc_adjust=on", &all, &m, NULL, NULL));
    g_assert_false(cpu_has(&m, FEAT_AVX));
    g_assert_true(cpu_has(&m, FEAT_SSE4_1) && cpu_has(&m, FEAT_SSE4_2) && cpu_has(&m, FEAT_TSC_ADJUST));
}

static void test_levels(void)
{
    CpuModel all = everything(), m;
    g_assert_true(cpu_model_parse("pentium3,+smep,+lm", &all, &m, NULL, NULL));
    g_assert_cmphex(m.level, ==, 7);
    g_assert_cmphex(m.xlevel, ==, 0x80000001);
    g_assert_true(cpu_model_parse("pentium3,+smep,level=3", &all, &m, NULL, NULL));
    g_assert_cmphex(m.level, ==, 3);
    g_assert_true(cpu_model_parse("qemu64,phys-bits=44,l3-cache=off,cpuid-0xb=off,tcg-cpuid=off", &all, &m, NULL, NULL));
    g_assert_cmpuint(cpu_model_cpuid(&m, &two_cores, 0x80000008, 0).eax & 0xff, ==, 44);
    g_assert_cmpuint(cpu_model_cpuid(&m, &two_cores, 4, 3).eax, ==, 0);
    g_assert_cmpuint(cpu_model_cpuid(&m, &two_cores, 0xb, 0).ebx, ==, 0);
    g_assert_cmpuint(cpu_model_cpuid(&m, &two_cores, 0x40000000, 0).ebx, ==, 0);
}

/* What QEMU knows and is without effect here: one warning, and none for what we do anyway. */
static void test_idle(void)
{
    CpuModel all = everything(), m;
    g_autofree char *warning = NULL, *none = NULL;
    g_assert_true(cpu_model_parse("qemu64,hv_relaxed,hv-spinlocks=0x1fff,hv-vapic=off,migratable=off,pmu=off,+x-migrate-smi-count", &all, &m, &warning, NULL));
    g_assert_cmpstr(warning, ==, "-cpu qemu64: without effect: hv_relaxed, hv-spinlocks, x-migrate-smi-count");
    g_assert_true(cpu_model_parse("qemu64,kvm=off,pmu=off,check=off", &all, &m, &none, NULL));
    g_assert_null(none);
    CpuModel nothing = { 0 };
    g_assert_true(cpu_model_parse("Haswell,check=off", &nothing, &m, &none, NULL));
    g_assert_null(none);
    g_assert_true(m.lacks[FEAT_HLE / 64] >> (FEAT_HLE % 64) & 1);
}

/* On the host's own processor: its vendor, what KVM gives, and not what KVM's guests have only when asked. */
static void test_native(void)
{
    CpuModel kvm = everything(), m;
    kvm.native = true;
    kvm.phys_bits = 39;
    g_strlcpy(kvm.vendor, "GenuineIntel", sizeof(kvm.vendor));
    g_assert_true(cpu_model_parse("EPYC", &kvm, &m, NULL, NULL));
    g_assert_cmpstr(m.vendor, ==, "GenuineIntel");
    g_assert_cmpuint(m.phys_bits, ==, 39);
    g_assert_true(cpu_has(&m, FEAT_X2APIC) && cpu_has(&m, FEAT_KVMCLOCK));
    g_assert_false(cpu_has(&m, FEAT_SVM) || cpu_has(&m, FEAT_MONITOR) || cpu_has(&m, FEAT_NPT));
    g_assert_true(cpu_model_parse("EPYC,+svm,-kvmclock,vendor=AuthenticAMD,kvm=off", &kvm, &m, NULL, NULL));
    g_assert_true(cpu_has(&m, FEAT_SVM) && !cpu_has(&m, FEAT_KVMCLOCK) && m.hidden);
    g_assert_cmpstr(m.vendor, ==, "AuthenticAMD");
}

static void test_topoext(void)
{
    CpuidContext four = { .apic_id = 3, .sockets = 1, .cores = 2, .threads = 2, .apic_base = 0xfee00900 };
    CpuModel all = everything(), m;
    g_assert_true(cpu_model_parse("EPYC", &all, &m, NULL, NULL));
    CpuidRegs r = cpu_model_cpuid(&m, &four, 0x8000001e, 0);
    g_assert_cmpuint(r.eax, ==, 3);
    g_assert_cmphex(r.ebx, ==, 0x101); /* core 1, two threads a core */
    g_assert_cmphex(cpu_model_cpuid(&m, &four, 0x8000001d, 3).eax >> 14, ==, 3); /* four share the L3 cache */
}

static void test_leaves(void)
{
    CpuModel all = everything(), m;
    g_assert_true(cpu_model_parse("x86-64-v3", &all, &m, NULL, NULL));
    CpuidRegs r = cpu_model_cpuid(&m, &two_cores, 0, 0);
    g_assert_cmpuint(r.eax, ==, 0xd);
    g_assert_cmpmem(&r.ebx, 4, "Auth", 4);
    r = cpu_model_cpuid(&m, &two_cores, 1, 0);
    g_assert_cmphex(r.eax, ==, 0x00060fb1); /* family 15, model 107, stepping 1, as QEMU's qemu64 */
    g_assert_cmphex(r.ebx >> 24, ==, 1);
    g_assert_true(r.ecx >> 27 & 1); /* OSXSAVE follows CR4 */
    g_assert_true(r.edx >> 28 & 1); /* HT: two logical processors */
    r = cpu_model_cpuid(&m, &two_cores, 7, 0);
    g_assert_true(r.ebx >> 5 & 1); /* AVX2 */
    r = cpu_model_cpuid(&m, &two_cores, 0xb, 1);
    g_assert_cmpuint(r.ebx, ==, 2);
    r = cpu_model_cpuid(&m, &two_cores, 0xd, 0);
    g_assert_cmpuint(r.eax, ==, 7);
    g_assert_cmpuint(r.ebx, ==, 832);
    r = cpu_model_cpuid(&m, &two_cores, 0x40000000, 0);
    g_assert_cmpmem(&r.ebx, 5, "Atoll", 5);
    r = cpu_model_cpuid(&m, &two_cores, 0x80000001, 0);
    g_assert_true(r.edx >> 29 & 1); /* LM */
    r = cpu_model_cpuid(&m, &two_cores, 0x12345678, 0);
    g_assert_cmpuint(r.eax, ==, 0);
}

static void test_max(void)
{
    CpuModel m;
    cpu_model_max(&m);
    g_assert_true(cpu_has(&m, FEAT_LM));
    g_assert_true(cpu_has(&m, FEAT_XSAVE));
    g_assert_false(cpu_has(&m, FEAT_AVX512F));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/isa/cpu-model/rows", test_rows_name_real_features);
    g_test_add_func("/isa/cpu-model/versions", test_versions);
    g_test_add_func("/isa/cpu-model/golden", test_golden);
    g_test_add_func("/isa/cpu-model/32-bit", test_32_bit);
    g_test_add_func("/isa/cpu-model/parse", test_parse);
    g_test_add_func("/isa/cpu-model/order", test_order);
    g_test_add_func("/isa/cpu-model/levels", test_levels);
    g_test_add_func("/isa/cpu-model/idle", test_idle);
    g_test_add_func("/isa/cpu-model/native", test_native);
    g_test_add_func("/isa/cpu-model/topoext", test_topoext);
    g_test_add_func("/isa/cpu-model/bounds", test_bounds);
    g_test_add_func("/isa/cpu-model/leaves", test_leaves);
    g_test_add_func("/isa/cpu-model/max", test_max);
    return g_test_run();
}
