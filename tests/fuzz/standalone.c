/*
 * standalone.c - drives a fuzz target without libFuzzer: random inputs, seeds with changes, or the files that it is given
 * (a reproducer).
 *
 *     fuzz_ide [--runs N] [--seed N] [--seeds DIR] [FILE...]
 *
 * The seed is --seed, or else ATOLL_SEED, or else any.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_input.h"

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

/* What libFuzzer has for targets with a mutator of their own. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
{
    size_t grown = MIN(max, size + g_random_int_range(0, 9));
    for (size_t i = size; i < grown; i++)
        data[i] = g_random_int() >> 8;
    for (unsigned n = 4; n && grown; n--)
        data[g_random_int_range(0, grown)] = g_random_int() >> 8;
    return grown;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    (void)seed;
    return LLVMFuzzerMutate(data, size, max);
}

/* A seed as it is, then changed again and again. */
static bool run_seed(const char *path, GRand *rand, unsigned runs)
{
    g_autofree char *text = NULL;
    gsize size;
    if (!g_file_get_contents(path, &text, &size, NULL))
        return false;
    size_t max = size + INPUT_BYTES;
    g_autofree uint8_t *data = g_malloc(max);
    for (unsigned r = 0; r < runs; r++) {
        size_t n = size;
        memcpy(data, text, size);
        for (unsigned changes = r ? g_rand_int_range(rand, 1, 4) : 0; changes; changes--)
            n = LLVMFuzzerCustomMutator(data, n, max, g_rand_int(rand));
        LLVMFuzzerTestOneInput(data, n);
    }
    return true;
}

static bool run_seeds(const char *folder, unsigned runs, unsigned seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    bool ok = dir;
    unsigned seeds = 0;
    g_random_set_seed(seed);
    for (const char *name; ok && (name = g_dir_read_name(dir)); seeds++) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        ok = run_seed(path, rand, runs);
    }
    return ok && seeds;
}

static int default_seed(void)
{
    const char *fixed = g_getenv("ATOLL_SEED");
    return fixed ? atoi(fixed) : (int)(g_random_int() & INT_MAX);
}

int main(int argc, char **argv)
{
    int runs = 100, seed = default_seed();
    char *seeds = NULL;
    GOptionEntry options[] = { { "runs", 0, 0, G_OPTION_ARG_INT, &runs, "random inputs, or changes of each seed", "N" },
                               { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of the random inputs", "N" },
                               { "seeds", 0, 0, G_OPTION_ARG_FILENAME, &seeds, "files to change", "DIR" },
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
    if (seeds)
        ok = run_seeds(seeds, runs, seed) && ok;
    else if (argc == 1)
        run_random(runs, seed);
    printf("%s 1 - %d inputs%s\n", ok ? "ok" : "not ok", argc == 1 ? runs : argc - 1, seeds ? " of each seed" : "");
    g_free(seeds);
    return !ok;
}
