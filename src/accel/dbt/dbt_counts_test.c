/*
 * dbt_counts_test.c - how many host instructions each row of insns.txt becomes: compared with dbt_counts.txt, which is
 * written anew by
 *
 *     build/src/accel-dbt_counts_test --write
 *
 * so that what a change does to translated code is read in its diff.  Each form stands alone in front of one that writes all
 * flags; counted is what is executed where nothing misses.  "C": C code executes it.
 */
#include <glib/gstdio.h>

#include "accel/dbt/dbt.h"
#include "accel/interp/test_guest.h"
#include "isa/x86/insn_example.h"

enum { FIRST = 0x100000, STEP = 64, TAIL = 3 };
static const uint8_t tail[TAIL] = { 0x85, 0xc0, 0xf4 }; /* test eax, eax; hlt */

static unsigned count_instructions(const uint8_t *code, size_t n)
{
    unsigned count = 0;
    for (size_t at = 0; at < n; count++) {
        Insn i;
        at += insn_decode(code + at, MIN(n - at, INSN_MAX_BYTES), CODE64, &i) == DECODE_OK ? i.length : 1;
    }
    return count;
}

typedef struct Counter {
    Guest g;
    DbtVcpu *v;
    uint64_t at;
    unsigned tail; /* host instructions of what follows */
} Counter;

static DbtBlock *translate(Counter *c, const uint8_t *code, size_t n)
{
    c->at += STEP;
    memcpy(c->g.ram + c->at, code, n);
    memcpy(c->g.ram + c->at + n, tail, TAIL);
    c->v->i.s.rip = c->at;
    return dbt_block_get(c->v);
}

static Counter counter_create(CodeSize size)
{
    Counter c = { .g = guest_create(1, size), .at = FIRST };
    CpuState s = guest_state(&c.g);
    s.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    s.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    guest_set(&c.g, 0, &s);
    c.v = (DbtVcpu *)guest_vcpu(&c.g, 0);
    dbt_update_mode(c.v);
    const DbtBlock *b = translate(&c, NULL, 0);
    c.tail = count_instructions(b->entry, b->hot_bytes);
    return c;
}

static void count_form(Counter *c, GString *out, InsnExample *e, const char *form)
{
    uint8_t code[INSN_MAX_BYTES];
    size_t n = insn_encode(e, code);
    if (!n)
        return;
    const DbtBlock *b = translate(c, code, n);
    const InsnRow *row = &insn_rows[e->row];
    g_string_append_printf(out, "%s %-4s %s | %s | %s", e->size == CODE64 ? "64" : "32", form, row->name, row->encoding, row->operands);
    g_assert_nonnull(b);
    unsigned others = b->n_insns > 1;
    if (b->n_called > others)
        g_string_append(out, " | C\n");
    else
        g_string_append_printf(out, " | %u\n", count_instructions(b->entry, b->hot_bytes) - (others ? c->tail : 0));
}

static void count_row(Counter *c, GString *out, unsigned row, CodeSize size)
{
    InsnForms forms = insn_row_forms(row);
    if (!(forms.modes >> size & 1))
        return;
    InsnExample e = insn_example(row, size);
    e.reg = 1, e.rm = 2, e.vvvv = 3, e.imm = 5;
    if (forms.reg)
        count_form(c, out, &e, "reg");
    e.memory = true, e.base = GPR_RSI, e.disp = 16;
    if (forms.vsib)
        e.index = 5, e.reg = 2;
    if (forms.mem)
        count_form(c, out, &e, "mem");
}

static char *counts_path(void)
{
    const char *file = __FILE__; /* as seen from the build directory; run by hand, from the one above */
    if (!g_file_test(file, G_FILE_TEST_EXISTS) && g_str_has_prefix(file, "../"))
        file += 3;
    g_autofree char *folder = g_path_get_dirname(file);
    return g_build_filename(folder, "dbt_counts.txt", NULL);
}

static GString *all_counts(void)
{
    static const CodeSize sizes[] = { CODE64, CODE32 };
    GString *out = g_string_new("# Host instructions of each row of insns.txt: mode, form, name, encoding, operands, count.  See dbt_counts_test.c.\n");
    for (unsigned n = 0; n < G_N_ELEMENTS(sizes); n++) {
        Counter c = counter_create(sizes[n]);
        for (unsigned row = 0; row < insn_row_count; row++)
            count_row(&c, out, row, sizes[n]);
        guest_destroy(&c.g);
    }
    return out;
}

/* The first lines that differ say enough. */
static void test_counts(void)
{
#ifdef __SANITIZE_ADDRESS__
    g_test_skip("sanitizer builds look addresses up in another way");
    return;
#endif
    enum { MOST = 20 };
    g_autofree char *path = counts_path(), *text = NULL;
    g_autoptr(GString) now = all_counts();
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) want = g_strsplit(text, "\n", -1);
    g_auto(GStrv) have = g_strsplit(now->str, "\n", -1);
    unsigned differ = 0;
    for (unsigned n = 0; want[n] && have[n] && differ < MOST; n++)
        if (strcmp(want[n], have[n]) != 0) {
            g_test_message("- %s", want[n]);
            g_test_message("+ %s", have[n]);
            differ++;
        }
    if (differ || g_strv_length(want) != g_strv_length(have))
        g_test_fail_printf("%s: look at the difference, and write it anew with --write", path);
}

int main(int argc, char **argv)
{
    g_setenv("ATOLL_TEST_ACCEL", "dbt", true);
    if (argc == 2 && !strcmp(argv[1], "--write")) {
        g_autofree char *path = counts_path();
        g_autoptr(GString) now = all_counts();
        g_autoptr(GError) err = NULL;
        if (!g_file_set_contents(path, now->str, -1, &err))
            g_printerr("%s\n", err->message);
        return err != NULL;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dbt/counts", test_counts);
    return g_test_run();
}
