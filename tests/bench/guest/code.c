/*
 * code.c - workloads that write the code that they run: one function patched again and again, and fresh functions as a
 * just-in-time compiler makes them.
 */
#include <string.h>
#include <sys/mman.h>

#include "work.h"

typedef uint64_t Written(uint64_t);

enum { PATCHES = 500, FUNCTIONS = 64, STEPS = 40, ROOM = 65536 };

static uint8_t *code_memory(void)
{
    static uint8_t *memory;
    if (!memory) {
        memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            give_up("mmap of executable memory");
    }
    return memory;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    return (uint8_t *)memcpy(at, bytes, size) + size;
}

static uint64_t call(const uint8_t *code, uint64_t x)
{
    Written *function;
    memcpy(&function, &code, sizeof(function));
    return function(x);
}

/* lea N(%rdi),%rax; ret, where N changes before every call. */
static uint64_t run_patch(void)
{
    uint8_t *code = code_memory();
    put(code, "\x48\x8d\x87\0\0\0\0\xc3", 8);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < PATCHES; i++) {
        __atomic_store_n((uint32_t *)(code + 3), i * 3, __ATOMIC_RELAXED); /* unaligned, as the patched code is */
        sum = call(code, sum);
    }
    return sum;
}

/* mov %rdi,%rax; then STEPS times add $N,%rax; rol $7,%rax; ret */
static uint8_t *write_function(uint8_t *at, uint32_t seed)
{
    at = put(at, "\x48\x89\xf8", 3);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t number = (seed * 2654435761u + i) & 0x7fffffff;
        at = put(at, "\x48\x05", 2);
        at = put(at, &number, 4);
        at = put(at, "\x48\xc1\xc0\x07", 4);
    }
    return put(at, "\xc3", 1);
}

/* Writes functions one after the other and calls each ten times. */
static uint64_t run_fresh(void)
{
    uint8_t *at = code_memory();
    uint64_t sum = 1;
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        uint8_t *function = at;
        at = write_function(at, i);
        for (unsigned n = 0; n < 10; n++)
            sum = call(function, sum);
    }
    return sum;
}

const Workload code_workloads[] = {
    { "patched-code", run_patch, .units = PATCHES },
    { "fresh-code", run_fresh, .units = FUNCTIONS },
    { NULL },
};
