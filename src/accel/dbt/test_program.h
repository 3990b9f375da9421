#pragma once
#include "accel/dbt/dbt.h"
#include "accel/interp/test_guest.h"
/*
 * test_program.h - guest programs in assembly for tests of the translator: PROGRAM(name, ".code64", "text") ends with HLT and runs
 * at GUEST_CODE by RUN(guest, name).
 */
#define PROGRAM(name, mode, text)                                                                                      \
    asm(".pushsection .rodata\n.balign 16\n.local " #name "\n.local " #name "_end\n" #name ":\n" mode "\n" text        \
        "\nhlt\n" #name "_end:\n.code64\n.popsection\n");                                                              \
    extern const uint8_t name[], name##_end[]

typedef struct Program {
    const uint8_t *start, *end;
} Program;
#define P(name) { name, name##_end }

static inline uint64_t gpr(const Guest *g, unsigned reg) { return guest_vcpu(g, 0)->s.gpr[reg]; }

static inline CpuState state_with_sse(const Guest *g)
{
    CpuState s = guest_state(g);
    s.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    s.cr0 |= CR0_MP | CR0_NE;
    return s;
}

static inline void load_at(const Guest *g, uint64_t at, const uint8_t *program, const uint8_t *end)
{
    g_assert_true(dma_write(g->m, at, program, end - program));
}
static inline void load(const Guest *g, const uint8_t *program, const uint8_t *end) { load_at(g, GUEST_CODE, program, end); }

static inline void run_state(const Guest *g, const CpuState *s)
{
    guest_set(g, 0, s);
    guest_run(g);
}
#define RUN(g, name)                                                                                                   \
    do {                                                                                                               \
        load(&(g), name, name##_end);                                                                                  \
        CpuState state_ = state_with_sse(&(g));                                                                        \
        run_state(&(g), &state_);                                                                                      \
    } while (0)

static inline uint64_t ram64(const Guest *g, uint64_t at)
{
    uint64_t value;
    memcpy(&value, g->ram + at, 8);
    return value;
}
static inline void put64(const Guest *g, uint64_t at, uint64_t value) { memcpy(g->ram + at, &value, 8); }

static inline uint64_t stack(const Guest *g, unsigned slot) { return ram64(g, gpr(g, GPR_RSP) + 8 * slot); }

/* The handler of a vector is code at an address below 64 KiB. */
static inline void set_handler(const Guest *g, unsigned vector, uint16_t at) { memcpy(g->ram + GUEST_IDT + 16 * vector, &at, 2); }

/* 2 MiB of linear addresses within the first GiB: the page directory's entry, as guest_tables() placed it. */
static inline uint64_t pde_at(uint64_t linear) { return GUEST_TABLES + 0x2000 + 8 * (linear >> 21); }

/* Runs the cases of a table in the translator, unless the environment names another accelerator. */
typedef struct TestCase {
    const char *name;
    void (*test)(void);
} TestCase;
static inline int run_cases(int argc, char **argv, const TestCase *tests, size_t n)
{
    g_setenv("ATOLL_TEST_ACCEL", "dbt", false);
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < n; i++)
        g_test_add_func(tests[i].name, tests[i].test);
    return g_test_run();
}
