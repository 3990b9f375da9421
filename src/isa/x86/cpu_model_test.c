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

static const CpuidContext two_cores = { .apic_id = 1, .sockets = 1, .cores = 2, .threads = 1, .cr4 = 0x40000, .xcr0 = 7, .apic_base = 0xfee00900 };

/* A feature's name in a row that features.txt does not have would silently vanish. */
static void test_rows_name_real_features(void)
{
    for (const CpuModelRow *r = cpu_model_rows; r->name; r++) {
        g_auto(GStrv) names = g_strsplit(r->features ? r->features : "fpu", " ", -1);
        for (char **n = names; *n; n++) {
            g_autofree char *text = g_strdup_printf("486,+%s", *n);
            CpuModel all = everything(), m;
            g_autoptr(GError) err = NULL;
            cpu_model_parse(text, &all, &m, NULL, &err);
            g_assert_no_error(err);
        }
    }
}

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
    static const char *const bad[][2] = { { "qemu65", "qemu64" }, { "qemu64,+avx22", "avx2" }, { "qemu64,nx=perhaps", "on or off" },
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
    g_test_add_func("/isa/cpu-model/parse", test_parse);
    g_test_add_func("/isa/cpu-model/bounds", test_bounds);
    g_test_add_func("/isa/cpu-model/leaves", test_leaves);
    g_test_add_func("/isa/cpu-model/max", test_max);
    return g_test_run();
}
