/* cpu_state_test.c - the field table accounts for CpuState; reset, start-up interrupt, dump and difference. */
#include "isa/x86/cpu_state.h"

#include <glib.h>
#include <string.h>

static void mark(uint8_t *map, const Field *table, size_t at)
{
    for (const Field *f = table; f->name; f++)
        for (unsigned i = 0; i < f->n; i++) {
            size_t step = f->bytes / f->n, off = at + f->off + i * step;
            if (f->type == FT_STRUCT)
                mark(map, f->sub, off);
            else
                for (size_t k = 0; k < step; k++)
                    map[off + k]++;
        }
}

/* Every byte belongs to one field, or is padding before a member that starts aligned. */
static void test_every_byte_accounted_for(void)
{
    uint8_t map[sizeof(CpuState)] = { 0 };
    unsigned missing = 0;
    mark(map, cpu_state_fields, 0);
    for (size_t i = 0; i < sizeof(CpuState); i++) {
        g_assert_cmpuint(map[i], <=, 1);
        missing += map[i] == 0;
    }
    unsigned segments = (SEG_COUNT + 2) * (sizeof(Segment) - 18), tables = 2 * (sizeof(DescriptorTable) - 10);
    unsigned tail = sizeof(CpuState) - offsetof(CpuState, sipi_vector) - 1;
    g_assert_cmpuint(missing, ==, segments + tables + tail);
}

static void test_reset(void)
{
    CpuState s;
    memset(&s, 0xa5, sizeof(s));
    cpu_state_reset(&s, true, false);
    g_assert_cmphex(s.rip, ==, 0xfff0);
    g_assert_cmphex(s.seg[SEG_CS].base + s.rip, ==, 0xfffffff0);
    g_assert_cmphex(s.seg[SEG_DS].attr, ==, 0x93);
    g_assert_cmphex(s.cr0, ==, 0x60000010);
    g_assert_cmphex(s.rflags, ==, 2);
    g_assert_cmphex(s.apic_base, ==, 0xfee00900);
    g_assert_cmphex(s.fpu.fcw, ==, 0x40);
    g_assert_cmphex(s.fpu.mxcsr, ==, 0x1f80);
    g_assert_cmphex(s.fpu.xmm[3].bytes[5], ==, 0);
    g_assert_cmphex(s.dr[6], ==, 0xffff0ff0);
    g_assert_cmpuint(s.activity, ==, CPU_RUNNING);
}

static void test_init_keeps(void)
{
    CpuState s;
    memset(&s, 0, sizeof(s));
    cpu_state_reset(&s, false, false);
    s.fpu.xmm[1].bytes[0] = 7;
    s.pat = 1;
    s.mtrr_fixed[3] = 2;
    s.cr0 = CR0_PE | CR0_NW;
    s.cr3 = 0x1000;
    s.efer = EFER_LMA;
    s.gpr[GPR_R9] = 9;
    cpu_state_reset(&s, false, true);
    g_assert_cmphex(s.fpu.xmm[1].bytes[0], ==, 7);
    g_assert_cmphex(s.pat, ==, 1);
    g_assert_cmphex(s.mtrr_fixed[3], ==, 2);
    g_assert_cmphex(s.cr0, ==, CR0_NW | CR0_ET);
    g_assert_cmphex(s.cr3 | s.efer | s.gpr[GPR_R9], ==, 0);
    g_assert_cmphex(s.apic_base, ==, 0xfee00800);
    g_assert_cmpuint(s.activity, ==, CPU_WAIT_SIPI);
}

static void test_sipi(void)
{
    CpuState s = { 0 };
    cpu_state_reset(&s, false, false);
    cpu_state_sipi(&s, 0x9a);
    g_assert_cmphex(s.seg[SEG_CS].selector, ==, 0x9a00);
    g_assert_cmphex(s.seg[SEG_CS].base + s.rip, ==, 0x9a000);
    g_assert_cmpuint(s.activity, ==, CPU_RUNNING);
}

static void test_diff(void)
{
    CpuState a = { 0 }, b;
    cpu_state_reset(&a, true, false);
    memcpy(&b, &a, sizeof(b));
    g_autofree char *none = cpu_state_diff(&a, &b);
    g_assert_cmpstr(none, ==, "");
    b.gpr[GPR_RBX] = 5;
    b.seg[SEG_FS].base = 0x1234;
    b.fpu.ymm_high[15].bytes[1] = 1;
    g_autofree char *three = cpu_state_diff(&a, &b);
    g_assert_cmpstr(three, ==, "fpu.ymm_high[15].bytes[1]: 0x0, 0x1\ngpr[3]: 0x0, 0x5\nseg[4].base: 0x0, 0x1234\n");
}

static void test_dump(void)
{
    CpuState s = { 0 };
    cpu_state_reset(&s, true, false);
    s.gpr[GPR_RDX] = 0x663;
    s.rflags |= RFLAGS_ZF;
    g_autofree char *text = cpu_state_dump(&s);
    g_assert_nonnull(strstr(text, "RDX=0000000000000663\n"));
    g_assert_nonnull(strstr(text, "RIP=000000000000fff0 RFL=00000042 [---Z---] CPL=0"));
    g_assert_nonnull(strstr(text, "CS =f000 00000000ffff0000 0000ffff 0009b\n"));
    g_assert_nonnull(strstr(text, "CR0=60000010"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/isa/cpu-state/every-byte", test_every_byte_accounted_for);
    g_test_add_func("/isa/cpu-state/reset", test_reset);
    g_test_add_func("/isa/cpu-state/init", test_init_keeps);
    g_test_add_func("/isa/cpu-state/sipi", test_sipi);
    g_test_add_func("/isa/cpu-state/diff", test_diff);
    g_test_add_func("/isa/cpu-state/dump", test_dump);
    return g_test_run();
}
