/*
 * compute.c - workloads of general registers and scalar floating point: integers, branches, calls, an interpreter.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

/* --- integer: a sieve, a hash table, a sort */

enum { SIEVE = 32768, KEYS = 4096, BUCKETS = 8192 };

static uint64_t sieve_primes(void)
{
    static uint8_t composite[SIEVE];
    memset(composite, 0, sizeof(composite));
    uint64_t sum = 0;
    for (unsigned i = 2; i < SIEVE; i++) {
        if (composite[i])
            continue;
        sum += i;
        for (unsigned j = 2 * i; j < SIEVE; j += i)
            composite[j] = 1;
    }
    return sum;
}

static uint64_t fill_table(void)
{
    static uint64_t table[BUCKETS];
    memset(table, 0, sizeof(table));
    uint64_t seed = 1, probes = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t key = mix(i, next_random(&seed)) | 1;
        unsigned at = key % BUCKETS;
        for (; table[at] && table[at] != key; probes++)
            at = (at + 1) % BUCKETS;
        table[at] = key;
    }
    return probes;
}

static uint64_t shell_sort(void)
{
    static uint32_t a[KEYS];
    uint64_t seed = 2, sum = 0;
    for (unsigned i = 0; i < KEYS; i++)
        a[i] = next_random(&seed);
    for (unsigned gap = 1093; gap; gap /= 3)
        for (unsigned i = gap; i < KEYS; i++) {
            uint32_t x = a[i];
            unsigned j = i;
            for (; j >= gap && a[j - gap] > x; j -= gap)
                a[j] = a[j - gap];
            a[j] = x;
        }
    for (unsigned i = 0; i < KEYS; i += 37)
        sum = mix(sum, a[i]);
    return sum;
}

static uint64_t run_integer(void)
{
    return mix(mix(sieve_primes(), fill_table()), shell_sort());
}

/* --- branches: a scanner over text in which no branch is predictable for long, and Collatz sequences */

static uint64_t run_branches(void)
{
    enum { SIZE = 32768 };
    static char text[SIZE];
    if (!text[0]) {
        uint64_t seed = 3;
        for (unsigned i = 0; i < SIZE; i++)
            text[i] = " \nabcxyz019_(){}\"/*;,+-"[next_random(&seed) % 23];
    }
    uint64_t words = 0, numbers = 0, depth = 0, strings = 0, steps = 0;
    bool in_word = false, in_string = false;
    for (unsigned i = 0; i < SIZE; i++) {
        char c = text[i];
        if (in_string) {
            in_string = c != '"';
        } else if (c >= 'a' && c <= 'z') {
            words += !in_word;
            in_word = true;
        } else if (c >= '0' && c <= '9') {
            if (!in_word)
                numbers++;
        } else if (c == '(' || c == '{') {
            depth++;
            in_word = false;
        } else if (c == ')' || c == '}') {
            if (depth)
                depth--;
            in_word = false;
        } else if (c == '"') {
            in_string = true;
            strings++;
        } else {
            in_word = false;
        }
    }
    for (uint64_t start = 1; start < 600; start++)
        for (uint64_t x = start; x != 1; steps++) {
            if (x & 1)
                x = 3 * x + 1;
            else
                x /= 2;
            __asm__ volatile(""); /* keep the branch a branch */
        }
    return mix(mix(mix(words, numbers), depth * 65536 + strings), steps);
}

/* --- calls: direct and recursive; indirect; by qsort() */

