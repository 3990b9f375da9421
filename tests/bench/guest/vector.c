/*
 * vector.c - workloads of SSE2 and AVX2: floating point (y += a * x) and integers (rounds of a stream cipher's kind).
 */
#include <immintrin.h>
#include <string.h>

#include "work.h"

enum { ELEMENTS = 2048 };
static double xs[ELEMENTS] __attribute__((aligned(64))), ys[ELEMENTS] __attribute__((aligned(64)));

static void fill(void)
{
    for (unsigned i = 0; i < ELEMENTS; i++)
        xs[i] = i * 0.5, ys[i] = 1000.0 - i;
}

static uint64_t checksum(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ELEMENTS; i += 97) {
        uint64_t bits;
        memcpy(&bits, &ys[i], sizeof(bits));
        sum = mix(sum, bits);
    }
    return sum;
}

static uint64_t run_sse2(void)
{
    fill();
    __m128d a = _mm_set1_pd(0.125);
    for (unsigned round = 0; round < 16; round++)
        for (unsigned i = 0; i < ELEMENTS; i += 2)
            _mm_store_pd(ys + i, _mm_add_pd(_mm_load_pd(ys + i), _mm_mul_pd(a, _mm_load_pd(xs + i))));
    return checksum();
}

static __m128i rotate_lanes(__m128i x, int n)
{
    return _mm_or_si128(_mm_slli_epi32(x, n), _mm_srli_epi32(x, 32 - n));
}

static uint64_t run_sse2_integer(void)
{
    __m128i a = _mm_set_epi32(1, 2, 3, 4), b = _mm_set_epi32(5, 6, 7, 8), c = _mm_set_epi32(9, 10, 11, 12), d = a;
    for (unsigned round = 0; round < 4000; round++) {
        a = _mm_add_epi32(a, b), d = rotate_lanes(_mm_xor_si128(d, a), 16);
        c = _mm_add_epi32(c, d), b = rotate_lanes(_mm_xor_si128(b, c), 12);
        b = _mm_shuffle_epi32(b, 0x39), c = _mm_shuffle_epi32(c, 0x4e), d = _mm_shuffle_epi32(d, 0x93);
    }
    uint64_t words[2];
    _mm_storeu_si128((__m128i *)words, _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d)));
    return mix(words[0], words[1]);
}

static bool have_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

__attribute__((target("avx2"))) static uint64_t run_avx2(void)
{
    fill();
    __m256d a = _mm256_set1_pd(0.125);
    for (unsigned round = 0; round < 16; round++)
        for (unsigned i = 0; i < ELEMENTS; i += 4)
            _mm256_store_pd(ys + i, _mm256_add_pd(_mm256_load_pd(ys + i), _mm256_mul_pd(a, _mm256_load_pd(xs + i))));
    return checksum();
}

const Workload vector_workloads[] = {
    { "sse2", run_sse2 },
    { "sse2-integer", run_sse2_integer },
    { "avx2", run_avx2, .usable = have_avx2 },
    { NULL },
};
