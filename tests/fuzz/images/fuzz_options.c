/*
 * fuzz_options.c - option text and JSON from anybody: read, written again, and as stacks of disks in memory.
 *
 * What could name a file, a host or a program of this machine is read, but not done.
 */
#include "base/keyval.h"
#include "block/block.h"
#include "fuzz.h"

static const char *const harmless[] = { "driver", "size", "read-zeroes", "node-name", "read-only", "auto-read-only", "discard", "detect-zeroes", "direct",
                                        "no-flush", "offset", "iops-total", "bps-total", "iops-size", "iops-total-max", "aio", "force-share", "locking",
                                        "id", "data", "format", "qom-type", "cluster_size", "refcount_bits", "preallocation", "compat", "extended_l2" };

static bool is_harmless(const char *key)
{
    const char *dot = strrchr(key, '.');
    for (unsigned i = 0; i < G_N_ELEMENTS(harmless); i++)
        if (g_str_equal(harmless[i], dot ? dot + 1 : key))
            return true;
    return false;
}

/* What was read must be the same when it is written and read again. */
static bool round_trip(const char *text)
{
    g_autoptr(KeyVals) first = keyvals_parse(text, "driver", "fuzz", NULL), kept = keyvals_parse(text, "driver", "fuzz", NULL);
    if (!first)
        return false;
    g_autofree char *again = keyvals_rest_text(first);
    g_autoptr(GError) err = NULL;
    g_autoptr(KeyVals) second = keyvals_parse(again ? again : "", NULL, "fuzz", &err);
    g_autofree const char **pairs = keyvals_rest(kept);
    bool safe = true;
    for (const char **p = pairs; *p; p += 2)
        safe &= is_harmless(p[0]);
    g_assert_nonnull(second);
    g_autofree const char **others = keyvals_rest(second);
    g_assert_cmpuint(g_strv_length((char **)pairs), ==, g_strv_length((char **)others));
    for (unsigned i = 0; pairs[i]; i++)
        g_assert_cmpstr(pairs[i], ==, others[i]);
    return safe;
}

static void take(const char *text)
{
    static const char *const words[] = { "off", "on", "unmap", NULL };
    g_autoptr(KeyVals) kv = keyvals_parse(text, NULL, "fuzz", NULL);
    if (!kv)
        return;
    uint64_t number;
    bool on;
    unsigned word;
    g_autofree char *tree = keyvals_take_tree(kv, "file");
    keyvals_take_number(kv, "size", 1, 1000, &number, NULL);
    keyvals_take_bool(kv, "read-only", &on, NULL);
    keyvals_take_choice(kv, "detect-zeroes", words, &word, NULL);
    g_autoptr(GError) err = NULL;
    keyvals_end(kv, &err);
}

static void open_stack(const char *text)
{
    BlkMeasure m;
    g_autoptr(GError) err = NULL, err2 = NULL;
    BlkNode *n = blk_open_tree(text, NULL, &err);
    uint8_t data[512];
    BlkInfo info;
    if (n) {
        blk_info(n, &info);
        blk_read(n, 0, data, MIN(info.size, sizeof(data)), NULL);
        blk_write(n, 0, data, MIN(info.size, sizeof(data)), NULL);
    }
    blk_close(n);
    blk_measure("qcow2", text, NULL, &m, &err2);
    BlkEnv *env = blk_env_new();
    blk_env_add_object(env, text, NULL);
    blk_env_free(env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    uint64_t bytes;
    parse_size(text, 1, &bytes);
    take(text);
    if (round_trip(text))
        open_stack(text);
    return 0;
}
