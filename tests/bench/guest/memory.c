/*
 * memory.c - workloads of loads and stores: pointer chasing within and beyond the caches, histograms, bulk operations.
 */
#include <string.h>

#include "work.h"

typedef struct Node {
    struct Node *next;
    uint64_t value, padding[6]; /* a cache line */
} Node;

enum { NEAR = 256, FAR = 65536, BULK = 1 << 20 };

/* Links nodes to one ring in an order without a pattern (Sattolo's shuffle). */
static void link_ring(Node *nodes, uint32_t count)
{
    static uint32_t order[FAR];
    uint64_t seed = 5;
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = next_random(&seed) % i, kept = order[i];
        order[i] = order[j], order[j] = kept;
    }
    for (uint32_t i = 0; i < count; i++) {
        nodes[order[i]].next = &nodes[order[(i + 1) % count]];
        nodes[i].value = i;
    }
}

static uint64_t chase(Node *nodes, uint32_t count, uint32_t steps)
{
    if (!nodes[0].next)
        link_ring(nodes, count);
    uint64_t sum = 0;
    for (Node *n = nodes; steps; steps--, n = n->next)
        sum = sum * 3 + n->value;
    return sum;
}

static uint64_t run_chase_near(void)
{
    static Node nodes[NEAR];
    return chase(nodes, NEAR, 100 * NEAR);
}

static uint64_t run_chase_far(void)
{
    static Node nodes[FAR];
    return chase(nodes, FAR, FAR);
}

static uint64_t run_histogram(void)
{
    enum { SIZE = 65536 };
    static uint8_t bytes[SIZE];
    uint32_t bins[256] = { 0 };
    if (!bytes[1]) {
        uint64_t seed = 6;
        for (unsigned i = 0; i < SIZE; i++)
            bytes[i] = next_random(&seed) | (i == 1);
    }
    for (unsigned i = 0; i < SIZE; i++)
        bins[bytes[i]]++;
    return mix(mix(bins[1], bins[100]), bins[255]);
}

static uint8_t from[BULK], to[BULK];

/* As the C library does it on this processor. */
static uint64_t run_memset(void)
{
    memset(to, 0x5a, BULK);
    return to[BULK - 1];
}

static uint64_t run_memcpy(void)
{
    from[12345] = 77;
    memcpy(to, from, BULK);
    return to[12345];
}

/* As kernels do it. */
static uint64_t run_rep_stosb(void)
{
    void *at = to;
    uint64_t count = BULK;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(0x3c) : "memory");
    return to[BULK - 1] + count;
}

static uint64_t run_rep_movsq(void)
{
    void *at = to, *source = from;
    uint64_t count = BULK / 8;
    from[54321] = 66;
    __asm__ volatile("rep movsq" : "+D"(at), "+S"(source), "+c"(count) : : "memory");
    return to[54321] + count;
}

const Workload memory_workloads[] = {
    { "chase-near", run_chase_near, .units = 100 * NEAR },
    { "chase-far", run_chase_far, .units = FAR },
    { "histogram", run_histogram },
    { "memset", run_memset },
    { "memcpy", run_memcpy },
    { "rep-stosb", run_rep_stosb },
    { "rep-movsq", run_rep_movsq },
    { NULL },
};
