/* code_buffer_test.c - generated code runs, is bounded, and no page of it is writable and executable. */
#include "jit/code_buffer.h"

#include <stdio.h>
#include <string.h>

typedef int ReturnInt(void);

/* mov eax, value; ret */
static ReturnInt *emit_return(CodeBuffer *cb, int value)
{
    uint8_t *w = code_buffer_reserve(cb, 16);
    if (!w)
        return NULL;
    w[0] = 0xb8;
    memcpy(w + 1, &value, 4);
    w[5] = 0xc3;
    return (ReturnInt *)code_buffer_commit(cb, 6);
}

static void test_runs(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(CodeBuffer) cb = code_buffer_create(1, &err);
    g_assert_no_error(err);
    ReturnInt *a = emit_return(cb, 42), *b = emit_return(cb, -7);
    g_assert_cmpint(a(), ==, 42);
    g_assert_cmpint(b(), ==, -7);
    g_assert_cmpuint((uintptr_t)b % 16, ==, 0);

    int patched = 43;
    memcpy(code_buffer_writable(cb, (const void *)a) + 1, &patched, 4);
    g_assert_cmpint(a(), ==, 43);
}

static void test_full_and_reset(void)
{
    g_autoptr(CodeBuffer) cb = code_buffer_create(4096, NULL);
    int n = 0;
    while (emit_return(cb, n))
        n++;
    g_assert_cmpint(n, ==, 4096 / 16);
    g_assert_null(code_buffer_reserve(cb, 1));
    code_buffer_reset(cb);
    g_assert_cmpuint(code_buffer_used(cb), ==, 0);
    g_assert_null(code_buffer_reserve(cb, 4097));
    g_assert_cmpint(emit_return(cb, 5)(), ==, 5);
}

static void test_never_writable_and_executable(void)
{
    g_autoptr(CodeBuffer) cb = code_buffer_create(65536, NULL);
    g_assert_nonnull(cb);
    g_autofree char *maps = NULL;
    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(maps, "\n", -1);
    unsigned mine = 0;
    for (char **l = lines; *l; l++) {
        if (!strstr(*l, "atoll-code"))
            continue;
        const char *rights = strchr(*l, ' ') + 1;
        g_assert_false(rights[1] == 'w' && rights[2] == 'x');
        mine++;
    }
    g_assert_cmpuint(mine, ==, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jit/code_buffer/runs", test_runs);
    g_test_add_func("/jit/code_buffer/full_and_reset", test_full_and_reset);
    g_test_add_func("/jit/code_buffer/never_writable_and_executable", test_never_writable_and_executable);
    return g_test_run();
}
