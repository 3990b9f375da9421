/* filter_test.c - filters of random rules, run by an interpreter, beside the rules themselves. */
#include "vmm/sandbox/filter.h"

#include <linux/audit.h>
#include <string.h>

enum { NUMBERS = 24, OTHERWISE = SECCOMP_RET_TRAP };

/* ---- two ways to an answer */

static uint32_t by_rules(const FilterRule *rules, unsigned n, const struct seccomp_data *d)
{
    if (d->arch != AUDIT_ARCH_X86_64)
        return SECCOMP_RET_KILL_PROCESS;
    for (unsigned i = 0; i < n; i++)
        if (rules[i].number == (uint32_t)d->nr && (!rules[i].mask || ((d->args[rules[i].arg] & rules[i].mask) == rules[i].value) != rules[i].not))
            return rules[i].action;
    return OTHERWISE;
}

/* The instructions of classic BPF that filters have (networking/filter.rst of Linux' documentation).  Each goes on, so it ends. */
static uint32_t by_program(const GArray *program, const struct seccomp_data *d)
{
    uint32_t a = 0;
    for (unsigned pc = 0; pc < program->len; pc++) {
        const struct sock_filter *f = &g_array_index(program, struct sock_filter, pc);
        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            g_assert_cmpuint(f->k, <=, sizeof(*d) - 4);
            memcpy(&a, (const char *)d + f->k, 4);
            break;
        case BPF_ALU | BPF_AND | BPF_K: a &= f->k; break;
        case BPF_JMP | BPF_JA: pc += f->k; break;
        case BPF_JMP | BPF_JEQ | BPF_K: pc += a == f->k ? f->jt : f->jf; break;
        case BPF_JMP | BPF_JGE | BPF_K: pc += a >= f->k ? f->jt : f->jf; break;
        case BPF_JMP | BPF_JGT | BPF_K: pc += a > f->k ? f->jt : f->jf; break;
        case BPF_RET | BPF_K: return f->k;
        default: g_error("instruction %u is 0x%x", pc, f->code);
        }
    }
    g_error("it does not return");
}

/* ---- cases */

static FilterRule random_rule(GRand *r)
{
    static const uint64_t masks[] = { 0, 0, 0, 4, UINT32_MAX, 0xff00000000, UINT64_MAX };
    static const uint32_t actions[] = { SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 38 };
    FilterRule rule = { .number = g_rand_int_range(r, 0, NUMBERS), .action = actions[g_rand_int_range(r, 0, 3)], .arg = g_rand_int_range(r, 0, 6) };
    rule.mask = masks[g_rand_int_range(r, 0, G_N_ELEMENTS(masks))];
    rule.value = ((uint64_t)g_rand_int_range(r, 0, 3) << 32 | g_rand_int_range(r, 0, 8)) & rule.mask;
    rule.not = rule.mask && !(rule.mask >> 32) && g_rand_int_range(r, 0, 3) == 0;
    return rule;
}

static struct seccomp_data random_call(GRand *r)
{
    static const uint32_t numbers[] = { 0x40000000, 0x40000003, UINT32_MAX };
    bool usual = g_rand_int_range(r, 0, 20);
    struct seccomp_data d = { .arch = g_rand_int_range(r, 0, 50) ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_I386 };
    d.nr = usual ? (uint32_t)g_rand_int_range(r, 0, NUMBERS + 2) : numbers[g_rand_int_range(r, 0, G_N_ELEMENTS(numbers))];
    for (unsigned i = 0; i < 6; i++)
        d.args[i] = (uint64_t)g_rand_int_range(r, 0, 3) << 32 | g_rand_int_range(r, 0, 8);
    return d;
}

static void test_random(void)
{
    GRand *r = g_rand_new_with_seed(g_test_rand_int());
    for (unsigned round = 0; round < 500; round++) {
        FilterRule rules[40];
        unsigned n = g_rand_int_range(r, 0, G_N_ELEMENTS(rules));
        for (unsigned i = 0; i < n; i++)
            rules[i] = random_rule(r);
        g_autoptr(GArray) program = filter_make(rules, n, OTHERWISE);
        for (unsigned i = 0; i < 500; i++) {
            struct seccomp_data d = random_call(r);
            g_assert_cmphex(by_program(program, &d), ==, by_rules(rules, n, &d));
        }
    }
    g_rand_free(r);
}

/* Far jumps, and the kernel's limit of 4096 instructions. */
static void test_many(void)
{
    FilterRule rules[400];
    for (unsigned i = 0; i < G_N_ELEMENTS(rules); i++)
        rules[i] = (FilterRule){ 2 * i, SECCOMP_RET_ALLOW };
    g_autoptr(GArray) program = filter_make(rules, G_N_ELEMENTS(rules), OTHERWISE);
    g_assert_cmpuint(program->len, <=, BPF_MAXINSNS);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(rules) + 10; i++) {
        struct seccomp_data d = { .nr = i, .arch = AUDIT_ARCH_X86_64 };
        g_assert_cmphex(by_program(program, &d), ==, by_rules(rules, G_N_ELEMENTS(rules), &d));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sandbox/filter/random", test_random);
    g_test_add_func("/sandbox/filter/many", test_many);
    return g_test_run();
}
