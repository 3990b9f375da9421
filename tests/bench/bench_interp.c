/*
 * bench_interp.c - how many guest instructions a second the interpreter executes.
 *
 * The kernels below are compiled C (general registers only).  The same bytes run natively, for the expected result, and
 * in a guest in 64-bit mode with paging.  Prints a line a kernel, then the geometric mean.
 */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "accel/interp/test_guest.h"

#define KERNEL(name)                                                                                                   \
    __attribute__((section("guest_code"), noinline, used, target("general-regs-only"),                                 \
                   optimize("no-tree-loop-distribute-patterns", "no-stack-protector"))) static uint64_t                \
    name(uint64_t n, uint8_t *memory)

/* Integers and branches: steps of the Collatz sequence. */
KERNEL(collatz)
{
    uint64_t steps = 0;
    for (uint64_t start = 1; start <= n; start++)
        for (uint64_t x = start; x != 1; steps++)
            x = x & 1 ? 3 * x + 1 : x / 2;
    return steps + (uintptr_t)memory * 0;
}

/* Loads, stores, data-dependent branches: insertion sort of pseudo-random numbers. */
KERNEL(sort)
{
    uint32_t *a = (uint32_t *)memory, seed = 1, count = 256;
    uint64_t sum = 0;
    for (uint64_t round = 0; round < n; round++) {
        for (uint32_t i = 0; i < count; i++)
            a[i] = seed = seed * 1664525 + 1013904223;
        for (uint32_t i = 1; i < count; i++) {
            uint32_t x = a[i], j = i;
            for (; j && a[j - 1] > x; j--)
                a[j] = a[j - 1];
            a[j] = x;
        }
        sum += a[round % count];
    }
    return sum;
}

/* Bytes, read-modify-write: histogram of a buffer. */
KERNEL(histogram)
{
    uint32_t *bins = (uint32_t *)memory;
    uint8_t *bytes = memory + 4096;
    for (uint32_t i = 0, seed = 7; i < 65536; i++)
        bytes[i] = (seed = seed * 1664525 + 1013904223) >> 24;
    for (uint32_t i = 0; i < 256; i++)
        bins[i] = 0;
    for (uint64_t round = 0; round < n; round++)
        for (uint32_t i = 0; i < 65536; i++)
            bins[bytes[i]]++;
    return bins[3] + ((uint64_t)bins[200] << 32);
}

/* Calls and returns, the stack. */
KERNEL(fibonacci)
{
    return n < 2 ? n : fibonacci(n - 1, memory) + fibonacci(n - 2, memory + 1);
}

/* Shifts, rotations, logic on 32 bits: the compression function of SHA-256, in outline. */
KERNEL(rotations)
{
    uint32_t a = 1, b = 2, c = 3, e = 5, f = 6, g = 7;
    uint32_t *w = (uint32_t *)memory;
    for (uint64_t round = 0; round < n; round++) {
        uint32_t s1 = (e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7), ch = (e & f) ^ (~e & g);
        uint32_t s0 = (a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10), maj = (a & b) ^ (a & c) ^ (b & c);
        uint32_t t = s1 + ch + w[round & 63] + (uint32_t)round;
        w[(round + 7) & 63] = t + maj;
        g = f, f = e, e = c + t, c = b, b = a, a = t + s0 + maj;
    }
    return a ^ (uint64_t)e << 32;
}

typedef uint64_t Kernel(uint64_t n, uint8_t *memory);
typedef struct Bench {
    const char *name;
    Kernel *kernel;
    uint64_t n;
} Bench;

static const Bench benches[] = {
    { "collatz", collatz, 60000 },     { "sort", sort, 250 },          { "histogram", histogram, 60 },
    { "fibonacci", fibonacci, 29 },    { "rotations", rotations, 500000 },
};

extern const uint8_t __start_guest_code[], __stop_guest_code[];
enum { CODE_AT = 0x100000, MEMORY_AT = 0x400000 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Million instructions a second. */
static double run(const Guest *g, const Bench *b, uint8_t *native_memory)
{
    CpuState s = guest_state(g);
    uint64_t back = GUEST_HANDLERS; /* a HLT */
    s.gpr[GPR_RSP] = 0x3ffff8;
    memcpy(g->ram + s.gpr[GPR_RSP], &back, 8);
    s.rip = CODE_AT + ((const uint8_t *)(uintptr_t)b->kernel - __start_guest_code);
    s.gpr[GPR_RDI] = b->n;
    s.gpr[GPR_RSI] = MEMORY_AT;
    memset(g->ram + MEMORY_AT, 0, 1 << 20);
    memset(native_memory, 0, 1 << 20);
    guest_set(g, 0, &s);
    InterpVcpu *v = guest_vcpu(g, 0);
    uint64_t before = v->instructions;
    double start = now();
    guest_run(g);
    double seconds = now() - start, rate = (v->instructions - before) / seconds * 1e-6;
    uint64_t expected = b->kernel(b->n, native_memory);
    if (v->s.gpr[GPR_RAX] != expected)
        g_error("%s: the guest's result is %" G_GUINT64_FORMAT ", natively it is %" G_GUINT64_FORMAT, b->name,
                v->s.gpr[GPR_RAX], expected);
    printf("%-12s %7.1f million instructions/s   (%.1f million in %.2f s)\n", b->name, rate,
           (v->instructions - before) * 1e-6, seconds);
    return rate;
}

int main(void)
{
    Guest g = guest_create(1, CODE64);
    g_autofree uint8_t *native_memory = g_malloc(1 << 20);
    memcpy(g.ram + CODE_AT, __start_guest_code, __stop_guest_code - __start_guest_code);
    double logs = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(benches); i++)
        logs += log(run(&g, &benches[i], native_memory));
    printf("%-12s %7.1f million instructions/s\n", "mean", exp(logs / G_N_ELEMENTS(benches)));
    guest_destroy(&g);
    return 0;
}