__attribute__((noinline, optimize("no-optimize-sibling-calls"))) static uint64_t fibonacci(uint64_t n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t run_calls(void)
{
    return fibonacci(20);
}

typedef uint64_t Step(uint64_t x);
#define STEP(name, expression)                                                                                         \
    __attribute__((noinline)) static uint64_t name(uint64_t x)                                                         \
    {                                                                                                                  \
        return expression;                                                                                             \
    }
STEP(step_add, x + 0x1234567)
STEP(step_sub, x - 99)
STEP(step_xor, x ^ x >> 7)
STEP(step_rotate, x << 13 | x >> 51)
STEP(step_times, x * 5 + 1)
STEP(step_not, ~x)
STEP(step_swap, __builtin_bswap64(x))
STEP(step_half, (x >> 1) + (x << 62))

static uint64_t run_indirect(void)
{
    static Step *const steps[] = {
        step_add, step_sub, step_xor, step_rotate, step_times, step_not, step_swap, step_half
    };
    uint64_t x = 1;
    for (unsigned i = 0; i < 20000; i++)
        x = steps[(x >> 5 ^ i) & 7](x);
    return x;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint64_t run_qsort(void)
{
    static uint32_t numbers[KEYS];
    uint64_t seed = 4, sum = 0;
    for (unsigned i = 0; i < KEYS; i++)
        numbers[i] = next_random(&seed);
    qsort(numbers, KEYS, sizeof(*numbers), compare_numbers);
    for (unsigned i = 0; i < KEYS; i += 41)
        sum = mix(sum, numbers[i]);
    return sum;
}

/* --- scalar floating point: a product of matrices, and steps of the Lorenz equations */

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

__attribute__((optimize("no-tree-vectorize"))) static uint64_t run_fp(void)
{
    enum { N = 32 };
    static double a[N][N], b[N][N];
    for (unsigned i = 0; i < N * N; i++) {
        a[i / N][i % N] = i * 0.25 - 100;
        b[i / N][i % N] = 3.5 / (i + 1);
    }
    double trace = 0, x = 1, y = 1, z = 1;
    for (unsigned i = 0; i < N; i++)
        for (unsigned j = 0; j < N; j++) {
            double sum = 0;
            for (unsigned k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            trace += i == j ? sum : sqrt(fabs(sum)) * 1e-6;
        }
    for (unsigned i = 0; i < 4000; i++) {
        double dx = 10 * (y - x), dy = x * (28 - z) - y, dz = x * y - z * (8 / 3.0);
        x += dx * 0.005, y += dy * 0.005, z += dz * 0.005;
    }
    return mix(bits_of(trace), bits_of(x + y + z));
}

/* The x87: long doubles. */
static uint64_t run_x87(void)
{
    long double sum = 0, x = 0.5L;
    for (unsigned i = 1; i < 5000; i++) {
        x = 3.75L * x * (1 - x);
        sum += x / i;
    }
    return bits_of(sum);
}

/* --- an interpreter: a loop that fetches, dispatches by a switch, and executes */

typedef enum Code { VM_SET, VM_ADD, VM_REM, VM_LESS, VM_IF_ZERO, VM_JUMP, VM_ENOUGH } Code;
typedef struct Instruction {
    uint8_t code, to, a;
    int16_t b;
} Instruction;

/* Counts the primes below r[1] by division. */
static const Instruction count_primes[] = {
    { VM_SET, 0, 0, 0 },  { VM_SET, 1, 0, 500 },    { VM_SET, 2, 0, 2 },
    { VM_SET, 6, 0, 1 },  { VM_LESS, 5, 2, 1 },     { VM_IF_ZERO, 0, 5, 17 }, /* 4: while r2 < r1 */
    { VM_SET, 3, 0, 2 },  { VM_LESS, 5, 3, 2 },     { VM_IF_ZERO, 0, 5, 13 }, /* 7: while r3 < r2 */
    { VM_REM, 4, 2, 3 },  { VM_IF_ZERO, 0, 4, 15 }, { VM_ADD, 3, 3, 6 },
    { VM_JUMP, 0, 0, 7 }, { VM_ADD, 0, 0, 6 },      { VM_JUMP, 0, 0, 15 },
    { VM_ADD, 2, 2, 6 },  { VM_JUMP, 0, 0, 4 },     { VM_ENOUGH, 0, 0, 0 },
};

__attribute__((noinline)) static uint64_t interpret(const Instruction *program)
{
    uint64_t r[8] = { 0 }, executed = 0;
    for (const Instruction *at = program;; executed++) {
        const Instruction *i = at++;
        switch ((Code)i->code) {
        case VM_SET:
            r[i->to] = i->b;
            break;
        case VM_ADD:
            r[i->to] = r[i->a] + r[i->b];
            break;
        case VM_REM:
            r[i->to] = (uint32_t)r[i->a] % (uint32_t)r[i->b];
            break;
        case VM_LESS:
            r[i->to] = r[i->a] < r[i->b];
            break;
        case VM_IF_ZERO:
            at = r[i->a] ? at : program + i->b;
            break;
        case VM_JUMP:
            at = program + i->b;
            break;
        case VM_ENOUGH:
            return mix(r[0], executed);
        }
    }
}

static uint64_t run_bytecode(void)
{
    return interpret(count_primes);
}

/* --- SHA-256 (FIPS 180-4, section 6.2.2) */

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

/* Section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes, and for the
 * start, section 5.3.3, of the square roots of the first 8.  Computed here, which needs no table. */
static void sha256_constants(uint32_t k[64], uint32_t start[8])
{
    unsigned found = 0;
    for (unsigned n = 2; found < 64; n++) {
        bool prime = true;
        for (unsigned d = 2; d * d <= n; d++)
            prime &= n % d != 0;
        if (!prime)
            continue;
        long double root = cbrtl(n), square = sqrtl(n);
        k[found] = (uint32_t)((root - floorl(root)) * 4294967296.0L);
        if (found < 8)
            start[found] = (uint32_t)((square - floorl(square)) * 4294967296.0L);
        found++;
    }
}

static void sha256_block(uint32_t h[8], const uint32_t k[64], const uint8_t *block)
{
    uint32_t w[64], s[8];
    for (unsigned t = 0; t < 16; t++) {
        memcpy(&w[t], block + 4 * t, 4);
        w[t] = __builtin_bswap32(w[t]);
    }
    for (unsigned t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    memcpy(s, h, sizeof(s));
    for (unsigned t = 0; t < 64; t++) {
        uint32_t big1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25), choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t t1 = s[7] + big1 + choice + k[t] + w[t];
        uint32_t big0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        memmove(s + 1, s, 7 * sizeof(*s));
        s[4] += t1;
        s[0] = t1 + big0 + majority;
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] += s[i];
}

uint64_t sha256_blocks(const uint8_t *data, size_t size)
{
    static uint32_t k[64], start[8]; /* the same for every thread that writes them */
    if (!k[63])
        sha256_constants(k, start);
    uint32_t h[8];
    memcpy(h, start, sizeof(h));
    for (size_t at = 0; at + 64 <= size; at += 64)
        sha256_block(h, k, data + at);
    return (uint64_t)h[0] << 32 | h[7];
}

static uint64_t run_sha256(void)
{
    static uint8_t data[65536];
    return sha256_blocks(data, sizeof(data));
}

/* --- locked instructions, on one thread */

static uint64_t run_atomics(void)
{
    static uint64_t counter, swapped;
    counter = swapped = 0;
    for (unsigned i = 0; i < 5000; i++) {
        __atomic_fetch_add(&counter, i, __ATOMIC_SEQ_CST);
        uint64_t seen = swapped;
        __atomic_compare_exchange_n(&swapped, &seen, seen + i, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    return mix(mix(1, counter), swapped);
}

const Workload compute_workloads[] = {
    { "integer", run_integer },
    { "branches", run_branches },
    { "calls", run_calls },
    { "indirect", run_indirect },
    { "qsort", run_qsort },
    { "bytecode", run_bytecode },
    { "sha256", run_sha256 },
    { "atomics", run_atomics },
    { "fp", run_fp },
    { "x87", run_x87 },
    { NULL },
};
