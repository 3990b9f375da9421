/* dbt_trim_test.c - a vCPU that idles gives the memory of its blocks back, and runs on correctly. */
#include "accel/dbt/test_program.h"

#include <stdio.h>

enum { SECOND = 1000000, PAGES = 400, FIRST_PAGE = 0x100000 };

/* ---- when */

static void test_busy(void)
{
    DbtTrim t = { 0 };
    for (int64_t now = SECOND; now < 20 * SECOND; now += 1000) /* half of the time */
        g_assert_false(dbt_trim_idles(&t, now, now + 500));
}

static void test_idle(void)
{
    DbtTrim t = { 0 };
    g_assert_false(dbt_trim_idles(&t, SECOND, 2 * SECOND)); /* work, then 250 ticks a second of 20 us */
    unsigned idle = 0;
    for (int64_t now = 2 * SECOND; now < 10 * SECOND; now += 4000)
        idle += dbt_trim_idles(&t, now, now + 20);
    g_assert_cmpuint(idle, >=, 2);
    g_assert_cmpuint(idle, <=, 4);
}

static void test_first_tick_after_long(void)
{
    DbtTrim t = { 0 };
    g_assert_false(dbt_trim_idles(&t, SECOND, SECOND + 10));
    g_assert_true(dbt_trim_idles(&t, 60 * SECOND, 60 * SECOND + 10));
}

/* ---- what: RSS of the mappings of generated code, which the test's one vCPU has */

static unsigned long code_kib(void)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/self/smaps", &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned long sum = 0, kib;
    bool code = false;
    for (char **l = lines; *l; l++) {
        if (strchr(*l, '-') && g_ascii_isxdigit((*l)[0]))
            code = strstr(*l, "atoll-code");
        if (code && sscanf(*l, "Rss: %lu kB", &kib) == 1)
            sum += kib;
    }
    return sum;
}

/* Calls a routine of its own in each of 400 pages, three times. */
PROGRAM(calls_pages, ".code64",
        "mov $3, %edx\n xor %ebx, %ebx\n 1: mov $0x100000, %esi\n mov $400, %ecx\n 2: call *%rsi\n add %eax, %ebx\n add $0x1000, %esi\n dec %ecx\n"
        "jnz 2b\n dec %edx\n jnz 1b");

/* Long enough that the code is some hundred KiB: MOV to EAX over and over, then RET. */
static void make_pages(const Guest *g)
{
    uint8_t page[4096];
    for (unsigned n = 0; n < PAGES; n++) {
        unsigned at = 0;
        for (; at < 200; at += 5)
            memcpy(page + at, (uint8_t[]){ 0xb8, n & 0xff, 0, 0, 0 }, 5);
        page[at] = 0xc3;
        g_assert_true(dma_write(g->m, FIRST_PAGE + n * 4096, page, at + 1));
    }
}

static uint64_t expected(void)
{
    uint64_t sum = 0;
    for (unsigned n = 0; n < PAGES; n++)
        sum += n & 0xff;
    return 3 * sum;
}

static void test_gives_back(void)
{
    Guest g = guest_create(1, CODE64);
    DbtVcpu *v = (DbtVcpu *)guest_vcpu(&g, 0);
    make_pages(&g);
    for (unsigned round = 0; round < 3; round++) {
        RUN(g, calls_pages);
        g_assert_cmpint(guest_vector(&g), ==, -1);
        g_assert_cmpuint(gpr(&g, GPR_RBX), ==, expected());
        size_t bytes = dbt_cache_bytes(v);
        unsigned long kib = code_kib();
        g_assert_cmpuint(bytes, >, 100 << 10);
        dbt_cache_release(v);
        g_test_message("%zu bytes became %zu, %lu KiB of code %lu", bytes, dbt_cache_bytes(v), kib, code_kib());
        g_assert_cmpuint(dbt_cache_bytes(v), <, 32 << 10); /* the glue */
        g_assert_cmpuint(code_kib() + 64, <, kib);
    }
    guest_destroy(&g);
}

int main(int argc, char **argv)
{
    static const TestCase tests[] = {
        { "/dbt/trim/busy", test_busy },
        { "/dbt/trim/idle", test_idle },
        { "/dbt/trim/first-tick-after-long", test_first_tick_after_long },
        { "/dbt/trim/gives-back", test_gives_back },
    };
    return run_cases(argc, argv, tests, G_N_ELEMENTS(tests));
}
