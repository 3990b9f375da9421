/*
 * standalone.c - drives a fuzz target without libFuzzer: random inputs, or the files that it is given (a reproducer).
 *
 *     fuzz_ide [--runs N] [--seed N] [FILE...]
 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

enum { INPUT_BYTES = 4096 };

static bool run_file(const char *path)
{
    g_autofree char *data = NULL;
    gsize n;
    if (!g_file_get_contents(path, &data, &n, NULL))
        return false;
    LLVMFuzzerTestOneInput((const uint8_t *)data, n);
    return true;
}

static void run_random(unsigned runs, unsigned seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    uint8_t data[INPUT_BYTES];
    for (unsigned r = 0; r < runs; r++) {
        size_t n = g_rand_int_range(rand, 1, INPUT_BYTES);
        for (size_t i = 0; i < n; i++)
            data[i] = g_rand_int(rand) >> 8;
        LLVMFuzzerTestOneInput(data, n);
    }
}

int main(int argc, char **argv)
{
    int runs = 100, seed = g_random_int() & 0x7fffffff;
    GOptionEntry options[] = { { "runs", 0, 0, G_OPTION_ARG_INT, &runs, "random inputs", "N" },
                               { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of the random inputs", "N" },
                               { NULL } };
    g_autoptr(GOptionContext) context = g_option_context_new("[FILE...]");
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, NULL))
        return 2;
    printf("1..1\n# seed %d\n", seed);
    fflush(stdout);
    bool ok = true;
    for (int i = 1; i < argc; i++)
        ok = run_file(argv[i]) && ok;
    if (argc == 1)
        run_random(runs, seed);
    printf("%s 1 - %d inputs\n", ok ? "ok" : "not ok", argc == 1 ? runs : argc - 1);
    return !ok;
}
